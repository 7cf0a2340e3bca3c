"""`import polyloss` imports no framework and is quick, and an adapter imports its own alone."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

FRAMEWORKS = ("torch", "jax", "tensorflow", "keras", "optax", "mlx", "cupy", "dask", "array_api_strict", "sklearn")
ADAPTERS = {
    "polyloss_numpy": "numpy",
    "polyloss_torch": "torch",
    "polyloss_jax": "jax",
    "polyloss_tensorflow": "tensorflow",
    "polyloss_mlx": "mlx",
}
TIMES_NUMPY = 2.0
"""So many times what NumPy takes, on whatever machine. From a wheel it was 0.5 to 0.9, editable up to 1.4."""


def imported(code: str, names: Sequence[str] = FRAMEWORKS) -> set[str]:
    """Which of `names` are loaded after `code` ran in a fresh interpreter."""
    report = f"{code}\nimport json, sys\nprint('\\n' + json.dumps([n for n in {names!r} if n in sys.modules]))"
    out = subprocess.run([sys.executable, "-P", "-c", report], capture_output=True, text=True, check=True).stdout
    return set(json.loads(out.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import polyloss",
        "from polyloss import *",
        "import numpy as np, polyloss; polyloss.mse(np.ones(3), np.zeros(3))",
        "import numpy as np, polyloss; polyloss.value_and_grad(polyloss.huber)(np.ones(3), np.zeros(3))",
        "import polyloss.compat",
    ],
)
def test_core_imports_no_framework(code: str) -> None:
    assert imported(code) == set()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapter_imports_its_framework_alone(adapter: str) -> None:
    framework = ADAPTERS[adapter]
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    found = imported(f"import {adapter}")
    # TensorFlow imports JAX by itself, where that is installed.
    assert found == imported(f"import {framework}")
    assert framework in (*found, "numpy")


def test_this_test_can_fail() -> None:
    assert imported("import json.tool, wave", ("wave", "chunk", "turtle")) >= {"wave"}
    assert imported("import types, sys; sys.modules['torch'] = types.ModuleType('torch')") == {"torch"}


def import_times(module: str) -> tuple[float, float]:
    """Seconds that the imports of NumPy and then of a module take in a fresh interpreter."""
    code = (
        "import time\nt = time.process_time\nstart = t()\nimport numpy\nmiddle = t()\n"
        f"import {module}\nprint(middle - start, t() - middle)"
    )
    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    of_numpy, of_module = map(float, out.split())
    return of_numpy, of_module


def test_import_is_quick() -> None:
    import_times("polyloss")  # writes the byte code
    # What else the machine does only adds to it.
    of_numpy, of_polyloss = map(min, zip(*(import_times("polyloss") for _ in range(5)), strict=True))
    assert of_polyloss < TIMES_NUMPY * of_numpy


def test_import_time_is_measured() -> None:
    assert min(import_times("polyloss")) > 0.001
