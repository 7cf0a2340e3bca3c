"""Bad values that cannot be looked at: the example becomes NaN, in value and gradient."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from polyloss_conformance import cases as data
from polyloss_conformance.calls import arguments, call_text, cotangent_of, split
from polyloss_conformance.cases import Case, Place, numpy_dtype
from polyloss_conformance.frameworks import Framework, Step, placed
from polyloss_conformance.result import Result


class _Call(NamedTuple):
    """What is constant, the places that there is a gradient by, and the arrays at all places."""

    static: dict[str, Any]
    wanted: tuple[Place, ...]
    there: dict[Place, Any]

    @classmethod
    def of(cls, case: Case) -> "_Call":
        given = case.at(case.dtypes[0])
        static, options = split({**given.parameters, **given.options, "reduction": "none"})
        there = placed(given.arrays, options)
        differentiable = data.LOSSES[case.loss].differentiable
        wanted = tuple(i for i in differentiable if i in there and there[i].dtype == numpy_dtype(case.dtypes[0]))
        return cls(static, wanted, there)

    @property
    def function(self) -> tuple[Any, ...]:
        """What calls have in common for which one function is compiled."""
        kinds = ((place, str(array.dtype), array.shape) for place, array in self.there.items())
        return (repr(self.static), self.wanted, *kinds)


def run(name: str, loss: Any, framework: Framework, modes: Sequence[str], everything: bool) -> Iterator[Result]:
    """Bad values that cannot be seen. `everything`: with all that a compiler does to their code."""
    # Many cases differ in their numbers alone: what is compiled for the first is for all of those.
    groups: dict[Any, list[tuple[Case, _Call]]] = {}
    for case in data.CASES[name]:
        if case.kind == "error" and case.value_check and loss is not None:
            call = _Call.of(case)
            groups.setdefault(call.function, []).append((case, call))
    for mode, group in product(modes, groups.values()):
        step: Step | None = None
        for case, call in group:
            message = ""
            try:
                step = step or framework.step(loss, call.static, call.wanted, mode, unoptimised=not everything)
                message = _poisoned(case, call, framework, step)
            except Exception as error:
                message = f"{type(error).__name__}: {str(error).strip()[:400]}"
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


def _poisoned(case: Case, call: _Call, framework: Framework, step: Step) -> str:
    entry, dtype = data.LOSSES[case.loss], case.dtypes[0]
    static, wanted, there = call
    arrays = [array for place, array in there.items() if isinstance(place, int)]
    options = {place: array for place, array in there.items() if isinstance(place, str)}
    axes = entry.axes(static, arrays[0].ndim)
    shape = tuple(n for i, n in enumerate(arrays[0].shape) if i not in axes)
    outcome = step(*arguments(framework, arrays, options, cotangent_of(case, shape, dtype)))
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
