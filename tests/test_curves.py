"""The curves of losses: their numbers are those of the loss, along a line that it declares."""

from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.display.curves import curves_of, extent, line_of, settings_of, ticks

LOSSES = {name: one for name, one in vars(polyloss).items() if isinstance(one, polyloss.Loss)}


@pytest.mark.parametrize("name", LOSSES)
def test_a_curve_has_the_numbers_of_its_loss(name: str) -> None:
    """The value at each point; the slope is the difference quotient of the values, where there is no kink near."""
    loss = LOSSES[name]
    # What is a constant to the gradient is none to a difference.
    loss = loss.partial(detach=False) if "detach" in loss.parameters else loss
    line = line_of(loss)
    points = line.points(25)[1:-1] + 0.0137
    curves = list(curves_of(loss, line, points))
    assert len(curves) == max(1, len(line.ends))
    for curve, end in zip(curves, line.ends or (None,), strict=True):

        def value(point: float, end: float | None = end) -> float:
            arrays = line.at(point)
            if end is not None:
                arrays = (*arrays[:-1], np.full(arrays[-1].shape, end))
            return float(loss(*arrays))

        np.testing.assert_allclose(curve.value, [value(point) for point in points], rtol=1e-13, atol=1e-15)
        step = 1e-6
        slopes = [(value(point + step) - value(point - step)) / (2 * step) for point in points]
        np.testing.assert_allclose(curve.slope, slopes, rtol=1e-5, atol=1e-7)


def test_a_curve_is_that_of_the_parameters() -> None:
    loss = polyloss.huber.partial(delta=3.0)
    (curve,) = curves_of(loss, line_of(loss), np.asarray([6.0]))
    assert [float(curve.value[0]), float(curve.slope[0])] == pytest.approx([3 * (5 - 1.5), 3.0])


def test_some_values_of_a_parameter() -> None:
    curves = list(curves_of(polyloss.huber, line_of(polyloss.huber), np.asarray([6.0]), settings_of(polyloss.huber)))
    assert [curve.label for curve in curves] == ["delta = 0.5", "delta = 1", "delta = 2"]
    assert [float(curve.slope[0]) for curve in curves] == pytest.approx([0.5, 1.0, 2.0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cross_entropy", {"label_smoothing": [0.0, 0.1, 0.2]}),
        ("cosine_embedding", {"margin": [0.0, 0.1, 0.2]}),
        ("circle", {"margin": [0.2, 0.4, 0.6]}),
        ("quantile", {"q": [0.2, 0.5, 0.8]}),
        ("generalized_cross_entropy", {"q": [0.5, 0.7, 0.8]}),
        ("softmax_focal", {"gamma": [1.0, 2.0, 4.0]}),
        ("dice", {"smooth": [0.0, 0.5, 1.0]}),
        ("info_nce", {"temperature": [0.04, 0.07, 0.1]}),
        ("tukey_biweight", {"c": [2.0, 4.685, 9.0]}),
        ("l1", {}),
    ],
)
def test_a_parameter_is_drawn_at_values_that_people_use(name: str, expected: dict[str, list[float]]) -> None:
    """Near its default and off the ends of its range, where nobody trains."""
    found: dict[str, list[float]] = {}
    for setting in settings_of(LOSSES[name]):
        for parameter, value in setting.items():
            found.setdefault(parameter, []).append(value)
    assert found == expected


@pytest.mark.parametrize("name", LOSSES)
def test_the_default_is_drawn(name: str) -> None:
    loss = LOSSES[name]
    settings = settings_of(loss)
    assert {parameter: loss.defaults[parameter] for parameter in settings[0]} in settings


def test_a_sum_is_drawn_where_all_of_its_terms_are() -> None:
    """The logarithm of one of them has a pole."""
    total = 2.0 * polyloss.mse + 0.5 * polyloss.msle
    line = line_of(total)
    assert (line.low, line.high) == (line_of(polyloss.msle).low, line_of(polyloss.mse).high)
    points = line.points(5)
    (curve,) = curves_of(total, line, points)
    expected = [2.0 * polyloss.mse(*line.at(x)) + 0.5 * polyloss.msle(*line.at(x)) for x in points]
    np.testing.assert_allclose(curve.value, expected, rtol=1e-12)


def test_a_parameter_may_say_what_the_line_is() -> None:
    """A rate is above 0; its logarithm may be any number."""
    assert line_of(polyloss.poisson_nll).low > 0
    assert line_of(polyloss.poisson_nll.partial(log_rate=True)).low < 0


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-0.3, 4.1), [0.0, 1.0, 2.0, 3.0, 4.0]),
        ((0.02, 0.98), [0.2, 0.4, 0.6, 0.8]),
        ((-2e6, 1e6), [-2e6, -1e6, 0, 1e6]),
    ],
)
def test_numbers_at_an_axis_are_round(ends: tuple[float, float], expected: list[float]) -> None:
    assert ticks(*ends, 5) == expected


@pytest.mark.parametrize(
    ("curves", "low", "high"),
    [
        ([[2.0, 4.0]], 0.0, 4.0),
        ([[-1.0, np.nan], [np.inf, 1.0]], -1.0, 1.0),
        ([[np.nan]], 0.0, 1.0),
        ([[0.0, 0.0]], 0.0, 0.0),
    ],
)
def test_an_axis_has_all_that_is_finite_and_0(curves: list[list[float]], low: float, high: float) -> None:
    found: Any = extent(list(map(np.asarray, curves)))
    assert found[0] < low <= high < found[1]
