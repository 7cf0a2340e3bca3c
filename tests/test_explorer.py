"""The loss explorer: what its page computes, in a browser, beside polyloss on NumPy; and whether it can be used."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import polyloss
from polyloss.core.domains import Domain
from polyloss_conformance import deviations
from polyloss_conformance.exact.numbers import mp
from polyloss_conformance.losses import LOSSES

from .browser import chromium
from .colours import contrast

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))
explorer = importlib.import_module("explorer")
recorder = importlib.import_module("recorder")
explorer_builtins = importlib.import_module("explorer_builtins")

pytestmark = pytest.mark.site

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
    with chromium() as found:
        yield found


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

    def notice(self) -> str:
        """What the page says is wrong."""
        found: str = self.page.locator("[role=alert]").text_content()
        return found

    def focused(self) -> str:
        """The label of what has the focus."""
        found: str = self.page.evaluate("document.activeElement.labels?.[0].textContent")
        return found

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
        _agree("second", settings, points[smooth], found["second"][smooth], second[smooth], bound[smooth])


def _agree(
    part: str, settings: Settings, points: NDArray[Any], found: NDArray[Any], truth: NDArray[Any], bound: NDArray[Any]
) -> None:
    __tracebackhide__ = True
    with np.errstate(invalid="ignore"):
        right = (np.abs(found - truth) <= bound) | (found == truth) | (np.isnan(found) & np.isnan(truth))
    assert right.all(), f"{part}, {settings}: at {points[~right]} {found[~right]}, and not {truth[~right]}"


# --------------------------------------------------------------------------------------------------- sliders and links


def _polyloss(name: str, x: float, **settings: Any) -> Any:
    """About value and gradient at a point, by polyloss on NumPy."""
    usual = next(explorer_builtins.settings_of(OFFERED[name]))
    found = explorer_builtins.exact(OFFERED[name], usual | settings, np.asarray([x]))
    return pytest.approx([float(part[0]) for part in found], rel=1e-12)


def test_a_slider_changes_what_it_says(opened: Any) -> None:
    """By its keys, the parameter, the target, the classes and the cursor; the numbers are those of polyloss."""
    view = opened("loss=huber&loss=cross_entropy&from=-4&to=4&at=3")
    assert view.numbers()["A"][:2] == _polyloss("huber", 3.0)
    view.press("delta", "PageUp", "ArrowRight", "ArrowRight")
    delta = float(view.page.get_by_label("delta", exact=True).input_value())
    assert delta > 1.02
    assert view.numbers()["A"][:2] == _polyloss("huber", 3.0, delta=delta)
    view.press("target", "ArrowRight")
    assert view.numbers()["A"][:2] == _polyloss("huber", 3.0, delta=delta, target=0.01)
    view.press("classes", "ArrowRight", "ArrowRight")
    assert view.numbers()["B"][:2] == _polyloss("cross_entropy", 3.0, classes=4)
    view.press("Cursor, x", "Home")
    assert view.numbers()["B"][:2] == _polyloss("cross_entropy", -4.0, classes=4)
    assert view.page.locator(".explorer-table caption").inner_text() == "At x = −4"


def test_a_box_takes_any_number_of_the_domain(opened: Any) -> None:
    """Exactly; one outside of the domain is marked, and changes nothing."""
    view = opened("loss=quantile&from=-4&to=4&at=3")
    box = view.page.get_by_label("q, exactly")
    box.fill("0.123456789")
    assert view.numbers()["A"][:2] == _polyloss("quantile", 3.0, q=0.123456789)
    for wrong in ("1", "-1", ""):
        box.fill(wrong)
        assert box.get_attribute("aria-invalid") == "true"
        assert view.numbers()["A"][:2] == _polyloss("quantile", 3.0, q=0.123456789)
    box.fill("0.5")
    assert box.get_attribute("aria-invalid") == "false"


def test_losses_come_and_go_by_the_keyboard(opened: Any) -> None:
    """Up to six; and the focus stays where it was."""
    view = opened("loss=mse")
    add = view.page.get_by_role("button", name="Add")
    view.page.get_by_label("Another loss").select_option("sigmoid_focal")
    add.press("Enter")
    assert list(view.numbers()) == ["A", "B"]
    view.press("with alpha", "Space")
    assert view.focused() == "with alpha"
    assert view.page.get_by_label("alpha", exact=True).input_value() == "0.25"
    view.press("gamma, exactly", "Control+a", "3")
    expected = _polyloss("sigmoid_focal", -8.0, gamma=3.0, alpha=0.25)
    assert view.numbers()["B"][:2] == expected
    view.page.get_by_role("button", name="Remove A, mse").press("Enter")
    assert view.numbers()["A"][:2] == expected
    assert view.focused() == "Another loss"
    for _ in range(5):
        add.press("Enter")
    assert list(view.numbers()) == list("ABCDEF")
    assert add.is_disabled()


def test_what_depends_on_a_choice_follows_it(opened: Any) -> None:
    """A logarithm of a rate may be below 0; a rate may not, and there is no loss."""
    view = opened("loss=poisson_nll,target=2&from=-4&to=4&at=-1")
    assert np.isnan(view.numbers()["A"]).all()
    view.press("log_rate", "ArrowDown")
    assert view.numbers()["A"][:2] == _polyloss("poisson_nll", -1.0, target=2.0, log_rate=True)
    assert view.focused() == "log_rate"


def test_a_link_keeps_the_choice(opened: Any) -> None:
    """Of losses, parameters, axes, cursor and built-in; and the address follows."""
    view = opened(MANY)
    view.page.get_by_label("y logarithmic").check()
    view.page.get_by_label("Cursor, x exactly").fill("1.25")
    view.page.locator("summary").first.click()
    view.page.get_by_label("built-in beside it").first.select_option("optax.softmax_cross_entropy_with_integer_labels")
    view.page.wait_for_function("document.querySelector('.explorer-link').hash === location.hash")
    other = opened(view.link())
    assert "A′" in other.numbers()
    assert str(other.numbers()) == str(view.numbers())
    assert other.link() == view.link()
    assert other.page.get_by_label("y logarithmic").is_checked()


def test_the_way_back_leads_to_what_was_there(opened: Any) -> None:
    """An example is a link; the button of the browser goes back."""
    view = opened("loss=mse,target=1&from=-4&to=4&at=1.5")
    view.page.get_by_role("link", name="A confident row").click()
    view.page.locator("[data-name='torch.cross_entropy']").wait_for()
    view.page.go_back()
    view.page.locator("[data-name='mse']").wait_for()
    assert view.numbers()["A"] == [0.25, 1.0, 2.0]


def test_every_example_is_drawn(opened: Any) -> None:
    view = opened()
    examples = view.page.locator("p a[href*='loss=']").all()
    for example in examples[:-1]:
        example.click()
        first = str(example.get_attribute("href")).removeprefix("#loss=").partition("&")[0].partition(",")[0]
        view.page.locator(f"tr[data-line=A][data-name={first}]").wait_for()
        assert view.notice() == ""
        assert np.isfinite([numbers[:2] for numbers in view.numbers().values()]).all()


@pytest.mark.parametrize("name", OFFERED)
def test_the_link_of_a_page_opens_its_loss(name: str, opened: Any) -> None:
    """With its default parameters, along the line of its curves."""
    fragment = explorer.link(name).partition("#")[2]
    view = opened(fragment)
    assert view.notice() == ""
    assert view.page.locator(f"tr[data-line=A][data-name={name}]").count() == 1
    assert np.isfinite(view.numbers()["A"][:2]).all()


@pytest.mark.parametrize("curve", explorer.builtins()["curves"], ids=lambda curve: f"{curve['loss']} {curve['name']}")
def test_a_link_names_any_built_in(curve: Mapping[str, Any], computing: View) -> None:
    found = computing.page.evaluate(
        "words => { const { state, wrong } = model.read(words); return [state.curves[0].beside, wrong] }",
        f"loss={curve['loss']},beside={curve['name']}",
    )
    assert found == [curve["name"], []]


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ("loss=mse&loss=nothing", "there is no loss nothing here"),
        ("loss=huber,delta=-1", "huber has no delta=-1"),
        ("loss=huber,gamma=1", "huber has no gamma=1"),
        ("loss=cross_entropy,classes=2.5", "cross_entropy has no classes=2.5"),
        ("loss=mse&from=3&to=1", "to must be above from, got 3 and 1"),
        ("loss=mse&at=here", "at must be a number, got here"),
        ("loss=mse&up=down", "up must be linear or log, got down"),
    ],
)
def test_what_is_wrong_in_a_link_is_said(fragment: str, words: str, opened: Any) -> None:
    """And the rest of it is shown."""
    view = opened(fragment)
    assert view.notice() == f"Left out: {words}."
    assert view.page.locator(".explorer-picture svg").count() == 3


# -------------------------------------------------------------------------------------------------------- the pictures


def test_where_float32_rounds_to_0_is_seen(opened: Any) -> None:
    """From a margin of 17 on, the built-in is on the line of what is exactly 0, and our curve is above it and falls."""
    view = opened(PLATEAU)
    numbers = view.numbers()
    assert numbers["A"] == pytest.approx([4.139938e-8, -4.139938e-8, 4.139938e-8], rel=1e-6)
    assert numbers["A′"][:2] == [0.0, 0.0]
    paths = {
        line: [tuple(map(float, point.split())) for point in path[1:].split("L")]
        for line, path in view.page.locator(".explorer-picture svg").first.evaluate(
            "svg => [...svg.querySelectorAll('path[data-line]')].map(one => [one.dataset.line, one.getAttribute('d')])"
        )
    }
    start, end = paths["A"][0][0], paths["A"][-1][0]
    far = start + (end - start) * 17 / 30 - 0.1
    bottom = max(y for _, y in paths["A′"])
    assert {y for x, y in paths["A′"] if x >= far} == {bottom}
    ours = [y for x, y in paths["A"] if x >= far]
    assert ours == sorted(ours)
    assert max(ours) < bottom - 5


def test_a_built_in_is_where_it_was_measured(opened: Any) -> None:
    """Other parameters are those of our curve alone, which is said."""
    view = opened("loss=huber,delta=2")
    view.page.get_by_label("built-in beside it").select_option("optax.huber_loss")
    assert view.page.get_by_label("delta", exact=True).input_value() == "1"
    assert view.notice() == ""
    view.press("delta", "ArrowRight")
    assert view.notice() == "The points of optax.huber_loss are those of target 0, delta 1."


def test_the_cursor_follows_a_click(opened: Any) -> None:
    view = opened("loss=mse&from=-4&to=4&at=0")
    view.page.locator(".explorer-picture svg").nth(1).click(position={"x": 300, "y": 100})
    x = float(view.page.get_by_label("Cursor, x exactly").input_value())
    assert -4 < x < 0
    assert view.numbers()["A"] == pytest.approx([x * x, 2 * x, 2], rel=1e-12)


@pytest.mark.parametrize("key", ["across", "up"])
def test_an_axis_may_be_logarithmic(key: str, opened: Any) -> None:
    """Of powers of 10 apart, marks are equally far apart."""
    view = opened(f"loss=mse&from=0.001&to=1000&at=1&{key}=log")
    place = "x" if key == "across" else "y"
    ticks = view.page.locator(".explorer-picture svg").first.evaluate(
        """(svg, place) => [...svg.querySelectorAll(".explorer-text text")]
            .filter(one => (one.getAttribute("text-anchor") === "middle") === (place === "x"))
            .map(one => [Number(one.textContent.replace("−", "-")), Number(one.getAttribute(place))])""",
        place,
    )
    ticks = [(value, at) for value, at in ticks if value > 0]
    assert len(ticks) > 2
    away = np.diff([at for _, at in ticks]) / np.diff(np.log10([value for value, _ in ticks]))
    np.testing.assert_allclose(away, away[0], rtol=1e-6)


OVERLAPPING = """() => [...document.querySelectorAll(".explorer-picture svg")].flatMap(svg => {
    const boxes = [...svg.querySelectorAll("text")].map(one => [one.textContent, one.getBoundingClientRect()]);
    const frame = svg.getBoundingClientRect();
    const cut = boxes.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1
        || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom;
    const over = boxes.flatMap(([one, a], k) => boxes.slice(k + 1).filter(([, b]) => meet(a, b))
        .map(([other]) => `${one} over ${other}`));
    return [...cut.map(([one]) => `${one} is cut`), ...over];
})"""
WIDER = """() => [...document.querySelectorAll("body *")].filter(one => one.checkVisibility()
    && one.getBoundingClientRect().right > window.innerWidth + 1).map(one => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("fragment", ["", PLATEAU, MANY], ids=["start", "plateau", "many"])
def test_nothing_is_cut_or_on_something_else(fragment: str, width: int, opened: Any) -> None:
    view = opened(fragment, width=width)
    view.page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
    assert view.page.evaluate("document.documentElement.scrollWidth") <= width
    assert view.page.evaluate(WIDER) == []
    assert view.page.evaluate(OVERLAPPING) == []


# -------------------------------------------------------------------------------------------------------- for everybody


def test_the_rest_of_the_page_stays(opened: Any) -> None:
    """A section has an id of its heading's words, which is not where the explorer goes."""
    assert opened().page.get_by_role("heading", level=1).inner_text() == "Loss explorer"


def test_everything_has_a_name_and_the_keyboard_reaches_it(opened: Any) -> None:
    """Each control has a label, each picture a name; the focus is seen."""
    view = opened(MANY)
    view.page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
    nameless = """() => [...document.querySelectorAll("#explorer-here :is(input, select, button, a)")]
        .filter(one => !(one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim()))
        .map(one => one.outerHTML)"""
    assert view.page.evaluate(nameless) == []
    ids = view.page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    names = [view.page.get_by_role("img", name=name).count() for name in ("Value", "Gradient", "Second derivative")]
    assert names == [1, 1, 1]
    waiting = view.page.locator("#explorer-here :is(input, select, summary, a[href], button:enabled)").count()
    reached = set()
    for _ in range(waiting):
        view.page.keyboard.press("Tab")
        place, *outline = view.page.evaluate(
            """() => { const one = document.activeElement; const { outlineStyle, outlineWidth } = getComputedStyle(one);
            return [[...document.querySelectorAll("#explorer-here *")].indexOf(one), outlineStyle, outlineWidth] }"""
        )
        assert outline == ["solid", "3px"]
        reached.add(place)
    assert len(reached) == waiting
    assert -1 not in reached


def test_a_screen_reader_is_told_the_numbers(opened: Any) -> None:
    """Once nothing has changed for a moment."""
    view = opened("loss=mse&from=-4&to=4&at=1.5")
    status = view.page.get_by_role("status")
    assert status.inner_text() == "At x = 1.5: mse value 2.25, gradient 3, second derivative 2"
    view.press("Cursor, x", "End")
    view.page.wait_for_function("document.querySelector('[role=status]').textContent.startsWith('At x = 4:')")
    assert status.inner_text() == "At x = 4: mse value 16, gradient 8, second derivative 2"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_curves_are_told_apart_without_colours(theme: str, opened: Any) -> None:
    """By dashes and labels; and each colour is seen on the background, as text has to be (WCAG: 4.5)."""
    view = opened(MANY, theme=theme)
    dashes = view.page.locator(".explorer-picture svg").first.evaluate(
        "svg => [...svg.querySelectorAll('path[data-line]')].map(one => one.getAttribute('stroke-dasharray'))"
    )
    assert len(set(dashes)) == len(dashes) == 6
    colors = view.page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor, ...[...document.querySelector(
            ".explorer-picture").querySelectorAll("path[data-line]")].map(one => getComputedStyle(one).color)]"""
    )
    assert len(colors) == 7
    background, *lines = ([int(part) for part in color.strip("rgb()").split(",")] for color in colors)
    for line in lines:
        assert contrast(line, background) >= 4.5


# ------------------------------------------------------------------------------------------- what the page is made of


@pytest.mark.parametrize("curve", explorer.builtins()["curves"], ids=lambda curve: f"{curve['loss']} {curve['name']}")
def test_a_built_in_that_is_shown_differs_as_recorded(curve: Mapping[str, Any]) -> None:
    """It is in the table of deviations, and its points are off."""
    assert curve["name"] in {builtin for entry in deviations.load() for builtin in entry.builtin}
    loss, points = OFFERED[curve["loss"]], np.asarray(curve["x"])
    assert (points.astype(np.float32) == points).all()
    value, gradient = explorer_builtins.exact(loss, curve["settings"], points)
    found = [np.asarray(list(map(float, curve[part]))) for part in ("value", "gradient")]
    assert explorer_builtins.differs(found[0], value) or explorer_builtins.differs(found[1], gradient)


def test_every_elementwise_loss_and_every_one_of_a_class_is_offered() -> None:
    """A loss that is not here has more than one number to change."""
    assert {name for name in LOSSES if not getattr(polyloss, name).row} <= OFFERED.keys()
    assert {"cross_entropy", "softmax_focal", "multiclass_sparsemax"} <= OFFERED.keys()
    assert not {"ctc", "dice", "cosine_distance", "info_nce"} & OFFERED.keys()


def test_what_cannot_be_written_down_is_refused() -> None:
    """A kernel that looks at values, or at axes that there are not."""
    arrays, rows = {"x": (explorer.ELEMENT, recorder.FLOAT)}, {"x": (explorer.ROW, recorder.FLOAT)}
    with pytest.raises(recorder.UnrecordableError, match="values"):
        recorder.record(lambda xp, x: (x, lambda: x) if x > 0 else (x, lambda: -x), arrays, {})
    with pytest.raises(recorder.UnrecordableError, match="sum along axis -1"):
        recorder.record(lambda xp, x: (xp.sum(x, axis=-1), lambda: x), arrays, {})
    with pytest.raises(recorder.UnrecordableError, match="shapes"):
        recorder.record(lambda xp, x: (x + xp.sum(x, axis=-1), lambda: x), rows, {})


def test_what_is_done_twice_is_written_down_once() -> None:
    graph = recorder.record(lambda xp, x: (x * x + x * x, lambda: x), {"x": (explorer.ELEMENT, recorder.FLOAT)}, {})
    assert graph == {"nodes": [["input", "x"], ["mul", 0, 0], ["add", 1, 1]], "results": [2, 0]}
