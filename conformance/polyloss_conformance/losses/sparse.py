"""Losses of sparse predictions."""

from typing import Any

import numpy as np

from polyloss_conformance.arrays import (
    WIDE,
    Shape,
    bits,
    classes,
    damage,
    floats,
    ids,
    inf,
    mask,
    normal,
    simplex,
    uniform,
)
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import Jet, is_possible, plain
from polyloss_conformance.exact.numbers import ONE, ZERO, Number, mp
from polyloss_conformance.exact.rules import Local, inputs_of, label_size, local, of_score
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import Call, Said, Twin, labels_are_hard, optax

from ._examples import CUBE, CUBE_IDS, CUBE_SOFT, HARD, IDS, LOGITS, LONGER_ROWS, SOFT, X, ahead_by, scores_and_ids


@of_score
def _binary(x: Any, t: Any) -> Any:
    if plain(x) >= 1:
        return (1 - t) * (x - t)
    if plain(x) <= -1:
        return t * (t - 1 - x)
    p = (1 + x) / 2
    return (p - t) * (p - t)


def _score_and_label(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, shape, 1.5), uniform(name + "y", shape)


# fmt: off
def _binary_cases(case: Cases) -> None:
    case.sample("hard_targets", X, HARD)
    case.edge("at_the_margin", floats(1, -1, 1, -1, 1, -1), floats(1, 0, 0, 1, 0.5, 0.25))
    case.edge("around_the_margin", floats(1 - 2**-7, 1 + 2**-6, -1 - 2**-6, 2**-7 - 1), floats(1, 1, 0, 0),
              note="trap: p - t of a p that is rounded to 1")
    case.edge("correct_by_more", floats(1.5, 7, 1e4, -1.25, -9), floats(1, 1, 1, 0, 0), note="exactly 0")
    case.edge("confidently_wrong", floats(-12, -1000, 89, 1e4), floats(1, 1, 0, 0))
    case.edge("far_and_soft", floats(50, -50, 1000, -1000), floats(0.5, 0.5, 0.75, 0.25))
    case.edge("small_soft_targets", floats(-3, -3, -100, -0.5), floats(1e-8, 1e-7, 1e-30, 1e-9), dtypes=WIDE,
              note="trap: 2 t - 1 loses a small t")
    case.edge("infinite", floats(inf, -inf, -inf, inf), floats(1, 0, 1, 0), note="trap: 0 times infinity")
    case.edge("infinite_soft", floats(inf, -inf), floats(0.5, 0.25))
    case.edge("huge", floats(1e20, -1e20, 3e38), floats(0, 1, 0.5), dtypes=WIDE)
    case.edge("tiny", floats(1e-20, -1e-20, 0), floats(0, 1, 0.5), dtypes=WIDE)
    case.edge("matching_soft", floats(0, 0.5, -0.75), floats(0.5, 0.75, 0.125), note="exactly 0")
    case.refuse("target_minus_one", ValueError, "target", floats(0.5, 1), floats(1, -1), values=True)
# fmt: on


def _binary_ideal(name: str) -> list[Perfect]:
    soft, hard = uniform(f"perfect {name}", (4, 3)), bits(f"hard {name}", (4, 3))
    zeros = np.zeros((4, 3))
    return [
        Perfect((2 * hard - 1, hard), zeros),
        Perfect((8 * hard - 4, hard), zeros),
        Perfect((2 * soft - 1, soft), zeros),
    ]


BINARY_SPARSEMAX = Spec(
    loss="binary_sparsemax",
    arrays=("logits", "target"),
    ordinary=_score_and_label,
    exact=_binary,
    questions=(_binary_cases,),
    ideal=_binary_ideal,
    twins=(Twin("optax", "sparsemax_loss", optax.plain, constants=(1,), admits=labels_are_hard),),
    advice=(
        Advice(
            "binary",
            "probabilities that are exactly 0 and 1",
            "binary_sparsemax(logits, target)",
            "exactly 0 where the score is far enough on the right side",
        ),
    ),
)


# --------------------------------------------------------------------------------------------------------------------
# Many classes


def _multiclass(scores: list[Number], target: Any) -> Local:
    """(|p|^2 + |q|^2) / 2 - q (s - tau), of scores as their distances to the largest: these are rounded."""
    x, t = inputs_of((scores, target))
    top = x[scores.index(max(scores))]
    s = [(one - top).rounded(abs(one.value - top.value), ("below", c)) for c, one in enumerate(x)]
    inside = _support([one.value for one in s])
    tau = (sum((s[c] for c in inside), Jet(ZERO)) - 1) / len(inside)
    total = sum(((s[c] - tau) * (s[c] - tau) for c in inside), Jet(ZERO)) / 2
    for c, one in enumerate(s):
        if not isinstance(target, list):
            total = total + (mp.mpf(0.5) - (one - tau) if c == target else ZERO)
            continue
        q = t[c].rounded(label_size(target[c]), ("share", c))
        total = total + q * q / 2 - q * (one - tau)
        if not is_possible(x[c]):
            # The slope in the share of a class is infinite, and asked of nobody, where the class is impossible.
            total = total + t[c].lift(ZERO, mp.nan, ZERO)
    return local(total, (scores, target))


def _support(scores: list[Number]) -> list[int]:
    """The classes of a probability above 0: the largest k with 1 + k s_k > s_1 + ... + s_k."""
    order, total, count = sorted(range(len(scores)), key=lambda c: -scores[c]), ZERO, 0
    for k, c in enumerate(order, 1):
        total += scores[c]
        if ONE + k * scores[c] > total:
            count = k
    return order[:count]


_SMALL = normal("sparse logits", (6, 4), 0.5)


# fmt: off
def _multiclass_cases(case: Cases) -> None:
    case.sample("known_values", floats([2, 0.5, 0], [0.5, 0, -1]), ids(0, 0), note="0 and 0.0625")
    case.sample("all_classes_have_a_share", _SMALL / 4, IDS)
    case.sample("one_row", _SMALL[0], np.asarray(2), note="a single row: ids have no axis left")
    case.sample("class_axis_1", CUBE, CUBE_IDS, axis=1)
    case.sample("probabilities", _SMALL, SOFT)
    case.sample("probabilities_of_scores_far_apart", LOGITS, SOFT)
    case.sample("probabilities_axis_1", CUBE, CUBE_SOFT, axis=1, reduction="mean")
    case.sample("probabilities_not_normalised", _SMALL, 0.5 * SOFT, note="the slope is that of the formula")
    case.sample("many_classes", normal("many", (3, 40), 0.25), ids(0, 17, 39))
    case.sample("ignore_index", _SMALL, ids(0, -100, 1, -100, 3, 1), ignore_index=-100, reduction="mean")
    case.edge("ignored_nonfinite",
              *damage((LOGITS, ids(0, -1, 1, -1, 3, 1)), mask(True, False, True, False, True, True)), ignore_index=-1,
              reduction="mean", note="built-in: NaN logits of an ignored row leak into the gradient")
    case.edge("one_class", floats([3], [0], [-1]), np.zeros(3, dtype=np.int64), note="no other class: 0")
    case.edge("at_the_margin", floats([1, 0, 0], [0, 1, 0], [0.5, 0.5, -0.5], [0.25, -0.125, -0.5]), ids(0, 0, 1, 2),
              note="trap: a class is just not, or just, in the support")
    case.edge("around_the_margin", ahead_by(1 - 2**-7, 1 + 2**-7, -1 - 2**-7, 2**-7 - 1), ids(0, 0, 0, 0),
              note="trap: p - 1 of a p that is rounded to 1")
    case.edge("correct_by_more", ahead_by(1.5, 7, 1e4), np.zeros(3, dtype=np.int64), note="exactly 0")
    case.edge("confidently_wrong", ahead_by(1, 12, 1000, 1e4), np.ones(4, dtype=np.int64))
    case.edge("equal_scores", floats([0, 0, 0], [1e4, 1e4, 1e4], [-50, -50, -50]), ids(0, 1, 2),
              note="zero-initialised heads, and a shift")
    case.edge("shifted_scores", floats([1e6, 1e6, 1e6 - 1], [-1e8, -1e8, -1e8]), ids(1, 0), dtypes=WIDE,
              note="trap: a threshold near scores of 1e8")
    case.edge("tied", floats([2, 2, 0], [5, 4.5, 5], [0.25, 0.25, 0.25]), ids(0, 1, 2))
    case.edge("matching_soft", floats([0.5, 0.25, 0.25, 0], [0.125, 0.5, 0.25, 0.125]),
              floats([0.5, 0.25, 0.25, 0], [0.125, 0.5, 0.25, 0.125]), note="exactly 0")
    case.edge("small_share_of_one_far_behind", floats([0, -3, -1], [0, -100, 1]),
              floats([1, 1e-8, 0], [0, 1e-30, 1]), dtypes=WIDE)
    case.edge("masked_class", floats([1, -inf, 0], [-inf, 0.5, 0.25], [-inf, -inf, 3]), ids(0, 2, 2),
              note="-inf masks a class")
    case.edge("masked_class_soft", floats([1, -inf, 0.5], [-inf, 0.5, 0.25]), floats([0.25, 0, 0.75], [0, 0.5, 0.5]),
              note="built-in: 0·(-inf)")
    case.edge("infinite", floats([inf, 0, 1], [-3, inf, -inf], [1, -inf, 0], [inf, 0, 1]), ids(0, 1, 1, 2),
              note="built-in: NaN everywhere")
    case.edge("huge_and_tiny", floats([1e20, 0, -1e20], [2e38, 1e38, -1e38], [1e-37, 0, -1e-37]), ids(0, 1, 2),
              dtypes=WIDE)
    case.refuse("label_too_large", ValueError, "target", LOGITS, ids(0, 4, 1, 2, 3, 1), values=True)
    case.refuse("label_minus_one", ValueError, "target", LOGITS, ids(0, -1, 1, 2, 3, 1), values=True)
    case.refuse("float_ids", TypeError, "target", LOGITS, IDS.astype(np.float64))
    case.refuse("one_hot_integers", ValueError, "target", LOGITS, np.eye(4, dtype=np.int64)[IDS])
    case.refuse("probabilities_too_large", ValueError, "target", LOGITS, 2 * SOFT, values=True)
# fmt: on


def _multiclass_ideal(name: str) -> list[Perfect]:
    q, hard = simplex(f"perfect {name}", (4, 3, 5)), classes(f"perfect {name}", (4, 3), 5)
    zeros = np.zeros((4, 3))
    return [
        Perfect((q, q), zeros),
        Perfect((np.eye(5)[hard], hard), zeros),
        Perfect((4 * np.eye(5)[hard], hard), zeros),
    ]


def _optax_multiclass(call: Call) -> Said | None:
    if not call.has() or not call.ids or len(call.rows) != 1:
        return None
    return Said(call.to(-1, *call.arrays), {})


MULTICLASS_SPARSEMAX = Spec(
    loss="multiclass_sparsemax",
    arrays=("scores", "target"),
    rowwise=True,
    ordinary=scores_and_ids,
    exact=_multiclass,
    questions=(_multiclass_cases,),
    ideal=_multiclass_ideal,
    twins=(Twin("optax", "multiclass_sparsemax_loss", _optax_multiclass),),
    advice=(
        Advice(
            "multi-class",
            "probabilities that are exactly 0",
            "multiclass_sparsemax(scores, class_ids)",
            "exactly 0 where the right class is ahead by 1",
        ),
        Advice(
            "distribution",
            "target probabilities of 0",
            "multiclass_sparsemax(scores, probabilities)",
            "they are reached by finite scores",
        ),
    ),
    benchmark=Benchmark(growth=LONGER_ROWS),
)
