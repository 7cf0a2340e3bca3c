"""Losses of the difference between a prediction and its target."""

from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from polyloss_conformance.arrays import DOUBLE, SINGLE, WIDE, Shape, floats, inf, nan, normal
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import logarithm_of_cosh, plain
from polyloss_conformance.exact.numbers import ONE
from polyloss_conformance.exact.rules import of_differences, of_residual
from polyloss_conformance.spec import Advice, Laws, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Call, Said, Twin, keras, optax, torch

from ._examples import ALL_SIZES, ELEMENTS_GROW, of_residuals


def ordinary(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, shape, 2.0), normal(name + "y", shape, 2.0)


def ideal(name: str) -> list[Perfect]:
    target = normal(f"perfect {name}", (4, 3), 2.0)
    return [Perfect((target, target.copy()), np.zeros((4, 3)))]


residual = partial(Spec, arrays=("prediction", "target"), ordinary=ordinary, ideal=ideal)


# fmt: off
def _near_and_far(case: Cases) -> None:
    case.edge("perfect", floats(0, 1, -2.5, 1e4), floats(0, 1, -2.5, 1e4),
              note="trap: derivative of abs at 0 (JAX 1), of a root at 0 (NaN)")
    case.edge("infinite_prediction", floats(inf, -inf, 1), floats(0, 0, inf))
    case.edge("close_to_target", floats(1, 1 + 2**-7, -3), floats(1 + 2**-7, 1, -3 - 2**-6))
    case.edge("huge", floats(1e18, -1e18, 3e18), floats(0, 1e18, 2e18), dtypes=WIDE)
    case.edge("tiny", floats(1e-15, -3e-15, 0), floats(0, 1e-15, 2e-15), dtypes=WIDE)
    case.edge("tiny_double", floats(1e-130, -3e-130, 0), floats(0, 1e-130, 2e-130), dtypes=DOUBLE)
    case.edge("float64_mean", 0.1 + 1e-9 * np.arange(8.0), np.zeros(8), dtypes=DOUBLE, reduction="mean",
              note="built-in: float64 averaged in float32")
# fmt: on


# --------------------------------------------------------------------------------------------------------------------
# Squares


@of_residual
def _mse(r: Any) -> Any:
    return r * r


# fmt: off
def _mse_cases(case: Cases) -> None:
    case.edge("mean_of_70000_ones", np.ones(70_000), np.zeros(70_000), reduction="mean",
              note="built-in: NaN in float16")

    case.sample("no_half", floats(2, 0, -3), floats(0, 2, 1), note="trap: e², not e²/2")
    case.edge("overflow", floats(1e25, -300), floats(0, 0), dtypes=WIDE, note="inf in float32")
    case.edge("overflow_half", floats(300, -200), floats(0, 0), dtypes=("float16",))
    case.edge("infinite_scale_double", floats(1e200, 1e150), floats(0, 0), dtypes=DOUBLE)
# fmt: on


def _tf_l2(call: Call) -> Said | None:
    if not call.has():
        return None
    prediction, target = call.arrays
    return Said((prediction - target,), {}, lambda value: 2 * value)


MSE = residual(
    loss="mse",
    exact=_mse,
    questions=(_near_and_far, _mse_cases),
    laws=Laws(symmetric=True),
    twins=(
        Twin("torch", "mse_loss", partial(torch.elements, weight="weighted_mean"), reductions=REDUCTIONS),
        Twin("keras", "mean_squared_error", keras.elements),
        Twin("optax", "squared_error", optax.plain),
        Twin("optax", "l2_loss", partial(optax.plain, factor=2.0)),
        Twin("tf", "l2_loss", _tf_l2, reductions=("sum",), dtypes=SINGLE),
    ),
    advice=(Advice("regression", "Gaussian noise", "mse(prediction, target)", "estimates the mean"),),
    benchmark=of_residuals(**ALL_SIZES, sample=True),
)


# --------------------------------------------------------------------------------------------------------------------
# Absolute values


@of_residual
def _l1(r: Any) -> Any:
    return abs(r)


# fmt: off
def _l1_cases(case: Cases) -> None:
    case.edge("mean_of_70000_ones", np.ones(70_000), np.zeros(70_000), reduction="mean",
              note="built-in: NaN in float16")
    case.edge("mean_of_1000_times_200", np.full(1000, 200.0), np.zeros(1000), reduction="mean",
              note="built-in: inf in float16")
    case.edge("mean_of_64_times_40000", np.full(64, 40_000.0), np.zeros(64), reduction="mean",
              note="built-in: inf in float16")
    case.edge("mean_of_100000_uniform", np.tile(np.arange(250.0) / 256, 400), np.zeros(100_000), reduction="mean",
              note="built-in: 0 in float16")
    case.edge("mean_of_4096_ones", np.ones(4096), np.zeros(4096), reduction="mean", note="a bfloat16 sum stops at 256")
    case.edge("mean_of_262144_tenths", np.full(262_144, 0.1), np.zeros(262_144), dtypes=SINGLE, reduction="mean",
              note="built-in: a sequential float32 sum is off by 1e-4 already")
    case.edge("mean_far_from_zero", 1e4 + np.tile(np.arange(256.0) / 256, 256), np.zeros(65_536), dtypes=SINGLE,
              reduction="mean")
    case.edge("mean_of_one_giant", np.concatenate([floats(1e8), np.ones(65_535)]), np.zeros(65_536), dtypes=SINGLE,
              reduction="mean")
# fmt: on


L1 = residual(
    loss="l1",
    exact=_l1,
    questions=(_near_and_far, _l1_cases),
    laws=Laws(symmetric=True),
    twins=(
        Twin("torch", "l1_loss", partial(torch.elements, weight="weighted_mean"), reductions=REDUCTIONS),
        Twin("keras", "mean_absolute_error", keras.elements),
    ),
    advice=(
        Advice(
            "regression",
            "the median",
            "l1(prediction, target)",
            "estimates the median; gradient 0 at a perfect prediction",
        ),
    ),
    benchmark=of_residuals(**ALL_SIZES),
)


# --------------------------------------------------------------------------------------------------------------------
# Squares near the target, absolute values far away


@of_residual
def _huber(r: Any, delta: Any = ONE) -> Any:
    if abs(plain(r)) <= plain(delta):
        return r * r / 2
    return delta * (abs(r) - delta / 2)


# fmt: off
def _huber_cases(case: Cases) -> None:
    for delta in (0.25, 1.0, 2.0):
        case.sample(f"delta_{delta:g}", *case.ordinary((4, 3)), delta=delta, reduction="mean")
    case.sample("delta_integer", *case.ordinary((4, 3)), delta=2, reduction="mean")
    case.sample("delta_1.345", *case.ordinary((4, 3)), delta=1.345, reduction="mean",
                note="the constant for Gaussian residuals")
    case.sample("known_values", floats(-3, -3, 0.5), floats(0, 0, 0), delta=2.0,
                note="trap: smooth_l1(beta) is huber(beta)/beta; 4.0 here, not 2.0")
    case.sample("delta_per_column", *case.ordinary((4, 3)), delta=floats(0.25, 1, 2),
                note="an array matches the last axes")
    case.edge("at_delta", floats(1, -1, 1.5), floats(0, 0, 0.5), note="no kink")
    case.edge("tiny_residual", floats(1e-4, 1e-7, -1e-7, 6e-8), np.zeros(4),
              note="built-in: gradient eps·delta off or 0")
    case.edge("tiny_residual_wide", floats(1e-8, -1e-12, 1e-15), np.zeros(3), dtypes=WIDE)
    case.edge("beyond_half_of_the_largest", floats(2e38, -3e38), np.zeros(2), dtypes=WIDE,
              note="built-in: gradient NaN from 1.7e38 on")
    case.edge("beyond_half_of_the_largest_half", floats(40_000, -60_000), np.zeros(2))
    case.edge("huge_delta", floats(1e20, -1e10, 1e25), np.zeros(3), delta=2.0**60, dtypes=SINGLE)
    for bad in (0.0, -1.0, nan):
        case.refuse(f"delta_{bad:g}", ValueError, "delta", *case.ordinary((6,)), delta=bad)
    case.refuse("delta_a_name", TypeError, "delta", *case.ordinary((6,)), delta="1")
# fmt: on


HUBER = residual(
    loss="huber",
    exact=_huber,
    questions=(_near_and_far, _huber_cases),
    laws=Laws(symmetric=True),
    twins=(
        Twin("torch", "huber_loss", partial(torch.elements, weight="mean", delta="delta"), reductions=REDUCTIONS),
        Twin("keras", "huber", lambda call: keras.elements(call, "delta")),
        Twin("optax", "huber_loss", lambda call: optax.plain(call, "delta")),
    ),
    advice=(
        Advice(
            "outliers",
            "some large errors",
            "huber(prediction, target, delta=1.0)",
            "quadratic within delta, linear outside",
        ),
    ),
    benchmark=of_residuals(**ALL_SIZES, sample=True, growth=ELEMENTS_GROW),
)


@of_residual
def _smooth_l1(r: Any, beta: Any = ONE) -> Any:
    if beta == 0:
        return abs(r)
    if abs(plain(r)) <= plain(beta):
        return r * r / (2 * beta)
    return abs(r) - beta / 2


# fmt: off
def _smooth_l1_cases(case: Cases) -> None:
    for beta in (0.25, 1.0, 2.0, 0.0):
        case.sample(f"beta_{beta:g}", *case.ordinary((4, 3)), beta=beta, reduction="mean")
    case.sample("known_values", floats(-3, -3, 0.5), floats(0, 0, 0), beta=2.0,
                note="trap: 2.0, where huber is 4.0")
    case.sample("beta_per_column", *case.ordinary((4, 3)), beta=floats(0, 1, 2))
    case.edge("beta_zero_at_zero", floats(0, 1, -1), floats(0, 1, 0), beta=0.0, note="L1: 0 at the kink")
    case.edge("at_beta", floats(0.5, -0.5), floats(0, 0), beta=0.5, note="no kink")
    case.edge("square_overflows", floats(1e25, -1e26, 1e28), np.zeros(3), beta=2.0**90, dtypes=SINGLE,
              note="built-in: inf")
    case.edge("square_underflows", floats(2.0**-101, -(2.0**-102), 2.0**-99), np.zeros(3), beta=2.0**-100,
              dtypes=SINGLE, note="built-in: 0")
    for bad in (-1.0, nan):
        case.refuse(f"beta_{bad:g}", ValueError, "beta", *case.ordinary((6,)), beta=bad)
# fmt: on


SMOOTH_L1 = residual(
    loss="smooth_l1",
    exact=_smooth_l1,
    questions=(_near_and_far, _smooth_l1_cases),
    laws=Laws(symmetric=True),
    twins=(Twin("torch", "smooth_l1_loss", partial(torch.elements, beta="beta"), reductions=REDUCTIONS),),
    advice=(
        Advice(
            "outliers",
            "object detection, boxes",
            "smooth_l1(prediction, target, beta=1.0)",
            "huber(beta) / beta: slope 1 outside",
        ),
    ),
    benchmark=of_residuals(**ALL_SIZES, keywords={"beta": 0.5}),
)


@of_residual
def _log_cosh(r: Any) -> Any:
    return logarithm_of_cosh(r)


# fmt: off
def _log_cosh_cases(case: Cases) -> None:
    case.edge("small", floats(1e-3, 3e-4, -1e-4, 6e-8), np.zeros(4), note="built-in: 0, or negative, below 1e-3.5")
    case.edge("small_wide", floats(1.8e-8, -1e-8, 1e-12), np.zeros(3), dtypes=WIDE)
    case.edge("around_one", floats(0.999, 1, 1.001, -1, 0.5), np.zeros(5))
    case.edge("large", floats(89, 90, -100, 1000, -1e4), np.zeros(5), note="trap: log(cosh(90)) is inf in float32")
# fmt: on


LOG_COSH = residual(
    loss="log_cosh",
    exact=_log_cosh,
    questions=(_near_and_far, _log_cosh_cases),
    laws=Laws(symmetric=True),
    twins=(Twin("keras", "log_cosh", keras.elements), Twin("optax", "log_cosh", optax.plain)),
    advice=(
        Advice(
            "regression",
            "smooth everywhere",
            "log_cosh(prediction, target)",
            "quadratic near the target, linear far away, no parameter",
        ),
    ),
)


# --------------------------------------------------------------------------------------------------------------------
# Absolute values, one side more than the other


@of_residual
def _quantile(r: Any, q: Any = 0.5) -> Any:
    # The weights are q and 1 - q, which is rounded where it is no power of two.
    return q * abs(r) if plain(r) < 0 else (1 - q) * abs(r)


# fmt: off
def _quantile_cases(case: Cases) -> None:
    for q in (0.1, 0.25, 0.9, 0.99):
        case.sample(f"q_{q:g}", *case.ordinary((4, 3)), q=q, reduction="mean")
    case.sample("known_values", floats(0, 1), floats(1, 0), q=0.9,
                note="trap: the sign of the error; 0.9 for a prediction that is too low, 0.1 for one that is too high")
    case.sample("several_quantiles", *case.ordinary((4, 3)), q=floats(0.125, 0.5, 0.875),
                note="an array matches the last axes")
    case.edge("close_to_one", floats(-1, 1, 0), floats(0, 0, 0), q=1 - 2.0**-10)
    case.edge("at_the_kink_of_a_tail", floats(0, 1, -2.5), floats(0, 1, -2.5), q=0.99,
              note="no slope of either side, but 0")
    for bad in (0.0, 1.0, -0.5, nan):
        case.refuse(f"q_{bad:g}", ValueError, r"\bq\b", *case.ordinary((6,)), q=bad)
    case.refuse("q_of_other_length", ValueError, r"\bq\b", *case.ordinary((4, 3)), q=floats(0.25, 0.75))
# fmt: on


QUANTILE = residual(
    loss="quantile",
    exact=_quantile,
    questions=(_near_and_far, _quantile_cases),
    advice=(
        Advice(
            "regression",
            "a quantile, or an interval from two",
            "quantile(prediction, target, q=0.9)",
            "its least mean is at the quantile",
        ),
    ),
)


# --------------------------------------------------------------------------------------------------------------------
# Pairs of a row


@of_differences((0, 1))
def _mean_pairwise_squared_error(errors: Any) -> Any:
    pairs = list(combinations(errors, 2))
    return sum(((a - b) * (a - b) for a, b in pairs), 0 * errors[0]) / max(len(pairs), 1)


def _rows(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, (*shape, 5), 2.0), normal(name + "y", (*shape, 5), 2.0)


# fmt: off
def _pairwise_cases(case: Cases) -> None:
    rows = _rows("rows", (2, 3))
    case.sample("known_values", floats([1, 2, 4], [0, 1, 0]), floats([0, 0, 0], [0, 1, 3]),
                note="trap: of half the pairs, or with those of an entry and itself")
    case.sample("axis_1", *rows, axis=1, reduction="mean")
    case.edge("all_in_common", floats([3.2, 3.2, 3.2], [-0.1, -0.1, -0.1]), np.zeros((2, 3)), note="exactly 0")
    case.edge("far_and_alike", floats([1000, 1001, 1000], [-40, -40.5, -40.25]), np.zeros((2, 3)),
              note="trap: the mean square less the squared mean")
    case.edge("far_and_alike_wide", floats([4e6, 4e6 + 1, 4e6]), np.zeros((1, 3)), dtypes=WIDE, note="0 in tf")
    case.edge("one_far_off", floats([1e4, 1, -1, 0.5, 0]), np.zeros((1, 5)))
    case.edge("one_entry", floats([3], [-1]), floats([1], [-1]), note="no pairs: 0")
    case.edge("infinite", floats([inf, 0, 1], [2, -inf, 1]), np.zeros((2, 3)), note="inf - inf")
    case.edge("large", floats([1e19, -1e19, 0]), np.zeros((1, 3)), dtypes=WIDE, note="no sum of squares overflows")
    case.edge("huge_in_common", floats([3e38, 3e38, 3e38]), np.zeros((1, 3)), dtypes=WIDE)
    case.edge("tiny_double", floats([1e-130, -3e-130]), floats([0, 1e-130]), dtypes=DOUBLE)
# fmt: on


def _ideal_rows(name: str) -> list[Perfect]:
    target = np.round(normal(f"perfect {name}", (4, 3, 5), 4.0))
    return [Perfect((target + 3.0, target), np.zeros((4, 3)))]


MEAN_PAIRWISE_SQUARED_ERROR = Spec(
    loss="mean_pairwise_squared_error",
    arrays=("prediction", "target"),
    rowwise=True,
    ordinary=_rows,
    exact=_mean_pairwise_squared_error,
    questions=(_pairwise_cases,),
    ideal=_ideal_rows,
    laws=Laws(symmetric=True),
    advice=(
        Advice(
            "regression",
            "differences within an image, whatever its brightness",
            "mean_pairwise_squared_error(prediction, target)",
            "what all entries of a row have in common is free",
        ),
    ),
)
