"""Handwritten digits in 16 bits: the loss is float32, and gradient scaling skips as many steps as with the built-in.

In PyTorch the network runs inside `torch.autocast`, and `torch.amp.GradScaler` scales the loss. In Keras the policy is
``mixed_float16`` or ``mixed_bfloat16``; float16 comes with a loss scale of its own. Each is trained twice from the
same weights, with the loss of polyloss and with the framework's, and both are printed.

    python examples/mixed_precision.py [--steps 40] [--only torch keras]
"""

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import polyloss

BATCH, HIDDEN = 64, 48
Result = tuple[float, int, float]
"""The last loss, how many steps were skipped, the last scale."""


def digits() -> tuple[Any, Any]:
    data = load_digits()
    return (data.data / 16).astype(np.float32), data.target


def in_torch(dtype: str, steps: int, ours: bool) -> Result:
    import torch

    x, y = map(torch.from_numpy, digits())
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    # So large that the first gradients overflow: the scaler has to skip them and to find a smaller scale.
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=10)
    loss: Callable[..., Any] = polyloss.cross_entropy if ours else torch.nn.functional.cross_entropy
    skipped, value = 0, torch.zeros(())
    for step in range(steps):
        here = slice(step * BATCH % 1700, step * BATCH % 1700 + BATCH)
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=getattr(torch, dtype)):
            logits = model(x[here])
            value = loss(logits, y[here])
        assert (logits.dtype, value.dtype) == (getattr(torch, dtype), torch.float32)
        scaler.scale(value).backward()
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        skipped += scaler.get_scale() < before
    return float(value.detach()), skipped, scaler.get_scale()


def in_keras(dtype: str, steps: int, ours: bool) -> Result:
    import keras

    import polyloss_keras

    x, y = digits()
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    try:
        model = keras.Sequential(
            [keras.Input((64,)), keras.layers.Dense(HIDDEN, activation="tanh"), keras.layers.Dense(10)]
        )
    finally:
        keras.config.set_dtype_policy("float32")
    loss = polyloss_keras.CrossEntropy() if ours else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer: Any = keras.optimizers.SGD(0.5)
    if dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**24, dynamic_growth_steps=10)
    model.compile(optimizer, loss)
    count = steps * BATCH // 2
    history = model.fit(x[:count], y[:count], batch_size=BATCH, epochs=2, shuffle=False, verbose=0)
    if dtype != "float16":
        return history.history["loss"][-1], 0, 1.0
    skipped = steps - int(optimizer.inner_optimizer.iterations)
    return history.history["loss"][-1], skipped, float(optimizer.dynamic_scale)


FRAMEWORKS = {"torch": in_torch, "keras": in_keras}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train in 16 bits, with the loss of polyloss and with the built-in.")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--only", nargs="+", choices=FRAMEWORKS, help="default: every installed framework")
    options = parser.parse_args()
    print(f"{'':16} {'':10} {'loss':>12} {'skipped':>8} {'scale':>10}")
    for name in options.only or [name for name in FRAMEWORKS if importlib.util.find_spec(name)]:
        for dtype in ("float16", "bfloat16"):
            for who, ours in (("polyloss", True), ("built-in", False)):
                value, skipped, scale = FRAMEWORKS[name](dtype, options.steps, ours)
                print(f"{name + ' ' + dtype:16} {who:10} {value:12.6f} {skipped:8d} {scale:10g}")


if __name__ == "__main__":
    main()
