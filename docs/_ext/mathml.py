"""Formulas as MathML, which browsers set themselves: no script, no picture, no network."""

import re
from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.application import Sphinx

_FUNCTION = r"(?<!<msub>)(?<!<msup>)(?<!<mfrac>)(<mi>[a-z]{2,}</mi>)"
"""The name of a function, where something may stand beside it."""


def mathml(formula: str, display: str) -> str:
    """A formula as MathML, with a thin space around the names of functions, as LaTeX has it."""
    found: str = convert(formula, display=display)
    space = '<mspace width="0.17em"/>'
    found = re.sub(rf"{_FUNCTION}(?!<mo|</mrow>)", rf"\1{space}", found)
    return re.sub(rf"(</mi>|</msub>|</msup>){_FUNCTION}", rf"\1{space}\2", found)


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(mathml(node.astext(), "inline"))
    raise SkipNode


def _block(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
