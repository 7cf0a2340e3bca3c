"""What a notebook shows of a loss: formula, parameters, and a picture of value and slope, in plain HTML.

Text and axes have the colour of the page; those of the curves are seen on white and on black.
"""

import inspect
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from typing import Any

import numpy as np

from polyloss.core import checks, docstrings
from polyloss.core.compose import MOST_TERMS, LossSum, described, terms_of
from polyloss.core.domains import REAL
from polyloss.core.loss import Loss

from . import formulas
from .curves import Curve, caption, curves_of, extent, line_of, ticks
from .mathml import mathml

POINTS = 97
COLOURS = {"value": "#3d84d6", "slope": "#cc6a1f"}
_WIDTH, _HEIGHT = 220.0, 130.0
"""Of the inside of a panel."""
_LEFT, _TOP, _BOTTOM = 46.0, 22.0, 22.0
"""What is beside it."""
_FAILURES = (Exception, SystemExit)
"""What is wrong with a loss is said when it is called, and not where it is looked at. A kernel that exits shall end no
session either; an interrupt is what the user wants who looks at a slow one."""


def html(loss: Any) -> str | None:
    """A loss, or a sum of losses, as HTML that needs nothing else; None where there is nothing to show.

    Examples
    --------
    >>> import polyloss
    >>> shown = html(polyloss.huber.partial(delta=2.0))
    >>> "<math" in shown, "<svg" in shown, "delta" in shown
    (True, True, True)
    """
    with suppress(*_FAILURES):
        terms = list(_terms(loss))
        parts = [f"<div><code>{escape(repr(loss))}</code></div>"]
        different = {described(term): term for _, term in terms}
        for name, term in list(different.items())[:MOST_TERMS]:
            heading = f"<div><b>{escape(name)}</b></div>" if len(terms) > 1 else ""
            parts += [heading, _summary(term), *map(_formula, formulas.formulas_of(_written(term))), _table(term)]
        if len(different) > MOST_TERMS:
            parts.append(f"<div>and {len(different) - MOST_TERMS} more</div>")
        parts.append(_picture(LossSum(terms)))
        return f'<div style="max-width: 50em">{"".join(parts)}</div>'
    return None


def latex(loss: Any) -> str | None:
    """The formulas of a loss, for what does not take HTML; None where there are none, and of a sum or a multiple.

    One that would end before its end, at a ``$``, is left out; ``<`` begins no tag, whatever it is pasted into.

    Examples
    --------
    >>> import polyloss
    >>> latex(polyloss.mse)
    '$$\\\\ell = (x - t)^2$$'
    """
    with suppress(*_FAILURES):
        ((factor, term),) = _terms(loss)
        found = [one.replace("<", "< ") for one in formulas.formulas_of(_written(term)) if "$" not in one]
        return "\n".join(f"$${one}$$" for one in found) or None if factor == 1 else None
    return None


def _terms(loss: Any) -> Iterator[tuple[float, Loss[Any]]]:
    """The losses that a loss is a sum of, with their factors, as one process has them and with the parameters of
    the objects that hold them. They remember none of the calls that are made here."""
    for factor, term in terms_of(loss):
        shown, held = term._shown_as()
        inside = [(1.0, term)] if shown is term else _terms(shown)
        for inner, one in inside:
            yield factor * inner, one.partial(**{name: held[name] for name in one.parameters if name in held})


def _written(loss: Loss[Any]) -> str:
    return inspect.cleandoc(loss.__doc__ or "")


def _summary(loss: Loss[Any]) -> str:
    before = formulas.BLOCK.sub("", docstrings.split(_written(loss))[""])
    parts = formulas.INLINE.split(" ".join(before.strip().partition("\n\n")[0].split()))
    # Every second one is a formula.
    said = [_set(part) if number % 2 else escape(re.sub("`+", "", part)) for number, part in enumerate(parts)]
    return f"<div>{''.join(said)}</div>" if said != [""] else ""


def _formula(formula: str) -> str:
    return f'<div style="margin: 0.5em 1em; overflow-x: auto">{_set(formula)}</div>'


def _set(formula: str) -> str:
    """A formula; as it is written, where it has what no formula of ours has."""
    try:
        return mathml(formula)
    except ValueError:
        return f"<code>{escape(formula)}</code>"


def _table(loss: Loss[Any]) -> str:
    rows = [
        (
            name,
            checks.brief(loss.defaults[name]) if name in loss.defaults else "required",
            docstrings.range_of(loss.domains.get(name, REAL)) or "any",
        )
        for name in loss.parameters
    ]
    cells = (
        "".join(f'<td style="text-align: left">{escape(cell.replace("`", ""))}</td>' for cell in row) for row in rows
    )
    heads = "".join(f'<th style="text-align: left">{title}</th>' for title in ("parameter", "value", "range"))
    return f"<table><tr>{heads}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>" if rows else ""


def _picture(loss: Any) -> str:
    """Value and slope beside each other; nothing where a loss takes other arrays than those of a line."""
    with suppress(*_FAILURES), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        line = line_of(loss)
        points = line.points(POINTS)
        curves = list(curves_of(loss, line, points))
        return _svg(points, curves, escape(caption(loss, line, curves, ("solid", "dashed"))))
    return ""


def _svg(points: Any, curves: Sequence[Curve], said: str) -> str:
    panels = []
    for number, (what, colour) in enumerate(COLOURS.items()):
        panel = "".join(_panel(what, colour, points, [getattr(curve, what) for curve in curves]))
        panels.append(f'<g transform="translate({number * (_LEFT + _WIDTH + 20) + _LEFT:g} {_TOP:g})">{panel}</g>')
    width, height = 2 * (_LEFT + _WIDTH + 20), _TOP + _HEIGHT + _BOTTOM
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" style="max-width: 100%; height: auto" role="img" '
        f'aria-label="Value and slope. {said}" fill="none" stroke="currentColor" font-size="11" '
        f'font-family="sans-serif">{"".join(panels)}</svg><div style="font-size: 90%">{said}</div>'
    )


def _panel(title: str, colour: str, points: Any, curves: Sequence[Any]) -> Iterator[str]:
    """One picture, from the upper left corner of its axes."""
    (left, right), (low, high) = (points[0], points[-1]), extent(curves)
    across = (points - left) / (right - left) * _WIDTH
    yield f'<text x="0" y="-8" fill="{colour}" stroke="none">{title}</text>'
    yield f'<path opacity="0.5" d="M0 0V{_HEIGHT:g}H{_WIDTH:g}"/>'
    for tick in ticks(low, high, 5):
        y = (high - tick) / (high - low) * _HEIGHT
        yield f'<path opacity="{0.5 if tick == 0 else 0.15}" d="M0 {y:.1f}H{_WIDTH:g}"/>'
        yield f'<text x="-5" y="{y + 4:.1f}" text-anchor="end" fill="currentColor" stroke="none">{tick:g}</text>'
    for tick in ticks(left, right, 6):
        x, y = (tick - left) / (right - left) * _WIDTH, _HEIGHT
        yield f'<path opacity="0.5" d="M{x:.1f} {y:g}v4"/>'
        yield (
            f'<text x="{x:.1f}" y="{y + 16:g}" text-anchor="middle" fill="currentColor" stroke="none">{tick:g}</text>'
        )
    # What is outside of a picture within a picture is not seen.
    yield f'<svg width="{_WIDTH:g}" height="{_HEIGHT:g}" stroke="{colour}" stroke-width="2">'
    for curve, dashes in zip(curves, ("", ' stroke-dasharray="6 4"'), strict=False):
        up = np.clip((high - curve) / (high - low), -1, 2) * _HEIGHT
        yield f'<path{dashes} d="{_path(across, up)}"/>'
    yield "</svg>"


def _path(across: Any, up: Any) -> str:
    """Straight lines from point to point, with gaps where a loss is infinite or undefined."""
    words, gap = [], True
    for x, y in zip(across, up, strict=True):
        if np.isfinite(y):
            words.append(f"{'M' if gap else 'L'}{x:.1f} {y:.1f}")
        gap = not np.isfinite(y)
    return "".join(words)
