"""The fixture that the other tests lean on."""

from typing import Any

import numpy as np
import pytest

import polyloss

pytestmark = pytest.mark.unoptimised

pytest_plugins = ["pytester"]


def test_upstream_gradient_is_used(backend: Any, rng: np.random.Generator) -> None:
    x, y, c = rng.normal(size=(3, 4, 5))
    value, (dx, dy) = backend.value_and_grad(polyloss.mse, backend.array(x), backend.array(y), cotangent=c)
    backend.check(value, (x - y) ** 2, dtype="float64")
    backend.check(dx, 2 * (x - y) * c, dtype="float64")
    backend.check(dy, -2 * (x - y) * c, dtype="float64")


def test_weights_stay_beside_the_upstream_gradient(backend: Any, rng: np.random.Generator) -> None:
    x, y, c = rng.normal(size=(3, 4, 5))
    weight = rng.uniform(size=4)
    arrays = backend.array(x), backend.array(y)
    dx, _ = backend.grad(polyloss.mse, *arrays, cotangent=c, sample_weight=backend.array(weight))
    backend.check(dx, 2 * (x - y) * c * weight[:, None], rtol=1e-14)
    dx, _ = backend.grad(polyloss.mse, *arrays, cotangent=np.asarray(3.0), reduction="sum")
    backend.check(dx, 6 * (x - y), rtol=1e-14)


def test_every_dtype(backend: Any) -> None:
    for dtype in backend.dtypes:
        x, y = backend.array([1.0, 3.0], dtype), backend.array([1.0, 1.0], dtype)
        backend.check(backend.grad(polyloss.huber, x, y, delta=1.5)[0], [0.0, 0.75], dtype=dtype)


def test_compiled(backend: Any) -> None:
    x, y = backend.array([1.0, 3.0]), backend.array([1.0, 1.0])
    backend.check(backend.compile(polyloss.huber)(x, y), 0.75, dtype="float64")


@pytest.mark.parametrize("wrong", ["value", "shape", "dtype", "kind"])
def test_check_can_fail(backend: Any, wrong: str) -> None:
    x = backend.array([1.0, 2.0])
    actual = object() if wrong == "kind" else x
    expected = {"value": [1.0, 2.1], "shape": [[1.0, 2.0]]}.get(wrong, [1.0, 2.0])
    with pytest.raises(AssertionError):
        backend.check(actual, expected, dtype="float32" if wrong == "dtype" else None)


@pytest.mark.parametrize("names", ["nmupy", "numpy torhc"])
def test_unknown_backend_is_an_error(names: str, pytester: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    pytester.copy_example(str(pytestconfig.rootpath / "tests" / "conftest.py"))
    result = pytester.runpytest_subprocess(f"--backends={names}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown backend*known: numpy*"])
