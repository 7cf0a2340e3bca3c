"""Eight devices of JAX."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import polyloss
from polyloss import distributed
from polyloss.core import chunked

from . import jax_batches, jax_examples, linear
from .rows import CLASSES, Case, cases, refusals

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
P: Any = PartitionSpec
lax: Any = jax.lax
MESH = Mesh(np.asarray(jax.devices()).reshape(4, 2), ("classes", "rows"))
BY_CLASS = P(None, "classes")


def mapped(function: Any, in_specs: Any, out_specs: Any, check: bool = True) -> Any:
    return jax.jit(jax.shard_map(function, mesh=MESH, in_specs=in_specs, out_specs=out_specs, check_vma=check))


def rows() -> list[str]:
    """Values and gradients of parts of rows."""
    # One of them each: another dtype does the same.
    kinds = zip(cases(), itertools.cycle(("float64", "bfloat16", "float32")), strict=False)
    return [problem for case, dtype in kinds for problem in row(case, dtype)]


def row(case: Case, dtype: str) -> list[str]:
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
    value, gradients = mapped(results, inputs, (P(), specs))(wanted, second)
    numbers = [np.asarray(gradient, dtype=np.float64) for gradient in gradients]
    return case.wrong(dtype, np.asarray(value, dtype=np.float64), numbers, slice(None))


def layers() -> list[str]:
    """Values and gradients of a linear layer whose classes are split; in several chunks."""
    kinds = zip(linear.cases(), itertools.cycle(("float64", "bfloat16", "float64")), strict=False)
    return [problem for case, dtype in kinds for problem in layer(case, dtype)]


def layer(case: linear.Case, dtype: str) -> list[str]:
    loss = distributed.sharded(polyloss.linear_cross_entropy, "classes")

    def given(array: Any) -> Any:
        found = jnp.asarray(array)
        return found.astype(dtype) if jnp.issubdtype(found.dtype, jnp.floating) else found

    call = case.arrays | case.keywords
    arrays = {name: given(array) for name, array in call.items() if isinstance(array, np.ndarray)}
    constants = {name: value for name, value in call.items() if name not in arrays}
    wanted = {name: arrays.pop(name) for name in case.gradients}

    def spec(name: str, array: Any) -> Any:
        axis = linear.BY_CLASS.get(name, array.ndim)
        return P(*(None,) * axis, "classes") if axis < array.ndim else P()

    specs = [{name: spec(name, array) for name, array in group.items()} for group in (wanted, arrays)]

    def results(wanted: Any, others: Any) -> Any:
        found, pull = jax.vjp(lambda wanted: loss(**wanted, **others, **constants), wanted)
        return found, pull(jnp.asarray(case.cotangent, dtype=found.dtype))[0]

    value, gradients = mapped(results, tuple(specs), (P(), specs[0]))(wanted, arrays)
    numbers = {name: np.asarray(gradient, dtype=np.float64) for name, gradient in gradients.items()}
    return case.wrong(dtype, np.asarray(value, dtype=np.float64), numbers, slice(None))


def second_derivatives() -> list[str]:
    """Derivatives of a layer's gradient, and of the mapped function."""
    ids = np.asarray([1, 3, 5, 15, 8, 0, 4])
    arrays, along, keywords = linear.derivatives(np.asarray)
    del keywords["z_loss"]
    specs = {name: P("classes") if name in linear.BY_CLASS else P() for name in arrays}
    split = distributed.sharded(polyloss.linear_cross_entropy, "classes")

    def square(loss: Any) -> Any:
        return lambda arrays: loss(**arrays, target=ids, **keywords) ** 2

    def curvature(loss: Any) -> Any:
        return lambda arrays, along: jax.jvp(jax.grad(square(loss)), (arrays,), (along,))[1]

    inside = mapped(square(split), (specs,), P())
    pairs = [
        (curvature(polyloss.linear_cross_entropy), mapped(curvature(split), (specs, specs), specs)),
        (lambda x, _: jax.grad(square(polyloss.linear_cross_entropy))(x), lambda x, _: jax.grad(inside)(x)),
    ]
    return [
        f"derivative {place} of a layer by {name}: {got.tolist()}, expected {expected.tolist()}"
        for place, (exact, of_parts) in enumerate(pairs)
        for (name, expected), got in zip(exact(arrays, along).items(), of_parts(arrays, along).values(), strict=True)
        if not np.allclose(got, expected, rtol=1e-12, atol=1e-13)
    ]


def shardings() -> list[str]:
    """Logits that are laid out by their classes, in no mapped function: so is the gradient, and none are gathered."""
    mesh = Mesh(np.asarray(jax.devices()), ("classes",))
    by_class = NamedSharding(mesh, BY_CLASS)
    count = 64
    x = np.random.default_rng(0).normal(size=(6, count)).astype(np.float32)
    ids = np.asarray([0, 63, 7, 8, 31, 32])
    both = jax.jit(jax.value_and_grad(polyloss.cross_entropy))
    laid_out = jax.device_put(x, by_class)
    value, gradient = both(laid_out, ids)
    exact, expected = jax.value_and_grad(polyloss.cross_entropy)(x, ids)
    found = []
    if not (np.allclose(value, exact, rtol=1e-6) and np.allclose(gradient, expected, rtol=1e-5, atol=1e-7)):
        found.append(f"{value} and {gradient} of logits that are laid out by class, expected {exact} and {expected}")
    if not gradient.sharding.is_equivalent_to(by_class, 2):
        found.append(f"the gradient is laid out as {gradient.sharding}")
    code = both.lower(laid_out, ids).compile().as_text() or ""
    if "all-reduce" not in code:
        found.append("nothing is reduced over devices: this is not the code in question")
    found += [line for line in code.splitlines() if "all-gather" in line]
    return found


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


def averages() -> list[str]:
    """Averages over devices of values and gradients, in `jax.pmap` and through `jax.shard_map`."""
    draw = np.random.default_rng(1)
    x, layer = draw.normal(size=(16, 5)), draw.normal(size=(5, 5))
    ids = np.where(np.arange(16) < 9, -100, np.arange(16) % 5)
    exact = jax.value_and_grad(lambda layer: polyloss.cross_entropy(x @ layer, ids, ignore_index=-100))(layer)

    def value(layer: Any, x: Any, ids: Any) -> Any:
        count = distributed.average((ids != -100).sum(), "rows")
        return polyloss.cross_entropy(x @ layer, ids, ignore_index=-100, denominator=count)

    def step(*given: Any) -> Any:
        return lax.pmean(jax.value_and_grad(value)(*given), "rows")

    each = jax.pmap(step, "rows", in_axes=(None, 0, 0))(layer, x.reshape(8, 2, 5), ids.reshape(8, 2))
    through = mapped(lambda *given: lax.pmean(value(*given), "rows"), (P(), P("rows"), P("rows")), P())
    found = {
        "pmap": jax.tree.map(lambda array: array[0], each),
        "shard_map": jax.value_and_grad(through)(layer, x, ids),
    }
    return [
        f"average with {name}: {got}, expected {expected}"
        for name, results in found.items()
        for got, expected in zip(results, exact, strict=True)
        if not np.allclose(got, expected, rtol=1e-12, atol=1e-14)
    ]


def errors() -> list[str]:
    """NaN shows, whoever has it; and what cannot be right is refused."""
    found = []
    split = distributed.sharded(polyloss.multiclass_hinge, "classes")
    for place in (0, 5):
        x = np.where(np.arange(8) == place, np.nan, 1.0) + np.zeros((2, 1))
        if not np.isnan(mapped(split, (BY_CLASS, P()), P())(x, np.asarray([1, 7]))):
            found.append("NaN is lost")
    zeros, ids = jnp.zeros((2, 8)), jnp.zeros(2, dtype=int)
    each = distributed.sharded(polyloss.cross_entropy, "classes")
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: each(zeros, ids), "there is no axis 'classes'"),
        (lambda: distributed.sharded(polyloss.cross_entropy, 3)(zeros, ids), "the name of an axis"),
        (lambda: distributed.sharded(polyloss.cross_entropy)(zeros, ids), "the name of an axis"),
        (lambda: mapped(each, (BY_CLASS, P()), P(), check=False)(zeros, ids), "check_vma=True"),
        (lambda: mapped(each, (P(), P()), P())(zeros, ids), "the rows of logits are not split over 'classes'"),
        (
            lambda: mapped(each, (P("classes"), P("classes")), P("classes"))(zeros[:1].repeat(4, 0), ids[:1].repeat(4)),
            "target must be the same on all devices",
        ),
        (lambda: jax.pmap(lambda x: distributed.replicated(x, "rows"), "rows")(zeros), "JAX must follow what differs"),
        (lambda: jax.pmap(each, "classes")(zeros[:, None, :], ids[:, None]), "jax.pmap does not"),
    ]
    found += refusals(wrong, (TypeError, ValueError))
    counts = jax.pmap(lambda count: distributed.average(count, "rows"), "rows")(jnp.arange(8))
    if not np.array_equal(counts, np.full(8, 3.5)):
        found.append(f"counts {counts}")
    return found


def main() -> None:
    chunked.CHUNK = 24
    of_rows = (
        *layers(),
        *second_derivatives(),
        *shardings(),
        *rows(),
        *derivatives(),
        *counts(),
        *averages(),
        *errors(),
    )
    for problem in (*of_rows, *jax_examples.problems(), *jax_batches.problems()):
        print(problem)
    print("finished")
