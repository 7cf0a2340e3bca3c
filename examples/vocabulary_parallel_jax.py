"""A small language model whose vocabulary is split over devices, with JAX.

Each device has the last layer's columns of some words, and computes the logits of these alone. The loss, all gradients
and so the training are those of one device with the whole vocabulary.

    python examples/vocabulary_parallel_jax.py [--devices 4] [--words 1000] [--steps 20]
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import polyloss
from polyloss import distributed

FEATURES, TOKENS = 32, 256
P: Any = PartitionSpec
PARTS = (P(), P(), P(None, "words"))
"""Of the embedding, the hidden layer and the last layer: which axis is split."""


def text(words: int) -> tuple[jax.Array, jax.Array]:
    """Words and those behind them: mostly the same ones."""
    draw = np.random.default_rng(0)
    now, noise = draw.integers(words, size=(2, TOKENS))
    return jnp.asarray(now), jnp.asarray(np.where(draw.random(TOKENS) < 0.9, draw.permutation(words)[now], noise))


def model(words: int) -> tuple[jax.Array, ...]:
    """The embedding, the hidden layer and the last layer."""
    shapes = ((words, FEATURES), (FEATURES, FEATURES), (FEATURES, words))
    keys = jax.random.split(jax.random.key(0), len(shapes))
    scales = (1.0, FEATURES**-0.5, FEATURES**-0.5)
    return tuple(scale * jax.random.normal(key, shape) for key, shape, scale in zip(keys, shapes, scales, strict=True))


def mean_loss(cross_entropy: Any, weights: tuple[jax.Array, ...], now: jax.Array, following: jax.Array) -> jax.Array:
    """The loss of a model, or of one that has a part of the last layer."""
    embedding, hidden_layer, layer = weights
    hidden = jax.nn.relu(embedding[now] @ hidden_layer)
    found: jax.Array = cross_entropy(hidden @ layer, following, label_smoothing=0.1)
    return found


def train(loss: Any, weights: tuple[jax.Array, ...], steps: int) -> tuple[list[float], tuple[jax.Array, ...]]:
    """The losses, and the weights behind the last step."""
    now, following = text(weights[0].shape[0])

    @jax.jit
    def step(weights: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        value, gradients = jax.value_and_grad(loss)(weights, now, following)
        return value, tuple(weight - 5.0 * gradient for weight, gradient in zip(weights, gradients, strict=True))

    losses = []
    for _ in range(steps):
        value, weights = step(weights)
        losses.append(float(value))
    return losses, weights


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a language model whose vocabulary is split over devices.")
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--words", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    if options.words % options.devices:
        parser.error(f"{options.words} words cannot be split evenly over {options.devices} devices, as JAX needs it")
    # As many devices as are asked for, where there is no accelerator.
    jax.config.update("jax_num_cpu_devices", options.devices)  # type: ignore[no-untyped-call]

    mesh = Mesh(np.asarray(jax.devices()[: options.devices]), ("words",))
    split = jax.shard_map(
        lambda *given: mean_loss(distributed.sharded(polyloss.cross_entropy, "words"), *given),
        mesh=mesh,
        in_specs=(PARTS, P(), P()),
        out_specs=P(),
    )
    weights = model(options.words)
    placed = tuple(
        jax.device_put(weight, NamedSharding(mesh, part)) for weight, part in zip(weights, PARTS, strict=True)
    )
    losses, found = train(split, placed, options.steps)
    alone, exact = train(lambda *given: mean_loss(polyloss.cross_entropy, *given), weights, options.steps)
    print(f"{'step':>6s} {f'{options.devices} devices':>12s} {'one':>12s}")
    for place in (0, options.steps - 1):
        print(f"{place:6d} {losses[place]:12.6f} {alone[place]:12.6f}")
    largest = max(float(abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(found, exact, strict=True))
    print(f"largest difference of a weight: {largest:.1e}")


if __name__ == "__main__":
    main()
