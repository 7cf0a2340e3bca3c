"""Cross entropies with other costs of a probability."""

from typing import Any

import numpy as np

from polyloss import softmax as softmax_of
from polyloss_conformance.arrays import (
    SINGLE,
    WIDE,
    classes,
    damage,
    entropy,
    floats,
    ids,
    inf,
    mask,
    simplex,
)
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact import softmax
from polyloss_conformance.exact.jets import exponential_minus_1
from polyloss_conformance.exact.numbers import Number, mp
from polyloss_conformance.exact.rules import Local
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import Call, Said, Twin, optax

from ._examples import CUBE, CUBE_IDS, CUBE_SOFT, IDS, LOGITS, ROWS_GROW, SOFT, ahead_by, scores_and_ids


# fmt: off
def _targets(case: Cases) -> None:
    case.sample("one_row", LOGITS[0], np.asarray(2), note="a single row: ids have no axis left")
    case.sample("class_axis_1", CUBE, CUBE_IDS, axis=1)
    case.sample("probabilities", LOGITS, SOFT)
    case.sample("probabilities_axis_1", CUBE, CUBE_SOFT, axis=1, reduction="mean")
    case.sample("probabilities_one_hot", LOGITS, np.eye(4)[IDS], note="equals class ids")
    case.sample("ignore_index", LOGITS, ids(0, -100, 1, -100, 3, 1), ignore_index=-100, reduction="mean")
    case.edge("ignored_nonfinite",
              *damage((LOGITS, ids(0, -1, 1, -1, 3, 1)), mask(True, False, True, False, True, True)), ignore_index=-1,
              reduction="mean", note="built-in: NaN logits of an ignored row leak into the gradient")
    case.edge("one_class", np.zeros((3, 1)), np.zeros(3, dtype=np.int64))
    case.refuse("label_too_large", ValueError, "target", LOGITS, ids(0, 4, 1, 2, 3, 1), values=True)
    case.refuse("label_minus_one", ValueError, "target", LOGITS, ids(0, -1, 1, 2, 3, 1), values=True)
    case.refuse("float_ids", TypeError, "target", LOGITS, IDS.astype(np.float64))
    case.refuse("one_hot_integers", ValueError, "target", LOGITS, np.eye(4, dtype=np.int64)[IDS])
    case.refuse("probabilities_too_large", ValueError, "target", LOGITS, 2 * SOFT, values=True)
    case.refuse("ignore_index_with_probabilities", ValueError, "ignore_index", LOGITS, SOFT, ignore_index=0)


def _extreme_logits(case: Cases, **parameters: Any) -> None:
    name = "".join(f"{key}_{value:g}_" for key, value in parameters.items())
    case.edge(f"{name}confident", ahead_by(1, 5, 10, 17, 30, 80), np.zeros(6, dtype=np.int64), dtypes=WIDE,
              note="built-in: 0 from a margin of 17 on", **parameters)
    case.edge(f"{name}confidently_wrong", ahead_by(1, 10, 17, 50, 1000, 1e4), np.ones(6, dtype=np.int64), **parameters)
    case.edge(f"{name}confident_soft", floats([12, 0, -1], [0, 20, 1], [0, 0, 9]),
              floats([1 - 2**-7, 2**-7, 0], [0, 1, 0], [2**-8, 2**-8, 1 - 2**-7]), **parameters)
    case.edge(f"{name}masked_class_soft", floats([1, -inf, 0], [-inf, 2, 0.5]), floats([0.25, 0, 0.75], [0, 0.5, 0.5]),
              note="built-in: 0·(-inf)", **parameters)
    case.edge(f"{name}infinite", floats([inf, 0, 1], [-3, inf, -inf], [1, -inf, 0], [inf, 0, 1]), ids(0, 1, 1, 2),
              note="built-in: NaN everywhere", **parameters)


def _logits(case: Cases) -> None:
    case.edge("equal_logits", floats([0, 0, 0], [1e4, 1e4, 1e4], [-50, -50, -50]), ids(0, 1, 2),
              note="zero-initialised heads, and a shift")
    case.edge("huge", floats([1e20, 0, -1e20], [3e38, 1e38, -1e38]), ids(0, 1), dtypes=WIDE)
# fmt: on


# --------------------------------------------------------------------------------------------------------------------
# Poly-1


def _poly1(logits: list[Number], target: Any, epsilon: float = 1.0) -> Local:
    return softmax.of_probabilities(
        logits, target, None, 0.0, lambda p, rest, minus_log: minus_log + rest * mp.mpf(epsilon)
    )


# fmt: off
def _poly1_cases(case: Cases) -> None:
    for epsilon in (-1.0, 2.0):
        case.sample(f"epsilon_{epsilon:g}", LOGITS, IDS, epsilon=epsilon)
    _extreme_logits(case)
    _extreme_logits(case, epsilon=-1.0)
    case.sample("epsilon_-1_probabilities", LOGITS, SOFT, epsilon=-1.0)
    case.edge("epsilon_-0.75_confident", ahead_by(0.5, 1, 2, 5, 8), np.zeros(5, dtype=np.int64), epsilon=-0.75)
    case.refuse("epsilon_below_minus_one", ValueError, "epsilon", LOGITS, IDS, epsilon=-1.5,
                note="trap: a better prediction would cost more")
    case.refuse("epsilon_infinite", ValueError, "epsilon", LOGITS, IDS, epsilon=inf)
# fmt: on


def _poly1_ideal(name: str) -> list[Perfect]:
    q, hard = simplex(f"perfect {name}", (4, 3, 5)), classes(f"perfect {name}", (4, 3), 5)
    return [
        Perfect((2e4 * np.eye(5)[hard], hard), np.zeros((4, 3))),
        Perfect((np.log(q), q), entropy(q).sum(-1), parameters={"epsilon": 0.0}),
    ]


def _optax_poly(call: Call) -> Said | None:
    if call.ids or not call.has("epsilon", "where"):
        return None
    # It takes a mask of rows for one of classes.
    mask = {key: call.xp.expand_dims(where, axis=call.axis) for key, where in optax.row_mask(call).items()}
    keywords = {"epsilon": 1.0, **{key: value for key, value in call.parameters.items() if key != "axis"}}
    return Said(call.arrays, {**keywords, "axis": call.axis, **mask})


POLY1_CROSS_ENTROPY = Spec(
    loss="poly1_cross_entropy",
    arrays=("logits", "target"),
    rowwise=True,
    ordinary=scores_and_ids,
    exact=_poly1,
    questions=(_targets, _logits, _poly1_cases),
    ideal=_poly1_ideal,
    twins=(Twin("optax", "poly_loss_cross_entropy", _optax_poly),),
    advice=(
        Advice(
            "multi-class",
            "a little more than cross entropy",
            "poly1_cross_entropy(logits, class_ids, epsilon=1.0)",
            "one number to tune: above 0 more weight on rows that are nearly right, below 0 less",
        ),
    ),
    benchmark=Benchmark(growth=ROWS_GROW),
)


# --------------------------------------------------------------------------------------------------------------------
# Generalized cross entropy


def _generalized(logits: list[Number], target: Any, q: float = 0.7) -> Local:
    def term(p: Any, rest: Any, minus_log: Any) -> Any:
        # 1 - p^q = 1 - exp(q log p)
        return minus_log if q == 0 else exponential_minus_1(minus_log * -mp.mpf(q)) / -mp.mpf(q)

    return softmax.of_probabilities(logits, target, None, 0.0, term)


# fmt: off
def _generalized_cases(case: Cases) -> None:
    for q in (0.0, 2.0**-10, 1.0):
        case.sample(f"q_{q:g}", LOGITS, IDS, q=q)
    _extreme_logits(case)
    case.edge("q_1_confidently_wrong", ahead_by(1, 10, 17, 50, 1000, 1e4), np.ones(6, dtype=np.int64), q=1.0)
    for q in (2.0**-10, 0.5):
        case.sample(f"q_{q:g}_unsure", 0.25 * LOGITS, IDS, q=q, note="built-in: hundreds of units in the last place")
    case.edge("q_tiny", LOGITS, IDS, q=1e-30, note="built-in: hundreds of units in the last place, or 0/0")
    case.edge("q_0_confidently_wrong", ahead_by(10, 1000), np.ones(2, dtype=np.int64), q=0.0)
    case.refuse("q_negative", ValueError, r"\bq\b", LOGITS, IDS, q=-0.5)
    case.refuse("q_above_one", ValueError, r"\bq\b", LOGITS, IDS, q=1.5)
# fmt: on


def _generalized_ideal(name: str) -> list[Perfect]:
    hard = classes(f"perfect {name}", (4, 3), 5)
    return [Perfect((2e4 * np.eye(5)[hard], hard), np.zeros((4, 3)))]


def _keras_generalized(call: Call) -> Said | None:
    if call.options or not call.ids or not call.has("q") or not call.parameters.get("q", 1):
        return None
    logits, target = call.to(-1, *call.arrays)
    return Said((target, softmax_of(logits)), {"q": 0.7, **call.parameters})


def _unsure(case: Case) -> bool:
    """Whether softmax loses nothing of the logits: of a probability near 1, it does of what is left to 1."""
    return bool(np.all(np.isfinite(case.arrays[0])) and np.all(np.ptp(case.arrays[0], axis=-1) < 2))


GENERALIZED_CROSS_ENTROPY = Spec(
    loss="generalized_cross_entropy",
    arrays=("logits", "target"),
    rowwise=True,
    ordinary=scores_and_ids,
    exact=_generalized,
    questions=(_targets, _logits, _generalized_cases),
    ideal=_generalized_ideal,
    twins=(Twin("keras", "categorical_generalized_cross_entropy", _keras_generalized, dtypes=SINGLE, admits=_unsure),),
    advice=(
        Advice(
            "multi-class",
            "many wrong labels",
            "generalized_cross_entropy(logits, class_ids, q=0.7)",
            "a row that is confidently wrong has nearly no gradient",
        ),
    ),
)
