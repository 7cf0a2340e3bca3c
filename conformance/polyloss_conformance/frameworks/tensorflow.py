"""TensorFlow: eager, as graphs, and through XLA."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.cases import Place, has_bfloat16, numpy_dtype

from .base import EAGER, QUICK_XLA, Array, Curvature, Framework, Outcome, Step, called, placed


class TensorflowFramework(Framework):
    name = "tensorflow"
    package = "tensorflow"
    written = "tf.constant({}, dtype='{}')"
    modes = (*EAGER, "function", "xla")
    flushes = True
    dynamic = ("function",)

    def __init__(self) -> None:
        import tensorflow as tf

        # Many small functions are meant to be traced here, and it would warn of each.
        tf.get_logger().setLevel("ERROR")

    @property
    def version(self) -> str:
        import tensorflow as tf

        return str(tf.__version__)

    def hurry(self) -> None:
        # XLA ends a process that has a flag which it does not know: older versions lack the second.
        if tuple(map(int, self.version.split(".")[:2])) >= (2, 21):
            os.environ.setdefault(
                "XLA_FLAGS", " ".join(f"--{name}={value}".lower() for name, value in QUICK_XLA.items())
            )

    def array(self, value: NDArray[Any]) -> Array:
        import tensorflow as tf

        if has_bfloat16 and value.dtype == numpy_dtype("bfloat16"):
            return tf.cast(tf.constant(value.astype(np.float32)), tf.bfloat16)
        return tf.constant(value)

    def numpy(self, array: Array) -> NDArray[Any]:
        return np.asarray(array.numpy())

    def is_array(self, value: Any) -> bool:
        import tensorflow as tf

        return isinstance(value, tf.Tensor)

    def dtype(self, array: Array) -> str:
        return str(array.dtype.name)

    def step(
        self,
        loss: Any,
        static: Mapping[str, Any],
        wanted: Sequence[Place],
        mode: str,
        batched: Collection[Place] = (),
        unoptimised: bool = False,
    ) -> Step:
        import tensorflow as tf

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Any:
            given = placed(arrays, options)
            chosen = [given[place] for place in wanted]
            with tf.GradientTape() as tape:
                tape.watch(chosen)
                value = called(loss, static, given)
            return value, tape.gradient(value, chosen, output_gradients=cotangent)

        if mode in EAGER:
            return lambda arrays, options, cotangent: Outcome(*_tuple(run(arrays, options, cotangent)))

        compiled: list[Any] = []

        def call(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            if not compiled:

                def spec(array: Array, place: int | None = None) -> Any:
                    # Arrays that all examples share keep their shapes. Keywords may be longer in the next call.
                    known = not batched or (place is not None and place not in batched)
                    return tf.TensorSpec(array.shape if known else [None] * array.shape.rank, array.dtype)

                signature = [
                    [spec(array, place) for place, array in enumerate(arrays)],
                    {key: spec(option) for key, option in options.items()},
                    spec(cotangent),
                ]
                compiled.append(tf.function(run, input_signature=signature, jit_compile=mode == "xla"))
            return Outcome(*_tuple(compiled[0](list(arrays), dict(options), cotangent)))

        return call

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:
        import tensorflow as tf

        def function(inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
            return loss(*inputs, **static, **keywords)

        def spec(a: Any) -> Any:
            return tf.TensorSpec(a.shape, a.dtype) if self.is_array(a) else a

        tf.function(function, autograph=False).get_concrete_function(
            [spec(a) for a in arrays], {k: spec(o) for k, o in options.items()}
        )
        return True

    def curvature(self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place]) -> Curvature:
        import tensorflow as tf

        def product(
            arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array, directions: Sequence[Array]
        ) -> tuple[Array, ...]:
            given = placed(arrays, options)
            chosen = [given[place] for place in wanted]
            with tf.GradientTape() as outer:
                outer.watch(chosen)
                with tf.GradientTape() as inner:
                    inner.watch(chosen)
                    value = called(loss, static, given)
                gradients = inner.gradient(value, chosen, output_gradients=cotangent)
            return tuple(
                outer.gradient(gradients, chosen, output_gradients=list(directions), unconnected_gradients="zero")
            )

        return product


def _tuple(outcome: tuple[Array, Sequence[Array]]) -> tuple[Array, tuple[Array, ...]]:
    return outcome[0], tuple(outcome[1])
