"""MLX: the closed form under every transform, lazy arrays, what cannot be looked at, and what MLX has otherwise."""

import math
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import distributed
from polyloss.core.backend import backend_of

mx: Any = pytest.importorskip("mlx.core")
losses: Any = pytest.importorskip("mlx.nn").losses

import polyloss_mlx  # noqa: E402
from polyloss_mlx import _namespace as xp  # noqa: E402


@polyloss.elementwise
def detector(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
    """A value whose own derivative is 0, with the closed form 7 p^2; infinitely steep in its target."""
    return 0.0 * prediction * target + 1.0, lambda: 7.0 * prediction * prediction, lambda: prediction / 0.0


@pytest.fixture
def x(rng: Any) -> Any:
    return mx.array(rng.normal(size=(6, 4)), mx.float64)


@pytest.fixture
def y(rng: Any) -> Any:
    return mx.array(rng.normal(size=(6, 4)), mx.float64)


def detect(a: Any, b: Any) -> Any:
    return detector(a, b, reduction="sum")


def close(actual: Any, expected: Any, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=1e-14)


def by_jvp(a: Any, b: Any) -> Any:
    def along(p: Any, t: Any) -> Any:
        return mx.jvp(lambda q: detector(q, t, reduction="none"), [p], [mx.ones_like(p)])[1][0]

    return along(a, b)


TRANSFORMS = {
    "grad": lambda a, b: mx.grad(detect)(a, b),
    "vjp": lambda a, b: mx.vjp(lambda p: detect(p, b), [a], [mx.ones((), a.dtype)])[1][0],
    "jvp": by_jvp,
    "vmap of jvp": lambda a, b: mx.vmap(by_jvp)(a, b),
    "jvp of vmap": lambda a, b: mx.jvp(
        lambda p: mx.vmap(lambda q, t: detector(q, t, reduction="none"))(p, b), [a], [mx.ones_like(a)]
    )[1][0],
    "vmap of grad": lambda a, b: mx.vmap(mx.grad(detect))(a, b),
    "vmap over targets": lambda a, b: mx.vmap(mx.grad(detect), in_axes=(None, 0))(a[0], b) * a**2 / a[0] ** 2,
    "vmap along columns": lambda a, b: mx.vmap(mx.grad(detect), in_axes=1, out_axes=1)(a, b),
    "grad of vmap": lambda a, b: mx.grad(lambda p: mx.vmap(detect)(p, b).sum())(a),
    "grad of vmap of vmap": lambda a, b: mx.grad(lambda p: mx.vmap(mx.vmap(detect))(p, b).sum())(a),
    "grad of what all have in common": lambda a, b: (
        mx.grad(lambda p: mx.vmap(detect, in_axes=(None, 0))(p, b).sum())(a[0]) * a**2 / a[0] ** 2 / len(b)
    ),
    "grad of compile": lambda a, b: mx.grad(mx.compile(detect))(a, b),
    "checkpoint": lambda a, b: mx.grad(mx.checkpoint(detect))(a, b),
    "value_and_grad": lambda a, b: polyloss.value_and_grad(detect)(a, b)[1],
    "half of grad of grad": lambda a, b: mx.grad(lambda p: mx.grad(detect)(p, b).sum())(a) * a / 2,
    "half of jvp of grad": lambda a, b: mx.jvp(lambda p: mx.grad(detect)(p, b), [a], [a])[1][0] / 2,
    "half of grad of jvp": lambda a, b: mx.grad(lambda p: by_jvp(p, b).sum())(a) * a / 2,
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_transform_uses_the_closed_form(transform: Any, x: Any, y: Any) -> None:
    close(transform(x, y), 7 * x**2)


@pytest.mark.parametrize("name", ["jvp", "grad of vmap", "half of grad of grad"])
def test_and_so_does_what_is_compiled(name: str, x: Any, y: Any) -> None:
    close(mx.compile(TRANSFORMS[name])(x, y), 7 * x**2)


def test_a_gradient_without_a_closed_form_is_that_of_mlx(x: Any, y: Any) -> None:
    @polyloss.elementwise
    def one_sided(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        error = prediction - target
        return error * error, lambda: 2.0 * error

    def of_target(t: Any) -> Any:
        return one_sided(x, t, reduction="sum")

    close(mx.grad(of_target)(y), 2 * (y - x))
    close(mx.jvp(of_target, [y], [mx.ones_like(y)])[1][0], (2 * (y - x)).sum())


def test_a_bad_value_raises_where_it_can_be_looked_at(x: Any) -> None:
    ids = mx.array([0, 1, 4, 3, -1, 2])
    for transform in (lambda f: f, mx.grad, mx.value_and_grad):
        with pytest.raises(ValueError, match=r"target must be class ids in \[0, 4\), got 4"):
            transform(polyloss.cross_entropy)(x, ids)


@pytest.mark.parametrize("transform", [mx.compile, lambda f: mx.compile(mx.grad(f))])
def test_elsewhere_it_is_nan(transform: Any, x: Any) -> None:
    found = np.asarray(transform(polyloss.cross_entropy)(x, mx.array([0, 1, 4, 3, -1, 2])))
    bad = np.asarray([False, False, True, False, True, False])
    if found.ndim:
        assert np.isnan(found[bad]).all()
        assert np.isfinite(found[~bad]).all()
    else:
        assert np.isnan(found)


def test_in_vmap_it_is_nan_in_its_row(x: Any) -> None:
    found = np.asarray(mx.vmap(polyloss.cross_entropy)(x, mx.array([0, 1, 4, 3, -1, 2])))
    assert np.isnan(found).tolist() == [False, False, True, False, True, False]


def test_on_a_gpu_nothing_is_looked_at_and_float64_is_refused(monkeypatch: pytest.MonkeyPatch, x: Any, y: Any) -> None:
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
    assert not polyloss_mlx.backend.readable(x)
    with pytest.raises(
        TypeError, match=r"float64, which MLX has on the CPU alone; call it within mx\.stream\(mx\.cpu\)"
    ):
        polyloss.mse(x, y)
    ids = mx.array([0, 9])
    assert np.isnan(np.asarray(polyloss.cross_entropy(x[:2].astype(mx.float32), ids, reduction="none"))).tolist() == [
        False,
        True,
    ]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half(dtype: str, x: Any, y: Any) -> None:
    a, b = x.astype(getattr(mx, dtype)), y.astype(getattr(mx, dtype))
    value, gradient = mx.value_and_grad(polyloss.mse)(a, b)
    wide = [one.astype(mx.float32) for one in (a, b)]
    assert str(value.dtype) == str(gradient.dtype) == f"mlx.core.{dtype}"
    assert value == polyloss.mse(*wide).astype(value.dtype)
    assert mx.all(gradient == mx.grad(polyloss.mse)(*wide).astype(value.dtype))


def test_a_masked_nan_in_float16_warns_nobody() -> None:
    """MLX has a signalling one, of which NumPy warns."""
    logits, known = mx.array([[1.0, 0.0], [math.nan, 0.0]], mx.float16), mx.array([True, False])
    logits = mx.where(mx.isnan(logits), mx.array(math.nan, mx.float16), logits)
    assert np.asarray(logits).view(np.uint16)[1, 0] & 0x0200 == 0
    target = mx.array([[0.5, 0.5], [math.nan, 0.5]], mx.float16)
    assert polyloss.cross_entropy(logits, target, where=known).item() == pytest.approx(0.8133, abs=1e-3)


def test_a_mean_of_many_halves() -> None:
    one = mx.ones(100_000, dtype=mx.float16)
    assert polyloss.mse(one, mx.zeros_like(one)) == 1.0
    assert losses.mse_loss(one, mx.zeros_like(one)) != 1.0


def test_gradients_come_in_the_order_that_was_asked_for(x: Any, y: Any) -> None:
    _, (by_y, by_x, again) = polyloss.value_and_grad(polyloss.l1, (1, 0, 1))(x, y)
    close(by_y, -by_x)
    close(by_y, again)
    close(by_x, mx.sign(x - y) / 24)


def test_compile_takes_functions_and_changing_numbers(x: Any, y: Any) -> None:
    def distance(a: Any, b: Any) -> Any:
        return mx.abs(a - b).sum(axis=-1)

    compiled = polyloss.compile(polyloss.huber)
    for delta in (0.5, 1, 1.0, mx.array(0.5, mx.float64)):
        close(compiled(x, y, delta=delta), polyloss.huber(x, y, delta=delta))
    close(
        polyloss.compile(polyloss.triplet_margin)(x, y, -y, distance=distance),
        polyloss.triplet_margin(x, y, -y, distance=distance),
    )


def test_the_gradient_of_a_loss_of_a_layer_is_differentiable(rng: Any) -> None:
    """With an upstream gradient of 1, too, which may be what is differentiated by."""
    hidden, weight = (mx.array(rng.normal(size=shape), mx.float64) for shape in ((5, 3), (4, 3)))
    ids = mx.array([0, 1, 2, 3, 0])

    def scaled(scale: Any) -> Any:
        return mx.grad(lambda h: scale * polyloss.linear_cross_entropy(h, weight, ids))(hidden).sum()

    close(mx.grad(scaled)(mx.array(1.0, mx.float64)), scaled(mx.array(1.0, mx.float64)))

    def plain(h: Any) -> Any:
        return polyloss.cross_entropy(h @ weight.T, ids)

    direct = mx.grad(lambda h: mx.grad(plain)(h).square().sum())(hidden)
    fused = mx.grad(lambda h: mx.grad(lambda a: polyloss.linear_cross_entropy(a, weight, ids))(h).square().sum())(
        hidden
    )
    close(fused, direct, rtol=1e-10)
    change = mx.jvp(lambda h: polyloss.linear_cross_entropy(h, weight, ids), [hidden], [hidden])[1][0]
    close(change, (mx.grad(plain)(hidden) * hidden).sum(), rtol=1e-10)


def test_numpy_arrays_are_refused(x: Any) -> None:
    with pytest.raises(TypeError, match=r"convert what is NumPy's, as in mx\.array\(target\)"):
        polyloss.mse(x, np.zeros((6, 4)))


def test_a_group_is_refused(x: Any, y: Any) -> None:
    with pytest.raises(TypeError, match="group must be None, for arrays of mlx are in one process"):
        distributed.data_parallel(polyloss.mse, group="rows")(x, y)


def test_the_adapter_counts_as_mlx(x: Any) -> None:
    assert backend_of(x) is polyloss_mlx.backend
    assert polyloss_mlx.backend.name == "mlx"


# ----------------------------------------------------------------------------------------------- what MLX has otherwise


def test_the_exponential_has_all_digits() -> None:
    """That of MLX is off by 1e-7 in float64."""
    x = np.linspace(-80.0, 80.0, 999)
    np.testing.assert_allclose(np.asarray(xp.exp(mx.array(x, mx.float64))), np.exp(x), rtol=1e-15)
    ends = mx.array([-math.inf, math.inf, math.nan])
    np.testing.assert_array_equal(np.asarray(xp.exp(ends)), [0.0, math.inf, math.nan])
    assert mx.grad(lambda a: xp.exp(a).sum())(ends)[0] == 0.0


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2), (1, 2)])
def test_a_sum_of_many(axis: Any) -> None:
    """That of MLX is off by 1 % of a million tenths."""
    x = np.full((64, 256, 64), 0.1, np.float32)
    np.testing.assert_allclose(
        np.asarray(xp.sum(mx.array(x), axis=axis)), np.sum(x, axis=axis, dtype=np.float64), rtol=5e-7
    )


def test_rows_of_nothing_are_summed_at_once() -> None:
    """MLX counted to 2**32, depending on what was in memory."""
    assert xp.sum(mx.zeros((7, 0)), axis=-1).tolist() == [0.0] * 7
    assert xp.sum(mx.zeros((7, 0)), axis=-1, keepdims=True).shape == (7, 1)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: xp.where(x > 0, x, 0.0), [1.0, 0.0]),
        (lambda x: xp.maximum(x, 0.0), [1.0, 0.0]),
        (lambda x: xp.minimum(0.0, -x), [-1.0, 0.0]),
        (lambda x: xp.clip(x, min=0.0, max=5.0), [1.0, 0.0]),
    ],
    ids=["where", "maximum", "minimum", "clip"],
)
def test_no_nan_reaches_what_was_not_chosen(function: Any, expected: list[float]) -> None:
    x = mx.array([2.0, -2.0])
    upstream = mx.array([1.0, math.nan])
    for run in (function, mx.vmap(function)):
        assert mx.vjp(run, [x], [upstream])[1][0].tolist() == expected
    assert mx.jvp(function, [x], [upstream])[1][0].tolist() == expected


# --------------------------------------------------------------------------------------------------- mlx.nn.losses

ROWS, OTHER, THIRD = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
IDS, SIGNS, SHARES = np.arange(5) % 4, np.sign(OTHER), np.abs(OTHER) / np.abs(OTHER).sum(axis=-1, keepdims=True)
CHANCES = (1 / (1 + np.exp(-ROWS))).astype(np.float32)
LOGS = np.log(np.abs(ROWS) / np.abs(ROWS).sum(axis=-1, keepdims=True))
BUILT_INS: dict[str, tuple[Any, Any, tuple[Any, ...]]] = {
    "binary_cross_entropy": (
        losses.binary_cross_entropy,
        polyloss.binary_cross_entropy_with_logits,
        (ROWS, CHANCES),
    ),
    "binary_cross_entropy of probabilities": (
        lambda p, t, **call: losses.binary_cross_entropy(p, t, with_logits=False, **call),
        polyloss.binary_cross_entropy,
        (CHANCES, np.roll(CHANCES, 1)),
    ),
    "cosine_similarity_loss": (
        # Theirs is largest for vectors that agree.
        lambda x, t, **call: -losses.cosine_similarity_loss(x, t, **call),
        polyloss.cosine_distance.partial(similarity=True),
        (ROWS, OTHER),
    ),
    "cross_entropy": (losses.cross_entropy, polyloss.cross_entropy, (ROWS, IDS)),
    "cross_entropy of probabilities": (losses.cross_entropy, polyloss.cross_entropy, (ROWS, SHARES)),
    "smoothed cross_entropy": (
        lambda x, t, **call: losses.cross_entropy(x, t, label_smoothing=0.1, **call),
        polyloss.cross_entropy.partial(label_smoothing=0.1),
        (ROWS, IDS),
    ),
    "gaussian_nll_loss": (losses.gaussian_nll_loss, polyloss.gaussian_nll, (ROWS, OTHER, np.abs(THIRD) + 0.1)),
    "hinge_loss": (losses.hinge_loss, polyloss.hinge, (ROWS, SIGNS)),
    "huber_loss": (
        lambda x, t, **call: losses.huber_loss(x, t, 0.7, **call),
        polyloss.huber.partial(delta=0.7),
        (ROWS, OTHER),
    ),
    "kl_div_loss": (
        losses.kl_div_loss,
        polyloss.kl_divergence.partial(log_target=True),
        (LOGS, np.roll(LOGS, 1, axis=0)),
    ),
    "l1_loss": (losses.l1_loss, polyloss.l1, (ROWS, OTHER)),
    "log_cosh_loss": (losses.log_cosh_loss, polyloss.log_cosh, (ROWS, OTHER)),
    "margin_ranking_loss": (losses.margin_ranking_loss, polyloss.margin_ranking, (ROWS, OTHER, np.sign(THIRD))),
    "mse_loss": (losses.mse_loss, polyloss.mse, (ROWS, OTHER)),
    "nll_loss": (losses.nll_loss, polyloss.nll, (LOGS, IDS)),
    "smooth_l1_loss": (
        lambda x, t, **call: losses.smooth_l1_loss(x, t, 0.7, **call),
        polyloss.smooth_l1.partial(beta=0.7),
        (ROWS, OTHER),
    ),
    "triplet_loss": (
        lambda *arrays, **call: losses.triplet_loss(*arrays, eps=0.0, **call),
        polyloss.triplet_margin,
        (ROWS, OTHER, THIRD),
    ),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_in_agrees_on_ordinary_numbers(name: str, reduction: str) -> None:
    theirs, ours, given = BUILT_INS[name]
    arrays = [mx.array(array) for array in given]
    close(ours(*arrays, reduction=reduction), theirs(*arrays, reduction=reduction), rtol=2e-5)

    def total(loss: Any) -> Any:
        return mx.grad(lambda *arrays: loss(*arrays, reduction=reduction).sum())(*arrays)

    np.testing.assert_allclose(np.asarray(total(ours)), np.asarray(total(theirs)), rtol=2e-4, atol=1e-6)


def test_no_built_in_is_left_out() -> None:
    public = {name for name in dir(losses) if name.endswith(("_loss", "entropy"))}
    assert public == {name.removeprefix("smoothed ").partition(" ")[0] for name in BUILT_INS}


def by_first(loss: Any) -> Any:
    return mx.grad(lambda *arrays: loss(*arrays).sum())


TENTHS, HALVES = np.full(10**7, 0.1, np.float32), np.zeros((70_000, 2), np.float16)
DEVIATIONS: dict[str, tuple[Any, Any, tuple[Any, ...], float, float]] = {
    "a confident row, margin 17": (losses.cross_entropy, polyloss.cross_entropy, ([[17.0, 0.0]], [0]), 0, 4.14e-8),
    "a masked class (-inf logit), soft target": (
        losses.cross_entropy,
        polyloss.cross_entropy,
        ([[1.0, 0.0, -math.inf]], [[0.5, 0.5, 0.0]]),
        math.nan,
        0.8133,
    ),
    "mean over 70,000 rows in float16": (
        lambda x, t: losses.cross_entropy(x, t, reduction="mean"),
        polyloss.cross_entropy,
        (HALVES, np.zeros(70_000, np.int32)),
        0.6948,
        0.6934,
    ),
    "mean of 10 million tenths": (losses.l1_loss, polyloss.l1, (TENTHS, 0 * TENTHS), 0.1088, 0.1),
    "a logit of 20, target 1": (
        losses.binary_cross_entropy,
        polyloss.binary_cross_entropy_with_logits,
        ([20.0], [1.0]),
        0,
        2.061e-9,
    ),
    "a probability of 1e-10, target 0": (
        lambda p, t: losses.binary_cross_entropy(p, t, with_logits=False),
        polyloss.binary_cross_entropy,
        ([1e-10], [0.0]),
        0,
        1e-10,
    ),
    "slope at a probability of 0, target 1": (
        by_first(lambda p, t: losses.binary_cross_entropy(p, t, with_logits=False)),
        by_first(polyloss.binary_cross_entropy),
        ([0.0], [1.0]),
        math.nan,
        -math.inf,
    ),
    "a small error, 1e-4": (losses.log_cosh_loss, polyloss.log_cosh, ([1e-4], [0.0]), 0, 5e-9),
    "a target log-probability of -inf": (
        losses.kl_div_loss,
        polyloss.kl_divergence.partial(log_target=True),
        ([[-1.0, -1.0]], [[0.0, -math.inf]]),
        math.nan,
        1,
    ),
    "slope of the cosine of a vector of zeros": (
        by_first(losses.cosine_similarity_loss),
        by_first(polyloss.cosine_distance.partial(similarity=True)),
        ([[0.0]], [[3.0]]),
        math.nan,
        0,
    ),
}


@pytest.mark.parametrize("case", DEVIATIONS)
def test_where_a_built_in_differs(case: str) -> None:
    """A line that no longer occurs fails: then docs/mlx.md has to be changed."""
    theirs, ours, given, wrong, exact = DEVIATIONS[case]
    arrays = [mx.array(array) for array in given]
    for loss, expected in ((theirs, wrong), (ours, exact)):
        found = np.asarray(loss(*arrays).astype(mx.float32)).reshape(-1)[:1]
        np.testing.assert_allclose(found, [expected], rtol=1e-3, atol=0)


def test_what_a_built_in_does_not_notice() -> None:
    assert losses.huber_loss(mx.ones((4, 1)), mx.ones(4)).shape == (4, 4)
    assert np.isfinite(losses.cross_entropy(mx.array([[1.0, 0.0]]), mx.array([7])).item())
    with pytest.raises(ValueError, match="shape"):
        polyloss.huber(mx.ones((4, 1)), mx.ones(4))
