"""The site in a browser, and its links: ``tox -e site`` builds it and runs this.

Every loss's call in every framework that a page shows is run, too, where that framework is.
"""

import json
import os
import re
import runpy
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pytest

import polyloss
from polyloss_conformance.losses import LOSSES

from .browser import built, chromium

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import editions  # noqa: E402

MENUS = ("index", "bugs", "guides", "losses/index", "api/index", "docs/explorer")
PAGES = [
    *MENUS,
    "docs/guide",
    "conformance",
    *(f"docs/{name}" for name in ("mixed_precision", "custom", "distributed")),
    *(f"docs/guides/{path.stem}" for path in sorted((ROOT / "docs" / "guides").glob("*.md"))),
    *(f"losses/{name}" for name in LOSSES),
    # In the other editions pages of losses are the same, but for the menus around them.
    *(f"{edition}/{page}" for edition in editions.EDITIONS if edition for page in MENUS),
    *sorted(
        {f"{editions.edition_of(page)}/{editions.place(page).with_suffix('')}" for page in editions.pages()}
        - {f"{edition}/index" for edition in editions.EDITIONS}
    ),
]
WIDTHS = (1400, 400)

WIDER = """() => {
    const scrolls = one => ["auto", "scroll"].includes(getComputedStyle(one).overflowX);
    const kept = one => one && (scrolls(one) || kept(one.parentElement));
    return [...document.querySelectorAll("body *")]
        .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > window.innerWidth + 1)
        .filter(one => !kept(one.parentElement))
        .map(one => one.outerHTML.slice(0, 80));
}"""
SCROLLED = """() => [...document.querySelectorAll("pre")]
    .filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth)
    .map(one => one.textContent.split("\\n").reduce((most, line) => line.length > most.length ? line : most))
"""
OPENED = "() => document.querySelectorAll('details').forEach(one => { one.open = true; })"
MISSING = "() => [...document.images].filter(one => !one.complete || !one.naturalWidth).map(one => one.src)"


@pytest.fixture(scope="module")
def site() -> Path:
    return built()


@pytest.fixture(scope="module")
def browser(site: Path) -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.mark.site
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole(page: str, width: int, browser: Any, site: Path) -> None:
    """No error in the console, nothing from a network, no picture missing, nothing wider than the window."""
    view = browser.new_page(viewport={"width": width, "height": 1000})
    errors: list[str] = []
    requests: list[str] = []
    view.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    view.on("pageerror", lambda error: errors.append(str(error)))
    view.on("requestfailed", lambda request: errors.append(request.url))
    view.on("request", lambda request: requests.append(request.url))
    try:
        view.goto((site / f"{page}.html").as_uri(), wait_until="load")
        assert errors == []
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
        view.evaluate(OPENED)
        assert view.evaluate(MISSING) == []
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        assert view.evaluate(WIDER) == []
    finally:
        view.close()


@pytest.mark.site
def test_no_code_has_to_be_scrolled(browser: Any, site: Path) -> None:
    """In a page that is written by hand, of any edition, in a window of 1400 px."""
    sources = runpy.run_path(str(ROOT / "docs" / "build.py"))["sources"]
    written = {path for edition in editions.EDITIONS for path in sources(edition) if path.suffix == ".md"}
    assert len(written) > 40
    view = browser.new_page(viewport={"width": 1400, "height": 1000})
    try:
        found = {}
        for path in sorted(written):
            page = site / editions.edition_of(path) / editions.place(path).with_suffix(".html")
            view.goto(page.as_uri())
            found[page.relative_to(site).as_posix()] = view.evaluate(SCROLLED)
        assert {page: lines for page, lines in found.items() if lines} == {}
    finally:
        view.close()


@pytest.mark.site
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_its_curves_and_its_calls(name: str, browser: Any, site: Path) -> None:
    """Two pictures with text in them, a formula, and a tab for each framework."""
    view = browser.new_page(viewport={"width": 1400, "height": 1000})
    try:
        view.goto((site / "losses" / f"{name}.html").as_uri())
        assert view.locator(".curves svg").count() == 2
        assert view.locator(".curves svg text").count() > 6
        assert view.locator("article math").count() > 0
        assert view.locator(".sd-tab-label").all_inner_texts() == ["PyTorch", "Keras", "JAX", "TensorFlow", "NumPy"]
    finally:
        view.close()


@pytest.mark.site
@pytest.mark.parametrize("name", ["huber", "cross_entropy"])
def test_a_page_of_a_loss_leads_to_the_explorer(name: str, browser: Any, site: Path) -> None:
    """Where that loss is drawn; `test_explorer.py` opens the links of all losses that it has."""
    view = browser.new_page(viewport={"width": 1400, "height": 1000})
    try:
        view.goto((site / "losses" / f"{name}.html").as_uri())
        view.get_by_role("link", name="Move its parameters in the explorer").click()
        view.locator(f"tr[data-line=A][data-name={name}]").wait_for()
        assert view.locator("[role=alert]").text_content() == ""
    finally:
        view.close()


class _Links(HTMLParser):
    """What a page links to, and what in it can be linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.open = 0
        self.most_open = 0

    def handle_endtag(self, tag: str) -> None:
        self.open -= tag == "a"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += tag == "a"
        self.most_open = max(self.most_open, self.open)
        for key, value in attrs:
            if key == "id" and value:
                self.anchors.add(value)
            elif (key == "href" and tag in ("a", "link")) or (key == "src" and tag in ("img", "script")):
                self.links.append(value or "")


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, _Links]:
    """All of the site."""
    found = {}
    for path in (path for path in site.glob("**/*.html") if path.parent.name != "_static"):
        found[path] = _Links()
        found[path].feed(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.site
def test_every_link_leads_somewhere(site: Path, pages: dict[Path, _Links]) -> None:
    """Within the site, to a file and to an anchor in it; elsewhere, to an address that is one, by https."""
    assert len(pages) > len(LOSSES)
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                # Whether these are there still, `tox -e links` asks.
                if not re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/[!-~]*)?", link):
                    wrong.append(f"{path.relative_to(site)}: {link}")
                continue
            file, _, anchor = unquote(link.partition("?")[0]).partition("#")
            goal = (path.parent / file).resolve() if file else path
            # What has a = is no place, but what the explorer shows.
            place = anchor if "=" not in anchor else ""
            if not goal.exists() or (place and goal in pages and place not in pages[goal].anchors):
                wrong.append(f"{path.relative_to(site)}: {link}")
    assert wrong == []


@pytest.mark.site
def test_no_link_is_in_another(site: Path, pages: dict[Path, _Links]) -> None:
    assert [str(path.relative_to(site)) for path, page in pages.items() if page.most_open > 1] == []


@pytest.mark.site
@pytest.mark.parametrize("edition", [edition for edition in editions.EDITIONS if edition])
def test_every_page_leads_to_itself_in_the_other_edition(edition: str, site: Path, pages: dict[Path, _Links]) -> None:
    """And back, from the same place; none to itself in its own."""
    others = {path.relative_to(site / edition) for path in pages if path.is_relative_to(site / edition)}
    assert others == {path.relative_to(site) for path in pages if not path.is_relative_to(site / edition)}
    # The report of the suite is a file of its own, without menus.
    for page in others - {Path("conformance.html")}:
        there, back = (site / edition / page, site / page), (site / page, site / edition / page)
        for path, goal in (there, back):
            assert Path(os.path.relpath(goal, path.parent)).as_posix() in pages[path].links
        assert f"../{edition}/{page}" not in " ".join(pages[site / edition / page].links)


@pytest.mark.site
def test_menus_are_in_the_language_of_the_edition(site: Path) -> None:
    text = (site / "zh" / "docs" / "guide.html").read_text(encoding="utf-8")
    assert '<html lang="zh-CN"' in text
    for said in editions.phrases("zh")["contents"].values():
        assert said in text


@pytest.mark.site
def test_a_page_that_is_english_says_so_in_the_language_of_the_edition(site: Path, pages: dict[Path, _Links]) -> None:
    """Under a title in that language, which menus have as well. Titles of pages about one name are that name."""
    said, ours = editions.phrases("zh"), {editions.place(path).with_suffix(".html") for path in editions.pages()}
    (note,) = said["notes"].values()
    titles = set()
    for path in (path for path in pages if path.is_relative_to(site / "zh")):
        page, text = path.relative_to(site / "zh"), path.read_text(encoding="utf-8")
        # The report of the suite has no menus; the others are of Sphinx, or made of menus alone.
        if page.name in ("conformance.html", "search.html", "genindex.html", "guides.html", "project.html"):
            continue
        heading = re.search(r"<h1>(.*?)<a", text, re.DOTALL)
        assert heading is not None, page
        assert text.count(note) == (page not in ours), page
        if page not in ours and (page.parent.name not in ("losses", "api") or page.name == "index.html"):
            titles.add(unescape(heading[1]))
    assert titles == set(said["titles"].values())
    for menu in ("project", "guides"):
        text = re.sub(r"<[^>]*>", "\n", (site / "zh" / f"{menu}.html").read_text(encoding="utf-8"))
        english = set(said["titles"]) - titles
        assert english & {line.strip() for line in unescape(text).splitlines()} == set()


@pytest.mark.site
@pytest.mark.parametrize("edition", editions.EDITIONS)
def test_names_of_losses_are_links_to_their_pages(edition: str, site: Path) -> None:
    """In the list of the guide that chooses one; it needs no script."""
    text = (site / edition / "docs" / "guides" / "choosing.html").read_text(encoding="utf-8")
    names = re.findall(r"<code[^>]*><span class=\"pre\">polyloss\.(\w+)</span></code>", text)
    links = re.findall(
        r"<a [^>]*href=\"\.\./\.\./(?:losses/|api/polyloss\.)(\w+)\.html#polyloss\.\1\"[^>]*>"
        r"<code[^>]*><span class=\"pre\">polyloss\.\1</span></code></a>",
        text,
    )
    assert len(set(names) & set(LOSSES)) > 30
    assert [name for name in names if name in LOSSES] == [name for name in links if name in LOSSES]


@pytest.mark.site
@pytest.mark.parametrize(
    ("page", "query", "found"),
    [
        ("search", "conventions", "docs/conventions.html"),
        ("zh/search", "类别不平衡", "index.html"),
        ("zh/search", "大于内存 Dask", "docs/numpy.html"),
        ("zh/search", "autocast", "docs/pytorch.html"),
    ],
)
def test_a_search_finds_a_page(page: str, query: str, found: str, browser: Any, site: Path) -> None:
    """In the language of the edition, and English in both."""
    view = browser.new_page()
    try:
        view.goto(f"{(site / page).with_suffix('.html').as_uri()}?q={quote(query)}")
        view.locator(f"#search-results li a[href^='{found}']").first.wait_for(timeout=10_000)
        view.goto(f"{(site / page).with_suffix('.html').as_uri()}?q=zqxjkv")
        view.locator("#search-results p.search-summary:not(:empty)").wait_for(timeout=10_000)
        assert view.locator("#search-results li a").count() == 0
    finally:
        view.close()


@pytest.mark.site
def test_every_public_name_has_a_page(site: Path) -> None:
    pages = {path.relative_to(site).as_posix() for path in site.glob("**/*.html")}
    wanted = {
        f"losses/{name}.html" if name in LOSSES else f"api/polyloss.{name}.html" for name in vars(polyloss)["__all__"]
    }
    assert wanted - pages == set()


@pytest.mark.site
def test_numbers_are_those_of_the_record(site: Path) -> None:
    """The page of a loss has each of its rows of the benchmark, and their date."""
    bench = json.loads((ROOT / "benchmarks" / "results" / "bench.json").read_text(encoding="utf-8"))
    text = (site / "losses" / "cross_entropy.html").read_text(encoding="utf-8")
    rows = [
        c for c in bench["cells"] if c["row"] == "cross_entropy" and c["what"] == "value and gradient" and c["ratio"]
    ]
    assert rows
    assert all(f"{cell['ratio']:.2f}" in text for cell in rows)
    assert f"Measured on {bench['date'][:10]} with {bench['machine']['processor']}" in text


@pytest.mark.site
def test_the_report_is_that_of_every_loss(browser: Any, site: Path) -> None:
    """Of the run that the pages have their numbers from: all of it passed, and the index leads there."""
    view = browser.new_page()
    try:
        view.goto((site / "losses" / "index.html").as_uri())
        view.get_by_role("link", name="its report").click()
        assert view.locator(".verdict.good").count() == 1
        assert view.locator("#overview tbody tr td:first-child").all_inner_texts() == list(LOSSES)
        assert view.locator("#overview thead th").count() == 2
    finally:
        view.close()


MARKS = {"PyTorch": "torch", "Keras": "keras", "JAX": "jax", "TensorFlow": "tensorflow", "NumPy": "numpy"}


@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=getattr(pytest.mark, mark)) for title, mark in MARKS.items()]
)
@pytest.mark.parametrize("name", LOSSES)
def test_a_call_that_a_page_shows_runs(name: str, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its framework, with a finite value, and the one that NumPy has."""
    pytest.importorskip(MARKS[title])
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    from calls import arrays_of, calls, keywords_of

    names: dict[str, Any] = {}
    exec(calls(name)[title], names)
    found = names.get("loss") if title not in ("JAX", "NumPy") else names["value"]
    found = getattr(found, "detach", lambda: found)()
    expected = getattr(polyloss, name)(*arrays_of(name).values(), **keywords_of(name))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5)
