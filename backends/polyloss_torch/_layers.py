"""The classes of `polyloss.compat.torch` that have weights of their own: a layer, and the loss of what it gives."""

from collections.abc import Callable
from typing import Any

import torch


def layer_class(name: str, function: Callable[..., Any]) -> type[torch.nn.Module]:
    """A class that is made, moved, saved and loaded as PyTorch's own, and is one of those; `function` computes it."""
    attributes = {key: make(function) for key, make in _METHODS[name].items()}
    return type(name, (getattr(torch.nn, name),), attributes)


def _linear(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def forward(self: Any, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        layer, classes = self.linear, (self.num_classes, *self.out_features)
        return function(
            input,
            layer.weight.reshape((*classes, layer.in_features)),
            target,
            linear_bias=None if layer.bias is None else layer.bias.reshape(classes),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    return forward


_METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "LinearCrossEntropyLoss": {"forward": _linear},
}
"""What each of them computes otherwise, made of a function of `polyloss.compat.torch`."""
