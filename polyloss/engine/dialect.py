"""In whose operations a block is written, and in whose memory it is computed: NumPy's, or those of a framework."""

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

BLOCK = 1 << 18
"""Elements in a block: few enough for the cache, enough that threads seldom meet in the interpreter."""
ALIGNMENT = 64
"""Bytes that memory starts at a multiple of."""

Shape = tuple[int, ...]
Work = Callable[[Iterable[Any]], None]


def aligned(shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """New memory that starts where any vector instruction may."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    array: np.ndarray[Any, Any] = memory[start : start + size].view(dtype).reshape(shape)
    return array


class Kept:
    """What a thread keeps between calls: its scratch memory, and the arrays that were laid out in it."""

    __slots__ = ("busy", "layouts", "memory")

    def __init__(self) -> None:
        self.memory: Any = ()
        self.layouts: dict[Any, list[Any]] = {}
        self.busy = False


class _OfThread(threading.local):
    """Of what belongs to threads, each attribute takes long to find: this has one."""

    def __init__(self) -> None:
        self.kept = Kept()


class Dialect(ABC):
    """The operations of arrays that have memory: those that write their results where they are told.

    Parameters
    ----------
    templates : dict
        Lines of code for the operations that need some of their own. ``{a[0]}``, ``{a[1]}`` ... are the operands,
        ``{all}`` all of them; ``{out}`` is where the result goes, ``{flag}`` memory of its shape for booleans, and
        ``{compare}`` the comparison that a mask is of.
    other : tuple of str
        The template of any other operation: ``{op}`` is its name.
    functions : dict
        What the lines call.
    times : int
        How many times as large as `BLOCK` a block is.
    """

    def __init__(
        self,
        templates: Mapping[str, tuple[str, ...]],
        other: tuple[str, ...],
        functions: Mapping[str, Any],
        times: int = 1,
    ) -> None:
        self.templates, self.other, self.functions, self.times = templates, other, functions, times
        self.of_thread = _OfThread()

    @abstractmethod
    def constant(self, value: Any) -> Any:
        """An array of NumPy as one that is only read."""

    @abstractmethod
    def dtype(self, dtype: Any) -> Any:
        """A dtype of NumPy as one of these arrays."""

    @abstractmethod
    def scratch(self, size: int) -> Any:
        """So many bytes, which start at a multiple of `ALIGNMENT`."""

    @abstractmethod
    def part(self, memory: Any, start: int, shape: Shape, dtype: Any) -> Any:
        """The array that starts at a byte of scratch memory. `dtype` is one of NumPy."""

    @abstractmethod
    def moved(self, array: Any, source: Shape, destination: Shape) -> Any:
        """The array with axes in other places."""

    @abstractmethod
    def spread(self, array: Any, shape: Shape) -> Any:
        """The array, broadcast."""

    @abstractmethod
    def each(self, work: Work, blocks: Iterable[Any], count: int, threads: Callable[[], int]) -> None:
        """Have the work done on all of so many blocks, by at most so many threads."""
