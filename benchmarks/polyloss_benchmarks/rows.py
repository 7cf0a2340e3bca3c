"""What is measured: the losses whose records say how, and their shapes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.arrays import Shape
from polyloss_conformance.benchmark import KI, MI, SIZES, Benchmark, elements
from polyloss_conformance.losses import LOSSES


@dataclass(frozen=True, kw_only=True)
class Row(Benchmark):
    """One loss.

    Parameters
    ----------
    name : str
        Of the loss in `polyloss`.
    """

    name: str

    def arrays(self, shape: Shape) -> tuple[NDArray[Any], ...]:
        """The arrays, the same ones every time."""
        return self.make(np.random.default_rng(7), shape)

    def bytes(self, arrays: Sequence[NDArray[Any]], gradient: bool) -> int:
        """What must move at least: each array read once, each gradient written once."""
        return sum(a.nbytes for a in arrays) + sum(arrays[i].nbytes for i in self.wanted if gradient)


ROWS = {name: Row(name=name, **vars(spec.benchmark)) for name, spec in LOSSES.items() if spec.benchmark is not None}


def parse_size(text: str) -> int | Shape:
    """A number of elements, such as ``4Ki`` or ``4096``, or a shape, such as ``8192x1000``."""
    try:
        if "x" in text:
            return tuple(int(n) for n in text.split("x"))
        for suffix, unit in (("Ki", KI), ("Mi", MI)):
            if text.endswith(suffix):
                return int(text.removesuffix(suffix)) * unit
        return int(text)
    except ValueError:
        raise ValueError(f"a size is like 4Ki, 4096 or 8192x1000, got {text!r}") from None


def format_shape(row: Row, shape: Shape) -> str:
    """As `parse_size` takes it; elementwise ones by their number of elements."""
    if not row.elementwise:
        return "x".join(map(str, shape))
    count = math.prod(shape)
    for suffix, unit in (("Mi", MI), ("Ki", KI)):
        if count % unit == 0:
            return f"{count // unit}{suffix}"
    return str(count)


def shapes_of(row: Row, sizes: Sequence[int | Shape], quick: bool, named: bool = False) -> list[Shape]:
    """The shapes of a row to measure: its own, or those of `sizes` that it has. `named`: whether the row was."""
    if not sizes:
        return list(row.quick if quick else row.shapes + row.named if named else row.shapes)
    if row.elementwise:
        return [elements(size) for size in sizes if isinstance(size, int)]
    return [shape for shape in row.shapes + row.named if shape in sizes or row.size(shape) in sizes]


__all__ = ["KI", "MI", "ROWS", "SIZES", "Row", "Shape", "elements", "format_shape", "parse_size", "shapes_of"]
