"""Losses of a batch whose examples see each other: each row of a matrix of scores is a choice among all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .backend import Named, backend_of
from .entries import positions
from .fused import FusedLoss, kept_rows, namespace_of, scaled
from .kernel import BoundKernel, Definition, Fuse
from .typing import Array, KernelResult, Namespace


@dataclass(frozen=True)
class Pairs(FusedLoss):
    """The losses of all rows or, where they have shares, the sum of them times their shares.

    Parameters
    ----------
    name : str
        That of the loss.
    scores : callable
        A function of the namespace, the arrays and the parameters. Returns the scores of all pairs and, for each array
        and in a dict for parameters, a function that makes its gradient of that by the scores.
    cost : callable
        A row-wise kernel of scores and the place of the right one.
    inputs : int
        How many of the arrays are those of the loss.
    parameters : tuple
        Name and value of each parameter that is no array.
    names : tuple of str
        What the arrays are, in their order: inputs and, where there are any, share, parameters, mask.
    """

    name: str
    scores: Callable[..., Any]
    cost: Callable[..., KernelResult]
    inputs: int
    parameters: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]

    @property
    def closed(self) -> tuple[bool, ...]:
        """All gradients are found with the value."""
        return tuple(name != "mask" for name in self.names)

    @property
    def fixed(self) -> tuple[Any, ...]:
        """What it is made of, besides `parameters` and `names`."""
        return self.name, self.scores, self.cost, self.inputs

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
        cost, losses = BoundKernel(self.cost, 2, (), ()), 0.0
        for turned in self._turns():
            rows = self._rows(xp, call, scores, turned)
            losses = losses + backend.attach(cost, (rows, positions(xp, rows, 0, xp.int32)))
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
        given = {name: call[name] for name in list(call)[self.inputs :] if name not in ("share", "mask")}
        scores, *pulls = self.scores(xp, *(call[name] for name in inputs), **dict(self.parameters), **given)
        by_parameter = pulls.pop() if pulls and isinstance(pulls[-1], Mapping) else {}
        return scores, dict(zip(inputs, pulls, strict=True)) | by_parameter

    def _rows(self, xp: Namespace, call: Named, scores: Array, turned: bool) -> Array:
        """The scores of which each row is a choice. What is masked chooses nothing, and nobody chooses it."""
        rows = xp.matrix_transpose(scores) if turned else scores
        if "mask" not in call:
            return rows
        rows = xp.where(call["mask"][None, ...], rows, -xp.inf)
        return xp.where(call["mask"][..., None], rows, 0.0)

    def _evaluated(self, call: Named, share: Array | None, chosen: Sequence[str]) -> tuple[Array, Named]:
        """The losses, and the gradients of the sum of all times their shares."""
        xp, turns = namespace_of(call), self._turns()
        scores, pulls = self._scores(xp, call)
        losses: Any = 0.0
        slopes = []
        for turned in turns:
            rows = self._rows(xp, call, scores, turned)
            value, slope, *_ = self.cost(xp, rows, positions(xp, rows, 0, xp.int32))
            losses = losses + value
            slopes.append(slope)
        losses = kept_rows(xp, call, losses / len(turns))
        by_arrays = [name for name in chosen if name != "share"]
        if share is None or not by_arrays:
            return losses, {}
        by_scores: Any = 0.0
        for turned, slope in zip(turns, slopes, strict=True):
            by_rows = kept_rows(xp, call, share[..., None] * slope())
            by_scores = by_scores + (xp.matrix_transpose(by_rows) if turned else by_rows)
        by_scores = by_scores / len(turns)
        return losses, {name: pulls[name](by_scores) for name in by_arrays}


def over_pairs(cost: Callable[..., KernelResult]) -> Fuse:
    """How a loss of the scores of all pairs is evaluated, of which `cost` is the loss of each row."""

    def fuse(loss: Definition, parameters: tuple[tuple[str, Any], ...], names: tuple[str, ...]) -> Pairs:
        return Pairs(loss.__name__, loss.kernel, cost, len(loss.arrays), parameters, names)

    return fuse
