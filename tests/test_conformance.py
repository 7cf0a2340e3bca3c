"""The suite passes: here for two losses. `polyloss conformance`, which tox runs beside, is for all."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss_conformance import calls, cases, frameworks, guide, run
from polyloss_conformance.result import Check, Result
from polyloss_conformance.selection import Selection

pytestmark = pytest.mark.unoptimised

CHECKS: tuple[Check, ...] = ("value and gradient", "law", "kind of call", "error")


def failures(selection: Selection) -> list[Result]:
    results = run.run(selection)
    assert results
    return [result for result in results if not result.passed]


@pytest.mark.parametrize("loss", ["huber", "kl_divergence"])
def test_backend(backend: Any, loss: str) -> None:
    if backend.name != backend.framework:
        pytest.skip("another kind of NumPy array")
    selection = run.select([backend.name], [loss], ["float32"])
    assert failures(dataclasses.replace(selection, modes=("eager",), checks=CHECKS)) == []


def test_every_public_loss_has_cases() -> None:
    assert set(run.public_losses()) == set(cases.LOSSES)


def test_every_loss_is_in_the_guide_once_or_more() -> None:
    recommended = {advice.loss for advice in guide.GUIDE}
    assert recommended == set(run.public_losses())
    assert {"multi-class", "binary", "multi-label", "regression", "outliers", "class imbalance", "similarity"} <= set(
        guide.TASKS
    )


def test_calls_of_the_guide_name_real_parameters() -> None:
    for advice in guide.GUIDE:
        function = run.public_losses()[advice.loss]
        known = {*function.defaults, "reduction", *(["axis"] if function.rowwise else [])}
        for keyword in (part.split("=")[0].strip() for part in advice.call.split("(", 1)[1].split(",") if "=" in part):
            assert keyword in known, advice.call


def test_guide_is_a_table() -> None:
    lines = guide.markdown().splitlines()
    assert len(lines) == len(guide.GUIDE) + 2
    assert {line.count("|") for line in lines} == {5}


def test_packed_cases_are_judged_like_single_ones() -> None:
    entry = cases.LOSSES["cross_entropy"]
    members = [
        case for case in cases.CASES["cross_entropy"] if case.name in ("ordinary_1d", "ordinary_2d", "masked_mean")
    ]
    call = calls.pack(members, "float64", entry, weighted=False, masked=True)
    assert call.arrays[0].shape == (7 + 12 + 12, 5)
    function: Any = polyloss.cross_entropy
    assert [part.stop - part.start for _, part in call.parts] == [7, 12, 12]
    value = function(*call.arrays, **call.static, **call.options)
    np.testing.assert_allclose(value, call.value.astype(np.float64), rtol=1e-13)
    some = call.cut(slice(5, 15))
    assert [(case.name, part) for case, part in some.parts] == [
        ("ordinary_1d", slice(0, 2)),
        ("ordinary_2d", slice(2, 10)),
    ]
    np.testing.assert_array_equal(some.gradients[0], call.gradients[0][5:15])


def test_a_failing_call_can_be_typed_in() -> None:
    case = next(case for case in cases.CASES["huber"] if case.name == "known_values")
    text = calls.call_text(case, "float32")
    value = eval(text, {"np": np, "polyloss": polyloss})
    assert value.tolist() == [4.0, 4.0, 0.125]


@pytest.mark.parametrize("loss", cases.LOSSES)
def test_every_loss_has_a_perfect_prediction(loss: str) -> None:
    assert cases.LOSSES[loss].perfect


def test_upstream_gradients_are_not_uniform() -> None:
    case = cases.CASES["mse"][0]
    cotangent = calls.cotangent_of(case, (7,), "bfloat16" if cases.has_bfloat16 else "float16").astype(np.float64)
    assert len(set(cotangent.tolist())) > 2
    assert min(cotangent) < 0 < max(cotangent)


@pytest.mark.parametrize("name", frameworks.installed())
def test_at_first_sight_every_loss_is_called_eagerly_and_under_a_compiler(name: str) -> None:
    framework = frameworks.framework(name)
    compiled = {mode for mode in framework.modes if mode in ("aot_eager", "jit", "function")}
    modes = {"eager"} | (compiled or {mode for mode in framework.modes if mode == "compile"})
    first = run.units(run.select([name], extent="first"))
    assert {(unit.loss, unit.mode) for unit in first} == {(loss, mode) for loss in cases.LOSSES for mode in modes}


@pytest.mark.parametrize("name", frameworks.installed())
def test_at_first_sight_every_dtype_that_is_asked_for_is_called(name: str) -> None:
    for dtype in frameworks.dtypes(name):
        units = run.units(run.select([name], dtypes=[dtype], extent="quick"))
        assert {(unit.loss, unit.dtype) for unit in units} == {(loss, dtype) for loss in cases.LOSSES}
    halves = {unit.dtype for unit in run.units(run.select([name], extent="quick"))} - {"float32", "float64"}
    assert len(halves) == 1


def test_units_cover_every_case_somewhere() -> None:
    selection = run.select(["numpy"])
    ran = {(unit.loss, case.name) for unit in run.units(selection) for case in unit.cases}
    known = {
        (case.loss, case.name)
        for loss in cases.LOSSES
        for case in cases.CASES[loss]
        if case.kind != "error" and set(case.dtypes) & set(frameworks.framework("numpy").dtypes)
    }
    assert ran == known
