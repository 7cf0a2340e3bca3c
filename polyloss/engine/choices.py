"""Choices between two arrays, made of operations on bits: they take the same time whatever is chosen."""

from typing import Any

import numpy as np

from .graph import Graph, is_zero
from .symbols import BOOL, COMPARING, Shape, Symbol, UntraceableError

_BITS: dict[Any, tuple[Any, int]] = {
    np.dtype(kind): (np.dtype(f"i{np.dtype(kind).itemsize}"), -(2 ** (8 * np.dtype(kind).itemsize - 1)))
    for kind in ("i4", "u4", "f4", "i8", "u8", "f8")
}
"""For each dtype that there is a choice of: the one of its bits, and the bit of its sign."""


def has_choice(dtype: Any) -> bool:
    """Whether there is a choice between arrays of this dtype."""
    return dtype == BOOL or dtype in _BITS


def choose(trace: Graph, condition: Symbol, yes: Symbol, no: Symbol, shape: Shape) -> Symbol:
    """`yes` where the condition is True, `no` elsewhere. `shape` is the common one. A zero may have either sign."""
    apply, dtype = trace.apply, yes.dtype
    if dtype == BOOL:
        return apply("logical_or", apply("logical_and", condition, yes), apply("logical_and", ~condition, no))
    bits, sign = _BITS[dtype]
    if dtype.kind == "f" and _compares_with_0("less_equal", condition, no) and is_zero(yes):
        # The positive part of a number, or NaN.
        return apply("clip", no, 0.0, np.inf)
    if yes.op == "subtract" and no.op == "negative" and yes.args[1] is no.args[0] and yes.args[0].op == "constant":
        # number - x or -x: the choice is that of the number.
        number = choose(trace, condition, yes.args[0], trace.constant(0, (), dtype), condition.lengths)
        return apply("subtract", number, no.args[0])
    raw_yes, raw_no = trace.view(yes, yes.lengths, bits), trace.view(no, no.lengths, bits)
    opposite = _negates(yes, no) or _negates(no, yes)
    if opposite and dtype.kind == "f" and _compares_with_0("greater", condition, no):
        # -|x|
        chosen = apply("bitwise_or", raw_no, sign)
    elif is_zero(yes):
        chosen = apply("bitwise_and", raw_no, _mask(trace, "unmask", condition, bits))
    elif is_zero(no):
        chosen = apply("bitwise_and", raw_yes, _mask(trace, "mask", condition, bits))
    else:
        # Of a number and its negative, only the sign is chosen.
        different = sign if opposite else apply("bitwise_xor", raw_yes, raw_no)
        # Where something else is chosen by the same condition, by the same mask.
        op, kept = ("unmask", raw_yes) if (condition, bits) in trace.unmasks else ("mask", raw_no)
        changed = apply("bitwise_and", different, _mask(trace, op, condition, bits))
        chosen = apply("bitwise_xor", changed, kept)
    if chosen.lengths != shape:
        raise UntraceableError("where of a constant")
    return trace.view(chosen, shape, dtype)


def _mask(trace: Graph, op: str, condition: Symbol, bits: Any) -> Symbol:
    if op == "unmask":
        trace.unmasks.add((condition, bits))
    if condition.op in COMPARING:
        return trace.make(op, condition.args, condition.lengths, bits, condition.op)
    return trace.make(op, (condition,), condition.lengths, bits)


def _negates(one: Symbol, other: Symbol) -> bool:
    return one.op == "negative" and one.args[0] is other


def _compares_with_0(op: str, condition: Symbol, x: Symbol) -> bool:
    return condition.op == op and condition.args[0] is x and is_zero(condition.args[1])
