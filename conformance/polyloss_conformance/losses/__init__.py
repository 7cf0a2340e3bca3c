"""A record for each loss: the mirror image of `polyloss.losses`, one file for each family."""

from polyloss_conformance.spec import Spec

from . import (
    batch,
    binary,
    cosine,
    divergence,
    likelihood,
    linear,
    margin,
    modified_cross_entropy,
    multiclass,
    multiclass_margin,
    overlap,
    ranking,
    regression,
    relative,
    robust,
    sequence,
    similarity,
    sparse,
)
from .functions import HELPERS

FAMILIES = (
    regression,
    relative,
    robust,
    sequence,
    likelihood,
    binary,
    multiclass,
    modified_cross_entropy,
    sparse,
    margin,
    multiclass_margin,
    overlap,
    ranking,
    divergence,
    similarity,
    cosine,
    batch,
    linear,
)

LOSSES: dict[str, Spec] = {
    spec.loss: spec for family in FAMILIES for spec in vars(family).values() if isinstance(spec, Spec)
}
"""All records, by the name of the loss."""

__all__ = ["HELPERS", "LOSSES"]
