"""`torch.nn.Module` classes, made from the signatures of the losses."""

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch

from polyloss.classes import (
    UNSET,
    check_attribute,
    check_complete,
    check_parameters,
    classes,
    defaults_of,
    is_of_object,
    no_class,
    no_positional,
    of_one_term,
    parameters_of,
    same,
)
from polyloss.core import checks, words
from polyloss.core.arguments import OF_A_CALL
from polyloss.core.compose import Combinable, LossSum
from polyloss.multi_task import MultiTask

from ._common import with_code_of_its_own


class LossModule(torch.nn.Module, Combinable):
    """A loss with its parameters, as a module. Made by `module`, or by a class such as ``polyloss_torch.Huber``.

    The parameters are attributes: what they are at the time of a call is used, and checked.

    Parameters
    ----------
    loss : loss
        A loss, a sum of losses, what `polyloss.multi_task` made, or a module that computes a loss.
    **parameters
        Its keywords, `reduction` among them; `sample_weight`, `where` and `denominator` come with a call. A
        `torch.nn.Parameter` becomes a parameter of the module, for an optimizer to learn; any other tensor becomes a
        buffer. Both follow ``.to(device)`` and are part of the ``state_dict``.

    Examples
    --------
    >>> import torch, polyloss_torch
    >>> criterion = polyloss_torch.Huber(delta=2.0, reduction="sum")
    >>> criterion(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.0]))
    tensor(4.)
    >>> criterion.delta = 1.0
    >>> criterion(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.0]))
    tensor(2.5000)
    """

    def __init__(self, loss: Callable[..., Any], **parameters: Any) -> None:
        super().__init__()
        owner = "polyloss_torch.module" if type(self) is LossModule else type(self).__name__
        modules = [member for member in _members(loss) if isinstance(member, torch.nn.Module)]
        defaults = _defaults(loss)
        if isinstance(loss, MultiTask):
            for name in parameters.keys() - defaults.keys():
                raise words.unknown_keyword(_name(loss), name, (), tuple(defaults))
        elif not modules and not isinstance(loss, torch.nn.Module):
            check_parameters(owner, loss, parameters, reduction=True, beside=_beside)
            check_complete(owner, loss, parameters)
        elif parameters:
            raise TypeError(
                f"{owner}: unexpected {next(iter(parameters))}: {_name(loss)} is made of modules, which have their "
                "parameters already; set them there"
            )
        self.loss = loss
        if modules:
            self.members = torch.nn.ModuleList(modules)
        self.arrays = _arrays(loss)
        self.tasks = getattr(loss, "tasks", ())
        self.__name__ = type(self).__name__ if type(self) is not LossModule else _name(loss)
        self._known = tuple(defaults)
        for name, value in (defaults | parameters).items():
            if value is not UNSET:
                setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_known", ()):
            was = getattr(self, name, None)
            if isinstance(was, torch.nn.Parameter) and not isinstance(value, torch.nn.Parameter | None):
                # An optimizer may hold it, and would go on to change what nobody uses.
                raise TypeError(
                    f"{self.__name__}: {name} is a torch.nn.Parameter, and would no longer be one, got "
                    f"{checks.describe(value)}; set its value: with torch.no_grad(): criterion.{name}.fill_(...) or "
                    ".copy_(...); or assign another torch.nn.Parameter; or del it first, to have it learned no more"
                )
            _check_one(self.__name__, self.loss, name, value)
            # It may have been a number and become a tensor, or the other way round.
            with suppress(AttributeError):
                super().__delattr__(name)
            if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
                self.register_buffer(name, value)
                return
        elif "_known" in self.__dict__ and name not in self.__dict__:
            check_attribute(self, name, self._known)
        super().__setattr__(name, value)

    def forward(self, *arrays: torch.Tensor, **call: Any) -> torch.Tensor:
        """The loss of `arrays`; `call` may hold `sample_weight`, `where` and `denominator`."""
        given = self._given()
        for name in call:
            if name in given:
                raise is_of_object(self.__name__, name)
            if name not in OF_A_CALL and (error := of_one_term(self.loss, name)) is not None:
                raise error
        value: torch.Tensor = self.loss(*arrays, **given, **call)
        return value

    def _given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._known if hasattr(self, name)}

    def extra_repr(self) -> str:
        """The parameters that are not as by default."""
        defaults = _defaults(self.loss)
        shown = []
        for name, value in self._given().items():
            if not same(value, defaults[name]):
                shown.append(f"{name}={checks.brief(value)}")
        return ", ".join([*([repr(self.loss)] if type(self) is LossModule else []), *shown])

    def _shown_as(self) -> tuple[Any, Mapping[str, Any]]:
        return self.loss, {name: _plain(value) for name, value in self._given().items()}

    def _made(self, total: Combinable) -> "LossModule":
        # With a module in it, a sum is a module too: an optimizer must find the parameters.
        return total if isinstance(total, LossModule) else LossModule(total)


def _plain(value: Any) -> Any:
    """A parameter as NumPy has it, which knows no bfloat16."""
    if not isinstance(value, torch.Tensor):
        return value
    array = value.detach().cpu()
    return (array.double() if array.is_floating_point() else array).numpy()[()]


def _members(loss: Callable[..., Any]) -> list[Any]:
    """What `loss` is made of."""
    if isinstance(loss, LossSum):
        return [term for _, term in loss.terms]
    return list(loss.losses.values()) if isinstance(loss, MultiTask) else []


def _defaults(loss: Callable[..., Any]) -> dict[str, Any]:
    """The parameters that an object may hold for `loss`, with their defaults."""
    return {"log_variances": None} if isinstance(loss, MultiTask) else defaults_of(loss, reduction=True)


def _arrays(loss: Callable[..., Any]) -> tuple[str, ...]:
    if isinstance(loss, torch.nn.Module) and not isinstance(loss, LossModule):
        own = inspect.signature(loss.forward).parameters.values()
        return tuple(p.name for p in own if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty)
    arrays: tuple[str, ...] = loss.arrays  # type: ignore[attr-defined]
    return arrays


def _name(loss: Callable[..., Any]) -> str:
    return getattr(loss, "__name__", type(loss).__name__)


def module(loss: Callable[..., Any], **parameters: Any) -> LossModule:
    """`loss` with some parameters, as a `torch.nn.Module`.

    Parameters
    ----------
    loss : loss
        A loss, a sum of losses, what `polyloss.multi_task` made, or a module that computes a loss, such as
        `torch.nn.L1Loss`. Modules add and scale as losses do; a sum with one of them in it is a module.
    **parameters
        Its keywords. A `torch.nn.Parameter` becomes a parameter of the module, any other tensor a buffer. Of a
        `polyloss.multi_task`, the only one is `log_variances`.

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

    With learned weights of several tasks:

    >>> total = polyloss.multi_task({"depth": polyloss.mse, "pose": polyloss.l1})
    >>> criterion = polyloss_torch.module(total, log_variances=torch.nn.Parameter(torch.zeros(2)))
    >>> depth, pose = (torch.tensor([3.0]), torch.tensor([1.0])), (torch.tensor([0.5]), torch.tensor([0.0]))
    >>> criterion({"depth": depth, "pose": pose}).item()
    2.25
    """
    return LossModule(loss, **parameters)


def _check_one(owner: str, loss: Callable[..., Any], name: str, value: Any) -> None:
    """Raise for a parameter with which no call would succeed."""
    if isinstance(loss, MultiTask):
        loss.check_log_variances(value, _beside(value))
    else:
        check_parameters(owner, loss, {name: value}, reduction=True, beside=_beside)


def _beside(value: Any) -> torch.Tensor:
    """A tensor such as calls bring, where `value` may be beside it."""
    return torch.empty(0, device=value.device if isinstance(value, torch.Tensor) else "cpu")


@functools.cache
def module_class(name: str) -> type[LossModule]:
    """The module class of a loss of polyloss."""
    loss = classes().get(name)
    if loss is None:
        raise no_class("polyloss_torch", name, classes(), ["torch"])

    def construct(self: LossModule, *arguments: Any, **parameters: Any) -> None:
        check = functools.partial(_check_one, name, loss)
        no_positional(name, arguments, _defaults(loss), check, loss.arrays)
        LossModule.__init__(self, loss, **parameters)

    attributes = {
        "__init__": construct,
        "forward": with_code_of_its_own(LossModule.forward),
        "__doc__": loss.__doc__,
        "__module__": "polyloss_torch",
        "__signature__": inspect.Signature(parameters_of(loss, reduction=True)),
    }
    return type(name, (LossModule,), attributes)
