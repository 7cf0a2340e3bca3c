"""Functions of many rows, a chunk of them at a time, that find their gradients together with their value."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from polyloss.adapters import Backend, lacks_closed_form
from polyloss.core.backend import TERMS, Named, Step, strips

from ._arrays import lengths
from ._private import is_forward_mode, is_recorded, stop_recording

_STRIP = 1 << 22
"""So many elements of a sum are added to at a time."""


class ByChunks(Backend):
    """What `TensorflowBackend` knows of them."""

    def attach_fused(self, fused: Any, arrays: Sequence[Any]) -> Any:
        # In a graph nobody knows yet whether a gradient will be wanted.
        wanted = [array.dtype.is_floating and (not tf.executing_eagerly() or is_recorded(array)) for array in arrays]
        if is_forward_mode(arrays) or (tf.executing_eagerly() and lacks_closed_form(fused.closed, wanted)):
            return fused.plain(*arrays)
        learned = [i for i, closed in enumerate(fused.closed) if wanted[i] and not closed]
        wanted = [want and closed for want, closed in zip(wanted, fused.closed, strict=True)]

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def attached(*inputs: Any) -> Any:
            # A tape would keep every chunk.
            with stop_recording():
                value, kept = fused.forward(inputs, wanted)
            left = [kept]

            def pull(upstream: Any) -> Any:
                upstream = upstream_of(upstream, value)
                found = pulled(fused, wanted, left, upstream, inputs)
                for place, gradient in zip(learned, by_framework(fused.plain, inputs, learned, upstream), strict=True):
                    found[place] = gradient
                return found

            return value, pull

        return attached(*arrays)

    def chunk(self, count: Any, size: int) -> Any:
        return size

    def scan(self, step: Step, totals: Named, rows: Named, size: int) -> tuple[Named, Named]:
        if tf.executing_eagerly():
            return super().scan(step, totals, rows, size)
        any_row = next(iter(rows.values()))
        known = any_row.shape[0]
        if known is not None and known <= size:
            return step(totals, rows)
        # The first chunk is the short one: empty only where all is, and it tells what there will be to hold.
        count = tf.shape(any_row)[0] if known is None else known
        rest = (count - 1) % size + 1
        chunks = tf.maximum(count - rest, 0) // size
        totals, first = step(totals, {name: array[:rest] for name, array in rows.items()})
        if known is None:
            # XLA takes no rows from nothing, not even in a loop of no steps.
            spare = tf.cast(tf.equal(count, 0), tf.int32)
            rows = {
                name: tf.pad(array, [[0, spare], *[[0, 0]] * (array.shape.rank - 1)]) for name, array in rows.items()
            }
        # Nor has it a gradient of a loop without room for a step.
        room = tf.maximum(chunks, 1)
        held = {
            name: tf.TensorArray(array.dtype, room, element_shape=(size, *array.shape[1:]))
            for name, array in first.items()
        }

        def body(chunk: Any, totals: Named, held: dict[str, Any]) -> Any:
            # No slice: XLA would refuse one of more rows than there turn out to be, even in a loop of no steps.
            here = rest + chunk * size + tf.range(size)
            row = {name: tf.gather(array, here) for name, array in rows.items()}
            totals, found = step(totals, row)
            return chunk + 1, totals, {name: held[name].write(chunk, array) for name, array in found.items()}

        _, totals, held = tf.while_loop(
            lambda chunk, *_: chunk < chunks, body, (0, totals, held), parallel_iterations=1, maximum_iterations=room
        )
        joined = {
            name: tf.concat([array, tf.reshape(held[name].stack()[:chunks], (-1, *lengths(array)[1:]))], 0)
            for name, array in first.items()
        }
        return totals, joined

    def project(self, rows: Any, matrix: Any) -> Any:
        # The transpose itself would be a copy.
        return tf.matmul(rows, matrix, transpose_b=True)

    def accelerated(self, array: Any) -> bool:
        if tf.executing_eagerly():
            return "CPU" not in array.device
        # In a graph, nobody knows yet where it will be computed.
        return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))

    def in_groups(self, array: Any, size: int) -> Any:
        if array.shape.is_fully_defined():
            return super().in_groups(array, size)
        count = tf.shape(array)[0]
        rest = tf.maximum(1, -(-count // size)) * size - count
        array = tf.pad(array, [[0, rest], *[[0, 0]] * (array.shape.rank - 1)])
        return tf.reshape(array, (-1, size, *lengths(array)[1:]))

    def add_product(self, total: Any, left: Any, right: Any) -> Any:
        if not tf.executing_eagerly():
            return total + tf.matmul(left, right, transpose_a=True)
        for rows in strips(left.shape[0], TERMS):
            for here in strips(total.shape[0], max(1, _STRIP // total.shape[1])):
                part = tf.matmul(left[rows, here], right[rows], transpose_a=True)
                # A sum in place, as nobody else has seen the total.
                total = tf.raw_ops.InplaceAdd(x=total, i=tf.range(here.start, here.stop), v=part)
        return total


def upstream_of(upstream: Any, value: Any) -> Any:
    """The gradient that arrives at `value`, as a tensor of its shape: it may be sparse, or of unknown shape."""
    upstream = tf.convert_to_tensor(upstream)
    return upstream if upstream.shape.is_fully_defined() else tf.ensure_shape(upstream, value.shape)


def by_framework(
    function: Callable[..., Any], inputs: Sequence[Any], places: Sequence[int], upstream: Any
) -> Sequence[Any]:
    """Gradients of a function that have no closed form."""
    if not places:
        return ()
    chosen = [inputs[place] for place in places]
    with tf.GradientTape() as tape:
        tape.watch(chosen)
        value = function(*inputs)
    found: Sequence[Any] = tape.gradient(value, chosen, upstream, unconnected_gradients="zero")
    return found


def pulled(fused: Any, wanted: Sequence[bool], left: list[Any], upstream: Any, inputs: Sequence[Any]) -> Any:
    """The gradients, which have gradients themselves. What the forward pass left is handed out once."""
    chosen = [i for i, want in enumerate(wanted) if want]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def first(upstream: Any, *inputs: Any) -> Any:
        with stop_recording():
            kept = left.pop() if left else fused.forward(inputs, wanted)[1]
            found = fused.backward(inputs, kept, upstream, wanted)

        def second(*change: Any) -> Any:
            sources = [upstream, *(inputs[i] for i in chosen)]
            with tf.GradientTape() as outer:
                outer.watch(sources)
                with tf.GradientTape() as inner:
                    inner.watch(sources[1:])
                    value = fused.plain(*inputs)
                gradients = inner.gradient(value, sources[1:], upstream, unconnected_gradients="zero")
            again = iter(outer.gradient(gradients, sources, list(change)))
            return [next(again), *(next(again) if want else None for want in wanted)]

        return [tf.zeros_like(inputs[i]) if found[i] is None else found[i] for i in chosen], second

    gradients = iter(first(upstream, *inputs))
    return [next(gradients) if want else None for want in wanted]
