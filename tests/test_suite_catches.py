"""The suite catches every seeded mistake, and what catches it raises no alarm without it."""

import dataclasses
from importlib.util import find_spec
from typing import Any
from unittest import mock

import numpy as np
import pytest

import polyloss
from polyloss_conformance import calls, cases, compare, frameworks, mutants, run
from polyloss_conformance.mutants import MUTANTS, Mutant
from polyloss_conformance.result import Result

SEEDED = [
    pytest.param(
        mutant,
        backend,
        loss,
        id=f"{mutant.name}-{backend}-{loss}".replace(" ", "_"),
        marks=pytest.mark.skipif(find_spec(backend) is None, reason=f"{backend} is not installed"),
    )
    for mutant in MUTANTS
    for backend in mutant.backends
    for loss in mutant.losses
]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("mutant", "framework", "loss"), SEEDED)
def test_mutant_is_caught(mutant: Mutant, framework: str, loss: str) -> None:
    assert mutants.caught(mutant, framework, loss) is not None


def test_an_alarm_that_has_another_cause_is_none() -> None:
    always = dataclasses.replace(MUTANTS[0], alter=None)
    failed = Result("mse", "numpy", "eager", "float32", "a case", "value and gradient", passed=False)
    work = [run.Job("mse", "numpy", "eager float32", lambda: [failed])]
    with mock.patch.object(run, "jobs", return_value=work), pytest.raises(ValueError, match="without the mutant"):
        mutants.caught(always, "numpy", "mse")


def test_every_kind_of_mistake_is_seeded() -> None:
    words = " ".join(mutant.name for mutant in MUTANTS)
    for mistake in (
        "wrong sign",
        "factor 2",
        "upstream",
        "axis",
        "denominator",
        "swapped",
        "where dropped",
        "poisoned",
    ):
        assert mistake in words


def test_altering_a_loss_leaves_the_public_one_alone() -> None:
    kernel = polyloss.mse.kernel
    for mutant in MUTANTS:
        if mutant.alter is not None:
            mutant.alter(polyloss.mse)
    assert polyloss.mse.kernel is kernel


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_nothing_is_left_to_where_a_case_falls(count: int) -> None:
    """Each example is computed where a processor takes several at a time, and where it takes what is left over."""
    framework, entry = frameworks.framework("numpy"), cases.LOSSES["sigmoid_focal"]
    picked: list[cases.Case] = []
    for case in cases.CASES["sigmoid_focal"]:
        key = calls.pack_key(case, "float32", entry) if case.kind != "error" and "float32" in case.dtypes else None
        if key is not None and not key.static and len(picked) < count:
            picked.append(case)
    whole, *few = calls.batches(picked, "float32", entry, framework, "a compiler", weighted=True, masked=True)
    assert len(whole.value) % (4 * 16) == 0
    assert {len(call.value) for call in few} == {calls.FEW}
    for case in picked:
        length = case.arrays[0].size
        assert sum(part.stop - part.start for one, part in whole.parts if one is case) >= length
        assert sum(part.stop - part.start for call in few for one, part in call.parts if one is case) >= length
    # The same numbers, at the same places.
    logits = np.concatenate([call.arrays[0] for call in few])
    np.testing.assert_array_equal(logits, whole.arrays[0][: len(logits)])


def test_what_is_shared_is_called_with_another_batch_where_any_will_do() -> None:
    framework, entry = frameworks.framework("numpy"), cases.LOSSES["linear_cross_entropy"]
    picked = [case for case in cases.CASES["linear_cross_entropy"] if case.name in ("ordinary_1d", "ordinary_2d")]
    length = sum(case.arrays[0][..., 0].size for case in picked)
    with mock.patch.object(type(framework), "dynamic", ("any length",)):
        whole, half = calls.batches(picked, "float32", entry, framework, "any length", weighted=False, masked=False)
        (alone,) = calls.batches(picked, "float32", entry, framework, "a compiler", weighted=False, masked=False)
    assert len(whole.value) == len(alone.value) == min(n for n in (3, 12, 48) if n >= length)
    assert len(half.value) == length // 2 + 1
    # Every repetition counts in the gradient of what is shared.
    place = whole.wanted.index(entry.shared[0])
    np.testing.assert_array_equal(whole.gradients[place][length:], whole.gradients[place][: len(whole.value) - length])
    assert whole.gradient(place, slice(None)).terms == len(whole.value)


# What the comparison itself notices


def judged(got: Any, truth: Any, scale: Any = None, **keywords: Any) -> compare.Verdict:
    got, truth = (np.atleast_1d(np.asarray(x, dtype=np.longdouble)) for x in (got, truth))
    scale = np.abs(truth) if scale is None else np.atleast_1d(np.asarray(scale, dtype=np.longdouble))
    return compare.judge(got, truth, scale, **{"dtype": "float32", "kind": "value", **keywords})


EPS = 2.0**-23


@pytest.mark.parametrize(
    ("got", "truth", "keywords"),
    [
        (1 + 9 * EPS, 1.0, {}),
        (1 + 9 * EPS, 1.0, {"kind": "gradient"}),
        (np.inf, 1.0, {}),
        (-np.inf, np.inf, {}),
        (np.nan, 1.0, {}),
        (1.0, np.nan, {}),
        (3.4e38, np.inf, {}),
        (np.inf, 1e38, {}),
        (0.0, 1e-30, {}),
        (0.0, 1e-30, {"flushes": True}),
        (1 + 5 * EPS, 1.0, {"scale": 1.0, "dtype": "float64"}),
        (1 + 2.0**-9 + 2.0**-12, 1.0, {"dtype": "float16"}),
        (1.0, 0.0, {"kind": "gradient", "kinks": np.asarray([True])}),
        (np.nan, 0.0, {"kind": "gradient", "kinks": np.asarray([True])}),
    ],
)
def test_wrong(got: Any, truth: Any, keywords: dict[str, Any]) -> None:
    assert judged(got, truth, **keywords).wrong.all()


@pytest.mark.parametrize(
    ("got", "truth", "keywords"),
    [
        (1 + 3 * EPS, 1.0, {}),
        (1 + 7 * EPS, 1.0, {"kind": "gradient"}),
        (1 + 100 * EPS, 1.0, {"scale": 50.0}),
        (np.inf, np.inf, {}),
        (np.nan, np.nan, {}),
        (np.inf, 1e39, {}),
        (123.0, np.nan, {"kind": "gradient"}),
        (0.0, 1e-45, {}),
        (0.0, 1e-37, {"flushes": True}),
        (1 + 2.0**-10, 1.0, {"dtype": "float16"}),
        (np.inf, 70000.0, {"dtype": "float16"}),
        (0.0, 0.0, {"kind": "gradient", "kinks": np.asarray([True])}),
        (1 + 15 * EPS, 1.0, {"count": 2**20}),
    ],
)
def test_right(got: Any, truth: Any, keywords: dict[str, Any]) -> None:
    assert not judged(got, truth, **keywords).wrong.any()


def test_nothing_is_broadcast_by_the_comparison() -> None:
    with pytest.raises(ValueError, match="shapes"):
        judged([1.0, 1.0], [1.0])


# What a run notices


def test_a_comparison_of_nothing_is_an_error() -> None:
    selection = dataclasses.replace(run.select(["numpy"], ["mse"]), modes=(), checks=("value and gradient",))
    with pytest.raises(ValueError, match="nothing"):
        run.run(selection)


def test_a_loss_without_a_comparison_fails() -> None:
    selection = dataclasses.replace(run.select(["numpy"], ["mse", "l1"]), dtypes=("float64",))
    work = [job for job in run.jobs(selection) if job.loss != "l1"]
    results = run.run_jobs(selection, work)
    assert [(r.loss, r.check) for r in results if not r.passed] == [("l1", "coverage")]


def test_a_loss_that_polyloss_lacks_fails() -> None:
    selection = dataclasses.replace(run.select(["numpy"], ["mse"]), losses={"mse": None}, dtypes=("float64",))
    results = run.run(selection)
    assert results
    assert not any(result.passed for result in results)


def test_a_loss_without_cases_fails() -> None:
    selection = dataclasses.replace(run.select(["numpy"], ["mse"]), losses={"unheard_of": polyloss.mse})
    assert any("not one case" in result.message for result in run.run(selection))


@pytest.mark.parametrize("name", ["backends", "losses", "dtypes"])
def test_unknown_names_list_the_known(name: str) -> None:
    known = {"backends": "numpy", "losses": "huber", "dtypes": "bfloat16"}[name]
    with pytest.raises(ValueError, match=f"nonsense.*{known}"):
        run.select(**{name: ["nonsense"]})  # type: ignore[arg-type]


def test_the_suite_has_its_own_view_of_every_framework() -> None:
    assert set(frameworks.installed()) <= set(frameworks.KNOWN)
    assert "numpy" in frameworks.installed()
