"""The command without the extra that it needs."""

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from polyloss.__main__ import REQUIRED


@pytest.mark.parametrize("missing", [REQUIRED, ("mpmath",)], ids=len)
@pytest.mark.parametrize("arguments", [(), ("conformance", "--help")], ids=len)
def test_without_its_requirements_the_command_says_what_to_install(
    missing: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({missing!r})); from polyloss.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, check=False)
    missing = tuple(name for name in REQUIRED if name in missing or find_spec(name) is None)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"polyloss: the command needs {', '.join(missing)}, which losses do not: "
        'pip install "polyloss-array[conformance]"\n'
    )


def test_a_module_runs_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "polyloss", "--version"], capture_output=True, text=True, check=False
    )
    if all(map(find_spec, REQUIRED)):
        assert (done.returncode, done.stdout.split()[:1]) == (0, ["polyloss"])
    else:
        assert (done.returncode, done.stderr.split()[:1]) == (2, ["polyloss:"])


def test_the_extra_is_what_the_command_needs() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert tuple(line.partition(">=")[0] for line in extras["conformance"]) == REQUIRED
    assert [line.partition(">=")[0] for line in project["dependencies"]] == ["numpy", "array-api-compat"]
    everything = set(extras["all"][0].removeprefix("polyloss-array[").removesuffix("]").split(","))
    # Neither can be installed everywhere, or is small: they have environments of their own.
    assert everything == extras.keys() - {"all", "mlx", "boosting", "export"}
