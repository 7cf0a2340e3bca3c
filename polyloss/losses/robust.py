"""Losses that bound the influence of outliers."""

from typing import Unpack

from polyloss.core.declare import elementwise
from polyloss.core.domains import POSITIVE, named
from polyloss.core.typing import Array, Call, KernelResult, Namespace

__all__ = ["tukey_biweight"]


def _median(xp: Namespace, values: Array, mask: Array) -> Array:
    """The median of the values where the mask holds."""
    ordered = xp.sort(xp.where(mask, values, xp.max(values)))
    if not values.shape[0]:
        # Nothing can be taken where there is none, and while tracing that may be unknown.
        ordered = xp.concat([ordered, xp.reshape(xp.sum(ordered), (1,))])
    count = xp.sum(xp.astype(mask, xp.int32), dtype=xp.int32)
    last = xp.where(count > 0, count - 1, 0)
    middle = xp.take(ordered, xp.stack([last // 2, last - last // 2]), axis=0)
    return 0.5 * middle[0] + 0.5 * middle[1]


def _median_deviation(xp: Namespace, prediction: Array, target: Array, mask: Array | None) -> Array:
    """1.4826 times the median absolute deviation of the residuals; as good as 0, but positive, where that is 0."""
    residual = prediction - target
    counted = xp.ones_like(residual, dtype=xp.bool) if mask is None else xp.broadcast_to(mask, residual.shape)
    residual, counted = xp.reshape(residual, (-1,)), xp.reshape(counted, (-1,))
    center = _median(xp, residual, counted)
    deviation = _median(xp, xp.abs(residual - center), counted)
    nothing = 2.0**20 * float(xp.finfo(residual.dtype).smallest_normal)
    return xp.where(deviation == 0, nothing, 1.4826 * deviation)


@elementwise(tasks=["regression", "outliers"], c=POSITIVE, scale=named(POSITIVE, mad=_median_deviation))
def tukey_biweight(
    xp: Namespace,
    prediction: Array,
    target: Array,
    *,
    c: float | Array = 4.685,
    scale: float | str = 1.0,
    **call: Unpack[Call],
) -> KernelResult:
    r"""Tukey's biweight loss: half the squared error near 0, constant far out, so that outliers have no influence.

    .. math::
        \ell = \begin{cases}
            \frac{c^2}{6} \left( 1 - \left( 1 - u^2 \right)^3 \right) & |u| < 1 \\
            \frac{c^2}{6} & |u| \ge 1
        \end{cases}
        \qquad u = \frac{x - t}{c \, s}

    The gradient is 0 wherever :math:`|x - t| \ge c \, s`. With :math:`s = 1` that may be everywhere at the start of a
    training: the default `c` supposes residuals of unit deviation, so scale them, by a known :math:`s` or by the data.

    A. E. Beaton and J. W. Tukey, "The fitting of power series, meaning polynomials, illustrated on band-spectroscopic
    data", Technometrics 16, 1974. Scaled by the median deviation: V. Belagiannis et al., "Robust optimization for deep
    regression", ICCV 2015.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape.
    target : array
        :math:`t`, of the shape of `prediction`.
    c : float or array, default 4.685
        :math:`c`, in deviations. The default is 95 % efficient for normal residuals. An array matches the
        trailing axes.
    scale : float, array or "mad", default 1.0
        :math:`s`, the deviation of the residuals. ``"mad"`` is 1.4826 times the median absolute deviation
        :math:`\operatorname{median} |r - \operatorname{median} r|` of all unmasked residuals :math:`r` in the call: a
        constant for the gradient. Where it is 0 (a single example, or more than half of the residuals are equal)
        the loss is the limit: 0 at a residual of 0 and :math:`c^2 / 6`, without a gradient, at any other.

    See Also
    --------
    huber : convex, outliers keep a bounded influence.

    Notes
    -----
    No framework has it. ``statsmodels.robust.norms.TukeyBiweight`` has this value. Other code leaves the factor
    :math:`c^2 / 6` out. No example has a loss above that.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> prediction, target = np.asarray([0.5, 100.0]), np.asarray([0.0, 0.0])
    >>> polyloss.tukey_biweight(prediction, target, c=1.0, reduction="none").tolist()
    [0.09635416666666666, 0.16666666666666666]
    """
    residual = prediction - target
    deviation: Array = scale
    outside = xp.abs(residual) >= c * deviation
    inside = xp.where(outside, 0.0, residual) / deviation
    u = inside / c
    v = u * u

    def slope() -> Array:
        rest = 1.0 - v
        # Not divided twice in a row: XLA would divide by the square, which may vanish.
        return inside * (rest * rest) / deviation

    # Not c^2 / 6 times what is left of it, which would vanish before the square of the residual does.
    near = inside * (inside / 6.0) * (3.0 + v * (v - 3.0))
    by_parameter = {
        "c": lambda: xp.where(outside, c / 3.0, inside * u * v * (1.0 - v * (2.0 / 3.0))),
        "scale": lambda: -inside * slope(),
    }
    return xp.where(outside, c * (c / 6.0), near), slope, lambda: -slope(), by_parameter
