"""Arithmetic without warnings: infinity and NaN are results like any other."""

import contextvars
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")


class _Quiet:
    """A context in which NumPy ignores errors: to enter it costs less than `numpy.errstate`."""

    __slots__ = ("busy", "run")

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run
        self.busy = False


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.quiet = _Quiet()


_of_thread = _OfThread()


def quietly(function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    """The result of `function`, in which NumPy ignores errors. It sees no `ContextVar` of the caller."""
    quiet = _of_thread.quiet
    if quiet.busy:
        # Nobody enters a context twice.
        with np.errstate(all="ignore"):
            return function(*arguments, **keywords)
    quiet.busy = True
    try:
        return quiet.run(function, *arguments, **keywords)
    finally:
        quiet.busy = False
