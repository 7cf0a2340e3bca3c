"""Loss functions written once against the Array API: the same values and gradients in every framework."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from .core.public import *
from .derivatives import *
from .fenchel_young import *
from .functions import *
from .losses import *
from .multi_task import *

__version__ = "0.1.0"

if not TYPE_CHECKING:
    # Type checkers see the names above, and understand none that are computed.
    _parts = (
        _import_module(f"{__name__}.{part}")
        for part in ("core.public", "derivatives", "fenchel_young", "functions", "losses", "multi_task")
    )
    __all__ = sorted({name for part in _parts for name in part.__all__})

    def __getattr__(name: str) -> object:
        # Not for type checkers, which would take it that there is every name.
        if name in ("adapters", "boosting", "compat", "distributed", "scientific"):
            return _import_module(f"{__name__}.{name}")
        names = _import_module(f"{__name__}.compat.names")
        raise names.no_attribute(__name__, name)
