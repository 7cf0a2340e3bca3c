"""What a type checker sees in a kernel. Nobody runs this file: mypy and pyright read it (tox -e types).

An error that is expected carries an ignore for both; an ignore that nothing needs is an error in itself.
"""

from typing import Unpack

import polyloss
from polyloss.core.typing import Array, KernelResult, Namespace


@polyloss.elementwise
def right(
    xp: Namespace, prediction: Array, target: Array, *, delta: float = 1.0, **call: Unpack[polyloss.Call]
) -> KernelResult:
    """Names, keywords and positions as they are."""
    error = prediction - target
    slope = xp.clip(error, -delta, delta)
    total = xp.sum(xp.abs(slope), axis=-1, keepdims=True, dtype=xp.float32)
    capped = xp.clip(xp.where(total > 0, xp.log1p(total), 0.0), None, float(xp.finfo(total.dtype).max))
    return capped + xp.full_like(error, xp.inf), lambda: slope, lambda: -slope


@polyloss.elementwise
def wrong(xp: Namespace, prediction: Array, target: Array, **call: Unpack[polyloss.Call]) -> KernelResult:
    """One mistake a line."""
    # No such function, or not on every framework.
    xp.summ(prediction)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    xp.relu(target)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    xp.absolute(target)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    # Another library's word for a keyword; a keyword that is missing; one that came by position.
    xp.sum(target, dim=-1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    xp.max(target, axis=-1, keepdim=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    xp.take(target, prediction)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    xp.sum(target, -1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    # Arguments of the wrong type.
    xp.sum(target, axis="last")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    xp.sort(target, axis=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    # A dtype is no function, and a function no dtype.
    xp.inf(target)  # type: ignore[operator]  # pyright: ignore[reportCallIssue]
    return prediction - target, lambda: target
