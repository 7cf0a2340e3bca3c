"""Batches of other lengths: what is known of a call serves for one with more examples or fewer."""

from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.core import bind as _bind

pytestmark = pytest.mark.unoptimised


@pytest.fixture
def bound(monkeypatch: Any) -> list[int]:
    """The number of examples of each call that is bound, and not remembered."""
    found: list[int] = []
    bind = _bind.bind

    def counted(loss: Any, arrays: Any, keywords: Any) -> Any:
        found.append(arrays[0].shape[0])
        return bind(loss, arrays, keywords)

    monkeypatch.setattr(_bind, "bind", counted)
    return found


def array(backend: Any, rng: Any, name: str, shape: tuple[Any, ...], n: int) -> Any:
    """One of this shape, with `n` for the number of examples: a mask, or numbers above 0."""
    values = rng.random(tuple(n if length == "n" else length for length in shape)).astype(np.float32)
    return backend.array(
        values > 0.5 if name == "where" else 0.98 * values + 0.01, None if name == "where" else "float32"
    )


@pytest.mark.parametrize(
    ("loss", "row", "options"),
    [
        (polyloss.huber, (), {}),
        (polyloss.huber, (3,), {"delta": (3,), "sample_weight": ("n",)}),
        (polyloss.binary_cross_entropy_with_logits, (2, 3), {"pos_weight": (3,), "where": ("n", 2)}),
        (polyloss.cosine_embedding, (3,), {"sample_weight": ("n",)}),
        (polyloss.cross_entropy, (3,), {"class_weight": (3,), "sample_weight": ("n",), "ignore_index": 1}),
    ],
    ids=["huber", "huber-options", "binary_cross_entropy_with_logits", "cosine_embedding", "cross_entropy"],
)
def test_batches_of_other_lengths_are_known(
    loss: Any, row: Any, options: dict[str, Any], backend: Any, rng: Any, bound: list[int]
) -> None:
    """They are not bound anew, and their value and gradients are those of a loss that knows nothing."""
    known = loss.partial()
    for n in (5, 6, 40, 150_000, 6, 7):
        arrays = [array(backend, rng, "", ("n", *row), n) for _ in range(2)]
        if loss is polyloss.cosine_embedding:
            arrays.append(backend.array(np.ones(n), "float32"))
        elif loss is polyloss.cross_entropy:
            arrays[1] = backend.array(rng.integers(0, 3, n))
        keywords = dict(options)
        for name, shape in options.items():
            if isinstance(shape, tuple):
                keywords[name] = array(backend, rng, name, shape, n)
        bound.clear()
        value, gradients = backend.value_and_grad(known, *arrays, **keywords)
        if backend.name in ("numpy", "torch", "tensorflow"):
            assert set(bound) == ({5} if n == 5 else set())
        expected, others = backend.value_and_grad(loss.partial(), *arrays, **keywords)
        np.testing.assert_array_equal(backend.numpy(value), backend.numpy(expected))
        for gradient, other in zip(gradients, others, strict=True):
            if gradient is not None:
                np.testing.assert_array_equal(backend.numpy(gradient), backend.numpy(other))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target": (7, 3)}, "target"),
        ({"delta": (6,)}, "delta"),
        ({"sample_weight": (5,)}, "sample_weight"),
        ({"prediction": (3, 6)}, "prediction"),
    ],
    ids=["target", "delta", "sample_weight", "prediction"],
)
def test_other_lengths_are_checked(wrong: dict[str, Any], message: str, backend: Any, rng: Any) -> None:
    """What is known of 5 examples does not serve for what is no 6 examples."""
    loss = polyloss.huber.partial()
    shapes = {"prediction": ("n", 3), "target": ("n", 3), "delta": (3,), "sample_weight": ("n",)}
    for n in (5, 6):
        loss(**{name: array(backend, rng, name, shape, n) for name, shape in shapes.items()})
    with pytest.raises(ValueError, match=message):
        loss(**{name: array(backend, rng, name, shape, 6) for name, shape in (shapes | wrong).items()})


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ([0, 1, 2, 0, 1, 3], {}, "target"),
        ([0, 1, 2, 0, 1], {}, "target"),
        ([0, 1, 2, 0, 1, 2], {"class_weight": np.ones(6)}, "class_weight"),
        ([0, 1, 2, 0, 1, 2], {"class_weight": -np.ones(3)}, "class_weight"),
        ([0, 1, 2, 0, 1, 2], {"sample_weight": np.ones(5)}, "sample_weight"),
    ],
    ids=["no such class", "too few", "weights of examples", "negative", "too few weights"],
)
def test_classes_of_other_lengths_are_checked(
    target: list[int], options: dict[str, Any], message: str, backend: Any, rng: Any
) -> None:
    loss = polyloss.cross_entropy.partial()
    for n in (5, 6):
        right = {"class_weight": backend.array(np.ones(3))}
        if "sample_weight" in options:
            right["sample_weight"] = backend.array(np.ones(n))
        logits = backend.array(rng.random((n, 3)))
        loss(logits, backend.array(rng.integers(0, 3, n)), **right)
    given = right | {name: backend.array(values) for name, values in options.items()}
    with pytest.raises(ValueError, match=message):
        loss(logits, backend.array(np.asarray(target)), **given)


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_as_many_examples_as_numbers_in_a_row(n: int, backend: Any, rng: Any) -> None:
    """Where both are as long, what is known of others does not serve; nor of none or one."""
    known = polyloss.huber.partial()
    for count in (3, 5, n):
        arrays = [array(backend, rng, "", ("n", 3), count) for _ in range(2)]
        delta = backend.array([0.1, 0.2, 0.3], "float32")
        found = [loss(*arrays, delta=delta, reduction="sum") for loss in (known, polyloss.huber.partial())]
        assert float(found[0]) == float(found[1])
