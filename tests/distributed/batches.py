"""Calls of losses whose examples are compared with each other, and what they give of a whole batch."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import polyloss
from polyloss.compat.keras import batch as of_keras
from polyloss.core.loss import Loss

from .rows import EPS, rounded

EXAMPLES, REFERENCES, FEATURES = 12, 8, 4
CUTS = {2: (0, 5, EXAMPLES), 4: (0, 2, 3, 7, EXAMPLES)}
"""Where the examples of the members end: they have different numbers of them, and one has a single one."""
CUTS_OF_REFERENCES = {2: (0, 3, REFERENCES), 4: (0, 1, 4, 6, REFERENCES)}


class BatchCase(NamedTuple):
    """A call, its value, and its gradients by the arrays of numbers and by the parameters that are arrays."""

    name: str
    loss: Loss[Any]
    arrays: tuple[NDArray[Any], ...]
    keywords: dict[str, Any]
    parameters: dict[str, NDArray[Any]]
    dtype: str
    """One to compute it in besides float64."""
    cotangent: NDArray[Any]
    value: NDArray[Any]
    gradients: tuple[NDArray[Any], ...]

    @property
    def learned(self) -> list[int]:
        """Which of the arrays are of numbers."""
        return [place for place, array in enumerate(self.arrays) if array.dtype.kind == "f"]

    @property
    def reduction(self) -> str:
        return str(self.keywords["reduction"])

    def parts(self, cuts: Any, of_references: Any, rank: int) -> list[slice]:
        """What of each array a member has."""
        found = []
        for array in self.arrays:
            ends = cuts if len(array) == EXAMPLES else of_references
            found.append(slice(ends[rank], ends[rank + 1]))
        return found

    def wrong(self, what: str, dtype: str, found: Any, exact: Any) -> list[str]:
        got, expected = (np.asarray(array, dtype=np.float64) for array in (found, exact))
        size = float(np.abs(expected).max(initial=1e-3))
        if got.shape == expected.shape and np.allclose(got, expected, rtol=0.0, atol=128 * EPS[dtype] * size):
            return []
        return [f"{self.name}, {dtype}, {what}: {got.tolist()}, expected {expected.tolist()}"]

    def problems(self, how: str, dtype: str, value: Any, gradients: Any, parts: list[slice]) -> list[str]:
        """What of a member's results is not its part of those of the whole batch."""
        exact = self.value[parts[0]] if self.value.ndim else self.value
        found = self.wrong(f"{how}, value", dtype, value, exact)
        for place, (gradient, whole) in enumerate(zip(gradients, self.gradients, strict=True)):
            here = whole[parts[self.learned[place]]] if whole.ndim else whole
            # A part may be all 0, which the others are not.
            size = float(np.abs(whole).max()) + 1e-3
            found += self.wrong(f"{how}, gradient {place}", dtype, np.divide(gradient, size), here / size)
        return found


def cases() -> Iterator[BatchCase]:
    """Every loss of a batch, with masks, weights, labels, and parameters that are learned."""
    draw = np.random.default_rng(1)
    x, y = rounded(draw.normal(size=(2, EXAMPLES, FEATURES)) / 2)
    references = rounded(draw.normal(size=(REFERENCES, FEATURES)) / 2)
    # A zero vector, and one label that a single example has.
    x[4] = 0.0
    labels, of_references = np.asarray([0, 1, 0, 2, 1, 1, 0, 3, 0, 1, 0, 1]), np.asarray([0, 1, 1, 0, 5, 3, 0, 1])
    # All examples of one member are left out, whatever the number of members, and some of others.
    some, first = (np.ones(EXAMPLES, dtype=bool) for _ in range(2))
    some[[0, 3, 4, 5, 6, 10]], first[:5] = False, False
    weights = 0.5 + rounded(draw.random(EXAMPLES))
    temperature: dict[str, Any] = {"temperature": np.asarray(0.5)}
    circles: dict[str, Any] = {"margin": np.asarray(0.25), "gamma": np.asarray(4.0)}
    weighed: dict[str, Any] = {"sample_weight": weights, "where": some}
    losses: list[tuple[Loss[Any], tuple[Any, ...], dict[str, Any]]] = [
        (polyloss.info_nce, (x, y), temperature),
        (polyloss.info_nce.partial(symmetric=True), (x, y), temperature),
        (polyloss.nt_xent, (x, labels), temperature),
        (polyloss.circle, (x, labels), circles),
        (polyloss.circle.partial(detach=False, normalize=False), (x, labels), circles),
        (of_keras.circle_of_a_batch.partial(detach=False, normalize=False), (x, labels), circles),
        (
            of_keras.circle_of_references.partial(detach=False, normalize=False),
            (x, labels, references, of_references),
            circles,
        ),
    ]
    plain: list[dict[str, Any]] = [
        {"reduction": "mean", "where": first},
        {"reduction": "mean"},
        {"reduction": "sum", "sample_weight": weights},
    ]
    mean, none = ({"reduction": reduction, **weighed} for reduction in ("weighted_mean", "none"))
    others, dtypes = itertools.cycle([none, *plain]), itertools.cycle(EPS)
    for loss, arrays, parameters in losses:
        for keywords, dtype in ((mean, next(dtypes)), (next(others), "float64")):
            wanted: list[int | str] = [
                *(place for place, array in enumerate(arrays) if array.dtype.kind == "f"),
                *parameters,
            ]
            call = keywords | parameters
            value = np.asarray(loss(*arrays, **call))
            cotangent = rounded(draw.normal(size=value.shape)) + 0.25
            # NumPy has no other upstream gradient than a weight in a sum.
            scaled, factor = call, cotangent
            if value.ndim:
                scaled, factor = call | {"reduction": "sum", "sample_weight": weights * cotangent}, np.asarray(1.0)
            _, gradients = polyloss.value_and_grad(loss, wanted)(*arrays, **scaled)
            name = f"{loss!r} with {', '.join(map(str, keywords))}"
            yield BatchCase(
                name,
                loss,
                arrays,
                keywords,
                parameters,
                dtype,
                cotangent,
                value,
                tuple(g * factor for g in gradients),
            )
