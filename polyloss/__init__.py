"""Loss functions written once against the Array API: the same values and gradients in every framework."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from ._backend import Backend, register_backend, stop_gradient
from ._checks import CLASSES, NONNEGATIVE, POSITIVE, SIGN, UNIT, Domain
from ._loss import Loss, elementwise, rowwise
from ._numeric import log_sigmoid, log_softmax, log_sum_exp, sigmoid, softmax, softplus
from ._transform import compile, value_and_grad
from ._typing import Call, RowCall
from .classification import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge,
    nll,
    sigmoid_focal,
    softmax_focal,
    squared_hinge,
)
from .compose import LossSum, MultiTask, multi_task
from .divergence import kl_divergence
from .linear import linear_cross_entropy
from .regression import huber, l1, log_cosh, mse, smooth_l1
from .robust import tukey_biweight
from .similarity import contrastive, contrastive_embedding, triplet_margin

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

__version__ = "0.1.0"

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Not for type checkers, which would take it that there is every name.
        if name == "compat":
            return _import_module(f"{__name__}.{name}")
        from ._words import no_attribute

        raise no_attribute(__name__, name, {known: f"{__name__}.{known}" for known in __all__})
