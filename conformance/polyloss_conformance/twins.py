"""Built-in losses and their twins in `polyloss.compat`, called with the same arguments and judged by the same rule.

A twin is held to the tolerances on every backend. A built-in is measured, on its own: where it is outside of them, the
table of deviations must say so, and where the table says so it must be.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import builtins, deviations, reference
from . import cases as data
from .builtins import Twin
from .cases import Arguments, Case
from .compare import judge
from .frameworks import Framework
from .run import OPTIONS, Result, call_text, cotangent_of, split, wanted_of

_FEW = ("ordinary_2d", "default_reduction", "probabilities", "one_row", "class_axis_1", "hard_targets")
"""What a twin is asked on the backends of others."""


def run(
    loss: str, framework: Framework, dtypes: Sequence[str], ledger: deviations.Ledger, everything: bool
) -> Iterator[Result]:
    """All built-ins and twins of a loss, on one framework."""
    for twin in builtins.twins_of(loss):
        own = twin.backend == framework.name
        for case in data.CASES[loss]:
            if case.kind == "error" or not (own or everything or case.name in _FEW):
                continue
            for reduction in dict.fromkeys(("none", str(case.options.get("reduction", "mean")), *twin.reductions[:1])):
                if not twin.expressible(case, reduction):
                    continue
                for dtype in (d for d in framework.dtypes if d in dtypes and d in case.dtypes and d in twin.dtypes):
                    if framework.slow_eager and not everything and dtype not in ("float32", "float64"):
                        continue
                    if own and twin.available():
                        yield _builtin(twin, case, framework, dtype, reduction, ledger)
                    yield _twin(twin, case, framework, dtype, reduction)


def close(framework: Framework, ledger: deviations.Ledger, complete: bool) -> list[Result]:
    """What is wrong with the table of deviations, once everything ran."""
    return [
        Result("", framework.name, "eager", "", "deviations", "built-in", False, message=problem)
        for problem in ledger.problems(complete)
    ]


def _function(twin: Twin, function: Any, reduction: str) -> Any:
    def call(*arrays: Any, **keywords: Any) -> Any:
        options = {k: v for k, v in keywords.items() if k in OPTIONS}
        parameters = {k: v for k, v in keywords.items() if k not in OPTIONS}
        return twin.evaluate(function, Arguments(arrays, parameters, options), reduction)

    return call


def _parts(
    twin: Twin, function: Any, case: Case, framework: Framework, dtype: str, reduction: str
) -> dict[str, tuple[bool, float, str]]:
    """For value and gradient: whether it agrees, the worst error, and what is wrong."""
    truth = reference.truth(case, dtype)
    shape = truth.values.shape if reduction == "none" else ()
    cotangent = cotangent_of(case, shape, dtype, (1.0,) if not framework.differentiates else None)
    exact = reference.reduced(case, truth, reference.to_longdouble(cotangent), reduction=reduction)
    given = case.at(dtype)
    static, options = split({**given.parameters, **given.options})
    wanted = tuple(i for i in wanted_of(data.LOSSES[case.loss], truth) if i not in twin.constants)
    call = _function(twin, function, reduction)
    arrays = [framework.array(a) for a in given.arrays]
    keywords = {k: framework.array(v) for k, v in options.items()}
    with np.errstate(all="ignore"):
        if framework.differentiates:
            outcome = framework.step(call, static, wanted, "eager")(arrays, keywords, framework.array(cotangent))
            value, gradients = outcome.value, outcome.gradients or ()
        else:
            value, gradients = call(*arrays, **static, **keywords), ()
    got = reference.to_longdouble(framework.numpy(value))
    if got.shape != exact.value.shape:
        return {"value": (False, np.inf, f"shape {got.shape}, expected {exact.value.shape}")}
    verdict = judge(
        got, exact.value, exact.value_scale, dtype=dtype, kind="value", flushes=framework.flushes, count=exact.count
    )
    found = {"value": (not verdict.wrong.any(), verdict.worst, _first(got, exact.value, verdict.wrong))}
    for place, gradient in zip(wanted, gradients, strict=False):
        truth_there, scale_there = exact.gradients[place], exact.gradient_scales[place]
        assert truth_there is not None
        assert scale_there is not None
        if gradient is None:
            numbers = np.full(truth_there.shape, np.nan, dtype=np.longdouble)
        else:
            numbers = reference.to_longdouble(framework.numpy(gradient))
        sides = judge(
            numbers,
            truth_there,
            scale_there,
            dtype=dtype,
            kind="gradient",
            flushes=framework.flushes,
            kinks=exact.kinks[place],
        )
        before = found.get("gradient", (True, 0.0, ""))
        wrong = _first(numbers, truth_there, sides.wrong)
        found["gradient"] = (before[0] and not sides.wrong.any(), max(before[1], sides.worst), before[2] or wrong)
    return found


def _first(got: Any, truth: Any, wrong: Any) -> str:
    if not wrong.any():
        return ""
    place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    return f"{list(map(int, place))}: {float(got[place])!r}, exactly {float(truth[place])!r}"


def _twin(twin: Twin, case: Case, framework: Framework, dtype: str, reduction: str) -> Result:
    message, parts = "", {}
    try:
        parts = _parts(twin, twin.twin(), case, framework, dtype, reduction)
        message = "; ".join(f"{part} {wrong}" for part, (agrees, _, wrong) in parts.items() if not agrees)
    except Exception as error:
        message = f"{type(error).__name__}: {str(error).strip()[:300]}"
    return _result(twin, case, framework, dtype, reduction, "twin", message, parts)


def _builtin(
    twin: Twin, case: Case, framework: Framework, dtype: str, reduction: str, ledger: deviations.Ledger
) -> Result:
    try:
        parts = _parts(twin, twin.builtin(), case, framework, dtype, reduction)
    except Exception as error:
        parts = {"value": (False, np.inf, f"{type(error).__name__}: {str(error).strip()[:200]}")}
    unrecorded, recorded = [], []
    for part, (agrees, _, wrong) in parts.items():
        entry = ledger.judge(twin, case, dtype, reduction, part, agrees)
        if not agrees:
            if entry is None:
                unrecorded.append(f"{part} {wrong}")
            else:
                recorded.append((part, wrong, entry))
    message = f"not in the table of deviations: {'; '.join(unrecorded)}" if unrecorded else ""
    result = _result(twin, case, framework, dtype, reduction, "built-in", message, parts)
    if unrecorded or not recorded:
        return result
    part, wrong, entry = recorded[0]
    return Result(
        result.loss,
        result.backend,
        result.mode,
        dtype,
        result.case,
        "built-in",
        True,
        result.value,
        result.gradient,
        message=f"{part} {wrong}",
        call=entry.input or call_text(case, dtype),
        note=entry.reason,
        deviation=entry.kind,
        link=entry.link,
    )


def _result(
    twin: Twin,
    case: Case,
    framework: Framework,
    dtype: str,
    reduction: str,
    who: str,
    message: str,
    parts: dict[str, Any],
) -> Result:
    return Result(
        twin.loss,
        framework.name,
        "eager",
        dtype,
        f"{who} {twin.id}: {case.name}, {reduction}",
        "built-in",
        not message,
        value=parts["value"][1] if "value" in parts else None,
        gradient=parts["gradient"][1] if "gradient" in parts else None,
        message=message,
        call=call_text(case, dtype) if message else "",
        note=case.note,
    )
