"""Negative log-likelihoods."""

from functools import partial
from typing import Any

import numpy as np

from polyloss_conformance.arrays import SINGLE, WIDE, Shape, floats, generator, inf, normal
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact.jets import exponential, logarithm, logarithm_of_factorial, plain
from polyloss_conformance.exact.numbers import HUGE, ONE, ZERO, Number, mp
from polyloss_conformance.exact.rules import Local, inputs_of, local
from polyloss_conformance.spec import Advice, Laws, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Call, Said, Twin, keras, torch

from ._examples import ELEMENTS_GROW

# --------------------------------------------------------------------------------------------------------------------
# Counts


def _logarithm(rate: Any) -> Any:
    """log(rate), with limits. That of an infinity is one, but smaller."""
    if plain(rate) == 0:
        return rate.lift(-HUGE, HUGE, ZERO)
    return logarithm(rate) if plain(rate) < HUGE else rate.lift(mp.mpf(10) ** 1600, ONE / HUGE, ZERO)


def _exponential(log_rate: Any) -> Any:
    """exp(log_rate). That of an infinity is one, and larger."""
    return exponential(log_rate) if plain(log_rate) < HUGE else log_rate.lift(HUGE**2, HUGE**2, ZERO)


def _stirling(count: Any) -> Any:
    return count * logarithm(count) - count + (mp.log(2 * mp.pi) + logarithm(count)) / 2 if plain(count) > 1 else ZERO


def _poisson_nll(prediction: Number, target: Number, log_rate: bool = False, full: bool | str = False) -> Local:
    # Whole numbers as well: counts are no labels.
    x, t = (jet.rounded(abs(jet.value), place) for place, jet in enumerate(inputs_of((prediction, target))))
    rate, logarithm_of_rate = (_exponential(x), x) if log_rate else (x, _logarithm(x))
    impossible = prediction == (-HUGE if log_rate else 0)
    # Nothing is asked of an impossible count that is absent.
    if impossible and target == 0:
        return local(rate, (prediction, target))
    constant = _stirling(t) if full == "stirling" else logarithm_of_factorial(t) if full else ZERO
    return local(rate - t * logarithm_of_rate + constant, (prediction, target))


def _counts(name: str, shape: Shape) -> tuple[Any, ...]:
    return np.exp(normal(name, shape)), generator(name + "y").poisson(2.0, shape).astype(np.float64)


# fmt: off
def _poisson_nll_cases(case: Cases) -> None:
    rates, counts = case.ordinary((4, 3))
    case.sample("known_values", floats(2, 0.5, 1), floats(2, 0, 5), note="trap: without log t!, and never of it twice")
    case.sample("log_rate", np.log(rates), counts, log_rate=True, reduction="mean")
    case.sample("log_rate_zero", floats(0, 0, 0), floats(0, 1, 3), log_rate=True, note="where training starts")
    case.sample("counts_in_between", rates, counts + 0.25)
    case.edge("no_rate_and_no_count", floats(0, 0, 1), floats(0, 2, 0), note="trap: 0·log 0; infinite for a count")
    case.edge("no_rate_and_no_count_log", floats(-inf, -inf, 0), floats(0, 2, 0), log_rate=True, note="trap: 0·inf")
    case.edge("infinite_rate", floats(inf, inf), floats(0, 3), note="inf - inf")
    case.edge("infinite_log_rate", floats(inf, inf), floats(0, 3), log_rate=True, note="inf - inf")
    case.edge("rare", floats(1e-4, 6e-8, 1e-3), floats(1, 1, 0), note="built-in: 1e-7 or 1e-8 is added to the rate")
    case.edge("rare_wide", floats(1e-8, 1e-20), floats(1, 2), dtypes=WIDE)
    case.edge("close_to_count", floats(3, 3 + 2**-7, 1), floats(3 + 2**-7, 3, 1), note="the gradient cancels")
    case.edge("many", floats(1e3, 6e4, 5), floats(1e3, 5e4, 6e4))
    case.edge("large_log_rate", floats(11, -80, 10.5), floats(5e4, 3, 4e4), log_rate=True)
    case.edge("overflow_log_rate", floats(100, -100), floats(3, 0), log_rate=True, dtypes=WIDE)
    for form, full in (("full", True), ("stirling", "stirling")):
        more: Any = {"full": full}
        # Equal to the rate, small and in between; then far from it.
        some = floats(2, 5, 0.5, 0.03, 0.125, 4, 20), floats(2, 5, 0.5, 0.03, 2, 0.25, 3)
        case.sample(form, *some, **more, note="trap: Stirling's approximation, or lgamma(t)")
        case.sample(f"{form}_log_rate", np.log(some[0]), some[1], log_rate=True, **more)
        case.edge(f"{form}_zero_and_one", floats(0, 1, 0.5, 3), floats(0, 1, 0, 1), **more)
        case.edge(f"{form}_many", floats(5e4, 5e4, 300, 300, 6e4), floats(5e4, 4.8e4, 304, 2, 0.125), **more,
                  note="trap: half a million less half a million")
    case.edge("full_many_log_rate", floats(10.75, 10.75, 5.75, -300), floats(4.8e4, 5e4, 304, 2), log_rate=True,
              full=True)
    case.edge("full_extreme", floats(1e30, 3e29, 1e-30, 1e30, 1e-30, 1e-30, 1),
              floats(1e30, 1e29, 1e30, 1e-30, 1e-30, 3e-30, 1e-20), full=True, dtypes=WIDE)
    case.edge("full_infinite", floats(inf, inf, 0, 0), floats(0, 3, 0, 2), full=True, note="inf - inf, 0·log 0")
    case.edge("full_infinite_log_rate", floats(inf, inf, -inf, -inf), floats(0, 3, 0, 2), log_rate=True, full=True)
    case.refuse("full_by_another_name", ValueError, "full must be one of False, True, stirling", rates, counts,
                full="lgamma")
    below_zero = floats(-1, 0, 1)
    ones = floats(1, 1, 1)
    case.refuse("rate_below_zero", ValueError, "log_rate=True takes logarithms", below_zero, ones, values=True)
    case.refuse("count_below_zero", ValueError, "target", ones, below_zero, values=True)
    case.refuse("count_infinite", ValueError, "target", floats(1, 1), floats(1, inf), values=True)
# fmt: on


def _ideal_poisson(name: str) -> list[Perfect]:
    target = np.exp2(np.abs(np.round(normal(f"perfect {name}", (4, 3), 2.0))))
    values = target - target * np.log(target)
    return [
        Perfect((target, target.copy()), values),
        Perfect((np.zeros((4, 3)), np.ones((4, 3))), np.ones((4, 3)), parameters={"log_rate": True}),
    ]


def _torch_poisson(call: Call, *, eps: float | None = None) -> Said | None:
    said = torch.elements(call, log_rate="log_input", full="full")
    full = call.parameters.get("full", False)
    if full is True:
        return None
    # The default there is True.
    more = {"log_input": False} | ({} if eps is None else {"eps": eps})
    return said and Said(said.args, {**more, **said.keywords, "full": bool(full)})


def _is_rare(case: Case) -> bool:
    return "log_rate" not in case.parameters and bool(np.all(case.arrays[0] <= 1e-3))


def _tf_log_poisson(call: Call) -> Said | None:
    full = call.parameters.get("full", False)
    if not call.has("log_rate", "full") or not call.parameters.get("log_rate") or full is True:
        return None
    return Said((call.arrays[1], call.arrays[0]), {"compute_full_loss": bool(full)})


POISSON_NLL = Spec(
    loss="poisson_nll",
    arrays=("prediction", "target"),
    ordinary=_counts,
    exact=_poisson_nll,
    questions=(_poisson_nll_cases,),
    ideal=_ideal_poisson,
    laws=Laws(nonnegative=False),
    twins=(
        Twin("torch", "poisson_nll_loss", partial(_torch_poisson, eps=0.0), variant="eps=0", reductions=REDUCTIONS),
        Twin("torch", "poisson_nll_loss", _torch_poisson, dtypes=SINGLE, admits=_is_rare),
        Twin("keras", "poisson", keras.elements),
        Twin("tf", "log_poisson_loss", _tf_log_poisson),
    ),
    advice=(
        Advice(
            "counts",
            "how often something happens",
            "poisson_nll(log_rate, count, log_rate=True)",
            "of the logarithm of a rate, which may be any number",
        ),
    ),
)


# --------------------------------------------------------------------------------------------------------------------
# Measurements


def _gaussian_nll(
    prediction: Number, target: Number, variance: Number, log_variance: bool = False, full: bool = False
) -> Local:
    x, t, v = inputs_of((prediction, target, variance))
    difference = x - t
    residual, v = difference.rounded(abs(difference.value), "residual"), v.rounded(abs(variance), "variance")
    if log_variance:
        value = (v + residual * residual * _exponential(-v)) / 2
    else:
        value = (_logarithm(v) + residual * residual / v) / 2
    return local(value + mp.log(2 * mp.pi) / 2 if full else value, (prediction, target, variance))


def _measurements(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, shape, 2.0), normal(name + "y", shape, 2.0), np.exp(normal(name + "v", shape))


# fmt: off
def _gaussian_nll_cases(case: Cases) -> None:
    prediction, target, variance = case.ordinary((4, 3))
    logs = np.log(variance)
    case.sample("known_values", floats(3, 1, 0), floats(1, 1, 2), floats(4, 1, 0.25), note="trap: half of it all")
    case.sample("full", prediction, target, variance, full=True, reduction="mean", note="trap: ½ log 2π")
    case.sample("log_variance", prediction, target, logs, log_variance=True, reduction="mean")
    case.sample("log_variance_full", prediction, target, logs, log_variance=True, full=True)
    case.edge("perfect", floats(0, 1, -2.5), floats(0, 1, -2.5), floats(1, 4, 2**-6))
    case.edge("perfect_log", floats(0, 1, -2.5), floats(0, 1, -2.5), floats(0, 4, -300), log_variance=True,
              note="trap: 0 times infinity")
    case.edge("one_deviation", floats(1, 2, -0.5), floats(0, 0, 0), floats(1, 4, 0.25), note="the slope of v cancels")
    case.edge("small_variance", floats(1e-2, 0.25), floats(0, 0), floats(1e-4, 2**-12))
    case.edge("tiny_variance", floats(1e-10, 1), floats(0, 0), floats(1e-20, 1e-30), dtypes=WIDE,
              note="trap: replaced by 1e-6")
    case.edge("large", floats(1e20, 3e19), floats(0, 0), floats(1e20, 1e30), dtypes=WIDE, note="built-in: inf")
    case.edge("large_half", floats(4e4, 300), floats(-1e4, 0), floats(6e4, 1))
    case.edge("far_log_variance", floats(1e-20, 1e10, 1), floats(0, 0, 0), floats(-90, 60, 200), log_variance=True,
              dtypes=WIDE)
    case.edge("tiny_log_variance", floats(1e-30, -1e-20, 1e-30, 0), floats(0, 0, 0, 0),
              floats(-200, -240, -3000, -3000), log_variance=True, dtypes=WIDE,
              note="trap: an inverse deviation that is too large, or cut off")
    case.edge("log_variance_minus_inf", floats(1, -1e-3, 0), floats(0, 0, 0), floats(-inf, -inf, -inf),
              log_variance=True, note="+inf, not inf - inf; -inf without an error")
    case.edge("infinite", floats(inf, 1), floats(0, -inf), floats(4, 4))
    case.edge("infinite_variance", floats(1, 0), floats(0, 0), floats(inf, inf))
    bad = floats(1, 0, -1)
    case.refuse("variance_below_zero", ValueError, "log_variance=True takes logarithms", bad, bad, bad, values=True)
    case.refuse("variance_zero", ValueError, "variance must be positive", bad, bad, floats(1, 0, 1), values=True)
# fmt: on


def _ideal_gaussian(name: str) -> list[Perfect]:
    target, logs = normal(f"perfect {name}", (4, 3), 2.0), normal(f"perfect {name}v", (4, 3))
    variance = np.exp(logs)
    return [
        Perfect((target, target.copy(), variance), np.log(variance) / 2),
        Perfect((target, target.copy(), logs), logs / 2, parameters={"log_variance": True}),
    ]


def _torch_gaussian(call: Call) -> Said | None:
    return torch.elements(call, full="full")


def _is_not_replaced(case: Case) -> bool:
    return bool(np.all(case.arrays[2] >= 1e-6))


GAUSSIAN_NLL = Spec(
    loss="gaussian_nll",
    arrays=("prediction", "target", "variance"),
    differentiable=(0, 1, 2),
    ordinary=_measurements,
    exact=_gaussian_nll,
    questions=(_gaussian_nll_cases,),
    ideal=_ideal_gaussian,
    laws=Laws(nonnegative=False, symmetric=True),
    twins=(Twin("torch", "gaussian_nll_loss", _torch_gaussian, reductions=REDUCTIONS, admits=_is_not_replaced),),
    advice=(
        Advice(
            "regression",
            "a variance of its own for each prediction",
            "gaussian_nll(prediction, target, log_variance, log_variance=True)",
            "a large variance excuses a large error",
        ),
    ),
    benchmark=Benchmark(growth=ELEMENTS_GROW, wanted=(0, 2)),
)
