"""The fixture `backend`: one object per kind of array under test, so that a test is written once for all of them.

``POLYLOSS_BACKENDS`` (or ``--backends``) names the ones to run, separated by spaces or commas; without it every
installed one runs. Every test gets a marker for what it needs (`MARKERS`), and the environments of tox.ini share the
tests out by it.
"""

import functools
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import settings

import polyloss
from polyloss.__main__ import REQUIRED

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

settings.register_profile("ci", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("ci")


class Library:
    """One kind of array: how to make it, read it, differentiate and compile with it."""

    name: str = "numpy"
    framework: str = "numpy"
    module: str = "numpy"
    dtypes: tuple[str, ...] = ("float16", "float32", "float64")
    has_autodiff: bool = False
    """Whether any function can be differentiated; without it, only losses and sums of losses (closed form)."""

    def __init__(self) -> None:
        self.xp: Any = self.namespace()

    def namespace(self) -> Any:
        """The Array API namespace."""
        return np

    def array(self, values: Any, dtype: str | None = None) -> Any:
        """An array of this kind. Without `dtype`: float64, int64 or bool, whichever `values` are."""
        return self.from_numpy(np.array(values, dtype=None if dtype == "bfloat16" else dtype), dtype)

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: str | None) -> Any:
        return array

    def numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """The array as a NumPy array of the same dtype; bfloat16 as float32."""
        return np.asarray(array)

    def owns(self, array: Any) -> bool:
        """Whether `array` is one of this kind."""
        return isinstance(array, np.ndarray | np.generic)

    def grad(self, loss: Callable[..., Any], *arrays: Any, cotangent: Any = None, **keywords: Any) -> tuple[Any, ...]:
        """The gradient with respect to each array, None where it is no floating one.

        With a `cotangent` (NumPy, or of this kind) of the shape of the per-example losses, the gradient of
        ``sum(cotangent * loss(..., reduction="none"))``; without it, that of the scalar which `loss` returns.
        """
        return self.value_and_grad(loss, *arrays, cotangent=cotangent, **keywords)[1]

    def value_and_grad(
        self, loss: Callable[..., Any], *arrays: Any, cotangent: Any = None, **keywords: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """The value and what `grad` returns."""
        numbers = self._floating(arrays)
        if cotangent is not None:
            keywords.setdefault("reduction", "none")
        value = loss(*arrays, **keywords)
        if cotangent is not None:
            # NumPy has no upstream gradient but this: a weight on each example of a sum.
            upstream = self.array(self.numpy(cotangent), self._dtype_name(value))
            if keywords["reduction"] == "none":
                weight = keywords.pop("sample_weight", None)
                if weight is not None:
                    upstream = upstream * weight[(..., *(None,) * (upstream.ndim - weight.ndim))]
                keywords |= {"reduction": "sum", "sample_weight": upstream}
                upstream = None
        else:
            upstream = None
        _, found = polyloss.value_and_grad(loss, numbers)(*arrays, **keywords)
        if upstream is not None:
            found = [upstream * gradient for gradient in found]
        return value, self._spread(numbers, found, len(arrays))

    def compile(self, function: Callable[..., Any], *, quick: bool = True) -> Callable[..., Any]:
        """`function` behind the framework's compiler. `quick`: without code generation, where that is slow."""
        return function

    def check(self, actual: Any, expected: Any, *, dtype: str | None = None, rtol: float | None = None) -> None:
        """Kind of array, shape, dtype, then values: within `rtol` (default 8 eps), NaN equal to NaN."""
        __tracebackhide__ = True
        assert self.owns(actual), f"{type(actual)} is no array of {self.name}"
        expected = np.asarray(expected)
        assert tuple(actual.shape) == expected.shape, f"shape {tuple(actual.shape)}, expected {expected.shape}"
        found = self._dtype_name(actual)
        if dtype is not None:
            assert found == dtype, f"dtype {found}, expected {dtype}"
        eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}.get(found, 2.0**-52)
        np.testing.assert_allclose(
            self.numpy(actual).astype(np.float64), expected, rtol=8 * eps if rtol is None else rtol, atol=0
        )

    def _dtype_name(self, array: Any) -> str:
        return str(array.dtype).rpartition(".")[2]

    def _floating(self, arrays: tuple[Any, ...]) -> tuple[int, ...]:
        return tuple(i for i, a in enumerate(arrays) if "float" in self._dtype_name(a))

    def _of_floating(
        self, loss: Callable[..., Any], arrays: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Callable[..., Any]:
        """`loss` as a function of those of its arrays that are floating."""

        def function(*floating: Any) -> Any:
            inputs = dict(enumerate(arrays)) | dict(zip(self._floating(arrays), floating, strict=True))
            return loss(*inputs.values(), **keywords)

        return function

    def _spread(self, numbers: tuple[int, ...], found: Any, count: int) -> tuple[Any, ...]:
        by_number = dict(zip(numbers, found, strict=True))
        return tuple(by_number.get(i) for i in range(count))


class Numpy(Library):
    """Plain NumPy."""


class NumpyReadOnly(Library):
    """NumPy arrays that cannot be written to."""

    name = "numpy-readonly"

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: str | None) -> Any:
        array = array.copy()
        array.flags.writeable = False
        return array


class Strict(Library):
    """The standard and nothing else: array-api-strict with every optional feature off."""

    name = "strict"
    module = "array_api_strict"
    dtypes = ("float32", "float64")

    def namespace(self) -> Any:
        import array_api_strict

        array_api_strict.set_array_api_strict_flags(
            api_version="2024.12", boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
        )
        return array_api_strict

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: str | None) -> Any:
        return self.xp.asarray(array)

    def numpy(self, array: Any) -> np.ndarray[Any, Any]:
        return np.asarray(array._array if self.owns(array) else array)

    def owns(self, array: Any) -> bool:
        return type(array).__module__.startswith("array_api_strict")


class Dask(Library):
    """Lazy arrays. Not among the parameters of `backend`: values are never looked at, so much differs."""

    name = "dask"
    module = "dask.array"

    def namespace(self) -> Any:
        import dask.array

        return dask.array

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: str | None) -> Any:
        return self.xp.from_array(array)

    def owns(self, array: Any) -> bool:
        return isinstance(array, self.xp.Array)


class Torch(Library):
    name = framework = module = "torch"
    dtypes = ("float16", "bfloat16", "float32", "float64")
    has_autodiff = True

    def namespace(self) -> Any:
        import array_api_compat.torch

        return array_api_compat.torch

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: str | None) -> Any:
        return self.xp.asarray(array.copy(), dtype=None if dtype is None else getattr(self.xp, dtype))

    def numpy(self, array: Any) -> np.ndarray[Any, Any]:
        if not self.owns(array):
            return np.asarray(array)
        return np.asarray(array.detach().to(self.xp.float32 if array.dtype == self.xp.bfloat16 else array.dtype))

    def owns(self, array: Any) -> bool:
        return isinstance(array, self.xp.Tensor)

    def value_and_grad(
        self, loss: Callable[..., Any], *arrays: Any, cotangent: Any = None, **keywords: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        import torch

        numbers = self._floating(arrays)
        inputs = [a.detach().clone().requires_grad_(i in numbers) for i, a in enumerate(arrays)]
        if cotangent is not None:
            keywords.setdefault("reduction", "none")
            cotangent = self.array(self.numpy(cotangent), self._dtype_name(arrays[numbers[0]]))
        value = loss(*inputs, **keywords)
        found = torch.autograd.grad(value, [inputs[i] for i in numbers], cotangent, materialize_grads=True)
        return value.detach(), self._spread(numbers, found, len(arrays))

    def compile(self, function: Callable[..., Any], *, quick: bool = True) -> Callable[..., Any]:
        import torch

        return torch.compile(function, fullgraph=True, backend="aot_eager" if quick else "inductor")


class Jax(Library):
    name = framework = module = "jax"
    dtypes = ("float16", "bfloat16", "float32", "float64")
    has_autodiff = True

    def namespace(self) -> Any:
        import jax

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        return jax.numpy

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: str | None) -> Any:
        return self.xp.asarray(array, dtype=dtype)

    def numpy(self, array: Any) -> np.ndarray[Any, Any]:
        return np.asarray(array.astype("float32") if self._dtype_name(array) == "bfloat16" else array)

    def owns(self, array: Any) -> bool:
        import jax

        return isinstance(array, jax.Array)

    def value_and_grad(
        self, loss: Callable[..., Any], *arrays: Any, cotangent: Any = None, **keywords: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        import jax

        numbers = self._floating(arrays)
        if cotangent is not None:
            keywords.setdefault("reduction", "none")
        function = self._of_floating(loss, arrays, keywords)
        value, pull = jax.vjp(function, *(arrays[i] for i in numbers))
        upstream = np.ones(value.shape) if cotangent is None else self.numpy(cotangent)
        return value, self._spread(numbers, pull(self.array(upstream, self._dtype_name(value))), len(arrays))

    def compile(self, function: Callable[..., Any], *, quick: bool = True) -> Callable[..., Any]:
        import jax

        return jax.jit(function)


class Tensorflow(Library):
    name = framework = module = "tensorflow"
    dtypes = ("float16", "bfloat16", "float32", "float64")
    has_autodiff = True

    def namespace(self) -> Any:
        return importlib.import_module("polyloss_tensorflow._namespace")

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: str | None) -> Any:
        import tensorflow as tf

        return tf.cast(tf.constant(array), dtype or array.dtype)

    def numpy(self, array: Any) -> np.ndarray[Any, Any]:
        import tensorflow as tf

        if not self.owns(array):
            return np.asarray(array)
        return np.asarray((tf.cast(array, tf.float32) if array.dtype == tf.bfloat16 else array).numpy())

    def owns(self, array: Any) -> bool:
        import tensorflow as tf

        return isinstance(array, tf.Tensor)

    def value_and_grad(
        self, loss: Callable[..., Any], *arrays: Any, cotangent: Any = None, **keywords: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        import tensorflow as tf

        numbers = self._floating(arrays)
        wanted = [arrays[i] for i in numbers]
        if cotangent is not None:
            keywords.setdefault("reduction", "none")
            cotangent = self.array(self.numpy(cotangent), self._dtype_name(wanted[0]))
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            value = loss(*arrays, **keywords)
        found = tape.gradient(value, wanted, output_gradients=cotangent, unconnected_gradients="zero")
        return value, self._spread(numbers, found, len(arrays))

    def compile(self, function: Callable[..., Any], *, quick: bool = True) -> Callable[..., Any]:
        import tensorflow as tf

        return tf.function(function, jit_compile=not quick)  # type: ignore[no-any-return]

    def _dtype_name(self, array: Any) -> str:
        return str(array.dtype.name)


class Mlx(Library):
    name = framework = module = "mlx"
    dtypes = ("float16", "bfloat16", "float32", "float64")
    has_autodiff = True

    def namespace(self) -> Any:
        return importlib.import_module("polyloss_mlx._namespace")

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: str | None) -> Any:
        import mlx.core as mx

        # Of float64, MLX makes float32 if nothing is said.
        name = dtype or str(array.dtype)
        known = {"bool": mx.bool_, "complex128": mx.complex64}
        return mx.array(array, known.get(name) or getattr(mx, name))

    def numpy(self, array: Any) -> np.ndarray[Any, Any]:
        import mlx.core as mx

        return np.asarray(array.astype(mx.float32) if self._dtype_name(array) == "bfloat16" else array)

    def owns(self, array: Any) -> bool:
        import mlx.core as mx

        return isinstance(array, mx.array)

    def value_and_grad(
        self, loss: Callable[..., Any], *arrays: Any, cotangent: Any = None, **keywords: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        import mlx.core as mx

        numbers = self._floating(arrays)
        if cotangent is not None:
            keywords.setdefault("reduction", "none")
        function = self._of_floating(loss, arrays, keywords)
        value = loss(*arrays, **keywords)
        upstream = np.ones(value.shape) if cotangent is None else self.numpy(cotangent)
        upstream = self.array(upstream, self._dtype_name(value))
        [value], found = mx.vjp(function, [arrays[i] for i in numbers], [upstream])
        return value, self._spread(numbers, found, len(arrays))

    def compile(self, function: Callable[..., Any], *, quick: bool = True) -> Callable[..., Any]:
        import mlx.core as mx

        compiled: Callable[..., Any] = mx.compile(function)
        return compiled


LIBRARIES: dict[str, type[Library]] = {
    kind.name: kind for kind in (Numpy, NumpyReadOnly, Strict, Torch, Jax, Tensorflow, Mlx)
}
FRAMEWORKS = {
    "torch": "torch",
    "jax": "jax",
    "optax": "jax",
    "tensorflow": "tensorflow",
    "keras": "tensorflow",
    "mlx": "mlx",
    "array_api_strict": "numpy",
    "dask": "numpy",
}
# A test has one of these; who sets none gets one.
MARKERS = {
    "distributed": "starts several processes, or needs several devices; set by hand",
    "keras": "needs Keras, on the backend that KERAS_BACKEND names",
    "export": "writes or runs ONNX, or has every kind of array; set by hand",
    "torch": "needs PyTorch alone",
    "jax": "needs JAX alone",
    "tensorflow": "needs TensorFlow alone",
    "mlx": "needs MLX alone",
    "cross": "needs two frameworks or more",
    "numpy": "needs NumPy, or other arrays without automatic differentiation",
    "site": "the built site in a browser; set by hand",
    "docs": "examples, links and tables in the documentation; set by hand",
    "boosting": "needs XGBoost, LightGBM and CatBoost; set by hand",
    "plain": "all the rest",
}


def installed(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


@functools.cache
def library(name: str) -> Library:
    return LIBRARIES[name]()


class Selection:
    """The backends under test."""

    names: ClassVar[list[str]] = []

    @classmethod
    def choose(cls, text: str) -> None:
        names = text.replace(",", " ").split()
        for name in names:
            if name not in LIBRARIES:
                raise pytest.UsageError(f"unknown backend {name!r} in POLYLOSS_BACKENDS; known: {', '.join(LIBRARIES)}")
            if not installed(LIBRARIES[name].module):
                raise pytest.UsageError(
                    f"POLYLOSS_BACKENDS has {name!r}, but {LIBRARIES[name].module} is not installed"
                )
        cls.names = names or [name for name, kind in LIBRARIES.items() if installed(kind.module)]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backends", default=os.environ.get("POLYLOSS_BACKENDS", ""), help="backends to test")
    parser.addoption("--update-docs", action="store_true", help="write the generated tables instead of comparing them")


def pytest_configure(config: pytest.Config) -> None:
    Selection.choose(config.getoption("--backends"))
    for marker, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    config.addinivalue_line("markers", "unoptimised: JAX need not optimise what it compiles; set by hand")
    config.addinivalue_line("markers", "suite: imports the conformance suite, the benchmarks or what these need")


@functools.cache
def imports_suite(path: Path) -> bool:
    """Whether a test imports at its top what needs the extra `conformance`."""
    names = "|".join(("polyloss_conformance", "polyloss_benchmarks", *REQUIRED))
    return re.search(rf"^(import|from) ({names})\b", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without the extra, the tests that need it are left out: an environment of tox.ini is made so."""
    if collection_path.suffix != ".py" or all(map(installed, REQUIRED)):
        return None
    return imports_suite(collection_path) or None


def pytest_report_header() -> str:
    where = os.path.dirname(polyloss.__file__)
    return f"polyloss {polyloss.__version__} from {where}; backends: {', '.join(Selection.names)}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", Selection.names, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(_needed(item))
        if imports_suite(item.path):
            item.add_marker("suite")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Files that are named may have no test for an environment of tox.ini: those share the tests out by ``-m``."""
    config = session.config
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    # A misspelt file has none to leave out.
    found = config.pluginmanager.getplugin("terminalreporter").stats
    left_out = config.option.markexpr and (found.get("deselected") or found.get("skipped"))
    if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and named and left_out:
        session.exitstatus = pytest.ExitCode.OK


def _needed(item: pytest.Item) -> str:
    """The marker of what a test needs: what its module imported at the top, and its backend."""
    imported = vars(getattr(item, "module", None) or ModuleType("none")).values()
    needed = {
        FRAMEWORKS[top]
        for value in imported
        if isinstance(value, ModuleType) and (top := value.__name__.partition(".")[0]) in FRAMEWORKS
    }
    fixtures = getattr(item, "fixturenames", ())
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if "backend" in parameters:
        framework = LIBRARIES[parameters["backend"]].framework
        if framework != "numpy" or not needed:
            needed.add(framework)
    chosen = [marker for marker in MARKERS if item.get_closest_marker(marker) is not None]
    if chosen:
        return chosen[0]
    if "dask" in fixtures:
        needed.add("numpy")
    if "backends" in fixtures or len(needed) > 1:
        return "cross"
    return needed.pop() if needed else "plain"


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Library:
    """One kind of array; the test runs once for each."""
    return library(request.param)


@pytest.fixture
def backends() -> list[Library]:
    """Every kind of array under test, for what compares them. Skips where there is only one framework."""
    found = [library(name) for name in Selection.names]
    if len({one.framework for one in found}) < 2:
        pytest.skip("compares two frameworks or more")
    return found


@pytest.fixture
def dask() -> Library:
    """Dask arrays."""
    pytest.importorskip("dask.array")
    return Dask()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers, the same ones in every run and on every backend."""
    return np.random.default_rng(sum(map(ord, request.node.originalname or request.node.name)))


@pytest.fixture(autouse=True)
def _fresh_compilers() -> Iterator[None]:
    """torch keeps what it compiled per code object, and stops at eight variants."""
    yield
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
