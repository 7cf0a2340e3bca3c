"""Two devices of TensorFlow that have parts of rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

import polyloss
from polyloss import distributed

from . import linear
from .rows import CLASSES, Case, cases

PARTS = (slice(0, 5), slice(5, CLASSES))


def evaluated(strategy: Any, step: Callable[[slice], Any], in_graph: bool) -> list[list[Any]]:
    """What each replica makes of its part."""

    def own() -> Any:
        rank = int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))
        return [tf.cast(one, tf.float64) for one in step(PARTS[rank])]

    def run() -> Any:
        return strategy.run(own)

    results = (tf.function(run, autograph=False) if in_graph else run)()
    return [[strategy.experimental_local_results(one)[rank].numpy() for one in results] for rank in range(2)]


def tensor(array: Any, dtype: str) -> Any:
    found = tf.constant(array)
    return tf.cast(found, dtype) if found.dtype.is_floating else found


def row(strategy: Any, case: Case, dtype: str, in_graph: bool) -> list[str]:
    def step(part: slice) -> Any:
        pairs = zip(case.arrays, case.by_class, strict=True)
        arrays = [tensor(array[..., part] if is_split else array, dtype) for array, is_split in pairs]
        keywords = {
            key: tensor(value[part] if key == "class_weight" else value, dtype)
            if isinstance(value, np.ndarray)
            else value
            for key, value in case.keywords.items()
        }
        wanted = [arrays[0], *(keywords[key] for key in ("class_weight",) if key in keywords)]
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            value = distributed.sharded(getattr(polyloss, case.loss))(*arrays, **keywords)
        return value, *tape.gradient(value, wanted, tf.cast(case.cotangent, value.dtype))

    found = []
    for part, (value, *gradients) in zip(PARTS, evaluated(strategy, step, in_graph), strict=True):
        found += case.wrong(dtype, value, gradients, part)
    return found


def layer(strategy: Any, case: linear.Case, dtype: str, in_graph: bool) -> list[str]:
    def step(part: slice) -> Any:
        call = {
            name: tensor(case.part(name, array, part), dtype) if isinstance(array, np.ndarray) else array
            for name, array in (case.arrays | case.keywords).items()
        }
        wanted = [call[name] for name in case.gradients]
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            value = distributed.sharded(polyloss.linear_cross_entropy)(**call)
        return value, *tape.gradient(value, wanted, tf.cast(case.cotangent, value.dtype))

    found = []
    for part, (value, *gradients) in zip(PARTS, evaluated(strategy, step, in_graph), strict=True):
        found += case.wrong(dtype, value, dict(zip(case.gradients, gradients, strict=True)), part)
    return found


def problems(strategy: Any) -> list[str]:
    """Values and gradients, eagerly and in a graph; before the layer, the gradient of what is the same is summed."""
    found = []
    # To make all of the graphs takes long.
    for place, case in enumerate(cases()):
        found += row(strategy, case, "float64", False) + (
            row(strategy, case, "bfloat16", True) if place % 3 == 0 else []
        )
    for place, one in enumerate(linear.cases()):
        found += layer(strategy, one, "float64", place == 1)

    def step(part: slice) -> Any:
        hidden = tf.constant([[1.0, 2.0]])
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            value = tf.reduce_sum(distributed.replicated(hidden) * float(part.start + 1))
        return [tape.gradient(value, hidden)]

    for (gradient,) in evaluated(strategy, step, False):
        if not np.array_equal(gradient, [[7.0, 7.0]]):
            found.append(f"gradient of what is the same: {gradient}")
    return found
