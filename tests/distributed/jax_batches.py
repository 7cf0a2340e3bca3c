"""Several devices of JAX that compare their examples."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import polyloss
from polyloss import distributed

from .batches import BatchCase, cases
from .rows import refusals

P: Any = PartitionSpec
lax: Any = jax.lax
MESH = Mesh(np.asarray(jax.devices()).reshape(4, 2), ("examples", "others"))
AXIS = "examples"


def mapped(function: Any, in_specs: Any, out_specs: Any, check: bool = True) -> Any:
    return jax.jit(jax.shard_map(function, mesh=MESH, in_specs=in_specs, out_specs=out_specs, check_vma=check))


class Call:
    """A case as a function of the arrays that are learned, and of all others that belong to examples."""

    def __init__(self, case: BatchCase, dtype: str, ring: bool | None) -> None:
        def given(array: Any) -> Any:
            found = jnp.asarray(array)
            return found.astype(dtype) if jnp.issubdtype(found.dtype, jnp.floating) else found

        self.case, self.ring, places = case, ring, range(len(case.arrays))
        self.loss = case.loss if ring is None else distributed.data_parallel(case.loss, AXIS, ring=ring)
        self.arrays = [given(case.arrays[place]) for place in case.learned]
        self.parameters = list(map(given, case.parameters.values()))
        self.rest = [given(case.arrays[place]) for place in places if place not in case.learned]
        self.names = [name for name, value in case.keywords.items() if isinstance(value, np.ndarray)]
        self.rest += [given(case.keywords[name]) for name in self.names]

    @property
    def specs(self) -> tuple[Any, Any]:
        return ([P(AXIS)] * len(self.arrays) + [P()] * len(self.parameters), [P(AXIS)] * len(self.rest))

    def __call__(self, learned: Any, rest: Any) -> Any:
        arrays, parameters = list(learned[: len(self.arrays)]), learned[len(self.arrays) :]
        others = list(rest)
        for place in range(len(self.case.arrays)):
            if place not in self.case.learned:
                arrays.insert(place, others.pop(0))
        keywords = dict(zip(self.names, others, strict=True)) | dict(zip(self.case.parameters, parameters, strict=True))
        return self.loss(*arrays, **{**self.case.keywords, **keywords})


def result(case: BatchCase, dtype: str, ring: bool) -> list[str]:
    call = Call(case, dtype, ring)
    of_value = P(AXIS) if case.value.ndim else P()

    def run(learned: Any, rest: Any, cotangent: Any) -> Any:
        value, pull = jax.vjp(lambda learned: call(learned, rest), learned)
        return value, pull(cotangent.astype(value.dtype))[0]

    whole = mapped(run, (*call.specs, of_value), (of_value, call.specs[0]))
    value, gradients = whole([*call.arrays, *call.parameters], call.rest, jnp.asarray(case.cotangent))
    numbers = [np.asarray(gradient, dtype=np.float64) for gradient in gradients]
    parts = [slice(None)] * len(case.arrays)
    return case.problems(f"ring={ring}", dtype, np.asarray(value, dtype=np.float64), numbers, parts)


def results() -> list[str]:
    """Values and gradients."""
    return [
        problem
        for case in cases()
        # To compile all of it takes long.
        for ring, dtype in ((False, case.dtype), (True, "float64"))
        if not ring or case.reduction in ("weighted_mean", "none")
        for problem in result(case, dtype, ring)
    ]


def derivatives() -> list[str]:
    """Forward mode, and derivatives of the gradient, inside of the mapped function and of it."""
    found = []
    for case in cases():
        if case.reduction != "weighted_mean" or not any(one in case.name for one in ("symmetric", "nt_xent")):
            continue
        exact = None
        for ring in (None, False, True):
            call = Call(case, "float64", ring)
            learned = [*call.arrays, *call.parameters]
            along = [jnp.linspace(-1.0, 2.0, one.size).reshape(one.shape) for one in learned]

            def square(learned: Any, rest: Any, call: Call = call) -> Any:
                # Not linear: what comes from upstream depends on the examples too.
                return call(learned, rest) ** 2

            def curvature(learned: Any, rest: Any, along: Any, square: Any = square) -> Any:
                value, change = jax.jvp(lambda x: square(x, rest), (learned,), (along,))
                return value, change, jax.jvp(lambda x: jax.grad(square)(x, rest), (learned,), (along,))[1]

            function = curvature
            if ring is not None:
                specs, of_rest = call.specs
                function = mapped(curvature, (specs, of_rest, specs), (P(), P(), specs))
            value, change, second = function(learned, call.rest, along)
            results = [value, change, *second]
            if exact is None:
                exact = results
                continue
            for place, (one, other) in enumerate(zip(results, exact, strict=True)):
                found += case.wrong(f"derivative {place}, ring={ring}", "float64", one, other)
    return found


def errors() -> list[str]:
    x = jnp.ones((8, 3))
    loss = distributed.data_parallel(polyloss.info_nce, AXIS)
    pairs = P(AXIS), P(AXIS)
    says = "query must be split over 'examples'"
    return refusals(
        [
            (lambda: mapped(loss, pairs, P(AXIS), check=False)(x, x), says),
            (lambda: mapped(loss, (P(), P(AXIS)), P(AXIS))(x[:2], x), says),
            (lambda: jax.pmap(loss, AXIS)(x[:, None], x[:, None]), "jax.pmap does not"),
        ],
        (ValueError,),
    )


def problems() -> list[str]:
    return [*results(), *derivatives(), *errors()]
