"""Calls on arrays in memory, block by block: value and gradients in one pass, with no temporary of their size.

The rows of a call are those of its kernel, or more: what belongs to several examples stays together.
"""

import functools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from ._backend import Backend
from ._plan import Plan, cast
from ._program import Program
from ._reduction import expand
from ._trace import ROWS, Symbol, Trace
from ._typing import Array

enabled = os.environ.get("POLYLOSS_BLOCKS", "1") != "0"
"""Whether calls are made block by block, where they can be."""

_ROW = 1 << 15
"""Elements of a row that stay together for the sake of a weight or a parameter."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Layout:
    """How an array of a call becomes rows, and what a row is."""

    axis: int | None
    shape: Shape
    rows: Shape
    tail: Shape

    @property
    def blocked(self) -> bool:
        return bool(self.rows)

    @functools.cached_property
    def target(self) -> Shape:
        return self.rows + self.tail

    def __call__(self, array: Any) -> Any:
        """The rows of `array`: a view where there is one."""
        if self.axis is not None:
            array = np.moveaxis(array, self.axis, -1)
        if array.shape != self.shape:
            if self.blocked:
                array = array.reshape(array.shape + (1,) * (len(self.shape) - array.ndim))
            array = np.broadcast_to(array, self.shape)
        return array if array.shape == self.target else array.reshape(self.target)


@dataclass(frozen=True)
class _Form:
    """What code depends on: everything but the number of rows."""

    plan: Plan
    names: tuple[str, ...]
    layouts: tuple[tuple[Shape, bool], ...]
    dtypes: tuple[Any, ...]

    def symbols(self) -> tuple[Trace, list[Symbol], dict[str, Symbol]]:
        trace = Trace()
        found = [
            _input(trace, number, *layout, dtype)
            for number, (layout, dtype) in enumerate(zip(self.layouts, self.dtypes, strict=True))
        ]
        count = len(self.plan.loss.arrays)
        return trace, found[:count], dict(zip(self.names, found[count:], strict=True))


def _input(trace: Trace, number: int, tail: Shape, blocked: bool, dtype: Any) -> Symbol:
    """An array of rows or, where it is not `blocked`, one that all rows share."""
    return trace.input(number, (ROWS, *tail) if blocked else tail, dtype)


@functools.lru_cache(maxsize=1024)
def _program(form: _Form, wanted: tuple[int, ...]) -> tuple[Program, tuple[int, ...], int]:
    """The code of the sum of all losses, of its gradients by some inputs, and of checks; which of them there are, and
    how many there could be."""
    trace, inputs, options = form.symbols()
    ready = form.plan.prepare(trace, inputs, options)
    losses, *gradients = ready.kernel(*ready.arrays)
    losses = trace.settle(losses)
    divisor = trace.input(len(form.dtypes), (), losses.dtype)
    share = ready.weights.share(trace, losses, divisor)
    outputs = []
    known = tuple(number for number in wanted if number < len(gradients))
    for number in known:
        local = trace.broadcast_to(gradients[number](), inputs[number].shape)
        gradient = expand(share, local.ndim) * local
        if ready.weights.mask is not None:
            gradient = trace.where(expand(ready.weights.mask, local.ndim), gradient, 0.0)
        outputs.append(trace.settle(gradient))
    flags = [outside for *_, outside, _ in form.plan.outside(trace, inputs, options)]
    return Program(trace.whole(ready.weights.weigh(trace, losses)), outputs, flags), known, len(gradients)


@functools.lru_cache(maxsize=1024)
def _counting(form: _Form) -> Program | float | None:
    """The code of the denominator of the mean; or what each example adds to it; or None where it is given."""
    trace, inputs, options = form.symbols()
    ready = form.plan.prepare(trace, inputs, options)
    losses = trace.settle(ready.kernel(*ready.arrays)[0])
    if ready.weights.denominator is not None:
        return None
    counted = ready.weights.counted(trace, losses, form.plan.reduction)
    if counted is None or counted.op == "constant":
        return 1.0
    return Program(trace.whole(counted), [], [])


class _Task(NamedTuple):
    """What is to be done for some gradients."""

    program: Program
    outputs: tuple[tuple[int, Shape, Shape], ...]
    """For each gradient: the number of its array, its shape with the axis of the rows last, and that of its rows."""


class Blocks:
    """A plan for arrays of known shapes, as a function that finds its gradients together with its value."""

    def __init__(self, plan: Plan, backend: Backend, inputs: Sequence[Array], options: Mapping[str, Array]) -> None:
        self.plan = plan
        self.backend = backend
        self.names = tuple(options)
        self.layouts = _layouts(plan, inputs, options)
        arrays = [backend.memory(array) for array in (*inputs, *options.values())]
        self.dtype = arrays[0].dtype
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"no blocks of {self.dtype}")
        self.form = _Form(
            replace(plan, axis=None if plan.axis is None else 1),
            self.names,
            tuple((layout.tail, layout.blocked) for layout in self.layouts),
            tuple(array.dtype for array in arrays),
        )
        self.rows = next(layout.rows[0] for layout in self.layouts if layout.blocked)
        self.row = max(math.prod(layout.tail) for layout in self.layouts if layout.blocked)
        self.blocked = [*(layout.blocked for layout in self.layouts), False]
        self.shapes = [tuple(array.shape) for array in inputs]
        first = self.shapes[0]
        self.count = math.prod(first) // (1 if plan.axis is None else first[plan.axis])
        domains = {name: plan.loss.domains[name] for name in self.names if name in plan.loss.domains}
        self.checked = "denominator" in options or any(
            not domain.everything and name not in plan.numbers for name, domain in domains.items()
        )
        floats = [kind for kind in self.form.dtypes[: len(inputs)] if kind.kind not in "biu"]
        self.unusual = any(layout.axis is not None for layout in self.layouts) or len(set(floats)) > 1
        self._tasks: dict[tuple[bool, ...], _Task] = {}
        self._total = None if plan.reduction == "sum" else _counting(self.form)
        # What never changes is an array once and for all.
        self._constant = None
        if plan.reduction == "sum" or isinstance(self._total, float):
            self._constant = np.asarray(1.0 if self._total is None else self._total * self.count, self.dtype)
        self.gradients = _program(self.form, ())[2]

    def _task(self, wanted: tuple[bool, ...]) -> _Task:
        program, known, _ = _program(self.form, tuple(i for i, want in enumerate(wanted) if want))
        outputs = []
        for number in known:
            axis, shape = self.layouts[number].axis, self.shapes[number]
            if axis is not None:
                shape = shape[:axis] + shape[axis + 1 :] + shape[axis : axis + 1]
            outputs.append((number, shape, self.layouts[number].target))
        self._tasks[wanted] = task = _Task(program, tuple(outputs))
        return task

    def forward(self, arrays: Sequence[Array], wanted: Sequence[bool]) -> tuple[Array, list[Array | None]]:
        """The loss, and its gradients."""
        backend, dtype = self.backend, self.dtype
        if self.checked:
            self.plan.check_options(*self._arguments(arrays))
        wanted = tuple(wanted)
        task = self._tasks.get(wanted) or self._task(wanted)
        parts = [layout(array) for layout, array in zip(self.layouts, map(backend.memory, arrays), strict=True)]
        gradients: list[Array | None] = [None] * len(arrays)
        outputs = []
        for number, shape, rows in task.outputs:
            gradients[number], memory = backend.empty(shape, dtype)
            outputs.append(memory.reshape(rows))
        with np.errstate(all="ignore"):
            divisor = self._divisor(parts) if self._constant is None else self._constant
            parts.append(divisor)
            total, bad = task.program.run(parts, self.blocked, outputs, self.rows, self.row, backend.threads)
            value = dtype.type(np.float64(total) / divisor)
        if bad:
            self.plan.check_values(*self._arguments(arrays))
        if self.unusual:
            self._finish(arrays, gradients)
        return backend.wrap(value), gradients

    def _finish(self, arrays: Sequence[Array], gradients: list[Array | None]) -> None:
        """Give each gradient the axes and the dtype of its array."""
        xp = self.backend.namespace(arrays[0])
        for number, gradient in enumerate(gradients):
            if gradient is not None:
                axis = self.layouts[number].axis
                moved = gradient if axis is None else xp.moveaxis(gradient, -1, axis)
                gradients[number] = cast(xp, moved, arrays[number].dtype)

    def backward(
        self, arrays: Sequence[Array], kept: list[Array | None], upstream: Array, wanted: Sequence[bool]
    ) -> Sequence[Array | None]:
        """The gradients, times that of the result: where it is 1, they are those that the forward pass found."""
        if self.backend.is_one(upstream):
            return kept
        return [None if gradient is None else upstream * gradient for gradient in kept]

    def plain(self, *arrays: Array) -> Array:
        """The loss, as the framework differentiates it any number of times."""
        return self.plan(*self._arguments(arrays))

    def _arguments(self, arrays: Sequence[Array]) -> tuple[Sequence[Array], dict[str, Array]]:
        count = len(self.shapes)
        return arrays[:count], dict(zip(self.names, arrays[count:], strict=True))

    def _divisor(self, parts: Sequence[Any]) -> Any:
        """What the sum of all losses is divided by."""
        if not isinstance(self._total, Program):
            return parts[len(self.shapes) + self.names.index("denominator")].astype(self.dtype)
        total, _ = self._total.run(parts, self.blocked, [], self.rows, self.row, self.backend.threads)
        # Nothing counted: the sum is 0, and so is the mean.
        return np.asarray(total or 1.0, self.dtype)


def _layouts(plan: Plan, inputs: Sequence[Array], options: Mapping[str, Array]) -> list[_Layout]:
    """How each array becomes rows.

    Weights and masks belong to the first axes, parameters to the last ones. So there is an axis in between: what is
    before it are rows, what is behind it is within a row.
    """
    first = tuple(inputs[0].shape)
    if plan.axis is None:
        examples, entry = first, first[:0]
    else:
        examples, entry = first[: plan.axis] + first[plan.axis + 1 :], (first[plan.axis],)
    weights = {"sample_weight", "where"}
    split = len(examples)
    if plan.axis is None:
        short = [options[name].ndim for name in weights & options.keys() if 0 < options[name].ndim < len(examples)]
        trailing = [a.ndim for name, a in options.items() if name not in weights and a.ndim < len(examples)]
        split = max(short) if short else len(examples) - max(trailing, default=0)
        if len(examples) - split < max(trailing, default=0):
            raise ValueError("parameters and weights share an axis")
    rows, tail = (math.prod(examples[:split]),), examples[split:]
    if math.prod(tail) > _ROW:
        raise ValueError("rows too long for blocks")
    inner = (math.prod(tail),) if tail else ()
    layouts = []
    for array in inputs:
        if plan.axis is not None and array.ndim == len(first):
            axis = None if plan.axis == len(first) - 1 else plan.axis
            layouts.append(_Layout(axis, examples + entry, rows, entry))
        else:
            layouts.append(_Layout(None, examples, rows, inner))
    for name, array in options.items():
        if not array.ndim:
            layouts.append(_Layout(None, (), (), ()))
        elif name in weights and array.ndim <= split:
            layouts.append(_Layout(None, examples[:split], rows, ()))
        elif plan.axis is not None:
            layouts.append(_Layout(None, entry, (), entry))
        elif name in weights or array.ndim == len(examples):
            layouts.append(_Layout(None, examples, rows, inner))
        else:
            layouts.append(_Layout(None, tail, (), inner))
    return layouts


class OfRows(Protocol):
    """Something that computes results of rows, as its equals do."""

    def __hash__(self) -> int:
        """Equals have the same."""

    def block(
        self, xp: Any, rows: Mapping[str, Array], fixed: Mapping[str, Array], wanted: Sequence[str]
    ) -> Mapping[str, Array]:
        """Results that have the rows along their first axis."""


@functools.lru_cache(maxsize=256)
def _row_program(
    work: OfRows, wanted: tuple[str, ...], kinds: tuple[tuple[str, Shape, bool, Any], ...]
) -> tuple[Program, list[tuple[str, Shape, Any]]] | None:
    """The code of some work, what it results in, and the shape and the dtype of a row of that; None where blocks do
    not know what it does."""
    trace = Trace()
    rows: dict[str, Symbol] = {}
    fixed: dict[str, Symbol] = {}
    for number, (name, tail, blocked, dtype) in enumerate(kinds):
        (rows if blocked else fixed)[name] = _input(trace, number, tail, blocked, dtype)
    try:
        found = {name: trace.settle(array) for name, array in work.block(trace, rows, fixed, wanted).items()}
        program = Program(trace.whole(next(iter(found.values()))), list(found.values()), [])
    except Exception:
        # As for a call: it works on whole arrays.
        return None
    return program, [(name, symbol.shape[1:], symbol.dtype) for name, symbol in found.items()]


def by_rows(
    backend: Backend, work: OfRows, rows: Mapping[str, Array], fixed: Mapping[str, Array], wanted: tuple[str, ...]
) -> dict[str, Array] | None:
    """What `work` results in, or None where that cannot be done in blocks."""
    if not enabled or not backend.blockwise(tuple(rows.values()), tuple(fixed.values())):
        return None
    parts = [backend.memory(array) for array in (*rows.values(), *fixed.values())]
    kinds = [(name, part.shape[1:], True, part.dtype) for name, part in zip(rows, parts, strict=False)]
    kinds += [(name, part.shape, False, part.dtype) for name, part in zip(fixed, parts[len(rows) :], strict=True)]
    known = _row_program(work, wanted, tuple(kinds))
    if known is None:
        return None
    program, outputs = known
    count, found, memories = parts[0].shape[0], {}, []
    for name, tail, dtype in outputs:
        found[name], memory = backend.empty((count, *tail), dtype)
        memories.append(memory)
    blocked = [kind[2] for kind in kinds]
    row = max(math.prod(kind[1]) for kind in kinds if kind[2])
    with np.errstate(all="ignore"):
        program.run(parts, blocked, memories, count, row, backend.threads)
    return found


def blocks_of(plan: Plan, backend: Backend, inputs: Sequence[Array], options: Mapping[str, Array]) -> Blocks | None:
    """The blocks of a call, or None where it is better done, or can only be done, as a whole."""
    if not plan.in_blocks or plan.by_autodiff() or plan.reduction == "none":
        return None
    if not backend.blockwise(inputs, tuple(options.values())):
        return None
    try:
        return Blocks(plan, backend, inputs, options)
    except Exception:
        # A kernel that branches, or uses what blocks do not know: it works on whole arrays.
        return None
