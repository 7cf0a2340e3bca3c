"""Built-in losses and their twins in `polyloss.compat`, called with the same arguments and judged by the same rule.

A twin is held to the tolerances on every backend. A built-in is measured, on its own: where it is outside of them, the
table of deviations must say so, and where the table says so it must be.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from polyloss_conformance import builtins, deviations, frameworks, reference
from polyloss_conformance import cases as data
from polyloss_conformance.builtins import FAMILIES, Twin
from polyloss_conformance.calls import (
    OPTIONS,
    Call,
    Gradient,
    arguments,
    call_text,
    cotangent_of,
    pack,
    pack_key,
    single,
    split,
    wanted_of,
)
from polyloss_conformance.cases import Arguments, Case, Place
from polyloss_conformance.compare import LD, judge
from polyloss_conformance.frameworks import Framework, Outcome
from polyloss_conformance.result import RECORDED, Result
from polyloss_conformance.tolerances import HALVES

Parts = dict[str, tuple[bool, float, str]]
"""For value and gradient: whether it agrees, the worst error, and what is wrong."""

_FEW = ("ordinary_2d", "default_reduction", "probabilities", "one_row", "class_axis_1", "hard_targets")
"""What a twin is asked on the backends of others."""


def run(
    loss: str, framework: Framework, dtypes: Sequence[str], ledger: deviations.Ledger, everything: bool
) -> Iterator[Result]:
    """All built-ins and twins of a loss, on one framework."""
    for twin in builtins.twins_of(loss):
        own = twin.backend == framework.name
        usable = [c for c in data.CASES[loss] if c.kind != "error" and (own or everything or c.name in _FEW)]
        # The table of deviations is about the CPU. On a device, some end the process where they would raise.
        functions = [("built-in", twin.builtin())] if own and twin.available() and framework.shows_values else []
        functions.append(("twin", twin.twin()))
        there = [d for d in framework.dtypes if d in dtypes and d in twin.dtypes]
        halves = [d for d in there if d in HALVES]
        main = "float32" if "float32" in there else next(reversed(there), "")
        # Away from home, one half shows what a translation makes of both.
        for dtype in (d for d in there if own or everything or d in (*halves[-1:], main)):
            at_dtype = [case for case in usable if dtype in case.dtypes]
            compiled = framework.slow_eager and not everything
            way = _together if compiled and "none" in twin.reductions else _one_by_one
            for who, function in functions:
                # A built-in is somebody else's in each dtype; a twin is a loss, which is called in each elsewhere.
                once = who == "twin" and dtype != main and not everything
                chosen = [case for case in at_dtype if case.name in _FEW] if once else at_dtype
                for case, reduction, parts in way(twin, function, chosen, framework, dtype):
                    yield _result(twin, who, case, framework, dtype, reduction, parts, ledger)


def measured(twin: Twin, case: Case, dtype: str) -> dict[str, float]:
    """The worst error of a built-in in one call, of value and gradient; empty where it is not installed."""
    if not twin.available() or dtype not in case.dtypes:
        return {}
    found = _one_by_one(twin, twin.builtin(), [case], frameworks.framework(twin.backend), dtype)
    *_, parts = next(found)
    return {part: worst for part, (_, worst, _) in parts.items()}


def confirm(framework: Framework) -> Iterator[Result]:
    """The inputs that the table of deviations shows: what the built-in makes of them, and what its twin does."""
    for entry in deviations.load():
        family = FAMILIES[entry.family]
        twin = next(t for t in builtins.TWINS if t.family == entry.family)
        if not entry.input or family.backend != framework.name or not twin.available():
            continue
        if deviations.holds(twin.version(), entry.versions):
            message = deviations.confirm(entry)
            yield Result(
                "",
                framework.name,
                "eager",
                "",
                f"built-in {entry.called}: {RECORDED}",
                "built-in",
                not message,
                message=message or f"gives {entry.returns}, exactly {entry.exact}",
                call=entry.input,
                note=entry.reason,
                deviation=entry.kind,
                link=entry.link,
            )


def close(backend: str, ledger: deviations.Ledger, complete: bool) -> list[Result]:
    """What is wrong with the table of deviations, once everything ran."""
    return [
        Result("", backend, "eager", "", "deviations", "built-in", False, message=problem)
        for problem in ledger.problems(complete)
    ]


def _function(twin: Twin, function: Any, reduction: str) -> Any:
    def call(*arrays: Any, **keywords: Any) -> Any:
        options = {k: v for k, v in keywords.items() if k in OPTIONS}
        parameters = {k: v for k, v in keywords.items() if k not in OPTIONS}
        return twin.evaluate(function, Arguments(arrays, parameters, options), reduction)

    return call


_Function = Callable[..., Any]
_Found = Iterator[tuple[Case, str, Parts]]


def _one_by_one(twin: Twin, function: _Function, cases: Sequence[Case], framework: Framework, dtype: str) -> _Found:
    for case in cases:
        own = str(case.options.get("reduction", "mean"))
        for reduction in dict.fromkeys(("none", own, *twin.reductions[:1])):
            if not twin.expressible(case, reduction):
                continue
            truth = reference.truth(case, dtype)
            shape = truth.values.shape if reduction == "none" else ()
            cotangent = cotangent_of(case, shape, dtype, None if framework.differentiates else (1.0,))
            exact = reference.reduced(case, truth, reference.to_longdouble(cotangent), reduction=reduction)
            given = case.at(dtype)
            static, options = split({**given.parameters, **given.options})
            wanted: tuple[Place, ...] = ()
            if framework.differentiates:
                wanted = tuple(i for i in wanted_of(data.LOSSES[case.loss], truth) if i not in twin.constants)
            step = framework.step(_function(twin, function, reduction), static, wanted, "eager")
            try:
                with np.errstate(all="ignore"):
                    [found] = framework.together([step], [arguments(framework, given.arrays, options, cotangent)])
                if isinstance(found, Exception):
                    raise found
                parts = _judged(framework, dtype, found.value, exact.value, exact.value_scale, exact.count)
                for place, gradient in zip(wanted, found.gradients or (), strict=False):
                    there: Any = (exact.gradients[place], exact.gradient_scales[place], exact.kinks[place])
                    terms = truth.values.size if place in data.LOSSES[case.loss].summed else 1
                    known = Gradient._make((*there, slice(None), terms))
                    _judge_gradient(parts, framework, dtype, gradient, known)
            except Exception as error:
                parts = _failed(error)
            yield case, reduction, parts


def _together(twin: Twin, function: _Function, cases: Sequence[Case], framework: Framework, dtype: str) -> _Found:
    """Cases that differ in their examples alone are one call, and all calls of a function are compiled as one."""
    calls = _calls(twin, cases, framework, dtype)
    if not calls:
        return
    for call, outcome in zip(calls, _outcomes(twin, function, calls, framework), strict=True):
        for case, part in call.parts:
            try:
                parts = _parts(twin, framework, dtype, outcome, call, part)
            except Exception as error:
                parts = _failed(error)
            yield case, "none", parts


def _calls(twin: Twin, cases: Sequence[Case], framework: Framework, dtype: str) -> list[Call]:
    entry = data.LOSSES[twin.loss]
    groups: dict[Any, list[Case]] = {}
    for case in cases:
        if twin.expressible(case, "none"):
            groups.setdefault(pack_key(case, dtype, entry) or case.name, []).append(case)
    calls: list[Call] = []
    for key, members in groups.items():
        if isinstance(key, str):
            alone = replace(members[0], options={**members[0].options, "reduction": "none"})
            call = single(alone, dtype, entry, framework)
            call.parts = [(members[0], slice(None))]
        else:
            call = pack(members, dtype, entry, weighted=False, masked=any("where" in c.options for c in members))
        calls.append(call)
    return calls


def _outcomes(
    twin: Twin, function: Callable[..., Any], calls: Sequence[Call], framework: Framework
) -> Sequence[Outcome | Exception]:
    call_of = _function(twin, function, "none")
    with np.errstate(all="ignore"):
        # What they compute is in question, and not the code that is made of it.
        return framework.together(
            [framework.step(call_of, call.static, _wanted(twin, call), "eager") for call in calls],
            [call.arguments(framework) for call in calls],
        )


def _wanted(twin: Twin, call: Call) -> tuple[Place, ...]:
    return tuple(place for place in call.wanted if place not in twin.constants)


def _parts(
    twin: Twin, framework: Framework, dtype: str, outcome: Outcome | Exception, call: Call, part: slice
) -> Parts:
    """The part of a call that belongs to a case, judged."""
    if isinstance(outcome, Exception):
        return _failed(outcome)
    parts = _judged(framework, dtype, outcome.value, call.value, call.value_scale, 1, part)
    for place, gradient in zip(_wanted(twin, call), outcome.gradients or (), strict=False):
        _judge_gradient(parts, framework, dtype, gradient, call.gradient(call.wanted.index(place), part))
    return parts


def _judged(
    framework: Framework, dtype: str, value: Any, truth: LD, scale: LD, count: int, part: slice = slice(None)
) -> Parts:
    got = reference.to_longdouble(framework.numpy(value))
    if got.shape != truth.shape:
        return {"value": (False, np.inf, f"shape {got.shape}, expected {truth.shape}")}
    if framework.dtype(value) != dtype:
        return {"value": (False, np.inf, f"dtype {framework.dtype(value)}, expected {dtype}")}
    got, truth, scale = (a if part == slice(None) else a[part] for a in (got, truth, scale))
    verdict = judge(got, truth, scale, dtype=dtype, kind="value", flushes=framework.flushes, count=count)
    return {"value": (not verdict.wrong.any(), verdict.worst, _first(got, truth, verdict.wrong))}


def _judge_gradient(parts: Parts, framework: Framework, dtype: str, gradient: Any, known: Gradient) -> None:
    truth, scale, kinks, part, terms = known
    if gradient is None:
        got = np.full(truth.shape, np.nan, dtype=np.longdouble)
    else:
        got = reference.to_longdouble(framework.numpy(gradient))
    if part != slice(None):
        got, truth, scale, kinks = got[part], truth[part], scale[part], kinks[part]
    verdict = judge(
        got, truth, scale, dtype=dtype, kind="gradient", flushes=framework.flushes, count=terms, kinks=kinks
    )
    agrees, worst, wrong = parts.get("gradient", (True, 0.0, ""))
    parts["gradient"] = (
        agrees and not verdict.wrong.any(),
        max(worst, verdict.worst),
        wrong or _first(got, truth, verdict.wrong),
    )


def _failed(error: Exception) -> Parts:
    return {"value": (False, np.inf, f"{type(error).__name__}: {str(error).strip()[:300]}")}


def _first(got: Any, truth: Any, wrong: Any) -> str:
    if not wrong.any():
        return ""
    place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    return f"{list(map(int, place))}: {float(got[place])!r}, exactly {float(truth[place])!r}"


def _result(
    twin: Twin,
    who: str,
    case: Case,
    framework: Framework,
    dtype: str,
    reduction: str,
    parts: Parts,
    ledger: deviations.Ledger,
) -> Result:
    misses = [(part, wrong) for part, (agrees, _, wrong) in parts.items() if not agrees]
    recorded = []
    message = "; ".join(f"{part} {wrong}" for part, wrong in misses)
    if who == "built-in":
        entries = {
            part: ledger.judge(twin, case, dtype, reduction, part, agrees) for part, (agrees, *_) in parts.items()
        }
        recorded = [(part, wrong, entry) for part, wrong in misses if (entry := entries[part]) is not None]
        if len(recorded) < len(misses):
            message = f"not in the table of deviations: {message}"
    result = Result(
        twin.loss,
        framework.name,
        "eager",
        dtype,
        f"{who} {twin.id}: {case.name}, {reduction}",
        "built-in",
        len(recorded) == len(misses),
        value=parts["value"][1],
        gradient=parts["gradient"][1] if "gradient" in parts else None,
        message=message,
        call=call_text(case, dtype) if misses else "",
        note=case.note,
    )
    if not recorded or not result.passed:
        return result
    part, wrong, entry = recorded[0]
    return replace(
        result,
        message=f"{part} {wrong}",
        note=entry.reason,
        deviation=entry.kind,
        link=entry.link,
    )
