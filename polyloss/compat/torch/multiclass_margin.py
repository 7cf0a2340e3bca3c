"""The losses of `torch.nn.functional` of scores of many classes that shall clear a margin."""

from typing import Any

import polyloss
from polyloss.compat._common import namespace, of_arrays, static_number
from polyloss.core import checks
from polyloss.core.backend import backend_of
from polyloss.core.entries import positions, width
from polyloss.core.typing import Array, Namespace

from ._common import REDUCTIONS, literal, refuse_legacy

__all__ = [
    "multi_margin_loss",
    "multilabel_margin_loss",
]


@of_arrays(loss="multi_margin", ids="target")
def multi_margin_loss(
    input: Array,
    target: Array,
    p: int = 1,
    margin: Array | float = 1.0,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.multi_margin`, classes last; a mean divides by the number of rows, whatever the weights."""
    refuse_legacy("multi_margin_loss", size_average, reduce)
    checks.one_of("multi_margin_loss", "reduction", reduction, REDUCTIONS)
    power: Any = static_number("multi_margin_loss", "p", p)
    return polyloss.multi_margin(
        input, target, class_weight=weight, margin=margin, power=power, reduction=literal(reduction)
    )


def _named(xp: Namespace, ids: Array) -> tuple[Array, Array, Array]:
    """The place of each id in its row, whether it is before the first -1, and whether it is no class there."""
    place, classes = positions(xp, ids, -1, ids.dtype), width(ids)
    named = place < xp.min(xp.where(ids == -1, place, classes), axis=-1, keepdims=True)
    return place, named, named & ((ids < 0) | (ids >= classes))


@of_arrays(loss="multilabel_margin")
def multilabel_margin_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.multilabel_margin`, classes last. Targets are the ids of the right classes of a row, ended by -1.

    A class that is named twice counts once.
    """
    loss = "multilabel_margin_loss"
    refuse_legacy(loss, size_average, reduce)
    checks.one_of(loss, "reduction", reduction, REDUCTIONS)
    checks.axis_of(loss, -1, input.ndim)
    checks.shape_is(loss, "target", tuple(target.shape), tuple(input.shape), "the shape of input,")
    xp = namespace(target)
    if not checks.is_integer(xp, target):
        raise TypeError(f"{loss}: target must be class ids (integers), got {checks.describe(target)}")
    if backend_of(target).readable(target):
        seen = backend_of(target).look(target)
        seen = checks.wide_ids(namespace(seen), seen)
        *_, bad = _named(namespace(seen), seen)
        expected = f"class ids in [0, {width(target)}), ended by -1"
        checks.none_outside(loss, "target", namespace(seen), seen, bad, expected)
    ids = checks.wide_ids(xp, target)
    place, named, bad = _named(xp, ids)
    right = xp.any((ids[..., None] == place) & named[..., None], axis=-2)
    # Where they cannot be looked at, a label that is none makes its row NaN.
    labels = xp.where(xp.any(bad, axis=-1, keepdims=True), 2.0, xp.astype(right, input.dtype))
    return polyloss.multilabel_margin(input, labels, reduction=literal(reduction))
