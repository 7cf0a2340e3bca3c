"""Second derivatives of losses, on every framework and where there is no automatic differentiation.

Of an elementwise or a row-wise loss, the product of the Hessian with a vector is the gradient of another loss: see
`polyloss_autodiff.Along`. Of one whose examples see each other, the whole call runs on arrays that carry derivatives.
"""

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, ParamSpec, TypeVar

import numpy as np

from .core import checks, docstrings
from .core.arguments import EXAMPLES
from .core.backend import find_backend, unwrapped
from .core.compose import LossSum
from .core.domains import REAL
from .core.entries import positions
from .core.loss import Loss
from .core.transforms import ValueAndGrad, by_place, of_a_function, value_and_grad
from .core.typing import Array

__all__ = ["curvature", "curvature_bound", "hessian", "hessian_product"]

P = ParamSpec("P")
T = TypeVar("T")
Place = int | str
Transformed = Callable[..., tuple[Array, Array, Array]]


_SHARED = {
    "Parameters": """\
function : callable
    A loss, or a sum of losses, reduced to a scalar.
argnums : int or str, default 0
    The argument to differentiate with respect to: a position, or the name of a parameter.""",
    "Raises": """\
TypeError
    If `function` is no loss, or that argument no array of real floating numbers.
ValueError
    If the value is not a scalar.""",
}
"""What the docstrings of all have in common."""


def _of_a_loss(transform: Callable[P, T]) -> Callable[P, T]:
    """`transform`, with the docstring that it has in full, and an answer to arguments that it does not take."""
    if transform.__doc__ is not None:
        transform.__doc__ = docstrings.joined(_SHARED | dict(docstrings.split(inspect.cleandoc(transform.__doc__))))
    return of_a_function(transform)


@_of_a_loss
def curvature(function: Callable[..., Array], argnums: Place = 0) -> Transformed:
    r"""A function that returns the value of a loss, its gradient, and the diagonal of its Hessian.

    .. math:: c_i = \frac{\partial^2 f}{\partial x_i^2}

    Returns
    -------
    callable
        Takes the arguments of `function`; returns ``(value, gradient, curvature)``, the last two of the shape and the
        dtype of that argument. All are constants: nothing is differentiated through them.

    See Also
    --------
    curvature_bound : what is never below it.
    hessian : with what classes of a row have in common.
    hessian_product

    Notes
    -----
    It is the derivative of the closed-form gradient. Where another class than the target has nearly all of the
    probability, what is smaller than eps times the gradient is lost. What a gradient takes for a constant, as `circle`
    its weights, is one here too. At a kink it is not outside of those on its two sides: 0 for `l1`.

    Of an elementwise loss it is found as one more gradient is, of a row-wise one as many as a row has entries; a loss
    whose examples see each other needs an evaluation on whole arrays for each element of the array.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits, target = np.asarray([0.0, 2.0]), np.asarray([1.0, 0.0])
    >>> loss = polyloss.binary_cross_entropy_with_logits
    >>> value, gradient, curvature = polyloss.curvature(loss)(logits, target, reduction="sum")
    >>> gradient.round(4), curvature.round(4)
    (array([-0.5   ,  0.8808]), array([0.25 , 0.105]))
    """
    return _Curvature("curvature", function, argnums)


@_of_a_loss
def curvature_bound(function: Callable[..., Array], argnums: Place = 0) -> Transformed:
    r"""A function that returns the value of a loss, its gradient, and an upper bound of its curvature by each entry.

    .. math:: b_i = \sum_j \left| \frac{\partial^2 f}{\partial x_i\, \partial x_j} \right|

    The sums of the rows of the Hessian, all positive. A diagonal matrix of these is at least the Hessian (Gershgorin),
    so a step that divides by them does not overshoot where each entry is taken by itself, as gradient boosting does.
    For `cross_entropy` of class ids it is :math:`2 p_c (1 - p_c)`, for an elementwise loss the absolute curvature.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns ``(value, gradient, bound)``, the last two of the shape and the
        dtype of that argument. All are constants: nothing is differentiated through them.

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
    return _Bound("curvature_bound", function, argnums)


@_of_a_loss
def hessian(function: Callable[..., Array], argnums: Place = 0) -> Transformed:
    r"""A function that returns the value of a loss, its gradient, and the matrix of second derivatives of each row.

    .. math:: H_{ij} = \frac{\partial^2 f}{\partial x_i\, \partial x_j}

    Returns
    -------
    callable
        Takes the arguments of `function`; returns ``(value, gradient, matrix)``. The matrix has the axes of the
        examples, and then two of the length of a row: ``(N, C, C)`` for logits of shape ``(N, C)``, also where the
        classes are along another axis. It is ``(N, 1, 1)`` of an elementwise loss, and ``(M, M)`` of all `M` elements
        where examples see each other. All are constants: nothing is differentiated through them.

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
    return _Hessian("hessian", function, argnums)


@_of_a_loss
def hessian_product(function: Callable[..., Array], argnums: Place = 0) -> Callable[..., Array]:
    r"""A function that returns the product of the Hessian of a loss with a vector.

    .. math:: (H v)_i = \sum_j \frac{\partial^2 f}{\partial x_i\, \partial x_j}\, v_j

    Returns
    -------
    callable
        Takes the vector, of the shape of that argument, and then the arguments of `function`; returns the product.
        It is found in one pass, whatever the loss.

    Raises
    ------
    TypeError
        If `function` is no loss, or that argument no array of real floating numbers.
    ValueError
        If the value is not a scalar, or the vector is not of its shape.

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
    return _Product("hessian_product", function, argnums)


class _Transform:
    """A function of the arguments of a loss: an object and no closure, so that it can be pickled if the loss can."""

    autograph_info__: ClassVar[dict[str, object]] = {}
    """By this name TensorFlow's AutoGraph knows not to rewrite it."""

    def __init__(self, name: str, function: Any, argnums: Place) -> None:
        if not hasattr(function, "closed_form") or isinstance(function, type):
            raise TypeError(f"{name}: expected a loss or a sum of losses, got {checks.describe(function)}")
        if isinstance(argnums, bool) or not isinstance(argnums, (int, str)):
            raise TypeError(f"{name}: argnums must be the number or the name of one argument, got {argnums!r}")
        functools.update_wrapper(self, function, updated=())  # type: ignore[arg-type]
        self.name, self.function, self.argnums = name, function, argnums


class _Curvature(_Transform):
    def __call__(self, *arguments: Any, **keywords: Any) -> tuple[Array, Array, Array]:
        call = _Call(self, arguments, keywords)
        parts = (change if unit is None else call.xp.where(unit, change, 0.0) for unit, change in call.columns())
        return call.value, call.gradient, call.total(parts)


class _Bound(_Transform):
    def __call__(self, *arguments: Any, **keywords: Any) -> tuple[Array, Array, Array]:
        call = _Call(self, arguments, keywords)
        return call.value, call.gradient, call.total(call.xp.abs(change) for _, change in call.columns())


class _Hessian(_Transform):
    def __call__(self, *arguments: Any, **keywords: Any) -> tuple[Array, Array, Array]:
        call = _Call(self, arguments, keywords)
        columns = [call.as_row(change) for _, change in call.columns()]
        if columns:
            return call.value, call.gradient, call.xp.stack(columns, axis=-1)
        row = call.as_row(call.gradient)
        return call.value, call.gradient, call.xp.broadcast_to(row[..., None], (*row.shape, 0))


class _Product(_Transform):
    def __call__(self, vector: Array, /, *arguments: Any, **keywords: Any) -> Array:
        call = _Call(self, arguments, keywords)
        vector, shape = unwrapped(vector), tuple(call.array.shape)
        checks.common_backend(self.name, {"vector": vector, "the argument": call.array})
        checks.real_floating(self.name, "vector", call.xp, vector)
        checks.shape_is(self.name, "vector", tuple(vector.shape), shape, "the shape of the argument,")
        return call.change(call.xp.astype(vector, call.array.dtype))


class _Call:
    """A call of a loss, with its gradient."""

    def __init__(self, transform: _Transform, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        function = transform.function
        gradient = ValueAndGrad(function, transform.argnums)
        # Whatever is wrong with the arguments, this says it.
        value, slope = gradient(*arguments, **keywords)
        place = gradient.find(transform.argnums, len(arguments), keywords)
        for name in function.arrays[len(arguments) :]:
            if name in keywords:
                place = len(arguments) if place == name else place
                arguments += (keywords.pop(name),)
        given = arguments[place] if isinstance(place, int) else keywords[place]
        self.backend = checks.common_backend(transform.name, {"the argument": unwrapped(given)})
        stop = self.backend.stop_gradient
        self.value, self.gradient = stop(value), stop(slope)
        self.array = stop(self.backend.asarray(unwrapped(given), None))
        self.xp: Any = self.backend.namespace(self.array)
        self.axes = _axes(function, place, arguments, keywords, self.array.ndim)
        self._function, self._place, self._arguments, self._keywords = function, place, arguments, keywords
        self._along = _along(function, place)

    def change(self, direction: Array) -> Array:
        """That of the gradient, where the argument moves in a direction."""
        # Infinity is a value like any other.
        with np.errstate(all="ignore"):
            return self.backend.stop_gradient(self._change(direction))

    def _change(self, direction: Array) -> Array:
        if self._along is not None:
            # A constant of its own: a tape would take it for the argument, if it is the same array.
            moves = self.backend.stop_gradient(direction)
            return value_and_grad(self._along, self._place)(*self._arguments, moves, **self._keywords)[1]
        from polyloss_autodiff import Dual

        function, constants = self._lifted
        arguments, keywords = by_place(constants | {self._place: Dual(self.array, direction)})
        _, found = function(*arguments, **keywords)
        return self.xp.zeros_like(self.array) if found.tangent is None else found.tangent

    @functools.cached_property
    def _lifted(self) -> tuple[Any, dict[Place, Any]]:
        """The function that finds the gradient of arrays that carry derivatives, and all arguments as such."""
        given: dict[Place, Any] = dict(enumerate(self._arguments)) | self._keywords
        return value_and_grad(_lifted_loss(self._function), self._place), {
            place: _lifted(value) for place, value in given.items()
        }

    def columns(self) -> Iterator[tuple[Array | None, Array]]:
        """The changes of the gradient by each entry of all rows, and where that entry is."""
        x, xp = self.array, self.xp
        if not self.axes:
            yield None, self.change(xp.ones_like(x))
            return
        lengths = [int(x.shape[axis]) for axis in self.axes]
        for index in itertools.product(*map(range, lengths)):
            unit = None
            for axis, length, place in zip(self.axes, lengths, index, strict=True):
                here = xp.reshape(positions(xp, x, axis, xp.int32) == place, (length, *(1,) * (x.ndim - 1 - axis)))
                unit = here if unit is None else unit & here
            yield unit, self.change(xp.where(unit, xp.ones_like(x), xp.zeros_like(x)))

    def total(self, parts: Iterator[Array]) -> Array:
        """The sum of some arrays like the argument."""
        total = next(parts, None)
        return self.xp.zeros_like(self.array) if total is None else functools.reduce(lambda x, y: x + y, parts, total)

    def as_row(self, array: Array) -> Array:
        """An array like the argument, the entries of a row along its last axis."""
        shape = tuple(array.shape)
        if self.axes:
            array = self.xp.moveaxis(array, self.axes, tuple(range(-len(self.axes), 0)))
        kept = [length for axis, length in enumerate(shape) if axis not in self.axes]
        return self.xp.reshape(array, (*kept, math.prod(int(shape[axis]) for axis in self.axes)))


def _axes(
    function: Any, place: Place, arguments: tuple[Any, ...], keywords: dict[str, Any], ndim: int
) -> tuple[int, ...]:
    """The axes along which entries have second derivatives in common: none of an elementwise loss."""
    if isinstance(function, LossSum):
        of_terms = [_axes(loss, place, arguments, keywords, ndim) for _, loss in function.terms]
        return tuple(sorted({axis for axes in of_terms for axis in axes}))
    if isinstance(place, int) and _is_of_each(function):
        call = function.bind(arguments, keywords)
        name = function.arrays[place]
        count = len(call.plan.losses_shape(call.named))
        axes = call.plan.axes(function.arguments[name], call.named[name], count)
        return tuple(number for number, axis in enumerate(axes) if axis[0] != EXAMPLES)
    return tuple(range(ndim))


def _along(function: Any, place: Place) -> Any:
    """A loss of the same arrays and a direction, whose gradient by the array at `place` is the change of that of
    `function`. None where examples share more than parameters."""
    if isinstance(function, LossSum):
        terms = [(factor, _along(loss, place)) for factor, loss in function.terms]
        return None if any(loss is None for _, loss in terms) else LossSum(terms)
    if isinstance(place, int) and _is_of_each(function):
        return _along_direction(function, place)
    return None


def _is_of_each(function: Any) -> bool:
    """Whether it is a loss whose examples share nothing but parameters."""
    return isinstance(function, Loss) and function.fuse is None and function.group_of is None


@functools.lru_cache(maxsize=256)
def _along_direction(loss: Any, place: int) -> Any:
    """`_along` of a loss, made once: it remembers its calls as any other."""
    from polyloss_autodiff import Along

    if loss.origin is not loss:
        return _along_direction(loss.origin, place).partial(**loss.fixed)
    found, direction = loss._same(), f"direction of {loss.arrays[place]}"
    found.kernel = Along(loss.kernel, place)
    found.autodiff, found.origin = False, found
    found.arrays = (*loss.arrays, direction)
    moves = replace(loss.arguments[loss.arrays[place]], name=direction, domain=REAL)
    found.arguments = {**loss.arguments, direction: moves}
    found.domains = {
        name: replace(domain, named={key: _without_direction(named) for key, named in domain.named.items()})
        if domain.named
        else domain
        for name, domain in loss.domains.items()
    }
    found._forget()
    return found


def _without_direction(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function of all arrays and a mask, of which the last array is left out."""

    def of_others(xp: Any, *arrays: Any) -> Array:
        *inputs, _, mask = arrays
        return function(xp, *inputs, mask)

    return of_others


def _lifted(value: Any) -> Any:
    """An array as one that carries derivatives, a constant; anything else as it is."""
    from polyloss_autodiff import Dual

    value = unwrapped(value)
    array = hasattr(value, "shape") and not isinstance(value, np.generic) and not callable(value)
    backend = find_backend(type(value)) if array else None
    if backend is None:
        return value
    return Dual(backend.stop_gradient(backend.asarray(value, None)))


def _lifted_loss(function: Any) -> Any:
    """A loss whose parameters are arrays that carry derivatives; any other function as it is."""
    if isinstance(function, LossSum):
        return LossSum([(factor, _lifted_loss(loss)) for factor, loss in function.terms])
    fixed = function.fixed if isinstance(function, Loss) else {}
    arrays = {name: _lifted(value) for name, value in fixed.items() if find_backend(type(value)) is not None}
    return function.partial(**arrays) if arrays else function
