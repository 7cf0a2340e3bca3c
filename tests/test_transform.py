"""`value_and_grad` and `compile`, the same on every framework."""

import pickle
from typing import Any

import numpy as np
import pytest

import polyloss

pytestmark = pytest.mark.unoptimised

BOTH = 0.7 * polyloss.mse + 0.3 * polyloss.huber


@pytest.mark.parametrize("argnums", [0, 1, -1, (0,), (1, 0), [0, 1]])
def test_argnums(backend: Any, rng: Any, argnums: Any) -> None:
    x, y = rng.normal(size=(2, 4))
    value, gradient = polyloss.value_and_grad(polyloss.mse, argnums)(backend.array(x), backend.array(y))
    slopes = [(x - y) / 2, (y - x) / 2]
    backend.check(value, np.mean((x - y) ** 2), rtol=1e-14)
    if isinstance(argnums, int):
        backend.check(gradient, slopes[argnums], rtol=1e-14)
    else:
        assert isinstance(gradient, tuple)
        for number, part in zip(argnums, gradient, strict=True):
            backend.check(part, slopes[number], rtol=1e-14)


@pytest.mark.parametrize("argnums", ["target", ("target", 0), (-1, "target")])
def test_keywords_by_name(backend: Any, rng: Any, argnums: Any) -> None:
    x, y = rng.normal(size=(2, 4))
    for loss in (polyloss.mse, 0.5 * polyloss.mse + 0.5 * polyloss.mse):
        value, gradient = polyloss.value_and_grad(loss, argnums)(backend.array(x), target=backend.array(y))
        backend.check(value, np.mean((x - y) ** 2), rtol=1e-14)
        slopes = {0: (x - y) / 2, -1: (x - y) / 2, "target": (y - x) / 2}
        found = {argnums: gradient} if isinstance(argnums, str) else dict(zip(argnums, gradient, strict=True))
        for place, part in found.items():
            backend.check(part, slopes[place], rtol=1e-14)


def test_log_variances_by_name(backend: Any, rng: Any) -> None:
    x, y = rng.normal(size=(2, 4))
    total = polyloss.multi_task({"depth": polyloss.mse}, kinds={"depth": "regression"})
    arrays, s = (backend.array(x), backend.array(y)), backend.array([0.5])
    _, (by_s, by_x) = polyloss.value_and_grad(total, ("log_variances", 0))(*arrays, log_variances=s)
    _, (expected_x, expected_s) = polyloss.value_and_grad(total, (0, 2))(*arrays, s)
    backend.check(by_s, backend.numpy(expected_s), rtol=1e-14)
    backend.check(by_x, backend.numpy(expected_x), rtol=1e-14)


def test_names_refused(backend: Any) -> None:
    x, y = backend.array(np.ones(3)), backend.array(np.zeros(3))
    with pytest.raises(
        ValueError, match=r"mse: argnums='targets' is none of .* call: prediction, target; did you mean 'target'\?$"
    ):
        polyloss.value_and_grad(polyloss.mse, "targets")(x, y)
    _, named = polyloss.value_and_grad(polyloss.mse, ("target", 0))(x, y)
    _, placed = polyloss.value_and_grad(polyloss.mse, (1, 0))(x, y)
    for one, other in zip(named, placed, strict=True):
        backend.check(one, backend.numpy(other))
    with pytest.raises(TypeError, match="huber: delta must be an array to have a gradient, got float"):
        polyloss.value_and_grad(polyloss.huber, "delta")(x, y, delta=2.0)
    if not backend.has_autodiff:
        with pytest.raises(ValueError, match=r"argnums must be of probabilities, target, which .*; got 'clip'"):
            polyloss.value_and_grad(polyloss.binary_cross_entropy, "clip")(x, y, clip=backend.array(0.25))


def test_a_parameter_to_differentiate_by_must_come_with_the_call(backend: Any) -> None:
    x = backend.array(np.ones(3))
    for call, hint in (
        ({}, "prediction, target; pass delta=... as an array"),
        ({"where": x > 0}, "prediction, target, where; pass delta=... as an array"),
    ):
        with pytest.raises(ValueError, match=f"argnums='delta' is none of the arguments of this call: {hint}$"):
            polyloss.value_and_grad(polyloss.huber, "delta")(x, x, **call)
    for call in ({}, {"delta": backend.array(0.5)}):
        with pytest.raises(ValueError, match=r"argnums='detla' is none .*; did you mean 'delta'\?$"):
            polyloss.value_and_grad(polyloss.huber, "detla")(x, x, **call)


def test_lists_are_no_arrays(backend: Any) -> None:
    x = backend.array([1.0])
    made = {"torch": "torch.tensor", "jax": "jnp.asarray", "tensorflow": "tf.constant", "mlx": "mx.array"}
    constructor = made.get(backend.framework, "np.asarray")
    for arrays, name, make in (
        (([1.0], [2.0]), "prediction", "np.asarray"),
        (([1.0], x), "prediction", constructor),
        ((x, [2.0]), "target", constructor),
    ):
        message = rf"huber: {name} must be an array.*, got list; make it one: {make}\({name}\)"
        with pytest.raises(TypeError, match=message):
            polyloss.value_and_grad(polyloss.huber)(*arrays)
    with pytest.raises(TypeError, match=r"huber: prediction must be an array, got list; make it one"):
        polyloss.compile(polyloss.huber)([1.0], [2.0])


def test_a_scalar_of_numpy_is_a_number(backend: Any) -> None:
    """Beside arrays of any framework, as in the plain call."""
    x, y = backend.array([3.0, 0.5]), backend.array([0.0, 0.0])
    expected_value, expected = polyloss.value_and_grad(polyloss.huber)(x, y, delta=1.5)
    for delta in (np.float32(1.5), np.float64(1.5)):
        value, gradient = polyloss.value_and_grad(polyloss.huber)(x, y, delta=delta)
        backend.check(value, backend.numpy(expected_value))
        backend.check(gradient, backend.numpy(expected))
        if backend.framework != "torch":
            backend.check(polyloss.compile(polyloss.huber)(x, y, delta=delta), backend.numpy(expected_value))
        by_delta = polyloss.value_and_grad(polyloss.huber, "delta")
        if backend.framework == "numpy":
            assert by_delta(x, y, delta=delta)[1] == 0.75
            continue
        with pytest.raises(TypeError, match=r"delta must be an array to have a gradient, got float 1\.5"):
            by_delta(x, y, delta=delta)


@pytest.mark.parametrize("transform", [polyloss.value_and_grad, polyloss.compile])
def test_a_transform_answers_what_it_does_not_take(transform: Any) -> None:
    x = np.ones(3)
    name = transform.__name__
    with pytest.raises(
        TypeError, match=rf"^{name}: .*; arrays come with the call .*{name}\(polyloss.mse\)\(prediction"
    ):
        transform(polyloss.mse, x, x)
    with pytest.raises(TypeError, match=rf"^{name}: unexpected fullgraph"):
        transform(polyloss.mse, fullgraph=True)


def test_a_misspelled_argnums() -> None:
    with pytest.raises(TypeError, match=r"^value_and_grad: unexpected argnum; did you mean argnums\?"):
        polyloss.value_and_grad(polyloss.mse, argnum=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^mse: argnums must be .*got ndarray .*; arrays come with the call"):
        polyloss.value_and_grad(polyloss.mse, np.ones(3))  # type: ignore[arg-type]


def test_keywords_pass_through(backend: Any, rng: Any) -> None:
    x, y = rng.normal(size=(2, 4))
    weight, mask = rng.random(4), np.asarray([True, True, False, True])
    value, gradient = polyloss.value_and_grad(BOTH)(
        backend.array(x),
        target=backend.array(y),
        sample_weight=backend.array(weight),
        where=backend.array(mask),
        reduction="sum",
    )
    slope = 1.4 * (x - y) + 0.3 * np.clip(x - y, -1, 1)
    backend.check(gradient, np.where(mask, weight * slope, 0), rtol=1e-14)
    assert backend.owns(value)


def test_functions_of_ones_own(backend: Any, rng: Any) -> None:
    x, y = rng.normal(size=(2, 4))

    def step(a: Any, b: Any) -> Any:
        return 2.0 * polyloss.mse(a, b) + polyloss.l1(a, b)

    if not backend.has_autodiff:
        with pytest.raises(TypeError, match="step must be a loss or a sum of losses"):
            polyloss.value_and_grad(step)(backend.array(x), backend.array(y))
        return
    value, gradient = polyloss.value_and_grad(step)(backend.array(x), backend.array(y))
    backend.check(value, np.mean(2 * (x - y) ** 2 + abs(x - y)), rtol=1e-14)
    backend.check(gradient, (4 * (x - y) + np.sign(x - y)) / 4, rtol=1e-14)


@pytest.mark.parametrize(
    ("argnums", "error", "message"),
    [
        (2, ValueError, r"mse: argnums=2 is none of the arguments of this call: prediction, target$"),
        ((), ValueError, r"mse: argnums must name an argument or more, got \(\)"),
        (-3, ValueError, r"mse: argnums=-3 is none of the arguments of this call: prediction, target$"),
        ("prediktion", ValueError, r"mse: argnums='prediktion' is none .*; did you mean 'prediction'\?$"),
        (1, TypeError, r"mse: target must be an array to have a gradient, got float 0.5"),
    ],
)
def test_argnums_refused(backend: Any, argnums: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        polyloss.value_and_grad(polyloss.mse, argnums)(backend.array(np.ones(3)), 0.5)


def test_integers_have_no_gradient(backend: Any) -> None:
    x, y = backend.array(np.ones(3)), backend.array(np.ones(3, int))
    with pytest.raises(TypeError, match=r"mse: target must be real floating to have a gradient, got dtype .*int64"):
        polyloss.value_and_grad(polyloss.mse, 1)(x, y)
    ids = backend.array(np.asarray([0, 1, 1]))
    with pytest.raises(TypeError, match="target must be real floating"):
        polyloss.value_and_grad(polyloss.cross_entropy, (0, 1))(backend.array(np.ones((3, 2))), ids)


@pytest.mark.parametrize("loss", [polyloss.mse, BOTH])
def test_a_gradient_needs_a_scalar(backend: Any, loss: Any) -> None:
    x = backend.array(np.ones(3))
    with pytest.raises(ValueError, match=r"a gradient needs a scalar.*reduction must be 'sum' or a mean"):
        polyloss.value_and_grad(loss)(x, x, reduction="none")


def test_no_arrays() -> None:
    with pytest.raises(TypeError, match="mse: expected at least one array"):
        polyloss.value_and_grad(polyloss.mse)(1.0, 2.0)
    with pytest.raises(TypeError, match="mse: expected at least one array"):
        polyloss.compile(polyloss.mse)(1.0, 2.0)


def test_names_survive() -> None:
    for made in (polyloss.value_and_grad(polyloss.huber), polyloss.compile(polyloss.huber)):
        assert made.__name__ == "huber"
        assert made.__doc__ == polyloss.huber.__doc__


@pytest.mark.parametrize("loss", [polyloss.mse, 0.25 * polyloss.mse + 0.75 * polyloss.mse], ids=str)
def test_pickled(backend: Any, loss: Any) -> None:
    x, y = backend.array([3.0, 0.0]), backend.array([1.0, 0.0])
    value, gradient = pickle.loads(pickle.dumps(polyloss.value_and_grad(loss)))(x, y)
    backend.check(value, 2.0)
    backend.check(gradient, [2.0, 0.0])


def test_second_derivatives(backend: Any, rng: Any) -> None:
    if not backend.has_autodiff or backend.framework == "torch":
        pytest.skip("nothing to differentiate again: torch has torch.func for it")
    x, y = rng.normal(size=(2, 4))

    def steepness(a: Any, b: Any) -> Any:
        return backend.xp.sum(polyloss.value_and_grad(polyloss.log_cosh)(a, b)[1] ** 2)

    gradient = backend.grad(steepness, backend.array(x), backend.array(y))[0]
    backend.check(gradient, 2 * np.tanh(x - y) * (1 - np.tanh(x - y) ** 2) / 16, rtol=1e-11)


def test_compile(backend: Any, rng: Any) -> None:
    x, y = rng.normal(size=(2, 4, 3))
    weight = rng.random(4)
    if backend.framework == "torch":
        pytest.skip("the code generator takes long; test_torch.py compiles with another one")
    fast = polyloss.compile(polyloss.huber)
    for rows in (2, 4):
        arrays = backend.array(x[:rows]), backend.array(y[:rows])
        for keywords in (
            {},
            {"delta": 0.5},
            {"reduction": "sum", "delta": 2},
            {"delta": backend.array(np.asarray(0.5))},
        ):
            backend.check(
                fast(*arrays, sample_weight=backend.array(weight[:rows]), **keywords),
                backend.numpy(polyloss.huber(*arrays, sample_weight=backend.array(weight[:rows]), **keywords)),
                rtol=1e-13,
            )
    backend.check(
        fast(backend.array(x), 0.5, reduction="none"),
        backend.numpy(polyloss.huber(backend.array(x), 0.5, reduction="none")),
    )


def test_compile_cross_entropy(backend: Any, rng: Any) -> None:
    if backend.framework == "torch":
        pytest.skip("the code generator takes long; test_torch.py compiles with another one")
    logits, ids = rng.normal(size=(5, 4)), np.asarray([0, 3, 1, -1, 2])
    keywords: Any = {"class_weight": backend.array(np.asarray([1.0, 2.0, 0.5, 1.0])), "ignore_index": -1}
    arrays: Any = backend.array(logits), backend.array(ids)
    loss: Any = polyloss.cross_entropy
    fast = polyloss.compile(loss)
    more: Any
    for more in ({"label_smoothing": 0.1}, {"reduction": "weighted_mean"}):
        expected = backend.numpy(loss(*arrays, **keywords, **more))
        backend.check(fast(*arrays, **keywords, **more), expected, rtol=1e-13)


def test_one_compiled_function_serves_every_framework(backends: Any) -> None:
    fast = polyloss.compile(polyloss.l1)
    for backend in backends:
        if backend.framework != "torch":
            x = backend.array(np.asarray([3.0, 1.0]))
            backend.check(fast(x, 1.0), np.asarray(1.0))
