"""Imports run downwards, those of annotations, inside functions and by name included, and never in a circle."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import polyloss

ROOT = Path(polyloss.__file__).parent
LAYERS = (
    ("polyloss.core",),
    ("polyloss.engine", "polyloss.stable"),
    ("polyloss.adapters", "polyloss.functions", "polyloss.losses", "polyloss.multi_task"),
    ("polyloss",),
    ("polyloss.boosting", "polyloss.compat", "polyloss.display", "polyloss.scientific"),
    ("polyloss.classes", "polyloss.__main__"),
)
"""From below. What is in one layer knows nothing of its neighbours; a package may know itself."""
LATE = {
    ("polyloss.core.shown", "polyloss.display.notebook"),  # what a notebook shows of a loss
    ("polyloss", "polyloss.compat.names"),  # the hint of an unknown name
}
"""The imports upwards that there are: of what nobody needs before it is asked for, inside functions."""

WORDS = {"polyloss.compat"}
"""Names of packages that messages say."""


def imports(root: Path) -> dict[str, set[str]]:
    """Each module of the package in `root`, with those of its modules that it imports."""
    files = {".".join((root.name, *path.relative_to(root).with_suffix("").parts)): path for path in root.rglob("*.py")}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    return {name: set(_imported(name, path, files)) - {name} for name, path in files.items()}


def _imported(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        yield from (given for given in _named(node, name) if given in files)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found = f"{source}.{alias.name}"
                yield from [found] if found in files else [source] if source in files else []


def _named(node: ast.AST, module: str) -> Iterator[str]:
    """What a node names that may be imported: in a call that imports, or anywhere, with dots, unless it is a word."""
    match node:
        case ast.Call(ast.Name(function) | ast.Attribute(attr=function), [name, *_]) if "import" in function:
            yield _text(name, module)
        case ast.Constant() | ast.JoinedStr() if (text := _text(node, module)) not in WORDS and "." in text:
            yield text


def _text(node: ast.AST, module: str) -> str:
    """A string as the module has it, where nothing is put into it but the name of the module."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.JoinedStr(parts):
            return "".join(_text(part, module) for part in parts)
        case ast.FormattedValue(ast.Name("__name__")):
            return module
    return "?"


def layer_of(module: str) -> tuple[int, str]:
    """The number of its layer, and which part of that it belongs to."""
    parts = [(number, part) for number, layer in enumerate(LAYERS) for part in layer]
    return max((p for p in parts if f"{module}.".startswith(f"{p[1]}.")), key=lambda p: len(p[1]))


def upwards(found: Mapping[str, set[str]]) -> list[str]:
    """The imports of what is not below."""
    arrows = [(name, other) for name, others in found.items() for other in others]
    return [
        f"{name} -> {other}"
        for name, other in arrows
        if layer_of(name) != layer_of(other) and layer_of(name)[0] <= layer_of(other)[0]
    ]


def circle(found: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_imports_run_downwards() -> None:
    found = imports(ROOT)
    assert len(found) > 35
    assert set(upwards(found)) == {f"{name} -> {other}" for name, other in LATE}
    assert (
        circle({name: {other for other in others if (name, other) not in LATE} for name, others in found.items()}) == []
    )


def test_what_is_imported_late_is_not_imported_before() -> None:
    code = f"import sys, polyloss\nassert not [late for _, late in {LATE!r} if late in sys.modules]"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_kernels_know_no_framework_and_no_engine() -> None:
    for name, others in imports(ROOT).items():
        if name.startswith(("polyloss.losses", "polyloss.core")):
            assert not [other for other in others if other.startswith("polyloss.engine")], name


@pytest.mark.parametrize(
    "code",
    [
        "from polyloss.losses import regression",
        "from ..losses.regression import huber",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from polyloss.losses.regression import huber",
        "def later():\n    import polyloss.losses.regression",
        "from importlib import import_module\nimport_module('polyloss.losses.regression')",
        "from importlib import import_module\nROOT = f'{__name__}'\nMODULES = {'huber': 'polyloss.losses.regression'}",
    ],
)
def test_an_arrow_upwards_is_seen(code: str, tmp_path: Path) -> None:
    for name, text in {"core/a": code, "losses/regression": "from polyloss.core import a"}.items():
        path = tmp_path / "polyloss" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        (path.parent / "__init__.py").touch()
    found = imports(tmp_path / "polyloss")
    assert upwards(found) == ["polyloss.core.a -> polyloss.losses.regression"]
    assert set(circle(found)) == {"polyloss.core.a", "polyloss.losses.regression"}
