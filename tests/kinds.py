"""What each kind of array has, found by trying: the table of docs/arrays.md."""

import functools
import io
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

import polyloss

from .ordinary import ordinary

LOSSES = polyloss.huber, polyloss.cross_entropy, polyloss.info_nce
"""One of elements, one of rows and one of a batch."""
COLUMNS = ("value", "gradient", "gradient of any function", "second derivative", "compiled", "exported")


class Kind:
    """One kind of array. What it has no means for is refused, or has no name here."""

    name = "NumPy"
    package = "numpy"
    program = "no"
    """What it is exported to."""

    @functools.cached_property
    def xp(self) -> Any:
        return import_module(self.package)

    def array(self, array: Any) -> Any:
        """An array of this kind, from one of NumPy."""
        return array

    def numpy(self, array: Any) -> Any:
        return np.asarray(array)

    def summed_slope(self, loss: Any, others: list[Any]) -> Callable[[Any], Any]:
        """A function of the first array: the sum of squares of the gradient."""

        def function(first: Any) -> Any:
            slope = self.slope(lambda first: loss(first, *others), first)
            return (slope**2).sum()

        return function

    def slope(self, function: Callable[[Any], Any], first: Any) -> Any:
        return polyloss.value_and_grad(function)(first)[1]

    def exported(self, function: Callable[..., Any], arrays: list[Any]) -> Callable[..., Any]:
        """A program that was saved and loaded."""
        raise TypeError(f"{self.name} writes no programs")


class Torch(Kind):
    name, package, program = "PyTorch", "torch", "`torch.export`, ONNX"

    def array(self, array: Any) -> Any:
        return self.xp.tensor(array)

    def numpy(self, array: Any) -> Any:
        return array.detach().numpy()

    def slope(self, function: Callable[[Any], Any], first: Any) -> Any:
        # In eager code those of `value_and_grad` are detached.
        return self.xp.func.grad(function)(first)

    def exported(self, function: Callable[..., Any], arrays: list[Any]) -> Callable[..., Any]:
        class Module(self.xp.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, *arrays: Any) -> Any:
                return function(*arrays)

        file = io.BytesIO()
        self.xp.export.save(self.xp.export.export(Module(), tuple(arrays)), file)
        file.seek(0)
        module: Callable[..., Any] = self.xp.export.load(file).module()
        return module


class Jax(Kind):
    name, package, program = "JAX", "jax", "`jax.export`"

    def array(self, array: Any) -> Any:
        return self.xp.numpy.asarray(array)

    def exported(self, function: Callable[..., Any], arrays: list[Any]) -> Callable[..., Any]:
        export = import_module("jax.export")
        call: Callable[..., Any] = export.deserialize(export.export(self.xp.jit(function))(*arrays).serialize()).call
        return call


class Tensorflow(Kind):
    name, package, program = "TensorFlow", "tensorflow", "SavedModel"

    def array(self, array: Any) -> Any:
        return self.xp.constant(array)

    def summed_slope(self, loss: Any, others: list[Any]) -> Callable[[Any], Any]:
        def function(first: Any) -> Any:
            return self.xp.reduce_sum(self.slope(lambda first: loss(first, *others), first) ** 2)

        return function

    def exported(self, function: Callable[..., Any], arrays: list[Any]) -> Callable[..., Any]:
        from tempfile import TemporaryDirectory

        model = self.xp.Module()
        specs = [self.xp.TensorSpec([None, *array.shape[1:]], array.dtype) for array in arrays]
        model.call = self.xp.function(function, input_signature=specs)
        with TemporaryDirectory() as folder:
            self.xp.saved_model.save(model, folder)
            loaded = self.xp.saved_model.load(folder)
        # The functions are part of it.
        return lambda *arrays: loaded.call(*arrays)


class Dask(Kind):
    name, package = "Dask", "dask.array"

    def array(self, array: Any) -> Any:
        return self.xp.from_array(array)


class Strict(Kind):
    name, package = "array-api-strict", "array_api_strict"

    def array(self, array: Any) -> Any:
        return self.xp.asarray(array)


class Ndonnx(Kind):
    name, package, program = "ndonnx", "ndonnx", "ONNX"

    def array(self, array: Any) -> Any:
        return self.xp.asarray(array)

    def numpy(self, array: Any) -> Any:
        return array.unwrap_numpy()

    def exported(self, function: Callable[..., Any], arrays: list[Any]) -> Callable[..., Any]:
        names = [f"array {place}" for place in range(len(arrays))]
        given = [self.xp.argument(shape=("rows", *array.shape[1:]), dtype=array.dtype) for array in arrays]
        results = {f"result {place}": one for place, one in enumerate(function(*given))}
        model = self.xp.build(dict(zip(names, given, strict=True)), results)
        session = import_module("onnxruntime").InferenceSession(model.SerializeToString())
        return lambda *arrays: map(
            self.xp.asarray, session.run(None, dict(zip(names, map(self.numpy, arrays), strict=True)))
        )


class Sparse(Kind):
    name, package = "sparse", "sparse"

    def array(self, array: Any) -> Any:
        return self.xp.COO.from_numpy(array)


KINDS: tuple[Kind, ...] = (Torch(), Jax(), Tensorflow(), Kind(), Dask(), Strict(), Ndonnx(), Sparse())


def cells(kind: Kind) -> Iterator[str]:
    """One for each of `COLUMNS`."""
    for found in (_value, _gradient, _of_any_function, _second, _compiled, _exported):
        try:
            for loss in LOSSES:
                first, *others = ordinary(loss, np.random.default_rng(0))
                arrays = [
                    array.astype(np.float32 if array.dtype.kind == "f" else np.int32) for array in (first, *others)
                ]
                found(kind, loss, arrays, list(map(kind.array, arrays)))
        except TypeError as error:
            # Ours, and none of a library: it says what of whom is refused.
            yield "refused" if "plain array" in str(error) else "no"
        else:
            yield kind.program if found is _exported else "yes"


def _check(kind: Kind, found: Any, expected: Any) -> None:
    found, expected = kind.numpy(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def _value(kind: Kind, loss: Any, arrays: list[Any], given: list[Any]) -> None:
    _check(kind, loss(*given), loss(*arrays))


def _gradient(kind: Kind, loss: Any, arrays: list[Any], given: list[Any]) -> None:
    pairs = polyloss.value_and_grad(loss)(*given), polyloss.value_and_grad(loss)(*arrays)
    for found, expected in zip(*pairs, strict=True):
        _check(kind, found, expected)


def _of_any_function(kind: Kind, loss: Any, arrays: list[Any], given: list[Any]) -> None:
    found = polyloss.value_and_grad(lambda first, *others: loss(first * 2, *others))(*given)[1]
    _check(kind, found, 2 * polyloss.value_and_grad(loss)(2 * arrays[0], *arrays[1:])[1])


def _second(kind: Kind, loss: Any, arrays: list[Any], given: list[Any]) -> None:
    found = kind.numpy(kind.slope(kind.summed_slope(loss, given[1:]), given[0]))

    def squares(first: Any) -> Any:
        rest = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in arrays[1:]]
        return (polyloss.value_and_grad(loss)(first, *rest)[1] ** 2).sum()

    # A difference of two sides, in 64 bits.
    first, step = arrays[0].astype(np.float64), 1e-6
    slopes = np.zeros_like(first)
    for place in np.ndindex(first.shape):
        away = np.zeros_like(first)
        away[place] = step
        slopes[place] = (squares(first + away) - squares(first - away)) / (2 * step)
    np.testing.assert_allclose(found, slopes, rtol=0, atol=1e-3 * np.abs(slopes).max())


def _compiled(kind: Kind, loss: Any, arrays: list[Any], given: list[Any]) -> None:
    from polyloss.core.backend import backend_of

    compiled = polyloss.compile(loss)
    _check(kind, compiled(*given), loss(*arrays))
    if backend_of(given[0]).compile(loss) is loss:
        raise TypeError(f"{kind.name} has no compiler")


def _exported(kind: Kind, loss: Any, arrays: list[Any], given: list[Any]) -> None:
    program = kind.exported(polyloss.value_and_grad(loss), given)
    for found, expected in zip(program(*given), polyloss.value_and_grad(loss)(*arrays), strict=True):
        _check(kind, found, expected)


def markdown() -> str:
    """The table."""
    lines = [f"| kind of array | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [f"| {kind.name} | {' | '.join(cells(kind))} |" for kind in KINDS]
    return "\n".join(lines) + "\n"
