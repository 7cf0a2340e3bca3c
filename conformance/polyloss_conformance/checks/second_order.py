"""Second derivatives: Hessian-vector products in float64, against difference quotients of the exact gradient."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from polyloss_conformance import cases as data
from polyloss_conformance import reference, tolerances
from polyloss_conformance.calls import COTANGENTS, arguments, call_text, cotangent_of, split, wanted_of
from polyloss_conformance.cases import Case, Entry, Place
from polyloss_conformance.covering import cover, features
from polyloss_conformance.frameworks import Framework, placed
from polyloss_conformance.result import Result

STEP = 2.0**-13


class _Quotient(NamedTuple):
    """A product as differences of the reference's gradient give it, and where there is no kink in between."""

    wanted: tuple[Place, ...]
    directions: Sequence[Any]
    cotangent: Any
    exact: Sequence[Any]
    scale: Sequence[Any]
    smooth: Sequence[Any]


def run(name: str, loss: Any, framework: Framework, one: bool = False) -> Iterator[Result]:
    """Hessian-vector products in float64, against difference quotients of the reference's gradient.

    Of the first case of a loss, or of as many as every two features meet in.
    """
    chosen = [] if loss is None else _chosen(name, one)
    functions, inputs = [], []
    for case, quotient in chosen:
        given = case.at("float64")
        static, options = split({**given.parameters, **given.options})
        functions.append(framework.curvature(loss, static, quotient.wanted))
        directions = [framework.array(d) for d in quotient.directions]
        inputs.append((*arguments(framework, given.arrays, options, quotient.cotangent), directions))
    for (case, quotient), found in zip(chosen, framework.together(functions, inputs), strict=True):
        try:
            if isinstance(found, Exception):
                raise found
            message = _wrong(framework, data.LOSSES[name], quotient, found)
        except Exception as error:
            message = f"{type(error).__name__}: {str(error).strip()[:400]}"
        yield Result(
            name,
            framework.name,
            "eager",
            "float64",
            case.name,
            "second order",
            not message,
            message=message,
            call=call_text(case, "float64") if message else "",
            note=case.note,
        )


def _chosen(name: str, one: bool) -> list[tuple[Case, _Quotient]]:
    """Those in which every two features meet: the second derivative is of the same code as the first."""
    entry = data.LOSSES[name]
    plain = [
        case
        for case in data.CASES[name]
        if case.kind == "sample"
        and "float64" in case.dtypes
        and _plain(case)
        and entry.of_value.items() <= case.parameters.items()
    ]
    places = cover([features([case], "float64", entry, packed=False) for case in plain])
    return [(plain[place], _quotient(plain[place])) for place in (places[:1] if one else places)]


def _wrong(framework: Framework, entry: Entry, quotient: _Quotient, found: Any) -> str:
    message = ""
    q = quotient
    for place, got, truth, size, usable in zip(q.wanted, found, q.exact, q.scale, q.smooth, strict=True):
        numbers = reference.to_longdouble(framework.numpy(got))
        error = np.where(usable, np.abs(numbers - truth), 0)
        error = np.where(np.isnan(error), np.inf, error)
        if not (error <= tolerances.SECOND_ORDER * size).all():
            spot = np.unravel_index(int(np.argmax(error / size)), error.shape)
            message = (
                f"second derivative of {entry.name(place)} at {list(map(int, spot))} "
                f"is {float(numbers[spot])!r}, the difference quotient {float(truth[spot])!r}"
            )
    return message


def _plain(case: Case) -> bool:
    return (
        set(case.options) <= {"reduction"}
        and case.options.get("reduction") == "none"
        and sum(np.size(a) for a in case.arrays) <= 100
        and not any(isinstance(v, str) for v in case.parameters.values())
    )


@reference.remembered
def _quotient(case: Case) -> _Quotient:
    """Two central differences, extrapolated."""
    entry = data.LOSSES[case.loss]
    truth = reference.truth(case, "float64")
    # Labels at the ends of their domain cannot be moved.
    wanted = tuple(place for place in wanted_of(entry, truth) if entry.name(place) != "target")
    arrays, parameters, _ = case.at("float64")
    draw = np.random.default_rng(zlib.crc32(case.id.encode()))
    given = placed(arrays, parameters)
    directions = [np.asarray(draw.choice(COTANGENTS, given[place].shape)) for place in wanted]
    cotangent = cotangent_of(case, truth.values.shape, "float64")

    def gradients(step: float) -> list[Any]:
        away = {p: np.asarray(given[p] + step * d) for p, d in zip(wanted, directions, strict=True)}
        moved = replace(
            case,
            arrays=tuple(away.get(place, array) for place, array in enumerate(arrays)),
            parameters={name: away.get(name, value) for name, value in parameters.items()},
        )
        found = reference.reduced(moved, reference.truth(moved, "float64"), cotangent).gradients
        return [found[place] for place in wanted]

    with np.errstate(all="ignore"):
        near = [(b - a) / (2 * STEP) for a, b in zip(gradients(-STEP), gradients(STEP), strict=True)]
        far = [(b - a) / (4 * STEP) for a, b in zip(gradients(-2 * STEP), gradients(2 * STEP), strict=True)]
        exact = [(4 * n - f) / 3 for n, f in zip(near, far, strict=True)]
        scale = [np.full(e.shape, max(1.0, float(np.nanmax(np.abs(e), initial=0.0)))) for e in exact]
        # A kink in between shows: the two quotients differ.
        smooth = [np.abs(n - f) <= 1e-4 * s for n, f, s in zip(near, far, scale, strict=True)]
    return _Quotient(wanted, directions, cotangent, exact, scale, smooth)
