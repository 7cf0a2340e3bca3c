"""Losses of a real prediction and a real target."""

from typing import Unpack

from ._checks import POSITIVE
from ._loss import elementwise
from ._typing import Array, Call, Namespace, Pair


@elementwise(tasks=["regression"])
def mse(xp: Namespace, prediction: Array, target: Array, **call: Unpack[Call]) -> Pair:
    r"""Squared error.

    >>> import numpy as np, polyloss
    >>> float(polyloss.mse(np.asarray([3.0, 1.0]), np.asarray([1.0, 1.0])))
    2.0
    """
    error = prediction - target
    return error * error, lambda: 2.0 * error, lambda: -2.0 * error


@elementwise(tasks=["regression", "outliers"], delta=POSITIVE)
def huber(xp: Namespace, prediction: Array, target: Array, *, delta: float = 1.0, **call: Unpack[Call]) -> Pair:
    r"""Huber loss.

    >>> import numpy as np, polyloss
    >>> float(polyloss.huber(np.asarray([3.0]), np.asarray([0.0]), delta=2.0))
    4.0
    """
    error = prediction - target
    slope = xp.clip(error, -delta, delta)
    return slope * (error - 0.5 * slope), lambda: slope, lambda: -slope


@elementwise(tasks=["regression"])
def l1(xp: Namespace, prediction: Array, target: Array, **call: Unpack[Call]) -> Pair:
    r"""Absolute error."""
    error = prediction - target
    return xp.abs(error), lambda: xp.sign(error), lambda: -xp.sign(error)
