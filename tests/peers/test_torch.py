"""The twins under the inputs that PyTorch tests its own losses with, as functions and as modules.

Many of these are random numbers where labels or weights belong. The twins refuse such, so they are brought into the
range that PyTorch documents, for both.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db

from polyloss.compat import torch as twins

FUNCTIONS = [op for op in op_db if op.name.removeprefix("nn.functional.") in twins.__all__]
MODULES = [info for info in module_db if info.module_cls.__name__ in dir(twins)]

pytestmark = pytest.mark.filterwarnings("ignore")

Arguments = tuple[list[Any], dict[str, Any]]


def name_of(op: Any) -> str:
    """The name of a function."""
    return str(op.name.removeprefix("nn.functional."))


def loss_of(name: str) -> str:
    """What function and class have in common, in the names of the tables here."""
    return name.lower().replace("_", "").removesuffix("loss")


def like(array: Any, changed: Any) -> Any:
    """Other numbers in the place of an array, which requires a gradient if that does."""
    return changed.detach().to(array.dtype).requires_grad_(array.requires_grad)


def signs(target: Any) -> Any:
    return like(target, torch.where(target > 0, 1.0, -1.0))


def zero_or_one(target: Any) -> Any:
    return like(target, target > 0)


def each_once(target: Any) -> Any:
    """Classes: of a twin, each counts once."""
    rows = target.reshape(-1, target.shape[-1]) if target.ndim else target.reshape(1, 1)
    changed = torch.full_like(rows, -1)
    for row, ids in zip(changed, rows.tolist(), strict=True):
        found = list(dict.fromkeys(ids[: ids.index(-1)] if -1 in ids else ids))
        row[: len(found)] = torch.tensor(found, dtype=row.dtype)
    return changed.reshape(target.shape)


def constants(target: Any) -> Any:
    """Labels: the built-in has no gradient by them."""
    return signs(target).detach()


def positive(target: Any) -> Any:
    return like(target, target.abs())


TARGETS: dict[str, Callable[[Any], Any]] = {
    "softmargin": signs,
    "marginranking": signs,
    "multilabelsoftmargin": zero_or_one,
    "multilabelmargin": each_once,
    "hingeembedding": constants,
}
"""What makes targets of a loss of what PyTorch hands to it."""

REFUSED = {
    "multimargin": "one axis or more|target must have class ids, one per row|margin must be zero or positive",
    "multilabelmargin": "one axis or more",
    "gaussiannll": "target must have the shape of input",
    "poissonnll": "eps must be 0 or left alone",
}
"""Of a loss, what remains refused and why."""


def in_range(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Arguments:
    changed, named = list(arguments), dict(keywords)
    if loss_of(name) in TARGETS:
        changed[-1] = TARGETS[loss_of(name)](changed[-1])
    if loss_of(name) == "kldiv" and not named.get("log_target"):
        changed[-1] = positive(changed[-1])
    if torch.is_tensor(named.get("weight")):
        named["weight"] = like(named["weight"], named["weight"].abs())
    return changed, named


ROUGH = ("tripletmargin", "poissonnll")
"""The losses whose built-ins add an epsilon."""


def leaves(value: Any) -> Iterator[Any]:
    """The tensors in arguments, in their order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)


def outcome(function: Callable[..., Any], arguments: Arguments, name: str) -> tuple[Any, list[Any]]:
    """The value, and the gradients by all tensors that require one."""
    (first, *others), keywords = arguments
    # The built-in has the right gradient behind a log_softmax alone.
    value = function(first.log_softmax(-1) if loss_of(name) == "ctc" else first, *others, **keywords)
    inputs = [x for x in leaves(arguments) if x.requires_grad]
    if not value.requires_grad:
        return value, []
    upstream = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)
    return value, list(torch.autograd.grad(value, inputs, upstream, allow_unused=True, materialize_grads=True))


def agree(name: str, found: Any, expected: Any, told: str) -> None:
    rtol, atol = (1e-4, 1e-5) if loss_of(name) in ROUGH else (1e-9, 1e-9)
    torch.testing.assert_close(
        found, expected, rtol=rtol, atol=atol, equal_nan=True, msg=lambda text: f"{told}: {text}"
    )


class Refused:
    """Whether what a twin refuses is what it is known to refuse, and whether it does still."""

    def __init__(self, name: str) -> None:
        self.reasons = list(filter(None, REFUSED.get(loss_of(name), "").split("|")))
        self.met: set[str] = set()

    def __call__(self, error: Exception) -> bool:
        self.met |= (found := {reason for reason in self.reasons if re.search(reason, str(error))})
        return bool(found)


@pytest.mark.parametrize("op", FUNCTIONS, ids=lambda op: op.name + op.variant_test_name)
def test_function(op: Any) -> None:
    twin, refused, compared = getattr(twins, name_of(op)), Refused(name_of(op)), 0
    for number, sample in enumerate(op.sample_inputs("cpu", torch.float64, requires_grad=True)):
        arguments = in_range(name_of(op), (sample.input, *sample.args), sample.kwargs)
        try:
            found = outcome(twin, arguments, name_of(op))
        except ValueError as error:
            if not refused(error):
                raise AssertionError(f"sample {number}, {sample}") from error
            continue
        agree(name_of(op), found, outcome(op.op, arguments, name_of(op)), f"sample {number}, {sample}")
        compared += 1
    assert compared
    assert refused.met == set(refused.reasons)


@pytest.mark.parametrize("op", [op for op in FUNCTIONS if op.error_inputs_func is not None], ids=lambda op: op.name)
def test_bad_arguments_of_a_function(op: Any) -> None:
    for error in op.error_inputs("cpu"):
        sample = error.sample_input
        with pytest.raises((TypeError, ValueError)):
            getattr(twins, name_of(op))(sample.input, *sample.args, **sample.kwargs)


@pytest.mark.parametrize("info", MODULES, ids=lambda info: info.module_cls.__name__)
def test_module(info: Any) -> None:
    kind = getattr(twins, info.module_cls.__name__)
    name, compared = kind.__name__, 0
    for sample in info.module_inputs_func(info, "cpu", torch.float64, True, True):
        made = in_range("", sample.constructor_input.args, sample.constructor_input.kwargs)
        original, ours = (one(*made[0], **made[1]).double() for one in (info.module_cls, kind))
        ours.load_state_dict(original.state_dict())
        arguments = in_range(name, sample.forward_input.args, made[1] | sample.forward_input.kwargs)
        arguments[1].clear()
        agree(name, outcome(ours, arguments, name), outcome(original, arguments, name), f"{sample.desc} {made}")
        compared += 1
    assert compared


@pytest.mark.parametrize(
    "info", [one for one in MODULES if one.module_error_inputs_func], ids=lambda info: info.module_cls.__name__
)
def test_bad_arguments_of_a_module(info: Any) -> None:
    for error in info.module_error_inputs_func(info, "cpu", torch.float64, False, True):
        made, given = error.module_error_input.constructor_input, error.module_error_input.forward_input
        # What a layer is made of is PyTorch's, which raises RuntimeError.
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            getattr(twins, info.module_cls.__name__)(*made.args, **made.kwargs).double()(*given.args, **given.kwargs)
