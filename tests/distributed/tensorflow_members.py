"""Two devices of TensorFlow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

import polyloss
from polyloss import distributed

from . import tensorflow_batches, tensorflow_rows
from .examples import EXAMPLES, Spread, spread
from .rows import refusals

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def counts() -> list[str]:
    """A mean over all examples where one replica has few that count, eagerly and in a graph."""
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    ids = np.asarray([-100, -100, -100, 1, 0, 2, 3, 4])

    def of_replica(context: Any, array: Any) -> Any:
        return tf.reshape(tf.constant(array), (2, 4, -1))[context.replica_id_in_sync_group]

    with STRATEGY.scope():
        layer = tf.Variable(np.eye(5, dtype=np.float32))

    def step() -> Any:
        context = tf.distribute.get_replica_context()
        mine, mine_ids = of_replica(context, x), of_replica(context, ids)[:, 0]
        with tf.GradientTape() as tape:
            count = distributed.total(tf.math.count_nonzero(mine_ids != -100, dtype=tf.int32))
            value = polyloss.cross_entropy(mine @ layer, mine_ids, ignore_index=-100, denominator=count)
        return context.all_reduce("sum", [value, tape.gradient(value, layer)])

    whole = tf.Variable(np.eye(5, dtype=np.float32))
    with tf.GradientTape() as tape:
        exact = polyloss.cross_entropy(tf.constant(x) @ whole, tf.constant(ids), ignore_index=-100)
    expected = [exact, tape.gradient(exact, whole)]
    found = []
    for run in (lambda: STRATEGY.run(step), tf.function(lambda: STRATEGY.run(step))):
        results = [STRATEGY.experimental_local_results(one)[0] for one in run()]
        found += [
            f"mean: {got.numpy().tolist()}, expected {one.numpy().tolist()}"
            for got, one in zip(results, expected, strict=True)
            if not np.allclose(got, one, rtol=1e-6, atol=1e-7)
        ]
    return found


def examples() -> list[str]:
    """Values of whole batches, and gradients that are those of one process once they are averaged."""
    kinds = [("float64", False), ("bfloat16", True)]
    return [problem for case in spread() for kind in kinds for problem in example(case, *kind)]


def example(case: Spread, dtype: str, in_graph: bool) -> list[str]:
    each = case.keywords["reduction"] == "none"

    def step() -> Any:
        context = tf.distribute.get_replica_context()

        def mine(array: Any) -> Any:
            return tf.constant(array.reshape(2, EXAMPLES // 2, *array.shape[1:]))[context.replica_id_in_sync_group]

        given: dict[str, Any] = {}
        for name, value in case.named.items():
            if isinstance(value, np.ndarray):
                array = tf.constant(value) if name in case.shared else mine(value)
                value = tf.cast(array, dtype) if array.dtype.is_floating else array
            given[name] = value
        with tf.GradientTape() as tape:
            tape.watch([given[name] for name in case.wanted])
            first = [given[name] for name in case.loss.arrays]
            others = {name: value for name, value in given.items() if name not in case.loss.arrays}
            value = distributed.data_parallel(case.loss)(*first, **others)
        cotangent = tf.cast(mine(case.cotangent) if each else case.cotangent, value.dtype)
        gradients = tape.gradient(value, [given[name] for name in case.wanted], output_gradients=cotangent)
        gradients = [tf.cast(gradient, tf.float64) for gradient in gradients]
        for place, name in enumerate(case.wanted):
            if name in case.shared:
                gradients[place] = context.all_reduce("sum", gradients[place])
        return [tf.cast(value, tf.float64), *(gradient if each else gradient / 2 for gradient in gradients)]

    def run() -> Any:
        return STRATEGY.run(step)

    found = []
    results = [STRATEGY.experimental_local_results(one) for one in (tf.function(run) if in_graph else run)()]
    for rank, part in enumerate((slice(0, 8), slice(8, EXAMPLES))):
        value, *gradients = (one[rank].numpy() for one in results)
        found += case.wrong(dtype, value, gradients, part)
    return found


def errors() -> list[str]:
    split = distributed.sharded(polyloss.cross_entropy)
    x, ids = tf.zeros((2, 3)), tf.zeros(2, dtype=tf.int32)
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: STRATEGY.run(lambda: split(x, ids + 6)), "in [0, 6), got 6"),
        (lambda: STRATEGY.run(lambda: distributed.total(ids, "classes")), "group must be None"),
    ]
    found = refusals(wrong, (TypeError, ValueError))
    if split(x, ids).numpy() != polyloss.cross_entropy(x, ids).numpy():
        found.append("another value with one replica")
    return found


def main() -> None:
    for problem in (
        *counts(),
        *examples(),
        *errors(),
        *tensorflow_rows.problems(STRATEGY),
        *tensorflow_batches.problems(STRATEGY),
    ):
        print(problem)
    print("finished")
