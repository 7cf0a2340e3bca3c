"""Losses of the angle between vectors."""

from typing import NamedTuple, Unpack

from polyloss import stable as numeric
from polyloss.core.declare import rowwise
from polyloss.core.domains import SIGN, Domain, per_example, scalar
from polyloss.core.typing import Array, KernelResult, Namespace, RowCall

from ._norms import ScaledLength, Slope, scaled_length_of

__all__ = ["cosine_distance", "cosine_embedding"]


@rowwise(
    tasks=["similarity"],
    target=per_example(SIGN),
    margin=scalar(Domain(low=-1, high=1)),
)
def cosine_embedding(
    xp: Namespace,
    x1: Array,
    x2: Array,
    target: Array,
    *,
    margin: float | Array = 0.0,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Cosine embedding loss: similar pairs should point the same way, others away from each other, up to a margin.

    .. math::
        \ell = \begin{cases} 1 - \cos(x_1, x_2) & t = 1 \\ \max(0, \cos(x_1, x_2) - m) & t = -1 \end{cases}
        \qquad \cos(x_1, x_2) = \frac{x_1 \cdot x_2}{\lVert x_1 \rVert_2\, \lVert x_2 \rVert_2}

    There is no epsilon: the cosine with a zero vector is 0, and so is its gradient. The gradient exactly at the margin
    is 0.

    Parameters
    ----------
    x1, x2 : array
        Embeddings, real floating, both of the same shape, the features along `axis`.
    target : array
        Signs, -1 and 1: 1 where a pair is similar, -1 where it is not; of the shape of `x1` without `axis`.
    margin : float or array, default 0.0
        :math:`m`.

    See Also
    --------
    contrastive_embedding : of the Euclidean distance.

    Notes
    -----
    ``torch.nn.functional.cosine_embedding_loss`` adds 1e-12 to each squared length: its gradient at a zero vector is of
    the order of 1e6, and short vectors count less. Vectors that nearly point the same way do not cancel here: the loss
    is computed from their difference, :math:`1 - \cos = \lVert u_1 - u_2 \rVert^2 / 2` of unit vectors.

    References
    ----------
    J. Bromley et al., "Signature Verification using a Siamese Time Delay Neural Network", NIPS 1993.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> x1, x2 = np.asarray([[1.0, 0.0], [1.0, 0.0]]), np.asarray([[0.0, 2.0], [3.0, 0.0]])
    >>> polyloss.cosine_embedding(x1, x2, np.asarray([1, -1]), margin=0.25, reduction="none").tolist()
    [1.0, 0.75]
    """
    cosine = _compare(xp, x1, x2)
    gap, similar = cosine.value - margin, target > 0

    def sign() -> Array:
        return xp.where(similar, 1.0, xp.where(gap > 0, -1.0, xp.zeros_like(gap)))

    return (
        xp.where(similar, cosine.distance, numeric.positive_part(xp, gap)),
        lambda: cosine.by_first(sign()),
        lambda: cosine.by_second(sign()),
        # A label chooses: no loss changes with it a little.
        lambda: xp.zeros_like(gap),
        {"margin": lambda: xp.where(similar, 0.0, sign())},
    )


@rowwise(tasks=["similarity"])
def cosine_distance(
    xp: Namespace, prediction: Array, target: Array, *, similarity: bool = False, **call: Unpack[RowCall]
) -> KernelResult:
    r"""Cosine distance: a prediction should point the same way as its target, whatever their lengths.

    .. math::
        \ell = 1 - \cos(x, t), \qquad
        \cos(x, t) = \frac{x \cdot t}{\lVert x \rVert_2\, \lVert t \rVert_2}

    There is no epsilon: the cosine with a zero vector is 0, and so is its gradient.

    Parameters
    ----------
    prediction, target : array
        Vectors, both of the same shape, the features along `axis`.
    similarity : bool, default False
        The loss is :math:`-\cos(x, t)`, between -1 and 1, and not :math:`1 - \cos(x, t)`. The gradient is the same.

    See Also
    --------
    cosine_embedding : of pairs that are similar or not.

    Notes
    -----
    Keras's ``cosine_similarity`` is minus the cosine, optax's is the cosine itself, its ``cosine_distance`` one minus
    that. Vectors that nearly point the same way do not cancel here, as they do there, and neither huge nor tiny vectors
    overflow or vanish in the squares; but JAX and TensorFlow take a vector of subnormal numbers for a zero vector. With
    a zero vector optax returns NaN, and Keras a gradient of the order of 1e7.

    References
    ----------
    G. Salton, A. Wong and C. S. Yang, "A Vector Space Model for Automatic Indexing", Communications of the ACM
    18, 1975.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> x, t = np.asarray([[1.0, 0.0], [1.0, 0.0]]), np.asarray([[0.0, 2.0], [3.0, 0.0]])
    >>> polyloss.cosine_distance(x, t, reduction="none").tolist()
    [1.0, 0.0]
    """
    cosine = _compare(xp, prediction, target)
    one = xp.ones_like(cosine.value)
    value = -cosine.value if similarity else cosine.distance
    return value, lambda: cosine.by_first(one), lambda: cosine.by_second(one)


class _Cosine(NamedTuple):
    """The cosine of the angle between rows, one minus it, and the gradients of that times a factor for each row."""

    value: Array
    distance: Array
    by_first: Slope
    by_second: Slope


def _compare(xp: Namespace, x1: Array, x2: Array) -> _Cosine:
    one, two = scaled_length_of(xp, x1), scaled_length_of(xp, x2)
    unit1, unit2 = one.slope(xp.ones_like(one.length)), two.slope(xp.ones_like(two.length))
    apart = unit1 - unit2
    value, zero = xp.sum(unit1 * unit2, axis=-1), (one.length == 0) | (two.length == 0)

    def turn(unit: Array, other: Array, apart: Array, of: ScaledLength, factor: Array) -> Array:
        # The derivative of 1 - cos: what of the other unit vector is across this one, by the length. Vectors that are
        # close have it in their difference.
        near = (value > 0.5)[..., None]
        along = xp.where(near, xp.sum(apart * unit, axis=-1, keepdims=True), value[..., None])
        share = xp.where(zero, 0.0, factor / xp.where(zero, 1.0, of.length))
        across = xp.where(near, apart - along * unit, along * unit - other)
        # By the length, whose inverse may be too large where this is not.
        return (share[..., None] * across) * of.scale[..., None]

    return _Cosine(
        value,
        xp.where(zero, 1.0, 0.5 * xp.sum(apart * apart, axis=-1)),
        lambda factor: turn(unit1, unit2, apart, one, factor),
        lambda factor: turn(unit2, unit1, -apart, two, factor),
    )
