"""optax's own tests of its losses, with the twins in the place of what they were written for."""

import importlib
import inspect
from typing import Any
from unittest import TestCase

import numpy as np
import optax
import pytest

from polyloss.compat import optax as twins

pytestmark = pytest.mark.filterwarnings("ignore")

FAMILIES = ("classification", "fenchel_young", "ranking", "regression", "segmentation", "self_supervised", "smoothing")
PLACES: list[Any] = [optax, optax.losses]
for family in FAMILIES:
    PLACES.append(importlib.import_module(f"optax.losses._{family}"))
    tests = importlib.import_module(f"optax.losses._{family}_test")
    globals().update(
        (name, kind)
        for name, kind in vars(tests).items()
        if isinstance(kind, type) and issubclass(kind, TestCase) and kind.__module__ == tests.__name__
    )


@pytest.fixture(autouse=True)
def twins_in_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    np.random.seed(0)  # they draw from it
    for place in PLACES:
        names = [name for name in dir(twins) if not name.startswith("_") and hasattr(place, name)]
        losses = [name for name in names if inspect.isfunction(getattr(twins, name))]
        assert losses, place
        for name in losses:
            monkeypatch.setattr(place, name, getattr(twins, name))
