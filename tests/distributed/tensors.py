"""Logits as a `torch.distributed.tensor.DTensor` whose classes are spread over processes."""

from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.utils import _python_dispatch

import polyloss

ROWS, CLASSES = 6, 10
"""Of 10 classes, the last one of four processes has a single one."""


Mode: Any = _python_dispatch.TorchDispatchMode


class Gathers(Mode):  # type: ignore[misc]
    """How large the largest tensor was that processes put together."""

    largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if DTensor in types:
            # What it does of it comes here too.
            return NotImplemented
        found = function(*args, **(kwargs or {}))
        if any(word in str(function) for word in ("all_gather", "all_to_all")):
            self.largest = max(self.largest, found.numel())
        return found


def calls() -> list[tuple[str, str, dict[str, Any]]]:
    """A loss, its target, and keywords. Those of log-probabilities gather them, and those that sort their rows."""
    weight = torch.linspace(0.5, 2.0, CLASSES, dtype=torch.float64)
    some = {
        "sample_weight": torch.linspace(0.5, 1.0, ROWS, dtype=torch.float64),
        "where": torch.tensor([True, True, False, True, True, True]),
    }
    found: list[tuple[str, str, dict[str, Any]]] = [
        ("cross_entropy", "ids", {}),
        ("cross_entropy", "ids", {"reduction": "none", "label_smoothing": 0.25}),
        ("cross_entropy", "ids", {"reduction": "weighted_mean", "class_weight": weight, **some}),
        ("cross_entropy", "ids", {"ignore_index": 3}),
        ("cross_entropy", "shares", {"class_weight": weight, "reduction": "sum", **some}),
        ("softmax_focal", "ids", {"gamma": 1.5}),
        ("multiclass_hinge", "ids", {}),
        ("nll", "ids", {}),
        ("multiclass_sparsemax", "ids", {}),
    ]
    return found


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(ROWS, CLASSES, dtype=torch.float64, generator=generator)
    return {
        "logits": torch.nn.functional.log_softmax(logits, -1),
        "shares": torch.softmax(torch.randn(ROWS, CLASSES, dtype=torch.float64, generator=generator), -1),
        "ids": torch.tensor([0, 9, 3, 5, 4, 8]),
        "upstream": torch.randn(ROWS, dtype=torch.float64, generator=generator),
    }


def meshes(size: int) -> list[tuple[Any, list[Any]]]:
    """Meshes, and where logits are on them."""
    flat = init_device_mesh("cpu", (size,))
    if size < 4:
        return [(flat, [Shard(1)])]
    square = init_device_mesh("cpu", (2, 2))
    return [(flat, [Shard(1)]), (square, [Shard(0), Shard(1)]), (square, [Shard(1), Replicate()])]


def spread_logits(size: int) -> list[str]:
    """Values and gradients are those of whole tensors, and no logits are gathered."""
    given, found = tensors(), []
    for mesh, placements in meshes(size):
        of_rows = [one if isinstance(one, Shard) and one.dim == 0 else Replicate() for one in placements]
        for loss, target, keywords in calls():
            for is_spread in (False, True):
                name = f"{loss} of {target}{' that are spread' * is_spread} with {list(keywords)} on {placements}"
                plain = given["logits"].clone().requires_grad_()
                weights = [keywords[key].clone().requires_grad_() for key in ("class_weight",) if key in keywords]
                call = keywords | ({"class_weight": weights[0]} if weights else {})
                exact = getattr(polyloss, loss)(plain, given[target], **call)
                exact.backward(given["upstream"] if exact.ndim else given["upstream"][0])
                logits = distribute_tensor(given["logits"], mesh, placements).requires_grad_()
                side: Any = given[target]
                if is_spread:
                    side = distribute_tensor(side, mesh, placements if side.ndim > 1 else of_rows)
                mine = [weight.detach().clone().requires_grad_() for weight in weights]
                call = keywords | ({"class_weight": mine[0]} if mine else {})
                upstream: Any = given["upstream"] if exact.ndim else given["upstream"][0]
                upstream = distribute_tensor(upstream, mesh, [Replicate()] * mesh.ndim)
                with Gathers() as seen:
                    value = getattr(polyloss, loss)(logits, side, **call)
                    (value * upstream).sum().backward()
                found += problems(name, value, exact, logits, plain)
                found += [
                    f"{name}: {got.grad}, expected {weight.grad} by class_weight"
                    for got, weight in zip(mine, weights, strict=True)
                    if not torch.allclose(got.grad, weight.grad, rtol=1e-12)
                ]
                whole = loss in ("nll", "multiclass_sparsemax")
                if (seen.largest >= ROWS * CLASSES // 2) is not whole:
                    found.append(f"{name}: {seen.largest} numbers were gathered")
    return found


def problems(name: str, value: Any, exact: Any, logits: Any, plain: Any) -> list[str]:
    if not (isinstance(value, DTensor) and isinstance(logits.grad, DTensor)):
        return [f"{name}: {type(value)} and {type(logits.grad)}"]
    found = []
    if not torch.allclose(value.full_tensor(), exact, rtol=1e-13):
        found.append(f"{name}: {value.full_tensor()}, expected {exact}")
    if logits.grad.placements != logits.placements:
        found.append(f"{name}: a gradient on {logits.grad.placements}")
    if not torch.allclose(logits.grad.full_tensor(), plain.grad, rtol=1e-12, atol=1e-14):
        found.append(f"{name}: gradient {logits.grad.full_tensor()}, expected {plain.grad}")
    return found


def spread_layers(size: int) -> list[str]:
    """A linear layer whose matrix is spread by its classes gives the right numbers."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(ROWS, 4, dtype=torch.float64, generator=generator)
    weight, ids = torch.randn(CLASSES, 4, dtype=torch.float64, generator=generator), tensors()["ids"]
    plain = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    exact = polyloss.linear_cross_entropy(plain[0], plain[1], ids, z_loss=0.125)
    exact.backward()
    mesh = init_device_mesh("cpu", (size,))
    spread: Any = distribute_tensor(weight, mesh, [Shard(0)]).requires_grad_()
    mine = hidden.clone().requires_grad_()
    value: Any = polyloss.linear_cross_entropy(mine, spread, ids, z_loss=0.125)
    value.backward()
    pairs = [(value.full_tensor(), exact), (mine.grad, plain[0].grad), (spread.grad.full_tensor(), plain[1].grad)]
    return [
        f"of a layer that is spread: {got}, expected {one}"
        for got, one in pairs
        if not torch.allclose(got, one, rtol=1e-12, atol=1e-14)
    ]
