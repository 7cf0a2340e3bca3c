"""PyTorch: `torch.nn.functional`, eager and compiled."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from .columns import Column, Side, Step
from .rows import Row


def _focal(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> Tensor:
    p = torch.sigmoid(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    right = p * target + (1 - p) * (1 - target)
    weight = alpha * target + (1 - alpha) * (1 - target)
    return (weight * entropy * (1 - right) ** gamma).mean()


def _kl(a: Tensor, t: Tensor) -> Tensor:
    return F.kl_div(a, t, reduction="batchmean")


def _chunked(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    found: Tensor = F.linear_cross_entropy(  # type: ignore[attr-defined,unused-ignore]
        hidden,
        weight,
        target,
        options=torch.nn.LinearCrossEntropyOptions(),  # type: ignore[attr-defined,unused-ignore]
    )
    return found


def _linear(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(hidden @ weight.T, target)


_BUILTINS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "mse": ("F.mse_loss", F.mse_loss),
    "l1": ("F.l1_loss", F.l1_loss),
    "huber": ("F.huber_loss", F.huber_loss),
    "smooth_l1": ("F.smooth_l1_loss", F.smooth_l1_loss),
    "binary_cross_entropy_with_logits": (
        "F.binary_cross_entropy_with_logits",
        F.binary_cross_entropy_with_logits,
    ),
    "sigmoid_focal": ("formula", _focal),
    "cross_entropy": ("F.cross_entropy", F.cross_entropy),
    "kl_divergence": ("F.kl_div", _kl),
    "triplet_margin": ("F.triplet_margin_loss", F.triplet_margin_loss),
}


class TorchColumn(Column):
    """PyTorch on the CPU."""

    backend = "torch"

    def __init__(self, mode: str) -> None:
        super().__init__(mode)
        self.slow_to_compile = mode == "compile"

    def array(self, array: NDArray[Any]) -> Tensor:
        return torch.tensor(array)

    def rivals(self, row: Row) -> list[Side]:
        if row.name == "linear_cross_entropy":
            found = [Side("plain", "F.cross_entropy of the logits", _linear)]
            if self.mode == "eager" and hasattr(F, "linear_cross_entropy"):
                found.insert(0, Side("torch", "F.linear_cross_entropy, chunked", _chunked))
            return found
        name, function = _BUILTINS[row.name]
        keywords = row.keywords
        return [Side("torch", name, (lambda *arrays: function(*arrays, **keywords)) if keywords else function)]

    def step(self, side: Side, arrays: Sequence[Any], wanted: Sequence[int], gradient: bool) -> Step:
        value: Callable[..., Any] = side.value
        if self.mode == "compile":
            value = torch.compile(value, fullgraph=True, dynamic=False)
        if not gradient:
            return lambda: (value(*arrays), ())
        inputs = [a.detach().requires_grad_() if i in wanted else a for i, a in enumerate(arrays)]
        leaves = [inputs[i] for i in wanted]

        def run() -> tuple[Any, Sequence[Any]]:
            loss = value(*inputs)
            loss.backward()
            gradients = [leaf.grad for leaf in leaves]
            for leaf in leaves:
                leaf.grad = None
            return loss, gradients

        return run

    def forget(self) -> None:
        if self.mode == "compile":
            torch._dynamo.reset()


COLUMN = TorchColumn
