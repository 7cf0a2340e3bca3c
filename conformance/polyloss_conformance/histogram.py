"""How large errors are, as a picture within a page: so many checks by the power of two that their error is below."""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

from markupsafe import Markup, escape

from .tolerances import Kind

ENDS = tuple(2.0**power for power in range(-4, 7))
"""Where one bar ends and the next begins. Limits are among them."""

_BAR, _MARGIN, _TOP, _HIGH, _PANEL = 26, 8, 30, 56, 118
"""In pixels: a bar, what is free beside them and above, the highest bar, and the picture of one kind of error."""


def counted(errors: Iterable[float]) -> list[int]:
    """How many errors are 0, how many up to each of `ENDS`, and how many above."""
    counts = [0] * (len(ENDS) + 2)
    for error in errors:
        counts[0 if error == 0 else 1 + next((n for n, end in enumerate(ENDS) if error <= end), len(ENDS))] += 1
    return counts


def told(counts: list[int]) -> str:
    """The bars in words, those that are empty left out."""
    names = ["0", *(f"up to {Fraction(end)}" for end in ENDS), f"above {Fraction(ENDS[-1])}"]
    return ", ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True) if count) or "nothing"


def picture(title: str, errors: Mapping[Kind, list[float]], limits: Mapping[Kind, float]) -> Markup:
    """The histograms of several kinds of errors, one above the other, as SVG that takes its colours from the page.

    Parameters
    ----------
    title : str
        Whose errors they are, for who does not see the picture.
    errors : mapping
        Those of each kind.
    limits : mapping
        What is promised of each kind: one of `ENDS`.
    """
    width, height = 2 * _MARGIN + _BAR * (len(ENDS) + 2), _PANEL * len(errors)
    parts, words = [], []
    for number, (kind, found) in enumerate(errors.items()):
        counts = counted(found)
        words.append(f"{kind}, at most {limits[kind]:g}: {told(counts)}.")
        parts.append(f'<g transform="translate({_MARGIN} {number * _PANEL})">{_panel(kind, counts, limits[kind])}</g>')
    text = escape(f"{title}: how many checks have which error. {' '.join(words)}")
    body = "".join(parts)
    return Markup(f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{text}">{body}</svg>')


def _panel(kind: str, counts: list[int], limit: float) -> str:
    base, right = _TOP + _HIGH, _BAR * len(counts)
    most, beyond = max(counts), 2 + ENDS.index(limit)
    at = beyond * _BAR
    parts = [
        f'<text class="kind" x="0" y="11">{escape(kind)}</text>',
        f'<line class="axis" x1="0" x2="{right}" y1="{base}" y2="{base}"/>',
        f'<line class="limit" x1="{at}" x2="{at}" y1="4" y2="{base + 4}"/>',
        f'<text class="limit" x="{at - 4}" y="11">limit {limit:g}</text>',
    ]
    for place, count in enumerate(counts):
        if count:
            # What is there is seen, however few it is beside the others.
            high, left = max(2.0, _HIGH * count / most), place * _BAR
            side = "beyond" if place >= beyond else "within"
            parts.append(
                f'<rect class="{side}" x="{left + 3}" y="{base - high:.1f}" width="{_BAR - 6}" height="{high:.1f}"/>'
                f'<text class="count" x="{left + _BAR / 2}" y="{base - high - 3:.1f}">{_short(count)}</text>'
            )
    ticks = [(_BAR / 2, "0"), *(((2 + n) * _BAR, str(Fraction(end))) for n, end in enumerate(ENDS) if n % 2 == 0)]
    parts += [f'<text class="tick" x="{x}" y="{base + 14}">{name}</text>' for x, name in ticks]
    return "".join(parts)


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f"{math.floor(count / 1000)}k"
