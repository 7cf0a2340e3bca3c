"""The phrase book: what each built-in and each of its arguments is called in polyloss, and so in the other libraries.

Nothing of it is written by hand. The function of `polyloss.compat` with the built-in's signature is called, and it is
written down what it asks of the loss: with an argument changed, whatever changes in that is what the argument means.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import polyloss
from polyloss.compat.keras.classes import CLASSES as OF_KERAS
from polyloss.compat.torch.classes import CLASSES as OF_TORCH
from polyloss.core.loss import Loss

from . import deviations
from .builtins import FAMILIES, TWINS, Call, Twin
from .case import Case
from .checks.builtins import measured
from .losses import LOSSES

CLASSES = {"torch": ("torch.nn", OF_TORCH), "keras": ("keras.losses", OF_KERAS)}
"""Where the classes of a library are, and what ours are made of."""

_CASES = ("ordinary_2d", "ordinary_1d", "probabilities")
"""Ordinary calls, which nearly every built-in can be asked for."""


class Phrase(NamedTuple):
    """A built-in in the words of polyloss."""

    twin: Twin
    case: Case
    """An ordinary call that it can be asked for."""
    words: dict[str, str]
    """For each argument of the built-in what it is here: a name, or what becomes of it; empty where that is nothing."""
    given: tuple[str, ...]
    """Its arrays, in their order."""
    remark: str
    """What the built-in does with the loss."""

    @property
    def builtin(self) -> str:
        """Where it is."""
        module = FAMILIES[self.twin.family].module.replace("tensorflow", "tf")
        return f"{module}.{self.twin.name}"

    @property
    def here(self) -> str:
        """Its twin."""
        return f"polyloss.compat.{self.twin.family}.{self.twin.name}"

    @property
    def classes(self) -> list[str]:
        """The classes of its library that compute it."""
        module, recipes = CLASSES.get(self.twin.family, ("", {}))
        return [f"{module}.{name}" for name, recipe in recipes.items() if recipe.function is self.twin.twin()]

    @property
    def call(self) -> str:
        """The call of the built-in, its arguments in the words of polyloss."""
        known = vars(polyloss)[self.twin.loss].arrays
        words = [self.words[name] for name in self.given]
        arrays = [word if word in known else "..." for word in words]
        own = [part for part in self.twin.variant.split(", ") if part]
        return f"{self.builtin}({', '.join([*arrays, *own])})"

    def lines(self) -> Iterator[str]:
        """What is to be said of it."""
        if self.classes:
            yield f"as a class: {', '.join(self.classes)}"
        yield f"on any arrays: {self.here}"
        yield f"arguments: {arguments(self)}"
        yield self.remark
        known = self.errors()
        for dtype, errors in known.items():
            shown = ", ".join(f"{part} {worst:.2g} eps" for part, worst in errors.items())
            yield f"{self.twin.package} {self.twin.version()}, an ordinary call in {dtype}, off by: {shown}"
        if not known:
            yield f"{self.twin.package} is not installed here: nothing was measured"
        for deviation in self.deviations():
            yield f"differs: {deviation.reason}"
            if deviation.input and deviation.family == self.twin.family:
                yield f"  {deviation.input} gives {deviation.returns}, exactly {deviation.exact}"

    def deviations(self) -> list[deviations.Deviation]:
        """Where it is wrong."""
        return [d for d in deviations.load() if self.twin.id in d.builtin and d.loss in (None, self.twin.loss)]

    def errors(self) -> dict[str, dict[str, float]]:
        """By dtype, how far value and gradient of the built-in are off in an ordinary call, in eps; none without it."""
        dtypes = [dtype for dtype in ("float32", "float64") if dtype in self.twin.dtypes]
        return {dtype: errors for dtype in dtypes if (errors := measured(self.twin, self.case, dtype))}


class Asked(NamedTuple):
    """What a loss was asked."""

    arrays: dict[str, Any]
    keywords: dict[str, Any]


@contextmanager
def listening(to: str) -> Iterator[list[Asked]]:
    """All that a loss is asked meanwhile."""
    heard: list[Asked] = []
    original = Loss.__call__

    def call(self: Loss[Any], *arrays: Any, **keywords: Any) -> Any:
        if self.__name__ == to:
            heard.append(Asked(dict(zip(self.arrays, arrays, strict=False)), self.defaults | keywords))
        return original(self, *arrays, **keywords)

    with mock.patch.object(Loss, "__call__", call), np.errstate(all="ignore"):
        yield heard


def phrases(loss: str, first: str = "") -> list[Phrase]:
    """How each built-in that computes a loss says it; those called `first`, if they are any, before the others."""
    found = [found for twin in LOSSES[loss].twins if (found := _phrase(twin)) is not None]
    name = first.rpartition(".")[2]

    def others(phrase: Phrase) -> tuple[bool, bool]:
        names = [one.rpartition(".")[2] for one in (phrase.builtin, *phrase.classes)]
        return name not in names, phrase.twin.family not in first

    return sorted(found, key=others)


@cache
def _phrase(twin: Twin) -> Phrase | None:
    possible = [case for case in LOSSES[twin.loss].cases if case.kind != "error"]
    for case in sorted(possible, key=lambda case: (case.name not in _CASES, case.kind != "sample")):
        for reduction in twin.reductions[::-1]:
            if twin.expressible(case, reduction):
                said = twin.says(Call(case.at("float64"), reduction))
                assert said is not None
                words = _words(twin, said.args, said.keywords)
                remark = " ".join((inspect.getdoc(twin.twin()) or "").split())
                given = inspect.signature(twin.twin()).bind(*said.args, **said.keywords).arguments
                arrays = tuple(name for name, value in given.items() if isinstance(value, np.ndarray))
                return Phrase(twin, case, words, arrays, remark)
    return None


def _words(twin: Twin, arrays: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, str]:
    function = twin.twin()
    given = dict(inspect.signature(function).bind(*arrays, **keywords).arguments)
    loss, before, result = _asked(function, given, twin.loss)
    words = {name: _name_of(value, loss, before) for name, value in given.items() if isinstance(value, np.ndarray)}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in words or (name not in given and parameter.default is parameter.empty):
            continue
        words[name] = "" if f"{name}=" in twin.variant else _meaning(function, given, name, twin.loss, before, result)
    return words


def _asked(function: Callable[..., Any], given: Mapping[str, Any], loss: str) -> tuple[str, Asked | None, Any]:
    """The loss that a function asks, what, and the result. Of probabilities, most ask `nll`."""
    for name in (loss, "nll", "binary_cross_entropy"):
        with listening(name) as heard:
            result = function(**given)
        if heard:
            return name, heard[-1], result
    return loss, None, result


def _name_of(value: Any, loss: str, asked: Asked | None) -> str:
    """What an array of a built-in is called here."""
    if asked is None:
        return "an array"
    for name, other in {**asked.arrays, **asked.keywords}.items():
        if other is value or (isinstance(other, np.ndarray) and _same(other, value)):
            return name
    for name, other in asked.arrays.items():
        if isinstance(other, np.ndarray) and _rearranged(other, value):
            return name
    rest = [name for name, other in asked.arrays.items() if np.shape(other) == np.shape(value)]
    return f"made into {rest[-1]}" if rest else "an array"


def _same(one: Any, other: Any) -> bool:
    return np.size(one) == np.size(other) and bool(np.array_equal(np.ravel(one), np.ravel(other)))


def _rearranged(one: Any, other: Any) -> bool:
    return _same(np.sort(one, axis=None), np.sort(other, axis=None))


def _meaning(
    function: Callable[..., Any], given: Mapping[str, Any], name: str, loss: str, before: Asked | None, result: Any
) -> str:
    """What changes in what a loss is asked, once a parameter of a built-in is another."""
    default = given.get(name, inspect.signature(function).parameters[name].default)
    for value in _others(name, default, given):
        with suppress(Exception):
            _, after, changed = _asked(function, {**given, name: value}, loss)
            if before is None or after is None:
                continue
            new = {key: now for key, now in after.keywords.items() if not _alike(now, before.keywords.get(key))}
            if new:
                # Most of all what it is itself, then what comes with it.
                first = min(new, key=lambda key: not _alike(new[key], value))
                rest = [f"{key}={now!r}" for key, now in new.items() if key != first and isinstance(now, str)]
                return " with ".join([first, *rest])
            moved = [key for key, now in after.arrays.items() if not _alike(now, before.arrays[key])]
            if moved and all(_rearranged(after.arrays[key], before.arrays[key]) for key in moved):
                return "axis"
            if moved:
                return f"made into {' and '.join(moved)}"
            if not _alike(result, changed):
                return "applied to the result"
    return ""


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and _same(one, other)
    return one is other or bool(one == other)


def _others(name: str, default: Any, given: Mapping[str, Any]) -> Iterator[Any]:
    """Other values that an argument may have."""
    if isinstance(default, bool):
        yield not default
    elif isinstance(default, str):
        yield from (other for other in ("sum", "none", "mean") if other != default)
    elif isinstance(default, int | float):
        yield from ((1, 0) if isinstance(default, int) else ())
        yield from (default + 0.25, default / 2)
    elif default is None:
        whole = [np.shape(value) for value in given.values() if isinstance(value, np.ndarray)]
        shapes = dict.fromkeys(part for s in whole for part in (s, s[:-1], s[-1:], s[1:2], s[:1]))
        yield from (np.linspace(0.5, 2.0, int(np.prod(shape))).reshape(shape) for shape in shapes)
        yield from (np.arange(int(np.prod(shape))).reshape(shape) % 2 == 0 for shape in shapes)
        yield from (0, 0.25)


def table() -> Iterator[tuple[str, list[Phrase]]]:
    """Every loss that some built-in computes, and how these say it."""
    for loss in LOSSES:
        if found := phrases(loss):
            yield loss, found


def markdown() -> str:
    """The page of the documentation."""
    parts = [
        "# The same loss elsewhere\n",
        "<!-- written by `pytest tests/test_docs.py --update-docs`, as `polyloss rosetta --markdown` prints it -->\n",
        "Each line computes the loss above it, with arrays that are named as in polyloss; beside it, what the",
        "arguments of the built-in are called here. `polyloss rosetta NAME` shows one loss, or a function or a class",
        "of another library, with how far the built-ins that are installed are off, and where they are wrong.",
        "`polyloss.compat` has each of them with its signature: [compatibility.md](compatibility.md).\n",
    ]
    for loss, found in table():
        parts.append(f"## `polyloss.{loss}({', '.join(vars(polyloss)[loss].arrays)})`\n")
        parts.append("| elsewhere | class | arguments |\n|---|---|---|")
        for phrase in found:
            classes = "<br>".join(f"`{name}`" for name in phrase.classes)
            parts.append(f"| `{phrase.call}` | {classes} | {arguments(phrase)} |")
        parts.append("")
    return "\n".join(parts).strip() + "\n"


def arguments(phrase: Phrase) -> str:
    """What the arguments of a built-in are here, but for those of no effect."""
    said = [(name, word) for name, word in phrase.words.items() if word]
    return ", ".join(name if name == word else f"{name}: {word}" for name, word in said)


__all__ = ["TWINS", "Phrase", "markdown", "phrases", "table"]
