"""The losses of a linear layer's rows, a chunk of them at a time: all logits never exist at once.

The gradients are found on the way: what is computed of a chunk, logits and all, is gone when the next one comes.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, TypeAlias

from . import sums
from .backend import Backend, Named, backend_of, strips
from .collectives import GroupOf, agreed, split_kernel, split_over
from .dtypes import cast, widened
from .fused import FusedLoss, kept_rows, namespace_of, scaled
from .kernel import BoundKernel, Definition
from .typing import Array, KernelResult, Namespace

CHUNK = 1 << 24
"""So many logits exist at a time."""

ROWS = 1 << 11
"""On an accelerator a chunk has no fewer rows: of fewer, its products would wait for the layer to be moved."""

BLOCK = 1 << 17
"""So many of them are worked on at a time, where arrays can be written to: they stay in the cache."""

Results: TypeAlias = tuple[Named, Named]
"""Totals, and what there is of each row."""


def _terms(xp: Namespace, slope: Array, dtype: Any) -> list[Array]:
    """What a slope is the sum of, in the dtype of a product's other factor.

    Halves are multiplied with halves. Rounded to one, slopes would bring an error that gradients must not have where
    they nearly cancel; the second half has the next eight bits.
    """
    if slope.dtype == dtype:
        return [slope]
    first = backend_of(slope).rounded(slope, dtype)
    return [cast(xp, first, dtype), cast(xp, slope - first, dtype)]


def logits_of(hidden: Array, weight: Array, bias: Array | None) -> Array:
    """The logits of a linear layer, in the precision that is computed in."""
    logits = backend_of(hidden).project(hidden, weight)
    return logits if bias is None else logits + bias


@dataclass(frozen=True)
class Chunked(FusedLoss):
    """The losses of all rows or, where they have shares, the sum of them times their shares; chunk by chunk.

    Parameters
    ----------
    name : str
        That of the loss.
    cost : callable
        A row-wise kernel of logits and target. It may be one of rows that are split over a group: then each member has
        its rows of `weight`, and all of `hidden`.
    of_cost : tuple of str
        Its parameters.
    parameters : tuple
        Name and value of each of them that is no array.
    names : tuple of str
        What the arrays are, in their order: hidden, weight, target and, where there are any, share, bias, parameters
        of `cost`, mask. The rows are one axis.
    """

    name: str
    cost: Callable[..., KernelResult]
    of_cost: tuple[str, ...]
    parameters: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]

    @property
    def kernel(self) -> Callable[..., KernelResult]:
        """What members compute together where rows are split."""
        return self.cost

    @property
    def closed(self) -> tuple[bool, ...]:
        """For each array whether its gradient is found with the value; those by parameters `plain` alone has."""
        return tuple(name not in self.of_cost for name in self.names)

    @property
    def fixed(self) -> tuple[Any, ...]:
        """What it is made of, besides `parameters` and `names`."""
        return self.name, self.cost, self.of_cost

    def forward(self, arrays: Sequence[Array], wanted: Sequence[bool]) -> tuple[Array, Any]:
        """The value and, of a sum, its gradients."""
        call = self._named(arrays)
        losses, found = self._agreed(call)._sweep(call, self._chosen(wanted) if self.scalar else ())
        if not self.scalar:
            return losses, found
        return namespace_of(call).sum(call["share"] * losses), found | {"share": losses}

    def backward(
        self, arrays: Sequence[Array], kept: Any, upstream: Array, wanted: Sequence[bool]
    ) -> Sequence[Array | None]:
        """The gradients that are wanted, in the precision that is computed in."""
        if self.scalar:
            found = {name: scaled(kept[name], upstream) for name in self._chosen(wanted)}
        else:
            call = self._named(arrays) | {"share": upstream}
            _, found = self._agreed(call)._sweep(call, self._chosen(wanted))
        return [found.get(name) for name in self.names]

    def plain(self, *arrays: Array) -> Array:
        """The value, for the framework to differentiate: for that it computes a chunk's logits once more."""
        call = self._named(map(widened, arrays))
        backend, xp = backend_of(call["hidden"]), namespace_of(call)
        chunked, group = self._agreed(call), split_over(self, call["hidden"])
        if group is not None:
            call["hidden"] = group.replicated(call["hidden"])

        @backend.checkpoint
        def losses(row: Named, fixed: Named) -> Array:
            given = {name: fixed[name] for name in fixed if name in self.of_cost}
            kernel = BoundKernel(chunked.cost, 2, self.parameters, tuple(given))
            logits = logits_of(row["hidden"], fixed["weight"], fixed.get("bias"))
            return kept_rows(xp, row, backend.attach(kernel, (logits, row["target"], *given.values())))

        fixed = {name: call[name] for name in ("weight", "bias", *self.of_cost) if name in call}

        def step(totals: Named, row: Named) -> Results:
            return totals, {"losses": losses(row, fixed)}

        values = backend.scan(step, {}, _rows(call), chunked._size(call))[1]["losses"]
        return xp.sum(call["share"] * values) if self.scalar else values

    def tangent(self, arrays: Sequence[Array], tangents: Sequence[Array | None]) -> Array:
        """The change of the value, where the arrays change by `tangents`."""
        call, change = self._named(map(widened, arrays)), self._named(tangents)
        change = {name: widened(tangent) for name, tangent in change.items() if tangent is not None}
        backend, xp = backend_of(call["hidden"]), namespace_of(call)
        weight, bias, chunked = call["weight"], call.get("bias"), self._agreed(call)

        def step(totals: Named, row: Named) -> Results:
            logits = logits_of(row["hidden"], weight, bias)
            value, *slopes = chunked._costs(xp, logits, row["target"], call)
            moves = xp.zeros_like(logits)
            away = [logits_of(row["hidden'"], weight, None)] if "hidden'" in row else []
            away += [logits_of(row["hidden"], change["weight"], None)] if "weight" in change else []
            away += [xp.broadcast_to(change["bias"], logits.shape)] if "bias" in change else []
            for slope, changes in zip(slopes[:2], (away, [row["target'"]] if "target'" in row else []), strict=False):
                for one in changes:
                    moves = moves + slope() * one
            moved = chunked._sum_of_rows(xp, moves)
            return totals, {"losses": kept_rows(xp, row, value), "moves": kept_rows(xp, row, moved)}

        rows = _rows(call) | {f"{name}'": change[name] for name in ("hidden", "target") if name in change}
        found = backend.scan(step, {}, rows, chunked._size(call))[1]
        if not self.scalar:
            return found["moves"]
        total = xp.sum(call["share"] * found["moves"])
        return total + xp.sum(change["share"] * found["losses"]) if "share" in change else total

    def _sweep(self, call: Named, wanted: Sequence[str]) -> tuple[Array, Named]:
        """The losses, and the gradients of the sum of their shares."""
        backend, xp = backend_of(call["hidden"]), namespace_of(call)
        weight = call["weight"]
        by_logits = [name for name in ("hidden", "weight", "bias") if name in wanted]
        slopes = (["logits"] if by_logits else []) + (["target"] if "target" in wanted else [])

        def step(totals: Named, row: Named) -> Results:
            logits = logits_of(row["hidden"], weight, call.get("bias"))
            found = self._slopes(backend, xp, row | {"logits": logits}, call, slopes)
            slope = found.pop("logits", None)
            parts = [] if slope is None else _terms(xp, slope, weight.dtype)
            if "hidden" in wanted:
                found["hidden"] = functools.reduce(operator.add, [backend.product(part, weight) for part in parts])
            for name, part in itertools.product(totals, parts):
                # The bias is the weight of a feature that is always 1.
                feature = row["hidden"] if name == "weight" else xp.ones_like(part[:, :1])
                totals = totals | {name: sums.add_product(backend, totals[name], part, feature, size)}
            return totals, found

        size = self._size(call)
        matrices = {"weight": weight} | ({"bias": weight[:, :1]} if "bias" in wanted else {})
        zeros = {name: sums.nothing(backend, matrices[name]) for name in by_logits if name != "hidden"}
        rows = _rows(call) | ({"share": call["share"]} if slopes else {})
        totals, found = backend.scan(step, zeros, rows, size)
        totals = {name: sums.result(total) for name, total in totals.items()}
        if "bias" in totals:
            totals |= {"bias": totals["bias"][:, 0]}
        group = split_over(self, weight)
        if group is not None and "hidden" in found:
            # Each member has found what its own logits make of it.
            found["hidden"] = group.replicated_sum(found["hidden"])
        return found.pop("losses"), totals | found

    def _slopes(self, backend: Backend, xp: Namespace, row: Named, call: Named, wanted: Sequence[str]) -> Named:
        """The losses and, by what is wanted of logits and target, the slopes."""
        logits = row["logits"]
        if split_over(self, logits) is not None:
            # In blocks, members with other shapes would meet another number of times.
            return self.block(xp, row, call, wanted)
        rows: Named = {name: row[name] for name in ("logits", "target", "share", "mask") if name in row}
        fixed = {name: call[name] for name in self.of_cost if name in call}
        found = backend.by_rows(self, rows, fixed, tuple(wanted))
        if found is not None:
            return found
        readable, writable = backend.readable(logits), backend.writable(logits, *row.values())
        if not (readable or writable):
            return self.block(xp, row, call, wanted)
        most = (BLOCK if writable else CHUNK // 8) if readable else 2 * CHUNK
        pieces = []
        for here in strips(logits.shape[0], max(1, most // logits.shape[-1])):
            found = self.block(xp, {name: array[here, ...] for name, array in row.items()}, call, wanted)
            if writable and "logits" in found:
                # The slopes take the place of the logits.
                logits[here, ...] = found.pop("logits")
            pieces.append(found)
        joined = {name: xp.concat([piece[name] for piece in pieces]) for name in pieces[0]}
        return {"logits": logits} | joined

    def block(self, xp: Namespace, row: Mapping[str, Array], call: Mapping[str, Array], wanted: Sequence[str]) -> Named:
        """The losses and what `_slopes` is asked for, of some rows."""
        value, *slopes = self._costs(xp, row["logits"], row["target"], call)
        found = {"losses": value}
        for name, slope in zip(("logits", "target"), slopes, strict=False):
            if name in wanted:
                found[name] = row["share"][..., None] * slope()
        return {name: kept_rows(xp, row, array) for name, array in found.items()}

    def _costs(self, xp: Namespace, logits: Array, target: Array, call: Mapping[str, Array]) -> tuple[Any, ...]:
        given = {name: call[name] for name in self.of_cost if name in call}
        found = self.cost(xp, logits, target, **dict(self.parameters), **given)
        return tuple(part for part in found if not isinstance(part, Mapping))

    def _agreed(self, call: Named) -> Self:
        """This; if rows are split, the members know how long the others' parts are."""
        cost = agreed(self.cost, call["hidden"], call["weight"].shape[0])
        return self if cost is self.cost else replace(self, cost=cost)

    def _size(self, call: Named) -> int:
        """So many rows are a chunk."""
        classes, features = call["weight"].shape
        group = split_over(self, call["hidden"])
        longest = classes if group is None else group.longest(classes)
        count: int = call["hidden"].shape[0]
        if longest is None:
            # All members must have as many chunks: one.
            return count
        elements = longest * features
        # So many elements there are in sums of few terms, for each logit.
        beside = max(1, features // sums.terms(elements) if sums.is_narrow(elements) else 1)
        least = ROWS if backend_of(call["hidden"]).accelerated(call["hidden"]) else 1
        size: int = backend_of(call["hidden"]).chunk(count, max(least, CHUNK // (longest * beside)))
        return size

    def _sum_of_rows(self, xp: Namespace, array: Array) -> Array:
        group = split_over(self, array)
        found = xp.sum(array, axis=-1)
        return found if group is None else group.replicated_sum(found)


@dataclass(frozen=True)
class InChunks:
    """How a loss of a linear layer's logits is evaluated, of which `cost` is the loss of each row."""

    cost: Callable[..., KernelResult]
    of_cost: tuple[str, ...]
    factors: ClassVar[tuple[str, ...]] = ("hidden", "weight")
    """What is multiplied alone."""

    def __call__(self, loss: Definition, parameters: tuple[tuple[str, Any], ...], names: tuple[str, ...]) -> Chunked:
        """What finds the gradients of a call together with its value."""
        constants = tuple((key, value) for key, value in parameters if key in self.of_cost)
        return Chunked(loss.__name__, self.cost, self.of_cost, constants, names)

    def split(self, group_of: GroupOf) -> "InChunks":
        """The same of logits whose classes are split over a group."""
        return InChunks(split_kernel(self.cost, group_of), self.of_cost)


def _rows(call: Named) -> Named:
    return {name: call[name] for name in ("hidden", "target", "mask") if name in call}
