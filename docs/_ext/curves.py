"""The curves of a loss and of its slope along a line, drawn from what the loss declares."""

import io
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import polyloss
from polyloss.core.arguments import row_of
from polyloss.core.domains import REAL, Classes, Domain, LogProbabilities

Arrays = tuple[Any, ...]

POINTS = 241


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
    """

    along: str
    low: float
    high: float
    at: Callable[[float], Arrays]


def line_of(loss: Any) -> Line:
    """The line by the shape of the first argument: an element, a row, a region, steps, or a batch of embeddings."""
    kind = {
        (): _element,
        ("c",): _row,
        ("s",): _region,
        ("s", "c"): _region_of_classes,
        ("t", "c"): _steps,
        ("d",): _embeddings,
    }
    return kind[row_of(loss.arguments, loss.arrays[0])](loss)


def _domain(loss: Any, name: str) -> Domain:
    domain: Domain = loss.domains.get(name, REAL)
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
    """The ends of the range of a target that has two; curves are drawn for both."""
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
        return Line(f"{of}; the first class is right", -5.0, 5.0, lambda s: (polyloss.log_softmax(s * hot), target))
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
    """A few values of a parameter, its default among them."""
    if np.isfinite(domain.low) and np.isfinite(domain.high):
        found = [domain.low + part * (domain.high - domain.low) for part in (0.1, 0.5, 0.9)]
        found[int(np.argmin(np.abs(np.subtract(found, default))))] = default
        return found
    found = [default / 2, default, 2 * default] if default else [0.0, 0.5, 1.0]
    return [value for value in found if domain.holds(value)]


def curves_of(loss: Any) -> Iterator[Curve]:
    """By some values of the first parameter that is a number, and by the ends of the target where it has two."""
    line = line_of(loss)
    points = np.linspace(line.low, line.high, POINTS)
    chosen = next((name for name, default in loss.defaults.items() if isinstance(default, float)), None)
    settings: list[dict[str, float]] = [{}]
    if chosen is not None:
        settings = [{chosen: value} for value in values_of(loss.defaults[chosen], _domain(loss, chosen))]
    target = loss.arrays[-1]
    for end_number, end in enumerate(_ends(loss, target) or (None,)):
        found = [_along(loss, line, points, setting, end) for setting in settings]
        # Where a parameter changes nothing, one curve is enough.
        same = all(np.allclose(value, found[0][0], equal_nan=True) for value, _ in found)
        for colour, (setting, (value, slope)) in enumerate(zip(settings[: 1 if same else None], found, strict=False)):
            said = [] if same else [f"{name} = {number:g}" for name, number in setting.items()]
            label = ", ".join([*([] if end is None else [f"{target} = {end:g}"]), *said])
            yield Curve(label, colour, end_number > 0, value, slope)


def _along(loss: Any, line: Line, points: Any, setting: dict[str, float], end: float | None) -> tuple[Any, Any]:
    """Value and slope at each point. The slope is the gradient times the direction of the line there."""
    found = []
    with_gradient, step = polyloss.value_and_grad(loss), 1e-6
    with np.errstate(all="ignore"):
        for point in points:
            arrays = line.at(point)
            if end is not None:
                arrays = (*arrays[:-1], np.full(arrays[-1].shape, end))
            direction = (line.at(point + step)[0] - line.at(point - step)[0]) / (2 * step)
            value, gradient = with_gradient(*arrays, **setting)
            found.append((float(value), float(np.sum(np.where(direction == 0, 0, gradient * direction)))))
    return tuple(np.asarray(found).T)


_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "polyloss",
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def html(name: str, loss: Any) -> str:
    """Both pictures beside each other, or one above the other where there is no room; the colours are the theme's."""
    curves = list(curves_of(loss))
    line = line_of(loss)
    points = np.linspace(line.low, line.high, POINTS)
    pictures = []
    for what, title in (("value", "value"), ("slope", "slope along the line")):
        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=(4.2, 3.0), layout="constrained")
            axis = figure.add_subplot()
            for curve in curves:
                # Not the colour itself: its number, to be replaced.
                style = "--" if curve.dashed else "-"
                axis.plot(points, getattr(curve, what), style, color=f"#00000{curve.colour + 1}", linewidth=1.8)
            axis.set_title(title, fontsize=10)
            axis.axhline(0, color="#000000", linewidth=0.5, alpha=0.4)
            found = np.concatenate([getattr(curve, what) for curve in curves])
            found = found[np.isfinite(found)]
            low, high = np.percentile(found, [0.5, 99.5])
            margin = 0.08 * (high - low or 1.0)
            axis.set_ylim(min(low, 0) - margin, max(high, 0) + margin)
            axis.set_xlim(line.low, line.high)
            figure.patch.set_visible(False)
            axis.patch.set_visible(False)
            out = io.StringIO()
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        pictures.append(_inline(out.getvalue(), f"{name}: {title} of the loss, against {line.along}"))
    legend = "".join(
        f'<li><span class="line{" dashed" if c.dashed else ""}" style="border-color: var(--curve-{c.colour + 1})">'
        f"</span>{escape(c.label)}</li>"
        for c in curves
        if c.label
    )
    legend = f'<ul class="legend">{legend}</ul>' if legend else ""
    caption = f"<figcaption>Against {escape(line.along)}.</figcaption>"
    return f'<figure class="curves"><div>{"".join(pictures)}</div>{legend}{caption}</figure>'


def _inline(svg: str, label: str) -> str:
    """A picture as part of a page: without a size of its own, and in the colours of the page."""
    svg = svg[svg.index("<svg") :]
    start, rest = svg.split(">", 1)
    box = start[start.index('viewBox="') :].split('"')[1]
    for number in (1, 2, 3):
        rest = rest.replace(f"#00000{number}", f"var(--curve-{number})")
    rest = rest.replace("#000000", "currentColor")
    lines = (one.strip() for one in rest.splitlines())
    return f'<svg viewBox="{box}" role="img" aria-label="{escape(label)}">{" ".join(filter(None, lines))}'


__all__ = ["html", "line_of"]
