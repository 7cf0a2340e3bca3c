"""Arrays for cases: dtypes, and draws that are the same in every run."""

import importlib.util
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Shape = tuple[int, ...]

DTYPES = ("float16", "bfloat16", "float32", "float64")
WIDE = ("bfloat16", "float32", "float64")
"""The dtypes with at least the exponents of float32."""
SINGLE = ("float32", "float64")
DOUBLE = ("float64",)

has_bfloat16 = importlib.util.find_spec("ml_dtypes") is not None

inf, nan = float("inf"), float("nan")


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a name in `DTYPES`."""
    if name == "bfloat16":
        import ml_dtypes

        half: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return half
    return np.dtype(name)


def floats(*values: Any) -> Floats:
    """``floats(1, 2)`` is a vector, ``floats([1, 2], [3, 4])`` a matrix."""
    return np.asarray(values, dtype=np.float64)


def ids(*values: Any) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)


def mask(*values: Any) -> NDArray[np.bool_]:
    return np.asarray(values, dtype=np.bool_)


def generator(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def normal(name: str, shape: Shape, scale: float = 1.0) -> Floats:
    return generator(name).normal(0.0, scale, shape)


def uniform(name: str, shape: Shape, low: float = 0.0, high: float = 1.0) -> Floats:
    return generator(name).uniform(low, high, shape)


def signs(name: str, shape: Shape) -> Floats:
    return generator(name).choice([-1.0, 1.0], shape)


def bits(name: str, shape: Shape) -> Floats:
    return generator(name).choice([0.0, 1.0], shape)


def classes(name: str, shape: Shape, count: int) -> NDArray[np.int64]:
    return generator(name).integers(0, count, shape)


def log_softmax(logits: Floats, axis: int = -1) -> Floats:
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def simplex(name: str, shape: Shape, axis: int = -1) -> Floats:
    return np.exp(log_softmax(normal(name, shape, 1.5), axis))


def entropy(q: Floats) -> Floats:
    """-q log q"""
    with np.errstate(all="ignore"):
        return np.asarray(-np.where(q > 0, q * np.log(q), 0.0))


def damage(arrays: tuple[Any, ...], rows: NDArray[np.bool_]) -> tuple[Any, ...]:
    """NaN and inf in the examples where `rows` is False."""
    damaged = []
    for array in arrays:
        if array.dtype == np.float64 and array.shape[: rows.ndim] == rows.shape:
            array = array.copy()
            array[~rows] = nan
            first = np.flatnonzero(~rows)[0]
            array.reshape(rows.size, -1)[first] = inf
        damaged.append(array)
    return tuple(damaged)
