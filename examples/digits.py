"""One training script, four frameworks: handwritten digits, the same loss, the same numbers.

A small network learns scikit-learn's digits by plain gradient descent, in every installed framework, from the same
initial weights and in the same order. The loss is one line of polyloss. PyTorch, JAX and TensorFlow differentiate it in
their own way; NumPy, which cannot differentiate, takes the closed-form gradient and goes on by hand.

    python examples/digits.py [--epochs 20] [--only numpy torch]
"""

import argparse
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import polyloss

loss = polyloss.cross_entropy.partial(label_smoothing=0.05)

RATE, BATCH, HIDDEN = 0.5, 64, 48
Step = Callable[[list[Any], Any, Any], tuple[Any, Sequence[Any]]]


def network(tanh: Callable[[Any], Any], weights: Sequence[Any], x: Any) -> Any:
    """The logits, in any framework."""
    w1, b1, w2, b2 = weights
    return tanh(x @ w1 + b1) @ w2 + b2


def in_numpy() -> tuple[Callable[[Any], Any], Step]:
    def step(weights: list[Any], x: Any, y: Any) -> tuple[Any, Sequence[Any]]:
        w1, b1, w2, b2 = weights
        hidden = np.tanh(x @ w1 + b1)
        value, d_logits = polyloss.value_and_grad(loss)(hidden @ w2 + b2, y)
        d_hidden = d_logits @ w2.T * (1 - hidden**2)
        return value, (x.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_logits, d_logits.sum(axis=0))

    return np.asarray, step


def in_torch() -> tuple[Callable[[Any], Any], Step]:
    import torch

    def step(weights: list[Any], x: Any, y: Any) -> tuple[Any, Sequence[Any]]:
        weights = [w.detach().requires_grad_() for w in weights]
        value = loss(network(torch.tanh, weights, x), y)
        value.backward()
        return value.detach(), [w.grad for w in weights]

    return torch.asarray, step


def in_jax() -> tuple[Callable[[Any], Any], Step]:
    import jax

    @jax.jit
    def step(weights: list[Any], x: Any, y: Any) -> tuple[Any, Sequence[Any]]:
        return jax.value_and_grad(lambda weights: loss(network(jax.numpy.tanh, weights, x), y))(weights)

    return jax.numpy.asarray, step


def in_tensorflow() -> tuple[Callable[[Any], Any], Step]:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(weights: list[Any], x: Any, y: Any) -> tuple[Any, Sequence[Any]]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(network(tf.tanh, weights, x), y)
        return value, tape.gradient(value, weights)

    return tf.constant, step


FRAMEWORKS = {"numpy": in_numpy, "torch": in_torch, "jax": in_jax, "tensorflow": in_tensorflow}


def initial_weights(rng: np.random.Generator) -> list[Any]:
    shapes = [(64, HIDDEN), (HIDDEN,), (HIDDEN, 10), (10,)]
    return [(rng.normal(size=s) / np.sqrt(s[0]) if len(s) == 2 else np.zeros(s)).astype(np.float32) for s in shapes]


def batches(x: Any, y: Any, epochs: int, rng: np.random.Generator) -> Iterator[tuple[Any, Any, bool]]:
    """Shuffled mini-batches, and whether one is the last of its epoch."""
    for _ in range(epochs):
        order = rng.permutation(len(x))
        starts = range(0, len(x) - BATCH + 1, BATCH)
        for start in starts:
            chosen = order[start : start + BATCH]
            yield x[chosen], y[chosen], start == starts[-1]


def train(framework: str, data: Sequence[Any], epochs: int) -> tuple[list[float], float]:
    """The mean loss of each epoch, and the accuracy on the digits that were held out."""
    x, x_test, y, y_test = data
    array, step = FRAMEWORKS[framework]()
    weights = [array(w) for w in initial_weights(np.random.default_rng(0))]
    curve, epoch = [], []
    for x_batch, y_batch, last in batches(x, y, epochs, np.random.default_rng(1)):
        value, gradients = step(weights, array(x_batch), array(y_batch))
        weights = [w - RATE * g for w, g in zip(weights, gradients, strict=True)]
        epoch.append(float(value))
        if last:
            curve.append(float(np.mean(epoch)))
            epoch = []
    logits = network(np.tanh, [np.asarray(w) for w in weights], x_test)
    return curve, float(np.mean(np.argmax(logits, axis=-1) == y_test))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train on handwritten digits in every installed framework.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=FRAMEWORKS, help="default: every installed framework")
    options = parser.parse_args()
    names = options.only or [name for name in FRAMEWORKS if importlib.util.find_spec(name)]

    digits = load_digits()
    x, y = (digits.data / 16).astype(np.float32), digits.target.astype(np.int32)
    data = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)

    results = {name: train(name, data, options.epochs) for name in names}
    curves = np.asarray([curve for curve, _ in results.values()])
    print("epoch " + "".join(f"{name:>14}" for name in names))
    for number, row in enumerate(curves.T, start=1):
        print(f"{number:5d} " + "".join(f"{value:14.8f}" for value in row))
    print("test  " + "".join(f"{accuracy:14.4f}" for _, accuracy in results.values()))
    print(f"largest difference between the loss curves: {np.ptp(curves, axis=0).max():.1e}")


if __name__ == "__main__":
    main()
