"""Losses of distances between embeddings."""

import functools
import operator
from collections.abc import Callable
from typing import Any, Unpack

from polyloss import stable as numeric
from polyloss.core.backend import stop_gradient
from polyloss.core.checks import describe, shape_is
from polyloss.core.declare import elementwise, rowwise
from polyloss.core.domains import LABELS, NONNEGATIVE, ONE_OR_TWO, POSITIVE, Domain, finite, per_example, scalar, static
from polyloss.core.typing import Array, Call, KernelResult, Namespace, RowCall

from ._norms import Slope, length_of, power_of_two

__all__ = ["contrastive", "contrastive_embedding", "triplet_margin"]

_ZERO_OR_ONE = static(Domain(low=0, high=1, ends_only=True))
_NORM = static(Domain(low=1))


@elementwise(
    tasks=["similarity"],
    distance=NONNEGATIVE,
    target=LABELS,
    margin=finite(POSITIVE),
    similar_label=_ZERO_OR_ONE,
    factor=finite(POSITIVE),
    power=ONE_OR_TWO,
)
def contrastive(
    xp: Namespace,
    distance: Array,
    target: Array,
    *,
    margin: float | Array = 1.0,
    similar_label: int = 1,
    factor: float | Array = 0.5,
    power: int = 2,
    **call: Unpack[Call],
) -> KernelResult:
    r"""Contrastive loss of distances: pulls similar pairs together, pushes others apart up to a margin.

    .. math:: \ell = f \left( s \, d^k + (1 - s) \max(0, m - d)^k \right)

    R. Hadsell, S. Chopra and Y. LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006.

    Parameters
    ----------
    distance : array
        :math:`d \ge 0`, real floating, of any shape.
    target : array
        Whether the pair is similar, of the shape of `distance`: 0 or 1 (see `similar_label`), or between. Not -1.
    margin : float or array, default 1.0
        :math:`m`, in the unit of the distance (it is the distance that is compared, not its square).
    similar_label : {1, 0}, default 1
        Which label means similar: with 1, :math:`s` is `target`; with 0, as in the paper, it is one minus `target`.
    factor : float or array, default 0.5
        :math:`f`.
    power : {2, 1}, default 2
        :math:`k`.

    See Also
    --------
    contrastive_embedding : of the embeddings themselves.

    Notes
    -----
    No framework has it built in. The paper and sentence-transformers have the factor 1/2, TensorFlow Addons has not;
    the paper's label 1 means dissimilar, theirs similar. ``torch.nn.functional.hinge_embedding_loss`` is
    ``power=1, factor=1`` with labels -1 and +1.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> distance, target = np.asarray([0.5, 0.5]), np.asarray([1, 0])
    >>> polyloss.contrastive(distance, target, margin=2.0, reduction="none").tolist()
    [0.125, 1.125]
    """
    similar, dissimilar = _shares(target, similar_label)
    gap = numeric.positive_part(xp, margin - distance)
    # An infinite distance of a dissimilar pair counts nothing: the factor 0 must not meet it.
    near = xp.where((similar == 0) & numeric.is_infinite(xp, distance, 1), 0.0, distance)

    # The shares and the factor first: a square may be too large where they are small, and must not meet a 0.
    def cost(factor: float | Array) -> Array:
        pull, push = (factor * similar) * near, (factor * dissimilar) * gap
        return pull + push if power == 1 else pull * near + push * gap

    def push() -> Array:
        return dissimilar * (xp.where(gap > 0, 1.0, xp.zeros_like(gap)) if power == 1 else gap)

    def slope() -> Array:
        # The factors first: twice a distance may be too large.
        return (power * factor) * ((similar if power == 1 else similar * near) - push())

    def by_target() -> Array:
        change = factor * (distance - gap)
        change = change if power == 1 else change * (distance + gap)
        return change if similar_label == 1 else -change

    return (
        cost(factor),
        slope,
        by_target,
        {"margin": lambda: (power * factor) * push(), "factor": lambda: cost(1.0)},
    )


def _shares(target: Array, similar_label: int) -> tuple[Array, Array]:
    """How similar a pair is, and how dissimilar. Neither is one minus the other, which could cancel."""
    return (target, 1.0 - target) if similar_label == 1 else (1.0 - target, target)


@rowwise(
    tasks=["similarity"],
    target=per_example(LABELS),
    margin=scalar(finite(POSITIVE)),
    similar_label=_ZERO_OR_ONE,
    factor=scalar(finite(POSITIVE)),
    power=ONE_OR_TWO,
)
def contrastive_embedding(
    xp: Namespace,
    x1: Array,
    x2: Array,
    target: Array,
    *,
    margin: float | Array = 1.0,
    similar_label: int = 1,
    factor: float | Array = 0.5,
    power: int = 2,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Contrastive loss of embeddings: `contrastive` of their Euclidean distance.

    .. math::
        \ell = f \left( s \, d^k + (1 - s) \max(0, m - d)^k \right)
        \qquad d = \lVert x_1 - x_2 \rVert_2

    There is no epsilon: identical points are at distance 0. The gradient there is 0, and so it is exactly at the
    margin. Neither huge nor tiny embeddings overflow or vanish in the squares.

    R. Hadsell, S. Chopra and Y. LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006.

    Parameters
    ----------
    x1, x2 : array
        Embeddings, real floating, both of the same shape, the features along `axis`.
    target : array
        Whether the pair is similar, of the shape of `x1` without `axis`: 0 or 1, or between, as in `contrastive`.
    margin, similar_label, factor, power
        As in `contrastive`: :math:`m`, which label means similar, :math:`f` and :math:`k`.

    See Also
    --------
    contrastive : of any distance.
    triplet_margin

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> x1, x2 = np.asarray([[0.0, 0.0], [0.0, 0.0]]), np.asarray([[0.3, 0.4], [0.3, 0.4]])
    >>> polyloss.contrastive_embedding(x1, x2, np.asarray([1, 0]), reduction="none").tolist()
    [0.125, 0.125]
    """
    apart = x1 - x2
    distance, along = length_of(xp, apart)
    value, by_distance, by_target, by_parameter = contrastive.kernel(
        xp, distance, target, margin=margin, similar_label=similar_label, factor=factor, power=power
    )

    def slope() -> Array:
        if power == 1:
            return along(by_distance())
        # Of a similar pair it is the difference itself, which has no kink where the points meet.
        similar, dissimilar = _shares(target, similar_label)
        push = dissimilar * numeric.positive_part(xp, margin - distance)
        return (2.0 * factor) * (similar[..., None] * apart - along(push))

    return value, slope, lambda: -slope(), by_target, by_parameter


@rowwise(tasks=["similarity"], autodiff="distance", margin=scalar(finite(NONNEGATIVE)), p=_NORM)
def triplet_margin(
    xp: Namespace,
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float | Array = 1.0,
    p: float = 2.0,
    swap: bool = False,
    squared: bool = False,
    distance: Callable[[Array, Array], Array] | None = None,
    **call: Unpack[RowCall],
) -> Any:
    r"""Triplet margin loss: an anchor should be closer to a positive than to a negative, by a margin.

    .. math:: \ell = \max(0, d(a, p) - d(a, n) + m) \qquad d(x, y) = \lVert x - y \rVert_p

    There is no epsilon: identical points are at distance 0. The gradient of a distance of 0 is 0, and so is that of a
    triplet exactly at the margin. Neither huge nor tiny embeddings overflow or vanish in the powers.

    K. Q. Weinberger and L. K. Saul, "Distance metric learning for large margin nearest neighbor classification", JMLR
    10, 2009. With squared distances: F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet", CVPR 2015. Swap: V. Balntas
    et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks", BMVC 2016.

    Parameters
    ----------
    anchor, positive, negative : array
        Embeddings, real floating, of the same shape, the features along `axis`.
    margin : float or array, default 1.0
        :math:`m`.
    p : float, default 2.0
        Degree of the norm; ``math.inf`` is the largest difference of a coordinate. Where two
        coordinates tie for it, they share the gradient equally.
    swap : bool, default False
        Put the smaller one of :math:`d(a, n)` and :math:`d(p, n)` in the place of :math:`d(a, n)`. A tie is shared.
    squared : bool, default False
        Compare squared distances.
    distance : callable, optional
        A distance of your own, in place of the norm: takes two arrays with the features last, returns one value per
        row; anything else is an error. The framework differentiates it, so NumPy has the value alone. The rules at
        kinks above are then yours, except those of the hinge and of a tie.

    See Also
    --------
    contrastive_embedding : of pairs.

    Notes
    -----
    ``torch.nn.functional.triplet_margin_loss`` adds 1e-6 to each difference of coordinates, ``optax``'s adds it under
    the root: both see a distance between identical points. optax's is wrong for any `p` but 2.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> anchor, positive, negative = np.asarray([0.0, 0.0]), np.asarray([3.0, 4.0]), np.asarray([0.0, 4.5])
    >>> float(polyloss.triplet_margin(anchor, positive, negative))
    1.5
    """
    if distance is not None:
        return _by_own_distance(xp, anchor, positive, negative, margin, swap, squared, distance)
    differences = [anchor - positive, anchor - negative, *([positive - negative] if swap else [])]
    amounts, slopes, excess = _distances(xp, differences, p, squared)
    near, far = amounts[0], amounts[1]
    if swap:
        far = xp.where(amounts[2] < far, amounts[2], far)
    gap = excess(near, far) + margin

    def active() -> Array:
        return xp.where(gap > 0, 1.0, xp.zeros_like(gap))

    def parts() -> list[Array]:
        counts = active()
        if not swap:
            return [slope(counts) for slope in slopes]
        share = xp.where(amounts[1] == amounts[2], 0.5, xp.where(amounts[1] < amounts[2], 1.0, xp.zeros_like(gap)))
        return [slopes[0](counts), slopes[1](counts * share), slopes[2](counts * (1.0 - share))]

    def by_anchor() -> Array:
        to_positive, to_negative, *_ = parts()
        return to_positive - to_negative

    def by_positive() -> Array:
        to_anchor, _, *to_negative = parts()
        return -sum(to_negative, start=to_anchor)

    def by_negative() -> Array:
        _, to_anchor, *to_positive = parts()
        return sum(to_positive, start=to_anchor)

    return numeric.positive_part(xp, gap), by_anchor, by_positive, by_negative, {"margin": active}


def _distances(
    xp: Namespace, differences: list[Array], p: float, squared: bool
) -> tuple[list[Array], list[Slope], Callable[[Array, Array], Array]]:
    """Amounts that compare as the distances do, their slopes times a factor per row, how much one exceeds another."""
    if squared and p == 2:
        # Squares are scaled alike, so that two which overflow still have a difference.
        largest = [xp.max(xp.abs(x), axis=-1, keepdims=True) for x in differences]
        scale = power_of_two(xp, stop_gradient(functools.reduce(xp.maximum, largest)))
        amounts = [xp.sum((x * scale) * (x * scale), axis=-1) for x in differences]
        slopes: list[Slope] = [functools.partial(_square_slope, x) for x in differences]
        return amounts, slopes, lambda near, far: ((near - far) / scale[..., 0]) / scale[..., 0]
    norms = [length_of(xp, x, p) for x in differences]
    amounts = [length for length, _ in norms]
    if squared:
        slopes = [functools.partial(_slope_of_square, length, slope) for length, slope in norms]
        # near^2 - far^2 = (near - far) (near + far): the difference of two squares would be that of their roundings,
        # where these are close. It is multiplied out because the sum of two lengths may overflow.
        return amounts, slopes, lambda near, far: (near - far) * near + (near - far) * far
    return amounts, [slope for _, slope in norms], operator.sub


def _square_slope(difference: Array, factor: Array) -> Array:
    return (2.0 * factor)[..., None] * difference


def _slope_of_square(length: Array, slope: Slope, factor: Array) -> Array:
    # The factor, which may be 0, first: twice a length may be too large.
    return slope((2.0 * factor) * length)


def _by_own_distance(
    xp: Namespace,
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float,
    swap: bool,
    squared: bool,
    distance: Callable[[Array, Array], Array],
) -> Array:
    """The value alone, for the framework to differentiate: so every choice at a kink is a `where`."""
    if not callable(distance):
        raise TypeError(f"triplet_margin: distance must be callable, got {describe(distance)}")

    def measure(x: Array, y: Array) -> Array:
        measured = distance(x, y)
        shape = tuple(getattr(measured, "shape", ()))
        shape_is("triplet_margin", "the result of distance", shape, tuple(x.shape[:-1]), "one value per row, shape")
        return measured * measured if squared else measured

    near, far = measure(anchor, positive), measure(anchor, negative)
    if swap:
        other = measure(positive, negative)
        far = xp.where(far < other, far, xp.where(other < far, other, 0.5 * far + 0.5 * other))
    return numeric.positive_part(xp, near - far + margin)
