"""One page of what the suite found in other libraries, each as a report that can be sent."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rst
from sphinx.application import Sphinx

from polyloss_conformance import bugs, deviations
from polyloss_conformance.translations import FAMILIES

ROOT = Path(__file__).parents[2]

_HEAD = """\
For some inputs a function of another library is off by more than rounding, gives NaN, or accepts what it should not.
The suite compares each of them with an exact reference. It fails where what is below does not occur any more, and where
there is another difference. ``polyloss report NAME`` prints what is recorded of a function as reports that can be sent:
the folded ones here. In the lines, ``array`` makes a float32 array, ``ids`` one of integers, and ``grad(f, x)`` is the
gradient of the sum of ``f``; the reports say all of it.
"""


def versions() -> dict[str, str]:
    """The versions that the record was made with, by library."""
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    return {name: pins["tensorflow-cpu" if name == "tf" else family.package] for name, family in FAMILIES.items()}


def _entry(entry: deviations.Deviation, version: str) -> Iterator[str]:
    kind = bugs.KINDS[entry.kind]
    yield f"**{kind[:1].upper()}{kind[1:]}**\n"
    yield from rst.shown(entry)
    yield rst.directive("dropdown", "Report", rst.code(bugs.report(entry, version), "markdown"))


def page() -> str:
    pinned, entries = versions(), deviations.load()
    parts = [rst.title("Bugs that the suite found"), _HEAD]
    for family, where in FAMILIES.items():
        parts.append(rst.title(f"{where.module} ({where.package} {pinned[family]})", "-"))
        of_function: dict[str, list[deviations.Deviation]] = {}
        for entry in entries:
            whose, _, function = (entry.called if entry.input else entry.builtin[0]).partition("(")[0].partition(".")
            if whose == family:
                of_function.setdefault(function, []).append(entry)
        for function, mine in of_function.items():
            parts.append(rst.title(function, "~"))
            parts += [part for entry in mine for part in _entry(entry, pinned[family])]
    return "\n".join(parts)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", lambda app: rst.write(Path(app.srcdir) / "bugs.rst", page()))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
