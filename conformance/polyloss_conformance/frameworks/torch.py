"""PyTorch: eager, traced alone, and with generated code."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.cases import Place, has_bfloat16, numpy_dtype

from .base import EAGER, Array, Curvature, Framework, Outcome, Step, called, placed


class TorchFramework(Framework):
    name = "torch"
    package = "torch"
    written = "torch.asarray({}, dtype=torch.{})"
    modes = (*EAGER, "aot_eager", "compile")
    dynamic = ("aot_eager", "compile")
    welcomes_numpy = False

    def use(self, device: str) -> None:
        super().use(device)
        # Code that is compiled for CUDA takes subnormal numbers for zero.
        self.flushes = not self.shows_values

    def array(self, value: NDArray[Any]) -> Array:
        import torch

        if has_bfloat16 and value.dtype == numpy_dtype("bfloat16"):
            return torch.tensor(value.astype(np.float32), device=self.device).to(torch.bfloat16)
        return torch.tensor(value, device=self.device)

    def numpy(self, array: Array) -> NDArray[Any]:
        import torch

        array = array.detach()
        found: NDArray[Any] = (array.float() if array.dtype == torch.bfloat16 else array).cpu().numpy()
        return found

    def is_array(self, value: Any) -> bool:
        import torch

        return isinstance(value, torch.Tensor)

    def dtype(self, array: Array) -> str:
        return str(array.dtype).removeprefix("torch.")

    def autocast(self, dtype: str) -> AbstractContextManager[Any] | None:
        import torch

        return torch.autocast(torch.device(self.device).type, dtype=getattr(torch, dtype))

    def step(
        self,
        loss: Any,
        static: Mapping[str, Any],
        wanted: Sequence[Place],
        mode: str,
        batched: Collection[Place] = (),
        unoptimised: bool = False,
    ) -> Step:
        import torch

        function = loss
        if mode not in EAGER:
            torch._dynamo.reset()
            backend = "eager" if unoptimised else "inductor" if mode == "compile" else mode
            function = torch.compile(loss, fullgraph=True, backend=backend)

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            given = _variables(placed(arrays, options), wanted)
            for place in batched:
                array = given[place]
                if array.ndim and array.shape[0] > 1:
                    torch._dynamo.mark_dynamic(array, 0)
                if array.ndim > 1:
                    torch._dynamo.maybe_mark_dynamic(array, 1)
            value = called(function, static, given)
            gradients = torch.autograd.grad(value, [given[place] for place in wanted], cotangent)
            return Outcome(value.detach(), gradients)

        return run

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:

        names = tuple(options)

        def function(*inputs: Any) -> Any:
            return loss(*inputs[: len(arrays)], **static, **dict(zip(names, inputs[len(arrays) :], strict=True)))

        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode(allow_non_fake_inputs=False) as mode:
            function(*(mode.from_tensor(a) if self.is_array(a) else a for a in (*arrays, *options.values())))
        return True

    def curvature(self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place]) -> Curvature:
        import torch

        def product(
            arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array, directions: Sequence[Array]
        ) -> tuple[Array, ...]:
            given = _variables(placed(arrays, options), wanted)
            inputs = [given[place] for place in wanted]
            gradients = torch.autograd.grad(called(loss, static, given), inputs, cotangent, create_graph=True)
            along = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
            if not along.requires_grad:
                return tuple(torch.zeros_like(a) for a in inputs)
            return torch.autograd.grad(along, inputs, materialize_grads=True)

        return product


def _variables(given: Mapping[Place, Array], wanted: Sequence[Place]) -> dict[Place, Array]:
    return {p: array.detach().clone().requires_grad_() if p in wanted else array for p, array in given.items()}
