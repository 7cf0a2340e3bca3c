"""A loss and the norm of its gradient over more rows than memory holds, with Dask: a part of the rows exists at a time.

On the processes of a `dask.distributed.LocalCluster` where `distributed` is installed, else on threads. Few rows are
computed with NumPy as well, all at once.

    python examples/larger_than_memory_dask.py [--rows 200000] [--chunk 50000] [--workers 2] [--threads]
"""

import argparse
import contextlib
import importlib.util
import math
import resource
import time
from typing import Any

import dask.array as da
import numpy as np
from dask import config

import polyloss

CLASSES = 10
FEW = 1_000_000


def data(rows: int, chunk: int) -> tuple[Any, Any, Any]:
    """Logits, class ids, and which rows have a label: lazy, as arrays read from files would be."""
    rng = da.random.default_rng(0)
    logits = rng.standard_normal(size=(rows, CLASSES), chunks=(chunk, CLASSES), dtype=np.float32)
    return logits, rng.integers(0, CLASSES, size=rows, chunks=chunk), rng.random(size=rows, chunks=chunk) < 0.9


def summed(logits: Any, ids: Any, known: Any) -> tuple[Any, Any, Any]:
    """The sum of the losses, that of the squares of its gradient, and how many rows have a label."""
    # Of a mean, no gradient is known before all rows are counted: each chunk would wait for that in memory.
    value, gradient = polyloss.value_and_grad(polyloss.cross_entropy)(logits, ids, where=known, reduction="sum")
    return value, (gradient * gradient).sum(dtype=np.float64), known.sum()


def mean(value: Any, squares: Any, count: Any) -> tuple[float, float]:
    """The mean loss, and the norm of its gradient."""
    return float(value) / int(count), math.sqrt(float(squares)) / int(count)


def cluster(workers: int, threads: bool) -> contextlib.AbstractContextManager[Any]:
    """Where the chunks are computed."""
    if threads or importlib.util.find_spec("distributed") is None:
        return config.set(scheduler="threads", num_workers=workers)
    from distributed import Client

    return Client(n_workers=workers, threads_per_worker=1, dashboard_address=None)  # type: ignore[no-any-return]


def peak() -> float:
    """MiB of this process and, where there were others, the largest of these."""
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate a loss over more rows than memory holds.")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--chunk", type=int, default=50_000, help="so many rows at a time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", action="store_true", help="no processes, even where distributed is installed")
    options = parser.parse_args()
    lazy = data(options.rows, options.chunk)
    print(f"{'':8}{'rows':>12}{'loss':>12}{'gradient norm':>16}{'seconds':>10}{'peak MiB':>10}")
    start = time.perf_counter()
    with cluster(options.workers, options.threads):
        found = mean(*da.compute(*summed(*lazy)))
    seconds = time.perf_counter() - start
    print(f"{'Dask':8}{options.rows:12d}{found[0]:12.6f}{found[1]:16.6e}{seconds:10.1f}{peak():10.0f}")
    if options.rows <= FEW:
        found = mean(*summed(*da.compute(*lazy)))
        print(f"{'NumPy':8}{options.rows:12d}{found[0]:12.6f}{found[1]:16.6e}")


if __name__ == "__main__":
    main()
