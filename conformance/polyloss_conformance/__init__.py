"""The conformance suite: cases, a high-precision reference, comparison, laws, built-ins, and the report.

``polyloss conformance`` runs it. A loss is added by a record (`spec.Spec`) in the file of its family in `losses`, with
the built-ins that compute it; a deviation of one in ``deviations.toml``, a framework in `frameworks`.
"""
