"""Formulas of docstrings: what is understood of LaTeX, and that MathML is made of all of it."""

import inspect
from xml.etree import ElementTree

import pytest

import polyloss
from polyloss.display import formulas
from polyloss.display.formulas import Cases, Fence, Fraction, Row, Scripts, Symbol
from polyloss.display.mathml import mathml

PUBLIC = {name: getattr(polyloss, name) for name in vars(polyloss)["__all__"]}
WRITTEN = {
    name: [*formulas.formulas_of(text), *formulas.INLINE.findall(text)]
    for name, text in ((name, inspect.getdoc(one) or "") for name, one in PUBLIC.items())
}
LOSSES = [name for name, one in PUBLIC.items() if isinstance(one, polyloss.Loss)]


@pytest.mark.parametrize("name", [name for name, found in WRITTEN.items() if found])
def test_every_formula_of_ours_is_understood(name: str) -> None:
    """And is one element of XML, in which a browser finds no text that it does not know."""
    for formula in WRITTEN[name]:
        found = ElementTree.fromstring(mathml(formula))
        assert found.tag == "math"
        assert not [one.tag for one in found.iter() if not one.tag.startswith("m")]
        assert "\\" not in "".join(found.itertext())


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_a_formula(name: str) -> None:
    assert formulas.formulas_of(inspect.getdoc(PUBLIC[name]) or "")


def test_a_block_ends_where_its_indentation_ends() -> None:
    text = "Summary.\n\n.. math::\n    :label: one\n\n    a = b\n    + c\n\nThen.\n\n    .. math:: d\n\n    e\n"
    assert formulas.formulas_of(text) == ["a = b + c", "d"]


def test_digits_are_a_number_but_in_a_script() -> None:
    """As LaTeX has it: 12 is a number, the exponent of x^12 is 1."""
    assert formulas.parse("12").items == (Symbol("12", "number"),)
    assert formulas.parse("0.5 x").items == (Symbol("0.5", "number"), Symbol("x", "letter"))
    two = Symbol("2", "number")
    assert formulas.parse("x^12").items == (Scripts(Symbol("x", "letter"), None, Symbol("1", "number")), two)
    assert formulas.parse(r"\tfrac12").items == (Fraction(Symbol("1", "number"), two),)


@pytest.mark.parametrize(
    ("formula", "kinds"),
    [
        ("a - b", ["operator"]),
        ("-a", ["sign"]),
        ("a = -b", ["sign"]),
        (r"\log -b", ["sign"]),
        ("a_{-b} - c", ["operator"]),
    ],
)
def test_a_minus_that_subtracts_from_nothing_is_a_sign(formula: str, kinds: list[str]) -> None:
    items = formulas.parse(formula).items
    assert [item.kind for item in items if isinstance(item, Symbol) and item.text == "−"] == kinds


def test_brackets_belong_together() -> None:
    """Bars too, within brackets; and a bar that stands alone is no bracket."""
    (item,) = formulas.parse(r"\left( |e| - [0, 1) \right)^2").items
    assert isinstance(item, Scripts)
    assert isinstance(item.base, Fence)
    assert (item.base.left, item.base.right) == ("(", ")")
    bars, _, interval = item.base.inside.items
    assert isinstance(bars, Fence)
    assert isinstance(interval, Fence)
    assert (bars.left, bars.right, interval.left, interval.right) == ("|", "|", "[", ")")
    (_, of) = formulas.parse(r"D(t \,\|\, p)").items
    assert isinstance(of, Fence)
    assert Symbol("‖", "bar") in of.inside.items
    (*_, half) = formulas.parse(r"a = \left. b \right|").items
    assert half == Fence("", Row((Symbol("b", "letter"),)), "|")
    assert formulas.parse("(a").items == (Symbol("(", "open"), Symbol("a", "letter"))


def test_cases_have_rows_and_cells() -> None:
    (item,) = formulas.parse(r"\begin{cases} a & b \\ c & d \\ \end{cases}").items
    assert isinstance(item, Cases)
    assert item.rows == tuple(tuple(Row((Symbol(one, "letter"),)) for one in row) for row in ("ab", "cd"))


@pytest.mark.parametrize(
    "formula", [r"\unknown", "{a", r"\frac{1}", "a &", r"\begin{array} a \end{array}", "x^", "}", "é#"]
)
def test_what_is_not_understood_is_an_error(formula: str) -> None:
    """And not half a formula."""
    with pytest.raises(ValueError, match="formula"):
        formulas.parse(formula)


def test_nothing_of_a_formula_is_markup() -> None:
    found = ElementTree.fromstring(mathml(r"a < b \text{ <script>}"))
    assert "".join(found.itertext()) == "a<b <script>"
