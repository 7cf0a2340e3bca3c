"""The curves of a loss and of its slope along a line through its inputs, found from what the loss declares."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from polyloss.core.arguments import row_of
from polyloss.core.compose import terms_of
from polyloss.core.domains import REAL, Classes, Domain, LogProbabilities
from polyloss.core.transforms import value_and_grad
from polyloss.functions import log_softmax

Arrays = tuple[Any, ...]


class Line(NamedTuple):
    """A line through the inputs of a loss.

    Parameters
    ----------
    along : str
        What grows along it.
    low, high : float
        From where to where.
    at : callable
        The arrays at a point, of one example or of a batch.
    ends : tuple of float
        The ends of the range of the last array where that has two: each has curves of its own.
    """

    along: str
    low: float
    high: float
    at: Callable[[float], Arrays]
    ends: tuple[float, ...] = ()

    def points(self, count: int) -> Any:
        """So many points on it, at equal distances."""
        return np.linspace(self.low, self.high, count)


def line_of(loss: Any) -> Line:
    """The line by the shape of the first argument: an element, a row, a region, steps, or a batch of embeddings.

    Of a sum of losses it is the shortest one of its terms, so that all of them are there.
    """
    terms = [term for _, term in terms_of(loss)]
    if len({row_of(term.arguments, term.arrays[0]) for term in terms}) > 1:
        raise ValueError("the terms are of elements, of rows, or of regions: no line is one for all of them")
    return min(map(_line_of_term, terms), key=lambda line: line.high - line.low)


def _line_of_term(loss: Any) -> Line:
    kind = {
        (): _element,
        ("c",): _row,
        ("s",): _region,
        ("s", "c"): _region_of_classes,
        ("t", "c"): _steps,
        ("d",): _embeddings,
    }
    return kind[row_of(loss.arguments, loss.arrays[0])](loss)._replace(ends=_ends(loss, loss.arrays[-1]))


def _domain(loss: Any, name: str) -> Domain:
    domain: Domain = loss.domains.get(name, REAL)
    if domain.unless is not None and loss.defaults.get(domain.unless):
        return domain.instead or REAL
    return domain


def _element(loss: Any) -> Line:
    first, *others = loss.arrays
    domain = _domain(loss, first)
    low = domain.low + 0.02 if np.isfinite(domain.low) else -4.0
    high = domain.high - 0.02 if np.isfinite(domain.high) else 6.0
    still = ", ".join(f"{name} {_still(loss, name):g}" for name in others if not _ends(loss, name))
    at = f"{first}; {still}" if still else first
    return Line(at, low, high, lambda s: (np.asarray([s]), *(np.asarray([_still(loss, name)]) for name in others)))


def _still(loss: Any, name: str) -> float:
    """Where an argument stays that has one number for each example."""
    return 1.0 if _domain(loss, name).holds(1.0) else 0.0


def _ends(loss: Any, name: str) -> tuple[float, ...]:
    """The ends of the range of a target that has two."""
    domain = _domain(loss, name)
    one_each = len(loss.arguments[name].dims[0]) == 1 and not isinstance(domain, Classes)
    both = one_each and np.isfinite(domain.low) and np.isfinite(domain.high)
    return (domain.high, domain.low) if both and name != loss.arrays[0] else ()


def _row(loss: Any) -> Line:
    first, *others = loss.arrays
    hot = np.asarray([[1.0, 0.0, 0.0]])
    if _domain(loss, others[0]).everything:
        # Of vectors: the first one goes past the second.
        across = np.asarray([[0.0, 1.0, 0.0]])
        still = [hot, hot + 2 * across]
        rest = [still.pop(0) if len(loss.arguments[name].dims[0]) > 1 else np.ones(1) for name in others]
        said = "; ".join(f"{name} = {_vector(one)}" for name, one in zip(others, rest, strict=True) if one.ndim > 1)
        return Line(f"s of {first} = (1, s, 0); {said}", -3.0, 3.0, lambda s: (hot + s * across, *rest))
    target = np.zeros(1, np.int64) if isinstance(_domain(loss, others[0]), Classes) else hot
    if isinstance(_domain(loss, first), LogProbabilities):
        of = "s of log_softmax(s, 0, 0)"
        return Line(f"{of}; the first class is right", -5.0, 5.0, lambda s: (log_softmax(s * hot), target))
    return Line(f"s of {first} = (s, 0, 0); the first class is right", -5.0, 5.0, lambda s: (s * hot, target))


def _vector(row: Any) -> str:
    return f"({', '.join(f'{number:g}' for number in row[0])})"


def _region(loss: Any) -> Line:
    right = np.asarray([[1.0, 1.0, 0.0, 0.0]])
    along = f"probability of the right answer in each of 4 elements; {loss.arrays[1]} = (1, 1, 0, 0)"
    return Line(along, 0.0, 1.0, lambda s: (s * right + (1 - s) * (1 - right), right))


def _region_of_classes(loss: Any) -> Line:
    ids = np.asarray([[0, 0, 1, 2]])
    return Line(
        f"logit of the right class in each of 4 elements; {loss.arrays[1]} = (0, 0, 1, 2)",
        *(-5.0, 5.0),
        lambda s: (s * np.eye(3)[ids], ids),
    )


def _steps(loss: Any) -> Line:
    path, labels = np.asarray([[1, 0, 2, 2]]), np.asarray([[1, 2]])
    return Line(
        f"logit of the path 1, blank, 2, 2; {loss.arrays[1]} = (1, 2)",
        *(-5.0, 5.0),
        lambda s: (s * np.eye(3)[path], labels, np.asarray([4]), np.asarray([2])),
    )


def _embeddings(loss: Any) -> Line:
    first, second = loss.arrays[:2]
    shape = loss.arguments[second].dims[0]
    eye = np.eye(3)
    if shape == ("n", "d"):
        return Line(f"s of {first} = s times {second}; 3 examples, at right angles", -1, 1, lambda s: (s * eye, eye))
    if shape == ("n",):
        rows = np.asarray([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        step = np.asarray([[0.0, 1.0]] + [[0.0, 0.0]] * 3)
        along = f"s of {first} = (1, s), (1, 0), (0, 1), (0, 1); {second} = (0, 0, 1, 1)"
        return Line(along, -3.0, 3.0, lambda s: (rows + s * step, np.asarray([0, 0, 1, 1])))
    along = f"s of {first} = (s, 0, 0); {second} is the identity, and the first class is right"
    return Line(along, -5.0, 5.0, lambda s: (s * eye[:1], eye, np.zeros(1, np.int64)))


class Curve(NamedTuple):
    """One curve: what is special about it, and its points."""

    label: str
    colour: int
    dashed: bool
    value: Any
    slope: Any


def values_of(default: float, domain: Domain) -> list[float]:
    """A few values of a parameter, its default among them: those beside it that people try, of one digit.

    The ends of a range are where a loss becomes another one, or nothing. A default of 0 is what is added being left
    out, and of that a little is enough.

    Examples
    --------
    >>> from polyloss import POSITIVE, UNIT
    >>> values_of(0.0, UNIT), values_of(0.7, UNIT), values_of(0.07, POSITIVE)
    ([0.0, 0.1, 0.2], [0.5, 0.7, 0.8], [0.04, 0.07, 0.1])
    """
    bounded = np.isfinite(domain.high)
    if default == 0:
        found = [part * domain.high if bounded else 5 * part for part in (0.0, 0.1, 0.2)]
    elif bounded:
        step = min(abs(default), domain.high - default) / 2
        found = [default - step, default, default + step]
    else:
        found = [default / 2, default, 2 * default]
    short = [value if value == default else float(f"{value:.1g}") for value in found]
    return [value for value in dict.fromkeys(short) if domain.holds(value)]


def settings_of(loss: Any) -> list[dict[str, float]]:
    """Some values of the first parameter that is a number."""
    chosen = next((name for name, default in loss.defaults.items() if isinstance(default, float)), None)
    if chosen is None:
        return [{}]
    return [{chosen: value} for value in values_of(loss.defaults[chosen], _domain(loss, chosen))]


def curves_of(loss: Any, line: Line, points: Any, settings: Sequence[Mapping[str, float]] = ({},)) -> Iterator[Curve]:
    """One for each of some settings of the parameters, by the ends of the target where it has two."""
    for end_number, end in enumerate(line.ends or (None,)):
        found = [_along(loss, line, points, setting, end) for setting in settings]
        # Where a parameter changes nothing, one curve is enough.
        same = all(np.allclose(value, found[0][0], equal_nan=True) for value, _ in found)
        for colour, (setting, (value, slope)) in enumerate(zip(settings[: 1 if same else None], found, strict=False)):
            said = [] if same else [f"{name} = {number:g}" for name, number in setting.items()]
            label = ", ".join([*([] if end is None else [f"{loss.arrays[-1]} = {end:g}"]), *said])
            yield Curve(label, colour, end_number > 0, value, slope)


def has_closed_form(loss: Any) -> bool:
    """Whether the gradient is known without a framework that differentiates."""
    found = [(term.autodiff, term.defaults) for _, term in terms_of(loss)]
    return not any(defaults.get(by) is not None if isinstance(by, str) else by for by, defaults in found)


def caption(loss: Any, line: Line, curves: Sequence[Curve], styles: Sequence[str]) -> str:
    """What stands below the curves, of which each end of the target has a style."""
    ends = [f"{style}: {curve.label}" for style, curve in zip(styles, curves, strict=False) if curve.label]
    how = [] if has_closed_form(loss) else ["slope by difference quotients"]
    return "; ".join([f"Against {line.along}", *ends, *how]) + "."


def _along(loss: Any, line: Line, points: Any, setting: Mapping[str, float], end: float | None) -> tuple[Any, Any]:
    """Value and slope at each point. The slope is the gradient times the direction of the line there; without a closed
    form, a difference quotient."""
    # One example at each point: all are a batch. Where a point is a batch itself, it has a call of its own.
    alone = all(len(array) == 1 for array in line.at(points[0]))
    values, slopes, step = [], [], 1e-6

    def value_of(arrays: Sequence[Any]) -> Any:
        return np.reshape(loss(*arrays, **setting, reduction="none" if alone else "mean"), -1)

    with np.errstate(all="ignore"):
        for batch in [points] if alone else points[:, None]:
            arrays = _stacked(line, batch, end)
            if has_closed_form(loss):
                direction = (_stacked(line, batch + step)[0] - _stacked(line, batch - step)[0]) / (2 * step)
                value, gradient = value_and_grad(loss)(*arrays, **setting, reduction="sum" if alone else "mean")
                along = np.where(direction == 0, 0, gradient * direction)
                values.append(value_of(arrays) if alone else np.reshape(value, -1))
                slopes.append(np.sum(along.reshape(len(batch), -1), axis=-1))
            else:
                # Beyond its ends there may be no loss.
                before, after = np.maximum(batch - step, line.low), np.minimum(batch + step, line.high)
                values.append(value_of(arrays))
                rise = value_of(_stacked(line, after, end)) - value_of(_stacked(line, before, end))
                slopes.append(rise / (after - before))
    return np.concatenate(values), np.concatenate(slopes)


def _stacked(line: Line, points: Any, end: float | None = None) -> list[Any]:
    """The arrays at some points, one after the other; the last one at an end of its range, where one is given."""
    arrays = [np.concatenate(parts) for parts in zip(*map(line.at, points), strict=True)]
    return arrays if end is None else [*arrays[:-1], np.full(arrays[-1].shape, end)]


def extent(curves: Sequence[Any]) -> tuple[float, float]:
    """From where to where an axis goes that some curves are drawn along: 0 is there, and poles are cut."""
    found = np.concatenate(curves)
    found = found[np.isfinite(found)]
    low, high = np.percentile(found, [0.5, 99.5]) if found.size else (0.0, 1.0)
    margin = 0.08 * (high - low or 1.0)
    return float(min(low, 0) - margin), float(max(high, 0) + margin)


def ticks(low: float, high: float, count: int) -> list[float]:
    """At most about so many round numbers from `low` to `high`, at equal distances.

    Examples
    --------
    >>> ticks(-0.3, 4.1, 5)
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
