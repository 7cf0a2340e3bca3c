"""Classes that are split over processes: memory, time and messages, in PyTorch with gloo, on one machine.

``python -m polyloss_benchmarks.distributed benchmarks/results/distributed.json``
"""

import contextlib
import datetime
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import polyloss
from polyloss import distributed
from polyloss_torch import _collectives
from polyloss_torch._private import all_reduce

from . import measure
from .report import machine, versions

PROCESSES = (1, 2, 4)
ROWS, CLASSES = 256, (32768, 131072)
"""Of the steps that are timed."""
LAYER = {"rows": 2048, "features": 64, "classes": 65536}
"""Of the layer before the loss whose memory is measured."""
SHAPES = (8, 10), (256, 1000)
"""Of the logits where there is one process: how much time is not theirs."""
STEPS, TRIES = 3, 15
dist: Any = torch.distributed


def main() -> None:
    os.environ.update(measure.PLAIN_ALLOCATOR)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    start, on = time.monotonic(), machine()
    found = {
        "schema": 1,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": on,
        "versions": versions(),
        "split": [one for count in PROCESSES for one in in_processes(count, split)[0]],
        "one_process": in_processes(1, one_process)[0],
    }
    found["seconds"] = round(time.monotonic() - start, 1)
    Path(sys.argv[1]).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def in_processes(count: int, what: Callable[[int, int], Any]) -> list[Any]:
    """What each of so many processes finds."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_member, (count, what, folder), nprocs=count)  # type: ignore[attr-defined,no-untyped-call]
        return [json.loads(Path(folder, str(rank)).read_text(encoding="utf-8")) for rank in range(count)]


def _member(rank: int, count: int, what: Callable[[int, int], Any], folder: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=count)
    Path(folder, str(rank)).write_text(json.dumps(what(rank, count)), encoding="utf-8")
    dist.destroy_process_group()


def split(rank: int, count: int) -> list[dict[str, Any]]:
    """What this process needs for its part of the classes."""
    loss = distributed.sharded(polyloss.cross_entropy)
    modes = {"eager": loss, "compiled": torch.compile(lambda *arrays: loss(*arrays), fullgraph=True, dynamic=True)}
    return [
        {"mode": mode, "processes": count, **found}
        for mode, run in modes.items()
        for found in (_memory(run, count), *(_step(run, count, classes) for classes in CLASSES))
    ]


def _memory(loss: Any, count: int) -> dict[str, Any]:
    """Peak bytes for a layer, its loss and their gradients, beyond the arguments."""
    hidden = torch.randn(LAYER["rows"], LAYER["features"], requires_grad=True)
    weight = torch.randn(LAYER["classes"] // count, LAYER["features"], requires_grad=True)
    ids = torch.randint(LAYER["classes"], (LAYER["rows"],))

    def step() -> Any:
        return torch.autograd.grad(loss(distributed.replicated(hidden) @ weight.T, ids), (hidden, weight))

    step()
    return {**LAYER, "memory": measure.peak_memory(step, 1)}


def _step(loss: Any, count: int, classes: int) -> dict[str, Any]:
    """Value and gradient of logits, and the messages meanwhile, of which nothing is known where they are compiled."""
    logits, ids = torch.randn(ROWS, classes // count, requires_grad=True), torch.randint(classes, (ROWS,))

    step = functools.partial(_gradient, logits, ids, loss)
    step()
    with _watched() as sent:
        step()
    # Without what is computed in between, nobody waits for others.
    messages, _ = _median(lambda: [all_reduce(array, "sum", dist.group.WORLD) for array in sent])
    seconds, processor_seconds = _median(step)
    return {
        "rows": ROWS,
        "classes": classes,
        "messages": len(sent),
        "bytes": sum(array.nbytes for array in sent),
        "seconds_of_messages": messages,
        "seconds": seconds,
        "processor_seconds": processor_seconds,
    }


@contextlib.contextmanager
def _watched() -> Iterator[list[torch.Tensor]]:
    """Copies of what is summed or compared over processes meanwhile."""
    sent = []

    def noted(array: torch.Tensor, how: str, group: Any) -> torch.Tensor:
        sent.append(array.detach().clone())
        return all_reduce(array, how, group)

    _collectives.all_reduce = noted  # type: ignore[attr-defined]
    try:
        yield sent
    finally:
        _collectives.all_reduce = all_reduce  # type: ignore[attr-defined]


def _median(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of a call that all processes start at the same time, and those of this process on a processor."""
    function()
    found = []
    for _ in range(STEPS):
        dist.barrier()
        start = time.perf_counter(), time.process_time()
        function()
        found.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, processor = map(statistics.median, zip(*found, strict=True))
    return wall, processor


def one_process(rank: int, count: int) -> list[dict[str, Any]]:
    """A split loss beside the plain one, where there are no other processes: ratios of the processor's time."""
    found = []
    for shape in SHAPES:
        arrays = np.random.default_rng(0).normal(size=shape).astype(np.float32), np.arange(shape[0]) % shape[1]
        logits, ids = map(torch.tensor, arrays)
        logits.requires_grad_()
        calls = {
            ("numpy", "value"): functools.partial(_value, *arrays),
            ("torch", "value and gradient"): functools.partial(_gradient, logits, ids),
        }
        for (backend, what), call in calls.items():
            found.append({"backend": backend, "what": what, "shape": shape, "ratio": _ratio(call)})
    return found


def _value(logits: Any, ids: Any, loss: Any) -> Any:
    return loss(logits, ids)


def _gradient(logits: Any, ids: Any, loss: Any) -> Any:
    return torch.autograd.grad(loss(logits, ids), logits)


def _ratio(call: Callable[[Any], Any]) -> float:
    losses = distributed.sharded(polyloss.cross_entropy), polyloss.cross_entropy
    ours, plain = (functools.partial(call, loss) for loss in losses)
    for one in (ours, plain):
        one()
    # Others on this machine shall not count.
    tries = [measure.compare(ours, plain, 0.5, time.process_time).ratio for _ in range(TRIES)]
    return statistics.median(tries)


if __name__ == "__main__":
    main()
