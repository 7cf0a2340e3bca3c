"""Programs: straight-line NumPy code that works on a block of rows, run on all rows, block by block.

A block is small enough for the cache, and what it needs besides its input and output is allocated once per thread.
"""

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .code import PIECE
from .symbols import ROWS, Symbol
from .writer import Writer

BLOCK = 1 << 18
"""Elements in a block: few enough for the cache, enough that threads seldom meet in the interpreter."""
_KEPT = 1 << 25
"""Bytes of scratch memory that a thread keeps."""
_LAYOUTS = 64
"""How many layouts of it."""
ALIGNMENT = 64
"""Bytes that memory starts at a multiple of."""


class _Worker(threading.local):
    """What a thread keeps between calls: its scratch memory, and the arrays that were laid out in it."""

    def __init__(self) -> None:
        self.memory = np.empty(0, np.uint8)
        self.layouts: dict[tuple[Program, int], list[Any]] = {}
        self.busy = False


_worker = _Worker()


def aligned(shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """New memory that starts where any vector instruction may."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    array: np.ndarray[Any, Any] = memory[start : start + size].view(dtype).reshape(shape)
    return array


class Program:
    """Code that computes sums over all rows, and arrays of rows.

    Parameters
    ----------
    total : Symbol
        What is summed over all of its elements.
    arrays : sequence of Symbol
        What is written, block by block.
    flags : sequence of Symbol
        Booleans of which none should be True.
    """

    def __init__(self, total: Symbol, arrays: Sequence[Symbol], flags: Sequence[Symbol]) -> None:
        code = Writer(total, arrays, flags)
        self.source, self.inputs = code.source, code.inputs
        self._slots, self._scratch = code.slots, list(code.scratch)
        exec(compile(code.source, "<polyloss block>", "exec"), code.names)
        self._block: Callable[..., tuple[float, bool]] = code.names["block"]
        self._row_bytes = max(sum(code.slots), 1)

    def run(
        self,
        inputs: Sequence[Any],
        blocked: Sequence[bool],
        outputs: Sequence[Any],
        rows: int,
        row: int,
        threads: Callable[[], int],
    ) -> tuple[float, bool]:
        """The total, and whether a flag was raised.

        Parameters
        ----------
        inputs, outputs : sequence of numpy.ndarray
            Rows along the first axis, for those inputs that are `blocked`; the others are whole.
        rows, row : int
            The number of rows, and of elements in the largest row.
        threads : callable
            Tells how many threads may take part.
        """
        used = [inputs[i] for i in self.inputs]
        if rows * row <= BLOCK:
            return self._one(used, outputs, rows)
        cut = [blocked[i] for i in self.inputs]
        starts = _starts(rows, row)
        results: list[tuple[float, bool]] = [(0.0, False)] * len(starts)
        todo: Iterator[tuple[int, int]] = enumerate(starts)

        def work() -> None:
            with np.errstate(all="ignore"):
                for place, start in todo:
                    stop = min(start + starts.step, rows)
                    parts = [x[start:stop] if c else x for x, c in zip(used, cut, strict=True)]
                    results[place] = self._one(parts, [y[start:stop] for y in outputs], stop - start)

        others = []
        with contextlib.suppress(RuntimeError):
            # No threads start any more while the interpreter shuts down.
            for _ in range(min(threads(), len(starts)) - 1):
                others.append(_pool().submit(work))
        try:
            work()
        finally:
            for other in others:
                other.result()
        # In pairs, as within a block: there may be many.
        return float(np.add.reduce([total for total, _ in results])), any(bad for _, bad in results)

    def _one(self, inputs: Sequence[Any], outputs: Sequence[Any], rows: int) -> tuple[float, bool]:
        size = self._row_bytes * rows + ALIGNMENT * len(self._slots)
        worker = _worker
        if worker.busy or size > _KEPT:
            return self._block(*inputs, *outputs, *self._layout(aligned((size,), np.uint8), rows))
        worker.busy = True
        try:
            layout = worker.layouts.get((self, rows))
            if layout is None:
                if worker.memory.size < size or len(worker.layouts) >= _LAYOUTS:
                    worker.layouts.clear()
                if worker.memory.size < size:
                    worker.memory = aligned((size,), np.uint8)
                layout = worker.layouts[self, rows] = self._layout(worker.memory, rows)
            return self._block(*inputs, *outputs, *layout)
        finally:
            worker.busy = False

    def _layout(self, memory: Any, rows: int) -> list[Any]:
        """The scratch arrays of a block, in `memory`."""
        starts, offset = [], 0
        for size in self._slots:
            starts.append(offset)
            offset += -(-size * rows // ALIGNMENT) * ALIGNMENT
        arrays = []
        for shape, dtype, slot in self._scratch:
            lengths = (rows, *shape[1:]) if ROWS in shape else shape
            if slot < 0:
                arrays.append(np.arange(rows, dtype=dtype) * -slot)
            else:
                size = math.prod(lengths) * dtype.itemsize
                arrays.append(memory[starts[slot] : starts[slot] + size].view(dtype).reshape(lengths))
        return arrays


def _starts(rows: int, row: int) -> range:
    """Where blocks of about the same size start."""
    step = -(-rows // -(-rows * row // BLOCK))
    if step * row > PIECE > row:
        # No products are left over in the sums of them.
        step += -(step * row) % PIECE // row
    return range(0, rows, step)


_executor: ThreadPoolExecutor | None = None


def _pool() -> ThreadPoolExecutor:
    global _executor
    if _executor is None:
        _executor = ThreadPoolExecutor(max_workers=max((os.cpu_count() or 2) - 1, 1), thread_name_prefix="polyloss")
    return _executor


def _forget_threads() -> None:
    """A forked process has none of its parent's threads."""
    global _executor
    _executor = None


os.register_at_fork(after_in_child=_forget_threads)
