"""The loss explorer: what its page computes, in a browser, beside polyloss on NumPy; and whether it can be used."""

import importlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from polyloss.core.domains import Domain
from polyloss_conformance.exact.numbers import mp
from polyloss_conformance.losses import LOSSES

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))
explorer = importlib.import_module("explorer")
recorder = importlib.import_module("recorder")
explorer_builtins = importlib.import_module("explorer_builtins")

pytestmark = pytest.mark.site

OFFLINE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PLATEAU = "loss=cross_entropy,beside=torch.cross_entropy&from=0&to=30&at=17&up=log"
MANY = (
    "loss=cross_entropy,classes=10&loss=softmax_focal,classes=10,gamma=1.5&loss=generalized_cross_entropy"
    "&loss=binary_cross_entropy_with_logits&loss=multi_margin,power=2&loss=sigmoid_focal,alpha=0.25&from=-6&to=6&at=1"
)
OFFERED: dict[str, Any] = explorer.offered()
Settings = Mapping[str, Any]


# --------------------------------------------------------------------------------------------------------- the page


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The explorer as a page of its own."""
    page: Path = explorer.write_page(tmp_path_factory.mktemp("explorer"))
    return page.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium here")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=list(OFFLINE))
        yield found
        found.close()


class View:
    """The page in a window, and what it has shown so far that it should not."""

    def __init__(self, browser: Any, address: str, fragment: str = "", width: int = 1400, theme: str = "light") -> None:
        self.errors: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 1000})
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._asked)
        self.page.goto(f"{address}#{fragment}" if fragment else address)
        self.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.errors.append(request.url)

    def numbers(self) -> dict[str, list[float]]:
        """Value, gradient and second derivative at the cursor, by the letter of the line."""
        found: dict[str, list[float]] = self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll(".explorer-table tbody tr")].map(
                row => [row.dataset.line, [...row.querySelectorAll("data")].map(one => one.value)]))"""
        )
        return {line: list(map(float, numbers)) for line, numbers in found.items()}

    def press(self, label: str, *keys: str) -> None:
        """Keys, with the focus on what a label belongs to."""
        self.page.get_by_label(label, exact=True).first.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def link(self) -> str:
        found: str = self.page.get_by_role("link", name="Link to this view").get_attribute("href")
        return found.removeprefix("#")


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page; no view may have shown an error, or asked a network."""
    views: list[View] = []

    def view(*args: Any, **keywords: Any) -> View:
        views.append(View(browser, address, *args, **keywords))
        return views[-1]

    yield view
    for one in views:
        one.page.close()
    assert [error for one in views for error in one.errors] == []


@pytest.fixture(scope="module")
def computing(browser: Any, address: str) -> Iterator[View]:
    """A view that is asked for numbers alone."""
    view = View(browser, address)
    yield view
    view.page.close()


# ------------------------------------------------------------------------------------------------------ the numbers


def _values(domain: Domain) -> list[float]:
    """Some numbers of a domain, which are the same in float32: exact rules take others for rounded."""
    return [x for x in (-1.0, 0.0, 0.25, 1.0, 2.5) if domain.holds(x)]


def _choices(name: str) -> dict[str, list[Any]]:
    """What is tried of each setting of a loss, its default first."""
    loss = OFFERED[name]
    usual = next(explorer_builtins.settings_of(loss))
    found: dict[str, list[Any]] = {"classes": [2, 3, 10]} if loss.row else {}
    for key in usual.keys() - {"classes"}:
        domain = loss.domains.get(key, Domain())
        forms = [None if key in loss.optional else usual[key], *_values(domain), *domain.special]
        found[key] = explorer.forms_of(loss, key) if key in loss.static else list(dict.fromkeys(forms))
    return found


def _settings(name: str) -> list[dict[str, Any]]:
    """The default, each other choice by itself, and some combinations of all of them."""
    choices = _choices(name)
    usual = {key: values[0] for key, values in choices.items()}
    found = [usual]
    found += [usual | {key: value} for key, values in choices.items() for value in values[1:]]
    random = np.random.default_rng(0)
    found += [{key: values[random.integers(len(values))] for key, values in choices.items()} for _ in range(12)]
    return [one for one in found if _admits(name, one)]


def _domain(name: str, array: str, settings: Settings) -> Domain:
    domain: Domain = OFFERED[name].domains.get(array, Domain())
    return (domain.instead or Domain()) if domain.unless and settings[domain.unless] else domain


def _admits(name: str, settings: Settings) -> bool:
    arrays = OFFERED[name].arrays[1:]
    return all(_domain(name, array, settings).holds(settings[array]) for array in arrays if array in settings)


def _points(name: str, settings: Settings) -> NDArray[Any]:
    """Points of the domain: none of them at a kink, but all sizes."""
    tiny = 10.0 ** -np.arange(1.0, 9.0, 2.0)
    points = np.concatenate(
        [np.linspace(-7.3, 7.3, 23), 0.4321 * tiny, -0.4321 * tiny, 1 - 0.4321 * tiny, [17.0, 31.0]]
    )
    domain = _domain(name, OFFERED[name].arrays[0], settings)
    return np.asarray([x for x in points if domain.holds(float(x))])


def _asked(view: View, name: str, settings: Settings, points: NDArray[Any]) -> dict[str, NDArray[Any]]:
    found = view.page.evaluate(
        """([name, settings, points]) => Object.fromEntries(Object.entries(model.compute(name, settings, points))
            .map(([part, numbers]) => [part, Array.from(numbers, String)]))""",
        [name, dict(settings), points.tolist()],
    )
    return {part: np.asarray(list(map(float, numbers))) for part, numbers in found.items()}


def _second(name: str, settings: Settings, x: float) -> float:
    """The second derivative by the first array, from the suite's exact gradient: NaN where there is a kink near."""
    loss, rule, step = OFFERED[name], LOSSES[name].exact, mp.mpf(10) ** -20
    assert callable(rule)
    parameters = {key: settings[key] for key in explorer.numbers_of(loss)}
    for key, value in parameters.items():
        if value is not None and "c" in loss.arguments[key].dims[0] and key not in loss.static:
            parameters[key] = [mp.mpf(value)] * settings["classes"]

    def gradient(at: Any) -> Any:
        if loss.row:
            row = [at, *[mp.mpf(0)] * (settings["classes"] - 1)]
            found = rule(row, 0, **parameters)
            return found.gradients[0][0], found.kink
        others = [mp.mpf(settings[key]) for key in loss.arrays[1:]]
        found = rule(at, *others, **parameters)
        return found.gradients[0], found.kink

    here, kink = gradient(mp.mpf(x))
    there, other_kink = gradient(mp.mpf(x) + step)
    return float("nan") if kink or other_kink else float((there - here) / step)


@pytest.mark.parametrize("name", OFFERED)
def test_the_page_computes_what_polyloss_computes(name: str, computing: View) -> None:
    """The value to 1e-12, and the gradient, of NumPy's; the second derivative to 1e-9 of the exact one.

    A gradient that passes 0 has the rounding of what it is the difference of, that of numbers around 1: as if the point
    had been rounded so. And a second derivative that is far smaller than the gradient has the rounding of that.
    """
    eps = np.finfo(np.float64).eps
    for settings in _settings(name):
        points = _points(name, settings)
        found = _asked(computing, name, settings, points)
        value, gradient = explorer_builtins.exact(OFFERED[name], settings, points)
        second = np.asarray([_second(name, settings, x) for x in points])
        _agree("value", settings, points, found["value"], value, 1e-12 * np.abs(value))
        bound = 1e-12 * np.abs(gradient) + 4 * eps * np.nan_to_num(np.abs(second))
        _agree("gradient", settings, points, found["gradient"], gradient, bound)
        smooth = np.isfinite(second) & np.isfinite(gradient)
        bound = 1e-9 * np.abs(second) + 4 * eps * np.abs(gradient)
        _agree(
            "second",
            settings,
            points,
            np.where(smooth, found["second"], np.nan),
            np.where(smooth, second, np.nan),
            bound,
        )


def _agree(
    part: str, settings: Settings, points: NDArray[Any], found: NDArray[Any], truth: NDArray[Any], bound: NDArray[Any]
) -> None:
    __tracebackhide__ = True
    with np.errstate(invalid="ignore"):
        right = (np.abs(found - truth) <= bound) | (found == truth) | (np.isnan(found) & np.isnan(truth))
    assert right.all(), f"{part}, {settings}: at {points[~right]} {found[~right]}, and not {truth[~right]}"
