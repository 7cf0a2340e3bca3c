"""Formulas as MathML, which browsers set themselves: no script, no picture, no network."""

from typing import Any

from docutils.nodes import SkipNode
from sphinx.application import Sphinx

from polyloss.display.mathml import mathml


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(mathml(node.astext(), inline=True))
    raise SkipNode


def _block(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="formula">{mathml(node.astext())}</div>')
    raise SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
