"""The phrase book: what each built-in and each of its arguments is called in polyloss, and so in the other libraries.

Nothing of it is written by hand. The function of `polyloss.compat` with the built-in's signature is called, and it is
written down what it asks of the loss: with an argument changed, whatever changes in that is what the argument means.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from polyloss.compat.keras.classes import CLASSES as OF_KERAS
from polyloss.compat.names import MISSING, plain
from polyloss.compat.torch.classes import CLASSES as OF_TORCH
from polyloss.core.loss import Loss

from . import deviations, names
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
    keywords: dict[str, Any]
    """What else it is called with that is not its default."""
    ours: str
    """The call of polyloss that gives the same."""
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
        words = [self.words[name] for name in self.given]
        arrays = ["..." if " " in word else word for word in words]
        own = [f"{name}={value!r}" for name, value in self.keywords.items()]
        return f"{self.builtin}({', '.join([*arrays, *own])})"

    def lines(self) -> Iterator[str]:
        """What is to be said of it."""
        yield f"in polyloss: {self.ours}"
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
    """What a loss was asked, and what it answered."""

    loss: Loss[Any]
    arrays: dict[str, Any]
    keywords: dict[str, Any]
    value: Any


@contextmanager
def listening(to: str) -> Iterator[list[Asked]]:
    """All that a loss is asked meanwhile."""
    heard: list[Asked] = []
    original = Loss.__call__

    def call(self: Loss[Any], *arrays: Any, **keywords: Any) -> Any:
        value = original(self, *arrays, **keywords)
        if self.__name__ == to:
            named = dict(zip(self.arrays, arrays, strict=False))
            heard.append(Asked(self, named, self.defaults | keywords, value))
        return value

    with mock.patch.object(Loss, "__call__", call), np.errstate(all="ignore"):
        yield heard


def loss_of(name: str, known: Sequence[str]) -> str:
    """The loss of a name, that of a class of another library too.

    Raises
    ------
    ValueError
        For a name that means none of `known`.
    """
    last = name.rpartition(".")[2]
    of_class = [recipes[last] for _, recipes in CLASSES.values() if last in recipes]
    if of_class:
        return str(vars(of_class[0].function)["__loss__"])
    if plain(last) in map(plain, MISSING):
        raise ValueError(f"polyloss has no {name} yet")
    return names.resolve(name, known)


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
                heard = _Conversation(twin, said.args, said.keywords)
                remark = " ".join((inspect.getdoc(twin.twin()) or "").split())
                arrays = tuple(heard.arrays)
                return Phrase(twin, case, heard.words(), arrays, heard.keywords(), heard.ours(), remark)
    return None


class _Conversation:
    """What one call of a twin asks of a loss, to be compared with what others ask."""

    def __init__(self, twin: Twin, arrays: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        self.function = twin.twin()
        self.fixed = twin.variant
        self.given = dict(inspect.signature(self.function).bind(*arrays, **keywords).arguments)
        self.arrays = {name: value for name, value in self.given.items() if isinstance(value, np.ndarray)}
        # Of probabilities, most ask another loss than that of logits.
        for self.loss in (twin.loss, "nll", "binary_cross_entropy"):
            self.result, self.asked = self._call({})
            if self.asked is not None:
                break

    def _call(self, changed: Mapping[str, Any]) -> tuple[Any, Asked | None]:
        with listening(self.loss) as heard:
            result = self.function(**{**self.given, **changed})
        return result, heard[-1] if heard else None

    def keywords(self) -> dict[str, Any]:
        """The parameters of the call that are not as by default."""
        known = inspect.signature(self.function).parameters
        said = {name: value for name, value in self.given.items() if name != "reduction" and _is_plain(value)}
        return {name: value for name, value in said.items() if value != known[name].default}

    def ours(self) -> str:
        """The same in polyloss."""
        if self.asked is None:
            return ""
        loss, arrays, keywords, value = self.asked
        own = {
            name: now
            for name, now in keywords.items()
            if name not in ("axis", "reduction") and _is_plain(now) and now != loss.defaults.get(name)
        }
        call = f"polyloss.{loss.__name__}({', '.join([*arrays, *(f'{name}={now!r}' for name, now in own.items())])})"
        if not self._gives(own):
            return f"made of {call}"
        shape = np.shape(self.result)
        if shape == np.shape(value):
            ratios = np.asarray(self.result) / np.where(value == 0, np.nan, value)
            ratio = ratios[np.isfinite(ratios)]
            if ratio.size and np.allclose(ratio, ratio[0]):
                return call if np.isclose(ratio[0], 1) else f"{ratio[0]:.3g} * {call}".replace("-1 * ", "-")
        elif shape == np.shape(value)[:-1] and np.allclose(self.result, np.mean(value, axis=-1)):
            return f"{call}, averaged over the last axis"
        return f"made of {call}"

    def _gives(self, own: Mapping[str, Any]) -> bool:
        """Whether the loss answers the same with the arrays of the built-in, and the axis and reduction of the twin."""
        assert self.asked is not None
        loss, arrays, keywords, value = self.asked
        given = {self._name_of(name, array): array for name, array in self.arrays.items()}
        inputs = [given.get(name, array) for name, array in arrays.items()]
        named = {name: array for name, array in given.items() if _is_array(keywords.get(name))}
        said = {name: keywords[name] for name in ("axis", "reduction") if name in keywords}
        try:
            with np.errstate(all="ignore"):
                found = loss(*inputs, **own, **named, **said)
        except (TypeError, ValueError):
            return False
        return np.shape(found) == np.shape(value) and np.allclose(found, value, equal_nan=True)

    def words(self) -> dict[str, str]:
        """What each argument is here."""
        words = {name: self._name_of(name, value) for name, value in self.arrays.items()}
        for name, parameter in inspect.signature(self.function).parameters.items():
            if name not in words and (name in self.given or parameter.default is not parameter.empty):
                default = self.given.get(name, parameter.default)
                words[name] = "" if f"{name}=" in self.fixed else self._meaning(name, default)
        return words

    def _name_of(self, name: str, value: Any) -> str:
        """What an array is called: that of the loss which it is, or which changes with it."""
        if self.asked is None:
            return "an array"
        known = {key: now for key, now in {**self.asked.arrays, **self.asked.keywords}.items() if _is_array(now)}
        for alike in (_same, _rearranged):
            for key, now in known.items():
                if alike(now, value):
                    return key
        # Its rows in another order are as good as they were.
        return self._change(name, value[::-1]) or "an array"

    def _meaning(self, name: str, default: Any) -> str:
        """What another value of a parameter changes."""
        for value in _others(name, default, self.given):
            with suppress(Exception):
                if found := self._change(name, value):
                    return found
        return ""

    def _change(self, name: str, value: Any) -> str:
        """What changes in what the loss is asked, once an argument is another."""
        result, after = self._call({name: value})
        before = self.asked
        if before is None or after is None:
            return ""
        new = {key: now for key, now in after.keywords.items() if not _alike(now, before.keywords.get(key))}
        if new:
            # Most of all what it is itself, then what comes with it.
            first = min(new, key=lambda key: not _alike(new[key], value))
            rest = [f"{key}={now!r}" for key, now in new.items() if key != first and isinstance(now, str)]
            return " with ".join([first, *rest])
        moved = [key for key, now in after.arrays.items() if not _alike(now, before.arrays[key])]
        if moved and name not in self.arrays and all(_rearranged(after.arrays[k], before.arrays[k]) for k in moved):
            return "axis"
        if moved:
            return f"made into {' and '.join(moved)}"
        return "" if _alike(self.result, result) else "applied to the result"


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _same(one: Any, other: Any) -> bool:
    return np.size(one) == np.size(other) and bool(np.array_equal(np.ravel(one), np.ravel(other)))


def _rearranged(one: Any, other: Any) -> bool:
    return _same(np.sort(one, axis=None), np.sort(other, axis=None))


def _alike(one: Any, other: Any) -> bool:
    if _is_array(one) or _is_array(other):
        return _is_array(one) and _is_array(other) and _same(one, other)
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
        "Calls of other libraries beside those of polyloss that give the same, with arrays that are named as in",
        "polyloss; and what the arguments of the built-in are called here. `polyloss rosetta NAME` shows one loss, or",
        "a function or a class of another library, with how far the built-ins that are installed are off, and where",
        "they are wrong. `polyloss.compat` has each of them: [compatibility.md](compatibility.md).\n",
    ]
    for loss, found in table():
        parts.append(f"## `{loss}`\n")
        parts.append("| elsewhere | in polyloss | class | arguments |\n|---|---|---|---|")
        for phrase in found:
            classes = "<br>".join(f"`{name}`" for name in phrase.classes)
            parts.append(f"| `{phrase.call}` | {_as_code(phrase.ours)} | {classes} | {arguments(phrase)} |")
        parts.append("")
    return "\n".join(parts).strip() + "\n"


def _as_code(text: str) -> str:
    """A call as code, and what is said around it."""
    start, end = text.find("polyloss."), text.rfind(")") + 1
    before, call, behind = text[:start], text[start:end], text[end:]
    said = before.startswith("made of ")
    return f"{before}`{call}`{behind}" if said else f"`{before}{call}`{behind}"


def arguments(phrase: Phrase) -> str:
    """What the arguments of a built-in are here, but for those of no effect."""
    said = [(name, word) for name, word in phrase.words.items() if word]
    return ", ".join(name if name == word else f"{name}: {word}" for name, word in said)


__all__ = ["TWINS", "Phrase", "markdown", "phrases", "table"]
