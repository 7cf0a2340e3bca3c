"""JAX, whose eager calls are compiled as well."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.cases import Place

from .base import Array, Framework, Function, Inputs, Outcome, Second, Step, called, placed


class JaxFramework(Framework):
    name = "jax"
    package = "jax"
    modes = ("eager", "jit")
    flushes = True
    slow_eager = True
    merges = ("jit",)

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        import jax

        jax.clear_caches()  # type: ignore[no-untyped-call]

    def array(self, value: NDArray[Any]) -> Array:
        import jax.numpy as jnp

        return jnp.asarray(value)

    def numpy(self, array: Array) -> NDArray[Any]:
        return np.asarray(array)

    def is_array(self, value: Any) -> bool:
        import jax

        return isinstance(value, jax.Array)

    def step(
        self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place], mode: str, batched: Collection[Place] = ()
    ) -> Step:
        import jax

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            given = placed(arrays, options)

            def function(*chosen: Array) -> Array:
                return called(loss, static, given | dict(zip(wanted, chosen, strict=True)))

            value, pull = jax.vjp(function, *(given[place] for place in wanted))
            return Outcome(value, pull(cotangent))

        return jax.jit(run) if mode == "jit" else run

    def merged(self, functions: Sequence[Function], mode: str) -> Callable[[Sequence[Inputs]], Sequence[Outcome]]:
        import jax

        steps = [self.step(*function[:3], "eager") for function in functions]
        jitted: Callable[[Sequence[Inputs]], Sequence[Outcome]] = jax.jit(
            lambda inputs: [step(*one) for step, one in zip(steps, inputs, strict=True)]
        )
        return jitted

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

        found: tuple[Array, ...] = jax.jit(lambda p, d: jax.jvp(gradients, p, d)[1])(
            tuple(given[place] for place in wanted), tuple(directions)
        )
        return found

    def hessian_products(self, calls: Sequence[Second]) -> list[tuple[Array, ...] | Exception]:
        import jax

        def run(inputs: Any) -> list[Any]:
            return [
                self.hessian_product(call.loss, call.static, arrays, call.wanted, cotangent, directions, options)
                for call, (arrays, cotangent, directions, options) in zip(calls, inputs, strict=True)
            ]

        # One program. Whose exception it is shows when each is alone.
        with contextlib.suppress(Exception):
            return list(
                jax.jit(run)([(list(c.arrays), c.cotangent, list(c.directions), dict(c.options)) for c in calls])
            )
        return super().hessian_products(calls)
