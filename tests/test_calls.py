"""How many Python functions and operations a call takes: what a small call costs, counted instead of timed."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.engine import InMemory
from polyloss.engine.code import NUMPY

COUNT = """
import json
import sys

import numpy as np

import polyloss

x, zero, rows, ids = np.linspace(-2.0, 2.0, 8), np.zeros(8), np.eye(3), np.arange(3)
calls = {
    "huber": lambda: polyloss.huber(x, zero),
    "huber, delta": lambda: polyloss.huber(x, zero, delta=0.5),
    "huber, gradient": lambda: polyloss.value_and_grad(polyloss.huber)(x, zero, reduction="sum"),
    "cross_entropy": lambda: polyloss.cross_entropy(rows, ids),
}


def count(call):
    found = 0

    def seen(frame, event, argument):
        nonlocal found
        found += event == "call"

    sys.setprofile(seen)
    call()
    sys.setprofile(None)
    # The lambda itself is none of ours.
    return found - 1


polyloss.mse(x, zero)
print(json.dumps([count(calls[sys.argv[1]]) for _ in range(3)]))
"""
"""Prints the number for the first call and for the next ones, where another loss was called before."""


@pytest.mark.parametrize(
    ("call", "first", "repeated"),
    [
        # A third of what version 0.1.0 made, 850. Comprehensions count as calls in Python 3.11 alone.
        ("huber", 310, 26),
        ("huber, delta", 312, 33),
        ("huber, gradient", 510, 88),
        ("cross_entropy", 796, 27),
    ],
)
def test_calls_of_functions(call: str, first: int, repeated: int) -> None:
    found = subprocess.run([sys.executable, "-P", "-c", COUNT, call], capture_output=True, text=True, check=True)
    once, *others = json.loads(found.stdout)
    assert 10 < max(others) <= repeated
    assert max(others) < once <= first


_ROWS, _LOGS = np.eye(3), np.full((3, 3), -np.log(3.0))


@pytest.mark.parametrize(
    ("name", "arrays", "most"),
    [
        ("mse", (_ROWS, 0.5 * _ROWS), 5),
        ("huber", (_ROWS, 0.5 * _ROWS), 8),
        ("binary_cross_entropy_with_logits", (_ROWS, 0.5 * _ROWS), 23),
        # With what infinite logits need it would be 35.
        ("cross_entropy", (_ROWS, np.arange(3)), 24),
        ("nll", (_LOGS, np.arange(3)), 11),
        ("softmax_focal", (_ROWS, np.arange(3)), 71),
        ("kl_divergence", (_LOGS, np.exp(_LOGS)), 18),
    ],
)
def test_operations_of_a_block(name: str, arrays: tuple[Any, ...], most: int) -> None:
    """Of a small batch each operation takes about as long as any other: what counts is how many there are."""
    call = getattr(polyloss, name).bind(arrays, {})
    assert isinstance(call.backend, InMemory)
    blocks = call.backend.blocks(call)
    assert blocks is not None
    lines = blocks.compiled.program(NUMPY, (0,)).source.splitlines()[1:]
    assert sum(line.strip().startswith("return") for line in lines) == 1
    assert 3 < len(lines) <= most
