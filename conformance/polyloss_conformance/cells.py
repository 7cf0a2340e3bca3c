"""What a report says of one loss on one backend: how much passed, and the worst errors."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .result import Result
from .tolerances import HALVES


@dataclass(frozen=True)
class Cell:
    """One loss on one backend (in one mode, or in all).

    Parameters
    ----------
    passed, failed : int
        Number of checks.
    value, gradient : float or None
        The worst k in float32 and float64.
    half_value, half_gradient : float or None
        The worst error in units in the last place in float16 and bfloat16.
    """

    loss: str
    backend: str
    mode: str
    passed: int
    failed: int
    value: float | None
    gradient: float | None
    half_value: float | None
    half_gradient: float | None

    @property
    def numbers(self) -> str:
        return f"{number(self.value)} / {number(self.gradient)}"

    @property
    def half_numbers(self) -> str:
        return f"{number(self.half_value)} / {number(self.half_gradient)}"


def number(value: float | None) -> str:
    """A worst error in a few characters."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "∞"
    return f"{value:.2f}" if value < 100 else f"{value:.1e}"


def cell(loss: str, backend: str, mode: str, results: Iterable[Result]) -> Cell:
    """Sum up the results of one cell."""
    mine = [r for r in results if r.check != "built-in" or not r.passed]

    def worst(attribute: str, half: bool) -> float | None:
        numbers = [getattr(r, attribute) for r in mine if (r.dtype in HALVES) == half]
        return max((n for n in numbers if n is not None), default=None)

    failed = sum(not r.passed for r in mine)
    return Cell(
        loss,
        backend,
        mode,
        len(mine) - failed,
        failed,
        worst("value", False),
        worst("gradient", False),
        worst("value", True),
        worst("gradient", True),
    )
