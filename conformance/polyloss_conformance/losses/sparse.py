"""Losses of sparse predictions."""

from typing import Any

import numpy as np

from polyloss_conformance.arrays import WIDE, Shape, bits, floats, inf, normal, uniform
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import plain
from polyloss_conformance.exact.rules import of_score
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import Twin, labels_are_hard, optax

from ._examples import HARD, X


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
