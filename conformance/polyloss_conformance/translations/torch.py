"""torch: reductions, weights, the class axis second."""

from typing import Any

from . import Call, Said

_MEANS = ("mean", "weighted_mean")


def elements(call: Call, *, weight: str | None = None, **names: str) -> Said | None:
    """`names`: polyloss parameter -> that of the built-in. `weight`: the reduction that its mean is, with weights."""
    if not call.has("sample_weight", *names) or (weight is None and call.options):
        return None
    reduction = call.reduction
    if reduction in _MEANS:
        if reduction not in (_MEANS if not call.options else (weight,)):
            return None
        reduction = "mean"
    keywords = {name: call.parameters[key] for key, name in names.items() if key in call.parameters}
    if any(hasattr(keywords.get(name), "shape") for name in ("delta", "beta")):
        return None
    if call.options:
        prediction, given = call.arrays[0], call.options["sample_weight"]
        given = given[(..., *(None,) * (prediction.ndim - given.ndim))]
        keywords["weight"] = call.xp.broadcast_to(given, prediction.shape)
    return Said(call.arrays, keywords | {"reduction": reduction})


def class_keywords(call: Call, *names: str) -> dict[str, Any] | None:
    """The keywords where none but these parameters are given; None where torch cannot say them."""
    weight = call.parameters.get("class_weight")
    if not call.has("class_weight", "ignore_index", *names):
        return None
    weighted = weight is not None and call.ids
    reduction = call.reduction
    if reduction in _MEANS:
        if reduction not in (("weighted_mean",) if weighted else ("mean",) if weight is not None else _MEANS):
            return None
        reduction = "mean"
    if str(call.arrays[-1].dtype).rpartition(".")[2] == "int32":
        return None
    keywords: dict[str, Any] = {"reduction": reduction, "weight": weight}
    for key in ("ignore_index", "label_smoothing"):
        if call.parameters.get(key) is not None:
            keywords[key] = call.parameters[key]
    return keywords


def classes(call: Call, *, smoothing: bool = True) -> Said | None:
    keywords = class_keywords(call, *["label_smoothing"] * smoothing)
    if keywords is None or not (smoothing or call.ids):
        return None
    return Said(call.to(1 if call.arrays[0].ndim > 1 else 0, *call.arrays), keywords)
