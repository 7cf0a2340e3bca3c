"""The built-in losses of four libraries, with their signatures, on the arrays of any framework.

Somebody who moves a training script changes one import: `polyloss.compat.torch.cross_entropy` takes what
`torch.nn.functional.cross_entropy` takes, and means what it means. None of these modules imports its framework.
Where a built-in is wrong, the function here is right; ``docs/compatibility.md`` lists every such place.
"""

from . import keras, optax, tf, torch

__all__ = ["keras", "optax", "tf", "torch"]
