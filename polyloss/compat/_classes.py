"""Classes of the functions here: an object is told once what a function is told with every call.

Where its library is installed, the adapter makes a class of the library's own one, so that objects of both are made,
saved and loaded alike.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

from polyloss.core.typing import Array

_ADAPTERS = {"torch": "polyloss_torch", "keras": "polyloss_keras"}
"""Whose module `_twins` makes the classes of a library."""


class OfClass:
    """The signature of a class, which is not that of a call of its objects."""

    def __init__(self, signature: inspect.Signature) -> None:
        self.signature = signature

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        if instance is None:
            return self.signature
        raise AttributeError("__signature__")


class Recipe(NamedTuple):
    """What a class is made of.

    Parameters
    ----------
    library : str
        Whose class it is, as in the name of its module in `polyloss.compat`.
    name : str
        Its name, there as in the library.
    function : callable
        What its objects compute.
    parameters : tuple of inspect.Parameter
        What they are made with. They are attributes, and count as they are when an object is called.
    refused : tuple of str
        Those of them that must be left alone.
    counted : callable or None
        Which losses a mean is over, of the arrays of a call and all options; it may return None for all of them.
    """

    library: str
    name: str
    function: Callable[..., Array]
    parameters: tuple[inspect.Parameter, ...]
    refused: tuple[str, ...] = ()
    counted: Callable[..., Array | None] | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The attributes that each call of the function is told."""
        return tuple(p.name for p in self.parameters if p.name not in self.refused)

    @property
    def signature(self) -> inspect.Signature:
        """How objects are made."""
        return inspect.Signature(self.parameters)

    def attributes(self) -> dict[str, Any]:
        """What its class has, whatever that is made of. By name and module, pickle finds it."""
        function = f"polyloss.compat.{self.library}.{self.function.__name__}"
        return {
            "__doc__": f"`{function}` with its parameters.\n\n{inspect.getdoc(self.function)}",
            "__module__": f"polyloss.compat.{self.library}",
            "__qualname__": self.name,
            "__signature__": OfClass(self.signature),
        }


def recipe(
    library: str,
    name: str,
    function: Callable[..., Array],
    without: Iterable[str] = (),
    refused: Iterable[str] = (),
    counted: Callable[..., Array | None] | None = None,
    keyword_only: bool = False,
    order: Sequence[str] = (),
    **defaults: Any,
) -> Recipe:
    """A class made with all that has a default, in a function or here, but for what the library does not have.

    `order` are the names of all that it is made with, where its function has them in another one.
    """
    parameters = [
        p.replace(default=defaults.get(p.name, p.default)) for p in inspect.signature(function).parameters.values()
    ]
    kept = tuple(
        p.replace(kind=p.KEYWORD_ONLY) if keyword_only else p
        for p in parameters
        if p.default is not p.empty and p.name not in without
    )
    if order:
        kept = tuple(sorted(kept, key=lambda p: order.index(p.name)))
    return Recipe(library, name, function, kept, tuple(p.name for p in kept if p.name in refused), counted)


@cache
def class_of(recipe: Recipe) -> type:
    """The class of a recipe: where PyTorch is not installed, a plain one for the arrays of any other framework.

    Raises
    ------
    AttributeError
        If Keras is not installed: the weights, masks and dtypes of its classes are its own.
    """
    if find_spec(recipe.library) is None:
        if recipe.library == "keras":
            function = f"polyloss.compat.keras.{recipe.function.__name__}"
            raise AttributeError(
                f"polyloss.compat.keras.{recipe.name} needs Keras to be installed; {function} does not"
            )
        return type(recipe.name, (Criterion,), recipe.attributes() | {"recipe": recipe})
    made: type = import_module(f"{_ADAPTERS[recipe.library]}._twins").twin_class(recipe)
    return made


@cache
def layer_of(library: str, name: str, function: Callable[..., Array]) -> type:
    """A class that has weights of its own, for `function` to compute with.

    Raises
    ------
    AttributeError
        If its library is not installed, which makes, moves and saves the weights.
    """
    of_library = f"polyloss.compat.{library}"
    if find_spec(library) is None:
        raise AttributeError(
            f"{of_library}.{name} has weights, and needs {library} to be installed; {of_library}.{function.__name__} "
            "takes them, and does not"
        )
    made: type = import_module(f"{_ADAPTERS[library]}._layers").layer_class(name, function)
    computed = f"computed by `{of_library}.{function.__name__}`"
    made.__doc__ = f"`{library}`'s class of this name, {computed}.\n\n{inspect.getdoc(made.__base__)}"
    made.__module__, made.__qualname__ = of_library, name
    return made


class Criterion:
    """A function with its parameters."""

    recipe: ClassVar[Recipe]

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        recipe = self.recipe
        try:
            bound = recipe.signature.bind(*arguments, **keywords)
        except TypeError as error:
            raise TypeError(f"{recipe.name}: {error}; it takes {', '.join(recipe.options)}") from None
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if name in recipe.options:
                setattr(self, name, value)
            elif value is not recipe.signature.parameters[name].default:
                raise TypeError(f"{recipe.name}: {name} is not supported, got {value!r}")

    def __call__(self, *arrays: Array, **named: Array) -> Array:
        """The loss of arrays."""
        options = {name: getattr(self, name) for name in self.recipe.options}
        return self.recipe.function(*arrays, **named, **options)

    def __repr__(self) -> str:
        known = self.recipe.signature.parameters
        shown = {name: getattr(self, name) for name in self.recipe.options}
        parts = [f"{name}={value!r}" for name, value in shown.items() if value is not known[name].default]
        return f"{self.recipe.name}({', '.join(parts)})"
