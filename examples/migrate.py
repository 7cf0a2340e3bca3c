"""Moving a script: the calls of one library, on the arrays of another.

`evaluate` is written for ``torch.nn.functional``. With ``polyloss.compat.torch`` in its place it takes the arrays of
any framework, here NumPy's, and returns the same numbers. Afterwards the calls can become polyloss' own, one at a time.

    python examples/migrate.py
"""

import importlib.util
from typing import Any

import numpy as np

import polyloss
from polyloss.compat import torch as twin


def evaluate(F: Any, logits: Any, ids: Any, prediction: Any, target: Any) -> list[float]:
    """Three losses, called as PyTorch's users call them."""
    return [
        float(F.cross_entropy(logits, ids, ignore_index=-1, label_smoothing=0.1)),
        float(F.huber_loss(prediction, target, reduction="sum", delta=0.5)),
        float(F.smooth_l1_loss(prediction, target, beta=0.5)),
    ]


def main() -> None:
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(6, 4)), np.asarray([0, 3, -1, 2, 1, 0]), rng.normal(size=8), rng.normal(size=8)
    results = {"polyloss.compat.torch on NumPy arrays": evaluate(twin, *arrays)}
    if importlib.util.find_spec("torch"):
        import torch

        results["torch.nn.functional"] = evaluate(torch.nn.functional, *map(torch.asarray, arrays))
    logits, ids, prediction, target = arrays
    results["polyloss, in its own words"] = [
        float(polyloss.cross_entropy(logits, ids, ignore_index=-1, label_smoothing=0.1)),
        float(polyloss.huber(prediction, target, reduction="sum", delta=0.5)),
        float(polyloss.smooth_l1(prediction, target, beta=0.5)),
    ]
    for name, values in results.items():
        print(f"{name:40}", *(f"{value:.12f}" for value in values))


if __name__ == "__main__":
    main()
