"""Where it is measured: a framework in one of its modes, and the built-ins that it has."""

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import measure
from .rows import Row

Step = Callable[[], tuple[Any, Sequence[Any]]]
"""What is timed: returns the value, and the gradients if they are wanted."""


@dataclass(frozen=True)
class Side:
    """One implementation of a loss.

    Parameters
    ----------
    against : str
        The library: what a panel of the plot is about.
    name : str
        The function.
    value : callable
        Takes the arrays, returns a scalar.
    pair : callable, optional
        Returns the scalar and a sequence of gradients, where the framework does not differentiate by itself.
    """

    against: str
    name: str
    value: Callable[..., Any]
    pair: Callable[..., Any] | None = None


class Column(ABC):
    """A framework in one mode."""

    backend: str
    slow_to_compile = False
    """Whether compiling takes longer than measuring, so that fewer sizes must do."""

    def __init__(self, mode: str) -> None:
        self.mode = mode

    @abstractmethod
    def array(self, array: NDArray[Any]) -> Any:
        """The same numbers as an array of the framework."""

    @abstractmethod
    def rivals(self, row: Row) -> list[Side]:
        """The built-ins, or the best that can be written with the framework's own operations."""

    @abstractmethod
    def step(self, side: Side, arrays: Sequence[Any], wanted: Sequence[int], gradient: bool) -> Step:
        """What is timed of one side: as a training script would do it."""

    def has_gradient(self, side: Side) -> bool:
        """Whether a side can be differentiated."""
        return True

    def peak_memory(self, step: Step, tries: int) -> int | None:
        """Bytes that a call needs at most beyond its arguments, its result included; None where that is unknown."""
        return measure.peak_memory(step, tries)

    def ours(self, row: Row) -> Side | None:
        """polyloss; None if it has no such loss."""
        import polyloss

        loss = getattr(polyloss, row.name, None)
        if loss is None:
            return None
        pair = polyloss.value_and_grad(loss, row.wanted)
        if not row.keywords:
            return Side("polyloss", row.name, loss, pair)
        keywords = row.keywords
        return Side(
            "polyloss", row.name, lambda *arrays: loss(*arrays, **keywords), lambda *arrays: pair(*arrays, **keywords)
        )

    def forget(self) -> None:  # noqa: B027
        """Free what was compiled, if anything is kept."""


class DifferentError(Exception):
    """The two sides of a comparison do not compute the same."""


def check_same(column: Column, row: Row, ours: Side, theirs: Side, gradient: bool) -> None:
    """Raise `DifferentError` where two sides differ in value or gradient, on small arrays."""
    arrays = [column.array(a) for a in row.arrays(row.shapes[0])]
    found = [_numpy(column.step(side, arrays, row.wanted, gradient)()) for side in (ours, theirs)]
    for number, (a, b) in enumerate(zip(*found, strict=True)):
        what = f"gradient {row.wanted[number - 1]}" if number else "value"
        if a.shape != b.shape:
            raise DifferentError(f"{row.name} and {theirs.name}: {what} of shape {a.shape} and {b.shape}")
        error, scale = float(np.max(np.abs(a - b))), float(np.max(np.abs(b)))
        if not error <= 1e-4 * scale:
            raise DifferentError(f"{row.name} and {theirs.name}: {what} differs by {error:.2g} of {scale:.2g}")


def _numpy(result: tuple[Any, Sequence[Any]]) -> list[NDArray[np.float64]]:
    value, gradients = result
    return [_detached(a) for a in (value, *gradients)]


def _detached(array: Any) -> NDArray[np.float64]:
    return np.asarray(array.detach() if hasattr(array, "detach") else array, dtype=np.float64)


MODES: Mapping[str, tuple[str, ...]] = {
    "numpy": ("eager",),
    "torch": ("eager", "compile"),
    "tensorflow": ("eager", "jit_compile"),
    "jax": ("un-jitted", "jit"),
}


def installed() -> list[str]:
    """The backends that can be imported here."""
    return [name for name in MODES if importlib.util.find_spec(name) is not None]


def load(backend: str, mode: str) -> Column:
    """The column of a name and a mode in `MODES`. Imports the framework."""
    column: Column = importlib.import_module(f".sides_{backend}", __package__).COLUMN(mode)
    return column
