"""A loss and its gradient over a file that is larger than memory, with NumPy alone: chunk by chunk.

With `denominator` each chunk has its share of the mean over all rows: values add up, and gradients are those of one
call. The gradient goes into a file of its own. Few rows are computed in one call as well.

    python examples/larger_than_memory_memmap.py [--rows 200000] [--chunk 30000]
"""

import argparse
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import polyloss

CLASSES = 10
FEW = 1_000_000
ABSENT = -1
"""The class id of a row without a label."""


def write(folder: Path, rows: int, chunk: int) -> None:
    """Files of logits and of class ids, one row in ten without a label; and one for the gradient."""
    rng = np.random.default_rng(0)
    logits = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float64, (rows, CLASSES))
    ids = np.lib.format.open_memmap(folder / "ids.npy", "w+", np.int64, (rows,))
    for start in range(0, rows, chunk):
        here = slice(start, min(start + chunk, rows))
        logits[here] = rng.normal(size=logits[here].shape)
        ids[here] = rng.integers(0, CLASSES, ids[here].shape)
        ids[here][::10] = ABSENT
    np.lib.format.open_memmap(folder / "gradient.npy", "w+", np.float64, (rows, CLASSES))


def stream(logits: Any, ids: Any, gradient: Any, chunk: int) -> float:
    """The mean loss of the rows that have a label. Its gradient is written to `gradient`."""
    chunks = [slice(start, start + chunk) for start in range(0, len(ids), chunk)]
    count = sum(int(np.count_nonzero(ids[here] != ABSENT)) for here in chunks)
    values = []
    for here in chunks:
        value, gradient[here] = polyloss.value_and_grad(polyloss.cross_entropy)(
            logits[here], ids[here], where=ids[here] != ABSENT, denominator=count
        )
        values.append(float(value))
    return math.fsum(values)


def norm(gradient: Any, chunk: int) -> float:
    """The norm of an array of rows, chunk by chunk."""
    return math.hypot(*(float(np.linalg.norm(gradient[at : at + chunk])) for at in range(0, len(gradient), chunk)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate a loss over a file, chunk by chunk.")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--chunk", type=int, default=30_000, help="so many rows at a time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.rows, options.chunk)
        logits, ids = (np.load(folder / f"{file}.npy", mmap_mode="r") for file in ("logits", "ids"))
        gradient = np.load(folder / "gradient.npy", mmap_mode="r+")
        value = stream(logits, ids, gradient, options.chunk)
        print(f"{'':14}{'loss':>20}{'gradient norm':>26}")
        print(f"{'in chunks':14}{value:20.15f}{norm(gradient, options.chunk):26.15e}")
        if options.rows > FEW:
            return
        at_once, whole = polyloss.value_and_grad(polyloss.cross_entropy)(logits, ids, where=ids != ABSENT)
        print(f"{'in one call':14}{at_once:20.15f}{np.linalg.norm(whole):26.15e}")
        print(f"largest difference of gradients: {np.max(np.abs(gradient - whole)):g}")


if __name__ == "__main__":
    main()
