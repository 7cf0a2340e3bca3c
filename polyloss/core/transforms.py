"""Gradient and compiler of whichever framework the arrays belong to."""

import functools
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, ClassVar

from . import checks
from .backend import Backend, find_backend
from .typing import Array


def value_and_grad(function: Callable[..., Array], argnums: int | str | Sequence[int | str] = 0) -> Callable[..., Any]:
    """A function that returns the value of `function` and its gradient, on every framework.

    PyTorch, JAX and TensorFlow differentiate any function of theirs. NumPy and other arrays without automatic
    differentiation have the closed-form gradients of losses and of sums of losses.

    Parameters
    ----------
    function : callable
        A loss, or a function that returns a scalar.
    argnums : int, str, or sequence of these
        Arguments to differentiate with respect to: positional ones by number, keywords by name.

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
    _check_function("value_and_grad", function)
    return _ValueAndGrad(function, argnums)


def compile(function: Callable[..., Array]) -> Callable[..., Array]:
    """`function` behind the compiler of whichever framework its arrays belong to.

    ``torch.compile(fullgraph=True)``, ``jax.jit``, ``tf.function(jit_compile=True)``; NumPy has none and runs
    `function` itself.

    Parameters
    ----------
    function : callable
        A loss, or a function of arrays. What is no array is a constant, but for numbers on JAX that nothing branches
        on; pass those as arrays elsewhere, where they change from call to call.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> float(polyloss.compile(polyloss.l1)(np.asarray([3.0]), np.asarray([1.0])))
    2.0
    """
    _check_function("compile", function)
    compiled: dict[str, Callable[..., Array]] = {}
    name = _name(function)

    @functools.wraps(function, updated=())
    def run(*arguments: Any, **keywords: Any) -> Any:
        backend = checks.common_backend(name, _arrays(arguments, keywords))
        if backend.name not in compiled:
            compiled[backend.name] = backend.compile(function)
        return compiled[backend.name](*arguments, **keywords)

    return run


class _ValueAndGrad:
    """What `value_and_grad` returns: an object and no closure, so that it can be pickled if its function can."""

    autograph_info__: ClassVar[dict[str, object]] = {}
    """By this name TensorFlow's AutoGraph knows not to rewrite it."""

    def __init__(self, function: Callable[..., Array], argnums: int | str | Sequence[int | str]) -> None:
        functools.update_wrapper(self, function, updated=())
        if not isinstance(argnums, (int, str)) and isinstance(argnums, Iterable):
            argnums = tuple(map(_plain, argnums))
        argnums = _plain(argnums)
        for place in argnums if isinstance(argnums, tuple) else (argnums,):
            if isinstance(place, bool) or not isinstance(place, (int, str)):
                raise TypeError(
                    f"{_name(function)}: argnums must be the number or the name of an argument, or a sequence of "
                    f"these, got {checks.describe(place)}"
                )
        self.function = function
        self.argnums = argnums

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The value and the gradient, or the gradients."""
        function, argnums, name = self.function, self.argnums, _name(self.function)
        single = isinstance(argnums, (int, str))
        places: tuple[int | str, ...] = (argnums,) if isinstance(argnums, (int, str)) else tuple(argnums)
        arrays = getattr(function, "arrays", ())
        places = tuple(_as_it_came(place, arrays, len(arguments), keywords) for place in places)
        names = tuple(dict.fromkeys(place for place in places if isinstance(place, str)))
        count = len(arguments)
        hint = f"; a keyword goes by its name, as in argnums={next(iter(keywords))!r}" if keywords else ""
        if not places or not all(isinstance(place, str) or -count <= place < count for place in places):
            raise ValueError(
                f"{name}: argnums must name positional arguments, got {argnums} with {count} of them{hint}"
            )
        for key in names:
            if key not in keywords:
                raise ValueError(f"{name}: argnums must name arguments of the call, got {key!r}")
        positions = [count + names.index(place) if isinstance(place, str) else place % count for place in places]
        backend = checks.common_backend(name, _arrays(arguments, keywords))
        called = _keywords_last(function, count, names) if names else function
        arguments += tuple(keywords.pop(key) for key in names)
        for place, position in zip(places, positions, strict=True):
            shown = place if isinstance(place, str) else f"argument {position}"
            _check_differentiable(name, shown, backend, arguments[position])
        value, gradients = backend.value_and_grad(called, positions)(*arguments, **keywords)
        return value, gradients[0] if single else gradients


def _check_function(name: str, function: Any) -> None:
    if isinstance(function, type):
        raise TypeError(f"{name}: expected a function, got the class {function.__name__}; make an object of it first")
    if not callable(function):
        raise TypeError(
            f"{name}: expected a function, such as a loss, got {checks.describe(function)}; arrays come with the call "
            f"of what it returns, as in {name}(polyloss.mse)(prediction, target)"
        )


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
    # A function that a framework made counts as one of its classes.
    return {
        name: value for name, value in named.items() if find_backend(type(value)) is not None and not callable(value)
    }


def _keywords_last(function: Callable[..., Array], count: int, names: Sequence[str]) -> Callable[..., Array]:
    """`function`, which takes the keywords `names` as arguments behind its `count` positional ones."""

    @functools.wraps(function, updated=())
    def call(*arguments: Any, **keywords: Any) -> Any:
        return function(*arguments[:count], **keywords, **dict(zip(names, arguments[count:], strict=True)))

    closed_form = getattr(function, "closed_form", None)
    if closed_form is not None:

        def by_name(arguments: Sequence[Array], keywords: dict[str, Any], argnums: Sequence[int]) -> Any:
            named = keywords | dict(zip(names, arguments[count:], strict=True))
            return closed_form(arguments[:count], named, [n if n < count else names[n - count] for n in argnums])

        call.closed_form = by_name  # type: ignore[attr-defined]
    return call


def _check_differentiable(name: str, argument: str, backend: Backend, array: Any) -> None:
    if find_backend(type(array)) is None:
        number = isinstance(array, (int, float)) and not isinstance(array, bool)
        hint = f"; make it one: {backend.constructor}({float(array)})" if number else ""
        raise TypeError(f"{name}: {argument} must be an array to have a gradient, got {checks.describe(array)}{hint}")
    xp = backend.namespace(array)
    ids = ", unless it holds class ids: they have no gradient; give probabilities instead, or other argnums"
    checks.real_floating(name, argument, xp, array, why=" to have a gradient", unless=ids)


def _as_it_came(place: int | str, arrays: Sequence[str], count: int, keywords: dict[str, Any]) -> int | str:
    """An array of a loss has a name and a position: the one that it came by."""
    if isinstance(place, str):
        return arrays.index(place) if place in arrays[:count] else place
    return arrays[place] if count <= place < len(arrays) and arrays[place] in keywords else place


def _plain(place: Any) -> Any:
    """A whole number of NumPy as one of Python."""
    return int(place) if isinstance(place, Integral) and not isinstance(place, bool) else place


def _name(function: Callable[..., Array]) -> str:
    return getattr(function, "__name__", type(function).__name__)
