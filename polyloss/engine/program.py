"""Graphs as straight-line NumPy code that works on a block of rows, without a temporary of its own.

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

from .code import FUNCTIONS, OTHER, PIECE, TEMPLATES
from .symbols import BOOL, ROWS, Symbol, UntraceableError, is_product, limits_of
from .trace import IN_PLACE

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
    start = -memory.ctypes.data % ALIGNMENT
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
        self._globals: dict[str, Any] = dict(FUNCTIONS)
        self._scratch: list[tuple[tuple[Any, ...], Any, int]] = []
        self._slots: list[int] = []
        self._free: dict[int, list[int]] = {}
        self._lines: list[str] = []
        self._names: dict[Symbol, str] = {}
        self._slot_of: dict[Symbol, int] = {}
        self._write(total, arrays, flags)

    def _write(self, total: Symbol, arrays: Sequence[Symbol], flags: Sequence[Symbol]) -> None:
        # Of an argument, the smallest and the largest value tell.
        limits = [limit if limit is not None and limit[0].op == "input" else None for limit in map(limits_of, flags)]
        flags = [flag for flag, limit in zip(flags, limits, strict=True) if limit is None]
        checked = [limit for limit in limits if limit is not None]
        roots = [*arrays, *flags, total, *(x for x, *_ in checked)]
        order = _reachable(roots)
        used = {arg for symbol in order for arg in symbol.args}
        # A product that is only summed is a dot product.
        factors: tuple[Symbol, ...] = ()
        if is_product(total) and total not in {*used, *map(_owner, arrays)}:
            factors = total.args
            order = [symbol for symbol in order if symbol is not total]
        last: dict[Symbol, int] = {}
        for place, symbol in enumerate(order):
            for arg in symbol.args:
                last[_owner(arg)] = place
        for root in (*roots, *factors):
            last[_owner(root)] = len(order)
        outputs: dict[Symbol, tuple[str, Any]] = {}
        for number, symbol in enumerate(arrays):
            owner = _owner(symbol)
            if (
                owner.op not in ("input", "constant", "arange")
                and owner not in outputs
                and owner.lengths == symbol.lengths
            ):
                outputs[owner] = (f"y{number}", symbol.dtype)
        self.inputs = sorted({s.value for s in order if s.op == "input"})
        for place, symbol in enumerate(order):
            dying = [a for a in dict.fromkeys(map(_owner, symbol.args)) if last[a] == place and a in self._slot_of]
            self._emit(symbol, outputs, dying)
            for owner in dying:
                if owner in self._slot_of:
                    slot = self._slot_of.pop(owner)
                    self._free.setdefault(self._slots[slot], []).append(slot)
        for number, symbol in enumerate(arrays):
            if outputs.get(_owner(symbol), ("",))[0] != f"y{number}":
                self._write_lines("full", [self._names[symbol]], f"y{number}")
        tests = [f"any_of({self._names[flag]})" for flag in flags]
        tests += [
            f"outside({self._names[x]}, {self._constant(low)}, {self._constant(high)})" for x, low, high in checked
        ]
        whole = f"dot({', '.join(self._names[a] for a in factors)})" if factors else f"total({self._names[total]})"
        parameters = [f"x{i}" for i in self.inputs] + [f"y{i}" for i in range(len(arrays))]
        parameters += [f"v{i}" for i in range(len(self._scratch))]
        body = "\n    ".join([*self._lines, f"return {whole}, {' or '.join(tests) or False}"])
        self.source = f"def block({', '.join(parameters)}):\n    {body}\n"
        exec(compile(self.source, "<polyloss block>", "exec"), self._globals)
        self._block: Callable[..., tuple[float, bool]] = self._globals["block"]
        self._row_bytes = max(sum(self._slots), 1)

    def _emit(self, symbol: Symbol, outputs: dict[Symbol, tuple[str, Any]], dying: list[Symbol]) -> None:
        op, args = symbol.op, symbol.args
        if op == "input":
            self._names[symbol] = f"x{symbol.value}"
            return
        if op in ("constant", "arange"):
            value = np.asarray(symbol.value) if op == "constant" else np.arange(symbol.lengths[0], dtype=symbol.dtype)
            value.flags.writeable = False
            self._names[symbol] = self._constant(value)
            return
        if op == "view":
            self._names[symbol] = self._view(symbol, args[0])
            return
        if op == "splat":
            self._names[symbol] = self._names[args[0]]
            return
        a = [self._names[arg] for arg in args]
        if op == "index":
            a.append(self._new((ROWS,), symbol.dtype, -symbol.value))
        self._names[symbol] = out = self._store(symbol, outputs, dying)
        if op == "put" and out != a[0]:
            self._write_lines("full", a[:1], out)
        self._write_lines(op, a, out, symbol)

    def _write_lines(self, op: str, operands: list[str], out: str, symbol: Symbol | None = None) -> None:
        compare = None if symbol is None or op not in ("mask", "unmask") else symbol.value
        lines = TEMPLATES.get(f"{op}.compared" if compare else op, OTHER)
        fields = {"op": op, "compare": compare, "a": _Operands(operands), "out": out}
        if symbol is not None and compare:
            slot = self._free_slot(_row_bytes(symbol.lengths, BOOL))
            fields["flag"] = self._new(symbol.lengths, BOOL, slot)
            self._free.setdefault(self._slots[slot], []).append(slot)
        self._lines += [line.format(**fields) for line in lines]

    def _view(self, symbol: Symbol, base: Symbol) -> str:
        """A name for the memory of `base` in another shape or dtype: laid out before, where it is scratch memory."""
        slot = self._slot_of.get(_owner(base))
        if slot is not None:
            return self._new(symbol.lengths, symbol.dtype, slot)
        name, code = f"w{len(self._lines)}", self._names[base]
        if symbol.dtype != base.dtype:
            code += f".view({self._constant(symbol.dtype)})"
        if symbol.lengths != base.lengths:
            if tuple(n for n in symbol.lengths if n != 1) != tuple(n for n in base.lengths if n != 1):
                raise UntraceableError(f"no view of {base.lengths} in {symbol.lengths}")
            lengths = ("-1" if n is ROWS else str(n) for n in symbol.lengths)
            code += f".reshape({', '.join(lengths) or '()'})"
        self._lines.append(f"{name} = {code}")
        return name

    def _store(self, symbol: Symbol, outputs: dict[Symbol, tuple[str, Any]], dying: list[Symbol]) -> str:
        """Where the result of an operation goes: into an output, in the place of an operand, or into a free slot."""
        if symbol in outputs:
            name, dtype = outputs[symbol]
            if dtype == symbol.dtype:
                return name
            self._lines.append(f"w{len(self._lines)} = {name}.view({self._constant(symbol.dtype)})")
            return f"w{len(self._lines) - 1}"
        row = _row_bytes(symbol.lengths, symbol.dtype)
        if symbol.op == "put" or symbol.op in IN_PLACE:
            for owner in dying:
                same = self._slot_of.get(owner) is not None and self._slots[self._slot_of[owner]] == row
                same = same and (ROWS in owner.lengths) == (ROWS in symbol.lengths)
                first = symbol.op != "put" or owner is symbol.args[0]
                if same and first and owner.dtype.itemsize == symbol.dtype.itemsize:
                    self._slot_of[symbol] = slot = self._slot_of.pop(owner)
                    memory = self._names[owner]
                    matches = (owner.lengths, owner.dtype) == (symbol.lengths, symbol.dtype)
                    return memory if matches else self._new(symbol.lengths, symbol.dtype, slot)
        self._slot_of[symbol] = slot = self._free_slot(row)
        return self._new(symbol.lengths, symbol.dtype, slot)

    def _free_slot(self, row: int) -> int:
        """Memory of so many bytes per row that nothing else needs now."""
        if self._free.get(row):
            return self._free[row].pop()
        self._slots.append(row)
        return len(self._slots) - 1

    def _new(self, shape: tuple[Any, ...], dtype: Any, slot: int) -> str:
        layout = (shape, dtype, slot)
        if layout not in self._scratch:
            self._scratch.append(layout)
        return f"v{self._scratch.index(layout)}"

    def _constant(self, value: Any) -> str:
        name = f"c{len(self._globals)}"
        self._globals[name] = value
        return name

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
            lengths = tuple(rows if n is ROWS else n for n in shape)
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


def _owner(symbol: Symbol) -> Symbol:
    """The symbol whose memory this is."""
    while symbol.op in ("view", "splat"):
        (symbol,) = symbol.args
    return symbol


def _row_bytes(shape: tuple[Any, ...], dtype: Any) -> int:
    return int(math.prod(n for n in shape if n is not ROWS) * dtype.itemsize)


class _Operands(list[str]):
    """Written out, they are separated by commas."""

    def __format__(self, _: str) -> str:
        return ", ".join(self)


def _reachable(roots: Sequence[Symbol]) -> list[Symbol]:
    """What the roots are made of, in the order in which it was written down."""
    reached: set[Symbol] = set()
    todo = list(roots)
    while todo:
        symbol = todo.pop()
        if symbol not in reached:
            reached.add(symbol)
            todo += symbol.args
    return [symbol for symbol in roots[0].trace.symbols if symbol in reached]


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
