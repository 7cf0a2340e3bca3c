"""Rows of which a block is seen at a time: blocks travel round a ring of members, and nobody ever has a whole row.

No formula is written down for that. A kernel that reduces rows is run on each block until it comes to a reduction of
whose result not every block has been seen. What it has found of it then is added up on the way round the ring, and the
next round comes to the next reduction: as many rounds as the kernel reduces rows.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from .backend import Named, backend_of, stop_gradient
from .collectives import Alone, Group
from .typing import Array

T = TypeVar("T")
Combine = Callable[[Array, Array], Array]


class UnknownTotal(Exception):  # noqa: N818
    """A kernel came to a reduction of rows of which the blocks before and behind have not been seen."""

    def __init__(self, partial: Array, combine: Combine) -> None:
        super().__init__()
        self.partial, self.combine = partial, combine


class Blocks(Alone):
    """The group that rows are split over whose blocks are seen one after the other, with all that is known of them."""

    def __init__(self, known: Sequence[Array], start: Array) -> None:
        self._known, self._start = iter(known), start

    def sum(self, array: Array) -> Array:
        return self._total(array, operator.add)

    replicated_sum = sum

    def maximum(self, array: Array) -> Array:
        return self._total(stop_gradient(array), backend_of(array).namespace(array).maximum)

    def offset_and_length(self, part: int) -> tuple[Any, Any]:
        return self._start, None

    def _total(self, partial: Array, combine: Combine) -> Array:
        for total in self._known:
            return total
        raise UnknownTotal(partial, combine)


class Ring(Generic[T]):
    """Blocks on their way round a group.

    Parameters
    ----------
    group : Group
    run : callable
        What to find of a block, where some totals are known. May raise `UnknownTotal`.
    """

    def __init__(self, group: Group, run: Callable[[Named, Sequence[Array]], T]) -> None:
        self._group, self._run, self._known = group, run, list[Array]()

    def first(self, block: Named) -> T:
        """What there is to find of this member's own block, once all totals are known."""
        while True:
            found, unknown = self._tried(block)
            if unknown is None:
                assert found is not None
                return found
            self._known.append(self._total(unknown, block))

    def others(self, add: Callable[[Any, Named, T], tuple[Any, Named]], so_far: Any, block: Named) -> tuple[Any, Named]:
        """What becomes of results and of the block, when the others come by; then the block is at home again."""

        def step(so_far: Any, block: Named) -> tuple[Any, Named]:
            block = self._group.shift(block)
            return add(so_far, block, self._run(block, self._known))

        so_far, block = self._group.repeat(self._group.size - 1, step, so_far, block)
        return so_far, self._group.shift(block)

    def _tried(self, block: Named) -> tuple[T | None, tuple[Array, Combine] | None]:
        try:
            return self._run(block, self._known), None
        except UnknownTotal as stopped:
            return None, (stopped.partial, stopped.combine)

    def _total(self, first: tuple[Array, Combine], block: Named) -> Array:
        partial, combine = first

        def step(total: Array, block: Named) -> tuple[Array, Named]:
            block = self._group.shift(block)
            _, other = self._tried(block)
            assert other is not None
            return combine(total, other[0]), block

        return self._group.repeat(self._group.size - 1, step, partial, block)[0]
