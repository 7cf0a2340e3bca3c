"""Exact results are found once in a process, and what one process has found of a loss, later ones read."""

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from polyloss_conformance.case import Case

Result = TypeVar("Result")

_MEMORIES: dict[str, dict[tuple[Any, ...], Any]] = {}
"""By the name of a function, what it returned for a case and the words beside it."""


def remembered(function: Callable[..., Result]) -> Callable[..., Result]:
    """The same function of a case (and of words), each of whose results is found once."""
    memory = _MEMORIES.setdefault(f"{function.__module__}.{function.__qualname__}", {})

    @wraps(function)
    def found(case: Case, *words: str) -> Result:
        if (case, *words) not in memory:
            memory[case, *words] = function(case, *words)
        result: Result = memory[case, *words]
        return result

    return found


@contextmanager
def kept_in(file: Path, cases: Sequence[Case]) -> Iterator[None]:
    """Know what a file holds of some cases, and leave in it what is found meanwhile."""
    own, by_name = set(cases), {case.name: case for case in cases}
    read = _read(file)
    for (which, name, *words), result in read.items():
        _MEMORIES[which].setdefault((by_name[name], *words), result)
    yield
    known = {
        (which, case.name, *words): result
        for which, memory in _MEMORIES.items()
        for (case, *words), result in memory.items()
        if case in own
    }
    if len(known) > len(read):
        # Another process may have written meanwhile, or be reading.
        new = file.with_suffix(f".{os.getpid()}")
        new.write_bytes(pickle.dumps(_read(file) | known))
        new.replace(file)


def _read(file: Path) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = pickle.loads(file.read_bytes()) if file.exists() else {}
    return found
