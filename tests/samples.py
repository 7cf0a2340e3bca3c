"""Calls of losses with what the cases of the suite have for them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from polyloss_conformance import calls, cases
from polyloss_conformance.covering import cover, features

Sample = tuple[list[Any], dict[str, Any], dict[str, Any]]


def samples(name: str, dtypes: tuple[str, ...]) -> Iterator[Sample]:
    """Calls of a loss in which every two features meet: arrays, what is constant, and the keywords that are arrays."""
    for dtype in dtypes:
        small = [
            case
            for case in cases.CASES[name]
            if case.kind != "error" and dtype in case.dtypes and max(map(np.size, case.arrays)) <= 1000
        ]
        for place in cover([features([case], dtype, cases.LOSSES[name], packed=False) for case in small]):
            given = small[place].at(dtype)
            static, options = calls.split({**given.parameters, **given.options})
            yield list(given.arrays), static, options
