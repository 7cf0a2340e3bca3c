"""Measure columns one after the other, each in a process of its own: the thread pools of two frameworks would meet."""

import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from . import columns, measure, targets
from .columns import Column, Side
from .rows import MI, ROWS, Row, Shape, format_shape, parse_size, shapes_of

GRADIENT, VALUE = "value and gradient", "value"
LARGE = MI
"""Elements from which memory and the distance to the limit are told: less is about the counters and the caches."""
EXTRA_UP_TO = MI
"""Elements up to which NumPy's companions run: they are slow, and no target is about them."""
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
    """

    backends: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    quick: bool = False
    seconds: float = 0.25

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

    def work(self) -> list[tuple[Row, list[Shape]]]:
        """Rows with their shapes. ValueError for a name or a size that matches nothing."""
        for name in self.rows:
            if name not in ROWS:
                raise ValueError(f"no row called {name}; there is {', '.join(ROWS)}")
        sizes = [parse_size(size) for size in self.sizes]
        names = self.rows or (QUICK_ROWS if self.quick else tuple(ROWS))
        found = [(ROWS[name], shapes_of(ROWS[name], sizes, self.quick, bool(self.rows))) for name in names]
        found = [(row, shapes) for row, shapes in found if shapes]
        if not found:
            raise ValueError(f"no such size: {', '.join(self.sizes)}")
        return found


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
    context = multiprocessing.get_context("spawn")
    os.environ.update(measure.PLAIN_ALLOCATOR)
    for backend, mode in order.columns():
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(order, backend, mode, theirs))
        process.start()
        theirs.close()
        try:
            while True:
                message = mine.recv()
                if isinstance(message, Cell):
                    cells.append(message)
                elif isinstance(message, float):
                    bandwidth[f"{backend} {mode}"] = message
                elif isinstance(message, str):
                    cells.append(_lost(backend, mode, message))
                else:
                    watch(f"{backend} {mode}", *message)
        except EOFError:
            process.join()
        if process.exitcode:
            cells.append(_lost(backend, mode, f"the process ended with {process.exitcode}"))
    return Results(cells, bandwidth, time.monotonic() - start)


def _lost(backend: str, mode: str, error: str) -> Cell:
    return Cell(backend, mode, "", "", (), 0, "", "", "", error=error)


def _child(order: Order, backend: str, mode: str, pipe: Connection) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # TensorFlow greets here, into the progress bar. What matters goes through the pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        speed = measure.bandwidth()
        pipe.send(speed)
        for cell in measure_column(columns.load(backend, mode), order, speed, lambda *a: pipe.send(a)):
            pipe.send(cell)
    except Exception:
        pipe.send(traceback.format_exc())
    pipe.close()


def measure_column(
    column: Column, order: Order, bandwidth: float, watch: Callable[[str, int, int], None]
) -> Iterator[Cell]:
    """The cells of one column."""
    work = [
        (row, shape)
        for row, shapes in order.work()
        for shape in (_fewer(row, shapes, order) if column.slow_to_compile else shapes)
        if column.ours(row) is not None
    ]
    checked: dict[tuple[str, str, bool], str | None] = {}
    for done, (row, shape) in enumerate(work):
        watch(f"{row.name} {format_shape(row, shape)}", done, len(work))
        inputs = row.arrays(shape)
        arrays = [column.array(a) for a in inputs]
        ours = column.ours(row)
        assert ours is not None
        for theirs in column.rivals(row):
            if theirs.against in ("SciPy", "scikit-learn") and row.size(shape) > EXTRA_UP_TO and not order.sizes:
                continue
            for gradient in (False, True):
                if (gradient and not column.has_gradient(theirs)) or (order.quick and not gradient):
                    continue
                key = row.name, theirs.name, gradient
                if key not in checked:
                    checked[key] = _check(column, row, ours, theirs, gradient)
                limit = row.bytes(inputs, gradient) / bandwidth
                yield _cell(column, row, shape, arrays, ours, theirs, gradient, limit, order.seconds, checked[key])
        column.forget()


def _fewer(row: Row, shapes: list[Shape], order: Order) -> list[Shape]:
    if order.sizes:
        return shapes
    return shapes[:1] if order.quick else shapes[::2] if row.elementwise else shapes


def _check(column: Column, row: Row, ours: Side, theirs: Side, gradient: bool) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            columns.check_same(column, row, ours, theirs, gradient)
    except Exception as error:
        return _message(error)
    finally:
        column.forget()
    return None


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


def _cell(
    column: Column,
    row: Row,
    shape: Shape,
    arrays: Sequence[Any],
    ours: Side,
    theirs: Side,
    gradient: bool,
    limit: float,
    seconds: float,
    error: str | None,
) -> Cell:
    elements = row.size(shape)
    large = elements >= LARGE
    what = GRADIENT if gradient else VALUE
    size = format_shape(row, shape)
    head = (column.backend, column.mode, row.name, size, shape, elements, theirs.against, theirs.name, what)
    about = (column.backend, column.mode, theirs.against, row.name, elements)
    target = targets.target(targets.TIME, *about) if gradient else None
    if error is None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                steps = [column.step(side, arrays, row.wanted, gradient) for side in (ours, theirs)]
                tries = [_warm_up(step) for step in steps]
                memory = [column.peak_memory(step, n) if large else None for step, n in zip(steps, tries, strict=True)]
                found = measure.compare(steps[0], steps[1], seconds)
        except Exception as raised:
            error = _message(raised)
    if error is not None:
        return Cell(*head, target=target, error=error)
    return Cell(
        *head,
        ratio=found.ratio,
        quartiles=found.quartiles,
        pairs=found.pairs,
        seconds=found.ours,
        builtin_seconds=found.theirs,
        memory=memory[0],
        builtin_memory=memory[1],
        limit_ratio=found.ours / limit if large else None,
        builtin_limit_ratio=found.theirs / limit if large else None,
        target=target,
        memory_target=targets.target(targets.MEMORY, *about),
    )
