"""What a mutant is, and how it is caught."""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from polyloss_conformance import run
from polyloss_conformance.modules import public_losses
from polyloss_conformance.result import Check, Result
from polyloss_conformance.selection import Selection

Patch = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Parameters
    ----------
    name : str
        What is wrong.
    losses : tuple of str
        In which losses it is made, each on its own.
    alter : callable or None
        Makes the wrong loss of a right one.
    patch : callable or None
        A context in which the core is wrong.
    backends : tuple of str
        Where it can be made.
    dtypes, modes, checks
        What of the suite has to run to catch it.
    """

    name: str
    losses: tuple[str, ...]
    alter: Callable[[Any], Any] | None = None
    patch: Patch | None = None
    backends: tuple[str, ...] = ("numpy", "torch")
    dtypes: tuple[str, ...] = ("float32",)
    modes: tuple[str, ...] = ("eager",)
    checks: tuple[Check, ...] = ("value and gradient",)

    def selection(self, backend: str, loss: str, function: Any) -> Selection:
        return Selection((backend,), {loss: function}, self.dtypes, modes=self.modes, checks=self.checks)


def caught(mutant: Mutant, backend: str, loss: str) -> Result | None:
    """The first check that notices the mutant, or None.

    Raises
    ------
    ValueError
        If its piece of work fails without the mutant too: then it was not the mutant that was noticed.
    """
    right = public_losses()[loss]
    wrong = right if mutant.alter is None else mutant.alter(right)
    work = zip(_work(mutant, backend, loss, wrong), _work(mutant, backend, loss, right), strict=True)
    # What is imported meanwhile would keep what is patched.
    importlib.import_module(f"polyloss_{backend}")
    with _unknown(right), mutant.patch() if mutant.patch is not None else contextlib.nullcontext():
        found, same = next(((failure, same) for job, same in work for failure in _failures(job)), (None, None))
    if same is not None and (alarm := next(_failures(same), None)):
        raise ValueError(f"this fails without the mutant, too: {alarm}")
    return found


@contextlib.contextmanager
def _unknown(loss: Any) -> Iterator[None]:
    """A context in which nothing is remembered from outside of it, and after which nothing is from inside."""
    from polyloss.engine import blocks as _blocks
    from polyloss.engine import compiled as _compiled

    products = importlib.import_module("polyloss.derivatives")._along_direction
    remembered = (
        loss._forget,
        _compiled.compiled.cache_clear,
        _blocks._row_program.cache_clear,
        products.cache_clear,
    )
    for forget in remembered:
        forget()
    try:
        yield
    finally:
        for forget in remembered:
            forget()


def _work(mutant: Mutant, backend: str, loss: str, function: Any) -> list[run.Job]:
    work = run.jobs(mutant.selection(backend, loss, function))
    if not work:
        raise ValueError("nothing was run against the mutant")
    return work


def _failures(job: run.Job) -> Iterator[Result]:
    return (result for result in job.run() if not result.passed)
