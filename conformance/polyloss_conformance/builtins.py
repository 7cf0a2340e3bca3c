"""Every built-in that computes a loss of polyloss: see `translations`, and the record of the loss."""

from .losses import LOSSES
from .translations import FAMILIES, Call, Said, Twin

TWINS: tuple[Twin, ...] = tuple(twin for spec in LOSSES.values() for twin in spec.twins)


def twins_of(loss: str) -> tuple[Twin, ...]:
    """The built-ins that compute a loss."""
    return LOSSES[loss].twins


__all__ = ["FAMILIES", "TWINS", "Call", "Said", "Twin", "twins_of"]
