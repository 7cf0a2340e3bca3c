"""What TensorFlow has no public name for. Tried on 2.18 and 2.21."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager.forwardprop_util import pack_tangents
from tensorflow.python.eager.record import record_operation, should_record_backprop, stop_recording
from tensorflow.python.framework.ops import EagerTensor
from tensorflow.python.ops.gradients_util import PossibleTapeGradientTypes


def order_of(arrays: Sequence[Any]) -> int:
    """0 where nobody follows these tensors, 1 where one tape does, 2 where several do or there is forward mode."""
    return int(PossibleTapeGradientTypes(arrays))


def is_recorded(array: Any) -> bool:
    """Whether a tape follows a tensor."""
    return bool(should_record_backprop((array,)))


def is_forward_mode(arrays: Sequence[Any]) -> bool:
    """Whether tangents of these tensors are followed."""
    return bool(pack_tangents(list(arrays)).tangents)


def record(name: str, value: Any, arrays: Sequence[Any], pull: Callable[..., Any]) -> None:
    """Tell the tapes how `value` was made. What `tf.custom_gradient` ends with, without its search for variables."""
    record_operation(name, [value], list(arrays), pull)


def compares_values() -> bool:
    """Whether ``==`` of tensors is one of their values, as it was not in TensorFlow 1."""
    return bool(tf.Tensor._USE_EQUALITY)


__all__ = [
    "EagerTensor",
    "compares_values",
    "is_forward_mode",
    "is_recorded",
    "order_of",
    "record",
    "stop_recording",
]
