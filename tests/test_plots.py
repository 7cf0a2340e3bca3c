"""Curves in a terminal."""

import re

import numpy as np
import pytest

import polyloss
from polyloss_conformance import plots

LOSSES = {name: one for name, one in vars(polyloss).items() if isinstance(one, polyloss.Loss)}


@pytest.mark.parametrize("ascii", [False, True], ids=["Braille", "ascii"])
@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_drawn(name: str, width: int, ascii: bool) -> None:
    """Within the width, but for the last line, which is text; with numbers at both axes of both pictures."""
    *lines, caption = plots.of_loss(LOSSES[name], width, ascii)
    assert max(map(len, lines)) <= width
    assert caption.startswith("Against ")
    assert len(re.findall(r"-?\d[\d.e+-]*", "\n".join(lines))) > 8
    assert "slope along the line" in "\n".join(lines)
    assert not ascii or "\n".join(lines).isascii()
    assert bool(re.search("[\u2801-\u28ff]", "\n".join(lines))) != ascii


def test_a_curve_is_where_its_numbers_are() -> None:
    """A straight line goes from corner to corner, one character in each column and each row."""
    points = np.linspace(0.0, 1.0, 101)
    lines = plots.draw(points, [points], 28, 12, ascii=True)
    inside = [line[line.index("|" if "|" in line else "+") + 1 :] for line in lines[:10]]
    columns = [
        [row for row, line in enumerate(inside) if column < len(line) and line[column] == "*"] for column in range(22)
    ]
    assert all(columns)
    middle = [np.mean(rows) for rows in columns]
    # The axis begins 0.08 below 0 and ends as much above 1.
    expected = [(1.08 - x) / 1.16 * 10 - 0.5 for x in np.linspace(0, 1, len(columns))]
    np.testing.assert_allclose(middle, expected, atol=1.0)


def test_the_dots_of_braille_are_where_unicode_has_them() -> None:
    """Two by four in a character, by an independent table: a line that rises evenly is as high as it was drawn."""
    heights = {7: 0, 3: 1, 2: 2, 1: 3, 8: 0, 6: 1, 5: 2, 4: 3}
    right = (8, 6, 5, 4)
    points = np.linspace(0.0, 1.0, 401)
    lines = plots.draw(points, [points], 46, 12)
    inside = [line[re.search("[│┤]", line).end() :].ljust(41) for line in lines[:10]]  # type: ignore[union-attr]
    columns: dict[int, list[int]] = {}
    for row, line in enumerate(inside):
        for column, character in enumerate(line):
            for number, height in heights.items():
                if character != " " and ord(character) - 0x2800 & 1 << number - 1:
                    columns.setdefault(2 * column + (number in right), []).append(4 * (9 - row) + height)
    found = [np.mean(columns[column]) for column in sorted(columns)]
    assert len(found) == max(columns) + 1
    # The axis begins 0.08 below 0 and ends as much above 1.
    expected = [(x + 0.08) / 1.16 * 40 - 0.5 for x in np.linspace(0, 1, len(found))]
    np.testing.assert_allclose(found, expected, atol=1.0)


def test_what_is_not_finite_is_not_drawn() -> None:
    points = np.linspace(0.0, 1.0, 101)
    curve = np.where((points > 0.4) & (points < 0.6), np.nan, 1.0)
    curve[0] = np.inf
    (line,) = (line for line in plots.draw(points, [curve], 40, 12, ascii=True) if "*" in line)
    assert re.search(r"\*+ {5,}\*+", line)


def test_two_curves_are_told_apart() -> None:
    points = np.linspace(0.0, 1.0, 101)
    lines = plots.draw(points, [points, 1 - points], 40, 12, ascii=True)
    assert "*" in "".join(lines)
    assert "." in "".join(line[line.find("|") :] for line in lines[:10])
    assert "solid: target = 1; dotted: target = -1." in plots.of_loss(polyloss.hinge, 80)[-1]
