"""Losses of a batch whose examples are compared with each other."""

from typing import Any, Unpack

from polyloss.core.declare import fused
from polyloss.core.domains import POSITIVE, finite, scalar
from polyloss.core.pairs import over_pairs
from polyloss.core.typing import Array, Call, KernelResult, Namespace

from .multiclass import cross_entropy

__all__ = ["info_nce"]


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
    scores = (query @ xp.matrix_transpose(key)) / temperature

    def by_key(slope: Array) -> Array:
        return xp.matrix_transpose(slope) @ query / temperature

    return (
        scores,
        lambda slope: slope @ key / temperature,
        by_key,
        {"temperature": lambda slope: -xp.sum(slope * scores) / temperature},
    )
