"""NumPy: the plain expressions of value and gradient, and what SciPy and scikit-learn have."""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Column, Side, Step
from .rows import Row

Array = NDArray[Any]
Pair = tuple[Any, tuple[Array, ...]]


def _mean(x: Array, both: bool, loss: Array, gradient: Callable[[], Array]) -> Pair:
    return loss.mean(), (gradient() * np.float32(1 / x.size),) if both else ()


def _mse(x: Array, t: Array, both: bool) -> Pair:
    error = x - t
    return _mean(x, both, error * error, lambda: 2 * error)


def _l1(x: Array, t: Array, both: bool) -> Pair:
    error = x - t
    return _mean(x, both, np.abs(error), lambda: np.sign(error))


def _huber(x: Array, t: Array, both: bool, delta: float = 1.0) -> Pair:
    error = x - t
    size = np.abs(error)
    loss = np.where(size <= delta, 0.5 * error * error, delta * (size - 0.5 * delta))
    return _mean(x, both, loss, lambda: np.clip(error, -delta, delta))


def _smooth_l1(x: Array, t: Array, both: bool, beta: float) -> Pair:
    error = x - t
    size = np.abs(error)
    loss = np.where(size < beta, 0.5 / beta * error * error, size - 0.5 * beta)
    return _mean(x, both, loss, lambda: np.clip(error / beta, -1, 1))


def _sigmoid(x: Array, small: Array) -> Array:
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _bce(x: Array, t: Array, both: bool) -> Pair:
    small = np.exp(-np.abs(x))
    loss = np.maximum(x, 0) - x * t + np.log1p(small)
    return _mean(x, both, loss, lambda: _sigmoid(x, small) - t)


def _focal(x: Array, t: Array, both: bool, alpha: float, gamma: float) -> Pair:
    small = np.exp(-np.abs(x))
    entropy = np.maximum(x, 0) - x * t + np.log1p(small)
    p = _sigmoid(x, small)
    right = p * t + (1 - p) * (1 - t)
    weight = (alpha * t + (1 - alpha) * (1 - t)) * (1 - right) ** gamma

    def gradient() -> Array:
        slope: Array = weight * (1 - 2 * t) * (gamma * right * entropy + 1 - right)
        return slope

    return _mean(x, both, weight * entropy, gradient)


def _cross_entropy(x: Array, t: Array, both: bool) -> Pair:
    rows = np.arange(len(t))
    largest = x.max(axis=-1, keepdims=True)
    powers = np.exp(x - largest)
    total = powers.sum(axis=-1, keepdims=True)
    value = (np.log(total[:, 0]) + largest[:, 0] - x[rows, t]).mean()
    if not both:
        return value, ()
    gradient = powers / total
    gradient[rows, t] -= 1
    gradient /= len(t)
    return value, (gradient,)


def _kl(a: Array, t: Array, both: bool) -> Pair:
    return (t * (np.log(t) - a)).sum(axis=-1).mean(), (t * np.float32(-1 / len(t)),) if both else ()


def _triplet(a: Array, p: Array, n: Array, both: bool) -> Pair:
    near, far = a - p, a - n
    d_near, d_far = (np.sqrt((d * d).sum(axis=-1, keepdims=True)) for d in (near, far))
    violation = d_near - d_far + 1
    value = np.maximum(violation, 0).mean()
    if not both:
        return value, ()
    active = (violation > 0) / np.float32(len(a))
    near, far = near * (active / d_near), far * (active / d_far)
    return value, (near - far, -near, far)


def _linear(hidden: Array, weight: Array, t: Array, both: bool) -> Pair:
    value, gradients = _cross_entropy(hidden @ weight.T, t, both)
    return value, (gradients[0] @ weight, gradients[0].T @ hidden) if both else ()


_PLAIN: dict[str, Callable[..., Pair]] = {
    "mse": _mse,
    "l1": _l1,
    "huber": _huber,
    "smooth_l1": _smooth_l1,
    "binary_cross_entropy_with_logits": _bce,
    "sigmoid_focal": _focal,
    "cross_entropy": _cross_entropy,
    "kl_divergence": _kl,
    "triplet_margin": _triplet,
    "linear_cross_entropy": _linear,
}


def _scipy_huber(x: Array, t: Array, both: bool) -> Pair:
    import scipy.special

    error = x - t
    return _mean(x, both, scipy.special.huber(np.float32(1), error), lambda: np.clip(error, -1, 1))


def _scipy_bce(x: Array, t: Array, both: bool) -> Pair:
    import scipy.special

    loss = -(t * scipy.special.log_expit(x) + (1 - t) * scipy.special.log_expit(-x))
    return _mean(x, both, loss, lambda: scipy.special.expit(x) - t)


def _scipy_cross_entropy(x: Array, t: Array, both: bool) -> Pair:
    import scipy.special

    rows = np.arange(len(t))
    logarithms = scipy.special.log_softmax(x, axis=-1)
    value = -logarithms[rows, t].mean()
    if not both:
        return value, ()
    gradient = np.exp(logarithms)
    gradient[rows, t] -= 1
    gradient /= len(t)
    return value, (gradient,)


def _scipy_kl(a: Array, t: Array, both: bool) -> Pair:
    import scipy.special

    value = scipy.special.rel_entr(t, np.exp(a)).sum(axis=-1).mean()
    return value, (t * np.float32(-1 / len(t)),) if both else ()


_SCIPY: dict[str, tuple[str, Callable[..., Pair]]] = {
    "huber": ("scipy.special.huber", _scipy_huber),
    "binary_cross_entropy_with_logits": ("scipy.special.log_expit", _scipy_bce),
    "cross_entropy": ("scipy.special.log_softmax", _scipy_cross_entropy),
    "kl_divergence": ("scipy.special.rel_entr", _scipy_kl),
}
_SKLEARN = {"mse": "mean_squared_error", "l1": "mean_absolute_error"}


def _side(against: str, name: str, function: Callable[..., Pair], row: Row) -> Side:
    keywords = row.keywords
    return Side(
        against,
        name,
        lambda *arrays: function(*arrays, both=False, **keywords)[0],
        lambda *arrays: function(*arrays, both=True, **keywords),
    )


def _whole(row: Row) -> Side:
    """The kernel and its closed forms on whole arrays."""
    loss, wanted, keywords = row.loss, row.wanted, row.keywords

    def call(arrays: Sequence[Array]) -> Any:
        return loss.bind(tuple(arrays), dict(keywords))

    def value(*arrays: Array) -> Any:
        bound = call(arrays)
        return bound.plan(bound.arrays)

    def pair(*arrays: Array) -> Pair:
        bound = call(arrays)
        found: Pair = bound.plan.value_and_gradients(bound.arrays, wanted)
        return found

    return Side("plain", "kernel, whole arrays", value, pair)


class NumpyColumn(Column):
    """NumPy, which differentiates nothing."""

    backend = "numpy"

    dtypes = ("float32", "float16")

    def array(self, array: Array, dtype: str = "float32") -> Array:
        return array.astype(dtype) if array.dtype.kind == "f" else array

    def rivals(self, row: Row, dtype: str = "float32") -> list[Side]:
        if row.name not in _PLAIN:
            return [_whole(row)]
        found = [_side("plain", "NumPy expression", _PLAIN[row.name], row)]
        if row.name in _SCIPY and importlib.util.find_spec("scipy"):
            found.append(_side("SciPy", *_SCIPY[row.name], row))
        if row.name in _SKLEARN and importlib.util.find_spec("sklearn"):
            import sklearn.metrics

            metric = getattr(sklearn.metrics, _SKLEARN[row.name])
            found.append(Side("scikit-learn", metric.__name__, lambda x, t: metric(t, x)))
        return found

    def has_gradient(self, side: Side) -> bool:
        return side.pair is not None

    def step(self, side: Side, arrays: Sequence[Any], wanted: Sequence[int], gradient: bool) -> Step:
        value, pair = side.value, side.pair
        if not gradient:
            return lambda: (value(*arrays), ())
        assert pair is not None
        return lambda: pair(*arrays)


COLUMN = NumpyColumn
