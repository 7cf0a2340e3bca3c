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

UNOPTIMISED: Any = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Compiled in a quarter of the time, to slow code. tox.ini has the same."""


@functools.lru_cache
def unoptimised_options() -> Any:
    """Those of `UNOPTIMISED` that this version knows."""
    import jax

    known = {}
    for name, value in UNOPTIMISED.items():
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
    def unoptimised(self) -> Iterator[None]:
        # Only `jax.jit` can be told, and not a function that is called eagerly: JAX has no public word for it.
        import jax
        from jax._src import compiler

        options_of: Any = compiler.get_compile_options
        unoptimised = unoptimised_options() or {}

        def plainly(*args: Any, **more: Any) -> Any:
            named = more.pop("env_options_overrides", None) or {}
            return options_of(*args, **more, env_options_overrides={**unoptimised, **named})

        # JAX would hand out what it compiled before: the precision is a part of what it looks for. On a CPU all are the
        # same, and nobody else says "float32".
        with jax.default_matmul_precision("float32"), mock.patch.object(compiler, "get_compile_options", plainly):
            yield

    def together(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        import jax

        compiled: Callable[[Any], Any] = jax.jit(function, compiler_options=unoptimised_options())
        return compiled

    def step(
        self,
        loss: Any,
        static: Mapping[str, Any],
        wanted: Sequence[Place],
        mode: str,
        batched: Collection[Place] = (),
        unoptimised: bool = False,
    ) -> Step:
        import jax

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            given = placed(arrays, options)

            def function(*chosen: Array) -> Array:
                return called(loss, static, given | dict(zip(wanted, chosen, strict=True)))

            value, pull = jax.vjp(function, *(given[place] for place in wanted))
            return Outcome(value, pull(cotangent))

        if mode == "jit":
            return jax.jit(run, compiler_options=unoptimised_options() if unoptimised else None)
        return self.unoptimised()(run) if unoptimised else run

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

        product = self.together(lambda arguments: jax.jvp(gradients, *arguments)[1])
        found: tuple[Array, ...] = product((tuple(given[place] for place in wanted), tuple(directions)))
        return found
