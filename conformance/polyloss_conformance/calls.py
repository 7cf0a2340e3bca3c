"""One call and the exact truth about it: of one case as it stands, or of the examples of many.

Where a call has to be compiled first, cases that differ in nothing but their examples are packed into one call with
``reduction="none"``: a few compilations instead of a thousand.

Generated code may compute several examples at a time, and what is left over one by one, in another way. So a batch is
repeated until nothing of it is left over (`LANES`), and called once more in pieces of which all is left over (`FEW`).
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import compare, reference
from .case import RowAxes
from .cases import Case, Entry, Place, numpy_dtype
from .compare import LD
from .frameworks import EAGER, Framework, placed

OPTIONS = ("reduction", "sample_weight", "where", "denominator")
LARGE = 4096
"""Cases of more elements are never packed."""

FEW = 3
"""So many examples are fewer than a processor computes at a time."""

LANES = 64 * FEW
"""Of a multiple of so many examples, nothing is left over: 4 vectors of 16, side by side."""

COTANGENTS = (0.5, -0.75, 1.25, -1.5, 2.0, 3.0, -0.375, 1.75, -2.5)
POWERS = (0.5, -0.25, 1.0, -2.0, 4.0)
"""Upstream gradients: non-uniform, of both signs, exact in every dtype."""


@dataclass
class Call:
    """The arguments of one call in NumPy arrays, and the truth about it."""

    arrays: list[NDArray[Any]]
    static: dict[str, Any]
    options: dict[str, NDArray[Any]]
    cotangent: NDArray[Any]
    wanted: tuple[Place, ...]
    summed: tuple[Place, ...]
    """The arrays whose gradient is a sum over the examples."""
    value: LD
    value_scale: LD
    gradients: list[LD]
    gradient_scales: list[LD]
    kinks: list[NDArray[np.bool_]]
    count: int
    parts: list[tuple[Case, slice]] = field(default_factory=list)
    """For packed cases, the examples of each."""

    def arguments(self, framework: Framework) -> tuple[list[Any], dict[str, Any], Any]:
        """What a `frameworks.Step` takes: arrays, options and cotangent."""
        return arguments(framework, self.arrays, self.options, self.cotangent)

    def gradient(self, number: int, part: slice) -> "Gradient":
        """What is known of one gradient, as far as it belongs to a part of the examples.

        Where it is a sum over the examples, each has its part of it here.
        """
        truth, scale, kinks = self.gradients[number], self.gradient_scales[number], self.kinks[number]
        if self.wanted[number] not in self.summed:
            return Gradient(truth, scale, kinks, part)
        with np.errstate(invalid="ignore"):
            return Gradient(
                truth.sum(axis=0), scale.sum(axis=0), np.asarray(kinks.any(axis=0)), slice(None), len(truth)
            )

    def cut(self, here: slice) -> "Call":
        """The same call on some of the examples alone."""
        inside = [(case, max(part.start, here.start), min(part.stop, here.stop)) for case, part in self.parts]
        return self._of(here, [(case, slice(a - here.start, b - here.start)) for case, a, b in inside if a < b])

    def repeated(self, length: int) -> "Call":
        """The same call with its examples over and over, up to a length."""
        once = len(self.value)
        parts = [
            (case, slice(start + part.start, min(start + part.stop, length)))
            for start in range(0, length, once)
            for case, part in self.parts
            if start + part.start < length
        ]
        return self._of(np.arange(length) % once, parts)

    def _of(self, examples: Any, parts: list[tuple[Case, slice]]) -> "Call":
        def of_examples(array: Any) -> Any:
            return array[examples]

        return replace(
            self,
            arrays=[a if place in self.summed else of_examples(a) for place, a in enumerate(self.arrays)],
            options={k: of_examples(o) if k in ("sample_weight", "where") else o for k, o in self.options.items()},
            cotangent=of_examples(self.cotangent),
            value=of_examples(self.value),
            value_scale=of_examples(self.value_scale),
            gradients=[of_examples(g) for g in self.gradients],
            gradient_scales=[of_examples(g) for g in self.gradient_scales],
            kinks=[of_examples(k) for k in self.kinks],
            parts=parts,
        )


class Gradient(NamedTuple):
    """The truth about a gradient, what of it belongs to a case, and how many terms were summed."""

    truth: LD
    scale: LD
    kinks: NDArray[np.bool_]
    part: slice
    terms: int = 1


def arguments(
    framework: Framework, arrays: Sequence[Any], options: Mapping[str, Any], cotangent: Any
) -> tuple[list[Any], dict[str, Any], Any]:
    """The same as arrays of a framework."""
    array = framework.array
    return [array(a) for a in arrays], {k: array(o) for k, o in options.items()}, array(cotangent)


def cotangent_of(
    case: Case, shape: tuple[int, ...], dtype: str, choices: Sequence[float] | None = None
) -> NDArray[Any]:
    """A non-uniform upstream gradient, the same in every run."""
    draw = np.random.default_rng(zlib.crc32(case.id.encode()))
    return np.asarray(draw.choice(choices or COTANGENTS, shape)).astype(numpy_dtype(dtype))


def wanted_of(entry: Entry, truth: reference.Truth) -> tuple[Place, ...]:
    return tuple(place for place in entry.differentiable if truth.gradients.get(place) is not None)


def split(keywords: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    arrays = {k: v for k, v in keywords.items() if isinstance(v, np.ndarray)}
    return {k: v for k, v in keywords.items() if k not in arrays}, arrays


def single(case: Case, dtype: str, entry: Entry, framework: Framework) -> Call:
    """The call of one case."""
    truth = reference.truth(case, dtype)
    given = case.at(dtype)
    static, options = split({**given.parameters, **given.options})
    shape = truth.values.shape if given.options.get("reduction", "mean") == "none" else ()
    choices: tuple[float, ...] = COTANGENTS
    if not framework.differentiates:
        # Nothing comes from upstream of a scalar; and a weight times a power of two is exact.
        if given.options.get("reduction", "mean") != "none":
            choices = (1.0,)
        elif "sample_weight" in given.options:
            choices = POWERS
    cotangent = cotangent_of(case, shape, dtype, choices)
    exact = reference.to_longdouble(cotangent)
    found = reference.reduced(case, truth, exact, summed=False)
    wanted = wanted_of(entry, truth)

    def chosen(parts: Mapping[Place, Any]) -> list[Any]:
        rows = truth.values.ndim
        return [parts[p].reshape(-1, *parts[p].shape[rows:]) if p in entry.summed else parts[p] for p in wanted]

    return Call(
        list(given.arrays),
        static,
        options,
        cotangent,
        wanted,
        entry.summed,
        found.value,
        found.value_scale,
        chosen(found.gradients),
        chosen(found.gradient_scales),
        chosen(found.kinks),
        count=found.count,
        parts=[(case, slice(None))],
    )


def pack(cases: Sequence[Case], dtype: str, entry: Entry, *, weighted: bool, masked: bool) -> Call:
    """One call with the examples of all cases, which agree in all but those and their options."""
    columns: dict[str, list[Any]] = {}
    parts: list[tuple[Case, slice]] = []
    start = 0
    wanted: tuple[Place, ...] = ()
    for case in cases:
        truth = reference.truth(case, dtype)
        given = case.at(dtype)
        shape = truth.values.shape
        cotangent = cotangent_of(case, shape, dtype)
        found = reference.reduced(case, truth, reference.to_longdouble(cotangent), reduction="none", summed=False)
        wanted = wanted_of(entry, truth)
        rows = _rows(entry, len(shape), entry.axes(given.parameters, given.arrays[0].ndim))
        add = {f"array {i}": rows(given.arrays[i]) for i in entry.own}
        add |= {"cotangent": rows(cotangent), "value": rows(found.value), "value_scale": rows(found.value_scale)}
        sides: dict[str, Mapping[Place, Any]] = {"g": found.gradients, "s": found.gradient_scales, "k": found.kinks}
        for name, pieces in sides.items():
            for place in wanted:
                piece = pieces[place]
                whole = piece.reshape(-1, *piece.shape[len(shape) :]) if place in entry.shared else rows(piece)
                add[f"{name} {place}"] = whole
        if weighted:
            weight = given.options.get("sample_weight", np.ones((), dtype=numpy_dtype(dtype)))
            add["sample_weight"] = rows(_over(weight, shape))
        if masked:
            add["where"] = rows(_over(given.options.get("where", np.ones((), dtype=np.bool_)), shape))
        for key, piece in add.items():
            columns.setdefault(key, []).append(piece)
        size = max(1, int(np.prod(shape)))
        parts.append((case, slice(start, start + size)))
        start += size
    joined = {key: np.concatenate(pieces) for key, pieces in columns.items()}
    static, options = split(cases[0].at(dtype).parameters)
    static.pop("axis", None)
    options |= {key: joined[key] for key in ("sample_weight", "where") if key in joined}
    first = cases[0].at(dtype).arrays
    return Call(
        [joined[f"array {i}"] if i in entry.own else first[i] for i in range(len(entry.arrays))],
        {**static, "reduction": "none"},
        options,
        joined["cotangent"],
        wanted,
        entry.summed,
        joined["value"],
        joined["value_scale"],
        [joined[f"g {i}"] for i in wanted],
        [joined[f"s {i}"] for i in wanted],
        [joined[f"k {i}"] for i in wanted],
        count=1,
        parts=parts,
    )


def batches(
    cases: Sequence[Case],
    dtype: str,
    entry: Entry,
    framework: Framework,
    mode: str,
    *,
    unoptimised: bool = False,
    **there: bool,
) -> Iterator[Call]:
    """The calls of packed cases: so many examples that nothing is left over, and behind a compiler few at a time.

    Few different lengths occur: where only numbers differ, JAX's eager calls of one shape share what was compiled. And
    no small batches are called there: each further shape would be compiled.

    The gradient by an array that all examples share is a sum over them. There, the other batch is half of them, and
    only in modes that take a batch of any length without being compiled again.
    """
    once = pack(cases, dtype, entry, **there)
    length = len(once.value)
    # Code that is not optimised computes one example at a time.
    compiled = mode not in EAGER and not unoptimised
    if entry.shared:
        yield once.repeated(_padded(length, FEW))
        if mode in framework.dynamic and length > FEW:
            yield once.cut(slice(0, length // 2 + 1))
        return
    batch = once.repeated(_padded(length, LANES))
    yield batch
    for start in range(0, length, FEW) if compiled else ():
        yield batch.cut(slice(start, start + FEW))


def _padded(length: int, unit: int) -> int:
    """The next of the lengths `unit`, 4 times as much, and so on."""
    while unit < length:
        unit *= 4
    return unit


def _over(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array that lacks trailing axes, at the full shape."""
    return np.broadcast_to(array[(..., *(None,) * (len(shape) - array.ndim))], shape)


def _rows(entry: Entry, count: int, axes: tuple[int, ...]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Examples along one axis, their rows last."""

    def arrange(array: NDArray[Any]) -> NDArray[Any]:
        array = RowAxes.of(entry, axes, count, array.ndim).last(array)
        return array.reshape(-1, *array.shape[count:])

    return arrange


class Key(NamedTuple):
    """What cases have in common that are one call; without the last two, calls of one compiled function."""

    static: tuple[tuple[str, str], ...]
    arrays: tuple[str, ...]
    kinds: tuple[tuple[Any, ...], ...]
    lengths: tuple[int, ...]
    contents: tuple[bytes, ...]

    @property
    def group(self) -> tuple[Any, ...]:
        return self[:3]


def pack_key(case: Case, dtype: str, entry: Entry) -> Key | None:
    """None: this case can only be called as it stands."""
    if entry.batch:
        # The examples of another case would be seen.
        return None
    given = case.at(dtype)
    static, arrays = split({k: v for k, v in given.parameters.items() if k != "axis"})
    if is_long(case) or any(isinstance(v, str) or callable(v) for v in static.values()):
        return None
    if arrays and not entry.rowwise:
        return None
    common = {place: array for place, array in placed(given.arrays, arrays).items() if place in entry.shared}
    if common and not all(np.isfinite(a.astype(np.float64)).all() for a in (*given.arrays, *arrays.values())):
        # One example would be all that can be seen of the sums.
        return None
    axes = entry.axes(given.parameters, given.arrays[0].ndim)
    rows = given.arrays[0].ndim - len(axes)
    shapes = [
        RowAxes.of(entry, axes, rows, np.ndim(given.arrays[i])).last(given.arrays[i]).shape[rows:] for i in entry.own
    ]
    return Key(
        tuple(sorted((k, repr(v)) for k, v in static.items())),
        tuple(sorted(arrays)),
        tuple((str(given.arrays[i].dtype), len(shape)) for i, shape in zip(entry.own, shapes, strict=True))
        + tuple((str(a.dtype), *a.shape) for a in common.values()),
        # Of class ids within a row the length may be their own.
        tuple(length for shape in shapes for length in shape),
        tuple(a.tobytes() for a in (*(arrays[k] for k in sorted(arrays)), *common.values())),
    )


def is_long(case: Case) -> bool:
    """Whether a case has more elements than are ever packed."""
    return max(map(np.size, case.arrays)) > LARGE


def call_text(case: Case, dtype: str) -> str:
    """A call as somebody would type it, with NumPy arrays."""
    given = case.at(dtype)

    def text(value: Any) -> str:
        if not isinstance(value, np.ndarray):
            return repr(value)
        return f"np.asarray({compare.show(value)}, dtype={str(value.dtype)!r})"

    arguments = [text(a) for a in given.arrays]
    arguments += [f"{k}={text(v)}" for k, v in {**given.parameters, **given.options}.items()]
    found = f"polyloss.{case.loss}({', '.join(arguments)})"
    return found if len(found) < 4000 else found[:4000] + " ..."
