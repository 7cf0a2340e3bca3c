"""What `import polyloss` promises: names, signatures, help, pickling, types."""

import ast
import inspect
import pickle
import pydoc
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyloss

from .ordinary import ordinary

LOSSES = [name for name in vars(polyloss)["__all__"] if isinstance(getattr(polyloss, name), polyloss.Loss)]
ROOT = Path(polyloss.__file__).parent
CALL = ["reduction", "sample_weight", "where", "denominator"]

# The first argument says what it holds; the second is the target.
PREDICTIONS = {
    "prediction",
    "logits",
    "log_probabilities",
    "log_prediction",
    "probabilities",
    "scores",
    "distance",
    "embedding",
    "x1",
    "anchor",
    "query",
    "hidden",
}


def loss(name: str) -> Any:
    return getattr(polyloss, name)


def test_all_losses_are_there() -> None:
    assert set(LOSSES) >= {
        *("cross_entropy", "linear_cross_entropy", "nll"),
        *("binary_cross_entropy", "binary_cross_entropy_with_logits"),
        *("mse", "l1", "huber", "smooth_l1", "log_cosh", "tukey_biweight", "mape", "msle"),
        *("contrastive", "contrastive_embedding", "triplet_margin"),
        *("poisson_nll", "gaussian_nll"),
        *("sigmoid_focal", "softmax_focal", "kl_divergence", "hinge", "squared_hinge"),
    }


def test_helpers_are_there() -> None:
    helpers = {"log_sum_exp", "log_softmax", "softmax", "softplus", "log_sigmoid", "sigmoid", "smooth_labels"}
    assert helpers | {"compile", "elementwise", "multi_task", "rowwise", "value_and_grad"} <= set(
        vars(polyloss)["__all__"]
    )


def test_all_is_complete() -> None:
    here = {name for name in vars(polyloss) if not name.startswith("_")}
    modules = {name for name in here if inspect.ismodule(getattr(polyloss, name))}
    assert here - modules - {"TYPE_CHECKING"} == set(vars(polyloss)["__all__"])
    assert sorted(set(vars(polyloss)["__all__"])) == list(vars(polyloss)["__all__"])


def test_every_loss_of_a_family_is_public() -> None:
    families = [path.stem for path in (ROOT / "losses").glob("[!_]*.py")]
    assert len(families) > 5
    for family in families:
        module = import_module(f"polyloss.losses.{family}")
        tree = ast.parse((ROOT / "losses" / f"{family}.py").read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        here = {name for name in defined if isinstance(getattr(module, name), polyloss.Loss)}
        assert {name for name in here if not name.startswith("_")} == set(module.__all__), family


@pytest.mark.parametrize("name", LOSSES)
def test_signature(name: str) -> None:
    parameters = inspect.signature(loss(name)).parameters
    kinds = {p.kind for p in parameters.values()}
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    arrays = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in arrays] == list(loss(name).arrays)
    assert all(p.default is p.empty for p in arrays)
    keywords = list(parameters)[len(arrays) :]
    assert keywords[-len(CALL) :] == CALL
    assert ("axis" in keywords) == loss(name).rowwise
    assert parameters["reduction"].default == "mean"
    assert all(p.annotation is not p.empty for p in parameters.values())


@pytest.mark.parametrize("name", LOSSES)
def test_argument_names_are_uniform(name: str) -> None:
    first, *rest = loss(name).arrays
    assert first in PREDICTIONS
    assert rest in (
        ["target"],
        ["x2", "target"],
        ["positive", "negative"],
        ["weight", "target"],
        ["key"],
        ["target", "variance"],
        ["target", "logit_lengths", "target_lengths"],
    )


@pytest.mark.parametrize("name", LOSSES)
def test_signature_is_what_a_call_takes(name: str) -> None:
    """A keyword of the signature, with its default, changes nothing; an unknown one is refused."""
    entry = loss(name)
    rows = np.asarray([[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]])
    values: dict[str, Any] = dict.fromkeys(entry.arrays, rows)
    if "log_probabilities" in values:
        values["log_probabilities"] = np.log(rows)
    domain = entry.domains.get("target", polyloss.Domain())
    if domain.per_example:
        values["target"] = np.asarray([domain.low, 1.0, 1.0])
    elif domain.ends_only:
        values["target"] = np.where(rows > 0.5, domain.high, domain.low)
    elif name == "linear_cross_entropy" or getattr(domain, "ids_only", False):
        values["target"] = np.asarray([0, 1, 0])
    if "logit_lengths" in values:
        values = dict(zip(entry.arrays, ordinary(entry, np.random.default_rng(0)), strict=True))
    defaults = {p.name: p.default for p in inspect.signature(entry).parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert float(entry(**values, **defaults)) == float(entry(*values.values()))
    with pytest.raises(TypeError, match="sample_wieght"):
        entry(*values.values(), sample_wieght=None)


@pytest.mark.parametrize("name", LOSSES)
def test_help_shows_docstring(name: str) -> None:
    for text in (pydoc.plain(pydoc.render_doc(loss(name))), pydoc.plain(pydoc.render_doc(f"polyloss.{name}"))):
        assert "reduction, sample_weight, where, denominator" in text
        assert inspect.getdoc(loss(name)).splitlines()[0] in text  # type: ignore[union-attr]


@pytest.mark.parametrize("name", LOSSES)
def test_pickle(name: str) -> None:
    entry = loss(name)
    assert pickle.loads(pickle.dumps(entry)) is entry
    for own, default in entry.defaults.items():
        changed = entry.partial(**{own: default})
        copied = pickle.loads(pickle.dumps(changed))
        assert copied.defaults == changed.defaults
        assert copied.__name__ == name


def test_pickle_sum() -> None:
    total = pickle.loads(pickle.dumps(0.5 * polyloss.mse + polyloss.huber.partial(delta=2.0)))
    x, y = np.asarray([3.0]), np.asarray([0.0])
    assert float(total(x, y)) == 8.5


def test_repr() -> None:
    assert repr(polyloss.huber) == "<polyloss loss huber>"


def test_typed_marker_in_every_package() -> None:
    packages = [
        "polyloss",
        "polyloss_autodiff",
        "polyloss_numpy",
        "polyloss_torch",
        "polyloss_jax",
        "polyloss_tensorflow",
        "polyloss_mlx",
        "polyloss_conformance",
    ]
    for package in packages:
        # By the file system: an adapter can only be imported where its framework is.
        found = [
            base
            for base in (ROOT.parent, ROOT.parent / "backends", ROOT.parent / "conformance")
            if (base / package).is_dir()
        ]
        assert [(base / package / "py.typed").is_file() for base in found] == [True], package


def test_version_is_in_the_changelog(pytestconfig: pytest.Config) -> None:
    changelog = (pytestconfig.rootpath / "CHANGELOG.md").read_text()
    assert f"## [{polyloss.__version__}]" in changelog


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_pickled_by_its_public_name(name: str) -> None:
    written = pickle.dumps(getattr(polyloss, name))
    assert b"polyloss" in written
    assert b"polyloss.losses" not in written
    assert pickle.loads(written) is getattr(polyloss, name)
