"""What the translations of `torch.nn.functional` share."""

from typing import Any

from polyloss.compat._common import only, spread
from polyloss.core import checks
from polyloss.core.domains import SIGN
from polyloss.core.typing import Array

REDUCTIONS = ("none", "mean", "sum")


def refuse_legacy(loss: str, size_average: bool | None, reduce: bool | None) -> None:
    """Refuse the keywords that `reduction` replaced, which are in every signature."""
    if size_average is None and reduce is None:
        return
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    raise TypeError(
        f"{loss}: size_average and reduce are not supported, got size_average={size_average!r}, reduce={reduce!r}; "
        f"use reduction={meant!r}"
    )


def literal(reduction: str) -> Any:
    """A reduction that was checked, for type checkers."""
    return reduction


def is_one(loss: str, target: Array) -> Array:
    """Labels -1 and 1 as 0 and 1."""
    return (only(loss, "target", target, SIGN) + 1) / 2


def rescaled(
    loss: str, input: Array, weight: Array | None, reduction: str, *, mean: str = "mean", repeat: bool = False
) -> dict[str, Any]:
    """The keywords for a weight per element, and what a mean divides by when there is one."""
    checks.one_of(loss, "reduction", reduction, REDUCTIONS)
    if weight is None:
        return {"reduction": reduction}
    if repeat or not hasattr(weight, "shape"):
        weight = spread(loss, "weight", weight, input, "input")
    else:
        checks.shape_is(loss, "weight", tuple(weight.shape), tuple(input.shape), "the shape of input,")
    return {"reduction": mean if reduction == "mean" else reduction, "sample_weight": weight}
