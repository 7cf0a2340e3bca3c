"""Losses of how much of two regions overlaps: segmentation."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polyloss.core.entries import positions
from polyloss_conformance.arrays import Shape, bits, classes, floats, ids, inf, nan, normal, simplex, uniform
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact.jets import Jet, logistic, plain
from polyloss_conformance.exact.numbers import ONE, ZERO
from polyloss_conformance.exact.rules import Local, Rule, inputs_of, local, of_parameters, of_rows
from polyloss_conformance.exact.softmax import Classes
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import Call, Said, Twin

from ._examples import LONGER_ROWS

REGIONS = (4, 1024), (16, 65536)
"""What is measured: regions, and their pixels."""

_P = uniform("p", (5, 4), 0.05, 0.95)
_T = bits("t", (5, 4))
_IMAGES, _MASKS = uniform("images", (2, 2, 2), 0.05, 0.95), bits("masks", (2, 2, 2))
_SCORES = normal("scores", (5, 4), 2.0)


def _pairs(prediction: Sequence[Any], target: Sequence[Any], from_logits: bool) -> list[tuple[Any, Any]]:
    chances = [logistic(x) for x in prediction] if from_logits else prediction
    return list(zip(chances, target, strict=True))


@of_rows
def _dice(
    prediction: Any,
    target: Any,
    smooth: Any = 0,
    empty: Any = 0,
    squared: bool = False,
    from_logits: bool = False,
) -> Any:
    pairs = _pairs(prediction, target, from_logits)
    whole = sum((p * p + t * t if squared else p + t for p, t in pairs), 2 * smooth)
    if plain(whole) == 0:
        return 0 * prediction[0] + empty
    return 1 - (2 * sum(p * t for p, t in pairs) + 2 * smooth) / whole


@of_rows
def _tversky(
    prediction: Any,
    target: Any,
    alpha: Any = 0.5,
    beta: Any = 0.5,
    smooth: Any = 0,
    empty: Any = 0,
    from_logits: bool = False,
) -> Any:
    pairs = _pairs(prediction, target, from_logits)
    agreed = sum(p * t for p, t in pairs) + smooth
    whole = agreed + alpha * sum(p * (1 - t) for p, t in pairs) + beta * sum((1 - p) * t for p, t in pairs)
    return 0 * prediction[0] + empty if plain(whole) == 0 else 1 - agreed / whole


def _mask(name: str, shape: Shape) -> tuple[Any, ...]:
    return uniform(name, (*shape, 4), 0.05, 0.95), bits(f"{name} target", (*shape, 4))


# fmt: off
def _region_cases(case: Cases) -> None:
    case.sample("images", _IMAGES, _MASKS, axis=(1, 2))
    case.sample("images_of_columns", _IMAGES, _MASKS, axis=(2, 0), reduction="sum")
    case.sample("whole_batch", _IMAGES, _MASKS, axis=(0, 1, 2), reduction="mean",
                note="trap: one ratio for all, or one for each example")
    case.sample("integer_target", _P, _T.astype(np.int64))
    case.sample("soft_target", _P, uniform("soft t", (5, 4), 0.1, 0.9),
                note="trap: an intersection by products, or by minima")
    case.sample("smooth", _P, _T, smooth=1.0, note="trap: 2I + s over P + T + s, or I + s over (P + T) / 2 + s")
    case.sample("from_logits", _SCORES, _T, from_logits=True)
    case.sample("images_from_logits", normal("images", (2, 2, 2), 2.0), _MASKS, axis=(1, 2), from_logits=True)
    empty = np.zeros((2, 4))
    case.edge("empty_mask", floats([0.5, 0.25, 0, 0], [1, 1, 1, 1]), empty, note="trap: 0, 1, or left out")
    case.edge("empty_mask_smooth", floats([0.5, 0.25, 0, 0], [1, 1, 1, 1]), empty, smooth=1.0)
    case.edge("nothing_predicted", empty, floats([1, 1, 0, 0], [1, 1, 1, 1]))
    case.edge("both_empty", empty, empty, note="trap: 0/0")
    case.edge("both_empty_smooth", empty, empty, smooth=1.0)
    case.edge("both_empty_costs", empty, empty, empty=1.0)
    case.edge("perfect", floats([1, 1, 0, 0], [0, 1, 0, 1]), floats([1, 1, 0, 0], [0, 1, 0, 1]))
    near = 2.0**-8
    case.edge("nearly_perfect", floats([1 - near, 1, near, 0], [near**2, 1, 0, 1]), floats([1, 1, 0, 0], [0, 1, 0, 1]),
              note="trap: one minus a ratio next to 1")
    case.edge("confident_logits", floats([30, 20, -25, -30], [9, -40, 10, -90]), floats([1, 1, 0, 0], [1, 0, 1, 0]),
              from_logits=True, note="trap: one minus a probability that rounds to 1")
    case.edge("confidently_wrong_logits", floats([-30, -20, 25, 30]), floats([1, 1, 0, 0]), from_logits=True)
    case.edge("infinite_logits", floats([inf, -inf, 0, 1], [inf, -inf, inf, -inf]), floats([1, 0, 1, 0], [1, 0, 0, 1]),
              from_logits=True)
    case.edge("one_element", floats([0.5], [0.25], [1]), floats([1], [0], [1]))
    case.refuse("prediction_above_1", ValueError, "from_logits=True takes logits", 2 * _P, _T, values=True,
                note="trap: logits for probabilities")
    case.refuse("target_of_signs", ValueError, "target", _P, 2 * _T - 1, values=True)
    case.refuse("smooth_negative", ValueError, "smooth", _P, _T, smooth=-1.0)
    case.refuse("empty_above_1", ValueError, "empty", _P, _T, empty=2.0)
    case.refuse("axis_twice", ValueError, "axis", _IMAGES, _MASKS, axis=(1, -2))
    case.refuse("no_axis_at_all", ValueError, "axis", _IMAGES, _MASKS, axis=())
    case.refuse("other_image", ValueError, "shape", _IMAGES, _MASKS[:, :1], axis=(1, 2))


def _dice_cases(case: Cases) -> None:
    case.sample("squared", _P, _T, squared=True, note="trap: P + T, or the sums of their squares")
    case.sample("squared_from_logits", _SCORES, _T, from_logits=True, squared=True)
    case.edge("squared_nearly_perfect", floats([1 - 2**-8, 1, 2**-8, 0]), floats([1, 1, 0, 0]), squared=True)


def _tversky_cases(case: Cases) -> None:
    case.sample("weights", _P, _T, alpha=0.25, beta=0.75, note="trap: alpha and beta swapped")
    case.sample("weights_of_images", _IMAGES, _MASKS, axis=(1, 2), alpha=0.25, beta=0.75)
    case.sample("weights_from_logits", _SCORES, _T, alpha=0.25, beta=0.75, from_logits=True)
    case.edge("no_weight_of_false_positives", floats([0.5, 0.25, 1, 0], [1, 0.5, 0, 1]),
              floats([0, 0, 0, 0], [1, 0, 0, 0]), alpha=0.0, note="an empty mask: 0/0 whatever is predicted")
    for bad in (-0.5, np.inf, nan):
        case.refuse(f"alpha_{bad:g}", ValueError, "alpha", _P, _T, alpha=bad)
# fmt: on


def _region_ideal(name: str) -> list[Perfect]:
    hard = bits(f"hard {name}", (4, 3, 5))
    return [
        Perfect((hard, hard.copy()), np.zeros((4, 3)), stationary=False),
        Perfect((np.zeros((2, 5)), np.zeros((2, 5))), np.ones(2), stationary=False, parameters={"empty": 1.0}),
    ]


def _not_both_empty(case: Case) -> bool:
    """Whether no region is 0/0, or such a one costs 1."""
    prediction, target = case.arrays
    axis = case.parameters.get("axis", -1)
    with np.errstate(invalid="ignore"):
        counted = prediction * target + case.parameters.get("alpha", 0.5) * prediction + (1 - prediction) * target
    return case.parameters.get("empty") == 1 or bool(np.all(np.sum(counted, axis=axis) > 0))


def _keras(call: Call, *names: str) -> Said | None:
    if call.options or not call.has("empty", *names):
        return None
    prediction, target = call.arrays
    keywords = {name: value for name, value in call.parameters.items() if name in names}
    return Said((target, prediction), {"axis": call.axis, **keywords})


def _keras_tversky(call: Call) -> Said | None:
    return _keras(call, "alpha", "beta")


def _optax_binary(call: Call) -> Said | None:
    # There, all axes but the first are a region.
    if call.options or not call.has("smooth", "from_logits") or not call.parameters.get("from_logits"):
        return None
    axes = call.axis if isinstance(call.axis, tuple) else (call.axis,)
    arrays = [call.xp.moveaxis(array, axes, tuple(range(-len(axes), 0))) for array in call.arrays]
    shape = tuple(arrays[0].shape)[: arrays[0].ndim - len(axes)]
    rows = [call.xp.reshape(array, (math.prod(shape), math.prod(array.shape[len(shape) :]))) for array in arrays]
    return Said(rows, {"smooth": call.parameters.get("smooth", 0.0)}, lambda value: call.xp.reshape(value, shape))


DICE = Spec(
    loss="dice",
    arrays=("prediction", "target"),
    rowwise=True,
    ordinary=_mask,
    exact=_dice,
    questions=(_region_cases, _dice_cases),
    ideal=_region_ideal,
    twins=(
        Twin("keras", "dice", _keras, admits=_not_both_empty),
        Twin("optax", "binary_dice_loss", _optax_binary),
    ),
    advice=(
        Advice(
            "segmentation",
            "one region, or regions that may overlap",
            "dice(probabilities, mask, smooth=1.0, axis=(-2, -1))",
            "counts what is common to both regions, however small they are in the image",
        ),
    ),
    benchmark=Benchmark(shapes=REGIONS, growth=LONGER_ROWS),
)

TVERSKY = Spec(
    loss="tversky",
    arrays=("prediction", "target"),
    rowwise=True,
    ordinary=_mask,
    exact=_tversky,
    questions=(_region_cases, _tversky_cases),
    ideal=_region_ideal,
    twins=(Twin("keras", "tversky", _keras_tversky, admits=_not_both_empty),),
    advice=(
        Advice(
            "segmentation",
            "what is missing is worse than what is too much",
            "tversky(probabilities, mask, alpha=0.3, beta=0.7, axis=(-2, -1))",
            "false positives and false negatives have weights of their own",
        ),
    ),
    benchmark=Benchmark(shapes=REGIONS),
)

_LOGITS = normal("regions", (4, 2, 3), 2.0)
_IDS = classes("regions", (4, 2), 3)
_SOFT = simplex("regions", (4, 2, 3))
_WEIGHT = floats(0.5, 1, 1.5)


def _sums(logits: Any, target: Any) -> list[tuple[Any, Any, Any, Any]]:
    """Of each class what is agreed on, what is predicted too much, what is missing, and its size."""
    kept = [i for i, one in enumerate(target) if isinstance(one, list) or one >= 0]
    rows = {i: Classes(logits[i], i) for i in kept}
    found = []
    for c in range(len(logits[0])):
        agreed, extra, missing, size = Jet(ZERO), Jet(ZERO), Jet(ZERO), ZERO
        for i in kept:
            t = target[i][c] if isinstance(target[i], list) else Jet(ONE if target[i] == c else ZERO)
            t = t.rounded(ZERO if plain(t) in (0, 1) else plain(t), ("share", i, c))
            # They are rounded with their slopes.
            p = rows[i].term(c, lambda p, rest, _: p) * Jet(ONE).rounded(ONE, ("p", i, c))
            rest = rows[i].term(c, lambda p, rest, _: rest) * Jet(ONE).rounded(ONE, ("rest", i, c))
            agreed, extra, missing = agreed + p * t, extra + p * (1 - t), missing + rest * t
            size += plain(t)
        found.append((agreed, extra, missing, size))
    return found


def _of_classes(function: Callable[..., Any]) -> Rule:
    """The rule of a loss of the sums of classes in a region."""

    def rule(logits: Any, target: Any, **parameters: Any) -> Local:
        x, t = inputs_of((logits, target))
        return local(function(_sums(x, t), **of_parameters(parameters)), (logits, target))

    return rule


def _at(parameter: Any, c: int) -> Any:
    return parameter[c] if isinstance(parameter, list) else parameter


@_of_classes
def _softmax_dice(
    sums: Any,
    class_weight: Any = None,
    alpha: Any = 0.5,
    beta: Any = 0.5,
    smooth: Any = 0,
    present_only: bool = False,
) -> Any:
    total, weights = Jet(ZERO), ZERO
    for c, (agreed, extra, missing, size) in enumerate(sums):
        weight = (ONE if class_weight is None else class_weight[c]) * (not present_only or bool(size))
        agreed = agreed + _at(smooth, c)
        whole = agreed + _at(alpha, c) * extra + _at(beta, c) * missing
        if plain(whole):
            total = total + weight * (1 - agreed / whole)
        weights += weight
    return total / weights if weights else 0 * total


@_of_classes
def _generalized_dice(sums: Any, class_weight: Any = None, power: float = 2, present_only: bool = False) -> Any:
    common = union = Jet(ZERO)
    least = min((size for *_, size in sums if size), default=ONE)
    for c, (agreed, extra, missing, size) in enumerate(sums):
        weight = (ONE if class_weight is None else class_weight[c]) * (not present_only or bool(size))
        weight = weight / (size or least) ** power
        common, union = common + weight * 2 * agreed, union + weight * (2 * agreed + extra + missing)
    return 1 - common / union if plain(union) else 0 * union


def _labelled(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, (*shape, 2, 3), 2.0), classes(f"{name} ids", (*shape, 2), 3)


# fmt: off
def _class_cases(case: Cases) -> None:
    image, labels = normal("image", (2, 3, 2, 2), 2.0), classes("image", (2, 2, 2), 3)
    case.sample("classes_first", image, labels, axis=(2, 3, 1))
    case.sample("classes_last", np.moveaxis(image, 1, -1).copy(), labels, axis=(1, 2, 3), reduction="mean")
    case.sample("whole_batch", image, labels, axis=(0, 2, 3, 1), reduction="mean",
                note="trap: one ratio for all, or one for each example")
    case.sample("probabilities", _LOGITS, _SOFT)
    case.sample("one_hot", _LOGITS, np.eye(3)[_IDS])
    case.sample("class_weight", _LOGITS, _IDS, class_weight=_WEIGHT)
    case.sample("class_weight_probabilities", _LOGITS, _SOFT, class_weight=_WEIGHT)
    case.sample("class_weight_weighted_mean", _LOGITS, _IDS, class_weight=_WEIGHT, reduction="weighted_mean",
                sample_weight=floats(1, 2, 0.5, 3))
    case.sample("without_background", _LOGITS, _IDS, class_weight=floats(0, 1.5, 1.5))
    ignored = np.where(_IDS == 1, 255, _IDS)
    case.sample("ignored_elements", _LOGITS, ignored, ignore_index=255, note="trap: left out of the numerator alone")
    case.edge("ignored_nonfinite", np.where((ignored == 255)[..., None], nan, _LOGITS), ignored, ignore_index=255)
    case.edge("everything_ignored", _LOGITS, np.full((4, 2), 255), ignore_index=255)
    case.sample("present_only", _LOGITS, np.minimum(_IDS, 1), present_only=True)
    case.sample("absent_class", _LOGITS, np.minimum(_IDS, 1), note="trap: 1, left out, or nearly all of the weight")
    hot = np.eye(3)[[[0, 2], [1, 1]]]
    case.edge("confident", 40 * hot, ids([0, 2], [1, 1]), note="trap: one minus a probability that rounds to 1")
    case.edge("confidently_wrong", 20 * hot, ids([1, 0], [2, 0]))
    case.edge("infinite_logits", floats([[inf, 0, 1], [-inf, 1, 0]], [[0, inf, 0], [0, 0, 1]]), ids([0, 1], [0, 2]))
    case.edge("masked_class", floats([[0, -inf, 1], [2, -inf, 0]]), ids([0, 2]))
    case.edge("one_class", normal("one", (2, 3, 1)), np.zeros((2, 3), np.int64))
    case.edge("one_element", normal("one element", (3, 1, 4)), ids([0], [1], [3]))
    case.refuse("id_out_of_range", ValueError, "class ids", _LOGITS, np.full((4, 2), 3), values=True)
    case.refuse("id_negative", ValueError, "ignore_index", _LOGITS, np.full((4, 2), -1), values=True)
    case.refuse("float_ids", TypeError, "integers", _LOGITS, 1.0 * _IDS)
    case.refuse("class_axis_alone", ValueError, "classes", _LOGITS, _IDS, axis=-1)
    case.refuse("class_weight_of_another_length", ValueError, "class_weight", _LOGITS, _IDS, class_weight=np.ones(4))
    case.refuse("class_weight_negative", ValueError, "class_weight", _LOGITS, _IDS, class_weight=-np.ones(3),
                values=True)
    case.refuse("ignored_probabilities", ValueError, "ignore_index", _LOGITS, _SOFT, ignore_index=0)


def _softmax_dice_cases(case: Cases) -> None:
    case.sample("smooth", _LOGITS, _IDS, smooth=1.0)
    case.sample("balanced_classes", _LOGITS[:3], ids([0, 1], [2, 2], [1, 0]), smooth=1.0,
                reduction="mean")
    case.sample("tversky", _LOGITS, _IDS, alpha=0.25, beta=0.75, note="trap: alpha and beta swapped")
    case.sample("tversky_probabilities", _LOGITS, _SOFT, alpha=0.25, beta=0.75)
    case.sample("alpha_of_each_class", _LOGITS, _IDS, alpha=_WEIGHT, beta=floats(1, 0.5, 0.25), reduction="mean")
    case.sample("present_only_weighted", _LOGITS, np.minimum(_IDS, 1), present_only=True, class_weight=_WEIGHT)
    case.edge("class_weight_zero", _LOGITS, _IDS, class_weight=np.zeros(3))


def _generalized_dice_cases(case: Cases) -> None:
    for power in (0, 1):
        case.sample(f"power_{power}", _LOGITS, _IDS, power=power)
    case.refuse("power_negative", ValueError, "power", _LOGITS, _IDS, power=-1)
# fmt: on


def _class_ideal(name: str) -> list[Perfect]:
    target = classes(f"hard {name}", (4, 3, 5), 3)
    return [Perfect((1000 * np.eye(3)[target], target), np.zeros((4, 3)))]


def _classes_last(call: Call) -> tuple[tuple[Any, Any], int]:
    """The arrays with the classes last and a region before them, targets one-hot; and how many axes it has."""
    logits, target = call.arrays
    axes = call.axis if isinstance(call.axis, tuple) else (-2, -1)
    if call.ids:
        wide = call.xp.astype(target, call.xp.int64)[..., None]
        hot = wide == positions(call.xp, logits, axes[-1], wide.dtype)
        target = call.xp.moveaxis(call.xp.astype(hot, logits.dtype), -1, axes[-1])
    to = tuple(range(-len(axes), 0))
    return (call.xp.moveaxis(logits, axes, to), call.xp.moveaxis(target, axes, to)), len(axes) - 1


def _optax_dice(call: Call) -> Said | None:
    if call.options or not call.has("class_weight", "alpha", "beta", "smooth") or _is_of_one_class(call):
        return None
    arrays, count = _classes_last(call)
    keywords = {"smooth": 0.0, **call.parameters, "axis": tuple(range(-1 - count, -1))}
    weight = keywords.pop("class_weight", None)
    if weight is None:
        return Said(arrays, keywords)
    # There, the mean is over all classes, whatever their weights.
    total = call.xp.sum(weight)
    factor = weight.shape[0] / call.xp.where(total == 0, 1.0, total)
    return Said(arrays, {**keywords, "class_weights": weight}, lambda value: value * factor)


def _optax_generalized(call: Call) -> Said | None:
    # Where there is as much of each class, its weights are 1.
    if call.options or not call.has("smooth") or call.arrays[0].ndim != 3 or _is_of_one_class(call):
        return None
    return Said(_classes_last(call)[0], {"smooth": call.parameters.get("smooth", 0.0)})


def _is_of_one_class(call: Call) -> bool:
    """Whether the logits are those of a sigmoid, there."""
    axis = call.axis if isinstance(call.axis, int) else call.axis[-1]
    return bool(call.arrays[0].shape[axis] == 1)


def _is_balanced(case: Case) -> bool:
    logits, ids = case.arrays
    return ids.dtype.kind == "i" and len({int(np.sum(ids == c)) for c in range(logits.shape[-1])}) == 1


SOFTMAX_DICE = Spec(
    loss="softmax_dice",
    arrays=("logits", "target"),
    rowwise=True,
    letters=2,
    ordinary=_labelled,
    exact=_softmax_dice,
    questions=(_class_cases, _softmax_dice_cases),
    ideal=_class_ideal,
    twins=(
        Twin("optax", "dice_loss", _optax_dice),
        Twin(
            "optax", "multiclass_generalized_dice_loss", _optax_generalized, reductions=("mean",), admits=_is_balanced
        ),
    ),
    advice=(
        Advice(
            "segmentation",
            "classes that exclude each other",
            "softmax_dice(logits, class_ids, smooth=1.0, axis=(2, 3, 1))",
            "each class counts the same, whatever its size",
        ),
    ),
)

GENERALIZED_DICE = Spec(
    loss="generalized_dice",
    arrays=("logits", "target"),
    rowwise=True,
    letters=2,
    ordinary=_labelled,
    exact=_generalized_dice,
    questions=(_class_cases, _generalized_dice_cases),
    ideal=_class_ideal,
    advice=(
        Advice(
            "segmentation",
            "classes of very different sizes",
            "generalized_dice(logits, class_ids, axis=(2, 3, 1))",
            "one ratio of all classes, with more weight on small ones",
        ),
    ),
)
