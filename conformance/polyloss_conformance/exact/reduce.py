"""The exact result of a call, from that of its examples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.case import Case, Place
from polyloss_conformance.losses import LOSSES

from .arrange import Parts, Truth
from .numbers import LD, to_longdouble


@dataclass(frozen=True)
class Reduced:
    """The exact result of a call, and its gradients times a cotangent."""

    value: LD
    value_scale: LD
    gradients: Parts
    gradient_scales: Parts
    kinks: Mapping[Place, NDArray[np.bool_] | None]
    count: int


def reduced(
    case: Case, truth: Truth, cotangent: Any = None, reduction: str | None = None, *, summed: bool = True
) -> Reduced:
    """The exact result of the reduction of a case, and its gradients times `cotangent`.

    Parameters
    ----------
    case : Case
        Its options say which reduction, and the denominator.
    truth : Truth
        Of this case.
    cotangent : number or array or None
        Of the shape of the result; None for ones.
    reduction : str or None
        Instead of the case's own.
    summed : bool
        Of an array that several examples depend on, the gradient; otherwise the part of each example in that sum.
    """
    name = reduction or str(case.options.get("reduction", "mean"))
    coefficient = truth.sample_weights
    if name in ("mean", "weighted_mean"):
        divisor = case.options.get("denominator")
        if divisor is None:
            divisor = truth.valid.sum() if name == "mean" else truth.weights.sum()
        divisor = np.longdouble(divisor)
        coefficient = coefficient / (divisor if divisor != 0 else np.longdouble(1))
    with np.errstate(invalid="ignore", over="ignore"):
        terms = np.where(truth.valid, coefficient * truth.values, np.longdouble(0))
        sizes = np.where(truth.valid, abs(coefficient) * truth.value_scales, np.longdouble(0))
        if name != "none":
            terms, sizes = np.asarray(terms.sum()), np.asarray(sizes.sum())
        upstream = coefficient if cotangent is None else coefficient * to_longdouble(cotangent)

        rows = upstream.ndim
        together = LOSSES[case.loss].summed

        def pull(locals_: Parts, absolute: bool) -> dict[Place, LD | None]:
            pulled: dict[Place, LD | None] = {}
            for place, local in locals_.items():
                if local is None:
                    pulled[place] = None
                    continue
                factor, valid = abs(upstream) if absolute else upstream, truth.valid
                if local.ndim > rows:
                    behind = tuple(range(rows, local.ndim))
                    axis = behind if place in together else LOSSES[case.loss].axes(case.parameters, local.ndim)
                    factor, valid = np.expand_dims(factor, axis), np.expand_dims(valid, axis)
                found = np.where(valid, factor * local, np.longdouble(0))
                pulled[place] = total(found) if place in together and summed else found
            return pulled

        def total(parts: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(parts.sum(axis=tuple(range(rows))))

        gradients, scales = pull(truth.gradients, False), pull(truth.gradient_scales, True)
        kinks = {p: total(k) > 0 if k is not None and p in together and summed else k for p, k in truth.kinks.items()}
    count = 1 if name == "none" else int(truth.values.size)
    return Reduced(terms, sizes, gradients, scales, kinks, count)
