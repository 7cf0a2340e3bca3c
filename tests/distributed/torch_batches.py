"""Several processes of PyTorch that compare their examples."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import polyloss
from polyloss import distributed

from .batches import CUTS, CUTS_OF_REFERENCES, BatchCase, cases
from .rows import refusals

dist: Any = torch.distributed


def result(case: BatchCase, rank: int, size: int, dtype: str, ring: bool) -> list[str]:
    kind = getattr(torch, dtype)
    parts = case.parts(CUTS[size], CUTS_OF_REFERENCES[size], rank)

    def given(array: Any) -> Any:
        tensor = torch.tensor(array)
        return tensor.to(kind) if tensor.is_floating_point() else tensor

    arrays = [given(array[part]) for array, part in zip(case.arrays, parts, strict=True)]
    own = {name: given(v[parts[0]]) for name, v in case.keywords.items() if isinstance(v, np.ndarray)}
    parameters = {name: given(value) for name, value in case.parameters.items()}
    keywords = {**case.keywords, **own, **parameters}
    wanted = [*(arrays[place] for place in case.learned), *parameters.values()]
    for array in wanted:
        array.requires_grad_()
    value = distributed.data_parallel(case.loss, ring=ring)(*arrays, **keywords)
    # The value is that of all members: each one sends a part of its gradient.
    cotangent = case.cotangent[parts[0]] if value.ndim else case.cotangent / size
    value.backward(torch.tensor(cotangent, dtype=value.dtype))
    for parameter in parameters.values():
        assert parameter.grad is not None
        torch.distributed.all_reduce(parameter.grad)
    gradients = [array.grad.double().numpy() for array in wanted]
    how = "ring" if ring else "gathered"
    return case.problems(how, dtype, value.detach().double().numpy(), gradients, parts)


def results(rank: int, size: int) -> list[str]:
    """Values and gradients of a member's own examples."""
    return [
        problem
        for case in cases()
        for ring in (False, True)
        for dtype in dict.fromkeys(("float64", case.dtype))
        for problem in result(case, rank, size, dtype, ring)
    ]


def derivatives(rank: int, size: int) -> list[str]:
    """Derivatives of the gradient."""
    found = []
    for case in cases():
        if case.reduction == "none" or "where" not in case.keywords:
            continue
        parts = case.parts(CUTS[size], CUTS_OF_REFERENCES[size], rank)
        whole = [torch.tensor(array) for array in case.arrays]
        mine = [array[part].clone() for array, part in zip(whole, parts, strict=True)]
        along = [torch.linspace(-1.0, 2.0, one.numel(), dtype=one.dtype).reshape(one.shape) for one in whole]
        first = case.learned[0]

        def call(loss: Any, arrays: Any, own: Any, case: BatchCase = case, **more: Any) -> Any:
            keywords = {
                name: torch.tensor(v[own]) if isinstance(v, np.ndarray) else v for name, v in case.keywords.items()
            }
            return loss(*arrays, **keywords, **{name: torch.tensor(v) for name, v in case.parameters.items()}, **more)

        def second(value: Any, array: Any, along: Any) -> Any:
            # Not linear: what comes from upstream depends on the examples too.
            (gradient,) = torch.autograd.grad(value**2, array, create_graph=True)
            return gradient.detach(), *torch.autograd.grad((gradient * along).sum(), array)

        whole[first].requires_grad_()
        exact = second(call(case.loss, whole, slice(None)), whole[first], along[first])
        for ring in (False, True):
            mine[first] = mine[first].detach().requires_grad_()
            value = call(distributed.data_parallel(case.loss, ring=ring), mine, parts[0])
            # Of the sum of all members' values, each time.
            got = second(value, mine[first], along[first][parts[first]])
            for place, (one, other) in enumerate(zip(got, exact, strict=True)):
                found += case.wrong(f"derivative {place}, ring={ring}", "float64", one / size, other[parts[first]])
    return found


def nobody(rank: int, size: int) -> list[str]:
    """A member without any examples."""
    x, labels = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.arange(6) // 2
    whole = x.clone().requires_grad_()
    exact = polyloss.nt_xent(whole, labels)
    exact.backward()
    here, found = slice(0, 6 if rank == 1 else 0), []
    for ring in (False, True):
        mine = x[here].clone().requires_grad_()
        value = distributed.data_parallel(polyloss.nt_xent, ring=ring)(mine, labels[here])
        (value / size).backward()
        assert whole.grad is not None
        if mine.grad is None or not torch.allclose(mine.grad, whole.grad[here], rtol=1e-13, atol=1e-15):
            found.append(f"gradient of one member's examples, ring={ring}: {mine.grad}, expected {whole.grad[here]}")
        if not torch.allclose(value, exact, rtol=1e-14):
            found.append(f"one member has all examples, ring={ring}: {value}, expected {exact}")
    return found


def compiled(rank: int, size: int) -> list[str]:
    """What the compiler makes of the calls."""
    found = []
    for ring in (False, True):
        for loss, others in ((polyloss.info_nce.partial(symmetric=True), 1), (polyloss.nt_xent, 0)):
            generator = torch.Generator().manual_seed(rank)
            x, y = torch.randn(2, 3 + rank, 4, dtype=torch.float64, generator=generator)
            second = y if others else torch.arange(3 + rank) % 3
            results = []
            function = distributed.data_parallel(loss, ring=ring)
            for run in (function, torch.compile(lambda *a, f=function: f(*a), fullgraph=True, backend="aot_eager")):
                given = x.clone().requires_grad_()
                value = run(given, second)
                value.backward()
                results.append([value.detach(), given.grad])
            for one, other in zip(*results, strict=True):
                if one is None or other is None or not torch.allclose(one, other, rtol=1e-13):
                    found.append(f"compiled {loss!r}, ring={ring}: {other}, expected {one}")
    return found


def errors(rank: int, size: int) -> list[str]:
    """What does not fit is an error for all members, and nobody waits."""
    x, ids = torch.ones(3, 4), torch.zeros(3, dtype=torch.int64)
    wider = torch.ones(3, 5 if rank == size - 1 else 4)
    longer = x.double() if rank == 1 else x
    mask = {"where": torch.ones(3, dtype=torch.bool)} if rank == 0 else {}

    def wrong(info_nce: Any, circle: Any) -> list[tuple[Callable[[], Any], str]]:
        return [
            (
                lambda: info_nce(wider, wider),
                "query must be the same kind of array for all members of the group, but process 0 has 4 features of "
                f"float32, and process {size - 1} 5 features of float32",
            ),
            (lambda: circle(longer, ids), "process 0 has 4 features of float32, and process 1 4 features of float64"),
            (lambda: circle(x, ids, **mask), "where must be the same kind of array for all members"),
        ]

    return [
        problem
        for ring in (False, True)
        for problem in refusals(
            wrong(*(distributed.data_parallel(one, ring=ring) for one in (polyloss.info_nce, polyloss.circle))),
            (ValueError,),
        )
    ]


def problems(rank: int, size: int) -> list[str]:
    found = [*results(rank, size), *errors(rank, size), *nobody(rank, size)]
    if size == 2:
        # For more it is the same, and compiled as often.
        found += [*derivatives(rank, size), *compiled(rank, size)]
    return found
