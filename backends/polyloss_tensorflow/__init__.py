"""TensorFlow: a pair becomes a `tf.custom_gradient`. The namespace is our own: tensors have none.

The Keras classes of `polyloss_keras` can be had from here too: ``polyloss_tensorflow.Huber``.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from polyloss.adapters import Namespace, pull, scalar, sum_to
from polyloss.classes import classes, no_class
from polyloss.core.backend import Alike
from polyloss.core.collectives import Group, split_over
from polyloss.engine.blocks import Blocks, InMemory, Memory
from polyloss.engine.dialect import aligned

from . import _namespace
from ._chunks import ByChunks, by_framework, upstream_of
from ._collectives import group_of
from ._private import EagerTensor, compares_values, is_recorded, order_of, record

if TYPE_CHECKING:
    from polyloss_keras import KerasLoss


class _Memory(Memory):
    """Eager tensors as arrays of NumPy."""

    def see(self, array: Any) -> Any:
        if array.shape.rank:
            return np.asarray(array)
        # Of bfloat16, TensorFlow gives NumPy no array without axes.
        return np.asarray(array[None]).reshape(())

    def empty(self, shape: Sequence[int], dtype: Any) -> tuple[Any, Any]:
        # On memory that starts elsewhere, TensorFlow ends the process.
        memory = aligned(shape, dtype)
        if memory.dtype.kind != "V":
            return tf.experimental.dlpack.from_dlpack(memory.__dlpack__()), memory
        # NumPy hands out its own dtypes alone: the bits are the same.
        bits = tf.experimental.dlpack.from_dlpack(memory.view(np.uint16).__dlpack__())
        return tf.bitcast(bits, tf.as_dtype(memory.dtype)), memory


_MEMORY = _Memory()


class TensorflowBackend(ByChunks, InMemory):
    """The adapter of `tf.Tensor` and `tf.Variable`."""

    name = "tensorflow"
    constructor = "tf.constant"
    welcomes_numpy = True

    def namespace(self, array: Any) -> Namespace:
        old = _of_version_1()
        if old:
            raise TypeError(f"polyloss cannot compute with {old}")
        return _namespace

    def asarray(self, value: Any, like: Any, dtype: Any = None) -> Any:
        if isinstance(value, (int, float)):
            return tf.convert_to_tensor(value, dtype=dtype or like.dtype)
        # Beside tensors: variables, those of Keras among them, and NumPy arrays.
        return tf.convert_to_tensor(value)

    def keeps(self, array: Any) -> bool:
        # Nobody can modify an eager tensor; others have no `signature`.
        return True

    def refusal(self, array: Any) -> str | None:
        kind = next((kind for kind in _REFUSED if isinstance(array, kind)), None)
        if kind is not None:
            return f"a tf.{kind.__name__}; {_REFUSED[kind]}"
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            return f"{type(array).__module__.partition('.')[0]}'s {type(array).__name__}; give a tensor"
        if array.shape.rank is None:
            return "a tensor that does not know how many axes it has; say so with tf.ensure_shape"
        return _of_version_1()

    def readable(self, *arrays: Any) -> bool:
        return tf.executing_eagerly() and all("CPU" in a.device for a in arrays)

    def signature(self, arrays: Sequence[Any]) -> Hashable | None:
        if not tf.executing_eagerly():
            return None
        found: list[Any] = []
        for array in arrays:
            if type(array) is not EagerTensor or "CPU" not in array.device:
                return None
            found += [array.dtype, tuple(array.shape.as_list())]
        return tuple(found)

    def blockwise(self, inputs: Sequence[Any], options: Sequence[Any]) -> bool:
        return self.signature((*inputs, *options)) is not None

    def memory(self, arrays: Sequence[Any]) -> Memory:
        return _MEMORY

    def wrap(self, number: Any) -> Any:
        found, memory = _MEMORY.empty((), number.dtype)
        memory[()] = number
        return found

    def attach_blocks(self, blocks: Blocks, arrays: Sequence[Any]) -> Any:
        order = order_of(arrays)
        wanted = tuple([order > 0 and is_recorded(array) for array in arrays])
        if order and (order > 1 or not any(wanted) or blocks.lacks_closed_form(wanted)):
            # Of higher order, in forward mode, or of a weight.
            return blocks.plain(*arrays)
        value, kept = blocks.forward(arrays, wanted)
        if order:
            record(blocks.name, value, arrays, lambda upstream: blocks.backward(arrays, kept, upstream, wanted))
        return value

    def length(self, array: Any, axis: int, dtype: Any) -> Any:
        known = array.shape[axis]
        return tf.cast(tf.shape(array)[axis], dtype) if known is None else known

    def agree(self, loss: str, axes: Alike) -> Any:
        found, expected = tf.shape(axes.array)[axes.axis], tf.shape(axes.other)[axes.other_axis]
        agree = tf.equal(found, expected) | (axes.or_one & tf.equal(found, 1))
        message = (
            f"{loss}: {axes.name} must be as long along axis {axes.axis} as {axes.other_name} along axis "
            f"{axes.other_axis}; nothing is broadcast. Lengths:"
        )
        # XLA knows no assertion: there NaN must tell.
        with tf.control_dependencies([tf.debugging.Assert(agree, [message, found, expected])]):
            return tf.identity(agree)

    def poison(self, bad: Any, dtype: Any) -> Any:
        # No NaN, where nothing is bad: a debugger would find it.
        return 1.0 + _namespace.sqrt(-_namespace.astype(bad, dtype))

    def attach(self, pair: Any, arrays: Sequence[Any]) -> Any:
        # In a graph nobody knows yet whether a gradient will be wanted.
        wanted = [
            array.dtype.is_floating and (not tf.executing_eagerly() or place < pair.inputs or is_recorded(array))
            for place, array in enumerate(arrays)
        ]

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def attached(*inputs: Any) -> Any:
            value, *gradients = pair(*inputs)

            def gradient(upstream: Any) -> list[Any]:
                upstream = upstream_of(upstream, value)
                group = split_over(pair, value)
                if group is not None:
                    upstream = group.replicated(upstream)
                # In a graph everything is there to be differentiated again; eagerly, only what is computed here.
                known = pair(*inputs)[1:] if tf.executing_eagerly() else gradients
                found: list[Any] = [None] * len(inputs)
                for place, (gradient, want) in enumerate(zip(known, wanted, strict=True)):
                    if want and gradient is not None:
                        found[place] = pull(upstream, gradient())
                        if place >= pair.inputs:
                            found[place] = sum_to(_namespace, found[place], inputs[place].shape)
                rest = [place for place, want in enumerate(wanted) if want and known[place] is None]
                if group is not None and rest:
                    if tf.executing_eagerly():
                        raise TypeError(
                            f"{pair.name}: by an argument without a closed form, its rows must be whole: gather them"
                        )
                    # Nobody knows yet whether it is wanted: who asks gets None.
                    rest = []
                for place, differentiated in zip(
                    rest, by_framework(lambda *a: pair(*a)[0], inputs, rest, upstream), strict=True
                ):
                    found[place] = differentiated
                return found

            return value, gradient

        return attached(*arrays)

    def group(self, group: Any, array: Any) -> Group:
        return group_of(group)

    def value_and_grad(self, function: Callable[..., Any], argnums: Sequence[int]) -> Callable[..., Any]:
        def differentiated(*arguments: Any, **keywords: Any) -> Any:
            inputs = [tf.convert_to_tensor(a) if i in argnums else a for i, a in enumerate(arguments)]
            wanted = [inputs[number] for number in argnums]
            with tf.GradientTape() as tape:
                tape.watch(wanted)
                value = scalar(function)(*inputs, **keywords)
            return value, tuple(tape.gradient(value, wanted, unconnected_gradients="zero"))

        return differentiated

    def each_row(self, function: Callable[[Any], Any], rows: Any) -> Any:
        return tf.vectorized_map(function, rows)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return tf.function(function, jit_compile=True, reduce_retracing=True)  # type: ignore[no-any-return]

    def stop_gradient(self, array: Any) -> Any:
        return tf.stop_gradient(array)


_REFUSED = {
    tf.RaggedTensor: "give .to_tensor(), and where=tf.sequence_mask(.row_lengths())",
    tf.SparseTensor: "give tf.sparse.to_dense(...)",
    tf.IndexedSlices: "give tf.convert_to_tensor(...)",
    tf.TensorArray: "give .stack()",
}
"""What is no tensor, and what to do with it."""


def _of_version_1() -> str | None:
    """What is wrong with all tensors here, where ``==`` does not compare their values."""
    if not (compares_values() and isinstance(tf.TensorShape([1])[0], int)):
        return "tensors that behave as in TensorFlow 1; remove tf.compat.v1.disable_v2_behavior() and its parts"
    if not tf.executing_eagerly() and not tf.compat.v1.executing_eagerly_outside_functions():
        return (
            "tensors of a graph of TensorFlow 1, where == compares identities; leave eager execution on, and use "
            "tf.function instead of a graph and a session"
        )
    return None


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
    from polyloss_keras import KerasLoss

    return KerasLoss(loss, **parameters)


def __getattr__(name: str) -> Callable[..., "KerasLoss"]:
    # Where the classes were before they ran on every backend of Keras, which is imported when one is asked for.
    if name == "KerasLoss" or name in classes():
        import polyloss_keras

        if name in polyloss_keras.__all__:
            found: Callable[..., KerasLoss] = getattr(polyloss_keras, name)
            return found
    made = [ours for ours, loss in classes().items() if len(loss.arrays) == 2]
    raise no_class("polyloss_tensorflow", name, made, ["keras", "tf"])


def __dir__() -> list[str]:
    return [*globals(), "KerasLoss", *classes()]


__all__ = ["TensorflowBackend", "backend", "keras_loss"]
