"""The command line."""

import html
import io
import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console
from typer.testing import CliRunner

import polyloss
from polyloss_benchmarks import run as bench_run
from polyloss_conformance import builtins, guide, mutants, names, report, run, show, workers
from polyloss_conformance.cli import app


def invoke(*arguments: str, status: int = 0, width: int = 200) -> str:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    return tmp_path / "report.html", tmp_path / "report.json", tmp_path / "report.xml"


def conformance(files: tuple[Path, Path, Path], *arguments: str, status: int = 0) -> str:
    page, as_json, junit = map(str, files)
    return invoke(
        "conformance",
        "--backend",
        "numpy",
        "--html",
        page,
        "--json",
        as_json,
        "--junit",
        junit,
        *arguments,
        status=status,
    )


def conforms(value: Any, schema: dict[str, Any], where: str = "report") -> None:
    """As much of JSON schema as the report's own uses."""
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "number": (int, float),
        "integer": int,
        "boolean": bool,
        "null": type(None),
    }
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(isinstance(value, kinds[name]) for name in names), f"{where}: {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], f"{where}: {value!r}"
    if "const" in schema:
        assert value == schema["const"], where
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        assert set(schema.get("required", ())) <= set(value), where
        for key, item in value.items():
            more = schema.get("additionalProperties", True)
            assert key in properties or more, f"{where}.{key}"
            conforms(item, properties.get(key, more if isinstance(more, dict) else {}), f"{where}.{key}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            conforms(item, schema.get("items", {}), f"{where}[{number}]")


def test_conformance_writes_its_reports(files: tuple[Path, Path, Path]) -> None:
    output = conformance(files, "--loss", "huber", "--loss", "l1")
    assert "huber" in output
    assert "checks passed" in output
    html, as_json, junit = files
    data = json.loads(as_json.read_text())
    conforms(data, json.loads(resources.files("polyloss_conformance").joinpath("report.schema.json").read_text()))
    assert data["passed"]
    assert {cell["loss"] for cell in data["cells"]} >= {"huber", "l1"}
    tree = ElementTree.parse(junit).getroot()
    assert len(tree.findall(".//testcase")) == len(data["results"])
    assert not tree.findall(".//failure")
    page = html.read_text()
    assert "all " in page
    assert 'id="huber"' in page
    assert "http" not in page.split("</style>")[0]
    assert "src=" not in page
    assert not data["own"]
    assert sum(result["seconds"] for result in data["results"]) > 0


def test_a_failure_is_exit_status_1(files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    alter = mutants.MUTANTS[0].alter
    assert alter is not None
    monkeypatch.setattr(polyloss, "mse", alter(polyloss.mse))
    output = conformance(files, "--loss", "mse", "--dtype", "float64", status=1)
    assert "gradient of prediction" in output
    page, as_json, junit = files
    assert "polyloss.mse(np.asarray(" in page.read_text()
    assert ElementTree.parse(junit).getroot().findall(".//failure")
    assert not json.loads(as_json.read_text())["passed"]


@pytest.mark.parametrize(
    "arguments",
    [("--loss", "nonsense"), ("--backend", "nonsense"), ("--dtype", "int8"), ("--losses", "no_such_module_anywhere")],
)
def test_a_name_that_matches_nothing_is_an_error(arguments: tuple[str, str]) -> None:
    output = invoke("conformance", "--no-html", *arguments, status=2)
    assert arguments[1] in output


def test_a_loss_may_be_named_as_a_built_in_is(files: tuple[Path, Path, Path]) -> None:
    output = conformance(files, "--loss", "torch.smooth_l1_loss", "--loss", "mae", "--dtype", "float64")
    assert "smooth_l1" in output
    assert "│ l1" in output


@pytest.mark.parametrize("option", ["--html", "--json", "--junit"])
@pytest.mark.parametrize("place", ["", "no_such_folder/report"])
def test_where_a_report_goes_is_checked_first(
    option: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyloss_conformance.workers.run_order", lambda *_: pytest.fail("the work began"))
    output = invoke("conformance", "--backend", "numpy", option, str(tmp_path / place), status=2)
    assert output.startswith(f"{option} {tmp_path}")
    assert output.count("\n") == 1


@pytest.mark.parametrize("first", ["--html", "--json"])
def test_no_report_is_written_over_another(first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyloss_conformance.workers.run_order", lambda *_: pytest.fail("the work began"))
    (tmp_path / "folder").mkdir()
    one, other = str(tmp_path / "report"), str(tmp_path / "folder" / ".." / "report")
    output = invoke("conformance", "--backend", "numpy", first, one, "--junit", other, status=2)
    assert output == f"--junit {other}: {first} goes there too; give each a file of its own\n"


def test_a_report_that_cannot_be_written_loses_nothing(
    files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(report: report.Report) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report.Report, "json", full)
    output = conformance(files, "--loss", "mse", "--dtype", "float64", status=1)
    assert f"--json {files[1]}: No space left on device" in output
    assert "checks passed" in output
    assert files[0].exists()
    assert ElementTree.parse(files[2]).getroot().findall(".//testcase")


def test_a_message_of_any_characters_is_written(
    files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run.Result("mse", "numpy", "eager", "float64", "case", "law", False, message="lone \udc80 surrogate")
    monkeypatch.setattr("polyloss_conformance.workers.run_order", lambda *_: [result])
    monkeypatch.setattr(report.Report, "table", lambda *_: "")
    conformance(files, "--loss", "mse", status=1)
    assert all("surrogate" in file.read_text() for file in files)


def test_a_message_does_nothing_to_the_terminal(
    files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kernel raises has its control characters as escapes: in the terminal, and in all reports."""
    kernel = r"""
        import polyloss

        @polyloss.elementwise
        def loud(xp, prediction, target, **call):
            raise RuntimeError("\x1b]0;title\x07 \x9b31m \x7f")
    """
    (tmp_path / "loud_losses.py").write_text(textwrap.dedent(kernel))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    said = r"RuntimeError: \x1b]0;title\x07 \x9b31m \x7f (line"
    output = conformance(files, "--losses", "loud_losses", "--dtype", "float64", status=1)
    junit = [str(one.get("message")) for one in ElementTree.parse(files[2]).getroot().iter("failure")]
    messages = [result["message"] for result in json.loads(files[1].read_text())["results"]]
    for text in (output, html.unescape(files[0].read_text()), *junit, *messages):
        assert said in text
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)


@pytest.mark.parametrize("beside", [(), ("--backend", "torch")])
def test_a_dtype_that_a_named_backend_lacks_is_an_error(beside: tuple[str, ...]) -> None:
    """NumPy arrays of ml_dtypes are taken by losses: what is said is what the suite calls."""
    if beside:
        pytest.importorskip("torch")
    command = ("conformance", "--no-html", "--loss", "mse", "--dtype", "bfloat16", "--backend", "numpy", *beside)
    expected = "nothing to run in bfloat16: the suite calls numpy in float16, float32, float64\n"
    assert invoke(*command, status=2) == expected


OWN = '''
    import numpy as np
    import polyloss

    @polyloss.elementwise
    def quartic(xp, prediction, target, **call):
        """Fourth power."""
        e = prediction - target
        return e**4, lambda: 4 * e**3, lambda: {sign}4 * e**3

    @polyloss.elementwise(autodiff=True)
    def cauchy(xp, prediction, target, *, c=1.0, **call):
        """Value alone."""
        return xp.log1p(((prediction - target) / c) ** 2)

    @polyloss.elementwise(scale=polyloss.POSITIVE)
    def scaled(xp, prediction, target, *, scale=1.0, **call):
        """A parameter with a derivative, and a target that is left to the framework."""
        e = (prediction - target) / scale
        return e**2, lambda: 2 * e / scale, {{"scale": lambda: {sign}2 * e**2 / scale}}

    CASES = {{
        "cauchy": [((np.asarray([1.0, 2.0]), np.zeros(2)), {{"c": 2.0}})],
        "scaled": [((np.asarray([[1.0, 2.0]]), np.zeros((1, 2))), {{"scale": np.asarray([0.7, 2.0])}})],
    }}
'''


@pytest.mark.parametrize(("sign", "status"), [("-", 0), ("+", 1)])
def test_losses_of_a_user(sign: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"own_losses_{status}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(OWN.format(sign=sign)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    output = invoke("conformance", "--backend", "numpy", "--losses", name, "--no-html", status=status)
    for loss in ("quartic", "cauchy", "scaled"):
        assert loss in output
    for what in ("gradient of target", "gradient of scale", "gradient by scale"):
        assert (what in output) == bool(status)


REQUIRED = """
    import numpy as np, polyloss

    @polyloss.elementwise(scale=polyloss.POSITIVE)
    def declared(xp, prediction, target, *, scale, **call):
        e = (prediction - target) / scale
        return e**2, lambda: 2 * e / scale, lambda: -2 * e / scale

    @polyloss.elementwise
    def called(xp, prediction, target, *, how, **call):
        e = how(prediction - target)
        return e**2, lambda: 2 * e, lambda: -2 * e

    @polyloss.elementwise
    def neither(xp, prediction, target, *, scale, **call):
        e = (prediction - target) / scale
        return e**2, lambda: 2 * e / scale, lambda: -2 * e / scale

    CASES = {"called": [((np.ones(3), np.zeros(3)), {"how": lambda error: error})]}
"""


def test_losses_of_a_user_with_parameters_that_have_no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "required_losses.py").write_text(textwrap.dedent(REQUIRED))
    monkeypatch.chdir(tmp_path)
    output = invoke("conformance", "--backend", "numpy", "--losses", "required_losses.py", "--no-html", status=1)
    said = " ".join(output.split())
    assert "TypeError: neither: nobody knows what scale may be, which has no default: declare its domain, as in" in said
    assert output.count("Error") == 1
    assert "_empty" not in output


@pytest.fixture
def documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example of docs/custom.md with its cases, as a file in a folder beside the working one."""
    text = (Path(__file__).parents[1] / "docs" / "custom.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    file = tmp_path / "losses" / "documented_losses.py"
    file.parent.mkdir()
    file.write_text(blocks[0] + next(block for block in blocks if "CASES =" in block))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, file.stem, raising=False)
    return file


@pytest.mark.parametrize("suffix", [".py", ""])
def test_the_documented_loss_conforms(suffix: str, documented: Path) -> None:
    path = f"../losses/{documented.stem}{suffix}"
    output = invoke("conformance", "--backend", "numpy", "--losses", path, "--no-html")
    assert "cauchy" in output


def test_a_loss_conforms_in_float64_alone(documented: Path) -> None:
    invoke("conformance", "--backend", "numpy", "--dtype", "float64", "--losses", str(documented), "--no-html")


def test_losses_of_two_modules_are_not_taken_for_those_of_one(documented: Path) -> None:
    output = invoke("conformance", "--losses", "one.py", "--losses", str(documented), status=2)
    assert output == "--losses is given 2 times: import the losses of all in one module\n"


def test_a_folder_is_no_module(documented: Path) -> None:
    assert "is a folder; give a module" in invoke("conformance", "--losses", f"{documented.parent}/", status=2)


def test_a_factor_that_is_1_by_default_is_missed(documented: Path) -> None:
    """Without any case of the user's: the parameters take other values, too."""
    text = documented.read_text().partition("CASES =")[0]
    assert " / scale\n    return" in text
    documented.write_text(text.replace(" / scale\n    return", "\n    return"))
    output = invoke("conformance", "--backend", "numpy", "--losses", str(documented), "--no-html", status=1)
    assert "generated, other parameters" in output


@pytest.mark.cross
def test_the_documented_loss_conforms_on_every_backend(documented: Path) -> None:
    output = invoke("conformance", "--losses", str(documented), "--no-html")
    for name in (
        backend for backend in ("numpy", "torch", "jax", "tensorflow", "mlx") if find_spec(backend) is not None
    ):
        assert name in output


def test_losses_of_a_dotted_name(documented: Path) -> None:
    package = documented.parents[1] / "here" / "package_of_losses"
    package.mkdir()
    (package / "__init__.py").touch()
    documented.rename(package / documented.name)
    module = f"{package.name}.{documented.stem}"
    assert "cauchy" in invoke("conformance", "--backend", "numpy", "--losses", module, "--no-html")


@pytest.mark.parametrize("name", ["../x/y.py", "../x", "..", "json.py", "no_such_module", "json.no_such_module"])
def test_losses_that_are_not_there(name: str, documented: Path) -> None:
    (Path.cwd() / "json.py").touch()
    assert f"--losses {name}" in invoke("conformance", "--backend", "numpy", "--losses", name, status=2)


WIDE = "import polyloss\nwide = polyloss.huber.partial(delta=2.0)\n"
FUNCTION = "import polyloss\n\ndef loss(xp, prediction, target):\n    pass\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            FUNCTION.replace(":", ""),
            ", line 3 (def loss(xp, prediction, target)): SyntaxError: expected ':'; correct it",
        ),
        (
            "def f():\n    return 1 / 0\nf()\n",
            ", line 2 (return 1 / 0): ZeroDivisionError: division by zero; python -c",
        ),
        ("import polyloss\n\n@polyloss.elementwise\ndef loss(prediction):\n    pass\n", ", line 3 (@polyloss.elementw"),
        ("import no_such\n", ", line 1 (import no_such): ModuleNotFoundError: No module named 'no_such'; install it"),
        ("import sys\n\nsys.exit(3)\n", ", line 3 (sys.exit(3)): SystemExit: 3; put what shall not run on import"),
        (FUNCTION, "@polyloss.elementwise or @polyloss.rowwise makes one of a function, such as loss (line 3)"),
        ("from polyloss import mse\n", " declares no loss, which is a polyloss.Loss by a name that does not begin"),
        ("import polyloss\n_loss = polyloss.huber.partial(delta=2.0)\n", " declares no loss"),
        (f"{WIDE}CASES = {{'wid': []}}\n", ": CASES has calls of wid; the losses here are wide"),
        (f"{WIDE}CASES = [1]\n", ": CASES must be a dict of lists by the names of losses, got [1]"),
        (f"{WIDE}CASES = {{'wide': [(1, 2)]}}\n", ": CASES['wide'][0] must be the arrays and a dict of keywords"),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_losses_that_cannot_be_had(
    text: str, message: str, as_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that names the file, the line in it and the way out, instead of a traceback."""
    file = tmp_path / "unusable_losses.py"
    file.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, file.stem, raising=False)
    given = str(file) if as_file else file.stem
    output = invoke("conformance", "--backend", "numpy", "--losses", given, "--no-html", status=2)
    assert output.startswith(f"--losses {given}: {file}")
    assert message in output
    assert output.count("\n") == 1


def test_a_cause_is_told_once(files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong_in_two_ways.py").write_text(textwrap.dedent(OWN.format(sign="+")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    output = conformance(files, "--losses", "wrong_in_two_ways", status=1)
    assert output.count("the difference quotient of the value") == 2  # of quartic by target, of scaled by scale
    assert "numpy: eager float16 float32 float64, small blocks float32, whole arrays float32" in output
    page = files[0].read_text()
    assert page.count("the difference quotient of the value") == 2
    assert "numpy: eager float16 float32 float64, small blocks float32, whole arrays float32" in page
    failed = [result for result in json.loads(files[1].read_text())["results"] if not result["passed"]]
    assert len(failed) > 10
    assert f"{len(failed)} of " in page
    assert len(ElementTree.parse(files[2]).getroot().findall(".//failure")) == len(failed)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gradient of x1 at [0, 1] is 1.5, expected -2e-07", "gradient of x1 at [2] is nan, expected inf", True),
        ("gradient of x1 at [0, 1] is 1.5", "gradient of x2 at [0, 1] is 1.5", False),
        ("masked mean is 1.5", "masked sum is 1.5", False),
        ("dtype float32, expected float16", "dtype float32, expected bfloat16", True),
        (
            "TypeError: got Tensor of shape () and dtype torch.float64 where",
            "TypeError: got EagerTensor of shape () and dtype <dtype: 'float64'> where",
            True,
        ),
        ("TypeError: a (line 3: x = 1)", "TypeError: b (line 3: x = 1)", True),
        ("TypeError: a (line 3: x = 1)", "TypeError: a (line 4: x = 1)", False),
        ("TypeError: a (line 3: x = 1)", "ValueError: a (line 3: x = 1)", False),
    ],
)
def test_what_is_one_cause(one: str, other: str, same: bool) -> None:
    results = [
        run.Result("mse", backend, "eager", dtype, case, "law", False, message=message)
        for backend, dtype, case, message in [
            ("numpy", "float32", "generated", one),
            ("torch", "float64", "CASES[0]", other),
            ("torch", "float32", "CASES[0]", "another"),
        ]
    ]
    causes = report.Report([*results, run.Result("l1", *list(vars(results[0]).values())[1:])], {}, 1.0).causes
    assert len(causes) == (3 if same else 4)
    if same:
        assert causes[0].example.dtype == "float64"
        assert causes[0].where == ["numpy: eager float32", "torch: eager float64", "cases: generated; CASES[0]"]


def test_a_loss_of_a_file_is_chosen_by_an_option() -> None:
    output = invoke("conformance", "--backend", "numpy", "--losses", "my.py:cauchy", status=2)
    assert output.endswith("choose of the losses of a file by --loss: --losses my.py --loss cauchy\n")


@pytest.mark.parametrize("condition", ["if error > 0:", "while error > 0:", "if not error:"])
def test_a_kernel_that_branches_is_told_once(condition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = f"""
        import polyloss

        @polyloss.elementwise
        def branchy(xp, prediction, target, **call):
            error = prediction - target
            {condition}
                return error, lambda: 1.0 + 0.0 * error, lambda: -1.0 + 0.0 * error
            return -error, lambda: -1.0 + 0.0 * error, lambda: 1.0 + 0.0 * error
    """
    file = tmp_path / f"branchy_{abs(hash(condition))}.py"
    file.write_text(textwrap.dedent(kernel))
    monkeypatch.setattr(sys, "path", [*sys.path])
    output = invoke("conformance", "--backend", "numpy", "--losses", str(file), "--no-html", status=1)
    assert output.count("a kernel cannot branch on values") == 1
    assert f"(line 7: {condition})" in output
    assert "0 of 1 checks passed" in output


def test_losses_lists_every_loss() -> None:
    output = invoke("losses")
    for loss in run.public_losses():
        assert loss in output
    assert "torch.huber_loss" in output


@pytest.mark.parametrize("command", ["losses", "guide"])
def test_no_name_is_broken_at_80_columns(command: str) -> None:
    output = invoke(command, width=80)
    assert max(map(len, output.splitlines())) <= 80
    for name in (advice.call for advice in guide.GUIDE) if command == "guide" else run.public_losses():
        assert name in output
    if command == "losses":
        for twin in builtins.TWINS:
            assert f"{twin.family}.{twin.name}" in output


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_of_results_breaks_no_name(width: int) -> None:
    backends = ("numpy", "torch", "jax", "tensorflow")
    results = [
        run.Result(loss, backend, "eager", dtype, "case", "value and gradient", loss != "mse", 12.5, 123.0, "wrong")
        for loss in run.public_losses()
        for backend in backends
        for dtype in ("float16", "float32")
    ]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(report.Report(results, dict.fromkeys(backends, "2.0.0"), 1.0).table(width))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for name in (*run.public_losses(), *backends, "2 failed", "12.50 / 1.2e+02"):
        assert name in text


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("torch.huber_loss", "huber"),
        ("bce", "binary_cross_entropy"),
        ("mean_squared_error", "mse"),
        ("CrossEntropyLoss", "cross_entropy"),
        ("nn.BCEWithLogitsLoss", "binary_cross_entropy_with_logits"),
        ("keras.losses.SparseCategoricalCrossentropy", "cross_entropy"),
        ("optax.l2_loss", "mse"),
        ("KLDivLoss", "kl_divergence"),
        ("pinball", "quantile"),
        ("NTXentLoss", "nt_xent"),
        ("polyloss.huber", "huber"),
    ],
)
def test_names_of_elsewhere(name: str, loss: str) -> None:
    assert names.resolve(name, tuple(run.public_losses())) == loss
    assert f"polyloss.{loss}(" in invoke("show", name)


def test_every_built_in_leads_to_a_loss_that_it_computes() -> None:
    known = tuple(run.public_losses())
    for twin in builtins.TWINS:
        computed = {t.loss for t in builtins.TWINS if t.name == twin.name} | {"nll"}
        assert names.resolve(f"{twin.family}.{twin.name}", known) in computed


def test_a_near_miss_is_told() -> None:
    assert "did you mean huber?" in invoke("show", "hubre", status=2)
    for command in ("conformance", "bench"):
        assert "did you mean huber?" in invoke(command, "--loss", "hubre", status=2)


def test_what_is_measured_may_be_named_as_a_built_in_is(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[bench_run.Order] = []

    def measure(order: bench_run.Order, watch: Any) -> bench_run.Results:
        orders.append(order)
        return bench_run.Results([], {}, 1.0)

    monkeypatch.setattr(bench_run, "run_order", measure)
    invoke("bench", "--backend", "numpy", "--loss", "torch.huber_loss", "--row", "mae")
    assert orders[0].rows == ("huber", "l1")


FIRST = {"value and gradient", "error", "law", "second order"}


@pytest.mark.parametrize(
    ("option", "checks", "modes"),
    [
        ("--quick", FIRST, {"eager"}),
        ("", FIRST, {"eager"}),
        ("--full", {*FIRST, "kind of call", "built-in"}, {"eager", "small blocks", "whole arrays"}),
        ("--all", {*FIRST, "kind of call", "built-in"}, {"eager", "small blocks", "whole arrays"}),
    ],
)
def test_how_much_is_run(option: str, checks: set[str], modes: set[str], files: tuple[Path, Path, Path]) -> None:
    conformance(files, *filter(None, [option]), "--loss", "mse", "--dtype", "float64")
    results = json.loads(files[1].read_text())["results"]
    assert {result["mode"] for result in results} == modes
    assert {result["check"] for result in results} == checks


def test_how_much_is_said_once(files: tuple[Path, Path, Path]) -> None:
    assert "exclude" in conformance(files, "--quick", "--all", status=2)
    assert "exclude" in conformance(files, "--full", "--quick", status=2)


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    """All packages in one archive."""
    path = tmp_path / "polyloss.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for package in (
            "polyloss",
            "polyloss_autodiff",
            "polyloss_numpy",
            "polyloss_conformance",
            "polyloss_benchmarks",
        ):
            spec = find_spec(package)
            assert spec is not None
            assert spec.origin is not None
            folder = Path(spec.origin).parent
            for file in folder.rglob("*"):
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, file.relative_to(folder.parent))
    return path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("show", "huber"), "Where they deviate"),
        (("conformance", "--quick", "--loss", "mse", "--backend", "numpy", "--dtype", "float64"), "checks passed"),
    ],
)
def test_from_a_zip(arguments: tuple[str, ...], expected: str, zipped: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(zipped), "COLUMNS": "200"}
    command = [sys.executable, "-m", "polyloss", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=zipped.parent)
    assert result.returncode == 0, result.stdout + result.stderr
    assert expected in result.stdout
    where = "import polyloss_conformance as c; print(c.__file__)"
    found = subprocess.run([sys.executable, "-c", where], capture_output=True, text=True, env=environment, check=True)
    assert found.stdout.startswith(str(zipped))


def test_version() -> None:
    assert invoke("--version") == f"polyloss {polyloss.__version__}\n"


def test_a_mode_that_a_backend_lacks() -> None:
    pytest.importorskip("torch")
    assert "torch has eager, compile" in invoke("bench", "--backend", "torch", "--mode", "jit", status=2)


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_where_a_benchmark_goes_is_checked_first(option: str, tmp_path: Path) -> None:
    output = invoke("bench", "--backend", "numpy", option, str(tmp_path / "none" / "x.svg"), status=2)
    assert output.startswith(f"{option} {tmp_path}")
    assert "end in .svg or .png" in invoke("bench", "--plot", str(tmp_path / "x.txt"), status=2)
    same = str(tmp_path / "x.svg")
    assert "--json goes there too" in invoke("bench", "--json", same, "--plot", same, status=2)


def test_a_deviation_has_an_example_of_its_own_function() -> None:
    reason = "It cancels."
    results = [
        run.Result(
            loss, "torch", "eager", "float32", case, "built-in", True, 9.0, 9.0, message, call, reason, "value", ""
        )
        for loss, case, message, call in [
            ("cross_entropy", "built-in torch.cross_entropy: confident, none", "value 0", "polyloss.cross_entropy(a)"),
            ("nll", "built-in torch.nll_loss: confident, none", "value 1", "polyloss.nll(a very long one)"),
            ("nll", "built-in torch.nll_loss: small, none", "value 2", "polyloss.nll(b)"),
            ("", "built-in torch.cross_entropy: recorded input", "gives 0", "F.cross_entropy(c)"),
        ]
    ]
    rows = {row["builtin"]: row for row in report.Report(results, {}, 1.0).deviations}
    assert {name: (row["input"], row["result"], row["count"]) for name, row in rows.items()} == {
        "torch.cross_entropy": ("F.cross_entropy(c)", "gives 0", "2"),
        "torch.nll_loss": ("polyloss.nll(b)", "value 2", "2"),
    }


@pytest.mark.parametrize("loss", ["huber", "cross_entropy", "triplet_margin"])
def test_show(loss: str) -> None:
    output = invoke("show", loss)
    for part in (f"polyloss.{loss}(", "Parameters", "Gradient", "closed form", "polyloss.compat", "Where they deviate"):
        assert part in output


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("loss", run.public_losses())
def test_show_fits(loss: str, width: int) -> None:
    """A formula that can be read, two pictures, and no line that is broken between two of its characters."""
    output = invoke("show", loss, width=width)
    before = output.partition("\nExamples\n")[0]
    assert ".. math::" not in before
    assert ":math:" not in before
    assert "\\" not in before
    assert "ℓ" in before
    pictures = output.partition("\nCurves\n")[2].partition("\nGradient\n")[0]
    assert re.search("[\u2801-\u28ff]", pictures)
    assert max(map(len, pictures.splitlines())) <= width


@pytest.mark.parametrize("loss", run.public_losses())
def test_show_where_there_is_no_unicode(loss: str) -> None:
    """Nothing else than ASCII is written, and no character has no name in it."""
    environment = {"COLUMNS": "80"}
    result = CliRunner(charset="ascii", env=environment).invoke(app, ["show", loss])
    assert result.exit_code == 0, result.output
    assert result.output.isascii()
    assert "?" not in result.output.partition("\nGradient\n")[0]
    assert "*" in result.output.partition("\nCurves\n")[2]


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False), ({}, False)],
)
def test_curves_have_a_colour_where_it_is_wanted(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal that has colours, unless NO_COLOR says that nobody wants them."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner(env={"COLUMNS": "80", **environment}).invoke(app, ["show", "huber"])
    assert result.exit_code == 0, result.output
    assert ("\x1b[36m" in result.output) == coloured


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hubre", "no loss called hubre; did you mean huber? polyloss losses lists all"),
        ("qqqqqqqqqqqq", "no loss called qqqqqqqqqqqq; polyloss losses lists all"),
    ],
)
def test_show_of_an_unknown_loss_names_the_nearest(name: str, said: str) -> None:
    assert invoke("show", name, status=2) == f"{said}\n"


@pytest.mark.parametrize("width", [0, 1, 4, 20])
def test_show_in_a_very_narrow_window(width: int) -> None:
    """Long words are broken, down to a width below which nobody reads."""
    output = invoke("show", "huber", width=width)
    lines = [*output.partition("\nExamples\n")[0].splitlines(), *output.partition("\nCurves\n")[2].splitlines()]
    assert max(map(len, lines)) <= 20


def test_show_says_types_in_words() -> None:
    for loss in run.public_losses().values():
        assert "Any" not in show.signature(loss)


def test_show_has_a_line_for_each_entry() -> None:
    output = invoke("show", "huber").partition("See Also\n--------\n")[2].partition("\n\n")[0]
    assert output.splitlines() == ["smooth_l1 : this divided by `delta`.", "tukey_biweight : bounded."]


SHOWN = r"""
    import polyloss

    @polyloss.elementwise(scale=polyloss.POSITIVE)
    def cauchy(xp, prediction, target, *, scale=1.0, **call):
        "Cauchy's loss \x1b[31m."
        ratio = (prediction - target) / scale
        return xp.log1p(ratio * ratio), lambda: 2 * ratio / (1 + ratio * ratio) / scale

    @polyloss.elementwise(autodiff=True)
    def fourth(xp, prediction, target, **call):
        return (prediction - target) ** 4

    @polyloss.elementwise
    def exits(xp, prediction, target, **call):
        raise SystemExit(3)
"""


def test_show_of_a_loss_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its module or its file: its docstring, which does nothing to the terminal, its curves, and what it returns."""
    (tmp_path / "shown_losses.py").write_text(textwrap.dedent(SHOWN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    output = invoke("show", "shown_losses:cauchy")
    assert output == invoke("show", "shown_losses.py:cauchy")
    assert output.startswith("shown_losses.cauchy(prediction, target, *, scale=1.0, reduction='mean'")
    assert r"Cauchy's loss \x1b[31m." in output
    assert "with respect to prediction (" in output
    assert "Built-ins" not in output
    fourth = invoke("show", "shown_losses:fourth")
    assert re.search("[\u2801-\u28ff]", fourth)
    assert "slope by difference quotients." in fourth
    assert "automatic differentiation" in fourth
    assert invoke("show", "shown_losses:exits").count("\nnone: SystemExit: 3\n") == 2
    known = "shown_losses has no loss called tversky; it has cauchy, fourth, exits\n"
    assert invoke("show", "shown_losses:tversky", status=2) == known
    assert invoke("show", "no_such_losses.py:cauchy", status=2).startswith("no_such_losses.py: there is no file ")


def test_guide_answers_every_task() -> None:
    output = invoke("guide")
    for task in ("multi-class", "binary", "multi-label", "regression", "outliers", "class imbalance", "similarity"):
        assert task in output


def test_as_a_module() -> None:
    result = subprocess.run([sys.executable, "-m", "polyloss", "--help"], capture_output=True, text=True, check=True)
    for command in ("conformance", "losses", "show", "guide"):
        assert command in result.stdout


def test_a_process_that_ends_is_a_failure_of_its_part_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two losses on NumPy, shared out: the module of one ends the process that asks for it, the other is done."""
    (tmp_path / "ending.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing, os, polyloss

            @polyloss.elementwise
            def steady(xp, prediction, target, **call):
                error = prediction - target
                return error**2, lambda: 2 * error, lambda: -2 * error

            @polyloss.elementwise
            def ending(xp, prediction, target, **call):
                if multiprocessing.parent_process() is not None:
                    os._exit(3)
                return prediction - target, lambda: 1.0 + 0.0 * prediction, lambda: -1.0 + 0.0 * prediction
            """
        )
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    order = workers.Order(("numpy",), extent="quick", module="ending")
    heard: list[str] = []
    pool = workers._Pool(order, order.selection(), lambda backend, what, total, more: heard.append(what))
    found = pool.run()
    lost = [(r.loss, r.message) for r in found if not r.passed]
    assert lost == [("ending", "the process ended with 3")]
    assert any(r.loss == "steady" and r.check == "value and gradient" for r in found)
    assert "steady" in heard
