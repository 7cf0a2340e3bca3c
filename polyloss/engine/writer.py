"""The code of a program: in which order operations are done, in which memory, and how each is written down."""

import math
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from .dialect import Dialect
from .symbols import BOOL, ROWS, Shape, Symbol, UntraceableError, is_product, limits_of
from .trace import IN_PLACE


class Writer:
    """Writes a function ``block`` of inputs, outputs and scratch memory, in the operations of `dialect`; see `Program`.

    Attributes
    ----------
    source : str
        The function: it returns the total, and whether a flag was raised.
    names : dict
        What it finds under a name that is not an argument.
    inputs : list of int
        The numbers of the inputs that it takes.
    slots : list of int
        For each piece of scratch memory, how many bytes it has for each row.
    scratch : dict
        The shape, the dtype and the slot of each array there, in the order of the arguments. In the place of a slot,
        the negative of a step: what is there counts up by it.
    """

    def __init__(self, dialect: Dialect, total: Symbol, arrays: Sequence[Symbol], flags: Sequence[Symbol]) -> None:
        self.dialect = dialect
        self.names: dict[str, Any] = dict(dialect.functions)
        self.slots: list[int] = []
        self.scratch: dict[tuple[Shape, Any, int], int] = {}
        self._free: dict[int, list[int]] = {}
        self._lines: list[str] = []
        self._codes: dict[Symbol, str] = {}
        self._slot_of: dict[Symbol, int] = {}
        self._outputs: dict[Symbol, tuple[str, Any]] = {}
        self._write(total, arrays, flags)

    def _write(self, total: Symbol, arrays: Sequence[Symbol], flags: Sequence[Symbol]) -> None:
        tested, checked = [], []
        for flag in flags:
            limits = limits_of(flag)
            # Of an argument, or of the ends of rows, the smallest and the largest value tell.
            ends = ("maximum.reduce", "minimum.reduce")
            if limits is not None and (_is_argument(limits[0]) or limits[0].op in ends):
                checked.append(limits)
            else:
                tested.append(flag)
        roots = [*arrays, *tested, total, *(limits[0] for limits in checked)]
        order = _reachable(roots)
        owners = _owners(order)
        # A product that is only summed is a dot product.
        factors: tuple[Symbol, ...] = ()
        if is_product(total) and _is_only_summed(total, order, {*map(owners.__getitem__, arrays)}):
            factors = total.args
            order = [symbol for symbol in order if symbol is not total]
        self._name_outputs(arrays, owners)
        last = _last_uses(order, owners, [*roots, *factors])
        for place, symbol in enumerate(order):
            dying: dict[Symbol, None] = {}
            for arg in symbol.args:
                owner = owners[arg]
                if last[owner] == place and owner in self._slot_of:
                    dying[owner] = None
            self._emit(symbol, owners, dying)
            for owner in dying:
                if owner in self._slot_of:
                    self._release(self._slot_of.pop(owner))
        for number, array in enumerate(arrays):
            output = self._outputs.get(owners[array])
            if output is None or output[0] != f"y{number}":
                self._write_lines("full", [self._codes[array]], f"y{number}")
        tests = []
        for flag in tested:
            tests.append(f"any_of({self._codes[flag]})")
        for x, low, high in checked:
            tests.append(f"outside({self._codes[x]}, {self._constant(low)}, {self._constant(high)})")
        names = map(self._codes.__getitem__, factors)
        whole = f"dot({', '.join(names)})" if factors else f"total({self._codes[total]})"
        self.inputs = sorted({symbol.value for symbol in order if symbol.op == "input"})
        counts = (("x", self.inputs), ("y", range(len(arrays))), ("v", range(len(self.scratch))))
        parameters = [f"{letter}{number}" for letter, numbers in counts for number in numbers]
        body = "\n    ".join([*self._lines, f"return {whole}, {' or '.join(tests) or False}"])
        self.source = f"def block({', '.join(parameters)}):\n    {body}\n"

    def _name_outputs(self, arrays: Sequence[Symbol], owners: dict[Symbol, Symbol]) -> None:
        """Let what becomes a result be computed there."""
        for number, array in enumerate(arrays):
            owner = owners[array]
            new = owner.op not in ("input", "constant", "arange") and owner not in self._outputs
            if new and owner.lengths == array.lengths:
                self._outputs[owner] = (f"y{number}", array.dtype)

    def _emit(self, symbol: Symbol, owners: dict[Symbol, Symbol], dying: dict[Symbol, None]) -> None:
        """Write an operation down. The memory of `dying` is needed for it, and then no more."""
        op, args = symbol.op, symbol.args
        if op == "input":
            self._codes[symbol] = f"x{symbol.value}"
        elif op in ("constant", "arange"):
            value = np.asarray(symbol.value) if op == "constant" else np.arange(symbol.lengths[0], dtype=symbol.dtype)
            self._codes[symbol] = self._constant(self.dialect.constant(value))
        elif op == "view":
            self._codes[symbol] = self._view(symbol, args[0], self._slot_of.get(owners[args[0]]))
        elif op == "splat":
            self._codes[symbol] = self._codes[args[0]]
        else:
            operands = [*map(self._codes.__getitem__, args)]
            if op == "index":
                operands.append(self._array((ROWS,), symbol.dtype, -symbol.value))
            self._codes[symbol] = out = self._store(symbol, dying)
            if op == "put" and out != operands[0]:
                self._write_lines("full", operands[:1], out)
            self._write_lines(op, operands, out, symbol)

    def _write_lines(self, op: str, operands: list[str], out: str, symbol: Symbol | None = None) -> None:
        compare, flag = None, ""
        if symbol is not None and op in ("mask", "unmask") and symbol.value:
            op, compare = f"{op}.compared", symbol.value
        lines = self.dialect.templates.get(op, self.dialect.other)
        if symbol is not None and compare is not None and "{flag}" in "".join(lines):
            slot, flag = self._memory(symbol.lengths, BOOL)
            self._release(slot)
        for line in lines:
            self._lines.append(
                line.format(op=op, compare=compare, a=operands, all=", ".join(operands), out=out, flag=flag)
            )

    def _view(self, symbol: Symbol, base: Symbol, slot: int | None) -> str:
        """A name for the memory of `base` in another shape or dtype: laid out before, where it is scratch memory."""
        if slot is not None:
            return self._array(symbol.lengths, symbol.dtype, slot)
        name, code = f"w{len(self._lines)}", self._codes[base]
        if symbol.dtype != base.dtype:
            code += f".view({self._constant(self.dialect.dtype(symbol.dtype))})"
        if symbol.lengths != base.lengths:
            if tuple(n for n in symbol.lengths if n != 1) != tuple(n for n in base.lengths if n != 1):
                raise UntraceableError(f"no view of {base.lengths} in {symbol.lengths}")
            lengths = ("-1" if n is ROWS else str(n) for n in symbol.lengths)
            code += f".reshape({', '.join(lengths) or '()'})"
        self._lines.append(f"{name} = {code}")
        return name

    def _store(self, symbol: Symbol, dying: dict[Symbol, None]) -> str:
        """Where the result of an operation goes: into an output, in the place of an operand, or into a free slot."""
        if symbol in self._outputs:
            name, dtype = self._outputs[symbol]
            if dtype == symbol.dtype:
                return name
            dtype = self._constant(self.dialect.dtype(symbol.dtype))
            self._lines.append(f"w{len(self._lines)} = {name}.view({dtype})")
            return f"w{len(self._lines) - 1}"
        if symbol.op == "put" or symbol.op in IN_PLACE:
            for owner in dying:
                alike = owner.lengths == symbol.lengths or _size(owner.lengths) == _size(symbol.lengths)
                first = symbol.op != "put" or owner is symbol.args[0]
                if alike and first and owner in self._slot_of and owner.dtype.itemsize == symbol.dtype.itemsize:
                    self._slot_of[symbol] = slot = self._slot_of.pop(owner)
                    matches = (owner.lengths, owner.dtype) == (symbol.lengths, symbol.dtype)
                    return self._codes[owner] if matches else self._array(symbol.lengths, symbol.dtype, slot)
        self._slot_of[symbol], name = self._memory(symbol.lengths, symbol.dtype)
        return name

    def _memory(self, shape: Shape, dtype: Any) -> tuple[int, str]:
        """A slot that nothing else needs now, and the name of an array there."""
        row = math.prod(shape[ROWS in shape :]) * dtype.itemsize
        free = self._free.get(row)
        if free:
            slot = free.pop()
        else:
            slot = len(self.slots)
            self.slots.append(row)
        return slot, self._array(shape, dtype, slot)

    def _release(self, slot: int) -> None:
        self._free.setdefault(self.slots[slot], []).append(slot)

    def _array(self, shape: Shape, dtype: Any, slot: int) -> str:
        """The name of scratch memory as an array."""
        return f"v{self.scratch.setdefault((shape, dtype, slot), len(self.scratch))}"

    def _constant(self, value: Any) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name


def _is_argument(x: Symbol) -> bool:
    """Whether `x` has the values of an argument."""
    return x.op == "input" or (x.op == "cast" and x.args[0].op == "input")


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


def _owners(order: Sequence[Symbol]) -> dict[Symbol, Symbol]:
    """For each symbol the one whose memory it is."""
    owners: dict[Symbol, Symbol] = {}
    for symbol in order:
        owners[symbol] = owners[symbol.args[0]] if symbol.op in ("view", "splat") else symbol
    return owners


def _last_uses(order: Sequence[Symbol], owners: dict[Symbol, Symbol], kept: Sequence[Symbol]) -> dict[Symbol, int]:
    """Where memory is needed for the last time."""
    last: dict[Symbol, int] = {}
    for place, symbol in enumerate(order):
        for arg in symbol.args:
            last[owners[arg]] = place
    for symbol in kept:
        last[owners[symbol]] = len(order)
    return last


def _is_only_summed(total: Symbol, order: Sequence[Symbol], results: Container[Symbol]) -> bool:
    for symbol in order:
        for arg in symbol.args:
            if arg is total:
                return False
    return total not in results


def _size(shape: Shape) -> tuple[bool, int]:
    """Whether there are rows, and how many elements in one of these, or in all."""
    return ROWS in shape, math.prod(shape[ROWS in shape :])
