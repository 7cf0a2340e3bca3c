"""Groups of replicas, of the strategy that a replica function runs in."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from polyloss.core.collectives import Alone, Group, layout_of, lengths_of

_RING = "tf.distribute sends nothing from one replica to another: ring=False gathers the examples instead"


class Replicas(Group):
    """The replicas of a strategy of `tf.distribute`."""

    def __init__(self, context: Any) -> None:
        self.context = context

    @property
    def size(self) -> int:
        count: int = self.context.num_replicas_in_sync
        return count

    def sum(self, array: Any) -> Any:
        return self.context.all_reduce(tf.distribute.ReduceOp.SUM, array)

    def replicated_sum(self, array: Any) -> Any:
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def summed(array: Any) -> Any:
            return self.sum(array), self.replicated

        return summed(array)

    def replicated(self, array: Any) -> Any:
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def same(array: Any) -> Any:
            return tf.identity(array), self.replicated_sum

        return same(array)

    def maximum(self, array: Any) -> Any:
        # There is no all-reduce that takes the largest.
        found = tf.reduce_max(self.gather(tf.stop_gradient(array)[None], None), axis=0)
        return tf.ensure_shape(found, array.shape)

    def offset_and_length(self, part: int) -> tuple[Any, Any]:
        parts = self.context.all_gather(tf.constant([part]), axis=0)
        offset, length = self.start(parts), tf.reduce_sum(parts)
        return (int(offset), int(length)) if tf.executing_eagerly() else (offset, length)

    def longest(self, part: int) -> int | None:
        return None

    def lengths(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        if tf.executing_eagerly():
            layouts = self.context.all_gather(tf.constant([layout_of(arrays)]), axis=0)
            lengths_of("replica", arrays, layouts.numpy().tolist())
            counts = layouts[..., 0]
        else:
            # Nothing can be raised while it is traced.
            mine = [0 if array is None else tf.shape(array)[0] for array in arrays.values()]
            counts = self.context.all_gather(tf.stack(mine)[None], axis=0)
        return {name: counts[:, place] for place, name in enumerate(arrays)}

    def start(self, lengths: Any) -> Any:
        return tf.reduce_sum(lengths[: self.context.replica_id_in_sync_group])

    def gather(self, array: Any, lengths: Any) -> Any:
        if array.dtype.is_floating:
            return self.context.all_gather(array, axis=0)
        # Neither booleans nor all integers travel.
        return tf.cast(self.context.all_gather(tf.cast(array, tf.int64), axis=0), array.dtype)

    def reduce_scatter(self, array: Any, lengths: Any) -> Any:
        start, mine = self.start(lengths), lengths[self.context.replica_id_in_sync_group]
        return self.sum(array)[start : start + mine]

    def shift(self, block: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError(_RING)


def group_of(group: Any) -> Group:
    """The replicas that the code runs in now."""
    if group is not None:
        raise TypeError(f"group must be None, for the replicas of the strategy that runs the function, got {group!r}")
    context = tf.distribute.get_replica_context()
    if context is None:
        raise ValueError("group: call it inside of a function that a strategy runs, as in strategy.run(function)")
    return Alone() if context.num_replicas_in_sync == 1 else Replicas(context)


__all__ = ["Replicas", "group_of"]
