"""Gradient and compiler of whichever framework the arrays belong to."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, ParamSpec, TypeVar

from . import checks, words
from .backend import Backend, at_trace_time, find_backend, without_scalars
from .kernel import Definition
from .typing import Array

P = ParamSpec("P")
T = TypeVar("T")


def of_a_function(transform: Callable[P, T]) -> Callable[P, T]:
    """`transform`, with an answer to arguments that it does not take."""
    names = tuple(inspect.signature(transform).parameters)

    @functools.wraps(transform)
    def run(*arguments: P.args, **keywords: P.kwargs) -> T:
        for key in keywords:
            if key not in names:
                raise words.unknown_keyword(transform.__name__, key, (), names)
        if len(arguments) > len(names):
            raise TypeError(
                f"{transform.__name__}: takes {' and '.join(names)}, got {len(arguments)} arguments; "
                f"{_arrays_later(transform.__name__)}"
            )
        return transform(*arguments, **keywords)

    return run


def _arrays_later(transform: str) -> str:
    return f"arrays come with the call of what it returns, as in {transform}(polyloss.mse)(prediction, target)"


@of_a_function
def value_and_grad(function: Callable[..., Array], argnums: int | str | Sequence[int | str] = 0) -> Callable[..., Any]:
    """A function that returns the value of `function` and its gradient, on every framework.

    PyTorch, JAX, TensorFlow and MLX differentiate any function of theirs. NumPy and other arrays without automatic
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
    chosen arguments gets a gradient. Inside `torch.func` transforms, `torch.compile`, the transforms of JAX and MLX and
    a `tf.GradientTape` they are differentiable.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> value, gradient = polyloss.value_and_grad(polyloss.mse)(np.asarray([3.0, 0.0]), np.asarray([1.0, 0.0]))
    >>> float(value), gradient.tolist()
    (2.0, [2.0, 0.0])
    """
    _check_function("value_and_grad", function)
    return ValueAndGrad(function, argnums)


@of_a_function
def compile(function: Callable[..., Array]) -> Callable[..., Array]:
    """`function` behind the compiler of whichever framework its arrays belong to.

    ``torch.compile(fullgraph=True)``, ``jax.jit``, ``tf.function(jit_compile=True)``, ``mx.compile``; NumPy has none
    and runs `function` itself.

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

    @functools.wraps(function, updated=())
    def run(*arguments: Any, **keywords: Any) -> Any:
        backend = _backend(function, *without_scalars(arguments, keywords))
        if backend.name not in compiled:
            compiled[backend.name] = backend.compile(function)
        return compiled[backend.name](*arguments, **keywords)

    return run


class ValueAndGrad:
    """What `value_and_grad` returns: an object and no closure, so that it can be pickled if its function can."""

    autograph_info__: ClassVar[dict[str, object]] = {}
    """By this name TensorFlow's AutoGraph knows not to rewrite it."""

    def __init__(self, function: Callable[..., Array], argnums: int | str | Sequence[int | str]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        several = isinstance(argnums, Iterable) and not isinstance(argnums, str)
        self._single = not several
        self._places: tuple[int | str, ...] = tuple(map(_plain, argnums if several else (argnums,)))  # type: ignore[arg-type]
        for place in self._places:
            if isinstance(place, bool) or not isinstance(place, (int, str)):
                hint = f"; {_arrays_later('value_and_grad')}" if find_backend(type(argnums)) is not None else ""
                raise TypeError(
                    f"{_name(function)}: argnums must be the number or the name of an argument, or a sequence of "
                    f"these, got {checks.describe(argnums if hint else place)}{hint}"
                )

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The value and the gradient, or the gradients."""
        function, name = self.function, _name(self.function)
        if not self._places:
            raise ValueError(f"{name}: argnums must name an argument or more, got ()")
        places = [self.find(place, len(arguments), keywords) for place in self._places]
        plain, by_name = without_scalars(arguments, keywords)
        backend = _backend(function, plain, by_name)
        if backend.name != "numpy":
            # Among arrays of its own, a scalar of NumPy has a gradient as they have.
            arguments, keywords = plain, by_name
        named = tuple(dict.fromkeys(place for place in places if isinstance(place, str)))
        count = len(arguments)
        positions = [count + named.index(place) if isinstance(place, str) else place for place in places]
        called = _keywords_last(function, count, named) if named else function
        arguments += tuple(keywords.pop(key) for key in named)
        for place, position in zip(places, positions, strict=True):
            shown = place if isinstance(place, str) else _shown(function, place)
            _check_differentiable(name, shown, backend, arguments[position], arguments)
        value, gradients = backend.value_and_grad(called, positions)(*arguments, **keywords)
        return value, gradients[0] if self._single else gradients

    def find(self, place: int | str, count: int, keywords: dict[str, Any]) -> int | str:
        """Where an argument of the call is: the position, or the name, that it came by. An array of a loss has both."""
        arrays: tuple[str, ...] = tuple(getattr(self.function, "arrays", ()))
        if isinstance(place, str) and place in arrays[:count]:
            return arrays.index(place)
        if isinstance(place, int) and count <= place < len(arrays) and arrays[place] in keywords:
            return arrays[place]
        if place in keywords:
            return place
        if isinstance(place, int) and -count <= place < count:
            return place % count
        came = (*(_shown(self.function, number) for number in range(count)), *keywords)
        names = (*arrays, *(self.function.parameters if isinstance(self.function, Definition) else ()))
        raise ValueError(_no_argument(_name(self.function), place, came, names))


def _check_function(name: str, function: Any) -> None:
    if isinstance(function, type):
        raise TypeError(f"{name}: expected a function, got the class {function.__name__}; make an object of it first")
    if not callable(function):
        raise TypeError(
            f"{name}: expected a function, such as a loss, got {checks.describe(function)}; {_arrays_later(name)}"
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


@at_trace_time
def _no_argument(name: str, place: int | str, came: tuple[str, ...], names: tuple[str, ...]) -> str:
    """The message for a `place` that is none of the arguments that `came`, of a function that takes `names`."""
    message = f"{name}: argnums={place!r} is none of the arguments of this call: {', '.join(came) or 'it has none'}"
    if isinstance(place, int):
        keyword = next((key for key in came if not key.startswith("argument ") and key not in names), None)
        return message if keyword is None else f"{message}; a keyword goes by its name, as in argnums={keyword!r}"
    if place in names:
        return f"{message}; pass {place}=... as an array"
    near = difflib.get_close_matches(place, dict.fromkeys((*came, *names)), n=1)
    return f"{message}; did you mean {near[0]!r}?" if near else message


def _backend(function: Callable[..., Array], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Backend:
    """The one backend of all arrays among the arguments; where none is one, the error says so."""
    named = {_shown(function, number): value for number, value in enumerate(arguments)} | keywords
    # A function that a framework made counts as one of its classes.
    arrays = {
        key: value for key, value in named.items() if find_backend(type(value)) is not None and not callable(value)
    }
    return checks.common_backend(_name(function), arrays or named)


def _shown(function: Callable[..., Array], position: int) -> str:
    """What a positional argument is called: an array of a loss by its name."""
    arrays = getattr(function, "arrays", ())
    return arrays[position] if position < len(arrays) else f"argument {position}"


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


def _check_differentiable(name: str, argument: str, backend: Backend, array: Any, others: Sequence[Any]) -> None:
    if find_backend(type(array)) is None:
        number = isinstance(array, (int, float)) and not isinstance(array, bool)
        error = checks.no_array(name, argument, array, others, "an array to have a gradient")
        raise TypeError(f"{error.args[0]}; make it one: {backend.constructor}({float(array)})") if number else error
    xp = backend.namespace(array)
    ids = ", unless it holds class ids: they have no gradient; give probabilities instead, or other argnums"
    checks.real_floating(name, argument, xp, array, why=" to have a gradient", unless=ids)


def by_place(given: Mapping[int | str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that come by their position, in order, and those that come by their name."""
    arguments = [value for place, value in given.items() if isinstance(place, int)]
    return arguments, {place: value for place, value in given.items() if isinstance(place, str)}


def of_arrays(
    function: Callable[..., T], names: Sequence[int | str], fixed: Mapping[int | str, Any]
) -> Callable[[Sequence[Any]], T]:
    """`function` of those of its arguments that are not `fixed`; `names` are the places of all."""

    def call(arrays: Sequence[Any]) -> T:
        given = iter(arrays)
        arguments, keywords = by_place({place: fixed[place] if place in fixed else next(given) for place in names})
        return function(*arguments, **keywords)

    return call


def _plain(place: Any) -> Any:
    """A whole number of NumPy as one of Python."""
    return int(place) if isinstance(place, Integral) and not isinstance(place, bool) else place


def _name(function: Callable[..., Array]) -> str:
    return getattr(function, "__name__", type(function).__name__)
