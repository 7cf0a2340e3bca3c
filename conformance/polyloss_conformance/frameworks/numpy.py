"""NumPy, which has no automatic differentiation: gradients are closed forms, and what differentiates these is ours."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.cases import DTYPES, Place

from .base import Array, Curvature, Framework, Outcome, Step


class NumpyFramework(Framework):
    name = "numpy"
    package = "numpy"
    written = "np.asarray({}, dtype='{}')"
    dtypes = tuple(d for d in DTYPES if d != "bfloat16")
    differentiates = False

    def array(self, value: NDArray[Any]) -> Array:
        value = value.copy()
        value.flags.writeable = False
        return value

    def numpy(self, array: Array) -> NDArray[Any]:
        return np.asarray(array)

    def is_array(self, value: Any) -> bool:
        return isinstance(value, np.ndarray | np.generic)

    def step(
        self,
        loss: Any,
        static: Mapping[str, Any],
        wanted: Sequence[Place],
        mode: str,
        batched: Collection[Place] = (),
        unoptimised: bool = False,
    ) -> Step:
        import polyloss

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            value = loss(*arrays, **static, **options)
            if not wanted:
                return Outcome(value, ())
            keywords = {**static, **options}
            if keywords.get("reduction", "mean") == "none":
                # There is no upstream gradient to give; a weight in a sum is the same product.
                keywords |= _weighted(keywords, np.asarray(cotangent))
            try:
                _, gradients = polyloss.value_and_grad(loss, tuple(wanted))(*arrays, **keywords)
            except TypeError as error:
                if "no closed-form gradient" in str(error):
                    return Outcome(value, None)
                raise
            return Outcome(value, tuple(gradients))

        return run

    def curvature(self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place]) -> Curvature:
        import polyloss
        from polyloss_autodiff import Dual

        def product(
            arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array, directions: Sequence[Array]
        ) -> tuple[Array, ...]:
            along = dict(zip(wanted, directions, strict=True))
            duals = [Dual(array, along.get(place)) for place, array in enumerate(arrays)]
            keywords = {name: Dual(array, along.get(name)) for name, array in options.items()}
            if static.get("reduction", "mean") == "none":
                keywords |= _weighted({}, Dual(cotangent))
            fixed = {name: value for name, value in static.items() if name not in keywords}
            _, gradients = polyloss.value_and_grad(loss, tuple(wanted))(*duals, **fixed, **keywords)
            none = (np.zeros_like(np.asarray(gradient.primal)) for gradient in gradients)
            return tuple(
                zeros if gradient.tangent is None else gradient.tangent
                for zeros, gradient in zip(none, gradients, strict=True)
            )

        return product


def _weighted(keywords: Mapping[str, Any], cotangent: Any) -> dict[str, Any]:
    """There is no upstream gradient to give; a weight in a sum is the same product."""
    weight = keywords.get("sample_weight")
    if weight is not None:
        cotangent = weight[(..., *(None,) * (cotangent.ndim - weight.ndim))] * cotangent
    return {"reduction": "sum", "sample_weight": cotangent}
