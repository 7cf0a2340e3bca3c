"""How the arrays of a call become rows.

The rows of a call are those of its kernel, or more: what belongs to several examples stays together.
"""

import math
from typing import Any

from polyloss.core.backend import Named
from polyloss.core.plan import Plan

from .dialect import Dialect, Shape
from .symbols import ROWS, UntraceableError

_ROW = 1 << 15
"""Elements of a row that stay together for the sake of a weight or a parameter."""
_OF_EXAMPLES = ("sample_weight", "where")


class Layout:
    """How an array of a call becomes rows, and what a row is.

    Attributes
    ----------
    axis : tuple of int
        The axes of a row, which are to be the last ones, where they are not.
    shape : tuple of int
        The shape with all axes, that of a row last.
    blocked : bool
        Whether there are rows, and not one array for all.
    rows, tail : tuple of int
        The number of rows, and the shape of each.
    target : tuple of int
        The shape as rows.
    lengths : tuple
        The same, as symbols have it.
    """

    __slots__ = ("axis", "blocked", "lengths", "rows", "shape", "tail", "target")

    def __init__(self, axis: tuple[int, ...], shape: Shape, rows: Shape, tail: Shape) -> None:
        self.axis, self.shape, self.rows, self.tail = axis, shape, rows, tail
        self.blocked, self.target = bool(rows), rows + tail
        self.lengths = (ROWS, *tail) if rows else tail

    def moves(self, array: Any) -> bool:
        """Whether anything has to be done to `array`, so that it is rows."""
        return bool(self.axis) or tuple(array.shape) != self.target

    def __call__(self, array: Any, dialect: Dialect) -> Any:
        """The rows of `array`: a view where there is one."""
        if self.axis:
            array = dialect.moved(array, self.axis, tuple(range(-len(self.axis), 0)))
        if array.shape != self.shape:
            if self.blocked:
                array = array.reshape((*array.shape, *(1,) * (len(self.shape) - array.ndim)))
            array = dialect.spread(array, self.shape)
        return array if array.shape == self.target else array.reshape(self.target)


def layouts_of(plan: Plan, named: Named) -> list[Layout]:
    """How each array becomes rows.

    Weights and masks belong to the first axes, parameters to the last ones. So there is an axis in between: what is
    before it are rows, what is behind it is within a row.
    """
    count = len(plan.loss.arrays)
    inputs, options = plan.names[:count], plan.names[count:]
    first = tuple(named[inputs[0]].shape)
    examples = tuple(length for place, length in enumerate(first) if place not in plan.axis)
    entry = tuple(first[axis] for axis in plan.axis)
    if len(plan.loss.row) > 1:
        raise UntraceableError("rows with several axes")
    split = len(examples) if plan.axis else _split(named, options, len(examples))
    moved = () if plan.axis == tuple(range(len(examples), len(first))) else plan.axis
    whole = (math.prod(entry),) if plan.axis else ()
    rows, tail = (math.prod(examples[:split]),), examples[split:]
    if math.prod(tail) > _ROW:
        raise UntraceableError("rows too long for blocks")
    inner = (math.prod(tail),) if tail else ()
    layouts = []
    for name in inputs:
        if plan.axis and named[name].ndim == len(first):
            layouts.append(Layout(moved, examples + entry, rows, whole))
        else:
            layouts.append(Layout((), examples, rows, inner))
    for name in options:
        ndim = named[name].ndim
        if not ndim:
            layouts.append(Layout((), (), (), ()))
        elif name in _OF_EXAMPLES and ndim <= split:
            layouts.append(Layout((), examples[:split], rows, ()))
        elif plan.axis:
            layouts.append(Layout((), entry, (), entry))
        elif name in _OF_EXAMPLES or ndim == len(examples):
            layouts.append(Layout((), examples, rows, inner))
        else:
            layouts.append(Layout((), tail, (), inner))
    return layouts


def _split(named: Named, options: tuple[str, ...], axes: int) -> int:
    """How many of the axes of the examples are before that one."""
    leading = trailing = 0
    for name in options:
        ndim = named[name].ndim
        if ndim < axes and name in _OF_EXAMPLES:
            leading = max(leading, ndim)
        elif ndim < axes:
            trailing = max(trailing, ndim)
    split = leading or axes - trailing
    if axes - split < trailing:
        raise UntraceableError("parameters and weights of one axis")
    return split
