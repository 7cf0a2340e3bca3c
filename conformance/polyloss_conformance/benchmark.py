"""What of a loss is measured: shapes, and the arrays for them. What a record leaves out is made of its declaration."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Shape

Make = Callable[[np.random.Generator, Shape], tuple[NDArray[Any], ...]]
Plain = Callable[..., Any]
"""Takes a namespace, the arrays and the parameters; returns the loss of each example."""

KI, MI = 1 << 10, 1 << 20
FEATURES = 64
"""The last axis of elementwise arrays: some libraries average over it first."""


def elements(count: int) -> Shape:
    """The shape of an elementwise array of `count` elements."""
    return (count // FEATURES, FEATURES) if count % FEATURES == 0 else (count,)


SIZES = tuple(map(elements, (4 * KI, 64 * KI, MI, 4 * MI, 16 * MI)))
HALVES = ("bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """How a loss is measured.

    Parameters
    ----------
    make : callable, optional
        Makes the arrays.
    shapes : sequence of tuple of int
        Usually of the first array; `make` takes them. The first one is small: there the two sides are compared before
        anything is timed.
    quick : sequence of tuple of int
        The shapes of a quick run.
    most_used : bool
        Whether all of its shapes are measured everywhere, and its value alone as well.
    halves : sequence of tuple of int
        The shapes that are measured in 16 bits too.
    growth : mapping
        How its cost is measured as work grows: an axis, and the smallest of the shapes along which it grows.
    named : sequence of tuple of int
        More shapes, which take minutes: only for who names the row or the size.
    wanted : sequence of int
        The arrays to differentiate with respect to.
    keywords : mapping
        Parameters of the loss.
    sample : bool
        Whether it stands for the others in a quick run.
    plain : callable, optional
        The loss as a plain expression, where that is not the kernel.
    logits_of : str
        Where the plain expression is another loss of the products of the first two arrays: which.
    size : callable
        How many elements the largest array of a plain implementation has.
    """

    make: Make | None = None
    shapes: tuple[Shape, ...] = ()
    quick: tuple[Shape, ...] = ()
    most_used: bool = False
    halves: tuple[Shape, ...] = ()
    growth: Mapping[int, Shape] = field(default_factory=dict)
    named: tuple[Shape, ...] = ()
    wanted: tuple[int, ...] = (0,)
    keywords: Mapping[str, Any] = field(default_factory=dict)
    sample: bool = False
    plain: Plain | None = None
    logits_of: str = ""
    size: Callable[[Shape], int] = math.prod


def normal32(rng: np.random.Generator, shape: Shape) -> NDArray[np.float32]:
    """Normal numbers in float32."""
    return rng.standard_normal(shape, dtype=np.float32)
