"""Losses of a batch whose examples see each other: each row of a matrix of scores is a choice among all of them."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from .backend import Named, backend_of
from .collectives import Group, GroupOf, SplitRows
from .domains import Classes
from .entries import positions
from .fused import FusedLoss, kept_rows, namespace_of, scaled
from .kernel import BoundKernel, Definition
from .ring import Blocks, Ring
from .typing import Array, KernelResult, Namespace


class Side(NamedTuple):
    """The vectors of one side of all pairs, and the gradient of what they were made of from that by them."""

    vectors: Array
    pull: Callable[[Array], Array] = lambda by_vectors: by_vectors


class Examples(NamedTuple):
    """Those that choose, the rows of scores, or those that they choose among, the columns."""

    vectors: Array
    labels: Array | None
    mask: Array | None
    start: Any = 0
    """The place of the first one: other members of a group may have those before."""


class Way(NamedTuple):
    """In which way one chooses: some examples among others."""

    rows: Examples
    columns: Examples
    sides: tuple[int, int] = (0, -1)
    """Those of rows and of columns, by their places."""
    counts: Any = None
    """How many columns each member of a group has, where the examples are split over one."""


Choices: TypeAlias = Callable[[Namespace, Array, Examples, Examples, Mapping[str, Any]], tuple[Array, ...]]
"""Makes what a cost is called with, of the scores, their rows and columns, and the parameters that are no arrays: rows
of scores, and which of them are right."""


@dataclass(frozen=True)
class Pairs(FusedLoss):
    """The losses of all rows or, where they have shares, the sum of them times their shares.

    The score of a pair is the product of the vectors of both, divided by the parameter `temperature`, if there is one.
    With a parameter `symmetric`, the columns choose among the rows too, and the loss is the mean of both.

    Parameters
    ----------
    name : str
        That of the loss.
    sides : callable
        A function of the namespace, the arrays and the parameters. Returns a `Side` for the rows and one for the
        columns, made of the first and of the second array of numbers; or a single one of examples that are compared
        with each other.
    choices : callable
        Makes what the cost is called with.
    cost : callable
        A row-wise kernel of that.
    of_cost : tuple of str
        Its parameters.
    inputs : int
        How many of the arrays are those of the loss.
    ids : tuple of str
        Those of them that hold labels, and so have no gradient: those of the rows, and of columns that have their own.
    group_of : callable or None
        Makes the group that the examples are split over, of an array.
    parameters : tuple
        Name and value of each parameter that is no array.
    names : tuple of str
        What the arrays are, in their order: inputs and, where there are any, share, parameters, mask.
    """

    name: str
    sides: Callable[..., tuple[Side, ...]]
    choices: Choices
    cost: Callable[..., KernelResult]
    of_cost: tuple[str, ...]
    inputs: int
    ids: tuple[str, ...]
    group_of: GroupOf | None
    parameters: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]

    @property
    def closed(self) -> tuple[bool, ...]:
        """All gradients are found with the value."""
        return tuple(name not in ("mask", *self.ids) for name in self.names)

    @property
    def fixed(self) -> tuple[Any, ...]:
        """What it is made of, besides `parameters` and `names`."""
        return self.name, self.sides, self.choices, self.cost, self.of_cost, self.inputs, self.ids, self.group_of

    def forward(self, arrays: Sequence[Array], wanted: Sequence[bool]) -> tuple[Array, Any]:
        """The value and, of a sum, its gradients."""
        call = self._named(arrays)
        losses, gradients = self._evaluated(call, call.get("share"), self._chosen(wanted) if self.scalar else ())
        if not self.scalar:
            # The backward pass finds the gradients by itself, with what comes from upstream.
            return losses, {}
        return namespace_of(call).sum(call["share"] * losses), gradients | {"share": losses}

    def backward(
        self, arrays: Sequence[Array], kept: Any, upstream: Array, wanted: Sequence[bool]
    ) -> Sequence[Array | None]:
        """The gradients that are wanted."""
        chosen = self._chosen(wanted)
        if self.scalar:
            gradients = {name: scaled(kept[name], upstream) for name in chosen}
        else:
            _, gradients = self._evaluated(self._named(arrays), upstream, chosen)
        return [gradients.get(name) for name in self.names]

    def plain(self, *arrays: Array) -> Array:
        """The value, for the framework to differentiate."""
        call = self._named(arrays)
        xp = namespace_of(call)
        losses = self._plain_losses(xp, call)
        return xp.sum(call["share"] * losses) if self.scalar else losses

    def tangent(self, arrays: Sequence[Array], tangents: Sequence[Array | None]) -> Array | None:
        """The change of the value, where the arrays change by `tangents`; None where `plain` is to be asked."""
        if not self.scalar:
            return None
        moving = [change is not None for change in tangents]
        xp = namespace_of(self._named(arrays))
        value, kept = self.forward(arrays, moving)
        found = self.backward(arrays, kept, xp.ones_like(value), moving)
        pairs = [(g, change) for g, change in zip(found, tangents, strict=True) if g is not None and change is not None]
        return sum((xp.sum(gradient * change) for gradient, change in pairs), start=xp.zeros_like(value))

    def _plain_losses(self, xp: Namespace, call: Named) -> Array:
        backend, given = backend_of(call[self.names[0]]), self._arrays_of_cost(call)
        directions = self._directions(xp, call, self._sides(xp, call))
        losses: Any = 0.0
        for way, scores in directions:
            choices = self.choices(xp, scores, way.rows, way.columns, dict(self.parameters))
            cost = BoundKernel(self.cost, len(choices), self._constants_of_cost(), tuple(given))
            losses = losses + backend.attach(cost, (*choices, *given.values()))
        return kept_rows(xp, call, losses / len(directions))

    def _evaluated(self, call: Named, share: Array | None, chosen: Sequence[str]) -> tuple[Array, Named]:
        """The losses, and the gradients of the sum of all times their shares."""
        xp = namespace_of(call)
        sides = self._sides(xp, call)
        directions = self._directions(xp, call, sides)
        parameters = self._of_cost(call)
        losses: Any = 0.0
        found = []
        for way, scores in directions:
            choices = self.choices(xp, scores, way.rows, way.columns, dict(self.parameters))
            value, *slopes = self.cost(xp, *choices, **parameters)
            losses = losses + value
            found.append(slopes)
        losses = kept_rows(xp, call, losses / len(directions))
        wanted = [name for name in chosen if name != "share"]
        if share is None or not wanted:
            return losses, {}
        by_scores = []
        gradients: Named = {}
        for slope, *others in found:
            by_scores.append(kept_rows(xp, call, share[..., None] * slope()))
            for name in self.of_cost:
                if name in wanted:
                    by_row = kept_rows(xp, call, share * others[-1][name]()) / len(directions)
                    gradients[name] = gradients.get(name, 0.0) + xp.sum(by_row)
        pulls = self._pulls(xp, call, sides, directions, by_scores)
        return losses, gradients | {name: pulls[name]() for name in wanted if name not in self.of_cost}

    def _pulls(
        self,
        xp: Namespace,
        call: Named,
        sides: Sequence[Side],
        directions: Sequence[tuple[Way, Array]],
        slopes: Sequence[Array],
    ) -> dict[str, Callable[[], Array]]:
        """What makes the gradients of the arrays and the temperature, from those by scores."""
        ((rows, columns, *_), scores), *turned = directions
        slope = (slopes[0] + xp.matrix_transpose(slopes[1])) / 2 if turned else slopes[0]
        over = functools.partial(self._over_temperature, call)

        def by_themselves() -> Array:
            return sides[0].pull(over((slope + xp.matrix_transpose(slope)) @ rows.vectors))

        def by_rows() -> Array:
            return sides[0].pull(over(slope @ columns.vectors))

        def by_columns() -> Array:
            return sides[1].pull(over(xp.matrix_transpose(slope) @ rows.vectors))

        by_sides = (by_themselves,) if len(sides) == 1 else (by_rows, by_columns)
        return dict(zip(self._compared, by_sides, strict=True)) | {"temperature": lambda: over(-xp.sum(slope * scores))}

    def _directions(self, xp: Namespace, call: Named, sides: Sequence[Side]) -> list[tuple[Way, Array]]:
        """In which directions one chooses."""
        rows, columns = self._examples(call, sides)
        scores = self._scores(xp, call, rows, columns)
        one = Way(rows, columns), scores
        return [one, (Way(columns, rows), xp.matrix_transpose(scores))] if self._is_symmetric else [one]

    @property
    def _is_symmetric(self) -> bool:
        return bool(dict(self.parameters).get("symmetric"))

    @property
    def _compared(self) -> list[str]:
        """The names of the arrays that sides are made of."""
        return [name for name in self.names[: self.inputs] if name not in self.ids]

    def _sides(self, xp: Namespace, call: Named) -> tuple[Side, ...]:
        own = {name: value for name, value in self.parameters if name not in self.of_cost}
        return self.sides(xp, *(call[name] for name in self.names[: self.inputs]), **own)

    def _examples(self, call: Named, sides: Sequence[Side]) -> tuple[Examples, Examples]:
        """Rows and columns. Columns with labels of their own are other examples than those that count or do not."""
        labels, mask = [call[name] for name in self.ids] or [None], call.get("mask")
        rows = Examples(sides[0].vectors, labels[0], mask)
        return rows, Examples(sides[-1].vectors, labels[-1], None if len(labels) > 1 else mask)

    def _scores(self, xp: Namespace, call: Named, rows: Examples, columns: Examples) -> Array:
        return self._over_temperature(call, rows.vectors @ xp.matrix_transpose(columns.vectors))

    def _over_temperature(self, call: Named, array: Array) -> Array:
        temperature = call.get("temperature", dict(self.parameters).get("temperature"))
        return array if temperature is None else array / temperature

    def _constants_of_cost(self) -> tuple[tuple[str, Any], ...]:
        return tuple((name, value) for name, value in self.parameters if name in self.of_cost)

    def _arrays_of_cost(self, call: Named) -> Named:
        """The parameters of the cost that are arrays."""
        return {name: call[name] for name in call if name in self.of_cost}

    def _of_cost(self, call: Named) -> Named:
        return dict(self._constants_of_cost()) | self._arrays_of_cost(call)


class SplitPairs(Pairs):
    """The same of examples that are split over a group: each member's own among those of all members.

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


class GatheredPairs(SplitPairs):
    """Split examples whose columns are gathered: each member has the scores of its own rows and all columns."""

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


class RingPairs(SplitPairs):
    """Split examples whose columns travel round a ring: each member has the scores of as many as one member has."""

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


def of_partners(
    xp: Namespace, scores: Array, rows: Examples, columns: Examples, parameters: Mapping[str, Any]
) -> tuple[Array, ...]:
    """Rows of scores, and the place of the right one: each example has one partner, at its own place.

    What is masked chooses nothing, and nobody chooses it.
    """
    if rows.mask is not None and columns.mask is not None:
        scores = xp.where(columns.mask[None, ...], scores, -xp.inf)
        scores = xp.where(rows.mask[..., None], scores, 0.0)
    return scores, positions(xp, scores, 0, xp.int32) + rows.start


def by_label(
    xp: Namespace, scores: Array, rows: Examples, columns: Examples, parameters: Mapping[str, Any]
) -> tuple[Array, Array, Array]:
    """Rows of scores, and which pairs are alike, by equal labels, and which differ.

    An example and itself, or another at its place, are not alike, unless the loss has a parameter `remove_diagonal`
    that is false. What is masked is neither alike nor different.
    """
    assert rows.labels is not None
    assert columns.labels is not None
    alike = rows.labels[..., None] == columns.labels[None, ...]
    positive, negative = alike, ~alike
    if parameters.get("remove_diagonal", True):
        own = positions(xp, scores, 0, xp.int32) + rows.start
        others = positions(xp, scores, 1, xp.int32) + columns.start
        positive = positive & (own[..., None] != others[None, ...])
    if rows.mask is not None:
        counted = rows.mask[..., None]
        if columns.mask is not None:
            counted = counted & columns.mask[None, ...]
        positive, negative = positive & counted, negative & counted
    return scores, positive, negative


@dataclass(frozen=True)
class OverPairs:
    """How a loss of the scores of all pairs is evaluated. See `over_pairs`."""

    cost: Callable[..., KernelResult]
    of_cost: tuple[str, ...]
    choices: Choices
    kind: type[Pairs] = Pairs
    group_of: GroupOf | None = None

    def __call__(self, loss: Definition, parameters: tuple[tuple[str, Any], ...], names: tuple[str, ...]) -> Pairs:
        ids = tuple(name for name in loss.arrays if isinstance(loss.domains.get(name), Classes))
        made_of = self.choices, self.cost, self.of_cost, len(loss.arrays), ids, self.group_of
        return self.kind(loss.__name__, loss.kernel, *made_of, parameters, names)

    def over(self, group_of: GroupOf, *, ring: bool = False) -> "OverPairs":
        """The same of examples that are split over a group; with `ring`, their columns are never gathered."""
        return replace(self, kind=RingPairs if ring else GatheredPairs, group_of=group_of)


def over_pairs(
    cost: Callable[..., KernelResult], of_cost: tuple[str, ...] = (), choices: Choices = of_partners
) -> OverPairs:
    """How a loss of the scores of all pairs is evaluated, of which `cost` is the loss of each row.

    `of_cost` are its parameters, and `choices` makes what it is called with.
    """
    return OverPairs(cost, of_cost, choices)
