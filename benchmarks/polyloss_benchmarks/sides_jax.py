"""JAX: optax, with and without `jax.jit`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from numpy.typing import NDArray

from .columns import Column, Side, Step
from .rows import Row


def _l1(x: Any, t: Any) -> Any:
    return jnp.abs(x - t)


def _smooth_l1(x: Any, t: Any, beta: float) -> Any:
    return optax.losses.huber_loss(x, t, delta=beta) / beta


def _linear(hidden: Any, weight: Any, target: Any) -> Any:
    return optax.losses.softmax_cross_entropy_with_integer_labels(hidden @ weight.T, target)


_OPTAX: dict[str, tuple[str, Callable[..., Any]]] = {
    "mse": ("optax.squared_error", optax.losses.squared_error),
    "l1": ("formula", _l1),
    "huber": ("optax.huber_loss", optax.losses.huber_loss),
    "smooth_l1": ("optax.huber_loss", _smooth_l1),
    "binary_cross_entropy_with_logits": (
        "optax.sigmoid_binary_cross_entropy",
        optax.losses.sigmoid_binary_cross_entropy,
    ),
    "sigmoid_focal": ("optax.sigmoid_focal_loss", optax.losses.sigmoid_focal_loss),
    "cross_entropy": (
        "optax.softmax_cross_entropy_with_integer_labels",
        optax.losses.softmax_cross_entropy_with_integer_labels,
    ),
    "kl_divergence": ("optax.kl_divergence", optax.losses.kl_divergence),
    "triplet_margin": ("optax.triplet_margin_loss", optax.losses.triplet_margin_loss),
    "linear_cross_entropy": ("optax of the logits", _linear),
}


class JaxColumn(Column):
    """JAX on the CPU."""

    backend = "jax"

    def array(self, array: NDArray[Any]) -> Any:
        return jnp.asarray(array)

    def rivals(self, row: Row) -> list[Side]:
        name, function = _OPTAX[row.name]
        keywords = row.keywords
        against = "plain" if row.name == "linear_cross_entropy" else "optax"
        return [Side(against, name, lambda *arrays: function(*arrays, **keywords).mean())]

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
