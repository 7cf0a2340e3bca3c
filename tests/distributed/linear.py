"""Calls of a linear layer's loss with whole matrices, and what they give: the same for every framework."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import polyloss

from .rows import CLASSES, EPS, rounded

ROWS, FEATURES = 7, 3
BY_CLASS = {"weight": 0, "bias": 0, "class_weight": 0, "target": 1}
"""The axis of classes of each argument that has one; of the target, if it is probabilities."""


class Case(NamedTuple):
    """A call, its value and its gradients by all that has some, but by `class_weight`, in closed form."""

    arrays: dict[str, NDArray[Any]]
    keywords: dict[str, Any]
    cotangent: NDArray[Any]
    value: NDArray[Any]
    gradients: dict[str, NDArray[Any]]

    @property
    def name(self) -> str:
        return f"{self.keywords} of {', '.join(f'{name} {array.dtype}' for name, array in self.arrays.items())}"

    def part(self, name: str, array: Any, part: slice) -> Any:
        """What a member has of an argument, or of a gradient by it."""
        axis = BY_CLASS.get(name, array.ndim)
        return array[(slice(None),) * axis + (part,)] if axis < array.ndim else array

    def wrong(self, dtype: str, value: Any, gradients: dict[str, Any], part: slice) -> list[str]:
        """What of a member's results is not the part of the whole that it should be."""
        scale = 64 * EPS[dtype]
        found = [("value", value, self.value)]
        found += [(name, got, self.part(name, self.gradients[name], part)) for name, got in gradients.items()]
        return [
            f"{self.name}, {dtype}: {what} {got.tolist()}, expected {exact.tolist()}"
            for what, got, exact in found
            if not np.allclose(got, exact, rtol=scale, atol=scale * max(1.0, float(np.abs(exact).max(initial=0.0))))
        ]


def cases() -> Iterator[Case]:
    """Class ids and probabilities, with everything that a call may have."""
    draw = np.random.default_rng(0)
    hidden, weight = rounded(draw.normal(size=(ROWS, FEATURES))), rounded(draw.normal(size=(CLASSES, FEATURES)))
    bias, class_weight = rounded(draw.normal(size=CLASSES)), 0.5 + rounded(draw.random(CLASSES))
    ids, shares = np.asarray([1, 3, 5, 15, 8, 0, 4]), rounded(draw.dirichlet(np.ones(CLASSES), ROWS))
    some: dict[str, Any] = {
        "where": np.asarray([True, True, False, True, True, True, True]),
        "sample_weight": 0.5 + rounded(draw.random(ROWS)),
    }
    reductions = itertools.cycle(("mean", "weighted_mean", "none", "sum"))
    calls: list[tuple[NDArray[Any], dict[str, Any]]] = [
        (ids, {}),
        (ids, {"class_weight": class_weight, "label_smoothing": 0.25, **some}),
        (ids, {"logit_softcap": 2.0, "z_loss": 0.125, "label_smoothing": 0.25}),
        (ids, {"z_loss": 0.125}),
        (np.where(ids == 3, -100, ids), {"ignore_index": -100, "bias": bias, "z_loss": 0.25, **some}),
        (np.where(ids == 3, -100, ids), {"ignore_index": -100, "bias": bias, "class_weight": class_weight}),
        (shares, {"class_weight": class_weight, "bias": bias, **some}),
        (shares, {"label_smoothing": 0.25, "logit_softcap": 4.0, "bias": bias}),
    ]
    for target, keywords in calls:
        arrays: dict[str, Any] = {"hidden": hidden, "weight": weight, "target": target}
        call = keywords | {"reduction": next(reductions)}
        wanted = ["hidden", "weight", *(["target"] if target.ndim > 1 else []), *(["bias"] if "bias" in call else [])]
        value = polyloss.linear_cross_entropy(**arrays, **call)
        cotangent = np.asarray(rounded(draw.normal(size=np.shape(value))) + 0.25)
        # NumPy has no other upstream gradient than a weight in a sum.
        scaled = call
        if call["reduction"] == "none":
            scaled = call | {"reduction": "sum", "sample_weight": call.get("sample_weight", np.ones(ROWS)) * cotangent}
        _, gradients = polyloss.value_and_grad(polyloss.linear_cross_entropy, wanted)(hidden, weight, target, **scaled)
        if call["reduction"] != "none":
            gradients = tuple(gradient * cotangent for gradient in gradients)
        yield Case(arrays, call, cotangent, np.asarray(value), dict(zip(wanted, gradients, strict=True)))


def derivatives(xp: Any) -> tuple[Any, ...]:
    """Arguments of a call and of changes of what is differentiated, for second derivatives."""
    draw = np.random.default_rng(1)
    shapes = {"hidden": (ROWS, FEATURES), "weight": (CLASSES, FEATURES), "bias": (CLASSES,), "class_weight": (CLASSES,)}
    arrays = {name: xp(np.abs(draw.normal(size=shape))) for name, shape in shapes.items()}
    along = {name: xp(draw.normal(size=shape)) for name, shape in shapes.items()}
    return arrays, along, {"label_smoothing": 0.25, "z_loss": 0.125, "reduction": "weighted_mean"}
