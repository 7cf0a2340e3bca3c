"""Processes that share out the work: a framework meets no other in one process, and all cores are busy to the end.

A *part* of the work is one loss on one backend. A process is for one backend and asks for part after part; where there
is no other for its backend, it makes room for one of the backend with most work left.
"""

import contextlib
import gc
import multiprocessing
import os
import tempfile
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from . import cases as data
from . import deviations, devices, reference
from .checks import builtins
from .deviations import Ledger
from .frameworks import framework
from .result import Extent, Result
from .run import Job, is_complete, jobs, recorded, run_jobs
from .selection import Selection, select

NO_LOSS = ""
"""In the place of a loss: the inputs of the table of deviations."""

MANY = 8
"""From so many losses on, another process pays for one backend too: it imports the framework again, for seconds."""

COSTS = {"jax": 4.0, "torch": 2.0, "tensorflow": 2.0, "numpy": 1.0}
"""What a loss costs on a backend beside the others, roughly."""


@dataclass(frozen=True)
class Order:
    """What shall be run: names alone, so that it crosses over to a process."""

    backends: tuple[str, ...]
    losses: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    extent: Extent = "full"
    module: str | None = None
    device: str = "cpu"

    def checked(self) -> "Order":
        """The same for the backends that have one of the dtypes, and the device. ValueError for an unknown name."""
        return replace(self, backends=devices.having(self.selection().backends, self.device, bool(self.backends)))

    def selection(self) -> Selection:
        return select(self.backends, self.losses, self.dtypes, extent=self.extent, module=self.module)


Watch = Callable[[str, str, int, int], None]
"""Is told the backend, what is done next, how many parts its work has, and how many more are finished."""


def run_order(order: Order, watch: Watch) -> list[Result]:
    """Run an order: here if it is little work for one backend, otherwise in several processes.

    Raises
    ------
    ValueError
        If nothing is selected, or there is no such device.
    """
    selection = order.selection()
    if len(selection.backends) == 1 and len(selection.losses) < MANY:
        _place(order)
        return _here(selection, watch)
    return _Pool(order, selection, watch).run()


def _place(order: Order) -> None:
    """Tell the framework where its arrays are."""
    for name, value in devices.QUIET.items():
        os.environ.setdefault(name, value)
    for name in order.backends:
        framework(name).use(order.device)


def _here(selection: Selection, watch: Watch) -> list[Result]:
    previous: list[Job] = []

    def progress(job: Job) -> None:
        watch(job.backend, f"{job.loss} {job.what}", len(selection.losses), _next(previous, job))

    return run_jobs(selection, jobs(selection), progress)


def _next(previous: list[Job], job: Job) -> int:
    """1 if a job is the first of another loss than the one before."""
    other = bool(previous) and previous[0].loss != job.loss
    previous[:] = [job]
    return int(other)


@dataclass
class _Done:
    """A part of the work that was done."""

    results: list[Result]
    ledgers: dict[str, Ledger]


def _child(order: Order, folder: Path, pipe: Connection) -> None:
    """Do part after part, as they come through the pipe, until None does.

    Exact results are shared with the other processes through files in `folder`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _place(order)
    if order.extent == "full":
        [backend] = order.backends
        framework(backend).hurry()
    # Tracers leave many objects behind that stay: to look through them again and again takes a tenth of the time.
    gc.set_threshold(200_000, 20, 100)
    while (loss := pipe.recv()) is not None:
        try:
            with reference.kept_in(folder / f"{loss}.pickle", data.CASES.get(loss, ())):
                done = _part(order, loss, lambda job: pipe.send(f"{job.loss} {job.what}"))
            pipe.send(done)
        except Exception:
            pipe.send(_Done([_lost(order.backends[0], loss, traceback.format_exc())], {}))
    pipe.close()


def _part(order: Order, loss: str, progress: Callable[[Job], None]) -> _Done:
    ledgers: dict[str, Ledger] = {}
    if loss == NO_LOSS:
        [backend] = order.backends
        return _Done(recorded(backend).run(), ledgers)
    selection = replace(order, losses=(loss,)).selection()
    return _Done(run_jobs(selection, jobs(selection, ledgers), progress), ledgers)


class _Pool:
    def __init__(self, order: Order, selection: Selection, watch: Watch) -> None:
        self.order, self.selection, self.watch = order, selection, watch
        on_cpu = order.device.partition(":")[0] == "cpu"
        self.judged = "built-in" in selection.checks and selection.module is None and on_cpu
        # The largest first: nobody waits for it in the end.
        losses = sorted(selection.losses, key=lambda loss: -len(data.CASES.get(loss, ())))
        self.waiting = {
            b: deque([*losses, *([NO_LOSS] if self.judged and is_complete(selection, b) else [])])
            for b in selection.backends
        }
        self.sizes = {backend: len(parts) for backend, parts in self.waiting.items()}
        self.ledgers = {b: Ledger(deviations.load()) for b in selection.backends}
        self.results: dict[tuple[str, str], list[Result]] = {}
        self.running: dict[Connection, tuple[str, str | None, Any]] = {}

    def run(self) -> list[Result]:
        with tempfile.TemporaryDirectory() as folder:
            self._run(Path(folder))
        found = [r for b in self.selection.backends for loss in (*self.selection.losses, "") for r in self._of(b, loss)]
        if self.judged:
            for backend, ledger in self.ledgers.items():
                found += builtins.close(backend, ledger, is_complete(self.selection, backend))
        return found

    def _run(self, folder: Path) -> None:
        slots = max(2, (os.cpu_count() or 2) // 2)
        while self.running or any(self.waiting.values()):
            while len(self.running) < slots and any(self.waiting.values()):
                self._start(max(self.waiting, key=self._left), folder)
            for pipe in wait(list(self.running)):
                assert isinstance(pipe, Connection)
                self._hear(pipe)

    def _of(self, backend: str, loss: str) -> list[Result]:
        return self.results.get((backend, loss), [])

    def _left(self, backend: str) -> float:
        busy = sum(other == backend for other, _, _ in self.running.values())
        return COSTS.get(backend, 1.0) * len(self.waiting[backend]) / (1 + busy)

    def _start(self, backend: str, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(
            target=_child, args=(replace(self.order, backends=(backend,)), folder, theirs), daemon=False
        )
        process.start()
        theirs.close()
        self._give(mine, backend, process)

    def _give(self, pipe: Connection, backend: str, process: Any) -> None:
        loss = self.waiting[backend].popleft() if self.waiting[backend] else None
        with contextlib.suppress(OSError):  # a process that has ended is heard of below
            pipe.send(loss)
        if loss is None:
            pipe.close()
            process.join()
            self.running.pop(pipe, None)
        else:
            self.running[pipe] = (backend, loss, process)

    def _hear(self, pipe: Connection) -> None:
        backend, loss, process = self.running[pipe]
        assert loss is not None
        try:
            message: Any = pipe.recv()
        except (EOFError, OSError):
            process.join()
            self.results[backend, loss] = [_lost(backend, loss, f"the process ended with {process.exitcode}")]
            del self.running[pipe]
            return
        if isinstance(message, str):
            self.watch(backend, message, self.sizes[backend], 0)
            return
        self.results[backend, loss] = message.results
        for name, ledger in message.ledgers.items():
            self.ledgers[name].add(ledger)
        self.watch(backend, loss, self.sizes[backend], 1)
        self._give(pipe, backend, process)


def _lost(backend: str, loss: str, message: str) -> Result:
    return Result(loss, backend, "eager", "", "", "coverage", False, message=message)


__all__ = ["Order", "run_order"]
