"""`torch.nn.Module` classes, made from the signatures of the losses."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch

from polyloss._objects import check_parameters, classes, parameters_of


class LossModule(torch.nn.Module):
    """A loss with its parameters, as a module. Made by `module`, or by a class such as ``polyloss_torch.Huber``.

    Parameters
    ----------
    loss : Loss
        A loss or a sum of losses.
    **parameters
        Its keywords, `reduction` among them; `sample_weight`, `where` and `denominator` come with a call. A tensor
        becomes a buffer: it follows ``.to(device)`` and is part of the ``state_dict``.

    Examples
    --------
    >>> import torch, polyloss_torch
    >>> criterion = polyloss_torch.Huber(delta=2.0, reduction="sum")
    >>> criterion(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.0]))
    tensor(4.)
    """

    def __init__(self, loss: Callable[..., Any], **parameters: Any) -> None:
        super().__init__()
        check_parameters(loss, parameters, reduction=True)
        self.loss = loss
        self.constants = {name: value for name, value in parameters.items() if not isinstance(value, torch.Tensor)}
        for name in parameters.keys() - self.constants.keys():
            self.register_buffer(name, parameters[name].detach())

    def forward(self, *arrays: torch.Tensor, **call: Any) -> torch.Tensor:
        """The loss of `arrays`; `call` may hold `sample_weight`, `where` and `denominator`."""
        value: torch.Tensor = self.loss(*arrays, **self.constants, **self._buffers, **call)
        return value

    def extra_repr(self) -> str:
        """The parameters that were given."""
        shown = [f"{name}={value!r}" for name, value in self.constants.items()]
        shown += [f"{name}=tensor of shape {tuple(value.shape)}" for name, value in self.named_buffers()]
        return ", ".join(shown if hasattr(type(self), "__signature__") else [repr(self.loss), *shown])


def module(loss: Callable[..., Any], **parameters: Any) -> LossModule:
    """`loss` with some parameters, as a `torch.nn.Module`.

    Parameters
    ----------
    loss : Loss
        A loss or a sum of losses.
    **parameters
        Its keywords. A tensor among them becomes a buffer.

    Raises
    ------
    TypeError
        If `loss` has no such keyword.
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import torch, polyloss, polyloss_torch
    >>> criterion = polyloss_torch.module(0.5 * polyloss.mse + polyloss.l1, reduction="sum")
    >>> criterion(torch.tensor([3.0]), torch.tensor([1.0]))
    tensor(4.)
    """
    return LossModule(loss, **parameters)


@functools.cache
def module_class(name: str) -> type[LossModule]:
    """The module class of a loss of polyloss."""
    loss = classes().get(name)
    if loss is None:
        raise AttributeError(f"module 'polyloss_torch' has no attribute {name!r}")

    def construct(self: LossModule, **parameters: Any) -> None:
        LossModule.__init__(self, loss, **parameters)

    attributes = {
        "__init__": construct,
        "__doc__": loss.__doc__,
        "__module__": "polyloss_torch",
        "__signature__": inspect.Signature(parameters_of(loss, reduction=True)),
    }
    return type(name, (LossModule,), attributes)
