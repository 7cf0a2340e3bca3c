"""Ordinary arrays for any loss, made from its declared arguments."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss.core.domains import Classes, ClassSequences, Lengths, LogProbabilities


def ordinary(loss: Any, rng: np.random.Generator, rows: int = 6, classes: int = 4) -> list[NDArray[Any]]:
    """Arrays that a loss accepts, with so many examples and as long rows."""
    lengths = {"n": rows, "c": classes, "d": classes, "s": classes, "t": 5, "l": 2}
    if loss.fuse is None and not loss.rowwise:
        lengths["n"] = (rows, classes)  # type: ignore[assignment]
    return [_array(loss.arguments[name], rng, lengths, classes) for name in loss.arrays]


def _array(argument: Any, rng: np.random.Generator, lengths: dict[str, Any], classes: int) -> NDArray[Any]:
    shape: tuple[int, ...] = ()
    for letter in argument.dims[0]:
        shape += lengths[letter] if isinstance(lengths[letter], tuple) else (lengths[letter],)
    domain = argument.domain
    if isinstance(domain, Lengths):
        return rng.integers(1, lengths[domain.of] + 1, shape)
    if isinstance(domain, ClassSequences):
        return rng.integers(1, classes, shape)
    if isinstance(domain, Classes) and (len(argument.dims) > 1 or domain.everything):
        return rng.integers(0, classes, shape)
    if isinstance(domain, LogProbabilities):
        return np.asarray(np.log(rng.dirichlet(np.ones(shape[-1]), shape[:-1])))
    if domain.ends_only:
        return rng.choice([domain.low, domain.high], shape)
    if domain.low > -math.inf:
        return rng.random(shape)
    return rng.normal(size=shape)
