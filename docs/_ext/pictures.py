"""The pictures of the guides: ``{picture}`` in a page of Markdown.

A picture is drawn from what its page says before it: the last table, or what the last block of code finds when it is
run. The tests of the documentation prove that the block runs and prints the rows of the table. All words of a picture
are in the page as well, so that a translated page has its own:

    ```{picture} recall_by_class
    :x: examples of the class
    :y: recall

    What can be seen, for those who cannot see it as well.
    ```

In the repository that is a box with these words.
"""

import contextlib
import functools
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from svg import SIZE, colour, drawn

import polyloss

Draw = Callable[[Any], None]
Curves = Mapping[str, tuple[Any, Any]]
"""The points of each, by its name."""

DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
"""Curves differ by more than their colour."""

# ------------------------------------------------------------------------------------------------------- what they show


@functools.cache
def run(code: str) -> dict[str, Any]:
    """The names that a block of code has in the end. Those of two languages are often the same block."""
    names: dict[str, Any] = {"__name__": "__picture__"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "the page", "exec"), names)
    return names


class Before:
    """What a page has before a picture.

    Parameters
    ----------
    text : str
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def names(self) -> dict[str, Any]:
        """What the last block of code finds."""
        return run(re.findall(r"^```python\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)[-1])

    @property
    def table(self) -> list[list[str]]:
        """The cells of the last table, its head first."""
        head, _, *rows = re.findall(r"(?:^\|.*\|\n)+", self.text, re.MULTILINE)[-1].splitlines()
        return [
            [cell.strip().strip("`").removeprefix("polyloss.") for cell in r.split("|")[1:-1]] for r in (head, *rows)
        ]

    def numbers(self, of: Sequence[int] = (0,)) -> dict[str, Any]:
        """The rows of the table by their first cell; or by others, where that is not enough."""
        return {
            ", ".join(row[place] for place in of): np.asarray([float(cell) for cell in row[len(of) :]])
            for row in self.table[1:]
        }


def pull(page: Before) -> list[Draw]:
    """The slopes of losses."""
    error = np.linspace(-6.0, 6.0, 241)

    def draw(axis: Any) -> None:
        slopes = {}
        for name in page.numbers():
            loss = getattr(polyloss, name)
            slopes[name] = error, polyloss.value_and_grad(loss)(error, np.zeros_like(error), reduction="sum")[1]
        axis.axhline(0, color="#000000", linewidth=0.5, alpha=0.4)
        axis.set_ylim(-2.6, 2.6)
        curves(axis, slopes)

    return [draw]


def breakdown(page: Before) -> list[Draw]:
    """The error of fits by the share of targets that are wrong."""

    def draw(axis: Any) -> None:
        shares, runs = page.names["shares"], page.names["runs"]
        percent = 100 * np.asarray(shares)
        axis.axhline(1, color="#000000", linewidth=0.5, alpha=0.4)
        logarithmic(axis.yaxis, (0.5, 1, 2, 5, 10, 20))
        curves(
            axis, {name: (percent, [np.mean(runs[f"{name}", share]) for share in shares]) for name in page.numbers()}
        )
        axis.set_xticks(percent)

    return [draw]


def thresholds(page: Before) -> list[Draw]:
    """The precision and the recall of each row, and those of the first one with other thresholds."""
    from sklearn.metrics import precision_recall_curve

    names = page.names
    loss, _ = next(iter(names["losses"].values()))
    recall, precision = np.linspace(0.0, 1.0, 101), []
    for seed in range(5):
        x_train, x_test, y_train, y_test = names["train_test_split"](
            names["x"], names["y"], test_size=0.5, stratify=names["y"], random_state=seed
        )
        found, at, _ = precision_recall_curve(y_test, x_test @ names["fit"](loss, x_train, y_train))
        precision.append(np.interp(recall, at[::-1], found[::-1]))

    def draw(axis: Any) -> None:
        axis.plot(recall, np.mean(precision, axis=0), color="#000000", linewidth=1.2)
        axis.set_xlim(0, 1.02)
        axis.set_ylim(0, 1.05)
        points = {name: (x, y) for name, (x, y, *_) in page.numbers().items()}
        for number, point in enumerate(points.values()):
            axis.plot(*point, "o", color=colour(number), markersize=6)
        names_beside(axis, points)

    return [draw]


def recall_by_class(page: Before) -> list[Draw]:
    """The recall of each class, from frequent to rare."""

    def draw(axis: Any) -> None:
        counts, runs = page.names["counts"], page.names["runs"]
        logarithmic(axis.xaxis, (100, 50, 20, 10, 5, 2))
        axis.set_xlim(counts[0], counts[-1])
        axis.set_ylim(0, 1.02)
        curves(axis, {name: (counts, np.mean(recalls, axis=0)) for name, recalls in runs.items()})

    return [draw]


def training(page: Before) -> list[Draw]:
    """What the table says for each step: a picture for each loss in its first column."""
    steps = [int(step) for step in page.table[0][2:]]

    def draw(axis: Any, what: str) -> None:
        rows = {name: numbers for name, numbers in page.numbers((0, 1)).items() if name.startswith(f"{what}, ")}
        curves(axis, {name.removeprefix(f"{what}, "): (steps, numbers) for name, numbers in rows.items()})
        axis.set_ylim(bottom=0)

    losses = dict.fromkeys(row[0] for row in page.table[1:])
    return [functools.partial(draw, what=what) for what in losses]


def side_by_side(page: Before) -> list[Draw]:
    """The losses of the table, and how far they are from those in its second row, in ten-thousandths."""
    rows = page.numbers()
    steps = np.arange(1, len(page.table[0]))
    reference = rows[list(rows)[1]]

    def losses(axis: Any) -> None:
        curves(axis, {name: (steps, numbers) for name, numbers in rows.items()})

    def differences(axis: Any) -> None:
        curves(axis, {name: (steps, np.round(1e4 * (numbers - reference))) for name, numbers in rows.items()})
        axis.yaxis.get_major_locator().set_params(integer=True)

    return [losses, differences]


def outlier_fits(page: Before) -> list[Draw]:
    """The points, and the curve of each row of the table."""

    def draw(axis: Any) -> None:
        names = page.names
        axis.plot(names["t"], names["y"], "o", color="#000000", alpha=0.5, markersize=3)
        curves(axis, {name: (names["t"], names["curve"](p)) for name, p in page.numbers().items()})

    return [draw]


def rounding(page: Before) -> list[Draw]:
    """A loss near 0 in the precisions of the table, as it is written in the block."""
    error, loss = np.linspace(0.0, 1.2e-3, 601), page.names["charbonnier"]

    def draw(axis: Any) -> None:
        found = {}
        for dtype in page.table[0][1:]:
            arrays = error.astype(dtype), np.zeros_like(error, dtype=dtype)
            found[dtype] = 1e3 * error, 1e7 * loss(*arrays, reduction="none")
        axis.set_xlim(0, 1.2)
        axis.set_ylim(0, 8)
        curves(axis, found)

    return [draw]


def learned_scale(page: Before) -> list[Draw]:
    """The loss of each example, and the mean, against the scale; the point is where the block arrives."""
    names = page.names
    scales = np.linspace(0.7, 6.0, 200)
    losses = np.asarray([names["scaled_l1"](names["x"], names["y"], scale=s, reduction="none") for s in scales])

    def draw(axis: Any) -> None:
        each = {f"x = {x:g}": (scales, one) for x, one in zip(names["x"], losses.T, strict=True)}
        curves(axis, {**each, "mean": (scales, losses.mean(axis=1))})
        best = names["scale"]
        axis.plot([best], [names["scaled_l1"](names["x"], names["y"], scale=best)], "o", color=colour(len(each)))

    return [draw]


def lost_slopes(page: Before) -> list[Draw]:
    """How many slopes a mean over so many rows rounds to 0 in float16, for each scale of the table."""
    names = page.names
    logits = names["logits"].astype("float16").astype("float64")
    _, slopes = polyloss.value_and_grad(polyloss.cross_entropy)(logits, names["ids"], reduction="sum")
    rows = np.logspace(2, 9, 113)

    def draw(axis: Any) -> None:
        found = {}
        for scale in dict.fromkeys(row[1] for row in page.table[1:]):
            zero = [np.mean((slopes * (float(scale) / count)).astype("float16") == 0) for count in rows]
            found[f"scale = {scale}"] = rows / 1000, 100 * np.asarray(zero)
        logarithmic(axis.xaxis, (0.1, 10, 1000, 100_000))
        axis.set_xlim(0.1, 1e6)
        curves(axis, found)

    return [draw]


def uneven_labels(page: Before) -> list[Draw]:
    """How far gradients are from that of one process, against the share of labels that one member has."""

    def draw(axis: Any) -> None:
        shares = page.names["shares"]
        logarithmic(axis.xaxis, shares)
        axis.set_xticks(shares, labels=page.table[0][1:])
        axis.set_xlim(shares[0], shares[-1])
        curves(axis, {name: (shares, distances) for name, distances in page.names["distances"].items()})

    return [draw]


def boosted_curves(page: Before) -> list[Draw]:
    """The points by one feature, and what the trees of some objectives make of it."""

    def draw(axis: Any) -> None:
        names = page.names
        x, y = names["x"][:, 2:3], names["y"]
        axis.plot(x[:, 0], y, "o", color="#000000", alpha=0.25, markersize=2)
        grid = np.linspace(x.min(), x.max(), 300)[:, None]
        chosen = {name: loss for name, loss in names["losses"].items() if "0.5" not in name}
        fits = {name.removeprefix("polyloss."): names["fit"](loss, x, y)(grid) for name, loss in chosen.items()}
        curves(axis, {name: (grid[:, 0], predicted) for name, predicted in fits.items()})

    return [draw]


PICTURES: dict[str, Callable[[Before], list[Draw]]] = {
    draw.__name__: draw
    for draw in (
        *(pull, breakdown, thresholds, recall_by_class, training, side_by_side, outlier_fits),
        *(rounding, learned_scale, lost_slopes, uneven_labels, boosted_curves),
    )
}

# --------------------------------------------------------------------------------------------------- how they are drawn

LINE = 12 / (72 * SIZE[1] - 25)
"""The height of a line of text, as a part of that of the axes."""


def curves(axis: Any, points: Curves) -> None:
    """Curves, with their names at their right ends."""
    for number, (x, y) in enumerate(points.values()):
        axis.plot(x, y, linestyle=DASHES[number], color=colour(number), linewidth=1.8)
    names_beside(axis, {name: (None, y[-1]) for name, (_, y) in points.items()})


def names_beside(axis: Any, points: Mapping[str, tuple[float | None, float]]) -> None:
    """Names right of the axes, at the heights of their points; a line leads to a point that is not at the edge."""
    places = apart(axis, {name: y for name, (_, y) in points.items()})
    for number, (name, (x, y)) in enumerate(points.items()):
        line = {"arrowstyle": "-", "color": colour(number), "linewidth": 0.8, "relpos": (0, 0.5), "shrinkB": 4}
        axis.annotate(
            wrapped(name),
            (1.0, places[name]) if x is None else (x, y),
            xycoords="axes fraction" if x is None else "data",
            xytext=(1.02, places[name]),
            textcoords="axes fraction",
            va="center",
            color=colour(number),
            arrowprops=None if x is None else line,
        )


def apart(axis: Any, values: Mapping[str, float]) -> dict[str, float]:
    """Where the names of values stand without touching: near them, or below, as parts of the height of the axes."""
    scale = axis.yaxis.get_transform().transform
    low, high, *wanted = scale(np.asarray([*axis.get_ylim(), *values.values()]))
    found = dict(zip(values, np.clip((np.asarray(wanted) - low) / (high - low), 0, 1), strict=True))
    half = {name: LINE * (1 + wrapped(name).count("\n")) / 2 for name in found}
    upwards = sorted(found, key=found.__getitem__)
    pairs = list(itertools.pairwise(upwards))
    for lower, upper in reversed(pairs):
        found[lower] = min(found[lower], found[upper] - half[lower] - half[upper])
    found[upwards[0]] = max(found[upwards[0]], 0.0)
    for lower, upper in pairs:
        found[upper] = max(found[upper], found[lower] + half[lower] + half[upper])
    return found


def wrapped(name: str) -> str:
    return fill(name, 16)


def logarithmic(axis: Any, ticks: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def html(name: str, page: str, x: str, y: str, text: str) -> str:
    """A picture with its words.

    Parameters
    ----------
    name : str
        One of `PICTURES`.
    page : str
        The Markdown of its page.
    x, y : str
        What is along the axes. Where there are several pictures, their ``y`` are separated by ``|``.
    text : str
        What can be seen.
    """
    said = f"picture-{name}"
    draws = PICTURES[name](Before(page.partition(f"{{picture}} {name}\n")[0]))
    labels = y.split("|")
    if len(labels) != len(draws):
        raise ValueError(f"the picture {name} needs {len(draws)} names in :y:, separated by |, got {y}")
    panels = []
    for number, (draw, label) in enumerate(zip(draws, labels, strict=True)):
        svg = drawn(draw, SIZE, aria_labelledby=f"{said}-{number} {said}")
        label = f'<p id="{said}-{number}">{escape(label.strip())}</p>'
        panels.append(f'<div class="panel">{label}{svg}<p>{escape(x)}</p></div>')
    caption = f'<figcaption id="{said}">{escape(text)}</figcaption>'
    return f'<figure class="curves picture"><div>{"".join(panels)}</div>{caption}</figure>'


class Picture(SphinxDirective):
    """``{picture} NAME``, with the names of the axes as options, and what can be seen as content."""

    required_arguments = 1
    has_content = True
    option_spec = {"x": directives.unchanged_required, "y": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[Any]:
        name = self.arguments[0]
        if name not in PICTURES:
            raise self.error(f"there is no picture {name}; there are {', '.join(PICTURES)}")
        missing = [option for option in self.option_spec if option not in self.options]
        if missing or not self.content:
            raise self.error(f"the picture {name} needs {', '.join(f':{o}:' for o in missing) or 'a text'}")
        page = Path(self.env.doc2path(self.env.docname)).read_text(encoding="utf-8")
        try:
            found = html(name, page, self.options["x"], self.options["y"], " ".join(self.content))
        except ValueError as error:
            raise self.error(str(error)) from error
        return [nodes.raw("", found, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


__all__ = ["PICTURES", "Before", "Picture", "html", "setup"]
