"""Exact rules are made of numbers that carry derivatives: these are those of the values, and kinks follow one rule."""

from collections.abc import Callable
from typing import Any

import pytest

from polyloss_conformance.exact import jets
from polyloss_conformance.exact.jets import Jet
from polyloss_conformance.exact.numbers import HUGE, ONE, ZERO, mp
from polyloss_conformance.exact.rules import inputs_of, local, of_differences, of_residual, of_rows, of_score
from polyloss_conformance.exact.softmax import Classes

SMOOTH: dict[str, Callable[..., Any]] = {
    "sum": lambda x, y: 3 + x - y * 2 - (1 - x),
    "product": lambda x, y: x * y * x,
    "quotient": lambda x, y: 2 / x + y / (x * 3) - x / 7,
    "absolute": lambda x, y: abs(x) * abs(y - 5),
    "power": lambda x, y: jets.power(x, mp.mpf(1.5)) * jets.power(y, 3) + jets.power(x, 0),
    "exponential": lambda x, y: jets.exponential(x * y),
    "logarithm": lambda x, y: jets.logarithm(x) * jets.logarithm_of_rest(x / 4) * y,
    "times logarithm": lambda x, y: jets.times_logarithm(x * y),
    "log sum exp": lambda x, y: jets.log_sum_exp([x, y * x, mp.mpf(0.5)]),
    "logistic": lambda x, y: jets.logistic(x) * jets.logistic(-y),
    "soft plus": lambda x, y: jets.soft_plus(x * y),
    "tanh": lambda x, y: jets.hyperbolic_tangent(x) * y,
    "log cosh": lambda x, y: jets.logarithm_of_cosh(x - 2 * y),
    "extremes": lambda x, y: jets.maximum([x, y, x * y]) * jets.minimum([x, 2 * y]),
    "norm": lambda x, y: jets.norm([x, y, x - y]) + jets.norm([x, y], 3) + jets.norm([x, y], mp.inf),
    "squared norm": lambda x, y: jets.norm([x, y], 1, squared=True) + jets.norm([x, y * y], 2, squared=True),
    "positive part": lambda x, y: jets.positive_part(x - y) * jets.positive_part(y - x) + jets.positive_part(x * y),
    "softmax": lambda x, y: Classes(lifted(x, y, x * y)).minus_log(1) * Classes(lifted(x, y)).norm,
}
X, Y = mp.mpf("0.71"), mp.mpf("1.37")


def lifted(*numbers: Any) -> list[Jet]:
    return [x if isinstance(x, Jet) else Jet(x) for x in numbers]


@pytest.mark.parametrize("function", SMOOTH.values(), ids=SMOOTH.keys())
def test_slopes_and_bends_are_derivatives(function: Callable[..., Any]) -> None:
    x, y = (jet.rounded(ONE, name) for jet, name in zip(inputs_of([X, Y]), "xy", strict=True))
    found = function(x, y)

    def value(a: Any, b: Any) -> Any:
        return jets.plain(function(a, b))

    assert not found.kink
    assert found.value == value(X, Y)
    bends = {
        (place, rounding.name): bend for (place, rounding), bend in found.bends.items() if rounding.name in ("x", "y")
    }
    noise = {rounding.name: size for rounding, size in found.noise.items()}
    for i, name in enumerate("xy"):
        slope = mp.diff(value, (X, Y), (1 - i, i), h=mp.mpf(10) ** -25)
        assert abs(found.slopes.get((i,), ZERO) - slope) < 1e-18
        assert abs(noise.get(name, ZERO) - slope) < 1e-18
        for j, other in enumerate("xy"):
            orders = ((2, 0), (1, 1), (0, 2))[i + j]
            second = mp.diff(value, (X, Y), orders, h=mp.mpf(10) ** -18)
            assert abs(bends.get(((i,), other), ZERO) - second) < 1e-12


@pytest.mark.parametrize(
    ("function", "slopes"),
    [
        (lambda x, y: abs(x), (0, 0)),
        (lambda x, y: jets.positive_part(x) + y, (0, 1)),
        (lambda x, y: jets.maximum([x, y, 3 * y]), (ONE / 3, 4 * ONE / 3)),
        (lambda x, y: jets.minimum([x, -x]), (0, 0)),
        (lambda x, y: jets.norm([x, y]), (0, 0)),
        (lambda x, y: jets.norm([x, y + 1], 1), (0, 1)),
        (lambda x, y: jets.norm([x - 1, y + 1], mp.inf), (-ONE / 2, ONE / 2)),
    ],
)
def test_at_a_kink_the_slope_is_the_one_of_least_norm(function: Callable[..., Any], slopes: tuple[Any, Any]) -> None:
    found = function(*inputs_of([ZERO, ZERO]))
    assert found.kink
    assert [found.slopes.get((i,), ZERO) for i in range(2)] == list(slopes)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: abs(x) * x,
        lambda x: (lambda d: d - d)(abs(x)),
        lambda x: jets.positive_part(x) * jets.positive_part(x),
        lambda x: jets.norm([x, x * 2], squared=True),
        lambda x: (lambda d: d / 2 + (1 - d) / 2)(jets.norm([x])),
        lambda x: jets.positive_part(x - 1) + jets.power(abs(x), mp.mpf(1.5)),
    ],
)
def test_a_kink_that_is_not_left_is_none(function: Callable[..., Any]) -> None:
    assert not function(*inputs_of([ZERO])).kink


def test_of_a_tie_any_number_may_become_the_largest() -> None:
    x, y = inputs_of([ONE, ONE])
    found = jets.maximum([x.rounded(2 * ONE, "x"), y.rounded(3 * ONE, "y")])
    assert list(found.noise.values()) == [3]


def test_a_zero_share_has_no_slope_and_no_part() -> None:
    found = jets.times_logarithm(inputs_of([ZERO])[0])
    assert found.value == 0
    assert mp.isnan(found.slopes[(0,)])
    assert jets.is_possible(-HUGE / 2)
    assert not jets.is_possible(-HUGE)


def test_what_is_rounded() -> None:
    residual = of_residual(lambda r: r * r)(mp.mpf(5), mp.mpf(3))
    assert (residual.value, residual.scale) == (4, 4 + 2 * 4)
    assert residual.gradients == [4, -4]
    assert residual.gradient_scales == [4 + 2 * 2, 4 + 2 * 2]

    score = of_score(lambda x, t: x * t)
    assert score(mp.mpf(3), ONE).scale == 3 + 3
    assert score(mp.mpf(3), ONE / 2).scale == mp.mpf(1.5) * 3
    assert score(mp.mpf(3), ONE / 2).gradient_scales == [1, 6]

    rows = of_rows(lambda x, y, t: sum(a * b for a, b in zip(x, y, strict=True)) * t)
    product = rows([ONE, 2 * ONE], [3 * ONE, ZERO], ONE)
    assert (product.value, product.scale) == (3, 3 + 3 + 3)
    assert product.gradients == [[3, 0], [1, 2], 3]
    assert product.gradient_scales == [[3 + 3, 0], [1 + 1, 2 + 2], 3 + 3 + 3]

    difference = of_differences((0, 1))(lambda z: sum(a * a for a in z))([ONE, ONE], [mp.mpf(4), ONE])
    assert (difference.value, difference.scale) == (9, 9 + 18)
    assert difference.gradients == [[-6, 0], [6, 0]]
    assert difference.gradient_scales == [[12, 0], [12, 0]]


def test_a_parameter_that_a_dtype_rounds_is_an_input() -> None:
    rule = of_score(lambda x, t, factor: x * factor)
    assert rule(ONE, ONE, factor=0.5).scale == 0.5 + 0.5
    assert abs(rule(ONE, ONE, factor=0.1).scale - (0.1 + 0.1 + 0.1)) < 1e-15


def test_a_rounding_counts_where_it_says() -> None:
    (x,) = inputs_of([mp.mpf(3)])
    value, slope = x.rounded(ONE, "value", frozenset({"value"})), x.rounded(ONE, "slope", frozenset({0}))
    found = local(value * value, [x.value])
    assert (found.scale, found.gradient_scales) == (9 + 6, [6])
    found = local(slope * slope, [x.value])
    assert (found.scale, found.gradient_scales) == (9, [6 + 2])
