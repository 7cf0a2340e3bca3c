"""`polyloss.compat.optax` against `optax.losses`."""

import functools
import importlib.metadata
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.compat import optax as compat
from polyloss.compat import torch as like_torch
from polyloss_conformance import builtins, cases, deviations, frameworks
from polyloss_conformance.builtins import FAMILIES
from polyloss_conformance.case import Arguments

pytestmark = pytest.mark.unoptimised

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")


jax.config.update("jax_enable_x64", True)
LOGITS = np.random.default_rng(1).normal(0, 2, (6, 4))
TARGET = np.random.default_rng(2).normal(0, 2, (6, 4))
LABELS = np.random.default_rng(3).uniform(0, 1, (6, 4))
SIMPLEX = LABELS / LABELS.sum(axis=-1, keepdims=True)
IDS = np.asarray([0, 3, 1, 2, 3, 1])
CUBE = np.random.default_rng(4).normal(0, 2, (2, 3, 4))
CUBE_LABELS = np.random.default_rng(5).uniform(0, 1, (2, 3, 4))
ROWS = np.asarray([True, True, False, True, False, True])


def both(name: str, *arrays: Any, wrt: Sequence[int] = (0,), rtol: float = 1e-9, **keywords: Any) -> None:
    """Value and gradient, with an upstream gradient that is not uniform, of the built-in and of its twin."""

    def run(function: Callable[..., Any]) -> Any:
        def evaluate(inputs: list[Any]) -> Any:
            def chosen(*values: Any) -> Any:
                return function(*(values[wrt.index(i)] if i in wrt else a for i, a in enumerate(inputs)), **given)

            value, pull = jax.vjp(chosen, *(inputs[i] for i in wrt))
            upstream = np.linspace(-1, 2, value.size).reshape(value.shape)
            return value, *pull(jax.numpy.asarray(upstream))

        given = {k: jax.numpy.asarray(v) if isinstance(v, np.ndarray) else v for k, v in keywords.items()}
        return jax.jit(evaluate)([None if a is None else jax.numpy.asarray(a) for a in arrays])

    for one, other in zip(run(getattr(compat, name)), run(getattr(optax.losses, name)), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-12)


TOOLS = ("ctc_loss_with_forward_probs", "make_fenchel_young_loss", "smooth_labels")
"""What is there beside losses."""


def test_every_loss_of_optax_has_a_twin() -> None:
    public = {n for n in dir(optax.losses) if not n.startswith("_") and callable(getattr(optax.losses, n))}
    assert public - {*compat.__all__, *TOOLS} == set()


@pytest.mark.parametrize("name", [*compat.__all__, *sorted(TOOLS)])
def test_the_signature_is_that_of_the_built_in(name: str) -> None:
    expected = inspect.signature(getattr(optax.losses, name)).parameters.values()
    found = inspect.signature(getattr(compat, name)).parameters.values()
    # A mean has a name here, and is no function of one framework.
    named = {jax.numpy.mean: "mean"}
    assert [(p.name, p.default, p.kind) for p in found] == [
        (p.name, named[p.default] if callable(p.default) and p.default is not p.empty else p.default, p.kind)
        for p in expected
    ]


ITEMS = np.asarray([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 1, 0], [1, 1, 0, 0]], dtype=bool)


REDUCTIONS = ["mean", None, jax.numpy.mean, jax.numpy.sum, jax.numpy.max]


@pytest.mark.parametrize("reduce_fn", REDUCTIONS, ids=lambda given: getattr(given, "__name__", str(given)))
def test_lists_and_what_they_are_reduced_by(reduce_fn: Any) -> None:
    name, grades, keywords = (
        "ranking_softmax_loss",
        np.round(LABELS * 4),
        {} if reduce_fn == "mean" else {"reduce_fn": reduce_fn},
    )
    both(name, LOGITS, grades, wrt=(0, 1), **keywords)
    both(name, LOGITS, grades.astype(np.int64), **keywords)
    if reduce_fn is not jax.numpy.max:
        both(name, LOGITS, grades, wrt=(0, 1), where=ITEMS, weights=LABELS, **keywords)
        both(name, LOGITS, grades, where=ITEMS[0], weights=LABELS[0], **keywords)
    both(name, CUBE, CUBE_LABELS, wrt=(0, 1), **keywords)


def test_losses_of_a_maximum() -> None:
    def norm(row: Any, p: float = 2.0) -> Any:
        return jax.numpy.sum(jax.numpy.abs(row) ** p) ** (1 / p)

    def values(module: Any, max_fun: Callable[..., Any], scores: Any) -> Any:
        loss = module.make_fenchel_young_loss(max_fun)

        def total(scores: Any, targets: Any) -> Any:
            found = loss(scores, targets)
            return jax.numpy.sum(found * jax.numpy.linspace(-1, 2, found.size).reshape(found.shape)), found

        return jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(jax.numpy.asarray(scores), scores[::-1] ** 2)

    for max_fun in (jax.scipy.special.logsumexp, jax.numpy.max, norm):
        for scores in (LOGITS, LOGITS[0], CUBE):
            found, expected = (values(m, max_fun, scores) for m in (compat, optax.losses))
            for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    # A keyword goes to the function, where theirs drops it.
    losses = [module.make_fenchel_young_loss(norm) for module in (compat, optax.losses)]
    assert [float(loss(jax.numpy.ones(3), jax.numpy.zeros(3), p=1.0)) for loss in losses] == [3.0, 3.0**0.5]


def test_smoothed_labels() -> None:
    both("smooth_labels", SIMPLEX, np.asarray(0.25), wrt=(0, 1))
    both("smooth_labels", CUBE_LABELS, np.asarray(0.25), axis=1)
    both("smooth_labels", CUBE_LABELS, np.asarray(0.25), axis=(0, -1))
    both("smooth_labels", CUBE_LABELS, np.asarray(0.25), axis=None)
    # A class that is left out has nothing here, and a share there.
    for where in (ITEMS, ITEMS[0]):
        found = compat.smooth_labels(jax.numpy.asarray(SIMPLEX), 0.25, where=jax.numpy.asarray(where))
        theirs = optax.losses.smooth_labels(SIMPLEX, 0.25, where=np.broadcast_to(where, ITEMS.shape))
        np.testing.assert_allclose(found, np.where(where, theirs, 0.0), rtol=1e-14)


def test_lists_of_nothing_have_no_loss_and_no_gradient() -> None:
    for reduce_fn in ("mean", jax.numpy.mean, jax.numpy.sum):
        value, slope = jax.value_and_grad(compat.ranking_softmax_loss)(
            jax.numpy.asarray(LOGITS), LABELS, where=ITEMS & False, reduce_fn=reduce_fn
        )
        assert value == 0
        assert not np.any(slope)


def test_a_reduction_of_their_own_gets_the_lists_that_count() -> None:
    def mean(losses: Any, where: Any = None) -> Any:
        return losses.sum() / (losses.size if where is None else where.size)

    rows = ITEMS & ROWS[:, None]
    both("ranking_softmax_loss", LOGITS, LABELS, reduce_fn=mean)
    both("ranking_softmax_loss", LOGITS[ROWS], LABELS[ROWS], where=rows[ROWS], reduce_fn=mean)


def test_ctc() -> None:
    logits, labels = CUBE, np.asarray([[1, 2], [3, 3]])
    steps, count = np.asarray([[0, 0, 0], [0, 0, 1]]), np.asarray([[0, 0], [0, 1]])
    both("ctc_loss", logits, steps, labels, count)
    both("ctc_loss", logits, steps, labels % 3, count, blank_id=3)
    for wrong in (np.asarray([[0, 1, 0], [0, 0, 0]]), 0.5 * steps):
        with pytest.raises(ValueError, match="logit_paddings must be 0 and, behind, 1"):
            compat.ctc_loss(logits, wrong, labels, count)
        traced = jax.jit(compat.ctc_loss)(logits, wrong, labels, count)
        assert np.isnan(np.asarray(traced)).tolist() == [
            not np.array_equal(row, np.sort(np.floor(row))) for row in wrong
        ]
    with pytest.raises(ValueError, match="log_epsilon must be left alone"):
        compat.ctc_loss(logits, steps, labels, count, log_epsilon=-1e3)


def test_what_is_known_of_sequences_may_be_closed_over() -> None:
    labels, none = jax.numpy.asarray([[1, 2], [3, 3]]), jax.numpy.zeros((2, 2))
    steps = jax.numpy.zeros((2, 3))
    found = jax.jit(lambda x: compat.ctc_loss(x, steps, labels, none))(CUBE)
    np.testing.assert_allclose(found, compat.ctc_loss(CUBE, steps, labels, none), rtol=1e-12)
    together, counts = jax.numpy.asarray([1, 2, 3]), jax.numpy.asarray([2, 1])
    scores = jax.nn.log_softmax(jax.numpy.moveaxis(jax.numpy.asarray(CUBE), 1, 0))

    def of_torch(x: Any) -> Any:
        return like_torch.ctc_loss(x, together, jax.numpy.asarray([3, 3]), counts, reduction="none")

    np.testing.assert_allclose(jax.jit(of_torch)(scores), of_torch(scores), rtol=1e-12)


def test_paddings_of_another_length_are_refused() -> None:
    logits, labels, steps = CUBE, np.asarray([[1, 2], [3, 3]]), np.zeros((2, 3))
    for loss in (compat.ctc_loss, compat.ctc_loss_with_forward_probs):
        for short in (steps[:, :2], np.zeros((2, 4))):
            with pytest.raises(ValueError, match=f"{loss.__name__}: logit_paddings must have a number for each step"):
                loss(logits, short, labels, np.zeros((2, 2)))
        with pytest.raises(ValueError, match=f"{loss.__name__}: label_paddings must have the shape of labels"):
            loss(logits, steps, labels, np.zeros((2, 1)))


def test_ctc_with_forward_probabilities() -> None:
    logits, labels = CUBE, np.asarray([[1, 2], [3, 3]])
    steps, count = np.asarray([[0, 0, 0], [0, 0, 1]]), np.asarray([[0, 0], [0, 1]])

    def run(module: Any, logits: Any) -> Any:
        found = module.ctc_loss_with_forward_probs(logits, steps, labels, count)
        # Theirs are about -100,000 where no path is.
        likely = [jax.numpy.where(part > -1e4, part, 0.0) for part in found]
        return sum(
            jax.numpy.sum(part * jax.numpy.cos(jax.numpy.arange(part.size).reshape(part.shape))) for part in likely
        ), found

    (_, found), slope = jax.jit(jax.value_and_grad(lambda x: run(compat, x), has_aux=True))(logits)
    (_, theirs), expected = jax.value_and_grad(lambda x: run(optax.losses, x), has_aux=True)(logits)
    for one, other in zip(found, theirs, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, np.where(other > -1e4, other, -np.inf), rtol=1e-12)
    np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-12)
    for one, other in zip(compat.ctc_loss_with_forward_probs(logits, steps, labels, count), found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)  # of NumPy


@pytest.mark.parametrize("name", ["squared_error", "l2_loss", "huber_loss", "log_cosh"])
def test_residuals(name: str) -> None:
    both(name, LOGITS, TARGET, wrt=(0, 1))
    both(name, LOGITS)
    if name == "huber_loss":
        both(name, LOGITS, TARGET, delta=0.5)


def test_binary() -> None:
    both("hinge_loss", LOGITS, np.where(LABELS < 0.5, -1.0, 1.0))
    both("sigmoid_binary_cross_entropy", LOGITS, LABELS, wrt=(0, 1))
    both("sigmoid_focal_loss", LOGITS, LABELS, wrt=(0, 1))
    both("sigmoid_focal_loss", LOGITS, LABELS, wrt=(0, 1), alpha=0.25, gamma=1.5)
    both("sigmoid_focal_loss", LOGITS, np.where(LABELS < 0.5, 0.0, 1.0), alpha=0.25, gamma=0.5)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None])
def test_classes(axis: Any) -> None:
    labels = CUBE_LABELS / np.sum(CUBE_LABELS, axis=axis, keepdims=True)
    both("softmax_cross_entropy", CUBE, labels, wrt=(0, 1), axis=axis)
    both("kl_divergence", CUBE, labels, wrt=(0, 1), axis=axis)
    both("kl_divergence_with_log_targets", CUBE, np.log(labels), wrt=(0, 1), axis=axis)
    if axis is not None:
        length = np.prod([CUBE.shape[a] for a in (axis if isinstance(axis, tuple) else (axis,))])
        shape = [n for i, n in enumerate(CUBE.shape) if i not in ({axis % 3} if isinstance(axis, int) else set(axis))]
        ids = np.random.default_rng(6).integers(0, length, shape)
        both("softmax_cross_entropy_with_integer_labels", CUBE, ids, axis=axis)


def test_masks() -> None:
    both("softmax_cross_entropy", LOGITS, SIMPLEX, where=ROWS)
    both("softmax_cross_entropy_with_integer_labels", LOGITS, IDS, where=ROWS)
    classes = np.ones((6, 4), dtype=np.bool_)
    classes[2] = False
    classes[np.arange(6), (IDS + 1) % 4] = False
    both("softmax_cross_entropy", LOGITS, SIMPLEX, where=classes)
    both("softmax_cross_entropy_with_integer_labels", LOGITS, IDS, where=classes)
    both("kl_divergence", LOGITS, SIMPLEX, where=classes)
    both("kl_divergence_with_log_targets", LOGITS, np.log(SIMPLEX), where=classes)


def test_safe_softmax_cross_entropy() -> None:
    both("safe_softmax_cross_entropy", LOGITS, SIMPLEX)
    both("safe_softmax_cross_entropy", np.where(np.eye(4)[(IDS + 1) % 4] == 1, -np.inf, LOGITS), np.eye(4)[IDS])


def test_triplet() -> None:
    anchor, positive, negative = np.random.default_rng(9).normal(0, 1, (3, 5, 4))
    both("triplet_margin_loss", anchor, positive, negative, wrt=(0, 1, 2), margin=2.0, eps=0)
    both("triplet_margin_loss", anchor, positive, negative, wrt=(0, 1, 2), margin=2.0, axis=0, rtol=1e-4)


@pytest.mark.parametrize("twin", builtins.TWINS, ids=lambda twin: f"{twin.id}-{twin.loss}")
def test_all_but_the_prediction_may_be_closed_over(twin: Any) -> None:
    """Under jit, what is known can be looked at, and what is made of it cannot."""
    framework = frameworks.framework("jax")
    case, reduction = next(
        (case, one) for case in cases.CASES[twin.loss] for one in twin.reductions if twin.expressible(case, one)
    )
    arrays, parameters, options = case.at("float32")
    first, *rest = map(framework.convert, arrays)
    parameters, options = ({k: framework.convert(v) for k, v in part.items()} for part in (parameters, options))

    def value(prediction: Any) -> Any:
        given = Arguments((prediction, *rest), parameters, options)
        return twin.evaluate(twin.twin(), given, reduction)

    np.testing.assert_allclose(jax.jit(value)(first), value(first), rtol=1e-5, atol=1e-6)


def test_labels_that_are_closed_over_are_looked_at() -> None:
    x, y = jax.numpy.asarray([[0.1, 0.2, 0.4, 0.8]]), jax.numpy.asarray([[4, 0, -1, 1]])
    with pytest.raises(ValueError, match=r"target must be class ids in \[0, 4\), ended by -1, got 4"):
        jax.jit(lambda x: like_torch.multilabel_margin_loss(x, y))(x)


def test_traced_parameters() -> None:
    anchor, positive, negative = np.random.default_rng(9).normal(0, 1, (3, 5, 4))
    calls: dict[str, Any] = {
        "sigmoid_focal_loss": ((LOGITS, LABELS), {"gamma": 2.0, "alpha": 0.25}),
        "huber_loss": ((LOGITS, TARGET), {"delta": 0.5}),
        "triplet_margin_loss": ((anchor, positive, negative), {"margin": 2.0}),
    }
    for name, (arrays, parameters) in calls.items():
        twin, built_in = getattr(compat, name), getattr(optax.losses, name)
        tolerance = 1e-4 if name == "triplet_margin_loss" else 1e-9
        expected = jax.jit(built_in)(*arrays, **parameters)
        np.testing.assert_allclose(jax.jit(twin)(*arrays, **parameters), expected, rtol=tolerance)
        for key, value in parameters.items():
            others = {k: v for k, v in parameters.items() if k != key}

            def total(function: Any, number: Any, key: str = key, arrays: Any = arrays, others: Any = others) -> Any:
                return function(*arrays, **others, **{key: number}).sum()

            ours, theirs = (jax.jit(jax.grad(functools.partial(total, f)))(value) for f in (twin, built_in))
            np.testing.assert_allclose(ours, theirs, rtol=tolerance)
    for name in ("norm_degree", "eps"):
        with pytest.raises(TypeError, match=f"triplet_margin_loss: {name} must be known .*static_argnames='{name}'"):
            jax.jit(compat.triplet_margin_loss)(anchor, positive, negative, **{name: 2.0})
    static = jax.jit(compat.triplet_margin_loss, static_argnames=("norm_degree", "eps"))
    assert static(anchor, positive, negative, norm_degree=2, eps=1e-6).shape == (5,)


@pytest.mark.parametrize(
    "entry", [e for e in deviations.load() if e.input and FAMILIES[e.family].backend == "jax"], ids=lambda e: e.input
)
def test_what_the_table_of_deviations_says_is_so(entry: deviations.Deviation) -> None:
    if not deviations.holds(importlib.metadata.version(FAMILIES[entry.family].package), entry.versions):
        pytest.skip("another version")
    assert deviations.confirm(entry) == ""


@pytest.mark.parametrize("name", sorted({n for n in dir(optax.losses) if not n.startswith("_")}))
def test_every_loss_of_theirs_is_answered(name: str) -> None:
    for module in (polyloss, compat):
        if not hasattr(module, name):
            with pytest.raises(AttributeError, match=r"; (nearest here: |there is no such loss in polyloss yet)"):
                getattr(module, name)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignore_background", [False, True])
def test_regions_of_classes(reduction: str, ignore_background: bool) -> None:
    hot = np.eye(4)[np.random.default_rng(6).integers(0, 4, (2, 3))]
    options: dict[str, Any] = {"reduction": reduction, "ignore_background": ignore_background}
    both("dice_loss", CUBE, hot, wrt=(0, 1), alpha=0.25, beta=0.75, **options)
    both("dice_loss", CUBE, hot, class_weights=np.asarray([0.5, 1.0, 2.0, 0.0]), axis=(0, 1), smooth=0.5, **options)
    both("dice_loss", CUBE[..., 0], hot[..., 0], **options)
    both("dice_loss", LOGITS, np.eye(4)[IDS], **options)


def test_regions() -> None:
    hot = np.eye(4)[np.random.default_rng(6).integers(0, 4, (2, 3))]
    for ignore_background in (False, True):
        both("multiclass_generalized_dice_loss", CUBE, hot, smooth=0.5, ignore_background=ignore_background)
    for arrays in ((CUBE, hot), (CUBE[..., :1], hot[..., :1]), (CUBE[..., :1], hot[..., 0]), (CUBE[0, 0], hot[0, 0])):
        both("binary_dice_loss", *arrays, smooth=0.5)
    found = compat.binary_dice_loss(np.asarray([[0.5, 0.25]]), np.asarray([[1.0, 0.0]]), apply_sigmoid=False)
    np.testing.assert_allclose(found, [0.2])
    shares = np.exp(CUBE) / np.exp(CUBE).sum(axis=-1, keepdims=True)
    for options in ({}, {"reduction": "none"}, {"ignore_background": True}):
        of_shares = compat.dice_loss(shares, hot, apply_softmax=False, **options)
        np.testing.assert_allclose(of_shares, compat.dice_loss(CUBE, hot, **options))
    with pytest.raises(ValueError, match="axis must leave the last axis to the classes"):
        compat.dice_loss(CUBE, hot, axis=-1)
