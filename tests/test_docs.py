"""README, CONTRIBUTING, CHANGELOG and docs say what is true: examples run, links lead somewhere, tables are up to date.

``pytest tests/test_docs.py --update-docs`` writes the generated tables.
"""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import editions  # noqa: E402

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((*ROOT.glob("docs/**/*.md"), *ROOT.glob("polyloss/**/*.md"))),
]
FRAMEWORKS = ("torch", "jax", "tensorflow", "keras", "mlx")
OTHERS = {"export": ("onnxruntime", "onnxscript", "ndonnx"), "boosting": ("xgboost", "lightgbm", "catboost")}
"""Libraries of blocks that have an environment of their own, by its marker."""


def code_blocks() -> Iterator[object]:
    """Every Python block of a document, marked with the framework that it imports.

    Those of other editions are the same: test_editions.py proves it.
    """
    for document in (document for document in DOCUMENTS if not editions.edition_of(document)):
        text = document.read_text()
        for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text[: match.start()].count("\n") + 2
            used = _imported(FRAMEWORKS, match[1])
            mark = "cross" if len(used) > 1 else used[0] if used else "docs"
            mark = next((mark for mark, names in OTHERS.items() if _imported(names, match[1])), mark)
            yield pytest.param(
                "\n" * (line - 1) + match[1],
                document,
                marks=getattr(pytest.mark, mark),
                id=f"{document.relative_to(ROOT)}:{line}",
            )


def _imported(libraries: Iterable[str], code: str) -> list[str]:
    return [name for name in libraries if re.search(rf"^\s*(import|from) (polyloss_)?{name}\b", code, re.MULTILINE)]


@pytest.mark.parametrize(("code", "document"), list(code_blocks()))
def test_example_runs(code: str, document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [name for names in OTHERS.values() for name in _imported(names, code)]
    for framework in (*FRAMEWORKS, *others):
        if re.search(rf"\b{framework}\b", code) and importlib.util.find_spec(framework) is None:
            pytest.skip(f"{framework} is not installed")
    if ">>> " in code:
        import doctest

        test = doctest.DocTestParser().get_doctest(code, {}, document.name, str(document), 0)
        lines: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        assert runner.run(test, out=lines.append).failed == 0, "".join(lines)
    else:
        exec(compile(code, str(document), "exec"), {"__name__": "__example__"})
        printed = table_rows(capsys.readouterr().out)
        below = table_rows("\n".join(document.read_text().splitlines()[code.count("\n") :]))
        assert [row for row in printed if not any(agree(row, told) for told in below)] == []


def table_rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables in a text, head and rule included."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


def agree(row: list[str], told: list[str]) -> bool:
    """Whether the rows are the same, but for two units in the last place of a number that has a point.

    What is measured depends a little on the processor.
    """

    def same(cell: str, other: str) -> bool:
        if not all(re.fullmatch(r"-?\d+\.\d+", text) for text in (cell, other)):
            return cell == other
        places = len(other.partition(".")[2])
        return len(cell.partition(".")[2]) == places and abs(float(cell) - float(other)) < 2.5 * 10**-places

    return len(row) == len(told) and all(map(same, row, told))


@pytest.mark.docs
def test_a_row_that_was_not_measured_is_noticed() -> None:
    assert agree(["huber", "0.53"], ["huber", "0.55"])
    assert not agree(["huber", "0.53"], ["huber", "0.56"])
    assert not agree(["huber", "0.53"], ["huber", "0.5"])
    assert not agree(["huber", "1"], ["huber", "2"])
    assert not agree(["huber", "0.53"], ["l1", "0.53"])
    assert not agree(["huber", "0.53"], ["huber", "0.53", "0.53"])


@pytest.mark.docs
def test_type_checkers_read_the_examples_of_own_losses(pytestconfig: pytest.Config) -> None:
    """A copy of them is among the files that mypy and pyright check."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "custom.md").read_text(), re.MULTILINE | re.DOTALL)
    head = '"""The examples of docs/custom.md, copied by ``pytest tests/test_docs.py --update-docs``."""'
    marks = ["# ruff: noqa", "# fmt: off", "# pyright: reportDuplicateImport=false"]
    copy, path = "\n".join([head, *marks, "", *blocks]), ROOT / "tests" / "typing" / "custom.py"
    if pytestconfig.getoption("--update-docs"):
        path.write_text(copy)
    assert path.read_text() == copy


@pytest.mark.docs
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_paths_exist(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (document.parent / link).exists()] == []
    folders = "polyloss|backends|conformance|tests|examples|docs|benchmarks"
    paths = re.findall(rf"`((?:{folders})/[\w./-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.docs
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_exist(document: Path) -> None:
    import polyloss

    names = set(re.findall(r"\bpolyloss\.(\w+)", document.read_text())) - {"compat", "md"}
    assert [name for name in sorted(names) if not hasattr(polyloss, name)] == []


@pytest.mark.docs
def test_nobody_is_sent_to_the_wrong_distribution() -> None:
    """The name polyloss belongs to somebody else on the package index."""
    files = [p for s in ("md", "py", "toml", "ini", "txt") for p in ROOT.glob(f"**/*.{s}") if ".tox" not in p.parts]
    wrong = re.compile(r"(pip|uv) (install|add) (-\S+ )*['\"]?polyloss(?!-array)\b")
    assert [str(path) for path in files if wrong.search(path.read_text())] == []


@pytest.mark.docs
def test_commands_are_the_ones_that_run() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "\npip install tox && tox\n" in readme
    assert '\npip install ".[all]" -c constraints.txt && polyloss conformance\n' in readme
    assert "pip install tox && tox;" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.docs
def test_constraints_admit_what_the_project_requires() -> None:
    """Each requirement of pyproject.toml is pinned once."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = project["project"]["optional-dependencies"] | project["dependency-groups"]
    required = [project["project"]["dependencies"], *lists.values()]
    lines = [line for part in required for line in part if isinstance(line, str)]
    names = {re.split(r"[<>=\[; ]", line)[0] for line in lines} - {"polyloss-array", "tensorflow"}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pinned = [line.partition("==")[0] for line in lines]
    assert len(set(pinned)) == len(pinned)
    assert all("==" in line for line in lines)
    assert names <= set(pinned)


@pytest.fixture
def compare(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Compares a generated table with a document, without what matches `drop`, or writes it there."""

    def check(name: str, table: str, drop: str = r"(?!)", document: str = "README.md") -> None:
        path = ROOT / document
        text = path.read_text()
        pattern = re.compile(rf"(<!-- begin {name}: [^>]*-->\n)(.*?)(<!-- end {name} -->)", re.DOTALL)
        match = pattern.search(text)
        assert match is not None
        if pytestconfig.getoption("--update-docs"):
            path.write_text(text[: match.start(2)] + table.strip() + "\n" + text[match.end(2) :])
        else:
            written, wanted = (re.sub(drop, "|", text.strip(), flags=re.MULTILINE) for text in (match[2], table))
            assert written == wanted

    return check


@pytest.mark.docs
@pytest.mark.parametrize("page", ["compatibility", "rosetta"])
def test_page_is_up_to_date(page: str, pytestconfig: pytest.Config) -> None:
    from polyloss_conformance import compatibility, rosetta

    markdown = {"compatibility": compatibility.markdown, "rosetta": rosetta.markdown}[page]()
    path = ROOT / "docs" / f"{page}.md"
    if pytestconfig.getoption("--update-docs"):
        path.write_text(markdown)
    assert path.read_text() == markdown


@pytest.mark.docs
def test_guide_table_is_up_to_date(compare: Callable[..., None]) -> None:
    from polyloss_conformance import guide

    compare("guide", guide.markdown())


@pytest.mark.docs
def test_table_of_ratios_is_what_was_measured(compare: Callable[..., None]) -> None:
    import json

    from polyloss_benchmarks import summary

    data = json.loads((ROOT / "benchmarks" / "results" / "bench.json").read_text())
    compare("ratios", summary.markdown(data))


@pytest.mark.docs
def test_table_of_slopes_is_what_was_measured(compare: Callable[..., None]) -> None:
    import json

    from polyloss_benchmarks import growth

    data = json.loads((ROOT / "benchmarks" / "results" / "growth.json").read_text())
    compare("slopes", growth.markdown(data), document="benchmarks/results/README.md")


@pytest.mark.docs
def test_tables_of_several_processes_are_what_was_measured(compare: Callable[..., None]) -> None:
    import json

    from polyloss_benchmarks import summary

    data = json.loads((ROOT / "benchmarks" / "results" / "distributed.json").read_text())
    compare("processes", summary.processes(data), document="docs/scale.md")


@pytest.mark.cross
def test_traps_table_is_up_to_date(compare: Callable[..., None], backends: list[object]) -> None:
    if len(backends) < 6:
        pytest.skip("needs every framework")
    command = [sys.executable, "-P", str(ROOT / "examples" / "traps.py")]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # How wrong a built-in is may depend on the processor.
    compare("traps", table, drop=r"(?<=` )\|[^|]+\|")
    for line in table.splitlines()[2:]:
        builtin, ours, exact = line.split(" | ")[2:]
        exact = exact.partition(" ")[0]
        assert ours == exact or (ours, exact) == ("ValueError", "an")
        assert builtin != exact


@pytest.mark.export
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.* is deprecated:DeprecationWarning")
def test_table_of_arrays_is_what_was_found(compare: Callable[..., None]) -> None:
    from . import kinds
    from .conftest import installed

    missing = [one.package for one in kinds.KINDS if not installed(one.package)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    compare("arrays", kinds.markdown(), document="docs/arrays.md")


@pytest.mark.docs
@pytest.mark.parametrize("page", editions.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_of_other_editions_are_the_english_ones(page: Path, pytestconfig: pytest.Config) -> None:
    """Made after those, from phrases: none is missing, and none is there for nothing."""
    file = f"docs/{editions.edition_of(page)}/phrases.toml"
    known = editions.phrases(editions.edition_of(page))
    tables = editions.TABLE.findall(editions.original(page).read_text(encoding="utf-8"))
    made = {name: editions.translate(table, known.get(name, {})) for name, _, table in tables}
    for name, (_, needed) in made.items():
        missing, unused = needed - set(known.get(name, {})), set(known.get(name, {})) - needed
        assert sorted(missing) == [], f"{file} lacks phrases in [{name}], a table of {page.relative_to(ROOT)}"
        assert sorted(unused) == [], f"{file} has phrases in [{name}] that {page.relative_to(ROOT)} does not need"
    old = page.read_text(encoding="utf-8")
    text = editions.TABLE.sub(lambda mark: mark[1] + mark[2] + made[mark[1]][0], old)
    if pytestconfig.getoption("--update-docs"):
        page.write_text(text, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == text
