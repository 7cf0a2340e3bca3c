"""Losses of sequences whose labels nobody aligned with the steps that predict them."""

from itertools import groupby, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

import polyloss
from polyloss.core.entries import positions
from polyloss_conformance.arrays import WIDE, Shape, classes, ids, inf, log_softmax, normal
from polyloss_conformance.benchmark import Benchmark, normal32
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact.jets import Jet, is_possible, log_sum_exp
from polyloss_conformance.exact.numbers import HUGE, ONE, ZERO, Number
from polyloss_conformance.exact.rules import Local, inputs_of, local
from polyloss_conformance.exact.softmax import Classes
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import Call, Said, Twin


def _ctc(
    logits: list[list[Number]],
    target: list[int],
    logit_length: int,
    target_length: int,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Local:
    """One path after the other, of all that there are."""
    inputs = (logits, None, None, None)
    # The logarithm of each probability is rounded, and what comes of it has that error.
    both = frozenset({"value", 0})
    steps = [Classes(row, step, frozenset({0}), both) for step, row in enumerate(inputs_of(logits, (0,)))]
    labels, paths = target[:target_length], []
    for path in product(sorted({blank, *labels}), repeat=logit_length):
        if [c for c, _ in groupby(path) if c != blank] != labels:
            continue
        if all(is_possible(logits[step][c]) for step, c in enumerate(path)):
            minus_log = sum((steps[step].minus_log(c) for step, c in enumerate(path)), Jet(ZERO))
            # A product of probabilities is rounded.
            paths.append(-minus_log.rounded(ONE, path, frozenset({0})))
    if paths:
        return local(-log_sum_exp(paths), inputs)
    none = [[ZERO] * len(row) for row in logits]
    value = ZERO if zero_infinity else HUGE
    return Local(value, value, [none, None, None, None], [none, None, None, None])


def _ordinary(name: str, shape: Shape) -> tuple[Any, ...]:
    steps, labels = 3 + classes(name + "t", shape, 2), 1 + classes(name + "l", shape, 2)
    return normal(name, (*shape, 4, 4)), 1 + classes(name + "y", (*shape, 2), 3), steps, labels


_X = normal("sequence", (5, 4, 4))
_Y = ids([1, 2], [3, 3], [2, 0], [0, 0], [1, 3])
_STEPS, _LABELS = ids(4, 4, 3, 4, 2), ids(2, 2, 1, 0, 2)


def _one(x: Any, *labels: int) -> tuple[Any, ...]:
    """A single example, all of which counts."""
    return x[None], ids(labels), ids(len(x)), ids(len(labels))


# fmt: off
def _cases(case: Cases) -> None:
    for reduction in ("none", "mean"):
        case.sample(f"lengths_{reduction}", _X, _Y, _STEPS, _LABELS, reduction=reduction,
                    note="equal labels, no labels, as many labels as steps, and less than there is room for")
    case.sample("blank_in_between", _X, np.where(_Y > 1, _Y, 1 - _Y), _STEPS, _LABELS, blank=1)
    case.sample("one_sequence", _X[0], _Y[0], np.asarray(4), np.asarray(2), note="no axis of a batch")
    case.sample("log_probabilities", log_softmax(_X), _Y, _STEPS, _LABELS, note="trap: the gradient is that by logits")
    case.sample("many_paths", *_one(normal("many paths", (6, 3)), 1, 2))

    padded = np.where(np.arange(4)[:, None] < _STEPS[:, None, None], _X, inf)
    case.edge("padding_is_never_looked_at", padded, np.where(np.arange(2) < _LABELS[:, None], _Y, -7), _STEPS, _LABELS,
              reduction="mean", note="trap: 0 times infinity in steps that do not count; labels that are none")
    case.edge("infeasible", _X, _Y, ids(1, 2, 0, 4, 2), _LABELS,
              note="built-in: fewer steps than labels need; the one before the last needs none")
    case.edge("infeasible_zero", _X, _Y, ids(1, 2, 0, 4, 2), _LABELS, reduction="mean", zero_infinity=True)
    case.edge("no_steps", _X, _Y, np.zeros_like(_STEPS), _LABELS, note="no labels of no steps: exactly 0")
    case.edge("no_labels", _X, _Y, _STEPS, np.zeros_like(_LABELS), note="the cross entropies of blanks")
    case.edge("one_path", _X, ids([1, 2], [3, 2], [2, 1], [3, 1], [1, 3]), ids(2, 2, 2, 2, 2), ids(2, 2, 2, 2, 2),
              note="the cross entropies of the labels")
    case.edge("equal_logits", np.zeros((5, 4, 4)), _Y, _STEPS, _LABELS, note="counts paths")
    case.edge("masked_class", np.where(np.arange(4) == 1, -inf, _X), _Y, _STEPS, _LABELS,
              note="a label that cannot be: inf, with a gradient of 0")
    case.edge("masked_blank", np.where(np.arange(4) == 0, -inf, _X), ids([1, 2], [3, 3], [2, 0], [2, 1], [1, 3]),
              _STEPS, ids(2, 2, 1, 2, 2))
    case.edge("confident", *_one(17 * np.eye(3)[[0, 1, 1, 0, 2, 0]], 1, 2),
              note="built-in: a loss of nearly nothing that cancels, or is negative")
    case.edge("confidently_wrong", *_one(40 * np.eye(3)[[0, 2, 2, 0, 1, 0]], 1, 2))
    case.edge("large_logits", *_one(normal("large", (6, 3), 1e4), 2, 1))
    case.edge("shifted_logits", *_one(1e4 + normal("shifted", (6, 3)), 1, 2), dtypes=WIDE)
    case.edge("rare_labels", *_one(normal("rare", (6, 3)) - 100 * np.eye(3)[1], 1, 2),
              note="trap: probabilities of 1e-44 and less")
    case.edge("int32_and_uint8", _X, _Y.astype(np.int32), _STEPS.astype(np.uint8), _LABELS.astype(np.int32))


def _bad_input(case: Cases) -> None:
    def refuse(name: str, raises: type[Exception], says: str, place: int, bad: Any, **more: Any) -> None:
        arrays = [_X, _Y, _STEPS, _LABELS]
        arrays[place] = bad
        case.refuse(name, raises, says, *arrays, **more)

    refuse("label_too_large", ValueError, "target", 1, np.where(_Y == 3, 4, _Y), values=True,
           note="others read out of bounds")
    refuse("label_negative", ValueError, "target", 1, np.where(_Y == 3, -1, _Y), values=True)
    refuse("label_is_the_blank", ValueError, "blank", 1, np.where(_Y == 3, 0, _Y), values=True)
    refuse("longer_than_there_are_steps", ValueError, "logit_lengths", 2, ids(4, 5, 3, 4, 2), values=True)
    refuse("negative_steps", ValueError, "logit_lengths", 2, ids(4, -1, 3, 4, 2), values=True)
    refuse("longer_than_there_are_labels", ValueError, "target_lengths", 3, ids(2, 3, 1, 0, 2), values=True)
    refuse("float_labels", TypeError, "class ids", 1, _Y.astype(np.float64))
    refuse("float_lengths", TypeError, "lengths", 2, _STEPS.astype(np.float64))
    refuse("boolean_lengths", TypeError, "lengths", 3, _LABELS > 0)
    refuse("one_length_for_all", ValueError, "logit_lengths", 2, ids(4))
    refuse("labels_in_a_row", ValueError, "target", 1, _Y.reshape(-1), note="others take them one behind the other")
    refuse("steps_first", ValueError, "shape", 0, _X.transpose(1, 0, 2).copy(), note="PyTorch and TensorFlow want that")
    refuse("no_batch_of_logits", ValueError, "shape", 0, _X[0])
    for bad in (4, -1):
        case.refuse(f"blank_{bad}", ValueError, "blank", _X, _Y, _STEPS, _LABELS, blank=bad)
    case.refuse("blank_an_array", TypeError, "blank", _X, _Y, _STEPS, _LABELS, blank=ids(0))
# fmt: on


def _ideal(name: str) -> list[Perfect]:
    path = ids([1, 0, 2, 2], [3, 3, 0, 3], [0, 0, 0, 0])
    labels, count = ids([1, 2], [3, 3], [0, 0]), ids(2, 2, 0)
    return [Perfect((2e4 * np.eye(5)[path], labels, np.full(3, 4), count), np.zeros(3))]


def _moderate(case: Case) -> bool:
    """Whether a log_softmax before a loss, and its derivative, cost no digits."""
    return bool((np.abs(case.arrays[0]) < 16).all())


def _torch(call: Call) -> Said | None:
    logits, *others = call.arrays
    mixed = any(kind in str(array.dtype) for array in others for kind in ("int32", "uint8"))
    if not call.has("blank", "zero_infinity") or mixed or logits.ndim > 3:
        return None
    log_probabilities = polyloss.log_softmax(logits)
    if logits.ndim == 3:
        log_probabilities = call.xp.moveaxis(log_probabilities, 0, 1)
    return Said((log_probabilities, *others), call.parameters | {"reduction": call.reduction})


def _paddings(call: Call, place: int, beside: int, axis: int) -> Any:
    """1 behind what counts."""
    xp, lengths, like = call.xp, call.arrays[place], call.arrays[beside]
    return xp.astype(positions(xp, like, axis, lengths.dtype) >= lengths[:, None], call.arrays[0].dtype)


def _optax(call: Call) -> Said | None:
    logits, target, *_ = call.arrays
    if not call.has("blank") or logits.ndim != 3:
        return None
    keywords = {"blank_id": call.parameters["blank"]} if "blank" in call.parameters else {}
    return Said((logits, _paddings(call, 2, 0, 1), target, _paddings(call, 3, 1, 1)), keywords)


def _tf(call: Call) -> Said | None:
    logits, target, steps, labels = call.arrays
    if not call.has("blank") or logits.ndim != 3:
        return None
    keywords = {"blank_index": call.parameters["blank"]} if "blank" in call.parameters else {}
    return Said((target, logits, labels, steps), keywords | {"logits_time_major": False})


def _keras(call: Call) -> Said | None:
    logits, target, _, labels = call.arrays
    if not call.has() or logits.ndim != 3:
        return None
    xp = call.xp
    counts = positions(xp, target, 1, labels.dtype) < labels[:, None]
    return Said((xp.where(counts, target, 0), logits), {})


def _whole(case: Case) -> bool:
    """Whether all steps count."""
    return bool((case.arrays[2] == case.arrays[0].shape[-2]).all())


def _sequences(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    examples, steps, count = shape
    labels = max(1, steps // 8)
    target = 1 + rng.integers(count - 1, size=(examples, labels))
    return normal32(rng, shape), target, np.full(examples, steps), np.full(examples, labels)


CTC = Spec(
    loss="ctc",
    arrays=("logits", "target", "logit_lengths", "target_lengths"),
    rowwise=True,
    axis=False,
    letters=2,
    differentiable=(0,),
    ordinary=_ordinary,
    exact=_ctc,
    questions=(_cases, _bad_input),
    ideal=_ideal,
    twins=(
        Twin("torch", "ctc_loss", _torch, reductions=("none", "sum"), dtypes=("float32", "float64"), admits=_moderate),
        Twin("keras", "ctc", _keras, admits=_whole),
        Twin("optax", "ctc_loss", _optax, dtypes=("float32", "float64")),
        Twin("tf", "ctc_loss", _tf),
    ),
    advice=(
        Advice(
            "sequence",
            "labels in order, but nobody knows when: speech, handwriting",
            "ctc(logits, target, logit_lengths, target_lengths)",
            "sums over all ways to align the labels with the steps",
        ),
    ),
    benchmark=Benchmark(
        make=_sequences, shapes=((4, 16, 8), (32, 128, 64)), growth={0: (4, 16, 16), 1: (2, 16, 16), 2: (4, 16, 16)}
    ),
)
