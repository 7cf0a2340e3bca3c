"""Losses of logits: sums over classes of a function of their probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .jets import Jet, is_possible
from .numbers import ONE, ZERO, Number, exp, mp
from .rules import Local, inputs_of, local


@dataclass
class Softmax:
    """Probabilities of a row and what is left to 1, both without cancellation, and their logarithms."""

    x: list[Number]
    below: list[Number]  # x - max x
    p: list[Number]
    rest: list[Number]  # 1 - p
    minus_log: list[Number]

    @staticmethod
    def of(x: list[Number]) -> "Softmax":
        top = max(x)
        below = [v - top for v in x]
        e = [exp(v) for v in below]
        total = sum(e, ZERO)
        others = [sum(e[:c] + e[c + 1 :], ZERO) for c in range(len(e))]
        minus_log = [mp.log1p(o) if b == 0 else mp.log(total) - b for o, b in zip(others, below, strict=True)]
        return Softmax(x, below, [v / total for v in e], [v / total for v in others], minus_log)

    @property
    def norm(self) -> Number:
        """The logarithm of the sum of exponentials."""
        return max(self.x) + mp.log(sum((exp(v) for v in self.below), ZERO))

    def spread(self, c: int) -> Number:
        """How far the log of p_c moves with the differences x_j - x_c."""
        return sum((p * abs(v - self.x[c]) for p, v in zip(self.p, self.x, strict=True) if p), ZERO)

    def slope(self, c: int, j: int) -> Number:
        """The derivative of log p_c by x_j."""
        return self.rest[c] if c == j else -self.p[j]


class Classes:
    """The probabilities of a row of logits.

    A value is rounded by the differences to the logit of its class, a slope by those to the largest logit.

    Parameters
    ----------
    logits : sequence of Jet
    name : hashable
        Of the row, where there are several.
    slopes, values : frozenset
        What the two kinds of roundings are counted in (see `Rounding`). In a loss of logits and a target, its slope by
        a share of the target is a value, too.
    """

    def __init__(
        self,
        logits: Sequence[Jet],
        name: Any = None,
        slopes: frozenset[Any] = frozenset({0}),
        values: frozenset[Any] = frozenset({"value", 1}),
    ) -> None:
        self.numbers = Softmax.of([x.value for x in logits])
        self.logits, self.name, self.values = logits, name, values
        below = self.numbers.below
        self.rounded = [x.rounded(abs(below[k]), ("below", name, k), slopes) for k, x in enumerate(logits)]

    @cached_property
    def bends(self) -> dict[Any, Number]:
        """Of the logarithm of the sum of exponentials: its second derivatives are those of -log p, of every class."""
        s, bends = self.numbers, dict[Any, Number]()
        for j, x in enumerate(self.rounded):
            moved = dict[Any, Number]()  # how much each rounding moves the slope by x_j
            for k, y in enumerate(self.rounded):
                through = s.p[j] * s.slope(j, k)
                for rounding, size in y.noise.items():
                    moved[rounding] = moved.get(rounding, ZERO) + through * size
            for place, slope in x.slopes.items():
                for rounding, size in moved.items():
                    bends[place, rounding] = bends.get((place, rounding), ZERO) + slope * size
        return bends

    @property
    def norm(self) -> Jet:
        """The logarithm of the sum of exponentials: differences to the largest are rounded in its slopes alone."""
        parts = [x.lift(ZERO, p, ZERO) for x, p in zip(self.logits, self.numbers.p, strict=True)]
        return sum(parts, Jet(self.numbers.norm, bends=self.bends))

    def minus_log(self, c: int) -> Jet:
        """-log p_c"""
        s = self.numbers
        parts = [x.lift(ZERO, -s.slope(c, j), ZERO) for j, x in enumerate(self.rounded)]
        jet = sum(parts, Jet(s.minus_log[c], bends=self.bends))
        return jet.rounded(s.spread(c), ("spread", self.name, c), self.values)

    def term(self, c: int, function: "Term") -> Jet:
        """A function of p_c."""
        minus_log, p, rest = self.minus_log(c), self.numbers.p[c], self.numbers.rest[c]
        return function(minus_log.lift(p, -p, p), minus_log.lift(rest, p, -p), minus_log)


Term = Callable[[Jet, Jet, Jet], Jet]
"""What a class adds to a loss, from p, 1 - p and -log p."""


def shares(
    target: Any, weight: Any, smoothing: float, possible: Sequence[bool], of: frozenset[Any] | None = None
) -> dict[int, Jet]:
    """For each class that has one its share in the target, times its weight.

    Shares of 0 and 1 are exact, others are rounded, which is counted in `of`.
    """
    count, hard = len(possible), not isinstance(target, list)
    weights = weight if isinstance(weight, list) else [ONE if weight is None else mp.mpf(weight)] * count
    parts, s = {}, mp.mpf(smoothing)
    for c in range(count):
        share = Jet(ONE if c == target else ZERO) if hard else target[c]
        if s:
            share = share * (1 - s) + (s / sum(possible) if possible[c] else ZERO)
        if s or share.value not in (0, 1):
            share = share.rounded(abs(share.value), ("share", c), of)
        if share.value != 0 or share.slopes:
            parts[c] = share * weights[c]
        if not hard and not possible[c]:
            # The slope in the share of a class is infinite, and asked of nobody, where the class is impossible.
            parts[c] = parts[c] + target[c].lift(ZERO, mp.nan, ZERO)
    return parts


def of_probabilities(
    logits: list[Number],
    target: Any,
    weight: Any,
    smoothing: float,
    function: Term,
    sizes: Sequence[Number] | None = None,
) -> Local:
    """sum_c w_c q_c h(p_c), from logits.

    `sizes`: how much each logit is rounded itself, in units of eps. It is not, where it is an input.
    """
    x, t = inputs_of((logits, target))
    classes = Classes(_sized(x, sizes))
    parts = shares(t, weight, smoothing, [is_possible(v) for v in logits])
    total = sum((share * classes.term(c, function) for c, share in parts.items()), Jet(ZERO))
    return local(total, (logits, target))


def _sized(logits: list[Jet], sizes: Sequence[Number] | None) -> list[Jet]:
    if sizes is None:
        return logits
    return [x.rounded(size, ("logit", k)) for k, (x, size) in enumerate(zip(logits, sizes, strict=True))]


def cross_entropy(
    logits: list[Number],
    target: Any,
    class_weight: Any = None,
    label_smoothing: float = 0.0,
    sizes: Sequence[Number] | None = None,
) -> Local:
    """sum_c w_c q_c (-log p_c)"""
    return of_probabilities(logits, target, class_weight, label_smoothing, lambda p, rest, minus_log: minus_log, sizes)


def squared_norm(logits: list[Number], factor: Any, sizes: Sequence[Number]) -> Local:
    """factor * (log sum_c exp x_c)²"""
    norm = Classes(_sized(inputs_of(logits, (0,)), sizes)).norm
    return local(norm * norm * mp.mpf(factor), (logits,))
