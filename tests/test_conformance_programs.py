"""Several calls that are one program behind a compiler: none hides another, and none is judged by another's result."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss_conformance import calls, cases, frameworks, run
from polyloss_conformance.checks import values
from polyloss_conformance.deviations import Ledger, load
from polyloss_conformance.frameworks import Function
from polyloss_conformance.mutants import MUTANTS
from polyloss_conformance.schedule import Unit

MERGING = [
    pytest.param("jax", "jit", marks=pytest.mark.jax),
    pytest.param("tensorflow", "xla", marks=pytest.mark.tensorflow),
]


def refused(*arrays: Any, **keywords: Any) -> Any:
    raise TypeError("this one is refused")


def requests(framework: frameworks.Framework, losses: list[Any]) -> tuple[list[Function], list[Any]]:
    array, one = framework.array, np.ones(3, dtype=np.float32)
    functions = [Function(loss, {"reduction": "none"}, (0,)) for loss in losses]
    return functions, [([array(number * one), array(0 * one)], {}, array(one)) for number in range(1, len(losses) + 1)]


@pytest.mark.parametrize(("name", "mode"), MERGING)
def test_each_function_has_results_of_its_own(name: str, mode: str) -> None:
    framework = frameworks.framework(name)
    functions, inputs = requests(framework, [polyloss.mse, polyloss.l1, polyloss.mse])
    program = framework.program(functions, mode)
    for _ in range(2):
        outcomes: list[Any] = program(inputs)
        found = [[float(framework.numpy(a)[0]) for a in (o.value, o.gradients[0])] for o in outcomes]
        assert found == [[1.0, 2.0], [2.0, 1.0], [9.0, 6.0]]


@pytest.mark.parametrize(("name", "mode"), MERGING)
def test_what_is_raised_is_laid_to_the_one_that_raises(name: str, mode: str) -> None:
    framework = frameworks.framework(name)
    functions, inputs = requests(framework, [polyloss.mse, refused, polyloss.l1])
    first, second, third = framework.program(functions, mode)(inputs)
    assert isinstance(second, TypeError)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)


@pytest.mark.parametrize(("name", "mode"), MERGING)
def test_a_mutant_among_others_fails_alone(name: str, mode: str) -> None:
    """Of two functions in one program, the wrong one is found, and so are all of its cases."""
    framework = frameworks.framework(name)
    alter = MUTANTS[0].alter
    assert alter is not None
    selection = dataclasses.replace(run.select([name], ["mse"], ["float32"]), modes=(mode,))
    units = [unit for unit in run.units(selection) if unit.packed]
    assert units
    assert all(result.passed for result in values.run(units, polyloss.mse))
    wrong = values.run(units, alter(polyloss.mse))
    assert {result.case for result in wrong} == {case.name for unit in units for case in unit.cases}
    assert sum(not result.passed for result in wrong) > len(wrong) / 2
    assert framework.merges == (mode,)


@pytest.mark.parametrize(("name", "mode"), MERGING)
def test_every_piece_of_every_function_is_judged(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions have different numbers of pieces, and one program is called for all of them."""
    judged: list[int] = []
    judge = values._judged

    def watch(unit: Unit, call: calls.Call, *rest: Any) -> Any:
        judged.append(id(call))
        return judge(unit, call, *rest)

    made: list[int] = []
    make = values._calls

    def count(*arguments: Any) -> Any:
        found = make(*arguments)
        kept.append(found)
        made.extend(map(id, found))
        return found

    kept: list[Any] = []
    monkeypatch.setattr(values, "_judged", watch)
    monkeypatch.setattr(values, "_calls", count)
    known = [c for c in cases.CASES["mse"] if c.kind != "error" and calls.pack_key(c, "float32", cases.LOSSES["mse"])]
    some = [
        Unit("mse", name, mode, "float32", ((known[0],),), True),
        Unit("mse", name, mode, "float32", (tuple(known[:4]),), True),
    ]
    assert all(result.passed for result in values.run(some, polyloss.mse))
    assert len(made) > 3
    assert sorted(judged) == sorted(made)


def test_ledgers_of_parts_are_one() -> None:
    """The table of deviations is judged as if one process had done all."""

    class BuiltIn:
        id, loss = "torch.cross_entropy", "cross_entropy"

        def version(self) -> str:
            return "2.6"

    table = load()
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
