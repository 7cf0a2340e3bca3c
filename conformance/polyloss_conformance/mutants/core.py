"""A core that is wrong while it runs."""

import contextlib
import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from polyloss.core.chunked import InChunks

from .mutant import Patch


def replacing(module: str, name: str, make: Callable[[Any], Any]) -> Patch:
    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        owner: Any = importlib.import_module(module)
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        with mock.patch.object(owner, last, make(getattr(owner, last))):
            yield

    return patch


def nothing(function: Any) -> Any:
    return lambda *arguments, **keywords: None


def linear(change: Callable[..., Any]) -> Patch:
    """A context in which the cost of logits returns what `change` makes of its namespace and its pair."""

    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        from polyloss.losses import linear

        def cost(xp: Any, *arrays: Any, **parameters: Any) -> Any:
            return change(xp, *linear._cost(xp, *arrays, **parameters))

        with mock.patch.object(linear.linear_cross_entropy, "fuse", InChunks(cost, linear.OF_COST)):
            yield

    return patch


def last_product(add_product: Any) -> Any:
    """Of the chunks of a sum, the last one alone."""
    return lambda backend, total, *product: add_product(backend, 0.0 * total, *product)


def unpoisoned(reduce: Any) -> Any:
    return lambda xp, losses, reduction, weights: reduce(xp, losses, reduction, replace(weights, poison=None))


def empty_mean(reduce: Any) -> Any:
    """0 divided by 0 examples."""

    def wrong(xp: Any, losses: Any, reduction: str, weights: Any) -> Any:
        value, coefficient = reduce(xp, losses, reduction, weights)
        return value / math.prod(losses.shape) if reduction == "mean" else value, coefficient

    return wrong


def half_sum(forward: Any) -> Any:
    """The sum of halves is one before it is divided."""

    def wrong(self: Any, *arguments: Any) -> Any:
        value, gradients = forward(self, *arguments)
        with np.errstate(over="ignore"):
            return (value * self.count / self.count if self.scales else value), gradients

    return wrong


def half_poisoned(reduce: Any) -> Any:
    """NaN in the value, a finite number in the gradient."""

    def wrong(xp: Any, losses: Any, reduction: str, weights: Any) -> Any:
        if weights.poison is not None:
            losses = xp.where(xp.isnan(weights.poison), math.nan, losses)
        return reduce(xp, losses, reduction, replace(weights, poison=None))

    return wrong


def subtracted(vectors: bool) -> Patch:
    """A context in which code has exp(x) - 1 for expm1 where it takes eight numbers at a time, or where it does not."""

    def make(expm1: Any) -> Any:
        def wrong(x: Any) -> Any:
            import tensorflow as tf

            size = tf.size(x)
            there = tf.reshape(tf.range(size) < size // 8 * 8, tf.shape(x))
            # Of a plain difference, TensorFlow would make an expm1.
            return tf.where(there if vectors else ~there, 2.0 * (0.5 * tf.exp(x) - 0.5), expm1(x))

        return wrong

    return replacing("polyloss_tensorflow._namespace", "expm1", make)
