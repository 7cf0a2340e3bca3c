"""Gradient and compiler of whichever framework the arrays belong to."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from . import _checks as checks
from ._backend import find_backend
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
        If the arrays have no automatic differentiation and `function` has no closed form.
    ValueError
        If the value is not a scalar.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> value, gradient = polyloss.value_and_grad(polyloss.mse)(np.asarray([3.0, 0.0]), np.asarray([1.0, 0.0]))
    >>> float(value), gradient.tolist()
    (2.0, [2.0, 0.0])
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    name = getattr(function, "__name__", repr(function))

    @functools.wraps(function, updated=())
    def differentiated(*arguments: Any, **keywords: Any) -> Any:
        positions = tuple(number % len(arguments) if -len(arguments) <= number < 0 else number for number in numbers)
        if not positions or max(positions) >= len(arguments):
            raise ValueError(
                f"{name}: argnums must name positional arguments, got {argnums} with {len(arguments)} of them"
            )
        backend = checks.common_backend(name, {f"argument {i}": arguments[i] for i in positions})
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
    name = getattr(function, "__name__", repr(function))

    @functools.wraps(function, updated=())
    def run(*arguments: Any, **keywords: Any) -> Any:
        arrays = {f"argument {i}": a for i, a in enumerate(arguments) if find_backend(type(a))}
        backend = checks.common_backend(name, arrays)
        if backend.name not in compiled:
            compiled[backend.name] = backend.compile(function)
        return compiled[backend.name](*arguments, **keywords)

    return run
