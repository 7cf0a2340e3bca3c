"""JAX, whose eager calls are compiled as well."""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.cases import Place

from .base import Array, Framework, Outcome, Step, called, placed

PLAIN: Any = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Compiled in a quarter of the time."""


@functools.lru_cache
def plain_options() -> Any:
    """Those of `PLAIN` that this version knows."""
    import jax

    known = {}
    for name, value in PLAIN.items():
        try:
            jax.jit(lambda x: x, compiler_options={name: value})(0.0)
        except Exception as error:
            if name not in str(error):
                raise
        else:
            known[name] = value
    return known or None


class JaxFramework(Framework):
    name = "jax"
    package = "jax"
    modes = ("eager", "jit")
    flushes = True
    slow_eager = True
    has_devices = True

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

    def use(self, device: str) -> None:
        import jax

        try:
            first = jax.devices(device)[0]
        except RuntimeError as error:
            raise ValueError(f"jax has no device {device} here: {str(error).partition(chr(10))[0]}") from None
        jax.config.update("jax_default_device", first)  # type: ignore[no-untyped-call]
        self.device = device

    def forget(self) -> None:
        import jax

        jax.clear_caches()  # type: ignore[no-untyped-call]

    def array(self, value: NDArray[Any]) -> Array:
        import jax

        # `jnp.asarray` compiles a function for each shape.
        return jax.device_put(value)

    def numpy(self, array: Array) -> NDArray[Any]:
        return np.asarray(array)

    def is_array(self, value: Any) -> bool:
        import jax

        return isinstance(value, jax.Array)

    @contextmanager
    def plain(self) -> Iterator[None]:
        # What `jax.jit` is told, a function that is called eagerly cannot be: JAX has no public word for it.
        import jax
        from jax._src import compiler

        options_of: Any = compiler.get_compile_options
        plain = plain_options() or {}

        def plainly(*args: Any, **more: Any) -> Any:
            named = more.pop("env_options_overrides", None) or {}
            return options_of(*args, **more, env_options_overrides={**plain, **named})

        # The precision, which is the highest anyhow, belongs to the key under which JAX keeps what it has compiled.
        with jax.default_matmul_precision("highest"), mock.patch.object(compiler, "get_compile_options", plainly):
            yield

    def together(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        import jax

        compiled: Callable[[Any], Any] = jax.jit(function, compiler_options=plain_options())
        return compiled

    def step(
        self,
        loss: Any,
        static: Mapping[str, Any],
        wanted: Sequence[Place],
        mode: str,
        batched: Collection[Place] = (),
        plain: bool = False,
    ) -> Step:
        import jax

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            given = placed(arrays, options)

            def function(*chosen: Array) -> Array:
                return called(loss, static, given | dict(zip(wanted, chosen, strict=True)))

            value, pull = jax.vjp(function, *(given[place] for place in wanted))
            return Outcome(value, pull(cotangent))

        return jax.jit(run, compiler_options=plain_options() if plain else None) if mode == "jit" else run

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:
        import jax

        places = [i for i, a in enumerate(arrays) if self.is_array(a)]
        names = [k for k, o in options.items() if self.is_array(o)]

        def function(chosen: Sequence[Array], named: Sequence[Array]) -> Any:
            inputs = list(arrays)
            for i, array in zip(places, chosen, strict=True):
                inputs[i] = array
            return loss(*inputs, **static, **{**options, **dict(zip(names, named, strict=True))})

        jax.eval_shape(function, [arrays[i] for i in places], [options[k] for k in names])
        return True

    def hessian_product(
        self,
        loss: Any,
        static: Mapping[str, Any],
        arrays: Sequence[Array],
        wanted: Sequence[Place],
        cotangent: Array,
        directions: Sequence[Array],
        options: Mapping[str, Array] | None = None,
    ) -> tuple[Array, ...]:
        import jax

        given = placed(arrays, options or {})

        def gradients(*chosen: Array) -> Any:
            def function(*inner: Array) -> Array:
                return called(loss, static, given | dict(zip(wanted, inner, strict=True)))

            return jax.vjp(function, *chosen)[1](cotangent)

        found: tuple[Array, ...] = jax.jit(lambda p, d: jax.jvp(gradients, p, d)[1], compiler_options=plain_options())(
            tuple(given[place] for place in wanted), tuple(directions)
        )
        return found
