"""The results of a run as a table in the terminal, JSON, JUnit XML, Markdown and one self-contained HTML page."""

import datetime
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any, NamedTuple
from xml.etree import ElementTree

import jinja2
from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from . import bugs, histogram, tolerances
from .bugs import KINDS
from .causes import Cause, cause
from .cells import Cell, cell, number
from .deviations import Deviation, load
from .result import RECORDED, Result, printable
from .tolerances import HALVES
from .translations import FAMILIES

SCHEMA_VERSION = 1


class Spent(NamedTuple):
    """What took time: checks of one kind."""

    loss: str
    backend: str
    check: str
    mode: str
    times: int
    seconds: float


@dataclass(frozen=True)
class KnownDeviation:
    """One cause for which built-ins deviate, as it was met in a run.

    Parameters
    ----------
    rows : tuple of dict
        Of `Report.deviations`: a line for each built-in in which it was met.
    losses : str
        Those that these compute.
    entry : Deviation or None
        That of the table.
    """

    rows: tuple[dict[str, str], ...]
    losses: str
    entry: Deviation | None

    @property
    def script(self) -> str:
        """A program that shows it without polyloss, empty where no single line does."""
        return bugs.script(self.entry) if self.entry else ""

    @property
    def backends(self) -> str:
        """Those of the built-ins."""
        families = (FAMILIES.get(row["builtin"].partition(".")[0]) for row in self.rows)
        return " ".join(sorted({family.backend for family in families if family}))


_COMPARED = "value and gradient"
_SLOWEST = 20


def anchor(loss: str) -> str:
    """Where in the page a loss is; what concerns the whole run has no name."""
    return loss or "run"


@dataclass
class Report:
    """A run: its results, and what they were made with."""

    results: list[Result]
    versions: dict[str, str]
    """Of polyloss, Python, the platform and the frameworks."""
    seconds: float
    not_checked: Mapping[str, str] = field(default_factory=dict)
    """What computes a loss and was not called, by name, and why."""
    own: bool = False
    """Whether the losses are a user's, which no reference knows."""

    def __post_init__(self) -> None:
        self.not_checked = {name: printable(why) for name, why in self.not_checked.items()}

    @property
    def limits(self) -> dict[tolerances.Kind, float]:
        """The largest k."""
        return tolerances.OWN if self.own else tolerances.CONDITIONED

    @property
    def deviations(self) -> list[dict[str, str]]:
        """The known deviations of built-ins that were met again: one line for each cause and built-in."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for r in self.results:
            if r.deviation:
                builtin, _, case = r.case.removeprefix("built-in ").partition(": ")
                entry = found.setdefault(
                    (builtin, r.note),
                    {
                        "builtin": builtin,
                        "loss": r.loss,
                        "kind": r.deviation,
                        "reason": r.note,
                        "link": r.link,
                        "input": "",
                        "case": "",
                        "result": "",
                        "count": 0,
                    },
                )
                # The example that the table has of this very built-in, or the shortest of the calls that were made.
                best = entry["case"] != RECORDED and (not entry["input"] or len(r.call) < len(entry["input"]))
                if case == RECORDED or best:
                    entry |= {"input": r.call, "case": case, "result": r.message}
                entry["count"] += 1
        return [{k: str(v) for k, v in entry.items()} for entry in found.values()]

    @property
    def failures(self) -> list[Result]:
        return [r for r in self.results if not r.passed]

    @property
    def causes(self) -> list[Cause]:
        """The failures, those of one cause together."""
        found: dict[tuple[str, str], list[Result]] = {}
        for r in self.failures:
            found.setdefault((r.loss, cause(r.message)), []).append(r)
        return [Cause(tuple(results)) for results in found.values()]

    @property
    def backends(self) -> list[str]:
        return list(dict.fromkeys(r.backend for r in self.results))

    @property
    def losses(self) -> list[str]:
        """Those of the results; the empty name, of what concerns the whole run, only where that failed."""
        return list(dict.fromkeys(r.loss for r in self.results if r.loss or not r.passed))

    def cells(self) -> dict[str, dict[str, Cell]]:
        """By loss and backend."""
        return {
            loss: {
                backend: cell(loss, backend, "", [r for r in self.results if (r.loss, r.backend) == (loss, backend)])
                for backend in self.backends
            }
            for loss in self.losses
        }

    def table(self, width: int) -> Table:
        """The summary for a terminal so wide: a line for each loss or, where that is too long, for each backend too."""
        title = f"worst error, value / gradient: k in float32 and float64 (limits {self._limits})"
        title += ", and in half (½)" if self.own else ", ulp in half (1 / 1)"
        table = Table(title=title, title_justify="left", title_style="", header_style="bold")
        table.add_column("loss", no_wrap=True)
        if width < _NAME + _NUMBERS * len(self.backends):
            table.box, table.pad_edge, table.show_edge, table.collapse_padding = box.SIMPLE_HEAD, False, False, True
            for name in ("backend", "k", "ulp"):
                table.add_column(name, no_wrap=True, justify="left" if name == "backend" else "right")
            for loss, row in self.cells().items():
                for number, backend in enumerate(self.backends):
                    cell = row[backend]
                    name = "" if number else loss or "(run)"
                    table.add_row(name, backend, *_terminal(cell))
            return table
        for backend in self.backends:
            table.add_column(f"{backend} {self.versions.get(backend, '')}", justify="right")
        for loss, row in self.cells().items():
            cells = (Text("  ½ ").join(part for part in _terminal(row[b]) if part) for b in self.backends)
            table.add_row(loss or "(run)", *cells)
        return table

    @property
    def _limits(self) -> str:
        return " / ".join(f"{limit:g}" for limit in self.limits.values())

    def json(self) -> str:
        """Everything, as in `report.schema.json`."""
        return json.dumps(self._data(), indent=1, allow_nan=False)

    def _data(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA_VERSION,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": self.versions,
            "seconds": round(self.seconds, 1),
            "own": self.own,
            "tolerances": {
                **self.limits,
                "plain_ulp": tolerances.PLAIN_ULP,
                "half_ulp": tolerances.HALF_ULP,
                "second_order": tolerances.SECOND_ORDER,
            },
            "passed": not self.failures,
            "cells": [_finite(asdict(c)) for row in self.cells().values() for c in row.values()],
            "not_checked": dict(self.not_checked),
            "deviations": self.deviations,
            "results": [_finite(asdict(r)) for r in self.results],
        }

    def junit(self) -> str:
        """For continuous integration: a suite for each backend, a test for each check."""
        root = ElementTree.Element("testsuites", name="polyloss conformance", time=f"{self.seconds:.1f}")
        for backend in self.backends:
            mine = [r for r in self.results if r.backend == backend]
            failed = sum(not r.passed for r in mine)
            suite = ElementTree.SubElement(root, "testsuite", name=backend, tests=str(len(mine)), failures=str(failed))
            for r in mine:
                name = " ".join(part for part in (r.case, r.check, r.mode, r.dtype) if part)
                test = ElementTree.SubElement(suite, "testcase", classname=f"{backend}.{r.loss}", name=name)
                if not r.passed:
                    failure = ElementTree.SubElement(test, "failure", message=r.message)
                    failure.text = f"{r.message}\n{r.call}"
        if self.not_checked:
            count = str(len(self.not_checked))
            suite = ElementTree.SubElement(root, "testsuite", name="not checked", tests=count, skipped=count)
            for name, why in self.not_checked.items():
                test = ElementTree.SubElement(suite, "testcase", classname="not checked", name=name)
                ElementTree.SubElement(test, "skipped", message=why)
        ElementTree.indent(root)
        return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"

    def markdown(self) -> str:
        """The summary table."""
        lines = [
            "| loss | " + " | ".join(self.backends) + " |",
            "|---|" + "---|" * len(self.backends),
        ]
        for loss, row in self.cells().items():
            entries = [f"{c.failed} failed" if c.failed else c.numbers for c in (row[b] for b in self.backends)]
            lines.append(f"| {loss} | " + " | ".join(entries) + " |")
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """One page that needs nothing else."""
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        environment.filters["number"] = number
        environment.filters["anchor"] = anchor
        source = resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
        return environment.from_string(source).render(
            report=self,
            cells=self.cells(),
            details=self._details(),
            histograms=self._histograms(),
            slowest=self._slowest(),
            known_deviations=self._known_deviations(),
            kinds=KINDS,
            date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            tolerances=tolerances,
        )

    def _histograms(self) -> dict[str, Markup]:
        """The errors of each backend in float32 and float64, as pictures."""
        found = {}
        for backend in self.backends:
            mine = [r for r in self.results if r.backend == backend and r.check == _COMPARED and r.dtype not in HALVES]
            errors = {kind: [e for r in mine if (e := getattr(r, kind)) is not None] for kind in self.limits}
            if any(errors.values()):
                found[backend] = histogram.picture(backend, errors, self.limits)
        return found

    def _slowest(self) -> list[Spent]:
        """Where the time went: the checks of a loss on a backend, in one mode, those that took longest first."""
        groups: dict[tuple[str, str, str, str], list[Result]] = {}
        for r in self.results:
            groups.setdefault((r.loss, r.backend, r.check, r.mode), []).append(r)
        spent = [Spent(*key, len(group), sum(r.seconds for r in group)) for key, group in groups.items()]
        return sorted((s for s in spent if s.seconds), key=lambda s: -s.seconds)[:_SLOWEST]

    def _known_deviations(self) -> list[KnownDeviation]:
        """The known deviations, those of one cause together, with what the table has of it."""
        table = {(builtin, entry.reason): entry for entry in load() for builtin in entry.builtin}
        causes: dict[str, list[dict[str, str]]] = {}
        for row in self.deviations:
            causes.setdefault(row["reason"], []).append(row)
        return [
            KnownDeviation(
                tuple(rows),
                " ".join(dict.fromkeys(r.loss for r in self.results if r.deviation and r.note == reason and r.loss)),
                table.get((rows[0]["builtin"], reason)),
            )
            for reason, rows in causes.items()
        ]

    def _details(self) -> dict[str, dict[str, Any]]:
        """For each loss: its rows by backend, mode and dtype, each with its worst case; and what failed, by causes."""
        found: dict[str, dict[str, Any]] = {}
        causes = self.causes
        for loss in self.losses:
            mine = [r for r in self.results if r.loss == loss]
            groups: dict[tuple[str, str, str], list[Result]] = {}
            for r in mine:
                if r.check == _COMPARED:
                    groups.setdefault((r.backend, r.mode, r.dtype), []).append(r)
            others: dict[tuple[str, str], list[Result]] = {}
            for r in mine:
                if r.check != _COMPARED:
                    others.setdefault((r.backend, r.check), []).append(r)
            found[loss] = {
                "rows": [
                    (*key, len(group), _worst(group, "value"), _worst(group, "gradient"))
                    for key, group in groups.items()
                ],
                "others": [(*key, len(group), sum(not r.passed for r in group)) for key, group in others.items()],
                "failed": sum(not r.passed for r in mine),
                "causes": [cause for cause in causes if cause.example.loss == loss],
            }
        return found


def _worst(results: Sequence[Result], attribute: str) -> Result | None:
    known = [r for r in results if getattr(r, attribute) is not None]
    return max(known, key=lambda r: float(getattr(r, attribute)), default=None)


_NAME, _NUMBERS = 35, 28
"""What the longest name of a loss, and the numbers of a backend, take of a line."""


def _terminal(cell: Cell) -> tuple[Text, Text]:
    """What failed or the worst errors, and those of half precision."""
    half = Text("" if cell.half_value is None else cell.half_numbers, style="dim green")
    if cell.failed:
        return Text(f"{cell.failed} failed", style="bold red"), half
    return (Text(cell.numbers, style="green") if cell.passed else Text("–", style="dim")), half


def _finite(record: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: the largest double stands for it."""
    return {
        k: 1.7976931348623157e308 if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()
    }


def versions(backends: Sequence[str]) -> dict[str, str]:
    """What the run was made with."""
    import importlib.metadata

    import polyloss

    found = {"polyloss": polyloss.__version__, "python": platform.python_version(), "platform": platform.platform()}
    for backend in backends:
        for package in (backend, f"{backend}-cpu"):
            try:
                found[backend] = importlib.metadata.version(package)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found
