"""Contrastive training over several processes, with PyTorch: each image is compared with those of all processes.

The encoder is trained by DDP on two noisy views of handwritten digits, with a temperature that is learned. With
`polyloss.distributed.data_parallel` the loss is that of the whole batch; the loss of each process by itself, which has
fewer images to choose from, is another one.

    python examples/contrastive.py [--processes 4] [--steps 20] [--ring]
"""

import argparse
import tempfile
from typing import Any

import torch
from sklearn.datasets import load_digits

import polyloss
from polyloss import distributed

IMAGES, FEATURES = 64, 32
dist: Any = torch.distributed


class Encoder(torch.nn.Module):
    """Vectors of length 1, and the temperature that their products are divided by."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, FEATURES))
        self.log_temperature = torch.nn.Parameter(torch.tensor(-1.5))

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first, second = (torch.nn.functional.normalize(self.layers(view), dim=-1) for view in (one, other))
        return first, second, self.log_temperature.exp()


def views(processes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two noisy views of each image."""
    images = torch.tensor(load_digits().data[: processes * IMAGES], dtype=torch.float32) / 16
    noise = torch.randn(2, *images.shape, generator=torch.Generator().manual_seed(0)) * 0.2
    return images + noise[0], images + noise[1]


def train(loss: Any, one: torch.Tensor, other: torch.Tensor, steps: int, *, parallel: bool) -> tuple[float, Encoder]:
    """The last loss, and the encoder."""
    torch.manual_seed(0)
    encoder = Encoder()
    model = torch.nn.parallel.DistributedDataParallel(encoder) if parallel else encoder
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.5)
    value = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad()
        first, second, temperature = model(one, other)
        value = loss(first, second, temperature=temperature, symmetric=True)
        value.backward()
        optimizer.step()
    return float(value.detach()), encoder


def difference(one: Encoder, other: Encoder) -> float:
    """The largest one of a weight."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((mine - yours).detach().abs().max()) for mine, yours in pairs)


def member(rank: int, processes: int, steps: int, ring: bool, store: str) -> None:
    """One of the processes. The first one compares with a single one."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=processes)
    one, other = views(processes)
    here = slice(rank * IMAGES, (rank + 1) * IMAGES)
    loss = distributed.data_parallel(polyloss.info_nce, ring=ring)
    value, ours = train(loss, one[here], other[here], steps, parallel=True)
    apart, naive = train(polyloss.info_nce, one[here], other[here], steps, parallel=True)
    dist.destroy_process_group()
    if rank == 0:
        alone, whole = train(polyloss.info_nce, one, other, steps, parallel=False)
        print(f"{'loss of':28s} {'last value':>12s} largest difference of a weight from one process")
        print(f"{'one process, all images':28s} {alone:12.6f}")
        print(f"{'the images of all processes':28s} {value:12.6f} {difference(ours, whole):.1e}")
        print(f"{'those of each process':28s} {apart:12.6f} {difference(naive, whole):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train with a contrastive loss over several processes.")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--ring", action="store_true", help="never hold the products with all images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = (options.processes, options.steps, options.ring, f"{folder}/store")
        torch.multiprocessing.spawn(member, given, nprocs=options.processes)  # type: ignore[attr-defined,no-untyped-call]


if __name__ == "__main__":
    main()
