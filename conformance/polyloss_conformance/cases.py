"""All cases: sample, edge and error cases of every loss, and of every numeric helper."""

from collections.abc import Iterator, Mapping

from .arrays import (
    DOUBLE,
    DTYPES,
    SINGLE,
    WIDE,
    bits,
    classes,
    floats,
    has_bfloat16,
    ids,
    log_softmax,
    mask,
    normal,
    numpy_dtype,
    signs,
    simplex,
    uniform,
)
from .case import Arguments, Case, Entry, Place, Raises
from .losses import HELPERS, LOSSES
from .spec import Laws, Spec


class _Cases(Mapping[str, list[Case]]):
    """The cases of each loss."""

    def __getitem__(self, loss: str) -> list[Case]:
        return LOSSES[loss].cases

    def __iter__(self) -> Iterator[str]:
        return iter(LOSSES)

    def __len__(self) -> int:
        return len(LOSSES)


CASES: Mapping[str, list[Case]] = _Cases()
HELPER_CASES = {name: helper.cases for name, helper in HELPERS.items()}


def cases_of(loss: str, kind: str | None = None) -> list[Case]:
    """The cases of a loss, all of them or those of one kind."""
    return LOSSES[loss].cases_of(kind)


__all__ = [
    "CASES",
    "DOUBLE",
    "DTYPES",
    "HELPERS",
    "HELPER_CASES",
    "LOSSES",
    "SINGLE",
    "WIDE",
    "Arguments",
    "Case",
    "Entry",
    "Laws",
    "Place",
    "Raises",
    "Spec",
    "bits",
    "cases_of",
    "classes",
    "floats",
    "has_bfloat16",
    "ids",
    "log_softmax",
    "mask",
    "normal",
    "numpy_dtype",
    "signs",
    "simplex",
    "uniform",
]
