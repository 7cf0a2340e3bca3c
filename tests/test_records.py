"""A loss is added to the suite with one record: everybody else reads it there."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np
import pytest

import polyloss
import polyloss.losses
import polyloss_conformance
from polyloss_conformance import reference, run
from polyloss_conformance.arrays import floats, normal
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.checks import laws
from polyloss_conformance.exact.jets import dot, logarithm
from polyloss_conformance.exact.rules import Batch, of_differences, of_residual
from polyloss_conformance.exact.softmax import Classes
from polyloss_conformance.losses import LOSSES
from polyloss_conformance.losses.regression import residual
from polyloss_conformance.result import Check
from polyloss_conformance.selection import Selection
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import Twin, optax

CHECKS: tuple[Check, ...] = ("value and gradient", "law", "kind of call", "error")


@polyloss.elementwise
def cauchy(xp: Any, prediction: Any, target: Any) -> Any:
    """log(1 + e²)"""
    error = prediction - target
    square = error * error
    return xp.log1p(square), lambda: 2 * error / (1 + square), lambda: -2 * error / (1 + square)


@polyloss.rowwise
def squared_distance(xp: Any, one: Any, two: Any) -> Any:
    """|x - y|²"""
    difference = one - two
    value = xp.sum(difference * difference, axis=-1)
    return value, lambda: 2 * difference, lambda: -2 * difference


def _cauchy_cases(case: Cases) -> None:
    case.edge("perfect", floats(0, 1, -2.5), floats(0, 1, -2.5))
    case.edge("small", floats(1e-3, -1e-4), floats(0, 0))


def _rows(name: str, shape: tuple[int, ...]) -> tuple[Any, ...]:
    return normal(name, (*shape, 5)), normal(name + "2", (*shape, 5))


def _equal_rows(name: str) -> list[Perfect]:
    rows = normal(name, (4, 3, 5))
    return [Perfect((rows, rows.copy()), np.zeros((4, 3)))]


CAUCHY = residual(
    loss="cauchy",
    exact=of_residual(lambda r: logarithm(1 + r * r)),
    questions=(_cauchy_cases,),
    twins=(Twin("optax", "log_cosh", optax.plain),),
    advice=(Advice("a task of its own", "very large errors", "cauchy(prediction, target)", "grows slowly"),),
    benchmark=Benchmark(make=lambda rng, shape: (rng.random(shape), rng.random(shape))),
)
SQUARED_DISTANCE = Spec(
    loss="squared_distance",
    arrays=("one", "two"),
    rowwise=True,
    ordinary=_rows,
    exact=of_differences((0, 1))(lambda between: sum(z * z for z in between)),
    ideal=_equal_rows,
)


@contextmanager
def added(spec: Spec) -> Iterator[None]:
    """A record more."""
    with mock.patch.dict(LOSSES, {spec.loss: spec}):
        yield


@pytest.mark.parametrize(("spec", "loss"), [(CAUCHY, cauchy), (SQUARED_DISTANCE, squared_distance)])
def test_a_record_is_all_that_the_suite_needs(spec: Spec, loss: Any) -> None:
    with added(spec):
        results = run.run(Selection(("numpy",), {spec.loss: loss}, checks=CHECKS))
    assert [result for result in results if not result.passed] == []
    assert {result.check for result in results} == set(CHECKS)
    ran = {result.case for result in results}
    assert ran >= {case.name for case in spec.cases}
    assert len(spec.cases) > 50


def _wrong(change: Any) -> Any:
    """Another loss with the same name."""

    def kernel(xp: Any, prediction: Any, target: Any) -> Any:
        value, *slopes = cauchy.kernel(xp, prediction, target)
        return change(value, *slopes)

    kernel.__name__ = "cauchy"
    return polyloss.elementwise(kernel)


@pytest.mark.parametrize(
    "loss",
    [
        _wrong(lambda value, by_x, by_t: (2 * value, by_x, by_t)),
        _wrong(lambda value, by_x, by_t: (value, by_x, by_x)),
        _wrong(lambda value, by_x, by_t: (value, lambda: by_x() * 1.001, by_t)),
    ],
    ids=["value", "sign", "factor"],
)
def test_a_record_catches_a_wrong_loss(loss: Any) -> None:
    with added(CAUCHY):
        results = run.run(Selection(("numpy",), {"cauchy": loss}, checks=("value and gradient",)))
    assert sum(not result.passed for result in results) > 10


def fresh(name: str) -> ModuleType:
    """A module as it would be, were it imported now."""
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_nobody_else_lists_losses() -> None:
    with added(CAUCHY):
        assert "cauchy" in fresh("polyloss_conformance.cases").CASES
        assert [twin.name for twin in fresh("polyloss_conformance.builtins").twins_of("cauchy")] == ["log_cosh"]
        assert fresh("polyloss_conformance.builtins").TWINS[-1].loss == "cauchy"
        guide = fresh("polyloss_conformance.guide")
        assert guide.tasks_of("cauchy") == ("a task of its own",)
        assert "| **a task of its own** | very large errors | `cauchy(prediction, target)` |" in guide.markdown()
        assert fresh("polyloss_benchmarks.rows").ROWS["cauchy"].elementwise
    assert "cauchy" not in fresh("polyloss_benchmarks.rows").ROWS


def test_records_are_where_their_losses_are() -> None:
    families = Path(polyloss.losses.__file__).parent
    records = Path(polyloss_conformance.__file__).parent / "losses"
    assert {path.name for path in families.glob("[!_]*.py")} == {
        path.name for path in records.glob("[!_]*.py") if path.name != "functions.py"
    }
    for name, spec in LOSSES.items():
        family = getattr(polyloss, name).kernel.__module__.rpartition(".")[2]
        module = importlib.import_module(f"polyloss_conformance.losses.{family}")
        assert any(spec is value for value in vars(module).values()), name
        assert spec.arrays == getattr(polyloss, name).arrays


# --------------------------------------------------------------------------------------------------------------------
# Losses over a batch


def _matching(one: list[list[Any]], two: list[list[Any]], temperature: Any = 1.0) -> list[Any]:
    """-log softmax of the products with all rows, at the own one."""
    products = [[dot(x, y, ("dot", i, j)) / temperature for j, y in enumerate(two)] for i, x in enumerate(one)]
    slopes, values = frozenset({0, 1, 2}), frozenset({"value"})
    return [Classes(row, i, slopes, values).minus_log(i) for i, row in enumerate(products)]


MATCHING = Spec(
    loss="matching",
    arrays=("one", "two"),
    rowwise=True,
    differentiable=(0, 1, "temperature"),
    shared=("temperature",),
    ordinary=_rows,
    exact=Batch(_matching),
    ideal=lambda name: [],
)
ARRAYS = normal("one", (4, 3)), normal("two", (4, 3))


def total(case: Case) -> Any:
    found = reference.reduced(case, reference.truth(case, "float64"), ROW_WEIGHTS)
    return found, (found.value * ROW_WEIGHTS).sum()


ROW_WEIGHTS = floats(1, -2, 0.5, 3)


@pytest.mark.parametrize("keep", [[True] * 4, [True, False, True, True]])
def test_the_gradient_of_a_batch_has_a_part_of_every_loss(keep: list[bool]) -> None:
    options = {"reduction": "none", "where": np.asarray(keep)}
    given = {0: ARRAYS[0], 1: ARRAYS[1], "temperature": np.asarray(0.75)}

    def moved(place: Any, spot: Any, distance: float) -> Any:
        there = {key: array.copy() for key, array in given.items()}
        there[place][spot] += distance
        case = Case("matching", "moved", "sample", (there[0], there[1]), {"temperature": there["temperature"]}, options)
        return total(case)

    with added(MATCHING):
        found, _ = moved(0, (0, 0), 0.0)
        for place, array in given.items():
            gradient = found.gradients[place]
            assert gradient.shape == array.shape
            assert (found.gradient_scales[place] >= abs(gradient)).all()
            for spot in np.ndindex(array.shape):
                near, far = (
                    (moved(place, spot, h)[1] - moved(place, spot, -h)[1]) / (2 * np.longdouble(h))
                    for h in (2.0**-12, 2.0**-11)
                )
                assert abs((4 * near - far) / 3 - gradient[spot]) < 1e-11
    assert (found.gradients[0][~np.asarray(keep)] == 0).all()
    assert (found.gradients[1] != 0).any()


def test_rows_that_are_masked_are_not_seen() -> None:
    keep = np.asarray([True, False, True, True])
    broken = [np.where(keep[:, None], array, np.nan) for array in ARRAYS]
    with added(MATCHING):
        masked = reference.truth(Case("matching", "masked", "edge", tuple(broken), options={"where": keep}), "float64")
        alone = reference.truth(Case("matching", "alone", "edge", tuple(a[keep] for a in ARRAYS)), "float64")
        nothing = reference.truth(
            Case("matching", "nothing", "edge", ARRAYS, options={"where": np.zeros(4, dtype=bool)}), "float64"
        )
        lost = reference.truth(Case("matching", "lost", "edge", tuple(broken)), "float64")
    np.testing.assert_array_equal(masked.values[keep], alone.values)
    assert masked.values[1] == 0
    gradient = masked.gradients[1]
    assert gradient is not None
    np.testing.assert_array_equal(gradient[np.ix_(keep, keep)], alone.gradients[1])
    assert (gradient[:, 1] == 0).all()
    assert (nothing.values == 0).all()
    assert np.isnan(lost.values).all()


def test_a_batch_is_asked_what_every_loss_is() -> None:
    with added(MATCHING):
        names = {case.name for case in MATCHING.cases}
        for case in MATCHING.cases:
            if case.kind != "error":
                truth = reference.truth(case, "float32")
                assert truth.values.ndim == 1
                assert np.isfinite(reference.reduced(case, truth).value).all() or case.name == "nan_shows"
    assert {"ordinary_1d", "masked_nonfinite", "weighted_mean", "everything_masked", "other_length"} <= names


def numpy_matching(
    one: Any, two: Any, reduction: str = "mean", sample_weight: Any = 1.0, where: Any = None, denominator: Any = None
) -> Any:
    """Values alone, with the options of polyloss."""
    keep = np.ones(len(one), dtype=bool) if where is None else where
    products = one[keep] @ two[keep].T
    each = np.zeros(len(one))
    each[keep] = np.log(np.exp(products).sum(axis=1)) - np.diag(products)
    weighted = np.where(keep, sample_weight * each, 0.0)
    if reduction in ("none", "sum"):
        return weighted if reduction == "none" else weighted.sum()
    divisor = keep.sum() if reduction == "mean" else np.where(keep, sample_weight, 0).sum()
    return weighted.sum() / (denominator or divisor or 1)


def seen_anyway(one: Any, two: Any, where: Any = None, reduction: str = "mean", **options: Any) -> Any:
    """With what is masked among the others."""
    return (
        numpy_matching(one, two, reduction, **options)
        if where is None
        else numpy_matching(
            one, two, reduction, options.get("sample_weight", 1.0) * where, denominator=max(where.sum(), 1)
        )
    )


@pytest.mark.parametrize(("loss", "broken"), [(numpy_matching, []), (seen_anyway, ["a mask removes"])])
def test_the_laws_of_a_batch(loss: Any, broken: list[str]) -> None:
    values = SimpleNamespace(
        name="numpy",
        convert=lambda array: array,
        array=lambda array: array,
        numpy=lambda array: array,
        step=lambda *_: lambda *_: SimpleNamespace(gradients=None),
        unoptimised=nullcontext,
        differentiates=False,
    )
    with added(MATCHING):
        results = list(laws.check("matching", loss, cast(Any, values)))
    assert [result.case for result in results if not result.passed] == broken
    assert len(results) > 7
