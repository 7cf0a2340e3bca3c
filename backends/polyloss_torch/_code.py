"""Blocks in PyTorch's own functions: they use its threads, and need the interpreter's lock less."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from polyloss._code import Code

_KINDS = {
    getattr(torch, name): np.dtype(name)
    for name in ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
}
_DTYPES: dict[np.dtype[Any], torch.dtype] = {kind: dtype for dtype, kind in _KINDS.items()}

# Comparisons are fast where their result has the dtype of the operands.
_TRUE = "{out}.copy_({spare})"
_COMPARED = ("{op}({a}, out={spare})", _TRUE)


class _Exported:
    """A tensor for NumPy. Its own method `numpy` would forbid that its storage is ever resized."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._capsule = torch.utils.dlpack.to_dlpack(tensor)  # type: ignore[attr-defined]

    def __dlpack__(self, **options: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


class OnTensors(Code):
    """Operations in NumPy, on the memory of tensors."""

    def memory(self, array: torch.Tensor) -> Any:
        return np.from_dlpack(_Exported(array.detach() if array.requires_grad else array))

    def empty(self, shape: Sequence[int], kind: np.dtype[Any]) -> tuple[torch.Tensor, Any]:
        found = torch.empty(shape, dtype=_DTYPES[kind], device="cpu")
        return found, found.numpy()


class TorchCode(Code):
    """Operations on tensors in memory."""

    xp = torch
    parallel = True
    templates: Mapping[str, Sequence[str]] = {
        **dict.fromkeys(("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"), _COMPARED),
        "isnan": ("not_equal({a[0]}, {a[0]}, out={spare})", _TRUE),
        "isinf": ("absolute({a[0]}, out={spare})", "equal({spare}, inf, out={spare})", _TRUE),
        "isfinite": ("subtract({a[0]}, {a[0]}, out={spare})", "equal({spare}, 0, out={spare})", _TRUE),
        "clip": ("clamp({a}, out={out})",),
        "cast": ("{out}.copy_({a[0]})",),
        "full": ("{out}.copy_({a[0]})",),
        "mask": ("{out}.copy_({a[0]})", "negative({out}, out={out})"),
        "mask.compared": ("{compare}({a}, out={spare})", _TRUE, "negative({out}, out={out})"),
        "unmask": ("{out}.copy_({a[0]})", "subtract({out}, 1, out={out})"),
        "unmask.compared": ("{compare}({a}, out={spare})", _TRUE, "subtract({out}, 1, out={out})"),
        "chosen": ("equal({a}, out={out})",),
        "index": ("add({a}, out={out})",),
        "pick": ("take({a[0]}, {a[1]}.long(), out={out}.view(-1))",),
        "put": ("{out}.view(-1)[{a[2]}] = {a[1]}.reshape(-1)",),
        "add.reduce": ("sum({a[0]}, -1, True, out={out})",),
        "maximum.reduce": ("amax({a[0]}, -1, True, out={out})",),
        "logical_or.reduce": ("any({a[0]}, -1, True, out={out})",),
    }
    other = ("{op}({a}, out={out})",)
    total = "sum({a[0]}).item()"
    products = None
    numbers = frozenset({"clip", "power"})

    def named(self) -> dict[str, Any]:
        """The functions that templates name."""
        names = {name for name in super().named() if hasattr(torch, name)} | {"clamp", "take", "sum", "amax", "any"}
        return {name: getattr(torch, name) for name in names} | {
            "equal": torch.eq,
            "power": torch.pow,
            "inf": math.inf,
            "any_of": lambda array: array.view(torch.uint8).max().item(),
            "outside": _outside,
        }

    def empty(self, shape: Sequence[int], kind: np.dtype[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        found = torch.empty(shape, dtype=_DTYPES[kind], device="cpu")
        return found, found

    def kind(self, array: torch.Tensor) -> np.dtype[Any]:
        """The dtype of an array, as NumPy calls it."""
        return _KINDS[array.dtype]

    def dtype(self, kind: np.dtype[Any]) -> torch.dtype:
        """The dtype that NumPy calls `kind`."""
        return _DTYPES[kind]

    def asarray(self, array: Any) -> torch.Tensor:
        """A NumPy array or number as an array that nobody writes to."""
        return torch.from_numpy(np.array(array))

    def bytes(self, count: int) -> torch.Tensor:
        """New memory that starts where any vector instruction may."""
        # It is written to again outside of inference mode.
        with torch.inference_mode(False):
            return torch.empty(count, dtype=torch.uint8, device="cpu")

    def split(self, array: torch.Tensor, step: int) -> Sequence[torch.Tensor]:
        """`step` rows at a time."""
        return array.split(step)  # type: ignore[no-untyped-call,no-any-return]


def _outside(array: torch.Tensor, low: float, high: float) -> bool:
    """Whether not all of `array` is known to be within limits."""
    least, most = torch.aminmax(array)
    return not (least.item() >= low and most.item() <= high)


IN_NUMPY = OnTensors()
IN_TORCH = TorchCode()
