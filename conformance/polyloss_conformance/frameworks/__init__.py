"""What the suite does with a framework: make arrays, run a loss, differentiate it by the framework's own means.

Nothing here asks polyloss which framework is which: the suite has its own opinion to compare with.
"""

import functools
import importlib.util
import warnings

from .base import EAGER, Framework, Outcome, Step, called, engine, placed
from .jax import JaxFramework
from .mlx import MlxFramework
from .numpy import NumpyFramework
from .tensorflow import TensorflowFramework
from .torch import TorchFramework

KNOWN: dict[str, type[Framework]] = {
    "numpy": NumpyFramework,
    "torch": TorchFramework,
    "jax": JaxFramework,
    "tensorflow": TensorflowFramework,
    "mlx": MlxFramework,
}


def installed() -> tuple[str, ...]:
    """The names of the frameworks that can be imported here."""
    return tuple(name for name in KNOWN if importlib.util.find_spec(name) is not None)


def dtypes(name: str) -> tuple[str, ...]:
    """The floating dtypes of a framework. Does not import it."""
    return KNOWN[name].dtypes


@functools.lru_cache
def framework(name: str) -> Framework:
    """The framework of a name in `KNOWN`. Imports it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return KNOWN[name]()


__all__ = [
    "EAGER",
    "KNOWN",
    "Framework",
    "Outcome",
    "Step",
    "called",
    "dtypes",
    "engine",
    "framework",
    "installed",
    "placed",
]
