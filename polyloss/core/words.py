"""What keywords are called elsewhere, and here."""

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .backend import at_trace_time
from .reduction import REDUCTIONS

OUR_NAMES = {
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
    "p": ("power",),
    "linear_weight": ("weight",),
    "linear_bias": ("bias",),
    "epsilon": ("delta", "label_smoothing", "clip"),
    "eps": ("label_smoothing", "clip"),
    "k": ("delta", "c"),
    "threshold": ("delta", "beta"),
    "tau": ("temperature", "q"),
    "temp": ("temperature",),
    "quantile": ("q",),
    "quantiles": ("q",),
    "alpha": ("q",),
    "log_input": ("log_rate",),
    "var": ("variance",),
    "log_var": ("log_variance",),
    "input_lengths": ("logit_lengths",),
    "logit_length": ("logit_lengths",),
    "label_length": ("target_lengths",),
    "blank_id": ("blank",),
    "blank_index": ("blank",),
    "blank_label": ("blank",),
}
"""Keywords of other libraries, and ours."""

_FIRST = {"input", "inputs", "output", "outputs", "pred", "preds", "prediction", "predictions", "y_pred", "logits"}
"""What the array that is differentiated is called."""

TARGETS = {"target", "targets", "label", "labels", "y", "y_true", "true", "ground_truth", "log_targets"}
"""What the array that it is compared with is called."""

_LOGITS = {
    "binary_cross_entropy": "it takes probabilities, and binary_cross_entropy_with_logits takes logits",
    "binary_cross_entropy_with_logits": "it takes logits, and binary_cross_entropy takes probabilities",
    "cross_entropy": "it takes logits, and nll takes log-probabilities",
    "nll": "it takes log-probabilities, and cross_entropy takes logits",
    "generalized_cross_entropy": "it takes logits",
    "kl_divergence": "it takes log-probabilities: log_softmax of logits",
    "linear_cross_entropy": "it makes logits of hidden and weight",
    "poly1_cross_entropy": "it takes logits",
    "sigmoid_focal": "it takes logits",
    "softmax_focal": "it takes logits",
}
"""Answer to `from_logits`: what the loss takes, and which one takes the other."""

_OF_NUMBER = ", which divides by the number of examples"

_REDUCTIONS = {
    "average": ("mean", _OF_NUMBER),
    "avg": ("mean", _OF_NUMBER),
    "batchmean": ("mean", _OF_NUMBER),
    "sum_over_batch_size": ("mean", _OF_NUMBER),
    "mean_with_sample_weight": ("weighted_mean", ""),
    "sum_by_nonzero_weights": ("mean", " with where=sample_weight != 0"),
    None: ("none", ""),
}
"""Reductions of other libraries, and ours, with what is to be said of it."""


@at_trace_time
def _meant_reduction(value: Any) -> tuple[str, str] | None:
    """The reduction that somebody means by `value`, if that can be told, and what is to be said of it."""
    if not isinstance(value, str | None):
        return None
    name = value if value is None else value.lower().replace("-", "_")
    if name in _REDUCTIONS:
        return _REDUCTIONS[name]
    near = difflib.get_close_matches(name or "", REDUCTIONS, n=1, cutoff=0.85)
    return (near[0], "") if near else None


def check_reduction(loss: str, value: Any) -> None:
    """Raise for what is no reduction, with the one that was probably meant."""
    if isinstance(value, str) and value in REDUCTIONS:
        return
    meant = _meant_reduction(value)
    hint = "" if meant is None else f"; say reduction={meant[0]!r}{meant[1]}"
    raise ValueError(f"{loss}: reduction must be one of {', '.join(REDUCTIONS)}, got {value!r}{hint}")


def unknown_keyword(loss: str, key: str, arrays: Sequence[str], keywords: Sequence[str]) -> TypeError:
    """The error for a keyword that `loss` does not have, with the one that was probably meant."""
    known = (*arrays, *keywords)
    # A function of `compat` has the keywords of others.
    meant = [name for name in known if name in OUR_NAMES.get(key, ()) or key in OUR_NAMES.get(name, ())]
    if not meant and key.lower() in _FIRST:
        meant = [name for name in arrays if name not in TARGETS][:1]
    if not meant and key.lower() in TARGETS:
        meant = [name for name in arrays if name in TARGETS]
    if key == "from_logits" and loss in _LOGITS:
        return TypeError(f"{loss}: unexpected {key}; {_LOGITS[loss]}; its keywords are {', '.join(known)}")
    meant = meant or difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {' or '.join(meant)}?" if meant else ";"
    return TypeError(f"{loss}: unexpected {key}{hint} its keywords are {', '.join(known)}")


def positional(
    loss: str,
    arrays: Sequence[str],
    keywords: Sequence[str],
    given: Sequence[Any],
    takes: Callable[[str, Any], bool],
) -> TypeError:
    """The error for more arguments without a name than there are arrays: parameters, most likely.

    `takes` says whether a parameter may have a value: only a call that succeeds is shown.
    """
    value, example, note = given[len(arrays)], None, ""
    if isinstance(value, str):
        reduction, note = _meant_reduction(value) or (None, "")
        example = reduction and f"reduction={reduction!r}"
    elif isinstance(value, bool | int | float):
        example = next((f"{name}={value!r}" for name in keywords if takes(name, value)), None)
    else:
        example = next((f"{name}=..." for name in ("class_weight", "sample_weight") if name in keywords), None)
    way = f", as in {loss}({', '.join(arrays)}, {example}){note}" if example else ""
    return TypeError(
        f"{loss}: takes {len(arrays)} arrays ({', '.join(arrays)}), got {len(given)}; parameters go by their names"
        f"{way}; its keywords are {', '.join(keywords)}"
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


def check_kernel(loss: str, parameters: Mapping[str, inspect.Parameter]) -> None:
    """Raise for a kernel that has no place for the namespace: its first array would be taken for that."""
    first = next(iter(parameters), None)
    if first is None or first in _FIRST | TARGETS:
        came = "nothing" if first is None else first
        arrays = ", ".join(map(str, parameters.values()))
        raise TypeError(
            f"{loss}: the first parameter of a kernel is the namespace of the arrays, got {came}; "
            f"write def {loss}({f'xp, {arrays}' if arrays else 'xp, ...'})"
        )


@at_trace_time
def refuse_keras(loss: str, arrays: Sequence[str], module: str) -> None:
    """Raise where Keras itself calls a function as its loss or metric: with the target first.

    Arrays alone do not always tell, and a network would be trained on the wrong values. While torch.compile traces,
    there is no frame of Keras.
    """
    if "keras" not in sys.modules:
        return
    caller = sys._getframe(2).f_globals.get("__name__") or ""
    if caller.startswith("keras.src."):
        way = f"polyloss_keras.{class_name(loss)}()" if module == "polyloss" else "polyloss_keras.KerasLoss(...) of it"
        raise TypeError(
            f"{loss} takes ({', '.join(arrays)}), and Keras calls its losses with (y_true, y_pred): give it {way}"
        )
