"""JAX: what is compiled and when, settings of the caller, refusals, parameters that are learned."""

import functools
import re
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.core import chunked

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402
from jax import export, test_util  # noqa: E402
from jax.experimental import sparse  # noqa: E402

jax.config.update("jax_enable_x64", True)
IDS = np.asarray([0, 3, 1, 2, 3, 1])


@pytest.fixture
def x(rng: Any) -> Any:
    return jnp.asarray(rng.normal(size=(6, 4)))


@pytest.fixture
def y(rng: Any) -> Any:
    return jnp.asarray(rng.normal(size=(6, 4)))


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=1e-11, atol=1e-13)


@pytest.mark.filterwarnings("ignore:.*the kernel reads traces")
def test_a_number_that_changes_compiles_nothing(x: Any, y: Any) -> None:
    traces: list[None] = []

    @polyloss.elementwise(factor=polyloss.NONNEGATIVE)
    def scaled(xp: Any, /, prediction: Any, target: Any, *, factor: float = 1.0, **call: Any) -> Any:
        traces.append(None)
        return factor * prediction * target, lambda: factor * target, lambda: factor * prediction

    def check(loss: Any) -> None:
        traces.clear()
        for factor in (0.5, 1.5, 2.5):
            close(loss(factor), (factor * x * y).mean())
        assert len(traces) <= 1

    compiled = polyloss.compile(scaled)
    total = polyloss.compile(0.25 * scaled + 0.75 * scaled)
    function = polyloss.compile(lambda a, b, factor, *, unused: scaled(a, b, factor=factor))
    check(lambda f: scaled(x, y, factor=f))
    check(jax.jit(lambda f: scaled(x, y, factor=f)))
    check(lambda f: compiled(x, y, factor=f))
    check(lambda f: total(x, y, factor=f))
    check(lambda f: function(x, y, f, unused=f))
    loss: Any
    for loss in (scaled, compiled):
        with pytest.raises(ValueError, match=r"scaled: factor must be zero or positive, got -1\.0"):
            loss(x, y, factor=-1.0)
    assert jnp.isnan(jax.jit(lambda f: scaled(x, y, factor=f))(-1.0))


def test_compile_takes_functions_that_branch_on_numbers(x: Any, y: Any) -> None:
    steep = polyloss.compile(lambda a, b, slope: polyloss.mse(a, b) if slope > 1 else polyloss.l1(a, b))
    close(steep(x, y, 2.0), polyloss.mse(x, y))
    close(steep(x, y, 0.5), polyloss.l1(x, y))
    norm = polyloss.compile(lambda a, b, **keywords: polyloss.triplet_margin(a, b, -b, **keywords))
    close(norm(x, y, p=1.5), polyloss.triplet_margin(x, y, -y, p=1.5))
    with pytest.raises(ValueError, match="target must have the shape of prediction"):
        steep(x, y[:2], 0.5)


def test_a_distance_made_anew_is_compiled_once_for_what_it_computes(x: Any, y: Any) -> None:
    traces: list[None] = []

    def distance(factor: Any) -> Any:
        def measure(a: Any, b: Any, power: int = 1) -> Any:
            traces.append(None)
            return factor * (abs(a - b) ** power).sum(-1)

        return measure

    def loss(factor: Any) -> Any:
        return polyloss.triplet_margin(x, y, -y, margin=99.0, distance=distance(factor))

    ones = [loss(1.0) for _ in range(3)]
    assert len(traces) == 2
    close(loss(2.0) - 99.0, 2 * (ones[0] - 99.0))
    assert len(traces) == 4
    for _ in range(2):
        loss(jnp.asarray(1.0))
    assert len(traces) == 8
    assert loss(-0.0) == 99.0


def test_the_callers_arrays_may_not_broadcast_but_those_of_kernels_do(x: Any, y: Any) -> None:
    ids: Any = jnp.asarray(IDS)
    w: Any = jnp.arange(1.0, 5.0)
    calls: dict[str, Any] = {
        "ids": lambda a: polyloss.cross_entropy(a, ids, class_weight=w, sample_weight=jnp.arange(6.0)),
        "probabilities": lambda a: polyloss.softmax_focal(a, jax.nn.softmax(y), alpha=w),
        "labels": lambda a: polyloss.binary_cross_entropy_with_logits(a, jax.nn.sigmoid(y), pos_weight=w),
        "scale": lambda a: polyloss.huber(a, y, delta=w),
        "layer": lambda a: polyloss.linear_cross_entropy(a, jnp.eye(4, dtype=a.dtype), ids, bias=w, class_weight=w),
        "softmax": lambda a: (polyloss.log_softmax(a) ** 2).sum(),
    }

    def all_of(a: Any) -> dict[str, Any]:
        return {name: (call(a), jax.jvp(jax.grad(call), (a,), (y,))) for name, call in calls.items()}

    expected = jax.jit(all_of)(x)
    with jax.numpy_rank_promotion("raise"):
        jax.tree.map(close, jax.jit(all_of)(x), expected)
        jax.tree.map(close, {name: call(x) for name, call in calls.items()}, {n: e[0] for n, e in expected.items()})
        close(jax.grad(calls["ids"])(x), expected["ids"][1][0])
    with jax.numpy_rank_promotion("raise"), pytest.raises(ValueError, match="rank_promotion"):
        x + w


def test_no_nan_where_a_debugger_looks(x: Any) -> None:
    ids, mask = jnp.asarray(IDS), jnp.arange(6) > 1
    logits = x.at[0].set(-jnp.inf).at[1, 1].set(jnp.inf)

    def loss(a: Any) -> Any:
        return polyloss.cross_entropy(a, ids, where=mask, label_smoothing=0.1) + polyloss.hinge(
            a, jnp.sign(a), where=mask
        )

    expected = jax.jit(jax.value_and_grad(loss))(logits)
    with jax.debug_nans(True), jax.disable_jit():
        found = jax.value_and_grad(loss)(logits)
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_a_deleted_array_is_an_error_of_jax(x: Any, y: Any) -> None:
    y.delete()
    for call in (
        lambda a: polyloss.mse(x, a),
        lambda a: polyloss.mse(a, x),
        lambda a: polyloss.mse(x, x, sample_weight=a),
        lambda a: polyloss.value_and_grad(polyloss.mse)(a, x),
        lambda a: polyloss.compile(polyloss.mse)(x, a),
        lambda a: jax.jit(lambda b: polyloss.mse(b, a))(x),
    ):
        with pytest.raises(RuntimeError, match="deleted"):
            call(y)  # type: ignore[no-untyped-call]


def test_a_donated_array_is_an_error_of_jax(x: Any, y: Any) -> None:
    jax.jit(lambda a: a + 1.0, donate_argnums=0)(y).block_until_ready()
    with pytest.raises(RuntimeError, match="deleted"):
        polyloss.mse(x, y)


def test_constants_inside_of_jit_are_looked_at(x: Any) -> None:
    labels = jnp.where(x > 0, 1, -1)
    close(jax.jit(lambda scale: scale * polyloss.hinge(x, labels))(2.0), 2 * polyloss.hinge(x, labels))
    wrong = 2 * labels
    with pytest.raises(ValueError, match="hinge: target must be -1 or 1, got 2"):
        jax.jit(lambda scale: scale * polyloss.hinge(x, wrong))(2.0)
    ids = jnp.asarray(IDS)
    for dtype in ("int4", "uint8", "int16"):
        close(polyloss.cross_entropy(x, ids.astype(dtype)), polyloss.cross_entropy(x, ids))
    with pytest.raises(ValueError, match=r"class ids in \[0, 4\), got 5"):
        polyloss.cross_entropy(x, ids.at[2].set(5).astype("int4"))
    half = jnp.asarray([0.5, 1.5], "bfloat16")
    with pytest.raises(ValueError, match=r"target must be in \[0, 1\], got 1\.5"):
        polyloss.binary_cross_entropy_with_logits(half, half)


def refused(x: Any) -> list[tuple[Any, str]]:
    return [
        (jax.random.key(0), "random keys: draw numbers with them"),
        (jax.random.split(jax.random.key(0), 6), "random keys: draw numbers with them"),
        (jnp.ones((6, 4), "float8_e4m3fn"), "dtype float8_e4m3fn, in which no loss is computed: widen it"),
        (jax.ShapeDtypeStruct((6, 4), x.dtype), "ShapeDtypeStruct, which has no values: pass it to jax.eval_shape"),
        (sparse.BCOO.fromdense(x), "BCOO: make it dense with todense()"),
        (jax.jit(lambda a: a), "PjitFunction"),
    ]


def test_what_is_no_plain_array_is_refused_by_name(x: Any) -> None:
    for value, came in refused(x):
        for name, call in {
            "prediction": lambda a: polyloss.mse(a, x),
            "target": lambda a: polyloss.mse(x, a),
            "sample_weight": lambda a: polyloss.mse(x, x, sample_weight=a),
            "x": polyloss.softmax,
        }.items():
            with pytest.raises(TypeError, match=f": {name} must be a plain array, got {re.escape(came)}"):
                call(value)  # type: ignore[no-untyped-call]
    nothing = np.zeros((6, 4), jax.dtypes.float0)
    with pytest.raises(TypeError, match=r"mse: target must be a plain array, got dtype .*float0"):
        polyloss.mse(x, nothing)
    value, _ = polyloss.value_and_grad(polyloss.triplet_margin)(x, x, x, distance=jax.jit(lambda a, b: (a - b).sum(-1)))
    assert value == 1.0


def test_what_a_loss_branches_on_must_be_static(x: Any) -> None:
    log = jax.nn.log_softmax(x)
    hint = "; tell jax.jit static_argnames='{}', or fix it before with functools.partial"
    call: Any
    flag: Any = jnp.asarray(True)
    for name, call in {
        "log_target": lambda: jax.jit(polyloss.kl_divergence)(log, log, log_target=True),
        "swap": lambda: jax.jit(polyloss.triplet_margin)(x, x, x, swap=True),
        "p": lambda: jax.jit(polyloss.triplet_margin)(x, x, x, p=2.0),
        "axis": lambda: jax.jit(polyloss.log_softmax)(x, axis=0),
    }.items():
        with pytest.raises(TypeError, match=f": {name} must be .*, got .*{hint.format(name)}"):
            call()
    with pytest.raises(
        TypeError, match=r"log_target must be known while .* decides what .*, got ArrayImpl of shape .* bool$"
    ):
        polyloss.kl_divergence(log, log, log_target=flag)
    expected = polyloss.kl_divergence(log, log[::-1], log_target=True)
    close(jax.jit(polyloss.kl_divergence, static_argnames="log_target")(log, log[::-1], log_target=True), expected)
    close(jax.jit(functools.partial(polyloss.kl_divergence, log_target=True))(log, log[::-1]), expected)


def test_an_ignored_class_may_be_traced(x: Any) -> None:
    ids = jnp.asarray(IDS)
    ignored: Any
    wrong: Any
    logs = polyloss.log_softmax(x)
    for loss, scores in ((polyloss.cross_entropy, x), (polyloss.nll, logs), (polyloss.softmax_focal, x)):
        expected = loss(scores, ids, ignore_index=3)
        assert expected != loss(scores, ids)
        close(jax.jit(loss)(scores, ids, ignore_index=3), expected)
        for ignored in (jnp.asarray(3), np.asarray(3), np.int8(3), jnp.asarray(3, "uint8")):
            close(loss(scores, ids, ignore_index=ignored), expected)
    for wrong in (0.5, "-1", [1], jnp.asarray(0.5), jnp.asarray([1])):
        with pytest.raises(TypeError, match="ignore_index must be"):
            polyloss.cross_entropy(x, ids, ignore_index=wrong)


def test_a_layer_is_exported_with_a_batch_that_is_a_symbol(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(hidden: Any, weight: Any, ids: Any) -> Any:
        return jax.value_and_grad(polyloss.linear_cross_entropy, (0, 1))(hidden, weight, ids, ignore_index=1)

    monkeypatch.setattr(chunked, "CHUNK", 64 * 12)
    (length,) = export.symbolic_shape("n")
    weight, ids = x.T[:, :4] + 1.0, jnp.asarray(IDS)
    shapes = [jax.ShapeDtypeStruct(shape, x.dtype) for shape in ((length, 4), (4, 4))]
    exported = export.export(jax.jit(step))(*shapes, jax.ShapeDtypeStruct((length,), ids.dtype))
    for rows in (1, 3, 5, 6):
        found = exported.call(x[:rows], weight, ids[:rows])  # type: ignore[no-untyped-call]
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(step(x[:rows], weight, ids[:rows])), strict=True):
            close(one, other)


def test_weights_of_either_sign(x: Any, y: Any) -> None:
    w = jnp.asarray([1.0, -1.0, 2.0, -0.5, 0.0, 1.0])
    rows = ((x - y) ** 2).mean(axis=1)
    close(polyloss.mse(x, y, sample_weight=w), (w * rows).mean())
    close(jax.jit(polyloss.mse)(x, y, sample_weight=w), (w * rows).mean())
    with pytest.raises(ValueError, match="class_weight must be zero or positive"):
        polyloss.cross_entropy(x, jnp.zeros(6, "int32"), class_weight=w[:4])


def test_halves_are_summed_in_single_precision() -> None:
    ones = jnp.ones(70_000, "float16")
    assert polyloss.mse(ones, 0.0) == 1.0
    assert polyloss.mse(ones, 0.0, reduction="sum") == jnp.inf
    close((1e-4 * polyloss.mse)(jnp.asarray([1000.0, 900.0], "float16"), 0.0), np.float16(90.5))


PARAMETERS: dict[str, Any] = {
    "class_weight": lambda a, t, w: polyloss.cross_entropy(a, t, class_weight=w, reduction="weighted_mean"),
    "label_smoothing": lambda a, t, w: polyloss.cross_entropy(a, t, label_smoothing=w[0] / 9),
    "alpha": lambda a, t, w: polyloss.softmax_focal(a, t, alpha=w, gamma=w[1]),
    "pos_weight": lambda a, t, w: polyloss.binary_cross_entropy_with_logits(a, jnp.ones_like(a) / 3, pos_weight=w),
    "margin": lambda a, t, w: polyloss.triplet_margin(a, 0.5 * a, a[::-1], margin=w[2]),
    "z_loss": lambda a, t, w: polyloss.linear_cross_entropy(a, jnp.eye(4, dtype=a.dtype), t, z_loss=w[1]),
    "weight": lambda a, t, w: polyloss.mse(a, 0.0, sample_weight=jnp.tile(w, 2)[:6] - 2.0, reduction="weighted_mean"),
}


@pytest.mark.parametrize("loss", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_every_parameter_has_the_gradient_of_its_value(loss: Any, x: Any) -> None:
    check_grads: Any = test_util.check_grads
    target, weight = jnp.asarray([0, 3, 1, 2, 0, 1]), jnp.asarray([0.5, 1.5, 2.0, 1.25])
    check_grads(jax.jit(lambda w: loss(x, target, w)), (weight,), order=2, rtol=1e-4)
