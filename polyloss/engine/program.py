"""Programs: straight-line code that works on a block of rows, run on all rows, block by block.

A block is small enough for the cache, and what it needs besides its input and output is allocated once per thread.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import Any

import numpy as np

from . import dialect as _dialect
from .code import PIECE
from .dialect import ALIGNMENT, Dialect, Kept
from .symbols import ROWS, Symbol
from .writer import Writer

_KEPT = 1 << 25
"""Bytes of scratch memory that a thread keeps, and a block of several rows needs."""
_LAYOUTS = 64
"""How many layouts of it."""


class Program:
    """Code that computes sums over all rows, and arrays of rows.

    Parameters
    ----------
    dialect : Dialect
        Whose operations it is made of.
    total : Symbol
        What is summed over all of its elements.
    arrays : sequence of Symbol
        What is written, block by block.
    flags : sequence of Symbol
        Booleans of which none should be True.
    """

    def __init__(self, dialect: Dialect, total: Symbol, arrays: Sequence[Symbol], flags: Sequence[Symbol]) -> None:
        self.dialect = dialect
        code = Writer(dialect, total, arrays, flags)
        self.source, self.inputs = code.source, code.inputs
        self._slots, self._scratch = code.slots, list(code.scratch)
        exec(_translated(code.source), code.names)
        self._block: Callable[..., tuple[float, bool]] = code.names["block"]
        self._row_bytes = max(sum(code.slots), 1)
        self._most = _KEPT // self._row_bytes

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
        inputs, outputs : sequence of array
            Rows along the first axis, for those inputs that are `blocked`; the others are whole.
        rows, row : int
            The number of rows, and of elements in the largest row.
        threads : callable
            Tells how many threads may take part.
        """
        used = [inputs[i] for i in self.inputs]
        block = _dialect.BLOCK * self.dialect.times
        if rows * row <= block and rows <= self._most:
            return self._one(used, outputs, rows)
        block = min(block, self._most * row)
        cut = [blocked[i] for i in self.inputs]
        starts = _starts(rows, row, block)
        results: list[tuple[float, bool]] = [(0.0, False)] * len(starts)

        def work(todo: Iterable[tuple[int, int]]) -> None:
            with np.errstate(all="ignore"):
                for place, start in todo:
                    stop = min(start + starts.step, rows)
                    parts = [x[start:stop] if c else x for x, c in zip(used, cut, strict=True)]
                    results[place] = self._one(parts, [y[start:stop] for y in outputs], stop - start)

        self.dialect.each(work, enumerate(starts), len(starts), threads)
        # In pairs, as within a block: there may be many.
        return float(np.add.reduce([total for total, _ in results])), any(bad for _, bad in results)

    def _one(self, inputs: Sequence[Any], outputs: Sequence[Any], rows: int) -> tuple[float, bool]:
        kept = self.dialect.of_thread.kept
        if kept.busy:
            return self._block(*inputs, *outputs, *self._layout(self.dialect.scratch(self._size(rows)), rows))
        kept.busy = True
        try:
            layout = kept.layouts.get((self, rows)) or self._kept_layout(kept, rows)
            return self._block(*inputs, *outputs, *layout)
        finally:
            kept.busy = False

    def _size(self, rows: int) -> int:
        """How many bytes of scratch memory so many rows need."""
        return self._row_bytes * rows + ALIGNMENT * len(self._slots)

    def _kept_layout(self, kept: Kept, rows: int) -> list[Any]:
        """The scratch arrays of a block, in memory that is kept where it is not too large."""
        size = self._size(rows)
        if size > _KEPT:
            return self._layout(self.dialect.scratch(size), rows)
        if len(kept.memory) < size or len(kept.layouts) >= _LAYOUTS:
            kept.layouts.clear()
        if len(kept.memory) < size:
            # Some more: batches of other lengths may follow.
            kept.memory = self.dialect.scratch(1 << (size - 1).bit_length())
        layout = kept.layouts[self, rows] = self._layout(kept.memory, rows)
        return layout

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
                arrays.append(self.dialect.constant(np.arange(rows, dtype=dtype) * -slot))
            else:
                arrays.append(self.dialect.part(memory, starts[slot], lengths, dtype))
        return arrays


@functools.lru_cache(maxsize=256)
def _translated(source: str) -> CodeType:
    """Byte code. Programs for rows of other lengths have the same source, and other constants."""
    return compile(source, "<polyloss block>", "exec")


def _starts(rows: int, row: int, block: int) -> range:
    """Where blocks of about the same size start."""
    step = -(-rows // -(-rows * row // max(block, row)))
    if step * row > PIECE > row:
        # No products are left over in the sums of them.
        step += -(step * row) % PIECE // row
    return range(0, rows, step)
