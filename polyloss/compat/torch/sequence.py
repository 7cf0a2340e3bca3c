"""The losses of `torch.nn.functional` of sequences."""

from collections.abc import Sequence
from typing import Any

import polyloss
from polyloss.compat._common import namespace, of_arrays
from polyloss.core import checks
from polyloss.core.backend import backend_of
from polyloss.core.dtypes import working
from polyloss.core.loss import Loss
from polyloss.core.paths import Lattice
from polyloss.core.typing import Array, Namespace
from polyloss.losses.sequence import first, lattice_of

from ._common import REDUCTIONS, literal

__all__ = [
    "ctc_loss",
]


def _of_log_probabilities(
    xp: Namespace,
    /,
    logits: Array,
    target: Array,
    logit_lengths: Array,
    target_lengths: Array,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
    **call: Any,
) -> Lattice:
    counts = first(xp, logits, 1, logit_lengths)
    known = xp.where(counts[..., None], logits, 0.0)
    return lattice_of(xp, known, counts, target, target_lengths, blank, lambda mass: -mass, proper=False)


_of_log_probabilities.__name__ = "ctc"
_ctc = Loss(
    _of_log_probabilities, signature=polyloss.ctc.signature, fuse=polyloss.ctc.fuse, domains=polyloss.ctc.domains
)
"""`polyloss.ctc` of log-probabilities, which nothing normalises."""


@of_arrays(loss="ctc", ids="targets", numbers=["input_lengths", "target_lengths"])
def ctc_loss(
    log_probs: Array,
    targets: Array,
    input_lengths: Array | Sequence[int] | int,
    target_lengths: Array | Sequence[int] | int,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Array:
    """`polyloss.ctc` of log-probabilities with the steps first; targets may be one behind the other.

    The gradient is that by `log_probs`, as they are: behind a `log_softmax`, it is that of `polyloss.ctc`. A mean
    divides each loss by the number of its labels first, or by 1.
    """
    checks.one_of("ctc_loss", "reduction", reduction, REDUCTIONS)
    xp = namespace(log_probs)
    checks.real_floating("ctc_loss", "log_probs", xp, log_probs)
    steps = _lengths("input_lengths", input_lengths, log_probs)
    labels = _lengths("target_lengths", target_lengths, log_probs)
    if log_probs.ndim == 2:
        # The length of the one sequence may have an axis.
        steps, labels = (xp.reshape(one, ()) if tuple(one.shape) == (1,) else one for one in (steps, labels))
    if log_probs.ndim == 3:
        log_probs = xp.moveaxis(log_probs, 0, 1)
        if hasattr(targets, "ndim") and targets.ndim == 1 and labels.ndim == 1:
            targets, labels = _apart(xp, targets, labels)
    if hasattr(targets, "shape") and targets.ndim and targets.shape[-1] == 0:
        # No labels at all.
        targets = xp.zeros_like(xp.stack([labels], axis=-1), dtype=targets.dtype)
    keywords: dict[str, Any] = {}
    if reduction == "mean":
        keywords["sample_weight"] = 1.0 / xp.astype(xp.clip(labels, 1), working(xp, log_probs.dtype))
    return _ctc(
        log_probs,
        targets,
        steps,
        labels,
        blank=blank,
        zero_infinity=zero_infinity,
        reduction=literal(reduction),
        **keywords,
    )


def _lengths(name: str, given: Any, like: Array) -> Array:
    """Lengths as an array: they may be numbers."""
    if hasattr(given, "shape"):
        checks.integer("ctc_loss", name, namespace(given), given, "lengths")
        return given
    numbers = list(given) if isinstance(given, list | tuple) else [given]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        if all(isinstance(number, float) for number in numbers):
            raise TypeError(f"ctc_loss: {name} must be whole numbers, or an integer array of them; got {given!r}")
        raise checks.no_array("ctc_loss", name, given)
    xp, backend = namespace(like), backend_of(like)
    each = [backend.asarray(number, like, xp.int64) for number in numbers]
    return xp.stack(each) if isinstance(given, list | tuple) else each[0]


def _apart(xp: Namespace, targets: Array, lengths: Array) -> tuple[Array, Array]:
    """Labels that are one behind the other, in a row for each example; and the lengths, or -1, which is none, where
    nobody could see that they do not add up.
    """
    count, backend = targets.shape[0], backend_of(lengths)
    width = count
    if backend.readable(lengths):
        # In a function that is compiled, what is made of them cannot be looked at.
        seen = backend.look(lengths)
        total, width = int(namespace(seen).sum(seen)), int(namespace(seen).max(seen))
        if total != count:
            raise ValueError(f"ctc_loss: targets must be as many as target_lengths add up to, {total}, got {count}")
    else:
        lengths = xp.where(xp.sum(lengths) == backend.length(targets, 0, lengths.dtype), lengths, -1)
    if count == 0:
        return xp.reshape(targets, (lengths.shape[0], 0)), lengths
    place, device = xp.int64, getattr(targets, "device", None) or None
    examples = xp.arange(lengths.shape[0], dtype=place, device=device)
    counts = xp.astype(lengths, place)
    before = xp.sum(xp.where(examples[None, :] < examples[:, None], counts[None, :], 0), axis=1)
    places = before[:, None] + xp.arange(width, dtype=place, device=device)[None, :]
    found = xp.take(targets, xp.reshape(xp.clip(places, 0, count - 1), (-1,)), axis=0)
    return xp.reshape(found, (lengths.shape[0], width)), lengths
