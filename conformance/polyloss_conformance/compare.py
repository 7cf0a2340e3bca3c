"""One result against the truth, element by element."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import tolerances
from .tolerances import EPS, HALVES, LARGEST, NORMAL, Kind

LD = NDArray[np.longdouble]


@dataclass(frozen=True)
class Verdict:
    """What the comparison found.

    Parameters
    ----------
    k : array
        The error of each element in the unit of its tolerance; inf where it is wrong in kind.
    wrong : array of bool
        Outside the tolerance.
    """

    k: NDArray[np.float64]
    wrong: NDArray[np.bool_]

    @property
    def worst(self) -> float:
        return float(self.k.max()) if self.k.size else 0.0


def judge(
    got: LD,
    truth: LD,
    scale: LD,
    *,
    dtype: str,
    kind: Kind,
    flushes: bool = False,
    count: int = 1,
    kinks: NDArray[np.bool_] | None = None,
) -> Verdict:
    """Compare a result with the truth.

    Parameters
    ----------
    got, truth, scale : array of longdouble
        The result, the exact result, and the scale that conditions its error. In a gradient, a NaN in `truth` is not
        judged.
    dtype : str
        The dtype that the result was computed for.
    kind : str
        ``"value"`` or ``"gradient"``.
    flushes : bool
        Whether the framework takes subnormal numbers for zero.
    count : int
        How many terms were summed.
    kinks : array of bool or None
        Where the derivative is a choice.

    Raises
    ------
    ValueError
        If the shapes differ: nothing is broadcast.
    """
    if not got.shape == truth.shape == scale.shape:
        raise ValueError(f"cannot compare shapes {got.shape}, {truth.shape} and {scale.shape}")
    got, truth, scale = (np.asarray(x, dtype=np.longdouble) for x in (got, truth, scale))
    half, eps = dtype in HALVES, EPS[dtype]
    with np.errstate(all="ignore"):
        size = np.abs(truth)
        scale = np.where(np.isfinite(scale), scale, size)
        ulp = _ulp(size, dtype)
        slack = np.full(size.shape, tolerances.floor(dtype, flushes), dtype=np.longdouble)
        if count > 1:
            slack = slack + np.log2(np.longdouble(count)) * ulp
        if half:
            slack = slack + tolerances.HALF_CONDITIONED * EPS["float32"] * scale
        unit = ulp if half else np.maximum(eps * scale, np.longdouble(tolerances.step(dtype)))
        error = np.abs(got - truth)
        excess = np.maximum(error - slack, 0)
        k = np.where(excess == 0, 0, excess / unit)
        wrong = ~(k <= tolerances.bound(dtype, kind))
        if not half:
            well = scale <= tolerances.WELL_CONDITIONED * size
            wrong |= well & (excess > tolerances.PLAIN_ULP * ulp)
        if kinks is not None:
            allowed = tolerances.KINK_ULP * eps * size
            wrong = np.where(kinks, ~(error <= allowed), wrong)
            k = np.where(kinks, np.where(wrong, np.inf, 0), k)

        # What rounds to infinity in this dtype, or is near enough to it.
        limit = slack + tolerances.bound(dtype, kind) * unit
        overflowed = np.isinf(got) & (np.sign(got) == np.sign(truth)) & (size + limit >= LARGEST[dtype] * (1 + eps / 4))
        same_kind = np.where(np.isfinite(truth), np.isfinite(got), (got == truth) | (np.isnan(got) & np.isnan(truth)))
        settled = overflowed | (same_kind & ~np.isfinite(truth))
        wrong = np.where(settled, False, wrong | ~same_kind)
        k = np.where(settled, 0, np.where(same_kind, k, np.inf))
        if kind == "gradient":
            ignored = np.isnan(truth)
            wrong, k = wrong & ~ignored, np.where(ignored, 0, k)
    with np.errstate(over="ignore"):
        return Verdict(np.asarray(k, dtype=np.float64), np.asarray(wrong, dtype=np.bool_))


def _ulp(size: LD, dtype: str) -> LD:
    exponent = np.frexp(np.where(np.isfinite(size), size, 0))[1]
    spacing = np.ldexp(np.longdouble(EPS[dtype]), exponent - 1)
    found: LD = np.maximum(spacing, np.longdouble(NORMAL[dtype] * EPS[dtype]))
    return found


def difference(what: str, got: LD, expected: LD, wrong: NDArray[np.bool_]) -> str:
    """How arrays of one shape differ, in a line: where they do most, and in how many places."""
    with np.errstate(invalid="ignore"):
        distance = np.where(wrong, np.nan_to_num(np.abs(got - expected), nan=np.inf), -1)
    place = np.unravel_index(int(np.argmax(distance)), distance.shape)
    where = "" if place == () else f" at {list(map(int, place))}"
    many = f" ({int(wrong.sum())} of {wrong.size} differ)" if wrong.size > 1 else ""
    return f"{what}{where} is {float(got[place])!r}, expected {float(expected[place])!r}{many}"


def show(array: Any) -> str:
    """An array in a few words, exactly enough to type it in."""
    array = np.asarray(array)
    return f"<{array.dtype} array of shape {array.shape}>" if array.size > 40 else numbers_of(array)


def numbers_of(array: NDArray[Any]) -> str:
    """The numbers of an array in one line, exactly enough to type them in."""
    text = np.array2string(array, separator=", ", threshold=max(array.size, 1), floatmode="unique")
    return " ".join(text.split())
