"""What an ordinary user does with a loss, and what was wrong there once: the same right values on every backend."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.compat import torch as like_torch

pytestmark = pytest.mark.unoptimised

X = np.asarray([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0], [5.0, 0.0, 0.0]])
Y = np.asarray([0, 1, 2])
ROWS = np.log(np.exp(X).sum(axis=-1)) - X[np.arange(3), Y]


def identity(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def both_ways(backend: Any) -> list[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """Eagerly and compiled."""
    return [identity, backend.compile]


@pytest.mark.parametrize("kept", [True, False])
def test_a_mask_of_one_row(backend: Any, kept: bool) -> None:
    mask = backend.array([kept])[0]  # of NumPy a scalar, and no array
    found = polyloss.cross_entropy(backend.array(X[0]), backend.array(Y[0]), where=mask)
    np.testing.assert_allclose(backend.numpy(found), ROWS[0] if kept else 0.0, rtol=1e-12)


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_class_ids_of_any_integer_dtype(backend: Any, kind: str) -> None:
    """None wraps: neither a label, nor an ignored one, nor a number of classes that the dtype cannot hold."""
    logits, many = backend.array(X), backend.array(np.linspace(-1.0, 1.0, 600).reshape(2, 300))
    ids = backend.array(Y, kind)
    last = backend.array([100, 3], kind)
    expected = np.log(np.exp(np.linspace(-1, 1, 600).reshape(2, 300)).sum(axis=-1)) - [
        np.linspace(-1, 1, 600)[100],
        np.linspace(-1, 1, 600)[303],
    ]
    # A compiler is given one that could wrap, and one that most people have.
    for made in both_ways(backend) if kind in ("uint8", "int64") else [identity]:
        call = made(lambda *a, **k: polyloss.cross_entropy(*a, reduction="none", **k))
        backend.check(call(logits, ids), ROWS)
        backend.check(call(many, last), expected)
        backend.check(made(lambda a, b: polyloss.cross_entropy(a, b, ignore_index=-100))(logits, ids), np.mean(ROWS))
    if kind == "uint8":
        wide = backend.array(np.linspace(-1.0, 1.0, 400).reshape(2, 200))
        value = like_torch.cross_entropy(wide, backend.array([156, 3], kind), reduction="sum")
        rows = np.linspace(-1.0, 1.0, 400).reshape(2, 200)
        backend.check(value, (np.log(np.exp(rows).sum(-1)) - [rows[0, 156], rows[1, 3]]).sum())


@pytest.mark.parametrize("loss", ["cross_entropy", "nll", "softmax_focal"])
def test_ignored_ids_may_be_arrays(backend: Any, loss: str) -> None:
    function = getattr(polyloss, loss)
    scores = -np.abs(X) if loss == "nll" else X
    logits, ids = backend.array(scores), backend.array(Y)
    expected = backend.numpy(function(logits, ids, reduction="none"))[1:].mean()
    for ignored in (0, np.int64(0), np.asarray(0), backend.array(0), backend.array(0, "int32")):
        if isinstance(ignored, np.ndarray) and not backend.owns(ignored) and backend.name in ("torch", "strict", "mlx"):
            continue
        backend.check(function(logits, ids, ignore_index=ignored), expected)
    backend.check(backend.compile(function)(logits, ids, ignore_index=backend.array(0)), expected)
    for wrong in (0.5, "-1", [0], True, backend.array(0.5), backend.array([0, 1])):
        with pytest.raises((TypeError, ValueError), match="ignore_index must be"):
            function(logits, ids, ignore_index=wrong)


@pytest.mark.parametrize("loss", ["cross_entropy", "nll", "softmax_focal"])
def test_a_single_row_has_a_number_as_its_class(backend: Any, loss: str) -> None:
    function = getattr(polyloss, loss)
    scores = -np.abs(X) if loss == "nll" else X
    rows = backend.numpy(function(backend.array(scores), backend.array(Y), reduction="none"))
    for row, label, expected in zip(scores, Y, rows, strict=True):
        for given in (label, int(label)):
            backend.check(function(backend.array(row), given), expected)
    with pytest.raises(ValueError, match=r"target must have class ids, one per row, shape \(3,\), got \(\)"):
        function(backend.array(scores), 0)
    with pytest.raises(TypeError, match=r"target must be an array, or the class id of a single row, got 0\.5"):
        function(backend.array(scores[0]), 0.5)


def test_labels_that_would_wrap_are_out_of_range(backend: Any) -> None:
    with pytest.raises(ValueError, match="target must be -1 or 1, got 255"):
        polyloss.hinge(backend.array([1.0, 2.0]), backend.array([255, 1], "uint8"))


PARAMETERS: list[tuple[str, str, Any, Any, dict[str, Any]]] = [
    ("huber", "delta", 1.5, ([3.0, -0.5, 1.0], [0.0, 0.0, 0.25]), {}),
    ("smooth_l1", "beta", 1.5, ([3.0, -0.5, 1.0], [0.0, 0.0, 0.25]), {}),
    ("tukey_biweight", "c", 2.5, ([3.0, -0.5, 1.0], [0.0, 0.0, 0.25]), {}),
    ("tukey_biweight", "scale", 1.5, ([3.0, -0.5, 1.0], [0.0, 0.0, 0.25]), {}),
    ("contrastive", "margin", 1.5, ([0.3, 0.5, 1.0], [0.0, 1.0, 0.25]), {}),
    ("contrastive_embedding", "margin", 3.5, (X, X[::-1] + 0.5, [0.0, 1.0, 0.25]), {}),
    ("triplet_margin", "margin", 8.0, (X, X[::-1] + 0.5, X - 1.0), {}),
    ("cross_entropy", "class_weight", [0.5, 1.0, 2.0], (X, Y), {}),
    ("cross_entropy", "class_weight", [0.5, 1.0, 2.0], (X, Y), {"reduction": "weighted_mean"}),
    ("cross_entropy", "class_weight", [0.5, 1.0, 2.0], (X, np.full((3, 3), 0.25)), {"reduction": "weighted_mean"}),
    ("nll", "class_weight", [0.5, 1.0, 2.0], (-np.abs(X), Y), {}),
    ("softmax_focal", "alpha", [0.5, 1.0, 2.0], (X, Y), {}),
    ("softmax_focal", "alpha", 0.75, (X, np.full((3, 3), 0.25)), {}),
    ("sigmoid_focal", "alpha", 0.75, ([3.0, -0.5, 1.0], [0.0, 1.0, 0.25]), {}),
    ("binary_cross_entropy_with_logits", "pos_weight", 2.5, ([3.0, -0.5, 1.0], [0.0, 1.0, 0.25]), {}),
]
"""Loss, parameter, its value, arrays, other keywords: what people train, all with a closed form."""
LEARNED = [
    *PARAMETERS,
    ("cross_entropy", "label_smoothing", 0.25, (X, Y), {}),
    ("sigmoid_focal", "gamma", 1.5, ([3.0, -0.5, 1.0], [0.0, 1.0, 0.25]), {}),
    ("softmax_focal", "gamma", 1.5, (X, Y), {}),
    ("contrastive", "factor", 0.75, ([0.3, 0.5, 1.0], [0.0, 1.0, 0.25]), {}),
    ("linear_cross_entropy", "z_loss", 0.25, (X, X[::-1], Y), {}),
    ("linear_cross_entropy", "logit_softcap", 2.5, (X, X[::-1], Y), {}),
    ("linear_cross_entropy", "class_weight", [0.5, 1.0, 2.0], (X, X[::-1], Y), {"reduction": "weighted_mean"}),
]
COMPILED = {case[0]: case for case in LEARNED}
"""One of each loss, the last of it: `polyloss conformance --full` has more under compilers."""


def identify(case: Any) -> str:
    loss, parameter, _, arrays, keywords = case
    return "-".join([loss, parameter, *keywords.values(), *(["probabilities"] if np.ndim(arrays[1]) == 2 else [])])


def slope_of(case: Any) -> Any:
    """The derivative by the parameter, by central differences of NumPy's own values."""
    loss, parameter, value, arrays, keywords = case
    value, step = np.asarray(value), 1e-6
    change: Any
    given = [np.asarray(a) for a in arrays]

    def at(value: Any) -> float:
        return float(getattr(polyloss, loss)(*given, **keywords, **{parameter: value}))

    found = np.empty(value.size)
    for place in range(value.size):
        change = np.zeros(value.size)
        change[place] = step
        change = change.reshape(value.shape)
        found[place] = (at(value + change) - at(value - change)) / (2 * step)
    return found.reshape(value.shape)


@pytest.mark.parametrize("case", LEARNED, ids=identify)
def test_every_parameter_learns(backend: Any, case: Any) -> None:
    """The gradient by a parameter that is an array: eagerly, compiled, of first and of second order."""
    loss, parameter, value, arrays, keywords = case
    if not backend.has_autodiff:
        pytest.skip("only closed forms: test_closed_forms_of_parameters")
    given, learned = [backend.array(a) for a in arrays], backend.array(value)
    function = getattr(polyloss, loss)

    def of_parameter(number: Any) -> Any:
        return function(*given, **keywords, **{parameter: number})

    expected = slope_of(case)
    (found,) = backend.grad(of_parameter, learned)
    np.testing.assert_allclose(backend.numpy(found), expected, rtol=1e-6, atol=1e-8)
    if case is COMPILED[loss]:
        (compiled,) = backend.grad(backend.compile(of_parameter), learned)
        np.testing.assert_allclose(backend.numpy(compiled), backend.numpy(found), rtol=1e-12, atol=1e-15)

    def slope(number: Any) -> Any:
        return backend.xp.sum(polyloss.value_and_grad(of_parameter)(number)[1])

    if backend.name == "torch":
        import torch

        def slope(number: Any) -> Any:
            (gradient,) = torch.autograd.grad(of_parameter(number), number, create_graph=True)
            # Of what is linear in a parameter, torch does not even say that the slope depends on it.
            return gradient.sum() + 0.0 * number.sum()

    step = 1e-5
    up, down = (backend.array(np.asarray(value) + s) for s in (step, -step))
    beside = [backend.numpy(backend.grad(of_parameter, number)[0]).sum() for number in (up, down)]
    (second,) = backend.grad(slope, learned)
    expected_second = (beside[0] - beside[1]) / (2 * step)
    np.testing.assert_allclose(backend.numpy(second).sum(), expected_second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", PARAMETERS, ids=identify)
def test_closed_forms_of_parameters(case: Any) -> None:
    """On NumPy too, which cannot differentiate: with weights, a mask, and beside the gradient of an array."""
    loss, parameter, value, arrays, keywords = case
    given = [np.asarray(a) for a in arrays]
    call = {parameter: np.asarray(value), "sample_weight": np.asarray([0.5, 2.0, 1.0]), **keywords}
    call["where"] = np.asarray([True, True, False])
    _, (by_first, found) = polyloss.value_and_grad(getattr(polyloss, loss), argnums=(0, parameter))(*given, **call)
    expected = slope_of((loss, parameter, value, arrays, {k: v for k, v in call.items() if k != parameter}))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    assert found.shape == np.shape(value)
    assert by_first.shape == given[0].shape


def test_a_parameter_without_a_closed_form_is_named() -> None:
    @polyloss.elementwise
    def bent(xp: Any, /, x: Any, t: Any, *, q: float = 2.0, **call: Any) -> Any:
        return (x - t) * q, lambda: q * xp.ones_like(x)

    for name, known in (("q", "x"), ("t", "x")):
        with pytest.raises(ValueError, match=f"bent: argnums must be of {known}, which have a gradient in closed form"):
            polyloss.value_and_grad(bent, argnums=name)(X, t=X, q=np.asarray(1.5))


def test_the_derivative_by_delta_is_the_one_of_the_report(backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("needs automatic differentiation of the parameter")
    x, zero = backend.array([3.0, 3.0, 3.0]), backend.array([0.0, 0.0, 0.0])
    (found,) = backend.grad(lambda delta: polyloss.huber(x, zero, delta=delta), backend.array(2.0))
    backend.check(found, 1.0)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "weighted_mean"])
def test_an_empty_batch(backend: Any, reduction: Any) -> None:
    """The sum and the mean of nothing are 0, with empty gradients; no classes are still an error."""
    nothing, ids = backend.array(np.zeros((0, 3))), backend.array(np.zeros(0, np.int64))
    weight, mask = backend.array(np.zeros(0)), backend.array(np.zeros(0, bool))
    for loss, arrays in (
        (polyloss.mse, (nothing, nothing)),
        (polyloss.cross_entropy, (nothing, ids)),
        (polyloss.triplet_margin, (nothing, nothing, nothing)),
    ):
        shape = (0, 3) if loss is polyloss.mse else (0,)
        # A sum is a mean without its division, for a compiler too.
        for made in both_ways(backend) if reduction in ("none", "mean") else [identity]:
            call = made(functools.partial(loss, reduction=reduction))
            expected = np.zeros(shape if reduction == "none" else ())
            backend.check(call(*arrays), expected)
            backend.check(call(*arrays, sample_weight=weight, where=mask), expected)
        if reduction != "none":
            (gradient, *_) = backend.grad(loss, *arrays)
            backend.check(gradient, np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"logits must have entries along axis 1, got shape \(2, 0\)"):
        polyloss.cross_entropy(backend.array(np.zeros((2, 0))), backend.array([0, 0]))


def test_denominators_of_nothing(backend: Any) -> None:
    x, zero, none = backend.array([3.0, 1.0]), backend.array([0.0, 0.0]), backend.array([False, False])
    for denominator in (0, 0.0, backend.array(0.0)):
        backend.check(polyloss.mse(x, zero, where=none, denominator=denominator), 0.0)
        with pytest.raises(ValueError, match="denominator must be positive, or 0 where nothing counts; got 0"):
            polyloss.mse(x, zero, denominator=denominator)
    for denominator in (-1.0, float("nan"), backend.array(-1.0)):
        with pytest.raises(ValueError, match="denominator must be positive"):
            polyloss.mse(x, zero, denominator=denominator)
    call = backend.compile(lambda d, m: polyloss.mse(x, zero, where=m, denominator=d))
    backend.check(call(backend.array(0.0), none), 0.0)
    backend.check(call(backend.array(4.0), ~none), 2.5)


def test_weights_of_both_signs(backend: Any) -> None:
    x, zero = backend.array([3.0, 1.0]), backend.array([0.0, 0.0])
    mean = [polyloss.mse(x, zero, sample_weight=backend.array(w), reduction="weighted_mean") for w in ([2, -1], [0, 0])]
    backend.check(mean[0], 17.0)
    backend.check(mean[1], 0.0)
    with np.errstate(divide="ignore"):
        cancelled = polyloss.mse(x, zero, sample_weight=backend.array([1.0, -1.0]), reduction="weighted_mean")
    assert backend.numpy(cancelled) == np.inf
    backend.check(polyloss.mse(x, zero, sample_weight=backend.array([1.0, -1.0])), 4.0)


def test_sums_of_losses_in_half_precision(backend: Any) -> None:
    if "float16" not in backend.dtypes:
        pytest.skip("has no half precision")
    x, zero = backend.array([1000.0, 900.0], "float16"), backend.array([0.0, 0.0], "float16")
    backend.check((1e-4 * polyloss.mse)(x, zero), np.float16(90.5), dtype="float16")
    task = polyloss.multi_task({"depth": polyloss.mse}, {"depth": 1e-4})
    backend.check(task({"depth": (x, zero)}), np.float16(90.5), dtype="float16")
    (gradient, _) = backend.grad(1e-4 * polyloss.mse + 1e-4 * polyloss.mse, x, zero)
    backend.check(gradient, np.asarray([0.2, 0.18], np.float16), dtype="float16", rtol=2.0**-10)


def test_weights_for_the_channels_of_images(backend: Any, rng: Any) -> None:
    logits, target = rng.normal(size=(2, 3, 4, 5)), rng.uniform(size=(2, 3, 4, 5))
    weight = np.asarray([0.5, 1.0, 4.0]).reshape(3, 1, 1)
    arrays = backend.array(logits), backend.array(target)
    whole = np.broadcast_to(weight, logits.shape).copy()
    cotangent = rng.normal(size=logits.shape)
    for given, full in ((weight, whole), (weight[..., 0], None)):
        chosen = arrays if full is not None else tuple(backend.array(backend.numpy(a)[..., 0]) for a in arrays)
        full = whole[..., 0] if full is None else full
        upstream = cotangent if full.ndim == 4 else cotangent[..., 0]
        for loss, name in ((polyloss.binary_cross_entropy_with_logits, "pos_weight"), (polyloss.huber, "delta")):
            one, other = (
                backend.value_and_grad(loss, *chosen, cotangent=upstream, **{name: backend.array(w)})
                for w in (given, full)
            )
            backend.check(one[0], backend.numpy(other[0]))
            backend.check(one[1][0], backend.numpy(other[1][0]))
            backend.check(loss(*chosen, **{name: backend.array(given)}), backend.numpy(other[0]).mean())


def test_numbers_that_change_leave_nothing_behind(backend: Any) -> None:
    x, zero = backend.array([3.0, 1.0]), backend.array([0.0, 0.0])
    losses: list[Any] = [polyloss.huber, polyloss.cross_entropy]
    for number in range(1, 4):
        backend.check(
            polyloss.huber(x, zero, delta=number / 2),
            np.mean([number / 2 * (3 - number / 4), 0.5 if number > 1 else 0.375]),
        )
        polyloss.cross_entropy(x, 0, label_smoothing=number / 8)
    before = [len(loss._plans) for loss in losses]
    for number in range(4, 40):
        polyloss.huber(x, zero, delta=number / 2)
        polyloss.cross_entropy(x, 0, label_smoothing=number / 80)
    assert [len(loss._plans) for loss in losses] == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weight": 1.0}, "unexpected weight; did you mean class_weight or sample_weight?"),
        ({"dim": 1}, "unexpected dim; did you mean axis?"),
        ({"mask": True}, "unexpected mask; did you mean where?"),
        ({"input": 1.0}, "unexpected input; did you mean logits?"),
        ({"y_pred": 1.0}, "unexpected y_pred; did you mean logits?"),
        ({"y_true": 1.0}, "unexpected y_true; did you mean target?"),
        ({"labels": 1.0}, "unexpected labels; did you mean target?"),
        ({"ignore_class": 1.0}, "unexpected ignore_class; did you mean ignore_index?"),
        ({"label_smothing": 0.1}, "unexpected label_smothing; did you mean label_smoothing?"),
        ({"label_smoothing": None}, "label_smoothing must be a number or an array, got None"),
    ],
)
def test_words_of_others_are_answered_with_ours(backend: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        polyloss.cross_entropy(backend.array(X), backend.array(Y), **given)
    assert message in str(caught.value)


def test_a_class_axis_that_does_not_fit_is_pointed_out(backend: Any) -> None:
    images, ids = backend.array(np.zeros((2, 3, 4, 5))), backend.array(np.zeros((2, 4, 5), np.int64))
    with pytest.raises(ValueError, match="for classes along another axis of logits say axis=1"):
        polyloss.cross_entropy(images, ids)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (lambda xp, x, t, **call: x - t, "one that returns its value alone is declared with autodiff=True"),
        (
            lambda xp, x, t, **call: (xp.sum(x - t), lambda: x, lambda: t),
            r"one value for each element, shape \(2,\), was expected",
        ),
        (lambda xp, x, t, **call: (x - t, x, t), "a kernel must return"),
    ],
)
def test_kernels_that_return_something_else(backend: Any, kernel: Any, message: str) -> None:
    kernel.__name__ = "own"
    loss = polyloss.elementwise(kernel)
    x = backend.array([1.0, 2.0])
    with pytest.raises(TypeError, match=message):
        loss(x, x)
    with pytest.raises(TypeError, match=message):
        loss(x, x, reduction="none")


@pytest.mark.numpy
def test_arrays_of_numpy_that_are_not_plain() -> None:
    """Masked arrays and matrices are refused by name, other byte orders taken."""
    x, zero = np.asarray([1.0, 2.0, 4.0]), np.zeros(3)
    with pytest.raises(TypeError, match=r"got a masked array: pass array.data, and where=~np.ma.getmaskarray\(array\)"):
        polyloss.mse(np.ma.masked_array(x, mask=[False, False, True]), zero)
    with pytest.warns(PendingDeprecationWarning), pytest.raises(TypeError, match="got a matrix"):
        polyloss.mse(np.matrix(x), np.matrix(zero))
    for dtype in (">f2", ">f4", ">f8"):
        value, gradient = polyloss.value_and_grad(polyloss.mse)(x.astype(dtype), zero.astype(dtype))
        assert (value, gradient.tolist()) == (
            np.float16(7.0),
            np.asarray([2, 4, 8]).__truediv__(3).astype(gradient.dtype).tolist(),
        )
    assert polyloss.cross_entropy(X, Y.astype(">i4")) == polyloss.cross_entropy(X, Y)
