"""Losses that the members of a group find together. `polyloss.distributed` makes them."""

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from . import words
from .arguments import EXAMPLES, WORDS, declared
from .backend import Backend, backend_of, find_backend
from .call import BoundCall
from .checks import is_integer
from .collectives import Alone, Group, GroupOf, split_kernel
from .domains import REAL
from .dtypes import cast, is_floating, working
from .loss import Loss
from .pairs import OverPairs
from .plan import Plan
from .spread_pairs import spread
from .typing import Array, Namespace

CLASS = ("c", 0)
"""The axis that members of `Sharded` have parts of."""


class _OfGroup(Loss[Any]):
    """A loss of what a group has.

    Parameters
    ----------
    whole : Loss
        The same one in a process alone.
    group : object
        What the user named.
    """

    whole: Loss[Any]
    group: Any
    _name: str

    def __init__(self, whole: Loss[Any], group: Any) -> None:
        vars(self).update(vars(whole))
        self.whole, self.group = whole, group

    def _group(self, arrays: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, Backend | None, Group]:
        """The first array of a call, its adapter, and the group; alone, where it is no array: the error comes later."""
        first = arrays[0] if arrays else keywords.get(self.arrays[0])
        backend = find_backend(type(first))
        if backend is None:
            # That is an error of this member, which knows the others by any array that it has.
            first = next((one for one in (*arrays, *keywords.values()) if find_backend(type(one)) is not None), None)
            backend = find_backend(type(first))
        return first, backend, Alone() if backend is None else backend.group(self.group, first)

    def _take_defaults(self) -> None:
        origin: Any = self.whole.origin
        self.origin = self if origin is self.whole else self._of(origin)
        self._take(self.whole.fixed)

    def _of(self, whole: Loss[Any]) -> Self:
        return type(self)(whole, self.group)

    def partial(self, **parameters: Any) -> Self:
        return self._of(self.whole.partial(**parameters))

    def _shown_as(self) -> tuple[Any, Mapping[str, Any]]:
        return self.whole, {}

    def __repr__(self) -> str:
        return f"polyloss.distributed.{self._name}({self.whole!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        # What a copy of a model has is of the same process.
        return self

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{self!r} belongs to its process, as its group does: save the state of what holds it, and make it anew"
        )


class Sharded(_OfGroup):
    """A loss of rows that are split over a group."""

    _name = "sharded"

    def __init__(self, whole: Loss[Any], group: Any) -> None:
        super().__init__(whole, group)
        # Of an entry that an id names, one member alone could tell.
        self.domains = {name: REAL if domain.of_class else domain for name, domain in whole.domains.items()}
        self.arguments = declared(self.arrays, self.parameters, self.domains, self.signature, self.shapes)
        self._split(lambda array: backend_of(array).group(group, array))
        self._take_defaults()

    def _split(self, group_of: GroupOf) -> None:
        self.group_of = group_of
        self.kernel = split_kernel(self.whole.kernel, group_of)
        fuse: Any = self.whole.fuse
        self.fuse = None if fuse is None else fuse.split(group_of)

    def bind(self, arrays: tuple[Any, ...], keywords: dict[str, Any]) -> BoundCall:
        _, _, group = self._group(arrays, keywords)
        if isinstance(group, Alone):
            return self.whole.bind(arrays, keywords)
        try:
            call = super().bind(arrays, keywords)
        except Exception:
            group.withdraw()
            raise
        return self._agreed(call, group)

    def _agreed(self, call: BoundCall, group: Group) -> BoundCall:
        """A call whose members have compared what they have."""
        plan, named = call.plan, call.named
        rows, lengths = plan.losses_shape(named), plan.lengths(named)
        axes = {name: plan.axes(plan.loss.arguments[name], array, len(rows)) for name, array in named.items()}
        parts = {name: array for name, array in named.items() if CLASS in axes[name]}
        others = {name: named[name] for name in plan.loss.arrays if name not in parts}
        group.check(parts, others)
        alike: dict[str, Any] = {"{} rows": math.prod(rows)}
        if plan.readable:
            alike["keywords of the kind {}"] = _code(call, with_lengths=False)
        for axis, length in lengths.items():
            if axis != CLASS and axis[0] != EXAMPLES:
                alike[f"{{}} {WORDS[axis[0]][1]}"] = length
        for name in plan.loss.arrays:
            xp = call.backend.namespace(named[name])
            alike[f"{{}} as {name}"] = xp.int64 if is_integer(xp, named[name]) else named[name].dtype
        known = group.agreed(lengths[CLASS] or 0, alike)
        if known is group:
            return call
        split: Any = plan.loss
        loss = split._same()
        loss._split(lambda _: known)
        return call._replace(plan=replace(plan, loss=loss))


class DataParallel(_OfGroup):
    """A loss of a batch whose examples are spread over a group."""

    _name = "data_parallel"
    own: Loss[Any]
    """The same one of a member's own examples: among those of all members, where examples are compared."""

    def __init__(self, whole: Loss[Any], group: Any, ring: bool) -> None:
        super().__init__(whole, group)
        self.own, self.ring = whole, ring
        if isinstance(whole.fuse, OverPairs):
            self.own = whole._same()
            self.own.fuse = spread(whole.fuse, lambda array: backend_of(array).group(group, array), ring=ring)
            self.own.origin = self.own
            self.own._take(whole.fixed)
        self._take_defaults()

    def _of(self, whole: Loss[Any]) -> Self:
        return type(self)(whole, self.group, self.ring)

    def __call__(self, *arrays: Any, **keywords: Any) -> Array:
        """Evaluate the loss."""
        first, backend, group = self._group(arrays, keywords)
        if backend is None or isinstance(group, Alone):
            return self.whole(*arrays, **keywords)
        words.refuse_keras(self.__name__, self.arrays, self.__module__)
        each, compares = keywords.get("reduction") == "none", self.own is not self.whole
        if each and not compares:
            return self.whole(*arrays, **keywords)
        xp = backend.namespace(first)
        dtype = group.common_dtype(working(xp, first.dtype) if is_floating(xp, first) else xp.float32)
        value = count = code = zero = backend.asarray(0.0, first, dtype)
        error = None
        try:
            call = self.own.bind(arrays, keywords)
            self._check_examples(call.plan)
            if call.plan.readable:
                # Examples that are compared say by themselves where their lengths do not fit.
                code = zero + _code(call, with_lengths=not compares)
            count = cast(xp, call.plan.counted(call.arrays), dtype) if _is_mean(call.plan) else zero
            part = call if each else call._replace(plan=_of_member(xp, call.plan, first))
            if compares:
                part.check_values()
            else:
                value = backend.evaluate(part)
        except Exception as found:
            # The others wait: they have to know.
            error = found
        failed = zero + float(error is not None)
        if compares:
            # Before the members send each other their examples.
            sums = group.sum(xp.stack([failed, code]))
            self._check_members(backend, group, (sums[0], sums[1], code), error)
            value = backend.whole(part)
            if each:
                return value
        sums = group.sum(xp.stack([cast(xp, value, dtype), count, failed, code]))
        self._check_members(backend, group, (sums[2], sums[3], code), error)
        nothing = (sums[1] == 0) & (sums[0] == 0) if _is_mean(call.plan) else sums[1] == 0
        total = sums[0] / xp.where(nothing, xp.ones_like(sums[1]), sums[1])
        return cast(xp, total, backend.result_dtype(first))

    def _check_examples(self, plan: Plan) -> None:
        """Raise where a parameter is to be found from all examples, of which a member has some."""
        for name, domain in plan.loss.domains.items():
            choice = dict(plan.parameters).get(name)
            if domain.named and isinstance(choice, str):
                raise ValueError(
                    f"{self.__name__}: {name} must be a number, where members have examples; got {choice!r}"
                )

    def _check_members(
        self, backend: Backend, group: Group, found: tuple[Array, Array, Array], error: Exception | None
    ) -> None:
        """Raise the error of this member. As far as that can be seen now, raise for those of others, and for others
        whose calls have another code."""
        if error is not None:
            raise error
        if not backend.readable(*found):
            return
        failed, codes, code = (float(backend.look(one)) for one in found)
        if failed:
            raise ValueError(f"{self.__name__}: the arguments of another member of the group are wrong; it says how")
        if codes != group.size * code:
            raise ValueError(
                f"{self.__name__}: members of a group must have the same keywords, reduction and lengths of rows, and "
                "another one has others"
            )


def _is_mean(plan: Plan) -> bool:
    """Whether there is something to divide by that members have to find."""
    return "mean" in plan.reduction and "denominator" not in plan.names


def _of_member(xp: Namespace, plan: Plan, first: Array) -> Plan:
    """What a member computes of a sum or of a mean: a sum that is not rounded yet. It is made once."""
    found: Plan | None = plan.memory.get("of a member")
    if found is None:
        dtype = working(xp, first.dtype)
        reduction = "sum" if _is_mean(plan) else plan.reduction
        result = None if dtype == first.dtype else dtype
        found = plan.memory["of a member"] = plan.changed(reduction=reduction, result=result)
    return found


def _code(call: BoundCall, *, with_lengths: bool) -> int:
    """A number by which members see that they call alike. Sums of it are exact in every dtype."""
    plan = call.plan
    if "code" not in plan.memory:
        lengths = plan.lengths(call.named) if with_lengths else {}
        rows = sorted((axis, length) for axis, length in lengths.items() if axis[0] != EXAMPLES)
        names = [name for name in plan.names if name != "where"]
        choices = [(name, value) for name, value in plan.parameters if isinstance(value, (bool, str))]
        plan.memory["code"] = zlib.crc32(repr((plan.reduction, names, choices, rows)).encode()) % (1 << 16)
    code: int = plan.memory["code"]
    return code
