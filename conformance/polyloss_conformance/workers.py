"""One process for each backend: frameworks do not meet in one process, and two cores have something to do."""

import multiprocessing
import os
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from .result import Result
from .run import Job, jobs, run_jobs
from .selection import Selection, select


@dataclass(frozen=True)
class Order:
    """What a process shall run: names alone, so that it crosses over."""

    backends: tuple[str, ...]
    losses: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    everything: bool = False
    quick: bool = False
    module: str | None = None

    def checked(self) -> "Order":
        """The same for the backends that have one of the dtypes. ValueError for a name that is not known."""
        return replace(self, backends=self._selection().backends)

    def work(self) -> tuple[Selection, list[Job]]:
        """The selection, and its jobs."""
        selection = self._selection()
        return selection, jobs(selection)

    def _selection(self) -> Selection:
        return select(
            self.backends,
            self.losses,
            self.dtypes,
            everything=self.everything,
            quick=self.quick,
            module=self.module,
        )


Watch = Callable[[str, str, int], None]
"""Is told the backend, what is done next, and how many jobs it has in all."""


def run_order(order: Order, watch: Watch) -> list[Result]:
    """Run an order: here if it has one backend, otherwise in one process for each.

    Raises
    ------
    ValueError
        If nothing is selected.
    """
    if len(order.backends) == 1:
        return _here(order, watch)
    return _processes([replace(order, backends=(b,)) for b in order.backends], watch)


def _here(order: Order, watch: Watch) -> list[Result]:
    selection, work = order.work()

    def progress(job: Job) -> None:
        watch(job.backend, f"{job.loss} {job.what}", len(work))

    return run_jobs(selection, work, progress)


def _child(order: Order, pipe: Connection) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        found = _here(order, lambda backend, what, total: pipe.send((backend, what, total)))
        pipe.send(found)
    except Exception:
        pipe.send(traceback.format_exc())
    pipe.close()


def _processes(orders: Sequence[Order], watch: Watch) -> list[Result]:
    context = multiprocessing.get_context("spawn")
    # The slowest first.
    waiting = deque(sorted(orders, key=lambda o: ("torch", "jax", "tensorflow", "numpy").index(o.backends[0])))
    running: dict[Any, tuple[Order, Any]] = {}
    results: dict[str, list[Result]] = {}
    while waiting or running:
        while waiting and len(running) < max(2, (os.cpu_count() or 2) // 2):
            order = waiting.popleft()
            mine, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(order, theirs), daemon=False)
            process.start()
            theirs.close()
            running[mine] = (order, process)
        for pipe in wait(list(running)):
            assert isinstance(pipe, Connection)
            order, process = running[pipe]
            backend = order.backends[0]
            try:
                message: Any = pipe.recv()
            except EOFError:
                process.join()
                if backend not in results:
                    results[backend] = [_lost(backend, f"the process ended with {process.exitcode}")]
                del running[pipe]
                continue
            if isinstance(message, tuple):
                watch(*message)
            elif isinstance(message, list):
                results[backend] = message
            else:
                results[backend] = [_lost(backend, message)]
    return [result for order in orders for result in results[order.backends[0]]]


def _lost(backend: str, message: str) -> Result:
    return Result("", backend, "eager", "", "", "coverage", False, message=message)


__all__ = ["Order", "run_order"]
