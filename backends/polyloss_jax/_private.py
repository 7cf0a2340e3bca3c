"""What JAX has no public name for. Tried on 0.5 and 0.10."""

from typing import Any

import jax
import numpy as np


def concrete(array: Any) -> Any:
    """The values of what `jax.grad` and `jax.jvp` follow outside of `jit`; anything else as it is."""
    ask = getattr(array, "to_concrete_value", None) if isinstance(array, jax.core.Tracer) else None
    values = None if ask is None else ask()
    if values is None:
        return array
    # JAX holds Python and NumPy values in classes of its own: as a NumPy array.
    return values if isinstance(values, jax.Array) else np.asarray(values, array.dtype)


def varying_axes(array: Any) -> frozenset[str]:
    """The axes of a mesh along which an array may differ, where `jax.shard_map` follows that (``check_vma``)."""
    # Before JAX 0.6 nothing was followed.
    typeof: Any = getattr(jax, "typeof", lambda array: None)
    aval: Any = typeof(array)
    kind = getattr(aval, "manual_axis_type", None)
    # Before JAX 0.10 it was an attribute of its own.
    found: frozenset[str] = getattr(aval, "vma", frozenset()) if kind is None else kind.varying
    return found


def varying(array: Any, names: tuple[str, ...]) -> Any:
    """`array` as one that may differ along these axes of a mesh: JAX asks for that where all of a group's must."""
    missing = tuple(name for name in names if name not in varying_axes(array))
    lax: Any = jax.lax
    if not missing:
        return array
    # Before JAX 0.9 it had a function of its own.
    return lax.pcast(array, missing, to="varying") if hasattr(lax, "pcast") else lax.pvary(array, missing)


__all__ = ["concrete", "varying", "varying_axes"]
