"""Failures by their causes: what fails for one reason in many calls is told once, by the worst of them."""

import math
import re
from dataclasses import dataclass

from .result import Result
from .tolerances import EPS


@dataclass(frozen=True)
class Cause:
    """Failures of one loss that say the same: its backends, dtypes, modes and cases have it in common."""

    results: tuple[Result, ...]

    @property
    def example(self) -> Result:
        """The worst of them; of those that are as bad, the one in the dtype that rounds least."""
        return max(self.results, key=lambda r: (_error(r), -EPS.get(r.dtype, 0.0)))

    @property
    def where(self) -> list[str]:
        """A line for each backend, with its modes and their dtypes; and one with the cases, where there are several."""
        found: dict[str, dict[str, dict[str, None]]] = {}
        for r in self.results:
            found.setdefault(r.backend, {}).setdefault(r.mode, {})[r.dtype] = None
        lines = []
        for backend, modes in found.items():
            parts = (" ".join(filter(None, [mode, " ".join(dtypes)])) for mode, dtypes in modes.items())
            lines.append(f"{backend}: {', '.join(parts)}")
        cases = list(dict.fromkeys(r.case for r in self.results))
        if len(cases) > 1:
            more = f"; and {len(cases) - _CASES} more" if len(cases) > _CASES else ""
            lines.append(f"cases: {'; '.join(cases[:_CASES])}{more}")
        return lines


def _error(result: Result) -> float:
    """The error that a message speaks of, in units of its tolerance."""
    error = result.gradient if result.message.startswith("gradient") else result.value
    return 0.0 if error is None else math.inf if math.isnan(error) else error


_CASES = 4
"""So many are named."""
_LINE = re.compile(r" \(line \d+: .*\)$", re.DOTALL)
"""What a message ends with that knows the line of the kernel."""
_VARYING = re.compile(
    r"""(?:torch\.|<dtype:\ ')?\bb?float\d+\b(?:'>)?  # dtypes
    | (?<![\w.])[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan)\b  # numbers
    | \bgot\ \w+  # what a framework calls its arrays""",
    re.VERBOSE,
)
"""What differs where the cause does not."""
_LIST = re.compile(r"[\[(][#,\s\[\]()]*[\])]")
"""A list of such numbers, of any length."""


def cause(message: str) -> str:
    """What messages of one cause have in common: what kind of error it is and in which line, or all but numbers."""
    line = _LINE.search(message)
    if line is not None:
        return message.partition(":")[0] + line[0]
    return _LIST.sub("#", _VARYING.sub("#", message))
