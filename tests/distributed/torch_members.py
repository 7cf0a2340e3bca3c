"""Several processes of PyTorch."""

import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import torch

import polyloss
from polyloss import distributed

from . import torch_batches
from .examples import EXAMPLES, spread
from .rows import CLASSES, cases, refusals

dist: Any = torch.distributed
multiprocessing: Any = torch.multiprocessing
CUTS = {2: (0, 5, CLASSES), 4: (0, 4, 5, 9, CLASSES)}
"""Where the parts of rows end: they are of different lengths."""


def rows(part: slice) -> list[str]:
    """Values and gradients of parts of rows."""
    found = []
    for case in cases():
        for dtype in ("float64", "float32", "bfloat16"):
            kind = getattr(torch, dtype)

            def part_of(array: Any, is_split: bool, kind: Any = kind) -> Any:
                tensor = torch.tensor(array[..., part] if is_split else array)
                return tensor.to(kind) if tensor.is_floating_point() else tensor

            arrays = [part_of(*pair) for pair in zip(case.arrays, case.by_class, strict=True)]
            keywords = {
                key: part_of(value, key == "class_weight") if isinstance(value, np.ndarray) else value
                for key, value in case.keywords.items()
            }
            wanted = [arrays[0], *(keywords[key] for key in ("class_weight",) if key in keywords)]
            for array in wanted:
                array.requires_grad_()
            value = distributed.sharded(getattr(polyloss, case.loss))(*arrays, **keywords)
            value.backward(torch.tensor(case.cotangent, dtype=value.dtype))
            gradients = [array.grad.double().numpy() for array in wanted]
            found += case.wrong(dtype, value.detach().double().numpy(), gradients, part)
    return found


def derivatives(part: slice) -> list[str]:
    """Derivatives of the gradient; and the gradient by a parameter of all members, and behind the compiler."""
    generator = torch.Generator().manual_seed(0)
    x, along = (torch.randn(5, CLASSES, dtype=torch.float64, generator=generator) for _ in range(2))
    ids, smoothing = torch.tensor([0, 15, 7, 8, 3]), torch.tensor(0.125, dtype=torch.float64)

    def results(function: Any, x: Any, along: Any) -> list[Any]:
        x, epsilon = x.clone().requires_grad_(), smoothing.clone().requires_grad_()
        # Not linear: what comes from upstream depends on the logits too.
        loss = function(x, ids, label_smoothing=epsilon) ** 2
        gradient, by_epsilon = torch.autograd.grad(loss, (x, epsilon), create_graph=True)
        return [gradient, by_epsilon, *torch.autograd.grad((gradient * along).sum(), x)]

    split = distributed.sharded(polyloss.cross_entropy)
    whole = results(polyloss.cross_entropy, x, along)
    mine = results(split, x[:, part], along[:, part])
    compiled = torch.compile(lambda x: split(x, ids), fullgraph=True, backend="aot_eager")
    plain, traced = x.clone().requires_grad_(), x[:, part].clone().requires_grad_()
    polyloss.cross_entropy(plain, ids).backward()
    compiled(traced).backward()
    whole, mine = [*whole, plain.grad], [*mine, traced.grad]
    return [
        f"derivative {place}: {got.tolist()}, expected {exact.tolist()}"
        for place, (got, exact) in enumerate(zip(mine, whole, strict=True))
        if not torch.allclose(got, exact[:, part] if exact.ndim else exact, rtol=1e-13, atol=1e-14)
    ]


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


def errors(rank: int, size: int, part: slice) -> list[str]:
    """What is wrong for all members is an error for all of them, and nobody waits."""
    x, ids = torch.zeros(3, CLASSES), torch.zeros(3, dtype=torch.int64)
    loss = distributed.sharded(polyloss.cross_entropy)
    sparsemax = distributed.sharded(polyloss.multiclass_sparsemax)
    pairs = distributed.sharded(polyloss.multilabel_margin)
    batch = distributed.data_parallel(polyloss.cross_entropy)
    mesh = dist.device_mesh.init_device_mesh("cpu", (size // 2, 2), mesh_dim_names=("rows", "classes"))
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: loss(x[:, part], ids + CLASSES), "in [0, C), with the C classes of all members, got 16"),
        (lambda: loss(x[: 3 - rank % 2, part], ids[: 3 - rank % 2]), "each must have a part of the same rows"),
        (lambda: sparsemax(x[:, part], ids), "needs whole rows, for its kernel uses sort"),
        (
            lambda: pairs(x[:, part], torch.zeros_like(x[:, part], dtype=torch.int64)),
            "needs whole rows, for its kernel pairs",
        ),
        (
            lambda: loss(x[:, part], torch.full((3, CLASSES), -float(rank))[:, part]),
            "another member of the group" if rank == 0 else "in [0, 1], got -1" if rank == 1 else "in [0, 1], got -",
        ),
        (lambda: distributed.sharded(polyloss.cross_entropy, mesh)(x, ids), "as in mesh['rows']"),
        (lambda: distributed.sharded(polyloss.cross_entropy, "classes")(x, ids), "must be a ProcessGroup"),
        (
            lambda: batch(x, ids + CLASSES * (rank == 1)),
            "in [0, 16), got 16" if rank == 1 else "the arguments of another member of the group are wrong",
        ),
        (
            lambda: batch(x, ids[: 3 - rank % 2]),
            "shape (3,), got (2,)" if rank % 2 else "the arguments of another member of the group are wrong",
        ),
    ]
    found = refusals(wrong, (TypeError, ValueError))
    pair = mesh["classes"]
    here = slice(0, 5) if pair.get_local_rank() == 0 else slice(5, CLASSES)
    x = torch.randn(3, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value, exact = distributed.sharded(polyloss.cross_entropy, pair)(x[:, here], ids), polyloss.cross_entropy(x, ids)
    if not torch.allclose(value, exact, rtol=1e-14):
        found.append(f"{value} with a dimension of a mesh, expected {exact}")
    rows = mesh["rows"]
    grid = distributed.data_parallel(distributed.sharded(polyloss.cross_entropy, pair), rows)
    ids = torch.tensor([0, 15, -100])
    mine = slice(0, 2) if rows.get_local_rank() == 0 and rows.size() == 2 else slice(2 * (rows.size() - 1), 3)
    value = grid(x[mine, here], ids[mine], ignore_index=-100)
    exact = polyloss.cross_entropy(x, ids, ignore_index=-100)
    if not torch.allclose(value, exact, rtol=1e-14):
        found.append(f"{value} on a grid, expected {exact}")
    hinge = distributed.sharded(polyloss.multiclass_hinge)
    ids = torch.zeros(3, dtype=torch.int64)
    for place in (0, CLASSES - 1):
        x[0, place] = torch.nan
        if not hinge(x[:, part], ids).isnan():
            found.append("NaN is lost")
        x[0, place] = 0.0
    if distributed.total(torch.tensor(200, dtype=torch.uint8)) != 200 * size:
        found.append("a sum of counts wraps")
    return found


def member(rank: int, size: int, store: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
    part = slice(*CUTS[size][rank : rank + 2])
    problems = [*rows(part), *examples(rank, size), *training(rank, size), *errors(rank, size, part)]
    if size == 2:
        # For more it is the same, and compiled as often.
        problems += derivatives(part)
    problems += torch_batches.problems(rank, size)
    for problem in problems:
        print(f"{rank}: {problem}")
    dist.barrier()
    dist.destroy_process_group()


def main(size: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(member, (size, f"{folder}/store"), nprocs=size)
    print("finished")
