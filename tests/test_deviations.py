"""The table of deviations: well formed, about what exists, and strict."""

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from polyloss_conformance import cases, deviations
from polyloss_conformance.builtins import TWINS
from polyloss_conformance.deviations import Deviation, Ledger

TABLE = deviations.load()
BY_ID = {twin.id: twin for twin in TWINS}


@dataclass(frozen=True)
class BuiltIn:
    """Stands for a twin."""

    id: str = "lib.loss"
    loss: str = "mse"
    installed: str = "2.13.0"

    def version(self) -> str:
        return self.installed


ENTRY = Deviation(
    ("lib.loss",), "value", "it is off", ("big_*", "small"), ("maybe",), dtypes=("float32", "float64"), parts=("value",)
)


def observe(ledger: Ledger, *seen: tuple[str, str, bool], builtin: BuiltIn | None = None) -> list[Deviation | None]:
    return [ledger.judge(builtin or BuiltIn(), name, dtype, "none", "value", agrees) for name, dtype, agrees in seen]


EVERYTHING = (("big_1", "float32", False), ("big_2", "float64", True), ("small", "float64", False))


def test_what_is_recorded_passes() -> None:
    ledger = Ledger([ENTRY])
    assert observe(ledger, *EVERYTHING) == [ENTRY] * 3
    assert ledger.problems() == []


def test_an_unrecorded_difference_is_covered_by_nothing() -> None:
    ledger = Ledger([ENTRY])
    assert observe(ledger, ("other", "float32", False)) == [None]
    assert ledger.judge(BuiltIn("lib.other"), "small", "float32", "none", "value", False) is None
    assert ledger.judge(BuiltIn(), "small", "float16", "none", "value", False) is None
    assert ledger.judge(BuiltIn(), "small", "float32", "none", "gradient", False) is None
    assert Ledger([replace(ENTRY, loss="l1")]).judge(BuiltIn(), "small", "float32", "none", "value", False) is None
    assert (
        Ledger([replace(ENTRY, reductions=("sum",))]).judge(BuiltIn(), "small", "float32", "none", "value", False)
        is None
    )


@pytest.mark.parametrize("gone", ["small", "big_1"])
def test_a_difference_that_no_longer_occurs_is_a_problem(gone: str) -> None:
    ledger = Ledger([ENTRY])
    observe(ledger, *((name, dtype, agrees or name == gone) for name, dtype, agrees in EVERYTHING))
    assert any("no longer occurs" in problem and "it is off" in problem for problem in ledger.problems())


def test_a_pattern_that_matches_nothing_is_a_problem() -> None:
    ledger = Ledger([ENTRY])
    observe(ledger, ("big_1", "float32", False), ("big_1", "float64", False))
    assert [p for p in ledger.problems() if "matches nothing at case small" in p]


def test_every_dtype_and_every_part_must_show_it() -> None:
    ledger = Ledger([replace(ENTRY, parts=("value", "gradient"))])
    observe(ledger, ("big_1", "float32", False), ("small", "float32", False), ("small", "float64", True))
    assert len(ledger.problems()) == 2
    assert any("dtype float64" in p for p in ledger.problems())
    assert any("part gradient" in p for p in ledger.problems())


def test_a_partial_run_cannot_judge_the_table() -> None:
    ledger = Ledger([ENTRY])
    observe(ledger, ("small", "float32", True))
    assert ledger.problems(complete=False) == []
    ledger = Ledger([ENTRY])
    observe(ledger, ("small", "float32", False))
    assert ledger.problems() == [], "float64 did not run"


def test_a_built_in_that_is_not_installed_is_not_judged() -> None:
    assert Ledger([ENTRY]).problems() == []


def test_entries_are_for_versions() -> None:
    entry = replace(ENTRY, versions=">=2.6,<2.13")
    ledger = Ledger([entry])
    assert observe(ledger, *EVERYTHING) == [None] * 3
    assert ledger.problems() == []
    assert observe(ledger, *EVERYTHING, builtin=BuiltIn(installed="2.7.1")) == [entry] * 3


def test_what_rounding_decides_may_or_may_not_occur() -> None:
    ledger = Ledger([ENTRY])
    assert observe(ledger, *EVERYTHING, ("maybe", "float32", True), ("maybe", "float64", False))[-1] is ENTRY
    assert ledger.problems() == []


@pytest.mark.parametrize(
    ("version", "condition", "expected"),
    [
        ("2.13.0+cpu", ">=2.6,<3", True),
        ("2.13.0", "<2.13", False),
        ("2.13.1", "<=2.13", True),
        ("0.2.8", "==0.2", True),
        ("3.16.0.dev1", ">3.15", True),
        ("10.0", ">9.9", True),
        ("1.0", "", True),
    ],
)
def test_versions(version: str, condition: str, expected: bool) -> None:
    assert deviations.holds(version, condition) is expected


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "odd"}, "kind"),
        ({"parts": ("both",)}, "parts"),
        ({"dtypes": ("int8",)}, "dtypes"),
        ({"builtin": ()}, "builtin"),
        ({"cases": (), "sometimes": ()}, "cases"),
        ({"input": "F.x(1)"}, "returns"),
        ({"versions": "2.0"}, "version"),
    ],
)
def test_an_entry_that_is_not_well_formed_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(ENTRY, **wrong)  # type: ignore[arg-type]


def test_a_table_with_unknown_or_missing_fields_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text('[[deviation]]\nbuiltin = ["torch.mse_loss"]\ncause = "?"\n')
    with pytest.raises(ValueError, match=r"unknown \['cause'\], missing \['kind', 'reason'\]"):
        deviations.load(path)


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.reason[:50])
def test_every_entry_is_about_built_ins_and_cases_that_exist(entry: Deviation) -> None:
    for builtin in entry.builtin:
        twin = BY_ID[builtin]
        losses = [t.loss for t in TWINS if t.id == builtin]
        names = [
            c.name for loss in losses for c in cases.CASES[loss] if any(twin.expressible(c, r) for r in twin.reductions)
        ]
        for pattern in entry.cases:
            assert any(fnmatchcase(name, pattern) for name in names), f"{builtin}: no case {pattern}"
    assert re.fullmatch(r"(https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+)?", entry.link)
    assert entry.reason.endswith(".")


def test_no_two_entries_say_the_same() -> None:
    assert len({(entry.builtin, entry.reason) for entry in TABLE}) == len(TABLE)


def test_ledgers_of_parts_are_one() -> None:
    """The table of deviations is judged as if one process had done all."""

    class BuiltIn:
        id, loss = "torch.cross_entropy", "cross_entropy"

        def version(self) -> str:
            return "2.6"

    table = deviations.load()
    entry = next(e for e in table if "torch.cross_entropy" in e.builtin and e.cases)
    told = [
        (pattern.replace("*", "x"), dtype, part)
        for pattern in entry.cases
        for dtype in entry.dtypes
        for part in entry.parts
    ]
    whole, *parts = Ledger(table), Ledger(table), Ledger(table)
    for number, (case, dtype, part) in enumerate(told):
        for ledger in (whole, parts[number % 2]):
            ledger.judge(BuiltIn(), case, dtype, "none", part, False)
    joined = Ledger(table)
    for ledger in parts:
        joined.add(ledger)
    assert joined.problems() == whole.problems()
    assert whole.problems() != Ledger(table).problems()
