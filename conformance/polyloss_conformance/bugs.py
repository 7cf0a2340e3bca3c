"""What the suite found in other libraries, as reports that can be sent to these: ``polyloss report``.

Each is made from a deviation: its line, with what that needs to run without polyloss.
"""

import difflib
import importlib.metadata
import re
from collections.abc import Iterator

from polyloss.compat.names import plain

from .deviations import Deviation, load
from .translations import FAMILIES

_OF_TORCH = {
    "import": "import torch\nimport torch.nn.functional as F",
    "array": 'def array(values, dtype="float32"):\n    return torch.tensor(values, dtype=getattr(torch, dtype))',
    "ids": "def ids(values):\n    return torch.tensor(values)",
    "grad": """\
def grad(function, *arrays):
    arrays[0].requires_grad_()
    return torch.autograd.grad(function(*arrays).sum(), arrays[0])[0]""",
}
_OF_TENSORFLOW = {
    "import": "import tensorflow as tf",
    "array": 'def array(values, dtype="float32"):\n    return tf.constant(values, dtype)',
    "ids": 'def ids(values):\n    return tf.constant(values, "int64")',
    "grad": """\
def grad(function, *arrays):
    with tf.GradientTape() as tape:
        tape.watch(arrays[0])
        value = tf.reduce_sum(function(*arrays))
    return tape.gradient(value, arrays[0])""",
}
_OF_KERAS = _OF_TENSORFLOW | {
    "import": 'import os\n\nos.environ["KERAS_BACKEND"] = "tensorflow"\nimport keras\nimport tensorflow as tf'
}
_OF_OPTAX = {
    "import": "import jax\nimport jax.numpy as jnp\nimport optax",
    "float64": 'jax.config.update("jax_enable_x64", True)',
    "array": 'def array(values, dtype="float32"):\n    return jnp.asarray(values, dtype)',
    "ids": "def ids(values):\n    return jnp.asarray(values)",
    "grad": """\
def grad(function, *arrays):
    return jax.grad(lambda first: function(first, *arrays[1:]).sum())(arrays[0])""",
}
_SCRIPTS = {"torch": _OF_TORCH, "keras": _OF_KERAS, "optax": _OF_OPTAX, "tf": _OF_TENSORFLOW}
_ALIASES = {"F": "torch", "nn": "torch", "tensorflow": "tf"}

KINDS = {
    "value": "inaccurate value",
    "gradient": "wrong gradient",
    "nan": "NaN or infinity",
    "error": "accepts or refuses wrongly",
    "definition": "means something else",
}


def script(entry: Deviation) -> str:
    """A program that shows a deviation, without polyloss; nothing where no single line does."""
    if not entry.input:
        return ""
    parts = _SCRIPTS[entry.family]
    needed = [name for name in ("float64", "array", "ids", "grad") if name in parts and name in entry.input]
    numbers = [name for name in ("inf", "nan") if re.search(rf"\b{name}\b", entry.input)]
    imports = f"from math import {', '.join(numbers)}\n\n" if numbers else ""
    blocks = [imports + parts["import"], *(parts[name] for name in needed), f"print({entry.input})"]
    return "\n\n".join(blocks) + "\n"


def installed(family: str) -> str:
    """The version of a library that is installed here; nothing where none is."""
    names = ("tensorflow", "tensorflow-cpu") if family == "tf" else (FAMILIES[family].package,)
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def full_name(builtin: str) -> str:
    """Where a built-in is: ``torch.nn.functional.cross_entropy`` of ``torch.cross_entropy``."""
    family, _, name = builtin.partition(".")
    return f"{FAMILIES[family].module.replace('tensorflow', 'tf')}.{name}"


def report(entry: Deviation, version: str = "") -> str:
    """A deviation as a report in Markdown.

    Parameters
    ----------
    entry : Deviation
    version : str
        Of the library that its line calls.
    """
    called = entry.called if entry.input else entry.builtin[0]
    package = FAMILIES[called.partition(".")[0]].package
    conditions = f" (of versions {entry.versions})" if entry.versions else ""
    parts = [
        f"# {full_name(called)}: {KINDS[entry.kind]}",
        f"{entry.reason}",
        f"Version: {package} {version or 'not installed here'}{conditions}, on the CPU.",
    ]
    if entry.input:
        gives = "an error" if entry.returns == "error" else f"`{entry.returns}`"
        right = "an error" if entry.exact == "error" else f"`{entry.exact}`"
        parts += [
            "To reproduce:",
            f"```python\n{script(entry)}```",
            f"- What it gives: {gives}\n- What is right: {right}",
        ]
    else:
        parts.append(f"No single line shows it: rounding decides. Cases: {', '.join(entry.cases + entry.sometimes)}.")
    others = [full_name(builtin) for builtin in entry.builtin if builtin != called]
    if others:
        parts.append(f"The same cause shows in {', '.join(f'`{name}`' for name in others)}.")
    if entry.link:
        parts.append(f"Discussed in {entry.link}")
    return "\n\n".join(parts) + "\n"


def of_builtin(name: str) -> list[Deviation]:
    """What is recorded of a built-in: ``torch.cross_entropy``, ``F.cross_entropy``, ``keras.losses.Huber``.

    Raises
    ------
    ValueError
        For a name of which nothing is recorded; the message has those that look like it.
    """
    first, _, rest = name.partition(".")
    family, last = _ALIASES.get(first, first), rest.rpartition(".")[2]
    found = [entry for entry in load() if f"{family}.{last}" in map(_name, entry.builtin)]
    if not found:
        known = dict.fromkeys(_name(builtin) for entry in load() for builtin in entry.builtin)
        raise ValueError(f"nothing is recorded of {name}; {_near(name, tuple(known))}")
    return found


def _name(builtin: str) -> str:
    """A built-in without the arguments in which it is recorded."""
    return builtin.partition("(")[0]


def _near(name: str, known: tuple[str, ...]) -> str:
    wanted = plain(name.rpartition(".")[2])
    letters = {builtin: plain(builtin.rpartition(".")[2]) for builtin in known}
    words = difflib.get_close_matches(wanted, letters.values(), n=3, cutoff=0.6)
    alike = [builtin for builtin, word in letters.items() if word in words]
    return f"did you mean {', '.join(alike)}?" if alike else f"there is {', '.join(known)}"


def reports(name: str) -> Iterator[str]:
    """The reports of a built-in, with the versions that are installed here."""
    for entry in of_builtin(name):
        yield report(entry, installed(entry.family))
