"""The installed wheel holds its packages, their types, and nothing else."""

import re
from importlib import metadata
from pathlib import PurePosixPath

import pytest

PACKAGES = {
    "polyloss",
    "polyloss_autodiff",
    "polyloss_benchmarks",
    "polyloss_conformance",
    "polyloss_jax",
    "polyloss_keras",
    "polyloss_mlx",
    "polyloss_numpy",
    "polyloss_tensorflow",
    "polyloss_torch",
}


@pytest.fixture(scope="module")
def files() -> list[PurePosixPath]:
    try:
        found = metadata.files("polyloss-array")
    except metadata.PackageNotFoundError:
        pytest.skip("runs on the installed wheel")
    assert found
    if any(path.name.endswith(".pth") for path in found):
        pytest.skip("an editable installation")
    return [PurePosixPath(path) for path in found if path.suffix != ".pyc"]


def test_exactly_eight_packages(files: list[PurePosixPath]) -> None:
    tops = {path.parts[0] for path in files if not path.parts[0].endswith(".dist-info") and path.parts[0] != ".."}
    assert tops == PACKAGES


def test_every_package_is_typed(files: list[PurePosixPath]) -> None:
    assert {path.parts[0] for path in files if path.name == "py.typed"} == PACKAGES


def test_no_tests_and_no_leftovers(files: list[PurePosixPath]) -> None:
    allowed = {".py", ".typed", ".html", ".json", ".toml", ".j2"}
    inside = [path for path in files if path.parts[0] in PACKAGES]
    assert {path.suffix or path.name for path in inside} <= allowed | {"py.typed"}
    assert not [path for path in inside if path.name.startswith(("test_", "conftest"))]


def test_license_and_command_are_there(files: list[PurePosixPath]) -> None:
    assert any(path.name == "LICENSE" for path in files)
    commands = metadata.entry_points(group="console_scripts", name="polyloss")
    assert [command.value for command in commands] == ["polyloss.__main__:main"]


def test_the_wheel_is_what_is_tested(pytestconfig: pytest.Config, files: list[PurePosixPath]) -> None:
    import polyloss

    assert not polyloss.__file__.startswith(str(pytestconfig.rootpath / "polyloss"))


def test_dependencies_are_two() -> None:
    try:
        required = metadata.requires("polyloss-array") or []
    except metadata.PackageNotFoundError:
        pytest.skip("runs on the installed wheel")
    always = {re.split(r"[^\w-]", line)[0] for line in required if "extra ==" not in line}
    assert always == {"array-api-compat", "numpy"}
