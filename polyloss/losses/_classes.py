"""What a target of classes, ids or probabilities, makes of what each class costs."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from polyloss import stable as numeric
from polyloss.core.checks import is_integer
from polyloss.core.entries import one_hot
from polyloss.core.typing import Array, Gradient, KernelResult, Namespace


def at(xp: Namespace, hot: Array, weight: float | Array | None) -> float | Array | None:
    """The weight of each row's class."""
    if weight is None or numeric.is_number(weight):
        return weight
    return xp.sum(xp.where(hot, weight, 0.0), axis=-1)


def weighted(xp: Namespace, weight: float | Array | None, costs: Array) -> Array:
    return costs if weight is None else numeric.times(xp, weight, costs)


def picked_slope(xp: Namespace, picked: numeric.Picked, factor: Array | None) -> Array:
    """The derivative of ``factor * minus_log_softmax(picked.entry)`` by the logits, with `factor` a constant."""
    # By the logit of the class itself p - 1, by another one its p. One division for each row.
    each = 1.0 / picked.entry.total
    if factor is not None:
        each = each * (factor if numeric.is_number(factor) else factor[..., None])
    return xp.where(picked.hot, -picked.entry.others, picked.unpicked) * each


class Expected(NamedTuple):
    """What the target makes of the costs of all classes.

    Parameters
    ----------
    value : array
        The loss.
    mass : array
        The factor of each cost in it.
    by_target : tuple
        The derivative by the target, where it is one of probabilities: class ids have none.
    by_parameter : dict
        The derivatives by the parameters.
    """

    value: Array
    mass: Array
    by_target: tuple[Gradient, ...]
    by_parameter: dict[str, Gradient]


def expected(
    xp: Namespace,
    costs: Gradient,
    logits: Array,
    target: Array,
    weight: float | Array | None,
    label_smoothing: float | Array = 0.0,
    total_of: Callable[[Array], Array] | None = None,
) -> Expected:
    """What the target, smoothed and weighted, makes of the costs of all classes.

    `total_of` finds the sum of all costs from their factors, where that needs less than the costs.
    """
    ids = is_integer(xp, target)
    q = smoothed = xp.astype(one_hot(xp, target, logits), logits.dtype) if ids else target
    if not numeric.is_zero(label_smoothing):
        smoothed = (1.0 - label_smoothing) * q + label_smoothing * shares_of_possible(xp, logits)
    mass = smoothed if weight is None else weight * smoothed

    def by_target() -> Array:
        # What a masked class would cost is left out.
        slope = (1.0 - label_smoothing) * xp.where(is_possible(xp, logits), costs(), 0.0)
        return slope if weight is None else numeric.times_slope(xp, weight, slope)

    def by_label_smoothing() -> Array:
        change = shares_of_possible(xp, logits) - q
        return xp.sum(numeric.times_slope(xp, change if weight is None else weight * change, costs()), axis=-1)

    by_parameter: dict[str, Gradient] = {
        "class_weight": lambda: numeric.times_slope(xp, smoothed, costs()),
        "label_smoothing": by_label_smoothing,
    }
    value = xp.sum(numeric.times(xp, mass, costs()), axis=-1) if total_of is None else total_of(mass)
    return Expected(value, mass, () if ids else (by_target,), by_parameter)


def is_possible(xp: Namespace, logits: Array) -> Array:
    """Whether a class is not masked."""
    return ~numeric.is_infinite(xp, logits, -1)


def possible_classes(xp: Namespace, logits: Array) -> tuple[Array, Array]:
    """Those that are not masked, and how many they are in each row: 1 where there is none."""
    possible = is_possible(xp, logits)
    return possible, xp.maximum(xp.sum(xp.astype(possible, logits.dtype), axis=-1, keepdims=True), 1.0)


def shares_of_possible(xp: Namespace, logits: Array) -> Array:
    """The probabilities of classes of which all that are not masked are equally likely."""
    possible, count = possible_classes(xp, logits)
    return xp.where(possible, 1.0 / count, 0.0)


def cross_entropy_of(
    xp: Namespace,
    logits: Array,
    target: Array,
    weight: float | Array | None = None,
    label_smoothing: float | Array = 0.0,
) -> KernelResult:
    """The negative logarithms of the softmax, expected by the target: what each class costs is found on demand."""
    row = numeric.softmax_of(xp, logits)
    found = expected(
        xp,
        lambda: numeric.minus_log_softmax(xp, row),
        logits,
        target,
        weight,
        label_smoothing,
        lambda mass: numeric.mixed_minus_log_softmax(xp, row, mass),
    )

    def slope() -> Array:
        return numeric.minus_log_softmax_slope(xp, row, found.mass)

    return found.value, slope, *found.by_target, found.by_parameter


class Costs(NamedTuple):
    """What each class costs by its probability, and on demand the derivatives of that."""

    value: Array
    slope: Gradient
    """By the negative logarithm of the probability."""
    by_parameter: Mapping[str, Gradient]


def of_costs(xp: Namespace, logits: Array, target: Array, costs_of: Callable[[numeric.Softmax], Costs]) -> KernelResult:
    """The loss ``sum(q * costs)`` of classes with the shares `q` in the target."""
    if is_integer(xp, target):
        picked = numeric.softmax_at(xp, logits, target)
        cost = costs_of(picked.entry)
        by_parameter = {name: partial(_only, by) for name, by in cost.by_parameter.items()}
        return cost.value[..., 0], lambda: picked_slope(xp, picked, cost.slope()[..., 0]), by_parameter
    row = numeric.softmax_of(xp, logits)
    costs = costs_of(row)
    found = expected(xp, lambda: costs.value, logits, target, None)
    by_parameter = {name: partial(_total, xp, found.mass, by) for name, by in costs.by_parameter.items()}

    def slope() -> Array:
        return numeric.minus_log_softmax_slope(xp, row, found.mass * costs.slope())

    return found.value, slope, *found.by_target, by_parameter


def _only(by: Gradient) -> Array:
    return by()[..., 0]


def _total(xp: Namespace, mass: Array, by: Gradient) -> Array:
    return xp.sum(numeric.times_slope(xp, mass, by()), axis=-1)
