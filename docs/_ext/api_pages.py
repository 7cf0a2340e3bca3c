"""A page for each public name that is no loss. Adapters are read, not imported: their frameworks need not be there."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rst
from sphinx.application import Sphinx

import polyloss

ROOT = Path(__file__).parents[2]

MODULES = (
    "polyloss",
    "polyloss.distributed",
    "polyloss.boosting",
    "polyloss.scientific",
    "polyloss.adapters",
    "polyloss.stable",
)
COMPAT = ("torch", "keras", "optax", "tf")
ADAPTERS = ("polyloss_numpy", "polyloss_torch", "polyloss_jax", "polyloss_tensorflow", "polyloss_keras", "polyloss_mlx")


def names_of(module: Any) -> list[str]:
    """The public names of a module that are no losses."""
    own = [key for key, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__]
    given = getattr(module, "__all__", own)
    return sorted(name for name in given if name[0] != "_" and not isinstance(getattr(module, name), polyloss.Loss))


def described(module: str, name: str, value: Any) -> str:
    """A name of a module that is imported."""
    text = inspect.getdoc(value) or ""
    if isinstance(value, polyloss.Domain):
        return rst.directive("py:data", f"{module}.{name}", f"The values that an argument may take: {value}.")
    if inspect.isclass(value):
        methods = [
            rst.directive("py:method", f"{key}{rst.signature(one)}", rst.numpydoc(inspect.getdoc(one) or ""))
            for key, one in vars(value).items()
            if key[0] != "_" and inspect.isfunction(one)
        ]
        return rst.directive("py:class", f"{module}.{name}", "\n".join([rst.numpydoc(text), *methods]))
    if callable(value):
        try:
            arguments = rst.signature(value)
        except (TypeError, ValueError):
            arguments = "(...)"
        return rst.directive("py:function", f"{module}.{name}{arguments}", rst.numpydoc(text))
    return rst.directive("py:data", f"{module}.{name}", "")


def read(package: str) -> Iterator[tuple[str, str]]:
    """The public names of an adapter, and what its files say of them."""
    folder = ROOT / "backends" / package
    nodes = [node for path in sorted(folder.glob("*.py")) for node in ast.parse(path.read_text(encoding="utf-8")).body]
    defined = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    lists = [node.value for node in nodes if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    elements = [one for written in lists if isinstance(written, ast.List) for one in written.elts]
    listed = [str(one.value) for one in elements if isinstance(one, ast.Constant)]
    for name in listed:
        found, full = defined.get(name), f"{package}.{name}"
        text = rst.numpydoc(ast.get_docstring(found) or "") if found is not None else "The adapter itself."
        if isinstance(found, ast.FunctionDef):
            yield name, rst.directive("py:function", f"{full}({ast.unparse(found.args)})", text)
        else:
            yield name, rst.directive("py:data" if found is None else "py:class", full, text)


def write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "api"
    found: dict[str, list[str]] = {}
    for module in MODULES:
        loaded = importlib.import_module(module)
        for name in names_of(loaded):
            text = described(module, name, getattr(loaded, name))
            rst.write(folder / f"{module}.{name}.rst", rst.title(f"{module}.{name}"), text)
            found.setdefault(module, []).append(f"{module}.{name}")
    for package in ADAPTERS:
        for name, text in read(package):
            rst.write(folder / f"{package}.{name}.rst", rst.title(f"{package}.{name}"), text)
            found.setdefault(package, []).append(f"{package}.{name}")
    for family in COMPAT:
        module = f"polyloss.compat.{family}"
        loaded = importlib.import_module(module)
        parts = [described(module, name, getattr(loaded, name)) for name in loaded.__all__]
        rst.write(folder / f"{module}.rst", rst.title(module), *parts)
        found.setdefault("polyloss.compat", []).append(module)
    parts = [rst.title("Reference"), "The losses have :doc:`pages of their own </losses/index>`.\n"]
    for module, pages in found.items():
        tree = rst.directive("toctree", "", "\n".join(pages), maxdepth="1")
        said = importlib.import_module(module).__doc__ if module.startswith("polyloss.") or module == "polyloss" else ""
        parts += [rst.title(module, "-"), (said or "").partition("\n\n")[0] + "\n", tree]
    rst.write(folder / "index.rst", *parts)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
