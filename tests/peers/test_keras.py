"""Keras's own tests of its losses, with the twins in the place of what they were written for."""

from unittest import TestCase

import pytest
from keras.src.losses import losses, losses_test

import polyloss_keras  # noqa: F401
from polyloss.compat import keras as twins

pytestmark = pytest.mark.filterwarnings("ignore")

globals().update(
    (name, kind)
    for name, kind in vars(losses_test).items()
    if isinstance(kind, type) and issubclass(kind, TestCase) and kind.__module__ == losses_test.__name__
)


@pytest.fixture(autouse=True)
def twins_in_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*twins.__all__, *dir(twins)):
        if hasattr(losses, name) and not name.startswith("_"):
            monkeypatch.setattr(losses, name, getattr(twins, name))
