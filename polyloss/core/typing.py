"""The types of the public signatures."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypedDict

from .vocabulary import Array, Namespace

Reduction: TypeAlias = Literal["none", "sum", "mean", "weighted_mean"]

Gradient: TypeAlias = Callable[[], Array]
"""Computes the local derivative with respect to one array, when somebody asks for it."""

KernelResult: TypeAlias = tuple[Any, ...]
"""What a kernel returns: ``(value, gradient, ...)``, the loss of each example and a `Gradient` for each array; where
parameters learn, with a dict of such at the end, ``{"delta": gradient}``."""


class Call(TypedDict, total=False):
    """The keywords that every loss takes besides its own."""

    reduction: Reduction
    sample_weight: Array | float | None
    where: Array | None
    denominator: Array | float | None


class RowCall(Call, total=False):
    """The keywords that every row-wise loss takes: those of `Call`, and the axis that a row runs along."""

    axis: int


class RegionCall(Call, total=False):
    """The keywords that every loss of regions takes: those of `Call`, and the axes that a region extends over."""

    axis: int | tuple[int, ...]


__all__ = ["Array", "Call", "Gradient", "KernelResult", "Namespace", "Reduction", "RegionCall", "RowCall"]
