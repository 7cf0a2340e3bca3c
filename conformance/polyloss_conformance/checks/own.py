"""A user's own losses, which no reference knows: gradients against difference quotients, backends against NumPy.

A module gives its losses as attributes, and may give calls of them as well, to be tried besides generated arguments::

    CASES = {"my_loss": [((prediction, target), {"delta": 2.0}), ...]}  # NumPy arrays: float64, class ids as integers
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyloss import Loss
from polyloss.core.domains import REAL
from polyloss_conformance import reference
from polyloss_conformance.calls import split
from polyloss_conformance.cases import Place, numpy_dtype
from polyloss_conformance.compare import difference, numbers_of, show
from polyloss_conformance.declared import entry_of, generated, small
from polyloss_conformance.frameworks import Framework, called, engine, placed
from polyloss_conformance.result import Result
from polyloss_conformance.tolerances import EPS, HALVES, OWN, floor

from . import kinds, laws
from .told import told

Floats = NDArray[np.float64]
STEP = 2.0**-10
"""Of a difference quotient, relative to the numbers of an array; to 1 where those are larger."""
SMALL = (1e-3, 1e-6)
"""Sizes of all numbers of a call: beside the loss of a large error, nobody sees that of a small one vanish."""
LONG = 100
"""A user's array of more elements is named, and not written down."""
VALUE, GRADIENT = OWN["value"], OWN["gradient"]


class Tried(NamedTuple):
    """A call to be tried."""

    arrays: tuple[Any, ...]
    keywords: Mapping[str, Any]
    in_half: bool = True
    """Whether half precision has such numbers."""
    source: str = ""
    """Where the user gives it: too large an array is not written down again."""


class Compared(NamedTuple):
    """What a comparison found.

    Parameters
    ----------
    message : str
        What is wrong, empty where nothing is.
    value, gradient : float or None
        The worst errors.
    by : int or str or None
        Where the array is whose gradient is wrong.
    cotangent : array or None
        What the losses were weighted with, for their gradient.
    """

    message: str
    value: float | None = None
    gradient: float | None = None
    by: Place | None = None
    cotangent: Floats | None = None


def calls(name: str, loss: Any, module: ModuleType) -> dict[str, Tried]:
    """The calls to be tried."""
    given: Mapping[str, Sequence[Any]] = getattr(module, "CASES", {})
    found = {"generated": Tried(generated(loss), {})}
    for size in SMALL:
        if (arrays := small(loss, size)) is not None:
            found[f"generated, of size {size:g}"] = Tried(arrays, {}, in_half=False)
    if others := _others(loss):
        found["generated, other parameters"] = Tried(generated(loss), others)
        # Of an array there is a gradient, too.
        as_arrays = {k: np.asarray(v) for k, v in others.items()}
        found["generated, other parameters as arrays"] = Tried(generated(loss), as_arrays)
    for number, (arrays, keywords) in enumerate(given.get(name, ())):
        source = f"{module.__name__}.CASES[{name!r}][{number}]"
        found[f"CASES[{number}]"] = Tried(tuple(map(np.asarray, arrays)), dict(keywords), source=source)
    return found


def _others(loss: Any) -> dict[str, float]:
    """For each floating parameter a value that is not its default: at 1, nobody sees a factor that is missing."""
    found: dict[str, float] = {}
    for key, default in loss.defaults.items():
        domain = loss.domains.get(key, REAL)
        if not isinstance(default, float) or key in loss.static:
            continue
        tried = (1.75 * default, 0.6 * default, default + 0.3, default - 0.3)
        found |= {key: next(one for one in (*tried, default) if domain.holds(one) and one not in domain.special)}
    return {key: value for key, value in found.items() if value != loss.defaults[key]}


def _complete(loss: Any, given: Sequence[Any]) -> Any:
    """`loss` with a value of each parameter that has no default: that of a call of the user's, or one in its domain.

    The terms of a sum are losses of their own.
    """
    if not isinstance(loss, Loss):
        return loss
    found: dict[str, Any] = {}
    for key in loss.parameters:
        values = [keywords[key] for _, keywords in given if key in keywords]
        if key in loss.defaults:
            continue
        if not values and key not in loss.domains:
            raise TypeError(
                f"{loss.__name__}: nobody knows what {key} may be, which has no default: declare its domain, as in "
                f"{key}=polyloss.POSITIVE, or give calls as CASES"
            )
        found[key] = values[0] if values else kinds.inside(loss.domains[key], None)
    return loss.partial(**found) if found else loss


def check(
    name: str,
    loss: Any,
    framework: Framework,
    dtypes: Sequence[str],
    module: ModuleType,
    modes: Sequence[str] | None = None,
) -> Iterator[Result]:
    """All that can be known of a user's loss on one framework, in some of its modes."""
    modes = framework.modes if modes is None else modes
    entry, ordinary, given = entry_of(loss), generated(loss), loss
    try:
        loss = _complete(loss, getattr(module, "CASES", {}).get(name, ()))
        message = _undefined(loss, framework, ordinary)
    except Exception as error:
        message = told(error, loss)
    if message:
        # Whatever else is asked of it would say so again.
        yield Result(
            name, framework.name, modes[0], "float64", "generated", "value and gradient", False, message=message
        )
        return
    places = differentiable(loss, framework, dict(enumerate(ordinary)), {})
    wanted = tuple(place for place in places if isinstance(place, int))
    yield from laws.laws(
        name,
        loss,
        framework,
        loss.arrays,
        ordinary,
        entry.rowwise,
        shared=entry.shared,
        wanted=wanted,
        batch=entry.batch,
        exact=False,
    )
    yield from kinds.of_entry(name, loss, framework, entry, generated(loss, laws.SHAPE), wanted).check(dtypes, modes)
    completed = {key: loss.defaults[key] for key in loss.parameters if key not in given.defaults}
    for case, tried in calls(name, loss, module).items():
        there = [d for d in framework.dtypes if d in dtypes and (tried.in_half or d not in HALVES)]
        for mode in modes:
            for dtype in (d for d in there if mode == "eager" or d == "float32"):
                try:
                    compared = _compare(loss, framework, mode, dtype, tried.arrays, tried.keywords)
                except Exception as error:
                    compared = Compared(told(error, loss))
                message, value, gradient = compared[:3]
                if not message and value is None and gradient is None:
                    continue  # NumPy in float64, without a gradient: it is what the others are compared with
                as_called = tried._replace(keywords={**completed, **tried.keywords})
                text = _text(f"{module.__name__}.{name}", framework, dtype, as_called, compared) if message else ""
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


def _text(name: str, framework: Framework, dtype: str, tried: Tried, compared: Compared) -> str:
    """A call as somebody would paste it, after ``import`` of the module and the framework; with the gradient, where
    that is wrong."""

    def text(value: Any, source: str = "") -> str:
        if not isinstance(value, np.ndarray):
            return repr(value)
        if value.dtype != np.float64:
            kind = str(value.dtype)
        else:
            kind, value = dtype, value.astype(numpy_dtype(dtype))
        numbers = re.sub(r"\b(nan|inf)\b", r"float('\1')", numbers_of(value))
        return framework.literal(source if source and value.size > LONG else numbers, kind)

    keywords = {**tried.keywords, "reduction": "none"}
    if compared.by is not None and compared.cotangent is not None and "sample_weight" not in keywords:
        name = f"polyloss.value_and_grad({name}, {compared.by!r})"
        keywords |= {"reduction": "sum", "sample_weight": compared.cotangent}
    arrays = [text(array, tried.source and f"{tried.source}[0][{place}]") for place, array in enumerate(tried.arrays)]
    named = [f"{key}={text(value)}" for key, value in keywords.items()]
    return f"{name}({', '.join([*arrays, *named])})"


def _undefined(loss: Any, framework: Framework, ordinary: tuple[Any, ...]) -> str:
    """Where the loss of ordinary arrays is no number."""
    given: dict[Place, Any] = {place: framework.array(array) for place, array in enumerate(ordinary)}
    with np.errstate(all="ignore"):
        each = framework.numpy(called(loss, {"reduction": "none"}, given))
    if np.isfinite(each).all():
        return ""
    spot = tuple(map(int, np.argwhere(~np.isfinite(each))[0]))
    own = zip(loss.arrays, ordinary, strict=True)
    example = ", ".join(f"{key} is {show(array[spot])}" for key, array in own if array.shape[: len(spot)] == each.shape)
    decorator = "rowwise" if loss.rowwise else "elementwise"
    return (
        f"the loss is {float(each[spot])!r} where {example}; declare the range of an argument that may not be any "
        f"number, as in @polyloss.{decorator}({loss.arrays[0]}=polyloss.POSITIVE)"
    )


def differentiable(
    loss: Any, framework: Framework, given: Mapping[Place, Any], static: Mapping[str, Any]
) -> tuple[Place, ...]:
    """The floating arrays and parameters that there is a gradient by: on NumPy, where there is a closed form."""
    import polyloss

    numbers = [p for p, a in given.items() if a.dtype == np.float64 and (isinstance(p, int) or p in loss.parameters)]
    if framework.differentiates or loss.autodiff is True:
        return tuple(numbers)
    found: list[Place] = []
    for place in numbers:
        try:
            called(polyloss.value_and_grad(loss, (place,)), {**static, "reduction": "sum"}, given)
        except Exception as error:  # whatever else is wrong shows where the gradient is compared
            if isinstance(error, ValueError) and "closed form" in str(error):
                continue
        found.append(place)
    return tuple(found)


def _compare(
    loss: Any, framework: Framework, mode: str, dtype: str, arrays: tuple[Any, ...], keywords: Mapping[str, Any]
) -> Compared:
    static, options = split({**keywords, "reduction": "none"})
    given = placed(arrays, options)
    floating = [place for place, array in given.items() if array.dtype == np.float64]
    rounded = given | {place: given[place].astype(numpy_dtype(dtype)) for place in floating}
    exact = given | {place: np.asarray(rounded[place], dtype=np.float64) for place in floating}
    wanted = differentiable(loss, framework, exact, static)

    def value_at(there: Mapping[Place, Any]) -> Any:
        with np.errstate(all="ignore"):
            return reference.to_longdouble(called(loss, static, there))

    truth = value_at(exact)
    draw = np.random.default_rng(1)
    cotangent = draw.choice((0.5, -0.75, 1.25, -1.5, 2.0), truth.shape)
    slopes = [_slopes(value_at, exact, place, cotangent) for place in wanted]
    step = framework.step(loss, static, wanted, mode)
    with engine(mode):
        outcome = step(
            [framework.array(rounded[place]) for place in range(len(arrays))],
            {key: framework.array(rounded[key]) for key in options},
            framework.array(cotangent.astype(numpy_dtype(dtype))),
        )
    eps = EPS[dtype]
    message = ""
    got = reference.to_longdouble(framework.numpy(outcome.value))
    if framework.dtype(outcome.value) != dtype:
        return Compared(f"dtype {framework.dtype(outcome.value)}, expected {dtype}")
    if got.shape != truth.shape:
        return Compared(f"shape {got.shape}, on NumPy {truth.shape}")
    moves = sum(np.abs(s * exact[place]).reshape(-1).sum() for place, (s, _) in zip(wanted, slopes, strict=True)) / max(
        1, truth.size
    )
    size = np.abs(truth) + moves + (eps if dtype in HALVES else 0)
    first = framework.name == "numpy" and mode == "eager" and dtype == "float64"
    lost = floor(dtype, framework.flushes)
    errors = np.maximum(np.abs(got - truth) - lost, 0) / (eps * size)
    value = None if first else float(errors.max())
    if value is not None and not value <= VALUE:
        message = difference("value", got, truth, ~(errors <= VALUE)) + ", as on NumPy in float64"
    gradient, by = None, None
    for place, found, (slope, doubt) in zip(wanted, outcome.gradients or (), slopes, strict=False):
        numbers = reference.to_longdouble(framework.numpy(found))
        limit = max(GRADIENT * eps, 1e-8) * max(1e-3 * _reach(exact, place), float(np.abs(slope).max())) + lost
        error = np.where(np.isfinite(doubt), np.maximum(np.abs(numbers - slope) - doubt, 0), 0)
        gradient = max(gradient or 0.0, float((error / limit).max()) * GRADIENT)
        if not (error <= limit).all() and not message:
            by = place
            spot = np.unravel_index(int(np.argmax(error)), error.shape)
            name = loss.arrays[place] if isinstance(place, int) else place
            message = (
                f"gradient of {name} at {list(map(int, spot))} is {float(numbers[spot])!r}, "
                f"the difference quotient of the value {float(slope[spot])!r}"
            )
    return Compared(message, value, gradient, by, cotangent)


def _reach(given: Mapping[Place, Any], place: Place) -> float:
    """How large the numbers of an array are, at most 1; where all are 0, those of the others."""
    sizes = {key: float(np.abs(array).max(initial=0)) for key, array in given.items() if array.dtype == np.float64}
    return min(1.0, sizes[place] or max(sizes.values()) or 1.0)


def _slopes(value_at: Any, given: Mapping[Place, Any], place: Place, cotangent: Floats) -> tuple[Floats, Floats]:
    """Difference quotients of the weighted sum of losses, and how far they may be off: inf at a kink.

    Where a higher derivative jumps, as the third of a cube of |x| does, extrapolation is not as good as elsewhere; and
    the values of small arrays are known to so many digits alone.
    """
    shape, step = given[place].shape, STEP * _reach(given, place)
    noise = 4 * EPS["float64"] * float(np.abs(cotangent * value_at(given)).sum()) / step
    slope, doubt = np.zeros(shape), np.full(shape, np.inf)
    for spot in np.ndindex(shape):

        def quotient(distance: float, spot: tuple[int, ...] = spot) -> Any:
            ends = []
            for end in (distance, -distance):
                array = given[place].copy()
                array[spot] += end
                ends.append(float((cotangent * value_at({**given, place: array})).sum()))
            return (ends[0] - ends[1]) / (2 * distance)

        try:
            near, far, farther = map(quotient, (step, 2 * step, 4 * step))
        except ValueError:  # at the end of a domain
            continue
        slope[spot] = (4 * near - far) / 3
        if abs(near - far) <= 1e-3 * max(1.0, abs(near)):
            doubt[spot] = 2 * abs(slope[spot] - (4 * far - farther) / 3) + noise
    return slope, doubt
