"""Few calls in which every two features of many meet: hardly a fault needs three.

A function has *features*: which arrays and parameters it is called with and of what kind, and whether there is one
class alone. A branch of a loss is taken for one of them and may go wrong beside another. So every pair that some
function has is in one of those chosen. What the core does with a result is the same code for all losses, so that each
reduction, weight and mask is there once; and so are the smallest and the largest number of each parameter. Values are
no features: traps are in calls that are not chosen from, and in packs.

Where calls are dear, as many are chosen as have each feature. The branches that two of them lead to are seen elsewhere.
"""

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

import polyloss

from .cases import Case, Entry


class Features(NamedTuple):
    """What a call is like: kinds by name, which shall meet; others; and numbers by their parameter."""

    kinds: dict[str, Hashable]
    others: dict[str, Hashable]
    numbers: dict[str, float]


def features(cases: Sequence[Case], dtype: str, entry: Entry, packed: bool) -> Features:
    """Those of the function that one case is called with as it stands, or many that differ in their examples alone."""
    arrays, parameters, options = cases[0].at(dtype)
    if packed:
        weights = {name for case in cases for name in case.options if name in ("sample_weight", "where")}
        options = {"reduction": "none"} | dict.fromkeys(weights, arrays[0])
    else:
        options = {"reduction": "mean"} | options
    axes = arrays[0].ndim - len(entry.axes(parameters, arrays[0].ndim))
    # A loss branches on the values of these, if there is one: a record may be there first.
    static = getattr(getattr(polyloss, cases[0].loss, None), "static", ())
    kinds: dict[str, Hashable] = {
        name: repr(v) if name in static else _kind(v) for name, v in parameters.items() if name != "axis"
    }
    numbers = {name: v for name, v in parameters.items() if kinds.get(name) == "number"}
    kinds |= {entry.name(i): (_kind(a), a.ndim - (axes if i in entry.own else 0)) for i, a in enumerate(arrays)}
    if entry.rowwise:
        lengths = {
            case.arrays[0].shape[axis]
            for case in cases
            for axis in entry.axes(case.parameters, case.arrays[0].ndim)[-1:]
        }
        kinds["one class"] = 1 in lengths
    others = {name: _kind(v) for name, v in options.items()}
    if not packed:
        others["axes"] = axes
    # Where arrays are shared by all rows, a loss adds up its own rows.
    return Features(kinds | others, {}, numbers) if entry.shared else Features(kinds, others, numbers)


def _kind(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        return str(value.dtype)
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)


def cover(calls: Sequence[Features], meet: int = 2) -> list[int]:
    """The places of those that are chosen: again and again the one with most that is new.

    Parameters
    ----------
    meet : {1, 2}
        How many features shall meet. With 1, each occurs, and which numbers those are is all the same.
    """
    names = sorted({name for call in calls for name in call.kinds})
    others = sorted({name for call in calls for name in call.others})
    ends = {}
    for name in {name for call in calls for name in call.numbers}:
        numbers = [call.numbers[name] for call in calls if name in call.numbers]
        ends[name] = (min(numbers), max(numbers))
    goals: list[set[Hashable]] = [
        {
            *combinations(((name, call.kinds.get(name)) for name in names), meet),
            *((name, call.others.get(name)) for name in others),
            *((name, number) for name, number in call.numbers.items() if meet > 1 and number in ends[name]),
        }
        for call in calls
    ]
    chosen = []
    left = set().union(*goals)
    while left:
        best = max(range(len(calls)), key=lambda place: len(goals[place] & left))
        chosen.append(best)
        left -= goals[best]
    return sorted(chosen)
