"""Calls on arrays in memory, block by block: value and gradients in one pass, with no temporary of their size."""

import copy
import functools
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from polyloss.core.backend import Backend, Bound, OfRows, lacks_closed_form
from polyloss.core.checks import is_half
from polyloss.core.dtypes import cast
from polyloss.core.plan import Plan
from polyloss.core.typing import Array
from polyloss.core.values import check_parameters, checks_parameters

from .code import NUMPY
from .compiled import Form, compiled
from .dialect import Dialect, Shape
from .layout import Layout, layouts_of
from .program import Program
from .quiet import quietly
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

_CAREFUL_CALLS = 32
"""How many calls after one with masked classes take nothing to be finite: to find one out costs a run more."""
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Task(NamedTuple):
    """What is to be done for some gradients."""

    program: Program
    outputs: tuple[tuple[int, Shape, Shape | None], ...]
    """For each gradient: the number of its array, its shape with the axis of the rows last, and that of its rows, where
    it is another."""


class Memory(ABC):
    """How blocks see the arrays of a framework, and in whose operations they compute.

    Attributes
    ----------
    dialect : Dialect
        The operations.
    """

    dialect: Dialect = NUMPY

    @abstractmethod
    def see(self, array: Array) -> Any:
        """`array`, as the dialect has it. It shares its memory, or is a copy of few elements."""

    @abstractmethod
    def empty(self, shape: Sequence[int], dtype: Any) -> tuple[Array, Any]:
        """A new array, and how the dialect sees it."""

    def dtype(self, seen: Any) -> Any:
        """The dtype of what is seen, as one of NumPy."""
        return seen.dtype


class Blocks:
    """A plan for arrays of known shapes, as a function that finds its gradients together with its value."""

    def __init__(self, plan: Plan, backend: "InMemory", memory: Memory, given: Sequence[Array]) -> None:
        self.plan = plan
        self.backend, self.memory = backend, memory
        dtypes = [memory.dtype(memory.see(array)) for array in given]
        # Losses are computed in it, and so are divisors.
        self.dtype = np.dtype(np.float32) if is_half(dtypes[0]) else dtypes[0]
        if self.dtype not in (np.float32, np.float64):
            raise UntraceableError(f"an array of {self.dtype}")
        self.result = backend.result_dtype(given[0])
        self.scales = self._waits = False
        self._careful_calls = 0
        self.layouts = layouts_of(plan, plan.named(given))
        self.blocked: list[bool] = []
        self.row, self.needs_finish, lengths = 1, False, []
        for layout in self.layouts:
            self.blocked.append(layout.blocked)
            lengths.append(layout.lengths)
            if layout.blocked:
                self.row = max(self.row, math.prod(layout.tail))
            self.needs_finish = self.needs_finish or bool(layout.axis)
        self.blocked.append(False)
        self.dtypes = tuple(dtypes)
        for array, dtype in zip(given[: len(plan.loss.arrays)], dtypes, strict=False):
            half = is_half(array.dtype)
            self.scales = self.scales or half
            # What is seen may be a copy in another dtype.
            self.needs_finish = self.needs_finish or (half and not is_half(dtype))
        self.name = plan.loss.__name__
        self.checks_parameters = checks_parameters(plan)
        anywhere = plan.changed(axis=(1,) if plan.axis else ())
        self._form = Form(anywhere, tuple(lengths), self.dtypes, self.scales)
        self.compiled = compiled(self._form)
        self._lacking: dict[tuple[bool, ...], bool] = {}
        self._given = plan.names.index("denominator") if "denominator" in plan.names else None
        self._count(given)

    def _count(self, given: Sequence[Array]) -> None:
        """Take the number of rows from arrays, and all that depends on it."""
        plan = self.plan
        # The first array is one of examples.
        (self.rows,) = self.layouts[0].rows
        self.shapes: list[Shape] = []
        for array in given[: len(plan.loss.arrays)]:
            self.shapes.append(tuple(array.shape))
        # Those that are laid out anew; most arrays are rows as they come.
        self._moved: list[tuple[int, Layout]] = []
        for number, layout in enumerate(self.layouts):
            if layout.moves(given[number]):
                self._moved.append((number, layout))
        count = math.prod(self.shapes[0]) // math.prod(self.shapes[0][axis] for axis in plan.axis)
        self._tasks: dict[tuple[bool, ...], _Task] = {}
        # What never changes is an array once and for all.
        self._constant: tuple[np.float64, Any] | None = None
        counted = self.compiled.counted
        if self._given is None and (counted is None or counted.op == "constant"):
            divisor = np.asarray(1 if plan.reduction == "sum" else count, self.dtype)
            self._constant = np.float64(divisor), self.memory.dialect.constant(divisor)

    def of_other_batch(self, plan: Plan, given: Sequence[Array]) -> "Blocks | None":
        """The same for more examples or fewer; None where their rows are not alike."""
        layouts = layouts_of(plan, plan.named(given))
        if tuple(layout.lengths for layout in layouts) != self._form.shapes:
            return None
        other = copy.copy(self)
        other.plan, other.layouts, other._waits = plan, layouts, False
        other._count(given)
        return other

    @functools.cached_property
    def closed(self) -> tuple[bool, ...]:
        """For each array whether its gradient is found with the value."""
        closed = [gradient is not None for gradient in self.compiled.gradients or ()]
        return (*closed, *(False,) * (len(self.layouts) - len(closed)))

    def _careful(self, task: _Task) -> Program:
        """The program of the whole call without taking anything to be finite."""
        form = replace(self._form, assumes_finite=False)
        return compiled(form).program(self.memory.dialect, tuple(number for number, *_ in task.outputs))

    def lacks_closed_form(self, wanted: tuple[bool, ...]) -> bool:
        """`lacks_closed_form`, remembered."""
        found = self._lacking.get(wanted)
        if found is None:
            found = self._lacking[wanted] = lacks_closed_form(self.closed, wanted)
        return found

    def _task(self, wanted: tuple[bool, ...]) -> _Task:
        numbers = []
        for number, want in enumerate(wanted):
            if want and self.closed[number]:
                numbers.append(number)
        program = self.compiled.program(self.memory.dialect, tuple(numbers))
        outputs = []
        for number in numbers:
            layout = self.layouts[number]
            shape = layout.shape if layout.axis else self.shapes[number]
            outputs.append((number, shape, None if shape == layout.target else layout.target))
        self._tasks[wanted] = task = _Task(program, tuple(outputs))
        return task

    def forward(
        self, arrays: Sequence[Array], wanted: Sequence[bool], upstream: float | None = None
    ) -> tuple[Array, list[Array | None]]:
        """The loss, and its gradients; those of halves times an upstream gradient.

        As long as that is not known, none are found that `backward` is likely to find anew.
        """
        if upstream is None and self._waits:
            wanted = (False,) * len(wanted)
        backend, memory = self.backend, self.memory
        if self.checks_parameters:
            check_parameters(self.plan, self.plan.named(arrays))
        wanted = tuple(wanted)
        task = self._tasks.get(wanted) or self._task(wanted)
        parts = [*map(memory.see, arrays)]
        for place, layout in self._moved:
            parts[place] = layout(parts[place], memory.dialect)
        gradients: list[Array | None] = [None] * len(arrays)
        outputs = []
        for place, shape, rows in task.outputs:
            gradients[place], seen = memory.empty(shape, self.dtypes[place])
            outputs.append(seen if rows is None else seen.reshape(rows))
        if self._constant is None or not (upstream is None or upstream == 1.0):
            divisor, seen = quietly(self._divisors, parts, upstream)
        else:
            divisor, seen = self._constant
        parts.append(seen)
        careful = self._careful_calls > 0
        program = self._careful(task) if careful else task.program
        number, bad = quietly(self._value, program, parts, outputs, divisor)
        if careful:
            self._careful_calls -= 1
        elif bad and self.compiled.assumes:
            number, bad = quietly(self._value, self._careful(task), parts, outputs, divisor)
            # Where classes are masked, they are likely to be so in the next calls.
            self._careful_calls = 0 if bad else _CAREFUL_CALLS
        value = backend.wrap(number)
        if bad:
            self.plan.check_values(self.plan.named(arrays))
        if self.needs_finish:
            self._finish(arrays, gradients)
        return (cast(backend.namespace(value), value, self.result) if self.scales else value), gradients

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
        """The gradients, times that of the result: where it is 1, they are those that the forward pass found.

        Halves are found anew, to be rounded once: as with a scaled loss, they may be too small without their factor.
        """
        is_one = self.backend.is_one(upstream)
        if self.scales:
            waited, self._waits = all(gradient is None for gradient in kept), not is_one
            return kept if is_one and not waited else self.forward(arrays, wanted, float(upstream))[1]
        if is_one:
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

    def _value(
        self, program: Program, parts: Sequence[Any], outputs: Sequence[Any], divisor: np.float64
    ) -> tuple[Any, bool]:
        """The loss, as a number of NumPy, and whether a value is outside of its domain, or an end of a row infinite."""
        total, bad = program.run(parts, self.blocked, outputs, self.rows, self.row, self.backend.threads)
        return self.dtype.type(total / divisor), bad

    def _divisors(self, parts: Sequence[Any], upstream: float | None) -> tuple[np.float64, Any]:
        """What the sum of all losses is divided by, and what their gradients are, which may have a factor."""
        divisor = self._divisor(parts)
        share = divisor if upstream is None else divisor / np.float64(upstream)
        return divisor, self.memory.dialect.constant(np.asarray(share, self.dtype))

    def _divisor(self, parts: Sequence[Any]) -> np.float64:
        """What the sum of all losses is divided by. Where nothing counts, that is 0, and so is the mean."""
        if self._constant is not None:
            return self._constant[0]
        if self._given is not None:
            # `check_parameters` lets 0 pass nowhere else.
            return np.float64(self.dtype.type(float(parts[self._given]) or 1.0))
        counting = self.compiled.counting(self.memory.dialect)
        total, some = counting.run(parts, self.blocked, [], self.rows, self.row, self.backend.threads)
        return np.float64(self.dtype.type(total if total or some else 1.0))


@functools.lru_cache(maxsize=256)
def _row_program(
    dialect: Dialect,
    work: OfRows,
    wanted: tuple[str, ...],
    kinds: tuple[tuple[str, Shape, bool, Any], ...],
    assumes_finite: bool = True,
) -> tuple[Program, list[tuple[str, Shape, Any]]] | None:
    """The code of some work, what it results in, and the shape and the dtype of a row of that; None where blocks do
    not know what it does."""
    trace = Trace(assumes_finite=assumes_finite)
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
        infinite = [trace.is_infinite(largest) for largest in trace.assumed]
        program = Program(dialect, trace.whole(next(iter(results.values()))), list(results.values()), infinite)
    except UntraceableError:
        # As for a call: it works on whole arrays.
        return None
    return program, [(name, symbol.shape[1:], symbol.dtype) for name, symbol in results.items()]


class InMemory(Backend):
    """A backend whose arrays may be seen as NumPy's: calls on them are made in blocks."""

    @abstractmethod
    def blockwise(self, inputs: Sequence[Array], options: Sequence[Array]) -> bool:
        """Whether blocks can see these arrays, of which `options` are constants."""

    @abstractmethod
    def memory(self, arrays: Sequence[Array]) -> Memory:
        """How blocks see these arrays."""

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
        wanted = tuple([name in chosen for name in names])
        exist = {*names}.issuperset(chosen)
        if blocks is None or not exist or blocks.lacks_closed_form(wanted):
            return super().value_and_gradients(call, argnums)
        value, gradients = blocks.forward(call.arrays, wanted, 1.0)
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
        memory, other = self.memory(call.arrays), plan.sibling and plan.sibling.memory.get("blocks")
        try:
            found = other.of_other_batch(plan, call.arrays) if other is not None and other.memory is memory else None
            return found or Blocks(plan, self, memory, call.arrays)
        except UntraceableError:
            # A kernel that branches, or uses what blocks do not know: it works on whole arrays.
            return None

    def by_rows(
        self, work: OfRows, rows: Mapping[str, Array], fixed: Mapping[str, Array], wanted: tuple[str, ...]
    ) -> dict[str, Array] | None:
        """What `work` results in, or None where that cannot be done in blocks."""
        if not enabled or not self.blockwise(tuple(rows.values()), tuple(fixed.values())):
            return None
        memory = self.memory((*rows.values(), *fixed.values()))
        parts, kinds = [], []
        for name, array in (*rows.items(), *fixed.items()):
            part = memory.see(array)
            parts.append(part)
            tail = part.shape[1:] if name in rows else part.shape
            kinds.append((name, tuple(tail), name in rows, memory.dtype(part)))
        if any(is_half(kind[3]) for kind in kinds):
            return None
        of = memory.dialect, work, wanted, tuple(kinds)
        row_program = _row_program(*of)
        if row_program is None:
            return None
        program, outputs = row_program
        count, results, memories = parts[0].shape[0], {}, []
        for name, tail, dtype in outputs:
            results[name], seen = memory.empty((count, *tail), dtype)
            memories.append(seen)
        blocked = [kind[2] for kind in kinds]
        row = max(math.prod(kind[1]) for kind in kinds if kind[2])
        run = parts, blocked, memories, count, row, self.threads
        careful = _row_program(*of, assumes_finite=False) if quietly(program.run, *run)[1] else None
        if careful is not None:
            quietly(careful[0].run, *run)
        return results


def is_traced(loss: Any, *arrays: Array, **keywords: Any) -> bool:
    """Whether a call of `loss` is made in blocks, and its gradients with it."""
    call = loss.bind(arrays, keywords)
    blocks = call.backend.blocks(call) if isinstance(call.backend, InMemory) else None
    return blocks is not None and blocks.compiled.gradients is not None
