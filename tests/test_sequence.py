"""Losses of sequences: values that can be counted, long sequences, and programs that do not grow with these."""

import warnings
from itertools import groupby, product
from typing import Any

import numpy as np
import pytest

import polyloss


def test_paths_can_be_counted(backend: Any) -> None:
    """Of equal logits, the loss says how many paths have the labels."""
    for labels in ([1], [1, 2], [1, 1], [2, 1, 2], []):
        paths = product(range(3), repeat=5)
        count = sum([c for c, _ in groupby(path) if c] == labels for path in paths)
        target = np.asarray([[*labels, 0, 0, 0][:3]])
        lengths = backend.array(np.asarray([5])), backend.array(np.asarray([len(labels)]))
        found = polyloss.ctc(backend.array(np.zeros((1, 5, 3))), backend.array(target), *lengths)
        assert float(found) == pytest.approx(5 * np.log(3) - np.log(count), rel=1e-12)


def _long(steps: int, labels: int, classes: int, scale: float) -> tuple[Any, ...]:
    rng = np.random.default_rng(steps)
    logits = (scale * rng.normal(size=(2, steps, classes))).astype(np.float32)
    return logits, rng.integers(1, classes, (2, labels)), np.full(2, steps), np.full(2, labels)


def _check_digits(convert: Any, number: Any, *sizes: Any) -> None:
    arrays = _long(*sizes)
    value, gradient = polyloss.value_and_grad(polyloss.ctc)(*map(convert, arrays))
    exact, slope = polyloss.value_and_grad(polyloss.ctc)(arrays[0].astype(np.float64), *arrays[1:])
    assert abs(float(value) - exact) <= 4 * 2.0**-23 * exact
    assert np.abs(number(gradient) - slope).max() <= 2e-5


def test_a_sequence_loses_no_digits(backend: Any) -> None:
    _check_digits(backend.array, backend.numpy, 100, 10, 8, 3.0)


def test_a_long_sequence_loses_no_digits() -> None:
    """PyTorch's own gradient is off by 4e-3."""
    _check_digits(np.asarray, np.asarray, 1000, 100, 30, 1.0)


@pytest.mark.jax
def test_a_program_of_jax_is_as_large_for_many_steps_as_for_few() -> None:
    jax = pytest.importorskip("jax")

    def size(steps: int) -> int:
        arrays = map(jax.numpy.asarray, _long(steps, 2, 4, 1.0))
        return str(jax.make_jaxpr(jax.grad(polyloss.ctc))(*arrays)).count("\n")

    assert size(500) == size(5000)


@pytest.mark.jax
def test_an_exported_program_takes_any_number_of_steps() -> None:
    jax = pytest.importorskip("jax")
    export = pytest.importorskip("jax.export")
    examples, steps = export.symbolic_shape("n, t")
    arrays = [array.astype(np.int32) if place else array for place, array in enumerate(_long(40, 2, 4, 1.0))]
    shapes = (examples, steps, 4), (examples, 2), (examples,), (examples,)
    given = [jax.ShapeDtypeStruct(shape, array.dtype) for shape, array in zip(shapes, arrays, strict=True)]
    program = export.export(jax.jit(jax.grad(polyloss.ctc)))(*given)
    expected = polyloss.value_and_grad(polyloss.ctc)(*arrays)[1]
    np.testing.assert_allclose(program.call(*arrays), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.tensorflow
def test_a_graph_of_tensorflow_is_as_large_for_many_steps_as_for_few() -> None:
    tf = pytest.importorskip("tensorflow")

    def size(steps: int) -> int:
        arrays = [tf.constant(array) for array in _long(steps, 2, 4, 1.0)]
        graph = tf.function(polyloss.ctc).get_concrete_function(*arrays).graph.as_graph_def()
        return len(graph.node) + sum(len(function.node_def) for function in graph.library.function)

    assert size(500) == size(5000)


@pytest.mark.tensorflow
@pytest.mark.parametrize("compiled", [False, True])
def test_no_size_need_be_known(compiled: bool) -> None:
    tf = pytest.importorskip("tensorflow")
    arrays = _long(7, 2, 4, 1.0)
    kinds = [tf.float32, tf.int64, tf.int64, tf.int64]
    unknown = [
        tf.TensorSpec([None] * array.ndim if place else [None, None, 4], kind)
        for place, (array, kind) in enumerate(zip(arrays, kinds, strict=True))
    ]

    step = polyloss.value_and_grad(polyloss.ctc)
    gradient = tf.function(lambda *arrays: step(*arrays)[1], input_signature=unknown, jit_compile=compiled)
    _, expected = step(*arrays)
    np.testing.assert_allclose(gradient(*map(tf.constant, arrays)), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.torch
def test_torch_compiles_one_call_whatever_lies_where_in_memory() -> None:
    torch = pytest.importorskip("torch")
    first, *others = map(torch.from_numpy, _long(30, 2, 4, 1.0))
    steps_first = first.transpose(0, 1).contiguous()

    def loss(logits: Any) -> Any:
        return polyloss.ctc(logits.transpose(0, 1), *others)

    expected = torch.func.grad(loss)(steps_first)
    x = steps_first.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [found] = torch.autograd.grad(torch.compile(loss, fullgraph=True)(x), x)
    torch.testing.assert_close(found, expected)
