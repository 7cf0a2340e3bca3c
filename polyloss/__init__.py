"""Loss functions written once against the Array API: the same values and gradients in every framework."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from .core.backend import Backend, register_backend, stop_gradient
from .core.checks import CLASSES, NONNEGATIVE, POSITIVE, SIGN, UNIT, Domain
from .core.compose import LossSum
from .core.loss import Loss, elementwise, rowwise
from .core.transforms import compile, value_and_grad
from .core.typing import Call, RowCall
from .functions import log_sigmoid, log_softmax, log_sum_exp, sigmoid, softmax, softplus
from .losses.binary import binary_cross_entropy, binary_cross_entropy_with_logits, sigmoid_focal
from .losses.divergence import kl_divergence
from .losses.linear import linear_cross_entropy
from .losses.margin import hinge, squared_hinge
from .losses.multiclass import cross_entropy, nll, softmax_focal
from .losses.regression import huber, l1, log_cosh, mse, smooth_l1
from .losses.robust import tukey_biweight
from .losses.similarity import contrastive, contrastive_embedding, triplet_margin
from .multi_task import MultiTask, multi_task

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
    "MultiTask",
    "RowCall",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "compile",
    "contrastive",
    "contrastive_embedding",
    "cross_entropy",
    "elementwise",
    "hinge",
    "huber",
    "kl_divergence",
    "l1",
    "linear_cross_entropy",
    "log_cosh",
    "log_sigmoid",
    "log_softmax",
    "log_sum_exp",
    "mse",
    "multi_task",
    "nll",
    "register_backend",
    "rowwise",
    "sigmoid",
    "sigmoid_focal",
    "smooth_l1",
    "softmax",
    "softmax_focal",
    "softplus",
    "squared_hinge",
    "stop_gradient",
    "triplet_margin",
    "tukey_biweight",
    "value_and_grad",
]

for _public in __all__:
    if isinstance(globals()[_public], Loss):
        # What is pickled is found there, whichever family it belongs to.
        globals()[_public].__module__ = __name__

__version__ = "0.1.0"

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Not for type checkers, which would take it that there is every name.
        if name in ("adapters", "compat"):
            return _import_module(f"{__name__}.{name}")
        names = _import_module(f"{__name__}.compat.names")
        raise names.no_attribute(__name__, name, {known: f"{__name__}.{known}" for known in __all__})
