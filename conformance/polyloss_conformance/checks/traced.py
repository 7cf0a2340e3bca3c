"""Bad values that cannot be looked at: the example becomes NaN, in value and gradient."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from polyloss_conformance import cases as data
from polyloss_conformance.calls import call_text, cotangent_of, split
from polyloss_conformance.cases import Case, Entry, numpy_dtype
from polyloss_conformance.frameworks import Framework, placed
from polyloss_conformance.result import Result


def run(name: str, loss: Any, framework: Framework, modes: Sequence[str], everything: bool) -> Iterator[Result]:
    """Bad values that cannot be seen. `everything`: with all that a compiler does to their code."""
    entry = data.LOSSES[name]
    for case in data.CASES[name]:
        if case.kind != "error" or not case.value_check or loss is None:
            continue
        for mode in modes:
            dtype = case.dtypes[0]
            message = ""
            try:
                message = _poisoned(case, loss, entry, framework, mode, dtype, everything)
            except Exception as error:
                message = f"{type(error).__name__}: {str(error).strip()[:400]}"
            yield Result(
                name,
                framework.name,
                mode,
                dtype,
                case.name,
                "bad values while traced",
                not message,
                message=message,
                call=call_text(case, dtype) if message else "",
                note=case.note,
            )


def _poisoned(
    case: Case, loss: Any, entry: Entry, framework: Framework, mode: str, dtype: str, everything: bool
) -> str:
    given = case.at(dtype)
    static, options = split({**given.parameters, **given.options, "reduction": "none"})
    there = placed(given.arrays, options)
    wanted = tuple(i for i in entry.differentiable if i in there and there[i].dtype == numpy_dtype(dtype))
    arrays = [framework.array(a) for a in given.arrays]
    first = given.arrays[0]
    axes = entry.axes(static, given.arrays[0].ndim)
    shape = tuple(n for i, n in enumerate(first.shape) if i not in axes)
    cotangent = framework.array(cotangent_of(case, shape, dtype))
    step = framework.step(loss, static, wanted, mode, unoptimised=not everything)
    outcome = step(arrays, {k: framework.array(o) for k, o in options.items()}, cotangent)
    value = np.isnan(np.asarray(framework.numpy(outcome.value), dtype=np.float64))
    if not value.any():
        return f"no example is NaN: {framework.numpy(outcome.value)!r}"
    for place, gradient in zip(wanted, outcome.gradients or (), strict=True):
        numbers = np.isnan(np.asarray(framework.numpy(gradient), dtype=np.float64))
        expected = value
        if entry.batch and isinstance(place, int):
            # Others that see a bad example may become NaN with it.
            numbers = numbers.any(axis=axes) & value
        elif place in entry.summed:
            expected = np.full(numbers.shape, value.any())
        elif entry.rowwise and numbers.ndim > value.ndim:
            numbers = np.asarray(numbers.any(axis=axes))
        if not (numbers == expected).all():
            return f"NaN in the value at {value.tolist()}, in the gradient of {entry.name(place)} at {numbers.tolist()}"
    return ""
