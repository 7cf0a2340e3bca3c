"""Losses of the ratio of a prediction to its target."""

from typing import Any

import numpy as np

from polyloss_conformance.arrays import DOUBLE, SINGLE, WIDE, Shape, floats, inf, nan, normal
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact.jets import Jet, logarithm_of_rest, maximum, plain
from polyloss_conformance.exact.numbers import INFINITE, ONE, ZERO, Number, mp
from polyloss_conformance.exact.rules import Function, Local, Rule, inputs_of, local, of_parameters
from polyloss_conformance.spec import Advice, Laws, Perfect, Spec
from polyloss_conformance.translations import Call, Said, Twin, keras

from ._examples import ELEMENTS_GROW

EPSILON = 1e-7
"""That of Keras."""


def of_pair(function: Function) -> Rule:
    """The rule of a loss of a prediction, its target, and their difference, which is rounded."""

    def rule(prediction: Number, target: Number, **parameters: Any) -> Local:
        x, t = inputs_of((prediction, target))
        difference = x - t
        difference = difference.rounded(abs(difference.value), "residual")
        return local(function(x, t, difference, **of_parameters(parameters)), (prediction, target))

    return rule


def _positive(name: str, shape: Shape) -> tuple[Any, ...]:
    return np.exp(normal(name, shape)), np.exp(normal(name + "y", shape))


# --------------------------------------------------------------------------------------------------------------------
# Percent


def _of_least_norm(one: Jet, two: Jet) -> Jet:
    """A kink between two functions of one value: by each input the least of the slopes between both of theirs."""
    slopes = {}
    for place in one.slopes:
        low, high = sorted((one.slopes[place], two.slopes.get(place, ZERO)))
        slopes[place] = max(low, min(high, ZERO))
    return Jet(one.value, slopes, two.noise, two.bends, two.kinks | {"floor": ONE})


@of_pair
def _mape(x: Any, t: Any, difference: Any, floor: Any = ZERO) -> Any:
    if plain(t) == plain(floor) == 0:  # whatever misses it is infinitely far off
        return abs(difference) * mp.mpf(10) ** 1800
    if plain(abs(t)) == plain(floor):
        return _of_least_norm(*(100 * abs(difference) / size for size in (floor, abs(t))))
    return 100 * abs(difference) / maximum([abs(t), floor])


def _signed(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, shape, 2.0), normal(name + "y", shape, 2.0)


# fmt: off
def _mape_cases(case: Cases) -> None:
    case.sample("known_values", floats(3, 9, -1), floats(2, 10, -4), note="trap: a percentage, not a fraction")
    case.sample("floor", *case.ordinary((4, 3)), floor=1e-7, reduction="mean", note="that of Keras")
    case.sample("floor_per_column", *case.ordinary((4, 3)), floor=floats(0, 1, 4))
    case.edge("perfect", floats(0, 1, -2.5, 1e4), floats(0, 1, -2.5, 1e4), note="trap: 0 of 0; derivative of abs at 0")
    case.edge("target_zero", floats(1, -2, 0), floats(0, 0, 0), note="infinitely far off")
    case.edge("target_below_floor", floats(1, -2, 0, 3), floats(0, 0.125, 0, -0.25), floor=0.25,
              note="at the floor, the divisor has no slope")
    case.edge("target_at_floor", floats(1, -2, 0.125, 0, -1, 0.25), floats(0.25, 0.25, 0.25, -0.25, -0.25, 0.25),
              floor=0.25, note="a kink of the divisor: the least slope between both")
    case.edge("target_zero_floor", floats(1, 0), floats(0, 0), floor=1e-7, dtypes=WIDE, note="built-in: 1e9")
    case.edge("close_to_target", floats(1, 1 + 2**-7, -3), floats(1 + 2**-7, 1, -3 - 2**-6))
    case.edge("other_sign_and_scale", floats(-1, 1e4, 1e-4), floats(3, 1e-2, -1e2))
    case.edge("infinite", floats(inf, -inf, 1, -1), floats(2, 2, inf, -inf), note="100 % off an infinite target")
    case.edge("huge_and_tiny", floats(1e30, 3e-30, 1e-30), floats(2e30, 1e-30, 1e4), dtypes=WIDE)
    case.edge("tiny_double", floats(1e-130, -3e-130), floats(2e-130, 1e-130), dtypes=DOUBLE)
    for bad in (-1.0, nan):
        case.refuse(f"floor_{bad:g}", ValueError, "floor", *case.ordinary((6,)), floor=bad)
# fmt: on


def _ideal_mape(name: str) -> list[Perfect]:
    target = normal(f"perfect {name}", (4, 3), 2.0)
    target[0] = 0.0
    return [Perfect((target, target.copy()), np.zeros((4, 3)))]


def _keras_mape(call: Call) -> Said | None:
    said = keras.elements(call, "floor")
    # Its own floor is none of its arguments.
    return said and Said(said.args, {})


def _has_the_floor_of_keras(case: Case) -> bool:
    floor = case.parameters.get("floor", 0.0)
    if hasattr(floor, "shape"):
        return False
    return floor == EPSILON or bool(np.all(np.abs(case.arrays[1]) > max(floor, EPSILON)))


MAPE = Spec(
    loss="mape",
    arrays=("prediction", "target"),
    ordinary=_signed,
    exact=_mape,
    questions=(_mape_cases,),
    ideal=_ideal_mape,
    twins=(Twin("keras", "mean_absolute_percentage_error", _keras_mape, admits=_has_the_floor_of_keras),),
    advice=(
        Advice(
            "regression",
            "errors in percent of the target",
            "mape(prediction, target, floor=1.0)",
            "a floor for targets near 0",
        ),
    ),
    benchmark=Benchmark(growth=ELEMENTS_GROW),
)


# --------------------------------------------------------------------------------------------------------------------
# Logarithms


def _logarithm_of_growth(growth: Any) -> Any:
    """log(1 + growth). That of an infinity is one, but smaller."""
    if plain(growth) > INFINITE:
        return growth.lift(mp.mpf(10) ** 1600, ONE / plain(growth), ZERO)
    return logarithm_of_rest(-growth)


@of_pair
def _msle(x: Any, t: Any, difference: Any) -> Any:
    smaller, more = (t, difference) if plain(difference) > 0 else (x, -difference)
    log = _logarithm_of_growth(more / (1 + smaller).rounded(1 + plain(smaller), "one more"))
    return log * log


# fmt: off
def _msle_cases(case: Cases) -> None:
    case.sample("known_values", floats(1, 3, 0), floats(0, 1, 7), note="log 2, log 2, log 8, squared")
    case.sample("below_zero", floats(-0.875, -0.5, 0.5), floats(-0.5, 0.5, -0.875),
                note="built-in: 0 where negative numbers are clipped")
    case.edge("perfect", floats(0, 1, -0.5, 1e4), floats(0, 1, -0.5, 1e4))
    case.edge("small", floats(1e-3, 1e-5, 2e-6), floats(2e-3, 2e-5, 1e-6),
              note="built-in: 1 + x is rounded before its logarithm is taken")
    case.edge("small_wide", floats(1e-15, 3e-15, -1e-12), floats(0, 2e-15, 1e-12), dtypes=WIDE)
    case.edge("tiny_double", floats(1e-130, -3e-130), floats(2e-130, 0), dtypes=DOUBLE)
    case.edge("close_to_target", floats(1, 1 + 2**-7, 1000), floats(1 + 2**-7, 1, 1001))
    case.edge("close_to_minus_one", floats(-1 + 2**-8, -1 + 2**-7, 1000), floats(1000, -1 + 2**-8, -1 + 2**-8))
    case.edge("huge", floats(1e18, 1e30, 1), floats(2e18, 0, 1e30), dtypes=WIDE)
    case.edge("huge_beside_minus_one", floats(3e38, -1 + 2**-8, 3e38), floats(-1 + 2**-8, 2e38, 3), dtypes=WIDE,
              note="trap: a ratio that is too large, and a logarithm that is not")
    case.edge("huge_beside_minus_one_single", floats(3e38, -0.9999999), floats(-0.9999999, 3e38), dtypes=SINGLE)
    case.edge("huge_beside_minus_one_double", floats(1.5e308, -1 + 2**-50), floats(-1 + 2**-50, 1e308), dtypes=DOUBLE)
    case.edge("infinite", floats(inf, 1), floats(1, inf))
    minus_one, zero = floats(-1, 0, 1), floats(0, 0, 0)
    case.refuse("prediction_minus_one", ValueError, "prediction must be above -1", minus_one, zero, values=True)
    case.refuse("target_minus_one", ValueError, "target must be above -1", zero, minus_one, values=True)
# fmt: on


def _ideal_msle(name: str) -> list[Perfect]:
    target = np.exp(normal(f"perfect {name}", (4, 3)))
    return [Perfect((target, target.copy()), np.zeros((4, 3)))]


def _is_not_clipped(case: Case) -> bool:
    return all(bool(np.all(array > EPSILON)) for array in case.arrays)


MSLE = Spec(
    loss="msle",
    arrays=("prediction", "target"),
    ordinary=_positive,
    exact=_msle,
    questions=(_msle_cases,),
    ideal=_ideal_msle,
    laws=Laws(symmetric=True),
    twins=(Twin("keras", "mean_squared_logarithmic_error", keras.elements, admits=_is_not_clipped),),
    advice=(
        Advice(
            "regression",
            "targets of many orders of magnitude",
            "msle(prediction, target)",
            "squared error of the logarithms of 1 + x",
        ),
    ),
)
