"""Losses of a difference that gross errors do not move."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from polyloss_conformance.arrays import WIDE, damage, floats, inf, mask
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import plain
from polyloss_conformance.exact.numbers import ONE, ZERO, Number, mp
from polyloss_conformance.exact.rules import Sized, of_residual
from polyloss_conformance.spec import Advice, Laws

from ._examples import ELEMENTS_GROW
from .regression import residual


@of_residual
def _tukey_biweight(r: Any, c: Any = 4.685, scale: Any = ONE) -> Any:
    c = mp.mpf(c) if isinstance(c, float) else c
    limit = c * c / 6
    if plain(scale) == 0:  # the limit of a vanishing scale
        return r * 0 if plain(r) == 0 else limit + r * 0
    u = r / (c * scale)
    if abs(plain(u)) >= 1:
        return limit + r * 0
    square = u * u
    return limit * square * (3 - 3 * square + square * square)  # 1 - (1 - u²)³ without its cancellation


def _median_deviation(residuals: Sequence[Number]) -> Sized:
    """1.4826 times the median of |r - median(r)|."""
    if not residuals:
        return Sized(ONE, ZERO)

    def middle(numbers: Sequence[Number]) -> Number:
        ordered = sorted(numbers)
        return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2

    centre = middle(residuals)
    scale = mp.mpf(1.4826) * middle([abs(r - centre) for r in residuals])
    # A deviation is the difference of two rounded numbers: at worst a multiple of the centre's rounding.
    return Sized(scale, 2 * scale + 3 * abs(centre))


def _settle(parameters: dict[str, Any], examples: list[list[Any]]) -> dict[str, Any]:
    if parameters.get("scale") != "mad":
        return parameters
    return {**parameters, "scale": _median_deviation([prediction - target for prediction, target in examples])}


# fmt: off
def _tukey_biweight_cases(case: Cases) -> None:
    for c, scale in ((4.685, 1.0), (2.0, 1.0), (4.0, 0.5), (1.5, 2.0)):
        case.sample(f"c_{c:g}_scale_{scale:g}", *case.ordinary((4, 3)), c=c, scale=scale,
                    reduction="mean")
    case.sample("mad", *case.ordinary((7,)), scale="mad", reduction="mean")
    case.sample("mad_of_even_count", *case.ordinary((2, 3, 2)), scale="mad",
                note="the median of an even count is the mean of the middle two")
    case.sample("mad_masked", *damage(case.ordinary((7,)), mask(*[True] * 5, False, False)),
                scale="mad", where=mask(*[True] * 5, False, False), reduction="mean",
                note="the scale of the unmasked residuals alone")
    case.sample("mad_with_outliers", floats(0.1, -0.2, 0.3, 0.5, -0.4, 1000, -80), np.zeros(7), scale="mad")
    case.sample("mad_is_not_changed_by_weights", *case.ordinary((6,)), scale="mad",
                sample_weight=floats(1, 2, 0.5, 4, 1, 1), c=3.0, reduction="mean")
    case.sample("c_and_scale_per_column", *case.ordinary((4, 3)), c=floats(2, 4, 5),
                scale=floats(1, 0.5, 2))
    case.edge("saturated", floats(6, -6, 100, 1e4), np.zeros(4),
              note="trap: beyond c the gradient is 0 and the value c²/6 = 3.658204")
    case.edge("saturated_wide", floats(1e20, -3e38), np.zeros(2), dtypes=WIDE)
    case.edge("at_c", floats(2, -2, 1.9921875, 2.015625), np.zeros(4), c=2.0, note="no kink")
    case.edge("perfect", floats(0, 1), floats(0, 1))
    case.edge("infinite_prediction", floats(inf, -inf, 1), floats(0, 0, inf))
    case.edge("tiny", floats(1e-3, -1e-4, 6e-8), np.zeros(3), note="trap: 1 - (1 - u²)³ cancels")
    case.edge("tiny_wide", floats(1e-8, -1e-15), np.zeros(2), dtypes=WIDE)
    case.edge("tiny_scale", floats(1e-12, 2e-12, -1e-11), np.zeros(3), scale=2.0**-40, dtypes=WIDE)
    case.edge("huge_scale", floats(1e12, 2e12, -1e13), np.zeros(3), scale=2.0**40, dtypes=WIDE)
    case.edge("mad_zero", floats(1, 1, 1, 2, 1), floats(1, 1, 1, 1, 1), scale="mad",
              note="most residuals equal: the limit, 0 at a residual of 0 and c²/6 elsewhere")
    case.edge("mad_of_one", floats(3), floats(1), scale="mad")
    case.edge("mad_everything_masked", *case.ordinary((4,)), scale="mad", where=mask(*[False] * 4),
              reduction="mean")
    for bad in (0.0, -1.0):
        case.refuse(f"c_{bad:g}", ValueError, r"\bc\b", *case.ordinary((6,)), c=bad)
        case.refuse(f"scale_{bad:g}", ValueError, "scale", *case.ordinary((6,)), scale=bad)
    case.refuse("scale_unknown", ValueError, "scale", *case.ordinary((6,)), scale="std")
# fmt: on


TUKEY_BIWEIGHT = residual(
    loss="tukey_biweight",
    exact=_tukey_biweight,
    settle=_settle,
    questions=(_tukey_biweight_cases,),
    laws=Laws(symmetric=True),
    advice=(
        Advice(
            "outliers",
            "gross errors that shall not count",
            'tukey_biweight(prediction, target, scale="mad")',
            "gradient exactly 0 beyond c",
        ),
    ),
    benchmark=Benchmark(growth=ELEMENTS_GROW),
)
