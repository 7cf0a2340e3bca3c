"""Calls on arrays in memory, block by block: value and gradients in one pass, with no temporary of their size."""

import functools
import math
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from polyloss.core.backend import Backend, Bound, OfRows, lacks_closed_form
from polyloss.core.dtypes import cast
from polyloss.core.plan import Plan
from polyloss.core.typing import Array
from polyloss.core.values import check_parameters, checks_parameters

from .compiled import Form, compiled
from .layout import Shape, layouts_of
from .program import Program
from .symbols import ROWS, Symbol, UntraceableError, foreign
from .trace import Trace

_SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _switch(name: str) -> bool:
    """A switch in the environment, on unless it says otherwise."""
    value = os.environ.get(name, "1")
    if value.strip().lower() not in _SWITCHES:
        raise ValueError(f"{name} must be one of {', '.join(_SWITCHES)}, got {value!r}")
    return _SWITCHES[value.strip().lower()]


enabled = _switch("POLYLOSS_BLOCKS")
"""Whether calls are made block by block, where they can be."""

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Task(NamedTuple):
    """What is to be done for some gradients."""

    program: Program
    outputs: tuple[tuple[int, Shape, Shape], ...]
    """For each gradient: the number of its array, its shape with the axis of the rows last, and that of its rows."""


class Blocks:
    """A plan for arrays of known shapes, as a function that finds its gradients together with its value."""

    def __init__(self, plan: Plan, backend: "InMemory", given: Sequence[Array]) -> None:
        self.plan = plan
        self.backend = backend
        arrays = [*map(backend.memory, given)]
        self.dtype, dtypes = arrays[0].dtype, []
        for array in arrays:
            dtypes.append(array.dtype)
            # bfloat16 is no dtype of NumPy's own.
            if array.dtype.kind == "V" or self.dtype not in (np.float32, np.float64):
                raise UntraceableError(f"an array of {array.dtype} beside {self.dtype}")
        self.layouts = layouts_of(plan, plan.named(given))
        self.blocked: list[bool] = []
        self.row, self.needs_finish, lengths = 1, False, []
        for layout in self.layouts:
            self.blocked.append(layout.blocked)
            lengths.append(layout.lengths)
            if layout.blocked:
                (self.rows,) = layout.rows
                self.row = max(self.row, math.prod(layout.tail))
            self.needs_finish = self.needs_finish or bool(layout.axis)
        self.blocked.append(False)
        self.shapes: list[Shape] = []
        for array in arrays[: len(plan.loss.arrays)]:
            self.shapes.append(array.shape)
            self.needs_finish = self.needs_finish or (array.dtype.kind not in "biu" and array.dtype != self.dtype)
        self.count = math.prod(self.shapes[0]) // math.prod(self.shapes[0][axis] for axis in plan.axis)
        self.name = plan.loss.__name__
        self.checks_parameters = checks_parameters(plan)
        anywhere = replace(plan, axis=(1,) if plan.axis else (), memory={})
        self.compiled = compiled(Form(anywhere, tuple(lengths), tuple(dtypes)))
        self._tasks: dict[tuple[bool, ...], _Task] = {}
        self._given = plan.names.index("denominator") if "denominator" in plan.names else None
        # What never changes is an array once and for all.
        self._constant, counted = None, self.compiled.counted
        if self._given is None and (counted is None or counted.op == "constant"):
            self._constant = np.asarray(1 if plan.reduction == "sum" else self.count, self.dtype)

    @functools.cached_property
    def closed(self) -> tuple[bool, ...]:
        """For each array whether its gradient is found with the value."""
        closed = [gradient is not None for gradient in self.compiled.gradients or ()]
        return (*closed, *(False,) * (len(self.layouts) - len(closed)))

    def _task(self, wanted: tuple[bool, ...]) -> _Task:
        numbers = []
        for number, want in enumerate(wanted):
            if want and self.closed[number]:
                numbers.append(number)
        program = self.compiled.program(tuple(numbers))
        outputs = []
        for number in numbers:
            layout = self.layouts[number]
            outputs.append((number, layout.shape if layout.axis else self.shapes[number], layout.target))
        self._tasks[wanted] = task = _Task(program, tuple(outputs))
        return task

    def forward(self, arrays: Sequence[Array], wanted: Sequence[bool]) -> tuple[Array, list[Array | None]]:
        """The loss, and its gradients."""
        backend, dtype = self.backend, self.dtype
        if self.checks_parameters:
            check_parameters(self.plan, self.plan.named(arrays))
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
            self.plan.check_values(self.plan.named(arrays))
        if self.needs_finish:
            self._finish(arrays, gradients)
        return backend.wrap(value), gradients

    def _finish(self, arrays: Sequence[Array], gradients: list[Array | None]) -> None:
        """Give each gradient the axes and the dtype of its array."""
        xp = self.backend.namespace(arrays[0])
        for number, gradient in enumerate(gradients):
            if gradient is not None:
                axis = self.layouts[number].axis
                moved = xp.moveaxis(gradient, tuple(range(-len(axis), 0)), axis) if axis else gradient
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
        self.check(arrays)
        return self.plan(arrays)

    def check(self, arrays: Sequence[Array]) -> None:
        """Raise for values outside their domains, where no block looks at them."""
        if self.plan.readable and self.backend.readable(*arrays):
            self.plan.check_values(self.plan.named(arrays))

    def _divisor(self, parts: Sequence[Any]) -> Any:
        """What the sum of all losses is divided by. Where nothing counts, that is 0, and so is the mean."""
        if self._given is not None:
            # `check_parameters` lets 0 pass nowhere else.
            return np.asarray(parts[self._given] or 1.0, self.dtype)
        total, some = self.compiled.counting().run(parts, self.blocked, [], self.rows, self.row, self.backend.threads)
        return np.asarray(total if total or some else 1.0, self.dtype)


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
        (rows if blocked else fixed)[name] = trace.input(number, (ROWS, *tail) if blocked else tail, dtype)
    for symbol in rows.values():
        if symbol.dtype.kind == "i":
            # Whoever works on rows has looked at their class ids.
            trace.know(symbol)
    try:
        with foreign:
            results = work.block(trace, rows, fixed, wanted)
        results = {name: trace.settle(array) for name, array in results.items()}
        program = Program(trace.whole(next(iter(results.values()))), list(results.values()), [])
    except UntraceableError:
        # As for a call: it works on whole arrays.
        return None
    return program, [(name, symbol.shape[1:], symbol.dtype) for name, symbol in results.items()]


def _is_numpys(array: Any) -> bool:
    """Whether an array has a dtype of NumPy's own: bfloat16 is none."""
    return bool(array.dtype.kind != "V")


class InMemory(Backend):
    """A backend whose arrays may be seen as NumPy's: calls on them are made in blocks."""

    @abstractmethod
    def blockwise(self, inputs: Sequence[Array], options: Sequence[Array]) -> bool:
        """Whether `memory` and `empty` do for these arrays, of which `options` are constants."""

    @abstractmethod
    def memory(self, array: Array) -> Any:
        """The NumPy array on the memory of `array`."""

    @abstractmethod
    def empty(self, shape: Sequence[int], dtype: Any) -> tuple[Array, Any]:
        """A new array, and the NumPy array on its memory."""

    @abstractmethod
    def wrap(self, number: Any) -> Array:
        """A NumPy number as an array of the framework."""

    def threads(self) -> int:
        """How many threads the framework would use."""
        return _CORES

    def attach_blocks(self, blocks: "Blocks", arrays: Sequence[Array]) -> Array:
        """`attach_fused`, for arrays that have a `signature` and can be seen as `memory`."""
        return self.attach_fused(blocks, arrays)

    def evaluate(self, call: Bound) -> Array:
        """The value of a call, in blocks where that can be done."""
        blocks = self.blocks(call)
        return super().evaluate(call) if blocks is None else self.attach_blocks(blocks, call.arrays)

    def value_and_gradients(self, call: Bound, argnums: Sequence[int | str]) -> tuple[Array, tuple[Array, ...]]:
        """The value of a call and its gradients in closed form, in blocks where that can be done."""
        blocks, names = self.blocks(call), call.plan.names
        chosen = [names[number] if isinstance(number, int) else number for number in argnums]
        wanted = [name in chosen for name in names]
        exist = {*names}.issuperset(chosen)
        if blocks is None or not exist or lacks_closed_form(blocks.closed, wanted):
            return super().value_and_gradients(call, argnums)
        value, gradients = blocks.forward(call.arrays, wanted)
        return value, tuple(gradients[names.index(name)] for name in chosen)

    def blocks(self, call: Bound) -> "Blocks | None":
        """The blocks of calls like this one; None where it is better done, or can only be done, as a whole."""
        if not enabled:
            return None
        memory = call.plan.memory
        if "blocks" not in memory:
            memory["blocks"] = self._blocks(call)
        found: Blocks | None = memory["blocks"]
        return found

    def _blocks(self, call: Bound) -> "Blocks | None":
        plan, count = call.plan, len(call.plan.loss.arrays)
        assert isinstance(plan, Plan)
        if (
            plan.loss.fuse is not None
            or plan.loss.group_of is not None
            or plan.by_autodiff()
            or plan.reduction == "none"
        ):
            return None
        if plan.is_empty(plan.named(call.arrays)) or not self.blockwise(call.arrays[:count], call.arrays[count:]):
            return None
        try:
            return Blocks(plan, self, call.arrays)
        except UntraceableError:
            # A kernel that branches, or uses what blocks do not know: it works on whole arrays.
            return None

    def by_rows(
        self, work: OfRows, rows: Mapping[str, Array], fixed: Mapping[str, Array], wanted: tuple[str, ...]
    ) -> dict[str, Array] | None:
        """What `work` results in, or None where that cannot be done in blocks."""
        if not enabled or not self.blockwise(tuple(rows.values()), tuple(fixed.values())):
            return None
        parts = [self.memory(array) for array in (*rows.values(), *fixed.values())]
        if not all(map(_is_numpys, parts)):
            return None
        kinds = [(name, part.shape[1:], True, part.dtype) for name, part in zip(rows, parts, strict=False)]
        kinds += [(name, part.shape, False, part.dtype) for name, part in zip(fixed, parts[len(rows) :], strict=True)]
        row_program = _row_program(work, wanted, tuple(kinds))
        if row_program is None:
            return None
        program, outputs = row_program
        count, results, memories = parts[0].shape[0], {}, []
        for name, tail, dtype in outputs:
            results[name], memory = self.empty((count, *tail), dtype)
            memories.append(memory)
        blocked = [kind[2] for kind in kinds]
        row = max(math.prod(kind[1]) for kind in kinds if kind[2])
        with np.errstate(all="ignore"):
            program.run(parts, blocked, memories, count, row, self.threads)
        return results


def is_traced(loss: Any, *arrays: Array, **keywords: Any) -> bool:
    """Whether a call of `loss` is made in blocks, and its gradients with it."""
    call = loss.bind(arrays, keywords)
    blocks = call.backend.blocks(call) if isinstance(call.backend, InMemory) else None
    return blocks is not None and blocks.compiled.gradients is not None
