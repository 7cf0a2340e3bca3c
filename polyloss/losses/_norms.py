"""Lengths of rows, whose powers neither over- nor underflow."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from polyloss.core.backend import stop_gradient
from polyloss.core.typing import Array, Namespace

Slope: TypeAlias = Callable[[Array], Array]
"""A gradient along the last axis, times a factor for each row."""


def length_of(xp: Namespace, x: Array, p: float = 2.0) -> tuple[Array, Slope]:
    """The p-norm along the last axis, and its gradient: that of least norm where it has none.

    The largest coordinate is scaled to the middle of the range first, so that no power over- or underflows. The norm
    does not depend on the scale, which is therefore a constant to every derivative.
    """
    if p == 1:
        return xp.sum(xp.abs(x), axis=-1), lambda factor: factor[..., None] * xp.sign(x)
    if p == 2:
        scaled = scaled_length_of(xp, x)
        return scaled.length / scaled.scale, scaled.slope
    largest = stop_gradient(xp.max(xp.abs(x), axis=-1, keepdims=True))
    if p == math.inf:
        shares = _shared(xp, xp.where(xp.abs(x) == largest, xp.sign(x), 0.0))
        # Through the shares, and not `largest` itself, for the derivatives to come.
        return xp.sum(shares * x, axis=-1), lambda factor: factor[..., None] * shares
    scale = xp.where((largest > 0) & xp.isfinite(largest), largest, 1.0)
    y = x / scale
    some = y != 0
    size = xp.where(some, xp.where(y < 0, -y, y), 1.0)
    total = xp.sum(xp.where(some, size**p, 0.0), axis=-1, keepdims=True)
    zero = total == 0
    safe = xp.where(zero, 1.0, total)

    def slope(factor: Array) -> Array:
        return factor[..., None] * xp.where(some, xp.sign(y) * size ** (p - 1.0) / safe ** (1.0 - 1.0 / p), 0.0)

    return xp.where(zero, 0.0, safe ** (1.0 / p) * scale)[..., 0], slope


class ScaledLength(NamedTuple):
    """The Euclidean length of each row times a scale of the row, the scale, and the gradient of the length itself."""

    length: Array
    scale: Array
    slope: Slope


def scaled_length_of(xp: Namespace, x: Array) -> ScaledLength:
    """Euclidean lengths that have all digits and an inverse, even those of subnormal numbers."""
    scale = power_of_two(xp, stop_gradient(xp.max(xp.abs(x), axis=-1, keepdims=True)))
    y = x * scale
    total = xp.sum(y * y, axis=-1, keepdims=True)
    zero = total == 0
    root = xp.sqrt(xp.where(zero, 1.0, total))
    return ScaledLength(
        xp.where(zero, 0.0, root)[..., 0],
        scale[..., 0],
        # Times a quotient that is 0 at the zero vector: so are the gradient and all of its derivatives.
        lambda factor: y * xp.where(zero, 0.0, factor[..., None] / root),
    )


def power_of_two(xp: Namespace, largest: Array) -> Array:
    """A factor that brings `largest` where its square and many of them fit, and that rounds nothing."""
    octaves = round(math.log2(float(xp.finfo(largest.dtype).max))) / 128
    scale = xp.where(largest < 2.0 ** (-50 * octaves), 2.0 ** (100 * octaves), xp.ones_like(largest))
    return xp.where(largest > 2.0 ** (40 * octaves), 2.0 ** (-80 * octaves), scale)


def _shared(xp: Namespace, signs: Array) -> Array:
    """Equal shares of the coordinates that tie for the maximum."""
    ties = xp.sum(xp.abs(signs), axis=-1, keepdims=True)
    return signs / xp.where(ties == 0, 1.0, ties)
