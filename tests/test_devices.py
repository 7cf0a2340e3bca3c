"""Arrays on a device: nothing is copied to it or back, and nothing waits for it.

There is no device here, but a stand-in: the second device of array-api-strict, which it lets nothing pass to.
"""

import numpy as np
import pytest
from typer.testing import CliRunner

import polyloss
from polyloss_conformance import cases
from polyloss_conformance.cli import app

from .samples import samples

xp = pytest.importorskip("array_api_strict")


@pytest.mark.numpy
@np.errstate(all="ignore")
@pytest.mark.parametrize("name", cases.LOSSES)
def test_other_arrays_stay_on_their_device(name: str) -> None:
    device, loss, count = xp.Device("device1"), getattr(polyloss, name), 0
    differentiable = [place for place in cases.LOSSES[name].differentiable if isinstance(place, int)]
    for given, static, keywords in samples(name, ("float32", "float64")):
        arrays = [xp.asarray(a, device=device) for a in given]
        options = {key: xp.asarray(a, device=device) for key, a in keywords.items()}
        value = loss(*arrays, **static, **options)
        assert value.device == device
        if static.get("reduction", "mean") != "none" and static.get("distance") is None:
            wanted = tuple(place for place in differentiable if given[place].dtype.kind == "f")
            value, gradients = polyloss.value_and_grad(loss, wanted)(*arrays, **static, **options)
            assert {gradient.device for gradient in (value, *gradients)} == {device}
            count += 1
    assert count > 5


@pytest.mark.numpy
def test_other_arrays_are_of_one_kind_and_on_one_device() -> None:
    here, there = xp.asarray([1.0]), xp.asarray([1.0], device=xp.Device("device1"))
    with pytest.raises(TypeError, match="mse: target must be a plain array, got one of numpy beside one of array_api_"):
        polyloss.mse(here, np.asarray([1.0]))
    with pytest.raises(TypeError, match=r"target must be a plain array, got one on .*'device1'\) beside one on"):
        polyloss.mse(here, there)


@pytest.mark.numpy
def test_suite_says_which_device_is_missing() -> None:
    arguments = ["conformance", "--no-html", "--backend", "numpy", "--loss", "mse", "--device", "cuda"]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert result.exit_code == 2
    assert "numpy has no device cuda here; there is cpu" in result.output
