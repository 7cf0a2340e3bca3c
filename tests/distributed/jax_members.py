"""Eight devices of JAX."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import polyloss
from polyloss import distributed

from .rows import CLASSES, Case, cases

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
P: Any = PartitionSpec
lax: Any = jax.lax
MESH = Mesh(np.asarray(jax.devices()).reshape(4, 2), ("classes", "rows"))
BY_CLASS = P(None, "classes")


def mapped(function: Any, in_specs: Any, out_specs: Any, check: bool = True) -> Any:
    return jax.jit(jax.shard_map(function, mesh=MESH, in_specs=in_specs, out_specs=out_specs, check_vma=check))


def rows(check: bool) -> list[str]:
    """Values and gradients of parts of rows, whether JAX follows what varies or not."""
    dtypes = ("float64", "float32", "bfloat16") if check else ("float64",)
    return [problem for case in cases() for dtype in dtypes for problem in row(case, dtype, check)]


def row(case: Case, dtype: str, check: bool) -> list[str]:
    def given(array: Any) -> Any:
        found = jnp.asarray(array)
        return found.astype(dtype) if jnp.issubdtype(found.dtype, jnp.floating) else found

    loss = distributed.sharded(getattr(polyloss, case.loss), "classes")
    first, second = map(given, case.arrays)
    keywords = {key: given(v) if isinstance(v, np.ndarray) else v for key, v in case.keywords.items()}
    names = [name for name in keywords if name == "class_weight"]

    def results(wanted: Any, second: Any) -> Any:
        def value(first: Any, *by_class: Any) -> Any:
            return loss(first, second, **{**keywords, **dict(zip(names, by_class, strict=True))})

        found, pull = jax.vjp(value, *wanted)
        return found, pull(jnp.asarray(case.cotangent, dtype=found.dtype))

    wanted = (first, *(keywords.pop(name) for name in names))
    specs = (BY_CLASS, *(P("classes") for _ in names))
    inputs = (specs, BY_CLASS if second.ndim > 1 else P(None))
    value, gradients = mapped(results, inputs, (P(), specs), check)(wanted, second)
    numbers = [np.asarray(gradient, dtype=np.float64) for gradient in gradients]
    return case.wrong(dtype, np.asarray(value, dtype=np.float64), numbers, slice(None))


def derivatives() -> list[str]:
    """Forward mode, derivatives of the gradient, of the mapped function, and by a parameter of all devices."""
    x, along = np.random.default_rng(0).normal(size=(2, 5, CLASSES))
    ids = np.asarray([0, 15, 7, 8, 3])
    split = distributed.sharded(polyloss.cross_entropy, "classes")

    def square(loss: Any) -> Any:
        # Not linear: what comes from upstream depends on the logits too.
        return lambda x, epsilon: loss(x, ids, label_smoothing=epsilon) ** 2

    def curvature(loss: Any) -> Any:
        return lambda x, epsilon, along: jax.jvp(lambda x: jax.grad(square(loss))(x, epsilon), (x,), (along,))[1]

    def forward(loss: Any) -> Any:
        return lambda x, epsilon, along: jax.jvp(square(loss), (x, epsilon), (along, 1.0))[1]

    whole, specs = polyloss.cross_entropy, (BY_CLASS, P(), BY_CLASS)
    inside = mapped(square(split), specs[:2], P())
    pairs = [
        (curvature(whole), mapped(curvature(split), specs, BY_CLASS)),
        (forward(whole), mapped(forward(split), specs, P())),
        *(
            (lambda x, e, _, n=n: jax.grad(square(whole), n)(x, e), lambda x, e, _, n=n: jax.grad(inside, n)(x, e))
            for n in (0, 1)
        ),
    ]
    found = []
    for place, (exact, got) in enumerate(pairs):
        expected, value = (np.asarray(function(x, 0.125, along)) for function in (exact, got))
        if not np.allclose(value, expected, rtol=1e-12, atol=1e-14):
            found.append(f"derivative {place}: {value.tolist()}, expected {expected.tolist()}")
    return found


def counts() -> list[str]:
    """A mean over all rows where devices have few that count or many; and an id that is none."""
    x = np.random.default_rng(0).normal(size=(8, 5))
    ids = np.asarray([-100, -100, -100, 1, -100, 2, 3, 4])

    def value(x: Any, ids: Any) -> Any:
        count = distributed.total((ids != -100).sum(), "rows")
        return lax.psum(polyloss.cross_entropy(x, ids, ignore_index=-100, denominator=count), "rows")

    got = mapped(value, (P("rows"), P("rows")), P())(x, ids)
    found = []
    if not np.allclose(got, polyloss.cross_entropy(x, ids, ignore_index=-100), rtol=1e-12):
        found.append(f"mean: {got}")
    split = distributed.sharded(polyloss.cross_entropy, "classes")

    def losses(target: Any, specs: Any) -> Any:
        return mapped(lambda x, t: split(x, t, reduction="none"), (BY_CLASS, specs), P())(np.zeros((2, 8)), target)

    bad = losses(np.asarray([7, 8]), P())
    if not np.isfinite(bad[0]) or not np.isnan(bad[1]):
        found.append(f"class ids 7 and 8 of 8: {bad}")
    shares = np.where(np.arange(8) == 7, 1.5, 0.0) * np.asarray([[0.0], [1.0]])
    bad = losses(shares, BY_CLASS)
    if not np.isfinite(bad[0]) or not np.isnan(bad[1]):
        found.append(f"a probability of 1.5: {bad}")
    return found


def errors() -> list[str]:
    found = []
    wrong = (("classes", "there is no axis 'classes'"), (3, "the name of an axis"), (None, "the name of an axis"))
    for name, expected in wrong:
        try:
            distributed.sharded(polyloss.cross_entropy, name)(jnp.zeros((2, 3)), jnp.zeros(2, dtype=int))
        except (TypeError, ValueError) as error:
            if expected not in str(error):
                found.append(f"{error}, expected {expected}")
        else:
            found.append(f"no error: {expected}")
    return found


def main() -> None:
    for problem in (*rows(check=True), *rows(check=False), *derivatives(), *counts(), *errors()):
        print(problem)
    print("finished")
