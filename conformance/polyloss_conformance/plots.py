"""Curves in a terminal, in Braille characters, which have two by four dots each, or in ASCII."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from polyloss.display.curves import caption, curves_of, extent, line_of, ticks

POINTS = 481
_BRAILLE = 0x2800
_DOTS = np.asarray([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a character, as Unicode numbers them."""
_MARKS = "*.o+"
_NARROW = 36
"""Where two pictures would be narrower, they are one above the other."""
_WIDEST = 76


def draw(points: Any, curves: Sequence[Any], width: int, height: int, ascii: bool = False) -> list[str]:
    """The lines of a picture: curves against points, with numbers at both axes.

    Parameters
    ----------
    points : array
        Where the curves are known, from the left to the right.
    curves : sequence of arrays
        Their values. The second one is dotted. Where one is not finite, nothing is drawn.
    width, height : int
        Of all of it, in characters.
    ascii : bool
        Whether there is nothing but ASCII.
    """
    low, high = extent(curves)
    rows = height - 2
    at = {_row(tick, low, high, rows): f"{tick:g}" for tick in ticks(low, high, max(2, rows // 2))}
    margin = max(map(len, at.values())) + 1
    columns = width - margin - 1
    drawn = _dots(points, curves, columns, rows, (low, high), ascii)
    vertical, mark, corner, horizontal, below = "|++-+" if ascii else "│┤└─┬"
    lines = [
        f"{at.get(row, ''):>{margin - 1}} {mark if row in at else vertical}{line}".rstrip()
        for row, line in enumerate(drawn)
    ]
    axis, labels = [horizontal] * columns, [" "] * (columns + margin + 1)
    for tick in ticks(points[0], points[-1], max(2, columns // 6)):
        column = round((tick - points[0]) / (points[-1] - points[0]) * (columns - 1))
        axis[column] = below
        text = f"{tick:g}"
        start = min(max(margin + 1 + column - len(text) // 2, 0), len(labels) - len(text))
        labels[start : start + len(text)] = text
    return [*lines, " " * margin + corner + "".join(axis), "".join(labels).rstrip()]


def _row(value: float, low: float, high: float, rows: int) -> int:
    return int(np.clip((high - value) / (high - low) * rows, 0, rows - 1))


def _dots(
    points: Any, curves: Sequence[Any], columns: int, rows: int, ends: tuple[float, float], ascii: bool
) -> Iterator[str]:
    """The inside of a picture, line by line."""
    across, up = (1, 1) if ascii else (2, 4)
    width, height = columns * across, rows * up
    at = np.linspace(points[0], points[-1], width)
    dots = np.zeros((len(curves), height, width), bool)
    for number, curve in enumerate(curves):
        places = (ends[1] - np.interp(at, points, curve)) / (ends[1] - ends[0]) * height
        before = np.nan
        for column, place in enumerate(places):
            if not np.isfinite(place):
                before = np.nan
                continue
            # Down to where it was before, or a steep one would have holes.
            first, last = sorted((place, place if np.isnan(before) else before))
            before = place
            if number and not ascii and column % 4 > 1:
                continue
            if last >= 0 and first < height:
                dots[number, max(int(first), 0) : min(int(last), height - 1) + 1, column] = True
    if ascii:
        for row in range(rows):
            marks = [
                _MARKS[np.argmax(dots[:, row, column])] if dots[:, row, column].any() else " "
                for column in range(columns)
            ]
            yield "".join(marks)
        return
    cells = dots.any(0).reshape(rows, up, columns, across)
    for codes in np.einsum("rucx,ux->rc", cells, _DOTS):
        yield "".join(chr(_BRAILLE + code) if code else " " for code in codes)


def of_loss(loss: Any, width: int, ascii: bool = False) -> list[str]:
    """The lines of two pictures of a loss, its value and its slope, beside each other where there is room."""
    line = line_of(loss)
    points = line.points(POINTS)
    curves = list(curves_of(loss, line, points))
    side_by_side = width >= 2 * _NARROW + 2
    each = min((width - 2) // 2 if side_by_side else width, _WIDEST)
    height = max(10, min(16, each // 3))
    panels = [
        [title, *draw(points, [getattr(curve, what) for curve in curves], each, height, ascii)]
        for what, title in (("value", "value"), ("slope", "slope along the line"))
    ]
    if side_by_side:
        lines = [f"{left:<{each}}  {right}".rstrip() for left, right in zip(*panels, strict=True)]
    else:
        lines = [*panels[0], "", *panels[1]]
    return [*lines, caption(loss, line, curves, _MARKS if ascii else ("solid", "dotted"))]
