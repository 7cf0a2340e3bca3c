"""The pictures of the guides in the built site: each is there, has words beside it, and comes out the same twice."""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest

from .browser import built, chromium
from .colours import contrast

ROOT = Path(__file__).parents[1]
DIRECTIVE = re.compile(r"^```\{picture\} (\w+)\n:x: (.*)\n:y: (.*)\n\n(.*)\n```$", re.MULTILINE)
PLACES = [
    pytest.param(path, *found, id=f"{path.stem}-{found[0]}")
    for path in sorted((ROOT / "docs" / "guides").glob("*.md"))
    for found in DIRECTIVE.findall(path.read_text(encoding="utf-8"))
]

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
    """None is left to be made, and none is made that no guide shows."""
    assert {place.values[1] for place in PLACES} == set(pictures.PICTURES)
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "guides").glob("*.md"))
    assert text.count("{picture} ") == len(PLACES)
    assert "% picture" not in text


@pytest.mark.parametrize(("path", "name", "x", "y", "text"), PLACES)
def test_a_picture_says_what_it_shows(path: Path, name: str, x: str, y: str, text: str, site: Path) -> None:
    """Its text is what a screen reader reads for it, and the axes are named."""
    page = (site / "docs" / "guides" / f"{path.stem}.html").read_text(encoding="utf-8")
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
    assert first in (site / "docs" / "guides" / f"{path.stem}.html").read_text(encoding="utf-8")


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
