"""Losses of a batch whose examples are spread over a group, and see those of all members."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .backend import Named, backend_of
from .collectives import Group, GroupOf, SplitRows
from .fused import kept_rows, namespace_of
from .pairs import Examples, OverPairs, Pairs, Side, Way
from .ring import Blocks, Ring
from .typing import Array, Namespace


class SpreadPairs(Pairs):
    """The losses of examples that are spread over a group: each member's own among those of all members.

    The value is that of a member's own examples: its part of the sum. Gradients by its arrays are those of the sum of
    all members' values, where the gradient by the value is the same for all; those by parameters are of its own value.
    """

    def _group(self, call: Named) -> Group:
        assert self.group_of is not None
        return self.group_of(call[self.names[0]])

    def _ways(self, group: Group, call: Named, sides: Sequence[Side]) -> list[Way]:
        lengths = group.lengths({name: call.get(name) for name in (*self.names[: self.inputs], "mask")})
        counts = [lengths[name] for name in (self._compared[0], self._compared[-1])]
        rows, columns = (
            one._replace(start=group.start(count))
            for one, count in zip(self._examples(call, sides), counts, strict=True)
        )
        way = Way(rows, columns, (0, -1), counts[1])
        return [way, Way(columns, rows, (-1, 0), counts[0])] if self._is_symmetric else [way]


class GatheredPairs(SpreadPairs):
    """Spread examples whose columns are gathered: each member has the scores of its own rows and all columns."""

    def _directions(self, xp: Namespace, call: Named, sides: Sequence[Side]) -> list[tuple[Way, Array]]:
        group, found = self._group(call), []
        for way in self._ways(group, call, sides):
            *parts, _ = way.columns
            columns = Examples(*(None if part is None else group.gather(part, way.counts) for part in parts))
            found.append((way._replace(columns=columns), self._scores(xp, call, way.rows, columns)))
        return found

    def _pulls(
        self,
        xp: Namespace,
        call: Named,
        sides: Sequence[Side],
        directions: Sequence[tuple[Way, Array]],
        slopes: Sequence[Array],
    ) -> dict[str, Callable[[], Array]]:
        group, over = self._group(call), functools.partial(self._over_temperature, call)
        pairs = list(zip(directions, slopes, strict=True))

        def by_side(place: int) -> Array:
            total: Any = 0.0
            for (way, _), slope in pairs:
                of_rows, of_columns = (sides[side] is sides[place] for side in way.sides)
                if of_rows:
                    total = total + slope @ way.columns.vectors
                if of_columns:
                    total = total + group.reduce_scatter(xp.matrix_transpose(slope) @ way.rows.vectors, way.counts)
            return sides[place].pull(over(total / len(pairs)))

        pulls: dict[str, Callable[[], Array]] = {
            name: functools.partial(by_side, place) for place, name in enumerate(self._compared)
        }
        by_scores = [(slope, scores) for (_, scores), slope in pairs]
        return pulls | {
            "temperature": lambda: over(-sum(xp.sum(slope * scores) for slope, scores in by_scores) / len(pairs))
        }


class RingPairs(SpreadPairs):
    """Spread examples whose columns travel round a ring: each member has the scores of as many as one member has."""

    def _plain_losses(self, xp: Namespace, call: Named) -> Array:
        return self._evaluated(call, None, ())[0]

    def _evaluated(self, call: Named, share: Array | None, chosen: Sequence[str]) -> tuple[Array, Named]:
        xp, group = namespace_of(call), self._group(call)
        sides = self._sides(xp, call)
        ways = self._ways(group, call, sides)
        wanted = () if share is None else tuple(name for name in chosen if name != "share")
        weights = None if share is None or not wanted else share / len(ways)
        losses: Any = 0.0
        by_vectors: list[Any] = [0.0] * len(sides)
        by_parameters: Named = {}
        for way in ways:
            ring = Ring(group, functools.partial(self._of_block, xp, call, way.rows, weights, wanted))
            block = {name: part for name, part in way.columns._asdict().items() if part is not None}
            block["start"] = backend_of(way.rows.vectors).asarray(way.columns.start, way.rows.vectors, xp.int32)
            found = ring.first(block)
            losses = losses + found.pop("losses")
            if not wanted:
                continue
            block["by_columns"] = found.pop("by_columns")
            so_far, block = ring.others(_add, found, block)
            for place, gradient in zip(way.sides, (so_far.pop("by_rows"), block["by_columns"]), strict=True):
                by_vectors[place] = by_vectors[place] + gradient
            for name, gradient in so_far.items():
                by_parameters[name] = by_parameters.get(name, 0.0) + gradient
        for name, side, gradient in zip(self._compared, sides, by_vectors, strict=True):
            if name in wanted:
                by_parameters[name] = side.pull(gradient)
        return kept_rows(xp, call, losses / len(ways)), by_parameters

    def _of_block(
        self,
        xp: Namespace,
        call: Named,
        rows: Examples,
        weights: Array | None,
        wanted: Sequence[str],
        block: Named,
        known: Sequence[Array],
    ) -> Named:
        """The losses of rows, of which a block of columns is here; and what the block adds to gradients, of the sum of
        the losses times weights."""
        columns = Examples(block["vectors"], block.get("labels"), block.get("mask"), block["start"])
        scores = self._scores(xp, call, rows, columns)
        choices = self.choices(xp, scores, rows, columns, dict(self.parameters))
        blocks = Blocks(known, columns.start)
        within = SplitRows(xp, lambda _: blocks, scores, self.name)
        losses, slope, *others = self.cost(within, *choices, **self._of_cost(call))
        if weights is None:
            return {"losses": losses}
        by_scores = kept_rows(xp, call, weights[..., None] * slope())
        # Sums over whole rows: the first block alone adds them.
        found = {
            name: xp.sum(kept_rows(xp, call, weights * others[-1][name]())) for name in self.of_cost if name in wanted
        }
        over = functools.partial(self._over_temperature, call)
        if "temperature" in wanted:
            found["temperature"] = over(-xp.sum(by_scores * scores))
        by_rows, by_columns = by_scores @ columns.vectors, xp.matrix_transpose(by_scores) @ rows.vectors
        return found | {"losses": losses, "by_rows": over(by_rows), "by_columns": over(by_columns)}


def _add(so_far: Named, block: Named, found: Named) -> tuple[Named, Named]:
    """Gradients by rows and by the temperature stay, and those by columns travel with these."""
    of_blocks = {name: so_far[name] + found[name] for name in ("by_rows", "temperature") if name in so_far}
    return so_far | of_blocks, block | {"by_columns": block["by_columns"] + found["by_columns"]}


def spread(pairs: OverPairs, group_of: GroupOf, *, ring: bool) -> OverPairs:
    """`pairs` of examples that are spread over a group; with `ring`, their columns are never gathered."""
    return replace(pairs, kind=RingPairs if ring else GatheredPairs, group_of=group_of)
