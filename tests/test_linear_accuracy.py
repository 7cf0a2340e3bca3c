"""The gradients of linear cross entropy are within 8 eps of the scale that the conformance suite has for them."""

from functools import cache
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import polyloss
from polyloss import linear_cross_entropy
from polyloss_conformance.losses import LOSSES

WIDE = 128
"""So many features and classes: 2**14 weights, the most for which the gradient of a layer is promised not to drift."""


@cache
def row() -> tuple[Any, ...]:
    """A row, layer, bias and class id; the exact gradients, and their scales."""
    draw = np.random.default_rng(5)
    arrays = [draw.normal(size=shape).astype(np.float32) for shape in (WIDE, (WIDE, WIDE), WIDE)]
    hidden, weight, bias = arrays[0], arrays[1] / 8, arrays[2]
    layer = [[mp.mpf(v) for v in w] for w in weight.tolist()]
    rule: Any = LOSSES["linear_cross_entropy"].exact
    found = rule(list(map(mp.mpf, hidden.tolist())), layer, 3, list(map(mp.mpf, bias.tolist())))
    exact, scales = (
        [np.asarray(part, dtype=np.float64) for part in (parts[0], parts[1], parts[3])]
        for parts in (found.gradients, found.gradient_scales)
    )
    return hidden, weight, bias, exact, scales


@pytest.mark.parametrize("mode", ["eager", "compiled", "generated"])
@pytest.mark.parametrize("rows", [1, 30_001])
def test_wide_layer(backend: Any, rows: int, mode: str) -> None:
    """A logit of many products is rounded, and the softmax magnifies that: the scale counts it. Equal rows add up."""
    loss: Any = linear_cross_entropy
    if mode != "eager":
        if not backend.has_autodiff:
            pytest.skip("has no compiler")
        if mode == "generated" and backend.name == "torch":
            pytest.skip("generates no code for chunks")
        loss = backend.compile(loss, quick=mode == "compiled")
    hidden, weight, bias, exact, scales = row()
    inputs = [backend.array(array, "float32") for array in (np.tile(hidden, (rows, 1)), weight, bias)]
    target = backend.array(np.full(rows, 3))
    if backend.has_autodiff:
        found = backend.grad(lambda h, w, b: loss(h, w, target, bias=b), *inputs)
    else:
        _, found = polyloss.value_and_grad(loss, (0, 1, "bias"))(*inputs[:2], target, bias=inputs[2])
    errors = []
    for gradient, truth, scale, share in zip(found, exact, scales, (1 / rows, 1, 1), strict=True):
        error = abs(backend.numpy(gradient).astype(np.float64) - share * truth)
        errors.append(float(np.max(error / (share * scale)) * 2.0**23))
    assert max(errors) <= 8, errors
