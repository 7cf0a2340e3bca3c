"""Pictures as parts of a page: SVG in the colours of its theme, and the same each time for the same data."""

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS = 5
"""How many there are: ``--curve-1`` to ``--curve-5`` of site.css."""

SIZE = (4.2, 3.0)

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "polyloss",
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def colour(number: int) -> str:
    """The colour of a curve, counted from 0. Not the colour itself: its number, which the theme replaces."""
    return f"#00000{number % COLOURS + 1}"


def drawn(draw: Callable[[Any], None], size: tuple[float, float] = SIZE, **attributes: str) -> str:
    """What a function draws into axes.

    Parameters
    ----------
    draw : callable
    size : tuple of float
        In inches; the page scales it.
    **attributes
        Those of the element that say what is seen: `aria_label`, or `aria_labelledby`.
    """
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The browser has fonts for all scripts. That of matplotlib only measures.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        axis = figure.add_subplot()
        draw(axis)
        figure.patch.set_visible(False)
        axis.patch.set_visible(False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(out.getvalue(), attributes)


def _inline(svg: str, attributes: dict[str, str]) -> str:
    """Without a size of its own, and in the colours of the page."""
    svg = svg[svg.index("<svg") :]
    start, rest = svg.split(">", 1)
    box = start[start.index('viewBox="') :].split('"')[1]
    for number in range(1, COLOURS + 1):
        rest = rest.replace(f"#00000{number}", f"var(--curve-{number})")
    rest = rest.replace("#000000", "currentColor")
    # Nothing refers to groups, and two pictures of a page would have the same names for them.
    rest = re.sub(r'<g id="[^"]*"', "<g", rest)
    lines = (one.strip() for one in rest.splitlines())
    said = "".join(f' {name.replace("_", "-")}="{escape(text)}"' for name, text in attributes.items())
    return f'<svg viewBox="{box}" role="img"{said}>{" ".join(filter(None, lines))}'


__all__ = ["COLOURS", "SIZE", "colour", "drawn"]
