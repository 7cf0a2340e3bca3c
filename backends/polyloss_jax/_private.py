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


__all__ = ["concrete"]
