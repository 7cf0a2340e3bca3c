"""Second derivatives of losses, on every framework and where there is no automatic differentiation."""

import itertools
import math
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from .core import checks
from .core.backend import find_backend, unwrapped
from .core.compose import LossSum
from .core.loss import Loss
from .core.transforms import value_and_grad
from .core.typing import Array

__all__ = ["curvature", "curvature_bound", "hessian", "hessian_product"]

Transformed = Callable[..., tuple[Array, Array, Array]]


def curvature(function: Callable[..., Array]) -> Transformed:
    r"""A function that returns the value of a loss, its gradient, and the diagonal of its Hessian.

    .. math:: c_i = \frac{\partial^2 f}{\partial x_i^2}

    Parameters
    ----------
    function : callable
        A loss, or a sum of losses, reduced to a scalar.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns ``(value, gradient, curvature)``, the last two of the shape and the
        dtype of the first array, by which they are. All are constants: nothing is differentiated through them.

    Raises
    ------
    TypeError
        If the first array is not of real floating numbers.
    ValueError
        If the value is not a scalar.

    See Also
    --------
    curvature_bound : what is never below it.
    hessian : with what classes of a row have in common.
    hessian_product

    Notes
    -----
    It is the derivative of the closed-form gradient. Where another class than the target has nearly all of the
    probability, what is smaller than eps times the gradient is lost. What a gradient takes for a constant, as `circle`
    its weights, is one here too. At a kink it is that of the gradient's branch: 0 for `l1`.

    An elementwise loss needs one more evaluation on whole arrays, a row-wise one as many as a row has entries, and a
    loss whose examples see each other one for each element of the array.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits, target = np.asarray([0.0, 2.0]), np.asarray([1.0, 0.0])
    >>> loss = polyloss.binary_cross_entropy_with_logits
    >>> value, gradient, curvature = polyloss.curvature(loss)(logits, target, reduction="sum")
    >>> gradient.round(4), curvature.round(4)
    (array([-0.5   ,  0.8808]), array([0.25 , 0.105]))
    """
    return _Derivative("curvature", function, _diagonal)


def curvature_bound(function: Callable[..., Array]) -> Transformed:
    r"""A function that returns the value of a loss, its gradient, and an upper bound of its curvature by each entry.

    .. math:: b_i = \sum_j \left| \frac{\partial^2 f}{\partial x_i\, \partial x_j} \right|

    The sums of the rows of the Hessian, all positive. A diagonal matrix of these is at least the Hessian (Gershgorin),
    so a step that divides by them does not overshoot where each entry is taken by itself, as gradient boosting does.
    For `cross_entropy` of class ids it is :math:`2 p_c (1 - p_c)`, for an elementwise loss the absolute curvature.

    Parameters
    ----------
    function : callable
        A loss, or a sum of losses, reduced to a scalar.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns ``(value, gradient, bound)``, the last two of the shape and the
        dtype of the first array. All are constants.

    Raises
    ------
    TypeError
        If the first array is not of real floating numbers.
    ValueError
        If the value is not a scalar.

    See Also
    --------
    curvature

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> _, _, bound = polyloss.curvature_bound(polyloss.cross_entropy)(np.asarray([[0.0, 0.0]]), np.asarray([0]))
    >>> bound
    array([[0.5, 0.5]])
    """
    return _Derivative("curvature_bound", function, _sums_of_rows)


def hessian(function: Callable[..., Array]) -> Transformed:
    r"""A function that returns the value of a loss, its gradient, and the matrix of second derivatives of each row.

    .. math:: H_{ij} = \frac{\partial^2 f}{\partial x_i\, \partial x_j}

    Parameters
    ----------
    function : callable
        A loss, or a sum of losses, reduced to a scalar.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns ``(value, gradient, matrix)``. The matrix has the axes of the
        examples, and then two of the length of a row: ``(N, C, C)`` for logits of shape ``(N, C)``, also where the
        classes are along another axis. It is ``(N, 1, 1)`` of an elementwise loss, and ``(M, M)`` of all `M` elements
        where examples see each other. All are constants.

    Raises
    ------
    TypeError
        If the first array is not of real floating numbers.
    ValueError
        If the value is not a scalar.

    See Also
    --------
    curvature : the diagonal.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> _, _, matrix = polyloss.hessian(polyloss.cross_entropy)(np.asarray([[0.0, 0.0]]), np.asarray([0]))
    >>> matrix.tolist()
    [[[0.25, -0.25], [-0.25, 0.25]]]
    """
    return _Derivative("hessian", function, _matrix)


def hessian_product(function: Callable[..., Array]) -> Callable[..., Array]:
    r"""A function that returns the product of the Hessian of a loss with a vector.

    .. math:: (H v)_i = \sum_j \frac{\partial^2 f}{\partial x_i\, \partial x_j}\, v_j

    Parameters
    ----------
    function : callable
        A loss, or a sum of losses, reduced to a scalar.

    Returns
    -------
    callable
        Takes the vector, of the shape of the first array, and then the arguments of `function`; returns the product,
        a constant. It costs one evaluation on whole arrays, whatever the loss.

    Raises
    ------
    TypeError
        If the first array is not of real floating numbers.
    ValueError
        If the value is not a scalar, or the vector is not of the shape of the first array.

    See Also
    --------
    curvature

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> product = polyloss.hessian_product(polyloss.mse)
    >>> product(np.asarray([1.0, -3.0]), np.asarray([0.5, 2.0]), np.zeros(2), reduction="sum")
    array([ 2., -6.])
    """
    return _Product("hessian_product", function)


class _Derivative:
    """What the functions above return: an object and no closure, so that it can be pickled if its function can."""

    def __init__(self, name: str, function: Any, take: Callable[["_Call"], Array]) -> None:
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"{name}: expected a loss or a sum of losses, got {checks.describe(function)}")
        self.name, self.function, self.take = name, function, take

    def __call__(self, *arguments: Any, **keywords: Any) -> tuple[Array, Array, Array]:
        """The value, the gradient, and what is made of second derivatives."""
        call = _Call(self.function, arguments, keywords)
        return call.value, call.gradient, self.take(call)


class _Product(_Derivative):
    def __init__(self, name: str, function: Any) -> None:
        super().__init__(name, function, _diagonal)

    def __call__(self, vector: Array, /, *arguments: Any, **keywords: Any) -> Array:
        """The product of the Hessian with a vector."""
        call, vector = _Call(self.function, arguments, keywords), unwrapped(vector)
        shape = tuple(call.prediction.shape)
        checks.common_backend(self.name, {"vector": vector, "prediction": call.prediction})
        checks.real_floating(self.name, "vector", call.xp, vector)
        checks.shape_is(self.name, "vector", tuple(vector.shape), shape, "the shape of the first array,")
        return call.change(call.backend.stop_gradient(call.xp.astype(vector, call.prediction.dtype)))


def _diagonal(call: "_Call") -> Array:
    total = call.xp.zeros_like(call.prediction)
    for unit, change in call.columns():
        total = total + (change if unit is None else call.xp.where(unit, change, 0.0))
    return total


def _sums_of_rows(call: "_Call") -> Array:
    total = call.xp.zeros_like(call.prediction)
    for _, change in call.columns():
        total = total + call.xp.abs(change)
    return total


def _matrix(call: "_Call") -> Array:
    columns = [call.as_row(change) for _, change in call.columns()]
    if columns:
        return call.xp.stack(columns, axis=-1)
    # Of nothing but empty rows.
    row = call.as_row(call.prediction)
    return row[..., None] + row[..., None, :]


class _Call:
    """A call of a loss, with its gradient."""

    def __init__(self, function: Callable[..., Array], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        value, gradient = value_and_grad(function)(*arguments, **keywords)
        names = getattr(function, "arrays", ())
        if not arguments:
            # The arrays may come by their names.
            arguments = tuple(keywords.pop(name) for name in names if name in keywords)
        self.backend = checks.common_backend("curvature", {"prediction": unwrapped(arguments[0])})
        stop = self.backend.stop_gradient
        self.value, self.gradient = stop(value), stop(gradient)
        self.prediction = stop(self.backend.asarray(unwrapped(arguments[0]), None))
        self.xp: Any = self.backend.namespace(self.prediction)
        self.axes = _row_axes(function, arguments, keywords)
        self._function = value_and_grad(_lifted_loss(function))
        self._others = tuple(map(_lifted, arguments[1:]))
        self._keywords = {name: _lifted(value) for name, value in keywords.items()}

    def change(self, direction: Array) -> Array:
        """That of the gradient, where the prediction moves in a direction."""
        dual = import_module("polyloss_autodiff").Dual
        with np.errstate(all="ignore"):
            # Infinity is a value like any other.
            _, gradient = self._function(dual(self.prediction, direction), *self._others, **self._keywords)
        return self.xp.zeros_like(self.prediction) if gradient.tangent is None else gradient.tangent

    def columns(self) -> Iterator[tuple[Array | None, Array]]:
        """The changes of the gradient by each entry of all rows, and where that entry is."""
        x, xp = self.prediction, self.xp
        if not self.axes:
            yield None, self.change(xp.ones_like(x))
            return
        lengths = [int(x.shape[axis]) for axis in self.axes]
        for index in itertools.product(*map(range, lengths)):
            unit = None
            for axis, length, place in zip(self.axes, lengths, index, strict=True):
                here = xp.arange(length, dtype=xp.int32, device=getattr(x, "device", None) or None) == place
                here = xp.reshape(here, (length, *(1,) * (x.ndim - 1 - axis)))
                unit = here if unit is None else unit & here
            yield unit, self.change(xp.where(unit, xp.ones_like(x), xp.zeros_like(x)))

    def as_row(self, array: Array) -> Array:
        """An array like the prediction, the entries of a row along its last axis."""
        kept = [axis for axis in range(array.ndim) if axis not in self.axes]
        array = self.xp.moveaxis(array, self.axes, tuple(range(-len(self.axes), 0))) if self.axes else array
        length = math.prod(int(self.prediction.shape[axis]) for axis in self.axes)
        return self.xp.reshape(array, (*(array.shape[place] for place in range(len(kept))), length))


def _row_axes(function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[int, ...]:
    """The axes along which entries have second derivatives in common: none of an elementwise loss."""
    ndim = len(unwrapped(arguments[0]).shape)
    if isinstance(function, LossSum):
        axes = {axis for _, loss in function.terms for axis in _row_axes(loss, arguments, keywords)}
    elif isinstance(function, Loss) and function.fuse is None and function.group_of is None:
        axes = {axis % ndim for axis in function.bind(arguments, keywords).plan.axis} if ndim else set()
    else:
        axes = set(range(ndim))
    return tuple(sorted(axes))


def _lifted(value: Any) -> Any:
    """An array as one that carries derivatives, a constant; anything else as it is."""
    value = unwrapped(value)
    array = hasattr(value, "shape") and not isinstance(value, np.generic) and not callable(value)
    backend = find_backend(type(value)) if array else None
    if backend is None:
        return value
    return import_module("polyloss_autodiff").Dual(backend.stop_gradient(backend.asarray(value, None)))


def _lifted_loss(function: Any) -> Any:
    """A loss whose parameters are arrays that carry derivatives; any other function as it is."""
    if isinstance(function, LossSum):
        return LossSum([(factor, _lifted_loss(loss)) for factor, loss in function.terms])
    fixed = function.fixed if isinstance(function, Loss) else {}
    arrays = {name: _lifted(value) for name, value in fixed.items() if find_backend(type(value)) is not None}
    return function.partial(**arrays) if arrays else function
