"""Asks the built-ins of the frameworks what they give in float32, and keeps those that differ, for the loss explorer.

``python docs/_ext/explorer_builtins.py`` writes ``docs/_static/explorer/builtins.json`` anew; it needs every framework.
Which built-ins there are, and how they are called, is what the conformance suite says of them.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import explorer
import numpy as np
from numpy.typing import NDArray

import polyloss
from polyloss.core.domains import REAL, Domain
from polyloss_conformance import deviations, frameworks
from polyloss_conformance.builtins import Twin, twins_of
from polyloss_conformance.case import Arguments

DTYPE = "float32"
DIFFERS = 1e-3
"""What counts as a difference: so large a part of the exact value or gradient, somewhere on the grid."""
LEAST = 1e-30
"""Smaller numbers may be less than float32 has."""
POWERS = 2.0 ** -np.arange(0.0, 27.0)
GRID = np.unique(np.concatenate([np.arange(-32.0, 32.5, 0.5), POWERS, -POWERS, 1.0 - POWERS, [17.0]]))
"""Points that float32 has exactly: evenly, and close to 0 and to 1."""


def settings_of(loss: Any) -> Iterator[dict[str, Any]]:
    """What a built-in is measured with: the defaults, and each optional parameter by itself."""
    usual = {name: loss.defaults[name] for name in explorer.numbers_of(loss)}
    if loss.row:
        usual = {"classes": 2, **usual}
    else:
        usual = {name: _ordinary(loss.domains.get(name, REAL)) for name in loss.arrays[1:]} | usual
    yield usual
    for name in explorer.numbers_of(loss):
        if name in loss.optional:
            domain = loss.domains[name]
            yield usual | {name: domain.low + (domain.high - domain.low) / 4 if domain.high < math.inf else 2.0}


def arguments_of(loss: Any, settings: Mapping[str, Any], grid: NDArray[Any]) -> Arguments:
    """A call of the loss at the points of a grid: as logits of the right class, where a row has them."""
    others = [np.full(grid.shape, settings[name], grid.dtype) for name in loss.arrays[1:] if name in settings]
    first = grid
    if loss.row:
        first = np.zeros((grid.size, settings["classes"]), grid.dtype)
        first[:, 0] = grid
        others = [np.zeros(grid.size, np.int64)]
    # What is left out is a default: many built-ins have no such parameter.
    chosen = {name: settings[name] for name in explorer.numbers_of(loss)}
    parameters = {name: value for name, value in chosen.items() if value != loss.defaults[name]}
    for name, value in parameters.items():
        if "c" in loss.arguments[name].dims[0] and name not in loss.static:
            # Built-ins have one for each class alone.
            parameters[name] = np.full(settings["classes"], value, grid.dtype)
    return Arguments((first, *others), parameters, {})


def exact(loss: Any, settings: Mapping[str, Any], grid: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Value and gradient of polyloss in float64, where the built-ins are measured."""
    arrays, parameters, _ = arguments_of(loss, settings, grid.astype(np.float64))
    with np.errstate(divide="ignore"):
        value = loss(*arrays, reduction="none", **parameters)
        gradient = polyloss.value_and_grad(loss)(*arrays, reduction="sum", **parameters)[1]
    return value, gradient.reshape(grid.size, -1)[:, 0]


def measured(
    twin: Twin, loss: Any, settings: Mapping[str, Any], grid: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Value and gradient of a built-in; None where it has no such parameter, or no gradient."""
    framework = frameworks.framework(twin.backend)
    arrays, parameters, options = arguments_of(loss, settings, grid)

    parameters = {name: framework.convert(value) for name, value in parameters.items()}

    def function(*given: Any) -> Any:
        return twin.evaluate(twin.builtin(), Arguments(given, parameters, options), "none")

    given = [framework.array(array) for array in arrays]
    if function(*given) is None:
        return None
    step = framework.step(function, {}, (0,), "eager")
    [found] = framework.each([step], [(given, {}, framework.array(np.ones(grid.shape, grid.dtype)))])
    if isinstance(found, Exception):
        print(f"{loss.__name__} {twin.id} has no gradient: {type(found).__name__}")
        return None
    return framework.numpy(found.value), framework.numpy(found.gradients[0]).reshape(grid.size, -1)[:, 0]


def differs(found: NDArray[Any], truth: NDArray[Any]) -> bool:
    """Whether something is off by more than rounding, where the truth is a number that float32 has."""
    counts = np.isfinite(truth) & (np.abs(truth) > LEAST)
    with np.errstate(invalid="ignore"):
        return not bool((np.abs(found - truth) <= DIFFERS * np.abs(truth))[counts].all())


def curves() -> Iterator[dict[str, Any]]:
    """Every built-in that differs somewhere, and what it gave."""
    recorded = {builtin for entry in deviations.load() for builtin in entry.builtin}
    for name, loss in explorer.offered().items():
        domain: Domain = loss.domains.get(loss.arrays[0], REAL)
        grid = np.asarray([x for x in GRID if domain.holds(float(x))], DTYPE)
        asked: set[str] = set()
        for settings in settings_of(loss):
            value, gradient = exact(loss, settings, grid)
            for twin in twins_of(name):
                if twin.id not in recorded or twin.id in asked or not twin.available():
                    continue
                found = measured(twin, loss, settings, grid)
                if found is not None and (differs(found[0], value) or differs(found[1], gradient)):
                    asked.add(twin.id)
                    yield {
                        "loss": name,
                        "name": twin.id,
                        "version": f"{twin.package} {twin.version()}",
                        "dtype": DTYPE,
                        "settings": settings,
                        "x": list(map(float, grid)),
                        "value": list(map(_number, found[0])),
                        "gradient": list(map(_number, found[1])),
                    }


def _number(x: Any) -> float | str:
    """A number in as few digits as float32 needs; JSON has no other ones."""
    return float(str(x)) if np.isfinite(x) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(x)]


def _ordinary(domain: Domain) -> float:
    """As in ``model.js``: what a slider starts with."""
    return 0.0 if domain.everything else max(1.0, domain.low)


def main() -> None:
    found = []
    for curve in curves():
        print(curve["loss"], curve["name"], curve["version"])
        found.append(json.dumps(curve, separators=(",", ":")))
    text = ",\n".join(found)
    (explorer.STATIC / "builtins.json").write_text(f'{{"curves":[\n{text}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
