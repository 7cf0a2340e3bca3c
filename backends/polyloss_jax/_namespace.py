"""The Array API for JAX arrays, as `jax.numpy` has it, except where that is not accurate."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.numpy import *  # noqa: F403


def log1p(x: jax.Array, /) -> jax.Array:  # type: ignore[no-redef]
    """``log(1 + x)``. That of `jax.numpy` is up to 128 units off in float64 where x is near -0.4."""
    low = x < -0.25
    return jnp.where(low, jnp.log(1 + jnp.where(low, x, 0)), jnp.log1p(jnp.where(low, 0, x)))


def astype(x: jax.Array, dtype: Any, /) -> jax.Array:  # type: ignore[no-redef]
    """`x` in another dtype: in 32 bits, where 64 are not enabled."""
    return jnp.asarray(x, jax.dtypes.canonicalize_dtype(dtype))
