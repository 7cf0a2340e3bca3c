"""Gradients by parameters: closed forms against difference quotients, and their own derivatives in the frameworks."""

from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss_conformance.frameworks import framework

pytestmark = pytest.mark.unoptimised

N = 24
RNG = np.random.default_rng(7)
RESIDUAL = RNG.normal(0, 2, (2, N))
SHARE = np.concatenate([[0.0, 0.0, 1.0, 1.0], RNG.uniform(size=N - 4)])
LOGITS, IDS, SOFT = RNG.normal(0, 2, (N, 4)), RNG.integers(0, 4, N), RNG.dirichlet(np.ones(4), N)
LOGS = np.log(RNG.dirichlet(np.ones(4), N))
POINTS = RNG.normal(size=(3, N, 3))
CLASSES, EACH = np.asarray([0.25, 1.0, 0.5, 2.0]), RNG.uniform(0.5, 2.0, N)
BINARY = (RESIDUAL[0], SHARE)
PAIRS = (np.abs(RESIDUAL[0]), SHARE)

# loss, arrays, the parameter that is learned and its value, other parameters
Case = tuple[Any, tuple[Any, ...], str, Any, dict[str, Any]]
CASES: list[Case] = [
    (polyloss.huber, tuple(RESIDUAL), "delta", 0.75, {}),
    (polyloss.huber, tuple(RESIDUAL), "delta", EACH, {}),
    (polyloss.smooth_l1, tuple(RESIDUAL), "beta", 0.75, {}),
    (polyloss.smooth_l1, tuple(RESIDUAL), "beta", EACH, {}),
    (polyloss.tukey_biweight, tuple(RESIDUAL), "c", 2.0, {"scale": 0.75}),
    (polyloss.tukey_biweight, tuple(RESIDUAL), "c", 2.0, {"scale": "mad"}),
    (polyloss.tukey_biweight, tuple(RESIDUAL), "scale", 0.75, {"c": 2.0}),
    (polyloss.contrastive, PAIRS, "margin", 1.5, {}),
    (polyloss.contrastive, PAIRS, "margin", 1.5, {"power": 1, "similar_label": 0}),
    (polyloss.contrastive, PAIRS, "factor", 1.5, {"similar_label": 0}),
    (polyloss.contrastive_embedding, (*POINTS[:2], SHARE), "margin", 2.0, {}),
    (polyloss.contrastive_embedding, (*POINTS[:2], SHARE), "factor", 2.0, {"power": 1}),
    (polyloss.triplet_margin, tuple(POINTS), "margin", 0.75, {}),
    (polyloss.triplet_margin, tuple(POINTS), "margin", 0.75, {"swap": True, "squared": True}),
    (polyloss.sigmoid_focal, BINARY, "alpha", 0.25, {}),
    (polyloss.sigmoid_focal, BINARY, "alpha", 0.5 * EACH, {"gamma": 1.5}),
    (polyloss.sigmoid_focal, BINARY, "gamma", 1.5, {"alpha": 0.25}),
    (polyloss.softmax_focal, (LOGITS, IDS), "alpha", CLASSES, {}),
    (polyloss.softmax_focal, (LOGITS, SOFT), "alpha", CLASSES, {"gamma": 1.5}),
    (polyloss.softmax_focal, (LOGITS, IDS), "gamma", 1.5, {"alpha": CLASSES}),
    (polyloss.softmax_focal, (LOGITS, SOFT), "gamma", 2.0, {}),
    (polyloss.poly1_cross_entropy, (LOGITS, IDS), "epsilon", -1.0 + 2**-10, {}),
    (polyloss.poly1_cross_entropy, (LOGITS, SOFT), "epsilon", 2.0, {}),
    (polyloss.generalized_cross_entropy, (LOGITS, IDS), "q", 0.75, {}),
    (polyloss.generalized_cross_entropy, (LOGITS, SOFT), "q", 2.0**-7, {}),
    (polyloss.binary_cross_entropy_with_logits, BINARY, "pos_weight", 2.0, {}),
    (polyloss.binary_cross_entropy_with_logits, BINARY, "pos_weight", EACH, {"label_smoothing": 0.25}),
    (polyloss.binary_cross_entropy_with_logits, BINARY, "label_smoothing", 0.25, {"pos_weight": 2.0}),
    *(
        (loss, (scores, target), name, value, others)
        for loss, scores in ((polyloss.cross_entropy, LOGITS), (polyloss.nll, LOGS))
        for target in (IDS, SOFT)
        for name, value, others in (
            ("class_weight", CLASSES, {}),
            ("class_weight", CLASSES, {"label_smoothing": 0.25}),
            ("label_smoothing", 0.25, {"class_weight": CLASSES}),
        )
    ),
]


def known(case: Case, backend: Any) -> tuple[list[Any], dict[str, Any], Any]:
    """The arrays and other parameters of a case for a backend, and the parameter."""
    _, arrays, _, value, others = case
    given = {key: backend.array(other) if isinstance(other, np.ndarray) else other for key, other in others.items()}
    return [backend.array(array) for array in arrays], given, backend.array(np.asarray(value))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].__name__}-{case[2]}")
def test_gradients_by_parameters(backend: Any, case: Case) -> None:
    loss, arrays, name, value, others = case
    weight = np.cos(np.arange(N))
    inputs, given, parameter = known(case, backend)
    call = given | {name: parameter, "sample_weight": backend.array(weight), "reduction": "sum"}
    found = polyloss.value_and_grad(loss, name)(*inputs, **call)[1]
    backend.check(found, quotient(loss, arrays, name, value, others | {"sample_weight": weight}), rtol=2e-7)


def quotient(loss: Any, arrays: Any, name: str, value: Any, others: Any) -> Any:
    value, step = np.asarray(value), 1e-5
    found = np.zeros_like(value)
    for place in np.ndindex(value.shape):
        move = np.zeros_like(value)
        move[place] = step
        high, low = (
            loss(*arrays, **{name: moved}, **others, reduction="sum") for moved in (value + move, value - move)
        )
        found[place] = (high - low) / (2 * step)
    return found


# A scale that is computed from the residuals is a constant for derivatives, but not for difference quotients.
SMOOTH = [case for case in CASES if case[4].get("scale") != "mad"]


@pytest.mark.parametrize("case", SMOOTH, ids=lambda case: f"{case[0].__name__}-{case[2]}")
def test_second_derivatives_by_parameters(backend: Any, case: Case) -> None:
    if not backend.has_autodiff:
        pytest.skip("has no second derivatives")
    loss, arrays, name, value, others = case
    value = np.asarray(value)
    own = framework(backend.framework)
    static = {key: other for key, other in others.items() if not isinstance(other, np.ndarray)} | {"reduction": "sum"}
    fixed = {key: other for key, other in others.items() if isinstance(other, np.ndarray)}
    wanted = (0, name)
    directions = [np.sin(np.arange(arrays[0].size)).reshape(arrays[0].shape), np.cos(np.arange(value.size) + 1.0)]
    directions[1] = directions[1].reshape(value.shape)
    found = own.hessian_product(
        loss,
        static,
        [own.array(np.asarray(array)) for array in arrays],
        wanted,
        own.array(np.asarray(1.0)),
        [own.array(direction) for direction in directions],
        {key: own.array(array) for key, array in ({name: value} | fixed).items()},
    )
    step = 1e-6
    high, low = (
        polyloss.value_and_grad(loss, wanted)(
            arrays[0] + sign * step * directions[0],
            *arrays[1:],
            **{name: value + sign * step * directions[1]},
            **others,
            reduction="sum",
        )[1]
        for sign in (1, -1)
    )
    for product, more, less in zip(found, high, low, strict=True):
        np.testing.assert_allclose(own.numpy(product), (more - less) / (2 * step), rtol=1e-6, atol=1e-7)


def test_parameters_at_kinks(backend: Any) -> None:
    """The sub-gradient of least norm; and limits."""
    one, zero = backend.array([1.0]), backend.array([0.0])

    def by(loss: Any, arrays: Any, name: str, value: float, **others: Any) -> Any:
        given = {name: backend.array(np.asarray(value)), "reduction": "sum"} | others
        return float(backend.numpy(polyloss.value_and_grad(loss, name)(*arrays, **given)[1]))

    assert by(polyloss.huber, (one, zero), "delta", 1.0) == 0.0
    assert by(polyloss.huber, (zero, zero), "delta", 1.0) == 0.0
    assert by(polyloss.smooth_l1, (one, zero), "beta", 0.0) == -0.5
    assert by(polyloss.smooth_l1, (zero, zero), "beta", 0.0) == 0.0
    assert by(polyloss.tukey_biweight, (one, zero), "c", 1.0) == 1.0 / 3.0
    assert by(polyloss.tukey_biweight, (one, zero), "scale", 1.0, c=1.0) == 0.0
    for power in (1, 2):
        assert by(polyloss.contrastive, (one, zero), "margin", 1.0, power=power) == 0.0
    rows = backend.array([[0.0]]), backend.array([[1.0]]), backend.array([[2.0]])
    assert by(polyloss.triplet_margin, rows, "margin", 1.0) == 0.0
    # A degree of 0 that is learned: the limit, cross entropy.
    even = backend.array([[0.0, 0.0]]), backend.array([[1.0, 0.0]])
    np.testing.assert_allclose(by(polyloss.generalized_cross_entropy, even, "q", 0.0), -0.5 * np.log(2.0) ** 2)
    # A power of 0 that is learned.
    logits, target = backend.array([0.5]), backend.array([1.0])
    entropy, wrong = np.log1p(np.exp(-0.5)), 1.0 / (1.0 + np.exp(0.5))
    np.testing.assert_allclose(by(polyloss.sigmoid_focal, (logits, target), "gamma", 0.0), entropy * np.log(wrong))
    infinite = backend.array([np.inf])
    assert by(polyloss.sigmoid_focal, (infinite, target), "gamma", 1.5) == 0.0


ROWS = np.asarray([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]])
PROBABILITIES = np.asarray([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]), np.full((2, 3), 0.25)
CLASS_WEIGHTS = np.asarray([0.0, 1.0, 0.0]), np.asarray([0.75, 0.5, 2.0])
SHARES = np.asarray(0.0), np.asarray(0.25)
CHOSEN = np.asarray([1, 0]), np.asarray([1, 0])
MULTILINEAR = [
    (loss, target, one, values)
    for loss, target, named in (
        (polyloss.cross_entropy, PROBABILITIES, {1: PROBABILITIES, "class_weight": CLASS_WEIGHTS}),
        (polyloss.cross_entropy, PROBABILITIES, {1: PROBABILITIES, "label_smoothing": SHARES}),
        (polyloss.cross_entropy, CHOSEN, {"class_weight": CLASS_WEIGHTS, "label_smoothing": SHARES}),
        (polyloss.nll, PROBABILITIES, {1: PROBABILITIES, "class_weight": CLASS_WEIGHTS}),
        (polyloss.nll, CHOSEN, {"class_weight": CLASS_WEIGHTS, "label_smoothing": SHARES}),
        (polyloss.softmax_focal, PROBABILITIES, {1: PROBABILITIES, "alpha": CLASS_WEIGHTS}),
        (polyloss.binary_cross_entropy_with_logits, PROBABILITIES, {1: PROBABILITIES, "pos_weight": CLASS_WEIGHTS}),
    )
    for one, values in ((list(named), named), (list(named)[::-1], named))
]
"""Losses that are linear in each of two arguments, with both at 0 and elsewhere."""


@pytest.mark.parametrize(
    ("loss", "target", "pair", "values"),
    MULTILINEAR,
    ids=[f"{loss.__name__}-{a}-{b}" for loss, _, (a, b), _ in MULTILINEAR],
)
def test_mixed_second_derivatives_where_a_factor_is_0(
    backend: Any, loss: Any, target: Any, pair: list[int | str], values: dict[int | str, Any]
) -> None:
    """What is linear in two arguments has one mixed second derivative, where these are 0 as elsewhere."""
    if not backend.has_autodiff:
        pytest.skip("has no second derivatives")
    own = framework(backend.framework)

    def product(place: int) -> Any:
        at = {key: value[place] for key, value in values.items()}
        logits = ROWS - 2.5 if loss is polyloss.nll else ROWS
        moved, fixed = pair
        directions = [np.zeros(at[moved].shape), np.cos(np.arange(at[fixed].size) + 1.0).reshape(at[fixed].shape)]
        found, _ = own.hessian_product(
            loss,
            {"reduction": "sum"},
            [own.array(logits), own.array(at.get(1, target[place]))],
            (moved, fixed),
            own.array(np.asarray(1.0)),
            [own.array(direction) for direction in directions],
            {key: own.array(value) for key, value in at.items() if isinstance(key, str)},
        )
        return own.numpy(found)

    elsewhere = product(1)
    assert np.abs(elsewhere).max() > 1e-3
    np.testing.assert_allclose(product(0), elsewhere, rtol=1e-12)
