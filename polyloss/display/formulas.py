"""Formulas of docstrings: the part of LaTeX that they are written in, as a tree."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

BLOCK = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +\S.*| *(?=\n\1 +\S)))*)", re.MULTILINE)
"""A formula on lines of its own."""
INLINE = re.compile(r":math:`([^`]*)`")
"""A formula within a line."""

Kind: TypeAlias = Literal[
    "letter",
    "number",
    "word",
    "function",
    "big",
    "operator",
    "sign",
    "tight",
    "relation",
    "punctuation",
    "open",
    "close",
    "bar",
    "space",
]


@dataclass(frozen=True)
class Symbol:
    """What is not made of anything else. The text of a space is how wide it is, in units of an em."""

    text: str
    kind: Kind


@dataclass(frozen=True)
class Row:
    """Some nodes beside each other."""

    items: tuple["Node", ...]


@dataclass(frozen=True)
class Fraction:
    """One over the other."""

    top: "Node"
    bottom: "Node"


@dataclass(frozen=True)
class Scripts:
    """What stands at the lower and the upper corner of something, or below and above it."""

    base: "Node"
    low: "Node | None"
    high: "Node | None"


@dataclass(frozen=True)
class Root:
    """A square root."""

    inside: "Node"


@dataclass(frozen=True)
class Accent:
    """A mark above a letter, by its name."""

    base: "Node"
    mark: str


@dataclass(frozen=True)
class Fence:
    """What is between brackets, which grow with it."""

    left: str
    inside: Row
    right: str


@dataclass(frozen=True)
class Cases:
    """Rows of cells behind a brace."""

    rows: tuple[tuple[Row, ...], ...]


Node: TypeAlias = Symbol | Row | Fraction | Scripts | Root | Accent | Fence | Cases


def _table(kinds: Mapping[Kind, str]) -> dict[str, tuple[str, Kind]]:
    """What stands for what: names and texts by turns."""
    words = {kind: text.split() for kind, text in kinds.items()}
    return {name: (text, kind) for kind, one in words.items() for name, text in zip(one[::2], one[1::2], strict=True)}


_COMMANDS = _table(
    {
        "letter": "alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ "
        "mu μ nu ν xi ξ pi π rho ρ sigma σ tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ "
        "Lambda Λ Xi Ξ Pi Π Sigma Σ Phi Φ Psi Ψ Omega Ω ell ℓ infty ∞ partial ∂ nabla ∇ dots … ldots … cdots ⋯ _ _ % %",
        "big": "sum ∑ prod ∏ int ∫",
        "operator": "cdot · times × pm ± circ ∘",
        "relation": "le ≤ leq ≤ ge ≥ geq ≥ ne ≠ neq ≠ in ∈ notin ∉ lt < gt > approx ≈ sim ∼ leftarrow ← to → "
        "rightarrow → mid ∣ propto ∝ equiv ≡ ll ≪",
        "open": "lvert | lVert ‖ langle ⟨ lfloor ⌊ lceil ⌈ { {",
        "close": "rvert | rVert ‖ rangle ⟩ rfloor ⌋ rceil ⌉ } }",
        "bar": "| ‖",
        "space": ", 0.17 : 0.22 ; 0.28 ! 0 quad 1 qquad 2",
    }
)
_CHARACTERS = _table(
    {
        "operator": "+ + - − * ∗",
        "tight": "/ / ! ! ' ′",
        "relation": "= = < < > >",
        "punctuation": ", , ; ; : : . .",
        "open": "( ( [ [",
        "close": ") ) ] ]",
        "bar": "| |",
    }
)
_FUNCTIONS = {"log", "exp", "ln", "max", "min", "sup", "inf", "lim", "cos", "sin", "tan", "cosh", "sinh", "tanh", "det"}
MARKS = {
    "bar": ("\u0304", "¯"),
    "hat": ("\u0302", "^"),
    "tilde": ("\u0303", "~"),
    "vec": ("\u20d7", "→"),
    "dot": ("\u0307", "˙"),
}
"""The characters that put a mark above the one before, and those that are the mark alone."""
_FRACTIONS = ("frac", "tfrac", "dfrac")
_WORDS: dict[str, Kind] = {"text": "word", "mathrm": "word", "mathbf": "word", "operatorname": "function"}
_SIZE = re.compile(r"(left|right|[bB]igg?)([lr]?)")
_TOKEN = re.compile(r"\\(?:[A-Za-z]+|.)|\s+|.", re.DOTALL)
UNDER = {"max", "min", "sup", "inf", "lim"}
"""Functions whose script stands below them."""


def formulas_of(docstring: str) -> list[str]:
    """The formulas of a docstring that stand on lines of their own."""
    return [written(found[2]) for found in BLOCK.finditer(docstring)]


def written(block: str) -> str:
    """The formula of a block, without options of the directive such as ``:label:``."""
    lines = map(str.strip, block.splitlines())
    return " ".join(line for line in lines if line and not line.startswith(":"))


def parse(formula: str) -> Row:
    """A formula as a tree.

    Raises
    ------
    ValueError
        If it is no formula, or has something that no formula here has.

    Examples
    --------
    >>> parse(r"e^2").items
    (Scripts(base=Symbol(text='e', kind='letter'), low=None, high=Symbol(text='2', kind='number')),)
    """
    return _Reader(formula).row("")


class _Reader:
    """Reads a formula from left to right."""

    def __init__(self, formula: str) -> None:
        self.tokens = _TOKEN.findall(formula)
        self.place = 0

    def peek(self) -> str:
        """The next token that is no white space; nothing at the end."""
        while self.place < len(self.tokens) and self.tokens[self.place].isspace():
            self.place += 1
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.place += 1
        return token

    def row(self, *ends: str) -> Row:
        """All nodes before one of some tokens, which comes next."""
        items: list[Node] = []
        while (token := self.peek()) not in ends:
            if not token:
                raise ValueError(f"a formula lacks {ends[0]}")
            items.append(self.item())
        return Row(tuple(_fenced(_signed(items))))

    def item(self) -> Node:
        base = self.atom()
        scripts: dict[str, Node] = {}
        while (mark := self.peek()) in ("_", "^") and mark not in scripts:
            self.take()
            scripts[mark] = self.atom()
        return Scripts(base, scripts.get("_"), scripts.get("^")) if scripts else base

    def atom(self) -> Node:
        """One node without its scripts: what a command takes as its argument, too, where digits stand alone."""
        token = self.take()
        if token == "{":
            found = self.row("}")
            self.take()
            return found.items[0] if len(found.items) == 1 else found
        if token.isdigit():
            return Symbol(token, "number")
        if token.isalpha():
            return Symbol(token, "letter")
        if token in _CHARACTERS:
            return Symbol(*_CHARACTERS[token])
        if token[:1] == "\\":
            return self.command(token[1:])
        raise ValueError(f"a formula has {token or 'an end'} where something must stand")

    def command(self, name: str) -> Node:
        if name in _COMMANDS:
            return Symbol(*_COMMANDS[name])
        if name in _FUNCTIONS:
            return Symbol(name, "function")
        if name in _FRACTIONS:
            return Fraction(self.atom(), self.atom())
        if name in MARKS:
            return Accent(self.atom(), name)
        if name == "sqrt":
            return Root(self.atom())
        if name in _WORDS:
            return Symbol(self.raw().replace("\\", ""), _WORDS[name])
        if (size := _SIZE.fullmatch(name)) is not None:
            sized = self.atom()
            side = {"left": "open", "right": "close", "l": "open", "r": "close"}.get(size[2] or size[1])
            if isinstance(sized, Symbol) and side is not None:
                # A dot is no bracket at all.
                return Symbol(sized.text.strip("."), "open" if side == "open" else "close")
            return sized
        if name == "begin" and self.raw() == "cases":
            return self.cases()
        raise ValueError(f"no formula here has \\{name}")

    def raw(self) -> str:
        """A group as it is written."""
        if self.take() != "{" or "}" not in self.tokens[self.place :]:
            raise ValueError("a formula lacks a group in braces")
        end = self.tokens.index("}", self.place)
        found = "".join(self.tokens[self.place : end])
        self.place = end + 1
        return found

    def cases(self) -> Cases:
        rows: list[list[Row]] = [[]]
        while True:
            rows[-1].append(self.row("&", "\\\\", "\\end"))
            end = self.take()
            if end == "\\\\":
                rows.append([])
            elif end == "\\end":
                self.raw()
                # A line may end with what begins another one.
                return Cases(tuple(tuple(row) for row in rows if any(cell.items for cell in row)))


def kind_of(node: Node) -> Kind | None:
    """What kind of a symbol a node is, whatever its scripts; None where it is none."""
    base = node.base if isinstance(node, Scripts) else node
    return base.kind if isinstance(base, Symbol) else None


def _signed(items: Iterable[Node]) -> Iterator[Node]:
    """With a minus that subtracts from nothing as a sign, and digits as numbers."""
    before: Kind | None = "open"
    number = ""
    for item in items:
        if isinstance(item, Symbol) and (item.kind == "number" or (number and item.text == ".")):
            number += item.text
            continue
        if number:
            first = item.base if isinstance(item, Scripts) else None
            if isinstance(first, Symbol) and first.kind == "number" and isinstance(item, Scripts):
                item, number = replace(item, base=Symbol(number + first.text, "number")), ""
            else:
                yield from _number(number)
                number, before = "", "number"
        if isinstance(item, Symbol) and item.text in ("+", "−", "±") and before in _BEFORE_SIGN:
            item = Symbol(item.text, "sign")
        yield item
        if kind_of(item) != "space":
            before = kind_of(item)
    yield from _number(number)


_BEFORE_SIGN = ("open", "relation", "operator", "punctuation", "function", "big", "tight")


def _number(digits: str) -> Iterator[Symbol]:
    if digits:
        yield Symbol(digits.rstrip("."), "number")
    if digits.endswith("."):
        yield Symbol(".", "punctuation")


def _fenced(items: Iterable[Node]) -> list[Node]:
    """With what is between brackets as one node. A bar opens, unless it closes another one."""
    stack: list[tuple[Symbol | None, list[Node]]] = [(None, [])]

    def unwind() -> None:
        opened, inside = stack.pop()
        stack[-1][1].extend([*([opened] if opened is not None else []), *inside])

    for item in items:
        base = item.base if isinstance(item, Scripts) else item
        kind = base.kind if isinstance(base, Symbol) else None
        if isinstance(base, Symbol) and kind == "bar":
            opened = stack[-1][0]
            kind = "close" if opened is not None and opened.text == base.text else "open"
        elif kind == "close":
            # A bar that stands alone, as in D(p ‖ q).
            while (opened := stack[-1][0]) is not None and opened.kind == "bar":
                unwind()
        if isinstance(base, Symbol) and kind == "open" and item is base:
            stack.append((base, []))
        elif isinstance(base, Symbol) and kind == "close" and (opened := stack[-1][0]) is not None:
            fence = Fence(opened.text, Row(tuple(stack.pop()[1])), base.text)
            stack[-1][1].append(replace(item, base=fence) if isinstance(item, Scripts) else fence)
        else:
            stack[-1][1].append(item)
    while len(stack) > 1:
        unwind()
    return stack[0][1]


def has_limits(base: Node) -> bool:
    """Whether scripts stand below and above it, where a formula has lines of its own."""
    return isinstance(base, Symbol) and (base.kind == "big" or base.text in UNDER)
