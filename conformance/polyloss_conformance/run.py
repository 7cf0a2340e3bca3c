"""Run what was selected: the jobs of a selection, in the order of backends and losses."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from . import cases as data
from . import deviations, frameworks, modules
from .checks import builtins, curvature, errors, kinds, laws, own, second_order, traced, values
from .deviations import Ledger
from .frameworks import EAGER
from .modules import public_losses
from .result import Result
from .schedule import Unit, pieces, units
from .selection import Selection, select


class Job(NamedTuple):
    """A piece of work: what it is about, and how to do it."""

    loss: str
    backend: str
    what: str
    run: Callable[[], list[Result]]


def jobs(selection: Selection, ledgers: dict[str, Ledger] | None = None) -> list[Job]:
    """All the work of a selection, in the order of backends and losses.

    Parameters
    ----------
    ledgers : dict or None
        Where the ledger of each backend goes, if this is a part of the work: `builtins.close` is then for the caller.
    """
    whole = ledgers is None
    module = None if selection.module is None else modules.load(selection.module)
    work: list[Job] = []
    checks = selection.checks
    if "value and gradient" in checks and module is None:
        for piece in pieces(selection):
            unit = piece[0]
            made = _call(values.run, piece, selection.losses[unit.loss])
            work.append(Job(unit.loss, unit.backend, f"{unit.mode} {unit.dtype}", made))
    for backend in selection.backends:
        framework = frameworks.framework(backend)
        modes = (
            framework.modes if selection.modes is None else tuple(m for m in selection.modes if m in framework.modes)
        )
        everything = selection.extent == "all"
        compilers = tuple(m for m in modes if m not in (*EAGER, "compile") or (everything and m not in EAGER))
        # What is traced is the same for all of them; XLA's part in it is seen in JAX.
        tracing = compilers if everything else compilers[:1]
        unseen = tracing if framework.shows_values else (*modes[:1], *tracing)
        ledger = deviations.Ledger(deviations.load())
        if ledgers is not None:
            ledgers[backend] = ledger
        for name, loss in selection.losses.items():
            if module is not None:
                work.append(
                    Job(name, backend, "own", _all(own.check, name, loss, framework, selection.dtypes, module, modes))
                )
                continue
            if name not in data.LOSSES:
                work.append(Job(name, backend, "cases", _call(_no_cases, name, backend)))
                continue
            lawful = "law" in checks and "eager" in modes and loss is not None and "float64" in selection.dtypes
            # Laws are of losses, and not of frameworks; and where each of their calls is compiled they are dear.
            if lawful and not (selection.at_first_sight and framework.slow_eager):
                quickly = framework.slow_eager and not everything
                work.append(Job(name, backend, "laws", _all(laws.check, name, loss, framework, quickly)))
            if "kind of call" in checks and "eager" in modes and loss is not None:
                kinds_of = _all(kinds.check, name, loss, framework, selection.dtypes, modes)
                work.append(Job(name, backend, "kinds of calls", kinds_of))
            if "built-in" in checks and "eager" in modes and loss is not None:
                of_builtins = (name, framework, selection.dtypes, ledger, everything)
                work.append(Job(name, backend, "built-ins", _all(builtins.run, *of_builtins)))
            if "error" in checks and "eager" in modes:
                work.append(Job(name, backend, "errors", _all(errors.run, name, loss, framework)))
            if "bad values while traced" in checks and unseen:
                work.append(
                    Job(name, backend, "bad values", _all(traced.run, name, loss, framework, unseen, everything))
                )
            if "second order" in checks and "eager" in modes and "float64" in selection.dtypes:
                curved = _all(second_order.run, name, loss, framework, selection.at_first_sight)
                work.append(Job(name, backend, "second order", curved))
            # Of the losses' own second derivatives: the same code on all backends, but for what the arrays do.
            if (
                "second order" in checks
                and "eager" in modes
                and not (selection.at_first_sight and framework.differentiates)
            ):
                of_users = _all(curvature.run, name, loss, framework, selection.dtypes, framework.differentiates)
                work.append(Job(name, backend, "curvature", of_users))
        judged = "built-in" in checks and "eager" in modes and module is None
        if whole and judged and framework.shows_values:
            complete = is_complete(selection, backend)
            if complete:
                work.append(recorded(backend))
            work.append(Job("", backend, "table of deviations", _call(builtins.close, backend, ledger, complete)))
    return work


def is_complete(selection: Selection, backend: str) -> bool:
    """Whether all that the table of deviations speaks of is run."""
    return set(selection.losses) >= set(data.LOSSES) and set(selection.dtypes) >= set(frameworks.dtypes(backend))


def recorded(backend: str) -> Job:
    """The inputs that the table of deviations shows."""
    return Job("", backend, "recorded inputs", lambda: list(builtins.confirm(frameworks.framework(backend))))


def _call(function: Callable[..., list[Result]], *arguments: Any) -> Callable[[], list[Result]]:
    return lambda: function(*arguments)


def _all(function: Callable[..., Iterator[Result]], *arguments: Any) -> Callable[[], list[Result]]:
    return lambda: list(function(*arguments))


def _no_cases(name: str, backend: str) -> list[Result]:
    return [Result(name, backend, "eager", "", "", "coverage", False, message=f"there is not one case for {name}")]


def run(selection: Selection, progress: Callable[[Job], None] | None = None) -> list[Result]:
    """Run a selection. See `run_jobs`."""
    return run_jobs(selection, jobs(selection), progress)


def run_jobs(selection: Selection, work: Sequence[Job], progress: Callable[[Job], None] | None = None) -> list[Result]:
    """Do the work of a selection.

    Raises
    ------
    ValueError
        If there is nothing to run: a comparison of nothing is no success.
    """
    if not work:
        raise ValueError("nothing was selected: no case fits these backends, losses and dtypes")
    results: list[Result] = []
    previous = work[0]
    for job in work:
        if progress is not None:
            progress(job)
        if (job.backend, job.loss) != (previous.backend, previous.loss):
            frameworks.framework(previous.backend).forget()
        previous = job
        start = time.perf_counter()
        found = job.run()
        share = (time.perf_counter() - start) / max(1, len(found))
        results += [replace(result, seconds=share) for result in found]
    return results + _covered(selection, results)


def _covered(selection: Selection, results: Sequence[Result]) -> list[Result]:
    """A loss and backend without a single comparison is a failure."""
    if "value and gradient" not in selection.checks:
        return []
    # A loss of one's own is compared with difference quotients as well, which measures no error.
    own = selection.module is not None
    compared = {(r.loss, r.backend) for r in results if own or r.value is not None or not r.passed}
    return [
        Result(
            loss, backend, "eager", "", "", "coverage", False, message="nothing was compared: fewer than two parties"
        )
        for backend in selection.backends
        for loss in selection.losses
        if (loss, backend) not in compared
    ]


__all__ = ["Job", "Result", "Selection", "Unit", "jobs", "public_losses", "run", "run_jobs", "select", "units"]
