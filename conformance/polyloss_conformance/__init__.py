"""The conformance suite: cases, a high-precision reference, comparison, laws, built-ins, and the report.

``polyloss conformance`` runs it. A loss is added in `cases` (an entry and its cases) and `reference` (one function),
a built-in in `builtins`, a deviation of one in ``deviations.toml``, a framework in `frameworks`.
"""
