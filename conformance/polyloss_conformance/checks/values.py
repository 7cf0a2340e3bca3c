"""Values and gradients, element by element, against the exact result."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from polyloss_conformance import cases as data
from polyloss_conformance import compare, frameworks, reference
from polyloss_conformance.calls import Call, batches, call_text, single
from polyloss_conformance.cases import Case, Place
from polyloss_conformance.compare import LD, judge
from polyloss_conformance.frameworks import EAGER, Framework, Outcome, Step, engine
from polyloss_conformance.result import Result
from polyloss_conformance.schedule import Unit


class _Attempt(NamedTuple):
    """Some cases of a unit, the calls that they became, and what makes those."""

    unit: Unit
    members: Sequence[Case]
    calls: Sequence[Call]
    step: Step
    arguments: Sequence[tuple[Any, ...]]


def run(units: Sequence[Unit], loss: Any) -> list[Result]:
    """Make the calls of a unit, or of several that are compiled as one, and judge them: a result for each case."""
    first = units[0]
    framework = frameworks.framework(first.backend)
    if loss is None:
        return [
            _result(unit, case, False, message=f"polyloss has no {unit.loss}") for unit in units for case in unit.cases
        ]
    found: list[Result] = []
    attempts: list[_Attempt] = []
    for unit in units:
        step = None
        for members in unit.calls:
            try:
                calls = _calls(unit, members, framework)
                step = step or _step(unit, calls[0], loss, framework)
                arguments = [call.arguments(framework) for call in calls]
                attempts.append(_Attempt(unit, members, calls, step, arguments))
            except Exception as error:
                found += _raised(unit, members, error)
    make = framework.together if first.in_one_piece else framework.each
    with engine(first.mode), np.errstate(all="ignore"):
        outcomes = iter(
            make(
                [attempt.step for attempt in attempts for _ in attempt.calls],
                [arguments for attempt in attempts for arguments in attempt.arguments],
            )
        )
    for attempt in attempts:
        mine = [next(outcomes) for _ in attempt.calls]
        judged: list[Result] = []
        try:
            for call, outcome in zip(attempt.calls, mine, strict=True):
                if isinstance(outcome, Exception):
                    raise outcome
                judged += _judged(attempt.unit, call, framework, outcome)
            found += _worst_of(judged)
        except Exception as error:
            found += _raised(attempt.unit, attempt.members, error)
    return found


def _calls(unit: Unit, members: Sequence[Case], framework: Framework) -> list[Call]:
    entry = data.LOSSES[unit.loss]
    if not unit.packed:
        return [single(members[0], unit.dtype, entry, framework)]
    weighted, masked = (any(name in case.options for case in unit.cases) for name in ("sample_weight", "where"))
    there = {"weighted": weighted, "masked": masked, "unoptimised": unit.unoptimised}
    return list(batches(members, unit.dtype, entry, framework, unit.mode, **there))


def _step(unit: Unit, call: Call, loss: Any, framework: Framework) -> Step:
    """The function of a unit, one call of which is given."""
    batched: tuple[Place, ...] = ()
    if unit.packed and unit.mode not in EAGER:
        batched = (*data.LOSSES[unit.loss].own, *(key for key in ("sample_weight", "where") if key in call.options))
    # Options of a compiler are for what it is asked for, the whole piece, and for nothing within it.
    unoptimised = unit.unoptimised and not unit.in_one_piece
    return framework.step(loss, call.static, call.wanted, unit.mode, batched, unoptimised)


def _raised(unit: Unit, members: Sequence[Case], error: Exception) -> list[Result]:
    message = f"{type(error).__name__}: {str(error).strip()[:600]}"
    return [_result(unit, case, False, message=message, call=call_text(case, unit.dtype)) for case in members]


def _worst_of(results: Sequence[Result]) -> list[Result]:
    """One result for each case: of those that failed the first, otherwise with the largest errors."""
    found: dict[str, Result] = {}
    for result in results:
        known = found.setdefault(result.case, result)
        if known.passed:
            errors = [
                max((e for e in pair if e is not None), default=None)
                for pair in ((known.value, result.value), (known.gradient, result.gradient))
            ]
            found[result.case] = replace(result, value=errors[0], gradient=errors[1])
    return list(found.values())


def _judged(unit: Unit, call: Call, framework: Framework, outcome: Outcome) -> list[Result]:
    entry = data.LOSSES[unit.loss]
    problems: list[str] = []
    value = _numbers(framework, "value", outcome.value, call.value.shape, unit.dtype, problems)
    verdict = None
    if value is not None:
        verdict = judge(
            value,
            call.value,
            call.value_scale,
            dtype=unit.dtype,
            kind="value",
            flushes=framework.flushes,
            count=call.count,
        )
    gradients: list[tuple[str, LD, compare.Verdict, int]] = []
    if outcome.gradients is not None:
        if len(outcome.gradients) != len(call.wanted):
            problems.append(f"{len(outcome.gradients)} gradients, expected {len(call.wanted)}")
        for number, (place, got) in enumerate(zip(call.wanted, outcome.gradients, strict=False)):
            what = f"gradient of {entry.name(place)}"
            truth, scale, kinks, _, terms = call.gradient(number, slice(None))
            numbers = _numbers(framework, what, got, truth.shape, unit.dtype, problems)
            if numbers is not None:
                found = judge(
                    numbers,
                    truth,
                    scale,
                    dtype=unit.dtype,
                    kind="gradient",
                    flushes=framework.flushes,
                    count=terms,
                    kinks=kinks,
                )
                gradients.append((what, numbers, found, number))
    results: list[Result] = []
    for case, part in call.parts:
        messages = list(problems)
        if verdict is not None and value is not None:
            messages += _misses("value", value, call.value, verdict, part)
        worst = []
        for what, numbers, found, number in gradients:
            known = call.gradient(number, part)
            messages += _misses(what, numbers, known.truth, found, known.part)
            worst.append(_worst(found, known.part))
        results.append(
            _result(
                unit,
                case,
                not messages,
                value=None if verdict is None else _worst(verdict, part),
                gradient=max(worst, default=None),
                message="; ".join(messages),
                call=call_text(case, unit.dtype) if messages else "",
            )
        )
    return results


def _numbers(
    framework: Framework, what: str, got: Any, shape: tuple[int, ...], dtype: str, problems: list[str]
) -> LD | None:
    """The result as numbers, once it is known to be of the right kind."""
    if got is None:
        problems.append(f"no {what}")
        return None
    if not framework.is_array(got):
        problems.append(f"{what} is a {type(got).__name__}, not an array of {framework.name}")
        return None
    if framework.dtype(got) != dtype:
        problems.append(f"{what} has dtype {framework.dtype(got)}, expected {dtype}")
    if tuple(got.shape) != shape:
        problems.append(f"{what} has shape {tuple(got.shape)}, expected {shape}")
        return None
    return reference.to_longdouble(framework.numpy(got))


def _cut(array: Any, part: slice) -> Any:
    return array if part == slice(None) else array[part]


def _worst(verdict: compare.Verdict, part: slice) -> float:
    k = _cut(verdict.k, part)
    return float(k.max()) if k.size else 0.0


def _misses(what: str, got: LD, truth: LD, verdict: compare.Verdict, part: slice) -> list[str]:
    wrong = _cut(verdict.wrong, part)
    if not wrong.any():
        return []
    k = np.where(wrong, _cut(verdict.k, part), -1)
    place = np.unravel_index(int(np.argmax(k)), k.shape)
    where = "" if place == () else f" at {list(map(int, place))}"
    return [
        f"{what}{where} is {float(_cut(got, part)[place])!r}, exactly {float(_cut(truth, part)[place])!r}"
        f" (error {float(k[place]):.3g}, {int(wrong.sum())} of {wrong.size} wrong)"
    ]


def _result(unit: Unit, case: Case, passed: bool, **more: Any) -> Result:
    return Result(
        unit.loss, unit.backend, unit.mode, unit.dtype, case.name, "value and gradient", passed, note=case.note, **more
    )
