"""Losses of logits: sums over classes of a function of their probabilities.

The derivatives are written here, once for all of them: a value is rounded by the differences to the logit of its class,
a gradient by those to the largest logit, so the scale of a gradient is not that of one value's derivative.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .jets import Jet, is_possible
from .numbers import ONE, ZERO, Number, exp, mp
from .rules import Local


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

    def term(self, c: int, function: "Term") -> tuple[Number, Number, Number]:
        """A function of p_c, with its two derivatives by log p_c."""
        log = Jet(-self.minus_log[c], {0: ONE}, {0: ONE})
        p, rest = self.p[c], self.rest[c]
        found = function(log.lift(p, p, p), log.lift(rest, -p, -p), -log)
        return found.value, found.slopes[0], found.bends.get((0, 0), ZERO)


Term = Callable[[Jet, Jet, Jet], Jet]
"""What a class adds to a loss, from p, 1 - p and -log p."""


def target_weights(
    target: Any, count: int, weight: Any, smoothing: float, possible: Sequence[bool]
) -> tuple[list[Number], list[Number], list[Number]]:
    """For each class its share q, its weight, and how much its share is rounded."""
    weights = (
        [ONE] * count if weight is None else list(weight) if isinstance(weight, list) else [mp.mpf(weight)] * count
    )
    hard = not isinstance(target, list)
    q = [ONE if c == target else ZERO for c in range(count)] if hard else list(target)
    exact = [v in (0, 1) for v in q]
    if smoothing:
        s = mp.mpf(smoothing)
        q = [(1 - s) * v + (s / sum(possible) if ok else 0) for v, ok in zip(q, possible, strict=True)]
        exact = [False] * count
    return q, weights, [ZERO if e else abs(v * w) for e, v, w in zip(exact, q, weights, strict=True)]


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
    s = Softmax.of(logits)
    n = range(len(logits))
    sizes = [ZERO for _ in n] if sizes is None else sizes
    q, w, rounded = target_weights(target, len(n), weight, smoothing, [is_possible(v) for v in logits])
    h = [s.term(c, function) for c in n]
    share = [a * b for a, b in zip(q, w, strict=True)]
    used = [c for c in n if share[c] != 0]
    spread = [s.spread(c) * abs(h[c][1]) for c in n]

    value = sum((share[c] * h[c][0] for c in used), ZERO)
    scale = abs(value) + sum((share[c] * spread[c] + rounded[c] * h[c][0] for c in used), ZERO)
    gradient, scales = [], []
    for j in n:
        g = sum((share[c] * h[c][1] * s.slope(c, j) for c in used), ZERO)
        extra = sum((rounded[c] * abs(h[c][1] * s.slope(c, j)) for c in used), ZERO)
        for k in n:
            if s.below[k] != 0 or sizes[k]:
                through = s.p[j] * s.slope(j, k)
                bend = sum(
                    (share[c] * (h[c][2] * s.slope(c, j) * s.slope(c, k) - h[c][1] * through) for c in used), ZERO
                )
                extra += (abs(s.below[k]) + sizes[k]) * abs(bend)
        gradient.append(g)
        scales.append(abs(g) + extra)
    scale += sum((size * abs(g) for size, g in zip(sizes, gradient, strict=True)), ZERO)
    if not isinstance(target, list):
        return Local(value, scale, [gradient, None], [scales, None])
    # The slope in the share of a class: infinite, and asked of nobody, where the class is impossible.
    keep = 1 - mp.mpf(smoothing)
    by_target = [keep * w[c] * h[c][0] if is_possible(logits[c]) else mp.nan for c in n]
    moved = [sum((sizes[k] * abs(h[c][1] * s.slope(c, k)) for k in n), ZERO) for c in n]
    target_scales = [
        abs(g) + keep * w[c] * (spread[c] + moved[c]) if g == g else mp.nan for c, g in enumerate(by_target)
    ]
    return Local(value, scale, [gradient, by_target], [scales, target_scales])


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
    s, strength = Softmax.of(logits), mp.mpf(factor)
    n, norm = range(len(logits)), s.norm
    gradient = [2 * strength * norm * p for p in s.p]
    value = strength * norm**2
    scale = value + sum((size * abs(g) for size, g in zip(sizes, gradient, strict=True)), ZERO)
    scales = []
    for j in n:
        extra = ZERO
        for k in n:
            through = s.p[j] * s.slope(j, k) * norm
            # The differences to the largest are rounded in the softmax alone.
            extra += 2 * strength * (abs(s.below[k] * through) + sizes[k] * abs(through + s.p[j] * s.p[k]))
        scales.append(abs(gradient[j]) + extra)
    return Local(value, scale, [gradient], [scales])
