"""Calls of losses on whole batches whose examples members share, and what they give: the same for every framework."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import polyloss

from .rows import EPS, rounded

EXAMPLES, CLASSES = 16, 5


class Spread(NamedTuple):
    """A call, its value and gradients: those by `wanted`, arrays of the loss or among the keywords."""

    loss: Any
    arrays: tuple[NDArray[Any], ...]
    keywords: dict[str, Any]
    shared: tuple[str, ...]
    """What is no array of examples: the same for all members."""
    wanted: tuple[str, ...]
    cotangent: NDArray[Any]
    value: NDArray[Any]
    gradients: tuple[NDArray[Any], ...]

    @property
    def named(self) -> dict[str, Any]:
        return dict(zip(self.loss.arrays, self.arrays, strict=True)) | self.keywords

    def wrong(self, dtype: str, value: Any, gradients: Any, part: slice) -> list[str]:
        """What of a member's results is not what one process finds, of its examples."""
        scale = 32 * EPS[dtype]
        each = self.keywords["reduction"] == "none"
        found = [("value", value, self.value[part] if each else self.value)]
        found += [
            (f"gradient by {name}", got, exact if name in self.shared else exact[part])
            for name, got, exact in zip(self.wanted, gradients, self.gradients, strict=True)
        ]
        sizes = [self.value, *self.gradients]
        return [
            f"{self.loss.__name__} with {', '.join(self.keywords)}, {dtype}: {what} {got.tolist()}, expected "
            f"{exact.tolist()}"
            for (what, got, exact), size in zip(found, sizes, strict=True)
            if got.shape != exact.shape or not np.allclose(got, exact, rtol=scale, atol=scale * np.abs(size).max())
        ]


def spread() -> Iterator[Spread]:
    """Losses of each kind, where the examples that count are spread unevenly."""
    draw = np.random.default_rng(0)
    logits = rounded(draw.normal(size=(EXAMPLES, CLASSES)) * 2)
    other = rounded(draw.normal(size=(EXAMPLES, CLASSES)))
    ids = draw.integers(0, CLASSES, EXAMPLES)
    ignored = np.where(np.arange(EXAMPLES) < 9, -100, ids)
    shares = rounded(draw.dirichlet(np.ones(CLASSES), EXAMPLES))
    weight, weights = 0.5 + rounded(draw.random(CLASSES)), 0.25 + rounded(draw.random(EXAMPLES))
    mask = np.arange(EXAMPLES) % 7 == 5
    matrix, delta = rounded(draw.normal(size=(CLASSES, CLASSES))), np.asarray(0.75)
    elastic = 0.5 * polyloss.mse + 2.0 * polyloss.l1
    weighted = {"class_weight": weight, "sample_weight": weights, "ignore_index": -100}
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], tuple[str, ...]]] = [
        (polyloss.huber, (logits, other), {"delta": delta}, ("prediction", "target", "delta")),
        (polyloss.huber, (logits, other), {"where": mask, "sample_weight": weights}, ("prediction",)),
        (polyloss.huber, (logits, other), {"reduction": "none"}, ("prediction",)),
        (polyloss.cross_entropy, (logits, ignored), {"ignore_index": -100}, ("logits",)),
        (polyloss.cross_entropy, (logits, ignored), {**weighted, "reduction": "sum"}, ("logits", "class_weight")),
        (
            polyloss.cross_entropy,
            (logits, ignored),
            {**weighted, "reduction": "weighted_mean"},
            ("logits", "class_weight"),
        ),
        (polyloss.cross_entropy, (logits, shares), {"denominator": np.asarray(7.5)}, ("logits", "target")),
        (polyloss.linear_cross_entropy, (logits, matrix, ignored), {"ignore_index": -100}, ("hidden", "weight")),
        (elastic, (logits, other), {"where": mask}, ("prediction",)),
    ]
    # Weights that cancel, of one member and not of all.
    cancel = np.where(np.arange(EXAMPLES) < 8, (-1.0) ** np.arange(EXAMPLES), 1.0)
    calls.append(
        (
            polyloss.huber,
            (logits[:, 0], other[:, 0]),
            {"sample_weight": cancel, "reduction": "weighted_mean"},
            ("prediction",),
        )
    )
    for loss, arrays, keywords, wanted in calls:
        call = {"reduction": "mean"} | keywords
        value = np.asarray(loss(*arrays, **call))
        cotangent = np.asarray(rounded(draw.normal(size=value.shape)) + 0.25)
        # NumPy has no other upstream gradient than a weight in a sum.
        scaled = call | ({"reduction": "sum", "sample_weight": cotangent} if value.ndim else {})
        _, gradients = polyloss.value_and_grad(loss, wanted)(*arrays, **scaled)
        if not value.ndim:
            gradients = tuple(gradient * cotangent for gradient in gradients)
        shared = tuple(n for n in ("weight", "class_weight", "delta", "denominator") if n in (*loss.arrays, *keywords))
        yield Spread(loss, arrays, call, shared, wanted, cotangent, value, tuple(gradients))
