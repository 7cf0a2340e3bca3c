"""Run the cases: which calls are made on which framework, in which mode, and what is expected of them.

A *unit* is one function and its calls. Eagerly, every case is a unit of its own. Where a call has to be compiled first,
cases that differ in nothing but their examples are packed into one call with ``reduction="none"``: a few compilations
instead of a thousand.

Generated code may compute several examples at a time, and what is left over one by one, in another way. So a batch is
repeated until nothing of it is left over (`LANES`), and called once more in pieces of which all is left over (`FEW`).
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import cases as data
from . import compare, deviations, frameworks, modules, reference, tolerances
from .cases import Case, Entry, Place, numpy_dtype
from .compare import LD, judge
from .frameworks import EAGER, Framework, engine, placed
from .tolerances import HALVES

Check = Literal[
    "value and gradient",
    "second order",
    "error",
    "bad values while traced",
    "law",
    "kind of call",
    "built-in",
    "coverage",
]

CHECKS: tuple[Check, ...] = (
    "value and gradient",
    "second order",
    "error",
    "bad values while traced",
    "law",
    "kind of call",
    "built-in",
)
QUICK_CHECKS: tuple[Check, ...] = ("value and gradient", "second order", "error", "law", "kind of call")
QUICK_MODES = ("eager",)

RECORDED = "recorded input"
"""The case that is the input in the table of deviations."""

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


@dataclass(frozen=True)
class Result:
    """The outcome of one check.

    Parameters
    ----------
    loss, backend, mode, dtype, case : str
        What was run. `mode` is ``"eager"`` or the name of a compiler.
    check : str
        What was looked at.
    passed : bool
    value, gradient : float or None
        The worst error, in the unit of its tolerance (see `polyloss_conformance.tolerances`); None where nothing was
        compared.
    message : str
        What is wrong, empty where nothing is.
    call : str
        The failing call, to type in.
    note : str
        Why the case exists; or, for a known deviation of a built-in, the reason.
    deviation, link : str
        The kind of a known deviation, and where it is discussed.
    """

    loss: str
    backend: str
    mode: str
    dtype: str
    case: str
    check: Check
    passed: bool
    value: float | None = None
    gradient: float | None = None
    message: str = ""
    call: str = ""
    note: str = ""
    deviation: str = ""
    link: str = ""


@dataclass(frozen=True)
class Selection:
    """What to run. Names are checked: one that is unknown, or that leaves nothing to do, is an error."""

    backends: tuple[str, ...]
    losses: Mapping[str, Any]
    dtypes: tuple[str, ...] = data.DTYPES
    everything: bool = False
    modes: tuple[str, ...] | None = None
    module: str | None = None
    checks: tuple[Check, ...] = CHECKS


def public_losses(module: ModuleType | None = None) -> dict[str, Any]:
    """The losses of a module, by name: those of polyloss where none is given."""
    import polyloss

    source = polyloss if module is None else module
    return {name: value for name, value in vars(source).items() if isinstance(value, polyloss.Loss) and name[0] != "_"}


def select(
    backends: Sequence[str] = (),
    losses: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    *,
    everything: bool = False,
    quick: bool = False,
    module: str | None = None,
    device: str = "cpu",
) -> Selection:
    """A selection by names. Nothing named is everything that is there.

    Parameters
    ----------
    quick : bool
        Without compilers and built-ins: as a user calls a loss first.
    device : str
        Without backends named: those that can be told where their arrays are, if that is not the CPU.

    Raises
    ------
    ValueError
        For a name that is not known, or not installed; the message lists those that are. If all and little is wanted.
    """
    if everything and quick:
        raise ValueError("--all and --quick exclude each other")
    if module is None:
        known = {**dict.fromkeys(data.LOSSES), **public_losses()}
    else:
        shipped = list(public_losses().values())
        known = {k: v for k, v in public_losses(modules.load(module)).items() if v not in shipped}
        if not known:
            raise ValueError(f"{module} has no loss: no attribute that is a polyloss.Loss")
    chosen = _known("dtype", dtypes, data.DTYPES)
    there = frameworks.installed()
    if device != "cpu" and not backends:
        there = tuple(name for name in there if frameworks.KNOWN[name].has_devices)
        if not there:
            raise ValueError(f"no backend here has a device {device}")
    able = [name for name in _known("backend", backends, there) if set(frameworks.dtypes(name)) & set(chosen)]
    if not able:
        raise ValueError(f"there is nothing to run: {', '.join(backends)} has no {', '.join(chosen)}")
    return Selection(
        tuple(able),
        {name: known[name] for name in _known("loss", losses, tuple(known))},
        chosen,
        everything,
        QUICK_MODES if quick else None,
        module,
        QUICK_CHECKS if quick else CHECKS,
    )


def _known(what: str, names: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no {what} called {', '.join(unknown)} here; there is {', '.join(known)}")
    return tuple(dict.fromkeys(names)) or known


# --------------------------------------------------------------------------------------------------------------------
# One call, and what is expected of it


@dataclass
class Call:
    """The arguments of one call in NumPy arrays, and the truth about it."""

    arrays: list[NDArray[Any]]
    static: dict[str, Any]
    options: dict[str, NDArray[Any]]
    cotangent: NDArray[Any]
    wanted: tuple[Place, ...]
    shared: tuple[Place, ...]
    value: LD
    value_scale: LD
    gradients: list[LD]
    gradient_scales: list[LD]
    kinks: list[NDArray[np.bool_]]
    count: int
    parts: list[tuple[Case, slice]] = field(default_factory=list)
    """For packed cases, the examples of each."""

    def gradient(self, number: int, part: slice) -> "Gradient":
        """What is known of one gradient, as far as it belongs to a part of the examples.

        To an array that all examples share, each has its part of the gradient here: it is their sum.
        """
        truth, scale, kinks = self.gradients[number], self.gradient_scales[number], self.kinks[number]
        if self.wanted[number] not in self.shared:
            return Gradient(truth, scale, kinks, part)
        with np.errstate(invalid="ignore"):
            return Gradient(
                truth.sum(axis=0), scale.sum(axis=0), np.asarray(kinks.any(axis=0)), slice(None), len(truth)
            )

    def cut(self, here: slice) -> "Call":
        """The same call on some of the examples alone."""

        def cut(array: Any) -> Any:
            return array[here]

        inside = [(case, max(part.start, here.start), min(part.stop, here.stop)) for case, part in self.parts]
        return replace(
            self,
            arrays=[a if place in self.shared else cut(a) for place, a in enumerate(self.arrays)],
            options={k: cut(o) if k in ("sample_weight", "where") else o for k, o in self.options.items()},
            cotangent=cut(self.cotangent),
            value=cut(self.value),
            value_scale=cut(self.value_scale),
            gradients=[cut(g) for g in self.gradients],
            gradient_scales=[cut(g) for g in self.gradient_scales],
            kinks=[cut(k) for k in self.kinks],
            parts=[(case, slice(a - here.start, b - here.start)) for case, a, b in inside if a < b],
        )


class Gradient(NamedTuple):
    """The truth about a gradient, what of it belongs to a case, and how many terms were summed."""

    truth: LD
    scale: LD
    kinks: NDArray[np.bool_]
    part: slice
    terms: int = 1


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
        return [parts[p].reshape(-1, *parts[p].shape[rows:]) if p in entry.shared else parts[p] for p in wanted]

    return Call(
        list(given.arrays),
        static,
        options,
        cotangent,
        wanted,
        entry.shared,
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
        rows = _rows(len(shape), given.parameters.get("axis", -1))
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
        entry.shared,
        joined["value"],
        joined["value_scale"],
        [joined[f"g {i}"] for i in wanted],
        [joined[f"s {i}"] for i in wanted],
        [joined[f"k {i}"] for i in wanted],
        count=1,
        parts=parts,
    )


def batches(
    cases: Sequence[Case], dtype: str, entry: Entry, framework: Framework, mode: str, **there: bool
) -> Iterator[Call]:
    """The calls of packed cases: so many examples that nothing is left over, and few of them after the others.

    What is shared has a gradient that is a sum, and of repeated examples another one: there, half of them are the other
    batch, where a compiled function takes any. What such a loss computes of an example, others compute too.
    """
    once = pack(cases, dtype, entry, **there)
    length = len(once.value)
    compiled = mode not in EAGER
    if entry.shared:
        yield once
        if compiled and framework.dynamic and length > 3:
            yield once.cut(slice(0, length // 2 + 1))
        return
    whole = -(-length // LANES) * LANES
    batch = pack([*cases] * -(-whole // length), dtype, entry, **there).cut(slice(0, whole))
    yield batch
    # A function for each operation would be compiled once more, where that is how calls are made eagerly.
    for start in range(0, length, FEW) if compiled else ():
        yield batch.cut(slice(start, start + FEW))


def _over(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array that lacks trailing axes, at the full shape."""
    return np.broadcast_to(array[(..., *(None,) * (len(shape) - array.ndim))], shape)


def _rows(ndim: int, axis: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Examples along one axis, classes or features last."""

    def arrange(array: NDArray[Any]) -> NDArray[Any]:
        if array.ndim == ndim:
            return array.reshape(-1)
        array = np.moveaxis(array, axis, -1)
        return array.reshape(-1, array.shape[-1])

    return arrange


class _Key(NamedTuple):
    """What cases have in common that are one call; without the last two, calls of one compiled function."""

    static: tuple[tuple[str, str], ...]
    arrays: tuple[str, ...]
    kinds: tuple[tuple[Any, ...], ...]
    length: int
    contents: tuple[bytes, ...]

    @property
    def group(self) -> tuple[Any, ...]:
        return self[:3]


def pack_key(case: Case, dtype: str, entry: Entry) -> _Key | None:
    """None: this case can only be called as it stands."""
    given = case.at(dtype)
    static, arrays = split({k: v for k, v in given.parameters.items() if k != "axis"})
    if max(np.size(a) for a in given.arrays) > LARGE or any(isinstance(v, str) or callable(v) for v in static.values()):
        return None
    if arrays and not entry.rowwise:
        return None
    common = {place: array for place, array in placed(given.arrays, arrays).items() if place in entry.shared}
    if common and not all(np.isfinite(a.astype(np.float64)).all() for a in (*given.arrays, *arrays.values())):
        # One example would be all that can be seen of the sums.
        return None
    rows = given.arrays[0].ndim - entry.rowwise
    return _Key(
        tuple(sorted((k, repr(v)) for k, v in static.items())),
        tuple(sorted(arrays)),
        tuple((str(given.arrays[i].dtype), given.arrays[i].ndim - rows) for i in entry.own)
        + tuple((str(a.dtype), *a.shape) for a in common.values()),
        given.arrays[0].shape[given.parameters.get("axis", -1)] if entry.rowwise else 0,
        tuple(a.tobytes() for a in (*(arrays[k] for k in sorted(arrays)), *common.values())),
    )


class Unit(NamedTuple):
    """One function to be made, by compilation or not, and the calls of it.

    Where `packed`, each element of `calls` is packed into one call; otherwise there is one call with one case.
    """

    loss: str
    backend: str
    mode: str
    dtype: str
    calls: tuple[tuple[Case, ...], ...]
    packed: bool

    @property
    def cases(self) -> list[Case]:
        return [case for call in self.calls for case in call]


_ALONE = ("default_reduction", "everything_masked", "masked_weighted_mean")
"""What is called with its reduction under compilers, the last under every one, besides the long means."""

_THOROUGH = ("mse", "cross_entropy")
"""One elementwise and one row-wise loss: all their reductions are called where compilation makes each call dear."""


def units(selection: Selection) -> list[Unit]:
    """The calls that compare values and gradients."""
    found: list[Unit] = []
    for backend in selection.backends:
        framework = frameworks.framework(backend)
        for mode in framework.modes if selection.modes is None else selection.modes:
            if mode not in framework.modes:
                continue
            for loss in selection.losses:
                if loss not in data.LOSSES:
                    continue
                for dtype in framework.dtypes:
                    if dtype in selection.dtypes:
                        found += _units(selection, framework, mode, loss, dtype)
    return found


def _units(selection: Selection, framework: Framework, mode: str, loss: str, dtype: str) -> Iterator[Unit]:
    usable = [case for case in data.CASES[loss] if case.kind != "error" and dtype in case.dtypes]
    if mode in EAGER[1:] and dtype in HALVES:
        # Half precision is never computed in blocks: it would be the same once more.
        return
    compiled = mode not in EAGER
    if selection.everything or not (compiled or framework.slow_eager):
        for case in usable:
            yield Unit(loss, framework.name, mode, dtype, ((case,),), False)
        return
    if compiled and dtype != ("float32" if "float32" in selection.dtypes else selection.dtypes[0]):
        return
    # Here every call of another shape is a compilation.
    dear = mode in ("jit", "xla") or (not compiled and dtype != "float32")
    few = mode in ("jit", "xla") or (not compiled and dtype in HALVES)
    groups: dict[tuple[Any, ...], dict[_Key, list[Case]]] = {}
    for case in usable:
        key = pack_key(case, dtype, data.LOSSES[loss])
        if key is not None and _worth(mode, key):
            groups.setdefault(key.group, {}).setdefault(key, []).append(case)
        long_mean = case.name.startswith("mean_")
        if mode == "compile":
            alone = case.name in ("masked_weighted_mean", "mean_of_262144_tenths") and loss in ("l1", *_THOROUGH)
        elif mode == "aot_eager":
            alone = key is None and not long_mean
        else:
            reduced = not compiled and not dear and loss in _THOROUGH and case.options.get("reduction") != "none"
            alone = (key is None and not dear) or case.name in _ALONE[-1 if dear else 0 :] or long_mean or reduced
        if alone:
            yield Unit(loss, framework.name, mode, dtype, ((case,),), False)
    alike: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for group, packs in groups.items():
        static, *rest = next(iter(packs))[:3]
        alike.setdefault((tuple(name for name, _ in static), *rest), []).append(group)
    for same in alike.values():
        # Where parameters differ in their values alone, the first and the last of these stand for all.
        for group in dict.fromkeys((same[0], same[-1]) if compiled or few else same):
            members = sorted(groups[group].values(), key=len, reverse=True)
            calls = tuple(map(tuple, members[:1] if few else members))
            yield Unit(loss, framework.name, mode, dtype, calls, True)


def _worth(mode: str, key: _Key) -> bool:
    """torch has a full compiler, for the default parameters, and one that only traces, for all the others."""
    if mode not in ("compile", "aot_eager"):
        return True
    # One class or feature is a specialisation, and a compilation, of its own.
    return key.length != 1 and bool(key.static or key.arrays) == (mode == "aot_eager")


def run_unit(unit: Unit, loss: Any) -> list[Result]:
    """Make one call and judge it: a result for each of its cases."""
    framework = frameworks.framework(unit.backend)
    entry = data.LOSSES[unit.loss]
    if loss is None:
        return [_result(unit, case, False, message=f"polyloss has no {unit.loss}") for case in unit.cases]
    found: list[Result] = []
    step = None
    weighted, masked = (any(name in case.options for case in unit.cases) for name in ("sample_weight", "where"))
    for members in unit.calls:
        try:
            if unit.packed:
                calls = list(
                    batches(members, unit.dtype, entry, framework, unit.mode, weighted=weighted, masked=masked)
                )
            else:
                calls = [single(members[0], unit.dtype, entry, framework)]
            if step is None:
                batched = (*entry.own, *(key for key in ("sample_weight", "where") if key in calls[0].options))
                together = unit.packed and unit.mode not in EAGER
                step = framework.step(loss, calls[0].static, calls[0].wanted, unit.mode, batched if together else ())
            with engine(unit.mode):
                found += _worst_of([result for call in calls for result in _judged(unit, call, framework, step)])
        except Exception as error:
            message = f"{type(error).__name__}: {str(error).strip()[:600]}"
            found += [_result(unit, case, False, message=message, call=call_text(case, unit.dtype)) for case in members]
    return found


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


def _judged(unit: Unit, call: Call, framework: Framework, step: frameworks.Step) -> list[Result]:
    arrays = [framework.array(a) for a in call.arrays]
    options = {k: framework.array(o) for k, o in call.options.items()}
    with np.errstate(all="ignore"):
        outcome = step(arrays, options, framework.array(call.cotangent))
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


# --------------------------------------------------------------------------------------------------------------------
# Bad input


def run_errors(name: str, loss: Any, framework: Framework) -> Iterator[Result]:
    """Every error case, eagerly, and while tracing where no value is needed to see the error."""
    for case in data.CASES[name]:
        if case.kind != "error" or case.error is None:
            continue
        if loss is None:
            yield Result(
                name,
                framework.name,
                "eager",
                case.dtypes[0],
                case.name,
                "error",
                False,
                message=f"polyloss has no {name}",
            )
            continue
        modes: list[tuple[str, Callable[..., Any]]] = []
        if framework.shows_values or not case.value_check:
            modes.append(("eager", lambda s, a, o: loss(*a, **s, **o)))
        if framework.differentiates and not case.value_check:
            modes.append(("traced", lambda s, a, o: framework.traced(loss, s, a, o)))
        for mode, call in modes:
            yield _refused(name, case, framework, mode, call)


def _refused(name: str, case: Case, framework: Framework, mode: str, call: Callable[..., Any]) -> Result:
    assert case.error is not None
    dtype = case.dtypes[0]
    given = case.at(dtype)
    kinds, says = case.error
    static, options = split({**given.parameters, **given.options})
    arrays = [framework.convert(a) for a in given.arrays]
    message = ""
    try:
        with np.errstate(all="ignore"):
            got = call(static, arrays, {k: framework.convert(o) for k, o in options.items()})
        message = f"expected {_names(kinds)}, got {got!r}"
    except Exception as error:
        if not isinstance(error, kinds):
            message = f"expected {_names(kinds)}, got {type(error).__name__}: {str(error)[:300]}"
        elif not re.search(says, str(error), re.IGNORECASE):
            message = f"the message must match {says!r}: {type(error).__name__}: {str(error)[:300]}"
    return Result(
        name,
        framework.name,
        mode,
        dtype,
        case.name,
        "error",
        not message,
        message=message,
        call=call_text(case, dtype) if message else "",
        note=case.note,
    )


def _names(kinds: data.Raises) -> str:
    return " or ".join(k.__name__ for k in (kinds if isinstance(kinds, tuple) else (kinds,)))


def run_traced_values(name: str, loss: Any, framework: Framework, modes: Sequence[str]) -> Iterator[Result]:
    """Bad values that cannot be seen: the example becomes NaN, in value and gradient."""
    entry = data.LOSSES[name]
    for case in data.CASES[name]:
        if case.kind != "error" or not case.value_check or loss is None:
            continue
        for mode in modes:
            dtype = case.dtypes[0]
            message = ""
            try:
                message = _poisoned(case, loss, entry, framework, mode, dtype)
            except Exception as error:
                message = f"{type(error).__name__}: {str(error).strip()[:400]}"
            yield Result(
                name,
                framework.name,
                mode,
                dtype,
                case.name,
                "bad values while traced",
                not message,
                message=message,
                call=call_text(case, dtype) if message else "",
                note=case.note,
            )


def _poisoned(case: Case, loss: Any, entry: Entry, framework: Framework, mode: str, dtype: str) -> str:
    given = case.at(dtype)
    static, options = split({**given.parameters, **given.options, "reduction": "none"})
    there = placed(given.arrays, options)
    wanted = tuple(i for i in entry.differentiable if i in there and there[i].dtype == numpy_dtype(dtype))
    arrays = [framework.array(a) for a in given.arrays]
    first = given.arrays[0]
    axis = static.get("axis", -1)
    shape = first.shape
    if entry.rowwise:
        shape = tuple(n for i, n in enumerate(shape) if i != axis % first.ndim)
    cotangent = framework.array(cotangent_of(case, shape, dtype))
    step = framework.step(loss, static, wanted, mode)
    outcome = step(arrays, {k: framework.array(o) for k, o in options.items()}, cotangent)
    value = np.isnan(np.asarray(framework.numpy(outcome.value), dtype=np.float64))
    if not value.any():
        return f"no example is NaN: {framework.numpy(outcome.value)!r}"
    for place, gradient in zip(wanted, outcome.gradients or (), strict=True):
        numbers = np.isnan(np.asarray(framework.numpy(gradient), dtype=np.float64))
        expected = value
        if place in entry.shared:
            expected = np.full(numbers.shape, value.any())
        elif entry.rowwise and numbers.ndim > value.ndim:
            numbers = numbers.any(axis=axis)
        if not (numbers == expected).all():
            return f"NaN in the value at {value.tolist()}, in the gradient of {entry.name(place)} at {numbers.tolist()}"
    return ""


# --------------------------------------------------------------------------------------------------------------------
# Second order

STEP = 2.0**-13


def run_second_order(name: str, loss: Any, framework: Framework) -> Iterator[Result]:
    """Hessian-vector products in float64, against difference quotients of the reference's gradient."""
    entry = data.LOSSES[name]
    seen: set[tuple[Any, ...]] = set()
    for case in data.CASES[name]:
        if loss is None or case.kind != "sample" or "float64" not in case.dtypes or not _plain(case):
            continue
        key = pack_key(case, "float64", entry)
        if framework.slow_eager and key is not None:
            if key.group in seen:
                continue
            seen.add(key.group)
        quotient = _quotient(case)
        if quotient is None:
            continue
        wanted, directions, cotangent, exact, scale, judged = quotient
        given = case.at("float64")
        static, options = split({**given.parameters, **given.options})
        message, worst = "", 0.0
        try:
            found = framework.hessian_product(
                loss,
                static,
                [framework.array(a) for a in given.arrays],
                wanted,
                framework.array(cotangent),
                [framework.array(d) for d in directions],
                {k: framework.array(o) for k, o in options.items()},
            )
            for place, got, truth, size, usable in zip(wanted, found, exact, scale, judged, strict=True):
                numbers = reference.to_longdouble(framework.numpy(got))
                error = np.where(usable, np.abs(numbers - truth), 0)
                error = np.where(np.isnan(error), np.inf, error)
                worst = max(worst, float((error / size).max()))
                if not (error <= tolerances.SECOND_ORDER * size).all():
                    spot = np.unravel_index(int(np.argmax(error / size)), error.shape)
                    message = (
                        f"second derivative of {entry.name(place)} at {list(map(int, spot))} "
                        f"is {float(numbers[spot])!r}, the difference quotient {float(truth[spot])!r}"
                    )
        except Exception as error:
            message = f"{type(error).__name__}: {str(error).strip()[:400]}"
        yield Result(
            name,
            framework.name,
            "eager",
            "float64",
            case.name,
            "second order",
            not message,
            message=message,
            call=call_text(case, "float64") if message else "",
            note=case.note,
        )


def _plain(case: Case) -> bool:
    return (
        set(case.options) <= {"reduction"}
        and case.options.get("reduction") == "none"
        and sum(np.size(a) for a in case.arrays) <= 100
        and not any(isinstance(v, str) for v in case.parameters.values())
    )


@cache
def _quotient(case: Case) -> Any:
    """Two central differences of the reference's gradient, and where they agree."""
    entry = data.LOSSES[case.loss]
    truth = reference.truth(case, "float64")
    # Labels at the ends of their domain cannot be moved.
    wanted = tuple(place for place in wanted_of(entry, truth) if entry.name(place) != "target")
    arrays, parameters, _ = case.at("float64")
    draw = np.random.default_rng(zlib.crc32(case.id.encode()))
    given = placed(arrays, parameters)
    directions = [np.asarray(draw.choice(COTANGENTS, given[place].shape)) for place in wanted]
    cotangent = cotangent_of(case, truth.values.shape, "float64")

    def gradients(step: float) -> list[Any]:
        away = {p: np.asarray(given[p] + step * d) for p, d in zip(wanted, directions, strict=True)}
        moved = replace(
            case,
            arrays=tuple(away.get(place, array) for place, array in enumerate(arrays)),
            parameters={name: away.get(name, value) for name, value in parameters.items()},
        )
        found = reference.reduced(moved, reference.truth(moved, "float64"), cotangent).gradients
        return [found[place] for place in wanted]

    with np.errstate(all="ignore"):
        near = [(b - a) / (2 * STEP) for a, b in zip(gradients(-STEP), gradients(STEP), strict=True)]
        far = [(b - a) / (4 * STEP) for a, b in zip(gradients(-2 * STEP), gradients(2 * STEP), strict=True)]
        exact = [(4 * n - f) / 3 for n, f in zip(near, far, strict=True)]
        scale = [np.full(e.shape, max(1.0, float(np.nanmax(np.abs(e), initial=0.0)))) for e in exact]
        # A kink in between shows: the two quotients differ.
        judged = [np.abs(n - f) <= 1e-4 * s for n, f, s in zip(near, far, scale, strict=True)]
    return wanted, directions, cotangent, exact, scale, judged


# --------------------------------------------------------------------------------------------------------------------
# All of it


class Job(NamedTuple):
    """A piece of work: what it is about, and how to do it."""

    loss: str
    backend: str
    what: str
    run: Callable[[], list[Result]]


def jobs(selection: Selection) -> list[Job]:
    """All the work of a selection, in the order of backends and losses."""
    work: list[Job] = []
    checks = selection.checks
    if "value and gradient" in checks and selection.module is None:
        for unit in units(selection):
            loss = selection.losses[unit.loss]
            work.append(Job(unit.loss, unit.backend, f"{unit.mode} {unit.dtype}", _call(run_unit, unit, loss)))
    for backend in selection.backends:
        framework = frameworks.framework(backend)
        modes = (
            framework.modes if selection.modes is None else tuple(m for m in selection.modes if m in framework.modes)
        )
        compilers = tuple(m for m in modes if m not in (*EAGER, "compile") or (selection.everything and m not in EAGER))
        unseen = compilers if framework.shows_values else (*modes[:1], *compilers)
        ledger = deviations.Ledger(deviations.load())
        for name, loss in selection.losses.items():
            if selection.module is not None:
                from . import user

                module = modules.load(selection.module)
                work.append(
                    Job(name, backend, "own", _all(user.check, name, loss, framework, selection.dtypes, module, modes))
                )
                continue
            if name not in data.LOSSES:
                work.append(Job(name, backend, "cases", _call(_no_cases, name, backend)))
                continue
            if "law" in checks and "eager" in modes and loss is not None and "float64" in selection.dtypes:
                from . import laws

                work.append(Job(name, backend, "laws", _all(laws.check, name, loss, framework)))
            if "kind of call" in checks and "eager" in modes and loss is not None:
                from . import kinds

                kinds_of = _all(kinds.check, name, loss, framework, selection.dtypes, modes)
                work.append(Job(name, backend, "kinds of calls", kinds_of))
            if "built-in" in checks and "eager" in modes and loss is not None:
                from . import twins

                arguments = (name, framework, selection.dtypes, ledger, selection.everything)
                work.append(Job(name, backend, "built-ins", _all(twins.run, *arguments)))
            if "error" in checks and "eager" in modes:
                work.append(Job(name, backend, "errors", _all(run_errors, name, loss, framework)))
            if "bad values while traced" in checks and unseen:
                work.append(Job(name, backend, "bad values", _all(run_traced_values, name, loss, framework, unseen)))
            if (
                "second order" in checks
                and framework.differentiates
                and "eager" in modes
                and "float64" in selection.dtypes
            ):
                work.append(Job(name, backend, "second order", _all(run_second_order, name, loss, framework)))
        if "built-in" in checks and "eager" in modes and selection.module is None and framework.shows_values:
            from . import twins

            complete = set(selection.losses) >= set(data.LOSSES) and set(selection.dtypes) >= set(framework.dtypes)
            if complete:
                work.append(Job("", backend, "recorded inputs", _all(twins.confirm, framework)))
            work.append(Job("", backend, "table of deviations", _call(twins.close, framework, ledger, complete)))
    return work


def _call(function: Callable[..., list[Result]], *arguments: Any) -> Callable[[], list[Result]]:
    return lambda: function(*arguments)


def _all(function: Callable[..., Iterator[Result]], *arguments: Any) -> Callable[[], list[Result]]:
    return lambda: list(function(*arguments))


def _no_cases(name: str, backend: str) -> list[Result]:
    return [Result(name, backend, "eager", "", "", "coverage", False, message=f"there is not one case for {name}")]


def run(selection: Selection, progress: Callable[[Job], None] | None = None) -> list[Result]:
    """Run a selection. See `run_jobs`."""
    return run_jobs(selection, jobs(selection), progress)


def run_jobs(selection: Selection, work: Sequence[Job], progress: Callable[[Job], None] | None = None) -> list[Result]:
    """Do the work of a selection.

    Raises
    ------
    ValueError
        If there is nothing to run: a comparison of nothing is no success.
    """
    if not work:
        raise ValueError("nothing was selected: no case fits these backends, losses and dtypes")
    results: list[Result] = []
    previous = work[0]
    for job in work:
        if progress is not None:
            progress(job)
        if (job.backend, job.loss) != (previous.backend, previous.loss):
            frameworks.framework(previous.backend).forget()
        previous = job
        results += job.run()
    return results + _covered(selection, results)


def _covered(selection: Selection, results: Sequence[Result]) -> list[Result]:
    """A loss and backend without a single comparison is a failure."""
    if "value and gradient" not in selection.checks:
        return []
    compared = {(r.loss, r.backend) for r in results if r.value is not None or not r.passed}
    return [
        Result(
            loss, backend, "eager", "", "", "coverage", False, message="nothing was compared: fewer than two parties"
        )
        for backend in selection.backends
        for loss in selection.losses
        if (loss, backend) not in compared
    ]


__all__ = ["Result", "Selection", "Unit", "jobs", "public_losses", "run", "select", "units"]
