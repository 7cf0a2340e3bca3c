"""The example scripts run, as a user would run them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def examples(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath / "examples"


def run(script: Path, *arguments: str) -> str:
    command = [sys.executable, "-P", str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def digits(examples: Path, *frameworks: str) -> tuple[list[str], list[list[float]], list[float], float]:
    out = run(examples / "digits.py", "--only", *frameworks)
    header, *lines = out.splitlines()
    curves = [[float(x) for x in line.split()[1:]] for line in lines if re.match(r" *\d+ ", line)]
    (accuracy,) = [[float(x) for x in line.split()[1:]] for line in lines if line.startswith("test")]
    return header.split()[1:], curves, accuracy, float(lines[-1].split()[-1])


def test_digits(backends: list[object], examples: Path) -> None:
    """Every framework learns, and all take the same path."""
    pytest.importorskip("sklearn")
    frameworks = list(dict.fromkeys(str(vars(type(one)).get("framework", "numpy")) for one in backends))
    names, curves, accuracy, difference = digits(examples, *frameworks)
    assert names == frameworks
    assert len(curves) == 20
    assert all(len(row) == len(names) for row in curves)
    assert max(curves[-1]) < 0.42 < 1.0 < min(curves[0])
    assert min(accuracy) > 0.95
    assert difference == pytest.approx(max(max(row) - min(row) for row in curves), abs=1e-7)
    assert difference < 1e-4


def test_digits_with_numpy_alone(examples: Path) -> None:
    pytest.importorskip("sklearn")
    _, curves, accuracy, difference = digits(examples, "numpy")
    assert curves[-1][0] < curves[0][0]
    assert accuracy[0] > 0.95
    assert difference == 0


def test_migrate(examples: Path) -> None:
    """The twin, the built-in where it is installed, and polyloss' own words agree."""
    numbers = {tuple(line.split()[-3:]) for line in run(examples / "migrate.py").splitlines()}
    assert len(numbers) == 1


def test_outliers(examples: Path) -> None:
    lines = run(examples / "outliers.py").splitlines()[1:]
    found = {line.split()[0]: [float(x) for x in line.split()[-2:]] for line in lines}
    assert found.pop("mse")[1] > 2
    assert len(found) == 4
    assert np.abs(np.asarray(list(found.values())) - [2.0, 1.0]).max() < 0.05


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_mixed_precision(examples: Path, framework: str) -> None:
    """In 16 bits as many steps are skipped, and the scale ends where it does with the built-in."""
    pytest.importorskip("sklearn")
    pytest.importorskip(framework)
    lines = run(examples / "mixed_precision.py", "--only", framework).splitlines()[1:]
    assert len(lines) == 4
    for ours, builtin in (lines[:2], lines[2:]):
        dtype, (loss, *scaling), (expected, *scaling_of_builtin) = (
            ours.split()[1],
            ours.split()[3:],
            builtin.split()[3:],
        )
        assert scaling == scaling_of_builtin
        assert float(loss) == pytest.approx(float(expected), rel=0.01)
        assert float(loss) < 1.0
        assert (int(scaling[0]) > 0) == (dtype == "float16")


def test_larger_than_memory_with_dask(examples: Path) -> None:
    """In chunks the loss and the norm of its gradient are those of all rows at once."""
    pytest.importorskip("dask.array")
    lines = run(examples / "larger_than_memory_dask.py", "--rows", "50000", "--chunk", "8000", "--threads").splitlines()
    in_chunks, at_once = ([float(x) for x in line.split()[2:4]] for line in lines[1:])
    assert in_chunks == pytest.approx(at_once, rel=1e-5)
    assert in_chunks[0] == pytest.approx(2.73, abs=0.02)


def test_larger_than_memory_in_a_file(examples: Path) -> None:
    lines = run(examples / "larger_than_memory_memmap.py", "--rows", "50000", "--chunk", "8000").splitlines()
    in_chunks, at_once = ([float(x) for x in line.split()[-2:]] for line in lines[1:3])
    assert in_chunks == pytest.approx(at_once, rel=1e-14)
    assert float(lines[3].split()[-1]) == 0.0
