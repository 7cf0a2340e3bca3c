"""Losses of a score that shall be on the right side of a margin."""

from functools import partial
from typing import Any

import numpy as np

from polyloss_conformance.arrays import WIDE, Shape, floats, inf, normal, signs, uniform
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import positive_part
from polyloss_conformance.exact.numbers import ZERO, Number
from polyloss_conformance.exact.rules import Local, inputs_of, local, of_score
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Call, Said, Twin, keras, optax

from ._examples import ELEMENTS_GROW


def _ordinary(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, shape, 1.5), signs(name + "y", shape)


def _ideal(name: str) -> list[Perfect]:
    sign, zeros = signs(f"perfect {name}", (4, 3)), np.zeros((4, 3))
    return [Perfect((2.0 * sign, sign), zeros), Perfect((sign, sign), zeros)]


# fmt: off
def _cases(case: Cases) -> None:
    case.edge("at_the_margin", floats(1, -1, 1), floats(1, -1, -1), note="trap: -1, -0.5 or 0 at the margin; here 0")
    case.edge("around_the_margin", floats(1 - 2**-7, 1 + 2**-6, -1 - 2**-6, 2**-7 - 1), floats(1, 1, -1, -1))
    case.edge("zero_scores", floats(0, 0), floats(1, -1))
    case.edge("correct_by_more", floats(1.5, 7, 1e4, -1.25, -9), floats(1, 1, 1, -1, -1), note="built-in: exactly 0")
    case.edge("large", floats(-100, 200, 1e-4), floats(1, -1, 1))
    case.edge("huge", floats(1e18, -1e18, 3e18), floats(-1, 1, 1), dtypes=WIDE)
    case.edge("infinite_scores", floats(inf, -inf, -inf, inf), floats(1, -1, 1, -1))
    case.refuse("label_zero", ValueError, "target", floats(0.5, -1), floats(1, 0), values=True,
                note="trap: labels 0 and 1 are accepted and wrong")
    case.refuse("label_two", ValueError, "target", floats(0.5, -1), floats(1, 2), values=True)
# fmt: on


_margin = partial(Spec, arrays=("scores", "target"), ordinary=_ordinary, ideal=_ideal, questions=(_cases,))


@of_score
def _hinge(score: Any, t: Any) -> Any:
    return positive_part(1 - t * score)


HINGE = _margin(
    loss="hinge",
    exact=_hinge,
    twins=(Twin("keras", "hinge", keras.elements), Twin("optax", "hinge_loss", optax.plain)),
    advice=(
        Advice(
            "binary",
            "a maximal margin",
            "hinge(scores, target)",
            "labels -1 and +1; squared_hinge is the smooth one",
        ),
    ),
    benchmark=Benchmark(growth=ELEMENTS_GROW),
)


@of_score
def _squared_hinge(score: Any, t: Any) -> Any:
    missing = positive_part(1 - t * score)
    return missing * missing


SQUARED_HINGE = _margin(
    loss="squared_hinge",
    exact=_squared_hinge,
    twins=(Twin("keras", "squared_hinge", keras.elements),),
    advice=(
        Advice(
            "binary",
            "a maximal margin, smooth",
            "squared_hinge(scores, target)",
            "differentiable at the margin",
        ),
    ),
)


@of_score
def _perceptron(score: Any, t: Any) -> Any:
    return positive_part(-t * score)


# fmt: off
def _perceptron_cases(case: Cases) -> None:
    case.edge("zero_scores", floats(0, 0, -0.0), floats(1, -1, 1),
              note="trap: -1/2 where training starts; here 0")
    case.edge("correct_or_not", floats(1.5, -7, 1e4, -1.25, 9, -2**-12), floats(1, 1, 1, -1, -1, 1))
    case.edge("huge_and_tiny", floats(3e38, -3e38, 1e-37, -1e-37), floats(-1, -1, -1, 1), dtypes=WIDE)
    case.edge("infinite_scores", floats(inf, -inf, -inf, inf), floats(1, -1, 1, -1))
    case.refuse("label_zero", ValueError, "target", floats(0.5, -1), floats(1, 0), values=True,
                note="trap: labels 0 and 1 are accepted and wrong")
# fmt: on


PERCEPTRON = Spec(
    loss="perceptron",
    arrays=("scores", "target"),
    ordinary=_ordinary,
    exact=_perceptron,
    questions=(_perceptron_cases,),
    ideal=_ideal,
    twins=(Twin("optax", "perceptron_loss", optax.plain),),
    advice=(
        Advice(
            "binary",
            "the right side alone, no margin",
            "perceptron(scores, target)",
            "labels -1 and +1; scores of 0 have no gradient",
        ),
    ),
)


def _margin_ranking(x1: Number, x2: Number, target: Number, margin: Number = ZERO) -> Local:
    one, two, t = inputs_of((x1, x2, target))
    ahead = one - two
    ahead = ahead.rounded(abs(ahead.value), "ahead")
    return local(positive_part(-t * ahead + margin), (x1, x2, target))


def _two_scores(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, shape), normal(name + "2", shape), signs(name + "y", shape)


_PAIRS = _two_scores("pairs", (4, 3))


# fmt: off
def _margin_ranking_cases(case: Cases) -> None:
    case.sample("margin_0.5", *_PAIRS, margin=0.5)
    case.sample("margin_per_element", *_PAIRS, margin=uniform("margins", (4, 3), 0.0, 2.0))
    case.sample("integer_labels", *_PAIRS[:2], _PAIRS[2].astype(np.int64), margin=0.5, reduction="mean")
    case.edge("equal_scores", floats(0, 0, 5), floats(0, 0, 5), floats(1, -1, 1),
              note="trap: the whole slope where training starts; here 0")
    case.edge("at_the_margin", floats(1, -1, 1), floats(0.5, -0.5, 1.5), floats(1, -1, -1), margin=0.5,
              note="trap: the whole slope at the margin; here 0")
    case.edge("around_the_margin", floats(1 - 2**-8, 1 + 2**-7, 0), floats(0, 0, 1 - 2**-8), floats(1, 1, -1),
              margin=1.0)
    case.edge("near_each_other", floats(1 + 2**-7, 1024, -3), floats(1, 1032, -3 - 2**-6), floats(-1, 1, -1))
    case.edge("huge_and_tiny", floats(3e38, 1e38, 1e-37), floats(1e38, 3e38, -1e-37), floats(-1, -1, -1), dtypes=WIDE)
    case.edge("infinite_scores", floats(inf, 0, -inf, inf, 1), floats(0, inf, inf, -inf, -inf), floats(1, 1, 1, -1, 1),
              margin=0.5)
    case.refuse("label_zero", ValueError, "target", floats(0.5, -1), floats(1, 0), floats(1, 0), values=True,
                note="trap: 0 does not ignore a pair, its loss is the margin")
    case.refuse("margin_negative", ValueError, "margin", *_PAIRS, margin=-1.0)
    case.refuse("margin_infinite", ValueError, "margin", *_PAIRS, margin=inf)
# fmt: on


def _margin_ranking_ideal(name: str) -> list[Perfect]:
    x, _, sign = _two_scores(f"perfect {name}", (4, 3))
    zeros = np.zeros((4, 3))
    return [Perfect((x + 2.0 * sign, x, sign), zeros, parameters={"margin": 0.5}), Perfect((x, x, sign), zeros)]


def _torch_margin_ranking(call: Call) -> Said | None:
    if not call.has("margin") or call.reduction == "weighted_mean" or hasattr(call.parameters.get("margin"), "shape"):
        return None
    return Said(call.arrays, {**call.parameters, "reduction": call.reduction})


MARGIN_RANKING = Spec(
    loss="margin_ranking",
    arrays=("x1", "x2", "target"),
    differentiable=(0, 1, 2),
    ordinary=_two_scores,
    exact=_margin_ranking,
    questions=(_margin_ranking_cases,),
    ideal=_margin_ranking_ideal,
    twins=(Twin("torch", "margin_ranking_loss", _torch_margin_ranking, reductions=REDUCTIONS[:3]),),
    advice=(
        Advice(
            "ranking",
            "which of two scores is larger",
            "margin_ranking(x1, x2, target)",
            "the right one ahead by a margin; labels -1 and +1",
        ),
    ),
    benchmark=Benchmark(wanted=(0, 1)),
)
