"""How the operations of a block are written down in NumPy."""

from typing import Any

import numpy as np

PIECE = 512
"""Products that are added one by one."""
ROW = 1024
"""The longest row whose products are."""
_LARGE = 1 << 14
"""Elements from which on a sum is a sum of products with 1."""

TEMPLATES = {
    "clip": ("{a[0]}.clip({a[1]}, {a[2]}, {out})",),
    "maximum": ("maximum({all}, out={out})",),
    "minimum": ("minimum({all}, out={out})",),
    "cast": ("copyto({out}, {a[0]}, 'unsafe')",),
    "full": ("copyto({out}, {a[0]})",),
    "mask": ("copyto({out}, {a[0]})", "negative({out}, {out})"),
    "mask.compared": ("{compare}({all}, {flag})", "copyto({out}, {flag})", "negative({out}, {out})"),
    "unmask": ("copyto({out}, {a[0]})", "subtract({out}, 1, {out})"),
    "unmask.compared": ("{compare}({all}, {flag})", "copyto({out}, {flag})", "subtract({out}, 1, {out})"),
    "chosen": ("equal({all}, {out})",),
    "index": ("add({all}, {out})",),
    "pick": ("{a[0]}.reshape(-1).take({a[1]}, None, {out}.reshape(-1), 'clip')",),
    "put": ("{out}.reshape(-1)[{a[2]}] = {a[1]}.reshape(-1)",),
    "add.reduce": ("sum_rows({a[0]}, {out})",),
    "dot.reduce": ("vecdot({all}, {out}[..., 0])",),
    "maximum.reduce": ("max_rows({a[0]}, -1, None, {out}, True)",),
    "minimum.reduce": ("min_rows({a[0]}, -1, None, {out}, True)",),
    "logical_or.reduce": ("any_row({a[0]}, -1, None, {out}, True)",),
    "logical_and.reduce": ("all_row({a[0]}, -1, None, {out}, True)",),
}
"""Lines of code for an operation.

``{a[0]}``, ``{a[1]}`` ... are the operands, ``{all}`` all of them; ``{out}`` is where the result goes, ``{flag}``
memory of its shape for booleans, and ``{compare}`` the comparison that a mask is of.
"""

OTHER = ("{op}({all}, {out})",)
"""The template of any other operation."""


def _outside(array: Any, low: Any, high: Any) -> bool:
    """Whether not all of `array` is known to be within limits."""
    return not (array.min() >= low and array.max() <= high)


def _sum_rows(array: Any, out: Any) -> None:
    if array.shape[-1] <= ROW:
        np.vecdot(array, _ones[array.dtype][: array.shape[-1]], out[..., 0])
    else:
        np.add.reduce(array, axis=-1, out=out, keepdims=True)


def _total(array: Any) -> float:
    if array.size % PIECE or array.size < _LARGE:
        return float(np.add.reduce(array, None))
    return float(np.add.reduce(np.vecdot(array.reshape(-1, PIECE), _ones[array.dtype][:PIECE])))


def _dot(one: Any, other: Any) -> float:
    """The sum of products: short dot products, which are then added in pairs. A long one would add one by one."""
    if one.size % PIECE == 0:
        return float(np.add.reduce(np.vecdot(one.reshape(-1, PIECE), other.reshape(-1, PIECE))))
    one, other = one.reshape(-1), other.reshape(-1)
    whole = one.size - one.size % PIECE
    total = float(np.add.reduce(one[whole:] * other[whole:]))
    return total + _dot(one[:whole], other[:whole]) if whole else total


FUNCTIONS = {name: function for name, function in vars(np).items() if isinstance(function, np.ufunc)} | {
    "copyto": np.copyto,
    "dot": _dot,
    "total": _total,
    "sum_rows": _sum_rows,
    "max_rows": np.maximum.reduce,
    "min_rows": np.minimum.reduce,
    "any_row": np.logical_or.reduce,
    "all_row": np.logical_and.reduce,
    "any_of": np.ndarray.any,
    "outside": _outside,
}
"""What the code calls."""

_ones = {np.dtype(kind): np.ones(ROW, kind) for kind in (np.float32, np.float64)}
"""Products with 1 are added faster than numbers are."""
