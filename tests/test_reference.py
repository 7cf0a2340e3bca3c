"""The reference agrees with itself: its gradients are the derivatives of its values."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from polyloss_conformance import reference
from polyloss_conformance.cases import CASES, HELPER_CASES, Case, Place
from polyloss_conformance.exact import memory
from polyloss_conformance.losses import LOSSES

ORDINARY = [
    case
    for cases in CASES.values()
    for case in cases
    if case.kind == "sample" and case.options.get("reduction") == "none" and not set(case.options) - {"reduction"}
]


def rule_calls(case: Case) -> list[tuple[list[Any], dict[str, Any]]]:
    """What the rule of a loss is asked for a case: one call for each example."""
    found: list[tuple[list[Any], dict[str, Any]]] = []
    spec: Any = LOSSES[case.loss]
    truth: Any = reference.truth

    def spy(*inputs: Any, **parameters: Any) -> Any:
        found.append((list(inputs), parameters))
        return spec.exact(*inputs, **parameters)

    with mock.patch.dict(LOSSES, {case.loss: replace(spec, exact=spy)}):
        truth.__wrapped__(case, "float64")
    return found


Element = tuple[int, ...]


def elements(numbers: Any) -> list[Element]:
    """Where the numbers of a nested list are."""
    if not isinstance(numbers, list):
        return [()]
    return [(i, *rest) for i, part in enumerate(numbers) for rest in elements(part)]


def at(numbers: Any, element: Element) -> Any:
    return at(numbers[element[0]], element[1:]) if element else numbers


def changed(numbers: Any, element: Element, x: Any) -> Any:
    if not element:
        return x
    return [changed(part, element[1:], x) if i == element[0] else part for i, part in enumerate(numbers)]


def derivative(rule: Any, inputs: list[Any], parameters: dict[str, Any], place: Place, element: Element) -> Any:
    """By mpmath, from values alone."""

    def value(x: Any) -> Any:
        if isinstance(place, str):
            return rule(*inputs, **{**parameters, place: changed(parameters[place], element, x)}).value
        return rule(*changed(inputs, (place, *element), x), **parameters).value

    point = at(parameters[place] if isinstance(place, str) else inputs[place], element)
    return reference.mp.diff(value, point, h=reference.mp.mpf(10) ** -25)


# A rule of a whole batch is compared with quotients in test_records.py.
@pytest.mark.parametrize("loss", [name for name, spec in LOSSES.items() if not spec.batch])
def test_gradients_are_derivatives_of_the_values(loss: str) -> None:
    compared = 0
    rule: Any = LOSSES[loss].exact
    for case in ORDINARY:
        if case.loss != loss:
            continue
        for inputs, parameters in rule_calls(case)[:3]:
            local = rule(*inputs, **parameters)
            if local.kink:
                continue
            for place in LOSSES[loss].differentiable:
                given = parameters.get(place) if isinstance(place, str) else inputs[place]
                if given is None or isinstance(given, int) or (isinstance(given, list) and isinstance(given[0], int)):
                    continue  # class ids
                if loss == "generalized_dice" and place == 1:
                    continue  # the sizes of the classes are constants
                for element in elements(given):
                    if at(given, element) in (0, 1, -1):  # the end of a domain, or a kink in that coordinate
                        continue
                    gradients = local.gradients[-1 if isinstance(place, str) else place]
                    gradient, expected = at(gradients, element), derivative(rule, inputs, parameters, place, element)
                    assert abs(gradient - expected) < 1e-18 * (1 + abs(expected)), (case.name, place, element)
                    compared += 1
    assert compared > 5


@pytest.mark.parametrize("helper", HELPER_CASES)
def test_gradients_of_helpers_are_derivatives_of_the_values(helper: str) -> None:
    case = next(case for case in HELPER_CASES[helper] if case.name == "ordinary")
    truth = reference.helper_truth(case, "float64")
    x = case.at("float64").arrays[0]
    for spot in list(np.ndindex(x.shape))[:6]:

        def total(distance: float, spot: tuple[int, ...] = spot) -> Any:
            moved = x.copy()
            moved[spot] += distance
            other = Case(helper, f"moved {distance} {spot}", "sample", (moved,), case.parameters)
            return reference.helper_truth(other, "float64").value.sum()

        near = (total(2.0**-12) - total(-(2.0**-12))) / 2.0**-11
        far = (total(2.0**-11) - total(-(2.0**-11))) / 2.0**-10
        assert abs((4 * near - far) / 3 - truth.gradient[spot]) < 1e-10


def test_negative_numbers_keep_their_sign() -> None:
    case = next(case for case in CASES["mse"] if case.name == "no_half")
    truth = reference.truth(case, "float64")
    assert truth.values.tolist() == [4, 4, 16]
    assert truth.gradients[0] is not None
    assert truth.gradients[0].tolist() == [4, -4, -8]


def test_the_sub_gradient_of_least_norm_is_marked() -> None:
    case = next(case for case in CASES["l1"] if case.name == "perfect")
    truth = reference.truth(case, "float64")
    kinks, gradient = truth.kinks[0], truth.gradients[0]
    assert kinks is not None
    assert gradient is not None
    assert kinks.all()
    assert (gradient == 0).all()


def test_results_beyond_double_stay_finite() -> None:
    case = Case("mse", "beyond", "edge", (np.asarray([1e300]), np.asarray([0.0])))
    truth = reference.truth(case, "float64")
    assert np.isfinite(truth.values).all()
    assert truth.values[0] > np.longdouble(1e308)


def test_a_reduction_is_the_sum_of_its_parts() -> None:
    case = next(case for case in CASES["cross_entropy"] if case.name == "masked_weighted_mean")
    truth = reference.truth(case, "float64")
    found = reference.reduced(case, truth)
    expected = (truth.values * truth.sample_weights).sum() / truth.weights.sum()
    assert abs(found.value - expected) < 1e-18
    assert found.gradients[0] is not None
    assert (found.gradients[0][~truth.valid] == 0).all()


def test_what_was_found_is_read_where_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, file = CASES["huber"][:3], tmp_path / "huber"

    def process(asked: Sequence[Case]) -> list[str]:
        """The names of those that has to be found out, where nothing is in memory."""
        found: list[str] = []

        @memory.remembered
        def length(case: Case, dtype: str) -> int:
            found.append(case.name)
            return len(case.arrays)

        with memory.kept_in(file, cases):
            assert [length(case, "float32") for case in asked] == [len(case.arrays) for case in asked]
        return found

    other = replace(cases[0], arrays=())
    for asked, new in ((cases[:2], cases[:2]), (cases, cases[2:]), (cases, []), ([other], [other])):
        monkeypatch.setattr(memory, "_MEMORIES", {})
        assert process(asked) == [case.name for case in new]
