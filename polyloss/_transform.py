"""Gradient and compiler of whichever framework the arrays belong to."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from . import _checks as checks
from ._backend import Backend, find_backend
from ._typing import Array


def value_and_grad(function: Callable[..., Array], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """A function that returns the value of `function` and its gradient, on every framework.

    PyTorch, JAX and TensorFlow differentiate any function of theirs. NumPy and other arrays without automatic
    differentiation have the closed-form gradients of losses and of sums of losses.

    Parameters
    ----------
    function : callable
        A loss, or a function that returns a scalar.
    argnums : int or sequence of int
        Positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        Takes the arguments of `function`, returns ``(value, gradient)``; a tuple of gradients where `argnums`
        is a sequence.

    Raises
    ------
    TypeError
        If the arrays have no automatic differentiation and `function` has no closed form, or if an argument to
        differentiate with respect to is no array of real floating numbers.
    ValueError
        If the value is not a scalar.

    Notes
    -----
    In eager PyTorch, value and gradients are detached: nothing is differentiated through them, and nothing but the
    chosen arguments gets a gradient. Inside `torch.func` transforms, `torch.compile`, the transforms of JAX and a
    `tf.GradientTape` they are differentiable.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> value, gradient = polyloss.value_and_grad(polyloss.mse)(np.asarray([3.0, 0.0]), np.asarray([1.0, 0.0]))
    >>> float(value), gradient.tolist()
    (2.0, [2.0, 0.0])
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    name = _name(function)

    @functools.wraps(function, updated=())
    def differentiated(*arguments: Any, **keywords: Any) -> Any:
        count = len(arguments)
        if not numbers or not all(-count <= number < count for number in numbers):
            raise ValueError(f"{name}: argnums must name positional arguments, got {argnums} with {count} of them")
        positions = tuple(number % count for number in numbers)
        backend = checks.common_backend(name, _arrays(arguments, keywords))
        for number in positions:
            _check_differentiable(name, number, backend, arguments[number])
        value, gradients = backend.value_and_grad(function, positions)(*arguments, **keywords)
        return value, gradients[0] if isinstance(argnums, int) else gradients

    return differentiated


def compile(function: Callable[..., Array]) -> Callable[..., Array]:
    """`function` behind the compiler of whichever framework its arrays belong to.

    ``torch.compile(fullgraph=True)``, ``jax.jit``, ``tf.function(jit_compile=True)``; NumPy has none and runs
    `function` itself.

    Parameters
    ----------
    function : callable
        A loss, or a function of arrays. Keywords that are not arrays are constants.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> float(polyloss.compile(polyloss.l1)(np.asarray([3.0]), np.asarray([1.0])))
    2.0
    """
    compiled: dict[str, Callable[..., Array]] = {}
    name = _name(function)

    @functools.wraps(function, updated=())
    def run(*arguments: Any, **keywords: Any) -> Any:
        backend = checks.common_backend(name, _arrays(arguments, keywords))
        if backend.name not in compiled:
            compiled[backend.name] = backend.compile(function)
        return compiled[backend.name](*arguments, **keywords)

    return run


def scalar(function: Callable[..., Array]) -> Callable[..., Array]:
    """`function`, with the check that its value is one that has a gradient."""

    def checked(*arguments: Any, **keywords: Any) -> Array:
        value = function(*arguments, **keywords)
        shape = tuple(value.shape)
        if shape:
            raise ValueError(
                f"{_name(function)}: a gradient needs a scalar, got a value of shape {shape}: "
                "reduction must be 'sum' or a mean"
            )
        return value

    return checked


def _arrays(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Array]:
    named = {f"argument {number}": value for number, value in enumerate(arguments)} | keywords
    return {name: value for name, value in named.items() if find_backend(type(value)) is not None}


def _check_differentiable(name: str, number: int, backend: Backend, array: Any) -> None:
    if find_backend(type(array)) is None:
        raise TypeError(f"{name}: argument {number} must be an array to have a gradient, got {checks.describe(array)}")
    if not checks.is_half(array.dtype) and not backend.namespace(array).isdtype(array.dtype, "real floating"):
        raise TypeError(f"{name}: argument {number} must be real floating to have a gradient, got dtype {array.dtype}")


def _name(function: Callable[..., Array]) -> str:
    return getattr(function, "__name__", type(function).__name__)
