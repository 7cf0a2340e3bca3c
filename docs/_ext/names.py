"""Names in pages of Markdown lead to their pages: code that is ``polyloss.huber``, as a reference is in other ones.

In the repository they are code and no more, so that a page is written once.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

LINKED = (nodes.title, nodes.reference, pending_xref)
"""What is a link, or is made one by menus."""

_NAME = re.compile(r"polyloss(\.\w+)+")


def link(app: Sphinx, page: nodes.document) -> None:
    """Make references of names; Sphinx leaves those alone that no page describes."""
    name = app.env.docname
    if Path(app.env.doc2path(name)).suffix != ".md":
        return
    linked = {code for kind in LINKED for one in page.findall(kind) for code in one.findall(nodes.literal)}
    for code in list(page.findall(nodes.literal)):
        if _NAME.fullmatch(code.astext()) and code not in linked:
            reference = pending_xref(
                "", refdoc=name, refdomain="py", reftype="obj", reftarget=code.astext(), refexplicit=True
            )
            code.replace_self(reference)
            reference += code


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
