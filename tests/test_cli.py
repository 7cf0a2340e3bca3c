"""The command line."""

import json
import re
import subprocess
import sys
import textwrap
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

import polyloss
from polyloss_conformance import mutants, run
from polyloss_conformance.cli import app


def invoke(*arguments: str, status: int = 0) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    return tmp_path / "report.html", tmp_path / "report.json", tmp_path / "report.xml"


def conformance(files: tuple[Path, Path, Path], *arguments: str, status: int = 0) -> str:
    html, as_json, junit = map(str, files)
    return invoke(
        "conformance",
        "--backend",
        "numpy",
        "--html",
        html,
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
    assert "<script" not in page


def test_a_failure_is_exit_status_1(files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    alter = mutants.MUTANTS[0].alter
    assert alter is not None
    monkeypatch.setattr(polyloss, "mse", alter(polyloss.mse))
    output = conformance(files, "--loss", "mse", "--dtype", "float64", status=1)
    assert "gradient of prediction" in output
    html, as_json, junit = files
    assert "polyloss.mse(np.asarray(" in html.read_text()
    assert ElementTree.parse(junit).getroot().findall(".//failure")
    assert not json.loads(as_json.read_text())["passed"]


@pytest.mark.parametrize(
    "arguments",
    [("--loss", "nonsense"), ("--backend", "nonsense"), ("--dtype", "int8"), ("--losses", "no_such_module_anywhere")],
)
def test_a_name_that_matches_nothing_is_an_error(arguments: tuple[str, str]) -> None:
    output = invoke("conformance", "--no-html", *arguments, status=2)
    assert arguments[1] in output


def test_a_dtype_that_the_backend_lacks_is_an_error() -> None:
    assert "nothing" in invoke(
        "conformance", "--no-html", "--backend", "numpy", "--loss", "mse", "--dtype", "bfloat16", status=2
    )


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

    CASES = {{"cauchy": [((np.asarray([1.0, 2.0]), np.zeros(2)), {{"c": 2.0}})]}}
'''


@pytest.mark.parametrize(("sign", "status"), [("-", 0), ("+", 1)])
def test_losses_of_a_user(sign: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"own_losses_{status}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(OWN.format(sign=sign)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    output = invoke("conformance", "--backend", "numpy", "--losses", name, "--no-html", status=status)
    assert "quartic" in output
    assert "cauchy" in output
    assert ("difference quotient" in output) == bool(status)


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


def test_the_documented_loss_conforms(documented: Path) -> None:
    output = invoke("conformance", "--backend", "numpy", "--losses", f"../losses/{documented.name}", "--no-html")
    assert "cauchy" in output


@pytest.mark.cross
def test_the_documented_loss_conforms_on_every_backend(documented: Path) -> None:
    output = invoke("conformance", "--losses", str(documented), "--no-html")
    for name in (backend for backend in ("numpy", "torch", "jax", "tensorflow") if find_spec(backend) is not None):
        assert name in output


def test_losses_of_a_dotted_name(documented: Path) -> None:
    package = documented.parents[1] / "here" / "package_of_losses"
    package.mkdir()
    (package / "__init__.py").touch()
    documented.rename(package / documented.name)
    module = f"{package.name}.{documented.stem}"
    assert "cauchy" in invoke("conformance", "--backend", "numpy", "--losses", module, "--no-html")


@pytest.mark.parametrize("name", ["../x/y.py", "json.py", "no_such_module", "json.no_such_module"])
def test_losses_that_are_not_there(name: str, documented: Path) -> None:
    (Path.cwd() / "json.py").touch()
    assert f"--losses {name}" in invoke("conformance", "--backend", "numpy", "--losses", name, status=2)


def test_losses_lists_every_loss() -> None:
    output = invoke("losses")
    for loss in run.public_losses():
        assert loss in output
    assert "torch.huber_loss" in output


@pytest.mark.parametrize("loss", ["huber", "cross_entropy", "triplet_margin"])
def test_show(loss: str) -> None:
    output = invoke("show", loss)
    for part in (f"polyloss.{loss}(", "Parameters", "Gradient", "closed form", "polyloss.compat", "Where they deviate"):
        assert part in output


def test_show_of_an_unknown_loss_lists_the_known() -> None:
    assert "huber" in invoke("show", "nonsense", status=2)


def test_guide_answers_every_task() -> None:
    output = invoke("guide")
    for task in ("multi-class", "binary", "multi-label", "regression", "outliers", "class imbalance", "similarity"):
        assert task in output


def test_as_a_module() -> None:
    result = subprocess.run([sys.executable, "-m", "polyloss", "--help"], capture_output=True, text=True, check=True)
    for command in ("conformance", "losses", "show", "guide"):
        assert command in result.stdout
