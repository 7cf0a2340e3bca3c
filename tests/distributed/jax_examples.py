"""Several devices of JAX whose examples are one batch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

import polyloss
from polyloss import distributed

from .examples import Spread, spread
from .jax_batches import AXIS, mapped

P: Any = PartitionSpec
lax: Any = jax.lax


def examples() -> list[str]:
    """Values of whole batches and their gradients, also where `jax.pmap` maps and averages."""
    kinds = [("float64", True), ("bfloat16", True), ("float32", False)]
    return [problem for case in spread() for kind in kinds for problem in example(case, *kind)]


def example(case: Spread, dtype: str, follows: bool) -> list[str]:
    def given(array: Any) -> Any:
        found = jnp.asarray(array)
        return found.astype(dtype) if jnp.issubdtype(found.dtype, jnp.floating) else found

    arrays = {name: given(value) for name, value in case.named.items() if isinstance(value, np.ndarray)}
    others = {name: value for name, value in case.named.items() if name not in arrays}
    each = case.keywords["reduction"] == "none"
    loss = distributed.data_parallel(case.loss, AXIS)
    arrays["cotangent"] = jnp.asarray(case.cotangent)

    def results(arrays: Any) -> Any:
        cotangent = arrays.pop("cotangent")

        def value(wanted: Any) -> Any:
            call = arrays | wanted | others
            first = [call.pop(name) for name in case.loss.arrays]
            return loss(*first, **call)

        found, pull = jax.vjp(value, {name: arrays[name] for name in case.wanted})
        (gradients,) = pull(cotangent.astype(found.dtype))
        if not follows:
            # Those by the examples of a device are averaged with those by no others.
            shared = {name: lax.pmean(gradients[name], AXIS) for name in case.wanted if name in case.shared}
            gradients = {name: g if each else g / 4 for name, g in gradients.items()} | shared
        return found, gradients

    whole = case.shared if each else ("cotangent", *case.shared)
    specs = {name: P() if name in whole else P(AXIS) for name in arrays}
    out = (P(AXIS) if each else P(), {name: specs[name] for name in case.wanted})
    value, gradients = mapped(results, (specs,), out, check=follows)(arrays)
    numbers = [np.asarray(gradients[name], dtype=np.float64) for name in case.wanted]
    return case.wrong(dtype, np.asarray(value, dtype=np.float64), numbers, slice(None))


def averaged() -> list[str]:
    """A gradient that `jax.pmap` averages."""
    x, some = np.random.default_rng(0).normal(size=(8, 2, 3)), np.where(np.arange(16) < 9, -100, 1).reshape(8, 2)
    layer, batch = jnp.eye(3), distributed.data_parallel(polyloss.cross_entropy, "rows")

    def gradient(layer: Any, x: Any, ids: Any) -> Any:
        return lax.pmean(jax.grad(lambda layer: batch(x @ layer, ids, ignore_index=-100))(layer), "rows")

    exact = jax.grad(lambda layer: polyloss.cross_entropy(x @ layer, some, ignore_index=-100))(layer)
    if not np.allclose(jax.pmap(gradient, "rows", in_axes=(None, 0, 0))(layer, x, some), exact, rtol=1e-12, atol=1e-14):
        return ["a gradient that jax.pmap averages"]
    return []


def problems() -> list[str]:
    return [*examples(), *averaged()]
