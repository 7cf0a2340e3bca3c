"""``polyloss report``: what is recorded against a built-in, as reports that run without polyloss."""

import os
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from polyloss_conformance import bugs, deviations
from polyloss_conformance.cli import app
from polyloss_conformance.translations import FAMILIES

ENTRIES = [entry for entry in deviations.load() if entry.input]
MARKS = {"torch": "torch", "optax": "jax", "keras": "keras", "tf": "tensorflow"}


def of_family(entry: deviations.Deviation) -> object:
    return pytest.param(entry, marks=getattr(pytest.mark, MARKS[entry.family]), id=entry.input[:60])


@pytest.mark.filterwarnings("ignore")  # what is deprecated, or warned of, in the other library
@pytest.mark.parametrize("entry", list(map(of_family, ENTRIES)))
def test_a_report_reproduces_what_it_says_without_polyloss(entry: deviations.Deviation) -> None:
    """Its program prints the recorded value, or raises where an error is recorded."""
    pytest.importorskip(FAMILIES[entry.family].module.partition(".")[0])
    if entry.family == "keras" and os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        pytest.skip("the recorded lines are of Keras on TensorFlow")
    if entry.versions and not deviations.holds(bugs.installed(entry.family), entry.versions):
        pytest.skip(f"of versions {entry.versions}")
    code = re.search(r"^```python\n(.*?)^```$", bugs.report(entry), re.MULTILINE | re.DOTALL)
    assert code is not None
    assert "polyloss" not in code[1]
    assignment = code[1].replace(f"print({entry.input})", f"found = {entry.input}")
    names: dict[str, object] = {}
    if entry.returns == "error":
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it raises there
            exec(assignment, names)
        return
    exec(assignment, names)
    found = np.asarray(getattr(names["found"], "detach", lambda: names["found"])(), dtype=np.float64)
    expected = np.asarray(eval(entry.returns, {"inf": np.inf, "nan": np.nan}), dtype=np.float64)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=0)


def test_a_built_in_is_found_by_the_names_that_people_use() -> None:
    names = ("torch.cross_entropy", "F.cross_entropy", "torch.nn.functional.cross_entropy")
    assert len({tuple(bugs.of_builtin(name)) for name in names}) == 1
    assert all("keras.huber" in entry.builtin for entry in bugs.of_builtin("keras.losses.huber"))


def test_the_command_prints_markdown_alone() -> None:
    done = CliRunner().invoke(app, ["report", "torch.cross_entropy"])
    assert done.exit_code == 0
    assert done.output.startswith("# torch.nn.functional.cross_entropy: ")
    assert done.output.count("\n---\n") == len(bugs.of_builtin("torch.cross_entropy")) - 1


@pytest.mark.parametrize(("name", "near"), [("F.crossentropi", "torch.cross_entropy"), ("keras.Hubber", "keras.huber")])
def test_an_unknown_name_gets_those_that_look_like_it(name: str, near: str) -> None:
    done = CliRunner().invoke(app, ["report", name])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert near in done.stderr


def test_a_name_like_no_other_gets_all() -> None:
    with pytest.raises(ValueError, match=r"there is torch\.cross_entropy, "):
        bugs.of_builtin("torch.zzzz")


def test_what_no_line_shows_says_so() -> None:
    entry = next(entry for entry in deviations.load() if not entry.input)
    assert "No single line shows it" in bugs.report(entry)
    assert bugs.script(entry) == ""
