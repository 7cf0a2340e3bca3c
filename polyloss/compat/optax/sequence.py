"""The losses of `optax.losses` of sequences."""

import polyloss
from polyloss.compat._common import namespace, of_arrays, static_number
from polyloss.core import checks
from polyloss.core.backend import backend_of
from polyloss.core.entries import positions
from polyloss.core.paths import arrivals, log_add
from polyloss.core.typing import Array
from polyloss.losses.sequence import first, lattice_of

__all__ = [
    "ctc_loss",
]


@of_arrays(loss="ctc")
def ctc_loss(
    logits: Array,
    logit_paddings: Array,
    labels: Array,
    label_paddings: Array,
    *,
    blank_id: int = 0,
    log_epsilon: Array | float = -1e5,
) -> Array:
    """`polyloss.ctc`, one value per example. Paddings are 0 and, behind what counts, 1.

    The logarithm of 0 is no number here: `log_epsilon` is left alone, and where no path has the labels, the loss is
    infinite.
    """
    steps, ids = _lengths("ctc_loss", logits, logit_paddings, labels, label_paddings, log_epsilon)
    return polyloss.ctc(logits, labels, steps, ids, blank=blank_id, reduction="none")


@of_arrays(loss="ctc")
def ctc_loss_with_forward_probs(
    logits: Array,
    logit_paddings: Array,
    labels: Array,
    label_paddings: Array,
    *,
    blank_id: int = 0,
    log_epsilon: Array | float = -1e5,
) -> tuple[Array, Array, Array]:
    """`ctc_loss`, and by steps, examples and labels how likely the paths so far are, as logarithms.

    First those that end in a blank behind so many labels, of shape (T, B, N + 1); behind the last step, also in the
    label itself. Then those that end in a label, of shape (T, B, N). They are ``-inf`` where there are none, and the
    same in steps that are padding.
    """
    name, xp = "ctc_loss_with_forward_probs", namespace(logits)
    if logits.ndim != 3:
        raise ValueError(f"{name}: logits must have the shape (B, T, C), got {tuple(logits.shape)}")
    lengths, counts = _lengths(name, logits, logit_paddings, labels, label_paddings, log_epsilon)
    losses = polyloss.ctc(logits, labels, lengths, counts, blank=blank_id, reduction="none")
    ids = checks.wide_ids(xp, labels)
    every = xp.sum(xp.ones_like(ids), axis=-1)
    scores = polyloss.log_softmax(logits)
    lattice = lattice_of(xp, scores, first(xp, logits, 1, lengths), ids, every, blank_id, lambda shares: shares)
    states = arrivals(xp, lattice)
    blanks, emitted = states[..., 0::2], states[..., 1::2]
    ended = xp.concat([blanks[-1:, :, :1], log_add(xp, blanks[-1:, :, 1:], emitted[-1:, ...])], axis=-1)
    return losses, xp.concat([blanks[:-1, ...], ended]), emitted


def _lengths(
    loss: str, logits: Array, logit_paddings: Array, labels: Array, label_paddings: Array, log_epsilon: Array | float
) -> tuple[Array, Array]:
    """How many steps and labels of each example count."""
    if static_number(loss, "log_epsilon", log_epsilon) != -1e5:
        raise ValueError(f"{loss}: log_epsilon must be left alone: no logarithm of 0 is needed; got {log_epsilon!r}")
    steps = tuple(logits.shape)[: max(0, logits.ndim - 1)]
    checks.shape_is(loss, "logit_paddings", tuple(logit_paddings.shape), steps, "a number for each step, shape")
    shape = tuple(labels.shape)
    checks.shape_is(loss, "label_paddings", tuple(label_paddings.shape), shape, "the shape of labels,")
    return _length(loss, "logit_paddings", logit_paddings), _length(loss, "label_paddings", label_paddings)


def _length(loss: str, name: str, paddings: Array) -> Array:
    """How many entries of each row are no padding; -1, which no row has, where that could not be looked at."""
    xp = namespace(paddings)
    checks.real(loss, name, xp, paddings)
    if not paddings.ndim:
        raise ValueError(f"{loss}: {name} must have a row for each example, got a number")
    if checks.is_kind(xp, paddings, "bool"):
        paddings = xp.astype(paddings, xp.int32)
    if backend_of(paddings).readable(paddings):
        # In a function that is compiled, what is made of them cannot be looked at.
        seen = backend_of(paddings).look(paddings)
        wide = namespace(seen).astype(seen, namespace(seen).float32)
        checks.none_outside(loss, name, namespace(seen), wide, _counted(seen)[1], "0 and, behind, 1")
    length, wrong = _counted(paddings)
    return xp.where(xp.any(wrong, axis=-1), xp.full_like(length, -1), length)


def _counted(paddings: Array) -> tuple[Array, Array]:
    """How many entries of each row are 0, and where they are not the first ones, or others are not 1."""
    xp = namespace(paddings)
    kept = paddings == 0
    length = xp.sum(xp.astype(kept, xp.int32), axis=-1, dtype=xp.int32)
    expected = positions(xp, paddings, -1, xp.int32) < length[..., None]
    return length, (kept != expected) | (~kept & (paddings != 1))
