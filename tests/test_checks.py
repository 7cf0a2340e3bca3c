"""Bad input: every message names the argument, what came, and what was expected."""

# ruff: noqa: E501 - a table reads best with a case in a line

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.core import checks

pytestmark = pytest.mark.unoptimised

X = np.asarray([[0.5, -1.0, 2.0], [1.5, 0.0, -0.5]])
PROBABILITIES = np.asarray([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
ROW = np.asarray([1.0, 2.0])

# name: loss, arrays, keywords, exception, message. Raised whether the call is traced or not.
STRUCTURE: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "shapes": (polyloss.mse, (X, X[:1]), {}, ValueError, r"mse: target must have the shape of prediction, \(2, 3\), got \(1, 3\)"),
    "column against row": (polyloss.mse, (X[:, :1], X[:, 0]), {}, ValueError, r"target must .*\(2, 1\), got \(2,\)"),
    "row against column": (polyloss.huber, (X[:, 0], X[:, :1]), {}, ValueError, r"target must .*\(2,\), got \(2, 1\)"),
    "integer predictions": (polyloss.mse, (np.asarray([1, 2]), ROW), {}, TypeError, r"prediction must be real floating, got dtype .*int64"),
    "boolean predictions": (polyloss.mse, (np.asarray([True, False]), ROW), {}, TypeError, r"prediction must be real floating, got dtype .*bool"),
    "unknown reduction": (polyloss.mse, (X, X), {"reduction": "avg"}, ValueError, r"reduction must be one of none, sum, mean, weighted_mean, got 'avg'"),
    "reduction of a wrong type": (polyloss.mse, (X, X), {"reduction": None}, ValueError, r"reduction must be one of .*got None"),
    "negative delta": (polyloss.huber, (X, X), {"delta": -1.0}, ValueError, r"huber: delta must be positive, got -1"),
    "zero delta": (polyloss.huber, (X, X), {"delta": 0}, ValueError, r"delta must be positive, got 0"),
    "delta is NaN": (polyloss.huber, (X, X), {"delta": float("nan")}, ValueError, r"delta must be positive, got nan"),
    "delta is a string": (polyloss.huber, (X, X), {"delta": "1"}, TypeError, r"delta must be a real number or an array, got str '1'"),
    "delta is a boolean": (polyloss.huber, (X, X), {"delta": True}, TypeError, r"delta must be a real number or an array, got bool True"),
    "delta of a wrong shape": (polyloss.huber, (X, X), {"delta": np.ones(2)}, ValueError, r"delta must .*last axes of \(2, 3\), .*got shape \(2,\)"),
    "negative beta": (polyloss.smooth_l1, (X, X), {"beta": -0.1}, ValueError, r"beta must be zero or positive, got -0.1"),
    "temperature elsewhere": (polyloss.info_nce, (X, X), {"tau": 1.0}, TypeError, r"info_nce: unexpected tau; did you mean temperature\?"),
    "quantile elsewhere": (polyloss.quantile, (X, X), {"alpha": 0.1}, TypeError, r"quantile: unexpected alpha; did you mean q\?"),
    "unknown keyword": (polyloss.huber, (X, X), {"dleta": 1.0}, TypeError, r"huber: unexpected dleta; did you mean delta\? its keywords are prediction, target, delta"),
    "missing array": (polyloss.huber, (X,), {}, TypeError, r"huber: missing target"),
    "too many arrays": (polyloss.huber, (X, X, X), {}, TypeError, r"takes 2 arrays \(prediction, target\), got 3"),
    "no classes": (polyloss.cross_entropy, (X[:, :0], np.asarray([0, 0])), {}, ValueError, r"logits must have entries along axis 1, got shape \(2, 0\)"),
    "weight along the wrong axis": (polyloss.mse, (X, X), {"sample_weight": np.ones(3)}, ValueError, r"sample_weight must have the shape of the per-example losses \(2, 3\).*got \(3,\)"),
    "weight with an axis of one": (polyloss.mse, (X, X), {"sample_weight": np.ones((2, 1))}, ValueError, r"sample_weight must .*got \(2, 1\)"),
    "mask along the wrong axis": (polyloss.mse, (X, X), {"where": np.ones(3, bool)}, ValueError, r"where must .*got \(3,\)"),
    "mask of numbers": (polyloss.mse, (X, X), {"where": np.ones(2)}, TypeError, r"where must be boolean, got dtype .*float64"),
    "denominator of a wrong shape": (polyloss.mse, (X, X), {"denominator": np.ones(2)}, ValueError, r"denominator must have the shape of a number.*got \(2,\)"),
    "denominator of a sum": (polyloss.mse, (X, X), {"denominator": 2.0, "reduction": "sum"}, ValueError, r"denominator must come with a mean, got reduction='sum'"),
    "axis out of range": (polyloss.cross_entropy, (X, np.asarray([0, 0])), {"axis": 2}, ValueError, r"axis must be in \[-2, 2\), got 2"),
    "axis is a float": (polyloss.cross_entropy, (X, np.asarray([0, 0])), {"axis": 1.0}, TypeError, r"axis must be an integer, got float 1.0"),
    "axis of an elementwise loss": (polyloss.mse, (X, X), {"axis": 0}, TypeError, r"mse: unexpected axis"),
    "float class ids": (polyloss.cross_entropy, (X, ROW), {}, TypeError, r"target .*class ids.*integers.*got dtype .*float64"),
    "class ids with an axis too many": (polyloss.cross_entropy, (X, np.ones((2, 1), int)), {}, ValueError, r"target must have class ids, one per row, shape \(2,\), got \(2, 1\)"),
    "probabilities of a wrong shape": (polyloss.cross_entropy, (X, PROBABILITIES[:, :2]), {}, ValueError, r"target must .*\(2, 3\), got \(2, 2\)"),
    "ignore_index with probabilities": (polyloss.cross_entropy, (X, PROBABILITIES), {"ignore_index": 0}, ValueError, r"ignore_index must come with class ids"),
    "label_smoothing above one": (polyloss.cross_entropy, (X, np.asarray([0, 0])), {"label_smoothing": 1.5}, ValueError, r"label_smoothing must be .*1.*got 1.5"),
    "class_weight of a wrong length": (polyloss.cross_entropy, (X, np.asarray([0, 0])), {"class_weight": np.ones(2)}, ValueError, r"class_weight must have one number per class, \(3,\), .*got shape \(2,\)"),
    "list as a parameter": (polyloss.cross_entropy, (X, np.asarray([0, 0])), {"class_weight": [1.0, 1.0, 1.0]}, TypeError, r"class_weight must be .*array.*got list"),
    "negative gamma": (polyloss.sigmoid_focal, (X, PROBABILITIES), {"gamma": -1}, ValueError, r"gamma must be zero or positive and finite, got -1"),
    "p of one norm": (polyloss.triplet_margin, (X, X, X), {"p": 0.5}, ValueError, r"p must be .*got 0.5"),
    "unknown scale": (polyloss.tukey_biweight, (X, X), {"scale": "std"}, ValueError, r"scale must be .*mad.*got 'std'"),
    "list": (polyloss.mse, (X, [[1.0]]), {}, TypeError, r"mse: target must be an array, got list"),
    "list of predictions": (polyloss.mse, ([1.0, 2.0], ROW), {}, TypeError, r"prediction must be an array, got list"),
    "None": (polyloss.mse, (X, None), {}, TypeError, r"target must be an array, got None"),
    "string": (polyloss.mse, (X, "x"), {}, TypeError, r"target must be an array, got str 'x'"),
    "complex": (polyloss.mse, (ROW, ROW + 1j), {}, TypeError, r"target must be real, got dtype .*complex"),
    "complex prediction": (polyloss.mse, (ROW + 1j, ROW), {}, TypeError, r"prediction must be real floating, got dtype .*complex"),
    "complex number": (polyloss.mse, (ROW, 1j), {}, TypeError, r"target must be an array, got complex 1j"),
}  # fmt: skip

# Raised where the values can be looked at; where not, the result is NaN in the last row and only there.
VALUES: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], str]] = {
    "class id too high": (polyloss.cross_entropy, (X, np.asarray([1, 3])), {}, r"target must be class ids in \[0, 3\), got 3 \(element 1 of shape \(2,\)\)$"),
    "class id negative": (polyloss.nll, (np.log(PROBABILITIES), np.asarray([1, -1])), {}, r"target must be class ids in \[0, 3\), got -1"),
    "class id ignored elsewhere": (polyloss.softmax_focal, (X, np.asarray([2, -100])), {"ignore_index": -1}, r"target must be .*got -100"),
    "target probability": (polyloss.cross_entropy, (X, np.asarray([[0.0, 1, 0], [1.5, 0, 0]])), {}, r"target must be probabilities in \[0, 1\], got 1.5"),
    "negative target probability": (polyloss.kl_divergence, (np.log(PROBABILITIES), np.asarray([[0.0, 1, 0], [1, -0.5, 0]])), {}, r"target must be .*got -0.5"),
    "binary target": (polyloss.binary_cross_entropy_with_logits, (X[:, 0], np.asarray([1.0, 2.0])), {}, r"target must be in \[0, 1\], got 2"),
    "focal target": (polyloss.sigmoid_focal, (X[:, 0], np.asarray([1.0, -1.0])), {}, r"target must be in \[0, 1\], got -1"),
    "probability": (polyloss.binary_cross_entropy, (np.asarray([0.5, 1.5]), np.asarray([1.0, 1.0])), {}, r"probabilities must be in \[0, 1\], got 1.5"),
    "negative probability": (polyloss.binary_cross_entropy, (np.asarray([0.5, -0.5]), np.asarray([1.0, 1.0])), {"clip": 1e-3}, r"probabilities must be in \[0, 1\], got -0.5"),
    "hinge label": (polyloss.hinge, (X[:, 0], np.asarray([1.0, 0.0])), {}, r"target must be -1 or 1, got 0"),
    "squared hinge label": (polyloss.squared_hinge, (X[:, 0], np.asarray([-1.0, 0.5])), {}, r"target must be -1 or 1, got 0.5"),
}  # fmt: skip


def arrays_of(backend: Any, values: Any) -> Any:
    """NumPy arrays inside a call become the backend's."""
    return backend.array(values) if isinstance(values, np.ndarray) else values


def call(backend: Any, loss: Any, arrays: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    return loss(
        *(arrays_of(backend, a) for a in arrays), **{key: arrays_of(backend, value) for key, value in keywords.items()}
    )


@pytest.mark.parametrize("case", STRUCTURE.values(), ids=STRUCTURE.keys())
def test_structure(backend: Any, case: Any) -> None:
    loss, arrays, keywords, error, message = case
    if any(getattr(a, "dtype", None) == "complex128" for a in arrays) and backend.name == "tensorflow":
        arrays = tuple(backend.xp.asarray(a) for a in arrays)
    with pytest.raises(error, match=message):
        call(backend, loss, arrays, keywords)


@pytest.mark.parametrize("case", VALUES.values(), ids=VALUES.keys())
def test_values(backend: Any, case: Any) -> None:
    loss, arrays, keywords, message = case
    with pytest.raises(ValueError, match=message):
        call(backend, loss, arrays, keywords)
    masked = backend.array(np.asarray([True, False]))
    assert np.isfinite(float(call(backend, loss, arrays, keywords | {"where": masked})))


@pytest.mark.parametrize("case", VALUES.values(), ids=VALUES.keys())
def test_values_that_cannot_be_looked_at(backend: Any, case: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("nothing is traced")
    loss, arrays, keywords, _ = case

    def traced(*inputs: Any) -> Any:
        return loss(*inputs, reduction="none", **keywords)

    losses = backend.numpy(backend.compile(traced)(*(arrays_of(backend, a) for a in arrays)))
    assert np.isnan(losses).tolist() == [False, True]


@pytest.mark.parametrize("case", VALUES.values(), ids=VALUES.keys())
def test_gradients_of_values_that_cannot_be_looked_at(backend: Any, case: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("nothing is traced")
    loss, arrays, keywords, _ = case

    def traced(*inputs: Any) -> Any:
        return polyloss.value_and_grad(lambda *a: loss(*a, reduction="sum", **keywords))(*inputs)[1]

    gradient = backend.numpy(backend.compile(traced)(*(arrays_of(backend, a) for a in arrays)))
    bad = np.isnan(gradient.reshape(2, -1))
    assert bad.all(axis=1).tolist() == bad.any(axis=1).tolist() == [False, True]


def test_two_frameworks(backends: Any) -> None:
    for one in backends:
        for other in backends:
            names = {one.framework, other.framework}
            if len(names) == 1 or ("numpy" in names and names & {"jax", "tensorflow"}):
                continue
            if "strict" in (one.name, other.name):
                continue
            pattern = f"prediction is {one.framework}, target is {other.framework}"
            with pytest.raises(TypeError, match=f"mse: all arrays must come from one framework, but {pattern}"):
                polyloss.mse(one.array(X), other.array(X))
            with pytest.raises(TypeError, match="sample_weight is"):
                polyloss.mse(one.array(X), one.array(X), sample_weight=other.array(ROW))
            with pytest.raises(TypeError, match="delta is"):
                polyloss.huber(one.array(X), one.array(X), delta=other.array(np.asarray(1.0)))


def test_only_numbers() -> None:
    with pytest.raises(TypeError, match=r"expected at least one array, got float 1.0, float 2.0"):
        polyloss.mse(1.0, 2.0)


@pytest.mark.parametrize(
    ("domain", "text", "inside", "outside"),
    [
        (polyloss.POSITIVE, "positive", [1e-300, 1.0, np.inf], [0.0, -1.0]),
        (polyloss.NONNEGATIVE, "zero or positive", [0.0, 3.0], [-1e-300]),
        (polyloss.UNIT, "in [0, 1]", [0.0, 0.5, 1.0], [-0.1, 1.1]),
        (polyloss.SIGN, "-1 or 1", [-1.0, 1.0], [0.0, 2.0]),
        (polyloss.Domain(low=0, high=2, open_low=True), "in (0, 2]", [2.0], [0.0, 2.1]),
    ],
)
def test_domains(domain: Any, text: str, inside: list[float], outside: list[float]) -> None:
    assert str(domain) == text
    assert all(map(domain.holds, inside))
    assert not any(map(domain.holds, [*outside, np.nan]))
    assert not domain.outside(np, np.asarray([*inside, np.nan])).any()
    assert domain.outside(np, np.asarray(outside)).all()


FITS: list[tuple[Any, float, bool]] = [
    (np.int32, -(2**31), True),
    (np.int32, -(2**31) - 1, False),
    (np.int32, 2**31 - 1, True),
    (np.int32, 2**31, False),
    (np.int64, -(2**63), True),
    (np.int64, 2**63 - 1, True),
    (np.int64, 2**63, False),
    (np.float64, 10**20, True),
    (np.float64, -(10**20), True),
    (np.float64, 1e300, True),
    (np.float64, 10**400, False),
    (np.float64, 5e-324, True),
    (np.float32, 10**20, True),
    (np.float32, 10**39, False),
    (np.float32, 1e39, False),
    (np.float32, 1e-46, False),
    (np.float32, float("inf"), True),
]


@pytest.mark.parametrize(("dtype", "value", "fits"), FITS)
def test_numbers_fit_into_the_dtype_that_they_travel_in(dtype: Any, value: float, fits: bool) -> None:
    if fits:
        checks.fits_dtype("huber", "delta", value, np.dtype(dtype))
        assert np.asarray(value, dtype) == value or dtype != np.int32
        return
    with pytest.raises(ValueError, match=rf"huber: delta must fit into {dtype.__name__}, got "):
        checks.fits_dtype("huber", "delta", value, np.dtype(dtype))


def test_large_numbers(backend: Any) -> None:
    x, y, ids = backend.array([3.0, 0.5]), backend.array([0.0, 0.0]), backend.array(np.asarray([0, 1]))
    for _ in range(2):
        backend.check(polyloss.huber(x, y, delta=10**20), 2.3125, rtol=1e-13)
        for ignored in (-(2**31), 2**31 - 1):
            value = polyloss.cross_entropy(backend.array(X[:, :2]), ids, ignore_index=ignored)
            backend.check(value, backend.numpy(polyloss.cross_entropy(backend.array(X[:, :2]), ids)), rtol=1e-13)
        with pytest.raises(ValueError, match="delta must fit into float64, got 1000"):
            polyloss.huber(x, y, delta=10**400)


def test_describe() -> None:
    assert checks.describe(3.5) == "float 3.5"
    assert checks.describe("x") == "str 'x'"
    assert checks.describe([1]) == "list"
    assert checks.describe(np.ones((2, 3), "float32")) == "ndarray of shape (2, 3) and dtype float32"


def test_every_message_names_the_loss(backend: Any) -> None:
    functions: list[tuple[Callable[[], Any], str]] = [
        (lambda: polyloss.l1(backend.array(X), backend.array(X[:1])), "l1"),
        (lambda: polyloss.huber.partial(delta=2.0)(backend.array(X), None), "huber"),
        (lambda: (polyloss.mse + polyloss.l1)(backend.array(X), None), "mse"),
    ]
    for function, name in functions:
        with pytest.raises((TypeError, ValueError), match=rf"^{re.escape(name)}: "):
            function()
