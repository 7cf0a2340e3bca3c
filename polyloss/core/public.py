"""What of the core is public: `polyloss` has it all."""

from .backend import Backend, register_backend, stop_gradient
from .compose import LossSum
from .declare import elementwise, rowwise
from .domains import CLASSES, NONNEGATIVE, POSITIVE, SIGN, UNIT, Domain
from .loss import Loss
from .transforms import compile, value_and_grad
from .typing import Call, RowCall

__all__ = [
    "CLASSES",
    "NONNEGATIVE",
    "POSITIVE",
    "SIGN",
    "UNIT",
    "Backend",
    "Call",
    "Domain",
    "Loss",
    "LossSum",
    "RowCall",
    "compile",
    "elementwise",
    "register_backend",
    "rowwise",
    "stop_gradient",
    "value_and_grad",
]
