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
from polyloss.core import chunked

from . import linear, tensors, torch_batches, torch_examples
from .rows import CLASSES, cases, refusals

dist: Any = torch.distributed
multiprocessing: Any = torch.multiprocessing
CUTS = {2: (0, 5, CLASSES), 4: (0, 4, 5, 9, CLASSES)}
"""Where the parts of rows end: they are of different lengths."""


def rows(part: slice) -> list[str]:
    """Values and gradients of parts of rows."""
    found = []
    for case in cases():
        for dtype in ("float64", "bfloat16"):
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


def layers(part: slice) -> list[str]:
    """Values and gradients of a linear layer whose classes are split; in several chunks, and by second derivatives."""
    found, split = [], distributed.sharded(polyloss.linear_cross_entropy)
    for case in linear.cases():
        for dtype in ("float64", "float32", "bfloat16"):
            kind = getattr(torch, dtype)

            def given(name: str, array: Any, case: Any = case, kind: Any = kind) -> Any:
                if not isinstance(array, np.ndarray):
                    return array
                tensor = torch.tensor(case.part(name, array, part))
                return tensor.to(kind) if tensor.is_floating_point() else tensor

            call = {name: given(name, array) for name, array in (case.arrays | case.keywords).items()}
            for name in case.gradients:
                call[name].requires_grad_()
            value = split(**call)
            value.backward(torch.tensor(case.cotangent, dtype=value.dtype))
            gradients = {name: call[name].grad.double().numpy() for name in case.gradients}
            found += case.wrong(dtype, value.detach().double().numpy(), gradients, part)
    return found


def second_derivatives(part: slice) -> list[str]:
    """Derivatives of a layer's gradient; and its gradient behind the compiler, by what has no closed form too."""
    ids = torch.tensor([1, 3, 5, 15, 8, 0, 4])
    arrays, along, keywords = linear.derivatives(torch.tensor)

    def results(loss: Any, part: slice) -> list[Any]:
        own = {n: (a if n == "hidden" else a[part]).clone().requires_grad_() for n, a in arrays.items()}
        # Not linear: what comes from upstream depends on everything too.
        value = loss(**own, target=ids, **keywords) ** 2
        gradients = torch.autograd.grad(value, tuple(own.values()), create_graph=True)
        moved = []
        for (name, change), gradient in zip(along.items(), gradients, strict=True):
            moved.append((gradient * (change if name == "hidden" else change[part])).sum())
        return [value, *gradients, *torch.autograd.grad(sum(moved), tuple(own.values()))]

    split = distributed.sharded(polyloss.linear_cross_entropy)
    compiled = torch.compile(lambda **call: split(**call), fullgraph=True, backend="aot_eager")
    once = {"hidden": 0, "weight": 1, "bias": 2}

    def first(loss: Any, part: slice, names: Any, **call: Any) -> list[Any]:
        own = {n: (a if n == "hidden" else a[part]).clone() for n, a in arrays.items()}
        for name in names:
            own[name].requires_grad_()
        value = loss(**own, target=ids, label_smoothing=0.25, **call)
        return list(torch.autograd.grad(value.sum(), [own[name] for name in names]))

    pairs = list(zip(results(split, part), results(polyloss.linear_cross_entropy, slice(None)), strict=True))
    for names, call in ((once, {}), (once, {"reduction": "none"}), (arrays, {"z_loss": 0.125})):
        whole = first(polyloss.linear_cross_entropy, slice(None), names, **call)
        pairs += zip(first(compiled, part, names, **call), whole, strict=True)

    def own_part(exact: Any) -> Any:
        return exact[part] if exact.ndim and exact.shape[0] == CLASSES else exact

    return [
        f"of a layer, result {place}: {got.tolist()}, expected {own_part(exact).tolist()}"
        for place, (got, exact) in enumerate(pairs)
        if not torch.allclose(got, own_part(exact), rtol=1e-12, atol=1e-13)
    ]


def errors(rank: int, size: int, part: slice) -> list[str]:
    """What is wrong for all members is an error for all of them, and nobody waits."""
    x, ids = torch.zeros(3, CLASSES), torch.zeros(3, dtype=torch.int64)
    loss = distributed.sharded(polyloss.cross_entropy)
    layer = distributed.sharded(polyloss.linear_cross_entropy)
    sparsemax = distributed.sharded(polyloss.multiclass_sparsemax)
    pairs = distributed.sharded(polyloss.multilabel_margin)
    batch = distributed.data_parallel(polyloss.cross_entropy)
    compared = distributed.data_parallel(polyloss.info_nce)
    mesh = dist.device_mesh.init_device_mesh("cpu", (size // 2, 2), mesh_dim_names=("rows", "classes"))
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: loss(x[:, part], ids + CLASSES), "class ids in [0, 16), got 16"),
        (lambda: loss(x[: 3 - rank % 2, part], ids[: 3 - rank % 2]), "each must have a part of the same rows"),
        (
            lambda: loss(x[:, part][:, : rank * CLASSES], ids),
            "logits must have" if rank == 0 else f"process {rank} has parts of rows, and the call of process 0 is an",
        ),
        (
            lambda: loss(x[:, part].to(torch.float64 if rank else torch.float32), ids),
            f"process {rank} has torch.float{64 if rank else 32} as logits, and process",
        ),
        (
            lambda: layer(x, x[: part.stop - part.start].to(torch.float64 if rank else torch.float32), ids),
            f"process {rank} has torch.float{64 if rank else 32} as weight, and process",
        ),
        (
            lambda: layer(x[:, : 9 + rank], x[:1, : 9 + rank], ids),
            f"process {rank} has {9 + rank} features, and process",
        ),
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
        (lambda: loss(x[:, part], ids, label_smoothing=0.25 * (rank % 2)), "has keywords of the kind"),
        (lambda: batch(x[:, : CLASSES - rank % 2], ids), "the same keywords, reduction and lengths of rows"),
        (lambda: compared(x, x, symmetric=rank % 2 == 0), "the same keywords, reduction and lengths of rows"),
        (
            lambda: batch(x, ids, reduction=("sum", "mean")[rank % 2]),
            "the same keywords, reduction and lengths of rows",
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
    # By their own parts, members would have chunks of different numbers of rows.
    chunked.CHUNK = 24
    problems = [*layers(part), *rows(part), *errors(rank, size, part)]
    problems += [*tensors.spread_logits(size), *tensors.spread_layers(size)]
    problems += torch_examples.problems(rank, size)
    problems += torch_batches.problems(rank, size)
    if size == 2:
        # For more it is the same, and compiled as often.
        problems += [*derivatives(part), *second_derivatives(part)]
    for problem in problems:
        print(f"{rank}: {problem}")
    dist.barrier()
    dist.destroy_process_group()


def main(size: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(member, (size, f"{folder}/store"), nprocs=size)
    print("finished")
