"""Bad input: the error that is expected, eagerly, and while tracing where no value is needed to see it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from polyloss_conformance import cases as data
from polyloss_conformance.calls import call_text, split
from polyloss_conformance.cases import Case
from polyloss_conformance.frameworks import Framework
from polyloss_conformance.result import Result


def run(name: str, loss: Any, framework: Framework) -> Iterator[Result]:
    """Every error case, eagerly, and while tracing where no value is needed to see the error."""
    for case in data.CASES[name]:
        if case.kind != "error" or case.error is None:
            continue
        if loss is None:
            yield Result(
                name,
                framework.name,
                "eager",
                case.dtypes[0],
                case.name,
                "error",
                False,
                message=f"polyloss has no {name}",
            )
            continue
        modes: list[tuple[str, Callable[..., Any]]] = []
        if framework.shows_values or not case.value_check:
            modes.append(("eager", lambda s, a, o: loss(*a, **s, **o)))
        if framework.differentiates and not case.value_check:
            modes.append(("traced", lambda s, a, o: framework.traced(loss, s, a, o)))
        for mode, call in modes:
            yield _refused(name, case, framework, mode, call)


def _refused(name: str, case: Case, framework: Framework, mode: str, call: Callable[..., Any]) -> Result:
    assert case.error is not None
    dtype = case.dtypes[0]
    given = case.at(dtype)
    kinds, says = case.error
    static, options = split({**given.parameters, **given.options})
    arrays = [framework.convert(a) for a in given.arrays]
    message = ""
    try:
        with np.errstate(all="ignore"):
            got = call(static, arrays, {k: framework.convert(o) for k, o in options.items()})
        message = f"expected {_names(kinds)}, got {got!r}"
    except Exception as error:
        if not isinstance(error, kinds):
            message = f"expected {_names(kinds)}, got {type(error).__name__}: {str(error)[:300]}"
        elif not re.search(says, str(error), re.IGNORECASE):
            message = f"the message must match {says!r}: {type(error).__name__}: {str(error)[:300]}"
    return Result(
        name,
        framework.name,
        mode,
        dtype,
        case.name,
        "error",
        not message,
        message=message,
        call=call_text(case, dtype) if message else "",
        note=case.note,
    )


def _names(kinds: data.Raises) -> str:
    return " or ".join(k.__name__ for k in (kinds if isinstance(kinds, tuple) else (kinds,)))
