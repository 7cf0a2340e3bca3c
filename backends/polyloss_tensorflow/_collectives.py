"""Groups of replicas, of the strategy that a replica function runs in."""

from typing import Any

import tensorflow as tf

from polyloss.core.collectives import Alone, Group

_WHOLE = "tf.distribute has no all-reduce that takes the largest: rows must be whole in TensorFlow"


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
        raise NotImplementedError(_WHOLE)

    def replicated(self, array: Any) -> Any:
        raise NotImplementedError(_WHOLE)

    def maximum(self, array: Any) -> Any:
        raise NotImplementedError(_WHOLE)

    def offset_and_length(self, shape: tuple[Any, ...]) -> tuple[Any, Any]:
        raise NotImplementedError(_WHOLE)


def group_of(group: Any) -> Group:
    """The replicas that the code runs in now."""
    if group is not None:
        raise TypeError(f"group must be None, for the replicas of the strategy that runs the function, got {group!r}")
    context = tf.distribute.get_replica_context()
    if context is None:
        raise ValueError("group: call it inside of a function that a strategy runs, as in strategy.run(function)")
    return Alone() if context.num_replicas_in_sync == 1 else Replicas(context)


__all__ = ["Replicas", "group_of"]
