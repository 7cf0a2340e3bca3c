"""What keywords are called elsewhere, and here."""

import difflib
from collections.abc import Sequence
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


def class_name(loss: str) -> str:
    """What the class of a loss is called: ``CrossEntropy`` for ``cross_entropy``."""
    return "".join(map(str.capitalize, loss.split("_")))


_SWAPPED = "; are they swapped? "


def with_order(message: str, loss: str, arrays: Sequence[str], module: str) -> str:
    """A message with the way out for somebody whose target came first, as it does in Keras, unless it has a way out."""
    if ";" in message.replace("; nothing is broadcast", ""):
        return message
    own = f"{class_name(loss)}()" if module == "polyloss" else f"KerasLoss({loss})"
    return f"{message}{_SWAPPED}{loss} takes ({', '.join(arrays)}); in Keras' compile() use polyloss_keras.{own}"


def without_order(message: str) -> str:
    """A message without that way out, for a caller who has the arrays in an order of its own."""
    return message.partition(_SWAPPED)[0]
