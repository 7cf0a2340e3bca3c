"""Formulas and docstrings in a terminal."""

import inspect
import textwrap
import unicodedata
from collections import Counter
from xml.etree import ElementTree

import pytest

import polyloss
from polyloss.display import formulas
from polyloss.display.mathml import mathml
from polyloss_conformance import typeset

PUBLIC = {name: inspect.getdoc(getattr(polyloss, name)) or "" for name in vars(polyloss)["__all__"]}
FORMULAS = {name: found for name, text in PUBLIC.items() if (found := formulas.formulas_of(text))}


def lines(text: str) -> list[str]:
    return [line for line in textwrap.dedent(text).splitlines() if line]


HUBER = r"""
    \ell = \begin{cases} \frac{1}{2} e^2 & |e| \le \delta \\
    \delta \left( |e| - \frac{1}{2} \delta \right) & |e| > \delta \end{cases} \qquad e = x - t
"""


def test_cases() -> None:
    expected = """
    ⎧ ½ e²          |e| ≤ δ
ℓ = ⎨                          e = x − t
    ⎩ δ(|e| − ½ δ)  |e| > δ
"""
    assert typeset.formula(HUBER, 80) == lines(expected)


def test_fractions_and_sums() -> None:
    expected = """
                                x_c
                               e
ℓ = −∑ q_c log p_c,    p_c = ────────
     c                           x_j
                              ∑ e
                              j
"""
    found = typeset.formula(r"\ell = -\sum_c q_c \log p_c, \qquad p_c = \frac{e^{x_c}}{\sum_j e^{x_j}}", 80)
    assert found == lines(expected)


def test_indices_are_small_where_all_are() -> None:
    """A small c does not exist: all of such a formula follow a line."""
    assert typeset.inline(r"x_i \cdot x_{ij}") == "xᵢ · xᵢⱼ"
    assert typeset.inline(r"x_i \cdot x_c + x_{ic} + x_{t, c}") == "x_i · x_c + x_ic + x_{t, c}"
    assert typeset.inline(r"e^{-2} + x^\gamma + x^{a + b}") == "e⁻² + x^γ + x^(a + b)"


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"-t \log p - (1 - t) \log(1 - p)", "−t log p − (1 − t) log(1 − p)"),
        (r"\frac{1}{2} e^2", "½ e²"),
        (r"\frac{a + b}{2 c}", "(a + b)/2c"),
        (r"\max(0,\, m - d)^k", "max(0, m − d)ᵏ"),
        (r"\lVert x_1 - x_2 \rVert_2", "‖x₁ − x₂‖₂"),
        (r"\bar e", "ē"),
        (r"\sum_{i < j} x_i", "∑_{i < j} x_i"),
        (r"\sqrt{a + b}", "√(a + b)"),
        (r"q_c = [c = y]", "q_c = [c = y]"),
        (r"\begin{cases} a & b \\ c & d \end{cases}", "{a, b; c, d}"),
        (r"\unknown{x}", r"\unknown{x}"),
    ],
)
def test_a_formula_within_a_line(formula: str, expected: str) -> None:
    assert typeset.inline(formula) == expected


def test_ascii() -> None:
    expected = """
       / 1/2 e^2                 |e| <= delta
loss = <                                         e = x - t
       \\ delta(|e| - 1/2 delta)  |e| > delta
"""
    assert typeset.formula(HUBER, 80, ascii=True) == lines(expected)


def characters(text: str) -> Counter[str]:
    """The letters and digits of a text, however they are set."""
    return Counter(one for one in unicodedata.normalize("NFKD", text) if one.isalnum())


@pytest.mark.parametrize("ascii", [False, True], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("name", FORMULAS)
def test_every_formula_fits(name: str, width: int, ascii: bool) -> None:
    """None of its letters is lost, and nothing of LaTeX is left; there is nothing but ASCII where that is wanted."""
    for formula in FORMULAS[name]:
        found = typeset.formula(formula, width, ascii)
        assert max(map(typeset._width, found)) <= width
        text = "".join(ElementTree.fromstring(mathml(formula)).itertext()).replace("¯", "")
        text = typeset.plain(text) if ascii else text
        assert characters("".join(found).replace("e_bar", "e")) == characters(text)
        assert "&" not in "".join(found)
        assert not ascii or "".join(found).isascii()
        assert ascii or "\\" not in "".join(found)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("name", PUBLIC)
def test_every_docstring_fits(name: str, width: int) -> None:
    """But for examples; and every word of it is there, in one piece unless it is nearly as long as a line."""
    text = PUBLIC[name]
    prose, _, examples = text.partition("Examples\n--------")
    found = typeset.docstring(prose, width)
    assert not [line for line in found if typeset._width(line) > width and "---" not in line]
    words = formulas.INLINE.sub(lambda one: typeset.inline(one[1]), formulas.BLOCK.sub("", prose)).split()
    assert not {word for word in words if len(word) < width - 8} - {*"\n".join(found).split()}
    assert "".join(words) == "".join("\n".join(typeset.docstring(formulas.BLOCK.sub("", prose), width)).split())
    assert typeset.docstring(examples, 200) == examples.strip("\n").splitlines()


def test_a_formula_too_wide_is_broken_before_an_operator() -> None:
    assert typeset.formula(r"\alpha_1 + \beta_2 = \gamma_3 + \delta_4", 14) == ["α₁ + β₂ = γ₃", "  + δ₄"]
