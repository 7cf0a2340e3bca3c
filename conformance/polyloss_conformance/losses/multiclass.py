"""Losses of one class of many."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss.core.entries import one_hot, positions
from polyloss_conformance.arrays import (
    DOUBLE,
    SINGLE,
    WIDE,
    Shape,
    classes,
    damage,
    entropy,
    floats,
    ids,
    inf,
    log_softmax,
    mask,
    nan,
    normal,
    simplex,
)
from polyloss_conformance.benchmark import Benchmark, normal32
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact import softmax
from polyloss_conformance.exact.jets import Jet, is_possible, power
from polyloss_conformance.exact.numbers import ZERO, Number, mp
from polyloss_conformance.exact.rules import Local, inputs_of, local
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Call, Said, Twin, optax, tf, torch

from ._examples import (
    CLASS_WEIGHT,
    CUBE,
    CUBE_IDS,
    CUBE_SOFT,
    IDS,
    LOGITS,
    LONGER_ROWS,
    ROWS_GROW,
    SOFT,
    ahead_by,
    scores_and_ids,
)


# fmt: off
def _targets(case: Cases) -> None:
    log = log_softmax if case.loss == "nll" else lambda logits, axis=-1: logits
    rows, cube = log(LOGITS), log(CUBE, 1)
    case.sample("one_row", rows[0], np.asarray(2), note="a single row: ids have no axis left")
    case.sample("one_row_probabilities", rows[0], SOFT[0])
    case.sample("class_axis_1", cube, CUBE_IDS, axis=1)
    case.sample("class_axis_0", np.ascontiguousarray(rows.T), IDS, axis=0, reduction="mean")
    case.sample("class_axis_-2", cube, CUBE_IDS, axis=-2, reduction="mean")
    case.sample("probabilities", rows, SOFT)
    case.sample("probabilities_axis_1", cube, CUBE_SOFT, axis=1)
    case.sample("probabilities_one_hot", rows, np.eye(4)[IDS], note="equals class ids")
    case.sample("probabilities_not_normalised", rows, 0.5 * SOFT)
    case.sample("ignore_index", rows, ids(0, -100, 1, -100, 3, 1), ignore_index=-100, reduction="mean")
    case.sample("ignore_index_none_reduction", rows, ids(0, -100, 1, -100, 3, 1), ignore_index=-100)
    case.sample("ignore_index_is_a_class", rows, IDS, ignore_index=3, reduction="mean",
                note="trap: the class stays in the softmax")
    case.sample("ignore_index_with_mask", rows, ids(0, -1, 1, 2, 3, 1), ignore_index=-1, reduction="weighted_mean",
                where=mask(True, True, False, True, True, True), sample_weight=floats(1, 8, 2, 0.5, 1, 3))
    case.edge("ignore_index_everywhere", rows, np.full(6, -1), ignore_index=-1, reduction="mean",
              note="mean 0, not NaN")
    case.edge("ignore_index_everywhere_weighted", rows, np.full(6, 7), ignore_index=7, reduction="weighted_mean")
    case.edge("ignored_nonfinite",
              *damage((rows, ids(0, -1, 1, -1, 3, 1)), mask(True, False, True, False, True, True)), ignore_index=-1,
              reduction="mean", note="built-in: NaN logits of an ignored row leak into the gradient")
    case.edge("one_class", np.zeros((3, 1)), np.zeros(3, dtype=np.int64))
    case.edge("int32_ids", rows, IDS.astype(np.int32), reduction="mean")
    case.edge("uint8_ids", rows, IDS.astype(np.uint8), reduction="mean")

    case.refuse("label_too_large", ValueError, "target", rows, ids(0, 4, 1, 2, 3, 1), values=True,
                note="built-in: NaN value with a finite gradient; or silently 0")
    case.refuse("label_minus_one", ValueError, "target", rows, ids(0, -1, 1, 2, 3, 1), values=True,
                note="trap: wraps to the last class, or is ignored but counted")
    case.refuse("label_minus_100", ValueError, "target", rows, ids(0, -100, 1, 2, 3, 1), values=True)
    case.refuse("label_not_ignored", ValueError, "target", rows, ids(0, -1, 1, 2, 3, 1), ignore_index=-100,
                values=True)
    case.refuse("float_ids", TypeError, "target", rows, IDS.astype(np.float64),
                note="trap: ids in a float dtype are corrupted above 256 (bfloat16)")
    case.refuse("ids_in_a_column", ValueError, "target", rows, IDS.reshape(6, 1))
    case.refuse("ids_one_for_all", ValueError, "target", rows, ids(1))
    case.refuse("one_hot_integers", ValueError, "target", rows, np.eye(4, dtype=np.int64)[IDS])
    case.refuse("probabilities_too_large", ValueError, "target", rows, 2 * SOFT, values=True)
    case.refuse("probabilities_negative", ValueError, "target", rows, -SOFT, values=True)
    case.refuse("probabilities_one_row", ValueError, "target", rows, SOFT[:1])
    case.refuse("probabilities_of_fewer_classes", ValueError, "target", rows, SOFT[:, :3])
    case.refuse("ignore_index_with_probabilities", ValueError, "ignore_index", rows, SOFT, ignore_index=0)


def _weights_and_smoothing(case: Cases) -> None:
    log = log_softmax if case.loss == "nll" else lambda logits, axis=-1: logits
    rows, cube = log(LOGITS), log(CUBE, 1)
    for reduction in ("none", "mean", "weighted_mean"):
        case.sample(f"class_weight_{reduction}", rows, IDS, class_weight=CLASS_WEIGHT, reduction=reduction,
                    note="trap: the mean over rows or over weights; here each has its name")
        case.sample(f"class_weight_probabilities_{reduction}", rows, SOFT, class_weight=CLASS_WEIGHT,
                    reduction=reduction)
        case.sample(f"class_weight_smoothing_{reduction}", rows, IDS, class_weight=CLASS_WEIGHT,
                    label_smoothing=0.25, reduction=reduction,
                    note="trap: the smoothing mass of each class has that class's weight")
    case.sample("class_weight_and_sample_weight", cube, CUBE_IDS, axis=1, class_weight=CLASS_WEIGHT,
                reduction="weighted_mean", sample_weight=floats([1, 2, 0.5], [0, 3, 1]))
    case.sample("class_weight_ignore_index", rows, ids(0, -1, 1, 2, -1, 1), class_weight=CLASS_WEIGHT,
                ignore_index=-1, reduction="weighted_mean")
    case.sample("class_weight_axis_1_probabilities", cube, CUBE_SOFT, axis=1, class_weight=CLASS_WEIGHT)
    case.sample("label_smoothing", rows, IDS, label_smoothing=0.125, note="trap: eps/K over all classes")
    case.sample("label_smoothing_0.1", rows, IDS, label_smoothing=0.1, reduction="mean")
    case.sample("label_smoothing_one", rows, IDS, label_smoothing=1.0)
    case.sample("label_smoothing_probabilities", rows, SOFT, label_smoothing=0.25)
    case.sample("label_smoothing_axis_1", cube, CUBE_IDS, axis=1, label_smoothing=0.25,
                note="K is the number of classes, not the length of the last axis")
    case.sample("label_smoothing_ignore_index", rows, ids(0, -1, 1, 2, -1, 1), label_smoothing=0.25,
                ignore_index=-1, reduction="mean")
    case.edge("class_weight_zero", rows, IDS, class_weight=np.zeros(4), reduction="weighted_mean",
              note="weights that sum to zero: 0, not NaN")
    case.edge("class_weight_zero_for_some", rows, IDS, class_weight=floats(0, 1, 0, 2), reduction="weighted_mean")
    case.refuse("class_weight_too_short", ValueError, "class_weight", rows, IDS, class_weight=np.ones(3))
    case.refuse("class_weight_per_entry", ValueError, "class_weight", rows, IDS, class_weight=np.ones((2, 4)))
    case.refuse("class_weight_list", TypeError, "class_weight", rows, IDS, class_weight=[1.0, 1.0, 1.0, 1.0])
    case.refuse("class_weight_negative", ValueError, "class_weight", rows, IDS, class_weight=floats(1, -1, 1, 1),
                values=True)
    case.refuse("class_weight_nan", ValueError, "class_weight", rows, IDS, class_weight=floats(1, nan, 1, 1),
                values=True)
    case.refuse("label_smoothing_negative", ValueError, "label_smoothing", rows, IDS, label_smoothing=-0.1)
    case.refuse("label_smoothing_above_one", ValueError, "label_smoothing", rows, IDS, label_smoothing=1.5)


def _extreme_logits(case: Cases) -> None:
    case.edge("two_class_margin", ahead_by(1, 10, 15, 17, 20, 50), np.zeros(6, dtype=np.int64),
              note="built-in: 0 from a margin of 17 on")
    case.edge("two_class_margin_wide", ahead_by(30, 60, 80, 85), np.zeros(4, dtype=np.int64), dtypes=WIDE)
    case.edge("two_class_margin_double", ahead_by(100, 300), np.zeros(2, dtype=np.int64), dtypes=DOUBLE)
    case.edge("confidently_wrong", ahead_by(10, 17, 50, 100, 1000, 1e4), np.ones(6, dtype=np.int64),
              note="built-in: gradient 0 for a confidently wrong example")
    case.edge("confident_row", floats([0, -10, -11, -12], [-15, 0.5, -16, -40], [3, 1, 30, 2]), ids(0, 1, 2))
    case.edge("confident_one_hot", floats([0, -10, -11, -12], [-15, 0.5, -16, -40], [3, 1, 30, 2]),
              np.eye(4)[ids(0, 1, 2)], note="built-in: the same, with probabilities")
    case.edge("confident_soft", floats([12, 0, -1], [0, 20, 1], [0, 0, 9]),
              floats([1 - 2**-7, 2**-7, 0], [0, 1 - 2**-7, 2**-7], [2**-8, 2**-8, 1 - 2**-7]))
    case.edge("matching_soft", np.log2(floats([1, 2, 4, 1], [8, 1, 1, 6])),
              floats([0.125, 0.25, 0.5, 0.125], [0.5, 0.0625, 0.0625, 0.375]),
              note="the gradient cancels where the prediction is nearly right")
    case.edge("equal_logits", floats([0, 0, 0], [1e4, 1e4, 1e4], [-50, -50, -50]), ids(0, 1, 2),
              note="zero-initialised heads, and a shift")
    case.edge("shifted_equal_logits", floats([1e6, 1e6], [1e8, 1e8], [-1e8, -1e8]), ids(0, 1, 0), dtypes=WIDE,
              note="built-in: 0.6875 and 0.0 instead of 0.6931")
    case.edge("shifted_logits", floats([1e4, 1e4 + 8, 1e4 - 8], [-1e4, 8 - 1e4, -1e4]), ids(1, 0))
    case.edge("tied_maxima", floats([2, 2, 0], [5, -1, 5], [50, 50, -50]), ids(0, 1, 2))
    case.edge("saturated", floats([50, -50, 0], [1000, -1000, 0], [-1e4, 1e4, 0]), ids(1, 2, 2))
    case.edge("huge", floats([1e20, 0, -1e20], [3e38, 1e38, -1e38]), ids(0, 1), dtypes=WIDE)
    case.edge("tiny", floats([1e-20, 0, -1e-20], [1e-38, 0, 0]), ids(0, 1), dtypes=WIDE)
    case.edge("masked_class", floats([1, -inf, 0], [-inf, 2, 0.5], [-inf, -inf, 3]), ids(0, 2, 2),
              note="built-in: -inf logits mask a class")
    case.edge("masked_class_one_hot", floats([1, -inf, 0], [-inf, 2, 0.5], [-inf, -inf, 3]), np.eye(3)[ids(0, 2, 2)],
              note="built-in: 0·(-inf) is NaN in three of four libraries")
    case.edge("masked_class_soft", floats([1, -inf, 0], [-inf, 2, 0.5]), floats([0.25, 0, 0.75], [0, 0.5, 0.5]))
    case.edge("masked_target", floats([1, -inf, 0], [-inf, 2, 0.5]), ids(1, 0), note="a loss of +inf")
    case.edge("infinite_target_logit", floats([inf, 0, 1], [-3, inf, -inf]), ids(0, 1),
              note="built-in: NaN everywhere; the limit is 0")
    case.edge("infinite_other_logit", floats([inf, 0, 1], [-3, inf, 0]), ids(1, 0), note="loss +inf, gradient ±1")
# fmt: on


# --------------------------------------------------------------------------------------------------------------------
# Cross entropy


# fmt: off
def _cross_entropy_cases(case: Cases) -> None:
    case.edge("mean_of_70000_rows", np.zeros((70_000, 2)), np.zeros(70_000, dtype=np.int64), reduction="mean",
              note="built-in: 0.0 with zero gradient in float16")
    case.edge("many_classes", normal("many", (3, 40), 4.0), ids(0, 17, 39), reduction="mean")
    case.edge("label_smoothing_masked_class", floats([1, -inf, 0], [-inf, 2, 0.5], [-inf, -inf, 3]),
              ids(0, 2, 2), label_smoothing=0.25, note="trap: K counts the classes that are not masked; inf otherwise")
    case.edge("label_smoothing_two_classes", ahead_by(1, -2, 17), ids(0, 0, 1), label_smoothing=0.25,
              note="equals the binary loss with the same smoothing")
    case.edge("label_smoothing_confident", ahead_by(20, 50, 100), ids(0, 0, 0), label_smoothing=0.125)
    case.edge("label_smoothing_masked_class_weight", floats([1, -inf, 0], [-inf, 2, 0.5]), ids(0, 2),
              label_smoothing=0.25, class_weight=floats(0.5, 2, 1))
# fmt: on


def _cross_entropy_ideal(name: str) -> list[Perfect]:
    q, hard = simplex(f"perfect {name}", (4, 3, 5)), classes(f"perfect {name}", (4, 3), 5)
    return [
        Perfect((np.log(q), q), entropy(q).sum(-1)),
        Perfect((2e4 * np.eye(5)[hard], hard), np.zeros((4, 3))),
    ]


def _optax_classes(call: Call, *, ids: bool, rows: bool = True) -> Said | None:
    if not call.has("where") or call.ids != ids:
        return None
    if not rows:
        return None if call.options else Said(call.to(-1, *call.arrays), {})
    return Said(call.arrays, {"axis": call.axis, **optax.row_mask(call)})


def _keras_classes(call: Call) -> Said | None:
    if call.options or call.ids or not call.has("label_smoothing"):
        return None
    logits, target = call.arrays
    return Said((target, logits), {"from_logits": True, "axis": call.axis, **call.parameters})


def _keras_ids(call: Call) -> Said | None:
    if (
        call.options
        or not call.ids
        or not call.has("ignore_index")
        or call.axis % call.arrays[0].ndim != call.arrays[0].ndim - 1
    ):
        return None
    logits, target = call.arrays
    return Said((target, logits), {"from_logits": True, "ignore_class": call.parameters.get("ignore_index")})


def _tf_classes(call: Call, *, ids: bool) -> Said | None:
    said = tf.from_logits(call)
    if said is None or call.ids != ids:
        return None
    if not ids:
        return Said((), {**said.keywords, "axis": call.axis})
    logits, target = call.to(-1, *call.arrays)
    return None if "uint" in str(target.dtype) else Said((), {"labels": target, "logits": logits})


def _logits_and_ids(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return normal32(rng, shape), rng.integers(shape[1], size=shape[0])


def _tf_sampled(call: Call) -> Said | None:
    if not call.has() or not call.ids:
        return None
    # The layer is the identity, and all classes are in the sample: the right ones are accidental hits.
    (logits, target), xp = call.arrays, call.xp
    every = positions(xp, logits, -1, target.dtype)
    layer, ones = xp.astype(every[:, None] == every, logits.dtype), xp.ones_like(logits[0, :])
    size = logits.shape[-1]
    sample = {"sampled_values": (every, xp.ones_like(logits[:, :1]), ones)}
    return Said((layer, xp.zeros_like(ones), target[:, None], logits, size, size), sample)


def _are_ordinary_rows(case: Case) -> bool:
    logits = case.arrays[0]
    return logits.ndim == 2 and "axis" not in case.parameters and bool(np.all(np.abs(logits) < 1e30))


CROSS_ENTROPY = Spec(
    loss="cross_entropy",
    arrays=("logits", "target"),
    rowwise=True,
    ordinary=scores_and_ids,
    exact=softmax.cross_entropy,
    questions=(_targets, _weights_and_smoothing, _extreme_logits, _cross_entropy_cases),
    ideal=_cross_entropy_ideal,
    twins=(
        Twin("torch", "cross_entropy", torch.classes, reductions=REDUCTIONS),
        Twin("keras", "categorical_crossentropy", _keras_classes, variant="from_logits=True"),
        Twin("keras", "sparse_categorical_crossentropy", _keras_ids, variant="from_logits=True"),
        Twin("optax", "softmax_cross_entropy", partial(_optax_classes, ids=False)),
        Twin("optax", "softmax_cross_entropy_with_integer_labels", partial(_optax_classes, ids=True)),
        Twin("optax", "safe_softmax_cross_entropy", partial(_optax_classes, ids=False, rows=False)),
        Twin("tf", "softmax_cross_entropy_with_logits", partial(_tf_classes, ids=False)),
        Twin("tf", "sparse_softmax_cross_entropy_with_logits", partial(_tf_classes, ids=True)),
        Twin("tf", "sampled_softmax_loss", _tf_sampled, dtypes=SINGLE, admits=_are_ordinary_rows),
    ),
    advice=(
        Advice(
            "multi-class",
            "one class of many, logits",
            "cross_entropy(logits, class_ids)",
            "exact for confident rows too; takes probabilities as targets",
        ),
        Advice(
            "multi-class",
            "over-confident, noisy labels",
            "cross_entropy(logits, class_ids, label_smoothing=0.1)",
            "keeps the logits finite",
        ),
        Advice(
            "class imbalance",
            "rare classes",
            'cross_entropy(logits, class_ids, class_weight=w, reduction="weighted_mean")',
            "a weight for each class",
        ),
    ),
    benchmark=Benchmark(
        make=_logits_and_ids,
        shapes=((128, 10), (1024, 1000), (8192, 1000), (1024, 50257), (512, 131072)),
        quick=((128, 10), (1024, 1000)),
        most_used=True,
        halves=((1024, 1000), (8192, 1000), (512, 50257)),
        growth=ROWS_GROW | LONGER_ROWS,
        sample=True,
    ),
)


# --------------------------------------------------------------------------------------------------------------------
# Negative log-likelihood


def _nll(log_probabilities: list[Number], target: Any, class_weight: Any = None, label_smoothing: float = 0.0) -> Local:
    logs, t = inputs_of((log_probabilities, target))
    logs = [log.rounded(abs(log.value), ("log", c)) for c, log in enumerate(logs)]
    # The value has no allowance for the rounding of a share, its slopes have.
    parts = softmax.shares(t, class_weight, label_smoothing, list(map(is_possible, logs)), frozenset({0}))
    return local(sum((-share * logs[c] for c, share in parts.items()), Jet(ZERO)), (log_probabilities, target))


def _log_probabilities_and_ids(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    logits, target = _logits_and_ids(rng, shape)
    return log_softmax(logits).astype(np.float32), target


def _nll_ordinary(name: str, shape: Shape) -> tuple[Any, ...]:
    logits, hard = scores_and_ids(name, shape)
    return log_softmax(logits), hard


# fmt: off
def _nll_cases(case: Cases) -> None:
    case.refuse("logits_by_mistake", ValueError, "log_probabilities", 5 + LOGITS, IDS, values=True,
                note="trap: the built-in takes them for log-probabilities, and the loss is negative")
    case.refuse("logits_by_mistake_with_probabilities", ValueError, "log_probabilities", LOGITS, SOFT, values=True)
    case.refuse("logits_by_mistake_axis_1", ValueError, "log_probabilities", 5 + CUBE, CUBE_IDS, axis=1, values=True)
    case.edge("mean_of_70000_rows", np.full((70_000, 2), -0.5), np.zeros(70_000, dtype=np.int64), reduction="mean")
    case.edge("perfect", floats([0, -inf, -inf], [-inf, 0, -inf]), ids(0, 1))
    case.edge("masked_class", floats([-0.5, -inf, -1], [-inf, -0.25, -2]), ids(0, 2))
    case.edge("masked_class_one_hot", floats([-0.5, -inf, -1], [-inf, -0.25, -2]), np.eye(3)[ids(0, 2)],
              note="trap: 0·(-inf)")
    case.edge("masked_target", floats([-0.5, -inf, -1]), ids(1), note="a loss of +inf")
    case.edge("label_smoothing_masked_class", floats([-0.5, -inf, -1], [-inf, -0.25, -2]), ids(0, 2),
              label_smoothing=0.25)
    case.edge("large", floats([-1e4, -100, 0], [-1e-4, -9, -17]), ids(0, 2))
# fmt: on


def _nll_ideal(name: str) -> list[Perfect]:
    q, hard = simplex(f"perfect {name}", (4, 3, 5)), classes(f"perfect {name}", (4, 3), 5)
    with np.errstate(divide="ignore"):
        certain = np.log(np.eye(5)[hard])
    return [
        Perfect((certain, hard), np.zeros((4, 3)), stationary=False),
        Perfect((np.log(q), q), entropy(q).sum(-1), stationary=False),
    ]


NLL = Spec(
    loss="nll",
    arrays=("log_probabilities", "target"),
    rowwise=True,
    ordinary=_nll_ordinary,
    exact=_nll,
    questions=(_targets, _weights_and_smoothing, _nll_cases),
    ideal=_nll_ideal,
    twins=(Twin("torch", "nll_loss", partial(torch.classes, smoothing=False), reductions=REDUCTIONS),),
    advice=(
        Advice(
            "multi-class",
            "log-probabilities come out of the model",
            "nll(log_probabilities, class_ids)",
            "skips the softmax",
        ),
    ),
    benchmark=Benchmark(
        make=_log_probabilities_and_ids,
        shapes=((128, 10), (8192, 1000)),
        most_used=True,
        halves=((1024, 1000),),
    ),
)


# --------------------------------------------------------------------------------------------------------------------
# Focal loss


def _softmax_focal(logits: list[Number], target: Any, alpha: Any = None, gamma: float = 2.0) -> Local:
    def term(p: Any, rest: Any, minus_log: Any) -> Any:
        return minus_log * power(rest, mp.mpf(gamma))

    return softmax.of_probabilities(logits, target, alpha, 0.0, term)


# fmt: off
def _softmax_focal_cases(case: Cases) -> None:
    for gamma in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        case.sample(f"gamma_{gamma:g}", LOGITS, IDS, gamma=gamma)
        case.sample(f"gamma_{gamma:g}_probabilities", LOGITS, SOFT, gamma=gamma)
        case.edge(f"gamma_{gamma:g}_confident", ahead_by(1, 17, 50, 200, 1e4), np.zeros(5, dtype=np.int64),
                  gamma=gamma, note="trap: (1 - p)^gamma has no finite derivative at p = 1 for gamma < 1")
        case.edge(f"gamma_{gamma:g}_masked", floats([1, -inf, 0], [0, -inf, -inf]), ids(0, 0), gamma=gamma)
    case.sample("alpha_number", LOGITS, IDS, alpha=0.25, reduction="mean")
    case.sample("alpha_per_class", LOGITS, IDS, alpha=CLASS_WEIGHT)
    case.sample("alpha_per_class_probabilities", LOGITS, SOFT, alpha=CLASS_WEIGHT)
    case.sample("alpha_per_class_axis_1", CUBE, CUBE_IDS, alpha=CLASS_WEIGHT, axis=1)
    case.sample("alpha_is_no_weight", LOGITS, IDS, alpha=CLASS_WEIGHT, reduction="weighted_mean",
                note="alpha is not in the denominator")
    case.refuse("gamma_negative", ValueError, "gamma", LOGITS, IDS, gamma=-1.0)
    case.refuse("alpha_negative", ValueError, "alpha", LOGITS, IDS, alpha=-0.25)
    case.refuse("alpha_too_short", ValueError, "alpha", LOGITS, IDS, alpha=np.ones(3))
# fmt: on


def _softmax_focal_ideal(name: str) -> list[Perfect]:
    q, hard = simplex(f"perfect {name}", (4, 3, 5)), classes(f"perfect {name}", (4, 3), 5)
    return [
        Perfect((2e4 * np.eye(5)[hard], hard), np.zeros((4, 3))),
        Perfect((np.log(q), q), entropy(q).sum(-1), parameters={"gamma": 0.0}),
    ]


def _keras_softmax_focal(call: Call) -> Said | None:
    if call.options or not call.has("alpha", "gamma"):
        return None
    logits, target = call.to(-1, *call.arrays)
    if call.ids:
        xp = call.xp
        target = xp.astype(one_hot(xp, target, logits), logits.dtype)
    return Said((target, logits), {"alpha": 1.0, **call.parameters, "from_logits": True})


SOFTMAX_FOCAL = Spec(
    loss="softmax_focal",
    arrays=("logits", "target"),
    rowwise=True,
    ordinary=scores_and_ids,
    exact=_softmax_focal,
    questions=(_targets, _extreme_logits, _softmax_focal_cases),
    ideal=_softmax_focal_ideal,
    twins=(Twin("keras", "categorical_focal_crossentropy", _keras_softmax_focal, variant="from_logits=True"),),
    advice=(
        Advice(
            "class imbalance",
            "many classes",
            "softmax_focal(logits, class_ids, gamma=2.0)",
            "the same for one class of many",
        ),
    ),
)
