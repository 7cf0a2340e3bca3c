"""JAX: optax, with and without `jax.jit`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from numpy.typing import NDArray

from .columns import Column, Side, Step


class JaxColumn(Column):
    """JAX."""

    backend = "jax"
    families: ClassVar[Mapping[str, tuple[str, str]]] = {"optax": ("optax", "optax.")}

    def array(self, array: NDArray[Any], dtype: str = "float32") -> Any:
        found = jax.device_put(array, self.device)
        return found.astype(dtype) if jnp.issubdtype(found.dtype, jnp.floating) else found

    def peak_memory(self, step: Step, tries: int) -> int | None:
        if self.on_cpu:
            return super().peak_memory(step, tries)
        # The peak is that since the process began: it tells something where it grows.
        before = self.device.memory_stats()
        if before is None:
            return None
        step()
        peak = self.device.memory_stats()["peak_bytes_in_use"]
        return peak - before["bytes_in_use"] if peak > before["peak_bytes_in_use"] else None

    def step(self, side: Side, arrays: Sequence[Any], wanted: Sequence[int], gradient: bool) -> Step:
        function: Callable[..., Any]
        if gradient:
            function = jax.value_and_grad(side.value, tuple(wanted))
        else:

            def function(*arrays: Any) -> Any:
                return side.value(*arrays), ()

        if self.mode == "jit":
            function = jax.jit(function)
        return lambda: jax.block_until_ready(function(*arrays))  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        jax.clear_caches()  # type: ignore[no-untyped-call]


COLUMN = JaxColumn
