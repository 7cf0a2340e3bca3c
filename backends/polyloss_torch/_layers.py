"""The classes of `polyloss.compat.torch` that have weights of their own: a layer, and the loss of what it gives."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

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


class LogProbabilitiesAndLoss(NamedTuple):
    """What an adaptive log-softmax gives: the logarithm of each target's probability, and minus their mean."""

    output: torch.Tensor
    loss: torch.Tensor


def _adaptive(function: Callable[..., torch.Tensor]) -> Callable[..., LogProbabilitiesAndLoss]:
    def forward(self: Any, input_: torch.Tensor, target_: torch.Tensor) -> LogProbabilitiesAndLoss:
        """The loss of the head, where a cluster is one class, and of the cluster that a target is in."""
        if target_.dim() > 1 or input_.shape[:-1] != target_.shape:
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: input_ must have the shape (N, D) beside a target_ of shape (N), or (D) "
                f"beside one number, got {tuple(input_.shape)} and {tuple(target_.shape)}"
            )
        if target_.is_floating_point() or target_.is_complex() or target_.dtype is torch.bool:
            raise TypeError(
                f"AdaptiveLogSoftmaxWithLoss: target_ must be class ids (integers), got dtype {target_.dtype}"
            )
        if input_.shape[-1] != self.in_features:
            raise ValueError(
                f"AdaptiveLogSoftmaxWithLoss: input_ must have in_features, {self.in_features}, along its last axis, "
                f"got shape {tuple(input_.shape)}"
            )
        if bool(((target_ < 0) | (target_ >= self.n_classes)).any()):
            raise ValueError(f"AdaptiveLogSoftmaxWithLoss: target_ must be class ids in [0, {self.n_classes})")
        hidden, target = _wide(input_.reshape(-1, self.in_features)), target_.reshape(-1)
        place, of_clusters = target, hidden.new_zeros(target.shape)
        for number, (first, end) in enumerate(itertools.pairwise(self.cutoffs)):
            # As there, a cluster is computed for the rows alone that are in it.
            rows = ((target >= first) & (target < end)).nonzero()[:, 0]
            if rows.numel():
                projection, layer = (_wide(one.weight) for one in self.tail[number])
                projected = torch.nn.functional.linear(hidden.index_select(0, rows), projection)
                if not len(projection):
                    # A late cluster may be left with no feature: its classes are alike, as by one that is 0.
                    projected, layer = (torch.nn.functional.pad(one, (0, 1)) for one in (projected, layer))
                found = function(projected, layer, target.index_select(0, rows) - first, reduction="none")
                of_clusters = of_clusters.index_copy(0, rows, found)
                place = place.index_fill(0, rows, self.shortlist_size + number)
        bias = None if self.head.bias is None else _wide(self.head.bias)
        losses = of_clusters + function(hidden, _wide(self.head.weight), place, linear_bias=bias, reduction="none")
        mean = losses.sum() / max(len(losses), 1)
        return LogProbabilitiesAndLoss(-losses.reshape(target_.shape).to(input_.dtype), mean.to(input_.dtype))

    return forward


def _wide(array: torch.Tensor) -> torch.Tensor:
    return array.float() if array.dtype in (torch.float16, torch.bfloat16) else array


_METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "AdaptiveLogSoftmaxWithLoss": {"forward": _adaptive},
    "LinearCrossEntropyLoss": {"forward": _linear},
}
"""What each of them computes otherwise, made of a function of `polyloss.compat.torch`."""
