"""The command ``polyloss`` and ``python -m polyloss``: that of the conformance suite, if what it needs is installed."""

import sys
from importlib import import_module
from importlib.util import find_spec

REQUIRED = ("typer", "rich", "jinja2", "mpmath")
"""What the extra `conformance` brings."""


def main() -> None:
    """Run the command line, or say what is missing for that."""
    missing = [name for name in REQUIRED if find_spec(name) is None]
    if missing:
        print(
            f"polyloss: the command needs {', '.join(missing)}, which losses do not: "
            'pip install "polyloss-array[conformance]"',
            file=sys.stderr,
        )
        raise SystemExit(2)
    import_module("polyloss_conformance.cli").app(prog_name="polyloss")


if __name__ == "__main__":
    main()
