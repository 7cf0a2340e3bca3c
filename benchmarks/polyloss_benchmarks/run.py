"""Measure columns one after the other, each in a process of its own: the thread pools of two frameworks would meet."""

import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from polyloss_conformance import devices

from . import columns, measure, targets
from .columns import Column, Side
from .rows import DTYPES, HALVES, MI, ROWS, Row, Shape, format_shape, parse_size, shapes_of

GRADIENT, VALUE = "value and gradient", "value"
LARGE = MI
"""Elements from which memory and the distance to the limit are told: less is about the counters and the caches."""
EXTRA_UP_TO = MI
"""Elements up to which NumPy's companions run, and its halves: they are slow, and no target is about them."""
QUICK_ROWS = tuple(name for name, row in ROWS.items() if row.sample)
LONG_CALL_S, LONGEST_CALL_S = 0.1, 2.0


@dataclass(frozen=True)
class Cell:
    """polyloss beside one built-in, on arrays of one shape.

    Parameters
    ----------
    what : str
        ``"value"`` or ``"value and gradient"``.
    ratio : float or None
        Median of the ratios of time, polyloss / built-in; None where `error` says why.
    quartiles : tuple of float or None
        The first and the third quartile of the ratios.
    seconds, builtin_seconds : float or None
        Of one call.
    memory, builtin_memory : int or None
        Peak bytes beyond the arguments, the result included.
    limit_ratio, builtin_limit_ratio : float or None
        Time over that in which the memory could move each input and each gradient once.
    target, memory_target : float or None
        What the ratio is to reach.
    dtype : str
        Of the floating arrays.
    device : str
        Where they are.
    """

    backend: str
    mode: str
    row: str
    size: str
    shape: Shape
    elements: int
    against: str
    builtin: str
    what: str
    ratio: float | None = None
    quartiles: tuple[float, float] | None = None
    pairs: int = 0
    seconds: float | None = None
    builtin_seconds: float | None = None
    memory: int | None = None
    builtin_memory: int | None = None
    limit_ratio: float | None = None
    builtin_limit_ratio: float | None = None
    target: float | None = None
    memory_target: float | None = None
    error: str | None = None
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def met(self) -> bool | None:
        """Whether the time reaches its target; None where there is none."""
        if self.target is None:
            return None
        return self.ratio is not None and self.ratio <= self.target

    @property
    def sure(self) -> bool | None:
        """Whether the quartiles are on one side of the target; None where there is none."""
        if self.target is None or self.quartiles is None:
            return None
        return (self.quartiles[0] <= self.target) == (self.quartiles[1] <= self.target)

    @property
    def memory_met(self) -> bool | None:
        """Whether the memory reaches its target, as far as it can be told; None where there is none."""
        if self.memory_target is None or self.memory is None or self.builtin_memory is None:
            return None
        return self.memory <= self.memory_target * self.builtin_memory + measure.MEMORY_RESOLUTION


@dataclass(frozen=True)
class Order:
    """What is to be measured. An empty tuple is everything that there is.

    Parameters
    ----------
    seconds : float
        About so long each cell is timed.
    device : str
        By the name that users of the framework know.
    """

    backends: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    quick: bool = False
    seconds: float = 0.25
    dtypes: tuple[str, ...] = ()
    device: str = "cpu"

    def checked(self) -> "Order":
        """The same for the backends that have the device. ValueError for a name that matches nothing."""
        self.work()
        there = tuple(dict.fromkeys(backend for backend, _ in self.columns()))
        return replace(self, backends=devices.having(there, self.device, bool(self.backends)))

    def columns(self) -> list[tuple[str, str]]:
        """Backends and modes. ValueError for a name that matches nothing."""
        installed = columns.installed()
        for name in self.backends:
            if name not in columns.MODES:
                raise ValueError(f"no backend called {name}; there is {', '.join(columns.MODES)}")
            if name not in installed:
                raise ValueError(f"{name} is not installed")
        modes = {backend: columns.MODES[backend] for backend in self.backends or installed}
        for mode in self.modes:
            if not any(mode in known for known in modes.values()):
                there = "; ".join(f"{backend} has {', '.join(known)}" for backend, known in modes.items())
                raise ValueError(f"no mode called {mode}: {there}")
        return [
            (backend, mode)
            for backend, known in modes.items()
            for mode in known
            if not self.modes or mode in self.modes
        ]

    def work(self) -> list[tuple[Row, str, list[Shape]]]:
        """Rows in a dtype, with their shapes. ValueError for a name or a size that matches nothing."""
        for name in self.rows:
            if name not in ROWS:
                raise ValueError(f"no row called {name}; there is {', '.join(ROWS)}")
        for name in self.dtypes:
            if name not in DTYPES:
                raise ValueError(f"no dtype called {name}; there is {', '.join(DTYPES)}")
        sizes = [parse_size(size) for size in self.sizes]
        names = self.rows or (QUICK_ROWS if self.quick else tuple(ROWS))
        found = [
            (row, dtype, shapes)
            for row in map(ROWS.__getitem__, names)
            for dtype in self._dtypes_of(row)
            if (shapes := shapes_of(row, sizes, self.quick, bool(self.rows), dtype))
        ]
        if not found:
            there = {
                format_shape(row, shape) for row in map(ROWS.__getitem__, names) for shape in row.shapes + row.named
            }
            raise ValueError(f"no such size: {', '.join(self.sizes)}; there is {', '.join(sorted(there))}")
        return found

    def _dtypes_of(self, row: Row) -> tuple[str, ...]:
        """Those that are named; otherwise halves of the losses that are most used."""
        if self.dtypes:
            return self.dtypes
        return DTYPES if row.halves and not self.quick else ("float32",)

    def parts(self, column: Column) -> list[tuple[Row, str, Shape]]:
        """What is measured in a column, one after the other."""
        return [
            (row, dtype, shape)
            for row, dtype, shapes in self.work()
            if dtype in column.dtypes and not (dtype in HALVES and column.compiles_calls and not self.dtypes)
            for shape in (shapes if self.sizes else _affordable(column, row, dtype, shapes, self))
        ]


@dataclass(frozen=True)
class Results:
    """What was found.

    Parameters
    ----------
    bandwidth : dict
        Bytes per second by column, ``"torch compile"``.
    """

    cells: list[Cell]
    bandwidth: dict[str, float]
    seconds: float


Watch = Callable[[str, str, int, int], None]
"""Is told the column, what is done next, and how many of how many steps are done."""


def run_order(order: Order, watch: Watch) -> Results:
    """Measure everything that is ordered."""
    start = time.monotonic()
    order.work()
    cells: list[Cell] = []
    bandwidth: dict[str, float] = {}
    for backend, mode in order.columns():
        for message in in_process(measure_column, order, backend, mode):
            if isinstance(message, Cell):
                cells.append(message)
            elif isinstance(message, float):
                bandwidth[f"{backend} {mode}"] = message
            elif isinstance(message, str):
                cells.append(Cell(backend, mode, "", "", (), 0, "", "", "", error=message, device=order.device))
            else:
                watch(f"{backend} {mode}", *message)
    return Results(cells, bandwidth, time.monotonic() - start)


def in_process(what: Callable[[Column, Any], Iterator[Any]], order: Any, backend: str, mode: str) -> Iterator[Any]:
    """What is found in a column, in a process of its own; a text where it fails."""
    os.environ.update(measure.PLAIN_ALLOCATOR)
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(what, order, backend, mode, theirs))
    process.start()
    theirs.close()
    try:
        while True:
            yield mine.recv()
    except EOFError:
        process.join()
    if process.exitcode:
        yield f"the process ended with {process.exitcode}"


def _child(what: Callable[[Column, Any], Iterator[Any]], order: Any, backend: str, mode: str, pipe: Connection) -> None:
    for name, value in devices.QUIET.items():
        os.environ.setdefault(name, value)
    if order.device == "cpu":
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # TensorFlow greets here, into the progress bar. What matters goes through the pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        for found in what(columns.load(backend, mode, order.device), order):
            pipe.send(found)
    except Exception:
        pipe.send(traceback.format_exc())
    pipe.close()


def measure_column(column: Column, order: Order) -> Iterator[Any]:
    """The bandwidth and the cells of one column, and between them what is done next."""
    bandwidth = measure.bandwidth()
    yield bandwidth
    parts = order.parts(column)
    checked: dict[Key, str | None] = {}
    for done, (row, dtype, shape) in enumerate(parts):
        size = format_shape(row, shape)
        yield f"{row.name} {size}", done, len(parts)
        arrays = [column.array(a, dtype) for a in row.arrays(shape)]
        for theirs in column.rivals(row, dtype):
            if theirs.against in ("SciPy", "scikit-learn") and row.size(shape) > EXTRA_UP_TO and not order.sizes:
                continue
            for gradient in (False, True):
                if (gradient and not column.has_gradient(theirs)) or (
                    not gradient and _gradient_alone(row, dtype, shape, order)
                ):
                    continue
                yield Pair(column, row, dtype, shape, theirs, gradient).cell(arrays, bandwidth, order.seconds, checked)
        column.forget()


def _gradient_alone(row: Row, dtype: str, shape: Shape, order: Order) -> bool:
    """Whether the value is not measured by itself."""
    if order.quick or dtype in HALVES:
        return True
    return not order.rows and (not row.most_used or row.size(shape) > LARGE)


def _affordable(column: Column, row: Row, dtype: str, shapes: list[Shape], order: Order) -> list[Shape]:
    """Fewer shapes, where something is compiled, where few use a loss, and where all is slow."""
    if dtype in HALVES and column.backend == "numpy":
        return [shape for shape in shapes if row.size(shape) <= EXTRA_UP_TO]
    if column.slow_to_compile and not (row.most_used or row.growth or order.rows):
        return []
    if column.compiles_calls and not row.most_used:
        return shapes[-1:]
    if column.slow_to_compile:
        return shapes[:1] if order.quick else shapes[::2] if row.elementwise else shapes
    return shapes


Key = tuple[str, str, bool, str]
"""What is compared but once: a loss, a built-in, whether with its gradient, a dtype."""


def _warm_up(step: columns.Step) -> int:
    """Call it, and say how often its memory may be measured."""
    for _ in range(2):
        start = time.perf_counter()
        step()
        took = time.perf_counter() - start
        if took > LONGEST_CALL_S:
            break
    return 3 if took < LONG_CALL_S else 1


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0][:300]


@dataclass(frozen=True)
class Pair:
    """polyloss and another implementation, on arrays of one shape."""

    column: Column
    row: Row
    dtype: str
    shape: Shape
    theirs: Side
    gradient: bool

    def cell(self, arrays: Sequence[Any], bandwidth: float, seconds: float, checked: dict[Key, str | None]) -> Cell:
        """Both compared, and measured where they agree."""
        column, row, theirs = self.column, self.row, self.theirs
        elements, large = row.size(self.shape), row.size(self.shape) >= LARGE
        about = (column.backend, column.mode, theirs.against, row.name, elements, self.dtype)
        cell = Cell(
            *(column.backend, column.mode, row.name, format_shape(row, self.shape), self.shape, elements),
            *(theirs.against, theirs.name, GRADIENT if self.gradient else VALUE),
            target=targets.target(targets.TIME, *about) if self.gradient and column.on_cpu else None,
            dtype=self.dtype,
            device=str(column.device),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                steps = [column.step(side, arrays, row.wanted, self.gradient) for side in (column.ours(row), theirs)]
                tries = self._checked(steps, checked)
                memory = [column.peak_memory(step, n) if large else None for step, n in zip(steps, tries, strict=True)]
                found = measure.compare(steps[0], steps[1], seconds, column.clock)
            except Exception as raised:
                return replace(cell, error=_message(raised))
        limit = row.moved(arrays, self.gradient) / bandwidth if large and column.on_cpu else None
        return replace(
            cell,
            ratio=found.ratio,
            quartiles=found.quartiles,
            pairs=found.pairs,
            seconds=found.ours,
            builtin_seconds=found.theirs,
            memory=memory[0],
            builtin_memory=memory[1],
            limit_ratio=None if limit is None else found.ours / limit,
            builtin_limit_ratio=None if limit is None else found.theirs / limit,
            memory_target=targets.target(targets.MEMORY, *about),
        )

    def _checked(self, steps: Sequence[columns.Step], checked: dict[Key, str | None]) -> list[int]:
        """Warm up, and raise where the sides do not agree: on these arrays if they are few, otherwise on small ones."""
        column, row, theirs = self.column, self.row, self.theirs
        key = row.name, theirs.name, self.gradient, self.dtype
        if key not in checked:
            checked[key] = None
            try:
                if row.size(self.shape) > LARGE:
                    columns.check_same(column, row, column.ours(row), theirs, self.gradient, self.dtype)
                else:
                    columns.check_results(row, theirs, steps[0](), steps[1](), self.dtype)
            except columns.DifferentError as error:
                checked[key] = str(error)
        if (problem := checked[key]) is not None:
            raise columns.DifferentError(problem)
        return [_warm_up(step) for step in steps]
