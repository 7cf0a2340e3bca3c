"""The curves of a loss and of its slope along a line, drawn for a page."""

from html import escape
from typing import Any

from svg import colour, drawn

from polyloss.display.curves import curves_of, extent, line_of, settings_of

POINTS = 241


def html(name: str, loss: Any) -> str:
    """Both pictures beside each other, or one above the other where there is no room."""
    line = line_of(loss)
    points = line.points(POINTS)
    curves = list(curves_of(loss, line, points, settings_of(loss)))
    pictures = []
    for what, title in (("value", "value"), ("slope", "slope along the line")):

        def draw(axis: Any, what: str = what, title: str = title) -> None:
            for curve in curves:
                style = "--" if curve.dashed else "-"
                axis.plot(points, getattr(curve, what), style, color=colour(curve.colour), linewidth=1.8)
            axis.set_title(title, fontsize=10)
            axis.axhline(0, color="#000000", linewidth=0.5, alpha=0.4)
            axis.set_ylim(*extent([getattr(curve, what) for curve in curves]))
            axis.set_xlim(line.low, line.high)

        pictures.append(drawn(draw, aria_label=f"{name}: {title} of the loss, against {line.along}"))
    legend = "".join(
        f'<li><span class="line{" dashed" if c.dashed else ""}" style="border-color: var(--curve-{c.colour + 1})">'
        f"</span>{escape(c.label)}</li>"
        for c in curves
        if c.label
    )
    legend = f'<ul class="legend">{legend}</ul>' if legend else ""
    caption = f"<figcaption>Against {escape(line.along)}.</figcaption>"
    return f'<figure class="curves"><div>{"".join(pictures)}</div>{legend}{caption}</figure>'


__all__ = ["html"]
