"""``polyloss conformance --losses``: what is found in a user's file, how it is called, and what is said of it."""

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

import polyloss
from polyloss_conformance import compare, declared
from polyloss_conformance.cli import app

Suite = Callable[..., str]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """Runs the suite on a file of this text, on NumPy, in a folder of its own."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = f"losses_of_{tmp_path.name}"
    file = tmp_path / f"{name}.py"

    def run(text: str, *arguments: str, status: int = 0) -> str:
        file.write_text("import numpy as np\nimport polyloss\n" + textwrap.dedent(text))
        monkeypatch.delitem(sys.modules, name, raising=False)
        command = ["conformance", "--losses", str(file), "--html", str(tmp_path / "report.html"), *arguments]
        command += [] if "--backend" in arguments else ["--backend", "numpy"]
        result = CliRunner(env={"COLUMNS": "1000"}).invoke(app, command)
        assert result.exit_code == status, result.output
        return result.output

    return run


CUBE = """
    @polyloss.elementwise
    def {name}(xp, prediction, target, **call):
        error = prediction - target
        return xp.abs(error) ** 3, lambda: {factor} * error * xp.abs(error), lambda: -3 * error * xp.abs(error)
"""
KINDS = (
    CUBE.format(name="cube", factor=3)
    + """
    @polyloss.rowwise
    def squares(xp, prediction, target, **call):
        error = prediction - target
        return xp.sum(error * error, axis=-1), lambda: 2 * error, lambda: -2 * error

    @polyloss.elementwise
    def alone(xp, prediction, **call):
        return prediction**2, lambda: 2 * prediction

    elastic = 0.7 * polyloss.mse + 0.3 * polyloss.l1
    labels = cube + polyloss.binary_cross_entropy_with_logits
    of_sums = polyloss.LossSum([(2.0, elastic), (1.0, cube)])
    of_rows = squares.partial() + squares
    of_a_batch = polyloss.info_nce.partial(temperature=0.5)
    of_classes = polyloss.cross_entropy + polyloss.softmax_focal
    of_a_layer = polyloss.linear_cross_entropy.partial(label_smoothing=0.1)
    tasks = polyloss.multi_task({"a": cube, "b": polyloss.l1})
    unlike = squares + polyloss.mse
    no_labels = polyloss.hinge + polyloss.cross_entropy.partial(label_smoothing=0.1)
    renamed = polyloss.mse
    _hidden = polyloss.huber.partial(delta=2.0)
    a_number, an_array, _private_sum = 1.0, np.zeros(3), elastic + elastic
"""
)
CHECKED = (
    "cube",
    "squares",
    "alone",
    "elastic",
    "labels",
    "of_sums",
    "of_rows",
    "of_a_batch",
    "of_classes",
    "of_classes",
    "of_a_layer",
)
NOT_CHECKED = {
    "tasks": "a total of several tasks",
    "unlike": "some of its terms are losses of elements, others of rows or of a batch",
    "no_labels": "a sum of losses that no generated arrays fit",
}


def test_every_loss_of_a_file_is_checked_or_named(suite: Suite, tmp_path: Path) -> None:
    files = tmp_path / "report.json", tmp_path / "report.xml"
    output = suite(KINDS, "--json", str(files[0]), "--junit", str(files[1]))
    data = json.loads(files[0].read_text())
    compared = {result["loss"] for result in data["results"] if result["check"] == "value and gradient"}
    assert compared == {cell["loss"] for cell in data["cells"]} == set(CHECKED)
    assert set(data["not_checked"]) == set(NOT_CHECKED)
    skipped = {test.get("name") for test in ElementTree.parse(files[1]).getroot().iter("testcase") if list(test)}
    assert skipped == set(NOT_CHECKED)
    for name, why in NOT_CHECKED.items():
        assert why in output.partition(f"not checked: {name}, ")[2].partition("\n")[0]
        assert why in data["not_checked"][name]
        assert (
            f"Not checked: <code>{name}</code>, {data['not_checked'][name]}" in (tmp_path / "report.html").read_text()
        )


@pytest.mark.parametrize(("name", "why"), NOT_CHECKED.items())
def test_asked_for_by_name_it_is_an_error(name: str, why: str, suite: Suite) -> None:
    assert why in suite(KINDS, "--loss", name, status=2)
    assert "not checked" not in suite(KINDS, "--loss", "cube", "--dtype", "float64")
    assert f"CASES has calls of {name}, which is not checked: " in suite(
        KINDS + f"\n    CASES = {{'{name}': []}}", status=2
    )


def test_a_file_of_nothing_that_can_be_checked(suite: Suite) -> None:
    output = suite("tasks = polyloss.multi_task({'a': polyloss.mse})", status=2)
    assert "has no loss that can be checked: tasks is a total of several tasks" in output


@pytest.mark.torch
def test_a_module_of_a_framework_is_named(suite: Suite) -> None:
    pytest.importorskip("torch")
    output = suite("import polyloss_torch\nhuber, mine = polyloss_torch.Huber(), polyloss.huber.partial(delta=2.0)")
    assert "not checked: huber, a Huber of one framework; the loss in it is checked where it has a name here" in output


def test_a_sum_is_as_wrong_as_its_terms(suite: Suite) -> None:
    output = suite(CUBE.format(name="_wrong", factor=2) + "\n    total = _wrong + polyloss.mse", status=1)
    assert "gradient of prediction" in output
    assert "total" in output


def test_a_jump_of_the_third_derivative_is_no_error(suite: Suite) -> None:
    """Difference quotients extrapolate over it. Where it is, an error is seen as before."""
    cases = "\n    CASES = {'cube': [((np.asarray([0.0005, 0.001, 0.0015, -0.003, 0.5]), np.zeros(5)), {})]}"
    suite(CUBE.format(name="cube", factor=3) + cases, "--dtype", "float64")
    output = suite(CUBE.format(name="cube", factor=2.99) + cases, "--dtype", "float64", status=1)
    assert "gradient of prediction" in output


FRAMEWORKS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("torch", "jax", "tensorflow")]


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("autodiff", [True, False])
def test_a_branch_is_named_by_every_compiler(autodiff: bool, framework: str, suite: Suite) -> None:
    """Only compilers see this one: an array without axes is a condition like any other, eagerly."""
    pytest.importorskip(framework)
    kernel = f"""
    @polyloss.elementwise(autodiff={autodiff})
    def branchy(xp, prediction, target, **call):
        error = prediction - target
        if xp.any(error > 100):
            error = error + 1
        return {"error**2" if autodiff else "error**2, lambda: 2 * error, lambda: -2 * error"}
    """
    output = suite(kernel, "--backend", framework, "--dtype", "float32", "--dtype", "float64", status=1)
    assert output.count("a kernel cannot branch on values") == 1
    assert "(line 7: if xp.any(error > 100):)" in output
    assert "Error" not in output


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_kind_of_loss_conforms_on(framework: str, suite: Suite) -> None:
    pytest.importorskip(framework)
    suite(KINDS, "--backend", framework, "--quick")


@pytest.mark.parametrize("loss", [polyloss.mse, polyloss.cross_entropy, polyloss.hinge, polyloss.info_nce])
def test_arrays_of_a_sum_fit_its_terms(loss: polyloss.Loss[...]) -> None:
    total = declared.as_one(0.5 * loss + loss)
    assert declared.entry_of(total) == declared.entry_of(loss)
    for array in declared.generated(total):
        assert array.shape[:1] == (4,)


ERROR = """
    @polyloss.elementwise
    def kernel(xp, prediction, target, **call):
        error = {error}
        return error**2, lambda: 2 * error, lambda: -2 * error
"""


@pytest.mark.filterwarnings("ignore:kernel. the kernel reads rng:UserWarning")
@pytest.mark.parametrize(
    ("error", "said", "laws"),
    [
        ("rng.normal() + prediction - target", "the loss of equal arrays, in another call, at [", 7),
        (
            "prediction - target - xp.mean(target)",
            "the loss of an example by itself, and not among others, at [0, 0]",
            2,
        ),
        ("(prediction - target) / prediction.size", "the loss of an example by itself, and not among others,", 1),
    ],
)
def test_a_loss_that_is_none_of_its_examples_is_told_once(error: str, said: str, laws: int, suite: Suite) -> None:
    """Almost no law holds of it: one cause, with the number of laws."""
    text = "\n    rng = np.random.default_rng(0)" + ERROR.format(error=error)
    output = suite(text, "--dtype", "float64", "--quick", status=1)
    told = [line for line in output.splitlines() if "(law)" in line]
    where = " on numpy eager float64"
    assert [line.partition("(law)")[2] for line in told] == [f"{where}, {laws} times" if laws > 1 else where]
    assert output.count(said) == 1
    assert "longdouble" not in output
    # All but the calls, which are lines to paste.
    assert max(len(line) for line in output.splitlines() if "np.asarray" not in line) < 300


def test_a_loss_that_is_no_number_is_told_once(suite: Suite) -> None:
    output = suite(ERROR.format(error="xp.log(prediction) - target"), status=1)
    assert "  the loss is nan where prediction is -" in output
    assert "as in @polyloss.elementwise(prediction=polyloss.POSITIVE)" in output
    assert "0 of 1 checks passed" in output


def test_what_is_beside_a_file_shadows_nothing(
    suite: Suite, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torch.py beside the file is not taken for torch; what Python has nowhere else is found."""
    installed = tmp_path_factory.mktemp("installed")
    monkeypatch.syspath_prepend(installed)
    (installed / "widely_known.py").write_text("DELTA = 2.0")
    (tmp_path / "widely_known.py").write_text("raise RuntimeError")
    (tmp_path / "beside.py").write_text("from widely_known import DELTA")
    try:
        suite("import beside\nwide = polyloss.huber.partial(delta=beside.DELTA)", "--dtype", "float64")
    finally:
        for name in ("widely_known", "beside"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("given", "line", "said"),
    [
        ("relatively.py", "from .beside import DELTA", "name it {here}.relatively in {above}"),
        ("relatively", "from .beside import DELTA", "name it {here}.relatively in {above}"),
        ("package/relatively.py", "from .beside import DELTA", "name it package.relatively in {root}"),
        (
            "package/inner/relatively.py",
            "from ..beside import DELTA",
            "name it package.inner.relatively in {root}",
        ),
        ("package.relatively", "from ..beside import DELTA", "name it {here}.package.relatively in {above}"),
    ],
)
def test_relative_imports_need_a_package(
    given: str, line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "package", tmp_path / "package" / "inner"):
        folder.mkdir()
        (folder / "__init__.py").touch()
    file = tmp_path / f"{given.removesuffix('.py').replace('.', '/')}.py"
    file.write_text(line)
    try:
        result = CliRunner().invoke(app, ["conformance", "--losses", given, "--no-html"])
    finally:
        for name in ("package", "package.inner"):
            sys.modules.pop(name, None)
    told = said.format(here=tmp_path.name, above=tmp_path.parent, root=tmp_path)
    assert f"{file}, line 1 ({line}): ImportError: attempted relative import" in result.output
    assert result.output.endswith(f"a relative import needs a package: {told}, or import absolutely\n")


def test_a_difference_is_shown_where_it_is_largest() -> None:
    got, expected = np.asarray([[1.0, 2.0], [3.0, np.nan]]), np.asarray([[1.0, 2.5], [0.0, 1.0]])
    message = compare.difference("value", got, expected, got != expected)
    assert message == "value at [1, 1] is nan, expected 1.0 (3 of 4 differ)"
    assert compare.difference("sum", got[0, 0], expected[0, 1], np.asarray(True)) == "sum is 1.0, expected 2.5"


def test_a_derivative_by_a_parameter_is_compared_where_the_parameter_is_not_its_default(suite: Suite) -> None:
    loss = """
        @polyloss.elementwise(scale=polyloss.POSITIVE)
        def scaled(xp, prediction, target, *, scale=1.0, **call):
            r = (prediction - target) / scale
            slope = 2 * r / (1 + r * r) / scale
            return xp.log1p(r * r), lambda: slope, lambda: -slope, {"scale": lambda: -2 * r * r / (1 + r * r) DIVIDED}
    """
    suite(loss.replace("DIVIDED", "/ scale"))
    # At 1, which is its default, nobody sees that something is missing.
    found = suite(loss.replace("DIVIDED", ""), status=1)
    assert "gradient of scale" in found


ROOT = """
    @polyloss.elementwise
    def charbonnier(xp, prediction, target, **call):
        error = prediction - target
        root = xp.sqrt(1.0 + error * error)
        return {value}, lambda: error / root, lambda: -error / root
"""
LOG_COSH = """
    @polyloss.elementwise
    def of_tails(xp, prediction, target, **call):
        error = prediction - target
        return {value}, lambda: xp.tanh(error), lambda: -xp.tanh(error)
"""


@pytest.mark.parametrize(
    ("kernel", "cancels", "right"),
    [
        (ROOT, "root - 1.0", "error * (error / (1.0 + root))"),
        (LOG_COSH, "xp.log((xp.exp(error) + xp.exp(-error)) / 2.0)", "0.5 * xp.log1p(xp.sinh(error) ** 2)"),
    ],
)
def test_a_value_that_cancels_where_all_errors_are_small(kernel: str, cancels: str, right: str, suite: Suite) -> None:
    """Where one error is large, its loss is all that is seen of the sum: small ones have cases of their own."""
    output = suite(kernel.format(value=cancels), status=1)
    failed = [line for line in output.splitlines() if "(value and gradient)" in line]
    assert failed
    assert all("of size" in line for line in failed)
    suite(kernel.format(value=right))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_value_that_cancels_is_seen_on(framework: str, suite: Suite) -> None:
    pytest.importorskip(framework)
    assert "of size 0.001" in suite(ROOT.format(value="root - 1.0"), "--backend", framework, "--quick", status=1)


KINKED = """
    @polyloss.elementwise(slope=polyloss.POSITIVE)
    def hinged(xp, prediction, target, *, slope=2.0, **call):
        error = prediction - target
        sign = xp.where(error > 0, slope, xp.where(error < 0, -1.0, 0.0))
        return sign * error, lambda: {factor} * sign, lambda: -sign
"""


def test_a_kink_is_as_near_as_the_errors_are_small(suite: Suite) -> None:
    """Difference quotients take steps that are small beside the errors: a right slope agrees, a wrong one does not."""
    suite(KINKED.format(factor="1.0"))
    assert "gradient of prediction" in suite(KINKED.format(factor="0.99"), status=1)


def test_small_numbers_are_made_where_the_domain_has_them(suite: Suite, tmp_path: Path) -> None:
    """Of probabilities and labels there are none; nothing is asked of half precision, which has no such digits."""
    kernel = """
        @polyloss.elementwise(prediction=polyloss.UNIT, target=polyloss.UNIT)
        def bounded(xp, prediction, target, **call):
            error = prediction - target
            return error**2, lambda: 2 * error, lambda: -2 * error

        @polyloss.elementwise(prediction=polyloss.POSITIVE, target=polyloss.NONNEGATIVE)
        def rates(xp, prediction, target, **call):
            logarithm = xp.log(prediction)
            return prediction - target * logarithm, lambda: 1 - target / prediction, lambda: -logarithm
    """
    suite(kernel, "--json", str(tmp_path / "report.json"))
    results = json.loads((tmp_path / "report.json").read_text())["results"]
    small = {(result["loss"], result["dtype"]) for result in results if "of size" in result["case"]}
    assert small == {("rates", "float32"), ("rates", "float64")}


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax", "tensorflow"])
def test_the_worst_call_is_told_and_can_be_pasted(framework: str, suite: Suite, tmp_path: Path) -> None:
    """With its backend, mode and dtype: it gives the value, or the gradient, that the message says is wrong."""
    pytest.importorskip(framework)
    kernel = ROOT.format(value="root - 1.0") + WRONG_SIGN
    output = suite(kernel, "--backend", framework, "--quick", "--json", str(tmp_path / "report.json"), status=1)
    results = json.loads((tmp_path / "report.json").read_text())["results"]
    lines = output.splitlines()
    imports = {"numpy": "import numpy as np", "torch": "import torch", "tensorflow": "import tensorflow as tf"}
    given = f"import polyloss, losses_of_{tmp_path.name}\n" + imports.get(framework, "import jax.numpy as jnp")
    names: dict[str, Any] = {}
    exec(given, names)
    for loss, kind in (("charbonnier", "value"), ("squared", "gradient")):
        failed = [r for r in results if r["loss"] == loss and r["message"].startswith(kind)]
        worst = max(failed, key=lambda result: float(result[kind]))
        place = next(
            number for number, line in enumerate(lines) if line.startswith(f"{loss} {worst['case']} (value and gra")
        )
        assert f" on {framework} {worst['mode']} {worst['dtype']}, {len(failed)} times" in lines[place]
        assert lines[place + 1].strip() == worst["message"]
        assert worst["call"] in lines
        assert repr(worst["dtype"]) in worst["call"] or f"torch.{worst['dtype']}" in worst["call"]
        found = np.asarray(eval(worst["call"], names)[1] if kind == "gradient" else eval(worst["call"], names))
        spot = tuple(json.loads(worst["message"].partition(" at ")[2].partition(" is ")[0]))
        said = float(worst["message"].partition(" is ")[2].partition(", ")[0])
        assert float(found[spot]) == pytest.approx(said, rel=1e-5)


WRONG_SIGN = """
    @polyloss.elementwise
    def squared(xp, prediction, target, **call):
        error = prediction - target
        return error * error, lambda: 2 * error, lambda: 2 * error
"""


def test_a_call_of_a_users_is_named_where_it_is_long(suite: Suite, tmp_path: Path) -> None:
    cases = "\n    CASES = {'squared': [((np.ones((50, 3)), np.zeros((50, 3))), {'reduction': 'mean'})]}"
    suite(WRONG_SIGN + cases, "--json", str(tmp_path / "report.json"), "--dtype", "float64", status=1)
    results = json.loads((tmp_path / "report.json").read_text())["results"]
    call = next(r["call"] for r in results if r["case"] == "CASES[0]" and r["call"])
    name = f"losses_of_{tmp_path.name}"
    first, second = (f"np.asarray({name}.CASES['squared'][0][0][{place}], dtype='float64')" for place in (0, 1))
    assert call.startswith(f"polyloss.value_and_grad({name}.squared, 1)({first}, {second}, reduction='sum', ")
