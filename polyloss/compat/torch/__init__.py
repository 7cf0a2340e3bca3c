"""The losses of `torch.nn.functional`: same names, same parameters, on the arrays of any framework.

What differs on purpose, because the built-in is wrong there: shapes are never broadcast, a target out of range is
refused, a mean over nothing is 0 and not NaN, logarithms are not clamped, and distances have no `eps`.
"""

from typing import TYPE_CHECKING, Any

from . import (
    binary,
    cosine,
    divergence,
    likelihood,
    margin,
    multiclass,
    multiclass_margin,
    regression,
    sequence,
    similarity,
)
from .binary import *
from .cosine import *
from .divergence import *
from .likelihood import *
from .margin import *
from .multiclass import *
from .multiclass_margin import *
from .regression import *
from .sequence import *
from .similarity import *

__all__ = []
__all__ += binary.__all__
__all__ += cosine.__all__
__all__ += divergence.__all__
__all__ += likelihood.__all__
__all__ += margin.__all__
__all__ += multiclass.__all__
__all__ += multiclass_margin.__all__
__all__ += regression.__all__
__all__ += sequence.__all__
__all__ += similarity.__all__

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The classes, which are made on demand."""
