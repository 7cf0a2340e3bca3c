"""Two devices of TensorFlow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

import polyloss
from polyloss import distributed

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


def errors() -> list[str]:
    split = distributed.sharded(polyloss.cross_entropy)
    x, ids = tf.zeros((2, 3)), tf.zeros(2, dtype=tf.int32)
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: STRATEGY.run(lambda: split(x, ids)), "rows must be whole"),
        (lambda: STRATEGY.run(lambda: distributed.total(ids, "classes")), "group must be None"),
    ]
    found = refusals(wrong, (TypeError, NotImplementedError))
    if split(x, ids).numpy() != polyloss.cross_entropy(x, ids).numpy():
        found.append("another value with one replica")
    return found


def main() -> None:
    for problem in (*counts(), *errors()):
        print(problem)
    print("finished")
