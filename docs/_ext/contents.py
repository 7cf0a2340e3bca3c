"""The table of contents, and what an edition in another language says of its English pages.

Pages of ``docs`` have no table of contents of their own, as they are read in the repository, too.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from editions import EDITIONS, edition_of, pages, phrases, place
from sphinx.application import Sphinx

GUIDES = {
    "From a problem to a loss": (
        "guides/choosing",
        "guides/class_imbalance",
        "guides/outliers",
        "guides/multi_task",
        "guides/gradient_accumulation",
        "guides/porting",
        "guides/own_loss",
        "guides/validation",
        "guides/scipy",
        "guides/boosting",
    ),
    "With your framework": ("pytorch", "keras", "tensorflow", "jax", "mlx", "numpy", "mixed_precision", "export"),
    "On several devices": ("distributed", "scale"),
    "Losses": ("guide", "custom", "conventions", "numerics", "calls", "arrays", "adapters"),
    "From another library": ("compatibility", "rosetta"),
}
PROJECT = ("CONTRIBUTING", "CHANGELOG", "polyloss/core/README", "polyloss/engine/README", "benchmarks/results/README")


def _tree(pages: list[str], caption: str = "") -> str:
    options = [f":caption: {caption}"] if caption else []
    return "\n".join(["```{toctree}", ":maxdepth: 1", *options, "", *pages, "```", ""])


def _edition(app: Sphinx) -> str:
    """The folder of the edition that is made."""
    return next(edition for edition, (language, _) in EDITIONS.items() if language == app.config.language)


def write(app: Sphinx) -> None:
    """The pages that only say what there is, and the tree at the end of the first page."""
    source = Path(app.srcdir)
    edition = _edition(app)
    said = phrases(edition)["contents"] if edition else {name: name for name in (*GUIDES, "Guides", "Project")}

    def there(pages: tuple[str, ...], folder: str = "/docs/") -> list[str]:
        return [f"{folder}{page}" for page in pages if (source / f"{folder}{page}.md".lstrip("/")).exists()]

    trees = [_tree(there(pages), said[caption]) for caption, pages in GUIDES.items()]
    (source / "guides.md").write_text("\n".join([f"# {said['Guides']}\n", *trees]), encoding="utf-8")
    project = [*there(PROJECT, "/"), *there(("examples/polyloss_strict/README",), "/")]
    (source / "project.md").write_text("\n".join([f"# {said['Project']}\n", _tree(project)]), encoding="utf-8")
    top = ["guides", "losses/index", *there(("explorer",)), "api/index", "bugs", "project"]
    shown = [page for page in top if page.startswith("/") or any(source.glob(f"{page}.*"))]
    hidden = "\n".join(["", "```{toctree}", ":hidden:", "", *shown, "```", ""])
    index = source / "index.md"
    index.write_text(index.read_text(encoding="utf-8") + hidden, encoding="utf-8")


def introduce(app: Sphinx, page: nodes.document) -> None:
    """Give a page that is English in another edition a title in its language, and a note that the rest is English.

    A title that is a name stays.
    """
    edition = _edition(app)
    translated = {place(path).with_suffix("").as_posix() for path in pages() if edition_of(path) == edition}
    if not edition or app.env.docname in translated | {"guides", "project"}:
        return
    said = phrases(edition)
    title = next(page.findall(nodes.title))
    text = title.astext()
    title.children = [nodes.Text(said["titles"].get(text, text))]
    title.parent.insert(1, nodes.note("", nodes.paragraph(text=said["notes"]["This page is in English."])))


def setup(app: Sphinx) -> dict[str, Any]:
    # Before Sphinx collects titles.
    app.connect("doctree-read", introduce, priority=400)
    # After the pages that are generated.
    app.connect("builder-inited", write, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
