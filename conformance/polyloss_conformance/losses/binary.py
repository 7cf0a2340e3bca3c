"""Losses of two classes, or of several labels for each example."""

from functools import partial
from typing import Any

import numpy as np

from polyloss_conformance.arrays import DOUBLE, SINGLE, WIDE, Shape, bits, entropy, floats, inf, normal, uniform
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact.jets import logarithm, logarithm_of_rest, logistic, power, soft_plus
from polyloss_conformance.exact.numbers import ONE, ZERO, Number, mp
from polyloss_conformance.exact.rules import Local, is_exact, label_size, of_score
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Call, Said, Twin, keras, labels_are_hard, optax, tf, torch

from ._examples import ALL_SIZES, ELEMENTS_GROW, HARD, X, of_labels

_P = uniform("p", (4, 3), 0.01, 0.99)
_TARGETS = floats(0, 1, 0.5, 0.25)


# --------------------------------------------------------------------------------------------------------------------
# Of a logit


@of_score
def _with_logits(x: Any, t: Any, pos_weight: Any = None, label_smoothing: Any = ZERO) -> Any:
    t = t * (1 - label_smoothing) + label_smoothing / 2
    positive = t * soft_plus(-x)
    return (positive if pos_weight is None else positive * pos_weight) + (1 - t) * soft_plus(x)


def _logit_and_label(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, shape, 3.0), uniform(name + "y", shape)


# fmt: off
def _with_logits_cases(case: Cases) -> None:
    case.sample("hard_targets", X, HARD)
    case.sample("pos_weight", X, HARD, pos_weight=3.0)
    case.sample("pos_weight_soft", *case.ordinary((4, 3)), pos_weight=0.25, reduction="mean")
    case.sample("pos_weight_per_label", X, HARD, pos_weight=floats(0.5, 3, 1))
    case.sample("pos_weight_per_label_mean", *case.ordinary((2, 3, 2)), pos_weight=floats(0.5, 3), reduction="mean",
                note="trap: it is not in the denominator")
    case.sample("pos_weight_weighted_mean", X, HARD, pos_weight=3.0, reduction="weighted_mean")
    case.sample("label_smoothing", X, HARD, label_smoothing=0.25)
    case.sample("label_smoothing_soft", *case.ordinary((4, 3)), label_smoothing=0.125, reduction="mean")
    case.sample("label_smoothing_pos_weight", X, HARD, label_smoothing=0.25, pos_weight=floats(0.5, 3, 1))
    case.edge("label_smoothing_confident", floats(20, 50, -20, 1000), floats(1, 1, 0, 0), label_smoothing=0.125)
    case.edge("pos_weight_logit_zero", floats(0, 0, 0), floats(1, 0, 0.5), pos_weight=3.0,
              note="built-in: gradient 0 and 1 instead of -1.5 and 0.5")
    case.edge("pos_weight_zero", floats(0, 20, -20), floats(1, 1, 0.5), pos_weight=0.0)
    case.refuse("target_two", ValueError, "target", floats(0.5, 1), floats(1, 2), values=True,
                note="trap: a negative loss")
    case.refuse("target_minus_one", ValueError, "target", floats(0.5, 1), floats(1, -1), values=True)
    case.refuse("pos_weight_negative", ValueError, "pos_weight", X, HARD, pos_weight=-1.0)
    case.refuse("pos_weight_negative_array", ValueError, "pos_weight", X, HARD, pos_weight=floats(1, -1, 1),
                values=True)
    case.refuse("pos_weight_wrong_length", ValueError, "pos_weight", X, HARD, pos_weight=np.ones(4))
    case.refuse("label_smoothing_negative", ValueError, "label_smoothing", X, HARD, label_smoothing=-0.1)
    case.refuse("label_smoothing_above_one", ValueError, "label_smoothing", X, HARD, label_smoothing=1.5)


def _extreme_logits(case: Cases) -> None:
    case.edge("logit_zero", np.zeros(4), _TARGETS, note="trap: the textbook softplus has slope 0 or 1 at 0")
    case.edge("confidently_right", floats(-9.5, -10, -15, -17, 10, 15, 17, 40), floats(0, 0, 0, 0, 1, 1, 1, 1),
              note="built-in: 0 from ±17 on")
    case.edge("confidently_right_wide", floats(-80, 30, 60, 85), floats(0, 1, 1, 1), dtypes=WIDE)
    case.edge("confidently_wrong", floats(-12, -50, -88.75, -100, -1000, -1e4, 12, 89, 1e4),
              floats(1, 1, 1, 1, 1, 1, 0, 0, 0), note="built-in: inf, or 16.118 with gradient 0")
    case.edge("saturated_soft", floats(50, -50, 1000, -1000, 1e4), floats(0.5, 0.5, 0.75, 0.25, 0.125))
    case.edge("infinite_logit_right", floats(inf, -inf), floats(1, 0), note="built-in: NaN; the limit is 0")
    case.edge("infinite_logit_wrong", floats(-inf, inf), floats(1, 0))
    case.edge("infinite_logit_soft", floats(-inf, inf), floats(0.5, 0.25))
    case.edge("huge", floats(1e20, -1e20, 3e38), floats(0, 1, 0.5), dtypes=WIDE)
    case.edge("tiny", floats(1e-20, -1e-20, 1e-38), floats(0, 1, 0.5), dtypes=WIDE)


def _matching(case: Cases) -> None:
    case.edge("matching_soft", floats(0, 1.0986328125, -1.0986328125), floats(0.5, 0.75, 0.25),
              note="the gradient cancels where the prediction is right")
# fmt: on


def _with_logits_ideal(name: str) -> list[Perfect]:
    soft, hard = uniform(f"perfect {name}", (4, 3), 0.05, 0.95), bits(f"hard {name}", (4, 3))
    return [
        Perfect((np.log(soft) - np.log1p(-soft), soft), entropy(soft) + entropy(1 - soft)),
        Perfect((2e4 * (2 * hard - 1), hard), np.zeros((4, 3))),
    ]


def _torch_logits(call: Call) -> Said | None:
    if call.parameters.get("label_smoothing"):
        return None
    said = torch.elements(call, weight="mean", pos_weight="pos_weight")
    if said is not None and isinstance(said.keywords.get("pos_weight"), float):
        weight = call.xp.full_like(call.arrays[0], said.keywords["pos_weight"])
        return Said(said.args, {**said.keywords, "pos_weight": weight})
    return said


def _torch_soft_margin(call: Call) -> Said | None:
    if not call.has() or call.reduction == "weighted_mean":
        return None
    logits, target = call.arrays
    return Said((logits, 2 * target - 1), {"reduction": call.reduction})


def _torch_multilabel(call: Call) -> Said | None:
    said = torch.elements(call, weight="mean")
    if said is None or call.reduction == "weighted_mean":
        return None
    if call.reduction == "none" or call.arrays[0].ndim < 2:
        # Of a single class.
        weight = said.keywords.get("weight")
        one = {} if weight is None else {"weight": weight[..., None]}
        return Said([array[..., None] for array in said.args], {**said.keywords, **one})
    classes = call.arrays[0].shape[-1] if call.reduction == "sum" else 1
    return Said(said.args, said.keywords, lambda value: value * classes)


def _tf_weighted(call: Call) -> Said | None:
    weight = call.parameters.get("pos_weight")
    if weight is None or not call.has("pos_weight"):
        return None
    return Said((), {"labels": call.arrays[1], "logits": call.arrays[0], "pos_weight": weight})


def _tf_noise_contrastive(call: Call) -> Said | None:
    if not call.has():
        return None
    # The right class of a row has the logit x or -x, and what is sampled a logit whose loss is 0.
    (x, target), xp = call.arrays, call.xp
    rows, one = xp.reshape(x, (-1, 1)), xp.ones_like(xp.reshape(x, (-1,))[:1])
    labels = xp.astype(xp.reshape(target, (-1, 1)) == 0, xp.int64)
    layer, biases = xp.stack([one, -one, 0 * one]), xp.concat([0 * one, 0 * one, -1e4 * one])
    sample = {"sampled_values": (xp.full_like(labels[0, :], 2), xp.ones_like(rows), one)}
    return Said((layer, biases, labels, rows, 1, 3), sample, lambda value: xp.reshape(value, tuple(x.shape)))


def _are_finite_and_hard(case: Case) -> bool:
    return labels_are_hard(case) and bool(np.isfinite(case.arrays[0]).all())


BINARY_CROSS_ENTROPY_WITH_LOGITS = Spec(
    loss="binary_cross_entropy_with_logits",
    arrays=("logits", "target"),
    ordinary=_logit_and_label,
    exact=_with_logits,
    questions=(_with_logits_cases, _extreme_logits, _matching),
    ideal=_with_logits_ideal,
    twins=(
        Twin("torch", "binary_cross_entropy_with_logits", _torch_logits, reductions=REDUCTIONS),
        Twin(
            "torch",
            "soft_margin_loss",
            _torch_soft_margin,
            reductions=REDUCTIONS[:3],
            constants=(1,),
            admits=labels_are_hard,
        ),
        Twin("torch", "multilabel_soft_margin_loss", _torch_multilabel, reductions=REDUCTIONS[:3]),
        Twin(
            "keras",
            "binary_crossentropy",
            lambda call: keras.elements(call, "label_smoothing", from_logits=True),
            variant="from_logits=True",
        ),
        Twin("optax", "sigmoid_binary_cross_entropy", optax.plain),
        Twin("tf", "sigmoid_cross_entropy_with_logits", tf.from_logits),
        Twin("tf", "nce_loss", _tf_noise_contrastive, dtypes=SINGLE, constants=(1,), admits=_are_finite_and_hard),
        Twin("tf", "weighted_cross_entropy_with_logits", _tf_weighted),
    ),
    advice=(
        Advice(
            "binary",
            "a logit for each example",
            "binary_cross_entropy_with_logits(logits, target)",
            "right to the last place for any logit",
        ),
        Advice(
            "multi-label",
            "several labels for each example",
            "binary_cross_entropy_with_logits(logits, target)",
            "one logit for each label; the mean is over all labels",
        ),
        Advice(
            "class imbalance",
            "rare positives",
            "binary_cross_entropy_with_logits(logits, target, pos_weight=w)",
            "a weight for the positives",
        ),
    ),
    benchmark=of_labels(**ALL_SIZES, sample=True, growth=ELEMENTS_GROW),
)


@of_score
def _sigmoid_focal(x: Any, t: Any, alpha: Any = None, gamma: Any = 2) -> Any:
    p, q = logistic(x), logistic(-x)
    wrong = p * (1 - t) + q * t
    cross_entropy = t * soft_plus(-x) + (1 - t) * soft_plus(x)
    loss = power(wrong, gamma) * cross_entropy
    return loss if alpha is None else (alpha * t + (1 - alpha) * (1 - t)) * loss


# fmt: off
def _sigmoid_focal_cases(case: Cases) -> None:
    for gamma in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        case.sample(f"gamma_{gamma:g}", X, HARD, gamma=gamma)
        case.sample(f"gamma_{gamma:g}_soft", *case.ordinary((4, 3)), gamma=gamma, alpha=0.25)
        case.edge(f"gamma_{gamma:g}_saturated", floats(20, 30, 80, -80, 1e4), floats(1, 1, 1, 0, 1),
                  gamma=gamma, note="built-in: gradient NaN for gamma < 1; 0⁰ for gamma = 0")
        case.edge(f"gamma_{gamma:g}_infinite", floats(inf, -inf), floats(1, 0), gamma=gamma)
    case.sample("alpha", X, HARD, alpha=0.25, note="trap: alpha for t=1, 1 - alpha for t=0")
    case.sample("alpha_per_label", X, HARD, alpha=floats(0.25, 0.5, 1))
    case.sample("alpha_zero", X, HARD, alpha=0.0)
    case.sample("alpha_one", X, HARD, alpha=1.0)
    case.sample("soft_targets", floats(2, -1, 0.5), floats(0.875, 0.25, 0.5),
                note="trap: p_t is interpolated, not exp(-BCE)")
    case.refuse("gamma_negative", ValueError, "gamma", X, HARD, gamma=-1.0)
    case.refuse("alpha_above_one", ValueError, "alpha", X, HARD, alpha=1.5)
    case.refuse("alpha_negative", ValueError, "alpha", X, HARD, alpha=-1.0,
                note="some libraries take -1 for none")
    case.refuse("target_two", ValueError, "target", floats(0.5, 1), floats(1, 2), values=True)
# fmt: on


def _sigmoid_focal_ideal(name: str) -> list[Perfect]:
    hard = bits(f"hard {name}", (4, 3))
    return [Perfect((2e4 * (2 * hard - 1), hard), np.zeros((4, 3)))]


def _keras_sigmoid_focal(call: Call) -> Said | None:
    said = keras.elements(call, "alpha", "gamma", from_logits=True)
    if said is None or call.parameters.get("alpha") is None:
        return said
    return Said(said.args, {**said.keywords, "apply_class_balancing": True})


SIGMOID_FOCAL = Spec(
    loss="sigmoid_focal",
    arrays=("logits", "target"),
    ordinary=_logit_and_label,
    exact=_sigmoid_focal,
    questions=(_extreme_logits, _sigmoid_focal_cases),
    ideal=_sigmoid_focal_ideal,
    twins=(
        Twin("keras", "binary_focal_crossentropy", _keras_sigmoid_focal, variant="from_logits=True"),
        Twin("optax", "sigmoid_focal_loss", lambda call: optax.plain(call, "alpha", "gamma")),
    ),
    advice=(
        Advice(
            "class imbalance",
            "many easy negatives",
            "sigmoid_focal(logits, target, alpha=0.25, gamma=2.0)",
            "easy examples count less",
        ),
    ),
    benchmark=of_labels(keywords={"alpha": 0.25, "gamma": 2.0}),
)


# --------------------------------------------------------------------------------------------------------------------
# Of a probability


def _binary_cross_entropy(p: Number, target: Number, clip: float | None = None) -> Local:
    # By hand where a jet cannot tell: a clip's upper bound is rounded itself, and slopes at the ends are infinite.
    t = target
    if clip is not None:
        low, high = mp.mpf(clip), 1 - mp.mpf(clip)
        if not low < p < high:
            q = low if p <= low else high
            value = -(t * mp.log(q) + (1 - t) * mp.log(1 - q))
            slope = mp.log1p(-q) - mp.log(q)
            size = ZERO if is_exact(clip) else q  # of the bound's own rounding
            scale = value + size * abs((1 - t) / (1 - q) - t / q) + label_size(t) * abs(slope)
            slope_scale = abs(slope) + size / (q * (1 - q))
            return Local(value, scale, [ZERO, slope], [ZERO, slope_scale], p in (low, high))
    if p in (0, 1):
        right = t == p
        outward = ONE if p == 0 else -ONE
        value, slope = (ZERO, outward) if right else (mp.inf, -outward * mp.inf)
        return Local(value, value, [slope, mp.nan], [abs(slope), mp.nan])
    return _between_the_ends(p, t)


@of_score
def _between_the_ends(p: Any, t: Any) -> Any:
    return -(t * logarithm(p) + (1 - t) * logarithm_of_rest(p))


def _probability_and_label(name: str, shape: Shape) -> tuple[Any, ...]:
    return uniform(name, shape, 0.03, 0.97), uniform(name + "y", shape)


# fmt: off
def _binary_cross_entropy_cases(case: Cases) -> None:
    case.sample("hard_targets", _P, HARD)
    case.sample("multilabel_mean", _P, HARD, reduction="mean",
                note="trap: the mean is over all labels of all examples")
    for clip in (2.0**-10, 2.0**-7, 0.25):
        case.sample(f"clip_{clip:g}", _P, HARD, clip=clip, reduction="mean")
        case.edge(f"clip_{clip:g}_ends", floats(0, 0, 1, 1, 2**-9, 1 - 2**-8),
                  floats(0, 1, 0, 1, 1, 0), clip=clip, note="the clipped function is flat out there")
    case.edge("clip_at_its_bound", floats(0.25, 0.75, 0.5), floats(1, 0, 1), clip=0.25,
              note="a kink: 0")
    case.edge("ends_right", floats(0, 1), floats(0, 1),
              note="built-in: value 0, gradient 1 and -1. NaN in float16")
    case.edge("ends_wrong", floats(0, 1, 0, 1), floats(1, 0, 0.5, 0.5),
              note="built-in: +inf and an infinite slope, not 16.118 and 0")
    case.edge("close_to_the_ends", floats(2**-10, 1 - 2**-8, 2**-14, 1 - 2**-7), floats(1, 0, 1, 0))
    case.edge("tiny_probability", floats(1e-8, 1e-20, 1e-30, 1e-37), floats(1, 1, 0, 0.5), dtypes=WIDE,
              note="built-in: log clamped, slope clamped at 1e12")
    case.edge("tiny_probability_double", floats(1e-50, 1e-20, 1e-300), floats(1, 1, 1), dtypes=DOUBLE,
              note="built-in: 100 instead of 115.13")
    case.edge("matching", floats(0.5, 0.25, 0.75), floats(0.5, 0.25, 0.75), note="a zero of the slope")
    for bad in (1.5, -0.25):
        case.refuse(f"probability_{bad:g}", ValueError, "probabilities", floats(0.5, bad),
                    floats(1, 1), values=True, note="trap: clipped silently")
    case.refuse("logits_by_mistake", ValueError, "probabilities", X, HARD, values=True)
    for clip in (-0.1, 0.75):
        case.refuse(f"clip_{clip:g}", ValueError, "clip", _P, HARD, clip=clip)
# fmt: on


def _binary_cross_entropy_ideal(name: str) -> list[Perfect]:
    soft, hard = uniform(f"perfect {name}", (4, 3), 0.05, 0.95), bits(f"hard {name}", (4, 3))
    return [
        Perfect((soft, soft), entropy(soft) + entropy(1 - soft)),
        Perfect((hard, hard), np.zeros((4, 3)), stationary=False),
    ]


def _keras_probabilities(call: Call) -> Said | None:
    return None if call.parameters.get("clip") else keras.elements(call)


def _keras_two_classes(call: Call, *, sparse: bool) -> Said | None:
    """A probability as the second of two."""
    if not call.has() or call.options:
        return None
    p, t = call.arrays
    columns = call.xp.stack([1 - p, p], axis=-1)
    if sparse:
        return Said((call.xp.astype(t, call.xp.int64), columns), {})
    return Said((call.xp.stack([1 - t, t], axis=-1), columns), {})


def _complement_is_exact(case: Case) -> bool:
    """Whether ``1 - p`` loses nothing where it counts."""
    p, t = (np.asarray(a) for a in case.at("float32").arrays)
    one = np.float32(1)
    return bool(np.all(((one - (one - p) == p) | (t == 1)) & (one - (one - t) == t)))


BINARY_CROSS_ENTROPY = Spec(
    loss="binary_cross_entropy",
    arrays=("probabilities", "target"),
    ordinary=_probability_and_label,
    exact=_binary_cross_entropy,
    questions=(_binary_cross_entropy_cases,),
    ideal=_binary_cross_entropy_ideal,
    twins=(
        Twin("torch", "binary_cross_entropy", partial(torch.elements, weight="mean"), reductions=REDUCTIONS),
        Twin("keras", "binary_crossentropy", _keras_probabilities),
        Twin(
            "keras",
            "categorical_crossentropy",
            partial(_keras_two_classes, sparse=False),
            dtypes=SINGLE,
            admits=_complement_is_exact,
        ),
        Twin(
            "keras",
            "sparse_categorical_crossentropy",
            partial(_keras_two_classes, sparse=True),
            dtypes=SINGLE,
            constants=(1,),
            admits=lambda case: _complement_is_exact(case) and labels_are_hard(case),
        ),
    ),
    advice=(
        Advice(
            "binary",
            "a probability for each example",
            "binary_cross_entropy(probabilities, target)",
            "infinite where it is; logits are safer",
        ),
    ),
)
