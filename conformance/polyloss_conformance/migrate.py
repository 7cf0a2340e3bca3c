"""Rewrite the losses of a training script to those of `polyloss.compat`, which take the same arguments.

A name is known by what it was imported as, wherever it is used: called, passed on, or subclassed. All else of the file
stays as it is, to the last space.
"""

import codecs
import importlib
import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libcst as cst
from libcst import matchers
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor, RemoveImportsVisitor
from libcst.helpers import get_full_name_for_node
from libcst.metadata import (
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
    QualifiedNameProvider,
    QualifiedNameSource,
)

from polyloss.compat.names import MISSING, plain
from polyloss.compat.torch.classes import LAYERS

from . import deviations
from .rosetta import CLASSES

PLACES: Mapping[str, Sequence[str]] = {
    "torch": ("torch.nn.functional", "torch.nn", "torch.nn.modules", "torch.nn.modules.loss"),
    "keras": ("keras.losses", "tensorflow.keras.losses", "tf_keras.losses"),
    "optax": ("optax", "optax.losses"),
    "tf": ("tensorflow.nn",),
}
"""Where the losses of a library are found, by the name of its module in `polyloss.compat`."""


@dataclass(frozen=True)
class Change:
    """A loss that was met.

    Parameters
    ----------
    line : int
        Where, counted from 1.
    before, after : str
        The code as it was and as it is; the same where there is no twin.
    remarks : tuple of str
        What is another result now, and why.
    """

    line: int
    before: str
    after: str
    remarks: tuple[str, ...] = ()


@dataclass
class Migration:
    """A script, rewritten."""

    code: str
    changes: list[Change] = field(default_factory=list)


def migrate_file(path: Path, *, write: bool = False) -> Migration:
    """`migrate` of a file, with the encoding and the ends of lines that it has.

    Raises
    ------
    ValueError
        If it is no script.
    """
    if path.suffix == ".ipynb":
        raise ValueError("a notebook is no script: save it as one first")
    content = path.read_bytes()
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    try:
        module = cst.parse_module(content.removeprefix(mark))
    except (cst.ParserSyntaxError, UnicodeDecodeError, SyntaxError) as error:
        raise ValueError(_told(error)) from None
    found = _migrated(module)
    if write and found.code != module.code:
        path.write_bytes(mark + found.code.encode(module.encoding))
    return found


def _told(error: Exception) -> str:
    return f"line {error.raw_line}: {error.message}" if isinstance(error, cst.ParserSyntaxError) else str(error)


def migrate(code: str) -> Migration:
    """A script with the losses of `polyloss.compat` in the place of the libraries' own.

    Raises
    ------
    ValueError
        If it is no Python.
    """
    try:
        return _migrated(cst.parse_module(code))
    except cst.ParserSyntaxError as error:
        raise ValueError(_told(error)) from None


def _migrated(module: cst.Module) -> Migration:
    wrapper = MetadataWrapper(module)
    context = CodemodContext()
    rewriter = _Rewriter(context, wrapper.module)
    tree = wrapper.visit(rewriter)
    if rewriter.added:
        tree = AddImportsVisitor(context).transform_module(tree)
        tree = RemoveImportsVisitor(context).transform_module(tree)
    return Migration(tree.code, rewriter.changes)


def twin_of(qualified: str) -> tuple[str, str] | None:
    """The library and the name of the twin of a function or class; None where it is no loss that is here."""
    module, _, name = qualified.rpartition(".")
    for library, places in PLACES.items():
        if module in places and name in _names(library):
            return library, name
    return None


def is_missing(qualified: str) -> bool:
    """Whether something is a loss of a library that has no twin yet."""
    module, _, name = qualified.rpartition(".")
    known = plain(name) in map(plain, MISSING)
    # All that is public where there are losses alone is one.
    return any(module in places for places in PLACES.values()) and (known or _is_named_so(module, name))


_TOOLS = ("loss", "reduction", "get", "serialize", "deserialize", "compute_average_loss", "scale_regularization_loss")


def _is_named_so(module: str, name: str) -> bool:
    words = name.lower()
    return words not in _TOOLS and (module.endswith(".losses") or words.endswith("loss"))


def _names(library: str) -> Collection[str]:
    _, classes = CLASSES.get(library, ("", {}))
    # Some make a loss, or return more than one.
    places = f"polyloss.compat.{library}"
    functions = (
        name
        for name, value in _module(library).items()
        if inspect.isfunction(value) and value.__module__.startswith(places) and not name.startswith("_")
    )
    return {*functions, *classes, *(LAYERS if library == "torch" else ())}


def _module(library: str) -> dict[str, Any]:
    return vars(importlib.import_module(f"polyloss.compat.{library}"))


def _remarks(library: str, name: str) -> tuple[str, ...]:
    """Where the built-in is wrong or means something else, so that results may change."""
    _, classes = CLASSES.get(library, ("", {}))
    functions = _module(library) | {one: recipe.function for one, recipe in classes.items()}
    function = LAYERS[name] if library == "torch" and name in LAYERS else functions[name]
    known = f"{library}.{function.__name__}"
    found = [d for d in deviations.load() if known in {b.partition("(")[0] for b in d.builtin}]
    # What is off by rounding alone is hardly another result.
    return tuple(dict.fromkeys(d.reason for d in found if d.kind != "value"))


_AROUND = (cst.Tuple, cst.List, cst.Set, cst.Element, cst.Arg, cst.ComparisonTarget, cst.BinaryOperation)
"""What a loss may stand in where it is compared with."""
_ASKS = matchers.Name("isinstance") | matchers.Name("issubclass")


_OF_A_SAMPLE = ("sampled_softmax_loss", "nce_loss")
"""Losses of tf.nn that need one argument more here."""


_OF_OLD = ("size_average", "reduce")
"""Arguments of PyTorch's functions that twins refuse. Its classes make a reduction of them, here too."""
_OF_SAFETY: Mapping[str, Mapping[str, Sequence[str]]] = {
    "torch": {"eps": ("triplet_margin_loss", "TripletMarginLoss", "poisson_nll_loss", "PoissonNLLLoss")},
    "optax": {"eps": ("triplet_margin_loss",), "epsilon": ("cosine_similarity", "cosine_distance")},
}
"""Arguments that twins refuse, as they are exact without."""


def _gives(library: str, call: cst.Call, name: str, keyword: str, unpacked: bool = False) -> bool:
    """Whether a call of a function gives an argument. `unpacked`: what is behind a star counts as that."""
    twin = getattr(importlib.import_module(f"polyloss.compat.{library}"), name)
    parameters = list(inspect.signature(twin).parameters)
    if any(arg.star for arg in call.args):
        return unpacked
    named = any(arg.keyword is not None and arg.keyword.value == keyword for arg in call.args)
    return named or (
        keyword in parameters and sum(arg.keyword is None for arg in call.args) > parameters.index(keyword)
    )


class _Rewriter(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (QualifiedNameProvider, PositionProvider, ParentNodeProvider)

    def __init__(self, context: CodemodContext, module: cst.Module) -> None:
        super().__init__()
        self.context = context
        self.module = module
        self.changes: list[Change] = []
        self.added: set[str] = set()
        self._taken = {node.value for node in matchers.findall(module, matchers.Name()) if isinstance(node, cst.Name)}
        self._imports: dict[str, tuple[str, str | None, str | None]] = {}
        """What a name was imported as: from where, what, and under which other name."""

    def visit_Import(self, node: cst.Import) -> bool:
        for alias in node.names:
            name = alias.evaluated_name
            self._imports[alias.evaluated_alias or name.partition(".")[0]] = (name, None, alias.evaluated_alias)
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        module = None if node.relative else get_full_name_for_node(node.module or "")
        if isinstance(node.names, cst.ImportStar):
            if any(module in places for places in PLACES.values()):
                self._stays(node, f"from {module} import *", "name what is imported: these names are not followed")
        elif module is not None:
            for alias in node.names:
                known = alias.evaluated_alias
                self._imports[known or alias.evaluated_name] = (module, alias.evaluated_name, known)
        return False

    def leave_Call(self, original: cst.Call, updated: cst.Call) -> cst.BaseExpression:
        if isinstance(original.func, cst.Attribute) and original.func.attr.value == "compile":
            for place, arg in enumerate(original.args):
                if arg.keyword.value == "loss" if arg.keyword is not None else place == 1:
                    for string in matchers.findall(arg.value, matchers.SimpleString()):
                        self._named(cst.ensure_type(string, cst.SimpleString))
        return updated

    def leave_Attribute(self, original: cst.Attribute, updated: cst.Attribute) -> cst.BaseExpression:
        return self._replaced(original, updated)

    def leave_Name(self, original: cst.Name, updated: cst.Name) -> cst.BaseExpression:
        parent = self.get_metadata(ParentNodeProvider, original)
        if isinstance(parent, cst.Attribute) or (isinstance(parent, cst.Arg) and parent.keyword is original):
            return updated
        return self._replaced(original, updated)

    def _replaced(self, original: cst.BaseExpression, updated: cst.BaseExpression) -> cst.BaseExpression:
        names = self.get_metadata(QualifiedNameProvider, original, set())
        # What was assigned here is somebody's own.
        imported = [one.name for one in names if one.source is QualifiedNameSource.IMPORT]
        found = next(filter(None, map(twin_of, imported)), None)
        before = self.module.code_for_node(original)
        if found is None:
            if any(map(is_missing, imported)):
                self._stays(original, before, "there is no twin of it in polyloss yet")
            return updated
        why = "the name may be something else here" if len(names) > 1 else self._reason_to_stay(original, *found)
        if why:
            self._stays(original, before, why)
            return updated
        return self._twin(*found, self.get_metadata(PositionProvider, original).start.line, before)

    def _reason_to_stay(self, node: cst.CSTNode, library: str, name: str) -> str:
        """Why a loss is not replaced: it is not called or passed on, or its twin would refuse. Empty where it is."""
        child, parent = node, self.get_metadata(ParentNodeProvider, node)
        if name in _OF_A_SAMPLE and not (
            isinstance(parent, cst.Call) and _gives("tf", parent, name, "sampled_values", unpacked=True)
        ):
            return (
                "it draws a sample; its twin is given one: sampled_values=tf.random.log_uniform_candidate_sampler(...)"
            )
        if isinstance(parent, cst.Call) and parent.func is node:
            for keyword in _OF_OLD if library == "torch" and name.islower() else ():
                if _gives(library, parent, name, keyword):
                    return f"its twin takes no {keyword}, which is from before PyTorch had reduction: say that instead"
            for keyword, names in _OF_SAFETY.get(library, {}).items():
                if name in names and _gives(library, parent, name, keyword):
                    return f"its twin is exact and takes no {keyword}: leave it out, and the twin takes the place"
        while isinstance(parent, _AROUND):
            child, parent = parent, self.get_metadata(ParentNodeProvider, parent)
        if isinstance(parent, cst.AssignTarget | cst.Del):
            return "it is changed, not used"
        asks = isinstance(parent, cst.Call) and matchers.matches(parent.func, _ASKS) and child in parent.args
        if asks or isinstance(parent, cst.Comparison | cst.MatchClass | cst.MatchValue | cst.ExceptHandler):
            return "something is compared with it; classes of polyloss.compat are subclasses of PyTorch's and Keras's"
        return ""

    def _stays(self, node: cst.CSTNode, code: str, why: str) -> None:
        self.changes.append(Change(self.get_metadata(PositionProvider, node).start.line, code, code, (why,)))

    def _named(self, string: cst.SimpleString) -> None:
        """A loss that Keras is told by a string is its own."""
        (_, classes), name = CLASSES["keras"], str(string.evaluated_value)
        function = _module("keras").get("binary_crossentropy" if name.lower() == "bce" else name)
        ways = [way for way, recipe in classes.items() if way == name or recipe.function is function]
        if ways:
            twin = f"polyloss.compat.keras.{ways[0]}()"
            self._stays(string, string.value, f"named by a string, it is Keras's own: {twin} is the twin")

    def _twin(self, library: str, name: str, line: int, before: str) -> cst.BaseExpression:
        alias = f"{library}_losses"
        while alias in self._taken:
            alias += "_"
        if library not in self.added:
            self.added.add(library)
            AddImportsVisitor.add_needed_import(self.context, "polyloss.compat", library, alias)
        imported = self._imports.get(before.partition(".")[0])
        if imported is not None:
            RemoveImportsVisitor.remove_unused_import(self.context, *imported)
        after = f"{alias}.{name}"
        self.changes.append(Change(line, before, after, _remarks(library, name)))
        return cst.parse_expression(after)
