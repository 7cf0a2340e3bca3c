"""The examples of docs/custom.md, copied by ``pytest tests/test_docs.py --update-docs``."""
# ruff: noqa
# fmt: off
# pyright: reportDuplicateImport=false

from typing import Unpack

import numpy as np
import polyloss
from polyloss.adapters import Array, Namespace, KernelResult


@polyloss.elementwise(scale=polyloss.POSITIVE)
def cauchy(
    xp: Namespace,
    prediction: Array,
    target: Array,
    *,
    scale: float | Array = 1.0,
    **call: Unpack[polyloss.Call],
) -> KernelResult:
    """Cauchy's robust loss: log(1 + (r / scale)**2)."""
    ratio = (prediction - target) / scale
    slope = 2.0 * ratio / (1.0 + ratio * ratio) / scale
    return xp.log1p(ratio * ratio), lambda: slope, lambda: -slope


prediction, target = np.asarray([1.0, 2.0, 9.0]), np.zeros(3)
value, gradient = polyloss.value_and_grad(cauchy)(
    prediction, target, scale=2.0, where=prediction < 5
)
robust = 0.5 * cauchy + 0.5 * polyloss.mse

from typing import Unpack

import numpy as np
import polyloss
from polyloss.adapters import Array, Namespace, KernelResult


@polyloss.rowwise(target=polyloss.CLASSES)
def brier(
    xp: Namespace, probabilities: Array, target: Array, **call: Unpack[polyloss.RowCall]
) -> KernelResult:
    """Squared distance of predicted probabilities to the class."""
    if xp.isdtype(target.dtype, "integral"):
        classes = xp.arange(probabilities.shape[-1], dtype=target.dtype)
        target = xp.astype(target[..., None] == classes, probabilities.dtype)
    error = probabilities - target
    return xp.sum(error * error, axis=-1), lambda: 2.0 * error


brier(np.asarray([[0.5, 0.5], [0.25, 0.75]]), np.asarray([0, 1]))

from typing import Unpack

import numpy as np
import polyloss
from polyloss.adapters import Array, Namespace, KernelResult


@polyloss.rowwise(gap=polyloss.Domain(low=0, per_example=True))
def ranked_triplet(
    xp: Namespace,
    anchor: Array,
    near: Array,
    far: Array,
    gap: Array,
    **call: Unpack[polyloss.RowCall],
) -> KernelResult:
    """How much less than a gap of its own a row has between two squared distances."""
    to_near, to_far = anchor - near, anchor - far
    excess = xp.sum(to_near * to_near, axis=-1) - xp.sum(to_far * to_far, axis=-1) + gap
    counts = xp.astype(excess > 0, anchor.dtype)
    twice = 2.0 * counts[..., None]
    by_anchor, by_near, by_far = (
        (lambda: twice * (far - near)),
        (lambda: -twice * to_near),
        (lambda: twice * to_far),
    )
    return counts * excess, by_anchor, by_near, by_far, lambda: counts


anchor, near, far = (
    np.zeros((2, 2)),
    np.asarray([[1.0, 0.0], [0.0, 1.0]]),
    np.asarray([[1.0, 1.0], [0.0, 3.0]]),
)
value, gradients = polyloss.value_and_grad(ranked_triplet, argnums=(0, 3))(
    anchor, near, far, np.asarray([2.0, 0.5])
)

from typing import Unpack

import numpy as np
import polyloss
from polyloss.adapters import Array, Namespace, KernelResult


@polyloss.rowwise(known=polyloss.UNIT)
def known_mse(
    xp: Namespace,
    prediction: Array,
    target: Array,
    known: Array,
    **call: Unpack[polyloss.RowCall],
) -> KernelResult:
    """Mean squared error of the known entries of a row; 0 where there are none."""
    error = xp.where(known > 0, prediction - target, 0.0)
    count = xp.sum(known, axis=-1)
    share = known / xp.where(count > 0, count, 1.0)[..., None]
    slope = 2.0 * share * error
    return xp.sum(share * error * error, axis=-1), lambda: slope, lambda: -slope


prediction, target = (
    np.asarray([[1.0, 2.0], [3.0, 4.0]]),
    np.asarray([[0.0, np.nan], [np.nan, np.nan]]),
)
value, gradient = polyloss.value_and_grad(known_mse)(
    prediction, target, 1.0 - np.isnan(target)
)
assert value == 0.5 and gradient.tolist() == [[1.0, 0.0], [0.0, 0.0]]
# 1: the second row is no example.
known_mse(prediction, target, 1.0 - np.isnan(target), where=np.asarray([True, False]))

from typing import Unpack

import numpy as np
import polyloss
from polyloss.adapters import Array, Namespace, KernelResult


@polyloss.elementwise(scale=polyloss.POSITIVE)
def scaled_l1(
    xp: Namespace,
    prediction: Array,
    target: Array,
    *,
    scale: float | Array = 1.0,
    **call: Unpack[polyloss.Call],
) -> KernelResult:
    """Absolute error in units of a scale, and the price of a large one."""
    error = prediction - target
    slope = xp.sign(error) / scale
    by_scale = {"scale": lambda: 1.0 / scale - xp.abs(error) / (scale * scale)}
    return (
        xp.abs(error) / scale + xp.log(scale),
        lambda: slope,
        lambda: -slope,
        by_scale,
    )


x, y = np.asarray([1.0, 4.0]), np.zeros(2)
value, slope = polyloss.value_and_grad(scaled_l1, argnums="scale")(
    x, y, scale=np.asarray(2.0)
)

# The scale that is best is the mean of the errors.
scale = np.asarray(2.0)
for _ in range(100):
    value, slope = polyloss.value_and_grad(scaled_l1, argnums="scale")(
        x, y, scale=scale
    )
    scale = scale - slope
assert np.isclose(scale, 2.5)

from typing import Unpack

import numpy as np
import polyloss
from polyloss.adapters import Array, Namespace


@polyloss.elementwise(autodiff=True)
def quartic(
    xp: Namespace, prediction: Array, target: Array, **call: Unpack[polyloss.Call]
) -> Array:
    """Fourth power of the error."""
    return (prediction - target) ** 4


quartic(np.asarray([2.0]), np.asarray([0.0]))

import numpy as np
import polyloss

x, y = np.asarray([1.0, -2.0]), np.asarray([0.0, 0.5])
elastic = 0.7 * polyloss.mse + 0.3 * polyloss.l1
elastic(x, y, reduction="sum")
wide = polyloss.huber.partial(delta=10.0)

import numpy as np

CASES = {
    "cauchy": [((np.asarray([0.5, -2.0]), np.asarray([0.0, 1.0])), {"scale": 2.0})]
}
