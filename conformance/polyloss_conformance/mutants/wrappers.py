"""Losses that are called wrongly."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Change = Callable[[Any, tuple[Any, ...], dict[str, Any]], Mapping[str, Any]]
"""Takes a loss, its arrays and its keywords, and gives other keywords."""


class Called:
    """A loss that is called with other keywords than it was given, or as it is."""

    def __init__(self, loss: Any, change: Change = lambda loss, arrays, keywords: keywords) -> None:
        self._loss, self._change = loss, change
        self.__name__ = loss.__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss, name)

    def __call__(self, *arrays: Any, **keywords: Any) -> Any:
        return self._loss(*arrays, **self._change(self._loss, arrays, keywords))

    def closed_form(self, arrays: Sequence[Any], keywords: Mapping[str, Any], argnums: Sequence[int]) -> Any:
        return self._loss.closed_form(arrays, self._change(self._loss, tuple(arrays), dict(keywords)), argnums)


def called(change: Callable[..., Mapping[str, Any]]) -> Callable[[Any], Any]:
    return lambda loss: Called(loss, change)


def without(name: str) -> Callable[[Any], Any]:
    return called(lambda loss, arrays, keywords: {k: v for k, v in keywords.items() if k != name})


def instead(wrong: str, right: str) -> Callable[[Any], Any]:
    def change(loss: Any, arrays: Any, keywords: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**keywords, "reduction": wrong} if keywords.get("reduction", "mean") == right else keywords

    return called(change)


def divide(how: Callable[[Any, Any], float]) -> Callable[[Any], Any]:
    """A mean over unmasked examples, with a denominator of its own making."""

    def change(loss: Any, arrays: Any, keywords: Mapping[str, Any]) -> Mapping[str, Any]:
        if keywords.get("reduction", "mean") != "mean" or "denominator" in keywords:
            return keywords
        return {**keywords, "denominator": how(arrays[0], keywords.get("where"))}

    return called(change)


class OwnGradient(Called):
    """A loss with the gradient of its sum, whatever the reduction: what comes from upstream is ignored."""

    def closed_form(self, arrays: Sequence[Any], keywords: Mapping[str, Any], argnums: Sequence[int]) -> Any:
        value, _ = self._loss.closed_form(arrays, keywords, argnums)
        rest = {k: v for k, v in keywords.items() if k not in ("reduction", "denominator", "sample_weight")}
        return value, self._loss.closed_form(arrays, {**rest, "reduction": "sum"}, argnums)[1]


class MaskedResult(Called):
    """The mask multiplies the result, and NaN times 0 is NaN."""

    def __call__(self, *arrays: Any, **keywords: Any) -> Any:
        where = keywords.pop("where", None)
        if where is None:
            return self._loss(*arrays, **keywords)
        if keywords.get("reduction", "mean") != "mean" or keywords.keys() & {"sample_weight", "denominator"}:
            return self._loss(*arrays, where=where, **keywords)
        each = self._loss(*arrays, **{**keywords, "reduction": "none"})
        keep = where[(..., *(None,) * (each.ndim - where.ndim))] * (each == each)
        return (each * keep).sum() / keep.sum()


class OtherDtype(Called):
    """The result in another dtype than the prediction."""

    def __call__(self, *arrays: Any, **keywords: Any) -> Any:
        value = self._loss(*arrays, **keywords)
        return value.double() if hasattr(value, "double") else value.astype("float64")


class Undifferentiated(Called):
    """The value is another where nobody wants a gradient."""

    def __call__(self, *arrays: Any, **keywords: Any) -> Any:
        value = self._loss(*arrays, **keywords)
        return value if value.requires_grad else 1.5 * value
