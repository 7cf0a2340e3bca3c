"""A kernel that reads what may change is told so; one that reads constants is not."""

import enum
import functools
import math
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.core.closures import warn_of_state

ARRAY, LIST, NUMBERS = np.ones(3), [1.0, 2.0], (1.0, 2.0)
GENERATOR = np.random.default_rng(0)
SCALAR, DTYPE, FACTOR = np.float64(2.0), np.dtype(np.float32), 0.5


class Settings:
    def __init__(self) -> None:
        self.scale = 2.0

    def times(self, x: Any) -> Any:
        return self.scale * x

    def __call__(self, x: Any) -> Any:
        return self.scale * x


class Kind(enum.Enum):
    ONE = 1


@dataclass(frozen=True)
class Fixed:
    scale: float = 1.0


SETTINGS, FIXED = Settings(), Fixed()


def helper(x: Any) -> Any:
    return x * FACTOR


STATEFUL: dict[str, Callable[..., Any]] = {
    "ARRAY (ndarray)": lambda xp, x: x * ARRAY,
    "LIST (list)": lambda xp, x: (x, lambda: x * LIST[0]),
    "GENERATOR (Generator)": lambda xp, x: x + GENERATOR.normal(),
    "SETTINGS (Settings)": lambda xp, x: x * SETTINGS.scale,
    "np.random.normal": lambda xp, x: x + np.random.normal(),
    "random.random": lambda xp, x: x + random.random(),
    "self (Settings)": SETTINGS.times,
    "itself (Settings)": SETTINGS,
}


@pytest.mark.parametrize("named", STATEFUL)
def test_state(named: str) -> None:
    with pytest.warns(UserWarning, match="scaled: the kernel reads ") as found:
        warn_of_state("scaled", STATEFUL[named])
    assert f"reads {named}, which" in str(found[0].message)
    assert found[0].filename == __file__


def test_state_in_a_closure() -> None:
    scale = np.ones(2)

    def kernel(xp: Any, x: Any) -> Any:
        return x, lambda: x * scale

    with pytest.warns(UserWarning, match=r"reads scale \(ndarray\)"):
        warn_of_state("scaled", kernel)


def test_a_name_of_its_own_is_none_outside() -> None:
    def kernel(xp: Any, x: Any) -> Any:
        ARRAY = x * 2.0
        return ARRAY, lambda: ARRAY

    warn_of_state("scaled", kernel)


def constants(xp: Any, x: Any) -> Any:
    y = helper(x) * FACTOR * SCALAR * NUMBERS[0] * math.pi * FIXED.scale
    y = functools.partial(helper)(y) + polyloss.mse(y, x) + (0.5 * polyloss.l1)(y, x)
    return np.asarray(y, DTYPE) if Kind.ONE in Kind else xp.abs(polyloss.softplus(y)), Settings, np.exp


def test_constants() -> None:
    """Warnings are errors."""
    warn_of_state("constant", constants)


def test_no_loss_of_ours_warns() -> None:
    losses = [loss for loss in vars(polyloss).values() if isinstance(loss, polyloss.Loss)]
    assert len(losses) > 18
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loss in losses:
            warn_of_state(loss.__name__, loss.kernel)
