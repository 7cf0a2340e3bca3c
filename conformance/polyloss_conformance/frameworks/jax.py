"""JAX, whose eager calls are compiled as well."""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.cases import Place

from .base import QUICK_XLA, Array, Curvature, Framework, Outcome, Step, of_chosen, placed


@functools.lru_cache
def unoptimised_options() -> Any:
    """Those of `QUICK_XLA` that this version knows."""
    import jax

    known = {}
    for name, value in QUICK_XLA.items():
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
    written = "jnp.asarray({}, dtype='{}')"
    modes = ("eager", "jit")
    flushes = True
    slow_eager = True

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

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

    def together(
        self, functions: Sequence[Callable[..., Any]], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any | Exception]:
        import jax

        raised: dict[int, Exception] = {}

        def all_of_them(given: Sequence[tuple[Any, ...]]) -> list[Any]:
            found = self.each(functions, given)
            raised.update((place, one) for place, one in enumerate(found) if isinstance(one, Exception))
            return [None if place in raised else one for place, one in enumerate(found)]

        try:
            # What is raised while it runs is told to whoever waits.
            found = jax.jit(all_of_them, compiler_options=unoptimised_options())(list(arguments))
            jax.block_until_ready(found)  # type: ignore[no-untyped-call]
        except Exception as error:
            if len(functions) == 1:
                return [error]
            # The compiler gives up because of one.
            return [self.together([one], [given])[0] for one, given in zip(functions, arguments, strict=True)]
        return [raised.get(place, one) for place, one in enumerate(found)]

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
            function = of_chosen(loss, static, given, wanted)
            value, pull = jax.vjp(function, *(given[place] for place in wanted))
            if (value.shape, value.dtype) != (cotangent.shape, cotangent.dtype):
                # It could not be pulled back, and whoever compares the value says what is wrong with it.
                return Outcome(value, None)
            return Outcome(value, pull(cotangent))

        if mode == "jit":
            return jax.jit(run, compiler_options=unoptimised_options() if unoptimised else None)
        return self.unoptimised()(run) if unoptimised else run

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:
        import jax

        function, inputs = self.of_arrays(loss, static, arrays, options)
        jax.eval_shape(function, *inputs)
        return True

    def curvature(self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place]) -> Curvature:
        import jax

        def product(
            arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array, directions: Sequence[Array]
        ) -> tuple[Array, ...]:
            given = placed(arrays, options)
            function = of_chosen(loss, static, given, wanted)

            def gradients(*chosen: Array) -> Any:
                return jax.vjp(function, *chosen)[1](cotangent)

            _, along = jax.jvp(gradients, tuple(given[place] for place in wanted), tuple(directions))
            found: tuple[Array, ...] = along
            return found

        return product
