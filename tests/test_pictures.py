"""The pictures of the guides in the built site: each is there, has words beside it, and comes out the same twice."""

import re
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest

from .browser import built, chromium
from .colours import contrast

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import editions  # noqa: E402

DIRECTIVE = re.compile(r"^```\{picture\} (\w+)\n:x: (.*)\n:y: (.*)\n\n(.*)\n```$", re.MULTILINE)
PAGES = [path for path in sorted((ROOT / "docs").glob("**/*.md")) if "{picture} " in path.read_text(encoding="utf-8")]
PLACES = [
    pytest.param(path, *found, id=f"{path.stem}-{found[0]}")
    for path in PAGES
    if not editions.edition_of(path)
    for found in DIRECTIVE.findall(path.read_text(encoding="utf-8"))
]

TOUCHING = """() => {
    const touch = (one, other) => Math.min(one.right, other.right) - Math.max(one.left, other.left) > 0
        && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > one.height / 3;
    const found = [];
    for (const picture of document.querySelectorAll(".picture svg")) {
        const texts = [...picture.querySelectorAll("text")].map(one => [one.textContent, one.getBoundingClientRect()]);
        texts.forEach(([text, box], number) => texts.slice(number + 1)
            .filter(([, other]) => touch(box, other)).forEach(([other]) => found.push([text, other])));
    }
    return found;
}"""
"""A box has room above and below its letters."""

pytestmark = pytest.mark.site


@pytest.fixture(scope="module")
def site() -> Path:
    return built()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("matplotlib")
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    import pictures

    return pictures


def test_every_picture_has_its_place(pictures: Any) -> None:
    """None is made that no page shows, and each has all of its words."""
    assert {place.values[1] for place in PLACES} == set(pictures.PICTURES)
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        assert text.count("{picture} ") == len(DIRECTIVE.findall(text))


@pytest.mark.parametrize("width", [1400, 400])
def test_names_in_a_picture_do_not_touch(width: int, browser: Any, site: Path) -> None:
    view = browser.new_page(viewport={"width": width, "height": 1000})
    try:
        found = {}
        for path in PAGES:
            view.goto(_built(path, site).as_uri())
            found[path.relative_to(ROOT).as_posix()] = view.evaluate(TOUCHING)
        assert {page: names for page, names in found.items() if names} == {}
    finally:
        view.close()


def _built(path: Path, site: Path) -> Path:
    """The page of the site that a file is."""
    return site / editions.edition_of(path) / editions.place(path).with_suffix(".html")


@pytest.mark.parametrize(("path", "name", "x", "y", "text"), PLACES)
def test_a_picture_says_what_it_shows(path: Path, name: str, x: str, y: str, text: str, site: Path) -> None:
    """Its text is what a screen reader reads for it, and the axes are named."""
    page = _built(path, site).read_text(encoding="utf-8")
    (figure,) = re.findall(
        rf'<figure class="curves picture">(?:(?!</figure>).)*id="picture-{name}".*?</figure>', page, re.DOTALL
    )
    assert f'<figcaption id="picture-{name}">{escape(text)}</figcaption>' in figure
    labels = [label.strip() for label in y.split("|")]
    for number, label in enumerate(labels):
        assert f'<p id="picture-{name}-{number}">{escape(label)}</p>' in figure
        assert f'role="img" aria-labelledby="picture-{name}-{number} picture-{name}"' in figure
    assert figure.count(f"<p>{escape(x)}</p>") == figure.count("<svg") == len(labels)
    assert figure.count("<text") > 8
    # Curves are told apart without their colours.
    style = r"(?:stroke-dasharray: ([\d.,]+); stroke-dashoffset: 0; )?stroke: var\(--curve-\d\)"
    curves = set(re.findall(style, figure))
    # One curve, and points with their names.
    assert len(curves) > 1 or name == "thresholds"


@pytest.mark.parametrize(("path", "name", "x", "y", "text"), PLACES)
def test_a_picture_comes_out_the_same_twice(
    path: Path, name: str, x: str, y: str, text: str, pictures: Any, site: Path
) -> None:
    """As the build made it, and from code that is run anew."""
    page = path.read_text(encoding="utf-8")
    pictures.run.cache_clear()
    first = pictures.html(name, page, x, y, text)
    pictures.run.cache_clear()
    assert pictures.html(name, page, x, y, text) == first
    assert first in _built(path, site).read_text(encoding="utf-8")


def test_a_name_for_each_picture_is_needed(pictures: Any) -> None:
    page = (ROOT / "docs" / "guides" / "porting.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"side_by_side needs 2 names in :y:, separated by \|, got loss"):
        pictures.html("side_by_side", page, "step", "loss", "text")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_labels_can_be_read(theme: str, browser: Any, site: Path) -> None:
    """The names of curves differ enough from the page in both themes: 4.5 to 1, as WCAG asks of text."""
    view = browser.new_page(color_scheme=theme)
    try:
        view.goto((site / "docs" / "guides" / "outliers.html").as_uri())
        assert view.evaluate("document.documentElement.dataset.theme") == theme
        ground, *colours = view.evaluate(
            """() => {
                const style = getComputedStyle(document.documentElement);
                const numbers = colour => {
                    const context = document.createElement("canvas").getContext("2d");
                    context.fillStyle = colour;
                    context.fillRect(0, 0, 1, 1);
                    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
                };
                const names = [1, 2, 3, 4, 5].map(number => `--curve-${number}`);
                return ["--pst-color-background", ...names].map(name => numbers(style.getPropertyValue(name)));
            }"""
        )
        for one in colours:
            assert contrast(one, ground) > 4.5, one
    finally:
        view.close()
