"""What an adapter uses of a framework beside its public names is in one file, ``_private.py``."""

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import polyloss

ADAPTERS = (
    "polyloss_autodiff",
    "polyloss_jax",
    "polyloss_keras",
    "polyloss_mlx",
    "polyloss_numpy",
    "polyloss_tensorflow",
    "polyloss_torch",
)
OURS = "polyloss"
INTERNAL = ("tensorflow.python", "keras.src", "jax._src")
"""Packages that frameworks say are none of ours, though some have no underscore."""


def folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def attributes(tree: ast.AST) -> Iterator[str]:
    """Names that some class or instance of ours defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def reached(tree: ast.AST, ours: set[str]) -> Iterator[str]:
    """What is used of others beside their public names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in ours:
            yield ast.unparse(node)
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        for module in modules:
            internal = module.startswith(INTERNAL) or any(map(private, module.split(".")))
            if internal and not module.startswith(OURS):
                yield module


@pytest.fixture(scope="module")
def ours() -> set[str]:
    files = [*Path(polyloss.__file__).parent.rglob("*.py"), *(p for a in ADAPTERS for p in folder(a).glob("*.py"))]
    return {name for path in files for name in attributes(ast.parse(path.read_text(encoding="utf-8"))) if private(name)}


def found(package: str, names: set[str]) -> dict[str, Sequence[str]]:
    lines = {
        path.name: list(reached(ast.parse(path.read_text(encoding="utf-8")), names))
        for path in folder(package).glob("*.py")
    }
    return {file: reach for file, reach in lines.items() if reach}


@pytest.mark.parametrize("package", ADAPTERS)
def test_private_names_are_in_one_file(package: str, ours: set[str]) -> None:
    assert found(package, ours).keys() <= {"_private.py"}


@pytest.mark.parametrize("package", ["polyloss_torch", "polyloss_tensorflow", "polyloss_keras"])
def test_they_are_found_where_they_are(package: str, ours: set[str]) -> None:
    assert found(package, ours)["_private.py"]


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch._C._len_torch_dispatch_stack()",
        "from torch._subclasses.fake_tensor import FakeTensor",
        "from tensorflow.python.eager import record",
        "import keras.src.backend",
        "def f(array):\n    return array._is_zerotensor()",
        "from jax import _src",
    ],
)
def test_each_way_is_seen(code: str, ours: set[str]) -> None:
    assert list(reached(ast.parse(code), ours))
    assert not list(reached(ast.parse("import torch\nself._known = torch.__version__"), ours))


@pytest.mark.parametrize("package", sorted({*ADAPTERS} - {"polyloss_autodiff", "polyloss_mlx", "polyloss_numpy"}))
def test_the_file_says_what_it_was_tried_on(package: str) -> None:
    text = (folder(package) / "_private.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring is not None
    assert "Tried on" in docstring
