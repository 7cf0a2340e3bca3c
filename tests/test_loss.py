"""What a loss is: its signature, its keywords, its partials, and losses of a user's own."""

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import polyloss

pytestmark = pytest.mark.unoptimised


@polyloss.elementwise(tasks=["regression"], power=polyloss.POSITIVE)
def quartic(xp: Any, /, prediction: Any, target: Any, *, power: float = 1.0, **call: Any) -> Any:
    """Fourth power of the error, closed form."""
    error = power * (prediction - target)
    return error**4, lambda: 4 * power * error**3, lambda: -4 * power * error**3


@polyloss.rowwise
def spread(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
    """Sum of squares over a row, closed form."""
    error = prediction - target
    return xp.sum(error * error, axis=-1), lambda: 2 * error, lambda: -2 * error


@polyloss.elementwise(autodiff=True)
def cubic(xp: Any, /, prediction: Any, target: Any, *, scale: float = 2.0, **call: Any) -> Any:
    """The value alone."""
    return scale * (prediction - target) ** 3


@polyloss.elementwise(scale=polyloss.POSITIVE)
def scaled(xp: Any, /, prediction: Any, target: Any, *, scale: Any, how: Any, **call: Any) -> Any:
    """Two parameters without defaults, one of them a function."""
    error = how(prediction - target) / scale
    return error, lambda: xp.ones_like(error) / scale, lambda: -xp.ones_like(error) / scale


def identity(array: Any) -> Any:
    return array


def test_parameters_without_defaults(backend: Any) -> None:
    # Type checkers know of what is missing, but not of what `partial` gives.
    loss: Any = scaled
    x, y = backend.array(np.asarray([3.0, 1.0])), backend.array(np.zeros(2))
    for number in (4.0, backend.array(np.asarray(4.0))):
        backend.check(loss(x, y, scale=number, how=identity), 0.5)
    chosen = loss.partial(how=identity)
    backend.check(chosen(x, y, scale=4.0), 0.5)
    backend.check((chosen.partial(scale=4.0) + polyloss.mse)(x, y), 5.5)
    backend.check(backend.grad(chosen, x, y, scale=4.0)[0], [0.125, 0.125])
    way = r"^scaled: missing {0}, which has no default, as in scaled\(prediction, target, {0}=\.\.\.\)"
    for one, given, name in (
        (loss, {}, "scale"),
        (loss, {"scale": 2.0}, "how"),
        (chosen, {}, "scale"),
        (2.0 * chosen, {}, "scale"),
        (polyloss.value_and_grad(chosen), {}, "scale"),
    ):
        with pytest.raises(TypeError, match=way.format(name)):
            one(x, y, **given)
    with pytest.raises(ValueError, match="scale must be positive, got -1"):
        chosen(x, y, scale=-1.0)
    with pytest.raises(TypeError, match="unexpected scael; did you mean scale"):
        loss(x, y, scael=1.0)
    assert (loss.parameters, loss.defaults, chosen.defaults) == (("scale", "how"), {}, {"how": identity})
    assert "\nscale : required\n    Positive.\nhow : required\n" in loss.__doc__
    assert "target: Any, *, scale: Any, how: Any, reduction: " in str(inspect.signature(loss)).replace("typing.", "")
    for shown in (str(inspect.signature(loss)), loss.__doc__, repr(loss), repr(chosen), repr(loss.defaults)):
        assert "_empty" not in str(shown)


def test_what_a_loss_says_of_arrays_that_it_holds(backend: Any) -> None:
    """In one line, however large they are."""
    number, many = backend.array(np.asarray(0.1), "float32"), backend.array(np.ones(300))
    loss = polyloss.cross_entropy.partial(class_weight=many, label_smoothing=number)
    kind = type(number).__name__
    shown = repr(loss)
    assert shown.startswith(f"<polyloss loss cross_entropy, class_weight={kind}(shape=(300,)), label_smoothing={kind}(")
    assert "smoothing=" + kind + ("(0.1)>" if backend.name != "dask" else "(shape=())>") in shown
    assert f"class_weight={kind}(shape=(300,))" in repr(2.0 * loss)


def test_signature() -> None:
    signature = inspect.signature(polyloss.huber)
    assert list(signature.parameters) == [
        "prediction", "target", "delta", "reduction", "sample_weight", "where", "denominator",
    ]  # fmt: skip
    assert signature.parameters["delta"].default == 1.0
    assert signature.parameters["reduction"].default == "mean"
    assert inspect.signature(spread).parameters["axis"].default == -1
    assert "axis" not in inspect.signature(quartic).parameters
    assert inspect.signature(polyloss.huber.partial(delta=3.0)).parameters["delta"].default == 3.0


def test_what_a_loss_says_of_itself() -> None:
    assert (quartic.__doc__ or "").startswith("Fourth power of the error, closed form.\n\nParameters\n")
    assert (quartic.__name__, quartic.__module__) == ("quartic", __name__)
    assert quartic.tasks == ("regression",)
    assert quartic.arrays == ("prediction", "target")
    assert repr(quartic) == "<polyloss loss quartic>"
    assert repr(quartic.partial(power=2.0)) == "<polyloss loss quartic, power=2.0>"


def test_copies_and_pickles() -> None:
    x = np.asarray([1.0, -2.0])
    for loss in (polyloss.huber, polyloss.huber.partial(delta=0.5)):
        for other in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
            assert other(x, 0 * x) == loss(x, 0 * x)
            assert repr(other) == repr(loss)
    assert pickle.loads(pickle.dumps(polyloss.huber)) is polyloss.huber


def test_partial(backend: Any) -> None:
    x = np.asarray([3.0, 0.5])
    arrays = backend.array(x), backend.array(0 * x)
    loss = quartic.partial(power=2.0)
    backend.check(loss(*arrays), np.mean((2 * x) ** 4))
    backend.check(loss(*arrays, power=1.0), np.mean(x**4))
    backend.check(backend.grad(loss, *arrays)[0], 2 * 4 * (2 * x) ** 3 / 2)
    with pytest.raises(TypeError, match="unexpected pwer; did you mean power"):
        quartic.partial(pwer=1.0)
    # Neither knows of the other, whichever is called first; what follows from the kernel they share.
    again = loss.partial(power=0.5)
    for one, power in ((quartic, 1.0), (again, 0.5), (loss, 2.0)):
        backend.check(one(*arrays), np.mean((power * x) ** 4))
        assert one.defaults == {"power": power}
        assert f"power : float or array, default {power}" in (one.__doc__ or "")
        assert one.arguments is quartic.arguments
    assert (quartic.fixed, loss.fixed, again.fixed) == ({}, {"power": 2.0}, {"power": 0.5})
    assert repr(pickle.loads(pickle.dumps(again))) == repr(again)


def test_a_partial_refuses_what_its_calls_would(backend: Any) -> None:
    """And says the same, but for how its users make an array."""
    x = backend.array(np.asarray([[3.0, 0.5], [1.0, -1.0]]))
    pair, ids = (x, 0 * x), (x, backend.array(np.asarray([0, 1])))

    def array(values: Any) -> Any:
        return backend.array(np.asarray(values))

    refused: list[tuple[Any, Any, str, Any]] = [
        (polyloss.quantile, pair, "q", array([0.05, 5.0])),
        (polyloss.quantile, pair, "q", array([0.05, np.nan])),
        (polyloss.quantile, pair, "q", array(1)),
        (polyloss.huber, pair, "delta", array(-1.0)),
        (polyloss.huber, pair, "delta", -1.0),
        (polyloss.huber, pair, "delta", [1.0, 2.0]),
        (polyloss.huber, pair, "delta", {"delta": 1.0}),
        (polyloss.huber, pair, "delta", np.abs),
        (polyloss.huber, pair, "delta", "mad"),
        (polyloss.tukey_biweight, pair, "scale", "med"),
        (polyloss.cross_entropy, ids, "class_weight", [1.0, 2.0]),
        (polyloss.cross_entropy, ids, "label_smoothing", array([0.1, 0.2])),
        (polyloss.cross_entropy, ids, "ignore_index", array(0.5)),
        (polyloss.cross_entropy, ids, "ignore_index", [0, 1]),
        (polyloss.triplet_margin, (x, x, x), "swap", array(True)),
    ]
    for loss, arrays, name, value in refused:
        with pytest.raises((TypeError, ValueError)) as called:
            loss(*arrays, **{name: value})
        with pytest.raises(called.type) as made:
            loss.partial(**{name: value})
        assert str(made.value).partition("; make it one")[0] == str(called.value).partition("; make it one")[0]
    taken: list[tuple[Any, Any, str, Any]] = [
        (polyloss.quantile, pair, "q", array([0.05, 0.5])),
        (polyloss.huber, pair, "delta", array(2)),
        (polyloss.tukey_biweight, pair, "scale", "mad"),
        (polyloss.cross_entropy, ids, "class_weight", array([0.0, 2.0])),
        (polyloss.cross_entropy, ids, "ignore_index", array(1)),
        (polyloss.softmax_focal, ids, "gamma", np.float64(2.0)),
    ]
    for loss, arrays, name, value in taken:
        backend.check(loss.partial(**{name: value})(*arrays), backend.numpy(loss(*arrays, **{name: value})))


def test_arrays_by_keyword(backend: Any) -> None:
    x = backend.array(np.asarray([3.0, 0.5]))
    y = backend.array(np.asarray([1.0, 1.0]))
    backend.check(polyloss.mse(prediction=x, target=y), np.asarray(2.125))
    backend.check(polyloss.mse(x, target=y), np.asarray(2.125))


def test_a_loss_is_no_method() -> None:
    class Trainer:
        loss = polyloss.mse

    x = np.ones(2)
    assert Trainer().loss(x, 0 * x) == 1.0


def test_own_loss_has_everything(backend: Any, rng: Any) -> None:
    x, y = rng.normal(size=(2, 4, 3))
    weight, mask = rng.random(4), rng.random((4, 3)) < 0.7
    keywords = {"sample_weight": backend.array(weight), "where": backend.array(mask), "power": 1.5}
    arrays = backend.array(x), backend.array(y)
    expected = np.mean(((1.5 * (x - y)) ** 4 * weight[:, None])[mask])
    backend.check(quartic(*arrays, **keywords), expected, rtol=1e-13)
    value, gradient = polyloss.value_and_grad(quartic)(*arrays, **keywords)
    backend.check(value, expected, rtol=1e-13)
    slope = np.where(mask, 6 * (1.5 * (x - y)) ** 3 * weight[:, None], 0) / mask.sum()
    backend.check(gradient, slope, rtol=1e-12)
    backend.check(backend.compile(quartic)(*arrays), np.mean((x - y) ** 4), rtol=1e-13)
    with pytest.raises(ValueError, match="quartic: power must be positive, got -1"):
        quartic(*arrays, power=-1)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_own_rowwise_loss(backend: Any, rng: Any, axis: int) -> None:
    x, y = rng.normal(size=(2, 2, 3, 4))
    cotangent = rng.normal(size=np.sum(x, axis=axis).shape)
    arrays = backend.array(x), backend.array(y)
    backend.check(spread(*arrays, axis=axis, reduction="none"), np.sum((x - y) ** 2, axis=axis), rtol=1e-14)
    expected = 2 * (x - y) * np.expand_dims(cotangent, axis)
    first, second = backend.grad(spread, *arrays, cotangent=cotangent, axis=axis)
    backend.check(first, expected, rtol=1e-14)
    backend.check(second, -expected, rtol=1e-14)


def test_own_loss_differentiated_by_the_framework(backend: Any, rng: Any) -> None:
    x, y = rng.normal(size=(2, 4))
    arrays = backend.array(x), backend.array(y)
    backend.check(cubic(*arrays, reduction="sum"), 2 * np.sum((x - y) ** 3), rtol=1e-13)
    if backend.has_autodiff:
        gradient = backend.grad(cubic, *arrays, reduction="sum")[0]
        backend.check(gradient, 6 * (x - y) ** 2, rtol=1e-13)


def test_a_pair_needs_no_autodiff_flag_but_a_value_does(backend: Any) -> None:
    @polyloss.elementwise(autodiff=True)
    def confused(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        return prediction, lambda: prediction

    x = backend.array(np.ones(2))
    with pytest.raises(TypeError, match="confused is declared with autodiff: it must return its value alone"):
        confused(x, x)


def test_declarations_name_parameters() -> None:
    with pytest.raises(TypeError, match="plain has no parameter delta; it has none"):

        @polyloss.elementwise(delta=polyloss.POSITIVE)
        def plain(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
            return prediction


@pytest.mark.parametrize("kind", ["int64", "bool"])
def test_integer_targets(backend: Any, kind: str) -> None:
    x = np.asarray([0.5, 2.0])
    value, gradients = backend.value_and_grad(polyloss.huber, backend.array(x), backend.array(np.asarray([1, 0]), kind))
    backend.check(value, np.asarray((0.125 + 1.5) / 2))
    backend.check(gradients[0], np.asarray([-0.25, 0.5]))
    assert gradients[1] is None


@pytest.mark.parametrize("value", [0, 1.5, np.float32(1.5), np.float64(1.5)])
def test_number_instead_of_an_array(backend: Any, value: Any) -> None:
    x = np.asarray([0.5, 2.0])
    backend.check(polyloss.mse(backend.array(x), value), np.mean((x - float(value)) ** 2))
    backend.check(polyloss.mse(value, backend.array(x)), np.mean((x - float(value)) ** 2))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtype_follows_the_prediction(backend: Any, dtype: str) -> None:
    if dtype not in backend.dtypes:
        pytest.skip(f"no {dtype} here")
    x = backend.array(np.asarray([0.5, 2.0]), dtype)
    for other in backend.dtypes:
        y = backend.array(np.asarray([1.0, 0.0]), other)
        value, gradients = backend.value_and_grad(polyloss.huber, x, y)
        backend.check(value, np.asarray((0.125 + 1.5) / 2), dtype=dtype)
        backend.check(gradients[0], np.asarray([-0.25, 0.5]), dtype=dtype)
        backend.check(gradients[1], np.asarray([0.25, -0.5]), dtype=other)


def test_upstream_gradient_is_used(backend: Any, rng: Any) -> None:
    x, y, cotangent = rng.normal(size=(3, 5))
    arrays = backend.array(x), backend.array(y)
    first, second = backend.grad(polyloss.huber, *arrays, cotangent=cotangent, delta=0.7)
    backend.check(first, cotangent * np.clip(x - y, -0.7, 0.7), rtol=1e-14)
    backend.check(second, -cotangent * np.clip(x - y, -0.7, 0.7), rtol=1e-14)


def test_parameter_that_is_an_array(backend: Any, rng: Any) -> None:
    x, y = rng.normal(size=(2, 4, 3)) * 3
    delta = np.asarray([0.5, 1.0, 2.0])
    arrays = backend.array(x), backend.array(y)
    slope = np.clip(x - y, -delta, delta)
    losses = polyloss.huber(*arrays, delta=backend.array(delta), reduction="none")
    backend.check(losses, slope * ((x - y) - slope / 2), rtol=1e-14)
    backend.check(backend.grad(polyloss.huber, *arrays, delta=backend.array(delta))[0], slope / 12, rtol=1e-14)
