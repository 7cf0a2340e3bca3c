"""Differences between two distributions."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.arrays import SINGLE, WIDE, Shape, floats, inf, log_softmax, normal, simplex
from polyloss_conformance.benchmark import Benchmark, normal32
from polyloss_conformance.case import Case, Cases
from polyloss_conformance.exact.jets import exponential, times_logarithm
from polyloss_conformance.exact.numbers import ZERO
from polyloss_conformance.exact.rules import of_rows
from polyloss_conformance.spec import Advice, Laws, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Call, Said, Twin, optax

from ._examples import CUBE, CUBE_SOFT, IDS, LOGITS, ROWS_GROW, SOFT

_LOG_P, _Q = log_softmax(LOGITS), SOFT


def _divergence(log_probabilities: list[Any], target: list[Any], log_target: bool = False) -> Any:
    pairs = zip(log_probabilities, target, strict=True)
    if log_target:
        return sum((exponential(log_t) * (log_t - log_p) for log_p, log_t in pairs), ZERO)
    return sum((times_logarithm(t) - t * log_p for log_p, t in pairs), ZERO)


_kl_divergence = of_rows(_divergence)


def _ordinary(name: str, shape: Shape) -> tuple[Any, ...]:
    rows = (*shape, 5)
    return log_softmax(normal(name, rows, 2.0)), simplex(name + "y", rows)


# fmt: off
def _cases(case: Cases) -> None:
    case.sample("known_direction", np.log(floats([0.5, 0.5], [0.25, 0.75])), floats([0.25, 0.75], [0.5, 0.5]),
                note="trap: KL(target || prediction), a sum over the classes")
    case.sample("one_row", _LOG_P[0], _Q[0])
    case.sample("class_axis_1", log_softmax(CUBE, 1), CUBE_SOFT, axis=1)
    case.sample("class_axis_0", np.ascontiguousarray(_LOG_P.T), np.ascontiguousarray(_Q.T), axis=0, reduction="mean")
    case.sample("log_target", _LOG_P, np.log(_Q), log_target=True)
    case.sample("log_target_axis_1", log_softmax(CUBE, 1), np.log(CUBE_SOFT), axis=1, log_target=True, reduction="mean")
    case.sample("not_normalised", _LOG_P, 0.5 * _Q, note="may be negative")
    case.edge("equal", np.log(floats([0.5, 0.25, 0.25], [0.125, 0.125, 0.75])),
              floats([0.5, 0.25, 0.25], [0.125, 0.125, 0.75]), note="the sum cancels: the bound is on the terms")
    case.edge("equal_log", log_softmax(LOGITS[:3]), log_softmax(LOGITS[:3]), log_target=True)
    case.edge("zero_target", floats([-0.5, -1, -2], [0, -30, -30]), floats([0, 1, 0], [1, 0, 0]),
              note="trap: 0·log 0; built-in: clipped and without gradient")
    case.edge("zero_target_impossible_class", floats([-inf, -0.5, -1], [0, -inf, -inf]),
              floats([0, 0.5, 0.5], [1, 0, 0]), note="built-in: NaN")
    case.edge("impossible_class", floats([-inf, -0.5, -1]), floats([0.25, 0.25, 0.5]), note="+inf")
    case.edge("log_target_minus_inf", floats([-0.5, -1, -2], [-inf, 0, -3]), floats([-inf, 0, -inf], [-inf, -0.5, -1]),
              log_target=True, note="built-in: NaN")
    case.edge("log_target_underflows", floats([-inf, -1], [-2, -inf]), floats([-200, 0], [0, -800]), log_target=True,
              dtypes=WIDE, note="trap: 0·inf, where +inf is exact")
    case.edge("confident", floats([-1e-4, -9, -10], [-100, -1e4, 0]), floats([1 - 2**-7, 2**-8, 2**-8], [0, 0, 1]))
    case.edge("tiny_target", floats([-0.5, -1], [-3, -0.0625]), floats([1e-20, 1], [1e-37, 1]), dtypes=WIDE)
    case.edge("one_class", np.zeros((3, 1)), np.ones((3, 1)))
    case.refuse("target_negative", ValueError, "target", _LOG_P, -_Q, values=True)
    case.refuse("logits_by_mistake_in_target", ValueError, "target", _LOG_P, LOGITS, values=True)
    case.refuse("logits_by_mistake", ValueError, "log_probabilities", LOGITS, _Q, values=True)
    case.refuse("logits_by_mistake_in_log_target", ValueError, "target", _LOG_P, LOGITS, log_target=True, values=True)
    case.refuse("row_against_matrix", ValueError, "shape", _LOG_P, _Q[:1])
    case.refuse("class_ids", ValueError, "target", _LOG_P, IDS)
# fmt: on


def _ideal(name: str) -> list[Perfect]:
    q = simplex(f"perfect {name}", (4, 3, 5))
    return [Perfect((np.log(q), q), np.zeros((4, 3)), stationary=False)]


def _torch_kl(call: Call) -> Said | None:
    if not call.has("log_target") or call.reduction == "weighted_mean":
        return None
    length, rows = call.arrays[0].shape[call.axis], call.rows
    arrays = [call.xp.reshape(a, (-1, length)) for a in call.to(-1, *call.arrays)]
    keywords = {**call.parameters, "reduction": "batchmean" if call.reduction == "mean" else call.reduction}
    if call.reduction == "none":
        return Said(arrays, keywords, lambda value: call.xp.reshape(call.xp.sum(value, axis=-1), rows))
    return Said(arrays, keywords)


def _keras_kl(call: Call) -> Said | None:
    if not call.has():
        return None
    log_p, target = call.to(-1, *call.arrays)
    return Said((target, call.xp.exp(log_p)), {})


def _logarithms_are_moderate(case: Case) -> bool:
    """Whether exp loses nothing of the log-probabilities."""
    log_p, target = map(np.asarray, case.arrays)
    return bool(np.all((log_p > -80) | (np.isneginf(log_p) & (target == 0))))


def _optax_kl(call: Call, *, log_target: bool) -> Said | None:
    if not call.has("log_target", "where") or bool(call.parameters.get("log_target")) != log_target:
        return None
    mask = {key: call.xp.expand_dims(where, axis=call.axis) for key, where in optax.row_mask(call).items()}
    return Said(call.arrays, {"axis": call.axis, **mask})


def _log_probabilities(rng: np.random.Generator, shape: Shape) -> NDArray[np.float32]:
    logits = normal32(rng, shape)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits


def _distributions(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return _log_probabilities(rng, shape), np.exp(_log_probabilities(rng, shape))


KL_DIVERGENCE = Spec(
    loss="kl_divergence",
    arrays=("log_probabilities", "target"),
    rowwise=True,
    ordinary=_ordinary,
    exact=_kl_divergence,
    questions=(_cases,),
    ideal=_ideal,
    laws=Laws(nonnegative=False),  # zero or more only where the rows are distributions
    twins=(
        Twin("torch", "kl_div", _torch_kl, reductions=REDUCTIONS[:3], dtypes=SINGLE),
        Twin("keras", "kl_divergence", _keras_kl, dtypes=SINGLE, admits=_logarithms_are_moderate),
        Twin("optax", "kl_divergence", partial(_optax_kl, log_target=False)),
        Twin("optax", "kl_divergence_with_log_targets", partial(_optax_kl, log_target=True)),
    ),
    advice=(
        Advice(
            "distribution",
            "distillation, a target distribution",
            "kl_divergence(log_probabilities, target)",
            "KL(target ‖ prediction); zeros are exact",
        ),
    ),
    benchmark=Benchmark(
        make=_distributions,
        shapes=((128, 128), (8192, 1000)),
        most_used=True,
        halves=((1024, 1000),),
        growth=ROWS_GROW,
    ),
)


@of_rows
def _generalized_kl_divergence(log_prediction: list[Any], target: list[Any], log_target: bool = False) -> Any:
    total = sum((exponential(log_p) for log_p in log_prediction), ZERO)
    total = total - sum((exponential(t) if log_target else t for t in target), ZERO)
    return total + _divergence(log_prediction, target, log_target)


def _amounts(name: str, shape: Shape) -> tuple[Any, ...]:
    rows = (*shape, 5)
    return normal(name, rows), np.exp(normal(name + "y", rows))


# fmt: off
def _generalized_cases(case: Cases) -> None:
    log_p, amounts = LOGITS, 3.0 * SOFT
    case.sample("known_direction", np.log(floats([0.5, 0.5], [0.25, 4])), floats([0.25, 0.75], [0.5, 1]),
                note="trap: of the target from the prediction; not normalised")
    case.sample("one_row", log_p[0], amounts[0])
    case.sample("class_axis_1", CUBE, 3.0 * CUBE_SOFT, axis=1, reduction="mean")
    case.sample("log_target", log_p, LOGITS[::-1].copy(), log_target=True)
    case.edge("nearly_equal", np.log(floats([0.5, 0.25, 3], [0.125, 40, 0.75])) + 2**-6,
              floats([0.5, 0.25, 3], [0.125, 40, 0.75]), note="trap: what is left of a sum that cancels, or below 0")
    case.edge("equal_log", log_p, log_p.copy(), log_target=True, note="exactly 0")
    case.edge("factors", floats([0, 0, 0, 0], [1, 1, 1, 1]),
              np.exp(floats([0.5, -0.5, 0.99, -0.99], [0, 2, 1.5, 0.25])))
    case.edge("zero_target", floats([-0.5, -1, -2], [0, -30, -30]), floats([0, 1, 0], [1, 0, 0]),
              note="trap: 0·log 0")
    case.edge("zero_target_and_prediction", floats([-inf, -0.5, -1], [0, -inf, -inf]), floats([0, 0.5, 0.5], [1, 0, 0]),
              note="built-in: NaN")
    case.edge("impossible_class", floats([-inf, -0.5, -1]), floats([0.25, 0.25, 0.5]), note="+inf")
    case.edge("infinite_prediction", floats([inf, 1], [inf, 1]), floats([2, 1], [0, 3]), note="+inf, not inf - inf")
    case.edge("log_target_minus_inf", floats([-0.5, -1, -2], [-inf, 0, -3]), floats([-inf, 0, -inf], [-inf, -0.5, -1]),
              log_target=True, note="built-in: NaN")
    case.edge("log_target_underflows", floats([-inf, -1], [-2, -inf], [inf, 1]),
              floats([-200, 0], [0, -800], [-200, 1]), log_target=True, dtypes=WIDE,
              note="trap: 0·inf, where +inf is exact")
    case.edge("large", floats([10, -1e3], [8, -9]), floats([1e4, 1e3], [1, 0.5]))
    case.edge("tiny_target", floats([-0.5, -1], [-80, -0.0625]), floats([1e-20, 1], [1e-37, 1]), dtypes=WIDE)
    case.refuse("target_negative", ValueError, "target", log_p, -amounts, values=True)
    case.refuse("row_against_matrix", ValueError, "shape", log_p, amounts[:1])
    case.refuse("class_ids", ValueError, "target", log_p, IDS)
# fmt: on


def _generalized_ideal(name: str) -> list[Perfect]:
    log_amounts = normal(f"perfect {name}", (4, 3, 5))
    return [Perfect((log_amounts, log_amounts), np.zeros((4, 3)), parameters={"log_target": True})]


GENERALIZED_KL_DIVERGENCE = Spec(
    loss="generalized_kl_divergence",
    arrays=("log_prediction", "target"),
    rowwise=True,
    ordinary=_amounts,
    exact=_generalized_kl_divergence,
    questions=(_generalized_cases,),
    ideal=_generalized_ideal,
    twins=(
        Twin("optax", "generalized_kl_divergence", partial(_optax_kl, log_target=False)),
        Twin("optax", "convex_kl_divergence", partial(_optax_kl, log_target=False)),
    ),
    advice=(
        Advice(
            "distribution",
            "amounts that do not sum to 1",
            "generalized_kl_divergence(log_amounts, target)",
            "the total counts, too; never below 0",
        ),
    ),
)
