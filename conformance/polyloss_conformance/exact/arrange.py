"""The exact result of a case: from arrays to the numbers of each example, and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.case import Case, Place, RowAxes
from polyloss_conformance.losses import HELPERS, LOSSES
from polyloss_conformance.spec import Spec

from .memory import remembered
from .numbers import LD, longdouble, longdoubles, mp, number, numbers, to_longdouble
from .rules import Batch, Local, Rule

Parts = Mapping[Place, LD | None]
"""What there is for each array of a call."""


@dataclass(frozen=True)
class Truth:
    """The exact result of each example. See the fields of `reduced` for what a call returns.

    Parameters
    ----------
    values, value_scales : array
        Per example, without weights; 0 where the example is masked or ignored.
    gradients, gradient_scales : mapping to array or None
        For each array, the derivative of its example's value with respect to each element; of an array that several
        examples depend on (`Entry.summed`), behind the axes of the examples. None for integers; NaN where none is
        promised.
    kinks : mapping to array or None
        True where there is no derivative, and `gradients` holds the sub-gradient of least norm.
    valid : array
        Examples that count.
    weights, sample_weights : array
        What the weighted mean divides by, and what multiplies the values. 0 where not valid.
    """

    values: LD
    value_scales: LD
    gradients: Parts
    gradient_scales: Parts
    kinks: Mapping[Place, NDArray[np.bool_] | None]
    valid: NDArray[np.bool_]
    weights: LD
    sample_weights: LD


@dataclass
class _Layout:
    """The arguments of a call, example by example.

    Parameters
    ----------
    shape : tuple of int
        Of the per-example losses.
    rows : dict
        Where the rows of each array are: class ids, and what else belongs to a row, have none.
    given, moved : dict
        The shapes of the arrays, and the arrays with their rows last.
    flat : dict
        The same with one axis of examples.
    shared : dict
        Those that all examples have in common.
    parameters, columns : dict
        What is the same for all examples; and what is not, of the shape of `flat`.
    """

    spec: Spec
    shape: tuple[int, ...]
    rows: dict[int, RowAxes]
    given: dict[int, tuple[int, ...]]
    moved: dict[int, NDArray[Any]]
    flat: dict[int, NDArray[np.float64]]
    shared: dict[Place, NDArray[Any]]
    parameters: dict[str, Any]
    columns: dict[str, NDArray[np.float64]]
    valid: NDArray[np.bool_]

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    def is_integer(self, place: int) -> bool:
        return self.moved[place].dtype.kind in "iu"

    @property
    def places(self) -> list[Place]:
        """The arrays, those that are keywords last."""
        return [*range(len(self.spec.arrays)), *(place for place in self.shared if isinstance(place, str))]

    def part(self, place: int, example: int) -> Any:
        """What an example has of an array: a row of numbers, a number, or a class id."""
        cells = self.flat[place][example]
        row = self.rows[place]
        if row.classes:
            return [list(map(number, of_one)) for of_one in cells.reshape(-1, self.moved[place].shape[-1])]
        # Within a row of classes, integers are ids; in other rows, numbers.
        ids = self.is_integer(place) and (not row.axes or self.spec.letters > 1)
        kind: Any = int if ids else number
        return list(map(kind, cells)) if row.axes else kind(cells[0])

    def width(self, place: Place) -> int:
        """How many elements of an array the loss of an example depends on."""
        if place in self.shared:
            return int(self.shared[place].size)
        assert isinstance(place, int)
        width = int(self.flat[place].shape[1])
        return width * self.count if self.spec.batch else width

    def back(self, place: Place, column: NDArray[Any]) -> NDArray[Any] | None:
        """From one row for each example to the axes of an array."""
        if place in self.shared:
            return column.reshape((*self.shape, *self.shared[place].shape))
        assert isinstance(place, int)
        if self.is_integer(place):
            return None
        leading = self.shape if self.spec.batch else ()
        rows: NDArray[Any] = column.reshape((*leading, *self.moved[place].shape))
        return self.rows[place].back(rows, self.given[place])


def _rows(array: NDArray[Any], examples: int) -> NDArray[np.float64]:
    return np.ascontiguousarray(array.astype(np.float64)).reshape(examples, -1)


def _lay_out(case: Case, dtype: str) -> _Layout:
    arrays, parameters, options = case.at(dtype)
    spec = LOSSES[case.loss]
    first = np.asarray(arrays[0])
    axes = spec.axes(parameters, first.ndim)
    parameters.pop("axis", None)
    shape = tuple(length for axis, length in enumerate(first.shape) if axis not in axes)
    count = math.prod(shape)
    given = {place: np.asarray(arrays[place]) for place in spec.own}
    rows = {place: RowAxes.of(spec, axes, len(shape), array.ndim) for place, array in given.items()}
    moved = {place: rows[place].last(array) for place, array in given.items()}
    ignore_index = parameters.pop("ignore_index", None)
    shared = {
        place: np.asarray(arrays[place] if isinstance(place, int) else parameters[place])
        for place in spec.shared
        if isinstance(place, int) or isinstance(parameters.get(place), np.ndarray)
    }
    valid = per_example(options.get("where"), shape, np.bool_(True))
    if ignore_index is not None and spec.letters == 1:
        valid &= moved[spec.own[1]] != ignore_index
    elif ignore_index is not None:
        # A part of an example: of an id of -1 the rules know that it counts for nothing.
        ignored = moved[spec.own[1]] == ignore_index
        moved = {0: np.where(ignored[..., None], 0.0, moved[0]), 1: np.where(ignored, -1, moved[1])}
    # Array parameters match the last axes. In a row-wise loss these are the classes: each row has all of them.
    per_entry = [key for key, v in parameters.items() if isinstance(v, np.ndarray) and not axes]
    columns = {key: _rows(np.broadcast_to(parameters.pop(key), shape), count) for key in per_entry}
    parameters = {
        key: (numbers(value) if value.ndim else number(float(value))) if isinstance(value, np.ndarray) else value
        for key, value in parameters.items()
    }
    flat = {place: _rows(array, count) for place, array in moved.items()}
    laid = _Layout(
        spec, shape, rows, {p: a.shape for p, a in given.items()}, moved, flat, shared, parameters, columns, valid
    )
    if spec.settle is not None:
        kept = np.flatnonzero(valid.reshape(-1)).tolist()
        laid.parameters = spec.settle(parameters, [[laid.part(place, i) for place in spec.own] for i in kept])
    return laid


def per_example(option: Any, shape: tuple[int, ...], default: Any) -> NDArray[Any]:
    """An option, for each example. Missing axes are trailing."""
    array = np.asarray(default if option is None else option)
    if array.dtype != np.bool_:
        array = to_longdouble(array)
    array = array.reshape(array.shape + (1,) * (len(shape) - array.ndim)) if array.ndim else array
    return np.array(np.broadcast_to(array, shape))


def _weights(case: Case, dtype: str, laid: _Layout) -> tuple[LD, LD]:
    """What the weighted mean divides by, and what multiplies the values."""
    _, parameters, options = case.at(dtype)
    valid = laid.valid
    sample_weights = np.where(valid, per_example(options.get("sample_weight"), laid.shape, 1.0), np.longdouble(0))
    class_weight = parameters.get("class_weight")
    if class_weight is None or laid.spec.letters > 1:
        return sample_weights, sample_weights
    beside = laid.spec.own[1]
    per_class = to_longdouble(class_weight)
    ids = laid.is_integer(beside)
    target = np.where(valid if ids else valid[..., None], laid.moved[beside], 0)
    weights = per_class[target] if ids else (to_longdouble(target) * per_class).sum(-1)
    return sample_weights * weights, sample_weights


_KNOWN: dict[Any, Local] = {}
"""Every example that was ever computed."""

_BATCHES: dict[Any, list[Local]] = {}
"""The same for whole batches: many cases differ in their weights and reduction alone."""


def _as_longdouble(local: Local) -> Local:
    def rows(parts: Sequence[Any]) -> list[Any]:
        return [None if part is None else longdoubles(part) for part in parts]

    value, scale = longdouble(local.value), longdouble(local.scale)
    return Local(value, scale, rows(local.gradients), rows(local.gradient_scales), local.kink)


def _unknown(widths: Sequence[int]) -> Local:
    """What is said of an example with a NaN in it."""
    return Local(mp.nan, mp.nan, [[mp.nan] * w for w in widths], [[mp.nan] * w for w in widths])


class _Columns:
    """The results of all examples, one row each."""

    def __init__(self, laid: _Layout) -> None:
        self.laid = laid
        self.widths = [laid.width(place) for place in laid.places]
        self.values, self.scales = (np.zeros(laid.count, dtype=np.longdouble) for _ in range(2))
        self.gradients = [np.zeros((laid.count, width), dtype=np.longdouble) for width in self.widths]
        self.gradient_scales = [np.zeros((laid.count, width), dtype=np.longdouble) for width in self.widths]
        self.kinks = np.zeros(laid.count, dtype=np.bool_)

    def put(self, where: Sequence[int], local: Local, kept: Any = slice(None)) -> None:
        """File the result of equal examples. `kept`: the elements of each array that it is about, if not all."""
        self.values[where], self.scales[where], self.kinks[where] = local.value, local.scale, local.kink
        for k, (gradient, scale) in enumerate(zip(local.gradients, local.gradient_scales, strict=True)):
            if gradient is not None:
                columns = kept if isinstance(kept, slice) else kept[k]
                for results, part in ((self.gradients[k], gradient), (self.gradient_scales[k], scale)):
                    results[np.ix_(np.asarray(where), np.arange(self.widths[k])[columns])] = part


def _example_by_example(laid: _Layout, rule: Rule) -> _Columns:
    columns, flat, shared = _Columns(laid), laid.flat, laid.shared
    # Equal examples are computed once: the long means are made of few, and many cases share theirs.
    table = np.concatenate([*flat.values(), *laid.columns.values()], axis=1)
    equal: dict[bytes, list[int]] = {}
    for example in np.flatnonzero(laid.valid.reshape(-1)).tolist():
        equal.setdefault(table[example].tobytes(), []).append(example)
    common = {p: numbers(array.astype(np.float64)) for p, array in shared.items() if isinstance(p, int)}
    kinds = (
        tuple(array.shape[len(laid.shape) :] for array in laid.moved.values()),
        tuple(map(laid.is_integer, laid.moved)),
    )
    call = (rule, *kinds, repr(sorted(laid.parameters.items())), repr(common), *laid.columns)
    for row, where in equal.items():
        if (call, row) not in _KNOWN:
            if np.isnan(table[where[0]]).any() or any(np.isnan(a).any() for a in shared.values()):
                found: Any = _unknown(columns.widths)
            else:
                arrays = [
                    common[place] if place in common else laid.part(place, where[0])
                    for place in range(len(laid.spec.arrays))
                ]
                more = {key: number(column[where[0], 0]) for key, column in laid.columns.items()}
                found = rule(*arrays, **laid.parameters, **more)
            _KNOWN[call, row] = _as_longdouble(found)
        columns.put(where, _KNOWN[call, row])
    return columns


def _together(laid: _Layout, rule: Batch) -> _Columns:
    """The examples that count, in one batch."""
    columns, shared = _Columns(laid), laid.shared
    kept = np.flatnonzero(laid.valid.reshape(-1))
    if not kept.size:
        return columns
    seen = [array[kept] for array in laid.flat.values()] + list(shared.values())
    if any(np.isnan(array).any() for array in seen):
        own = [np.isnan(array[kept]).any(axis=1) for place, array in laid.flat.items() if place in rule.alone]
        seen_by_all = [array[kept] for place, array in laid.flat.items() if place not in rule.alone]
        if not own or laid.parameters or any(np.isnan(array).any() for array in (*seen_by_all, *shared.values())):
            unknown = kept
        else:
            # Nobody else sees these: they are as good as not there.
            unknown = kept[np.any(own, axis=0)]
            for place in rule.alone:
                laid.flat[place][unknown] = 0.0
        for example in unknown.tolist():
            columns.put([example], _as_longdouble(_unknown(columns.widths)))
        if len(unknown) == len(kept):
            return columns
    else:
        unknown = kept[:0]
    arrays = [
        numbers(shared[place].astype(np.float64))
        if place in shared
        else [laid.part(place, example) for example in kept.tolist()]
        for place in range(len(laid.spec.arrays))
    ]
    elements = [
        slice(None) if place in shared else np.repeat(laid.valid.reshape(-1), laid.width(place) // laid.count)
        for place in laid.places
    ]
    learned = {place: laid.parameters[place] for place in shared if isinstance(place, str)}
    others = {key: value for key, value in laid.parameters.items() if key not in learned}
    call = (rule, repr(arrays), repr(sorted(laid.parameters.items())), *learned)
    if call not in _BATCHES:
        _BATCHES[call] = [_as_longdouble(local) for local in rule.rows(arrays, learned, **others)]
    for example, local in zip(kept.tolist(), _BATCHES[call], strict=True):
        if example not in unknown:
            columns.put([example], local, elements)
    return columns


@remembered
def truth(case: Case, dtype: str) -> Truth:
    """The exact result of a case at the rounded inputs, example by example."""
    laid = _lay_out(case, dtype)
    rule = laid.spec.exact
    columns = _together(laid, rule) if isinstance(rule, Batch) else _example_by_example(laid, rule)

    def back(parts: Sequence[NDArray[Any]]) -> dict[Place, NDArray[Any] | None]:
        return {place: laid.back(place, part) for place, part in zip(laid.places, parts, strict=True)}

    weights, sample_weights = _weights(case, dtype, laid)
    return Truth(
        columns.values.reshape(laid.shape),
        columns.scales.reshape(laid.shape),
        back(columns.gradients),
        back(columns.gradient_scales),
        back([np.repeat(columns.kinks[:, None], width, 1) for width in columns.widths]),
        laid.valid,
        weights,
        sample_weights,
    )


@dataclass(frozen=True)
class HelperTruth:
    """The exact result of a numeric helper, and its gradient times a cotangent."""

    value: LD
    value_scale: LD
    gradient: LD
    gradient_scale: LD
    kinks: NDArray[np.bool_]


def helper_truth(case: Case, dtype: str, cotangent: Any = None) -> HelperTruth:
    """The exact result of a helper, and its gradient times `cotangent` (of the shape of the result; None for ones)."""
    (array,), parameters, _ = case.at(dtype)
    helper, axis = HELPERS[case.loss], parameters.get("axis", -1)
    wide = to_longdouble(array).astype(np.float64)
    moved = np.moveaxis(wide, axis, -1) if helper.rowwise else wide[..., None]
    flat = moved.reshape(-1, moved.shape[-1])
    shape = moved.shape[:-1] if helper.single or not helper.rowwise else moved.shape
    up = np.ones(shape) if cotangent is None else to_longdouble(cotangent).astype(np.float64)
    if cotangent is not None and helper.rowwise and not helper.single:
        up = np.moveaxis(up, axis, -1)
    columns: list[list[Any]] = [[], [], [], []]
    for row, share in zip(flat, up.reshape(len(flat), -1), strict=True):
        result = helper.exact([number(v) for v in row], [number(v) for v in share])
        for column, part in zip(columns, result, strict=True):
            column.append([longdouble(v) for v in part])

    def back(column: list[Any], whole: bool) -> LD:
        result = np.array(column, dtype=np.longdouble)
        if not helper.rowwise or (helper.single and not whole):
            return result.reshape(moved.shape[:-1])
        return np.moveaxis(result.reshape(moved.shape), -1, axis)

    value, scale = back(columns[0], False), back(columns[1], False)
    gradient, sizes = back(columns[2], True), back(columns[3], True)
    return HelperTruth(value, scale, gradient, sizes, np.zeros(gradient.shape, dtype=np.bool_))
