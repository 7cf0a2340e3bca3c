"""Bad values that cannot be looked at: the example becomes NaN, in value and gradient."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from polyloss_conformance import cases as data
from polyloss_conformance.calls import TOGETHER, call_text, cotangent_of, split
from polyloss_conformance.cases import Case, Entry, numpy_dtype
from polyloss_conformance.frameworks import Framework, Function, Inputs, Outcome, placed
from polyloss_conformance.result import Result


def run(name: str, loss: Any, framework: Framework, modes: Sequence[str]) -> Iterator[Result]:
    entry = data.LOSSES[name]
    cases = [case for case in data.CASES[name] if case.kind == "error" and case.value_check and loss is not None]
    for mode in modes:
        for start in range(0, len(cases), TOGETHER):
            some = cases[start : start + TOGETHER]
            calls = [_call(case, loss, entry, framework) for case in some]
            outcomes = framework.program([function for function, _ in calls], mode)([inputs for _, inputs in calls])
            for case, (function, _), outcome in zip(some, calls, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    message = f"{type(outcome).__name__}: {str(outcome).strip()[:400]}"
                else:
                    message = _unlike(outcome, function, entry, framework)
                yield Result(
                    name,
                    framework.name,
                    mode,
                    case.dtypes[0],
                    case.name,
                    "bad values while traced",
                    not message,
                    message=message,
                    call=call_text(case, case.dtypes[0]) if message else "",
                    note=case.note,
                )


def _call(case: Case, loss: Any, entry: Entry, framework: Framework) -> tuple[Function, Inputs]:
    dtype = case.dtypes[0]
    given = case.at(dtype)
    static, options = split({**given.parameters, **given.options, "reduction": "none"})
    there = placed(given.arrays, options)
    wanted = tuple(i for i in entry.differentiable if i in there and there[i].dtype == numpy_dtype(dtype))
    first = given.arrays[0]
    shape = first.shape
    if entry.rowwise:
        shape = tuple(n for i, n in enumerate(shape) if i != static.get("axis", -1) % first.ndim)
    arrays = [framework.array(a) for a in given.arrays]
    cotangent = framework.array(cotangent_of(case, shape, dtype))
    inputs = (arrays, {k: framework.array(o) for k, o in options.items()}, cotangent)
    return Function(loss, static, wanted), inputs


def _unlike(outcome: Outcome, function: Function, entry: Entry, framework: Framework) -> str:
    """What is wrong, if value and gradient are not NaN for the same examples."""
    value = np.isnan(np.asarray(framework.numpy(outcome.value), dtype=np.float64))
    if not value.any():
        return f"no example is NaN: {framework.numpy(outcome.value)!r}"
    for place, gradient in zip(function.wanted, outcome.gradients or (), strict=True):
        numbers = np.isnan(np.asarray(framework.numpy(gradient), dtype=np.float64))
        expected = value
        if place in entry.shared:
            expected = np.full(numbers.shape, value.any())
        elif entry.rowwise and numbers.ndim > value.ndim:
            numbers = numbers.any(axis=function.static.get("axis", -1))
        if not (numbers == expected).all():
            return f"NaN in the value at {value.tolist()}, in the gradient of {entry.name(place)} at {numbers.tolist()}"
    return ""
