"""``python -m polyloss``: the command line, which belongs to the conformance package."""

from importlib import import_module

import_module("polyloss_conformance.cli").app(prog_name="polyloss")
