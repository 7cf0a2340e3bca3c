"""The HTML report: what it says, and that it can be read and filtered in a browser, in a wide and a narrow window."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from polyloss_conformance import bugs, deviations, histogram, tolerances
from polyloss_conformance.cli import app
from polyloss_conformance.report import Report
from polyloss_conformance.result import Result

from .browser import chromium

BACKENDS = ("numpy", "torch", "jax")
LOSSES = ("cross_entropy", "huber", "binary_cross_entropy_with_logits")
VERSIONS = {"polyloss": "1.0", "python": "3.11", "platform": "Linux"} | dict.fromkeys(BACKENDS, "2.0")
ARRAY = "np.asarray([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]], dtype='float32')"
LINE = next(entry for entry in deviations.load() if entry.input and len(entry.builtin) > 1)
NO_LINE = next(entry for entry in deviations.load() if not entry.input)


def checked(loss: str, backend: str, value: float, message: str = "", seconds: float = 0.25) -> Result:
    return Result(
        *(loss, backend, "eager", "float32", "a_case_of_a_name_that_is_rather_long_for_a_column"),
        check="value and gradient",
        passed=not message,
        value=value,
        gradient=2 * value,
        message=message,
        call=f"polyloss.{loss}({ARRAY}, {ARRAY}, reduction='none')" if message else "",
        seconds=seconds,
    )


def met(entry: deviations.Deviation, builtin: str) -> Result:
    """What a run has of a known deviation."""
    return Result(
        *("cross_entropy", "torch", "eager", "float32", f"built-in {builtin}: a_case, none"),
        check="built-in",
        passed=True,
        message="value [0]: 0.0, exactly 1.0",
        call=f"polyloss.cross_entropy({ARRAY}, ids)",
        note=entry.reason,
        deviation=entry.kind,
    )


def full() -> Report:
    results = [checked(loss, backend, value) for loss in LOSSES for backend in BACKENDS for value in (0.0, 0.5)]
    results.append(checked("huber", "torch", 12.5, "value at [0, 2] is 1.25, expected 1.5 (1 of 12 differ)", 3.0))
    results += [met(entry, builtin) for entry in (LINE, NO_LINE) for builtin in entry.builtin]
    return Report([*results, Result("", "jax", "eager", "", "deviations", "built-in", False)], VERSIONS, 12.0)


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)).split())


def test_each_deviation_has_the_line_that_shows_it() -> None:
    """With what it gives and what is right, as a program without polyloss; or, where there is none, a call."""
    page = text_of(full().html())
    start = page.index(LINE.reason)
    shown = f"{LINE.reason} {LINE.input} It gives {LINE.returns} ; right is {LINE.exact} ."
    assert page[start:].startswith(shown)
    assert " ".join(bugs.script(LINE).split()) in page
    assert f"{NO_LINE.reason} No single line shows it: rounding decides." in page
    for builtin in LINE.builtin + NO_LINE.builtin:
        assert f"{builtin} : 1 case, for example a_case, none polyloss.cross_entropy({ARRAY}, ids)" in page


def test_a_deviation_that_the_table_does_not_know_is_shown_by_its_call() -> None:
    """A report may be of another version's table."""
    result = Result(
        "mse", "torch", "eager", "", "built-in torch.mse_loss: x", "built-in", True, note="Why", call="line"
    )
    unknown = Result(**{**vars(result), "deviation": "value"})
    assert "Why Where the suite met it torch.mse_loss : 1 case, for example x line" in text_of(
        Report([unknown], VERSIONS, 1.0).html()
    )


@pytest.mark.parametrize(
    ("error", "place"), [(0, 0), (1e-9, 1), (2.0**-4, 1), (0.07, 2), (4, 7), (4.1, 8), (64, 11), (65, 12), (np.inf, 12)]
)
def test_a_bar_ends_at_a_power_of_two(error: float, place: int) -> None:
    """It belongs to the bar: what is at a limit is within it."""
    assert histogram.counted([error]) == [int(n == place) for n in range(13)]


@pytest.mark.parametrize("limits", [tolerances.CONDITIONED, tolerances.OWN])
def test_the_limits_are_between_two_bars(limits: dict[tolerances.Kind, float]) -> None:
    """So a bar is allowed as a whole or not at all, and red where it is not."""
    for limit in limits.values():
        assert limit in histogram.ENDS
        for error, side in ((limit, "within"), (1.01 * limit, "beyond")):
            svg = histogram.picture("numpy", {"value": [error]}, {"value": limit})
            assert re.findall(r'<rect class="(\w+)"', svg) == [side]


def test_a_picture_is_told_in_words() -> None:
    svg = histogram.picture("a<b", {"value": [0, 0.9, 0.8, 99], "gradient": []}, {"value": 4, "gradient": 8})
    text = "value, at most 4: 0: 1, up to 1: 2, above 64: 1. gradient, at most 8: nothing."
    assert f'aria-label="a&lt;b: how many checks have which error. {text}"' in svg


def test_half_precision_is_not_among_other_units() -> None:
    result = replace(checked("mse", "numpy", 0.5), dtype="float16")
    assert "<figure" not in Report([result], VERSIONS, 1.0).html()
    assert "<figure" in Report([checked("mse", "numpy", 0.5)], VERSIONS, 1.0).html()


def test_the_slowest_come_first() -> None:
    results = [checked("mse", "numpy", 0.5, seconds=n) for n in (0.5, 0.5)]
    results += [checked("huber", "numpy", 0.5, seconds=0.7), checked("l1", "numpy", 0.5, seconds=2)]
    table = text_of(Report(results, VERSIONS, 4.0).html()).partition("The slowest checks")[2]
    rows = [f"{loss} numpy value and gradient, eager {times}" for loss, times in (("l1", "1 2.00"), ("mse", "2 1.00"))]
    assert " ".join([*rows, "huber numpy value and gradient, eager 1 0.70"]) in table


OWN = """
import polyloss

@polyloss.elementwise
def wrong(xp, prediction, target, **call):
    error = prediction - target
    return error**2, lambda: error, lambda: -2 * error

@polyloss.elementwise
def right(xp, prediction, target, **call):
    error = prediction - target
    return error**2, lambda: 2 * error, lambda: -2 * error

tasks = polyloss.multi_task({"a": right})
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run on a user's file."""
    folder = tmp_path_factory.mktemp("own")
    file, page = folder / "losses_of_the_report.py", folder / "report.html"
    file.write_text(OWN)
    command = ["conformance", "--backend", "numpy", "--losses", str(file), "--html", str(page)]
    output = CliRunner(env={"COLUMNS": "200"}).invoke(app, command).output
    assert "(limits 16 / 64)" in output
    return page


def test_of_own_losses_it_says_what_they_were_compared_with(own: Path) -> None:
    """No exact reference, other limits; of NumPy's float64 a value is compared with nothing, and said to be."""
    page = text_of(own.read_text())
    assert "no exact reference" in page
    assert "reference of 60 digits" not in page
    assert f"value the same kernel on NumPy in float64, at exactly the same rounded inputs k = {16} " in page
    assert "difference quotients of that value" in page
    assert re.search(r"numpy eager float64 \d+ – [\d.]+ ", page)
    assert "at most 16:" in own.read_text()
    assert "no exact reference" not in text_of(full().html())


@pytest.fixture(scope="module")
def pages(own: Path) -> dict[str, Path]:
    page = own.with_name("full.html")
    page.write_text(full().html())
    return {"full": page, "own": own}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


CUT = """() => [...document.querySelectorAll("body *")]
    .filter(one => one.checkVisibility() && !one.closest("svg, select, input"))
    .filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display != "inline")
    .map(one => one.outerHTML.slice(0, 120))"""
OUTSIDE = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].map(text => [text, text.getBoundingClientRect()])
        .filter(([_, box]) => box.left < frame.left || box.right > frame.right || box.top < frame.top)
        .map(([text]) => text.textContent);
})"""
OVERLAP = """() => [...document.querySelectorAll("svg g")].flatMap(panel => {
    const boxes = [...panel.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
    return boxes.flatMap(([one, a], n) => boxes.slice(n + 1)
        .filter(([_, b]) => a.left < b.right - 1 && b.left < a.right - 1)
        .filter(([_, b]) => a.top < b.bottom - 3 && b.top < a.bottom - 3)
        .map(([other]) => `${one} / ${other}`));
})"""


@pytest.mark.site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 1000, 400])
@pytest.mark.parametrize("name", ["full", "own"])
def test_it_is_whole_in_a_window(name: str, width: int, scheme: str, browser: Any, pages: dict[str, Path]) -> None:
    """No error, no request, nothing wider than its box, with all folds open; in a picture no text on another."""
    view = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    errors: list[str] = []
    requests: list[str] = []
    view.on("console", lambda message: errors.append(message.text))
    view.on("pageerror", lambda error: errors.append(str(error)))
    view.on("request", lambda request: requests.append(request.url))
    try:
        view.goto(pages[name].as_uri())
        view.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert errors == []
        assert requests == [pages[name].as_uri()]
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        assert view.evaluate(CUT) == []
        assert view.evaluate(OUTSIDE) == []
        assert view.evaluate(OVERLAP) == []
    finally:
        view.close()


@pytest.mark.site
@pytest.mark.parametrize("width", [1000, 400])
def test_the_keyboard_filters(width: int, browser: Any, pages: dict[str, Path]) -> None:
    """By text, by loss and by backend, each reached by the tabulator; and everything is back."""
    view = browser.new_page(viewport={"width": width, "height": 1000})

    def losses() -> list[str]:
        return list(view.locator("#overview tbody tr:visible td:first-child").all_inner_texts())

    def press(*keys: str) -> None:
        for key in keys:
            view.keyboard.press(key)

    everything = [*LOSSES, "(run)"]
    try:
        view.goto(pages["full"].as_uri())
        assert losses() == everything
        press("Tab", *"entropy")
        assert losses() == ["cross_entropy", "binary_cross_entropy_with_logits"]
        assert view.locator("output").inner_text() == "2 of 4 losses"
        press(*["Backspace"] * 7, "Tab", "h")
        assert losses() == ["huber"]
        assert view.locator("section > details:visible").count() == 1
        assert view.locator(".card:visible").count() == 0
        assert "Where built-ins deviate" not in view.locator("h2:visible").all_inner_texts()
        press("Tab", "j")
        assert view.locator("figure:visible figcaption").all_inner_texts() == ["jax"]
        assert view.locator(".failure:visible").count() == 0
        assert len(view.locator("#overview tbody td:visible").all()) == 2
        press("Tab", "Enter")
        view.wait_for_function("document.querySelector('output').value == '4 of 4 losses'")
        assert losses() == everything
        assert view.locator("figure:visible").count() == len(BACKENDS)
    finally:
        view.close()


@pytest.mark.site
def test_without_a_script_it_is_all_there(browser: Any, pages: dict[str, Path]) -> None:
    """And there is no filter that does nothing."""
    view = browser.new_page(java_script_enabled=False)
    try:
        view.goto(pages["full"].as_uri())
        assert view.locator("form").is_hidden()
        assert view.locator("#overview tbody tr:visible").count() == 4
        assert view.locator(".card:visible").count() == 2
    finally:
        view.close()
