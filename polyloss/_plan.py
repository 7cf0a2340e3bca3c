"""The one path that a call takes, once its arguments are known to be arrays of one framework."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from . import _checks as checks
from ._backend import backend_of
from ._checks import REAL, Classes, Domain
from ._reduction import Weights, expand, reduce
from ._typing import Array, Namespace

if TYPE_CHECKING:
    from ._loss import Loss

OF_A_CALL = ("sample_weight", "where", "denominator")
"""The keywords that come with a call and are no parameters of the loss."""


@dataclass(frozen=True)
class Plan:
    """A call without its arrays: everything that a compiler may treat as constant.

    Parameters
    ----------
    loss : Loss
    parameters : tuple
        Name and value of each parameter that is no array.
    reduction : str
    axis : int or None
        The axis of a row, counted from the front; None for an elementwise loss.
    readable : bool
        Whether the values were checked. Where they could not be, a row with a bad one becomes NaN.
    """

    in_blocks: ClassVar[bool] = True
    """Whether the kernel, and what is around it, is all there is to a call."""

    loss: "Loss[Any]"
    parameters: tuple[tuple[str, Any], ...]
    reduction: str
    axis: int | None
    readable: bool

    def __call__(self, inputs: Sequence[Array], options: Mapping[str, Array]) -> Array:
        """The reduced loss, differentiable by the framework as often as it likes."""
        backend = backend_of(inputs[0])
        xp = backend.namespace(inputs[0])
        ready = self.prepare(xp, inputs, options)
        if not self.by_autodiff():
            losses = backend.attach(ready.kernel, ready.arrays)
        elif isinstance(losses := ready.kernel(*ready.arrays), tuple):
            raise TypeError(
                f"{self.loss.__name__} is declared with autodiff: it must return its value alone, got a tuple"
            )
        value, _ = reduce(xp, losses, self.reduction, ready.weights)
        return cast(xp, value, inputs[0].dtype)

    def closed_form(
        self, inputs: Sequence[Array], options: Mapping[str, Array], argnums: Sequence[int | str]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The reduced loss and its gradients with respect to some inputs."""
        xp = backend_of(inputs[0]).namespace(inputs[0])
        if self.by_autodiff():
            kind = type(inputs[0]).__name__
            raise TypeError(f"{self.loss.__name__} has no closed-form gradient here, and {kind} none of its own")
        self.check_scalar()
        ready = self.prepare(xp, inputs, options)
        losses, *gradients = ready.kernel(*ready.arrays)
        value, coefficient = reduce(xp, losses, self.reduction, ready.weights)
        places = self.places(argnums, self.loss.arrays[: len(gradients)])
        share = coefficient()
        results = []
        for number in places:
            local = gradients[number]()
            gradient = expand(share, local.ndim) * local
            if ready.weights.mask is not None:
                gradient = xp.where(expand(ready.weights.mask, local.ndim), gradient, 0.0)
            if self.axis not in (None, losses.ndim) and local.ndim > losses.ndim:
                gradient = xp.moveaxis(gradient, -1, self.axis)
            results.append(cast(xp, gradient, inputs[number].dtype))
        return cast(xp, value, inputs[0].dtype), tuple(results)

    def check_scalar(self) -> None:
        """Raise where the result is no scalar, and so has no gradient."""
        if self.reduction == "none":
            raise ValueError(
                f"{self.loss.__name__}: a gradient needs a scalar: reduction must be 'sum' or a mean, got 'none'"
            )

    def places(self, argnums: Sequence[int | str], known: Sequence[str]) -> list[int]:
        """Where the arguments are among those that there is a gradient by."""
        places = []
        for number in argnums:
            name = number if isinstance(number, str) else self.loss.arrays[number]
            if name not in known:
                raise ValueError(f"{self.loss.__name__}: argnums must be of {', '.join(known)}, got {number!r}")
            places.append(known.index(name))
        return places

    def check_shapes(self, inputs: Sequence[Array], options: Mapping[str, Array]) -> None:
        """Raise for all that dtypes and shapes tell."""
        name, first = self.loss.__name__, self.loss.arrays[0]
        xp = backend_of(inputs[0]).namespace(inputs[0])
        whole = tuple(inputs[0].shape)
        rows = whole if self.axis is None else whole[: self.axis] + whole[self.axis + 1 :]
        for key, array, domain in self._arguments(inputs):
            shape = tuple(array.shape)
            if isinstance(domain, Classes):
                self._check_classes(xp, key, array, whole, rows)
            else:
                (checks.real if key == "target" else checks.real_floating)(name, key, xp, array)
                expected, what = (
                    (rows, "one value per row, shape") if domain.per_example else (whole, f"the shape of {first},")
                )
                checks.shape_is(name, key, shape, expected, what)
            checks.not_empty(name, key, shape)
        last = whole if self.axis is None else (whole[self.axis],)
        for key, value in options.items():
            shape = tuple(value.shape)
            if key == "where":
                checks.boolean(name, key, xp, value)
            else:
                checks.real(name, key, xp, value)
            if key == "denominator":
                checks.shape_is(name, key, shape, (), "the shape of a number,")
            elif key in OF_A_CALL:
                checks.shape_starts(name, key, shape, rows)
            elif (domain := self.loss.domains.get(key, REAL)).static or (domain.scalar and shape):
                raise TypeError(f"{name}: {key} must be a number, got {checks.describe(value)}")
            else:
                checks.shape_ends(name, key, shape, last, self.axis is not None)

    def check_values(self, inputs: Sequence[Array], options: Mapping[str, Array]) -> None:
        """Raise for values outside their domain, masked examples aside."""
        self.check_options(inputs, options)
        xp = backend_of(inputs[0]).namespace(inputs[0])
        for key, array, outside, expected in self.outside(xp, inputs, options):
            checks.none_outside(self.loss.__name__, key, xp, array, outside, expected)

    def check_options(self, inputs: Sequence[Array], options: Mapping[str, Array]) -> None:
        """Raise for values of parameters outside their domain."""
        for key, value in options.items():
            domain = self.loss.domains.get(key, REAL)
            if not domain.everything:
                xp = backend_of(inputs[0]).namespace(inputs[0])
                checks.none_outside(self.loss.__name__, key, xp, value, domain.outside(xp, value), str(domain))

    def outside(
        self, xp: Namespace, inputs: Sequence[Array], options: Mapping[str, Array]
    ) -> Iterator[tuple[str, Array, Array, str]]:
        """Each argument that has a domain, where it is outside, masked examples aside, and what was expected."""
        rows = inputs[0].ndim - (self.axis is not None)
        mask = self._mask(xp, inputs, options, rows)
        for key, array, domain in self._arguments(inputs):
            if not domain.everything:
                classes = inputs[0].shape[self.axis] if self._holds_ids(xp, array, domain) else None
                outside = domain.outside(xp, array, classes)
                if mask is not None:
                    outside = outside & (mask if array.ndim == rows else xp.expand_dims(mask, axis=self.axis))
                yield key, array, outside, domain.expected(classes)

    def _check_classes(self, xp: Namespace, key: str, array: Array, whole: checks.Shape, rows: checks.Shape) -> None:
        name, shape = self.loss.__name__, tuple(array.shape)
        if checks.is_integer(xp, array):
            checks.shape_is(name, key, shape, rows, "class ids, one per row, shape")
            return
        checks.real_floating(name, key, xp, array)
        if checks.same_shape(shape, rows):
            raise TypeError(f"{name}: {key} with one value per row holds class ids: integers; got dtype {array.dtype}")
        expected = f"class ids (integers), or probabilities in the shape of {self.loss.arrays[0]},"
        checks.shape_is(name, key, shape, whole, expected)
        if dict(self.parameters).get("ignore_index") is not None:
            raise ValueError(f"{name}: ignore_index must come with class ids, got probabilities as {key}")

    def _arguments(self, arrays: Sequence[Array]) -> list[tuple[str, Array, Domain]]:
        parameters = dict(self.parameters)
        domains = (self.loss.domains.get(key, REAL) for key in self.loss.arrays)
        domains = (REAL if d.unless and parameters.get(d.unless) else d for d in domains)
        return list(zip(self.loss.arrays, arrays, domains, strict=True))

    def by_autodiff(self) -> bool:
        autodiff = self.loss.autodiff
        return autodiff if isinstance(autodiff, bool) else dict(self.parameters).get(autodiff) is not None

    def _holds_ids(self, xp: Namespace, array: Array, domain: Domain) -> bool:
        return isinstance(domain, Classes) and checks.is_integer(xp, array)

    def _mask(self, xp: Namespace, inputs: Sequence[Array], options: Mapping[str, Array], rows: int) -> Array | None:
        """Which examples count: those of ``where`` whose class is not ignored."""
        mask = options.get("where")
        if mask is not None:
            mask = expand(mask, rows)
        ignored = dict(self.parameters).get("ignore_index")
        if ignored is not None:
            for _, array, domain in self._arguments(inputs):
                if self._holds_ids(xp, array, domain):
                    kept = array != ignored
                    mask = kept if mask is None else mask & kept
        return mask

    def prepare(self, xp: Namespace, inputs: Sequence[Array], options: Mapping[str, Array]) -> "Ready":
        """The arrays as a kernel wants them: rows last, in float32 or float64, masked examples at 0."""
        loss, first = self.loss, inputs[0]
        dtype = xp.float32 if checks.is_half(first.dtype) else first.dtype
        rows = first.ndim - (self.axis is not None)
        mask = self._mask(xp, inputs, options, rows)
        poison: Array | None = None
        arrays: list[Array] = []
        for _, array, domain in self._arguments(inputs):
            ids = self._holds_ids(xp, array, domain)
            ready = cast(xp, array, (xp.int64 if array.dtype == xp.int64 else xp.int32) if ids else dtype)
            if self.axis not in (None, rows) and array.ndim > rows:
                ready = xp.moveaxis(ready, self.axis, -1)
            if mask is not None:
                # Safe input instead of a safe result: NaN in a masked example then meets no derivative.
                ready = xp.where(expand(mask, ready.ndim), ready, xp.zeros_like(ready))
            if not self.readable and not domain.everything:
                classes = backend_of(first).length(arrays[0], -1, ready) if ids else None
                outside = domain.outside_in_row(xp, ready) if ready.ndim > rows else domain.outside(xp, ready, classes)
                if ids:
                    ready = xp.where(outside, xp.zeros_like(ready), ready)
                if mask is not None:
                    outside = outside & mask
                poison = self._poison(xp, outside, dtype, poison)
            arrays.append(ready)

        parameters = dict(self.parameters)
        bound = {key: cast(xp, value, dtype) for key, value in options.items() if key not in OF_A_CALL}
        for key, value in bound.items():
            domain = loss.domains.get(key, REAL)
            if not self.readable and not domain.everything:
                poison = self._poison(xp, xp.any(domain.outside(xp, value)), dtype, poison)
        for key, domain in loss.domains.items():
            choice = parameters.get(key)
            if domain.named and isinstance(choice, str):
                del parameters[key]
                bound[key] = backend_of(first).stop_gradient(domain.named[choice](xp, *arrays, mask))
        weight, denominator = (
            None if key not in options else cast(xp, options[key], dtype) for key in ("sample_weight", "denominator")
        )
        return Ready(
            BoundKernel(loss.kernel, len(arrays), tuple(parameters.items()), tuple(bound)),
            (*arrays, *bound.values()),
            Weights(
                poison,
                weight,
                mask,
                denominator,
                self._class_weight(xp, arrays, bound.get("class_weight", parameters.get("class_weight"))),
            ),
        )

    def _poison(self, xp: Namespace, outside: Array, dtype: Any, poison: Array | None) -> Array:
        """A factor of NaN where a value that could not be looked at is `outside` of its domain."""
        factor = xp.where(outside, xp.asarray(float("nan"), dtype=dtype), xp.asarray(1.0, dtype=dtype))
        return factor if poison is None else poison * factor

    def _class_weight(self, xp: Namespace, arrays: Sequence[Array], class_weight: Array | None) -> Array | None:
        """What ``class_weight`` contributes to the weight of each example."""
        if class_weight is None or self.reduction != "weighted_mean":
            return None
        target = arrays[self.loss.arrays.index("target")]
        if getattr(class_weight, "ndim", 0) == 0:
            return xp.asarray(class_weight, dtype=arrays[0].dtype)
        if checks.is_integer(xp, target):
            if target.ndim == 1:
                return xp.take(class_weight, target, axis=0)
            # No take and reshape: while tracing, a length may be unknown.
            device = getattr(target, "device", None) or None
            count = backend_of(target).length(class_weight, 0, target)
            ids = xp.arange(count, dtype=target.dtype, device=device)
            chosen = xp.expand_dims(target, axis=-1) == ids
            return xp.sum(xp.where(chosen, class_weight, xp.zeros_like(class_weight)), axis=-1)
        # Weights are constants, whatever they are made of.
        return backend_of(target).stop_gradient(xp.sum(class_weight * target, axis=-1))


def cast(xp: Namespace, array: Array, dtype: Any) -> Array:
    """`array` in another dtype; itself, where it has that already."""
    return array if array.dtype == dtype else xp.astype(array, dtype)


@dataclass(frozen=True)
class BoundKernel:
    """A kernel as a function of arrays alone: first its inputs, then its parameters that are arrays."""

    kernel: Callable[..., Any]
    inputs: int
    parameters: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]

    def __call__(self, *arrays: Array) -> Any:
        xp = backend_of(arrays[0]).namespace(arrays[0])
        extra = dict(zip(self.names, arrays[self.inputs :], strict=True))
        found = self.kernel(xp, *arrays[: self.inputs], **dict(self.parameters), **extra)
        return found[:-1] if isinstance(found, tuple) and isinstance(found[-1], dict) else found


@dataclass(frozen=True)
class Ready:
    """What `Plan.prepare` made of the arguments."""

    kernel: BoundKernel
    arrays: tuple[Array, ...]
    weights: Weights
