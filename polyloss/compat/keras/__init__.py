"""The functions of `keras.losses`: same names, same parameters, on the arrays of any framework.

Mind the order: `y_true` comes first, and classification takes probabilities unless `from_logits` says otherwise.
A target without the last axis of length 1 of the prediction, or with one more, is given the same axes, as there.
What differs on purpose, because the built-in is wrong there: probabilities are not clipped, logits never take a
detour through probabilities, labels are not converted by what else is in the batch, and class ids out of range are
refused. The short names of `tf.keras.losses`, such as `mse` and `MSE`, are there too: they are no functions of their
own, and not in `__all__`.
"""

from typing import TYPE_CHECKING, Any

from . import (
    batch,
    binary,
    cosine,
    divergence,
    likelihood,
    margin,
    multiclass,
    multiclass_margin,
    overlap,
    regression,
    sequence,
)
from .aliases import *
from .batch import *
from .binary import *
from .cosine import *
from .divergence import *
from .likelihood import *
from .margin import *
from .multiclass import *
from .multiclass_margin import *
from .overlap import *
from .regression import *
from .sequence import *

__all__ = []
__all__ += batch.__all__
__all__ += binary.__all__
__all__ += cosine.__all__
__all__ += divergence.__all__
__all__ += likelihood.__all__
__all__ += margin.__all__
__all__ += multiclass.__all__
__all__ += multiclass_margin.__all__
__all__ += overlap.__all__
__all__ += regression.__all__
__all__ += sequence.__all__

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The classes, which are made on demand."""
