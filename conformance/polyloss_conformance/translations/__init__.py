"""The losses that come with the frameworks, and how a call of polyloss is said with each of them.

A `Twin` pairs a built-in with the function of the same name and signature in `polyloss.compat`: its family and name,
and a function that translates the arguments. It belongs to the record of the loss that it computes. How the functions
of a library say things, whatever the loss, is in the module of its family.
"""

import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from polyloss.core.backend import backend_of
from polyloss_conformance.arrays import DTYPES
from polyloss_conformance.case import Arguments, Case

Array = Any
Result = Callable[[Array], Array]

REDUCTIONS = ("none", "sum", "mean", "weighted_mean")


class Family(NamedTuple):
    """Where built-ins come from.

    Parameters
    ----------
    backend : str
        Whose arrays they take.
    package : str
        The distribution whose version decides.
    module : str
        Where the functions are.
    """

    backend: str
    package: str
    module: str

    def load(self) -> Any:
        """The module. Imports its framework."""
        top, *inner = self.module.split(".")
        if top == "keras":
            os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        found: Any = importlib.import_module(top)
        for name in inner:
            found = getattr(found, name)
        return found


FAMILIES = {
    "torch": Family("torch", "torch", "torch.nn.functional"),
    "keras": Family("tensorflow", "keras", "keras.losses"),
    "optax": Family("jax", "optax", "optax.losses"),
    "tf": Family("tensorflow", "tensorflow", "tensorflow.nn"),
}
"""By the name of the module in `polyloss.compat`."""


class Said(NamedTuple):
    """A call of polyloss in the words of a built-in.

    Parameters
    ----------
    args, keywords
        What the built-in is called with.
    result : callable
        Makes its result comparable: the shape and the scale of the polyloss call.
    """

    args: Sequence[Array]
    keywords: Mapping[str, Any]
    result: Result = lambda value: value


class Call:
    """One call of polyloss, to be translated."""

    def __init__(self, arguments: Arguments, reduction: str) -> None:
        self.arrays = arguments.arrays
        # What is switched off is not there.
        self.parameters = {
            k: v for k, v in arguments.parameters.items() if k != "axis" and v is not None and v is not False
        }
        self.options = {k: v for k, v in arguments.options.items() if k != "reduction"}
        self.reduction = reduction
        self.axis: int = arguments.parameters.get("axis", -1)
        self.xp = backend_of(self.arrays[0]).namespace(self.arrays[0])

    def has(self, *names: str) -> bool:
        """Whether nothing but these parameters and options is given."""
        return not (set(self.parameters) | set(self.options)) - set(names)

    @property
    def ids(self) -> bool:
        return bool(self.xp.isdtype(self.arrays[-1].dtype, "integral"))

    @property
    def rows(self) -> tuple[int, ...]:
        """The shape of the per-example losses of a row-wise loss."""
        shape = list(self.arrays[0].shape)
        del shape[self.axis]
        return tuple(shape)

    def to(self, axis: int, *arrays: Array) -> tuple[Array, ...]:
        """Arrays with the class axis moved; class ids have none."""
        ndim = self.arrays[0].ndim
        moved = self.axis % ndim != axis % ndim
        return tuple(self.xp.moveaxis(a, self.axis, axis) if moved and a.ndim == ndim else a for a in arrays)


Translation = Callable[[Call], Said | None]


@dataclass(frozen=True)
class Twin:
    """A built-in, and the function of `polyloss.compat` with its signature.

    Parameters
    ----------
    family, name : str
        ``torch``, ``keras``, ``optax`` or ``tf``, and the name of the function there.
    says : callable
        Translates a call of polyloss; None where this built-in cannot say it.
    variant : str
        Arguments in which this entry differs from another one for the same built-in.
    reductions : tuple of str
        The reductions that it can be asked for.
    dtypes : tuple of str
        Where the translation itself costs no accuracy.
    constants : tuple of int
        Positions of the arrays of the loss that the built-in does not differentiate.
    admits : callable
        Whether the values of a case can be said with it.
    loss : str
        The loss of polyloss that it computes: that whose record it is in.
    """

    family: str
    name: str
    says: Translation
    variant: str = ""
    reductions: tuple[str, ...] = ("none",)
    dtypes: tuple[str, ...] = DTYPES
    constants: tuple[int, ...] = ()
    admits: Callable[[Case], bool] = field(default=lambda case: True)
    loss: str = ""

    @property
    def id(self) -> str:
        """Names the twin in the table of deviations."""
        return f"{self.family}.{self.name}" + (f"({self.variant})" if self.variant else "")

    @property
    def backend(self) -> str:
        """Whose arrays the built-in takes."""
        return FAMILIES[self.family].backend

    @property
    def package(self) -> str:
        """The distribution that the built-in comes with."""
        return FAMILIES[self.family].package

    def available(self) -> bool:
        """Whether the built-in can be imported here. That of Keras runs on TensorFlow."""
        modules = {FAMILIES[self.family].module.partition(".")[0], self.backend}
        found = all(importlib.util.find_spec(module) for module in modules)
        found = found and (self.family != "keras" or os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow")
        # An older version may lack it.
        return found and hasattr(FAMILIES[self.family].load(), self.name)

    def version(self) -> str:
        """The installed version of `package`."""
        return _version(self.package, self.backend)

    def builtin(self) -> Callable[..., Array]:
        """The built-in. Imports its framework."""
        function: Callable[..., Array] = getattr(FAMILIES[self.family].load(), self.name)
        return function

    def twin(self) -> Callable[..., Array]:
        """The function of `polyloss.compat`."""
        function: Callable[..., Array] = getattr(importlib.import_module(f"polyloss.compat.{self.family}"), self.name)
        return function

    def expressible(self, case: Case, reduction: str) -> bool:
        """Whether the built-in can be asked for this case."""
        if case.kind == "error" or reduction not in self.reductions or not self.admits(case):
            return False
        return self.says(Call(case.at("float64"), reduction)) is not None

    def evaluate(self, function: Callable[..., Array], arguments: Arguments, reduction: str) -> Array | None:
        """`function`, the built-in or its twin, for a call of polyloss: None where it cannot be said.

        The result has the shape and the scale of the polyloss call, and is differentiable where `function` is.
        """
        said = self.says(Call(arguments, reduction))
        return None if said is None else said.result(function(*said.args, **said.keywords))


@lru_cache
def _version(package: str, module: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # TensorFlow comes as distributions of several names.
        return str(importlib.import_module(module).__version__)


def labels_are_hard(case: Case) -> bool:
    """Whether all targets are 0 or 1."""
    return bool(np.isin(case.arrays[1], (0, 1)).all())
