"""A loss leaves Python: programs that are exported have its value and its gradient, for any number of examples."""

import functools
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.core.loss import Loss

from .ordinary import ordinary

LOSSES = {name: loss for name, loss in vars(polyloss).items() if isinstance(loss, Loss)}
EVERY = pytest.mark.parametrize("name", LOSSES)
FEW, MANY = 6, 9
"""A program is exported with so many examples, and run with so many."""


def arrays_of(name: str, rows: int = MANY) -> list[np.ndarray[Any, Any]]:
    """Arrays of 32 bits for which the loss is finite."""
    for seed in range(100):
        found = ordinary(LOSSES[name], np.random.default_rng(seed), rows)
        found = [array.astype(np.float32) if array.dtype.kind == "f" else array for array in found]
        if np.isfinite(LOSSES[name](*found)):
            return found
    raise AssertionError(f"{name} is finite for none")


def has_examples(name: str) -> list[bool]:
    """Which of its arrays belong to examples, along their first axis."""
    return [LOSSES[name].arguments[key].of_examples for key in LOSSES[name].arrays]


def expected(name: str) -> tuple[Any, Any]:
    """What NumPy finds for many examples."""
    value, gradient = polyloss.value_and_grad(LOSSES[name])(*arrays_of(name))
    return value, gradient


def check(found: Any, wanted: Any) -> None:
    """Within the rounding of sums of 32 bits."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def module_of(function: Callable[..., Any]) -> Any:
    """A function of tensors as a module, which is what PyTorch exports."""
    torch = pytest.importorskip("torch")

    class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, *arrays: Any) -> Any:
            return function(*arrays)

    return Module()


def exported(name: str, function: Callable[..., Any]) -> Any:
    """A program of PyTorch for any number of examples."""
    torch = pytest.importorskip("torch")
    rows = torch.export.Dim("rows")
    shapes = tuple({0: rows} if examples else None for examples in has_examples(name))
    arrays = tuple(map(torch.tensor, arrays_of(name, FEW)))
    return torch.export.export(module_of(function), arrays, dynamic_shapes=(shapes,))


@functools.cache
def program_of_torch(name: str) -> Any:
    """The value and the gradient."""
    return exported(name, polyloss.value_and_grad(LOSSES[name]))


@pytest.mark.torch
@EVERY
def test_a_program_of_torch_has_value_and_gradient(name: str) -> None:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.export.save(program_of_torch(name), file)
    file.seek(0)
    program = torch.export.load(file)
    calls = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert [call for call in calls if "polyloss" in call] == []
    for found, wanted in zip(program.module()(*map(torch.tensor, arrays_of(name))), expected(name), strict=True):
        check(found, wanted)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["huber", "cross_entropy", "circle", "linear_cross_entropy", "softmax_dice"])
def test_autograd_differentiates_a_program_of_the_value(name: str) -> None:
    torch = pytest.importorskip("torch")
    first, *others = map(torch.tensor, arrays_of(name))
    value = exported(name, LOSSES[name]).module()(first.requires_grad_(), *others)
    value.backward()
    for found, wanted in zip((value.detach(), first.grad), expected(name), strict=True):
        check(found, wanted)


@pytest.mark.torch
def test_a_step_of_a_network_is_exported() -> None:
    """Value and gradients by the parameters are results of the program."""
    torch = pytest.importorskip("torch")

    class Step(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 4)

        def forward(self, x: Any, ids: Any) -> Any:
            loss = polyloss.cross_entropy(self.layer(x), ids)
            return loss.detach(), *torch.autograd.grad(loss, list(self.parameters()))

    step, rows = Step(), torch.export.Dim("rows")
    x, ids = torch.randn(FEW, 3), torch.arange(FEW) % 4
    program = torch.export.export(step, (x, ids), dynamic_shapes=({0: rows}, {0: rows}))
    x, ids = torch.randn(MANY, 3), torch.arange(MANY) % 4
    for found, wanted in zip(program.module()(x, ids), step(x, ids), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.torch
def test_the_gradient_in_a_program_of_torch_is_the_closed_form() -> None:
    """Autograd, which has the arithmetic of the value alone, finds infinity where a row is far on the wrong side."""
    torch = pytest.importorskip("torch")
    logits, ids = torch.tensor([[0.0, 50.0]]), torch.tensor([0])
    program = torch.export.export(module_of(polyloss.value_and_grad(polyloss.cross_entropy)), (logits, ids))
    assert program.module()(logits, ids)[1].tolist() == [[-1.0, 1.0]]
    program = torch.export.export(module_of(polyloss.cross_entropy), (logits, ids))
    program.module()(logits.requires_grad_(), ids).backward()
    assert torch.isinf(logits.grad).any()


@pytest.mark.torch
@pytest.mark.parametrize("name", ["mse", "info_nce"])
def test_transforms_of_torch_are_not_exported(name: str) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=rf"{name}: torch\.export cannot follow .* polyloss\.value_and_grad"):
        exported(name, torch.func.grad(LOSSES[name]))


@pytest.mark.torch
def test_a_program_of_torch_needs_no_polyloss(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    name = "linear_cross_entropy"
    torch.export.save(program_of_torch(name), tmp_path / "program.pt2")
    torch.save(list(map(torch.tensor, arrays_of(name))), tmp_path / "arrays.pt")
    script = (
        "import sys, torch\n"
        "found = torch.export.load('program.pt2').module()(*torch.load('arrays.pt'))\n"
        "assert 'polyloss' not in sys.modules\n"
        "torch.save([one.detach() for one in found], 'found.pt')\n"
    )
    subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, check=True)
    for found, wanted in zip(torch.load(tmp_path / "found.pt"), expected(name), strict=True):
        check(found, wanted)


@pytest.mark.export
@EVERY
def test_onnx_of_torch_has_value_and_gradient(name: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model = torch.onnx.export(program_of_torch(name), verbose=False).model_proto
    session = runtime.InferenceSession(model.SerializeToString())
    given = {one.name: array for one, array in zip(session.get_inputs(), arrays_of(name), strict=True)}
    for found, wanted in zip(session.run(None, given), expected(name), strict=True):
        check(found, wanted)


@pytest.mark.jax
@EVERY
def test_a_program_of_jax_has_value_and_gradient(name: str) -> None:
    jax = pytest.importorskip("jax")
    export = pytest.importorskip("jax.export")
    pytest.importorskip("flatbuffers")
    arrays = [array if array.dtype.kind == "f" else array.astype(np.int32) for array in arrays_of(name)]
    (rows,) = export.symbolic_shape("rows")
    shapes = [
        (rows, *array.shape[1:]) if examples else array.shape
        for array, examples in zip(arrays, has_examples(name), strict=True)
    ]
    structs = [jax.ShapeDtypeStruct(shape, array.dtype) for shape, array in zip(shapes, arrays, strict=True)]
    program = export.deserialize(export.export(jax.jit(LOSSES[name]))(*structs).serialize(vjp_order=1))
    value, gradient = expected(name)
    check(program.call(*arrays), value)
    check(program.vjp().call(*arrays, np.float32(1.0))[0], gradient)


@pytest.mark.tensorflow
def test_a_saved_model_of_tensorflow_needs_no_polyloss(tmp_path: Path) -> None:
    """Every loss: its value, its gradient, and the gradient that a tape finds of the value."""
    tf = pytest.importorskip("tensorflow")
    model = tf.Module()
    for name, loss in LOSSES.items():
        specs = [
            tf.TensorSpec([None, *array.shape[1:]] if examples else array.shape, array.dtype)
            for array, examples in zip(arrays_of(name), has_examples(name), strict=True)
        ]
        model.__setattr__(name, tf.Module())
        one = getattr(model, name)
        one.value = tf.function(functools.partial(_value, loss), input_signature=specs)
        one.gradient = tf.function(functools.partial(_gradient, tf, loss), input_signature=specs)
    tf.saved_model.save(model, str(tmp_path / "model"))
    (tmp_path / "arrays.pkl").write_bytes(pickle.dumps({name: arrays_of(name) for name in LOSSES}))
    subprocess.run([sys.executable, "-P", "-c", _LOAD], cwd=tmp_path, check=True)
    found = pickle.loads((tmp_path / "found.pkl").read_bytes())
    for name in LOSSES:
        value, gradient = expected(name)
        for one, wanted in zip(found[name], (value, gradient, gradient), strict=True):
            check(one, wanted)


def _value(loss: Any, *arrays: Any) -> Any:
    return loss(*arrays)


def _gradient(tf: Any, loss: Any, *arrays: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(arrays[0])
        value = loss(*arrays)
    return tape.gradient(value, arrays[0])


_LOAD = """
import pickle, sys
from pathlib import Path
import tensorflow as tf

model, found = tf.saved_model.load("model"), {}
for name, arrays in pickle.loads(Path("arrays.pkl").read_bytes()).items():
    arrays, one = list(map(tf.constant, arrays)), getattr(model, name)
    with tf.GradientTape() as tape:
        tape.watch(arrays[0])
        value = one.value(*arrays)
    found[name] = [array.numpy() for array in (value, one.gradient(*arrays), tape.gradient(value, arrays[0]))]
assert "polyloss" not in sys.modules
Path("found.pkl").write_bytes(pickle.dumps(found))
"""


def graph(
    shapes: dict[str, Any], dtypes: dict[str, Any], function: Callable[..., tuple[Any, ...]]
) -> Callable[..., Any]:
    """A function of named arrays that runs an ONNX graph, made by ndonnx."""
    ndonnx = pytest.importorskip("ndonnx")
    runtime = pytest.importorskip("onnxruntime")
    given = {name: ndonnx.argument(shape=shape, dtype=getattr(ndonnx, dtypes[name])) for name, shape in shapes.items()}
    results = {f"result {place}": result for place, result in enumerate(function(**given))}
    session = runtime.InferenceSession(ndonnx.build(given, results).SerializeToString())
    return lambda **arrays: session.run(None, arrays)


def value_and_gradients(name: str, reduction: str) -> Callable[..., tuple[Any, ...]]:
    """The value and the gradient by the first array, of named arguments."""
    differentiated = polyloss.value_and_grad(LOSSES[name])

    def function(**named: Any) -> tuple[Any, ...]:
        arrays = [named.pop(key) for key in LOSSES[name].arrays]
        value, gradient = differentiated(*arrays, **named, reduction=reduction)
        return value, gradient

    return function


@pytest.mark.export
@pytest.mark.parametrize("reduction", ["mean", "weighted_mean"])
@EVERY
def test_onnx_without_a_framework(name: str, reduction: str, rng: np.random.Generator) -> None:
    named = dict(zip(LOSSES[name].arrays, arrays_of(name), strict=True))
    examples = dict(zip(named, has_examples(name), strict=True))
    if reduction == "weighted_mean":
        named |= {"sample_weight": rng.random(MANY).astype(np.float32), "where": np.arange(MANY) != 2}
    shapes = {key: ("rows", *one.shape[1:]) if examples.get(key, True) else one.shape for key, one in named.items()}
    function = value_and_gradients(name, reduction)
    run = graph(shapes, {key: str(one.dtype) for key, one in named.items()}, function)
    for found, wanted in zip(run(**named), function(**named), strict=True):
        check(found, wanted)


IDS = {"logits": ("rows", 4), "target": ("ids",)}
DTYPES = {"logits": "float32", "target": "int64"}


@pytest.mark.export
def test_onnx_says_nan_where_values_or_lengths_are_wrong() -> None:
    """Nobody can look at them while the graph is made."""

    def loss(logits: Any, target: Any) -> tuple[Any, ...]:
        return (polyloss.cross_entropy(logits, target, reduction="none"),)

    run, logits = graph(IDS, DTYPES, loss), np.zeros((3, 4), np.float32)
    np.testing.assert_allclose(run(logits=logits, target=np.asarray([0, 4, -1]))[0], [np.log(4), np.nan, np.nan], 1e-6)
    assert np.isnan(run(logits=logits, target=np.asarray([0]))[0]).all()


@pytest.mark.export
def test_onnx_of_no_examples_is_0() -> None:
    run = graph(IDS, DTYPES, value_and_gradients("cross_entropy", "mean"))
    value, gradient = run(logits=np.zeros((0, 4), np.float32), target=np.zeros(0, np.int64))
    assert value == 0
    assert gradient.shape == (0, 4)


@pytest.mark.export
def test_what_no_graph_of_ndonnx_can_have_is_refused() -> None:
    ndonnx = pytest.importorskip("ndonnx")
    x = ndonnx.argument(shape=("rows",), dtype=ndonnx.float32)
    with pytest.raises(TypeError, match="these arrays have no automatic differentiation"):
        polyloss.value_and_grad(lambda x: polyloss.mse(2 * x, x))(x)
    with pytest.raises(TypeError, match="one of numpy beside one of ndonnx; make it one of these"):
        polyloss.mse(x, np.zeros(3, np.float32))
    shapes = ("rows", "steps", 4), ("rows", 2), ("rows",), ("rows",)
    dtypes = ndonnx.float32, ndonnx.int64, ndonnx.int64, ndonnx.int64
    arrays = [ndonnx.argument(shape=shape, dtype=dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    with pytest.raises(TypeError, match="steps that follow each other must have a known number"):
        polyloss.ctc(*arrays)


@pytest.mark.export
def test_sparse_arrays_are_refused() -> None:
    sparse = pytest.importorskip("sparse")
    with pytest.raises(TypeError, match=r"mse: prediction must be a plain array, got a sparse array.*todense"):
        polyloss.mse(sparse.zeros((3,)), sparse.zeros((3,)))
