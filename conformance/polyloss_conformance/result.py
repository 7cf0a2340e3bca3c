"""The outcome of a check: what the suite says of polyloss, and what reports are made of."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

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

CHECKS: tuple[Check, ...] = tuple(check for check in get_args(Check) if check != "coverage")
"""What can be asked for: that nothing was left out is looked at always."""
FIRST_CHECKS: tuple[Check, ...] = ("value and gradient", "second order", "error", "law")
"""What a newcomer is shown."""

Extent = Literal["quick", "first", "full", "all"]
"""How much is run: what a newcomer is shown, eagerly alone or under a compiler too; what a release passes; all."""

FIRST_SIGHT: tuple[Extent, ...] = ("quick", "first")

RECORDED = "recorded input"
"""The case that is the input in the table of deviations."""


_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What moves a cursor, or has no place in a file; lines and tabs are text."""


def printable(text: str) -> str:
    """A text that does nothing to a terminal or a file but stand there, whoever wrote it: the rest as escapes.

    Examples
    --------
    >>> print(printable("\\x1b[31mred"))
    \\x1b[31mred
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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
    seconds : float
        Its share of the time of the job that it was made in: together the results of a job have all of that.
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
    seconds: float = 0.0

    def __post_init__(self) -> None:
        # What a kernel raises is in all of these, and reports are made of them.
        for name in ("case", "message", "call", "note"):
            object.__setattr__(self, name, printable(getattr(self, name)))
