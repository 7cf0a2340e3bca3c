"""The mathematics: one file for each family."""

from typing import TYPE_CHECKING

from polyloss.core.loss import Loss as _Loss

from .batch import *
from .binary import *
from .cosine import *
from .divergence import *
from .likelihood import *
from .linear import *
from .margin import *
from .modified_cross_entropy import *
from .multiclass import *
from .multiclass_margin import *
from .overlap import *
from .ranking import *
from .regression import *
from .relative import *
from .robust import *
from .sequence import *
from .similarity import *
from .sparse import *

if not TYPE_CHECKING:
    # Type checkers see the names above, and understand none that are computed.
    __all__ = sorted(name for name, value in globals().items() if isinstance(value, _Loss))
    for _name in __all__:
        # What is pickled is found there, whichever family it belongs to.
        globals()[_name].__module__ = "polyloss"
