"""Losses of a batch whose examples are compared with each other."""

from typing import Any, NamedTuple, Unpack

from polyloss import stable as numeric
from polyloss.core.backend import stop_gradient
from polyloss.core.declare import fused
from polyloss.core.domains import ANY_IDS, POSITIVE, Domain, finite, scalar
from polyloss.core.pairs import Side, by_label, over_pairs
from polyloss.core.typing import Array, Call, KernelResult, Namespace

from ._norms import scaled_length_of
from .multiclass import cross_entropy

__all__ = ["circle", "info_nce", "nt_xent"]


def _choice(xp: Namespace, scores: Array, place: Array) -> KernelResult:
    """Cross entropy of the scores of all candidates, where the right one is at a place."""
    value, slope, *_ = cross_entropy.kernel(xp, scores, place)
    return value, slope


@fused("(n,d),(n,d)->(n)", fuse=over_pairs(_choice), tasks=["similarity"], temperature=scalar(finite(POSITIVE)))
def info_nce(
    xp: Namespace,
    query: Array,
    key: Array,
    *,
    temperature: float | Array = 0.07,
    symmetric: bool = False,
    **call: Unpack[Call],
) -> Any:
    r"""InfoNCE: each query should be closer to its own key than to those of all other examples of the batch.

    .. math::
        \ell_i = -\log \frac{e^{q_i \cdot k_i / \tau}}{\sum_j e^{q_i \cdot k_j / \tau}}

    With `symmetric`, it is the mean of this and of the same with queries and keys exchanged, as in CLIP.

    Parameters
    ----------
    query, key : array of shape (..., D)
        Embeddings, real floating, both of the same shape: an example has one of each. Nothing is normalised: for the
        cosine similarity, divide each by its length first. All examples are one batch, however many axes they have.
    temperature : float or array, default 0.07
        :math:`\tau`. Differentiable, as an array: it can be learned, best by its logarithm, as in
        ``temperature=log_temperature.exp()``.
    symmetric : bool, default False
        Whether keys choose among queries too.

    Notes
    -----
    An example that `where` leaves out is no candidate of the others either; one with a `sample_weight` of 0 is. A lone
    example has nothing to choose, and a loss of 0. All :math:`N^2` scores exist at once.

    References
    ----------
    A. van den Oord, Y. Li and O. Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018.
    A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (CLIP).

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> query = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> float(polyloss.info_nce(query, query, temperature=1.0).round(4))
    0.3133
    """
    return Side(query), Side(key)


def _units(xp: Namespace, embedding: Array) -> Side:
    """Embeddings by their lengths."""
    length, scale, slope = scaled_length_of(xp, embedding)
    unit, zero = slope(xp.ones_like(length)), length == 0

    def by_embedding(by_unit: Array) -> Array:
        # What is across the vector, by the length, whose inverse may be too large where this is not.
        across = by_unit - xp.sum(by_unit * unit, axis=-1, keepdims=True) * unit
        return across * xp.where(zero, 0.0, 1.0 / xp.where(zero, 1.0, length))[..., None] * scale[..., None]

    return Side(unit, by_embedding)


class _Among(NamedTuple):
    """The logarithm of the sum of exponentials of some entries of each row, and the share of each in it."""

    log_total: Array
    share: Array
    some: Array
    """Whether there are any."""


def _among(xp: Namespace, x: Array, chosen: Array) -> _Among:
    some = xp.any(chosen, axis=-1, keepdims=True)
    x = xp.where(chosen, x, 0.0)
    largest = xp.max(xp.where(chosen, x, -float(xp.finfo(x.dtype).max)), axis=-1, keepdims=True)
    largest = stop_gradient(xp.where(some, largest, 0.0))
    terms = xp.where(chosen, xp.exp(xp.where(chosen, x - largest, 0.0)), 0.0)
    total = xp.where(some, xp.sum(terms, axis=-1, keepdims=True), 1.0)
    return _Among(largest + xp.log(total), terms / total, some)


def _against_negatives(xp: Namespace, scores: Array, positive: Array, negative: Array) -> KernelResult:
    """Each positive among all negatives, the mean over the positives of a row."""
    negatives = _among(xp, scores, negative)
    pairs = positive & negatives.some
    each = 1.0 / xp.clip(xp.sum(xp.where(positive, xp.ones_like(scores), 0.0), axis=-1, keepdims=True), 1.0, None)
    value, slope = numeric.softplus_of(xp, xp.where(pairs, negatives.log_total - scores, 0.0))

    def by_scores() -> Array:
        by_gap = xp.where(pairs, slope() * each, 0.0)
        return negatives.share * xp.sum(by_gap, axis=-1, keepdims=True) - by_gap

    return xp.sum(xp.where(pairs, value * each, 0.0), axis=-1), by_scores


@fused(
    "(n,d),(n)->(n)",
    fuse=over_pairs(_against_negatives, choices=by_label),
    tasks=["similarity"],
    target=ANY_IDS,
    temperature=scalar(finite(POSITIVE)),
)
def nt_xent(
    xp: Namespace, embedding: Array, target: Array, *, temperature: float | Array = 0.07, **call: Unpack[Call]
) -> Any:
    r"""NT-Xent: each example should be closer to those with its label than to all others of the batch.

    .. math::
        \ell_i = \frac{1}{\lvert P_i \rvert} \sum_{p \in P_i}
        -\log \frac{e^{s_{ip}}}{e^{s_{ip}} + \sum_{j \in N_i} e^{s_{ij}}}, \qquad
        s_{ij} = \frac{x_i \cdot x_j}{\tau\, \lVert x_i \rVert_2\, \lVert x_j \rVert_2}

    :math:`P_i` are the other examples with the label of example i, :math:`N_i` those with another one. In SimCLR, each
    image is there twice, with a label of its own.

    Parameters
    ----------
    embedding : array of shape (..., D)
        Real floating, of any lengths. All examples are one batch, however many axes they have.
    target : array of shape (...)
        Labels, class ids: any integers. Examples with equal ones are alike.
    temperature : float or array, default 0.07
        :math:`\tau`; 0.1 or 0.5 in the paper. Differentiable, as an array: it can be learned.

    See Also
    --------
    info_nce : of pairs without labels.
    circle : all positives together against all negatives, with weights.

    Notes
    -----
    The loss of an example without positives, or without negatives, is 0; it counts in a mean. A positive is no rival of
    another. An example that `where` leaves out is nobody's positive or negative either; one with a `sample_weight` of 0
    is. The cosine with a zero vector is 0, and so is its gradient. All :math:`N^2` scores exist at once.

    The mean over all pairs of positives, as optax and PyTorch Metric Learning have it, is the ``"weighted_mean"`` with
    :math:`\lvert P_i \rvert` as the weight of example i. Where each has as many, it is the mean.

    References
    ----------
    T. Chen, S. Kornblith, M. Norouzi and G. Hinton, "A Simple Framework for Contrastive Learning of Visual
    Representations", ICML 2020.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> views = np.asarray([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> float(polyloss.nt_xent(views, np.asarray([0, 0, 1, 1]), temperature=1.0).round(4))
    0.5514
    """
    return (_units(xp, embedding),)


OF_CIRCLES = ("margin", "gamma", "detach")
"""The parameters of `on_circles`."""


def on_circles(
    xp: Namespace,
    scores: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float | Array,
    gamma: float | Array,
    detach: bool,
) -> KernelResult:
    """All positives of a row together against all of its negatives, each weighted by how far it is from where it
    should be."""
    too_near, too_far = numeric.positive_part(xp, scores + margin), numeric.positive_part(xp, 1.0 - scores + margin)
    if detach:
        too_near, too_far = stop_gradient(too_near), stop_gradient(too_far)
    pull, push = too_far * (1.0 - scores - margin), too_near * (scores - margin)
    pulled, pushed = _among(xp, gamma * pull, positive), _among(xp, gamma * push, negative)
    both = (pulled.some & pushed.some)[..., 0]
    total = (pulled.log_total + pushed.log_total)[..., 0]
    value, slope = numeric.softplus_of(xp, xp.where(both, total, 0.0))

    def weighed(of_positives: Array, of_negatives: Array) -> Array:
        """The derivative by each score or, summed, by something else, from that of pull and push."""
        return xp.where(both, slope(), 0.0)[..., None] * (pulled.share * of_positives + pushed.share * of_negatives)

    def by_scores() -> Array:
        if detach:
            return weighed(-gamma * too_far, gamma * too_near)
        far, near = 2.0 * gamma * (scores - 1.0), 2.0 * gamma * scores
        return weighed(xp.where(too_far > 0, far, 0.0), xp.where(too_near > 0, near, 0.0))

    def by_margin() -> Array:
        if detach:
            return xp.sum(weighed(-gamma * too_far, -gamma * too_near), axis=-1)
        both_ways = -2.0 * gamma * margin * xp.ones_like(scores)
        return xp.sum(weighed(xp.where(too_far > 0, both_ways, 0.0), xp.where(too_near > 0, both_ways, 0.0)), axis=-1)

    return (
        xp.where(both, value, 0.0),
        by_scores,
        {"margin": by_margin, "gamma": lambda: xp.sum(weighed(pull, push), axis=-1)},
    )


@fused(
    "(n,d),(n)->(n)",
    fuse=over_pairs(on_circles, OF_CIRCLES, by_label),
    tasks=["similarity"],
    target=ANY_IDS,
    margin=scalar(Domain(low=-1, high=1)),
    gamma=scalar(finite(POSITIVE)),
)
def circle(
    xp: Namespace,
    embedding: Array,
    target: Array,
    *,
    margin: float | Array = 0.4,
    gamma: float | Array = 80.0,
    detach: bool = True,
    normalize: bool = True,
    **call: Unpack[Call],
) -> Any:
    r"""Circle loss: all examples with the same label should be closer than all others; what is far off counts more.

    .. math::
        \ell_i = \log \Bigl(1 + \sum_{j \in N_i} e^{\gamma\, \alpha_j (s_{ij} - m)}
        \sum_{p \in P_i} e^{-\gamma\, \alpha_p (s_{ip} - 1 + m)}\Bigr), \qquad
        \alpha_j = \max(0, s_{ij} + m), \quad \alpha_p = \max(0, 1 + m - s_{ip})

    :math:`P_i` are the other examples with the label of example i, :math:`N_i` those with another one, and
    :math:`s_{ij}` is the cosine of the angle between two.

    Parameters
    ----------
    embedding : array of shape (..., D)
        Real floating. All examples are one batch, however many axes they have.
    target : array of shape (...)
        Labels, class ids: any integers. Examples with equal ones are alike.
    margin : float or array, default 0.4
        :math:`m`. Differentiable, as an array.
    gamma : float or array, default 80
        :math:`\gamma`; 256 for faces in the paper. Differentiable, as an array.
    detach : bool, default True
        The weights :math:`\alpha` are constants to all gradients, as the paper has it. False: the gradients are those
        of the value.
    normalize : bool, default True
        Whether embeddings are divided by their lengths. If not, :math:`s_{ij} = x_i \cdot x_j` of embeddings that have
        length 1 already.

    See Also
    --------
    nt_xent : each positive by itself against all negatives.

    Notes
    -----
    The loss of an example without positives, or without negatives, is 0; it counts in a mean. An example that `where`
    leaves out is nobody's positive or negative either; one with a `sample_weight` of 0 is. The cosine with a zero
    vector is 0, and so is its gradient. All :math:`N^2` scores exist at once.

    With `detach`, a positive that is as close as can be still pulls, and the weights are constants to second
    derivatives too. Keras differentiates through the weights and does not normalise, ``detach=False, normalize=False``;
    PyTorch Metric Learning does as here. Their mean is over the examples whose loss is not 0.

    References
    ----------
    Y. Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> embedding = np.asarray([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> float(polyloss.circle(embedding, np.asarray([0, 0, 1, 1]), gamma=1.0).round(4))
    0.897
    """
    return (_units(xp, embedding) if normalize else Side(embedding),)
