"""Where it is measured: a framework in one of its modes, and the built-ins that it has."""

import functools
import importlib
import importlib.util
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from polyloss.core.backend import backend_of
from polyloss_conformance import devices

from . import measure, translated
from .rows import DTYPES, HALVES, ROWS, Row

Result = tuple[Any, Sequence[Any]]
Step = Callable[[], Result]
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
    """A framework in one mode, on one device."""

    backend: str
    families: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Its libraries of losses, as in `polyloss.compat`: what each is called here, and what its functions begin with."""
    dtypes: tuple[str, ...] = DTYPES
    slow_to_compile = False
    """Whether compiling takes longer than measuring, so that fewer sizes must do."""

    def __init__(self, mode: str, device: str = "cpu") -> None:
        self.mode, self.device = mode, devices.use(self.backend, device)
        self.on_cpu = device.lower().partition(":")[0] == "cpu"

    @property
    def compiles(self) -> bool:
        """Whether both sides are behind the framework's compiler."""
        return self.mode != MODES[self.backend][0]

    @property
    def compiles_calls(self) -> bool:
        """Whether anything is compiled for each shape and dtype."""
        return self.compiles

    @abstractmethod
    def array(self, array: NDArray[Any], dtype: str = "float32") -> Any:
        """The same numbers as an array of the framework, on the device; floats in a dtype."""

    def rivals(self, row: Row, dtype: str = "float32") -> list[Side]:
        """The built-ins; where there is none, the plain expression in the framework's own operations."""
        found = [side for family in self.families if (side := self.builtin(row, family, dtype)) is not None]
        if row.logits_of:
            found.append(self._of_logits(row))
        return found or [self._plain(row, dtype)]

    def builtin(self, row: Row, family: str, dtype: str) -> Side | None:
        """What a library has for a loss, if anything."""
        found = translated.builtin(row, family, dtype)
        if found is None:
            return None
        (against, prefix), value = self.families[family], found.value
        return Side(against, prefix + found.name, lambda *arrays: self.mean(value(*arrays)))

    def _of_logits(self, row: Row) -> Side:
        """Another loss, of the products of the first two arrays."""
        side = self.rivals(ROWS[row.logits_of])[0]

        def value(rows: Any, columns: Any, *others: Any) -> Any:
            return side.value(self.products(rows, columns), *others)

        return Side("plain", f"{side.name} of the logits", value)

    def _plain(self, row: Row, dtype: str) -> Side:
        """The kernel on whole arrays, or a plain expression, which the framework differentiates. Halves are widened."""
        arrays = tuple(self.array(a) for a in row.arrays(row.shapes[0]))
        xp = backend_of(arrays[0]).namespace(arrays[0])
        losses: Callable[..., Any]
        if row.plain is not None:
            name, losses = "expression, by autodiff", functools.partial(row.plain, xp, **row.keywords)
        else:
            call = row.loss.bind(arrays, dict(row.keywords))
            ready = call.plan.prepare(xp, call.named)
            numbers = list(ready.arrays.values())[len(arrays) :]
            name, losses = "kernel, by autodiff", lambda *arrays: ready.kernel(*arrays, *numbers)[0]
        if dtype not in HALVES:
            return Side("plain", name, lambda *arrays: self.mean(losses(*arrays)))

        def widened(*arrays: Any) -> Any:
            wide = (xp.astype(a, xp.float32) if xp.isdtype(a.dtype, "real floating") else a for a in arrays)
            return self.mean(losses(*wide))

        return Side("plain", name, widened)

    def mean(self, values: Any) -> Any:
        """The mean of what may have axes."""
        return backend_of(values).namespace(values).mean(values) if values.ndim else values

    def products(self, rows: Any, columns: Any) -> Any:
        """Of all rows of one array with all of another one."""
        return rows @ columns.T

    def clock(self) -> float:
        """Seconds, once everything is computed that was asked for."""
        return time.perf_counter()

    @abstractmethod
    def step(self, side: Side, arrays: Sequence[Any], wanted: Sequence[int], gradient: bool) -> Step:
        """What is timed of one side: as a training script would do it."""

    def has_gradient(self, side: Side) -> bool:
        """Whether a side can be differentiated."""
        return True

    def peak_memory(self, step: Step, tries: int) -> int | None:
        """Bytes that a call needs at most beyond its arguments, its result included; None where that is unknown."""
        return measure.peak_memory(step, tries)

    def ours(self, row: Row) -> Side:
        """polyloss."""
        import polyloss

        loss = row.loss
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


TOLERANCES = {"float32": 1e-4, "float16": 0.2, "bfloat16": 0.2}
"""Of the norm. Some built-ins round each step to 16 bits, and choose other rows at a hinge than without."""


def check_same(column: Column, row: Row, ours: Side, theirs: Side, gradient: bool, dtype: str = "float32") -> None:
    """Raise `DifferentError` where two sides differ in value or gradient, on small arrays."""
    arrays = [column.array(a, dtype) for a in row.arrays(row.shapes[0])]
    found = [column.step(side, arrays, row.wanted, gradient)() for side in (ours, theirs)]
    check_results(row, theirs, found[0], found[1], dtype)


def check_results(row: Row, theirs: Side, ours: Result, others: Result, dtype: str = "float32") -> None:
    """Raise `DifferentError` where two results are not the same."""
    for number, (a, b) in enumerate(zip(_numpy(ours), _numpy(others), strict=True)):
        what = f"gradient {row.wanted[number - 1]}" if number else "value"
        if a.shape != b.shape:
            raise DifferentError(f"{row.name} and {theirs.name}: {what} of shape {a.shape} and {b.shape}")
        error, scale = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
        if not error <= TOLERANCES[dtype] * scale:
            raise DifferentError(f"{row.name} and {theirs.name}: {what} differs by {error:.2g} of {scale:.2g}")


def _numpy(result: Result) -> list[NDArray[np.float64]]:
    value, gradients = result
    return [_detached(a) for a in (value, *gradients)]


def _detached(array: Any) -> NDArray[np.float64]:
    if hasattr(array, "detach"):
        array = array.detach().double().cpu()
    return np.asarray(array, dtype=np.float64)


MODES: Mapping[str, tuple[str, ...]] = {
    "numpy": ("eager",),
    "torch": ("eager", "compile"),
    "tensorflow": ("eager", "jit_compile"),
    "jax": ("un-jitted", "jit"),
}


def installed() -> list[str]:
    """The backends that can be imported here."""
    return [name for name in MODES if importlib.util.find_spec(name) is not None]


def load(backend: str, mode: str, device: str = "cpu") -> Column:
    """The column of a name and a mode in `MODES`, on a device. Imports the framework."""
    column: Column = importlib.import_module(f".sides_{backend}", __package__).COLUMN(mode, device)
    return column
