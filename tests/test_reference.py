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
from polyloss_conformance.covering import cover, features
from polyloss_conformance.exact import memory
from polyloss_conformance.losses import LOSSES


def ordinary(loss: str) -> list[Case]:
    """Cases without options, in which every two features meet."""
    found = [
        case
        for case in CASES[loss]
        if case.kind == "sample" and case.options.get("reduction") == "none" and not set(case.options) - {"reduction"}
    ]
    return [found[place] for place in cover([features([case], "float64", LOSSES[loss], False) for case in found])]


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


def moved(numbers: Any, direction: dict[Element, Any], distance: Any, here: Element = ()) -> Any:
    if isinstance(numbers, list):
        return [moved(part, direction, distance, (*here, i)) for i, part in enumerate(numbers)]
    return numbers + direction[here] * distance if here in direction else numbers


def slope(rule: Any, inputs: list[Any], parameters: dict[str, Any], place: Place, direction: dict[Element, Any]) -> Any:
    """How the value changes in a direction, by mpmath, from values alone."""

    def value(distance: Any) -> Any:
        if isinstance(place, str):
            return rule(*inputs, **{**parameters, place: moved(parameters[place], direction, distance)}).value
        changed = moved(inputs[place], direction, distance)
        return rule(*inputs[:place], changed, *inputs[place + 1 :], **parameters).value

    return reference.mp.diff(value, 0, h=reference.mp.mpf(10) ** -25)


# A rule of a whole batch is compared with quotients in test_records.py.
@pytest.mark.parametrize("loss", [name for name, spec in LOSSES.items() if not spec.batch])
def test_gradients_are_derivatives_of_the_values(loss: str) -> None:
    compared = 0
    rule: Any = LOSSES[loss].exact
    for case in ordinary(loss):
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
                # 0, 1 and -1 are the end of a domain, or a kink in that coordinate.
                moving = [element for element in elements(given) if at(given, element) not in (0, 1, -1)]
                if not moving:
                    continue
                # All components at once, each with a length and a sign of its own: errors do not cancel.
                lengths = reference.mp.linspace(0.5, 2.5, len(moving))
                direction = {
                    e: -length if i % 2 else length for i, (e, length) in enumerate(zip(moving, lengths, strict=True))
                }
                gradients = local.gradients[-1 if isinstance(place, str) else place]
                expected = slope(rule, inputs, parameters, place, direction)
                found = sum(at(gradients, element) * length for element, length in direction.items())
                assert abs(found - expected) < 1e-18 * (1 + abs(expected)), (case.name, place)
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
