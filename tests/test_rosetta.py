"""The phrase book finds out what built-ins and their arguments are called here, by calling the twins."""

from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from polyloss_conformance import builtins, rosetta
from polyloss_conformance.cli import app


def phrase(loss: str, builtin: str) -> rosetta.Phrase:
    return next(one for one in rosetta.phrases(loss) if one.twin.id == builtin)


def test_every_built_in_has_a_phrase_that_names_its_arrays() -> None:
    found = {one.twin.id: one for _, said in rosetta.table() for one in said}
    assert found.keys() == {twin.id for twin in builtins.TWINS}
    for one in found.values():
        # Each array is another one here, but for those that one is made of.
        words = [one.words[name] for name in one.given]
        same = [word for word in words if not word.startswith("made into")]
        assert len(words) > 0, one.twin.id
        assert len({*same}) == len(same), one.twin.id


@pytest.mark.parametrize(
    ("loss", "builtin", "call", "words"),
    [
        ("huber", "torch.huber_loss", "torch.nn.functional.huber_loss(prediction, target)",
         {"delta": "delta", "weight": "sample_weight", "reduction": "reduction"}),
        ("l1", "torch.l1_loss", "torch.nn.functional.l1_loss(prediction, target)",
         {"weight": "sample_weight with reduction='weighted_mean'", "size_average": ""}),
        ("huber", "keras.huber", "keras.losses.huber(target, prediction)", {"y_pred": "prediction", "delta": "delta"}),
        ("cross_entropy", "torch.cross_entropy", "torch.nn.functional.cross_entropy(logits, target)",
         {"weight": "class_weight", "label_smoothing": "label_smoothing", "ignore_index": "ignore_index"}),
        ("cross_entropy", "keras.sparse_categorical_crossentropy(from_logits=True)",
         "keras.losses.sparse_categorical_crossentropy(target, logits, from_logits=True)",
         {"ignore_class": "ignore_index", "from_logits": ""}),
        ("binary_cross_entropy_with_logits", "torch.soft_margin_loss",
         "torch.nn.functional.soft_margin_loss(logits, ...)", {"target": "made into target"}),
        ("triplet_margin", "optax.triplet_margin_loss",
         "optax.losses.triplet_margin_loss(anchor, positive, negative)", {"norm_degree": "p", "axis": "axis"}),
        ("binary_cross_entropy_with_logits", "tf.weighted_cross_entropy_with_logits",
         "tf.nn.weighted_cross_entropy_with_logits(target, logits, pos_weight=3.0)",
         {"pos_weight": "pos_weight", "name": ""}),
        ("sigmoid_focal", "keras.binary_focal_crossentropy(from_logits=True)",
         "keras.losses.binary_focal_crossentropy(target, logits, from_logits=True)",
         {"apply_class_balancing": "alpha", "axis": "applied to the result"}),
    ],
)  # fmt: skip
def test_words(loss: str, builtin: str, call: str, words: dict[str, str]) -> None:
    found = phrase(loss, builtin)
    assert found.call == call
    assert {name: found.words[name] for name in words} == words


@pytest.mark.parametrize(
    ("loss", "builtin", "ours"),
    [
        ("mse", "optax.l2_loss", "0.5 * polyloss.mse(prediction, target)"),
        ("cosine_distance", "optax.cosine_similarity",
         "-polyloss.cosine_distance(prediction, target, similarity=True)"),
        ("poisson_nll", "tf.log_poisson_loss", "polyloss.poisson_nll(prediction, target, log_rate=True)"),
        ("huber", "keras.huber", "polyloss.huber(prediction, target), averaged over the last axis"),
        ("contrastive", "torch.hinge_embedding_loss", "polyloss.contrastive(distance, target, factor=1.0, power=1)"),
        # Called like this, the loss gives something else: the axes are others, weights are missing, regions are whole.
        ("ctc", "torch.ctc_loss", "made of polyloss.ctc(logits, target, logit_lengths, target_lengths)"),
        ("nt_xent", "optax.ntxent", "made of polyloss.nt_xent(embedding, target)"),
        ("dice", "optax.binary_dice_loss", "made of polyloss.dice(prediction, target, from_logits=True)"),
    ],
)  # fmt: skip
def test_the_same_in_polyloss(loss: str, builtin: str, ours: str) -> None:
    assert phrase(loss, builtin).ours == ours


def test_classes_and_mistakes_are_named() -> None:
    found = phrase("smooth_l1", "torch.smooth_l1_loss")
    assert found.classes == ["torch.nn.SmoothL1Loss"]
    text = "\n".join(found.lines())
    assert "on any arrays: polyloss.compat.torch.smooth_l1_loss" in text
    assert "  F.smooth_l1_loss(array([1e25]), array([0]), beta=2.0**90) gives inf, exactly 4.04e22" in text


def test_what_is_installed_is_measured() -> None:
    pytest.importorskip("torch")
    errors = phrase("huber", "torch.huber_loss").errors()
    assert errors.keys() == {"float32", "float64"}
    for parts in errors.values():
        assert parts.keys() == {"value", "gradient"}
        assert all(0 <= worst <= 8 for worst in parts.values())


def test_what_is_not_installed_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins.Twin, "available", lambda _: False)
    assert "torch is not installed here: nothing was measured" in list(phrase("huber", "torch.huber_loss").lines())


def test_a_changed_twin_is_another_phrase(monkeypatch: pytest.MonkeyPatch) -> None:
    def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
        import polyloss

        return polyloss.huber(target, input, delta=2 * delta, reduction=reduction)  # type: ignore[arg-type]

    monkeypatch.setattr("polyloss.compat.torch.huber_loss", huber_loss)
    rosetta._phrase.cache_clear()
    words = phrase("huber", "torch.huber_loss").words
    rosetta._phrase.cache_clear()
    arrays = {"input": "target", "target": "prediction"}
    assert words == arrays | {"reduction": "reduction", "delta": "delta", "weight": ""}


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins.Twin, "available", lambda _: False)
    run = CliRunner()
    result = run.invoke(app, ["rosetta", "optax.losses.huber_loss"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    calls = [line for line in result.output.splitlines() if line and line[0] != " " and "(" in line]
    assert calls[1] == "optax.losses.huber_loss(prediction, target)"
    assert {"torch.nn.functional.huber_loss(prediction, target)", "keras.losses.huber(target, prediction)"} < set(calls)
    unknown = run.invoke(app, ["rosetta", "optax.hubr_loss"])
    assert unknown.exit_code == 2
    assert "did you mean huber?" in unknown.output
    assert run.invoke(app, ["rosetta"]).exit_code == 2
    missing = "somewhere.SupConLoss"
    assert f"polyloss has no {missing} yet" in run.invoke(app, ["rosetta", missing]).output
    assert "torch.nn.functional.nll_loss(" in run.invoke(app, ["rosetta", "torch.nn.NLLLoss2d"]).output
    assert run.invoke(app, ["rosetta", "--markdown"]).output == rosetta.markdown()


def test_arrays_are_known_again_when_they_are_moved() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert rosetta._rearranged(array.T, array)
    assert not rosetta._rearranged(array.T + 1, array)
