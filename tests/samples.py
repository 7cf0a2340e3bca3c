"""Calls of losses with what the cases of the suite have for them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from polyloss_conformance import calls, cases

Sample = tuple[list[Any], dict[str, Any], dict[str, Any]]


def samples(name: str, dtypes: tuple[str, ...]) -> Iterator[Sample]:
    """One call of each kind among the cases of a loss: arrays, what is constant, and the keywords that are arrays."""
    seen = set()
    for case in cases.CASES[name]:
        if case.kind == "error" or max(np.size(array) for array in case.arrays) > 1000:
            continue
        for dtype in sorted(set(case.dtypes) & set(dtypes)):
            given = case.at(dtype)
            static, options = calls.split({**given.parameters, **given.options})
            named = tuple((key, array.dtype.kind, array.ndim) for key, array in options.items())
            kind = (dtype, *((a.dtype.kind, a.ndim) for a in given.arrays), named, repr(sorted(static.items())))
            if kind not in seen:
                seen.add(kind)
                yield list(given.arrays), static, options
