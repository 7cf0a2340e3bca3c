"""The curves of a loss and of its slope along a line, drawn for a page."""

import io
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from polyloss.display.curves import curves_of, extent, line_of, settings_of

POINTS = 241

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
    line = line_of(loss)
    points = line.points(POINTS)
    curves = list(curves_of(loss, line, points, settings_of(loss)))
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
            axis.set_ylim(*extent([getattr(curve, what) for curve in curves]))
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


__all__ = ["html"]
