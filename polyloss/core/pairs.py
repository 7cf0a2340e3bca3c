"""Losses of a batch whose examples see each other: each row of a matrix of scores is a choice among all of them."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from .backend import Named, backend_of
from .collectives import GroupOf
from .domains import Classes
from .entries import positions
from .fused import FusedLoss, kept_rows, namespace_of, scaled
from .kernel import BoundKernel, Definition
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
    """How many columns each member of a group has, where the examples are spread over one."""


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
        Makes the group that the examples are spread over, of an array.
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


def over_pairs(
    cost: Callable[..., KernelResult], of_cost: tuple[str, ...] = (), choices: Choices = of_partners
) -> OverPairs:
    """How a loss of the scores of all pairs is evaluated, of which `cost` is the loss of each row.

    `of_cost` are its parameters, and `choices` makes what it is called with.
    """
    return OverPairs(cost, of_cost, choices)
