"""`polyloss migrate` puts the twins in the place of the libraries' losses, and leaves all else as it is."""

import codecs
import importlib.util
import operator
from pathlib import Path
from types import SimpleNamespace

import pytest

libcst = pytest.importorskip("libcst")

from typer.testing import CliRunner  # noqa: E402

from polyloss_conformance.cli import app  # noqa: E402
from polyloss_conformance.migrate import PLACES, _names, migrate, migrate_file, twin_of  # noqa: E402

INSTALLED = [top for top in ("torch", "keras", "optax", "tensorflow") if importlib.util.find_spec(top)]

BEFORE = """\
import torch
import torch.nn.functional as F
from keras.losses import Huber as H, Loss
from torch import nn
from torch.nn.functional import huber_loss, relu

criterion = nn.CrossEntropyLoss( label_smoothing=0.1 )   # as it was


class Model(nn.Module):
    def loss(self, x, y):
        return F.mse_loss(x, y) + relu(huber_loss(x, y,
                                                  delta=2.0))


losses = [H(2.0), nn.LinearCrossEntropyLoss(), torch.nn.functional.l1_loss]
"""
AFTER = """\
from keras.losses import Loss
from torch import nn
from torch.nn.functional import relu
from polyloss.compat import keras as keras_losses, torch as torch_losses

criterion = torch_losses.CrossEntropyLoss( label_smoothing=0.1 )   # as it was


class Model(nn.Module):
    def loss(self, x, y):
        return torch_losses.mse_loss(x, y) + relu(torch_losses.huber_loss(x, y,
                                                  delta=2.0))


losses = [keras_losses.Huber(2.0), torch_losses.LinearCrossEntropyLoss(), torch_losses.l1_loss]
"""


def test_a_script() -> None:
    found = migrate(BEFORE)
    assert found.code == AFTER
    assert [(c.line, c.before, c.after) for c in found.changes] == [
        (7, "nn.CrossEntropyLoss", "torch_losses.CrossEntropyLoss"),
        (12, "F.mse_loss", "torch_losses.mse_loss"),
        (12, "huber_loss", "torch_losses.huber_loss"),
        (16, "H", "keras_losses.Huber"),
        (16, "nn.LinearCrossEntropyLoss", "torch_losses.LinearCrossEntropyLoss"),
        (16, "torch.nn.functional.l1_loss", "torch_losses.l1_loss"),
    ]
    assert "Shapes that differ are broadcast" in " ".join(found.changes[1].remarks)
    assert migrate(found.code).code == found.code


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "from torch.nn.modules.loss import MSELoss\nMSELoss(size_average=False)\n",
            "torch_losses.MSELoss(size_average=False)\n",
        ),
        ("from torch import nn\nnn.modules.loss.L1Loss()\n", "torch_losses.L1Loss()\n"),
        ("import torch.nn.functional as F\nF.mse_loss(*pair)\n", "torch_losses.mse_loss(*pair)\n"),
        ("import optax\noptax.huber_loss(1, 2)\n", "optax_losses.huber_loss(1, 2)\n"),
        ("import optax\noptax.losses.huber_loss(1, 2)\n", "optax_losses.huber_loss(1, 2)\n"),
        ("import tensorflow as tf\ntf.nn.l2_loss(t)\n", "tf_losses.l2_loss(t)\n"),
        ("import tensorflow as tf\ntf.keras.losses.Huber()\n", "keras_losses.Huber()\n"),
        ("from tensorflow.keras import losses\nlosses.huber(y, p)\n", "keras_losses.huber(y, p)\n"),
        ("import keras\nkeras.losses.Huber()\n", "keras_losses.Huber()\n"),
    ],
)
def test_names_are_known_whatever_they_were_imported_as(before: str, after: str) -> None:
    library = after.partition("_")[0]
    assert migrate(before).code == f"from polyloss.compat import {library} as {library}_losses\n\n{after}"


@pytest.mark.parametrize(
    "code",
    [
        "import torch\nmodel = torch.nn.Linear(3, 4)\n",
        "def mse_loss(a, b):\n    return a - b\nmse_loss(1, 2)\n",
        "import mine as F\nF.mse_loss(1, 2)\n",
        "import torch.nn.functional as F\ndef loss(F):\n    return F.mse_loss(1, 2)\n",
        "call(mse_loss=3)\n",
        "",
    ],
)
def test_what_is_no_loss_of_a_library_stays(code: str) -> None:
    found = migrate(code)
    assert found.code == code
    assert found.changes == []


def test_a_name_that_is_taken_is_not_used_again() -> None:
    found = migrate("import torch.nn.functional as F\ntorch_losses = [F.mse_loss]\n")
    assert (
        found.code == "from polyloss.compat import torch as torch_losses_\n\ntorch_losses = [torch_losses_.mse_loss]\n"
    )


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"),
        ("SparseCategoricalCrossentropy", "SparseCategoricalCrossentropy"),
        ("categorical_crossentropy", "CategoricalCrossentropy"),
        ("bce", "BinaryCrossentropy"),
        ("MAPE", "MeanAbsolutePercentageError"),
        ("msle", "MeanSquaredLogarithmicError"),
    ],
)
def test_a_string_names_the_loss_that_keras_means(name: str, twin: str) -> None:
    found = migrate(f'model.compile("sgd", loss="{name}")\n')
    assert f"polyloss.compat.keras.{twin}() is the twin" in found.changes[0].remarks[0]


@pytest.mark.parametrize("call", ['loss="mse"', '"mse"', 'loss=["mse"]', 'loss={"out": "mse"}'])
def test_a_loss_named_by_a_string_is_pointed_out(call: str) -> None:
    code = f'model.compile("sgd", {call})\n'
    found = migrate(code)
    assert found.code == code
    assert "polyloss.compat.keras.MeanSquaredError() is the twin" in found.changes[0].remarks[0]


@pytest.mark.parametrize(
    "use",
    [
        "isinstance(x, nn.MSELoss)",
        "issubclass(x, (nn.MSELoss, int))",
        "type(x) is nn.MSELoss",
        "x in (nn.MSELoss,)",
        "nn.MSELoss = 3",
        "match x:\n    case nn.MSELoss():\n        pass",
    ],
)
def test_what_is_compared_or_changed_stays(use: str) -> None:
    code = f"import torch.nn as nn\n{use}\n"
    found = migrate(code)
    assert found.code == code
    assert [(change.before, change.after) for change in found.changes] == [("nn.MSELoss", "nn.MSELoss")]
    assert found.changes[0].remarks[0].startswith(("something is compared with it", "it is changed"))


@pytest.mark.parametrize(
    "code",
    [
        "import torch.nn as nn\nnn = load()\nx = nn.MSELoss()\n",
        "try:\n    from torch.nn import MSELoss\nexcept ImportError:\n    from mine import MSELoss\nx = MSELoss()\n",
        "import torch.nn as F\nimport mine as F\nx = F.MSELoss()\n",
    ],
)
def test_a_name_that_may_be_something_else_stays(code: str) -> None:
    found = migrate(code)
    assert found.code == code
    assert [change.remarks for change in found.changes] == [("the name may be something else here",)]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_file_keeps_its_bytes(tmp_path: Path, mark: bytes, ends: str) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(mark + BEFORE.replace("\n", ends).encode())
    migrate_file(path)
    assert path.read_bytes() == mark + BEFORE.replace("\n", ends).encode()
    migrate_file(path, write=True)
    assert path.read_bytes() == mark + AFTER.replace("\n", ends).encode()


def test_other_encodings_and_notebooks(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_bytes("# -*- coding: latin-1 -*-\n# é\nimport optax\noptax.huber_loss(1, 2)\n".encode("latin-1"))
    migrate_file(path, write=True)
    assert "# é" in path.read_bytes().decode("latin-1")
    assert b"optax_losses.huber_loss" in path.read_bytes()
    notebook = tmp_path / "train.ipynb"
    notebook.write_text("{}")
    with pytest.raises(ValueError, match="a notebook is no script"):
        migrate_file(notebook)


@pytest.mark.parametrize(
    ("code", "before"),
    [
        ("import optax\noptax.losses.unheard_of_loss(1, 2)\n", "optax.losses.unheard_of_loss"),
        ("from torch.nn.functional import *\nmse_loss(1, 2)\n", "from torch.nn.functional import *"),
        # The twin refuses it, and says what to write.
        ("import torch.nn.functional as F\nF.mse_loss(1, 2, size_average=False)\n", "F.mse_loss"),
        ("import torch.nn.functional as F\nF.mse_loss(1, 2, False)\n", "F.mse_loss"),
        ("import torch.nn.functional as F\nF.cross_entropy(1, 2, reduce=False)\n", "F.cross_entropy"),
        ("from torch import nn\nnn.PoissonNLLLoss(eps=1e-6)\n", "nn.PoissonNLLLoss"),
        ("from torch import nn\nnn.TripletMarginLoss(1.0, 2.0, 1e-7)\n", "nn.TripletMarginLoss"),
        ("import optax\noptax.cosine_distance(x, y, 1e-8)\n", "optax.cosine_distance"),
        # It draws a sample, and its twin has to be given one.
        ("import tensorflow as tf\ntf.nn.nce_loss(w, b, y, x, 8, 99)\n", "tf.nn.nce_loss"),
        ("import tensorflow as tf\nloss = tf.nn.sampled_softmax_loss\n", "tf.nn.sampled_softmax_loss"),
    ],
)  # fmt: skip
def test_what_is_left_behind_is_told(code: str, before: str) -> None:
    found = migrate(code)
    assert found.code == code
    assert [(change.before, change.after) for change in found.changes] == [(before, before)]


@pytest.mark.parametrize("sample", ["8, 99, sampled_values=s", "8, 99, 1, s", "*sizes", "**sizes"])
def test_a_loss_of_a_sample_is_replaced_where_it_is_given_one(sample: str) -> None:
    found = migrate(f"import tensorflow as tf\ntf.nn.nce_loss(w, b, y, x, {sample})\n")
    assert f"tf_losses.nce_loss(w, b, y, x, {sample})" in found.code


def test_a_short_name_has_the_remarks_of_its_function() -> None:
    short, full = (migrate(f"import keras\nkeras.losses.{n}(1, 2)\n").changes[0] for n in ("MSE", "mean_squared_error"))
    assert short.remarks == full.remarks != ()


def test_every_twin_is_found_where_its_library_has_it() -> None:
    """Beside the table of places, which this cannot prove for a library that is not installed."""
    for library, places in PLACES.items():
        tops = {place: place.partition(".")[0] for place in places}
        modules = [
            operator.attrgetter(place)(SimpleNamespace(**{top: importlib.import_module(top)}))
            for place, top in tops.items()
            if top in INSTALLED
        ]
        for name in _names(library):
            assert any(hasattr(module, name) for module in modules) or not modules, name
            assert any(twin_of(f"{place}.{name}") == (library, name) for place in places)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="runs a script of PyTorch")
def test_a_migrated_script_gives_the_same() -> None:
    script = """
import torch
import torch.nn.functional as F
torch.manual_seed(0)
logits, ids = torch.randn(6, 4, requires_grad=True), torch.arange(6) % 4
criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
loss = criterion(logits, ids) + F.smooth_l1_loss(logits[:, 0], logits[:, 1], beta=0.5)
loss.backward()
result = loss.item(), logits.grad.sum().item()
"""
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    exec(script, before)
    migrated = migrate(script).code
    assert migrated.count("torch_losses.") == 2
    exec(migrated, after)
    assert after["result"] == pytest.approx(before["result"], rel=1e-5, abs=1e-6)


def test_the_command(tmp_path: Path) -> None:
    run = CliRunner()
    path = tmp_path / "train.py"
    path.write_text(BEFORE)
    shown = run.invoke(app, ["migrate", str(path)])
    assert shown.exit_code == 0
    assert f"{path}:12: F.mse_loss -> torch_losses.mse_loss" in shown.output
    assert "6 losses to rewrite: --write does it" in shown.output
    assert path.read_text() == BEFORE
    assert "6 losses rewritten" in run.invoke(app, ["migrate", str(path), "--write"]).output
    assert path.read_text() == migrate(BEFORE).code
    path.write_text("def (:\n")
    wrong = run.invoke(app, ["migrate", str(path)])
    assert wrong.exit_code == 2
    assert "train.py: line 1: " in wrong.output
