"""Second derivatives as users ask for them: `polyloss.curvature` and `polyloss.hessian_product`.

In every dtype, with masks and weights, and every reduction: against the curvature on either side, which differences of
the exact gradient give. Where both sides differ there is a kink, and what is found must not be outside of them.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance import cases as data
from polyloss_conformance import reference, tolerances
from polyloss_conformance.calls import arguments, call_text, split
from polyloss_conformance.cases import Case
from polyloss_conformance.compare import LD
from polyloss_conformance.covering import cover, features
from polyloss_conformance.frameworks import Framework
from polyloss_conformance.result import Result

STEP = 2.0**-26
_DIGITS = 2.0**8
"""Inputs have so few digits that they, and what is a step away from them, are exact in every dtype."""
_COLUMNS = 2
"""So many columns of the Hessian are looked at."""
_SMALL = 60
"""Cases of more elements are left to others: their truth takes long."""


class _Columns(NamedTuple):
    """What is known of a call: the directions, and the change of the gradient along each, before and behind."""

    case: Case
    units: Sequence[NDArray[Any]]
    below: Sequence[LD]
    above: Sequence[LD]


def run(name: str, loss: Any, framework: Framework, dtypes: Sequence[str], one: bool = False) -> Iterator[Result]:
    """Curvature and products of the Hessian with unit vectors, of some cases of a loss; or of the first one alone."""
    calls = [] if loss is None else [call for case in _chosen(name, one) for call in _calls(case)]
    work = [(call, dtype) for call in calls for dtype in dtypes if dtype in framework.dtypes]
    if framework.slow_eager:
        # Each call is compiled, and second derivatives are long.
        work = work[-1:]
    functions, inputs = [], []
    for call, dtype in work:
        given = call.case.at(dtype)
        static, options = split({**given.parameters, **given.options})
        functions.append(_function(loss, static))
        arrays = [_hidden(call.case, given.arrays[0]), *given.arrays[1:]]
        units = [np.asarray(unit, arrays[0].dtype) for unit in call.units]
        inputs.append((*arguments(framework, arrays, options, np.ones(()))[:2], list(map(framework.array, units))))
    for (call, dtype), found in zip(work, framework.together(functions, inputs), strict=True):
        try:
            if isinstance(found, Exception):
                raise found
            message = _wrong(framework, call, dtype, *found)
        except Exception as error:
            message = f"{type(error).__name__}: {str(error).strip()[:400]}"
        yield Result(
            name,
            framework.name,
            "eager",
            dtype,
            f"{call.case.name}, curvature of the {call.case.options['reduction']}",
            "second order",
            not message,
            message=message,
            call=call_text(call.case, dtype) if message else "",
            note=call.case.note,
        )


def _function(loss: Any, static: Mapping[str, Any]) -> Any:
    import polyloss

    def derivatives(arrays: Sequence[Any], options: Mapping[str, Any], units: Sequence[Any]) -> tuple[Any, ...]:
        _, _, curvature = polyloss.curvature(loss)(*arrays, **static, **options)
        product = polyloss.hessian_product(loss)
        return curvature, tuple(product(unit, *arrays, **static, **options) for unit in units)

    return derivatives


def _wrong(framework: Framework, call: _Columns, dtype: str, curvature: Any, products: Sequence[Any]) -> str:
    """What is outside of both sides, if anything is."""
    if framework.dtype(curvature) != dtype:
        return f"the curvature has dtype {framework.dtype(curvature)}, expected {dtype}"
    diagonal, *columns = (reference.to_longdouble(framework.numpy(array)) for array in (curvature, *products))
    largest = max((float(np.nanmax(np.abs(side), initial=0.0)) for side in (*call.below, *call.above)), default=0.0)
    for unit, column, below, above in zip(call.units, columns, call.below, call.above, strict=True):
        low, high = np.minimum(below, above), np.maximum(below, above)
        size = np.nan_to_num(np.maximum(np.abs(low), np.abs(high)))
        allowed = tolerances.curvature(dtype, largest, size, framework.flushes)
        for what, got, seen in (("curvature", diagonal, unit > 0), ("product with a unit vector", column, unit >= 0)):
            # Beyond the ends of a domain there is no truth.
            outside = np.where(seen & ~np.isnan(low), np.maximum(np.maximum(low - got, got - high), 0), 0)
            outside = np.where(np.isnan(outside), np.inf, outside)
            if not (outside <= allowed).all():
                place = np.unravel_index(int(np.argmax(outside - allowed)), low.shape)
                return (
                    f"{what} at {list(map(int, place))} is {float(got[place])!r}, differences of the gradient are "
                    f"{float(below[place])!r} before and {float(above[place])!r} behind"
                )
    return ""


def _chosen(name: str, one: bool) -> list[Case]:
    """Ordinary cases in which every two features meet, or the first one; and the first with a kink."""
    entry = data.LOSSES[name]
    plain = [case for case in data.CASES[name] if case.kind != "error" and _is_plain(case)]
    ordinary = [case for case in plain if case.kind == "sample"]
    places = cover([features([case], "float64", entry, packed=False) for case in ordinary])
    kinked = (case for case in plain if case.kind == "edge" and _has_kink(case))
    return [*(ordinary[place] for place in (places[:1] if one else places)), *([] if one else islice(kinked, 1))]


def _is_plain(case: Case) -> bool:
    """Whether it has finite numbers alone, few of them, and a call of its own can be made of it."""
    numbers = [array for array in case.arrays if isinstance(array, np.ndarray)]
    return (
        len(numbers) == len(case.arrays)
        and {"float16", "float32", "float64"} <= {*case.dtypes}
        and case.options == {"reduction": "none"}
        and all(np.isfinite(array).all() for array in numbers)
        and 0 < numbers[0].size <= _SMALL
        and not any(isinstance(value, str) for value in case.parameters.values())
    )


def _has_kink(case: Case) -> bool:
    kinks = reference.truth(_coarse(case), "float64").kinks.get(0)
    return kinks is not None and bool(kinks.any())


@reference.remembered
def _coarse(case: Case) -> Case:
    """A case with few digits, and without what changes on the way to a second derivative."""

    def rounded(value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype != np.float64:
            return value
        digits, exponent = np.frexp(value)
        return np.asarray(np.ldexp(np.round(digits * _DIGITS) / _DIGITS, exponent))

    parameters = {**case.parameters, **data.LOSSES[case.loss].of_value}
    return replace(
        case,
        arrays=tuple(map(rounded, case.arrays)),
        parameters={name: rounded(value) for name, value in parameters.items()},
    )


@reference.remembered
def _calls(case: Case) -> list[_Columns]:
    """Calls of a case with each reduction, masks and weights, and what is known of them."""
    entry, plain = data.LOSSES[case.loss], _coarse(case)
    draw = np.random.default_rng(zlib.crc32(case.id.encode()))
    shape = reference.truth(plain, "float64").values.shape
    where = np.asarray(draw.random(shape) < 0.7)
    where.flat[0] = True
    counted = {"where": where, "sample_weight": np.asarray(draw.choice([0.5, 1.5, 3.0], shape))}
    options: list[dict[str, Any]] = [{"reduction": "sum"}, {"reduction": "mean"} | counted]
    options.append({"reduction": "weighted_mean"} | counted)
    units = _units(plain, draw)
    found = []
    # Where examples see each other, all that is not one call is dear.
    for given in options[2:] if entry.batch else options:
        call = replace(plain, options=given)
        sides = [_sides(call, unit) for unit in units]
        found.append(_Columns(call, units, [below for below, _ in sides], [above for _, above in sides]))
    return found


def _units(case: Case, draw: np.random.Generator) -> list[NDArray[Any]]:
    """Some directions: one entry of all rows each, or one of all where examples see each other, or share an array."""
    entry, x = data.LOSSES[case.loss], case.arrays[0]
    axes = tuple(range(x.ndim)) if entry.batch or entry.shared else entry.axes(case.parameters, x.ndim)
    entries = list(np.ndindex(*(x.shape[axis] for axis in axes)))
    found = []
    for place in sorted(draw.permutation(len(entries))[:_COLUMNS]):
        unit, here = np.zeros(x.shape), [slice(None)] * x.ndim
        for axis, number in zip(axes, entries[place], strict=True):
            here[axis] = slice(number, number + 1)
        unit[tuple(here)] = 1.0
        found.append(unit)
    return found


def _sides(case: Case, unit: NDArray[Any]) -> tuple[LD, LD]:
    """The change of the gradient along a direction, before the input and behind it."""

    def gradient(steps: int) -> Any:
        moved = replace(case, arrays=(case.arrays[0] + steps * STEP * unit, *case.arrays[1:]))
        return reference.reduced(moved, _truth(moved)).gradients[0]

    with np.errstate(all="ignore"):
        return (gradient(-1) - gradient(-2)) / STEP, (gradient(2) - gradient(1)) / STEP


def _truth(case: Case) -> reference.Truth:
    return reference.truth(case, "float64")


def _hidden(case: Case, x: NDArray[Any]) -> NDArray[Any]:
    """The first array, with NaN in the examples that do not count."""
    mask = case.options.get("where")
    if mask is None:
        return x
    axes = data.LOSSES[case.loss].axes(case.parameters, x.ndim) if x.ndim > mask.ndim else ()
    if x.ndim - mask.ndim != len(axes):
        return x
    return np.asarray(np.where(np.expand_dims(mask, axes), x, np.asarray(np.nan, x.dtype)))
