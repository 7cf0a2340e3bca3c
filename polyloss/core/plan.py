"""The one path that a call takes, once its arguments are known to be arrays of one framework."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from . import checks, words
from .backend import Alike, backend_of
from .checks import REAL, WEIGHT, Classes, Domain
from .dtypes import cast, floating, is_floating, working
from .entries import one_hot, pick
from .kernel import BoundKernel, Definition
from .reduction import Weights, expand, pull, reduce, sum_to
from .typing import Array, Namespace

IGNORED = "ignore_index"
"""The parameter that is a class id."""
OF_A_CALL = ("sample_weight", "where", "denominator")
"""The keywords that come with a call and are no parameters of the loss."""


@dataclass(frozen=True)
class Plan:
    """A call without its arrays: everything that a compiler may treat as constant.

    Parameters
    ----------
    loss : Definition
    parameters : tuple
        Name and value of each parameter that is no array.
    reduction : str
    axis : int or None
        The axis of a row, counted from the front; None for an elementwise loss.
    readable : bool
        Whether the values were checked. Where they could not be, a row with a bad one becomes NaN.
    numbers : tuple of str
        Parameters that came as numbers, and were checked as such: they travel as arrays without axes.
    result : dtype or None
        The dtype of the result; None for that of the prediction.
    """

    in_blocks: ClassVar[bool] = True
    """Whether the kernel, and what is around it, is all there is to a call."""

    loss: Definition
    parameters: tuple[tuple[str, Any], ...]
    reduction: str
    axis: int | None
    readable: bool
    numbers: tuple[str, ...] = ()
    result: Any = None

    def __call__(self, inputs: Sequence[Array], options: Mapping[str, Array]) -> Array:
        """The reduced loss, differentiable by the framework as often as it likes."""
        backend = backend_of(inputs[0])
        xp = backend.namespace(inputs[0])
        ready = self.prepare(xp, inputs, options)
        if self.is_empty(inputs):
            losses = self._no_losses(xp, ready.arrays)
        elif self.by_autodiff():
            losses = ready.kernel.alone(*ready.arrays)
        else:
            losses = backend.attach(ready.kernel, ready.arrays)
        value, _ = reduce(xp, losses, self.reduction, ready.weights)
        return self.finish(xp, value, inputs, options)

    def with_parameters(self, parameters: tuple[tuple[str, Any], ...]) -> Self:
        """The same with other parameters that are no arrays."""
        return replace(self, parameters=parameters)

    def finish(self, xp: Namespace, value: Array, inputs: Sequence[Array], options: Mapping[str, Array]) -> Array:
        """`value` in the dtype that the caller gets; NaN where lengths that nobody knew before do not agree."""
        if any(None in tuple(array.shape) for array in (*inputs, *options.values())):
            backend = backend_of(inputs[0])
            for axes in self.alike(inputs, options):
                if None in (axes.array.shape[axes.axis], axes.other.shape[axes.other_axis]):
                    agree = backend.agree(self.loss.__name__, axes)
                    if agree is not None:
                        value = value * backend.poison(~agree, value.dtype)
        return cast(xp, value, inputs[0].dtype if self.result is None else self.result)

    def alike(self, inputs: Sequence[Array], options: Mapping[str, Array]) -> Iterator[Alike]:
        """Each axis of an argument beside the one of the first array that must be as long."""
        first, name = inputs[0], self.loss.arrays[0]
        whole = range(first.ndim)
        rows = [axis for axis in whole if axis != self.axis]
        last = whole if self.axis is None else [self.axis]
        for key, array in (*zip(self.loss.arrays[1:], inputs[1:], strict=True), *options.items()):
            if key in self.loss.arrays:
                axes: Sequence[int] = whole if array.ndim == first.ndim else rows
            else:
                axes = rows[: array.ndim] if key in OF_A_CALL else last[len(last) - array.ndim :]
            shared = self.axis is None and key in self.loss.defaults
            for axis, other in enumerate(axes):
                yield Alike(key, array, axis, name, first, other, shared)

    def rows(self, inputs: Sequence[Array]) -> checks.Shape:
        """The shape of the losses."""
        whole = tuple(inputs[0].shape)
        return whole if self.axis is None else whole[: self.axis] + whole[self.axis + 1 :]

    def is_empty(self, inputs: Sequence[Array]) -> bool:
        """Whether there is no example at all."""
        return 0 in self.rows(inputs)

    def _no_losses(self, xp: Namespace, arrays: Sequence[Array]) -> Array:
        """The losses of no examples, with gradients as empty as they."""
        first, *others = (array for array in arrays if not checks.is_integer(xp, array))
        losses = 0.0 * (first if self.axis is None else xp.sum(first, axis=-1))
        for other in others:
            losses = losses + nothing_of(xp, other)
        return losses

    def closed_form(
        self, inputs: Sequence[Array], options: Mapping[str, Array], argnums: Sequence[int | str]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The reduced loss and its gradients with respect to some inputs."""
        xp = backend_of(inputs[0]).namespace(inputs[0])
        self.check_scalar()
        if self.by_autodiff():
            kind = type(inputs[0]).__name__
            raise TypeError(f"{self.loss.__name__} has no closed-form gradient here, and {kind} none of its own")
        arguments = dict(zip(self.loss.arrays, inputs, strict=True)) | dict(options)
        if self.is_empty(inputs):
            names = self.chosen(argnums, list(arguments))
            return self(inputs, options), tuple(xp.zeros_like(arguments[name]) for name in names)
        ready = self.prepare(xp, inputs, options)
        losses, *gradients = ready.kernel(*ready.arrays)
        value, coefficient = reduce(xp, losses, self.reduction, ready.weights)
        local_by = dict(zip((*self.loss.arrays, *ready.kernel.names), gradients, strict=False))
        share = coefficient()
        results = []
        for name in self.chosen(argnums, [name for name, gradient in local_by.items() if gradient is not None]):
            given = arguments[name]
            local = local_by[name]()
            if name == "class_weight" and ready.weights.class_weight is not None and ready.weights.denominator is None:
                # It is in the denominator as well.
                local = local - value * xp.astype(self._class_share(xp, ready.arrays, local), local.dtype)
            gradient = pull(share, local)
            if ready.weights.mask is not None:
                gradient = xp.where(expand(ready.weights.mask, gradient.ndim), gradient, 0.0)
            if name not in self.loss.arrays:
                gradient = sum_to(xp, gradient, tuple(given.shape))
            elif self.axis not in (None, losses.ndim) and local.ndim > losses.ndim:
                gradient = xp.moveaxis(gradient, -1, self.axis)
            results.append(cast(xp, gradient, inputs[0].dtype if name in self.numbers else given.dtype))
        return self.finish(xp, value, inputs, options), tuple(results)

    def check_scalar(self) -> None:
        """Raise where the result is no scalar, and so has no gradient."""
        if self.reduction == "none":
            raise ValueError(
                f"{self.loss.__name__}: a gradient needs a scalar: reduction must be 'sum' or a mean, got 'none'"
            )

    def chosen(self, argnums: Sequence[int | str], possible: Sequence[str]) -> list[str]:
        """The names of the arguments, all of which there must be a gradient by."""
        names = [number if isinstance(number, str) else self.loss.arrays[number] for number in argnums]
        for number, name in zip(argnums, names, strict=True):
            if name not in possible:
                raise ValueError(
                    f"{self.loss.__name__}: argnums must be of {', '.join(possible)}, which have a gradient in closed "
                    f"form; got {number!r}"
                )
        return names

    def check_shapes(self, inputs: Sequence[Array], options: Mapping[str, Array]) -> None:
        """Raise for all that dtypes and shapes tell."""
        name, first = self.loss.__name__, self.loss.arrays[0]
        xp = backend_of(inputs[0]).namespace(inputs[0])
        whole, rows = tuple(inputs[0].shape), self.rows(inputs)
        for key, array, domain in self._arguments(inputs):
            shape = tuple(array.shape)
            if isinstance(domain, Classes):
                self._check_classes(xp, key, array, whole, rows, inputs, options)
            else:
                (checks.real if key == "target" else checks.real_floating)(name, key, xp, array)
                expected, what = (
                    (rows, "one value per row, shape") if domain.per_example else (whole, f"the shape of {first},")
                )
                # Without its axis of classes, a row of one would be another kind of row.
                of = None if domain.per_example or self.axis is not None else first
                checks.shape_is(name, key, shape, expected, what, of=of)
        if self.axis is not None:
            checks.has_entries(name, first, whole, self.axis)
        last = whole if self.axis is None else (whole[self.axis],)
        for key, value in options.items():
            self._check_option(xp, key, value, rows, last)

    def _check_option(self, xp: Namespace, key: str, value: Array, rows: checks.Shape, last: checks.Shape) -> None:
        name, shape = self.loss.__name__, tuple(value.shape)
        domain = self.loss.domains.get(key, REAL)
        if key == "where":
            checks.boolean(name, key, xp, value)
        elif key == IGNORED:
            if not checks.is_integer(xp, value) or shape:
                raise checks.one_id(name, key, value)
        else:
            checks.real(name, key, xp, value)
        if key == "denominator" or domain.scalar:
            checks.shape_is(name, key, shape, (), "the shape of a number,")
        elif key in OF_A_CALL:
            checks.shape_starts(name, key, shape, rows)
        elif key != IGNORED:
            checks.shape_ends(name, key, shape, last, self.axis is not None)

    def check_values(self, inputs: Sequence[Array], options: Mapping[str, Array]) -> None:
        """Raise for values outside their domain, masked examples aside."""
        look = backend_of(inputs[0]).look
        inputs, options = [look(array) for array in inputs], {key: look(array) for key, array in options.items()}
        self.check_options(inputs, options)
        xp = backend_of(inputs[0]).namespace(inputs[0])
        name = self.loss.__name__
        for key, array, outside, domain, classes in self.outside(xp, inputs, options):
            if not bool(xp.any(outside)):
                continue
            above = domain.low == -math.inf < domain.high < math.inf
            ignorable = checks.is_integer(xp, array) and IGNORED in self.loss.defaults and IGNORED not in options
            # Its name again: a function of `compat` that calls it may have no such keyword.
            negative = f"to leave such examples out, {name} takes {IGNORED}={{:.0f}}" if ignorable else ""
            expected = domain.expected(classes)
            error = checks.is_outside(
                name, key, xp, array, outside, expected, hint=domain.hint, negative=negative, largest=above
            )
            if len(inputs) == 2 and key == self.loss.arrays[1] and checks.labels_first(xp, inputs, domain):
                error = ValueError(words.with_order(str(error), name, self.loss.arrays, self.loss.__module__))
            raise error

    def check_options(self, inputs: Sequence[Array], options: Mapping[str, Array]) -> None:
        """Raise for values of parameters outside their domain."""
        xp = backend_of(inputs[0]).namespace(inputs[0])
        for key, value in options.items():
            domain = self.loss.domains.get(key, REAL)
            if not domain.everything and key not in self.numbers:
                refused = domain.refuses(xp, value)
                checks.none_outside(self.loss.__name__, key, xp, value, refused, str(domain), hint=domain.hint)
        if "denominator" in options:
            number = float(options["denominator"])
            rows = len(self.rows(inputs))
            if not number > 0:
                mask = self._mask(xp, inputs, options, rows)
                if number != 0 or not (self.is_empty(inputs) or (mask is not None and not bool(xp.any(mask)))):
                    raise ValueError(
                        f"{self.loss.__name__}: denominator must be positive, or 0 where nothing counts; got {number:g}"
                    )

    def outside(
        self, xp: Namespace, inputs: Sequence[Array], options: Mapping[str, Array]
    ) -> Iterator[tuple[str, Array, Array, Domain, int | None]]:
        """Each argument that has a domain, where it is outside, masked examples aside, and its domain: for class ids,
        with the number of classes."""
        rows = inputs[0].ndim - (self.axis is not None)
        mask = self._mask(xp, inputs, options, rows)
        arguments = self._arguments(inputs)
        of_class, ids_of_rows = self._of_class(xp, arguments), None
        for key, array, domain in arguments:
            if not domain.everything and key not in of_class:
                ids = _holds_ids(xp, array, domain)
                classes = inputs[0].shape[self.axis] if ids else None
                # In its own dtype a bound may wrap.
                wide = checks.wide_ids(xp, array) if ids else cast(xp, array, floating(xp, array, inputs[0]))
                outside = domain.outside(xp, wide, classes)
                if mask is not None:
                    outside = outside & (
                        mask if self.axis is None or array.ndim == rows else xp.expand_dims(mask, axis=self.axis)
                    )
                yield key, array if ids else wide, outside, domain, classes
                if ids:
                    ids_of_rows = wide if mask is None else xp.where(mask, wide, xp.zeros_like(wide))
        # Only once the ids are known to be those of classes.
        for key, array, domain in arguments:
            if key in of_class:
                array = pick(xp, self._row_last(xp, array), ids_of_rows)[..., 0]
                outside = domain.outside(xp, array)
                yield key, array, outside if mask is None else outside & mask, domain, None
        yield from self._weights_outside(xp, options, mask, rows)

    def _weights_outside(
        self, xp: Namespace, options: Mapping[str, Array], mask: Array | None, rows: int
    ) -> Iterator[tuple[str, Array, Array, Domain, int | None]]:
        """The same of weights. Those of masked examples do not matter."""
        if "sample_weight" in options and is_floating(xp, options["sample_weight"]):
            weight = expand(options["sample_weight"], rows)
            outside = WEIGHT.outside(xp, weight)
            yield "sample_weight", weight, outside if mask is None else outside & mask, WEIGHT, None

    def _check_classes(
        self,
        xp: Namespace,
        key: str,
        array: Array,
        whole: checks.Shape,
        rows: checks.Shape,
        inputs: Sequence[Array],
        options: Mapping[str, Array],
    ) -> None:
        name, shape = self.loss.__name__, tuple(array.shape)
        first = self.loss.arrays[0]
        dtype = f"the dtype of {first}, {inputs[0].dtype},"
        if checks.is_integer(xp, array):
            if not checks.same_shape(shape, rows):
                others = range(len(whole)) if self.axis is not None else ()
                fits = [a for a in others if checks.same_shape(shape, whole[:a] + whole[a + 1 :])]
                hint = f"; for classes along another axis of {first} say axis={fits[0]}" if fits else ""
                if checks.same_shape(shape, whole) and whole != (*rows, 1):
                    hint = f"; if these are probabilities, such as one-hot rows, convert them to {dtype} first"
                checks.shape_is(name, key, shape, rows, "class ids, one per row, shape", hint)
            return
        if checks.same_shape(shape, rows):
            raise TypeError(
                f"{name}: {key} with one value per row holds class ids: integers; got dtype {array.dtype}; convert "
                "them to integers first"
            )
        checks.real_floating(name, key, xp, array, dtype, " or class ids")
        checks.shape_is(name, key, shape, whole, f"class ids (integers), or probabilities in the shape of {first},")
        if IGNORED in options:
            raise ValueError(f"{name}: {IGNORED} must come with class ids, got probabilities as {key}")

    def _arguments(self, arrays: Sequence[Array]) -> list[tuple[str, Array, Domain]]:
        parameters = dict(self.parameters)
        domains = (self.loss.domains.get(key, REAL) for key in self.loss.arrays)
        domains = ((d.instead or REAL) if d.unless and parameters.get(d.unless) else d for d in domains)
        return list(zip(self.loss.arrays, arrays, domains, strict=True))

    def _of_class(self, xp: Namespace, arguments: Sequence[tuple[str, Array, Domain]]) -> list[str]:
        """The arrays of which only the entries that class ids name are looked at."""
        ids = any(_holds_ids(xp, array, domain) for _, array, domain in arguments)
        return [key for key, _, domain in arguments if ids and domain.of_class]

    def _row_last(self, xp: Namespace, array: Array) -> Array:
        """An array of rows with these along its last axis."""
        return array if self.axis in (None, array.ndim - 1) else xp.moveaxis(array, self.axis, -1)

    def by_autodiff(self) -> bool:
        autodiff = self.loss.autodiff
        return autodiff if isinstance(autodiff, bool) else dict(self.parameters).get(autodiff) is not None

    def _mask(self, xp: Namespace, inputs: Sequence[Array], options: Mapping[str, Array], rows: int) -> Array | None:
        """Which examples count: those of ``where`` whose class is not ignored."""
        mask = options.get("where")
        if mask is not None:
            mask = expand(mask, rows)
        if IGNORED in options:
            for _, array, domain in self._arguments(inputs):
                if _holds_ids(xp, array, domain):
                    ids, ignored = checks.wide_ids(xp, array), checks.wide_ids(xp, options[IGNORED])
                    kind = ids.dtype if ids.dtype == ignored.dtype else xp.int64
                    kept = cast(xp, ids, kind) != cast(xp, ignored, kind)
                    mask = kept if mask is None else mask & kept
        return mask

    def prepare(self, xp: Namespace, inputs: Sequence[Array], options: Mapping[str, Array]) -> "Ready":
        """The arrays as a kernel wants them: rows last, in float32 or float64, masked examples at 0."""
        loss, first = self.loss, inputs[0]
        dtype = working(xp, first.dtype)
        rows = first.ndim - (self.axis is not None)
        mask = self._mask(xp, inputs, options, rows)
        arrays: list[Array] = []
        arguments = self._arguments(inputs)
        for _, array, domain in arguments:
            ready = checks.wide_ids(xp, array) if _holds_ids(xp, array, domain) else cast(xp, array, dtype)
            if array.ndim > rows:
                ready = self._row_last(xp, ready)
            if mask is not None:
                # Safe input instead of a safe result: NaN in a masked example then meets no derivative.
                ready = xp.where(expand(mask, ready.ndim), ready, xp.zeros_like(ready))
            arrays.append(ready)
        parameters = dict(self.parameters)
        bound = {key: cast(xp, value, dtype) for key, value in options.items() if key not in (*OF_A_CALL, IGNORED)}
        poison = None
        if not self.readable:
            arrays, bad = self._unseen(xp, arguments, arrays, bound, options, mask)
            for outside in bad:
                poison = poisoned(poison, outside, dtype)
        for key, domain in loss.domains.items():
            choice = parameters.get(key)
            if domain.named and isinstance(choice, str):
                del parameters[key]
                bound[key] = backend_of(first).stop_gradient(domain.named[choice](xp, *arrays, mask))
        weight, denominator = (
            None if key not in options else cast(xp, options[key], dtype) for key in ("sample_weight", "denominator")
        )
        denominator = self._denominator(xp, denominator, inputs, mask, dtype)
        return Ready(
            BoundKernel(loss.kernel, len(arrays), tuple(parameters.items()), tuple(bound), self.axis is not None),
            (*arrays, *bound.values()),
            Weights(
                poison,
                weight,
                mask,
                denominator,
                self._class_weight(xp, arrays, bound.get("class_weight", parameters.get("class_weight"))),
            ),
        )

    def _denominator(
        self, xp: Namespace, given: Array | None, inputs: Sequence[Array], mask: Array | None, dtype: Any
    ) -> Array | None:
        """The denominator that was given: NaN where it is none, and could not be looked at."""
        if given is None or self.readable:
            return given
        possible = given > 0
        if mask is not None:
            possible = possible | ((given == 0) & ~xp.any(mask))
        elif self.is_empty(inputs):
            possible = possible | (given == 0)
        return given * backend_of(inputs[0]).poison(~possible, dtype)

    def _unseen(
        self,
        xp: Namespace,
        arguments: Sequence[tuple[str, Array, Domain]],
        arrays: Sequence[Array],
        bound: Mapping[str, Array],
        options: Mapping[str, Array],
        mask: Array | None,
    ) -> tuple[list[Array], list[Array]]:
        """Prepared arrays that could not be looked at, with 0 for class ids that are none; and in which rows, or
        whether anywhere, something is outside its domain."""
        rows = arrays[0].ndim - (self.axis is not None)
        found, bad = list(arrays), []
        of_class, ids_of_rows = self._of_class(xp, arguments), None
        for place, (key, _, domain) in enumerate(arguments):
            if domain.everything or key in of_class:
                continue
            array = arrays[place]
            ids = _holds_ids(xp, array, domain)
            classes = backend_of(array).length(arrays[0], -1, array) if ids else None
            outside = domain.outside_in_row(xp, array) if array.ndim > rows else domain.outside(xp, array, classes)
            if ids:
                ids_of_rows = found[place] = xp.where(outside, xp.zeros_like(array), array)
            bad.append(outside if mask is None else outside & mask)
        for (key, _, domain), array in zip(arguments, arrays, strict=True):
            if key in of_class:
                bad.append(domain.outside(xp, pick(xp, array, ids_of_rows)[..., 0]))
        bad += [outside for _, _, outside, _, _ in self._weights_outside(xp, options, mask, rows)]
        for key, value in bound.items():
            domain = self.loss.domains.get(key, REAL)
            if not domain.everything and key not in self.numbers:
                bad.append(xp.any(domain.refuses(xp, value)))
        return found, bad

    def _class_weight(self, xp: Namespace, arrays: Sequence[Array], class_weight: Array | None) -> Array | None:
        """What ``class_weight`` contributes to the weight of each example."""
        if class_weight is None or self.reduction != "weighted_mean":
            return None
        target = arrays[self.loss.arrays.index("target")]
        if checks.is_integer(xp, target):
            if not class_weight.ndim:
                return class_weight
            if target.ndim == 1:
                return xp.take(class_weight, target, axis=0)
            share = self._class_share(xp, arrays, class_weight)
            return xp.sum(xp.where(share, class_weight, xp.zeros_like(class_weight)), axis=-1)
        return xp.sum(class_weight * self._class_share(xp, arrays, class_weight), axis=-1)

    def _class_share(self, xp: Namespace, arrays: Sequence[Array], like: Array) -> Array:
        """What each class has of a target: booleans for class ids. Constants, whatever they are made of."""
        target = arrays[self.loss.arrays.index("target")]
        if not checks.is_integer(xp, target):
            return backend_of(target).stop_gradient(target)
        return one_hot(xp, target, like)


def nothing_of(xp: Namespace, array: Array) -> Array:
    """The sum of no entry of `array`: 0, also where one is infinite, with a gradient of zeros."""
    return xp.sum(xp.reshape(array, (-1,))[:0])


def poisoned(poison: Array | None, outside: Array, dtype: Any) -> Array:
    """A factor of NaN, besides another, where a value that could not be looked at is `outside` of its domain."""
    factor = backend_of(outside).poison(outside, dtype)
    return factor if poison is None else poison * factor


def _holds_ids(xp: Namespace, array: Array, domain: Domain) -> bool:
    return isinstance(domain, Classes) and checks.is_integer(xp, array)


@dataclass(frozen=True)
class Ready:
    """What `Plan.prepare` made of the arguments."""

    kernel: BoundKernel
    arrays: tuple[Array, ...]
    weights: Weights
