"""The losses of `torch.nn.functional` of embeddings, or of distances between them."""

from collections.abc import Callable

import polyloss
from polyloss.compat._common import no_eps, of_arrays, only
from polyloss.core import checks
from polyloss.core.backend import find_backend
from polyloss.core.domains import POSITIVE
from polyloss.core.loss import Loss
from polyloss.core.typing import Array

from ._common import REDUCTIONS, is_one, literal, refuse_legacy, rescaled

__all__ = [
    "hinge_embedding_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


@of_arrays(loss="triplet_margin")
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: Array | float = 1.0,
    p: float = 2,
    eps: float = 1e-06,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.triplet_margin` along the last axis.

    Distances are exact and differentiable everywhere, so `eps`, which the built-in adds to every difference, adds
    nothing here. A value other than 0 and the built-in's default is refused.
    """
    refuse_legacy("triplet_margin_loss", size_average, reduce)
    no_eps("triplet_margin_loss", eps)
    margin = _positive("triplet_margin_loss", margin)
    checks.one_of("triplet_margin_loss", "reduction", reduction, REDUCTIONS)
    return polyloss.triplet_margin(
        anchor, positive, negative, margin=margin, p=p, swap=swap, reduction=literal(reduction)
    )


@of_arrays(loss="triplet_margin")
def triplet_margin_with_distance_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    distance_function: Callable[[Array, Array], Array] | None = None,
    margin: Array | float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Array:
    """`polyloss.triplet_margin` with a distance of your own (None: the Euclidean distance, without an eps)."""
    margin = _positive("triplet_margin_with_distance_loss", margin)
    checks.one_of("triplet_margin_with_distance_loss", "reduction", reduction, REDUCTIONS)
    return polyloss.triplet_margin(
        anchor,
        positive,
        negative,
        margin=margin,
        swap=swap,
        distance=distance_function,
        reduction=literal(reduction),
    )


@of_arrays(loss="contrastive")
def hinge_embedding_loss(
    input: Array,
    target: Array,
    margin: Array | float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.contrastive` for labels -1 and 1, linear in the distance, which may be negative, as there."""
    refuse_legacy("hinge_embedding_loss", size_average, reduce)
    return _of_any_distance(
        input,
        is_one("hinge_embedding_loss", target),
        margin=margin,
        similar_label=1,
        factor=1.0,
        power=1,
        **rescaled("hinge_embedding_loss", input, None, reduction),
    )


_of_any_distance = Loss(
    polyloss.contrastive.kernel,
    signature=polyloss.contrastive.signature,
    domains={name: domain for name, domain in polyloss.contrastive.domains.items() if name != "distance"},
)


def _positive(loss: str, margin: Array | float) -> Array | float:
    if find_backend(type(margin)) is not None:
        return only(loss, "margin", margin, POSITIVE)
    checks.number_in(loss, "margin", margin, POSITIVE)
    return margin
