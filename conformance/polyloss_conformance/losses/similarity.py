"""Losses of distances between embeddings."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss.core.backend import backend_of
from polyloss_conformance.arrays import WIDE, Shape, bits, floats, inf, normal, uniform
from polyloss_conformance.benchmark import Benchmark, normal32
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import minimum, norm, positive_part
from polyloss_conformance.exact.numbers import ONE
from polyloss_conformance.exact.rules import of_differences, of_score
from polyloss_conformance.spec import Advice, Laws, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Array, Call, Said, Twin, labels_are_hard

from ._examples import CUBE, ROWS_GROW

_D = uniform("distance", (4, 3), 0.0, 2.0)
_PAIRS = bits("pairs", (4, 3))
_E1 = normal("e1", (6, 4))
_E2 = _E1 + normal("e2", (6, 4), 0.5)
_PAIR = bits("pair", (6,))
_CUBE2 = CUBE + normal("cube2", CUBE.shape, 0.4)


# --------------------------------------------------------------------------------------------------------------------
# Pairs


def _pair(d: Any, t: Any, margin: Any = ONE, similar_label: Any = 1, factor: Any = 0.5, power: Any = 2) -> Any:
    similar = t if similar_label == 1 else 1 - t
    missing = positive_part(margin - d)
    near, far = (d, missing) if power == 1 else (d * d, missing * missing)
    return (similar * near + (1 - similar) * far) * factor


# fmt: off
def _pairs(case: Cases, *arrays: Any) -> None:
    for power in (1, 2):
        for similar in (0, 1):
            case.sample(f"power_{power}_similar_{similar}", *arrays, power=power, similar_label=similar,
                        note="trap: two polarities, a square or not")
    for margin in (0.25, 2.0):
        case.sample(f"margin_{margin:g}", *arrays, margin=margin)
    for factor in (1.0, 2.0):
        case.sample(f"factor_{factor:g}", *arrays, factor=factor, reduction="mean",
                    note="trap: a factor 1/2 or not")
    case.sample("soft_labels", *arrays[:-1], uniform("soft pairs", arrays[-1].shape))
    case.sample("soft_labels_reversed", *arrays[:-1], uniform("soft pairs", arrays[-1].shape), similar_label=0,
                power=1)
    for bad in (0.0, -1.0):
        case.refuse(f"margin_{bad:g}", ValueError, "margin", *arrays, margin=bad)
        case.refuse(f"factor_{bad:g}", ValueError, "factor", *arrays, factor=bad)
    case.refuse("power_3", ValueError, "power", *arrays, power=3)
    case.refuse("similar_label_2", ValueError, "similar_label", *arrays, similar_label=2)
    case.refuse("label_two", ValueError, "target", *arrays[:-1], 2 * np.ones(arrays[-1].shape), values=True)
    case.refuse("label_minus_one", ValueError, "target", *arrays[:-1], -np.ones(arrays[-1].shape), values=True,
                note="trap: ±1 labels of other losses")
# fmt: on


def _distance_and_label(name: str, shape: Shape) -> tuple[Any, ...]:
    return uniform(name, shape, 0.0, 2.0), bits(name + "y", shape)


# fmt: off
def _contrastive_cases(case: Cases) -> None:
    _pairs(case, _D, _PAIRS)
    for power in (1, 2):
        case.edge(f"at_zero_power_{power}", floats(0, 0, 0), floats(1, 0, 0.5), power=power,
                  note="trap: the slope at distance 0")
        case.edge(f"at_the_margin_power_{power}", floats(1, 1, 1), floats(1, 0, 0.5), power=power)
        case.edge(f"around_the_margin_power_{power}", floats(1 - 2**-7, 1 + 2**-6, 5, 1000), floats(0, 0, 0, 0),
                  power=power)
        case.edge(f"far_and_dissimilar_power_{power}", floats(1e25, 3e38), floats(0, 0), power=power,
                  dtypes=WIDE, note="exactly 0: zero times a square that overflows is NaN")
        case.edge(f"huge_power_{power}", floats(1e18, 1e18), floats(0, 1), power=power, dtypes=WIDE)
    case.sample("known_values", floats(0.5, 0.5), floats(1, 0), note="trap: 0.125 each")
    case.refuse("negative_distance", ValueError, "distance", floats(0.5, -0.5), floats(1, 0), values=True)
# fmt: on


def _contrastive_ideal(name: str) -> list[Perfect]:
    hard = bits(f"hard {name}", (4, 3))
    return [Perfect((1.5 * (1 - hard), hard), np.zeros((4, 3)))]


def _torch_hinge_embedding(call: Call) -> Said | None:
    parameters = {"margin": 1.0, "similar_label": 1, "factor": 0.5, "power": 2, **call.parameters}
    if call.options or parameters["power"] != 1 or call.reduction == "weighted_mean":
        return None
    distance, target = call.arrays
    label = 2 * target - 1 if parameters["similar_label"] == 1 else 1 - 2 * target
    keywords = {"margin": parameters["margin"], "reduction": call.reduction}
    return Said((distance, label), keywords, lambda value: value * parameters["factor"])


CONTRASTIVE = Spec(
    loss="contrastive",
    arrays=("distance", "target"),
    ordinary=_distance_and_label,
    exact=of_score(_pair),
    questions=(_contrastive_cases,),
    ideal=_contrastive_ideal,
    twins=(
        Twin(
            "torch",
            "hinge_embedding_loss",
            _torch_hinge_embedding,
            reductions=REDUCTIONS[:3],
            constants=(1,),
            admits=labels_are_hard,
        ),
    ),
    advice=(
        Advice(
            "similarity",
            "distances of pairs",
            "contrastive(distance, same)",
            "the same, where the distances are known",
        ),
    ),
)


@of_differences((0, 1))
def _contrastive_embedding(between: Any, target: Any, **parameters: Any) -> Any:
    return _pair(norm(between), target, **parameters)


def _embeddings_and_label(name: str, shape: Shape) -> tuple[Any, ...]:
    x1 = normal(name, (*shape, 5))
    return x1, x1 + normal(name + "2", (*shape, 5), 0.4), bits(name + "y", shape)


# fmt: off
def _contrastive_embedding_cases(case: Cases) -> None:
    _pairs(case, _E1, _E2, _PAIR)
    case.sample("feature_axis_1", CUBE, _CUBE2, bits("cube pairs", (2, 3)), axis=1)
    case.sample("feature_axis_0", _E1.T.copy(), _E2.T.copy(), _PAIR, axis=0, reduction="mean")
    case.sample("one_pair", _E1[0], _E2[0], np.asarray(1.0))
    for power in (1, 2):
        case.edge(f"identical_points_power_{power}", floats([1, 2], [0, 0], [-3, 0.5]),
                  floats([1, 2], [0, 0], [-3, 0.5]), floats(1, 0, 0.5), power=power,
                  note="trap: the gradient of a root at 0 is NaN")
        case.edge(f"tiny_power_{power}", floats([1e-20, 2e-20], [3e-25, 0]), np.zeros((2, 2)),
                  floats(0, 0), power=power, dtypes=WIDE, note="built-in: the square underflows")
    case.edge("huge", floats([1e20, 2e20], [3e37, -1e37]), np.zeros((2, 2)), floats(0, 1), power=1,
              dtypes=WIDE, note="built-in: the square overflows")
    case.edge("at_the_margin", floats([3, 4], [0, 5]), np.zeros((2, 2)), floats(0, 0), power=1,
              margin=5.0)
    case.edge("one_feature", floats([1], [-0.5], [0]), floats([0.5], [0.5], [0.25]), floats(1, 0, 0))
    case.refuse("other_features", ValueError, "shape", _E1, _E2[:, :3], _PAIR)
    case.refuse("target_in_a_column", ValueError, "target", _E1, _E2, _PAIR.reshape(6, 1))
# fmt: on


def _contrastive_embedding_ideal(name: str) -> list[Perfect]:
    rows, hard = normal(f"rows {name}", (4, 3, 5)), bits(f"hard {name}", (4, 3))
    return [Perfect((rows, rows + 3 * (1 - hard)[..., None], hard), np.zeros((4, 3)))]


CONTRASTIVE_EMBEDDING = Spec(
    loss="contrastive_embedding",
    arrays=("x1", "x2", "target"),
    rowwise=True,
    differentiable=(0, 1, 2),
    ordinary=_embeddings_and_label,
    exact=_contrastive_embedding,
    questions=(_contrastive_embedding_cases,),
    ideal=_contrastive_embedding_ideal,
    laws=Laws(symmetric=True),
    advice=(
        Advice(
            "similarity",
            "pairs of embeddings",
            "contrastive_embedding(x1, x2, same)",
            "pulls pairs together, pushes others a margin apart",
        ),
    ),
    benchmark=Benchmark(wanted=(0, 1)),
)


# --------------------------------------------------------------------------------------------------------------------
# Triplets

_POSITIVE = _E1 + normal("positive", _E1.shape, 0.6)
_NEGATIVE = _E1 + normal("negative", _E1.shape, 0.8)
_TRIPLET = (_E1, _POSITIVE, _NEGATIVE)


@of_differences((0, 1), (0, 2), (1, 2))
def _triplet_margin(
    near: Any, far: Any, other: Any, margin: Any = ONE, p: Any = 2, swap: bool = False, squared: bool = False
) -> Any:
    distances = [norm(between, p, squared=squared) for between in (near, far, other)]
    return positive_part(distances[0] - (minimum(distances[1:]) if swap else distances[1]) + margin)


def _triplet(name: str, shape: Shape) -> tuple[Any, ...]:
    anchor = normal(name, (*shape, 5))
    return anchor, anchor + normal(name + "p", (*shape, 5), 0.7), anchor + normal(name + "n", (*shape, 5), 0.7)


# fmt: off
def _triplet_margin_cases(case: Cases) -> None:
    for margin in (0.0, 0.25, 1.0, 4.0):
        case.sample(f"margin_{margin:g}", *_TRIPLET, margin=margin)
    for p in (1.0, 1.5, 2.0, 3.0, 4.0):
        for swap in (False, True):
            case.sample(f"p_{p:g}{'_swap' * swap}", *_TRIPLET, p=p, swap=swap, margin=2.0)
    for swap in (False, True):
        case.sample(f"squared{'_swap' * swap}", *_TRIPLET, squared=True, swap=swap, margin=2.0,
                    note="trap: squared distance or distance")
    case.sample("squared_p_1", *_TRIPLET, squared=True, p=1.0, margin=2.0)
    case.sample("p_inf", *_TRIPLET, p=inf, margin=2.0)
    case.sample("p_inf_swap_squared", *_TRIPLET, p=inf, swap=True, squared=True, margin=2.0)
    case.edge("p_inf_tie", floats([0, 0, 0]), floats([2, -2, 1]), floats([1, 0, 0.5]), p=inf, margin=2.0,
              note="coordinates that tie share the slope")
    case.sample("p_integer", *_TRIPLET, p=2, margin=2.0, reduction="mean")
    case.sample("feature_axis_1", CUBE, _CUBE2, CUBE - 0.75, axis=1, margin=2.0)
    case.sample("feature_axis_0", *(array.T.copy() for array in _TRIPLET), axis=0, margin=2.0,
                reduction="mean")
    case.sample("one_triplet", *(array[0] for array in _TRIPLET), margin=4.0)
    case.sample("swap_matters", floats([0, 0], [0, 0]), floats([3, 0], [1, 0]), floats([4, 0], [0, 2]),
                swap=True, margin=4.0)
    case.edge("known_p_1", floats([-3, 1]), floats([0, 0]), floats([10, 0]), p=1.0, margin=20.0,
              note="built-in: 30 for signed differences, exactly 10")
    case.edge("known_p_3", floats([-3, 1]), floats([0, 0]), floats([10, 0]), p=3.0, margin=20.0,
              note="built-in: NaN, exactly 10.04")
    for margin in (1.0, 0.0):
        case.edge(f"identical_points_margin_{margin:g}", floats([1, 2], [0, 0]), floats([1, 2], [0, 0]),
                  floats([1, 2], [0, 0]), margin=margin,
                  note="built-in: with eps in the difference ±1/√D, without NaN; here 0")
    for p in (1.0, 1.5, 2.0, 3.0):
        case.edge(f"anchor_is_positive_p_{p:g}", floats([1, 2, 0]), floats([1, 2, 0]),
                  floats([1.5, 2, 0.25]), p=p, margin=2.0, note="trap: the norm at the zero vector")
        case.edge(f"anchor_is_negative_p_{p:g}", floats([1, 2, 0]), floats([1.5, 2, 0.25]),
                  floats([1, 2, 0]), p=p, margin=2.0)
        case.edge(f"zero_coordinate_p_{p:g}", floats([1, 2, 0]), floats([1.5, 2, 1]), floats([1, 3, 0.5]),
                  p=p, margin=2.0, note="a difference of 0 in one coordinate")
    case.edge("anchor_is_positive_squared", floats([1, 2, 0]), floats([1, 2, 0]), floats([1.5, 2, 0.25]),
              squared=True, margin=2.0, note="no kink: the square is smooth")
    case.edge("at_the_margin", floats([0, 0], [1, 1]), floats([3, 4], [1, 3]), floats([0, 6], [4, 1]),
              note="a hinge exactly at 0")
    case.edge("satisfied", floats([0, 0], [1, 1]), floats([1, 0], [1, 1]), floats([9, 0], [50, 1]))
    case.edge("swap_tie", floats([0, 0]), floats([2, 0]), floats([1, 3]), swap=True, margin=4.0,
              note="a tie of the minimum: shared equally")
    case.edge("huge", floats([0, 0], [0, 0]), floats([2e19, 0], [3e19, 4e19]), floats([3e19, 0], [1e19, 0]),
              dtypes=WIDE, note="built-in: inf - inf")
    case.edge("tiny", floats([0, 0]), floats([1e-20, 2e-20]), floats([3e-20, 0]), margin=2.0**-65,
              dtypes=WIDE, note="built-in: the square underflows")
    case.edge("tiny_distances", floats([0, 0]), floats([1e-4, 0]), floats([0, 3e-4]), margin=1.0,
              note="built-in: eps under the root makes 1e-4 to 1.005e-3")
    case.edge("half_range", floats([0, 0]), floats([300, 400]), floats([250, -100]), margin=2.0,
              note="the square overflows in float16")
    case.edge("p_3_huge", floats([0, 0]), floats([2e19, 1e19]), floats([3e18, 0]), p=3.0, dtypes=WIDE)
    case.edge("one_feature", floats([1], [-0.5]), floats([0.5], [0.5]), floats([0.25], [-2]))
    case.refuse("margin_negative", ValueError, "margin", *_TRIPLET, margin=-1.0)
    case.refuse("p_below_one", ValueError, r"\bp\b", *_TRIPLET, p=0.5)
    case.refuse("other_features", ValueError, "shape", _E1, _POSITIVE[:, :3], _NEGATIVE)
    case.refuse("one_negative_for_all", ValueError, "shape", _E1, _POSITIVE, _NEGATIVE[:1])
    case.refuse("integer_negative", TypeError, "negative", _E1, _POSITIVE, np.ones(_E1.shape, dtype=np.int64))
# fmt: on


def _triplet_margin_ideal(name: str) -> list[Perfect]:
    rows = normal(f"rows {name}", (4, 3, 5))
    return [Perfect((rows, rows, rows + 3.0), np.zeros((4, 3)))]


def _torch_triplet(call: Call, *, eps: float | None = None) -> Said | None:
    if (
        not call.has("margin", "p", "swap")
        or not call.parameters.get("margin", 1.0)
        or call.reduction == "weighted_mean"
    ):
        return None
    keywords = {**call.parameters, "reduction": call.reduction} | ({} if eps is None else {"eps": eps})
    return Said(call.to(-1, *call.arrays), keywords)


def _torch_triplet_distance(call: Call) -> Said | None:
    if call.parameters.get("p") != 1:
        return None
    said = _torch_triplet(call)
    if said is None:
        return None
    keywords = {key: value for key, value in said.keywords.items() if key != "p"}
    return Said(said.args, keywords | {"distance_function": _city_block})


def _city_block(x: Array, y: Array) -> Array:
    xp = backend_of(x).namespace(x)
    return xp.sum(xp.abs(x - y), axis=-1)


def _optax_triplet(call: Call, *, eps: float | None = None) -> Said | None:
    if not call.has("margin", "p"):
        return None
    names = {"p": "norm_degree"}
    keywords = {names.get(key, key): value for key, value in call.parameters.items()}
    return Said(call.arrays, {"axis": call.axis, **keywords} | ({} if eps is None else {"eps": eps}))


def _three_rows(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return normal32(rng, shape), normal32(rng, shape), normal32(rng, shape)


TRIPLET_MARGIN = Spec(
    loss="triplet_margin",
    arrays=("anchor", "positive", "negative"),
    rowwise=True,
    differentiable=(0, 1, 2),
    ordinary=_triplet,
    exact=_triplet_margin,
    questions=(_triplet_margin_cases,),
    ideal=_triplet_margin_ideal,
    twins=(
        Twin("torch", "triplet_margin_loss", _torch_triplet, reductions=REDUCTIONS[:3]),
        Twin(
            "torch",
            "triplet_margin_loss",
            partial(_torch_triplet, eps=0),
            variant="eps=0",
            reductions=REDUCTIONS[:3],
        ),
        Twin("torch", "triplet_margin_with_distance_loss", _torch_triplet_distance, reductions=REDUCTIONS[:3]),
        Twin("optax", "triplet_margin_loss", _optax_triplet),
        Twin("optax", "triplet_margin_loss", partial(_optax_triplet, eps=0), variant="eps=0"),
    ),
    advice=(
        Advice(
            "similarity",
            "anchor, positive, negative",
            "triplet_margin(anchor, positive, negative)",
            "the positive a margin nearer than the negative",
        ),
    ),
    benchmark=Benchmark(
        make=_three_rows,
        shapes=((128, 128), (8192, 128)),
        most_used=True,
        halves=((8192, 128),),
        growth=ROWS_GROW,
        wanted=(0, 1, 2),
        sample=True,
    ),
)
