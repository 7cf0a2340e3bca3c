"""TensorFlow: `tf.nn` and Keras, eager and compiled by XLA."""

import gc
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf
from numpy.typing import NDArray

from .columns import Column, Side, Step


class TensorflowColumn(Column):
    """TensorFlow."""

    backend = "tensorflow"
    families: ClassVar[Mapping[str, tuple[str, str]]] = {"tf": ("tf.nn", "tf.nn."), "keras": ("Keras", "keras.losses.")}

    def __init__(self, mode: str, device: str = "cpu") -> None:
        super().__init__(mode, device)
        # It warns of many functions that are traced, and here they are meant to be.
        tf.get_logger().setLevel("ERROR")

    def array(self, array: NDArray[Any], dtype: str = "float32") -> Any:
        found = tf.constant(array)
        return tf.cast(found, dtype) if found.dtype.is_floating else found

    def mean(self, values: Any) -> Any:
        return tf.reduce_mean(values) if values.shape.rank else values

    def products(self, rows: Any, columns: Any) -> Any:
        return tf.matmul(rows, columns, transpose_b=True)

    def peak_memory(self, step: Step, tries: int) -> int | None:
        # Its allocator keeps what it once had, and counts. NumPy, inside, is counted beside it: an upper bound.
        gc.collect()
        tracemalloc.start()
        try:
            memory = tf.config.experimental
            memory.reset_memory_stats(self.device)
            before = memory.get_memory_info(self.device)["current"]
            step()
            here = tracemalloc.get_traced_memory()[1] if self.on_cpu else 0
            return int(memory.get_memory_info(self.device)["peak"]) - int(before) + here
        except ValueError:
            return super().peak_memory(step, tries) if self.on_cpu else None
        finally:
            tracemalloc.stop()

    def step(self, side: Side, arrays: Sequence[Any], wanted: Sequence[int], gradient: bool) -> Step:
        def both(*arrays: Any) -> Any:
            chosen = [arrays[i] for i in wanted]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(chosen)
                value = side.value(*arrays)
            return value, tape.gradient(value, chosen)

        def alone(*arrays: Any) -> Any:
            return side.value(*arrays), ()

        run = both if gradient else alone
        if self.mode == "jit_compile":
            run = tf.function(run, jit_compile=True, autograph=False)

        def step() -> tuple[Any, Sequence[Any]]:
            value, gradients = run(*arrays)
            return value.numpy(), gradients  # waits for it

        return step


COLUMN = TensorflowColumn
