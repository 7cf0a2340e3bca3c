"""The built-in losses of four libraries, with their signatures, on the arrays of any framework.

Somebody who moves a training script changes one import: `polyloss.compat.torch.cross_entropy` takes what
`torch.nn.functional.cross_entropy` takes, and means what it means. None of these modules imports its framework.
Where a built-in is wrong, the function here is right; ``docs/compatibility.md`` lists every such place.
"""

from typing import TYPE_CHECKING

from . import keras, optax, tf, torch
from .names import no_attribute

__all__ = ["keras", "optax", "tf", "torch"]

_FRAMEWORKS = {"jax": "optax", "pytorch": "torch", "tensorflow": "tf"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _FRAMEWORKS:
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}; did you mean {__name__}.{_FRAMEWORKS[name]}?"
            )
        raise no_attribute(__name__, name, {})
