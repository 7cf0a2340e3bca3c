"""Several processes of PyTorch whose examples are one batch."""

from typing import Any

import numpy as np
import torch

import polyloss
from polyloss import distributed

from .examples import EXAMPLES, spread

dist: Any = torch.distributed


def examples(rank: int, size: int) -> list[str]:
    """Values of whole batches, and gradients that are those of one process once they are averaged."""
    cuts = {2: (0, 11, EXAMPLES), 4: (0, 6, 7, 11, EXAMPLES)}[size]
    part, found = slice(*cuts[rank : rank + 2]), []
    for case in spread():
        for dtype in ("float64", "float32", "bfloat16"):
            given: dict[str, Any] = {}
            for name, value in case.named.items():
                if isinstance(value, np.ndarray):
                    tensor = torch.tensor(value if name in case.shared else value[part])
                    value = tensor.to(getattr(torch, dtype)) if tensor.is_floating_point() else tensor
                given[name] = value.requires_grad_() if name in case.wanted else value
            arrays = [given.pop(name) for name in case.loss.arrays]
            value = distributed.data_parallel(case.loss)(*arrays, **given)
            each = case.keywords["reduction"] == "none"
            value.backward(torch.tensor(case.cotangent[part] if each else case.cotangent, dtype=value.dtype))
            gradients = []
            for name in case.wanted:
                gradient = (given | dict(zip(case.loss.arrays, arrays, strict=True)))[name].grad.double()
                if name in case.shared:
                    dist.all_reduce(gradient)
                # Averaged, as the gradient by a layer before would be: of losses alone, that is nothing to do.
                gradients.append((gradient if each else gradient / size).numpy())
            found += case.wrong(dtype, value.detach().double().numpy(), gradients, part)
    return found


def training(rank: int, size: int) -> list[str]:
    """Gradients of a layer that DDP, FSDP and their accumulation over micro-batches make; and those that are summed."""
    generator = torch.Generator().manual_seed(0)
    x, ids = torch.randn(4 * size, 5, generator=generator), torch.arange(4 * size) % 5
    # The first ones have hardly an example that counts, and a micro-batch of the last one has none.
    ids[: 4 * size - 4], ids[1], ids[-4:-2] = -100, 1, -100
    here = slice(4 * rank, 4 * rank + 4)
    mine, mine_ids = x[here], ids[here]
    loss = distributed.data_parallel(polyloss.cross_entropy)
    total, average = (function((mine_ids != -100).sum()) for function in (distributed.total, distributed.average))
    one, other = slice(0, 2), slice(2, 4)

    def layer() -> Any:
        made = torch.nn.Linear(5, 5)
        with torch.no_grad():
            made.weight.copy_(torch.eye(5))
            made.bias.copy_(torch.arange(5.0))
        return made

    def gradients(model: Any, steps: Any) -> list[Any]:
        for value in steps(model):
            value.backward()
        found = [parameter.grad for parameter in model.parameters()]
        return [grad.full_tensor() if hasattr(grad, "full_tensor") else grad for grad in found]

    def call(function: Any, part: slice = slice(None), **keywords: Any) -> Any:
        return lambda model: function(model(mine[part]), mine_ids[part], ignore_index=-100, **keywords)

    def at_once(model: Any) -> Any:
        yield call(loss)(model)

    def in_two(model: Any) -> Any:
        yield call(loss, one, denominator=total)(model)
        yield call(loss, other, denominator=total)(model)

    def counted(model: Any) -> Any:
        yield call(polyloss.cross_entropy, denominator=average)(model)

    def summed(model: Any) -> Any:
        yield call(polyloss.cross_entropy, denominator=total)(model)

    def by_hand(model: Any) -> list[Any]:
        found = gradients(model, summed)
        for gradient in found:
            dist.all_reduce(gradient)
        return found

    from torch.distributed.fsdp import fully_shard

    exact = gradients(layer(), lambda model: [polyloss.cross_entropy(model(x), ids, ignore_index=-100)])
    parallel: Any = torch.nn.parallel.DistributedDataParallel
    results = {
        f"{kind.__name__}, {steps.__name__}": gradients(kind(layer()), steps)
        for kind in (parallel, fully_shard)
        for steps in (at_once, in_two, counted)
    }
    results["sums"] = by_hand(layer())
    return [
        f"{name}: {got}, expected {gradient}"
        for name, found in results.items()
        for got, gradient in zip(found, exact, strict=True)
        if got is None or not torch.allclose(got, gradient, rtol=1e-6, atol=1e-7)
    ]


def problems(rank: int, size: int) -> list[str]:
    return [*examples(rank, size), *training(rank, size)]
