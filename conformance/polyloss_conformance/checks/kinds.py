"""Kinds of calls that every loss takes, made from the arguments that it declares: so no loss is left out of one.

Each is compared with another call of the same loss, whose value the cases have settled.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss.core.arguments import IGNORED
from polyloss.core.domains import REAL, Classes, Domain
from polyloss_conformance import cases as data
from polyloss_conformance import reference
from polyloss_conformance.cases import Entry, numpy_dtype
from polyloss_conformance.compare import difference
from polyloss_conformance.frameworks import Framework
from polyloss_conformance.result import Result
from polyloss_conformance.tolerances import EPS, HALVES

from .laws import SHAPE, LossOf
from .told import told

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
CLASSES = 300
"""More than a byte can count."""
COPIES = 10_000
"""So many copies of the examples have a sum that half precision cannot make."""
STEP = 2.0**-10
QUOTIENT = 1e-6
"""Of a difference quotient in float64, relative to the largest slope."""
EMPTY_MODES = ("eager", "aot_eager", "jit", "function")


@dataclass(frozen=True)
class Kinds:
    """The kinds of calls of one loss on one framework.

    Parameters
    ----------
    arrays : tuple
        Ordinary ones in float64, for per-example losses of shape `laws.SHAPE`.
    shared : sequence
        The arrays that are the same for all examples.
    wanted : sequence or None
        Those that there is a gradient by. None: all floating ones.
    """

    name: str
    loss: Any
    framework: Framework
    arrays: tuple[Any, ...]
    rowwise: bool
    shared: Sequence[int] = ()
    wanted: Sequence[int] | None = None
    copies: int = COPIES

    @property
    def call(self) -> LossOf:
        return LossOf(self.loss, self.framework, self.rowwise)

    @property
    def own(self) -> tuple[int, ...]:
        return tuple(place for place in range(len(self.arrays)) if place not in self.shared)

    @property
    def floating(self) -> tuple[int, ...]:
        places = range(len(self.arrays)) if self.wanted is None else self.wanted
        return tuple(place for place in places if self.arrays[place].dtype == np.float64)

    def check(self, dtypes: Sequence[str], modes: Sequence[str]) -> Iterator[Result]:
        """All kinds in some dtypes and modes; what has no dtype of its own in float64."""
        halves = [d for d in self.framework.dtypes if d in dtypes and d in HALVES]
        if "float64" in dtypes:
            ids = self._places_of_ids()
            if ids:
                yield self._result("ids of every integer dtype", self._integers, ids)
            if ids and IGNORED in self.loss.parameters:
                yield self._result("ignored ids of every integer dtype", self._ignored, ids)
            for mode in (mode for mode in EMPTY_MODES if mode in modes):
                yield self._result("empty batch", self._empty, mode, mode=mode)
            for key in self.parameters():
                yield self._result(f"gradient by {key}", self._by_parameter, key)
            if "function" in modes:
                yield self._result("sizes unknown while traced", self._unknown_sizes, mode="function")
        for dtype in halves[:1] if self.framework.slow_eager else halves:
            yield self._result("sums of many halves", self._half_sums, dtype, dtype=dtype)
            if self.framework.autocast(dtype) is not None:
                yield self._result("inside autocast", self._autocast, dtype, dtype=dtype)

    def _result(
        self, kind: str, check: Callable[..., str], *arguments: Any, mode: str = "eager", dtype: str = "float64"
    ) -> Result:
        try:
            with self.framework.unoptimised():
                message = check(*arguments)
        except Exception as error:
            message = told(error, self.loss)
        return Result(self.name, self.framework.name, mode, dtype, kind, "kind of call", not message, message=message)

    # Class ids

    def _places_of_ids(self) -> list[int]:
        return [i for i, key in enumerate(self.loss.arrays) if isinstance(self.loss.domains.get(key), Classes)]

    def _many_classes(self) -> list[Any]:
        """The arrays with so many classes that their ids fill small integers."""
        axis = 0 if self.shared else -1
        arrays = list(self.arrays)
        for place in self.shared or self.own:
            if arrays[place].dtype == np.float64:
                array = np.moveaxis(arrays[place], axis, 0)
                arrays[place] = np.moveaxis(np.resize(array, (CLASSES, *array.shape[1:])), 0, axis)
        return arrays

    def _with_ids(self, places: Sequence[int], dtype: str, *ids: int) -> list[Any]:
        """The arrays, all ids among which are `ids`, over and over."""
        arrays = self._many_classes()
        for place in places:
            arrays[place] = np.resize(np.asarray(ids), arrays[place].shape).astype(dtype)
        return arrays

    def _integers(self, places: Sequence[int]) -> str:
        for dtype in INTEGERS:
            ids = (1, 7, 100, min(CLASSES - 1, int(np.iinfo(dtype).max)))
            got, expected = (
                self.call.value(self._with_ids(places, kind, *ids), reduction="none") for kind in (dtype, "int64")
            )
            message = _close(got, expected, 1e-13, f"with ids of {dtype}")
            if message:
                return message
        return ""

    def _ignored(self, places: Sequence[int]) -> str:
        def value(dtype: str, ignored: Any, *ids: int) -> Any:
            return self.call.value(self._with_ids(places, dtype, *ids), reduction="none", **{IGNORED: ignored})

        forms: tuple[Callable[[int, str], Any], ...] = (
            lambda number, dtype: number,
            lambda number, dtype: np.dtype(dtype).type(number),
            lambda number, dtype: np.asarray(number, dtype=dtype),  # an array of the framework, in the end
        )
        dtypes = ("int8", "uint8") if self.framework.slow_eager else INTEGERS
        calls = [(dtype, forms[number % 3]) for number, dtype in enumerate(dtypes)]
        calls += [("int64", form) for form in forms]
        for dtype, form in calls:
            # No id of a class: the largest of an unsigned byte is one of these, and drops them.
            ignored = -100 if dtype.startswith("i") else 255
            given = form(ignored, dtype)
            expected = value("int64", ignored, 0, ignored, 7)
            what = f"with ids of {dtype} and {IGNORED}={given!r}"
            message = _close(value(dtype, given, 0, ignored, 7), expected, 1e-13, what)
            # Within a region they are parts of an example.
            of_rows = all(self.arrays[place].ndim == expected.ndim for place in places)
            if not message and of_rows and (expected.reshape(-1)[1::3] != 0).any():
                message = f"{what}: ignored rows are not 0"
            if message:
                return message
        wraps = f"{IGNORED}=-100 and ids of uint8, one of which is 156"
        return _close(value("uint8", -100, 0, 156), value("int64", -100, 0, 156), 1e-13, wraps)

    # No examples

    def _empty(self, mode: str) -> str:
        none = [array if place in self.shared else array[:0] for place, array in enumerate(self.arrays)]
        thorough = mode == "eager" and not self.framework.slow_eager
        for reduction in ("none", "sum", "mean", "weighted_mean") if thorough else ("mean",):
            step = self.framework.step(self.loss, {"reduction": reduction}, self.floating, mode)
            shape = (0, *SHAPE[1:]) if reduction == "none" else ()
            if reduction == "none" and not self.framework.differentiates:
                got, gradients = self.call.value(none, reduction="none"), None
            else:
                outcome = step([self.framework.array(a) for a in none], {}, self.framework.array(np.ones(shape)))
                got, gradients = self._number(outcome.value), outcome.gradients
            message = _close(got, np.zeros(shape), 0.0, f"{reduction} of nothing")
            for place, gradient in zip(self.floating, gradients or (), strict=False):
                what = f"gradient of {self.loss.arrays[place]} of nothing ({reduction})"
                message = message or _close(self.framework.numpy(gradient), np.zeros(none[place].shape), 0.0, what)
            if message:
                return message
        return ""

    # Gradients by parameters

    def parameters(self) -> dict[str, NDArray[np.float64]]:
        """A value in its domain for each floating parameter, as an array."""
        found = {}
        for key, default in self.loss.defaults.items():
            domain = self.loss.domains.get(key, REAL)
            constant = key in self.loss.static or callable(default) or isinstance(default, str)
            if constant or key in (IGNORED, self.loss.autodiff):
                continue
            number = inside(domain, default)
            if self.rowwise and not domain.scalar:
                classes = self.arrays[self.shared[0]].shape[0] if self.shared else self.arrays[0].shape[-1]
                found[key] = number * np.linspace(0.5, 1.25, classes)
            else:
                found[key] = np.asarray(number)
        return found

    def _by_parameter(self, key: str) -> str:
        whole = self.parameters()[key]
        weight = data.uniform("kind weight", SHAPE, 0.25, 2.0)
        call: dict[str, Any] = {"reduction": "sum", "sample_weight": weight}
        try:
            found = self.call.gradient(self.arrays, (key,), **call, **{key: whole})
        except ValueError as error:
            if not self.framework.differentiates and "closed form" in str(error) and key in str(error):
                return ""
            raise
        if found is None:
            return ""
        slope = np.zeros(whole.shape)
        for spot in np.ndindex(whole.shape):

            def moved(distance: float, spot: tuple[int, ...] = spot) -> float:
                there = whole.copy()
                there[spot] += distance
                return float(self.call.value(self.arrays, **call, **{key: there}))

            near, far = ((moved(step) - moved(-step)) / (2 * step) for step in (STEP, 2 * STEP))
            slope[spot] = (4 * near - far) / 3
        message = _close(found[0], slope, QUOTIENT, f"gradient by {key}")
        return message if message or not self.framework.differentiates else self._second_order(key, whole, weight)

    def _second_order(self, key: str, whole: NDArray[np.float64], weight: NDArray[np.float64]) -> str:
        """Against a difference quotient of the gradient, where two of those agree: there is no kink in between."""
        direction = np.where(np.arange(whole.size).reshape(whole.shape) % 2, -0.75, 1.0)
        options = {"sample_weight": weight}

        def gradient(distance: float) -> Any:
            there = options | {key: np.asarray(whole + distance * direction)}
            found = self.call.gradient(self.arrays, (key,), reduction="sum", **there)
            assert found is not None
            return found[0]

        near, far = ((gradient(step) - gradient(-step)) / (2 * step) for step in (STEP, 2 * STEP))
        quotient = (4 * near - far) / 3
        array = self.framework.array
        [found] = self.framework.hessian_product(
            self.loss,
            {"reduction": "sum"},
            [array(a) for a in self.arrays],
            (key,),
            array(np.ones(())),
            (array(direction),),
            {name: array(value) for name, value in (options | {key: whole}).items()},
        )
        smooth = np.abs(near - far) <= 1e-3 * max(1.0, float(np.abs(quotient).max()))
        got = np.where(smooth, self._number(found), quotient)
        return _close(got, quotient, QUOTIENT, f"second derivative by {key}")

    # Half precision

    def _rounded(self, dtype: str, copies: int) -> tuple[list[Any], list[Any]]:
        """The arrays, some times over, in a dtype, and the same numbers in float32."""
        arrays = [
            array if place in self.shared else np.concatenate([array] * copies)
            for place, array in enumerate(self.arrays)
        ]
        half = [a.astype(numpy_dtype(dtype)) if a.dtype == np.float64 else a for a in arrays]
        return half, [h.astype(np.float32) if a.dtype == np.float64 else a for a, h in zip(arrays, half, strict=True)]

    def _half_sums(self, dtype: str) -> str:
        half, single = self._rounded(dtype, self.copies)
        for reduction in ("mean",) if self.framework.slow_eager else ("sum", "mean"):
            got = self.call.value(half, reduction=reduction)
            with np.errstate(over="ignore"):
                exact = self.call.value(single, reduction=reduction).astype(np.float32).astype(numpy_dtype(dtype))
            message = _close(got, reference.to_longdouble(np.asarray(exact)), EPS[dtype], f"{reduction} of many")
            if message:
                return message
        return ""

    def _autocast(self, dtype: str) -> str:
        half, single = self._rounded(dtype, 1)
        expected = self.call.value(single)
        context = self.framework.autocast(dtype)
        assert context is not None
        with context:
            got = self.loss(*map(self.framework.array, half))
        if self.framework.dtype(got) != "float32":
            return f"the loss has dtype {self.framework.dtype(got)}, expected float32"
        return _close(self.framework.numpy(got), expected, 16 * EPS["float32"], "loss")

    # Sizes that are not known

    def _unknown_sizes(self) -> str:
        arrays, one = [self.framework.array(a) for a in self.arrays], self.framework.array(np.ones(()))
        weight, keep = data.uniform("kind weight", SHAPE, 0.25, 2.0), data.bits("kind mask", SHAPE) == 1
        of_examples = {"sample_weight": self.framework.array(weight), "where": self.framework.array(keep)}
        for options in ({}, of_examples):
            known, unknown = (
                self.framework.step(self.loss, {}, self.floating, mode, batched)(arrays, options, one)
                for mode, batched in (("eager", ()), ("function", self.own))
            )
            what = f" ({', '.join(options)})" if options else ""
            message = _close(self._number(unknown.value), self._number(known.value), 1e-13, "value" + what)
            for place, got, expected in zip(self.floating, unknown.gradients or (), known.gradients or (), strict=True):
                name = f"gradient of {self.loss.arrays[place]}{what}"
                message = message or _close(self._number(got), self._number(expected), 1e-13, name)
            if message:
                return message
        return ""

    def _number(self, array: Any) -> Any:
        return reference.to_longdouble(self.framework.numpy(array))


def check(name: str, loss: Any, framework: Framework, dtypes: Sequence[str], modes: Sequence[str]) -> Iterator[Result]:
    """All kinds of calls of a loss of polyloss."""
    entry = data.LOSSES[name]
    loss = loss.partial(**entry.of_value) if entry.of_value else loss
    return of_entry(name, loss, framework, entry, entry.ordinary_of(SHAPE)).check(dtypes, modes)


def of_entry(
    name: str,
    loss: Any,
    framework: Framework,
    entry: Entry,
    arrays: tuple[Any, ...],
    wanted: Sequence[int] | None = None,
) -> Kinds:
    """The kinds of calls of a loss that is called as `entry` says."""
    shared = tuple(place for place in entry.shared if isinstance(place, int))
    # All pairs of a batch exist at once.
    copies = 4 if entry.batch else COPIES
    return Kinds(name, loss, framework, arrays, entry.rowwise, shared, wanted, copies)


def inside(domain: Domain, default: Any) -> float:
    """A number inside of a domain: the default, if it is none of the ends."""
    if isinstance(default, (int, float)) and domain.low < default < domain.high:
        return float(default)
    if np.isfinite(domain.low) and np.isfinite(domain.high):
        return domain.low + 0.3 * (domain.high - domain.low)
    return 0.7 + (domain.low if np.isfinite(domain.low) else 0.0)


def _close(got: Any, expected: Any, relative: float, what: str) -> str:
    """What is wrong, if two arrays differ by more than a part of the largest number."""
    got, expected = np.asarray(got, dtype=np.longdouble), np.asarray(expected, dtype=np.longdouble)
    if got.shape != expected.shape:
        return f"{what}: shape {got.shape}, expected {expected.shape}"
    with np.errstate(invalid="ignore"):
        limit = relative * max(1.0, float(np.abs(expected).max(initial=0.0)))
        right = (got == expected) | (np.abs(got - expected) <= limit)
    return "" if right.all() else difference(what, got, expected, ~right)
