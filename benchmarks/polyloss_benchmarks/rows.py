"""What is measured: the losses whose records say how, and their shapes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import polyloss
from polyloss_conformance import declared
from polyloss_conformance.arrays import Shape
from polyloss_conformance.benchmark import HALVES, KI, MI, SIZES, Benchmark, elements
from polyloss_conformance.losses import LOSSES
from polyloss_conformance.spec import Spec

DTYPES = ("float32", *HALVES)
_SHAPES: dict[int, tuple[Shape, ...]] = {
    0: (elements(64 * KI), elements(MI)),
    1: ((128, 16), (8192, 128)),
    2: ((4, 256, 4), (16, 8192, 8)),
}
"""What is measured of a loss whose record does not say: by the number of axes of a row."""


@dataclass(frozen=True, kw_only=True)
class Row(Benchmark):
    """One loss.

    Parameters
    ----------
    name : str
        Of the loss in `polyloss`.
    row_axes : int
        How many axes a row has; none where each element has a loss of its own.
    """

    name: str
    row_axes: int

    @classmethod
    def of(cls, spec: Spec) -> "Row":
        """What a record says, and what it leaves out."""
        said = spec.benchmark
        axes = spec.letters if spec.rowwise else 0
        shapes = said.shapes or _SHAPES[axes]
        filled = {**vars(said), "shapes": shapes, "quick": said.quick or shapes[:1]}
        return cls(**filled, name=spec.loss, row_axes=axes)

    @property
    def elementwise(self) -> bool:
        """Whether any size is possible."""
        return not self.row_axes

    @property
    def loss(self) -> polyloss.Loss[Any]:
        """The loss itself."""
        found: polyloss.Loss[Any] = getattr(polyloss, self.name)
        return found

    def losses(self, shape: Shape) -> int:
        """How many losses of examples there are."""
        return math.prod(shape[: len(shape) - self.row_axes])

    def arrays(self, shape: Shape) -> tuple[NDArray[Any], ...]:
        """The arrays, the same ones every time."""
        if self.make is not None:
            return self.make(np.random.default_rng(7), shape)
        count = len(shape) - self.row_axes
        found = declared.generated(self.loss, shape[:count], dict(zip(self.loss.row, shape[count:], strict=True)))
        return tuple(a.astype(np.float32) if a.dtype == np.float64 else a for a in found)

    def moved(self, arrays: Sequence[Any], gradient: bool) -> int:
        """What must move at least: each array read once, each gradient written once."""
        return sum(map(_bytes, arrays)) + sum(_bytes(arrays[i]) for i in self.wanted if gradient)


def _bytes(array: Any) -> int:
    # Tensors of TensorFlow have no `nbytes`.
    size: int = math.prod(array.shape) * (array.dtype.size if hasattr(array.dtype, "size") else array.dtype.itemsize)
    return size


ROWS = {name: Row.of(spec) for name, spec in LOSSES.items()}


def parse_size(text: str) -> int | Shape:
    """A number of elements, such as ``4Ki`` or ``4096``, or a shape, such as ``8192x1000``."""
    units = {"Ki": KI, "Mi": MI}
    unit = units.get(text[-2:], 1)
    lengths = text.removesuffix(text[-2:] if unit > 1 else "").split("x")
    if not all(length.isdecimal() and int(length) for length in lengths) or (unit > 1 and len(lengths) > 1):
        raise ValueError(f"a size is like 4Ki, 4096 or 8192x1000, got {text!r}")
    return tuple(map(int, lengths)) if len(lengths) > 1 else int(lengths[0]) * unit


def format_shape(row: Row, shape: Shape) -> str:
    """As `parse_size` takes it; elementwise ones by their number of elements."""
    if not row.elementwise:
        return "x".join(map(str, shape))
    count = math.prod(shape)
    for suffix, unit in (("Mi", MI), ("Ki", KI)):
        if count % unit == 0:
            return f"{count // unit}{suffix}"
    return str(count)


def shapes_of(
    row: Row, sizes: Sequence[int | Shape], quick: bool, named: bool = False, dtype: str = "float32"
) -> list[Shape]:
    """The shapes of a row to measure: its own, or those of `sizes` that it has. `named`: whether the row was."""
    half = dtype in HALVES
    if not sizes:
        shapes = row.quick if quick else row.shapes + row.named if named and not half else row.shapes
        return list(row.halves or shapes if half and not quick else shapes)
    if row.elementwise:
        return [elements(size) for size in sizes if isinstance(size, int)]
    known = dict.fromkeys(row.shapes + row.named + row.quick + row.halves)
    return [shape for shape in known if shape in sizes or row.size(shape) in sizes]


__all__ = [
    "DTYPES",
    "HALVES",
    "KI",
    "MI",
    "ROWS",
    "SIZES",
    "Row",
    "Shape",
    "elements",
    "format_shape",
    "parse_size",
    "shapes_of",
]
