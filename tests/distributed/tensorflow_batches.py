"""Two devices of TensorFlow that compare their examples."""

from typing import Any

import numpy as np
import tensorflow as tf

import polyloss
from polyloss import distributed

from .batches import CUTS, CUTS_OF_REFERENCES, BatchCase, cases
from .rows import refusals


def result(strategy: Any, case: BatchCase, dtype: str, in_graph: bool) -> list[str]:
    def given(array: Any) -> Any:
        tensor = tf.constant(array)
        return tf.cast(tensor, dtype) if tensor.dtype.is_floating else tensor

    def step() -> Any:
        context = tf.distribute.get_replica_context()
        rank = int(tf.get_static_value(context.replica_id_in_sync_group))
        parts = case.parts(CUTS[2], CUTS_OF_REFERENCES[2], rank)
        arrays = [given(array[part]) for array, part in zip(case.arrays, parts, strict=True)]
        own = {name: given(v[parts[0]]) for name, v in case.keywords.items() if isinstance(v, np.ndarray)}
        parameters = {name: given(value) for name, value in case.parameters.items()}
        keywords = {**case.keywords, **own, **parameters}
        wanted = [*(arrays[place] for place in case.learned), *parameters.values()]
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            value = distributed.data_parallel(case.loss)(*arrays, **keywords)
            # The value is that of all members: each one sends a part of its gradient.
            cotangent = case.cotangent[parts[0]] if case.value.ndim else case.cotangent / 2
        gradients = tape.gradient(value, wanted, tf.cast(cotangent, value.dtype))
        count = len(case.learned)
        return value, [*gradients[:count], *(context.all_reduce("sum", one) for one in gradients[count:])]

    def run() -> Any:
        return strategy.run(step)

    value, gradients = (tf.function(run, autograph=False) if in_graph else run)()
    found = []
    for rank in range(2):
        mine = [
            np.asarray(tf.cast(strategy.experimental_local_results(one)[rank], tf.float64))
            for one in (value, *gradients)
        ]
        parts = case.parts(CUTS[2], CUTS_OF_REFERENCES[2], rank)
        found += case.problems(f"replica {rank}, graph={in_graph}", dtype, mine[0], mine[1:], parts)
    return found


def results(strategy: Any) -> list[str]:
    """Values and gradients, eagerly and in a graph."""
    return [
        problem
        for case in cases()
        # To make all of the graphs takes long.
        for in_graph in {False, case.dtype == "float32" or case.reduction == "none"}
        for problem in result(strategy, case, case.dtype, in_graph)
    ]


def errors(strategy: Any) -> list[str]:
    x, ids = tf.ones((3, 4)), tf.zeros(3, dtype=tf.int32)

    def wider() -> Any:
        features = 4 + int(tf.distribute.get_replica_context().replica_id_in_sync_group)
        return distributed.data_parallel(polyloss.circle)(tf.ones((3, features)), ids)

    ring = distributed.data_parallel(polyloss.circle, ring=True)
    return refusals(
        [
            (lambda: strategy.run(wider), "replica 0 has 4 features of float32, and replica 1 5 features of float32"),
            (
                lambda: strategy.run(lambda: ring(x, ids)),
                "ring=False gathers",
            ),
        ],
        (ValueError, NotImplementedError),
    )


def problems(strategy: Any) -> list[str]:
    return [*results(strategy), *errors(strategy)]
