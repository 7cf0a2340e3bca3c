"""The built-ins of the records, called as a training script would: translated once, and not in every call."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from polyloss_conformance.builtins import Twin, twins_of
from polyloss_conformance.case import Arguments, Case
from polyloss_conformance.translations import Call, Said

from .rows import HALVES, Row

AVERAGING = ("keras",)
"""Libraries whose functions average over the last axis: the rest of a mean is one of their results."""

Function = Callable[..., Any]
"""Takes the arrays of a row; returns their mean, or what it is the mean of."""


@dataclass(frozen=True)
class Builtin:
    """A built-in that computes a row."""

    name: str
    value: Function


def builtin(row: Row, family: str, dtype: str) -> Builtin | None:
    """What a library has for a row, if anything: rather what takes its arrays as they are."""
    indirect = None
    for twin in twins_of(row.name):
        if twin.family != family or "float32" not in twin.dtypes or set(twin.constants) & set(row.wanted):
            continue
        if not twin.available():
            continue
        arrays = row.arrays(row.shapes[0])
        reduction = "mean" if "mean" in twin.reductions else twin.reductions[0]
        if reduction == "sum" and dtype in HALVES:
            # It is soon too large, and nobody does so.
            continue
        if not twin.expressible(Case(row.name, "benchmark", "sample", arrays, row.keywords), reduction):
            continue
        if family in AVERAGING:
            reduction = "mean"
        said = twin.says(_call(row, arrays, reduction))
        assert said is not None
        direct = _direct(twin, said, arrays)
        if direct is not None:
            return Builtin(twin.name, _averaged(row, direct, reduction))
        indirect = indirect or Builtin(twin.name, _averaged(row, _translating(row, twin, reduction), reduction))
    return indirect


def _call(row: Row, arrays: Sequence[Any], reduction: str) -> Call:
    return Call(Arguments(tuple(arrays), dict(row.keywords), {}), reduction)


def _direct(twin: Twin, said: Said, arrays: Sequence[Any]) -> Function | None:
    """The built-in without a translation, where its arrays are those of polyloss."""
    places = {id(array): place for place, array in enumerate(arrays)}
    given = [*said.args, *said.keywords.values()]
    if any(hasattr(a, "shape") and id(a) not in places for a in given):
        return None
    positions = [places[id(a)] for a in said.args]
    names = {key: places[id(a)] for key, a in said.keywords.items() if id(a) in places}
    constants = {key: a for key, a in said.keywords.items() if key not in names}
    function, result = twin.builtin(), said.result

    def value(*arrays: Any) -> Any:
        named = {key: arrays[place] for key, place in names.items()}
        return result(function(*(arrays[place] for place in positions), **named, **constants))

    return value


def _translating(row: Row, twin: Twin, reduction: str) -> Function:
    function = twin.builtin()

    def value(*arrays: Any) -> Any:
        said = twin.says(_call(row, arrays, reduction))
        assert said is not None
        return said.result(function(*said.args, **said.keywords))

    return value


def _averaged(row: Row, function: Function, reduction: str) -> Function:
    if reduction != "sum":
        return function

    @functools.wraps(function)
    def value(*arrays: Any) -> Any:
        return function(*arrays) / row.losses(tuple(arrays[0].shape))

    return value
