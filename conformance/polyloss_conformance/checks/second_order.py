"""Second derivatives: Hessian-vector products in float64, against difference quotients of the exact gradient."""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from polyloss_conformance import cases as data
from polyloss_conformance import reference, tolerances
from polyloss_conformance.calls import COTANGENTS, call_text, cotangent_of, pack_key, split, wanted_of
from polyloss_conformance.cases import Case
from polyloss_conformance.frameworks import Framework, placed
from polyloss_conformance.result import Result

STEP = 2.0**-13


def run(name: str, loss: Any, framework: Framework, one: bool = False) -> Iterator[Result]:
    """Hessian-vector products in float64, against difference quotients of the reference's gradient.

    Of `one` case of a loss, or of all.
    """
    entry = data.LOSSES[name]
    seen: set[tuple[Any, ...]] = set()
    for case in data.CASES[name]:
        if loss is None or case.kind != "sample" or "float64" not in case.dtypes or not _plain(case):
            continue
        if not entry.of_value.items() <= case.parameters.items():
            continue
        key = pack_key(case, "float64", entry)
        if framework.slow_eager and key is not None:
            if key.group in seen:
                continue
            seen.add(key.group)
        quotient = _quotient(case)
        if quotient is None:
            continue
        wanted, directions, cotangent, exact, scale, judged = quotient
        given = case.at("float64")
        static, options = split({**given.parameters, **given.options})
        message, worst = "", 0.0
        try:
            found = framework.hessian_product(
                loss,
                static,
                [framework.array(a) for a in given.arrays],
                wanted,
                framework.array(cotangent),
                [framework.array(d) for d in directions],
                {k: framework.array(o) for k, o in options.items()},
            )
            for place, got, truth, size, usable in zip(wanted, found, exact, scale, judged, strict=True):
                numbers = reference.to_longdouble(framework.numpy(got))
                error = np.where(usable, np.abs(numbers - truth), 0)
                error = np.where(np.isnan(error), np.inf, error)
                worst = max(worst, float((error / size).max()))
                if not (error <= tolerances.SECOND_ORDER * size).all():
                    spot = np.unravel_index(int(np.argmax(error / size)), error.shape)
                    message = (
                        f"second derivative of {entry.name(place)} at {list(map(int, spot))} "
                        f"is {float(numbers[spot])!r}, the difference quotient {float(truth[spot])!r}"
                    )
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
        if one:
            return


def _plain(case: Case) -> bool:
    return (
        set(case.options) <= {"reduction"}
        and case.options.get("reduction") == "none"
        and sum(np.size(a) for a in case.arrays) <= 100
        and not any(isinstance(v, str) for v in case.parameters.values())
    )


@reference.remembered
def _quotient(case: Case) -> Any:
    """Two central differences of the reference's gradient, and where they agree."""
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
        judged = [np.abs(n - f) <= 1e-4 * s for n, f, s in zip(near, far, scale, strict=True)]
    return wanted, directions, cotangent, exact, scale, judged
