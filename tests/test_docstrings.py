"""Docstrings: every public name has its sections, every parameter is described, every example runs."""

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Unpack, is_typeddict

import pytest

import polyloss
from polyloss.core import docstrings
from polyloss.core.typing import Call, RowCall

pytestmark = pytest.mark.docs

PUBLIC = {name: getattr(polyloss, name) for name in vars(polyloss)["__all__"]}
LOSSES = [name for name, value in PUBLIC.items() if isinstance(value, polyloss.Loss)]
DOCUMENTED = [n for n, v in PUBLIC.items() if callable(v) and not n.isupper() and not is_typeddict(v)]
MODULES = sorted(
    ".".join(("polyloss", *path.relative_to(Path(polyloss.__file__).parent).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    for path in Path(polyloss.__file__).parent.rglob("*.py")
    if path.name != "__main__.py"
)
OLDER_THAN_PAPERS = {"mse", "l1"}


WRITTEN = {
    "positive": r": positive\b",
    "zero or positive and finite": r"zero or positive and finite",
    "zero or positive": r"\\ge 0|[Zz]ero or positive",
    "in [0, 1]": r"\[0, 1\]|\b0 or 1\b",
    "-1 or 1": r"-1 and 1\b",
    "above -1": r"above -1\b",
    "at most 0 (0.1 for rounding)": r"at most 0[;,] up to\s+0\.1 passes for rounding",
    "class ids in [0, C)": r"class ids in \[0, C\)\.$",
    "probabilities in [0, 1]": r"class ids in \[0, C\)\. Real floating: probabilities in \[0, 1\]",
}
"""Each range of an array, as messages say it, and how authors of docstrings do."""
RANGE = re.compile(r"[<>] -?\d|\\[gl]e\b|\b[Ii]n [\[(]-?\d|[Zz]ero or positive|at (least|most) \d|, positive\b")
"""How they would say that of a parameter."""


def sections(value: Any) -> dict[str, str]:
    """The text of each section of a docstring, by title; the summary under ''."""
    return dict(docstrings.split(inspect.getdoc(value) or ""))


def entry(text: str, name: str) -> str:
    """What a section of parameters says of one."""
    found = re.search(rf"^(?:\w+, )*{name}(?:, \w+)*(?: : .*)?\n(?:    .*\n)*", text + "\n", flags=re.MULTILINE)
    assert found is not None, f"nothing is said of {name}"
    return found[0]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str) -> None:
    if module.startswith("polyloss.compat."):
        pytest.importorskip({"keras": "keras"}.get(module.rpartition(".")[2], "numpy"))
    loaded = importlib.import_module(module)
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = {test.name: test for test in finder.find(loaded)}
    for name, value in vars(loaded).items():
        # doctest does not look into instances, and losses and decorators are some.
        ours = isinstance(value, polyloss.Loss) or value in (polyloss.elementwise, polyloss.rowwise)
        source = vars(value).get("__doc__") if ours else None
        if source and value.__module__ == module:
            tests[name] = doctest.DocTestParser().get_doctest(source, vars(loaded), name, module, None)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    lines: list[str] = []
    for test in tests.values():
        runner.run(test, out=lines.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(lines)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_is_documented(name: str) -> None:
    found = sections(PUBLIC[name])
    summary = found[""].strip().partition("\n\n")[0]
    assert summary.endswith((".", ":")), f"the summary must be a sentence: {summary!r}"
    if inspect.isabstract(PUBLIC[name]):
        return
    assert "Examples" in found
    assert ">>> " in found["Examples"]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_all_sections(name: str) -> None:
    found = sections(PUBLIC[name])
    titles = ["Parameters", "Returns", "Raises", "See Also", "Notes", "References", "Examples"]
    assert list(found) == ["", *(title for title in titles if title in found)]
    assert {"Parameters", "Returns", "Raises", "Examples"} <= set(found)
    assert ".. math::" in found[""]
    assert name in OLDER_THAN_PAPERS or re.search(r"\b(19|20)\d\d\b", PUBLIC[name].__doc__), "no paper is named"
    assert f"polyloss.{name}(" in found["Examples"]


@pytest.mark.parametrize("name", LOSSES)
def test_every_parameter_is_described(name: str) -> None:
    loss = PUBLIC[name]
    assert docstrings.described(sections(loss)["Parameters"]) == set(inspect.signature(loss).parameters)
    # Its own are by the author.
    assert docstrings.described(sections(loss.kernel)["Parameters"]) == {*loss.arrays, *loss.defaults}


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_common_is_written_once(name: str) -> None:
    kernel, whole = sections(PUBLIC[name].kernel), sections(PUBLIC[name])
    assert "Raises" not in kernel
    assert "`polyloss.Loss`" not in kernel["Parameters"]
    assert {title: whole[title] for title in kernel if title != "Parameters"} == {
        title: text for title, text in kernel.items() if title != "Parameters"
    }
    assert whole["Parameters"].startswith(kernel["Parameters"])


@pytest.mark.parametrize("name", LOSSES)
def test_ranges_are_those_that_are_declared(name: str) -> None:
    """That of a parameter is said once, as declared. What the values of an array mean, its author says as well."""
    loss = PUBLIC[name]
    for argument, domain in loss.domains.items():
        if domain.everything:
            continue
        text = entry(sections(loss.kernel)["Parameters"], argument)
        assert f"`{argument}` must be {domain.expected()}" in " ".join(sections(loss)["Raises"].split()).replace(
            "class ids in [0, C) or ", ""
        )
        if argument in loss.defaults:
            assert not RANGE.search(text), f"the range of {argument} is said twice: {text}"
            elsewhere = re.search(r"^    As in `(\w+)`", text, flags=re.MULTILINE)
            assert elsewhere is None or str(PUBLIC[elsewhere[1]].domains[argument]) == str(domain)
            continue
        expected = domain.expected()
        assert re.search(WRITTEN.get(expected, re.escape(expected)), text), (
            f"{argument} is {expected}, but the docstring says: {text}"
        )


@polyloss.rowwise(q=polyloss.Domain(low=0, high=1), target=polyloss.POSITIVE, mode=polyloss.Domain(low=1, static=True))
def plain(
    xp: Any,
    prediction: Any,
    target: Any,
    *,
    q: float = 0.5,
    mode: float = 1.0,
    w: Any = None,
    **call: Unpack[RowCall],
) -> Any:
    """A loss that says nothing of its arguments.

    See Also
    --------
    polyloss.mse
    """


def test_what_follows_from_the_arguments() -> None:
    found = " ".join((plain.__doc__ or "").split())
    for text in (
        "A loss that says nothing of its arguments. Parameters ---------- prediction : array Real floating. target : ",
        "target : array Of the shape of `prediction`, positive. q : float or array, default 0.5 In [0, 1]. mode : ",
        "mode : float, default 1.0 In [1, inf]. w : optional axis, reduction, sample_weight, where, denominator",
        'Returns ------- array A scalar, or the shape of `prediction` without `axis` with ``reduction="none"``; dtype',
        "TypeError If `prediction` is not real floating, `mode` is an array, or the arrays come from different frame",
        "a value is outside its range: `target` must be positive; `q` must be in [0, 1]; `mode` must be in [1, inf].",
    ):
        assert text in found
    assert list(sections(plain)) == ["", "Parameters", "Returns", "Raises", "See Also"]
    assert docstrings.described(sections(plain)["Parameters"]) == set(inspect.signature(plain).parameters)


def test_what_the_author_writes_stays() -> None:
    def kernel(xp: Any, prediction: Any, target: Any, **call: Unpack[Call]) -> Any:
        """Summary.

        Parameters
        ----------
        prediction, target : array
            Both are mine.
        where : array
            This too.

        Returns
        -------
        float
            One half of it.
        """

    loss = polyloss.elementwise(kernel)
    assert "Both are mine.\nwhere : array\n    This too.\nreduction, sample_weight, denominator\n" in (
        loss.__doc__ or ""
    )
    assert sections(loss)["Returns"] == "float\n    One half of it."


def test_no_docstring_and_other_styles() -> None:
    def silent(xp: Any, prediction: Any, target: Any, **call: Unpack[Call]) -> Any: ...

    def other(xp: Any, prediction: Any, target: Any, **call: Unpack[Call]) -> Any:
        """Summary.

        Args:
            prediction: Something.
        """

    assert list(sections(polyloss.elementwise(silent))) == ["", "Parameters", "Returns", "Raises"]
    assert (polyloss.elementwise(silent).__doc__ or "").startswith("Parameters\n")
    assert polyloss.elementwise(other).__doc__ == other.__doc__


def test_without_docstrings() -> None:
    code = "import numpy as np, polyloss; x = np.ones(2); print(polyloss.huber.__doc__, polyloss.huber(x, 0 * x))"
    command = [sys.executable, "-OO", "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "None 0.5\n"


def test_this_test_can_fail() -> None:
    def function() -> None:
        """Summary.

        Parameters
        ----------
        x : int
        """

    assert list(sections(function)) == ["", "Parameters"]
    broken = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "broken", None, None)
    assert doctest.DocTestRunner(verbose=False).run(broken, out=lambda _: None).failed == 1
