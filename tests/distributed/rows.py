"""Calls of losses on whole rows, and what they give: the same for every framework."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import polyloss

ROWS, CLASSES = 6, 16
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-8}


class Case(NamedTuple):
    """A call, its value, and its gradients by the first array and by the weights of classes, if there are any."""

    loss: str
    arrays: tuple[NDArray[Any], ...]
    keywords: dict[str, Any]
    cotangent: NDArray[Any]
    value: NDArray[Any]
    gradients: tuple[NDArray[Any], ...]

    @property
    def by_class(self) -> tuple[bool, ...]:
        """Which of the arrays have an axis of classes."""
        return tuple(array.ndim > 1 for array in self.arrays)

    @property
    def name(self) -> str:
        return f"{self.loss} of {self.arrays[1].dtype} with {', '.join(self.keywords)}"

    def wrong(self, dtype: str, value: Any, gradients: Any, part: slice) -> list[str]:
        """What of a member's results is not the part of whole rows that it should be."""
        scale = 32 * EPS[dtype]
        found = [("value", value, self.value, self.cotangent)]
        found += [
            (f"gradient {place}", got, exact[..., part], exact)
            for place, (got, exact) in enumerate(zip(gradients, self.gradients, strict=True))
        ]
        return [
            f"{self.name}, {dtype}: {what} {got.tolist()}, expected {exact.tolist()}"
            for what, got, exact, size in found
            if not np.allclose(got, exact, rtol=scale, atol=scale * float(np.abs(size).max()))
        ]


def refusals(calls: Sequence[tuple[Callable[[], Any], str]], kinds: tuple[type[Exception], ...]) -> list[str]:
    """Which of the calls raise no error of these kinds with the text that belongs to them."""
    found = []
    for call, expected in calls:
        try:
            call()
        except kinds as error:
            if expected not in str(error):
                found.append(f"{error}, expected {expected}")
        else:
            found.append(f"no error: {expected}")
    return found


def rounded(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers that every dtype has."""
    return np.round(array * 16) / 16


def cases() -> Iterator[Case]:
    """Every kind of row-wise loss, of class ids and of probabilities, with all that has an axis of classes."""
    draw = np.random.default_rng(0)
    logits = rounded(draw.normal(size=(ROWS, CLASSES)) * 2)
    # The largest is in two parts at once, one part is masked as a whole, and one row is confident.
    logits[0, [1, 14]], logits[1, 8:], logits[2, 5] = 6.0, -np.inf, 40.0
    finite = np.where(np.isinf(logits), -8.0, logits)
    ids = np.asarray([1, 3, 5, 15, 8, 0])
    shares = rounded(draw.dirichlet(np.ones(CLASSES), ROWS))
    inside = np.where(np.isinf(logits), 0.0, shares)
    logs = -np.abs(finite) - 0.5
    weight, weights = 0.5 + rounded(draw.random(CLASSES)), rounded(draw.normal(size=ROWS))
    weights[0] = 1.0
    some: dict[str, Any] = {"where": np.asarray([True, True, False, True, True, True]), "sample_weight": weights}
    reductions = itertools.cycle(("weighted_mean", "mean", "none"))
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("cross_entropy", (logits, ids), {}),
        ("cross_entropy", (logits, ids), {"class_weight": weight, "label_smoothing": 0.25, **some}),
        ("cross_entropy", (logits, np.where(ids == 3, -100, ids)), {"ignore_index": -100, "class_weight": weight}),
        ("cross_entropy", (logits, inside), {"class_weight": weight}),
        ("cross_entropy", (finite, shares), {"label_smoothing": 0.25, **some}),
        ("nll", (logs, ids), {"class_weight": weight, **some}),
        ("nll", (logs, shares), {"label_smoothing": 0.25}),
        ("softmax_focal", (logits, ids), {"gamma": 1.5}),
        ("softmax_focal", (finite, shares), {}),
        ("poly1_cross_entropy", (logits, ids), {}),
        ("generalized_cross_entropy", (logits, ids), {}),
        ("kl_divergence", (logs, shares), some),
        ("multiclass_hinge", (finite, ids), {}),
        ("multiclass_perceptron", (finite, ids), {}),
        ("multi_margin", (finite, ids), {"class_weight": weight}),
        ("cosine_distance", (finite, np.roll(finite, 3)), {}),
        ("mean_pairwise_squared_error", (finite, np.roll(finite, 3)), {}),
    ]
    for loss, arrays, keywords in calls:
        function = getattr(polyloss, loss)
        wanted: list[int | str] = [0, *(["class_weight"] if "class_weight" in keywords else [])]
        reduction = next(reductions) if "class_weight" in keywords else "none"
        call = keywords | {"reduction": reduction}
        value = function(*arrays, **call)
        cotangent = rounded(draw.normal(size=np.shape(value))) + 0.25
        # NumPy has no other upstream gradient than a weight in a sum.
        scaled = call
        if reduction == "none":
            scaled = call | {"reduction": "sum", "sample_weight": call.get("sample_weight", np.ones(ROWS)) * cotangent}
        _, gradients = polyloss.value_and_grad(function, wanted)(*arrays, **scaled)
        if reduction != "none":
            gradients = tuple(gradient * cotangent for gradient in gradients)
        yield Case(loss, arrays, call, np.asarray(cotangent), np.asarray(value), tuple(gradients))
