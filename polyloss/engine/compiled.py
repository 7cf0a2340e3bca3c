"""What a plan computes: traced once for calls that differ in their number of rows alone, with a program for each set of
gradients."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from polyloss.core.plan import Plan
from polyloss.core.reduction import expand, pull
from polyloss.core.values import outside

from .program import Program
from .symbols import ROWS, Shape, Symbol, foreign
from .trace import Trace


@dataclass(frozen=True)
class Form:
    """What code depends on: everything but the number of rows."""

    plan: Plan
    layouts: tuple[tuple[Shape, bool], ...]
    """For each array the shape of a row, and whether there are rows, and not one array for all."""
    dtypes: tuple[Any, ...]


class Compiled:
    """What a plan computes, of symbols.

    Attributes
    ----------
    total : Symbol
        What is summed up.
    gradients : tuple
        By each input; None where there is no closed form.
    flags : list of Symbol
        True where a value is outside of its domain.
    counted : Symbol or None
        What the denominator of the mean is the sum of; None where that is given, or the number of losses.
    """

    def __init__(self, form: Form) -> None:
        plan = form.plan
        self._trace = trace = Trace(1 + len(form.layouts[0][0]) if plan.axis is None else None)
        named = {}
        for number, (name, layout, dtype) in enumerate(zip(plan.names, form.layouts, form.dtypes, strict=True)):
            named[name] = input_of(trace, number, *layout, dtype)
        self.flags: list[Symbol] = []
        for found in outside(plan, trace, named):
            # At once: what class ids name is looked up next.
            trace.promise(found.flags)
            self.flags.append(found.flags)
        with foreign:
            ready = plan.prepare(trace, named)
            kernel = ready.kernel.kernel
            unseeing = functools.update_wrapper(_unseeing(trace, kernel), kernel, updated=())
            losses, *functions = replace(ready.kernel, kernel=unseeing)(*ready.arrays.values())
        weights, losses = ready.weights, trace.settle(losses)
        divisor = None if plan.reduction == "sum" else trace.input(len(form.dtypes), (), losses.dtype)
        share = weights.share(trace, losses, divisor)
        gradients: list[Symbol | None] = []
        for function in functions[: len(plan.loss.arrays)]:
            if function is None:
                gradients.append(None)
                continue
            with foreign:
                gradient = pull(share, function())
            if weights.mask is not None:
                gradient = trace.where(expand(weights.mask, gradient.ndim), gradient, 0.0)
            gradients.append(trace.settle(gradient))
        self.gradients = tuple(gradients)
        self.counted = None if plan.reduction == "sum" else weights.counted(trace, losses, plan.reduction)
        # Weights may cancel in it.
        self._signed = plan.reduction == "weighted_mean" and weights.weight is not None
        self.total = trace.whole(weights.weigh(trace, losses))
        self._programs: dict[tuple[int, ...], Program] = {}

    def program(self, numbers: tuple[int, ...]) -> Program:
        """The code of the sum of all losses, of its gradients by some inputs, and of checks."""
        if numbers not in self._programs:
            gradients = [gradient for number in numbers if (gradient := self.gradients[number]) is not None]
            self._programs[numbers] = Program(self.total, gradients, self.flags)
        return self._programs[numbers]

    @functools.cached_property
    def counting(self) -> Program:
        """The code of the denominator of a mean, and of whether anything counts, where its sum may not tell."""
        assert self.counted is not None
        flags = [self._trace.apply("not_equal", self.counted, 0.0)] if self._signed else []
        return Program(self._trace.whole(self.counted), [], flags)


compiled = functools.lru_cache(maxsize=256)(Compiled)
"""`Compiled`, once for each form."""


def input_of(trace: Trace, number: int, tail: Sequence[Any], blocked: bool, dtype: Any) -> Symbol:
    """An array of rows or, where it is not `blocked`, one that all rows share."""
    return trace.input(number, (ROWS, *tail) if blocked else tuple(tail), dtype)


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
