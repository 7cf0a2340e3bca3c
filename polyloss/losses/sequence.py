"""Losses of sequences whose labels nobody aligned with the steps that predict them."""

from collections.abc import Callable
from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.backend import backend_of
from polyloss.core.declare import fused
from polyloss.core.domains import ClassSequences, Domain, Lengths, static
from polyloss.core.entries import one_hot, pick_several, positions
from polyloss.core.paths import Lattice, over_paths
from polyloss.core.typing import Array, Call, Namespace

__all__ = ["ctc"]


@fused(
    "(n,t,c),(n,l),(n),(n)->(n)",
    fuse=over_paths(numeric.log_sum_exp_of),
    tasks=["sequence"],
    target=ClassSequences(count="target_lengths", blank="blank"),
    logit_lengths=Lengths(of="t"),
    target_lengths=Lengths(of="l"),
    blank=static(Domain(low=0)),
)
def ctc(
    xp: Namespace,
    logits: Array,
    target: Array,
    logit_lengths: Array,
    target_lengths: Array,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
    **call: Unpack[Call],
) -> Lattice:
    r"""Connectionist temporal classification: how likely the labels are, whichever steps predict them.

    .. math::
        \ell(x, y) = -\log \sum_{\pi \in B^{-1}(y)} \prod_{t=1}^{T} p_{t, \pi_t}, \qquad
        p_{t,c} = \frac{e^{x_{t,c}}}{\sum_j e^{x_{t,j}}}

    :math:`B` makes labels of a class for each step: of equal ones in a row it leaves one, and then no blanks.

    Parameters
    ----------
    logits : array of shape (..., T, C)
        Real floating: the scores of all classes at each step. Log-probabilities are logits, too.
    target : integer array of shape (..., L)
        The labels: class ids in [0, C) other than `blank`. Behind the last one that counts there may be anything.
    logit_lengths, target_lengths : integer array of shape (...)
        How many steps, and how many labels, of each example count: lengths in [0, T], and lengths in [0, L]. The
        gradient by other steps is 0.
    blank : int, default 0
        The class that is no label.
    zero_infinity : bool, default False
        Whether the loss of an example is 0 where no path has its labels, and not infinite.

    See Also
    --------
    cross_entropy : where it is known which step predicts which label.

    Notes
    -----
    Labels need a step each, and one more between two that are equal. Where there are fewer, or all paths are masked by
    logits of ``-inf``, the loss is ``inf``, with a gradient of 0. An empty target is predicted by blanks alone.

    ``"mean"`` divides by the number of examples; ``torch.nn.functional.ctc_loss`` divides each loss by the number of
    its labels first. The gradient is the true one. PyTorch's is right behind a ``log_softmax`` alone: by
    log-probabilities that are its input themselves, it returns that of logits. Where no path has the labels,
    TensorFlow's loss is about 707 and those of Optax and of Keras on JAX 100,000.

    In PyTorch and NumPy without a compiler, each step is a few calls; elsewhere the steps are a loop of the framework,
    so that compiling takes as long for many as for few.

    References
    ----------
    A. Graves, S. Fernández, F. Gomez and J. Schmidhuber, "Connectionist Temporal Classification: Labelling Unsegmented
    Sequence Data with Recurrent Neural Networks", ICML 2006.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits = np.log(np.asarray([[[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]]))
    >>> target, steps, labels = np.asarray([[1, 2]]), np.asarray([2]), np.asarray([1])
    >>> float(np.exp(-polyloss.ctc(logits, target, steps, labels)).round(6))  # 1 twice, or with a blank: 0.3125
    0.3125
    """
    counts = first(xp, logits, 1, logit_lengths)
    # What does not count may be NaN.
    row = numeric.softmax_of(xp, xp.where(counts[..., None], logits, 0.0))

    def pull(mass: Array) -> Array:
        return numeric.minus_log_softmax_slope(xp, row, mass)

    return lattice_of(xp, -numeric.minus_log_softmax(xp, row), counts, target, target_lengths, blank, pull)


def lattice_of(
    xp: Namespace,
    log_probabilities: Array,
    counts: Array,
    target: Array,
    target_lengths: Array,
    blank: int,
    pull: Callable[[Array], Array],
    proper: bool = True,
) -> Lattice:
    """The states of labels with blanks around each: all paths through them have the labels.

    `pull` makes the gradient of how likely each class is at each step, given the target.
    """
    blank = int(blank)
    states = _states(xp, xp.where(first(xp, target, 1, target_lengths), target, blank), blank)
    free = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    never = xp.zeros_like(states[:, :2], dtype=xp.bool)
    place, last = positions(xp, states, -1, states.dtype), 2 * xp.astype(target_lengths, states.dtype)[:, None]
    return Lattice(
        pick_several(xp, log_probabilities, states),
        xp.concat([never, free], axis=-1),
        (place == last) | (place == last - 1),
        counts,
        lambda shares: pull(shares @ xp.astype(one_hot(xp, states, log_probabilities), shares.dtype)),
        proper,
    )


def first(xp: Namespace, array: Array, axis: int, lengths: Array) -> Array:
    """Which entries along an axis are the first ones, so many as `lengths` says."""
    return positions(xp, array, axis, lengths.dtype) < lengths[:, None]


def _states(xp: Namespace, labels: Array, blank: int) -> Array:
    blanks = xp.full_like(labels, blank)
    pairs = xp.stack([blanks, labels], axis=-1)
    count = 2 * backend_of(labels).length(labels, 1, xp.int32)
    return xp.concat([xp.reshape(pairs, (-1, count)), blanks[:, :1]], axis=-1)
