"""What is run in which mode: a table, and the units of work that come of it.

A *unit* is one function and its calls. Where nothing is compiled, every case is a unit of its own. Elsewhere, cases
that differ in nothing but their examples are packed: see `calls`.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from . import cases as data
from . import frameworks
from .calls import Key, is_long, pack_key
from .cases import Case
from .covering import cover, features
from .frameworks import EAGER
from .selection import Selection
from .tolerances import HALVES


class Unit(NamedTuple):
    """One function to be made, by compilation or not, and the calls of it.

    Where `packed`, each element of `calls` is packed into one call; otherwise there is one call with one case. Where
    `unoptimised`, the code that a compiler makes of it is not in question: see `Framework.step` and `hurry`.
    """

    loss: str
    backend: str
    mode: str
    dtype: str
    calls: tuple[tuple[Case, ...], ...]
    packed: bool
    unoptimised: bool = False

    @property
    def cases(self) -> list[Case]:
        return [case for call in self.calls for case in call]

    @property
    def in_one_piece(self) -> bool:
        """Whether it is compiled together with all others of the same loss, mode and dtype for which this holds."""
        return self.unoptimised and frameworks.framework(self.backend).slow_eager


class Alone(NamedTuple):
    """Which cases are called as they stand, with their own reduction, where others are packed.

    Parameters
    ----------
    names : tuple of str
        Patterns of their names.
    losses : tuple of str
        Of these losses; empty: of all.
    unpackable : bool
        Only those that cannot be packed.
    """

    names: tuple[str, ...] = ("*",)
    losses: tuple[str, ...] = ()
    unpackable: bool = False

    def has(self, case: Case, key: Key | None) -> bool:
        return (
            any(fnmatchcase(case.name, name) for name in self.names)
            and case.loss in (self.losses or (case.loss,))
            and not (self.unpackable and key is not None)
        )


@dataclass(frozen=True)
class Share:
    """Which of the cases of a loss are run in one mode and dtype.

    Parameters
    ----------
    every : bool
        Each case is a call of its own, and nothing is packed. Of the rest of this only `meet` and `long` count then.
    parameters : tuple of bool
        Which functions are called with packed cases: those without parameters (False), those with some (True).
    unpackable : bool
        Cases that cannot be packed are called as well.
    reduced : tuple of str
        And cases with a reduction, of these losses.
    ends : bool
        Of functions whose parameters differ in their values alone, the first and the last stand for all.
    meet : int or None
        Of all these, only as many as `covering.cover` chooses so that every so many features meet: two or one.
    optimised : {"all", "first", "none"}
        Which of those are compiled as users have it, and the others in the quickest way: all; the first, which is one
        that stands there alone; or none.
    largest : bool
        Of the batches of a function the largest alone: each other shape is a compilation.
    long : bool
        Cases with more elements than are ever packed are called too.
    single : bool
        One class or feature is a batch as any other, not a compilation of its own.
    alone : tuple of Alone
        What is called as it stands, whatever is chosen.
    """

    every: bool = False
    parameters: tuple[bool, ...] = (False, True)
    unpackable: bool = False
    reduced: tuple[str, ...] = ()
    ends: bool = False
    meet: int | None = None
    optimised: Literal["all", "first", "none"] = "all"
    largest: bool = False
    long: bool = True
    single: bool = True
    alone: tuple[Alone, ...] = ()


_LONG = "mean_*"
_THOROUGH = ("mse", "cross_entropy")
"""One elementwise and one row-wise loss: their reductions are chosen from where compilation makes each call dear."""

_ALL = Share(every=True)
_ALL_BUT_LONG = Share(every=True, long=False)
_SOME = Share(every=True, meet=2)
_SOME_BUT_LONG = Share(every=True, meet=2, long=False)
_REDUCTIONS = (
    Alone(("default_reduction", "everything_masked"), losses=_THOROUGH),
    Alone(("masked_weighted_mean", _LONG)),
)
_OVER_A_BATCH = Alone(("ordinary_1d", "masked_mean", "symmetric_mean", "learned_temperature"), unpackable=True)
_SELDOM = (Alone(("masked_weighted_mean", _LONG), losses=_THOROUGH), _OVER_A_BATCH)
_DEAR = (Alone(("masked_weighted_mean", _LONG)), _OVER_A_BATCH)

SCHEDULE: dict[tuple[str, str], dict[str, Share]] = {
    ("", "eager"): {"half": _ALL, "float32": _ALL, "float64": _ALL},
    # Half precision is never computed in blocks: it would be the same once more.
    # Thousands of blocks show nothing that a few do not.
    ("", "small blocks"): {"float32": _ALL_BUT_LONG, "float64": _ALL_BUT_LONG},
    ("", "whole arrays"): {"float32": _ALL, "float64": _SOME},
    # Of two halves, which are computed in the same way, one has every case.
    ("torch", "eager"): {"bfloat16": _ALL, "float16": _SOME, "float32": _ALL, "float64": _ALL},
    # Here every call takes its time, blocks are computed by NumPy, and halves as whole arrays in float32.
    ("tensorflow", "eager"): {"half": _SOME, "float32": _ALL, "float64": _SOME},
    ("tensorflow", "small blocks"): {"float32": _SOME_BUT_LONG, "float64": _SOME_BUT_LONG},
    ("tensorflow", "whole arrays"): {"float32": _ALL, "float64": _ALL},
    # Here every call of another shape is a compilation: together they are a quick one.
    ("jax", "eager"): {
        # Of the loss of one dtype, each kind of argument; of two halves, one has those.
        "bfloat16": Share(ends=True, meet=1, optimised="none", largest=True, alone=_DEAR),
        "float16": Share(parameters=(False,), ends=True, meet=1, optimised="none", largest=True, alone=_SELDOM),
        "float32": Share(unpackable=True, reduced=_THOROUGH, optimised="first", alone=_REDUCTIONS),
        "float64": Share(ends=True, meet=1, optimised="none", largest=True, alone=_DEAR),
    },
    # What is compiled is the same with `jit` and without.
    ("jax", "jit"): {"float32": Share(ends=True, meet=1, largest=True, alone=_SELDOM)},
    # torch has a full compiler, for the default parameters. All others are traced, values and gradients.
    ("torch", "aot_eager"): {
        "float32": Share(parameters=(True,), unpackable=True, ends=True, meet=1, single=False),
    },
    ("torch", "compile"): {
        "float32": Share(
            parameters=(False,),
            ends=True,
            single=False,
            alone=(_OVER_A_BATCH, Alone(("masked_weighted_mean", "mean_of_262144_tenths"), losses=("l1", *_THOROUGH))),
        ),
    },
    ("tensorflow", "function"): {"float32": Share(unpackable=True, ends=True, meet=1, alone=_DEAR)},
    # What it makes of a graph, by the compiler that JAX has too: there, its code is looked at.
    ("tensorflow", "xla"): {
        "float32": Share(parameters=(False,), ends=True, optimised="none", largest=True, alone=_SELDOM)
    },
    # Code is made by the compiler of C++, which takes its time.
    ("mlx", "compile"): {"float32": Share(ends=True, meet=1, largest=True, alone=_SELDOM)},
}
"""By framework (any, where there is none) and mode, then dtype, "half" for each that has no line of its own. What has
no line is not run. Compilers see one dtype: float32, if it is selected."""

# All that a first sight asks JAX for eagerly in one dtype: packs, with the traps in them.
_PACKED = Share(
    ends=True,
    meet=1,
    optimised="none",
    largest=True,
    single=False,
    alone=(Alone(("ordinary_1d",), unpackable=True),),
)
# Proof that a mode or a dtype works at all: one call with all that the core does.
_ONE = Share(
    parameters=(),
    optimised="none",
    alone=(Alone(("masked_weighted_mean",)), Alone(("masked_mean",), unpackable=True)),
)

FIRST: dict[tuple[str, str], dict[str, Share]] = {
    ("numpy", "eager"): {"half": _SOME, "float32": _ALL, "float64": _ALL},
    ("", "eager"): {"half": _ONE, "float32": _ALL, "float64": _ONE},
    ("jax", "eager"): {"half": _ONE, "float32": _PACKED, "float64": _ONE},
    ("jax", "jit"): {"float32": _ONE},
    ("torch", "aot_eager"): {"float32": _ONE},
    ("tensorflow", "function"): {"float32": _ONE},
    ("mlx", "compile"): {"float32": _ONE},
}
"""The same for a first sight. What losses compute is seen on NumPy, in both dtypes; of another framework every call in
float32, of JAX as many as have each kind of argument, and that the other dtypes and a compiler work. Both halves are
computed in float32, so that one shows it."""


def share_of(selection: Selection, backend: str, mode: str, dtype: str) -> Share | None:
    """The line of the table for a mode and a dtype; None where nothing is run."""
    kind = "half" if dtype in HALVES else dtype
    if selection.extent == "all":
        return None if mode in EAGER[1:] and kind == "half" else _ALL
    table = FIRST if selection.at_first_sight else SCHEDULE
    if table is FIRST and kind == "half":
        *_, shown = (half for half in HALVES if half in selection.dtypes and half in frameworks.dtypes(backend))
        if dtype != shown:
            return None
    lines = table.get((backend, mode), table.get(("", mode), {}))
    if mode in EAGER:
        return lines.get(dtype, lines.get(kind))
    only = "float32" if "float32" in selection.dtypes else selection.dtypes[0]
    return lines.get("float32") if dtype == only else None


def units(selection: Selection) -> list[Unit]:
    """The calls that compare values and gradients."""
    found: list[Unit] = []
    for backend in selection.backends:
        framework = frameworks.framework(backend)
        for mode in framework.modes if selection.modes is None else selection.modes:
            if mode not in framework.modes:
                continue
            for loss in selection.losses:
                entry = data.LOSSES.get(loss)
                if entry is None:
                    continue
                # Of others, nothing is evaluated in blocks: what is eager is computed as whole arrays are.
                in_blocks = not entry.batch and entry.letters == 1
                if mode in EAGER[1:] and not in_blocks:
                    continue
                for dtype in (dtype for dtype in framework.dtypes if dtype in selection.dtypes):
                    share = share_of(selection, backend, mode, dtype)
                    whole = EAGER[-1] in framework.modes and share_of(selection, backend, EAGER[-1], dtype) == _ALL
                    if mode == "eager" and not in_blocks and whole:
                        share = _ALL
                    if share is not None:
                        found += _units(share, backend, mode, loss, dtype)
    return found


def pieces(selection: Selection) -> list[list[Unit]]:
    """The same, those that are compiled together in one list."""
    found: dict[Any, list[Unit]] = {}
    for number, unit in enumerate(units(selection)):
        key = (unit.loss, unit.backend, unit.mode, unit.dtype, None if unit.in_one_piece else number)
        found.setdefault(key, []).append(unit)
    return list(found.values())


def _units(share: Share, backend: str, mode: str, loss: str, dtype: str) -> list[Unit]:
    """What of a loss is called in a mode: first what stands there alone, then what may be chosen from."""
    entry = data.LOSSES[loss]
    groups: dict[tuple[Any, ...], dict[Key, list[Case]]] = {}
    alone: list[Unit] = []
    found: list[Unit] = []
    for case in data.CASES[loss]:
        if case.kind == "error" or dtype not in case.dtypes:
            continue
        if is_long(case) and not share.long:
            continue
        key = None if share.every else pack_key(case, dtype, entry)
        unit = Unit(loss, backend, mode, dtype, ((case,),), packed=False)
        if share.every and share.meet:
            found.append(unit)
        elif share.every or any(one.has(case, key) for one in share.alone):
            alone.append(unit)
        elif (share.unpackable and key is None and not fnmatchcase(case.name, _LONG)) or (
            loss in share.reduced and case.options.get("reduction") != "none"
        ):
            found.append(unit)
        if (
            key is not None
            and bool(key.static or key.arrays) in share.parameters
            and (share.single or 1 not in key.lengths[:1])
        ):
            groups.setdefault(key.group, {}).setdefault(key, []).append(case)
    alike: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for group in groups:
        static, *rest = group
        alike.setdefault((tuple(name for name, _ in static), *rest), []).append(group)
    for same in alike.values():
        for group in dict.fromkeys((same[0], same[-1]) if share.ends else same):
            members = sorted(groups[group].values(), key=len, reverse=True)
            calls = tuple(map(tuple, members[:1] if share.largest else members))
            found.append(Unit(loss, backend, mode, dtype, calls, packed=True))
    if share.meet:
        chosen = cover([features(unit.cases, dtype, entry, unit.packed) for unit in found], share.meet)
        found = [found[place] for place in chosen]
    found = alone + found
    optimised = {"all": len(found), "first": 1, "none": 0}[share.optimised]
    return [unit._replace(unoptimised=place >= optimised) for place, unit in enumerate(found)]
