"""What is measured: losses, shapes, and the arrays for them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Make = Callable[[np.random.Generator, Shape], tuple[NDArray[Any], ...]]

KI, MI = 1 << 10, 1 << 20
FEATURES = 64
"""The last axis of elementwise arrays: some libraries average over it first."""


def elements(count: int) -> Shape:
    """The shape of an elementwise array of `count` elements."""
    return (count // FEATURES, FEATURES) if count % FEATURES == 0 else (count,)


@dataclass(frozen=True)
class Row:
    """One loss.

    Parameters
    ----------
    name : str
        Of the loss in `polyloss`.
    shapes : sequence of tuple of int
        Of the first array, except for `linear_cross_entropy`: tokens, hidden, vocabulary. The first one is small: there
        the two sides are compared before anything is timed.
    quick : sequence of tuple of int
        The shapes of a quick run.
    make : callable
        Makes the arrays.
    wanted : sequence of int
        The arrays to differentiate with respect to.
    elementwise : bool
        Whether any size is possible.
    named : sequence of tuple of int
        More shapes, which take minutes: only for who names the row or the size.
    """

    name: str
    shapes: tuple[Shape, ...]
    quick: tuple[Shape, ...]
    make: Make
    wanted: tuple[int, ...] = (0,)
    elementwise: bool = False
    named: tuple[Shape, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)

    def size(self, shape: Shape) -> int:
        """How many elements the largest array of a plain implementation has."""
        return shape[0] * shape[2] if self.name == "linear_cross_entropy" else math.prod(shape)

    def arrays(self, shape: Shape) -> tuple[NDArray[Any], ...]:
        """The arrays, the same ones every time."""
        return self.make(np.random.default_rng(7), shape)

    def bytes(self, arrays: Sequence[NDArray[Any]], gradient: bool) -> int:
        """What must move at least: each array read once, each gradient written once."""
        return sum(a.nbytes for a in arrays) + sum(arrays[i].nbytes for i in self.wanted if gradient)


def _normal(rng: np.random.Generator, shape: Shape) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


def _log_probabilities(rng: np.random.Generator, shape: Shape) -> NDArray[np.float32]:
    logits = _normal(rng, shape)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits


def _regression(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return _normal(rng, shape), _normal(rng, shape)


def _binary(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return _normal(rng, shape), (_normal(rng, shape) > 0.5).astype(np.float32)


def _classes(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return _normal(rng, shape), rng.integers(shape[1], size=shape[0])


def _distributions(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return _log_probabilities(rng, shape), np.exp(_log_probabilities(rng, shape))


def _triplets(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return _normal(rng, shape), _normal(rng, shape), _normal(rng, shape)


def _tokens(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    tokens, hidden, vocabulary = shape
    weight = _normal(rng, (vocabulary, hidden)) / np.float32(math.sqrt(hidden))
    return _normal(rng, (tokens, hidden)), weight, rng.integers(vocabulary, size=tokens)


SIZES = tuple(map(elements, (4 * KI, 64 * KI, MI, 4 * MI, 16 * MI)))


def _elementwise(name: str, make: Make, **keywords: Any) -> Row:
    return Row(name, SIZES, SIZES[:3:2], make, elementwise=True, keywords=keywords)


ROWS = {
    row.name: row
    for row in (
        _elementwise("mse", _regression),
        _elementwise("l1", _regression),
        _elementwise("huber", _regression),
        _elementwise("smooth_l1", _regression, beta=0.5),
        _elementwise("binary_cross_entropy_with_logits", _binary),
        _elementwise("sigmoid_focal", _binary, alpha=0.25, gamma=2.0),
        Row(
            "cross_entropy",
            ((128, 10), (8192, 1000), (1024, 50257), (512, 131072)),
            ((128, 10), (1024, 1000)),
            _classes,
        ),
        Row("kl_divergence", ((128, 128), (8192, 1000)), ((128, 128),), _distributions),
        Row("triplet_margin", ((128, 128), (8192, 128)), ((128, 128),), _triplets, wanted=(0, 1, 2)),
        Row(
            "linear_cross_entropy",
            ((256, 64, 1024),),
            ((256, 64, 1024),),
            _tokens,
            wanted=(0, 1),
            named=((2048, 1024, 131072),),
        ),
    )
}


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
