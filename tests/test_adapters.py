"""An adapter of a third party needs public names alone: the package in examples/."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import adapters

from .test_blocks import LOSSES, arguments

pytestmark = pytest.mark.numpy

PUBLIC = {"polyloss": {*vars(polyloss)["__all__"]}, "polyloss.adapters": {*adapters.__all__}}
STANDARD_LIBRARY = {"collections.abc", "typing"}


@pytest.fixture(scope="module")
def package(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath / "examples" / "polyloss_strict"


@pytest.fixture(scope="module")
def strict(package: Path) -> Iterator[Any]:
    """array-api-strict, served by the package in examples/."""
    xp = pytest.importorskip("array_api_strict")
    sys.path.insert(0, str(package))
    importlib.import_module("polyloss_strict")
    yield xp
    sys.path.remove(str(package))
    del sys.modules["polyloss_strict"]
    polyloss.register_backend("array_api_strict", "polyloss_numpy")


def of_strict(xp: Any, array: Any) -> Any:
    return xp.asarray(array) if isinstance(array, np.ndarray) else array


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found._array), expected, rtol=1e-12, atol=1e-300)


def test_the_package_imports_public_names_alone(package: Path) -> None:
    files = list(package.rglob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= {"array_api_strict"}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                assert node.module in {*PUBLIC, *STANDARD_LIBRARY}
                names = {alias.name for alias in node.names}
                assert names <= PUBLIC.get(str(node.module), names)
            elif isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")


def test_what_is_public_is_documented(pytestconfig: pytest.Config) -> None:
    text = (pytestconfig.rootpath / "docs" / "adapters.md").read_text()
    assert [name for name in adapters.__all__ if not re.search(rf"\b{name}\b", text)] == []
    abstract = polyloss.Backend.__abstractmethods__
    assert abstract == {"namespace", "asarray", "readable", "attach", "value_and_grad"}
    assert [name for name in abstract if f"`{name}(" not in text] == []
    methods = [method for name, method in vars(polyloss.Backend).items() if callable(method) and name[0] != "_"]
    assert len(methods) > len(abstract)
    assert [method for method in methods if not method.__doc__] == []


def test_arrays_are_served_by_the_package(strict: Any) -> None:
    with pytest.raises(TypeError, match=re.escape("array_api_strict.asarray(0.5)")):
        polyloss.value_and_grad(polyloss.mse)(0.5, strict.asarray([1.0]))


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "weighted_mean"])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_values_and_gradients(strict: Any, rng: Any, loss: Any, reduction: Any) -> None:
    arrays = arguments(loss, rng)
    rows = loss(*arrays, reduction="none").shape
    options = {"where": rng.random(rows) < 0.7, "sample_weight": rng.random(rows[:1])}
    ours, theirs = [of_strict(strict, a) for a in arrays], {k: of_strict(strict, v) for k, v in options.items()}
    value = loss(*ours, **theirs, reduction=reduction)
    assert isinstance(value, type(ours[0]))
    close(value, loss(*arrays, **options, reduction=reduction))
    if reduction != "none":
        found = polyloss.value_and_grad(loss)(*ours, **theirs, reduction=reduction)
        expected = polyloss.value_and_grad(loss)(*arrays, **options, reduction=reduction)
        close(found[0], expected[0])
        close(found[1], expected[1])


def test_a_masked_example_counts_nothing(strict: Any) -> None:
    prediction, target = strict.asarray([1.0, float("nan")]), strict.asarray([0.0, 5.0])
    value, gradient = polyloss.value_and_grad(polyloss.mse)(prediction, target, where=strict.asarray([True, False]))
    close(value, 1.0)
    close(gradient, [2.0, 0.0])


def test_sums_layers_and_losses_of_users(strict: Any, rng: Any) -> None:
    @polyloss.elementwise
    def fourth(xp: Any, /, prediction: Any, target: Any, *, scale: float = 1.0, **call: Any) -> Any:
        error = (prediction - target) / scale
        return error**4, lambda: 4.0 * error**3 / scale, lambda: -4.0 * error**3 / scale

    x, y = rng.normal(size=6), rng.normal(size=6)
    for loss in (fourth, fourth.partial(scale=2.0), 0.5 * polyloss.huber + 2.0 * fourth):
        found = polyloss.value_and_grad(loss, (0, 1))(strict.asarray(x), strict.asarray(y))
        expected = polyloss.value_and_grad(loss, (0, 1))(x, y)
        close(found[0], expected[0])
        for one, other in zip(found[1], expected[1], strict=True):
            close(one, other)
    layer = (rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), rng.integers(0, 3, 5))
    found = polyloss.value_and_grad(polyloss.linear_cross_entropy, (0, 1))(*map(strict.asarray, layer))
    expected = polyloss.value_and_grad(polyloss.linear_cross_entropy, (0, 1))(*layer)
    close(found[0], expected[0])
    close(found[1][1], expected[1][1])


def test_parameters_have_gradients(strict: Any) -> None:
    x, delta = np.asarray([0.5, -3.0, 2.0]), np.asarray(1.5)
    found = polyloss.value_and_grad(polyloss.huber, "delta")(
        strict.asarray(x), strict.asarray(0 * x), delta=strict.asarray(delta)
    )
    close(found[1], polyloss.value_and_grad(polyloss.huber, "delta")(x, 0 * x, delta=delta)[1])


def test_bad_values_raise_where_they_can_be_seen_and_are_nan_elsewhere(strict: Any) -> None:
    logits, ids = np.zeros((3, 2)), np.asarray([0, 2, 1])
    with pytest.raises(ValueError, match="target"):
        polyloss.cross_entropy(strict.asarray(logits), strict.asarray(ids))
    elsewhere = strict.Device("device1")
    arrays = (strict.asarray(logits, device=elsewhere), strict.asarray(ids, device=elsewhere))
    losses = polyloss.cross_entropy(*arrays, reduction="none")
    assert losses.device == elsewhere
    close(losses, [np.log(2), np.nan, np.log(2)])


def test_other_functions_have_no_gradient(strict: Any) -> None:
    with pytest.raises(TypeError, match="no automatic differentiation"):
        polyloss.value_and_grad(lambda x: strict.sum(x))(strict.asarray([1.0]))


def test_its_readme_runs(strict: Any, package: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (package / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), found)
    close(found["loss"], 0.75)
    close(found["gradient"], [0.0, 1 / 3, 1 / 3])
