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


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-m", "numpy", "test_it.py"), pytest.ExitCode.OK),
        (("-m", "plain", "test_it.py"), pytest.ExitCode.OK),
        (("-m", "numpy", "test_lacking.py"), pytest.ExitCode.OK),
        (("-m", "numpy"), pytest.ExitCode.NO_TESTS_COLLECTED),
        (("-k", "nothing", "test_it.py"), pytest.ExitCode.NO_TESTS_COLLECTED),
        (("-m", "numpy", "no_such_file.py"), pytest.ExitCode.USAGE_ERROR),
        (("-m", "numpy", "test_it.py::no_such_test"), pytest.ExitCode.USAGE_ERROR),
        (("-n", "1", "-m", "numpy", "no_such_file.py"), pytest.ExitCode.NO_TESTS_COLLECTED),
    ],
)
def test_files_that_are_named_need_no_test_for_each_marker(
    arguments: tuple[str, ...],
    expected: pytest.ExitCode,
    pytester: pytest.Pytester,
    pytestconfig: pytest.Config,
) -> None:
    """`tox -e jax -- tests/test_it.py` runs pytest twice. A marker that finds nothing in all tests is an error."""
    if "-n" in arguments:
        pytest.importorskip("xdist")
    pytester.copy_example(str(pytestconfig.rootpath / "tests" / "conftest.py"))
    pytester.makepyfile(test_it="def test_plain():\n    pass\n")
    pytester.makepyfile(test_lacking="import pytest\npytest.importorskip('no_such_framework')\n")
    assert pytester.runpytest_subprocess("--backends=numpy", *arguments).ret == expected
