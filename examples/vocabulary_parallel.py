"""A small language model whose vocabulary is split over processes, with PyTorch.

Each process has the last layer's rows of some words, and computes the logits of these alone. The loss, all gradients
and so the training are those of one process with the whole vocabulary.

    python examples/vocabulary_parallel.py [--processes 2] [--words 1001] [--steps 20]
"""

import argparse
import tempfile
from typing import Any

import torch

import polyloss
from polyloss import distributed

FEATURES, TOKENS = 32, 256
dist: Any = torch.distributed


def text(words: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Words and those behind them: mostly the same ones."""
    generator = torch.Generator().manual_seed(0)
    follower = torch.randperm(words, generator=generator)
    now = torch.randint(words, (TOKENS,), generator=generator)
    noise = torch.randint(words, (TOKENS,), generator=generator)
    return now, torch.where(torch.rand(TOKENS, generator=generator) < 0.9, follower[now], noise)


def train(words: int, steps: int, part: slice) -> tuple[list[float], torch.Tensor]:
    """Train a model that has a part of the last layer. The losses, and that part of the layer."""
    torch.manual_seed(0)
    embedding, hidden_layer = torch.nn.Embedding(words, FEATURES), torch.nn.Linear(FEATURES, FEATURES)
    # What is the same in every process comes from the same seed; of the layer, each keeps its rows.
    layer = torch.nn.Parameter(torch.nn.Linear(FEATURES, words, bias=False).weight.detach()[part].clone())
    optimizer = torch.optim.SGD([*embedding.parameters(), *hidden_layer.parameters(), layer], lr=5.0)
    cross_entropy = distributed.sharded(polyloss.cross_entropy)
    now, following = text(words)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        hidden = torch.relu(hidden_layer(embedding(now)))
        logits = distributed.replicated(hidden) @ layer.T
        loss = cross_entropy(logits, following, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, layer.detach()


def member(rank: int, processes: int, words: int, steps: int, store: str) -> None:
    """One of the processes. The first one compares with a single one."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=processes)
    ends = [words * place // processes for place in range(processes + 1)]
    part = slice(ends[rank], ends[rank + 1])
    losses, layer = train(words, steps, part)
    dist.destroy_process_group()
    if rank == 0:
        alone, whole = train(words, steps, slice(None))
        print(f"{'step':>6s} {f'{processes} processes':>12s} {'one':>12s}")
        for step in (0, steps - 1):
            print(f"{step:6d} {losses[step]:12.6f} {alone[step]:12.6f}")
        print(f"largest difference of a weight: {float((layer - whole[part]).abs().max()):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a language model whose vocabulary is split over processes.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--words", type=int, default=1001)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = (options.processes, options.words, options.steps, f"{folder}/store")
        torch.multiprocessing.spawn(member, given, nprocs=options.processes)  # type: ignore[attr-defined,no-untyped-call]


if __name__ == "__main__":
    main()
