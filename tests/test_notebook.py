"""What a notebook shows of a loss: formula, parameters and curves, of any loss, by polyloss alone and at no risk."""

import re
import subprocess
import sys
import time
import warnings
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import polyloss
import polyloss.distributed
from polyloss.core.declare import regionwise
from polyloss.display import notebook

from .colours import contrast

LOSSES = {name: one for name, one in vars(polyloss).items() if isinstance(one, polyloss.Loss)}
MOST_SECONDS = 0.05
"""What a repr may take."""


def shown(loss: Any) -> ElementTree.Element:
    """What a notebook shows, as elements: it is XML too, so nothing is left open or unescaped."""
    return ElementTree.fromstring(loss._repr_html_())


def text(element: ElementTree.Element) -> str:
    return "".join(element.itertext())


def cells(loss: Any) -> list[list[str]]:
    """The rows of its tables, without their headings."""
    return [[text(cell) for cell in row] for row in shown(loss).iter("tr") if row.find("td") is not None]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_shown(name: str) -> None:
    """With its formula, each parameter and its value, and two curves with numbers at their axes."""
    loss = LOSSES[name]
    found = shown(loss)
    assert name in text(found)
    assert found.findall(".//math")
    assert [row[:2] for row in cells(loss)] == [
        [parameter, repr(loss.defaults[parameter])] for parameter in loss.parameters
    ]
    pictures = found.findall(".//svg/g")
    assert [text(one).startswith(title) for one, title in zip(pictures, ("value", "slope"), strict=True)] == [True] * 2
    assert all(len(one.findall("text")) > 5 for one in pictures)
    assert (loss._repr_latex_() or "").startswith("$$\\ell")


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_is_asked_of_a_network_and_nothing_runs(name: str) -> None:
    html = LOSSES[name]._repr_html_()
    assert html is not None
    assert not re.search(r"https?:|<script|<link|<style|\bid=|\bsrc=|\bhref=|url\(", html)


@pytest.mark.parametrize("name", LOSSES)
def test_it_is_quick(name: str) -> None:
    """Of five times the best, and not the first one, which imports what it needs."""
    loss = LOSSES[name]
    loss._repr_html_()
    seconds = []
    for _ in range(5):
        start = time.process_time()
        loss._repr_html_()
        seconds.append(time.process_time() - start)
    assert min(seconds) < MOST_SECONDS


def drawn(loss: Any, panel: int = 0, curve: int = 0) -> list[tuple[float, float]]:
    """The points of a curve, in the units of the picture."""
    picture = shown(loss).findall(".//svg/g")[panel]
    path = picture.findall("svg/path")[curve].attrib["d"]
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]


def test_the_curve_is_that_of_the_parameters() -> None:
    """Beyond delta the slope is constant, which is higher up by as much as delta is larger."""
    for delta in (1.0, 2.0):
        points = drawn(polyloss.huber.partial(delta=delta), panel=1)
        # From -4 to 6, and the target is 1.
        flat = [y for x, y in points if x / notebook._WIDTH * 10 - 4 > 1.2 + delta]
        assert len(set(flat)) == 1
        assert len({y for x, y in points if 1 - delta < x / notebook._WIDTH * 10 - 4 < 1 + delta}) > 10


def test_a_partial_shows_its_parameters() -> None:
    assert cells(polyloss.huber.partial(delta=2.0)) == [["delta", "2.0", "positive"]]
    assert cells(polyloss.huber.partial(delta=np.asarray([1.0, 2.0])))[0][1] == "ndarray(shape=(2,))"


def test_a_sum_shows_its_terms_and_one_curve() -> None:
    """Two terms with other parameters are two."""
    total = 0.7 * polyloss.mse + 0.2 * polyloss.huber.partial(delta=2.0) + 0.1 * polyloss.huber
    found = shown(total)
    assert "0.7 * mse + 0.2 * huber(delta=2.0) + 0.1 * huber" in text(found)
    assert [text(one) for one in found.iter("b")] == ["mse", "huber(delta=2.0)", "huber"]
    assert [row[1] for row in cells(total)] == ["2.0", "1.0"]
    assert len(found.findall(".//svg/g")) == 2
    # The formulas of its terms are none of a sum, nor of a multiple.
    assert (0.7 * polyloss.mse + 0.3 * polyloss.l1)._repr_latex_() is None
    assert (3.0 * polyloss.huber)._repr_latex_() is None


def test_terms_of_elements_and_of_rows_have_no_line_in_common() -> None:
    assert shown(polyloss.huber + polyloss.cross_entropy).findall(".//svg") == []


def test_the_ends_of_a_target_have_a_curve_each() -> None:
    found = shown(polyloss.hinge)
    assert [len(one.findall("svg/path")) for one in found.findall(".//svg/g")] == [2, 2]
    assert "solid: target = 1; dashed: target = -1." in text(found)


def test_a_loss_of_several_devices_is_shown_as_that_of_one() -> None:
    """Whatever the group is, which nobody asks."""
    loss = polyloss.distributed.data_parallel(
        polyloss.distributed.sharded(polyloss.cross_entropy.partial(label_smoothing=0.1), "classes"), "examples"
    )
    found = shown(loss)
    assert "data_parallel" in text(found)
    assert cells(loss) == cells(polyloss.cross_entropy.partial(label_smoothing=0.1))
    assert len(found.findall(".//svg/g")) == 2


@polyloss.elementwise(scale=polyloss.POSITIVE)
def cauchy(xp: Any, /, prediction: Any, target: Any, *, scale: float = 1.0, **call: Any) -> Any:
    r"""Cauchy's loss, for all errors <b>, `scale` & more.

    .. math:: \ell = \log\left(1 + \frac{(x - t)^2}{s^2}\right)
    """
    ratio = (prediction - target) / scale
    slope = 2.0 * ratio / (1.0 + ratio * ratio) / scale
    return xp.log1p(ratio * ratio), lambda: slope, lambda: -slope


def test_a_loss_of_ones_own_is_shown() -> None:
    """With the formula of its docstring, in which nothing is markup."""
    found = shown(cauchy)
    assert "Cauchy's loss, for all errors <b>, scale & more." in text(found)
    assert found.findall(".//math")
    assert cells(cauchy) == [["scale", "1.0", "positive"]]
    assert len(found.findall(".//svg/g")) == 2


def test_what_is_no_formula_of_ours_is_shown_as_it_is_written() -> None:
    @polyloss.elementwise
    def odd(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        r"""Odd.

        .. math:: \ell = \overset{<}{x}
        """
        error = prediction - target
        return error * error, lambda: 2.0 * error, lambda: -2.0 * error

    assert r"\ell = \overset{<}{x}" in [text(one) for one in shown(odd).iter("code")]


def without_a_curve() -> list[Any]:
    @polyloss.elementwise
    def required(xp: Any, /, prediction: Any, target: Any, *, scale: float, **call: Any) -> Any:
        error = (prediction - target) / scale
        return error * error, lambda: 2.0 * error / scale, lambda: -2.0 * error / scale

    @polyloss.elementwise
    def broken(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        raise RuntimeError("no such thing")

    @polyloss.elementwise
    def exits(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        raise SystemExit(3)

    @polyloss.elementwise
    def warning(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        warnings.warn("beware", UserWarning, stacklevel=1)
        return prediction

    five = polyloss.cross_entropy.partial(class_weight=np.ones(5))
    return [required, broken, exits, warning, five]


@pytest.mark.parametrize("loss", without_a_curve(), ids=lambda loss: loss.__name__)
def test_what_has_no_curve_is_shown_without(loss: Any) -> None:
    """Nothing is said of it, and nothing is raised or warned of."""
    found = shown(loss)
    assert loss.__name__ in text(found)
    assert not found.findall(".//svg")


@polyloss.elementwise(autodiff=True)
def value_alone(xp: Any, /, prediction: Any, target: Any, *, power: float = 4.0, **call: Any) -> Any:
    return xp.abs(prediction - target) ** power


def test_a_loss_without_a_docstring_says_nothing_of_itself() -> None:
    """What is added to docstrings is no summary, nor is a formula that comes first."""
    assert [text(one) for one in shown(value_alone).findall("div")] == [
        "<polyloss loss value_alone>",
        "Against prediction; target 1; slope by difference quotients.",
    ]

    @polyloss.elementwise
    def formula_first(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        r""".. math:: \ell = x - t

        A difference.
        """
        return prediction - target, lambda: 1.0 + 0.0 * prediction, lambda: -1.0 + 0.0 * prediction

    assert "A difference." in [text(one) for one in shown(formula_first).findall("div")]
    assert ".. math" not in text(shown(formula_first))


def test_what_is_left_to_a_framework_has_its_curves() -> None:
    """Of the value, and of the slope as the value tells it: here, that of the mean squared error."""
    square = value_alone.partial(power=2.0)
    assert drawn(square) == drawn(polyloss.mse)
    found, exact = drawn(square, panel=1), drawn(polyloss.mse, panel=1)
    assert [x for x, _ in found] == [x for x, _ in exact]
    assert max(abs(one - other) for (_, one), (_, other) in zip(found, exact, strict=True)) <= 0.1001  # a last digit


def test_what_is_left_to_a_framework_has_curves_to_the_ends_of_its_range() -> None:
    @regionwise(autodiff=True, prediction=polyloss.UNIT, target=polyloss.UNIT)
    def region(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        return xp.sum((prediction - target) ** 2, axis=-1)

    assert len(drawn(region, panel=1)) == notebook.POINTS


def test_a_long_sum_is_cut() -> None:
    """In its name, in its repr and in what is shown of it."""
    total = polyloss.LossSum([(1.0, polyloss.huber.partial(delta=1.0 + number)) for number in range(300)])
    assert repr(total).endswith("huber(delta=12.0) + 288 more>")
    assert total.__name__.endswith("huber + 288 more")
    found = shown(total)
    assert len(cells(total)) == len(found.findall(".//b")) == 12
    assert "and 288 more" in [text(one) for one in found.findall("div")]
    assert len(repr(polyloss.huber.partial(delta=1.0) + 2 * total)) < 1000


def test_a_long_parameter_is_cut() -> None:
    class Distance:
        def __call__(self, one: Any, other: Any) -> Any:
            return abs(one - other)

        def __repr__(self) -> str:
            return "0" * 1000

    assert len(repr(polyloss.triplet_margin.partial(distance=Distance()))) < 200


@pytest.mark.parametrize(
    ("formula", "latex"),
    [
        (r"\ell = x", r"$$\ell = x$$"),
        (r"\ell = \overset{t}{x}", r"$$\ell = \overset{t}{x}$$"),
        (r"x $$ <script>", None),
        (r"\ell <b>x</b>", r"$$\ell < b>x< /b>$$"),
    ],
)
def test_a_formula_is_a_formula_and_nothing_else(formula: str, latex: str | None) -> None:
    """Where LaTeX is shown, nothing in it ends the formula or begins a tag."""

    def odd(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        return prediction - target

    odd.__doc__ = f"Odd.\n\n.. math:: {formula}"
    assert polyloss.elementwise(odd)._repr_latex_() == latex


def test_an_interrupt_is_no_failure() -> None:
    """Who waits for a slow kernel may stop it."""

    @polyloss.elementwise
    def slow(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        slow._repr_html_()


def test_a_repr_never_raises() -> None:
    class Strange(polyloss.LossSum):
        def __repr__(self) -> str:
            raise RuntimeError("nobody knows")

    strange = Strange([(1.0, polyloss.mse)])
    assert strange._repr_html_() is None
    # Its formula does not need a name.
    assert strange._repr_latex_() == polyloss.mse._repr_latex_()
    assert notebook.html(3) is None
    assert notebook.latex(3) is None


def test_a_repr_is_no_call() -> None:
    """No plan of it is remembered."""
    loss = polyloss.huber.partial(delta=2.0)
    assert loss._repr_html_() is not None
    assert not loss._plans
    loss(np.asarray([3.0]), np.asarray([1.0]))
    assert loss._plans


@pytest.mark.parametrize("background", ["#ffffff", "#1e1e1e", "#111111"], ids=["light", "VS Code dark", "Jupyter dark"])
def test_the_curves_are_seen_in_light_and_dark(background: str) -> None:
    """As well as graphics have to be (WCAG: 3)."""
    for colour in notebook.COLOURS.values():
        assert contrast(bytes.fromhex(colour[1:]), bytes.fromhex(background[1:])) >= 3


def test_polyloss_alone_is_enough() -> None:
    """Neither what draws the site nor a framework is imported, and nothing of this before there is a repr."""
    code = (
        "import sys, polyloss\n"
        "assert not [name for name in sys.modules if name.startswith('polyloss.display')]\n"
        "assert '<svg' in polyloss.huber._repr_html_()\n"
        "assert '<svg' in (0.7 * polyloss.mse + 0.3 * polyloss.l1)._repr_html_()\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "others = 'polyloss_conformance matplotlib rich torch jax tensorflow keras'\n"
        "assert not roots & set(others.split()), roots\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


@pytest.mark.torch
def test_a_module_is_shown_with_its_parameters() -> None:
    """Tensors too, and those of the terms of a sum."""
    torch = pytest.importorskip("torch")
    import polyloss_torch

    assert cells(polyloss_torch.Huber(delta=2.0)) == [["delta", "2.0", "positive"]]
    learned = polyloss_torch.Huber(delta=torch.nn.Parameter(torch.tensor(0.5)))
    assert cells(learned) == [["delta", "0.5", "positive"]]
    assert drawn(learned) == drawn(polyloss.huber.partial(delta=0.5))
    assert text(shown(learned)).startswith("Huber(delta=")
    assert learned._repr_latex_() == polyloss.huber._repr_latex_()
    total = polyloss_torch.module(0.5 * polyloss.huber + polyloss.mse, reduction="sum")
    assert len(shown(total).findall(".//svg/g")) == 2
    both = 0.5 * polyloss_torch.Huber(delta=2.0) + polyloss.l1
    assert drawn(both) == drawn(0.5 * polyloss.huber.partial(delta=2.0) + polyloss.l1)
    assert both._repr_latex_() == (0.5 * polyloss.huber + polyloss.l1)._repr_latex_()
    weights = polyloss_torch.CrossEntropy(class_weight=torch.ones(5))
    assert cells(weights)[0][:2] == ["class_weight", "ndarray(shape=(5,))"]
    assert polyloss_torch.module(torch.nn.L1Loss())._repr_html_() is None


@pytest.mark.keras
def test_an_object_of_keras_is_shown_with_its_parameters() -> None:
    pytest.importorskip("keras")
    import polyloss_keras

    loss = polyloss_keras.Huber(delta=2.0)
    assert cells(loss) == [["delta", "2.0", "positive"]]
    assert drawn(loss) == drawn(polyloss.huber.partial(delta=2.0))
    assert loss._repr_latex_() == polyloss.huber._repr_latex_()
    total = 0.5 * polyloss.huber + polyloss.mse
    assert drawn(polyloss_keras.KerasLoss(total)) == drawn(total)
