"""The known differences of built-ins from the exact result, kept in ``deviations.toml``.

The table is strict. A difference that no entry covers is a failure; an entry whose difference does not occur any more
is one, and so is an entry that matches nothing.
"""

import importlib
import tomllib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import frameworks
from .builtins import FAMILIES
from .cases import DTYPES, Case, has_bfloat16, numpy_dtype

KINDS = ("value", "gradient", "nan", "error", "definition")
PARTS = ("value", "gradient")


class BuiltIn(Protocol):
    """What is asked of a `builtins.Twin`."""

    @property
    def id(self) -> str: ...
    @property
    def loss(self) -> str: ...
    def version(self) -> str: ...


@dataclass(frozen=True)
class Deviation:
    """One cause for which built-ins differ from the exact result.

    Parameters
    ----------
    builtin : tuple of str
        `Twin.id` of each built-in that it concerns. Each of them must show it.
    kind : str
        ``"value"`` or ``"gradient"``: off by more than rounding. ``"nan"``: not a number, or infinite where the exact
        result is finite. ``"error"``: raises, or accepts what it should not. ``"definition"``: computes something else.
    reason : str
        Why, in words for a user.
    cases : tuple of str
        Patterns (`fnmatch`) of the names of cases. Each of them must show it, in every built-in. Empty where no case
        can: rounding decides (`sometimes`), or the difference is in what is refused (`input`).
    sometimes : tuple of str
        Patterns of cases that may show it: rounding decides, or the machine.
    dtypes : tuple of str
        Each of them must show it.
    parts : tuple of str
        What deviates, ``"value"`` or ``"gradient"``. Each must show it in some case.
    loss : str or None
        Only as a built-in for this loss of polyloss.
    reductions : tuple of str
        Only in these; empty: in all.
    versions : str
        Of the package of the built-in, such as ``">=2.6,<3"``.
    link : str
        A public discussion.
    input, returns, exact : str
        A line that reproduces it, what it gives, and what it should: ``"error"``, or numbers. `reproduce` says what
        the line may use.
    """

    builtin: tuple[str, ...]
    kind: str
    reason: str
    cases: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = DTYPES
    parts: tuple[str, ...] = PARTS
    loss: str | None = None
    reductions: tuple[str, ...] = ()
    versions: str = ""
    link: str = ""
    input: str = ""
    returns: str = ""
    exact: str = ""

    def __post_init__(self) -> None:
        where = f"deviation of {', '.join(self.builtin)} ({self.reason[:40]})"
        if not self.builtin or not self.reason or not (self.cases or self.sometimes or self.input):
            raise ValueError(f"{where}: builtin, reason, and one of cases, sometimes and input must not be empty")
        if bool(self.input) != bool(self.returns) or bool(self.input) != bool(self.exact):
            raise ValueError(f"{where}: input, returns and exact come together")
        for name, found, known in (
            ("kind", (self.kind,), KINDS),
            ("parts", self.parts, PARTS),
            ("dtypes", self.dtypes, DTYPES),
        ):
            for value in found:
                if value not in known:
                    raise ValueError(f"{where}: {name} must be among {', '.join(known)}, got {value!r}")
        holds("0", self.versions)

    @property
    def family(self) -> str:
        """Whose built-in `input` calls."""
        names = {"F.": "torch", "keras.losses.": "keras", "optax.losses.": "optax", "tf.nn.": "tf"}
        return next((family for name, family in names.items() if name in self.input), self.builtin[0].partition(".")[0])

    @property
    def called(self) -> str:
        """The built-in that `input` calls, as it is named in `builtin`."""
        mine = [builtin for builtin in self.builtin if builtin.partition(".")[0] == self.family]
        return next(b for b in mine if f".{b.partition('.')[2].partition('(')[0]}(" in self.input)

    def covers(self, twin: BuiltIn, case: str, dtype: str, reduction: str, part: str) -> bool:
        """Whether this is an explanation of a difference there."""
        return (
            twin.id in self.builtin
            and self.loss in (None, twin.loss)
            and dtype in self.dtypes
            and part in self.parts
            and (not self.reductions or reduction in self.reductions)
            and any(fnmatchcase(case, pattern) for pattern in (*self.cases, *self.sometimes))
            and holds(twin.version(), self.versions)
        )


def load(path: Path | None = None) -> tuple[Deviation, ...]:
    """The table.

    Raises
    ------
    ValueError
        If an entry is not well formed.
    """
    known = {field.name: field for field in fields(Deviation)}
    found = []
    table = path or resources.files(__package__).joinpath("deviations.toml")  # a file, or in a zip
    for number, entry in enumerate(tomllib.loads(table.read_text("utf-8"))["deviation"], start=1):
        unknown = set(entry) - set(known)
        missing = {"builtin", "kind", "reason"} - set(entry)
        if unknown or missing:
            raise ValueError(f"deviation {number}: unknown {sorted(unknown)}, missing {sorted(missing)}")
        fixed: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
        found.append(Deviation(**fixed))
    return tuple(found)


def holds(version: str, condition: str) -> bool:
    """Whether a version meets a condition such as ``">=2.6,<3"``. Only the numbers before any suffix count."""
    for part in filter(None, map(str.strip, condition.split(","))):
        for sign in (">=", "<=", "==", ">", "<"):
            if part.startswith(sign):
                limit = _numbers(part.removeprefix(sign))
                found = _numbers(version)[: len(limit)]
                if not {
                    ">=": found >= limit,
                    "<=": found <= limit,
                    "==": found == limit,
                    ">": found > limit,
                    "<": found < limit,
                }[sign]:
                    return False
                break
        else:
            raise ValueError(f"a version condition must start with one of >= <= == > <, got {part!r}")
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.strip().split("+")[0].split("."):
        digits = "".join(c for c in part if c.isdigit())
        if not part[:1].isdigit():
            break
        numbers.append(int(digits))
    return tuple(numbers)


@dataclass
class _Tally:
    seen: int = 0
    deviated: int = 0


class Ledger:
    """What became of the entries of the table in one run."""

    def __init__(self, deviations: Sequence[Deviation]) -> None:
        self._deviations = tuple(deviations)
        self._versions: dict[str, str] = {}
        self._ran: set[tuple[str, str]] = set()
        self._tallies: dict[tuple[int, str, str, Any], _Tally] = {}

    def judge(
        self, twin: BuiltIn, case: Case | str, dtype: str, reduction: str, part: str, agrees: bool
    ) -> Deviation | None:
        """File a comparison of a built-in with the exact result.

        Returns
        -------
        Deviation or None
            The first entry that covers it. Where the built-in does not agree and there is none, it is a failure.
        """
        name = case if isinstance(case, str) else case.name
        self._versions[twin.id] = twin.version()
        self._ran.add((twin.id, dtype))
        covering = None
        for number, entry in enumerate(self._deviations):
            if not entry.covers(twin, name, dtype, reduction, part):
                continue
            covering = covering or entry
            matching = [("case", pattern) for pattern in entry.cases if fnmatchcase(name, pattern)]
            for what in (*matching, ("dtype", dtype), ("part", part)):
                tally = self._tallies.setdefault((number, twin.id, *what), _Tally())
                tally.seen += 1
                tally.deviated += not agrees
        return covering

    def add(self, other: "Ledger") -> None:
        """File what another ledger of the same table has."""
        self._versions |= other._versions
        self._ran |= other._ran
        for key, tally in other._tallies.items():
            mine = self._tallies.setdefault(key, _Tally())
            mine.seen += tally.seen
            mine.deviated += tally.deviated

    def problems(self, complete: bool = True) -> list[str]:
        """What is wrong with the table, after a run: each line is a failure.

        Parameters
        ----------
        complete : bool
            Whether every case ran, for the built-ins and the dtypes that ran at all. The table of a partial run
            cannot be judged.
        """
        if not complete:
            return []
        found = []
        for number, entry in enumerate(self._deviations):
            for builtin in entry.builtin:
                version = self._versions.get(builtin)
                if version is None or not entry.cases or not holds(version, entry.versions):
                    continue
                ran = [d for d in entry.dtypes if (builtin, d) in self._ran]
                marks = [("dtype", d) for d in ran]
                if len(ran) == len([d for d in entry.dtypes if d != "bfloat16" or has_bfloat16]):
                    marks += [("case", p) for p in entry.cases] + [("part", p) for p in entry.parts]
                for what, which in marks:
                    tally = self._tallies.get((number, builtin, what, which), _Tally())
                    if not tally.deviated:
                        said = "no longer occurs" if tally.seen else "matches nothing"
                        found.append(f"{builtin} {version}: {said} at {what} {which}: {entry.reason}")
        return found


def reproduce(entry: Deviation, *, builtin: bool) -> NDArray[Any]:
    """What the `input` of an entry gives.

    The line calls the built-in by its own name, such as ``F.huber_loss``, ``keras.losses.huber``, ``tf.nn.l2_loss``
    or ``optax.losses.log_cosh``, and its framework, as in ``torch.compile``. ``array(values, dtype="float32")`` and
    ``ids(values)`` make arrays, and ``grad(function, *arrays)`` is the gradient of the sum of a function with respect
    to its first array.

    Parameters
    ----------
    builtin : bool
        Call the built-in; otherwise the function of `polyloss.compat` with its signature.
    """
    name = entry.family
    family = FAMILIES[name]
    framework = frameworks.framework(family.backend)

    def array(values: Any, dtype: str = "float32") -> Any:
        return framework.array(np.asarray(values, dtype=numpy_dtype(dtype)))

    def grad(function: Callable[..., Any], *arrays: Any) -> Any:
        value = framework.numpy(function(*arrays))
        outcome = framework.step(function, {}, (0,), "eager")(arrays, {}, framework.array(np.ones_like(value)))
        return None if outcome.gradients is None else outcome.gradients[0]

    losses = family.load() if builtin else importlib.import_module(f"polyloss.compat.{name}")
    names = {
        family.backend: importlib.import_module(family.backend),
        "F": losses,
        "keras": SimpleNamespace(losses=losses),
        "optax": SimpleNamespace(losses=losses),
        "tf": SimpleNamespace(nn=losses),
        "array": array,
        "ids": lambda values: framework.array(np.asarray(values, dtype=np.int64)),
        "grad": grad,
        "inf": float("inf"),
        "nan": float("nan"),
    }
    return framework.numpy(eval(entry.input, names))


def confirm(entry: Deviation) -> str:
    """What is not so about the `input` of an entry, or nothing: the built-in must still be off, and its twin exact."""
    for builtin, expected in ((True, entry.returns), (False, entry.exact)):
        who = ("" if builtin else "polyloss.compat.") + entry.family
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found = np.asarray(reproduce(entry, builtin=builtin), dtype=np.float64)
        except Exception as error:
            if expected != "error":
                return f"{who}: {entry.input} raises {type(error).__name__}: {error}"
            continue
        if expected == "error":
            return f"{who}: {entry.input} gives {found.tolist()}, expected an error"
        wanted = np.asarray(eval(expected, {"inf": np.inf, "nan": np.nan}), dtype=np.float64)
        if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=2e-3, atol=0, equal_nan=True):
            return f"{who}: {entry.input} gives {found.tolist()}, expected {expected}"
    return ""
