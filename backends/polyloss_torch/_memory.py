"""How blocks see tensors: small ones as arrays of NumPy, large ones as they are, in PyTorch's own operations.

An operation of PyTorch takes longer to start than one of NumPy. But it uses PyTorch's own threads, next to which others
would wait for a core; and it knows halves, and functions that NumPy computes one by one on many processors.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from polyloss.engine.blocks import Memory
from polyloss.engine.dialect import Dialect, Shape, Work

from ._private import to_dlpack

HALVES = (torch.float16, torch.bfloat16)
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])
"""NumPy has no such numbers: this stands for them. By its name, `is_half` knows it."""

DTYPES: dict[Any, torch.dtype] = {
    np.dtype(name): getattr(torch, name)
    for name in ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "bool")
} | {BFLOAT16: torch.bfloat16}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_WIDER = frozenset({torch.uint16, torch.uint32, torch.uint64})
"""Few operations take these."""
KNOWN = _WIDER.union(_NAMES)
"""The dtypes of which large tensors may be."""


def _clip(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, out: torch.Tensor) -> None:
    if low.ndim or high.ndim:
        torch.clamp(x, low, high, out=out)
    else:
        torch.clamp(x, low.item(), high.item(), out=out)


def _test(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function without an argument for where its result goes."""
    return lambda x, out: out.copy_(function(x))


def _outside(x: torch.Tensor, low: Any, high: Any) -> bool:
    """Whether not all of `x` is known to be within limits."""
    least, most = torch.aminmax(x)
    return not (least.item() >= low and most.item() <= high)


_LOG2_E = math.log2(math.e)


def _exp(x: torch.Tensor, out: torch.Tensor) -> None:
    """exp(x). For float32, PyTorch's own, which is MKL's, takes four times as long on an AMD EPYC with AVX-512.

    The argument is rounded once more: the condition of the exponential, |x|, covers it.
    """
    if x.dtype == torch.float32:
        torch.exp2(torch.mul(x, _LOG2_E, out=out), out=out)
    else:
        torch.exp(x, out=out)


_SAME = (
    "add subtract multiply divide negative absolute log log1p expm1 sqrt sinh cosh tanh maximum minimum less "
    "less_equal greater greater_equal not_equal logical_and logical_or logical_xor logical_not "
    "bitwise_and bitwise_or bitwise_xor"
)


_TEMPLATES = {
    "cast": ("{out}.copy_({a[0]})",),
    "round": ("{out}.copy_({a[0]})",),
    "full": ("{out}.copy_({a[0]})",),
    "mask": ("{out}.copy_({a[0]})", "{out}.neg_()"),
    # Into whole numbers at once: booleans take four times as long.
    "mask.compared": ("{compare}({all}, out={out})", "{out}.neg_()"),
    "unmask": ("{out}.copy_({a[0]})", "{out}.sub_(1)"),
    "unmask.compared": ("{compare}({all}, out={out})", "{out}.sub_(1)"),
    "pick": ("take({a[0]}, {a[1]}.to(int64), out={out}.view(-1))",),
    "put": ("{out}.view(-1)[{a[2]}] = {a[1]}.reshape(-1)",),
    "add.reduce": ("add_rows({a[0]}, -1, True, out={out})",),
    "dot.reduce": ("vecdot({all}, out={out}[..., 0])",),
    "maximum.reduce": ("max_rows({a[0]}, -1, True, out={out})",),
    "minimum.reduce": ("min_rows({a[0]}, -1, True, out={out})",),
    "logical_or.reduce": ("any_row({a[0]}, -1, True, out={out})",),
    "logical_and.reduce": ("all_row({a[0]}, -1, True, out={out})",),
}
_OTHER = ("{op}({all}, out={out})",)
_FUNCTIONS = {name: getattr(torch, name) for name in _SAME.split()} | {
    "power": torch.pow,
    "equal": torch.eq,
    "chosen": torch.eq,
    "index": torch.add,
    "clip": _clip,
    "exp": _exp,
    "take": torch.take,
    "int64": torch.int64,
    "isfinite": _test(torch.isfinite),
    "isnan": _test(torch.isnan),
    "isinf": _test(torch.isinf),
    "vecdot": torch.linalg.vecdot,
    "add_rows": torch.sum,
    "max_rows": torch.amax,
    "min_rows": torch.amin,
    "any_row": torch.any,
    "all_row": torch.all,
    "dot": lambda one, other: (one * other).sum().item(),
    "total": lambda x: x.sum().item(),
    "any_of": lambda x: bool(x.any()),
    "outside": _outside,
}


class _Torch(Dialect):
    """The operations of PyTorch, which use its own threads."""

    def constant(self, value: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(value))

    def dtype(self, dtype: Any) -> torch.dtype:
        found: torch.dtype = DTYPES[dtype]
        return found

    def scratch(self, size: int) -> torch.Tensor:
        # What is kept must be of use outside of this mode too.
        with torch.inference_mode(False):
            return torch.empty(size, dtype=torch.uint8, device="cpu")

    def part(self, memory: torch.Tensor, start: int, shape: Shape, dtype: Any) -> torch.Tensor:
        return memory[start : start + math.prod(shape) * dtype.itemsize].view(DTYPES[dtype]).view(shape)

    def moved(self, array: torch.Tensor, source: Shape, destination: Shape) -> torch.Tensor:
        return torch.movedim(array, source, destination)

    def spread(self, array: torch.Tensor, shape: Shape) -> torch.Tensor:
        return torch.broadcast_to(array, shape)

    def each(self, work: Work, blocks: Iterable[Any], count: int, threads: Callable[[], int]) -> None:
        # Each operation uses all threads.
        work(blocks)


TORCH = _Torch(_TEMPLATES, _OTHER, _FUNCTIONS, times=2)


class _Exported:
    """A tensor for NumPy. Its own method `numpy` would forbid that its storage is ever resized."""

    __slots__ = ("_capsule",)

    def __init__(self, tensor: torch.Tensor) -> None:
        self._capsule = to_dlpack(tensor)

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        # Each by its name: to put them into a dict takes a fifth of all this.
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


class AsArrays(Memory):
    """Tensors as arrays of NumPy; halves as copies in single precision."""

    def see(self, array: torch.Tensor) -> Any:
        return np.from_dlpack(_Exported(array.detach().float() if array.dtype in HALVES else array))

    def empty(self, shape: Sequence[int], dtype: Any) -> tuple[torch.Tensor, Any]:
        memory = np.empty(shape, dtype)
        return torch.from_numpy(memory), memory


class AsTensors(Memory):
    """Tensors as they are."""

    dialect = TORCH

    def see(self, array: torch.Tensor) -> Any:
        if array.dtype in _WIDER:
            return array.to(torch.int64)
        return array.detach() if array.requires_grad else array

    def empty(self, shape: Sequence[int], dtype: Any) -> tuple[torch.Tensor, Any]:
        found = torch.empty(shape, dtype=DTYPES[dtype], device="cpu")
        return found, found

    def dtype(self, seen: torch.Tensor) -> Any:
        return _NAMES[seen.dtype]


__all__ = ["BFLOAT16", "DTYPES", "HALVES", "KNOWN", "TORCH", "AsArrays", "AsTensors"]
