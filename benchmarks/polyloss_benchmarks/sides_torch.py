"""PyTorch: `torch.nn.functional`, eager and compiled."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from .columns import Column, Side, Step
from .rows import HALVES, Row


def _through_float32(side: Side) -> Side:
    """What is done where halves are not trusted."""
    value = side.value
    return Side(
        "torch float32",
        f"{side.name} of .float()",
        lambda *arrays: value(*(a.float() if a.is_floating_point() else a for a in arrays)),
    )


class TorchColumn(Column):
    """PyTorch."""

    backend = "torch"
    families: ClassVar[Mapping[str, tuple[str, str]]] = {"torch": ("torch", "F.")}

    def __init__(self, mode: str, device: str = "cpu") -> None:
        super().__init__(mode, device)
        self.slow_to_compile = mode == "compile"

    def array(self, array: NDArray[Any], dtype: str = "float32") -> Tensor:
        found = torch.tensor(array, device=self.device)
        return found.to(getattr(torch, dtype)) if found.is_floating_point() else found

    def rivals(self, row: Row, dtype: str = "float32") -> list[Side]:
        found = super().rivals(row, dtype)
        if row.logits_of and self.compiles:
            # What is done in chunks is not for the compiler.
            found = [side for side in found if side.against == "plain"]
        if dtype in HALVES:
            found += [_through_float32(side) for side in found if side.against == "torch"]
        return found

    def clock(self) -> float:
        if not self.on_cpu:
            torch.accelerator.synchronize(self.device)
        return super().clock()

    def peak_memory(self, step: Step, tries: int) -> int | None:
        if self.on_cpu:
            return super().peak_memory(step, tries)
        memory: Any = getattr(torch, self.device.type)
        if not hasattr(memory, "max_memory_allocated"):
            return None
        memory.reset_peak_memory_stats(self.device)
        before = memory.memory_allocated(self.device)
        step()
        return int(memory.max_memory_allocated(self.device) - before)

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
