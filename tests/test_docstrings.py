"""Docstrings: every public name has its sections, every parameter is described, every example runs."""

import doctest
import importlib
import inspect
import re
from pathlib import Path
from typing import Any, is_typeddict

import pytest

import polyloss

pytestmark = pytest.mark.docs

PUBLIC = {name: getattr(polyloss, name) for name in polyloss.__all__}
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


def sections(value: Any) -> dict[str, str]:
    """The text of each section of a docstring, by title; the summary under ''."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", inspect.getdoc(value) or "", flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], parts[::2], strict=True))


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str) -> None:
    if module.startswith("polyloss.compat."):
        pytest.importorskip({"keras": "keras"}.get(module.rpartition(".")[2], "numpy"))
    loaded = importlib.import_module(module)
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = {test.name: test for test in finder.find(loaded)}
    for name, value in vars(loaded).items():
        # doctest does not look into instances, and losses and decorators are some.
        source = vars(value).get("__doc__") if type(value).__module__ == "polyloss.core.loss" else None
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
    assert {"Parameters", "Raises", "Examples"} <= set(found)
    assert ".. math::" in found[""]
    assert name in OLDER_THAN_PAPERS or re.search(r"\b(19|20)\d\d\b", PUBLIC[name].__doc__), "no paper is named"
    assert f"polyloss.{name}(" in found["Examples"]


@pytest.mark.parametrize("name", LOSSES)
def test_every_parameter_is_described(name: str) -> None:
    headings = re.findall(r"^(\w+(?:, \w+)*)(?: : .+)?$", sections(PUBLIC[name])["Parameters"], flags=re.MULTILINE)
    described = {parameter for heading in headings for parameter in heading.split(", ")}
    assert set(inspect.signature(PUBLIC[name]).parameters) == described


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
