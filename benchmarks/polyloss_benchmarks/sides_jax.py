"""JAX: optax, with and without `jax.jit`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from numpy.typing import NDArray

from .columns import Column, Side, Step


@dataclass(frozen=True)
class Call:
    """A function of arrays, which is waited for."""

    function: Callable[..., Any]
    arrays: Sequence[Any]

    def __call__(self) -> Any:
        return jax.block_until_ready(self.function(*self.arrays))  # type: ignore[no-untyped-call]


def planned_memory(step: Any) -> int | None:
    """Bytes that the compiler has planned for a call, its result included. None where it does not tell."""
    plan = step.function.lower(*step.arrays).compile().memory_analysis()
    return None if plan is None else int(plan.temp_size_in_bytes + plan.output_size_in_bytes)


class JaxColumn(Column):
    """JAX."""

    backend = "jax"
    families: ClassVar[Mapping[str, tuple[str, str]]] = {"optax": ("optax", "optax.")}

    @property
    def compiles_calls(self) -> bool:
        return True

    def array(self, array: NDArray[Any], dtype: str = "float32") -> Any:
        found = jax.device_put(array, self.device)
        return found.astype(dtype) if jnp.issubdtype(found.dtype, jnp.floating) else found

    def peak_memory(self, step: Step, tries: int) -> int | None:
        if self.on_cpu:
            return super().peak_memory(step, tries)
        if self.compiles:
            return planned_memory(step)
        # The counter is of the peak since the process began: it tells something where that grows.
        before = self.device.memory_stats()
        if before is None:
            return None
        step()
        peak = int(self.device.memory_stats()["peak_bytes_in_use"])
        return peak - int(before["bytes_in_use"]) if peak > before["peak_bytes_in_use"] else None

    def step(self, side: Side, arrays: Sequence[Any], wanted: Sequence[int], gradient: bool) -> Step:
        function: Callable[..., Any]
        if gradient:
            function = jax.value_and_grad(side.value, tuple(wanted))
        else:

            def function(*arrays: Any) -> Any:
                return side.value(*arrays), ()

        if self.mode == "jit":
            function = jax.jit(function)
        return Call(function, arrays)

    def forget(self) -> None:
        jax.clear_caches()  # type: ignore[no-untyped-call]


COLUMN = JaxColumn
