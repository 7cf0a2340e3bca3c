"""What is to be run: names that a user gives, and what they stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import cases as data
from . import frameworks, modules
from .result import CHECKS, FIRST_CHECKS, FIRST_SIGHT, Check, Extent


@dataclass(frozen=True)
class Selection:
    """What to run. Names are checked: one that is unknown, or that leaves nothing to do, is an error."""

    backends: tuple[str, ...]
    losses: Mapping[str, Any]
    dtypes: tuple[str, ...] = data.DTYPES
    extent: Extent = "full"
    modes: tuple[str, ...] | None = None
    module: str | None = None
    checks: tuple[Check, ...] = CHECKS

    @property
    def at_first_sight(self) -> bool:
        """Whether it is what a newcomer is shown: one of each kind, where others have all."""
        return self.extent in FIRST_SIGHT


def select(
    backends: Sequence[str] = (),
    losses: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    *,
    extent: Extent = "full",
    module: str | None = None,
) -> Selection:
    """A selection by names. Nothing named is everything that is there.

    Raises
    ------
    ValueError
        For a name that is not known, or not installed; the message lists those that are.
    """
    shipped = {**dict.fromkeys(data.LOSSES), **modules.public_losses()}
    known, others = shipped, dict[str, str]()
    if module is not None:
        found = modules.load(module)
        known, others = dict(modules.own_losses(found)), modules.not_checked(found)
    chosen = _known("dtype", dtypes, data.DTYPES)
    there = frameworks.installed()
    named = _known("backend", backends, there)
    able = [name for name in named if set(frameworks.dtypes(name)) & set(chosen)]
    idle = [f"{name} in {', '.join(frameworks.dtypes(name))}" for name in named if name not in able]
    if idle and (backends or not able):
        raise ValueError(f"nothing to run in {', '.join(chosen)}: the suite calls {'; '.join(idle)}")
    for name in losses:
        if name in others:
            raise ValueError(f"{name} is not checked: it is {others[name]}")
    return Selection(
        tuple(able),
        {name: known[name] for name in _known("loss", losses, tuple(known))},
        chosen,
        extent,
        ("eager",) if extent == "quick" else None,
        module,
        FIRST_CHECKS if extent in FIRST_SIGHT else CHECKS,
    )


def _known(what: str, names: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no {what} called {', '.join(unknown)} here; there is {', '.join(known)}")
    return tuple(dict.fromkeys(names)) or known


_CHOSEN: tuple[Extent, ...] = ("quick", "full", "all")


def extent_of(quick: bool, full: bool, everything: bool, *, own: bool) -> Extent:
    """How much is run. A user's own losses are few: all of it, where nothing is said."""
    chosen: list[Extent] = [name for name, given in zip(_CHOSEN, (quick, full, everything), strict=True) if given]
    if len(chosen) > 1:
        raise ValueError("--quick, --full and --all exclude each other")
    return chosen[0] if chosen else "full" if own else "first"
