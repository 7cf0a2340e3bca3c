"""The losses of `optax.losses`: same names, same parameters, on the arrays of any framework.

What differs on purpose, because the built-in is wrong there: shapes are never broadcast, class ids out of range
are refused and never wrap around, and the distances of `triplet_margin_loss` are exact for every `norm_degree`.
"""

from . import (
    batch,
    binary,
    cosine,
    divergence,
    margin,
    multiclass,
    multiclass_margin,
    overlap,
    ranking,
    regression,
    sequence,
    similarity,
)
from .batch import *
from .binary import *
from .cosine import *
from .divergence import *
from .margin import *
from .multiclass import *
from .multiclass_margin import *
from .overlap import *
from .ranking import *
from .regression import *
from .sequence import *
from .sequence import ctc_loss_with_forward_probs as ctc_loss_with_forward_probs
from .similarity import *
from .tools import make_fenchel_young_loss as make_fenchel_young_loss
from .tools import smooth_labels as smooth_labels

# The losses: those that `polyloss.compat.names` has a loss of polyloss for.
__all__ = []
__all__ += batch.__all__
__all__ += binary.__all__
__all__ += cosine.__all__
__all__ += divergence.__all__
__all__ += margin.__all__
__all__ += multiclass.__all__
__all__ += multiclass_margin.__all__
__all__ += overlap.__all__
__all__ += ranking.__all__
__all__ += regression.__all__
__all__ += sequence.__all__
__all__ += similarity.__all__
