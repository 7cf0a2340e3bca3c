"""What things are called elsewhere, and here."""

import difflib
import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from .reduction import REDUCTIONS

_OUR_NAMES = {
    "weight": ("class_weight", "sample_weight"),
    "weights": ("sample_weight", "class_weight"),
    "dim": ("axis",),
    "dims": ("axis",),
    "class_axis": ("axis",),
    "mask": ("where",),
    "valid": ("where",),
    "size_average": ("reduction",),
    "reduce": ("reduction",),
    "normalizer": ("denominator",),
    "avg_factor": ("denominator",),
    "num_items_in_batch": ("denominator",),
    "ignore_class": ("ignore_index",),
    "ignore_label": ("ignore_index",),
    "smoothing": ("label_smoothing",),
    "smooth": ("label_smoothing",),
    "positive_weight": ("pos_weight",),
    "norm_degree": ("p",),
    "linear_weight": ("weight",),
    "linear_bias": ("bias",),
}
"""What is called otherwise elsewhere, and its keywords here."""
_FIRST = {"input", "inputs", "output", "outputs", "pred", "preds", "prediction", "predictions", "y_pred", "logits"}
_FIRST |= {"yhat", "y_hat", "scores", "probs", "probabilities"}
_TARGET = {"target", "targets", "label", "labels", "y", "y_true", "true", "ground_truth"}


_LOGITS = {
    "binary_cross_entropy": "it takes probabilities, and binary_cross_entropy_with_logits takes logits",
    "binary_cross_entropy_with_logits": "it takes logits, and binary_cross_entropy takes probabilities",
    "cross_entropy": "it takes logits, and nll takes log-probabilities",
    "nll": "it takes log-probabilities, and cross_entropy takes logits",
    "kl_divergence": "it takes log-probabilities: log_softmax of logits",
    "linear_cross_entropy": "it makes logits of hidden and weight",
    "sigmoid_focal": "it takes logits",
    "softmax_focal": "it takes logits",
}
"""Which of a pair there is, instead of a switch."""
_REDUCTIONS = {
    "average": "mean",
    "avg": "mean",
    "batchmean": "mean",
    "sum_over_batch_size": "mean",
    "mean_with_sample_weight": "weighted_mean",
    "sum_by_nonzero_weights": "mean",
    None: "none",
}


def check_reduction(loss: str, value: Any) -> None:
    """Raise for what is no reduction, with the one that was probably meant."""
    if isinstance(value, str) and value in REDUCTIONS:
        return
    meant = _REDUCTIONS.get(value) if isinstance(value, str | None) else None
    what = ", which divides by the number of examples" if meant == "mean" else ""
    hint = "" if meant is None else f"; say reduction={meant!r}{what}"
    raise ValueError(f"{loss}: reduction must be one of {', '.join(REDUCTIONS)}, got {value!r}{hint}")


def unknown_keyword(loss: str, key: str, arrays: Sequence[str], keywords: Sequence[str]) -> TypeError:
    """The error for a keyword that `loss` does not have, with the one that was probably meant."""
    known = (*arrays, *keywords)
    meant = [name for name in _OUR_NAMES.get(key, ()) if name in known]
    if not meant and arrays and key.lower() in _FIRST:
        meant = [arrays[0]]
    if not meant and key.lower() in _TARGET:
        meant = [name for name in arrays[1:] if name == "target"]
    if key == "from_logits" and loss in _LOGITS:
        return TypeError(f"{loss}: unexpected {key}; {_LOGITS[loss]}; its keywords are {', '.join(known)}")
    meant = meant or difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {' or '.join(meant)}?" if meant else ";"
    return TypeError(f"{loss}: unexpected {key}{hint} its keywords are {', '.join(known)}")


def positional(loss: str, arrays: Sequence[str], keywords: Sequence[str], given: Sequence[Any]) -> TypeError:
    """The error for more arguments without a name than there are arrays: parameters, most likely."""
    value = given[len(arrays)]
    name = "reduction" if isinstance(value, str) and value in REDUCTIONS else keywords[0]
    shown = repr(value) if isinstance(value, bool | int | float | str) else "..."
    if name == "reduction" and shown.strip("'") not in REDUCTIONS:
        shown = "'sum'"
    return TypeError(
        f"{loss}: takes {len(arrays)} arrays ({', '.join(arrays)}), got {len(given)}; parameters go by their names, as "
        f"in {loss}({', '.join(arrays)}, {name}={shown})"
    )


def order(loss: str, arrays: Sequence[str], module: str) -> str:
    """The way out for somebody whose target came first, as it does in Keras."""
    own = "".join(map(str.capitalize, loss.split("_"))) + "()"
    ours = module.startswith("polyloss.") and hasattr(importlib.import_module("polyloss"), loss)
    return (
        f"{loss} takes ({', '.join(arrays)}) in this order, and Keras hands over the target first: give it "
        f"polyloss_keras.{own if ours else f'KerasLoss({loss})'}"
    )


WORDS = {
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy_with_logits",
    "biweight": "tukey_biweight",
    "ce": "cross_entropy",
    "focal": "sigmoid_focal",
    "kl": "kl_divergence",
    "kld": "kl_divergence",
    "l2": "mse",
    "linear_ce": "linear_cross_entropy",
    "log_loss": "binary_cross_entropy",
    "mae": "l1",
    "softmax_ce": "cross_entropy",
    "triplet": "triplet_margin",
    "tukey": "tukey_biweight",
    "xent": "cross_entropy",
}
"""Abbreviations of losses."""
_TOOLS = {"grad": "value_and_grad", "gradient": "value_and_grad", "jit": "compile"}
"""What is called otherwise elsewhere, and is no loss."""
MISSING = (
    *("cosine_embedding_loss", "gaussian_nll_loss", "margin_ranking_loss", "multi_margin_loss"),
    *("multilabel_margin_loss", "multilabel_soft_margin_loss", "poisson_nll_loss", "ctc_loss", "cosine_similarity"),
    *("categorical_hinge", "circle", "dice", "mean_absolute_percentage_error", "mean_squared_logarithmic_error"),
    *("poisson", "tversky", "cosine_distance", "ntxent", "ranking_softmax_loss"),
)
"""Losses of these libraries that are not here."""
_FAMILIES = {"torch": "PyTorch", "keras": "Keras", "optax": "Optax", "tf": "TensorFlow"}
"""The modules of `polyloss.compat`, and whose signatures theirs are."""


def plain(name: str) -> str:
    """A name without what spellings differ in: ``CrossEntropyLoss`` is ``cross_entropy``."""
    return re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("loss")


@cache
def losses_of_others() -> dict[str, str]:
    """What a built-in is called, in plain letters, and the loss that its twin says it computes."""
    found = {plain(word): loss for word, loss in WORDS.items()}
    for twin, documented in _twins().items():
        loss = re.search(r"`polyloss\.(\w+)`", documented)
        if loss is not None:
            found.setdefault(plain(twin.rpartition(".")[2]), loss[1])
    return found


def meanings(known: Iterable[str]) -> dict[str, str]:
    """The losses of `known`, by all that they are called, in plain letters."""
    known = tuple(known)
    return {word: loss for word, loss in losses_of_others().items() if loss in known} | {plain(n): n for n in known}


@cache
def _twins() -> dict[str, str]:
    """The functions of `polyloss.compat`, such as ``torch.mse_loss``, with their docstrings."""
    modules = {family: importlib.import_module(f"polyloss.compat.{family}") for family in _FAMILIES}
    return {
        f"{family}.{name}": getattr(module, name).__doc__ or ""
        for family, module in modules.items()
        for name in module.__all__
    }


def no_attribute(
    module: str, name: str, known: Mapping[str, str], families: Sequence[str] = tuple(_FAMILIES)
) -> AttributeError:
    """The error for a name that `module` does not have, with what it is called here.

    Parameters
    ----------
    known : mapping
        Names of losses, and other public ones, with where they are.
    families : sequence of str
        Whose names somebody may have in mind.
    """
    message = f"module {module!r} has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(message)
    meant = meanings(known)
    ours = meant.get(plain(name))
    tool = _TOOLS.get(name.lower())
    twins = [twin.split(".") for twin in _twins() if twin.partition(".")[0] in families]
    twins = (
        [t for t in twins if t[1] == name]
        or [t for t in twins if plain(t[1]) == plain(name)]
        or [t for t in twins if plain(t[1]) == plain(ours or name)]
    )
    # A loss of theirs may be half of ours, or of the same kind only.
    ways = [] if ours is None else [f"nearest here: {known[ours]}"]
    ways += [
        f"polyloss.compat.{family}.{twin} has {_FAMILIES[family]}'s signature and definition" for family, twin in twins
    ]
    if not ways and tool is not None and tool in known:
        ways = [f"did you mean {known[tool]}?"]
    if not ways and plain(name) in map(plain, MISSING):
        ways = [
            "there is no such loss in polyloss yet; polyloss.elementwise and polyloss.rowwise make one of a function"
        ]
    if not ways:
        near = dict.fromkeys(meant[n] for n in difflib.get_close_matches(plain(name), meant, n=2, cutoff=0.8))
        ways = [f"did you mean {' or '.join(known[n] for n in near)}?"] if near else []
    return AttributeError("; ".join([message, *ways]))
