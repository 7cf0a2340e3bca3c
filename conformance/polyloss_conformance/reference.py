"""What the losses are, in 60 digits and explicit loops: values, gradients and how sensitive they are to rounding.

Nothing here knows polyloss or a framework. A loss is one function of one example: of numbers for an elementwise loss,
of rows of numbers for a row-wise one. Elementwise losses are written as their textbook value on `Jet`s, which carry the
first two derivatives along; losses of rows are written with their derivatives.

The condition scale of a value f is ``|f| + sum |x df/dx|`` over its rounded inputs x; that of an element g of the
gradient is ``|g| + sum |x dg/dx|``. So an error of eps times the scale is what one rounding of each input costs. The
rounded inputs are residuals, differences of logits (to the target's for values, to the largest for gradients),
differences of coordinates, and target probabilities, except 0 and 1, which are exact.

The logits of a linear layer are computed. Beside their differences, each product ``h_i w_i`` in them is an input that
is rounded, so is the bias, and so is a logit once it was capped: the size of a logit's own rounding is
``sum |h_i w_i| + |b|``, however small the logit. An element of the gradient by hidden states or by the layer is a sum
of products as well: its scale is the sum of theirs. Of two losses in one, as with a z-loss, the scales add.

An infinite input stands for the limit: it is computed as a very large number, and a very large result is infinite.

To check it: differentiate the value of `RULES` numerically (a step of 1e-18 leaves 20 digits and more), and compare
with its gradients wherever it reports no kink.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from .cases import LOSSES, Case, Place

LD = NDArray[np.longdouble]
Parts = Mapping[Place, LD | None]
"""What there is for each array of a call."""
Number = Any
"""An mpf."""

EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
"""The spacing at 1."""

mp = mpmath.MPContext()  # our own: the precision of others is not touched
mp.dps = 60
ZERO, ONE = mp.mpf(0), mp.mpf(1)
HUGE = mp.mpf(10) ** 2000
_INFINITE = mp.mpf(10) ** 1500
_NEGLIGIBLE = mp.mpf(10) ** 7


@dataclass(frozen=True)
class Truth:
    """The exact result of each example. See the fields of `reduced` for what a call returns.

    Parameters
    ----------
    values, value_scales : array
        Per example, without weights; 0 where the example is masked or ignored.
    gradients, gradient_scales : mapping to array or None
        For each array, the derivative of its example's value with respect to each element; of an array that all
        examples share, behind the axes of the examples. None for integers; NaN where none is promised.
    kinks : mapping to array or None
        True where there is no derivative, and `gradients` holds the sub-gradient of least norm.
    valid : array
        Examples that count.
    weights, sample_weights : array
        What the weighted mean divides by, and what multiplies the values. 0 where not valid.
    """

    values: LD
    value_scales: LD
    gradients: Parts
    gradient_scales: Parts
    kinks: Mapping[Place, NDArray[np.bool_] | None]
    valid: NDArray[np.bool_]
    weights: LD
    sample_weights: LD


@dataclass(frozen=True)
class Reduced:
    """The exact result of a call, and its gradients times a cotangent."""

    value: LD
    value_scale: LD
    gradients: Parts
    gradient_scales: Parts
    kinks: Mapping[Place, NDArray[np.bool_] | None]
    count: int


@dataclass(frozen=True)
class HelperTruth:
    """The exact result of a numeric helper, and its gradient times a cotangent."""

    value: LD
    value_scale: LD
    gradient: LD
    gradient_scale: LD
    kinks: NDArray[np.bool_]


@dataclass
class Local:
    """One example: for each array a number, or one for each element of it (rows of a matrix in a row), or None.

    Arrays that are keywords come last.
    """

    value: Number
    scale: Number
    gradients: list[Any]
    gradient_scales: list[Any]
    kink: bool = False


# --------------------------------------------------------------------------------------------------------------------
# Derivatives


class Jet:
    """A number with its first and second derivatives in some variables, and whether it has a kink there."""

    __slots__ = ("first", "kink", "second", "value")

    def __init__(self, value: Number, first: list[Number], second: list[list[Number]], kink: bool = False) -> None:
        self.value, self.first, self.second, self.kink = value, first, second, kink

    @staticmethod
    def variables(values: Sequence[Number]) -> list["Jet"]:
        n = range(len(values))
        return [
            Jet(v, [ONE if i == j else ZERO for j in n], [[ZERO for _ in n] for _ in n]) for i, v in enumerate(values)
        ]

    def lift(self, value: Number, slope: Number, bend: Number, kink: bool = False) -> "Jet":
        """A function of this number, from its value and its two derivatives."""
        a = self.first
        n = range(len(a))
        second = [[bend * a[i] * a[j] + slope * self.second[i][j] for j in n] for i in n]
        return Jet(value, [slope * d for d in a], second, kink or (self.kink and slope != 0))

    def __add__(self, other: Any) -> "Jet":
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.first, self.second, self.kink)
        n = range(len(self.first))
        return Jet(
            self.value + other.value,
            [a + b for a, b in zip(self.first, other.first, strict=True)],
            [[self.second[i][j] + other.second[i][j] for j in n] for i in n],
            self.kink or other.kink,
        )

    def __mul__(self, other: Any) -> "Jet":
        if not isinstance(other, Jet):
            return self.lift(self.value * other, mp.mpf(other), ZERO)
        a, b = self.first, other.first
        n = range(len(a))
        second = [
            [self.second[i][j] * other.value + a[i] * b[j] + a[j] * b[i] + self.value * other.second[i][j] for j in n]
            for i in n
        ]
        first = [a[i] * other.value + self.value * b[i] for i in n]
        kink = (self.kink and other.value != 0) or (other.kink and self.value != 0)
        return Jet(self.value * other.value, first, second, kink)

    def __truediv__(self, other: Any) -> "Jet":
        if not isinstance(other, Jet):
            return self.__mul__(1 / mp.mpf(other))
        v = other.value
        return self * other.lift(1 / v, -1 / v**2, 2 / v**3)

    def __neg__(self) -> "Jet":
        return self * -1

    def __sub__(self, other: Any) -> "Jet":
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> "Jet":
        return (-self).__add__(other)

    def __abs__(self) -> "Jet":
        if self.value == 0:
            return self.lift(ZERO, ZERO, ZERO, kink=True)
        return self if self.value > 0 else -self

    __radd__ = __add__
    __rmul__ = __mul__


def _functions_of(x: Any, value: Number, slope: Number, bend: Number) -> Any:
    return x.lift(value, slope, bend) if isinstance(x, Jet) else value


def _plain(x: Any) -> Number:
    return x.value if isinstance(x, Jet) else x


def positive_part(x: Any) -> Any:
    """max(x, 0)"""
    if _plain(x) > 0:
        return x
    return x.lift(ZERO, ZERO, ZERO, kink=_plain(x) == 0) if isinstance(x, Jet) else ZERO


def power(x: Any, exponent: Any) -> Any:
    """x to a power, x >= 0. 0 to the power 0 is 1."""
    v = _plain(x)
    if exponent == 0:
        return _functions_of(x, ONE, ZERO, ZERO)
    if v == 0:
        slope = ONE if exponent == 1 else ZERO
        return _functions_of(x, ZERO, slope, mp.mpf(2) if exponent == 2 else ZERO)
    y = v**exponent
    return _functions_of(x, y, exponent * y / v, exponent * (exponent - 1) * y / v**2)


def _exp(x: Number) -> Number:
    """exp of a number that is at most moderately positive; what underflows everything is 0."""
    return ZERO if x < -_NEGLIGIBLE else mp.exp(x)


def logistic(x: Any) -> Any:
    """1/(1 + exp(-x))"""
    v = _plain(x)
    e = _exp(-abs(v))
    small, large = e / (1 + e), 1 / (1 + e)
    s, c = (large, small) if v >= 0 else (small, large)
    return _functions_of(x, s, s * c, s * c * (c - s))


def soft_plus(x: Any) -> Any:
    """log(1 + exp(x))"""
    v = _plain(x)
    s = logistic(v)
    return _functions_of(x, max(v, ZERO) + mp.log1p(_exp(-abs(v))), s, s * logistic(-v))


def logarithm_of_cosh(x: Any) -> Any:
    """log(cosh(x))"""
    v = abs(_plain(x))
    e = _exp(-2 * v)
    value = mp.log1p(2 * mp.sinh(v / 2) ** 2) if v < 50 else v - mp.log(2) + mp.log1p(e)
    tanh = -mp.expm1(-2 * v) / (1 + e) if v < 50 else (1 - e) / (1 + e)
    return _functions_of(x, value, tanh if _plain(x) >= 0 else -tanh, 4 * e / (1 + e) ** 2)


@dataclass
class Sized:
    """A number, and the size of the rounding it has to allow for, in units of eps."""

    value: Number
    size: Number


def _exactly(parameter: Any) -> bool:
    """Whether a parameter is the same number in float32."""
    return not isinstance(parameter, float) or float(np.float32(parameter)) == parameter


def _evaluate(function: Callable[..., Any], inputs: Sequence[Sized], parameters: Mapping[str, Any]) -> Local:
    """A function of numbers with derivatives and scales. Parameters that a dtype would round count as inputs."""
    sized, fixed = {}, {}
    for key, value in parameters.items():
        if isinstance(value, Sized):
            sized[key] = value
        elif _exactly(value):
            fixed[key] = mp.mpf(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        else:
            sized[key] = Sized(mp.mpf(value), abs(mp.mpf(value)))
    everything = [*inputs, *sized.values()]
    jets = Jet.variables([i.value for i in everything])
    n = len(inputs)
    result = function(*jets[:n], **dict(zip(sized, jets[n:], strict=True)), **fixed)
    sizes = [i.size for i in everything]

    def scale(value: Number, slopes: Sequence[Number]) -> Number:
        return abs(value) + sum((s * abs(d) for s, d in zip(sizes, slopes, strict=True) if s), ZERO)

    return Local(
        result.value,
        scale(result.value, result.first),
        result.first[:n],
        [scale(result.first[i], result.second[i]) for i in range(n)],
        result.kink,
    )


def _label(target: Number) -> Sized:
    """A target in [-1, 1]: 0 and ±1 are labels and exact."""
    return Sized(target, ZERO if target in (-1, 0, 1) else abs(target))


# --------------------------------------------------------------------------------------------------------------------
# Losses of a residual

RULES: dict[str, Callable[..., Local]] = {}


def of_residual(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a loss of prediction - target."""

    def rule(prediction: Number, target: Number, **parameters: Any) -> Local:
        residual = prediction - target
        local = _evaluate(function, [Sized(residual, abs(residual))], parameters)
        (slope,), (scale,) = local.gradients, local.gradient_scales
        return Local(local.value, local.scale, [slope, -slope], [scale, scale], local.kink)

    RULES[function.__name__] = rule
    return function


@of_residual
def mse(r: Any) -> Any:
    return r * r


@of_residual
def l1(r: Any) -> Any:
    return abs(r)


@of_residual
def huber(r: Any, delta: Any = ONE) -> Any:
    if abs(_plain(r)) <= _plain(delta):
        return r * r / 2
    return delta * (abs(r) - delta / 2)


@of_residual
def smooth_l1(r: Any, beta: Any = ONE) -> Any:
    if beta == 0:
        return abs(r)
    if abs(_plain(r)) <= _plain(beta):
        return r * r / (2 * beta)
    return abs(r) - beta / 2


@of_residual
def log_cosh(r: Any) -> Any:
    return logarithm_of_cosh(r)


@of_residual
def tukey_biweight(r: Any, c: Any = 4.685, scale: Any = ONE) -> Any:
    c = mp.mpf(c) if isinstance(c, float) else c
    limit = c * c / 6
    if _plain(scale) == 0:  # the limit of a vanishing scale
        return r * 0 if _plain(r) == 0 else limit + r * 0
    u = r / (c * scale)
    if abs(_plain(u)) >= 1:
        return limit + r * 0
    square = u * u
    return limit * square * (3 - 3 * square + square * square)  # 1 - (1 - u²)³ without its cancellation


def median_deviation(residuals: Sequence[Number]) -> Sized:
    """1.4826 times the median of |r - median(r)|."""
    if not residuals:
        return Sized(ONE, ZERO)

    def middle(numbers: Sequence[Number]) -> Number:
        ordered = sorted(numbers)
        return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2

    centre = middle(residuals)
    scale = mp.mpf(1.4826) * middle([abs(r - centre) for r in residuals])
    # A deviation is the difference of two rounded numbers: at worst a multiple of the centre's rounding.
    return Sized(scale, 2 * scale + 3 * abs(centre))


# --------------------------------------------------------------------------------------------------------------------
# Losses of a score and a label


def of_score(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a loss of a score (or logit, or distance) and a label."""

    def rule(score: Number, target: Number, **parameters: Any) -> Local:
        return _evaluate(function, [Sized(score, abs(score)), _label(target)], parameters)

    RULES[function.__name__] = rule
    return function


def binary_cross_entropy(p: Number, target: Number, clip: float | None = None) -> Local:
    t = target
    if clip is not None:
        low, high = mp.mpf(clip), 1 - mp.mpf(clip)
        if not low < p < high:
            q = low if p <= low else high
            value = -(t * mp.log(q) + (1 - t) * mp.log(1 - q))
            slope = mp.log1p(-q) - mp.log(q)
            size = ZERO if _exactly(clip) else q  # of the bound's own rounding
            scale = value + size * abs((1 - t) / (1 - q) - t / q) + _label(t).size * abs(slope)
            slope_scale = abs(slope) + size / (q * (1 - q))
            return Local(value, scale, [ZERO, slope], [ZERO, slope_scale], p in (low, high))
    if p in (0, 1):
        right = t == p
        outward = ONE if p == 0 else -ONE
        value, slope = (ZERO, outward) if right else (mp.inf, -outward * mp.inf)
        return Local(value, value, [slope, mp.nan], [abs(slope), mp.nan])
    log_p, log_q = mp.log(p), mp.log1p(-p)
    value = -(t * log_p + (1 - t) * log_q)
    by_p, by_t = (1 - t) / (1 - p) - t / p, log_q - log_p
    bend = t / p**2 + (1 - t) / (1 - p) ** 2
    size = _label(t).size
    return Local(
        value,
        abs(value) + p * abs(by_p) + size * abs(by_t),
        [by_p, by_t],
        [abs(by_p) + p * bend + size / (p * (1 - p)), abs(by_t) + 1 / (1 - p)],
    )


RULES["binary_cross_entropy"] = binary_cross_entropy


@of_score
def binary_cross_entropy_with_logits(x: Any, t: Any, pos_weight: Any = None, label_smoothing: Any = ZERO) -> Any:
    t = t * (1 - label_smoothing) + label_smoothing / 2
    positive = t * soft_plus(-x)
    return (positive if pos_weight is None else positive * pos_weight) + (1 - t) * soft_plus(x)


@of_score
def sigmoid_focal(x: Any, t: Any, alpha: Any = None, gamma: Any = 2) -> Any:
    p, q = logistic(x), logistic(-x)
    wrong = p * (1 - t) + q * t
    entropy = t * soft_plus(-x) + (1 - t) * soft_plus(x)
    loss = power(wrong, gamma) * entropy
    return loss if alpha is None else (alpha * t + (1 - alpha) * (1 - t)) * loss


@of_score
def hinge(score: Any, t: Any) -> Any:
    return positive_part(1 - t * score)


@of_score
def squared_hinge(score: Any, t: Any) -> Any:
    missing = positive_part(1 - t * score)
    return missing * missing


@of_score
def contrastive(d: Any, t: Any, margin: Any = ONE, similar_label: Any = 1, factor: Any = 0.5, power: Any = 2) -> Any:
    similar = t if similar_label == 1 else 1 - t
    missing = positive_part(margin - d)
    near, far = (d, missing) if power == 1 else (d * d, missing * missing)
    return (similar * near + (1 - similar) * far) * factor


# --------------------------------------------------------------------------------------------------------------------
# Losses of logits


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
        e = [_exp(v) for v in below]
        total = sum(e, ZERO)
        others = [sum(e[:c] + e[c + 1 :], ZERO) for c in range(len(e))]
        minus_log = [mp.log1p(o) if b == 0 else mp.log(total) - b for o, b in zip(others, below, strict=True)]
        return Softmax(x, below, [v / total for v in e], [v / total for v in others], minus_log)

    def spread(self, c: int) -> Number:
        """How far the log of p_c moves with the differences x_j - x_c."""
        return sum((p * abs(v - self.x[c]) for p, v in zip(self.p, self.x, strict=True) if p), ZERO)

    def slope(self, c: int, j: int) -> Number:
        """The derivative of log p_c by x_j."""
        return self.rest[c] if c == j else -self.p[j]


def _target_weights(
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


def _softmax_loss(
    logits: list[Number],
    target: Any,
    weight: Any,
    smoothing: float,
    rule: Callable[..., tuple[Number, Number, Number]],
    sizes: Sequence[Number] | None = None,
) -> Local:
    """sum_c w_c q_c h(log p_c); `rule` gives h and its two derivatives from p, 1 - p and -log p.

    `sizes`: how much each logit is rounded itself, in units of eps. It is not, where it is an input.
    """
    s = Softmax.of(logits)
    n = range(len(logits))
    sizes = [ZERO for _ in n] if sizes is None else sizes
    q, w, rounded = _target_weights(target, len(n), weight, smoothing, [v > -HUGE for v in logits])
    h = [rule(s.p[c], s.rest[c], s.minus_log[c]) for c in n]
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
    by_target = [keep * w[c] * h[c][0] if logits[c] > -HUGE else mp.nan for c in n]
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
    return _softmax_loss(logits, target, class_weight, label_smoothing, lambda p, rest, m: (m, -ONE, ZERO), sizes)


def squared_norm(logits: list[Number], factor: Any, sizes: Sequence[Number]) -> Local:
    """factor * (log sum_c exp x_c)²"""
    s, strength = Softmax.of(logits), mp.mpf(factor)
    n = range(len(logits))
    norm = max(logits) + mp.log(sum((_exp(v) for v in s.below), ZERO))
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


@dataclass
class Logit:
    """A logit of a linear layer, with its two derivatives by what it was before a cap, and the sizes of both."""

    value: Number
    size: Number
    first: Number = ONE
    second: Number = ZERO
    raw_size: Number = ZERO

    @staticmethod
    def of(hidden: list[Number], weight: list[Number], bias: Number, cap: float | None) -> "Logit":
        products = [h * w for h, w in zip(hidden, weight, strict=True)]
        raw, size = sum(products, bias), sum(map(abs, products), abs(bias))
        if abs(raw) > _INFINITE:
            raw = size = HUGE * mp.sign(raw)
        if cap is None:
            return Logit(raw, abs(size), raw_size=abs(size))
        c = mp.mpf(cap)
        e = _exp(-2 * abs(raw) / c)
        tanh = mp.sign(raw) * (-mp.expm1(-2 * abs(raw) / c) if e else ONE) / (1 + e)
        first = 4 * e / (1 + e) ** 2
        return Logit(c * tanh, abs(c * tanh) + abs(size) * first, first, -2 * tanh * first / c, abs(size))


def linear_cross_entropy(
    hidden: list[Number],
    weight: list[list[Number]],
    target: Any,
    bias: list[Number] | None = None,
    class_weight: Any = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    logit_softcap: float | None = None,
) -> Local:
    biases = [ZERO] * len(weight) if bias is None else bias
    logits = [Logit.of(hidden, row, b, logit_softcap) for row, b in zip(weight, biases, strict=True)]
    values, sizes = [x.value for x in logits], [x.size for x in logits]
    terms = [cross_entropy(values, target, class_weight, label_smoothing, sizes)]
    if z_loss:
        terms.append(squared_norm(values, z_loss, sizes))

    slopes, scales = [], []
    for c, x in enumerate(logits):
        slope = sum((term.gradients[0][c] for term in terms), ZERO)
        scale = sum((term.gradient_scales[0][c] for term in terms), ZERO)
        slopes.append(slope * x.first)
        scales.append(scale * x.first + abs(slope * x.second) * x.raw_size)

    def times(scale: Number, factor: Number) -> Number:
        # What is asked of 0 times infinity, nobody knows.
        return mp.nan if scale == 0 and abs(factor) >= HUGE else scale * factor

    d = range(len(hidden))
    by_hidden = [sum((g * row[i] for g, row in zip(slopes, weight, strict=True)), ZERO) for i in d]
    by_weight = [[times(g, h) for h in hidden] for g in slopes]
    hidden_scales = [sum((s * abs(row[i]) for s, row in zip(scales, weight, strict=True)), ZERO) for i in d]
    weight_scales = [[s * abs(h) for h in hidden] for s in scales]
    return Local(
        sum((term.value for term in terms), ZERO),
        sum((term.scale for term in terms), ZERO),
        [by_hidden, by_weight, terms[0].gradients[1], slopes],
        [hidden_scales, weight_scales, terms[0].gradient_scales[1], scales],
    )


def softmax_focal(logits: list[Number], target: Any, alpha: Any = None, gamma: float = 2.0) -> Local:
    g = mp.mpf(gamma)

    def rule(p: Number, rest: Number, m: Number) -> tuple[Number, Number, Number]:
        if g == 0:
            return m, -ONE, ZERO
        if rest == 0:
            return ZERO, ZERO, ZERO
        f = rest**g
        first = -f - g * m * p * f / rest
        second = g * p * f / rest * (2 - m) + g * (g - 1) * m * p**2 * f / rest**2
        return m * f, first, second

    return _softmax_loss(logits, target, alpha, 0.0, rule)


def nll(log_probabilities: list[Number], target: Any, class_weight: Any = None, label_smoothing: float = 0.0) -> Local:
    n = range(len(log_probabilities))
    possible = [v > -HUGE for v in log_probabilities]
    q, w, rounded = _target_weights(target, len(n), class_weight, label_smoothing, possible)
    terms = [-q[c] * w[c] * log_probabilities[c] if q[c] else ZERO for c in n]
    value = sum(terms, ZERO)
    scale = abs(value) + sum((abs(t) for t in terms), ZERO)
    gradient = [-a * b for a, b in zip(q, w, strict=True)]
    scales = [abs(g) + r for g, r in zip(gradient, rounded, strict=True)]
    if not isinstance(target, list):
        return Local(value, scale, [gradient, None], [scales, None])
    keep = 1 - mp.mpf(label_smoothing)
    by_target = [-keep * w[c] * log_probabilities[c] if possible[c] else mp.nan for c in n]
    return Local(value, scale, [gradient, by_target], [scales, [2 * abs(g) for g in by_target]])


def kl_divergence(log_probabilities: list[Number], target: list[Number], log_target: bool = False) -> Local:
    value, scale = ZERO, ZERO
    gradient, by_target, target_scales = [], [], []
    for log_p, given in zip(log_probabilities, target, strict=True):
        t = _exp(given) if log_target else given
        if t == 0:
            gradient.append(ZERO)
            by_target.append(ZERO if log_target else mp.nan)
            target_scales.append(by_target[-1])
            continue
        log_t = given if log_target else mp.log(t)
        term, slope = t * (log_t - log_p), log_t - log_p + 1
        value += term
        scale += t * abs(log_p) + (abs(given * t * slope) if log_target else t * abs(slope))
        gradient.append(-t)
        by_target.append(t * slope if log_target else slope)
        target_scales.append(
            t * (abs(slope) + abs(given * (slope + 1)) + abs(log_p)) if log_target else abs(slope) + 1 + abs(log_p)
        )
    scales = [abs(g) * (1 + (abs(u) if log_target and g else 1)) for g, u in zip(gradient, target, strict=True)]
    return Local(value, abs(value) + scale, [gradient, by_target], [scales, target_scales])


RULES |= {
    "cross_entropy": cross_entropy,
    "linear_cross_entropy": linear_cross_entropy,
    "nll": nll,
    "softmax_focal": softmax_focal,
    "kl_divergence": kl_divergence,
}


# --------------------------------------------------------------------------------------------------------------------
# Losses of distances


@dataclass
class Distance:
    """A norm of x - y, or its square, with derivatives by the coordinates of the difference."""

    difference: list[Number]
    value: Number
    first: list[Number]
    second: list[list[Number]]
    kink: bool

    @staticmethod
    def of(x: list[Number], y: list[Number], p: float = 2.0, squared: bool = False) -> "Distance":
        z = [a - b for a, b in zip(x, y, strict=True)]
        n = range(len(z))
        if p == math.inf:
            return Distance._largest(z, squared)
        e = mp.mpf(p)
        total = sum((abs(v) ** e for v in z), ZERO)
        if total == 0:
            return Distance(z, ZERO, [ZERO] * len(z), [[ZERO] * len(z) for _ in n], not squared)
        d = total ** (1 / e)
        first = [mp.sign(v) * (abs(v) / d) ** (e - 1) if v else ZERO for v in z]
        # At a coordinate of 0 the second derivative may be infinite, but it is only ever multiplied by that 0.
        second = [
            [
                (e - 1) * ((abs(z[i]) / d) ** (e - 2) / d * (i == j) - first[i] * first[j] / d)
                if z[i] and z[j]
                else ZERO
                for j in n
            ]
            for i in n
        ]
        kink = e == 1 and 0 in z
        if squared:
            second = [[2 * (first[i] * first[j] + d * second[i][j]) for j in n] for i in n]
            return Distance(z, d * d, [2 * d * f for f in first], second, kink)
        return Distance(z, d, first, second, kink)

    @staticmethod
    def _largest(z: list[Number], squared: bool) -> "Distance":
        """Coordinates that tie share the slope."""
        d = max(abs(v) for v in z)
        ties = sum(abs(v) == d for v in z)
        first = [mp.sign(v) / ties if abs(v) == d else ZERO for v in z]
        kink = d == 0 or ties > 1
        n = range(len(z))
        if squared:
            second = [[2 * first[i] * first[j] for j in n] for i in n]
            return Distance(z, d * d, [2 * d * f for f in first], second, kink and d != 0)
        return Distance(z, d, first, [[ZERO for _ in n] for _ in n], kink)

    def scale(self) -> Number:
        return sum((abs(v * f) for v, f in zip(self.difference, self.first, strict=True)), ZERO)

    def slope_scale(self, i: int) -> Number:
        return sum((abs(v * s) for v, s in zip(self.difference, self.second[i], strict=True)), ZERO)


def contrastive_embedding(x1: list[Number], x2: list[Number], target: Number, **parameters: Any) -> Local:
    d = Distance.of(x1, x2)
    n = range(len(x1))
    jets = Jet.variables([d.value, target])
    exact = {key: mp.mpf(value) for key, value in parameters.items()}
    result = contrastive(*jets, **exact)
    by_d, by_t = result.first
    size = _label(target).size
    gradient = [by_d * f for f in d.first]
    scales = []
    for i in n:
        bend = [result.second[0][0] * d.first[i] * d.first[j] + by_d * d.second[i][j] for j in n]
        through = sum((abs(v * b) for v, b in zip(d.difference, bend, strict=True)), ZERO)
        scales.append(abs(gradient[i]) + through + size * abs(result.second[0][1] * d.first[i]))
    kink = result.kink or (d.kink and by_d != 0)
    scale = abs(result.value) + d.scale() * abs(by_d) + size * abs(by_t)
    by_t_scale = abs(by_t) + d.scale() * abs(result.second[0][1])
    return Local(result.value, scale, [gradient, [-g for g in gradient], by_t], [scales, scales, by_t_scale], kink)


def triplet_margin(
    anchor: list[Number],
    positive: list[Number],
    negative: list[Number],
    margin: float = 1.0,
    p: float = 2.0,
    swap: bool = False,
    squared: bool = False,
) -> Local:
    n = range(len(anchor))
    near, far = Distance.of(anchor, positive, p, squared), Distance.of(anchor, negative, p, squared)
    other = Distance.of(positive, negative, p, squared) if swap else far
    share = ONE if far.value < other.value or not swap else ZERO if far.value > other.value else ONE / 2
    excess = near.value - (other.value if share == 0 else far.value) + mp.mpf(margin)
    zeros = [ZERO for _ in n]
    if excess <= 0:
        return Local(ZERO, ZERO, [zeros] * 3, [zeros] * 3, excess == 0)
    parts = [(near, ONE, (1, -1, 0)), (far, -share, (1, 0, -1)), (other, share - 1, (0, 1, -1))]
    parts = [part for part in parts if part[1] != 0]
    gradients = [[sum((f * side[a] * d.first[i] for d, f, side in parts), ZERO) for i in n] for a in range(3)]
    scales = [
        [abs(gradients[a][i]) + sum((abs(f * side[a]) * d.slope_scale(i) for d, f, side in parts), ZERO) for i in n]
        for a in range(3)
    ]
    kink = share == ONE / 2 or any(d.kink for d, _, _ in parts)
    return Local(excess, excess + sum((d.scale() for d, _, _ in parts), ZERO), list(gradients), list(scales), kink)


RULES |= {"contrastive_embedding": contrastive_embedding, "triplet_margin": triplet_margin}


# --------------------------------------------------------------------------------------------------------------------
# From arrays to numbers and back


def to_longdouble(array: Any) -> LD:
    """Any float array, exactly."""
    return np.asarray(np.asarray(array, dtype=np.float64), dtype=np.longdouble)


def _number(value: float) -> Number:
    return mp.mpf(value) if math.isfinite(value) else HUGE * int(math.copysign(1, value))


def _longdouble(value: Any) -> Any:
    """Rounded to 64 bits; what stands for an infinity is one, and what stands for its inverse is 0."""
    if value is None or mp.isnan(value):
        return np.longdouble("nan")
    if mp.isinf(value) or abs(value) > _INFINITE:
        return np.longdouble("inf") if value > 0 else np.longdouble("-inf")
    man, exponent = (+value).man_exp
    if man == 0 or abs(value) * _INFINITE < 1:
        return np.longdouble(0)
    sign = -1 if value < 0 else 1  # man_exp has none
    excess = man.bit_length() - 64
    if excess > 0:
        man = (man + (1 << (excess - 1))) >> excess
        exponent += excess
    high, low = divmod(man, 1 << 32)
    return np.ldexp(np.ldexp(np.longdouble(high), 32) + np.longdouble(low), exponent) * sign


_KNOWN: dict[Any, Local] = {}
"""Every example that was ever computed."""


def _unknown(widths: Sequence[int]) -> Local:
    return Local(mp.nan, mp.nan, [[mp.nan] * w for w in widths], [[mp.nan] * w for w in widths])


def _listed(array: NDArray[Any]) -> list[Any]:
    """The numbers of an array, nested as they are there."""
    return [_listed(part) if part.ndim else _number(float(part)) for part in array]


def _as_longdouble(local: Local) -> Local:
    def row(numbers: Any) -> Any:
        if numbers is None:
            return None
        if isinstance(numbers, list) and isinstance(numbers[0], list):
            return np.concatenate([row(part) for part in numbers])
        return np.array([_longdouble(v) for v in (numbers if isinstance(numbers, list) else [numbers])])

    gradients, scales = map(row, local.gradients), map(row, local.gradient_scales)
    return Local(_longdouble(local.value), _longdouble(local.scale), list(gradients), list(scales), local.kink)


def _rows(array: NDArray[Any], examples: int) -> NDArray[np.float64]:
    return np.ascontiguousarray(array.astype(np.float64)).reshape(examples, -1)


def _per_example(option: Any, shape: tuple[int, ...], default: Any) -> NDArray[Any]:
    """An option, for each example. Missing axes are trailing."""
    array = np.asarray(default if option is None else option)
    if array.dtype != np.bool_:
        array = to_longdouble(array)
    array = array.reshape(array.shape + (1,) * (len(shape) - array.ndim)) if array.ndim else array
    return np.array(np.broadcast_to(array, shape))


@cache
def truth(case: Case, dtype: str) -> Truth:
    """The exact result of a case at the rounded inputs, example by example."""
    arrays, parameters, options = case.at(dtype)
    entry = LOSSES[case.loss]
    axis: int | None = parameters.pop("axis", -1) if entry.rowwise else None
    ignore_index = parameters.pop("ignore_index", None)
    first = np.asarray(arrays[0])
    shape = first.shape if axis is None else tuple(np.delete(first.shape, axis))
    count = math.prod(shape)
    shared = {
        place: np.asarray(arrays[place] if isinstance(place, int) else parameters[place])
        for place in entry.shared
        if isinstance(place, int) or parameters.get(place) is not None
    }
    # Class ids, and what else belongs to a row, have no class axis.
    whole = {place: axis is not None and np.ndim(arrays[place]) == first.ndim for place in entry.own}
    moved = {p: np.moveaxis(arrays[p], axis or 0, -1) if w else np.asarray(arrays[p]) for p, w in whole.items()}
    integer = {place: array.dtype.kind in "iu" for place, array in moved.items()}
    flat = {place: _rows(array, count) for place, array in moved.items()}

    valid = _per_example(options.get("where"), shape, np.bool_(True))
    beside = entry.own[1]
    if ignore_index is not None:
        valid &= moved[beside] != ignore_index
    sample_weights = np.where(valid, _per_example(options.get("sample_weight"), shape, 1.0), np.longdouble(0))
    class_weight = parameters.get("class_weight")
    weights = sample_weights
    if class_weight is not None:
        per_class = to_longdouble(class_weight)
        ids = integer[beside]
        target = np.where(valid if ids else valid[..., None], moved[beside], 0)
        weights = weights * (per_class[target] if ids else (to_longdouble(target) * per_class).sum(-1))

    rule = RULES[case.loss]
    if isinstance(parameters.get("scale"), str):  # "mad"
        kept = valid.reshape(-1)
        residuals = [mp.mpf(a) - mp.mpf(b) for a, b in zip(flat[0][kept, 0], flat[1][kept, 0], strict=True)]
        parameters["scale"] = median_deviation(residuals)
    # Array parameters match the last axes. In a row-wise loss these are the classes: each row has all of them.
    per_entry = [key for key, v in parameters.items() if isinstance(v, np.ndarray) and axis is None]
    extra = {key: _rows(np.broadcast_to(parameters.pop(key), shape), count) for key in per_entry}
    parameters = {
        key: [_number(float(v)) for v in value] if isinstance(value, np.ndarray) else value
        for key, value in parameters.items()
    }

    places: list[Place] = [*range(len(arrays)), *(place for place in shared if isinstance(place, str))]
    # Whatever has a name is shared.
    widths = [flat[p].shape[1] if isinstance(p, int) and p in flat else shared[p].size for p in places]
    results = [np.zeros((count, width), dtype=np.longdouble) for width in widths]
    scales = [np.zeros((count, width), dtype=np.longdouble) for width in widths]
    values, value_scales = (np.zeros(count, dtype=np.longdouble) for _ in range(2))
    kinks = np.zeros(count, dtype=np.bool_)

    # Equal examples are computed once: the long means are made of few, and many cases share theirs.
    table = np.concatenate([*flat.values(), *extra.values()], axis=1)
    equal: dict[bytes, list[int]] = {}
    for number in np.flatnonzero(valid.reshape(-1)).tolist():
        equal.setdefault(table[number].tobytes(), []).append(number)
    common = {p: _listed(array.astype(np.float64)) for p, array in shared.items() if isinstance(p, int)}
    kinds = tuple(whole.values()), tuple(integer.values())
    call = (case.loss, *kinds, repr(sorted(parameters.items())), repr(common), *extra)
    for row, where in equal.items():
        known = _KNOWN.get((call, row))
        if known is None:
            inputs: list[Any] = []
            for place in range(len(arrays)):
                if place in common:
                    inputs.append(common[place])
                    continue
                cells = flat[place][where[0]]
                number = int(cells[0]) if integer[place] else _number(cells[0])
                inputs.append([_number(v) for v in cells] if whole[place] else number)
            more = {key: _number(column[where[0], 0]) for key, column in extra.items()}
            unknown = np.isnan(table[where[0]]).any() or any(np.isnan(a).any() for a in shared.values())
            known = _KNOWN[call, row] = _as_longdouble(
                _unknown(widths) if unknown else rule(*inputs, **parameters, **more)
            )
        values[where], value_scales[where], kinks[where] = known.value, known.scale, known.kink
        for k in range(len(places)):
            gradient = known.gradients[k]
            if gradient is not None:
                results[k][where], scales[k][where] = gradient, known.gradient_scales[k]

    def back(columns: Sequence[NDArray[Any]]) -> dict[Place, NDArray[Any] | None]:
        found: dict[Place, NDArray[Any] | None] = {}
        for place, array in zip(places, columns, strict=True):
            if place in shared:
                found[place] = array.reshape(*shape, *shared[place].shape)
            elif isinstance(place, int):
                array = array.reshape(moved[place].shape)
                array = np.moveaxis(array, -1, axis) if axis is not None and whole[place] else array
                found[place] = None if integer[place] else array
        return found

    return Truth(
        values.reshape(shape),
        value_scales.reshape(shape),
        back(results),
        back(scales),
        back([np.repeat(kinks[:, None], width, 1) for width in widths]),
        valid,
        weights,
        sample_weights,
    )


def reduced(
    case: Case, truth: Truth, cotangent: Any = None, reduction: str | None = None, *, summed: bool = True
) -> Reduced:
    """The exact result of the reduction of a case, and its gradients times `cotangent`.

    Parameters
    ----------
    case : Case
        Its options say which reduction, and the denominator.
    truth : Truth
        Of this case.
    cotangent : number or array or None
        Of the shape of the result; None for ones.
    reduction : str or None
        Instead of the case's own.
    summed : bool
        Of an array that all examples share, the gradient; otherwise the part of each example in that sum.
    """
    name = reduction or str(case.options.get("reduction", "mean"))
    coefficient = truth.sample_weights
    if name in ("mean", "weighted_mean"):
        divisor = case.options.get("denominator")
        if divisor is None:
            divisor = truth.valid.sum() if name == "mean" else truth.weights.sum()
        divisor = np.longdouble(divisor)
        coefficient = coefficient / (divisor if divisor != 0 else np.longdouble(1))
    with np.errstate(invalid="ignore", over="ignore"):
        terms = np.where(truth.valid, coefficient * truth.values, np.longdouble(0))
        sizes = np.where(truth.valid, abs(coefficient) * truth.value_scales, np.longdouble(0))
        if name != "none":
            terms, sizes = np.asarray(terms.sum()), np.asarray(sizes.sum())
        upstream = coefficient if cotangent is None else coefficient * to_longdouble(cotangent)

        rows = upstream.ndim
        shared = LOSSES[case.loss].shared

        def pull(locals_: Parts, absolute: bool) -> dict[Place, LD | None]:
            pulled: dict[Place, LD | None] = {}
            for place, local in locals_.items():
                if local is None:
                    pulled[place] = None
                    continue
                axis = tuple(range(rows, local.ndim)) if place in shared else case.parameters.get("axis", -1)
                factor, valid = abs(upstream) if absolute else upstream, truth.valid
                if local.ndim > rows:
                    factor, valid = np.expand_dims(factor, axis), np.expand_dims(valid, axis)
                found = np.where(valid, factor * local, np.longdouble(0))
                pulled[place] = total(found) if place in shared and summed else found
            return pulled

        def total(parts: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(parts.sum(axis=tuple(range(rows))))

        gradients, scales = pull(truth.gradients, False), pull(truth.gradient_scales, True)
        kinks = {p: total(k) > 0 if k is not None and p in shared and summed else k for p, k in truth.kinks.items()}
    count = 1 if name == "none" else int(truth.values.size)
    return Reduced(terms, sizes, gradients, scales, kinks, count)


# --------------------------------------------------------------------------------------------------------------------
# Numeric helpers


def _row_helper(name: str, x: list[Number], cotangent: list[Number]) -> tuple[list[Number], ...]:
    """Values, their scales, the gradient times a cotangent, and its scales, of one row."""
    n = range(len(x))
    if max(x) <= -HUGE:  # nothing but -inf
        unknown = [mp.nan] * len(x)
        return [max(x)] * len(cotangent), [ZERO] * len(cotangent), unknown, unknown
    s = Softmax.of(x)
    # How far p_k moves with the differences to the largest.
    moved = [sum((abs(s.below[m] * s.p[k] * s.slope(k, m)) for m in n if s.below[m]), ZERO) for k in n]
    if name == "log_sum_exp":
        top = max(x)
        value = top + mp.log(sum((_exp(v) for v in s.below), ZERO))
        scale = abs(value) + sum((p * abs(v) for p, v in zip(s.p, x, strict=True) if p), ZERO)
        c = cotangent[0]
        return [value], [scale], [c * p for p in s.p], [abs(c) * (p + d) for p, d in zip(s.p, moved, strict=True)]
    if name == "log_softmax":
        values = [-v for v in s.minus_log]
        scales = [abs(values[c]) + s.spread(c) for c in n]
        gradient = [sum((cotangent[c] * s.slope(c, k) for c in n), ZERO) for k in n]
        sizes = [
            abs(gradient[k]) + sum((abs(cotangent[c]) * (abs(s.slope(c, k)) + moved[k]) for c in n), ZERO) for k in n
        ]
        return values, scales, gradient, sizes
    gradient = [sum((cotangent[c] * s.p[c] * s.slope(c, k) for c in n), ZERO) for k in n]
    sizes = [
        sum(
            (
                abs(cotangent[c])
                * (2 * s.p[c] * abs(s.slope(c, k)) + moved[c] * abs(s.slope(c, k)) + s.p[c] * moved[k])
                for c in n
            ),
            ZERO,
        )
        for k in n
    ]
    return s.p, [p + d for p, d in zip(s.p, moved, strict=True)], gradient, sizes


_SMOOTH: dict[str, Callable[[Any], Any]] = {
    "softplus": soft_plus,
    "log_sigmoid": lambda x: -soft_plus(-x),
    "sigmoid": logistic,
}


def helper_truth(case: Case, dtype: str, cotangent: Any = None) -> HelperTruth:
    """The exact result of a helper, and its gradient times `cotangent` (of the shape of the result; None for ones)."""
    (array,), parameters, _ = case.at(dtype)
    axis = parameters.get("axis", -1)
    rowwise = case.loss not in _SMOOTH
    wide = to_longdouble(array).astype(np.float64)
    moved = np.moveaxis(wide, axis, -1) if rowwise else wide[..., None]
    flat = moved.reshape(-1, moved.shape[-1])
    single = case.loss == "log_sum_exp"
    shape = moved.shape[:-1] if single or not rowwise else moved.shape
    up = np.ones(shape) if cotangent is None else to_longdouble(cotangent).astype(np.float64)
    if cotangent is not None and rowwise and not single:
        up = np.moveaxis(up, axis, -1)
    upstream = up.reshape(len(flat), -1)
    columns: list[list[Any]] = [[], [], [], []]
    for row, share in zip(flat, upstream, strict=True):
        x, c = [_number(v) for v in row], [_number(v) for v in share]
        if rowwise:
            result = _row_helper(case.loss, x, c)
        else:
            local = _evaluate(_SMOOTH[case.loss], [Sized(x[0], abs(x[0]))], {})
            result = [local.value], [local.scale], [c[0] * local.gradients[0]], [abs(c[0]) * local.gradient_scales[0]]
        for column, part in zip(columns, result, strict=True):
            column.append([_longdouble(v) for v in part])

    def back(column: list[Any], whole: bool) -> LD:
        result = np.array(column, dtype=np.longdouble)
        if not rowwise or (single and not whole):
            return result.reshape(moved.shape[:-1])
        return np.moveaxis(result.reshape(moved.shape), -1, axis)

    value, scale = back(columns[0], False), back(columns[1], False)
    gradient, sizes = back(columns[2], True), back(columns[3], True)
    return HelperTruth(value, scale, gradient, sizes, np.zeros(gradient.shape, dtype=np.bool_))
