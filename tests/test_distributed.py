"""Losses over several processes and devices: `polyloss.distributed`. The programs are in ``tests/distributed``."""

import copy
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import distributed
from polyloss.core.collectives import Alone, SplitRows

from .conftest import Selection
from .test_docs import agree, table_rows

SECONDS = 400
"""A member that waits for another one forever is a failure, too."""
PROGRAMS = [
    ("torch", "torch_members.main(2)"),
    ("torch", "torch_members.main(4)"),
    ("jax", "jax_members.main()"),
    ("tensorflow", "tensorflow_members.main()"),
]
EXAMPLES = [
    ("torch", "vocabulary_parallel"),
    ("torch", "ignored_tokens"),
    ("torch", "contrastive"),
    ("jax", "vocabulary_parallel_jax"),
]
# What is computed is in question, and not the code that is made of it.
XLA_FLAGS = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)
ROOT = Path(__file__).parent.parent


def under_test(table: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The lines of the frameworks that are to be tested. Only what is started imports them."""
    return [line for line in table if line[0] in Selection.names]


@pytest.mark.distributed
@pytest.mark.parametrize(("framework", "program"), under_test(PROGRAMS))
def test_members_find_what_one_process_finds(framework: str, program: str) -> None:
    # Behind what is installed: that is what shall be tested.
    module = program.partition(".")[0]
    code = f"import sys; sys.path.append({str(ROOT)!r})\nfrom tests.distributed import {module}\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | ({"XLA_FLAGS": XLA_FLAGS} if framework == "jax" else {}),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "finished\n"), f"{done.stdout}\n{done.stderr[-4000:]}"


@pytest.mark.distributed
@pytest.mark.parametrize(("framework", "name"), under_test(EXAMPLES))
def test_examples_equal_one_process(framework: str, name: str) -> None:
    command = [sys.executable, "-P", str(ROOT / "examples" / f"{name}.py"), "--steps", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    _, *lines = done.stdout.splitlines()
    numbers = [[float(word) for word in line.split() if word[:1].isdigit()] for line in lines]
    if name.startswith("vocabulary_parallel"):
        assert all(ours == pytest.approx(alone, abs=2e-5) for _, ours, alone in numbers[:2])
        assert numbers[1][1] < numbers[0][1] - 2.0, "nothing was learned"
        assert numbers[2][0] < 1e-5
    elif name == "contrastive":
        (alone,), (ours, apart), (naive, _) = numbers
        assert ours == pytest.approx(alone, abs=2e-5)
        assert apart < 1e-4 < 1e-2 < abs(naive - alone)
    else:
        assert numbers[0][0] < 1e-5 < 1e-2 < numbers[1][0]


LOOPS = [
    ("torch", "PyTorch", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"], ""),
    ("jax", "JAX", [], ""),
    (
        "tensorflow",
        "TensorFlow",
        [],
        "import tensorflow as tf\n"
        "two = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0], two)\n",
    ),
]


@pytest.mark.distributed
@pytest.mark.parametrize(("row", "launcher", "before"), [loop[1:] for loop in LOOPS if loop[0] in Selection.names])
def test_training_loops_of_the_page_print_the_same_on_several_devices(
    row: str, launcher: list[str], before: str, tmp_path: Path
) -> None:
    """As `tests/test_docs.py` sees them print on one."""
    page = (ROOT / "docs" / "distributed.md").read_text()
    (code,) = (
        block
        for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        if f"| {row} |" in block
    )
    script = tmp_path / "train.py"
    # Only where there are several is anything proved.
    counted = {"PyTorch": "members", "JAX": "len(jax.devices())", "TensorFlow": "strategy.num_replicas_in_sync"}[row]
    script.write_text(f"{before}{code}assert {counted} > 1\n")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XLA_FLAGS": XLA_FLAGS}
    command = [sys.executable, *launcher, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    (printed,) = table_rows(done.stdout)
    (told,) = (cells for cells in table_rows(page) if cells[0] == row and len(cells) == len(printed))
    assert agree(printed, told)


def test_one_process_gives_the_same_bits(backend: Any) -> None:
    x, ids = backend.array([[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]]), backend.array([0, 2])
    count = backend.array([1.0, 1.0])
    if backend.framework == "jax":
        # Whether there are others, the name of an axis tells.
        with pytest.raises(TypeError, match=r"group must be the name of an axis .* got None"):
            distributed.total(count)
        return
    split = distributed.sharded(polyloss.cross_entropy)
    expected, gradient = polyloss.value_and_grad(polyloss.cross_entropy)(x, ids)
    value, found = polyloss.value_and_grad(split)(x, ids)
    assert backend.numpy(value) == backend.numpy(expected)
    np.testing.assert_array_equal(backend.numpy(found), backend.numpy(gradient))
    smooth = split.partial(label_smoothing=0.1)(x, ids)
    assert backend.numpy(smooth) == backend.numpy(polyloss.cross_entropy(x, ids, label_smoothing=0.1))
    np.testing.assert_array_equal(backend.numpy(distributed.total(count)), [1.0, 1.0])
    np.testing.assert_array_equal(backend.numpy(distributed.average(count)), [1.0, 1.0])
    np.testing.assert_array_equal(backend.numpy(distributed.replicated(x)), backend.numpy(x))


def test_one_loss_for_the_same_arguments() -> None:
    split = distributed.sharded(polyloss.cross_entropy)
    assert split is distributed.sharded(polyloss.cross_entropy)
    assert repr(split) == "polyloss.distributed.sharded(<polyloss loss cross_entropy>)"
    assert split.__name__ == "cross_entropy"
    # A model that has it can be copied, as for averages of its weights.
    assert copy.deepcopy([split])[0] is split
    assert copy.copy(split) is split
    with pytest.raises(TypeError, match="sharded: cross_entropy is split over a group already"):
        distributed.sharded(split)
    with pytest.raises(TypeError, match="belongs to its process, as its group does"):
        pickle.dumps(split)
    batch: Any = distributed.data_parallel(polyloss.info_nce, ring=True)
    rows: Any = distributed.data_parallel(polyloss.cross_entropy)
    no_loss: Any = np.mean
    same: Any = distributed.data_parallel(polyloss.info_nce, ring=True)
    assert batch is same
    assert copy.deepcopy([batch.partial(symmetric=True)])[0].defaults["symmetric"]
    with pytest.raises(TypeError, match="data_parallel: the examples of info_nce are spread over a group already"):
        distributed.data_parallel(batch)
    with pytest.raises(TypeError, match="data_parallel: the classes of cross_entropy are split over this group"):
        distributed.data_parallel(split)
    with pytest.raises(TypeError, match=r"classes are split first, as in data_parallel\(sharded"):
        distributed.sharded(rows)
    with pytest.raises(TypeError, match="ring is for a loss that compares examples, and huber does not"):
        distributed.data_parallel(polyloss.huber, ring=True)
    with pytest.raises(TypeError, match=r"must be a loss, such as polyloss\.cross_entropy, or a sum of losses, got"):
        distributed.data_parallel(no_loss)


@pytest.mark.parametrize("loss", [polyloss.mse, polyloss.info_nce, np.mean, polyloss.cross_entropy * 2])
def test_what_has_no_rows_is_refused(loss: Any) -> None:
    with pytest.raises(TypeError, match=r"sharded: loss must be a row-wise loss, such as polyloss.cross_entropy, got"):
        distributed.sharded(loss)


def test_what_the_framework_differentiates_is_refused() -> None:
    @polyloss.rowwise(autodiff=True)
    def own(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        return xp.sum((prediction - target) ** 2, axis=-1)

    with pytest.raises(TypeError, match="sharded: own has no gradient in closed form: its rows must be whole"):
        distributed.sharded(own)


def test_bad_groups_and_counts() -> None:
    with pytest.raises(TypeError, match="group must be None, for arrays of numpy are in one process, got 'classes'"):
        distributed.total(np.ones(2), "classes")
    with pytest.raises(TypeError, match="total: count must be an array, which tells the framework, got int 3"):
        distributed.total(3)
    with pytest.raises(TypeError, match=r"average: count must be a number of examples, got booleans; mask.sum\(\)"):
        distributed.average(np.ones(2, dtype=bool))
    with pytest.raises(TypeError, match="sharded: group must be one of a framework, or a tuple of axes, got list"):
        distributed.sharded(polyloss.cross_entropy, ["classes"])


namespace: Any = np


@pytest.mark.parametrize("name", ["vecdot", "matmul", "concat", "take_along_axis", "mean"])
def test_what_may_see_a_part_of_a_row_is_refused(name: str) -> None:
    rows = SplitRows(namespace, lambda array: Alone(), np.zeros((2, 3)), "own")
    with pytest.raises((TypeError, AttributeError), match=f"own needs whole rows, for its kernel uses {name}"):
        getattr(rows, name)
