"""JAX: a pair becomes a `jax.custom_jvp`, and a call outside `jit` is jitted once per set of parameters."""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from polyloss.adapters import Namespace, Pair, push, scalar
from polyloss.core.backend import Bound
from polyloss.core.collectives import Group, split_over

from . import _namespace
from ._chunks import ByChunks
from ._collectives import group_of
from ._common import Same, broadcasting
from ._compile import compiled
from ._private import concrete


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
@broadcasting
def _attached(pair: Pair, *arrays: jax.Array) -> jax.Array:
    value: jax.Array = pair(*arrays)[0]
    return value


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _value_found(pair: Pair, value: jax.Array, *arrays: jax.Array) -> jax.Array:
    """The value of `pair`, which was found before."""
    return value


@broadcasting
def _attached_jvp(pair: Pair, primals: Sequence[jax.Array], tangents: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    found, *gradients = pair(*primals)
    # Not the bare value: whoever differentiates this rule again must meet a rule again.
    value = _value_found(pair, found, *primals)
    # An argument that is a constant has no part in the result: not even zero times an infinite derivative.
    parts: list[jax.Array] = []
    group = split_over(pair, primals[0])
    for place, (gradient, tangent) in enumerate(zip(gradients, tangents, strict=True)):
        if isinstance(tangent, SymbolicZero):
            continue
        if gradient is not None:
            part = push(jnp, gradient(), tangent, value.ndim)
            parts.append(part if group is None else group.replicated_sum(part))
        elif jnp.issubdtype(primals[place].dtype, jnp.floating):
            parts.append(_by_framework(pair, primals, place, tangent))
    return value, sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(value)


def _by_framework(pair: Pair, primals: Sequence[jax.Array], place: int, tangent: jax.Array) -> jax.Array:
    """The tangent by an array without a closed form: the value is differentiated."""

    def value(array: jax.Array) -> jax.Array:
        found: jax.Array = pair(*primals[:place], array, *primals[place + 1 :])[0]
        return found

    moved: jax.Array = jax.jvp(value, (primals[place],), (tangent,))[1]
    return moved


def _value_found_jvp(pair: Pair, primals: Sequence[jax.Array], tangents: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    return _attached_jvp(pair, primals[1:], tangents[1:])


_attached.defjvp(_attached_jvp, symbolic_zeros=True)
_value_found.defjvp(_value_found_jvp, symbolic_zeros=True)


@functools.lru_cache(maxsize=256)
def _jitted(same: Same) -> Callable[..., jax.Array]:
    # Outside of jit the gradient is a function of its own. To read the arguments of an elementwise loss once more takes
    # less than to write, keep and read what the value went through.
    plan = same.plan
    run = broadcasting(plan)
    return jax.jit(run if plan.axis else jax.checkpoint(run, prevent_cse=False))


class JaxBackend(ByChunks):
    """The adapter of `jax.Array`, traced or not."""

    name = "jax"
    constructor = "jnp.asarray"
    welcomes_numpy = True
    static_hint = "; tell jax.jit static_argnames={name!r}, or fix it before with functools.partial"

    def namespace(self, array: Any) -> Namespace:
        return _namespace

    def asarray(self, value: Any, like: Any, dtype: Any = None) -> Any:
        if isinstance(value, jax.Array):
            return value
        if isinstance(value, np.ndarray):
            return jnp.asarray(value.astype(value.dtype.newbyteorder("=")))
        # Numbers stay with NumPy: jitted functions take them faster.
        return np.asarray(value, jax.dtypes.canonicalize_dtype(dtype or like.dtype))

    def readable(self, *arrays: Any) -> bool:
        return all(map(_is_readable, arrays))

    def look(self, array: Any) -> Any:
        # NumPy is quicker, and looks at constants inside of `jit` too.
        seen = np.asarray(concrete(array))
        if seen.dtype.kind != "V":
            return seen
        return seen.astype(np.int32 if jnp.issubdtype(seen.dtype, jnp.integer) else np.float32)

    def refusal(self, array: Any) -> str | None:
        if not isinstance(array, jax.Array):
            kind = type(array).__name__
            return f"{kind}{_INSTEAD.get(kind, '')}"
        if jnp.issubdtype(array.dtype, jax.dtypes.extended):
            return "random keys: draw numbers with them"
        if jnp.issubdtype(array.dtype, jnp.floating) and jnp.dtype(array.dtype).itemsize < 2:
            return f"dtype {array.dtype}, in which no loss is computed: widen it, as with astype('bfloat16')"
        return None

    def signature(self, arrays: Sequence[Any]) -> Hashable | None:
        found: list[Any] = []
        for array in arrays:
            if not isinstance(array, jax.Array):
                return None
            found += [array.dtype, array.shape, self.readable(array)]
        return tuple(found)

    def poison(self, bad: Any, dtype: Any) -> Any:
        # No NaN, where nothing is bad: a debugger would find it.
        return 1.0 + _namespace.sqrt(-_namespace.astype(bad, dtype))

    def attach(self, pair: Pair, arrays: Sequence[jax.Array]) -> jax.Array:
        return _attached(pair, *arrays)

    def whole(self, call: Bound) -> jax.Array:
        return _jitted(Same(call.plan))(call.arrays)

    def value_and_grad(self, function: Callable[..., Any], argnums: Sequence[int]) -> Callable[..., Any]:
        return jax.value_and_grad(scalar(function), tuple(argnums))

    def group(self, group: Any, array: jax.Array) -> Group:
        return group_of(group)

    def each_row(self, function: Callable[[Any], Any], rows: Any) -> Any:
        return jax.vmap(function)(rows)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return compiled(function)

    def stop_gradient(self, array: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(array)


_INSTEAD = {
    "Ref": ": read it with ref[...]",
    "ShapeDtypeStruct": ", which has no values: pass it to jax.eval_shape",
    "BCOO": ": make it dense with todense()",
    "BCSR": ": make it dense with todense()",
}
"""What to do with what is no array."""


def _is_readable(array: Any) -> bool:
    array = concrete(array)
    if isinstance(array, np.ndarray):
        return True
    if isinstance(array, jax.core.Tracer) or not hasattr(array, "platform"):
        return False
    if array.is_deleted():
        # Raises. To be asked for its platform would end the process.
        np.asarray(array)
    return bool(array.platform() == "cpu" and array.is_fully_addressable)


backend = JaxBackend()

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Not for type checkers, which would take it that there is every name; and not imported before somebody asks.
        from polyloss.compat.names import no_attribute

        raise no_attribute(__name__, name, families=["optax"])


__all__ = ["JaxBackend", "backend"]
