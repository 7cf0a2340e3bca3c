"""The loss classes of `torch.nn`."""

from collections.abc import Callable
from typing import Any

from polyloss.compat._classes import Recipe, recipe

from .binary import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    multilabel_soft_margin_loss,
    soft_margin_loss,
)
from .cosine import cosine_embedding_loss
from .divergence import kl_div
from .likelihood import gaussian_nll_loss, poisson_nll_loss
from .margin import margin_ranking_loss
from .multiclass import cross_entropy, linear_cross_entropy, nll_loss
from .multiclass_margin import multi_margin_loss, multilabel_margin_loss
from .regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from .sequence import ctc_loss
from .similarity import (
    hinge_embedding_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "BCELoss": binary_cross_entropy,
    "BCEWithLogitsLoss": binary_cross_entropy_with_logits,
    "CTCLoss": ctc_loss,
    "CosineEmbeddingLoss": cosine_embedding_loss,
    "CrossEntropyLoss": cross_entropy,
    "GaussianNLLLoss": gaussian_nll_loss,
    "HingeEmbeddingLoss": hinge_embedding_loss,
    "HuberLoss": huber_loss,
    "KLDivLoss": kl_div,
    "L1Loss": l1_loss,
    "MSELoss": mse_loss,
    "MarginRankingLoss": margin_ranking_loss,
    "MultiLabelMarginLoss": multilabel_margin_loss,
    "MultiLabelSoftMarginLoss": multilabel_soft_margin_loss,
    "MultiMarginLoss": multi_margin_loss,
    "NLLLoss": nll_loss,
    "NLLLoss2d": nll_loss,
    "PoissonNLLLoss": poisson_nll_loss,
    "SmoothL1Loss": smooth_l1_loss,
    "SoftMarginLoss": soft_margin_loss,
    "TripletMarginLoss": triplet_margin_loss,
    "TripletMarginWithDistanceLoss": triplet_margin_with_distance_loss,
}
_WITHOUT = dict.fromkeys(("HuberLoss", "L1Loss", "MSELoss"), ("weight",))
"""What the functions take and their classes do not."""
_KEYWORD_ONLY = ("GaussianNLLLoss",)
"""Those that take by name what the functions take by place too."""

CLASSES: dict[str, Recipe] = {
    name: recipe(
        "torch",
        name,
        function,
        without=_WITHOUT.get(name, ()),
        refused=("size_average", "reduce"),
        keyword_only=name in _KEYWORD_ONLY,
    )
    for name, function in _FUNCTIONS.items()
}

LAYERS: dict[str, Callable[..., Any]] = {
    "AdaptiveLogSoftmaxWithLoss": linear_cross_entropy,
    "LinearCrossEntropyLoss": linear_cross_entropy,
}
"""Those that have weights of their own, and what is computed with them."""
