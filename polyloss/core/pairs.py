"""Losses of a batch whose examples see each other: each row of a matrix of scores is a choice among all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .backend import Named, backend_of
from .domains import Classes
from .entries import positions
from .fused import FusedLoss, kept_rows, namespace_of, scaled
from .kernel import BoundKernel, Definition, Fuse
from .typing import Array, KernelResult, Namespace

Choices: TypeAlias = Callable[[Namespace, Array, Named, Sequence[str], Mapping[str, Any]], tuple[Array, ...]]
"""Makes what a cost is called with, of the scores, the arrays of the call, the names of those that are ids, and the
parameters that are no arrays: rows of scores, and which of them are right."""


@dataclass(frozen=True)
class Pairs(FusedLoss):
    """The losses of all rows or, where they have shares, the sum of them times their shares.

    Parameters
    ----------
    name : str
        That of the loss.
    scores : callable
        A function of the namespace, the arrays and the parameters. Returns the scores of all pairs and, for each array
        of numbers and in a dict for parameters, a function that makes its gradient of that by the scores.
    choices : callable
        Makes what the cost is called with.
    cost : callable
        A row-wise kernel of that.
    of_cost : tuple of str
        Its parameters. The others are those of the scores.
    inputs : int
        How many of the arrays are those of the loss.
    ids : tuple of str
        Those of them that hold ids, and so have no gradient.
    parameters : tuple
        Name and value of each parameter that is no array.
    names : tuple of str
        What the arrays are, in their order: inputs and, where there are any, share, parameters, mask.
    """

    name: str
    scores: Callable[..., Any]
    choices: Choices
    cost: Callable[..., KernelResult]
    of_cost: tuple[str, ...]
    inputs: int
    ids: tuple[str, ...]
    parameters: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]

    @property
    def closed(self) -> tuple[bool, ...]:
        """All gradients are found with the value."""
        return tuple(name not in ("mask", *self.ids) for name in self.names)

    @property
    def fixed(self) -> tuple[Any, ...]:
        """What it is made of, besides `parameters` and `names`."""
        return self.name, self.scores, self.choices, self.cost, self.of_cost, self.inputs, self.ids

    def forward(self, arrays: Sequence[Array], wanted: Sequence[bool]) -> tuple[Array, Any]:
        """The value and, of a sum, its gradients."""
        call = self._named(arrays)
        losses, gradients = self._evaluated(call, call.get("share"), self._chosen(wanted) if self.scalar else ())
        if not self.scalar:
            return losses, None
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
        xp, backend = namespace_of(call), backend_of(arrays[0])
        scores, _ = self._scores(xp, call)
        given, losses = self._of_cost(call), 0.0
        for turned in self._turns():
            choices = self._choices(xp, call, scores, turned)
            cost = BoundKernel(self.cost, len(choices), self._constants_of_cost(), tuple(given))
            losses = losses + backend.attach(cost, (*choices, *given.values()))
        losses = kept_rows(xp, call, losses / len(self._turns()))
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

    def _turns(self) -> list[bool]:
        """In which directions one chooses: of the first array among the second, and of the second among the first."""
        return [False, True] if dict(self.parameters).get("symmetric") else [False]

    def _scores(self, xp: Namespace, call: Named) -> tuple[Array, Named]:
        inputs = list(call)[: self.inputs]
        others = ("share", "mask", *self.of_cost)
        given = {name: call[name] for name in list(call)[self.inputs :] if name not in others}
        given |= {name: value for name, value in self.parameters if name not in others}
        scores, *pulls = self.scores(xp, *(call[name] for name in inputs), **given)
        by_parameter = pulls.pop() if pulls and isinstance(pulls[-1], Mapping) else {}
        return scores, dict(zip((name for name in inputs if name not in self.ids), pulls, strict=True)) | by_parameter

    def _choices(self, xp: Namespace, call: Named, scores: Array, turned: bool) -> tuple[Array, ...]:
        return self.choices(
            xp, xp.matrix_transpose(scores) if turned else scores, call, self.ids, dict(self.parameters)
        )

    def _constants_of_cost(self) -> tuple[tuple[str, Any], ...]:
        return tuple((name, value) for name, value in self.parameters if name in self.of_cost)

    def _of_cost(self, call: Named) -> Named:
        """The parameters of the cost that are arrays."""
        return {name: call[name] for name in call if name in self.of_cost}

    def _evaluated(self, call: Named, share: Array | None, chosen: Sequence[str]) -> tuple[Array, Named]:
        """The losses, and the gradients of the sum of all times their shares."""
        xp, turns = namespace_of(call), self._turns()
        scores, pulls = self._scores(xp, call)
        losses: Any = 0.0
        found = []
        for turned in turns:
            parameters = dict(self._constants_of_cost()) | self._of_cost(call)
            value, *slopes = self.cost(xp, *self._choices(xp, call, scores, turned), **parameters)
            losses = losses + value
            found.append(slopes)
        losses = kept_rows(xp, call, losses / len(turns))
        by_arrays = [name for name in chosen if name != "share"]
        if share is None or not by_arrays:
            return losses, {}
        by_scores: Any = 0.0
        gradients: Named = {}
        for turned, (slope, *others) in zip(turns, found, strict=True):
            by_rows = kept_rows(xp, call, share[..., None] * slope())
            by_scores = by_scores + (xp.matrix_transpose(by_rows) if turned else by_rows)
            for name in self.of_cost:
                if name in by_arrays:
                    by_row = kept_rows(xp, call, share * others[-1][name]()) / len(turns)
                    gradients[name] = gradients.get(name, 0.0) + xp.sum(by_row)
        by_scores = by_scores / len(turns)
        return losses, gradients | {name: pulls[name](by_scores) for name in by_arrays if name not in self.of_cost}


def of_partners(
    xp: Namespace, scores: Array, call: Named, ids: Sequence[str], parameters: Mapping[str, Any]
) -> tuple[Array, ...]:
    """Rows of scores, and the place of the right one: each example has one partner, at its own place.

    What is masked chooses nothing, and nobody chooses it.
    """
    if "mask" in call:
        scores = xp.where(call["mask"][None, ...], scores, -xp.inf)
        scores = xp.where(call["mask"][..., None], scores, 0.0)
    return scores, positions(xp, scores, 0, xp.int32)


def by_label(
    xp: Namespace, scores: Array, call: Named, ids: Sequence[str], parameters: Mapping[str, Any]
) -> tuple[Array, Array, Array]:
    """Rows of scores, and which pairs are alike, by equal labels, and which differ.

    The first ids are the labels of the rows, the last those of the columns: of the examples themselves or of others. An
    example and itself, or another at its place, are not alike, unless the loss has a parameter `remove_diagonal` that
    is false. What is masked is neither alike nor different.
    """
    alike = call[ids[0]][..., None] == call[ids[-1]][None, ...]
    positive, negative = alike, ~alike
    if parameters.get("remove_diagonal", True):
        rows, columns = positions(xp, scores, 0, xp.int32), positions(xp, scores, 1, xp.int32)
        positive = positive & (rows[..., None] != columns[None, ...])
    if "mask" in call:
        counted = call["mask"][..., None]
        if ids[0] == ids[-1]:
            counted = counted & call["mask"][None, ...]
        positive, negative = positive & counted, negative & counted
    return scores, positive, negative


def over_pairs(
    cost: Callable[..., KernelResult], of_cost: tuple[str, ...] = (), choices: Choices = of_partners
) -> Fuse:
    """How a loss of the scores of all pairs is evaluated, of which `cost` is the loss of each row.

    `of_cost` are its parameters, and `choices` makes what it is called with.
    """

    def fuse(loss: Definition, parameters: tuple[tuple[str, Any], ...], names: tuple[str, ...]) -> Pairs:
        ids = tuple(name for name in loss.arrays if isinstance(loss.domains.get(name), Classes))
        return Pairs(loss.__name__, loss.kernel, choices, cost, of_cost, len(loss.arrays), ids, parameters, names)

    return fuse
