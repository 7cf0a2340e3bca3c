"""NumPy, which has no automatic differentiation."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.cases import DTYPES, Place

from .base import Array, Framework, Outcome, Step


class NumpyFramework(Framework):
    name = "numpy"
    package = "numpy"
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
                weight = keywords.get("sample_weight")
                if weight is not None:
                    cotangent = weight[(..., *(None,) * (cotangent.ndim - weight.ndim))] * cotangent
                keywords |= {"reduction": "sum", "sample_weight": np.asarray(cotangent)}
            try:
                _, gradients = polyloss.value_and_grad(loss, tuple(wanted))(*arrays, **keywords)
            except TypeError as error:
                if "no closed-form gradient" in str(error):
                    return Outcome(value, None)
                raise
            return Outcome(value, tuple(gradients))

        return run
