"""Exact rules: the exact result of one example, or of the rows of a batch, made of a textbook value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .jets import Jet
from .numbers import ONE, ZERO, Number, mp


@dataclass
class Local:
    """One example: for each array a number, or one for each element of it (rows of a matrix in a row), or None.

    Arrays that are keywords come last.
    """

    value: Number
    scale: Number
    gradients: list[Any]
    gradient_scales: list[Any]
    kink: bool = False


Rule = Callable[..., Local]
"""Of one example: takes a number for each array, or a list of them, and the parameters."""


@dataclass
class Sized:
    """A number, and the size of the rounding it has to allow for, in units of eps."""

    value: Number
    size: Number


def is_exact(parameter: Any) -> bool:
    """Whether a parameter is the same number in float32."""
    return not isinstance(parameter, float) or float(np.float32(parameter)) == parameter


def label_size(target: Number) -> Number:
    """How much a target in [-1, 1] is rounded: 0 and ±1 are labels and exact."""
    return ZERO if target in (-1, 0, 1) else abs(target)


def inputs_of(nested: Any, place: tuple[int, ...] = ()) -> Any:
    """Jets in the place of the numbers in nested lists. Each is named by where it is; class ids stay what they are."""
    if isinstance(nested, (list, tuple)):
        return [inputs_of(part, (*place, number)) for number, part in enumerate(nested)]
    return nested if isinstance(nested, int) or nested is None else Jet(nested, {place: ONE})


def of_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that a dtype would round count as rounded inputs."""
    made: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Sized):
            made[key] = Jet(value.value).rounded(value.size, key)
        elif not is_exact(value):
            made[key] = Jet(mp.mpf(value)).rounded(abs(mp.mpf(value)), key)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            made[key] = mp.mpf(value)
        else:
            made[key] = value
    return made


def local(result: Jet, inputs: Sequence[Any]) -> Local:
    """What a jet says of an example: its slopes in the order of the inputs, and the scales."""
    extra: dict[Any, Number] = {}
    for (place, rounding), bend in result.bends.items():
        if rounding.counts(place[0]):
            extra[place] = extra.get(place, ZERO) + abs(bend)

    def collected(nested: Any, place: tuple[int, ...], scale: bool) -> Any:
        if isinstance(nested, (list, tuple)):
            return [collected(part, (*place, number), scale) for number, part in enumerate(nested)]
        if isinstance(nested, int) or nested is None:
            return None
        slope = result.slopes.get(place, ZERO)
        return abs(slope) + extra.get(place, ZERO) if scale else slope

    return Local(
        result.value,
        abs(result.value) + sum((abs(e) for k, e in result.noise.items() if k.counts("value")), ZERO),
        [collected(None if _ids(given) else given, (place,), False) for place, given in enumerate(inputs)],
        [collected(None if _ids(given) else given, (place,), True) for place, given in enumerate(inputs)],
        result.kink,
    )


def _ids(given: Any) -> bool:
    """Whether an input is a row of class ids."""
    return isinstance(given, list) and isinstance(given[0], int)


Function = Callable[..., Any]
"""A textbook value, of jets."""


def of_residual(function: Function) -> Rule:
    """The rule of a loss of prediction - target: the difference is rounded."""

    def rule(prediction: Number, target: Number, **parameters: Any) -> Local:
        x, t = inputs_of((prediction, target))
        difference = x - t
        residual = difference.rounded(abs(difference.value), "residual")
        return local(function(residual, **of_parameters(parameters)), (prediction, target))

    return rule


def of_score(function: Function) -> Rule:
    """The rule of a loss of a score (or logit, or distance) and a label: both are rounded, but for 0 and ±1."""

    def rule(score: Number, target: Number, **parameters: Any) -> Local:
        x, t = inputs_of((score, target))
        x, t = x.rounded(abs(score), "score"), t.rounded(label_size(target), "target")
        return local(function(x, t, **of_parameters(parameters)), (score, target))

    return rule


def _rounded(jets: Any, size: Callable[[Number], Number], name: tuple[Any, ...]) -> Any:
    """All jets of nested lists after a rounding of their own."""
    if isinstance(jets, list):
        return [_rounded(part, size, (*name, number)) for number, part in enumerate(jets)]
    return jets.rounded(size(jets.value), name) if isinstance(jets, Jet) else jets


def of_rows(function: Function) -> Rule:
    """The rule of a loss of rows of numbers, each of which is rounded; what is no row is a label."""

    def rule(*inputs: Any, **parameters: Any) -> Local:
        jets = [
            _rounded(given, abs if isinstance(given, list) else label_size, (place,))
            for place, given in enumerate(inputs_of(inputs))
        ]
        return local(function(*jets, **of_parameters(parameters)), inputs)

    return rule


def of_differences(*pairs: tuple[int, int]) -> Callable[[Function], Rule]:
    """The rule of a loss of differences of rows: each coordinate of these is rounded. What is no row is a label.

    Parameters
    ----------
    *pairs
        Which arrays are subtracted: the function gets a row for each pair, and then the labels.
    """

    def register(function: Function) -> Rule:
        def rule(*inputs: Any, **parameters: Any) -> Local:
            jets = inputs_of(inputs)
            rows = [
                _rounded([a - b for a, b in zip(jets[one], jets[two], strict=True)], abs, (one, two))
                for one, two in pairs
            ]
            labels = [
                _rounded(label, label_size, (place,)) for place, label in enumerate(jets) if not isinstance(label, list)
            ]
            return local(function(*rows, *labels, **parameters), inputs)

        return rule

    return register


@dataclass(frozen=True)
class Batch:
    """The rule of a loss over a batch, in which an example sees the rows of all.

    Parameters
    ----------
    function : callable
        Takes each array as a list of its rows, or numbers, without those that a mask removes, and the parameters;
        returns the loss of each row, in their order.
    alone : tuple of int
        The arrays of which an example sees its own row alone, unless parameters say otherwise.
    """

    function: Function
    alone: tuple[int, ...] = ()

    def rows(self, arrays: Sequence[Any], learned: Mapping[str, Any], **parameters: Any) -> list[Local]:
        """The result of each row. It has a gradient by all rows, and by the parameters that are `learned`, last."""
        inputs = [*arrays, *learned.values()]
        jets = [_rounded(jet, abs, (place,)) for place, jet in enumerate(inputs_of(inputs))]
        named = dict(zip(learned, jets[len(arrays) :], strict=True))
        rows = self.function(*jets[: len(arrays)], **named, **of_parameters(parameters))
        return [local(row, inputs) for row in rows]
