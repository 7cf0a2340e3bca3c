"""What JAX has no public name for."""

from typing import Any

import jax
import numpy as np


def concrete(array: Any) -> Any:
    """The values of what `jax.grad` and `jax.jvp` follow outside of `jit`; anything else as it is."""
    ask = getattr(array, "to_concrete_value", None) if isinstance(array, jax.core.Tracer) else None
    known = None if ask is None else ask()
    if known is None:
        return array
    # A number stays one.
    return known if isinstance(known, jax.Array) else np.asarray(known, array.dtype)


__all__ = ["concrete"]
