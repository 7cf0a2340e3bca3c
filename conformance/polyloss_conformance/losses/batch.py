"""Losses of a batch whose examples are compared with each other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.arrays import WIDE, Shape, floats, mask, nan, normal
from polyloss_conformance.benchmark import Benchmark, normal32
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact.jets import Jet, dot, log_sum_exp, norm, plain, positive_part, soft_plus
from polyloss_conformance.exact.rules import Batch
from polyloss_conformance.exact.softmax import Classes
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import Call, Said, Twin

from ._examples import products

BATCHES = (64, 32), (1024, 128)
"""What is measured: the larger one has 1 Mi pairs."""

_Q = normal("queries", (5, 3))
_K = _Q + normal("keys", (5, 3), 0.5)


def _info_nce(
    query: list[list[Any]], key: list[list[Any]], temperature: Any = 0.07, symmetric: bool = False
) -> list[Any]:
    scores = [[dot(q, k, ("score", i, j)) / temperature for j, k in enumerate(key)] for i, q in enumerate(query)]
    rows = _choices(scores)
    if not symmetric:
        return rows
    return [
        (one + two) / 2
        for one, two in zip(rows, _choices([list(column) for column in zip(*scores, strict=True)]), strict=True)
    ]


def _choices(scores: list[list[Any]]) -> list[Any]:
    """The cross entropy of each row, where the right one is on the diagonal."""
    slopes, values = frozenset({0, 1, 2}), frozenset({"value"})
    return [Classes(row, i, slopes, values).minus_log(i) for i, row in enumerate(scores)]


def _ordinary(name: str, shape: Shape) -> tuple[Any, ...]:
    query = normal(name, (*shape, 5), 0.5)
    return query, query + normal(name + "key", (*shape, 5), 0.25)


# fmt: off
def _cases(case: Cases) -> None:
    for temperature in (0.07, 0.5, 1.0, 4.0):
        case.sample(f"temperature_{temperature:g}", _Q, _K, temperature=temperature)
    for reduction in ("none", "mean", "sum"):
        case.sample(f"symmetric_{reduction}", _Q, _K, temperature=0.5, symmetric=True, reduction=reduction)
    case.sample("learned_temperature", _Q, _K, temperature=np.asarray(0.5), reduction="mean")
    case.sample("learned_temperature_symmetric", _Q, _K, temperature=np.asarray(0.25), symmetric=True, reduction="sum",
                sample_weight=floats(1, 2, 0.5, 1, 3))
    keep = mask(True, False, True, True, False)
    case.sample("symmetric_masked", _Q, _K, temperature=0.5, symmetric=True, where=keep,
                note="what is masked is no candidate in either direction")
    case.edge("masked_nonfinite_symmetric", np.where(keep[:, None], _Q, nan), np.where(keep[:, None], _K, np.inf),
              temperature=0.5, symmetric=True, where=keep, reduction="mean")
    case.edge("one_example_alone", _Q[:1], _K[:1], note="nothing else to choose: exactly 0")
    case.edge("equal_examples", np.ones((4, 3)), np.ones((4, 3)), temperature=1.0, note="log 4")
    case.edge("confident", 8 * np.eye(4), np.eye(4), temperature=0.125,
              note="trap: a difference of logarithms is 0 from a margin of 17 on in float32")
    case.edge("wrong", 8 * np.eye(4), np.roll(np.eye(4), 1, axis=0), temperature=0.125)
    case.edge("large_scores", floats([300, 0], [0, 300]), floats([300, 1], [1, 300]), temperature=1.0, dtypes=WIDE,
              note="trap: an exponential that overflows")
    case.edge("one_feature", floats([1], [-0.5], [2]), floats([0.5], [-1], [1]), temperature=0.5)
    for bad in (0.0, -1.0, np.inf, nan):
        case.refuse(f"temperature_{bad:g}", ValueError, "temperature", _Q, _K, temperature=bad)
    case.refuse("temperature_per_row", ValueError, "temperature", _Q, _K, temperature=np.ones(5))
    case.refuse("other_features", ValueError, "shape", _Q, _K[:, :2])
    case.refuse("more_keys", ValueError, "shape", _Q[:4], _K)
# fmt: on


def _ideal(name: str) -> list[Perfect]:
    rows = normal(f"rows {name}", (1, 5))
    return [Perfect((rows, rows.copy()), np.zeros(1))]


def _plain_info_nce(xp: Any, query: Any, key: Any, temperature: float = 0.07) -> Any:
    scores = products(xp, query, key) / temperature
    largest = xp.max(scores, axis=-1, keepdims=True)
    log_total = xp.log(xp.sum(xp.exp(scores - largest), axis=-1)) + largest[:, 0]
    return log_total - xp.sum(query * key, axis=-1) / temperature


INFO_NCE = Spec(
    loss="info_nce",
    arrays=("query", "key"),
    rowwise=True,
    axis=False,
    differentiable=(0, 1, "temperature"),
    shared=("temperature",),
    ordinary=_ordinary,
    exact=Batch(_info_nce, alone=(0,)),
    questions=(_cases,),
    ideal=_ideal,
    advice=(
        Advice(
            "similarity",
            "pairs, and all others of the batch as negatives",
            "info_nce(query, key, temperature=0.07)",
            "each picks its own partner among all of the batch",
        ),
    ),
    benchmark=Benchmark(
        shapes=BATCHES, growth={0: (16, 64)}, wanted=(0, 1), plain=_plain_info_nce, size=lambda shape: shape[0] ** 2
    ),
)


# Labels


def _cosines(embedding: list[list[Any]]) -> list[list[Any]]:
    """The cosine of each pair; those with a zero vector are 0."""
    units = []
    for i, row in enumerate(embedding):
        size = norm(row) if any(map(plain, row)) else None
        if size is not None:
            # Of a unit vector that is off by an eps, as much of the gradient is along it.
            size = size.rounded(abs(size.value), ("length", i))
        unit = [0 * a if size is None else a / size for a in row]
        units.append([a.rounded(abs(a.value), ("unit", i, k)) for k, a in enumerate(unit)])
    return _products(units)


def _products(rows: list[list[Any]]) -> list[list[Any]]:
    found = {(i, j): dot(rows[i], rows[j], ("score", i, j)) for i in range(len(rows)) for j in range(i)}
    return [[found.get((i, j), found.get((j, i))) for j in range(len(rows))] for i in range(len(rows))]


def _sides(scores: list[list[Any]], target: list[int]) -> list[tuple[list[Any], list[Any]]]:
    """For each example the scores with its positives, and those with its negatives."""
    others = [[j for j in range(len(target)) if j != i] for i in range(len(target))]
    return [
        (
            [scores[i][j] for j in others[i] if target[j] == target[i]],
            [scores[i][j] for j in others[i] if target[j] != target[i]],
        )
        for i in range(len(target))
    ]


def _difference(one: Any, other: Any) -> Any:
    difference = one - other
    return difference.rounded(abs(difference.value), object())


def _nt_xent(embedding: list[list[Any]], target: list[int], temperature: Any = 0.07) -> list[Any]:
    scores = [[None if s is None else s / temperature for s in row] for row in _cosines(embedding)]
    return [
        sum(soft_plus(log_sum_exp([_difference(n, p) for n in negatives])) for p in positives) / len(positives)
        if positives and negatives
        else 0 * embedding[i][0]
        for i, (positives, negatives) in enumerate(_sides(scores, target))
    ]


def _circle(
    embedding: list[list[Any]],
    target: list[int],
    margin: Any = 0.4,
    gamma: Any = 80.0,
    detach: bool = True,
    normalize: bool = True,
) -> list[Any]:
    def weighted(error: Any, gap: Any) -> Any:
        weight = positive_part(error)
        weight = Jet(weight.value, {}, weight.noise) if detach else weight
        power = weight * gap * gamma
        return power.rounded(abs(power.value), object())

    def one(positives: list[Any], negatives: list[Any]) -> Any:
        pulled = [weighted(1 - s + margin, 1 - s - margin) for s in positives]
        pushed = [weighted(s + margin, s - margin) for s in negatives]
        return soft_plus(log_sum_exp(pulled) + log_sum_exp(pushed))

    scores = _cosines(embedding) if normalize else _products(embedding)
    return [
        one(positives, negatives) if positives and negatives else 0 * embedding[i][0]
        for i, (positives, negatives) in enumerate(_sides(scores, target))
    ]


_E = normal("embeddings", (6, 3))
_L = np.asarray([0, 0, 1, 0, 1, 2])
_UNITS = np.asarray([[1, 0, 0], [0.6, 0.8, 0], [0, 0.6, -0.8], [0, 1, 0], [0.8, 0, 0.6], [-0.6, 0, 0.8]], dtype=float)
_AXES = floats([1, 0, 0], [0, 1, 0], [2, 0, 0], [0, -2, 0], [0, 0, 1], [1, 0, 0])
_WIDE_IDS = np.asarray([-(2**40), 2**40 + 1, 2**40, -(2**40), 2**40 + 1, 2**40])


def _labelled(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, (*shape, 3)), np.arange(int(np.prod(shape))).reshape(shape) % 2


def _one_class(name: str) -> list[Perfect]:
    return [Perfect((normal(f"rows {name}", (4, 5)), np.full(4, 7)), np.zeros(4))]


# fmt: off
def _by_label_cases(case: Cases) -> None:
    """What holds of any loss of an embedding and labels."""
    case.sample("several_positives", _E, _L, note="and an example that has none: 0")
    case.sample("two_batch_axes", _E.reshape(2, 3, 3), _L.reshape(2, 3), reduction="sum")
    case.edge("ids_of_64_bits", _E, _WIDE_IDS, note="trap: ids that are rounded to floats, or wrap")
    case.edge("nobody_is_alike", _E, np.arange(6), note="no positive: exactly 0")
    case.edge("all_are_alike", _E, np.zeros(6, dtype=np.int64), note="no negative: exactly 0")
    case.edge("zero_vector", np.where(np.arange(6)[:, None] == 1, 0.0, _E), _L, note="trap: 0/0")
    case.edge("lengths_far_apart", _E * floats(1e-25, 1e20, 1, 1e-12, 1e15, 3)[:, None], _L, dtypes=WIDE,
              note="trap: squares that over- and underflow")
    case.edge("on_one_line", np.outer(floats(1, 2, 0.5, -1, 3, -2), floats(1, 2, 3)), _L)
    case.refuse("labels_of_floats", TypeError, "target", _E, _L.astype(np.float64))
    case.refuse("labels_one_hot", ValueError, "target", _E, np.eye(3, dtype=np.int64)[_L])


def _nt_xent_cases(case: Cases) -> None:
    case.sample("temperature_4", _E, _L, temperature=4.0, reduction="mean")
    case.sample("learned_temperature", _E, _L, temperature=np.asarray(0.5), reduction="mean")
    by_pairs: dict[str, Any] = {"reduction": "weighted_mean", "sample_weight": floats(2, 2, 1, 2, 1, 0)}
    case.sample("mean_of_pairs", _E, _L, **by_pairs, note="each example by the number of its positives")
    case.sample("mean_of_pairs_temperature", _E, _L, temperature=0.5, **by_pairs)
    case.edge("temperature_1e-3", _E, _L, temperature=2.0**-10, dtypes=WIDE, **by_pairs,
              note="trap: an exponential that overflows")
    case.edge("mean_of_no_pairs", _E, np.arange(6), reduction="weighted_mean", sample_weight=np.zeros(6),
              note="0/0 in optax")
    case.edge("mean_of_pairs_zero_vector", np.where(np.arange(6)[:, None] == 1, 0.0, _E), _L, **by_pairs,
              note="an epsilon makes a gradient of 1e8")
    case.edge("mean_of_pairs_short", _E * 2.0**-13, _L, dtypes=WIDE, **by_pairs,
              note="built-in: an epsilon shortens vectors")
    for bad in (0.0, -1.0, np.inf, nan):
        case.refuse(f"temperature_{bad:g}", ValueError, "temperature", _E, _L, temperature=bad)
    case.refuse("temperature_per_row", ValueError, "temperature", _E, _L, temperature=np.ones(6))


def _circle_cases(case: Cases) -> None:
    for detach in (True, False):
        ways: dict[str, Any] = {} if detach else {"detach": False}
        name = "" if detach else "_through_weights"
        case.sample(f"gamma_8{name}", _E, _L, gamma=8.0, **ways)
        case.sample(f"learned{name}", _E, _L, gamma=np.asarray(4.0), margin=np.asarray(0.25), reduction="mean", **ways)
        case.sample(f"units{name}", _UNITS, _L, normalize=False, **ways)
        case.edge(f"weights_become_0{name}", _AXES, _L, margin=-1.0, gamma=4.0, **ways,
                  note="a kink at a cosine of 0 for positives, of 1 for negatives")
    case.sample("through_weights", _E, _L, detach=False)
    case.edge("units_of_two_labels", np.asarray([[2, 2, 1], [3, 0, 0], [1, -2, 2]] * 2) / 3,
              np.asarray([0, 1, 0, 1, 0, 1]), gamma=4.0, detach=False, normalize=False,
              note="trap: distances that are clipped at 0 have no gradient there, or half of it")
    case.edge("units_with_ids_of_64_bits", _UNITS, _WIDE_IDS, gamma=4.0, detach=False, normalize=False)
    case.edge("units_all_alike", _UNITS, np.zeros(6, dtype=np.int64), detach=False, normalize=False)
    case.edge("gamma_512", _AXES, _L, gamma=512.0, note="trap: exponentials that overflow")
    case.edge("margin_0", _E, _L, margin=0.0, gamma=16.0)
    for bad in (-1.5, 1.5, nan):
        case.refuse(f"margin_{bad:g}", ValueError, "margin", _E, _L, margin=bad)
    for bad in (0.0, -1.0, np.inf):
        case.refuse(f"gamma_{bad:g}", ValueError, "gamma", _E, _L, gamma=bad)
    case.refuse("detach_is_an_array", TypeError, "detach", _E, _L, detach=np.asarray(True))
# fmt: on


def _optax_ntxent(call: Call) -> Said | None:
    return Said(call.arrays, dict(call.parameters)) if call.has("temperature", "sample_weight") else None


def _by_pairs(case: Case) -> bool:
    """Whether the weights are the numbers of positives: optax's mean is over all pairs of these."""
    target, weight = case.arrays[1], case.options.get("sample_weight")
    if weight is None or target.ndim > 1:
        return False
    return np.array_equal(weight, (target[:, None] == target).sum(axis=1) - 1)


def _like_keras(case: Case) -> bool:
    return case.parameters.get("detach") is False and case.parameters.get("normalize") is False


def _keras_circle(call: Call) -> Said | None:
    return Said((call.arrays[1], call.arrays[0]), dict(call.parameters)) if call.has("gamma", "margin") else None


def _two_of_each(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    """Vectors of length 1, and the same label twice."""
    embedding = normal32(rng, shape)
    return embedding / np.linalg.norm(embedding, axis=-1, keepdims=True), np.arange(shape[0]) // 2


def _alike(xp: Any, target: Any) -> tuple[Any, Any]:
    """Which pairs of two examples have the same label, and which do not."""
    same, count = target[:, None] == target, target.shape[0]
    return same & ~xp.eye(count, dtype=xp.bool), ~same


def _plain_nt_xent(xp: Any, embedding: Any, target: Any, temperature: float = 0.07) -> Any:
    unit = embedding / xp.sqrt(xp.sum(embedding * embedding, axis=-1, keepdims=True))
    # No cosine is above 1.
    scores = (products(xp, unit, unit) - 1.0) / temperature
    positive, negative = _alike(xp, target)
    total = xp.sum(xp.where(negative, xp.exp(scores), 0.0), axis=-1, keepdims=True)
    losses = xp.where(positive, xp.log(xp.exp(scores) + total) - scores, 0.0)
    return xp.sum(losses, axis=-1) / xp.sum(xp.astype(positive, losses.dtype), axis=-1)


def _plain_circle(xp: Any, embedding: Any, target: Any, detach: bool, normalize: bool) -> Any:
    margin, gamma, cosine = 0.4, 80.0, products(xp, embedding, embedding)
    positive, negative = _alike(xp, target)
    far, near = xp.clip(1.0 + margin - cosine, 0.0, None), xp.clip(cosine + margin, 0.0, None)
    pull, push = gamma * far * (1.0 - margin - cosine), gamma * near * (cosine - margin)
    log_pull, log_push = (_log_sum(xp, x, some) for x, some in ((pull, positive), (push, negative)))
    return xp.log1p(xp.exp(-xp.abs(log_pull + log_push))) + xp.clip(log_pull + log_push, 0.0, None)


def _log_sum(xp: Any, x: Any, some: Any) -> Any:
    """The logarithm of the sum of exponentials of some entries of each row."""
    largest = xp.max(xp.where(some, x, -1e30), axis=-1, keepdims=True)
    return xp.log(xp.sum(xp.where(some, xp.exp(xp.where(some, x - largest, 0.0)), 0.0), axis=-1)) + largest[:, 0]


NT_XENT = Spec(
    loss="nt_xent",
    arrays=("embedding", "target"),
    rowwise=True,
    axis=False,
    differentiable=(0, "temperature"),
    shared=("temperature",),
    ordinary=_labelled,
    exact=Batch(_nt_xent),
    questions=(_by_label_cases, _nt_xent_cases),
    ideal=_one_class,
    twins=(Twin("optax", "ntxent", _optax_ntxent, reductions=("weighted_mean",), admits=_by_pairs),),
    advice=(
        Advice(
            "similarity",
            "several views of each, or labels, in a batch",
            "nt_xent(embedding, target, temperature=0.1)",
            "each picks those with its label among all of the batch",
        ),
    ),
    benchmark=Benchmark(make=_two_of_each, shapes=BATCHES, plain=_plain_nt_xent, size=lambda shape: shape[0] ** 2),
)

CIRCLE = Spec(
    loss="circle",
    arrays=("embedding", "target"),
    rowwise=True,
    axis=False,
    differentiable=(0, "margin", "gamma"),
    shared=("margin", "gamma"),
    ordinary=_labelled,
    exact=Batch(_circle),
    of_value={"detach": False},
    questions=(_by_label_cases, _circle_cases),
    ideal=_one_class,
    twins=(Twin("keras", "circle", _keras_circle, admits=_like_keras),),
    advice=(
        Advice(
            "similarity",
            "labels, and pairs of unequal difficulty",
            "circle(embedding, target)",
            "what is far from where it should be counts more",
        ),
    ),
    benchmark=Benchmark(
        make=_two_of_each,
        shapes=BATCHES,
        keywords={"detach": False, "normalize": False},
        plain=_plain_circle,
        size=lambda shape: shape[0] ** 2,
    ),
)
