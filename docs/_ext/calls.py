"""One call of a loss in each framework, as code: on ordinary arrays of its record, with the keywords of its advice."""

import ast
from typing import Any

import numpy as np

import polyloss
from polyloss.core import words
from polyloss_conformance.losses import LOSSES


def keywords_of(name: str) -> dict[str, Any]:
    """What the first advice about a loss calls it with: those that are written out and are not about shapes."""
    for advice in LOSSES[name].advice[:1]:
        call = ast.parse(advice.call, mode="eval").body
        assert isinstance(call, ast.Call)
        given = {word.arg: word.value for word in call.keywords if word.arg in getattr(polyloss, name).parameters}
        return {key: value.value for key, value in given.items() if key and isinstance(value, ast.Constant)}
    return {}


def arrays_of(name: str) -> dict[str, Any]:
    """Ordinary arrays of two examples, short enough to be read."""
    arrays = LOSSES[name].ordinary_of((2,))
    named = zip(getattr(polyloss, name).arrays, arrays, strict=True)
    return {key: np.round(array, 2) if array.dtype.kind == "f" else array for key, array in named}


def _lines(arrays: dict[str, Any], make: str, first: str = "{}") -> str:
    """Assignments of the arrays; `first` is what becomes of the first one."""
    made = [make.format(array.tolist()) for array in arrays.values()]
    made[0] = first.format(made[0])
    return "\n".join(f"{name} = {code}" for name, code in zip(arrays, made, strict=True))


def calls(name: str) -> dict[str, str]:
    """The code for each framework, by its title."""
    loss, arrays, keywords = getattr(polyloss, name), arrays_of(name), keywords_of(name)
    said = [f"{key}={value!r}" for key, value in keywords.items()]
    first, *others = arrays
    call = f"polyloss.{name}({', '.join([*arrays, *said])})"
    made = f"{words.class_name(name)}({', '.join(said)})"
    of_keras = call
    imports = "import polyloss"
    if len(arrays) == 2:
        imports, of_keras = "import polyloss_keras", f"polyloss_keras.{made}({', '.join([*others, first])})"
    return {
        "PyTorch": f"""\
import polyloss
import torch

{_lines(arrays, "torch.tensor({})", "{}.requires_grad_()")}
loss = {call}
loss.backward()
{first}.grad""",
        "Keras": f"""\
import keras
{imports}

{_lines(arrays, "keras.ops.convert_to_tensor({})")}
loss = {of_keras}""",
        "JAX": f"""\
{"from functools import partial" + chr(10) * 2 if said else ""}import jax
import jax.numpy as jnp
import polyloss

{_lines(arrays, "jnp.asarray({})")}
loss = {f"partial(polyloss.{name}, {', '.join(said)})" if said else f"polyloss.{name}"}
value, gradient = jax.value_and_grad(loss)({", ".join(arrays)})""",
        "TensorFlow": f"""\
import polyloss
import tensorflow as tf

{_lines(arrays, "tf.constant({})", "tf.Variable({})")}
with tf.GradientTape() as tape:
    loss = {call}
gradient = tape.gradient(loss, {first})""",
        "NumPy": f"""\
import numpy as np
import polyloss

{_lines(arrays, "np.asarray({})")}
value, gradient = polyloss.value_and_grad(polyloss.{name})({", ".join([*arrays, *said])})
# {_result(loss, arrays, keywords)}""",
    }


def _result(loss: Any, arrays: dict[str, Any], keywords: dict[str, Any]) -> str:
    value, gradient = polyloss.value_and_grad(loss)(*arrays.values(), **keywords)
    return f"value {float(value):.4g}, gradient of shape {gradient.shape}"
