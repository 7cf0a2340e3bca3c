"""Inputs on which a framework's own loss is wrong or differs, run here and now beside polyloss.

    python examples/traps.py

Prints a Markdown table: the README has it. The exact values are written down here by hand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import tensorflow as tf
import torch
from torch.nn import functional

import polyloss


def tf_slope(function: Callable[[Any], Any], x: Any) -> Any:
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)


@dataclass(frozen=True)
class Trap:
    what: str
    code: str
    builtin: Callable[[], Any]
    ours: Callable[[], Any]
    exact: str


zeros = torch.zeros(70_000, 2, dtype=torch.float16)
ids = torch.zeros(70_000, dtype=torch.int64)
sure = torch.tensor([[17.0, 0.0]])
first = torch.tensor([0])
masked = jnp.asarray([1.0, -jnp.inf, 0.0])
one_hot = jnp.asarray([1.0, 0.0, 0.0])
large = jnp.asarray([1e8, 1e8])
wrong = [[50.0, 0.0]]
column, vector = jnp.zeros((4, 1)), jnp.arange(4.0)
anchor, positive, negative = (jnp.asarray([v]) for v in ([-3.0, 1.0], [0.0, 0.0], [10.0, 0.0]))
tenths = tf.fill([10_000_000], 0.1)
zero_tenths = tf.zeros_like(tenths)

TRAPS = [
    Trap(
        "mean over 70,000 rows in float16",
        "F.cross_entropy",
        lambda: functional.cross_entropy(zeros, ids),
        lambda: polyloss.cross_entropy(zeros, ids),
        "0.6934 (float16)",
    ),
    Trap(
        "a confident row, margin 17",
        "F.cross_entropy",
        lambda: functional.cross_entropy(sure, first),
        lambda: polyloss.cross_entropy(sure, first),
        "4.14e-08",
    ),
    Trap(
        "mean of 10 million float32, compiled by XLA",
        "tf.reduce_mean(tf.abs(...))",
        lambda: tf.function(lambda a, b: tf.reduce_mean(tf.abs(a - b)), jit_compile=True)(tenths, zero_tenths),
        lambda: polyloss.compile(polyloss.l1)(tenths, zero_tenths),
        "0.1",
    ),
    Trap(
        "slope at logit 0, pos_weight 3, target 1",
        "tf.nn.weighted_cross_entropy_with_logits",
        lambda: tf_slope(lambda x: tf.nn.weighted_cross_entropy_with_logits(tf.ones_like(x), x, 3.0), [0.0]),
        lambda: tf_slope(
            lambda x: polyloss.binary_cross_entropy_with_logits(x, tf.ones_like(x), pos_weight=3.0), [0.0]
        ),
        "-1.5",
    ),
    Trap(
        "slope of a confidently wrong example",
        "keras.losses.CategoricalFocalCrossentropy",
        lambda: tf_slope(
            lambda x: keras.losses.CategoricalFocalCrossentropy(from_logits=True)(tf.constant([[0.0, 1.0]]), x), wrong
        )[0, 0],
        lambda: tf_slope(lambda x: polyloss.softmax_focal(x, tf.constant([1]), alpha=0.25), wrong)[0, 0],
        "0.25",
    ),
    Trap(
        "a small error, 1e-4",
        "keras.losses.log_cosh",
        lambda: keras.losses.log_cosh(tf.constant([0.0]), tf.constant([1e-4])),
        lambda: polyloss.log_cosh(tf.constant([1e-4]), tf.constant([0.0])),
        "5e-09",
    ),
    Trap(
        "a masked class (-inf logit), soft target",
        "optax.softmax_cross_entropy",
        lambda: optax.softmax_cross_entropy(masked, one_hot),
        lambda: polyloss.cross_entropy(masked, one_hot),
        "0.3133",
    ),
    Trap(
        "two equal logits of 1e8",
        "optax.softmax_cross_entropy_with_integer_labels",
        lambda: optax.softmax_cross_entropy_with_integer_labels(large, jnp.asarray(0)),
        lambda: polyloss.cross_entropy(large, jnp.asarray(0)),
        "0.6931",
    ),
    Trap(
        "a target probability of 0 where the log-probability is -inf",
        "F.kl_div",
        lambda: functional.kl_div(torch.tensor([[0.0, -torch.inf]]), torch.tensor([[1.0, 0.0]]), reduction="batchmean"),
        lambda: polyloss.kl_divergence(torch.tensor([[0.0, -torch.inf]]), torch.tensor([[1.0, 0.0]])),
        "0",
    ),
    Trap(
        "slope of the absolute error at 0",
        "jnp.abs",
        lambda: jax.grad(lambda x: jnp.abs(x - 1.0))(1.0),
        lambda: jax.grad(lambda x: polyloss.l1(x, jnp.asarray(1.0)))(jnp.asarray(1.0)),
        "0",
    ),
    Trap(
        "distances in the 1-norm",
        "optax.losses.triplet_margin_loss(norm_degree=1)",
        lambda: optax.losses.triplet_margin_loss(anchor, positive, negative, norm_degree=1, margin=20.0),
        lambda: polyloss.triplet_margin(anchor, positive, negative, p=1.0, margin=20.0),
        "10",
    ),
    Trap(
        "prediction of shape (4, 1), target of shape (4,)",
        "optax.huber_loss",
        lambda: optax.huber_loss(column, vector).mean(),
        lambda: polyloss.huber(column, vector),
        "an error",
    ),
]


def show(compute: Callable[[], Any]) -> str:
    try:
        value = compute()
    except ValueError:
        return "ValueError"
    number = float(np.asarray(value.detach() if isinstance(value, torch.Tensor) else value).reshape(()))
    return f"{number + 0.0:.4g}"


def main() -> None:
    print("| input | built-in | it returns | polyloss | exact |\n|---|---|---|---|---|")
    for trap in TRAPS:
        print(f"| {trap.what} | `{trap.code}` | {show(trap.builtin)} | {show(trap.ours)} | {trap.exact} |")


if __name__ == "__main__":
    main()
