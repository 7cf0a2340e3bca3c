"""TensorFlow: a pair becomes a `tf.custom_gradient`. The namespace is our own: tensors have none.

Every loss of two arrays has a Keras class under its name in capitals: ``polyloss_tensorflow.Huber``.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.record import record_operation, should_record_backprop
from tensorflow.python.ops.gradients_util import PossibleTapeGradientTypes

from polyloss._blocks import Blocks
from polyloss._objects import classes
from polyloss._program import aligned
from polyloss._reduction import pull, sum_to
from polyloss._transform import scalar

from . import _namespace
from ._chunks import ByChunks, by_framework

if TYPE_CHECKING:
    from ._keras import KerasLoss


_Eager = type(tf.constant(0))


class TensorflowBackend(ByChunks):
    """The adapter of `tf.Tensor` and `tf.Variable`."""

    name = "tensorflow"
    welcomes_numpy = True

    def namespace(self, array: Any) -> Any:
        return _namespace

    def asarray(self, value: Any, like: Any, dtype: Any = None) -> Any:
        if isinstance(value, (tf.Tensor, tf.Variable, np.ndarray)):
            tensor = tf.convert_to_tensor(value)
            if tensor.shape.rank is None:
                raise ValueError("a loss needs to know how many axes a tensor has, got one of unknown shape")
            return tensor
        return tf.convert_to_tensor(value, dtype=dtype or like.dtype)

    def readable(self, *arrays: Any) -> bool:
        return tf.executing_eagerly() and all("CPU" in a.device for a in arrays)

    def signature(self, arrays: Sequence[Any]) -> Hashable | None:
        if not tf.executing_eagerly():
            return None
        found: list[Any] = []
        for array in arrays:
            if type(array) is not _Eager or "CPU" not in array.device:
                return None
            found += [array.dtype, *array.shape.as_list(), None]
        return tuple(found)

    def blockwise(self, inputs: Sequence[Any], options: Sequence[Any]) -> bool:
        return self.signature((*inputs, *options)) is not None

    def memory(self, array: Any) -> Any:
        return np.asarray(array)

    def empty(self, shape: Sequence[int], dtype: Any) -> tuple[Any, Any]:
        # On memory that starts elsewhere, TensorFlow ends the process.
        memory = aligned(shape, dtype)
        return tf.experimental.dlpack.from_dlpack(memory.__dlpack__()), memory

    def wrap(self, number: Any) -> Any:
        found, memory = self.empty((), number.dtype)
        memory[()] = number
        return found

    def attach_blocks(self, blocks: Blocks, arrays: Sequence[Any]) -> Any:
        order = PossibleTapeGradientTypes(arrays)
        wanted = [order > 0 and should_record_backprop((array,)) for array in arrays]
        if order and (order > 1 or not any(wanted) or blocks.learns(wanted)):
            # Of higher order, in forward mode, or of a weight.
            return blocks.plain(*arrays)
        value, kept = blocks.forward(arrays, wanted)
        if order:
            # What tf.custom_gradient ends with, without its search for variables.
            record_operation(
                blocks.plan.loss.__name__,
                [value],
                list(arrays),
                lambda upstream: blocks.backward(arrays, kept, upstream, wanted),
            )
        return value

    def length(self, array: Any, axis: int, like: Any) -> Any:
        known = array.shape[axis]
        return tf.cast(tf.shape(array)[axis], like.dtype) if known is None else known

    def poison(self, bad: Any, dtype: Any) -> Any:
        # No NaN, where nothing is bad: a debugger would find it.
        return 1.0 + _namespace.sqrt(-_namespace.astype(bad, dtype))

    def attach(self, pair: Any, arrays: Sequence[Any]) -> Any:
        # In a graph nobody knows yet whether a gradient will be wanted.
        wanted = [
            array.dtype.is_floating
            and (not tf.executing_eagerly() or place < pair.inputs or should_record_backprop((array,)))
            for place, array in enumerate(arrays)
        ]

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def attached(*inputs: Any) -> Any:
            value, *gradients = pair(*inputs)

            def gradient(upstream: Any) -> list[Any]:
                # In a graph everything is there to be differentiated again; eagerly, only what is computed here.
                known = pair(*inputs)[1:] if tf.executing_eagerly() else gradients
                found: list[Any] = [None] * len(inputs)
                for place, (gradient, want) in enumerate(zip(known, wanted, strict=True)):
                    if want and gradient is not None:
                        found[place] = pull(upstream, gradient())
                        if place >= pair.inputs:
                            found[place] = sum_to(_namespace, found[place], inputs[place].shape)
                rest = [place for place, want in enumerate(wanted) if want and known[place] is None]
                for place, differentiated in zip(
                    rest, by_framework(lambda *a: pair(*a)[0], inputs, rest, upstream), strict=True
                ):
                    found[place] = differentiated
                return found

            return value, gradient

        return attached(*arrays)

    def value_and_grad(self, function: Callable[..., Any], argnums: Sequence[int]) -> Callable[..., Any]:
        def differentiated(*arguments: Any, **keywords: Any) -> Any:
            inputs = [tf.convert_to_tensor(a) if i in argnums else a for i, a in enumerate(arguments)]
            wanted = [inputs[number] for number in argnums]
            with tf.GradientTape() as tape:
                tape.watch(wanted)
                value = scalar(function)(*inputs, **keywords)
            return value, tuple(tape.gradient(value, wanted, unconnected_gradients="zero"))

        return differentiated

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return tf.function(function, jit_compile=True, reduce_retracing=True)  # type: ignore[no-any-return]

    def stop_gradient(self, array: Any) -> Any:
        return tf.stop_gradient(array)


backend = TensorflowBackend()


def keras_loss(loss: Callable[..., Any], **parameters: Any) -> "KerasLoss":
    """`loss` with some parameters, as a `keras.losses.Loss`.

    Parameters
    ----------
    loss : Loss
        A loss of two arrays, or a sum of such losses.
    **parameters
        Its keywords, and Keras's `reduction` and `name`.

    Raises
    ------
    TypeError
        If `loss` has no such keyword, or does not take two arrays.
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import tensorflow as tf, polyloss, polyloss_tensorflow
    >>> loss = polyloss_tensorflow.keras_loss(polyloss.huber, delta=2.0)
    >>> float(loss(tf.constant([0.0]), tf.constant([3.0])))
    4.0
    >>> polyloss_tensorflow.Huber(delta=2.0).get_config()
    {'name': 'huber', 'reduction': 'sum_over_batch_size', 'delta': 2.0}
    """
    from ._keras import KerasLoss

    return KerasLoss(loss, **parameters)


def __getattr__(name: str) -> Callable[..., "KerasLoss"]:
    # Keras is imported when one of its classes is asked for.
    if name == "KerasLoss" or name in classes():
        from . import _keras

        if name in vars(_keras):
            found: Callable[..., KerasLoss] = vars(_keras)[name]
            return found
    raise AttributeError(f"module 'polyloss_tensorflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "KerasLoss", *classes()]


__all__ = ["TensorflowBackend", "backend", "keras_loss"]
