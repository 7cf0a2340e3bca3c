"""The one definition of what a call computes, once its arguments are known to be arrays of one framework."""

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from . import checks
from .arguments import IGNORED, OF_A_CALL
from .backend import Named, backend_of
from .binding import Binding, holds_ids
from .collectives import split_namespace
from .dtypes import cast, is_array, is_floating, working
from .entries import one_hot
from .kernel import BoundKernel
from .reduction import Weights, expand, pull, reduce, sum_to
from .typing import Array, KernelResult, Namespace
from .values import check_values, check_values_of_all, denominator, row_back, row_last, unseen


@dataclass(frozen=True)
class Plan(Binding):
    """A call without its arrays: everything that a compiler may treat as constant.

    Parameters
    ----------
    reduction : str
    result : dtype or None
        The dtype of the result; None for that of the prediction.
    memory : dict
        What an adapter keeps of such calls.
    sibling : Plan or None
        That of calls with more examples or fewer, which do the same.
    """

    reduction: str
    result: Any = None
    memory: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    sibling: "Plan | None" = field(default=None, compare=False, repr=False)

    def __call__(self, arrays: Sequence[Array]) -> Array:
        """The reduced loss, differentiable by the framework as often as it likes."""
        named = self.named(arrays)
        backend = backend_of(arrays[0])
        xp = backend.namespace(arrays[0])
        ready = self.prepare(xp, named)
        if self.has_nothing(named):
            value, _ = reduce(xp, self._no_losses(xp, ready.arrays), self.reduction, ready.weights)
        elif self.loss.fuse is not None:
            value = self._weighed(xp, ready, lambda call: backend.attach_fused(self._fused(call), tuple(call.values())))
        else:
            inputs = tuple(ready.arrays.values())
            losses = ready.kernel.alone(*inputs) if self.by_autodiff() else backend.attach(ready.kernel, inputs)
            value, _ = reduce(xp, losses, self.reduction, ready.weights)
        return self._finish(xp, value, named, ready)

    def check_values(self, named: Mapping[str, Array]) -> None:
        """Raise for values outside their domains."""
        if self.loss.group_of is None:
            check_values(self, named)
        else:
            check_values_of_all(self, named, self.loss.group_of(named[self.loss.arrays[0]]))

    def with_parameters(self, parameters: tuple[tuple[str, Any], ...]) -> Self:
        """The same with other parameters that are no arrays."""
        return replace(self, parameters=parameters)

    def changed(self, **changes: Any) -> Self:
        """Another plan, of whose calls nothing is kept yet."""
        return replace(self, **{"memory": {}, "sibling": None} | changes)

    def has_nothing(self, named: Mapping[str, Array]) -> bool:
        """Whether there is no example to compute anything of, nor one of another member of a group."""
        return self.is_empty(named) and getattr(self.loss.fuse, "group_of", None) is None

    @property
    def fits_any_batch(self) -> bool:
        """Whether calls with more examples or fewer have this plan as well.

        Not where the first axis is of a row, which may have a length of its own; nor where examples meet each other, or
        regions have several axes: there, more than the shapes' relations is checked.
        """
        return self.loss.fuse is None and self.loss.group_of is None and len(self.axis) < 2 and 0 not in self.axis

    def by_autodiff(self) -> bool:
        """Whether the framework differentiates the kernel."""
        autodiff = self.loss.autodiff
        return autodiff if isinstance(autodiff, bool) else dict(self.parameters).get(autodiff) is not None

    def value_and_gradients(
        self, arrays: Sequence[Array], argnums: Sequence[int | str]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The reduced loss and its gradients with respect to some arguments, in closed form."""
        named = self.named(arrays)
        xp = backend_of(arrays[0]).namespace(arrays[0])
        self.check_scalar()
        if self.by_autodiff():
            learned = [name for name, array in named.items() if is_floating(xp, array)]
            places = [self.names.index(name) for name in self._chosen(argnums, learned)]
            value, gradients = backend_of(arrays[0]).differentiate(self._of_arrays, arrays, places)
            return value, tuple(gradients)
        if self.has_nothing(named):
            learned = [name for name in named if name not in (*OF_A_CALL, IGNORED) and is_floating(xp, named[name])]
            if self.loss.fuse is not None:
                call = self.prepare(xp, named).arrays
                closed = zip(call, self._fused(call).closed, strict=True)
                learned = [name for name, is_closed in closed if is_closed and name in learned]
            names = self._chosen(argnums, learned)
            return self(arrays), tuple(xp.zeros_like(named[name]) for name in names)
        ready = self.prepare(xp, named)
        of = self._gradients_of_all if self.loss.fuse is not None else self._gradients_of_each
        value, gradients = of(xp, named, ready, argnums)
        results = tuple(
            cast(xp, gradient, (arrays[0] if name in self.numbers else named[name]).dtype)
            for name, gradient in gradients.items()
        )
        return self._finish(xp, value, named, ready), results

    def _gradients_of_each(
        self, xp: Namespace, named: Mapping[str, Array], ready: "Ready", argnums: Sequence[int | str]
    ) -> tuple[Array, Named]:
        """Of a kernel that gives the derivative of each example by itself."""
        losses, *gradients = ready.kernel(*ready.arrays.values())
        value, coefficient = reduce(xp, losses, self.reduction, ready.weights)
        local_by = dict(zip(ready.arrays, gradients, strict=True))
        share, results = coefficient(), {}
        for name in self._chosen(argnums, [name for name, gradient in local_by.items() if gradient is not None]):
            local = local_by[name]()
            if name == "class_weight" and ready.weights.class_weight is not None and ready.weights.denominator is None:
                # It is in the denominator as well.
                local = local - value * xp.astype(self._class_share(xp, ready.arrays, local), local.dtype)
            gradient = pull(share, local)
            if ready.weights.mask is not None:
                gradient = xp.where(expand(ready.weights.mask, gradient.ndim), gradient, 0.0)
            if name not in self.loss.arrays:
                gradient = sum_to(xp, gradient, tuple(named[name].shape))
            elif local.ndim > losses.ndim:
                gradient = row_back(self, xp, name, gradient, named[name], losses.ndim)
            results[name] = gradient
        return value, results

    def _gradients_of_all(
        self, xp: Namespace, named: Mapping[str, Array], ready: "Ready", argnums: Sequence[int | str]
    ) -> tuple[Array, Named]:
        """Of losses that share more than parameters: the gradients come with the value."""
        results: Named = {}

        def value_of(call: Named) -> Array:
            fused = self._fused(call)
            closed = [name for name, closed in zip(call, fused.closed, strict=True) if closed and name in named]
            possible = [name for name in closed if is_floating(xp, call[name])]
            chosen = self._chosen(argnums, possible)
            arrays, wanted = tuple(call.values()), [name in chosen for name in call]
            value, kept = fused.forward(arrays, wanted)
            gradients = dict(zip(call, fused.backward(arrays, kept, xp.ones_like(value), wanted), strict=True))
            for name in chosen:
                gradient = gradients[name]
                if ready.weights.mask is not None and self.loss.arguments[name].of_examples:
                    gradient = xp.where(expand(ready.weights.mask, gradient.ndim), gradient, 0.0)
                results[name] = xp.reshape(gradient, backend_of(named[name]).lengths(named[name]))
            return value

        return self._weighed(xp, ready, value_of), results

    @property
    def _of_arrays(self) -> Any:
        """This as a function of arrays."""

        def evaluate(*arrays: Array) -> Array:
            return self(arrays)

        evaluate.__name__ = self.loss.__name__
        return evaluate

    def check_scalar(self) -> None:
        """Raise where the result is no scalar, and so has no gradient."""
        if self.reduction == "none":
            raise ValueError(
                f"{self.loss.__name__}: a gradient needs a scalar: reduction must be 'sum' or a mean, got 'none'"
            )

    def _chosen(self, argnums: Sequence[int | str], possible: Sequence[str]) -> list[str]:
        """The names of the arguments, all of which there must be a gradient by."""
        names = [number if isinstance(number, str) else self.loss.arrays[number] for number in argnums]
        for number, name in zip(argnums, names, strict=True):
            if name not in possible:
                raise ValueError(
                    f"{self.loss.__name__}: argnums must be of {', '.join(possible)}, which have a gradient in closed "
                    f"form; got {number!r}"
                )
        return names

    def prepare(self, xp: Namespace, named: Mapping[str, Array], *, fill_masked: bool = True) -> "Ready":
        """The arrays as a kernel wants them: rows last, in float32 or float64.

        `fill_masked` gives masked examples a safe value, for who differentiates the kernel; class ids have one in any
        case.
        Where losses share more than parameters, the examples have one axis, and factors may still be halves.
        """
        loss, first = self.loss, named[self.loss.arrays[0]]
        dtype, count, flat = working(xp, first.dtype), len(self.losses_shape(named)), loss.fuse is not None
        factors = self._factors(named) if flat else ()
        mask = self.mask(xp, named)
        lead: tuple[Any, ...] = ()
        if flat:
            # While tracing, a length may be unknown, or an array itself.
            lead = tuple(backend_of(first).length(first, axis, xp.int32) for axis in range(count))
            mask = mask if mask is None else xp.reshape(xp.broadcast_to(mask, lead), (-1,))
        arrays: Named = {}
        lengths = self.lengths(named) if flat else {}
        for name, domain in self.inputs():
            array, argument = named[name], loss.arguments[name]
            ids = holds_ids(xp, array, domain)
            if ids:
                ready = checks.wide_ids(xp, array, alike=domain.everything)
            else:
                ready = array if name in factors else cast(xp, array, dtype)
            if flat and argument.of_examples:
                backend = backend_of(first)
                axes = list(enumerate(self.axes(argument, array, count)))[count:]
                row = tuple(lengths[axis] or backend.length(array, place, xp.int32) for place, axis in axes)
                ready = xp.reshape(ready, (-1, *row))
            elif not flat and array.ndim > count:
                ready = row_last(self, xp, name, ready, count)
            if mask is not None and argument.of_examples and (fill_masked or ids):
                # Safe input instead of a safe result: NaN in a masked example then meets no derivative.
                known = xp.full_like(ready, domain.safe) if domain.safe else xp.zeros_like(ready)
                ready = xp.where(expand(mask, ready.ndim), ready, known)
            arrays[name] = ready
        for name in self.names[len(arrays) :]:
            if name not in ("where", IGNORED):
                arrays[name] = cast(xp, named[name], dtype)
        if flat and "sample_weight" in arrays:
            weight = xp.broadcast_to(expand(arrays["sample_weight"], count), lead)
            arrays["sample_weight"] = xp.reshape(weight, (-1,))
        poison = None
        if not self.readable:
            arrays, bad = unseen(self, xp, named, arrays, 1 if flat else count, mask)
            if loss.group_of is not None:
                # What one member sees, all shall know.
                group = loss.group_of(arrays[loss.arrays[0]])
                bad = [group.maximum(xp.astype(outside, xp.int32)) > 0 for outside in bad]
            for outside in bad:
                poison = poisoned(poison, outside, dtype)
        for name, kept in self.kept_in_rows(xp, named).items() if len(loss.row) > 1 else ():
            # Only the kernel can leave out a part of an example.
            arrays[name] = xp.where(row_last(self, xp, name, kept, count), arrays[name], -1)
        weight = arrays.pop("sample_weight", None)
        divisor = denominator(self, xp, arrays.pop("denominator", None), named, mask)
        parameters = dict(self.parameters)
        for name, domain in loss.domains.items():
            choice = parameters.get(name)
            if domain.named and isinstance(choice, str):
                del parameters[name]
                inputs = [arrays[key] for key in loss.arrays]
                arrays[name] = backend_of(first).stop_gradient(domain.named[choice](xp, *inputs, mask))
        of_classes = self._class_weight(xp, arrays, arrays.get("class_weight", parameters.get("class_weight")))
        kernel = BoundKernel(
            loss.kernel,
            len(loss.arrays),
            tuple(parameters.items()),
            tuple(arrays)[len(loss.arrays) :],
            len(self.loss.row),
        )
        return Ready(kernel, arrays, Weights(poison, weight, mask, divisor, of_classes), lead)

    def counted(self, arrays: Sequence[Array]) -> Array:
        """What a mean of these examples is divided by: their number, or the sum of their weights."""
        named = self.named(arrays)
        first = arrays[0]
        backend = backend_of(first)
        xp = backend.namespace(first)
        dtype = working(xp, first.dtype)
        if self.reduction == "weighted_mean" and not self.is_empty(named):
            ready = self.prepare(xp, named)
            none = self._zeros(xp, ready.arrays)
            found = ready.weights.counted(xp, none, self.reduction)
            return xp.sum(xp.ones_like(none) if found is None else found)
        mask = self.mask(xp, named)
        axes = [axis for axis in range(first.ndim) if axis not in self.axis]
        number: Any = functools.reduce(operator.mul, [backend.length(first, axis, xp.int32) for axis in axes], 1)
        if mask is None:
            return cast(xp, number, dtype) if is_array(number) else backend.asarray(number, first, dtype)
        # As integers: a sum of many ones in float32 may get stuck.
        kept = cast(xp, xp.sum(cast(xp, mask, xp.int32)), dtype)
        # The mask may lack axes at the end: of what it has, each counts as often as these are long.
        for place, axis in enumerate(axes):
            if mask.shape[place] == 1:
                kept = kept * backend.length(first, axis, dtype)
        return kept

    def _fused(self, call: Named) -> Any:
        assert self.loss.fuse is not None
        return self.loss.fuse(self.loss, self.parameters, tuple(call))

    def _weighed(self, xp: Namespace, ready: "Ready", value_of: Any) -> Array:
        """The reduced loss of what finds its gradients together with its value: there, the share of each example."""
        weights, call = ready.weights, dict(ready.arrays)
        if self.reduction != "none":
            none = self._zeros(xp, call)
            counted = self.reduction == "mean" and weights.mask is None and weights.denominator is None
            if counted and None in tuple(none.shape):
                weights = replace(weights, denominator=xp.sum(none + 1.0))
            _, share = reduce(xp, none, self.reduction, weights)
            call["share"] = share()
        if weights.mask is not None:
            call["mask"] = weights.mask
        value: Array = value_of(call)
        return reduce(xp, value, "none", weights)[0] if self.reduction == "none" else value

    def _finish(self, xp: Namespace, value: Array, named: Mapping[str, Array], ready: "Ready") -> Array:
        """`value` in the shape and dtype that the caller gets; NaN where lengths that nobody knew do not agree."""
        first = named[self.loss.arrays[0]]
        if self.reduction == "none" and self.loss.fuse is not None:
            value = xp.reshape(value, ready.lead)
        if any(None in tuple(array.shape) for array in named.values()):
            backend = backend_of(first)
            for axes in self.alike(named):
                if None in (axes.array.shape[axes.axis], axes.other.shape[axes.other_axis]):
                    agree = backend.agree(self.loss.__name__, axes)
                    if agree is not None:
                        value = value * backend.poison(~agree, value.dtype)
        return cast(xp, value, first.dtype if self.result is None else self.result)

    def _zeros(self, xp: Namespace, arrays: Named) -> Array:
        """A zero for each loss, of arrays as a kernel wants them."""
        first = arrays[self.loss.arrays[0]]
        return xp.zeros_like(first[(..., *(0,) * len(self.loss.row))], dtype=working(xp, first.dtype))

    def _factors(self, named: Mapping[str, Array]) -> tuple[str, ...]:
        """The names of arrays of half precision that need not be widened, as they are in products of matrices alone."""
        names: tuple[str, ...] = getattr(self.loss.fuse, "factors", ())
        dtypes = [named[name].dtype for name in names]
        if not names or not checks.is_half(dtypes[0]) or any(dtype != dtypes[0] for dtype in dtypes):
            return ()
        first = named[names[0]]
        return names if backend_of(first).multiplies_halves(first) else ()

    def _no_losses(self, xp: Namespace, arrays: Named) -> Array:
        """The losses of no examples, with gradients as empty as they."""
        floats = (array for array in arrays.values() if not checks.is_kind(xp, array, "integral", "bool"))
        first, *others = (cast(xp, array, working(xp, array.dtype)) for array in floats)
        losses = 0.0 * (xp.sum(first, axis=tuple(range(-len(self.loss.row), 0))) if self.loss.row else first)
        for other in others:
            # The sum of no entry: 0, also where one is infinite, with a gradient of zeros.
            losses = losses + xp.sum(xp.reshape(other, (-1,))[:0])
        return losses

    def _class_weight(self, xp: Namespace, arrays: Named, class_weight: Array | None) -> Array | None:
        """What ``class_weight`` contributes to the weight of each example."""
        if class_weight is None or self.reduction != "weighted_mean" or len(self.loss.row) > 1:
            # Where classes share a row, it is within the loss.
            return None
        target, group = arrays["target"], self.loss.group_of
        ids = checks.is_integer(xp, target)
        if ids and not class_weight.ndim:
            return class_weight
        if group is None:
            target = target if ids else backend_of(target).stop_gradient(target)
            kernel = BoundKernel(_weights_of_classes, 1, (), ("class_weight",))
            return backend_of(class_weight).attach(kernel, (target, class_weight))
        share = self._class_share(split_namespace(xp, self.loss, class_weight) if ids else xp, arrays, class_weight)
        found = xp.sum(_weigh(xp, share, class_weight), axis=-1)
        return group(arrays[self.loss.arrays[0]]).replicated_sum(found)

    def _class_share(self, xp: Namespace, arrays: Named, like: Array) -> Array:
        """What each class has of a target: booleans for class ids. Constants, whatever they are made of."""
        target = arrays["target"]
        if not checks.is_integer(xp, target):
            return backend_of(target).stop_gradient(target)
        return one_hot(xp, target, like)


def _weights_of_classes(xp: Namespace, target: Array, *, class_weight: Array) -> KernelResult:
    """The weight of each example's class.

    A kernel, for its derivative is a sum over examples: what a framework finds by itself adds them one after the other.
    """
    share = one_hot(xp, target, class_weight) if checks.is_integer(xp, target) else target
    weights = xp.sum(_weigh(xp, share, class_weight), axis=-1)
    return weights, {"class_weight": lambda: xp.astype(share, class_weight.dtype)}


def _weigh(xp: Namespace, share: Array, class_weight: Array) -> Array:
    """What each class adds to the weight of an example that has a share of it; ids have all of one."""
    if xp.isdtype(share.dtype, "bool"):
        return xp.where(share, class_weight, xp.zeros_like(class_weight))
    return class_weight * share


def poisoned(poison: Array | None, outside: Array, dtype: Any) -> Array:
    """A factor of NaN, besides another, where a value that could not be looked at is `outside` of its domain."""
    factor = backend_of(outside).poison(outside, dtype)
    return factor if poison is None else poison * factor


@dataclass(frozen=True)
class Ready:
    """What `Plan.prepare` made of the arguments."""

    kernel: BoundKernel
    arrays: Named
    """Inputs of the kernel, and those of its parameters that are arrays."""
    weights: Weights
    lead: tuple[Any, ...]
    """The shape of the losses, where the examples have one axis now."""
