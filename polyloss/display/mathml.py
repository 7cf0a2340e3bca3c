"""Formulas as MathML, which browsers set themselves."""

from collections.abc import Iterator, Sequence
from html import escape

from .formulas import (
    MARKS,
    Accent,
    Cases,
    Fence,
    Fraction,
    Kind,
    Node,
    Root,
    Row,
    Scripts,
    Symbol,
    has_limits,
    kind_of,
    parse,
)


def mathml(formula: str, *, inline: bool = False) -> str:
    """A formula as MathML, which browsers set themselves; within a line of text, or on a line of its own.

    Raises
    ------
    ValueError
        As `formulas.parse`.

    Examples
    --------
    >>> mathml("x_i")
    '<math displaystyle="true" style="font-family: ..."><mrow><msub><mi>x</mi><mi>i</mi></msub></mrow></math>'
    """
    display = "" if inline else ' displaystyle="true"'
    return f'<math{display} style="font-family: {_FONTS}">{_tags(parse(formula))}</math>'


# Each system comes with one of these; without a font for mathematics, braces do not grow.
_FONTS = "Cambria Math, STIX Two Math, Latin Modern Math, DejaVu Math TeX Gyre, Noto Sans Math, math"


_SPACE = '<mspace width="0.17em"/>'
_TAGS: dict[Kind, str] = {"letter": "mi", "number": "mn", "word": "mtext", "function": "mi"}


def _tags(node: Node) -> str:
    match node:
        case Symbol(text, "space"):
            return f'<mspace width="{text}em"/>'
        case Symbol(text, kind):
            form = {"sign": ' form="prefix"', "tight": ' lspace="0" rspace="0"'}.get(kind, "")
            # Elsewhere than in a fence, nothing is as high as what is beside it.
            form = ' stretchy="false"' if kind in ("open", "close", "bar") else form
            tag = _TAGS.get(kind, "mo")
            return f"<{tag}{form}>{escape(text)}</{tag}>"
        case Row(items):
            return f"<mrow>{''.join(_beside(items))}</mrow>"
        case Fraction(top, bottom):
            return f"<mfrac>{_tags(top)}{_tags(bottom)}</mfrac>"
        case Root(inside):
            return f"<msqrt>{_tags(inside)}</msqrt>"
        case Accent(base, mark):
            return f'<mover accent="true">{_tags(base)}<mo stretchy="false">{MARKS[mark][1]}</mo></mover>'
        case Scripts(base, low, high):
            scripts = [one for one in (low, high) if one is not None]
            names = ("munder", "mover", "munderover") if has_limits(base) else ("msub", "msup", "msubsup")
            tag = names[2 if len(scripts) == 2 else 0 if low is not None else 1]
            return f"<{tag}>{''.join(map(_tags, (base, *scripts)))}</{tag}>"
        case Fence(left, inside, right):
            first, last = (
                f'<mo form="{form}">{escape(text)}</mo>' for form, text in (("prefix", left), ("postfix", right))
            )
            return f"<mrow>{first}{_tags(inside)}{last}</mrow>"
        case Cases(rows):
            cells = ("".join(f'<mtd style="text-align: left">{_tags(cell)}</mtd>' for cell in row) for row in rows)
            return f"<mrow><mo>{{</mo><mtable>{''.join(f'<mtr>{row}</mtr>' for row in cells)}</mtable></mrow>"


def _beside(items: Sequence[Node]) -> Iterator[str]:
    """The nodes of a row, with a thin space around the names of functions, as LaTeX has it."""
    for number, item in enumerate(items):
        before, after = items[max(number - 1, 0) : number], items[number + 1 : number + 2]
        function = kind_of(item) == "function"
        if function and before and kind_of(before[0]) in ("letter", "number", "function", None):
            yield _SPACE
        yield _tags(item)
        if function and after and not isinstance(after[0], Fence) and kind_of(after[0]) in ("letter", "number", None):
            yield _SPACE
