"""What the suite chooses to call is little; and where two features meet, it leaves no step of a loss out."""

import functools
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.losses import multiclass
from polyloss_conformance import cases as data
from polyloss_conformance import frameworks, run, schedule
from polyloss_conformance.cases import Case
from polyloss_conformance.covering import Features, cover
from polyloss_conformance.frameworks import engine
from polyloss_conformance.tolerances import HALVES

LOSSES = str(Path(multiclass.__file__).parent)


def test_every_two_features_meet_in_a_few_calls() -> None:
    names = ("a", "b", "c", "d", "e", "f")
    calls = [
        Features(dict(zip(names, on, strict=True)), {}, {"n": float(i)})
        for i, on in enumerate(product((0, 1), repeat=6))
    ]
    chosen = [calls[place] for place in cover(calls)]
    assert len(chosen) < 12  # of 64
    for one, two in combinations(names, 2):
        assert {(call.kinds[one], call.kinds[two]) for call in chosen} == set(product((0, 1), repeat=2))
    assert {0.0, 63.0} <= {call.numbers["n"] for call in chosen}


def test_each_feature_occurs_in_fewer_calls_still() -> None:
    names = ("a", "b", "c", "d", "e", "f")
    calls = [
        Features(dict(zip(names, on, strict=True)), {"reduction": on[0]}, {"n": float(i)})
        for i, on in enumerate(product((0, 1, 2), repeat=6))
    ]
    chosen = cover(calls, meet=1)
    assert len(chosen) == 3
    for name in names:
        assert {calls[place].kinds[name] for place in chosen} == {0, 1, 2}
    # Numbers are none of those.
    assert cover([*calls, calls[0]._replace(numbers={"n": -5.0})], meet=1) == chosen


def test_what_only_one_call_has_is_chosen() -> None:
    calls = [Features({"target": "int64"}, {}, {}), Features({"target": "int64", "class_weight": "float32"}, {}, {})]
    assert cover(calls) == [0, 1]


def test_what_need_meet_nothing_is_chosen_once() -> None:
    calls = [Features({"a": a}, {"reduction": r}, {}) for a in (0, 1) for r in ("mean", "sum", "none")]
    chosen = [calls[place] for place in cover(calls)]
    assert len(chosen) == 3
    assert {call.others["reduction"] for call in chosen} == {"mean", "sum", "none"}


Step = tuple[str, str, int, int]


@functools.cache
def steps(case: Case, dtype: str) -> frozenset[Step]:
    """From which line to which one the code of the losses goes, in value and gradients of a case."""
    found: set[Step] = set()

    def step(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            code = frame.f_code
            found.add((code.co_filename[len(LOSSES) :], code.co_name, before.get(frame, 0), frame.f_lineno))
            before[frame] = frame.f_lineno
        elif event == "return":
            before.pop(frame, None)
        return step

    def call(frame: FrameType, *_: Any) -> Any:
        return step if frame.f_code.co_filename.startswith(LOSSES) else None

    function = getattr(polyloss, case.loss)
    before: dict[FrameType, int] = {}
    arrays, parameters, options = case.at(dtype)
    wanted = [i for i, array in enumerate(arrays) if array.dtype == dtype]
    learned = [k for k, v in parameters.items() if isinstance(v, np.ndarray) and v.dtype == dtype]
    weights = {key: options[key] for key in ("sample_weight", "where") if key in options}
    with engine("whole arrays"), np.errstate(all="ignore"):
        tracer = sys.gettrace()
        sys.settrace(call)
        try:
            function(*arrays, **parameters, **options)
            for places in (wanted, learned):
                if places:
                    gradients = polyloss.value_and_grad(function, tuple(places))
                    gradients(*arrays, **parameters, **weights, reduction="sum")
        except ValueError as error:  # some parameters have a derivative by a framework alone
            if "closed form" not in str(error):
                raise
        finally:
            sys.settrace(tracer)
    return frozenset(found)


def missed(every: Iterable[Case], some: Iterable[Case], dtype: str) -> set[Step]:
    """The steps of all cases that those which were chosen do not take."""
    chosen = set(some)
    left = {step for case in every if case not in chosen for step in steps(case, dtype)}
    for case in sorted(chosen, key=lambda case: sum(array.size for array in case.arrays)):
        if left:
            left -= steps(case, dtype)
    return left


COVERED = [
    (backend, mode, dtype, share)
    for table in (schedule.SCHEDULE, schedule.FIRST)
    for (backend, mode), shares in table.items()
    for kind, share in shares.items()
    if share.meet == 2
    for dtype in (HALVES if kind == "half" else (kind,))
]


@pytest.mark.parametrize("loss", data.LOSSES)
def test_where_two_features_meet_it_goes_from_line_to_line_as_all_calls_do(loss: str) -> None:
    for backend, mode, dtype, share in COVERED:
        every, some = (
            dict.fromkeys(case for unit in schedule._units(one, backend, mode, loss, dtype) for case in unit.cases)
            for one in (replace(share, meet=None), share)
        )
        assert some or not every
        assert missed(every, some, dtype) == set(), (backend, mode, dtype)


def test_everything_is_optimised_where_everything_is_asked_for() -> None:
    for backend in frameworks.KNOWN:
        share = schedule.share_of(run.select(["numpy"], extent="all"), backend, "eager", "float16")
        assert share is not None
        units = schedule._units(share, backend, "eager", "mse", "float16")
        assert [unit for unit in units if unit.unoptimised] == []
