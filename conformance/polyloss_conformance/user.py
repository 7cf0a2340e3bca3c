"""A user's own losses, which no reference knows: gradients against difference quotients, backends against NumPy.

A module gives its losses as attributes, and may give calls of them as well, to be tried besides generated arguments::

    CASES = {"my_loss": [((prediction, target), {"delta": 2.0}), ...]}  # NumPy arrays: float64, class ids as integers
"""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss._checks import REAL, Classes

from . import cases as data
from . import frameworks, kinds, laws, reference
from .cases import numpy_dtype
from .compare import show
from .frameworks import Framework, engine
from .run import Result, split
from .tolerances import EPS, HALVES

Floats = NDArray[np.float64]
STEP = 2.0**-10
VALUE, GRADIENT = 16.0, 64.0
"""In eps, of the size of a value and of the largest element of a gradient: NumPy itself is no exact reference."""


def generated(loss: Any) -> tuple[Any, ...]:
    """Ordinary arguments, from what a loss says of its arrays."""
    arrays: list[Any] = []
    for key in loss.arrays:
        domain = loss.domains.get(key, REAL)
        name = f"{loss.__name__} {key}"
        shape = (*laws.SHAPE, 5) if loss.rowwise and not domain.per_example else laws.SHAPE
        if isinstance(domain, Classes):
            arrays.append(data.classes(name, laws.SHAPE, 5))
        elif domain.ends_only:
            arrays.append(np.where(data.bits(name, shape) == 1, domain.high, domain.low))
        elif np.isfinite(domain.low) and np.isfinite(domain.high):
            width = domain.high - domain.low
            arrays.append(data.uniform(name, shape, domain.low + 0.05 * width, domain.high - 0.05 * width))
        elif np.isfinite(domain.low):
            arrays.append(domain.low + data.uniform(name, shape, 0.1, 2.0))
        else:
            arrays.append(data.normal(name, shape))
    return tuple(arrays)


def calls(name: str, loss: Any, module: ModuleType) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """The calls to be tried."""
    given: Mapping[str, Sequence[Any]] = getattr(module, "CASES", {})
    found: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {"generated": (generated(loss), {})}
    for number, (arrays, keywords) in enumerate(given.get(name, ())):
        found[f"CASES[{number}]"] = (tuple(map(np.asarray, arrays)), dict(keywords))
    return found


def check(name: str, loss: Any, framework: Framework, dtypes: Sequence[str], module: ModuleType) -> Iterator[Result]:
    """All that can be known of a user's loss on one framework."""
    yield from laws.laws(name, loss, framework, loss.arrays, generated(loss), loss.rowwise)
    yield from kinds.Kinds(name, loss, framework, generated(loss), loss.rowwise).check(dtypes)
    for case, (arrays, keywords) in calls(name, loss, module).items():
        for mode in framework.modes:
            for dtype in (d for d in framework.dtypes if d in dtypes and (mode == "eager" or d == "float32")):
                message, value, gradient = "", None, None
                try:
                    message, value, gradient = _compare(loss, framework, mode, dtype, arrays, keywords)
                except Exception as error:
                    message = f"{type(error).__name__}: {str(error).strip()[:400]}"
                if not message and value is None and gradient is None:
                    continue  # NumPy in float64, without a gradient: it is what the others are compared with
                text = f"{name}({', '.join(map(show, arrays))}, **{keywords!r})" if message else ""
                yield Result(
                    name,
                    framework.name,
                    mode,
                    dtype,
                    case,
                    "value and gradient",
                    not message,
                    value,
                    gradient,
                    message,
                    text,
                )


def _compare(
    loss: Any, framework: Framework, mode: str, dtype: str, arrays: tuple[Any, ...], keywords: Mapping[str, Any]
) -> tuple[str, float | None, float | None]:
    rounded = [a.astype(numpy_dtype(dtype)) if a.dtype == np.float64 else a for a in arrays]
    exact = [
        np.asarray(reference.to_longdouble(a), dtype=np.float64)
        if a.dtype != arrays[i].dtype or a.dtype == np.float64
        else a
        for i, a in enumerate(rounded)
    ]
    wanted = tuple(i for i, a in enumerate(arrays) if a.dtype == np.float64)
    static, options = split({**keywords, "reduction": "none"})
    numpy = laws.LossOf(loss, frameworks.framework("numpy"), loss.rowwise)

    def value_at(inputs: Sequence[Any]) -> Any:
        return numpy.value(inputs, **static, **options)

    truth = value_at(exact)
    draw = np.random.default_rng(1)
    cotangent = draw.choice((0.5, -0.75, 1.25, -1.5, 2.0), truth.shape)
    slopes = [_slopes(value_at, exact, i, cotangent) for i in wanted]
    step = framework.step(loss, static, wanted, mode)
    with engine(mode):
        outcome = step(
            [framework.array(a) for a in rounded],
            {
                k: framework.array(v.astype(numpy_dtype(dtype)) if v.dtype == np.float64 else v)
                for k, v in options.items()
            },
            framework.array(cotangent.astype(numpy_dtype(dtype))),
        )
    eps = EPS[dtype]
    message = ""
    got = reference.to_longdouble(framework.numpy(outcome.value))
    if framework.dtype(outcome.value) != dtype:
        return f"dtype {framework.dtype(outcome.value)}, expected {dtype}", None, None
    if got.shape != truth.shape:
        return f"shape {got.shape}, on NumPy {truth.shape}", None, None
    moves = sum(np.abs(s * exact[i]).reshape(-1).sum() for i, (s, _) in zip(wanted, slopes, strict=True)) / max(
        1, truth.size
    )
    size = np.abs(truth) + moves + (eps if dtype in HALVES else 0)
    first = framework.name == "numpy" and mode == "eager" and dtype == "float64"
    value = None if first else float((np.abs(got - truth) / (eps * size)).max())
    if value is not None and not value <= VALUE:
        message = f"value is {got.tolist()}, on NumPy in float64 {truth.tolist()}"
    gradient = None
    for place, found, (slope, smooth) in zip(wanted, outcome.gradients or (), slopes, strict=False):
        numbers = reference.to_longdouble(framework.numpy(found))
        limit = max(GRADIENT * eps, 1e-8) * max(1e-3, float(np.abs(slope).max()))
        error = np.where(smooth, np.abs(numbers - slope), 0)
        gradient = max(gradient or 0.0, float((error / limit).max()) * GRADIENT)
        if not (error <= limit).all() and not message:
            spot = np.unravel_index(int(np.argmax(error)), error.shape)
            message = (
                f"gradient of {loss.arrays[place]} at {list(map(int, spot))} is {float(numbers[spot])!r}, "
                f"the difference quotient of the value {float(slope[spot])!r}"
            )
    return message, value, gradient


def _slopes(value_at: Any, inputs: Sequence[Any], place: int, cotangent: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Difference quotients of the weighted sum of losses, and where two of them agree."""
    slope = np.zeros(inputs[place].shape)
    smooth = np.ones(inputs[place].shape, dtype=np.bool_)
    for spot in np.ndindex(inputs[place].shape):

        def moved(distance: float, spot: tuple[int, ...] = spot) -> Any:
            arrays = list(inputs)
            arrays[place] = arrays[place].copy()
            arrays[place][spot] += distance
            return float((cotangent * value_at(arrays)).sum())

        try:
            near = (moved(STEP) - moved(-STEP)) / (2 * STEP)
            far = (moved(2 * STEP) - moved(-2 * STEP)) / (4 * STEP)
        except ValueError:  # at the end of a domain
            smooth[spot] = False
            continue
        slope[spot] = (4 * near - far) / 3
        smooth[spot] = abs(near - far) <= 1e-3 * max(1.0, abs(near))
    return slope, smooth
