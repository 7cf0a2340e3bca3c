"""Losses of one class of many, or of several, whose scores shall clear a margin."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss.core.entries import one_hot, positions
from polyloss_conformance.arrays import WIDE, Shape, bits, classes, floats, ids, inf, mask, normal
from polyloss_conformance.benchmark import Benchmark, normal32
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import Jet, maximum, positive_part
from polyloss_conformance.exact.numbers import INFINITE, ONE, ZERO, Number
from polyloss_conformance.exact.rules import Local, inputs_of, local
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Call, Said, Twin

from ._examples import CLASS_WEIGHT, CUBE, CUBE_IDS, IDS, LOGITS, LONGER_ROWS, scores_and_ids


def _difference(one: Jet, other: Jet, name: Any) -> Jet:
    """A difference of two scores, which is rounded."""
    difference = one - other
    return difference.rounded(abs(difference.value), ("difference", name))


# fmt: off
def _of_ids(case: Cases) -> None:
    case.sample("one_row", LOGITS[0], np.asarray(2), note="a single row: ids have no axis left")
    case.sample("class_axis_1", CUBE, CUBE_IDS, axis=1)
    case.sample("ignore_index_with_mask", LOGITS, ids(0, -1, 1, 2, 3, 1), ignore_index=-1, reduction="mean",
                where=mask(True, True, False, True, True, True))
    case.edge("one_class", floats([3], [0], [-1]), np.zeros(3, dtype=np.int64), note="no other class: 0")
    case.edge("int32_ids", LOGITS, IDS.astype(np.int32), reduction="mean")
    case.edge("masked_class", floats([3, -inf, 0], [-inf, 2, 0.25], [-inf, -inf, 3]), ids(0, 2, 2),
              note="-inf masks a class")
    case.edge("infinite_scores", floats([inf, 0, 1], [-3, inf, 0], [-inf, 2, 1]), ids(0, 2, 0))
    case.edge("huge_and_tiny", floats([3e38, 1e38, -1e38], [1e-37, 0, -1e-37], [-1e38, 1e38, 0]), ids(0, 0, 2),
              dtypes=WIDE)
    case.refuse("label_too_large", ValueError, "target", LOGITS, ids(0, 4, 1, 2, 3, 1), values=True)
    case.refuse("label_minus_one", ValueError, "target", LOGITS, ids(0, -1, 1, 2, 3, 1), values=True,
                note="trap: a row of no class has a loss")
    case.refuse("float_ids", TypeError, "target", LOGITS, IDS.astype(np.float64))
    case.refuse("one_hot", TypeError, "argmax", LOGITS, np.eye(4)[IDS])
    case.refuse("one_hot_integers", ValueError, "argmax", LOGITS, np.eye(4, dtype=np.int64)[IDS])
# fmt: on


# --------------------------------------------------------------------------------------------------------------------
# The best other class


def _multiclass_hinge(scores: list[Number], target: int, margin: Number = ONE) -> Local:
    return local(_behind(inputs_of(scores, (0,)), target, margin), (scores, target))


def _behind(scores: list[Jet], y: int, margin: Number) -> Jet:
    others = scores[:y] + scores[y + 1 :]
    return positive_part(_difference(maximum(others), scores[y], "best") + margin) if others else Jet(ZERO)


# fmt: off
def _multiclass_hinge_cases(case: Cases) -> None:
    for margin in (0.0, 0.5, 3.0):
        case.sample(f"margin_{margin:g}", LOGITS, IDS, margin=margin)
    case.sample("known_values", floats([-3, -5, -6], [2, 1.5, 1.875]), ids(0, 0),
                note="trap: three losses of this name: Keras has 4 and 0.875, torch 0 and 0.4583")
    case.edge("at_the_margin", floats([2, 1, 0], [-1, 0, 0], [0, 0, 1]), ids(0, 1, 2), note="trap: a half, here 0")
    case.edge("tied_others", floats([2, 2, 0], [5, -1, 5], [7, 7, 7]), ids(2, 1, 0), note="they share the slope")
    case.edge("around_the_margin", floats([1 - 2**-8, 0], [1 + 2**-7, 0]), ids(0, 0))
    case.edge("correct_by_more", floats([3.2, 0, -1], [-2.1, -7.3, -9], [3.4, 1.3, 2]), ids(0, 0, 0),
              note="built-in: exactly 0")
    case.edge("near_each_other", floats([1024, 1032, 0], [1 + 2**-7, 1, -3]), ids(0, 1))
    case.refuse("margin_negative", ValueError, "margin", LOGITS, IDS, margin=-1.0)
    case.refuse("margin_infinite", ValueError, "margin", LOGITS, IDS, margin=inf)
# fmt: on


def _ideal(name: str) -> list[Perfect]:
    scores, hard = normal(f"perfect {name}", (4, 3, 5)), classes(f"perfect {name}", (4, 3), 5)
    return [Perfect((scores + 20.0 * np.eye(5)[hard], hard), np.zeros((4, 3)))]


def _optax(call: Call) -> Said | None:
    if not call.has():
        return None
    scores, target = call.to(-1, *call.arrays)
    # The built-in's result has the dtype of its own one-hot rows: that of no argument.
    return Said((scores, target), {}, lambda value: call.xp.astype(value, scores.dtype))


def _keras(call: Call) -> Said | None:
    if not call.has():
        return None
    scores, target = call.to(-1, *call.arrays)
    return Said((call.xp.astype(one_hot(call.xp, target, scores), scores.dtype), scores), {})


def _scores_above_0(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    """Below 0, the built-in of Keras is another loss: it always compares with 0 too."""
    return abs(normal32(rng, shape)), rng.integers(shape[-1], size=shape[:-1])


MULTICLASS_HINGE = Spec(
    loss="multiclass_hinge",
    arrays=("scores", "target"),
    rowwise=True,
    ordinary=scores_and_ids,
    exact=_multiclass_hinge,
    questions=(_of_ids, _multiclass_hinge_cases),
    ideal=_ideal,
    twins=(Twin("optax", "multiclass_hinge_loss", _optax), Twin("keras", "categorical_hinge", _keras)),
    advice=(
        Advice(
            "multi-class",
            "a maximal margin",
            "multiclass_hinge(scores, class_ids)",
            "the right class ahead of the best other one",
        ),
    ),
    benchmark=Benchmark(make=_scores_above_0),
)


def _multiclass_perceptron(scores: list[Number], target: int) -> Local:
    return local(_behind(inputs_of(scores, (0,)), target, ZERO), (scores, target))


# fmt: off
def _multiclass_perceptron_cases(case: Cases) -> None:
    case.edge("equal_scores", floats([0, 0, 0], [7, 7, -1]), ids(1, 0),
              note="trap: shares where training starts; here 0")
    case.edge("tied_others", floats([2, 2, 0], [5, -1, 5]), ids(2, 1), note="they share the slope")
    case.edge("near_each_other", floats([1024, 1032, 0], [1 + 2**-7, 1, -3]), ids(0, 1))
# fmt: on


MULTICLASS_PERCEPTRON = Spec(
    loss="multiclass_perceptron",
    arrays=("scores", "target"),
    rowwise=True,
    ordinary=scores_and_ids,
    exact=_multiclass_perceptron,
    questions=(_of_ids, _multiclass_perceptron_cases),
    ideal=_ideal,
    twins=(Twin("optax", "multiclass_perceptron_loss", _optax),),
    advice=(
        Advice(
            "multi-class",
            "the right class alone, no margin",
            "multiclass_perceptron(scores, class_ids)",
            "how far the best class is ahead of the right one",
        ),
    ),
)


# --------------------------------------------------------------------------------------------------------------------
# All other classes


def _multi_margin(
    scores: list[Number], target: int, class_weight: Any = None, margin: Number = ONE, power: int = 1
) -> Local:
    jets = inputs_of(scores, (0,))
    others = [c for c, score in enumerate(scores) if c != target and score > -INFINITE]
    missing = [positive_part(_difference(jets[c], jets[target], c) + margin) for c in others]
    total = sum((gap if power == 1 else gap * gap for gap in missing), Jet(ZERO))
    weight = ONE if class_weight is None else class_weight[target]
    return local(total * weight / len(jets), (scores, target))


# fmt: off
def _multi_margin_cases(case: Cases) -> None:
    case.sample("power_2_margin_0.5", LOGITS, IDS, power=2, margin=0.5, reduction="mean")
    case.sample("class_weight", LOGITS, IDS, class_weight=CLASS_WEIGHT)
    case.sample("class_weight_mean", LOGITS, IDS, class_weight=CLASS_WEIGHT, power=2, reduction="mean",
                note="trap: divided by the number of rows, and not by their weights")
    case.sample("class_weight_weighted_mean", LOGITS, IDS, class_weight=CLASS_WEIGHT, reduction="weighted_mean")
    case.sample("known_values", floats([-3, -5, -6], [2, 1.5, 1.875]), ids(0, 0), note="divided by all classes")
    for power in (1, 2):
        case.edge(f"masked_right_class_power_{power}", floats([-inf, -inf, 0], [-inf, 1, 0]), ids(0, 0), power=power)
        case.edge(f"at_the_margin_power_{power}", floats([2, 1, 0], [0, -1, 0.5]), ids(0, 1), power=power)
    case.edge("around_the_margin", floats([1 - 2**-8, 0], [1 + 2**-7, 0]), ids(0, 0))
    case.edge("huge_power_2", floats([0, 1.5e19, 1.5e19, 0], [-1e19, 0, 1e18, -1e19]), ids(0, 0), power=2, dtypes=WIDE,
              note="the squares fit, their sum does not")
    case.edge("class_weight_zero", floats([-inf, 0, 1], [3, 1, 2]), ids(0, 1), class_weight=floats(0, 2, 1), power=2,
              note="trap: a weight of 0 times an infinite loss")
    case.refuse("power_3", ValueError, "power", LOGITS, IDS, power=3)
    case.refuse("margin_negative", ValueError, "margin", LOGITS, IDS, margin=-1.0)
    case.refuse("class_weight_too_short", ValueError, "class_weight", LOGITS, IDS, class_weight=np.ones(3))
    case.refuse("class_weight_negative", ValueError, "class_weight", LOGITS, IDS, class_weight=floats(1, -1, 1, 1),
                values=True)
# fmt: on


def _torch_multi_margin(call: Call) -> Said | None:
    if not call.has("class_weight", "margin", "power") or call.reduction == "weighted_mean" or len(call.rows) > 1:
        return None
    if str(call.arrays[1].dtype).rpartition(".")[2] == "int32":
        return None
    names = {"class_weight": "weight", "power": "p"}
    keywords = {names.get(key, key): value for key, value in call.parameters.items()}
    return Said(call.to(-1, *call.arrays), {**keywords, "reduction": call.reduction})


MULTI_MARGIN = Spec(
    loss="multi_margin",
    arrays=("scores", "target"),
    rowwise=True,
    ordinary=scores_and_ids,
    exact=_multi_margin,
    questions=(_of_ids, _multi_margin_cases),
    ideal=_ideal,
    twins=(Twin("torch", "multi_margin_loss", _torch_multi_margin, reductions=REDUCTIONS[:3]),),
    advice=(
        Advice(
            "multi-class",
            "a margin to every other class",
            "multi_margin(scores, class_ids)",
            "a sum over the other classes; power=2 is smooth",
        ),
    ),
)


# --------------------------------------------------------------------------------------------------------------------
# Several right classes


def _multilabel_margin(scores: list[Number], target: list[Number], margin: Number = ONE) -> Local:
    jets = inputs_of(scores, (0,))
    right, wrong = ([c for c, label in enumerate(target) if label == which] for which in (1, 0))
    missing = [positive_part(_difference(jets[i], jets[j], (i, j)) + margin) for j in right for i in wrong]
    return local(sum(missing, Jet(ZERO)) / len(jets), (scores, target))


def _scores_and_labels(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, (*shape, 5), 1.5), bits(name + "y", (*shape, 5))


_LABELS = bits("labels", (6, 4))


# fmt: off
def _multilabel_margin_cases(case: Cases) -> None:
    case.sample("margin_0.5", LOGITS, _LABELS, margin=0.5)
    case.sample("class_axis_1", CUBE, bits("cube labels", CUBE.shape), axis=1)
    case.sample("known_value", floats([0.1, 0.2, 0.4, 0.8]), floats([1, 0, 0, 1]), note="0.85")
    case.sample("integer_labels", LOGITS, _LABELS.astype(np.int64), reduction="mean")
    case.edge("all_or_none", floats([1, 2, 3], [1, 2, 3]), floats([1, 1, 1], [0, 0, 0]), note="no pair: 0")
    case.edge("at_the_margin", floats([2, 1, 0], [0, -1, 0.5]), floats([1, 0, 0], [0, 1, 1]))
    case.edge("infinite_scores", floats([inf, 0, 1], [-inf, 0, 1], [0, -inf, 1]),
              floats([1, 0, 0], [1, 0, 0], [1, 0, 1]))
    case.edge("huge_and_tiny", floats([-1e38, 1e38, 0], [1e-37, 0, -1e-37]), floats([1, 0, 1], [0, 1, 0]), dtypes=WIDE)
    case.refuse("label_two", ValueError, "target", LOGITS, 2 * _LABELS, values=True)
    case.refuse("soft_labels", ValueError, "target", LOGITS, 0.5 * _LABELS, values=True)
    case.refuse("class_ids", ValueError, "target", LOGITS, IDS)
    case.refuse("margin_negative", ValueError, "margin", LOGITS, _LABELS, margin=-1.0)
# fmt: on


def _multilabel_ideal(name: str) -> list[Perfect]:
    scores, hard = _scores_and_labels(f"perfect {name}", (4, 3))
    return [Perfect((scores + 20.0 * hard, hard), np.zeros((4, 3)))]


def _torch_multilabel_margin(call: Call) -> Said | None:
    if not call.has() or call.reduction == "weighted_mean":
        return None
    xp, classes = call.xp, call.arrays[0].shape[call.axis]
    scores, target = (xp.reshape(array, (-1, classes)) for array in call.to(-1, *call.arrays))
    # The ids of the right classes, and then -1.
    found = xp.sort(xp.where(target == 1, positions(xp, scores, -1, xp.int64), classes), axis=-1)
    found = xp.where(found == classes, -1, found)
    rows = call.rows
    shaped = (lambda value: xp.reshape(value, rows)) if call.reduction == "none" else (lambda value: value)
    return Said((scores, found), {"reduction": call.reduction}, shaped)


MULTILABEL_MARGIN = Spec(
    loss="multilabel_margin",
    arrays=("scores", "target"),
    rowwise=True,
    ordinary=_scores_and_labels,
    exact=_multilabel_margin,
    questions=(_multilabel_margin_cases,),
    ideal=_multilabel_ideal,
    twins=(
        Twin("torch", "multilabel_margin_loss", _torch_multilabel_margin, reductions=REDUCTIONS[:3], constants=(1,)),
    ),
    advice=(
        Advice(
            "multi-label",
            "a margin between right and wrong",
            "multilabel_margin(scores, target)",
            "every right class ahead of every wrong one",
        ),
    ),
    benchmark=Benchmark(growth=LONGER_ROWS),
)
