"""What is said of an error: in our words where its cause is known, with the line of the kernel, and in few lines."""

import linecache
import os
import re
import traceback
from typing import Any

from polyloss_conformance.declared import losses_of

_LENGTH = 400

_BRANCHES = re.compile(
    r"truth value|Boolean value of Tensor|Python `?bool|TracerBool|data-dependent branching"
    r"|data-dependent expression .*size-like symbols: none",
    re.IGNORECASE,
)
"""What the frameworks and their compilers say of an array in the place of a condition."""


def told(error: Exception, loss: Any) -> str:
    """What went wrong in a call of a loss, and in which line of its kernel's file."""
    whole = str(error).strip()
    text = f"{type(error).__name__}: {whole[:_LENGTH]}"
    if _BRANCHES.search(whole):
        text = "a kernel cannot branch on values by if, while, and, or, not: xp.where chooses, and & and | join"
    for file in _files(loss):
        lines = [frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        # A compiler has run the kernel in its own way, and tells where that was.
        quoted = rf'(?:File "{re.escape(file)}", line |{re.escape(os.path.basename(file))}:)(\d+)'
        lines = lines or [int(line) for line in re.findall(quoted, whole)]
        if lines:
            linecache.checkcache(file)
            return f"{text} (line {lines[-1]}: {linecache.getline(file, lines[-1]).strip()})"
    return text


def _files(loss: Any) -> list[str]:
    """The files of the kernels in a loss, or in a sum of losses."""
    codes = (getattr(term.kernel, "__code__", None) for term in losses_of(loss))
    return list(dict.fromkeys(code.co_filename for code in codes if code is not None))
