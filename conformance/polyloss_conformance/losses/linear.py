"""Losses of a linear layer's logits."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.arrays import (
    WIDE,
    Shape,
    classes,
    damage,
    entropy,
    floats,
    ids,
    inf,
    mask,
    nan,
    normal,
    simplex,
)
from polyloss_conformance.benchmark import Benchmark, normal32
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import Jet, Rounding, hyperbolic_tangent
from polyloss_conformance.exact.numbers import HUGE, INFINITE, ONE, ZERO, Number, mp
from polyloss_conformance.exact.rules import Local
from polyloss_conformance.exact.softmax import cross_entropy, squared_norm
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Call, Said, Twin, torch

from ._examples import CLASS_WEIGHT, IDS, SOFT

_LAYER = normal("layer", (4, 3))
"""The same for most cases, so that their examples can be one call."""
_HIDDEN, _BIAS = normal("hidden", (6, 3)), normal("bias", (4,))
_FEW = floats([1, 0], [0, 1], [-1, -1])
_ORDER = classes("order", (1000,), 40)


@dataclass
class _Logit:
    """A logit of a linear layer, with its two derivatives by what it was before a cap, and the sizes of both."""

    value: Number
    size: Number
    first: Number = ONE
    second: Number = ZERO
    raw_size: Number = ZERO

    @staticmethod
    def of(hidden: list[Number], weight: list[Number], bias: Number, cap: float | None) -> "_Logit":
        products = [h * w for h, w in zip(hidden, weight, strict=True)]
        raw, size = sum(products, bias), sum(map(abs, products), abs(bias))
        if abs(raw) > INFINITE:
            raw = size = HUGE * mp.sign(raw)
        if cap is None:
            return _Logit(raw, abs(size), raw_size=abs(size))
        c, rounding = mp.mpf(cap), Rounding("logit")
        capped = hyperbolic_tangent(Jet(raw, {0: ONE}, {rounding: ONE}) / c) * c
        first, second = capped.slopes[0], capped.bends.get((0, rounding), ZERO)
        return _Logit(capped.value, abs(capped.value) + abs(size) * first, first, second, abs(size))


def _linear_cross_entropy(
    hidden: list[Number],
    weight: list[list[Number]],
    target: Any,
    bias: list[Number] | None = None,
    class_weight: Any = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    logit_softcap: float | None = None,
) -> Local:
    biases = [ZERO] * len(weight) if bias is None else bias
    logits = [_Logit.of(hidden, row, b, logit_softcap) for row, b in zip(weight, biases, strict=True)]
    values, sizes = [x.value for x in logits], [x.size for x in logits]
    terms = [cross_entropy(values, target, class_weight, label_smoothing, sizes)]
    if z_loss:
        terms.append(squared_norm(values, z_loss, sizes))

    # By logits, and from there by hand: each product in an element of the gradient is rounded, not their sum.
    slopes, scales = [], []
    for c, x in enumerate(logits):
        slope = sum((term.gradients[0][c] for term in terms), ZERO)
        scale = sum((term.gradient_scales[0][c] for term in terms), ZERO)
        slopes.append(slope * x.first)
        scales.append(scale * x.first + abs(slope * x.second) * x.raw_size)

    def times(scale: Number, factor: Number) -> Number:
        # What is asked of 0 times infinity, nobody knows.
        return mp.nan if scale == 0 and abs(factor) >= HUGE else scale * factor

    d = range(len(hidden))
    by_hidden = [sum((g * row[i] for g, row in zip(slopes, weight, strict=True)), ZERO) for i in d]
    by_weight = [[times(g, h) for h in hidden] for g in slopes]
    hidden_scales = [sum((s * abs(row[i]) for s, row in zip(scales, weight, strict=True)), ZERO) for i in d]
    weight_scales = [[s * abs(h) for h in hidden] for s in scales]
    arrays = 3 if bias is None else 4
    return Local(
        sum((term.value for term in terms), ZERO),
        sum((term.scale for term in terms), ZERO),
        [by_hidden, by_weight, terms[0].gradients[1], slopes][:arrays],
        [hidden_scales, weight_scales, terms[0].gradient_scales[1], scales][:arrays],
    )


def _ordinary(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, (*shape, 3)), _LAYER, classes(name + "y", shape, 4)


# fmt: off
def _samples(case: Cases) -> None:
    for reduction in ("none", "mean", "weighted_mean"):
        case.sample(f"class_weight_{reduction}", _HIDDEN, _LAYER, IDS, class_weight=CLASS_WEIGHT,
                    reduction=reduction)
        case.sample(f"class_weight_probabilities_{reduction}", _HIDDEN, _LAYER, SOFT, class_weight=CLASS_WEIGHT,
                    reduction=reduction)
        case.sample(f"bias_{reduction}", _HIDDEN, _LAYER, IDS, bias=_BIAS, reduction=reduction)
    case.sample("one_row", _HIDDEN[0], _LAYER, np.asarray(2), note="a single token: ids have no axis left")
    case.sample("one_row_probabilities", _HIDDEN[0], _LAYER, SOFT[0])
    case.sample("as_many_features_as_classes", _HIDDEN, _LAYER[:3], simplex("soft 3", (6, 3)),
                note="trap: the matrix is not transposed")
    case.sample("many_features", normal("features", (4, 64)), normal("features layer", (4, 64)) / 4, ids(0, 3, 1, 2),
                note="the bound is on the products: their sum may cancel")
    case.sample("probabilities", _HIDDEN, _LAYER, SOFT)
    case.sample("probabilities_bias", _HIDDEN, _LAYER, SOFT, bias=_BIAS)
    case.sample("probabilities_one_hot", _HIDDEN, _LAYER, np.eye(4)[IDS], note="equals class ids")
    case.sample("probabilities_not_normalised", _HIDDEN, _LAYER, 0.5 * SOFT)
    case.sample("ignore_index", _HIDDEN, _LAYER, ids(0, -100, 1, -100, 3, 1), ignore_index=-100, reduction="mean")
    case.sample("ignore_index_none_reduction", _HIDDEN, _LAYER, ids(0, -100, 1, -100, 3, 1), ignore_index=-100)
    case.sample("ignore_index_is_a_class", _HIDDEN, _LAYER, IDS, ignore_index=3, reduction="mean",
                note="trap: the class stays in the softmax")
    case.sample("ignore_index_with_mask", _HIDDEN, _LAYER, ids(0, -1, 1, 2, 3, 1), ignore_index=-1,
                reduction="weighted_mean", where=mask(True, True, False, True, True, True),
                sample_weight=floats(1, 8, 2, 0.5, 1, 3))
    case.sample("label_smoothing", _HIDDEN, _LAYER, IDS, label_smoothing=0.125)
    case.sample("label_smoothing_0.1", _HIDDEN, _LAYER, IDS, label_smoothing=0.1, reduction="mean")
    case.sample("label_smoothing_probabilities", _HIDDEN, _LAYER, SOFT, label_smoothing=0.25)
    case.sample("class_weight_smoothing", _HIDDEN, _LAYER, IDS, class_weight=CLASS_WEIGHT, label_smoothing=0.25,
                reduction="weighted_mean")
    case.sample("z_loss", _HIDDEN, _LAYER, IDS, z_loss=0.25)
    case.sample("z_loss_small", _HIDDEN, _LAYER, IDS, z_loss=1e-4, reduction="mean")
    case.sample("logit_softcap", _HIDDEN, _LAYER, IDS, logit_softcap=1.5)
    case.sample("logit_softcap_z_loss_probabilities", _HIDDEN, _LAYER, SOFT, logit_softcap=2.0, z_loss=0.25)
    case.sample("everything", _HIDDEN, _LAYER, ids(0, -1, 1, 2, 3, 1), bias=_BIAS, class_weight=CLASS_WEIGHT,
                ignore_index=-1, label_smoothing=0.25, z_loss=0.125, logit_softcap=2.0, reduction="weighted_mean",
                sample_weight=floats(1, 8, 2, 0.5, 1, 3), where=mask(True, True, False, True, True, True),
                note="trap: class weights have no part in the z-loss")


def _edges(case: Cases) -> None:
    case.edge("ignore_index_everywhere", _HIDDEN, _LAYER, np.full(6, -1), ignore_index=-1, reduction="mean",
              note="mean 0, not NaN")
    case.edge("ignore_index_everywhere_weighted", _HIDDEN, _LAYER, np.full(6, 7), ignore_index=7,
              reduction="weighted_mean")
    case.edge("ignored_nonfinite",
              *damage((_HIDDEN, _LAYER, ids(0, -1, 1, -1, 3, 1)), mask(True, False, True, False, True, True)),
              ignore_index=-1, reduction="mean", note="NaN in an ignored token leaks into the gradient of the layer")
    case.edge("one_class", _HIDDEN[:3], _LAYER[:1], np.zeros(3, dtype=np.int64))
    case.edge("int32_ids", _HIDDEN, _LAYER, IDS.astype(np.int32), reduction="mean")
    case.edge("uint8_ids", _HIDDEN, _LAYER, IDS.astype(np.uint8), reduction="mean")
    case.edge("class_weight_zero", _HIDDEN, _LAYER, IDS, class_weight=np.zeros(4), reduction="weighted_mean")
    case.edge("class_weight_zero_for_some", _HIDDEN, _LAYER, IDS, class_weight=floats(0, 1, 0, 2),
              reduction="weighted_mean")
    case.edge("zero_hidden", floats([0, 0], [-0.0, 0.0]), _FEW, ids(0, 2), note="equal logits; zero-initialised")
    case.edge("zero_layer", normal("any", (3, 2)), np.zeros((3, 2)), ids(0, 1, 2), note="zero-initialised heads")
    case.edge("extreme_logits", floats([1e4, 0], [-1e4, 0], [0, 1e4], [-5e3, -5e3], [1e4, 1e4]), _FEW,
              ids(0, 1, 0, 2, 1), note="saturated, right and wrong")
    case.edge("confident", floats([17, 0], [50, -20], [0, 9], [-15, -20]), _FEW, ids(0, 0, 1, 2),
              note="built-in: the loss of a confident row cancels")
    case.edge("confidently_wrong", floats([17, 0], [100, 0], [0, 1000]), _FEW, ids(1, 2, 0))
    case.edge("confident_one_hot", floats([17, 0], [50, -20], [0, 9]), _FEW, np.eye(3)[ids(0, 0, 1)])
    case.edge("matching_soft", np.log2(floats([1, 2], [8, 1])), floats([1, 0], [0, 1], [0.5, 0.5]),
              floats([0.25, 0.5, 0.25], [0.5, 0.125, 0.375]),
              note="the gradient cancels where the prediction is nearly right")
    case.edge("cancelling_products", floats([300.25, 300], [-1000, 1000.5]), floats([1, -1], [0.5, -0.5], [1, 1]),
              ids(0, 1), note="logits that are small differences of large products")
    case.edge("huge", floats([1e20, 0], [3e38, 1e38]), floats([1, 0], [0.5, 0], [-0.5, 0.25]), ids(0, 1), dtypes=WIDE)
    case.edge("tiny", floats([1e-20, 0], [1e-38, 0]), floats([1, 0], [0, 1], [-1, 0.5]), ids(0, 1), dtypes=WIDE)
    case.edge("infinite_hidden", floats([inf, 0], [1, 0]), floats([1, 2], [-1, 2], [-2, 1]), ids(0, 1),
              note="the limit of the loss: 0; that of the layer's gradient is asked of nobody")
    case.edge("infinite_hidden_wrong", floats([inf, 0], [1, 0]), floats([1, 2], [-1, 2], [-2, 1]), ids(1, 1),
              note="a loss of +inf")
    case.edge("bias_masks_a_class", floats([1, 0.5], [-2, 0.25], [0, 3]), _FEW, ids(0, 1, 1),
              bias=floats(0.5, 0, -inf))
    case.edge("bias_masks_a_class_smoothing", floats([1, 0.5], [-2, 0.25], [0, 3]), _FEW, ids(0, 1, 1),
              bias=floats(0.5, 0, -inf), label_smoothing=0.25, note="K counts the classes that are not masked")
    case.edge("bias_masks_a_class_soft", floats([1, 0.5], [-2, 0.25]), _FEW, floats([0.25, 0.75, 0], [0, 1, 0]),
              bias=floats(0.5, 0, -inf), note="trap: 0·(-inf)")
    case.edge("bias_masks_the_target", floats([1, 0.5], [-2, 0.25]), _FEW, ids(2, 0), bias=floats(0.5, 0, -inf),
              note="a loss of +inf")
    case.edge("large_bias", floats([1, 0.5], [-2, 0.25]), _FEW, ids(0, 2), bias=floats(1e4, 1e4, 1e4 - 8))
    case.edge("z_loss_large_norm", floats([1e4, 0], [-1e4, 0], [0, 30]), _FEW, ids(0, 1, 2), z_loss=2.0**-10)
    case.edge("z_loss_no_norm", floats([0, 0], [0.5, -0.5]), _FEW, ids(0, 1), z_loss=1.0,
              bias=np.full(3, -np.log(3.0)), note="the norm itself cancels")
    case.edge("softcap_large_logits", floats([1e4, 0], [-1e4, 0], [60, -60], [0, 1e4]), _FEW, ids(0, 1, 2, 1),
              logit_softcap=30.0, note="trap: 1 - tanh² cancels")
    case.edge("softcap_small_logits", floats([1e-3, 0], [3e-4, -1e-4]), _FEW, ids(0, 1), logit_softcap=50.0)
    case.edge("softcap_and_z_loss", floats([100, 0], [-3, 2], [0, 60]), _FEW, ids(0, 1, 2), logit_softcap=4.0,
              z_loss=0.5)
    case.edge("softcap_masked_class", floats([1, 0.5], [-2, 0.25]), _FEW, ids(0, 1), bias=floats(0.5, 0, -inf),
              logit_softcap=4.0, note="no mask any more: its logit is the cap's")
    case.edge("mean_of_1000_tokens", normal("tokens", (40, 3))[_ORDER], _LAYER, classes("tokens", (40,), 4)[_ORDER],
              reduction="mean", note="the gradient of the layer is a sum of many")
    case.edge("mean_of_70000_rows", np.zeros((70_000, 1)), floats([1], [-1]), np.zeros(70_000, dtype=np.int64),
              dtypes=("float16",), reduction="mean")


def _bad_input(case: Cases) -> None:
    case.refuse("label_too_large", ValueError, "target", _HIDDEN, _LAYER, ids(0, 4, 1, 2, 3, 1), values=True)
    case.refuse("label_minus_one", ValueError, "target", _HIDDEN, _LAYER, ids(0, -1, 1, 2, 3, 1), values=True)
    case.refuse("label_minus_100", ValueError, "target", _HIDDEN, _LAYER, ids(0, -100, 1, 2, 3, 1), values=True)
    case.refuse("label_not_ignored", ValueError, "target", _HIDDEN, _LAYER, ids(0, -1, 1, 2, 3, 1), ignore_index=-100,
                values=True)
    case.refuse("float_ids", TypeError, "target", _HIDDEN, _LAYER, IDS.astype(np.float64))
    case.refuse("ids_in_a_column", ValueError, "target", _HIDDEN, _LAYER, IDS.reshape(6, 1))
    case.refuse("ids_one_for_all", ValueError, "target", _HIDDEN, _LAYER, ids(1))
    case.refuse("one_hot_integers", ValueError, "target", _HIDDEN, _LAYER, np.eye(4, dtype=np.int64)[IDS])
    case.refuse("probabilities_too_large", ValueError, "target", _HIDDEN, _LAYER, 2 * SOFT, values=True)
    case.refuse("probabilities_negative", ValueError, "target", _HIDDEN, _LAYER, -SOFT, values=True)
    case.refuse("probabilities_one_row", ValueError, "target", _HIDDEN, _LAYER, SOFT[:1])
    case.refuse("probabilities_of_fewer_classes", ValueError, "target", _HIDDEN, _LAYER, SOFT[:, :3])
    case.refuse("ignore_index_with_probabilities", ValueError, "ignore_index", _HIDDEN, _LAYER, SOFT, ignore_index=0)
    case.refuse("other_hidden_size", ValueError, "weight", _HIDDEN, _LAYER[:, :2], IDS)
    case.refuse("layer_transposed", ValueError, "weight", _HIDDEN, _LAYER.T.copy(), IDS)
    case.refuse("layer_of_one_class_a_vector", ValueError, "weight", _HIDDEN, _LAYER[0], np.zeros(6, dtype=np.int64))
    case.refuse("hidden_without_features", ValueError, "hidden", np.asarray(1.0), _LAYER, IDS)
    case.refuse("no_classes", ValueError, "entries", _HIDDEN, _LAYER[:0], IDS)
    case.refuse("no_features", ValueError, "entries", _HIDDEN[:, :0], _LAYER[:, :0], IDS)
    case.refuse("integer_layer", TypeError, "weight", _HIDDEN, np.ones((4, 3), dtype=np.int64), IDS)
    case.refuse("layer_is_a_list", TypeError, "weight", _HIDDEN, _LAYER.tolist(), IDS)
    case.refuse("bias_too_short", ValueError, "bias", _HIDDEN, _LAYER, IDS, bias=_BIAS[:3])
    case.refuse("bias_per_token", ValueError, "bias", _HIDDEN, _LAYER, IDS, bias=np.ones((6, 4)))
    case.refuse("bias_a_number", TypeError, "bias", _HIDDEN, _LAYER, IDS, bias=1.0)
    case.refuse("bias_of_integers", TypeError, "bias", _HIDDEN, _LAYER, IDS, bias=ids(0, 1, 2, 3))
    case.refuse("class_weight_too_short", ValueError, "class_weight", _HIDDEN, _LAYER, IDS, class_weight=np.ones(3))
    case.refuse("class_weight_per_entry", ValueError, "class_weight", _HIDDEN, _LAYER, IDS,
                class_weight=np.ones((2, 4)))
    case.refuse("class_weight_negative", ValueError, "class_weight", _HIDDEN, _LAYER, IDS,
                class_weight=floats(1, -1, 1, 1), values=True)
    for parameter, bad in (("label_smoothing", -0.1), ("label_smoothing", 1.5), ("z_loss", -1.0), ("z_loss", nan),
                             ("logit_softcap", 0.0), ("logit_softcap", -2.0), ("logit_softcap", nan)):
        wrong: dict[str, Any] = {parameter: bad}
        case.refuse(f"{parameter}_{bad:g}", ValueError, parameter, _HIDDEN, _LAYER, IDS, **wrong)
    for parameter in ("label_smoothing", "z_loss", "logit_softcap"):
        wrong = {parameter: np.ones(4)}
        case.refuse(f"{parameter}_per_class", ValueError, parameter, _HIDDEN, _LAYER, IDS, **wrong)
# fmt: on


def _ideal(name: str) -> list[Perfect]:
    q, hard, same = simplex(f"perfect {name}", (4, 3, 5)), classes(f"perfect {name}", (4, 3), 5), np.eye(5)
    return [
        Perfect((np.log(q), same, q), entropy(q).sum(-1)),
        Perfect((2e4 * np.eye(5)[hard], same, hard), np.zeros((4, 3))),
    ]


def _torch_linear(call: Call) -> Said | None:
    keywords = torch.class_keywords(call, "label_smoothing", "bias")
    if keywords is None:
        return None
    hidden, weight, target = call.arrays
    keywords["linear_bias"] = call.parameters.get("bias")
    if hidden.ndim < 3:
        return Said(call.arrays, keywords)
    xp, rows = call.xp, call.rows
    flat = xp.reshape(target, (-1,) if call.ids else (-1, target.shape[-1]))
    arrays = xp.reshape(hidden, (-1, hidden.shape[-1])), weight, flat
    return Said(arrays, keywords, lambda value: xp.reshape(value, rows) if value.ndim else value)


def _tokens(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    tokens, hidden, vocabulary = shape
    weight = normal32(rng, (vocabulary, hidden)) / np.float32(math.sqrt(hidden))
    return normal32(rng, (tokens, hidden)), weight, rng.integers(vocabulary, size=tokens)


LINEAR_CROSS_ENTROPY = Spec(
    loss="linear_cross_entropy",
    arrays=("hidden", "weight", "target"),
    rowwise=True,
    axis=False,
    differentiable=(0, 1, 2, "bias"),
    shared=(1, "bias"),
    ordinary=_ordinary,
    exact=_linear_cross_entropy,
    questions=(_samples, _edges, _bad_input),
    ideal=_ideal,
    twins=(Twin("torch", "linear_cross_entropy", _torch_linear, reductions=REDUCTIONS),),
    advice=(
        Advice(
            "multi-class",
            "a large vocabulary: language models",
            "linear_cross_entropy(hidden, weight, class_ids)",
            "the logits of all tokens never exist at once",
        ),
    ),
    benchmark=Benchmark(
        make=_tokens,
        shapes=((256, 64, 1024),),  # tokens, hidden, vocabulary
        quick=((256, 64, 1024),),
        named=((2048, 1024, 131072),),
        growth={0: (64, 64, 64), 2: (64, 64, 64)},
        wanted=(0, 1),
        logits_of="cross_entropy",
        size=lambda shape: shape[0] * shape[2],
    ),
)
