"""TensorFlow: `tf.nn` and Keras, eager and compiled by XLA."""

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from .columns import Column, Side, Step
from .rows import Row


def _tf_mse(x: Any, t: Any) -> Any:
    return tf.nn.l2_loss(x - t) * (2 / x.shape.num_elements())


def _tf_bce(x: Any, t: Any) -> Any:
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=t, logits=x))


def _tf_focal(x: Any, t: Any, alpha: float, gamma: float) -> Any:
    p = tf.sigmoid(x)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=t, logits=x)
    right = p * t + (1 - p) * (1 - t)
    weight = alpha * t + (1 - alpha) * (1 - t)
    return tf.reduce_mean(weight * entropy * (1 - right) ** gamma)


def _tf_cross_entropy(x: Any, t: Any) -> Any:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=t, logits=x))


def _tf_triplet(a: Any, p: Any, n: Any) -> Any:
    near, far = tf.norm(a - p, axis=-1), tf.norm(a - n, axis=-1)
    return tf.reduce_mean(tf.nn.relu(near - far + 1.0))


def _linear(hidden: Any, weight: Any, target: Any) -> Any:
    return _tf_cross_entropy(tf.matmul(hidden, weight, transpose_b=True), target)


_TF: dict[str, tuple[str, Callable[..., Any]]] = {
    "mse": ("tf.nn.l2_loss", _tf_mse),
    "binary_cross_entropy_with_logits": ("tf.nn.sigmoid_cross_entropy_with_logits", _tf_bce),
    "sigmoid_focal": ("formula", _tf_focal),
    "cross_entropy": ("tf.nn.sparse_softmax_cross_entropy_with_logits", _tf_cross_entropy),
    "triplet_margin": ("formula", _tf_triplet),
}


def _keras(row: Row) -> tuple[str, Callable[..., Any]] | None:
    losses, keywords = keras.losses, row.keywords
    if row.name == "smooth_l1":
        huber, beta = losses.Huber(keywords["beta"]), keywords["beta"]
        return "Huber", lambda x, t: huber(t, x) / beta
    if row.name == "kl_divergence":
        divergence = losses.KLDivergence()
        return "KLDivergence", lambda a, t: divergence(t, tf.exp(a))
    known = {
        "mse": lambda: losses.MeanSquaredError(),
        "l1": lambda: losses.MeanAbsoluteError(),
        "huber": lambda: losses.Huber(),
        "binary_cross_entropy_with_logits": lambda: losses.BinaryCrossentropy(from_logits=True),
        "sigmoid_focal": lambda: losses.BinaryFocalCrossentropy(
            apply_class_balancing=True, from_logits=True, **keywords
        ),
        "cross_entropy": lambda: losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    if row.name not in known:
        return None
    loss = known[row.name]()
    return type(loss).__name__, lambda x, t: loss(t, x)


class TensorflowColumn(Column):
    """TensorFlow on the CPU."""

    backend = "tensorflow"

    def __init__(self, mode: str) -> None:
        super().__init__(mode)
        # It warns of many functions that are traced, and here they are meant to be.
        tf.get_logger().setLevel("ERROR")

    def array(self, array: NDArray[Any]) -> Any:
        return tf.constant(array)

    def peak_memory(self, step: Step, tries: int) -> int | None:
        # Its allocator keeps what it once had, and counts. NumPy, inside, is counted beside it: an upper bound.
        gc.collect()
        tracemalloc.start()
        try:
            memory = tf.config.experimental
            memory.reset_memory_stats("CPU:0")
            before = memory.get_memory_info("CPU:0")["current"]
            step()
            return int(memory.get_memory_info("CPU:0")["peak"]) - int(before) + tracemalloc.get_traced_memory()[1]
        except ValueError:
            return super().peak_memory(step, tries)
        finally:
            tracemalloc.stop()

    def rivals(self, row: Row) -> list[Side]:
        if row.name == "linear_cross_entropy":
            return [Side("plain", "tf.nn of the logits", _linear)]
        found, keywords = [], row.keywords
        if row.name in _TF:
            name, function = _TF[row.name]
            found.append(Side("tf.nn", name, lambda *arrays: function(*arrays, **keywords)))
        class_ = _keras(row)
        if class_ is not None:
            found.append(Side("Keras", *class_))
        return found

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
