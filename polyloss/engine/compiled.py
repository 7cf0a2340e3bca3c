"""What a plan computes: traced once for calls that differ in their number of rows alone, with a program for each set of
gradients."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from polyloss.core.checks import is_half
from polyloss.core.plan import Plan
from polyloss.core.reduction import Weights, expand, pull
from polyloss.core.values import outside

from .dialect import Dialect
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
    scales: bool
    """Whether gradients of a sum are divided as well: by an upstream gradient, see `Blocks.backward`."""
    assumes_finite: bool = True
    """Whether the largest entry of each row is taken to be finite, and where it helps the smallest. Where one is not, a
    flag is raised."""


class Compiled:
    """What a plan computes, of symbols.

    Attributes
    ----------
    total : Symbol
        What is summed up.
    flags : list of Symbol
        True where a value is outside of its domain. Programs have more: where an end of a row is not finite.
    counted : Symbol or None
        What the denominator of the mean is the sum of; None where that is given, or the number of losses.
    """

    def __init__(self, form: Form) -> None:
        plan = form.plan
        self._trace = trace = Trace(len(form.shapes[0]) if not plan.axis else None, form.assumes_finite)
        named = {}
        for number, (name, shape, dtype) in enumerate(zip(plan.names, form.shapes, form.dtypes, strict=True)):
            array = trace.input(number, shape, dtype)
            # Whatever is done to halves is done in the cache, to what they are in single precision.
            named[name] = trace.astype(array, trace.float32) if is_half(dtype) else array
        self.flags: list[Symbol] = []
        for found in outside(plan, trace, named):
            # At once: what class ids name is looked up next.
            trace.promise(found.flags)
            self.flags.append(found.flags)
        with foreign:
            # Derivatives are given, and what is found of masked examples is left out.
            ready = plan.prepare(trace, named, fill_masked=not form.assumes_finite)
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
        self._dtypes = form.dtypes
        self._programs: dict[tuple[Dialect, tuple[int, ...] | None], Program] = {}
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

    def program(self, dialect: Dialect, numbers: tuple[int, ...]) -> Program:
        """The code of the sum of all losses, of its gradients by some inputs, and of checks."""
        with self._lock:
            if (dialect, numbers) not in self._programs:
                gradients = []
                for number, gradient in enumerate((self.gradients or ()) if numbers else ()):
                    if number in numbers and gradient is not None:
                        gradients.append(_rounded(self._trace, gradient, self._dtypes[number]))
                flags = [*self.flags, *map(self._trace.is_infinite, self._trace.assumed)]
                self._programs[dialect, numbers] = Program(dialect, self.total, gradients, flags)
            return self._programs[dialect, numbers]

    @property
    def assumes(self) -> bool:
        """Whether a flag may be raised for no other reason than a row whose largest or smallest entry is not finite."""
        return bool(self._trace.assumed)

    def counting(self, dialect: Dialect) -> Program:
        """The code of the denominator of a mean, and of whether anything counts, where its sum may not tell."""
        assert self.counted is not None
        with self._lock:
            if (dialect, None) not in self._programs:
                flags = [self._trace.apply("not_equal", self.counted, 0.0)] if self._signed else []
                self._programs[dialect, None] = Program(dialect, self._trace.whole(self.counted), [], flags)
            return self._programs[dialect, None]


compiled = functools.lru_cache(maxsize=256)(Compiled)
"""`Compiled`, once for each form."""


def _gradients(
    trace: Trace, form: Form, weights: Weights, losses: Symbol, functions: Sequence[Callable[[], Symbol] | None]
) -> Iterator[Symbol | None]:
    """The gradients by the inputs, of functions for the local derivatives."""
    divided = form.scales or form.plan.reduction != "sum"
    divisor = trace.input(len(form.dtypes), (), losses.dtype) if divided else None
    share = weights.share(trace, losses, divisor)
    for function in functions:
        if function is None:
            yield None
            continue
        with foreign:
            gradient = _shared(trace, share, function())
        if weights.mask is not None:
            gradient = trace.where(expand(weights.mask, gradient.ndim), gradient, 0.0)
        yield trace.settle(gradient)


def _shared(trace: Trace, share: Symbol, local: Symbol) -> Symbol:
    """A local derivative times the share of each example.

    Where it ends with a number, or with the inverse of one of its row, what is small is multiplied first.
    """
    for x, factor in (local.args, local.args[::-1]) if local.op == "multiply" else ():
        of_row = _is_inverse(factor) or (factor.op == "multiply" and any(map(_is_inverse, factor.args)))
        of_row = of_row and factor.lengths[-1:] == (1,)
        if factor.op == "constant" or (of_row and x.lengths == local.lengths != factor.lengths):
            small = trace.apply("multiply", expand(share, len(local.lengths)), factor)
            return trace.apply("multiply", x, small)
    found: Symbol = pull(share, local)
    return found


def _is_inverse(x: Symbol) -> bool:
    return x.op == "divide" and x.args[0].op == "constant"


def _rounded(trace: Trace, gradient: Symbol, dtype: Any) -> Symbol:
    """A gradient in the dtype of its array."""
    if gradient.dtype == dtype:
        return gradient
    return trace.make("round", (trace.whole(gradient),), gradient.lengths, dtype)


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
