"""Distributed data parallel training where ignored tokens are spread unevenly, with PyTorch.

Each process has its part of the batch, and some have hardly a token that counts. The mean of each is not the mean of
the batch; `polyloss.distributed.data_parallel` has that one, and the gradients that DDP averages are those of one
process.

    python examples/ignored_tokens.py [--processes 2] [--steps 20]
"""

import argparse
import tempfile
from typing import Any

import torch

import polyloss
from polyloss import distributed

IGNORED, FEATURES, CLASSES, TOKENS = -100, 8, 5, 64
dist: Any = torch.distributed


def batch(processes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens with labels that can be learned. Of the last process's part, one in eight counts; of others, seven."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(processes * TOKENS, FEATURES, generator=generator)
    labels = (tokens @ torch.randn(FEATURES, CLASSES, generator=generator)).argmax(-1)
    eighth = torch.arange(len(labels)) % 8 == 0
    last = torch.arange(len(labels)) >= (processes - 1) * TOKENS
    return tokens, torch.where(eighth == last, labels, IGNORED)


def train(tokens: torch.Tensor, labels: torch.Tensor, steps: int, *, everywhere: bool, parallel: bool) -> torch.Tensor:
    """The weights after some steps, where the mean is that of the tokens of all processes or of this one."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(FEATURES, CLASSES)
    model = torch.nn.parallel.DistributedDataParallel(layer) if parallel else layer
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    loss = distributed.data_parallel(polyloss.cross_entropy) if everywhere else polyloss.cross_entropy
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(tokens), labels, ignore_index=IGNORED).backward()
        optimizer.step()
    return layer.weight.detach()


def member(rank: int, processes: int, steps: int, store: str) -> None:
    """One of the processes. The first one compares with a single one."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=processes)
    tokens, labels = batch(processes)
    here = slice(rank * TOKENS, (rank + 1) * TOKENS)
    ours, naive = (
        train(tokens[here], labels[here], steps, everywhere=everywhere, parallel=True) for everywhere in (True, False)
    )
    dist.destroy_process_group()
    if rank == 0:
        alone = train(tokens, labels, steps, everywhere=False, parallel=False)
        print(f"{'mean':30s} largest difference of a weight from one process")
        print(f"{'of the tokens of all':30s} {float((ours - alone).abs().max()):.1e}")
        print(f"{'of those of each process':30s} {float((naive - alone).abs().max()):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train with DDP where ignored tokens are spread unevenly.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = (options.processes, options.steps, f"{folder}/store")
        torch.multiprocessing.spawn(member, given, nprocs=options.processes)  # type: ignore[attr-defined,no-untyped-call]


if __name__ == "__main__":
    main()
