"""What holds of every loss, whatever its formula: checked beside the values, in float64, on every backend."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from polyloss_conformance import reference
from polyloss_conformance.arrays import mask, uniform
from polyloss_conformance.case import Place
from polyloss_conformance.compare import LD, difference
from polyloss_conformance.frameworks import Framework
from polyloss_conformance.losses import LOSSES
from polyloss_conformance.result import Result
from polyloss_conformance.spec import Perfect

from .told import told

RELATIVE = 1e-13
"""Two ways to the same float64 number, relative to the largest of them."""

SHAPE = (4, 3)


class LossOf:
    """A loss on one framework, from NumPy to NumPy."""

    def __init__(self, loss: Any, framework: Framework, rowwise: bool) -> None:
        self.loss, self.framework, self.rowwise = loss, framework, rowwise

    def value(self, arrays: Sequence[Any], **keywords: Any) -> LD:
        convert = self.framework.convert
        with np.errstate(all="ignore"):
            found = self.loss(*map(convert, arrays), **{k: convert(v) for k, v in keywords.items()})
        return reference.to_longdouble(self.framework.numpy(found))

    def gradient(self, arrays: Sequence[Any], wanted: Sequence[Place], **keywords: Any) -> tuple[LD, ...] | None:
        """The gradients of the reduced loss. None where there is no differentiation."""
        given = {k: v for k, v in keywords.items() if isinstance(v, np.ndarray)}
        static = {k: v for k, v in keywords.items() if k not in given}
        framework = self.framework
        with np.errstate(all="ignore"):
            step = framework.step(self.loss, static, wanted, "eager")
            outcome = step(
                [framework.array(a) for a in arrays],
                {k: framework.array(v) for k, v in given.items()},
                framework.array(np.ones((), dtype=arrays[0].dtype)),
            )
        if outcome.gradients is None:
            return None
        return tuple(reference.to_longdouble(framework.numpy(g)) for g in outcome.gradients)


def check(name: str, loss: Any, framework: Framework, quickly: bool = False) -> Iterator[Result]:
    """The laws of a loss of polyloss: every one, or `quickly` those that are of frameworks."""
    entry = LOSSES[name]
    yield from laws(
        name,
        loss,
        framework,
        entry.arrays,
        entry.ordinary_of(entry.table),
        entry.rowwise,
        nonnegative=entry.ordinary_of((60,)) if entry.laws.nonnegative else None,
        symmetric=entry.laws.symmetric,
        perfect=entry.perfect,
        shared=entry.shared,
        batch=entry.batch,
        quickly=quickly,
    )


def laws(
    name: str,
    loss: Any,
    framework: Framework,
    names: tuple[str, ...],
    arrays: tuple[Any, ...],
    rowwise: bool,
    *,
    nonnegative: tuple[Any, ...] | None = None,
    symmetric: bool = False,
    perfect: Sequence[Perfect] = (),
    shared: Sequence[Place] = (),
    wanted: Sequence[int] | None = None,
    batch: bool = False,
    exact: bool = True,
    quickly: bool = False,
) -> Iterator[Result]:
    """The laws of any loss, at `arrays`: ordinary ones, with per-example losses of shape `SHAPE`.

    Those at `shared` are the same for all examples. There is a gradient by those at `wanted`: by all floating ones, if
    nothing is said. In a `batch`, where examples see each other, the losses have the first axis of `SHAPE` alone, and
    what is masked is not seen. An `exact` rule is compared with elsewhere, in many shapes. `quickly`, it is only
    those that a framework has a part in.
    """
    f = LossOf(loss, framework, rowwise)

    def result(law: str, check: Callable[[], str]) -> Result:
        try:
            with framework.unoptimised():
                message = check()
                # No law holds of a loss that is none of its examples: one cause, and not one for each law.
                message = message and (foundation() or message)
        except Exception as error:
            message = told(error, loss)
        return Result(name, framework.name, "eager", "float64", law, "law", not message, message=message)

    @cache
    def foundation() -> str:
        return again() or ("" if batch else alone())

    def again() -> str:
        one = f.value(arrays, reduction="none")
        return _same(f.value(arrays, reduction="none"), one, "the loss of equal arrays, in another call,")

    def alone() -> str:
        here = (slice(1, 2), slice(2, 3))
        each = f.value(arrays, reduction="none")[here]
        one = [a if place in shared else a[here] for place, a in enumerate(arrays)]
        return _same(f.value(one, reduction="none"), each, "the loss of an example by itself, and not among others,")

    shape = SHAPE[:1] if batch else SHAPE
    weight = uniform("law weight", shape, 0.25, 2.0)
    by_row = weight.reshape(shape[0], -1)[:, 0]
    keep = mask([True, False, True], [True, True, False], [False, False, False], [True, True, True])
    keep = keep[:, 0] if batch else keep
    floating = tuple(i for i, a in enumerate(arrays) if a.dtype == np.float64 and (wanted is None or i in wanted))

    def parts() -> str:
        each = f.value(arrays, reduction="none")
        if each.shape != shape:
            return f"shape {each.shape}, expected {shape}"
        return _same(f.value(arrays, reduction="sum"), each.sum(), "sum") or _same(
            f.value(arrays, reduction="mean"), each.mean(), "mean"
        )

    def weights() -> str:
        each = f.value(arrays, reduction="none")
        return (
            _same(f.value(arrays, reduction="none", sample_weight=weight), weight * each, "weighted none")
            or _same(f.value(arrays, reduction="mean", sample_weight=weight), (weight * each).mean(), "weights in mean")
            or _same(
                f.value(arrays, reduction="sum", sample_weight=by_row),
                (by_row.reshape(-1, *[1] * (each.ndim - 1)) * each).sum(),
                "weight per row",
            )
        )

    def weighted_mean() -> str:
        each = f.value(arrays, reduction="none")
        got = f.value(arrays, reduction="weighted_mean", sample_weight=weight)
        return _same(got, (weight * each).sum() / weight.sum(), "weighted mean")

    def masks() -> str:
        each = f.value(arrays, reduction="none")
        if batch:
            left = [a if place in shared else a[keep] for place, a in enumerate(arrays)]
            each[keep] = f.value(left, reduction="none")
        broken = []
        for place, array in enumerate(arrays):
            array = array.copy()
            if array.dtype == np.float64 and place not in shared:
                array[~keep] = np.nan
            broken.append(array)
        message = _same(f.value(broken, reduction="mean", where=keep), each[keep].mean(), "masked mean")
        message = message or _same(
            f.value(broken, reduction="none", where=keep), np.where(keep, each, 0), "masked none"
        )
        gradients = f.gradient(broken, floating, reduction="sum", where=keep)
        for place, gradient in zip(floating, gradients or (), strict=False):
            masked = gradient[np.isnan(gradient)] if place in shared else gradient[~keep]
            if not message and not (masked == 0).all():
                message = f"the gradient of {names[place]} is not 0 in masked examples: {masked.ravel()[:8]}"
        return message

    def nothing_left() -> str:
        none = np.zeros(shape, dtype=np.bool_)
        message = _same(f.value(arrays, reduction="mean", where=none), np.longdouble(0), "mean of nothing")
        gradients = f.gradient(arrays, floating, reduction="mean", where=none)
        return message or ("" if all((g == 0).all() for g in gradients or ()) else "the gradient of nothing is not 0")

    def denominator() -> str:
        each = f.value(arrays, reduction="none")
        return _same(f.value(arrays, reduction="mean", denominator=5.0), each.sum() / 5, "denominator")

    def order() -> str:
        each = f.value(arrays, reduction="none")
        backwards = [a if place in shared else a[::-1].copy() for place, a in enumerate(arrays)]
        return _same(f.value(backwards, reduction="none"), each[::-1], "examples in another order")

    def mixed() -> str:
        inputs = [framework.convert(arrays[0]), *arrays[1:]]
        try:
            got = reference.to_longdouble(framework.numpy(loss(*inputs, reduction="none")))
        except TypeError as error:
            named = "numpy" in str(error) and framework.name in str(error)
            return "" if named and not framework.welcomes_numpy else f"TypeError: {error}"
        return (
            _same(got, f.value(arrays, reduction="none"), "mixed") if framework.welcomes_numpy else "nothing was raised"
        )

    def undifferentiated() -> str:
        # All other values come with gradients.
        step = framework.step(loss, {"reduction": "none"}, floating, "eager")
        outcome = step(list(map(framework.array, arrays)), {}, framework.array(np.ones(shape)))
        with_gradients = reference.to_longdouble(framework.numpy(outcome.value))
        return _same(f.value(arrays, reduction="none"), with_gradients, "the loss of arrays without gradients")

    if framework.name != "numpy" and len(arrays) > 1:
        yield result("arrays of NumPy beside those of the framework", mixed)
    if framework.differentiates and floating:
        yield result("what nobody differentiates has the same value", undifferentiated)
    if quickly:
        return
    if not exact and not batch:
        yield result("an example has its own loss", alone)
    yield result("none has the parts of sum and mean", parts)
    yield result("a weight multiplies", weights)
    yield result("the weighted mean divides by the weights", weighted_mean)
    yield result("a mask removes", masks)
    yield result("the mean of nothing is 0", nothing_left)
    yield result("denominator replaces the count", denominator)
    yield result("examples are independent of their order", order)
    if nonnegative is not None:

        def never_negative() -> str:
            low = f.value(nonnegative, reduction="none").min()
            return "" if low >= 0 else f"{float(low)!r}"

        yield result("never negative", never_negative)
    if symmetric:

        def exchanged() -> str:
            one = f.value(arrays, reduction="none")
            return _same(f.value((arrays[1], arrays[0], *arrays[2:]), reduction="none"), one, "exchanged")

        yield result("symmetric", exchanged)
    for number, ideal in enumerate(perfect):
        yield result(f"perfect prediction {number}: its known value", partial(_at_truth, f, ideal))
        if ideal.stationary:
            yield result(f"perfect prediction {number}: least, with zero gradient", partial(_least, f, ideal))


def _same(got: Any, expected: Any, what: str) -> str:
    got, expected = np.asarray(got, dtype=np.longdouble), np.asarray(expected, dtype=np.longdouble)
    if got.shape != expected.shape:
        return f"{what}: shape {got.shape}, expected {expected.shape}"
    limit = RELATIVE * max(1.0, float(np.abs(expected).max()))
    right = np.abs(got - expected) <= limit
    return "" if right.all() else difference(what, got, expected, ~right)


def _at_truth(f: LossOf, ideal: Perfect) -> str:
    return _same(f.value(ideal.arrays, reduction="none", **ideal.parameters or {}), ideal.values, "loss")


def _least(f: LossOf, ideal: Perfect) -> str:
    parameters = ideal.parameters or {}
    truth = f.value(ideal.arrays, reduction="none", **parameters)
    first, *others = ideal.arrays
    draw = np.random.default_rng(0)
    for size in (1e-3, 1e-1):
        moved = first + size * draw.uniform(-1, 1, first.shape)
        if "probabilities" in getattr(f.loss, "arrays", ()):
            moved = np.clip(moved, 0, 1)
        if (
            f.value(
                (np.maximum(moved, 0) if "distance" in getattr(f.loss, "arrays", ()) else moved, *others),
                reduction="none",
                **parameters,
            )
            < truth - 1e-12
        ).any():
            return f"smaller at a distance of {size} from the truth"
    gradients = f.gradient(ideal.arrays, (0,), reduction="sum", **parameters)
    if gradients is not None and not (np.abs(gradients[0]) <= 1e-14).all():
        return f"the gradient is {gradients[0].ravel()[:6].tolist()}"
    return ""
