"""The losses of a batch whose examples are told apart by labels."""

from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import compat, distributed

from .distributed.batches import cases

X = np.random.default_rng(3).normal(size=(6, 3))
UNITS = X / np.sqrt(np.sum(X * X, axis=1, keepdims=True))
OTHERS = np.roll(UNITS, 1, axis=1)
Y = np.asarray([0, 0, 1, 0, 1, 2])
LOSSES = [polyloss.nt_xent, polyloss.circle.partial(gamma=8.0)]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_labels_of_any_integer_dtype(loss: Any, dtype: str, backend: Any) -> None:
    """Those at both ends of it are as different as any others."""
    kind = np.iinfo(dtype)
    labels = np.asarray([kind.max, kind.min, kind.max - 1], dtype)[Y]
    try:
        target = backend.array(labels)
    except (TypeError, OverflowError):
        pytest.skip(f"has no {dtype}")
    expected = loss(X, Y, reduction="none")
    found = loss(backend.array(X), target, reduction="none")
    np.testing.assert_allclose(backend.numpy(found), expected, rtol=1e-5)


def test_two_views_of_each_are_a_choice_among_all_others() -> None:
    views, target = np.concatenate([X, X + 0.5]), np.tile(np.arange(6), 2)
    units = views / np.sqrt(np.sum(views * views, axis=1, keepdims=True))
    logits = units @ units.T / 0.5
    np.fill_diagonal(logits, -np.inf)
    expected = polyloss.cross_entropy(logits, np.roll(np.arange(12), 6), reduction="none")
    np.testing.assert_allclose(polyloss.nt_xent(views, target, temperature=0.5, reduction="none"), expected)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_nobody_sees_what_is_masked(loss: Any) -> None:
    keep = np.asarray([True, True, False, True, True, True])
    masked = loss(X, Y, where=keep, reduction="none")
    np.testing.assert_allclose(masked[keep], loss(X[keep], Y[keep], reduction="none"))
    assert masked[2] == 0


def test_no_positives_count_in_a_mean_unless_weights_say_otherwise() -> None:
    each = polyloss.nt_xent(X, Y, reduction="none")
    assert each[5] == 0
    np.testing.assert_allclose(polyloss.nt_xent(X, Y), each.sum() / 6)
    has = np.asarray([1.0, 1, 1, 1, 1, 0])
    np.testing.assert_allclose(polyloss.nt_xent(X, Y, sample_weight=has, reduction="weighted_mean"), each.sum() / 5)


@pytest.mark.parametrize("ring", [False, True])
def test_a_group_of_one_gives_what_one_process_gives(ring: bool, backend: Any) -> None:
    """All of it but what travels: the columns of others are none."""
    if backend.framework == "jax":
        pytest.skip("whether there are others, the name of an axis tells")
    for case in cases():
        loss, keywords = distributed.data_parallel(case.loss, ring=ring), {**case.keywords, **case.parameters}
        given = {name: backend.array(v) if isinstance(v, np.ndarray) else v for name, v in keywords.items()}
        arrays = [backend.array(array) for array in case.arrays]
        np.testing.assert_allclose(backend.numpy(loss(*arrays, **given)), case.value, rtol=1e-5, atol=1e-5)
        if case.reduction == "none":
            continue
        wanted: list[int | str] = [*case.learned, *case.parameters]
        _, gradients = polyloss.value_and_grad(loss, wanted)(*arrays, **given)
        for gradient, exact in zip(gradients, case.gradients, strict=True):
            found = backend.numpy(gradient) * case.cotangent
            np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())


@pytest.mark.torch
def test_detached_weights_are_constants_to_all_derivatives() -> None:
    torch = pytest.importorskip("torch")

    def plain(x: Any) -> Any:
        unit = torch.nn.functional.normalize(x, dim=1)
        s, alike = unit @ unit.T, torch.tensor(Y[:, None] == Y)
        positive, negative = alike & ~torch.eye(6, dtype=torch.bool), ~alike
        push = 8 * torch.relu(s.detach() + 0.4) * (s - 0.4)
        pull = -8 * torch.relu(1.4 - s.detach()) * (s - 0.6)
        sides = [torch.logsumexp(a.masked_fill(~b, -1e9), 1) for a, b in ((push, negative), (pull, positive))]
        return torch.nn.functional.softplus(sum(sides)).mean()

    found = []
    for loss in (plain, lambda x: polyloss.circle(x, torch.tensor(Y), gamma=8.0)):
        x = torch.tensor(X, requires_grad=True)
        value = loss(x)
        (gradient,) = torch.autograd.grad(value, x, create_graph=True)
        (second,) = torch.autograd.grad((gradient * torch.linspace(-1, 2, 18).reshape(6, 3)).sum(), x)
        found.append([value.detach(), gradient.detach(), second])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.tensorflow
@pytest.mark.parametrize("remove_diagonal", [True, False])
@pytest.mark.parametrize("given", ["nothing", "labels", "embeddings", "both", "fewer"])
def test_references_of_keras(given: str, remove_diagonal: bool) -> None:
    keras, tf = pytest.importorskip("keras"), pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("runs on TensorFlow")
    count = 4 if given == "fewer" else 6
    others = tf.Variable(OTHERS[:count])
    keywords: dict[str, Any] = {"remove_diagonal": remove_diagonal, "gamma": 8.0}
    if given in ("labels", "both", "fewer"):
        keywords["ref_labels"] = tf.constant(Y if given == "labels" else Y[::-1][:count].copy())
    found = []
    for function in (compat.keras.circle, keras.losses.circle):
        x = tf.Variable(UNITS)
        with tf.GradientTape() as tape:
            if given in ("embeddings", "both", "fewer"):
                keywords["ref_embeddings"] = tf.convert_to_tensor(others)
            losses = function(tf.constant(Y), x, **keywords)
        gradients = tape.gradient(losses, [x, others], unconnected_gradients="zero")
        found.append([losses.numpy(), *(g.numpy() for g in gradients)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"ref_labels": Y[:4]}, r"^circle: ref_labels must have one value per row, shape \(6,\), got \(4,\)"),
        (
            {"ref_embeddings": UNITS[:, :2]},
            r"^circle: ref_embeddings must have the shape \(references, 3\), got \(6, 2\)",
        ),
        ({"ref_embeddings": UNITS[:4]}, r"^circle: ref_labels must have one value per row, shape \(4,\), got \(6,\)"),
        ({"gamma": 0.0}, "^circle: gamma must be positive and finite"),
    ],
)
def test_references_that_do_not_fit(keywords: dict[str, Any], says: str, backend: Any) -> None:
    given = {key: backend.array(v) if isinstance(v, np.ndarray) else v for key, v in keywords.items()}
    with pytest.raises(ValueError, match=says):
        compat.keras.circle(backend.array(Y), backend.array(UNITS), **given)
