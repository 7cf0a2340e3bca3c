"""Docstrings for a terminal: formulas as lines of characters, fractions over several of them, and text that fits."""

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from polyloss.display import formulas
from polyloss.display.formulas import Accent, Cases, Fence, Fraction, Node, Root, Row, Scripts, Symbol

_INDENT = 4
_LOW = str.maketrans("0123456789+−=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ")
_HIGH = str.maketrans("0123456789+−=()nikT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵏᵀ")
_SHARES = {("1", "2"): "½", ("1", "3"): "⅓", ("2", "3"): "⅔", ("1", "4"): "¼", ("3", "4"): "¾"}
_GROWING = {
    text[0]: text[1:] for text in ("(⎛⎜⎝", ")⎞⎟⎠", "[⎡⎢⎣", "]⎤⎥⎦", "{⎧⎪⎩", "}⎫⎪⎭", "|│││", "‖‖‖‖", "⟨⟨⟨⟨", "⟩⟩⟩⟩")
}
"""The upper end, the middle and the lower end of a bracket."""
_WORDS = (
    "ℓ loss ∑ sum ∏ prod ∫ int √ sqrt ∞ inf ∂ d ∇ grad … ... ⋯ ... − - · . × x ∗ * ± +- ∘ o ≤ <= ≥ >= ≠ != ∈ in "
    "∉ !in ← <- → -> ≈ ~ ∼ ~ ∣ | ∝ ~ ≡ == ≪ << ‖ || ⟨ < ⟩ > ⌊ [ ⌋ ] ⌈ [ ⌉ ] ′ ' ½ 1/2 ⅓ 1/3 ⅔ 2/3 ¼ 1/4 ¾ 3/4 ─ - │ | "
    "– - ’ ' ⎛ / ⎜ | ⎝ \\ ⎞ \\ ⎟ | ⎠ / ⎡ [ ⎢ [ ⎣ [ ⎤ ] ⎥ ] ⎦ ] ⎧ / ⎨ < ⎪ | ⎩ \\ ⎫ \\ ⎭ /"
)
_ASCII = dict(zip(_WORDS.split()[::2], _WORDS.split()[1::2], strict=True))


def plain(text: str) -> str:
    """A text in ASCII: Greek letters by their names, and what has none as a question mark."""
    return "".join(map(_plain, text))


def _plain(character: str) -> str:
    if character.isascii():
        return character
    if character in _ASCII:
        return _ASCII[character]
    name = unicodedata.name(character, "")
    if name.startswith("GREEK"):
        # Unicode spells one of them in its own way.
        word = name.rpartition(" ")[2].replace("LAMDA", "LAMBDA")
        return word.capitalize() if "CAPITAL" in name else word.lower()
    found = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"
    return f"^{found}" if unicodedata.decomposition(character).startswith("<super>") else found


class Box(NamedTuple):
    """Lines of one length, and which of them stands on the line of the text around it."""

    lines: tuple[str, ...] = ("",)
    base: int = 0

    @property
    def width(self) -> int:
        return _width(self.lines[0])


def _width(text: str) -> int:
    return sum(not unicodedata.combining(character) for character in text)


def _padded(text: str, width: int, left: int = 0) -> str:
    return " " * left + text + " " * (width - left - _width(text))


def beside(boxes: Sequence[Box]) -> Box:
    """Boxes in a row, on one line of text."""
    above = max((box.base for box in boxes), default=0)
    below = max((len(box.lines) - box.base for box in boxes), default=1)
    columns = [
        [
            *[" " * box.width] * (above - box.base),
            *box.lines,
            *[" " * box.width] * (below - len(box.lines) + box.base),
        ]
        for box in boxes
    ]
    return Box(tuple(map("".join, zip(*columns, strict=True))) or ("",), above)


def stacked(boxes: Sequence[Box], base: int) -> Box:
    """Boxes one above the other, centred, on the line of the text of one of them."""
    width = max(box.width for box in boxes)
    lines = [_padded(line, width, (width - box.width) // 2) for box in boxes for line in box.lines]
    return Box(tuple(lines), sum(len(box.lines) for box in boxes[:base]) + boxes[base].base)


class _NoSuchScriptError(Exception):
    """There is a script that Unicode has no characters for."""


class Typesetter:
    """Sets a formula.

    Parameters
    ----------
    ascii : bool
        Whether there is nothing but ASCII.
    flat : bool
        Whether all is on one line.
    low : bool
        Whether indices are the small characters of Unicode: all of them, or none, in which case they follow a ``_``.
    index : bool
        Whether letters beside each other are several indices, and no product.
    """

    def __init__(self, ascii: bool = False, flat: bool = False, low: bool = True, index: bool = False) -> None:
        self.ascii, self.flat, self.low, self.index = ascii, flat, low and not ascii, index

    def text(self, text: str) -> Box:
        return Box((plain(text) if self.ascii else text,))

    def on_one_line(self, node: Node) -> str:
        return Typesetter(self.ascii, True, self.low).box(node).lines[0]

    def box(self, node: Node) -> Box:
        match node:
            case Symbol(text, kind):
                return self.text(text.strip() if kind == "word" else text)
            case Row(items):
                return beside([box for part in self.spaced(items) for box in part])
            case Fraction(top, bottom):
                return self._fraction(top, bottom)
            case Root(inside):
                return self.text(f"√{_bracketed(self.on_one_line(inside))}")
            case Accent(base, mark):
                text = self.on_one_line(base)
                marked = (
                    f"{text}_{mark}" if self.ascii else unicodedata.normalize("NFC", text + formulas.MARKS[mark][0])
                )
                return Box((marked,))
            case Scripts(base, low, high):
                return self._scripts(base, low, high)
            case Fence(left, inside, right):
                return self._fence(left, self.box(inside), right)
            case Cases(rows):
                return self._cases(rows)

    def _fraction(self, top: Node, bottom: Node) -> Box:
        if isinstance(top, Symbol) and isinstance(bottom, Symbol) and (top.text, bottom.text) in _SHARES:
            return self.text(_SHARES[top.text, bottom.text])
        if self.flat:
            return self.text("/".join(_bracketed(self.on_one_line(part)) for part in (top, bottom)))
        over, under = self.box(top), self.box(bottom)
        line = self.text("─" * (max(over.width, under.width) + 2))
        return stacked([over, line, under], 1)

    def _scripts(self, base: Node, low: Node | None, high: Node | None) -> Box:
        found = self.box(base)
        if formulas.has_limits(base) and not self.flat:
            limits = [None if one is None else self.text(self.on_one_line(one)) for one in (high, low)]
            boxes = [box for box in (limits[0], found, limits[1]) if box is not None]
            return stacked(boxes, boxes.index(found))
        if low is not None:
            found = beside([found, self.text(self._index(low))])
        return found if high is None else self._raised(found, high)

    def _index(self, low: Node) -> str:
        text = Typesetter(self.ascii, True, self.low, index=True).box(low).lines[0]
        if self.low:
            if any(ord(character) not in _LOW for character in text):
                raise _NoSuchScriptError
            return text.translate(_LOW)
        return f"_{text}" if re.fullmatch(r"\w+", text) else f"_{{{text}}}"

    def _raised(self, base: Box, high: Node) -> Box:
        text = self.on_one_line(high)
        if not self.ascii and all(ord(character) in _HIGH for character in text):
            # Beside the first line of what it belongs to.
            return beside([base, Box((text.translate(_HIGH), *[" " * len(text)] * base.base), base.base)])
        if self.flat or self.ascii:
            return beside([base, Box((f"^{text if text.isalnum() else f'({text})'}",))])
        return beside([base, Box((text, *[" " * _width(text)] * (base.base + 1)), base.base + 1)])

    def _fence(self, left: str, inside: Box, right: str) -> Box:
        height = len(inside.lines)
        ends = []
        for text in (left, right):
            parts = _GROWING.get(text, text * 3 or "   ")
            drawn = text if height == 1 else parts[0] + parts[1] * (height - 2) + parts[2]
            ends.append(Box(tuple(self.text(one).lines[0] for one in drawn) or ("",) * height, inside.base))
        return beside([ends[0], inside, ends[1]])

    def _cases(self, rows: Sequence[Sequence[Row]]) -> Box:
        if self.flat:
            return self.text(f"{{{'; '.join(', '.join(map(self.on_one_line, row)) for row in rows)}}}")
        cells = [[self.box(cell) for cell in row] for row in rows]
        widths = [max(row[place].width for row in cells if place < len(row)) for place in range(max(map(len, cells)))]
        lines: list[str] = []
        for row in cells:
            padded = [
                beside([box, Box((" " * (width - box.width + 2),))]) for box, width in zip(row, widths, strict=False)
            ]
            lines += [*([""] if lines else []), *beside(padded).lines]
        width = max(_width(line.rstrip()) for line in lines)
        lines = [_padded(line.rstrip(), width) for line in lines]
        base = len(lines) // 2
        brace = [*"⎧", *"⎪" * (len(lines) - 2), *"⎩"][: len(lines)]
        brace[base] = "⎨"
        return Box(tuple(f"{self.text(one).lines[0]} {line}" for one, line in zip(brace, lines, strict=True)), base)

    def spaced(self, items: Iterable[Node]) -> Iterator[tuple[Box, Box]]:
        """Each node with the space before it."""
        before: Node | None = None
        asked = 0.0
        for item in items:
            if isinstance(item, Symbol) and item.kind == "space":
                asked = max(asked, float(item.text))
                continue
            width = 0 if before is None else max(_asked(asked), _gap(before, item, self.index))
            yield Box((" " * width,)), self.box(item)
            before, asked = item, 0.0

    def fitted(self, row: Row, width: int) -> list[str]:
        """The lines of a formula: broken where one statement ends, before an operator, or where there is room."""
        boxes: list[Box] = []
        for statement in _statements(row):
            box = self.box(statement)
            if boxes and boxes[-1].width + 4 + box.width <= width:
                boxes[-1] = beside([boxes[-1], Box((" " * 4,)), box])
            else:
                boxes += [box] if box.width <= width else self._broken(statement, width)
        # What is higher than a line has some room.
        room = [""] if any(len(box.lines) > 1 for box in boxes) else []
        return [line.rstrip() for box in boxes for line in (*room, *box.lines)][len(room) :]

    def _broken(self, row: Row, width: int) -> list[Box]:
        lines: list[Box] = []
        for part in _terms(row):
            box = self.box(part)
            space = Box((" ",))
            if lines and lines[-1].width + 1 + box.width <= width:
                lines[-1] = beside([lines[-1], space, box])
            else:
                lines.append(beside([Box(("  ",)), box]) if lines else box)
        if max(line.width for line in lines) <= width:
            return lines
        text = _typesetter(row, self.ascii, flat=True).on_one_line(row)
        return [Box((one,)) for one in textwrap.wrap(text, width, subsequent_indent="  ")]


def _bracketed(text: str) -> str:
    """A part of a line, as one thing."""
    return f"({text})" if " " in text or "/" in text else text


def _asked(ems: float) -> int:
    return 0 if ems == 0 else 1 if ems < 0.5 else round(2 * ems)


def _kind(node: Node) -> str:
    base = node.base if isinstance(node, Scripts) else node
    return base.kind if isinstance(base, Symbol) else type(base).__name__


_TIGHT_BEFORE = ("punctuation", "close", "tight")
_TIGHT_AFTER = ("sign", "open", "tight", "bar")


def _gap(before: Node, after: Node, index: bool) -> int:
    """How many spaces are between two nodes: letters beside each other are no word."""
    first, second = _kind(before), _kind(after)
    if index and {first, second} <= {"letter", "number"}:
        return 0
    if second in _TIGHT_BEFORE or first in _TIGHT_AFTER:
        return 0
    if second == "Fence":
        # A function and its argument, or a product.
        return int(first in ("operator", "relation", "punctuation", "big", "Fraction"))
    return int((first, second) != ("number", "letter"))


def _statements(row: Row) -> Iterator[Row]:
    """What is between the large spaces of a formula."""
    found: list[Node] = []
    for item in row.items:
        if isinstance(item, Symbol) and item.kind == "space" and float(item.text) >= 1:
            if found:
                yield Row(tuple(found))
            found = []
        else:
            found.append(item)
    if found:
        yield Row(tuple(found))


def _terms(row: Row) -> Iterator[Row]:
    """What may begin a line of its own: from one operator or relation to the next."""
    found: list[Node] = []
    for item in row.items:
        if found and _kind(item) in ("operator", "relation"):
            yield Row(tuple(found))
            found = []
        found.append(item)
    yield Row(tuple(found))


def _typesetter(row: Row, ascii: bool, flat: bool) -> Typesetter:
    """Who can set a formula."""
    found = Typesetter(ascii, flat)
    try:
        found.box(row)
    except _NoSuchScriptError:
        return Typesetter(ascii, flat, low=False)
    return found


def formula(text: str, width: int, ascii: bool = False) -> list[str]:
    """The lines of a formula that has lines of its own.

    One with something that no formula of ours has is left as it is written.
    """
    try:
        row = formulas.parse(text)
    except ValueError:
        return textwrap.wrap(text, width)
    return _typesetter(row, ascii, flat=False).fitted(row, width)


def inline(text: str, ascii: bool = False) -> str:
    """A formula within a line."""
    try:
        row = formulas.parse(text)
    except ValueError:
        return text
    return _typesetter(row, ascii, flat=True).on_one_line(row)


def docstring(text: str, width: int, ascii: bool = False) -> list[str]:
    """The lines of a docstring in the style of NumPy, with its formulas, none longer than `width`.

    Lines of a paragraph are filled anew; headings and examples stay as they are.
    """
    parts, done = [], 0
    for found in formulas.BLOCK.finditer(text):
        indent = " " * (len(found[1]) + _INDENT)
        set_lines = formula(formulas.written(found[2]), width - len(indent), ascii)
        before = _prose(text[done : found.start()], width, ascii, _lists_entries(text[:done]))
        parts += [before, [indent + line for line in set_lines]]
        done = found.end()
    parts.append(_prose(text[done:], width, ascii, _lists_entries(text[:done])))
    # One empty line between them.
    return [line for part in filter(None, parts) for line in ("", *part)][1:]


_VERBATIM = re.compile(r"^ *(>>>|\.\.\. |-{3,}$|[-*] )")


_HEADING = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
_OF_PROSE = ("", "Notes", "Warnings", "References", "Examples")
"""The sections of numpydoc that are no lists of entries, what comes before the first one among them."""


def _lists_entries(before: str) -> bool:
    """Whether what comes behind a text is in a section of entries, each of which begins on a line of its own."""
    return ["", *_HEADING.findall(before)][-1] not in _OF_PROSE


def _prose(text: str, width: int, ascii: bool, entries: bool) -> list[str]:
    text = formulas.INLINE.sub(lambda found: inline(found[1], ascii), text)
    lines: list[str] = []
    paragraph: list[str] = []

    def end() -> None:
        if paragraph:
            indent = paragraph[0][: len(paragraph[0]) - len(paragraph[0].lstrip())]
            filled = textwrap.wrap(
                " ".join(line.strip() for line in paragraph),
                width,
                initial_indent=indent,
                subsequent_indent=indent + " " * (_INDENT if entries and not indent else 0),
                break_on_hyphens=False,
            )
            lines.extend(filled)
            paragraph.clear()

    verbatim = False
    for line in (plain(text) if ascii else text).strip("\n").splitlines():
        # What an example prints has no mark of its own, and ends with the example.
        verbatim = bool(line.strip()) and (verbatim or bool(_VERBATIM.match(line)))
        if not line.strip() or verbatim:
            heading = bool(re.fullmatch(r" *-{3,}", line) and paragraph)
            if heading:
                entries = paragraph[-1] not in _OF_PROSE
            end()
            lines.append(line)
            verbatim = verbatim and not heading
        else:
            if paragraph and (_indent(line) != _indent(paragraph[0]) or (entries and not _indent(line))):
                end()
            paragraph.append(line)
    end()
    return lines


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
