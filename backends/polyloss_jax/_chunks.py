"""Functions of many rows, a chunk of them at a time, that find their gradients together with their value."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from polyloss.adapters import Backend, lacks_closed_form
from polyloss.core.backend import Named, Step
from polyloss.core.collectives import split_over

from ._common import broadcasting
from ._private import varying, varying_axes

_STRIP = 1 << 22
"""So many elements of a sum are added to at a time."""


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
@broadcasting
def _value(fused: Any, *arrays: jax.Array) -> jax.Array:
    value: jax.Array = fused.forward(arrays, (False,) * len(arrays))[0]
    return value


@broadcasting
def _jvp(fused: Any, primals: Sequence[jax.Array], tangents: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    wanted = tuple(map(_moves, tangents))
    if lacks_closed_form(fused.closed, wanted):
        return jax.jvp(*_plain(fused, primals, tangents))
    value, gradients = _both(fused, wanted, *primals)
    pairs = [(g, tangent) for g, tangent in zip(gradients, tangents, strict=True) if g is not None]
    parts = [jnp.vdot(gradient, tangent) for gradient, tangent in pairs]
    group = split_over(fused, value)
    if group is not None:
        # Where members have parts of an array, each has a part of the sum.
        parts = [group.replicated_sum(part) for part in parts]
    return value, sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(value)


_value.defjvp(_jvp, symbolic_zeros=True)


def _plain(fused: Any, primals: Sequence[jax.Array], tangents: Sequence[Any]) -> tuple[Any, Any, Any]:
    """What `jax.jvp` takes to differentiate `plain` by what moves."""
    moving = [i for i, tangent in enumerate(tangents) if _moves(tangent)]

    def plain(*moved: jax.Array) -> jax.Array:
        arrays = list(primals)
        for i, array in zip(moving, moved, strict=True):
            arrays[i] = array
        found: jax.Array = fused.plain(*arrays)
        return found

    return plain, [primals[i] for i in moving], [tangents[i] for i in moving]


def _moves(tangent: Any) -> bool:
    return not isinstance(tangent, SymbolicZero)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
@broadcasting
def _both(fused: Any, wanted: Sequence[bool], *arrays: jax.Array) -> tuple[jax.Array, list[jax.Array | None]]:
    value, kept = fused.forward(arrays, wanted)
    return value, list(fused.backward(arrays, kept, jnp.ones_like(value), wanted))


@broadcasting
def _both_jvp(fused: Any, wanted: Sequence[bool], primals: Sequence[jax.Array], tangents: Sequence[Any]) -> Any:
    moving = tuple(i for i, tangent in enumerate(tangents) if _moves(tangent))

    def both(*moved: jax.Array) -> Any:
        arrays = list(primals)
        for i, array in zip(moving, moved, strict=True):
            arrays[i] = array
        # The value has its own rule at every order. It is the gradients whose formula is differentiated.
        return _value(fused, *arrays), _both.fun(fused, wanted, *arrays)[1]

    results = _both(fused, wanted, *primals)
    return results, jax.jvp(both, [primals[i] for i in moving], [tangents[i] for i in moving])[1]


_both.defjvp(_both_jvp, symbolic_zeros=True)


def _scan(step: Step, totals: Named, chunks: Named) -> tuple[Named, Named]:
    # What a chunk computed is computed once more where it is differentiated.
    found: tuple[Named, Named] = jax.lax.scan(jax.checkpoint(step, prevent_cse=False), totals, chunks)
    return found


def _filled(array: jax.Array, size: int) -> jax.Array:
    """The rows in groups of `size`, of which nobody knows yet how many there are. Zeros fill up the last one."""
    count = array.shape[0]
    number = count // size + 1
    zeros = jnp.zeros((number * size - count, *array.shape[1:]), array.dtype)
    return jnp.concatenate([array, zeros]).reshape(number, size, *array.shape[1:])


def _scan_of_a_symbol(step: Step, totals: Named, rows: Named, size: int) -> tuple[Named, Named]:
    """`scan` of a number of rows that an exported program learns later. The last chunk is filled up."""
    count = next(iter(rows.values())).shape[0]
    totals, found = _scan(step, totals, {name: _filled(array, size) for name, array in rows.items()})
    return totals, {
        name: array.reshape((count // size + 1) * size, *array.shape[2:])[:count] for name, array in found.items()
    }


class ByChunks(Backend):
    """What `JaxBackend` knows of them."""

    def attach_fused(self, fused: Any, arrays: Sequence[jax.Array]) -> jax.Array:
        value: jax.Array = _value(fused, *arrays) if fused.scalar else fused.plain(*arrays)
        return value

    def chunk(self, count: Any, size: int) -> Any:
        return size

    def scan(self, step: Step, totals: Named, rows: Named, size: int) -> tuple[Named, Named]:
        count = next(iter(rows.values())).shape[0]
        # Within `jax.shard_map`, what is added up differs between devices where rows do.
        axes = frozenset[str]().union(*map(varying_axes, (*rows.values(), *totals.values())))
        totals = {name: varying(total, tuple(axes)) for name, total in totals.items()}
        if not isinstance(count, int):
            return _scan_of_a_symbol(step, totals, rows, max(1, size // 64))
        whole = count - count % size
        pieces = []
        if whole:
            chunks = {name: array[:whole].reshape(-1, size, *array.shape[1:]) for name, array in rows.items()}
            totals, found = _scan(step, totals, chunks)
            pieces.append({name: array.reshape(whole, *array.shape[2:]) for name, array in found.items()})
        if whole < count:
            totals, found = step(totals, {name: array[whole:] for name, array in rows.items()})
            pieces.append(found)
        return totals, {name: jnp.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def in_groups(self, array: jax.Array, size: int) -> jax.Array:
        groups: jax.Array = super().in_groups(array, size) if isinstance(array.shape[0], int) else _filled(array, size)
        return groups

    def multiplies_halves(self, array: jax.Array) -> bool:
        # Slopes are too small for float16; a CPU is slower at halves.
        return bool(array.dtype == jnp.bfloat16) and self.accelerated(array)

    def rounded(self, array: jax.Array, dtype: Any) -> jax.Array:
        # XLA leaves out what only takes away digits, unless it is told like this.
        numbers: Any = jnp.finfo(dtype)  # type: ignore[no-untyped-call]
        return jax.lax.reduce_precision(array, numbers.nexp, numbers.nmant)

    def product(self, left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.matmul(left, right, preferred_element_type=jnp.promote_types(left.dtype, jnp.float32))

    def accelerated(self, array: jax.Array) -> bool:
        # While tracing, nobody knows where it will be computed.
        return jax.default_backend() != "cpu"

    def add_product(self, total: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
        if self.accelerated(total):
            # There, the sum is a part of the product, and takes the place of the total.
            return total + self.product(left.T, right)
        count = total.shape[0]
        size = min(count, max(1, _STRIP // total.shape[1]))
        whole = count - count % size

        def add(start: Any, total: jax.Array, size: int) -> jax.Array:
            part = self.product(jax.lax.dynamic_slice_in_dim(left, start, size, 1).T, right)
            part = part + jax.lax.dynamic_slice_in_dim(total, start, size)
            return jax.lax.dynamic_update_slice_in_dim(total, part, start, 0)

        total = jax.lax.fori_loop(0, whole // size, lambda strip, total: add(strip * size, total, size), total)
        return add(whole, total, count - whole) if whole < count else total
