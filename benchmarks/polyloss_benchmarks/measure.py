"""Time as a ratio of two interleaved functions, peak memory, and the bandwidth of the machine."""

import contextlib
import ctypes
import gc
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], Any]
MIN_PAIRS = 7
MAX_PAIRS = 101
LONG_S = 1.5
"""Pairs that take longer are measured but three times."""
SLICE_S = 1e-3
"""A side is repeated for so long before the other one follows, so that the clock does not matter."""


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Parameters
    ----------
    ratio : float
        The median of the ratios of neighbours, ours / theirs.
    quartiles : tuple of float
        The first and the third quartile of the ratios.
    ours, theirs : float
        Median seconds of one call.
    pairs : int
        How many ratios there are.
    """

    ratio: float
    quartiles: tuple[float, float]
    ours: float
    theirs: float
    pairs: int


def compare(ours: Call, theirs: Call, seconds: float, clock: Callable[[], float] = time.perf_counter) -> Comparison:
    """Time two functions in turns for about so many seconds. Both have run before."""
    with _no_collection():
        first = once(ours, clock), once(theirs, clock)
        both = sum(first)
        repeats = math.ceil(2 * SLICE_S / both)
        least = MIN_PAIRS if both < LONG_S else 3
        pairs = min(MAX_PAIRS, max(least, int(seconds / (repeats * both))))
        times = [[took] if repeats == 1 else [] for took in first]
        for pair in range(len(times[0]), pairs):
            # A side that is always second would profit from the caches that the first one has filled.
            for side in (0, 1) if pair % 2 else (1, 0):
                times[side].append(_time((ours, theirs)[side], repeats, clock))
    ratios = [a / b for a, b in zip(*times, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Comparison(ratio, (low, high), statistics.median(times[0]), statistics.median(times[1]), pairs)


def once(function: Call, clock: Callable[[], float]) -> float:
    """Roughly the seconds of a call."""
    repeats = 1
    while (took := _time(function, repeats, clock)) * repeats < SLICE_S / 4:
        repeats *= 4
    return took


def _time(function: Call, repeats: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(repeats):
        function()
    return (clock() - start) / repeats


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


MEMORY_RESOLUTION = 2 << 20
"""What the kernel's counters are off by, and a huge page."""
PLAIN_ALLOCATOR = {"MALLOC_ARENA_MAX": "1"}
"""Environment of a process in which `peak_memory` is right: glibc can only trim its main arena as a whole."""
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(function: Call, tries: int = 3) -> int | None:
    """Bytes by which the resident memory grows at most in a call, its result included. None where that is unknown.

    The median of some tries. It needs an allocator that gives back what it keeps: see `PLAIN_ALLOCATOR`.
    """
    found = []
    for _ in range(tries):
        try:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            _RESET.write_text("5")  # takes the present size as the peak
            before = _resident("VmRSS")
            result = function()
            found.append(_resident("VmHWM") - before)
            del result
        except (OSError, AttributeError):
            return None
    return max(0, statistics.median_low(found))


def _resident(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {key} in {_STATUS}")


def bandwidth(threads: int | None = None, mebibytes: int = 256, tries: int = 5) -> float:
    """Bytes per second that go through memory when all cores copy: read and written ones."""
    threads = threads or available_cores()
    size = (mebibytes << 20) // threads // 8
    parts = [(np.ones(size), np.zeros(size)) for _ in range(threads)]

    def copy(part: Sequence[Any]) -> None:
        np.copyto(part[0], part[1])

    best = math.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(tries + 1):
            start = time.perf_counter()
            list(pool.map(copy, parts))
            best = min(best, time.perf_counter() - start)
    return 2 * 8 * size * threads / best


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
