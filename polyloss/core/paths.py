"""Losses of sequences: how likely all paths are together that go through the states of a target, a state at each step.

A path begins in the first state or the second. From step to step it stays where it is, goes to the next state, or skips
one where that is allowed. What of it came before a step, and what may come behind, are summed by recursion over the
steps: the forward-backward algorithm, whose variables alpha and beta are called `reach` and `ahead` here. The recursion
is the framework's own loop; the sums are kept as logarithms whose largest is 0, so that nothing underflows and no error
is larger for a long sequence than for a short one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .backend import Named, backend_of, stop_gradient
from .entries import positions
from .fused import FusedLoss, kept_rows, namespace_of, scaled
from .kernel import BoundKernel, Definition, Fuse
from .typing import Array, KernelResult, Namespace

_GROUP = 1 << 5
"""So many terms are summed at a time."""


class Lattice(NamedTuple):
    """What the paths of each example go through."""

    scores: Array
    """Of shape (N, T, S): the logarithm of the probability of each state at each step."""
    skips: Array
    """Of shape (N, S): whether a path may come to a state from the last but one."""
    ends: Array
    """Of shape (N, S): whether a path may end in a state."""
    counts: Array
    """Of shape (N, T): which steps count. Those are the first ones."""
    pull: Callable[[Array], Array]
    """From how likely each state is at each step, given the target, to the gradient of the loss."""
    proper: bool = True
    """Whether probabilities add up to 1 at most, so that no loss is negative."""


@dataclass(frozen=True)
class Paths(FusedLoss):
    """The losses of all examples or, where they have shares, the sum of them times their shares.

    Parameters
    ----------
    name : str
        That of the loss.
    lattice : callable
        A function of the namespace, the arrays and the parameters that returns a `Lattice`.
    log_sum : callable
        A kernel: the logarithm of the sum of exponentials of each row, and the share of each entry in that sum.
    inputs : int
        How many of the arrays are those of the loss. Of these, the first one has a gradient.
    parameters : tuple
        Name and value of each parameter that is no array. With `zero_infinity`, an example without a path has no loss.
    names : tuple of str
        What the arrays are, in their order: inputs and, where there are any, share and mask.
    """

    name: str
    lattice: Callable[..., Lattice]
    log_sum: Callable[[Namespace, Array], KernelResult]
    inputs: int
    parameters: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]

    @property
    def closed(self) -> tuple[bool, ...]:
        """By which arrays there is a gradient: it is found with the value."""
        return tuple(name in (self.names[0], "share") for name in self.names)

    @property
    def fixed(self) -> tuple[Any, ...]:
        """What it is made of, besides `parameters` and `names`."""
        return self.name, self.lattice, self.log_sum, self.inputs

    def forward(self, arrays: Sequence[Array], wanted: Sequence[bool]) -> tuple[Array, Any]:
        """The value, and the gradients of a sum or of each example."""
        call, (first, *_) = self._named(arrays), self.names
        chosen, xp = self._chosen(wanted), namespace_of(call)
        losses, slope = self._found(xp, call, first in chosen)
        kept = {first: slope()} if first in chosen else {}
        if not self.scalar:
            return losses, kept
        kept = {name: call["share"][:, None, None] * gradient for name, gradient in kept.items()}
        return xp.sum(call["share"] * losses), kept | {"share": losses}

    def backward(
        self, arrays: Sequence[Array], kept: Any, upstream: Array, wanted: Sequence[bool]
    ) -> Sequence[Array | None]:
        """The gradients that are wanted."""
        chosen = self._chosen(wanted)
        if self.scalar:
            found = {name: scaled(kept[name], upstream) for name in chosen}
        else:
            kept = kept or self.forward(arrays, wanted)[1]
            found = {name: upstream[:, None, None] * kept[name] for name in chosen}
        return [found.get(name) for name in self.names]

    def plain(self, *arrays: Array) -> Array:
        """The value, with the closed form as its derivative, which the framework can differentiate."""
        call = self._named(arrays)
        xp, backend = namespace_of(call), backend_of(arrays[0])
        kernel = BoundKernel(self.losses, self.inputs, (), ())
        losses = kept_rows(xp, call, backend.attach(kernel, arrays[: self.inputs]))
        return xp.sum(call["share"] * losses) if self.scalar else losses

    def tangent(self, arrays: Sequence[Array], tangents: Sequence[Array | None]) -> Array:
        """The change of the value, where the arrays change by `tangents`."""
        call, change = self._named(arrays), self._named(tangents)
        xp, away = namespace_of(call), change[self.names[0]]
        losses, slope = self._found(xp, call, away is not None)
        moves = xp.zeros_like(losses) if away is None else xp.sum(slope() * away, axis=(1, 2))
        if not self.scalar:
            return moves
        total = xp.sum(call["share"] * moves)
        return total if change["share"] is None else total + xp.sum(change["share"] * losses)

    def losses(self, xp: Namespace, *inputs: Array) -> KernelResult:
        """The loss of each example, and its gradient."""
        return self._summed(xp, self.lattice(xp, *inputs, **dict(self.parameters)), True)

    def _found(self, xp: Namespace, call: Named, wanted: bool) -> tuple[Array, Callable[[], Array]]:
        """The loss of each example that counts, and its gradient."""
        inputs = list(call.values())[: self.inputs]
        losses, slope = self._summed(xp, self.lattice(xp, *inputs, **dict(self.parameters)), wanted)
        return kept_rows(xp, call, losses), lambda: kept_rows(xp, call, slope())

    def _summed(self, xp: Namespace, lattice: Lattice, wanted: bool) -> tuple[Array, Callable[[], Array]]:
        """The loss of each example, and its gradient, if that is wanted."""
        backend, skips, ends = backend_of(lattice.scores), lattice.skips, lattice.ends
        steps, certain, begins = _before_the_first(xp, lattice)

        def forwards(so_far: Named, row: Named) -> tuple[Named, Named]:
            sums, largest = _rescaled(xp, _arrived(xp, so_far["reach"], skips) + row["scores"][0, ...])
            counts = row["counts"][0, ...]
            reach = xp.where(counts[..., None], sums, so_far["reach"])
            found = {"largest": xp.where(counts, largest, 0.0)} | ({"reach": reach} if wanted else {})
            return {"reach": reach}, {name: array[None, ...] for name, array in found.items()}

        def backwards(so_far: Named, row: Named) -> tuple[Named, Named]:
            ahead, counts = so_far["ahead"], row["counts"][0, ...][..., None]
            sums, _ = _rescaled(xp, _departed(xp, ahead + row["scores"][0, ...], skips))
            shares = self.log_sum(xp, row["reach"][0, ...] + ahead)[1]()
            return {"ahead": xp.where(counts, sums, ahead)}, {"shares": xp.where(counts, shares, 0.0)[None, ...]}

        last, passed = backend.scan(forwards, {"reach": begins}, steps, 1)
        ending = self.log_sum(xp, xp.where(ends, last["reach"], -xp.inf))[0]
        # A library may add the terms of a long sum one after the other.
        largest = xp.sum(xp.sum(backend.in_groups(passed["largest"], _GROUP), axis=1), axis=0)
        losses = 0.0 - (largest + ending)
        if dict(self.parameters).get("zero_infinity"):
            losses = xp.where(xp.isinf(losses), 0.0, losses)

        def slope() -> Array:
            rows = {name: _reversed(xp, array) for name, array in (steps | {"reach": passed["reach"]}).items()}
            shares = backend.scan(backwards, {"ahead": xp.where(ends, certain, -xp.inf)}, rows, 1)[1]["shares"]
            return lattice.pull(xp.moveaxis(_reversed(xp, shares), 0, 1))

        # No rounding makes a path more likely than certain.
        return xp.where(losses < 0, 0.0, losses) if lattice.proper else losses, slope


def arrivals(xp: Namespace, lattice: Lattice) -> Array:
    """Of shape (T, N, S): the logarithm of how likely all paths are up to a step that are in a state then."""
    steps, _, begins = _before_the_first(xp, lattice)

    def step(so_far: Named, row: Named) -> tuple[Named, Named]:
        sums = _arrived(xp, so_far["reach"], lattice.skips) + row["scores"][0, ...]
        reach = xp.where(row["counts"][0, ...][..., None], sums, so_far["reach"])
        return {"reach": reach}, {"reach": reach[None, ...]}

    return backend_of(begins).scan(step, {"reach": begins}, steps, 1)[1]["reach"]


def _before_the_first(xp: Namespace, lattice: Lattice) -> tuple[Named, Array, Array]:
    """What there is of each step; certainty of all states; and of the first one, where a path is before all steps."""
    steps = {"scores": xp.moveaxis(lattice.scores, 1, 0), "counts": xp.moveaxis(lattice.counts, 1, 0)}
    certain = xp.zeros_like(steps["scores"][0, ...])
    return steps, certain, xp.where(positions(xp, certain, -1, xp.int32) == 0, certain, -xp.inf)


def log_add(xp: Namespace, x: Array, y: Array) -> Array:
    """log(exp(x) + exp(y)), which is differentiated right where both are equal, or -inf."""
    larger = x > y
    low, high = xp.where(larger, y, x), xp.where(larger, x, y)
    return high + xp.log1p(xp.exp(low - xp.where(xp.isinf(high), 0.0, high)))


def over_paths(log_sum: Callable[[Namespace, Array], KernelResult]) -> Fuse:
    """How a loss is evaluated whose kernel returns a `Lattice`: from the probability of all its paths."""

    def fuse(loss: Definition, parameters: tuple[tuple[str, Any], ...], names: tuple[str, ...]) -> Paths:
        return Paths(loss.__name__, loss.kernel, log_sum, len(loss.arrays), parameters, names)

    return fuse


def _arrived(xp: Namespace, reach: Array, skips: Array) -> Array:
    """The sums of what stays in each state, comes from the one before, and skips that."""
    padded = xp.concat([xp.full_like(reach[:, :2], -xp.inf), reach], axis=-1)
    return log_add(xp, log_add(xp, reach, padded[:, 1:-1]), xp.where(skips, padded[:, :-2], -xp.inf))


def _departed(xp: Namespace, ahead: Array, skips: Array) -> Array:
    """The sums of what stays in each state, goes to the next one, and skips that."""
    nothing = xp.full_like(ahead[:, :2], -xp.inf)
    padded, leap = xp.concat([ahead, nothing], axis=-1), xp.concat([xp.where(skips, ahead, -xp.inf), nothing], axis=-1)
    return log_add(xp, log_add(xp, ahead, padded[:, 1:-1]), leap[:, 2:])


def _rescaled(xp: Namespace, sums: Array) -> tuple[Array, Array]:
    """Logarithms of sums, the largest of which becomes 0; and what that was."""
    largest = stop_gradient(xp.max(sums, axis=-1))
    largest = xp.where(xp.isinf(largest), 0.0, largest)
    return sums - largest[..., None], largest


def _reversed(xp: Namespace, rows: Array) -> Array:
    """The rows from the last to the first."""
    places = positions(xp, rows, 0, xp.int32)
    return xp.take(rows, backend_of(rows).length(rows, 0, xp.int32) - 1 - places, axis=0)
