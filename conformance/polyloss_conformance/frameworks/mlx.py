"""MLX, whose arrays are lazy: each is evaluated when its numbers are looked at."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.cases import Place, numpy_dtype

from .base import Array, Curvature, Framework, Outcome, Step, of_chosen, placed


class MlxFramework(Framework):
    name = "mlx"
    package = "mlx"
    modes = ("eager", "compile")
    flushes = True
    welcomes_numpy = False

    def array(self, value: NDArray[Any]) -> Array:
        import mlx.core as mx

        # Of float64, MLX makes float32 if nothing is said. It has no complex128.
        return mx.array(value, mx.float64 if value.dtype == np.float64 else None)

    def numpy(self, array: Array) -> NDArray[Any]:
        import mlx.core as mx

        if array.dtype in (mx.float16, mx.bfloat16):
            # NumPy has no bfloat16, and warns of the NaN that MLX has in float16.
            return np.asarray(array.astype(mx.float32)).astype(numpy_dtype(self.dtype(array)))
        return np.asarray(array)

    def is_array(self, value: Any) -> bool:
        import mlx.core as mx

        return isinstance(value, mx.array)

    def dtype(self, array: Array) -> str:
        return str(array.dtype).rpartition(".")[2]

    def step(
        self,
        loss: Any,
        static: Mapping[str, Any],
        wanted: Sequence[Place],
        mode: str,
        batched: Collection[Place] = (),
        unoptimised: bool = False,
    ) -> Step:
        import mlx.core as mx

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Any:
            given = placed(arrays, options)
            function = of_chosen(loss, static, given, wanted)
            if not wanted:
                return function(), ()
            [value], found = mx.vjp(function, [given[place] for place in wanted], [cotangent])
            return value, tuple(found)

        run = mx.compile(run) if mode == "compile" else run

        def evaluated(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            outcome = Outcome(*run(list(arrays), dict(options), cotangent))
            # An error of what is computed later belongs to this call.
            mx.eval(*outcome)
            return outcome

        return evaluated

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:
        import mlx.core as mx

        function, inputs = self.of_arrays(loss, static, arrays, options)
        # What it returns is not evaluated, and so not run.
        mx.compile(function)(*inputs)
        return True

    def curvature(self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place]) -> Curvature:
        import mlx.core as mx

        def product(
            arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array, directions: Sequence[Array]
        ) -> tuple[Array, ...]:
            given = placed(arrays, options)
            function = of_chosen(loss, static, given, wanted)

            def gradients(*chosen: Array) -> Any:
                return mx.vjp(function, list(chosen), [cotangent])[1]

            return tuple(mx.vjp(gradients, [given[place] for place in wanted], list(directions))[1])

        return product
