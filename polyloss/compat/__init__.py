"""The built-in losses of four libraries, with their signatures, on the arrays of any framework.

Somebody who moves a training script changes one import: `polyloss.compat.torch.cross_entropy` takes what
`torch.nn.functional.cross_entropy` takes, and means what it means. None of these modules imports its framework; who
asks for a class has it imported, where it is installed. Where a built-in is wrong, the function here is right;
``docs/compatibility.md`` lists every such place.
"""

from typing import TYPE_CHECKING

from . import keras, optax, tf, torch
from .names import attribute_of, names_of, no_attribute

__all__ = ["keras", "optax", "tf", "torch"]

if not TYPE_CHECKING:
    for _family in __all__:
        # From here, for the answer knows all of these modules.
        globals()[_family].__getattr__ = attribute_of(_family)
        globals()[_family].__dir__ = names_of(_family)

    def __getattr__(name: str) -> object:
        raise no_attribute(__name__, name, {})
