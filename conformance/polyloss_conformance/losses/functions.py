"""The numeric helpers of `polyloss.functions`: no losses, but as exact."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from polyloss_conformance.arrays import WIDE, floats, inf
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact.jets import logistic, plain, soft_plus
from polyloss_conformance.exact.numbers import HUGE, ZERO, Number, mp
from polyloss_conformance.exact.rules import inputs_of, local
from polyloss_conformance.exact.softmax import Softmax

from ._examples import CUBE, LOGITS, X

Pulled = tuple[list[Number], list[Number], list[Number], list[Number]]
"""Values and their scales; the gradient times a cotangent, and its scales."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Helper:
    """What there is to know about a helper.

    Parameters
    ----------
    name : str
        Its public name.
    exact : callable
        Its result for a row, and the gradient times a cotangent.
    questions : tuple of callable
        Write its cases.
    rowwise : bool
        It is a function of rows.
    single : bool
        Its value is one number for each row.
    """

    name: str
    exact: Callable[[list[Number], list[Number]], Pulled]
    questions: tuple[Callable[[Cases], None], ...]
    rowwise: bool = False
    single: bool = False

    @cached_property
    def cases(self) -> list[Case]:
        """All cases."""
        written = Cases(self.name, lambda shape: ())
        for question in self.questions:
            question(written)
        return list(written.written.values())


_ROWS = floats([0, -10, -11], [1e4, 1e4, 1e4 - 8], [50, -50, 0], [0, 0, 0], [-1000, 1000, 1], [-30, 0.5, -17])


# fmt: off
def _of_rows(case: Cases) -> None:
    case.sample("ordinary", LOGITS, reduction="mean")
    case.sample("one_row", LOGITS[0], reduction="mean")
    case.sample("axis_1", CUBE, axis=1, reduction="mean")
    case.edge("confident_and_saturated", _ROWS, reduction="mean")
    case.edge("masked_class", floats([1, -inf, 0], [-inf, -inf, 2]), reduction="mean", note="-inf masks a class")
    case.edge("one_class", floats([3], [-1]), reduction="mean")
    case.edge("huge", floats([1e20, 0, -1e20]), dtypes=WIDE, reduction="mean")


def _infinite_rows(case: Cases) -> None:
    case.edge("all_masked", floats([-inf, -inf]), reduction="mean", note="log of nothing is -inf")
    case.edge("infinite", floats([inf, 0], [1, inf]), reduction="mean")
    case.edge("infinite_twice", floats([inf, inf]), reduction="mean")


def _of_numbers(case: Cases) -> None:
    case.sample("ordinary", X, reduction="mean")
    case.edge("zero_and_saturated", floats(0, 17, -17, 20.5, -20.5, 50, -50, 1000, -1000, 1e4), reduction="mean",
              note="trap: slope 0 or 1 at 0; the identity above 20")
    case.edge("infinite", floats(inf, -inf), reduction="mean")
    case.edge("tiny", floats(1e-20, -1e-20), dtypes=WIDE, reduction="mean")
# fmt: on


def _of_row(function: Callable[[Softmax, list[Number], list[Number]], Pulled]) -> Callable[..., Pulled]:
    """A function of a row with something but -inf in it."""

    def exact(x: list[Number], cotangent: list[Number]) -> Pulled:
        if max(x) <= -HUGE:
            unknown = [mp.nan] * len(x)
            return [max(x)] * len(cotangent), [ZERO] * len(cotangent), unknown, unknown
        s, n = Softmax.of(x), range(len(x))
        # How far p_k moves with the differences to the largest.
        moved = [sum((abs(s.below[m] * s.p[k] * s.slope(k, m)) for m in n if s.below[m]), ZERO) for k in n]
        return function(s, moved, cotangent)

    return exact


@_of_row
def _log_sum_exp(s: Softmax, moved: list[Number], cotangent: list[Number]) -> Pulled:
    value, c = s.norm, cotangent[0]
    scale = abs(value) + sum((p * abs(v) for p, v in zip(s.p, s.x, strict=True) if p), ZERO)
    return [value], [scale], [c * p for p in s.p], [abs(c) * (p + d) for p, d in zip(s.p, moved, strict=True)]


@_of_row
def _log_softmax(s: Softmax, moved: list[Number], cotangent: list[Number]) -> Pulled:
    n, values = range(len(s.x)), [-v for v in s.minus_log]
    scales = [abs(values[c]) + s.spread(c) for c in n]
    gradient = [sum((cotangent[c] * s.slope(c, k) for c in n), ZERO) for k in n]
    sizes = [abs(gradient[k]) + sum((abs(cotangent[c]) * (abs(s.slope(c, k)) + moved[k]) for c in n), ZERO) for k in n]
    return values, scales, gradient, sizes


@_of_row
def _softmax(s: Softmax, moved: list[Number], cotangent: list[Number]) -> Pulled:
    n = range(len(s.x))

    def size(c: int, k: int) -> Number:
        slope = abs(s.slope(c, k))
        return 2 * s.p[c] * slope + moved[c] * slope + s.p[c] * moved[k]

    gradient = [sum((cotangent[c] * s.p[c] * s.slope(c, k) for c in n), ZERO) for k in n]
    sizes = [sum((abs(cotangent[c]) * size(c, k) for c in n), ZERO) for k in n]
    return s.p, [p + d for p, d in zip(s.p, moved, strict=True)], gradient, sizes


def _of_number(function: Callable[[Any], Any]) -> Callable[[list[Number], list[Number]], Pulled]:
    def exact(x: list[Number], cotangent: list[Number]) -> Pulled:
        (jet,) = inputs_of(x)
        result, (c,) = local(function(jet.rounded(abs(plain(jet)), "x")), x), cotangent
        return [result.value], [result.scale], [c * result.gradients[0]], [abs(c) * result.gradient_scales[0]]

    return exact


_ALL = (
    Helper(name="log_sum_exp", exact=_log_sum_exp, questions=(_of_rows, _infinite_rows), rowwise=True, single=True),
    Helper(name="log_softmax", exact=_log_softmax, questions=(_of_rows,), rowwise=True),
    Helper(name="softmax", exact=_softmax, questions=(_of_rows,), rowwise=True),
    Helper(name="softplus", exact=_of_number(soft_plus), questions=(_of_numbers,)),
    Helper(name="log_sigmoid", exact=_of_number(lambda x: -soft_plus(-x)), questions=(_of_numbers,)),
    Helper(name="sigmoid", exact=_of_number(logistic), questions=(_of_numbers,)),
)
HELPERS = {helper.name: helper for helper in _ALL}
