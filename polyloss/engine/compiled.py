"""What a plan computes: traced once for calls that differ in their number of rows alone, with a program for each set of
gradients."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from polyloss.core.plan import Plan
from polyloss.core.reduction import Weights, expand, pull
from polyloss.core.values import outside

from .program import Program
from .symbols import Shape, Symbol, UntraceableError, foreign
from .trace import Trace


@dataclass(frozen=True)
class Form:
    """What code depends on: everything but the number of rows."""

    plan: Plan
    shapes: tuple[Shape, ...]
    """Those of the arrays, as symbols have them."""
    dtypes: tuple[Any, ...]


class Compiled:
    """What a plan computes, of symbols.

    Attributes
    ----------
    total : Symbol
        What is summed up.
    flags : list of Symbol
        True where a value is outside of its domain.
    counted : Symbol or None
        What the denominator of the mean is the sum of; None where that is given, or the number of losses.
    """

    def __init__(self, form: Form) -> None:
        plan = form.plan
        self._trace = trace = Trace(len(form.shapes[0]) if not plan.axis else None)
        named = {}
        for number, (name, shape, dtype) in enumerate(zip(plan.names, form.shapes, form.dtypes, strict=True)):
            named[name] = trace.input(number, shape, dtype)
        self.flags: list[Symbol] = []
        for found in outside(plan, trace, named):
            # At once: what class ids name is looked up next.
            trace.promise(found.flags)
            self.flags.append(found.flags)
        with foreign:
            ready = plan.prepare(trace, named)
            kernel = ready.kernel.kernel
            unseeing = functools.update_wrapper(_unseeing(trace, kernel), kernel, updated=())
            bound = replace(ready.kernel, kernel=unseeing)
            losses, *functions = bound.within(trace, tuple(ready.arrays.values()))
        weights, losses = ready.weights, trace.settle(losses)
        self.total = trace.whole(weights.weigh(trace, losses))
        self.counted = None if plan.reduction == "sum" else weights.counted(trace, losses, plan.reduction)
        # Weights may cancel in it.
        self._signed = plan.reduction == "weighted_mean" and weights.weight is not None
        self._found: tuple[Symbol | None, ...] | None = None
        self._untraced: Callable[[], Iterator[Symbol | None]] | None = functools.partial(
            _gradients, trace, form, weights, losses, functions[: len(plan.loss.arrays)]
        )
        self._programs: dict[tuple[int, ...], Program] = {}
        self._counting: Program | None = None
        self._lock = threading.RLock()

    @property
    def gradients(self) -> tuple[Symbol | None, ...] | None:
        """By each input, traced once somebody wants one. None where there is no closed form; and in the place of all,
        where they cannot be traced."""
        with self._lock:
            if self._untraced is not None:
                with contextlib.suppress(UntraceableError):
                    self._found = tuple(self._untraced())
                self._untraced = None
            return self._found

    def program(self, numbers: tuple[int, ...]) -> Program:
        """The code of the sum of all losses, of its gradients by some inputs, and of checks."""
        with self._lock:
            if numbers not in self._programs:
                found = (self.gradients or ()) if numbers else ()
                gradients = [one for number, one in enumerate(found) if number in numbers and one is not None]
                self._programs[numbers] = Program(self.total, gradients, self.flags)
            return self._programs[numbers]

    def counting(self) -> Program:
        """The code of the denominator of a mean, and of whether anything counts, where its sum may not tell."""
        assert self.counted is not None
        with self._lock:
            if self._counting is None:
                flags = [self._trace.apply("not_equal", self.counted, 0.0)] if self._signed else []
                self._counting = Program(self._trace.whole(self.counted), [], flags)
            return self._counting


compiled = functools.lru_cache(maxsize=256)(Compiled)
"""`Compiled`, once for each form."""


def _gradients(
    trace: Trace, form: Form, weights: Weights, losses: Symbol, functions: Sequence[Callable[[], Symbol] | None]
) -> Iterator[Symbol | None]:
    """The gradients by the inputs, of functions for the local derivatives."""
    divisor = None if form.plan.reduction == "sum" else trace.input(len(form.dtypes), (), losses.dtype)
    share = weights.share(trace, losses, divisor)
    for function in functions:
        if function is None:
            yield None
            continue
        with foreign:
            gradient = pull(share, function())
        if weights.mask is not None:
            gradient = trace.where(expand(weights.mask, gradient.ndim), gradient, 0.0)
        yield trace.settle(gradient)


def _unseeing(trace: Trace, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """`kernel`, which does not see how its arrays are laid out; nor do the derivatives that it returns."""

    def run(*arrays: Any, **parameters: Any) -> Any:
        trace.in_kernel = True
        try:
            result = kernel(*arrays, **parameters)
        finally:
            trace.in_kernel = False
        if not isinstance(result, tuple):
            return result
        parts = []
        for part in result:
            parts.append(_unseeing(trace, part) if callable(part) else part)
        return tuple(parts)

    return run
