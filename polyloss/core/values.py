"""Values outside of their domains: raised for where they can be looked at, and poison where they cannot."""

import functools
import math
import operator
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from . import checks, words
from .arguments import EXAMPLES, IGNORED
from .backend import backend_of
from .binding import Binding, holds_ids
from .collectives import Group
from .domains import WEIGHT, ClassSequences, Domain, Lengths
from .dtypes import cast, cast_count, floating, is_floating, working
from .entries import pick, positions
from .reduction import expand
from .typing import Array, Namespace


class Outside(NamedTuple):
    """Where an argument has values outside of its domain, masked examples aside."""

    name: str
    array: Array
    flags: Array
    domain: Domain
    classes: int | None = None
    """How many, of class ids."""


def check_values_of_all(binding: Binding, named: Mapping[str, Array], group: Group) -> None:
    """`check_values` of each member of a group: what one of them raises for is an error for all, and nobody waits."""
    error: Exception | None = None
    try:
        check_values(binding, named)
    except Exception as found:
        error = found
    first = named[binding.loss.arrays[0]]
    backend = backend_of(first)
    raised = group.maximum(backend.asarray(int(error is not None), first, backend.namespace(first).int32))
    if error is not None:
        raise error
    if int(raised):
        raise ValueError(
            f"{binding.loss.__name__}: another member of the group has values outside of their domain; it says which"
        )


def check_values(binding: Binding, named: Mapping[str, Array]) -> None:
    """Raise for values outside their domain, masked examples aside."""
    loss, first = binding.loss, binding.loss.arrays[0]
    backend = backend_of(named[first])
    named = {name: backend.look(array) for name, array in named.items()}
    check_parameters(binding, named)
    xp = backend_of(named[first]).namespace(named[first])
    for name, array, flags, domain, classes in outside(binding, xp, named):
        if not bool(xp.any(flags)):
            continue
        above = domain.low == -math.inf < domain.high < math.inf
        ignorable = classes is not None and IGNORED in loss.parameters and IGNORED not in named
        # Its name again: a function of `compat` that calls it may have no such keyword.
        negative = f"to leave such examples out, {loss.__name__} takes {IGNORED}={{:.0f}}" if ignorable else ""
        error = checks.is_outside(
            loss.__name__,
            name,
            xp,
            array,
            flags,
            domain.expected(classes),
            hint=domain.hint,
            negative=negative,
            largest=above,
        )
        if len(loss.arrays) == 2 and name == loss.arrays[1]:
            arrays = [named[key] for key in loss.arrays]
            if checks.labels_first(xp, arrays, domain):
                error = ValueError(words.with_order(str(error), loss.__name__, loss.arrays, loss.__module__))
        raise error


def check_parameters(binding: Binding, named: Mapping[str, Array]) -> None:
    """Raise for values of parameters outside their domain."""
    name, first = binding.loss.__name__, named[binding.loss.arrays[0]]
    xp = backend_of(first).namespace(first)
    for key in _looked_at(binding, named):
        check_domain(name, key, binding.loss.domains[key], xp, _as_computed(xp, named[key], first))
    if "denominator" in named:
        number = float(_as_computed(xp, named["denominator"], first))
        if not number > 0:
            mask = binding.mask(xp, named)
            if number != 0 or not (binding.is_empty(named) or (mask is not None and not bool(xp.any(mask)))):
                raise ValueError(f"{name}: denominator must be positive, or 0 where nothing counts; got {number:g}")


def check_domain(loss: str, name: str, domain: Domain, xp: Namespace, value: Array) -> None:
    """Raise for values of one parameter outside its domain, where these can be looked at."""
    checks.none_outside(loss, name, xp, value, domain.refuses(xp, value), str(domain), hint=domain.hint)


def _as_computed(xp: Namespace, value: Array, first: Array) -> Array:
    """A parameter in the dtype that is computed in, where it may be the end of its domain."""
    return cast(xp, value, working(xp, first.dtype)) if is_floating(xp, first) else value


def _looked_at(binding: Binding, named: Container[str]) -> list[str]:
    """The parameters whose values tell something: that they are numbers was seen before."""
    found, numbers = [], binding.numbers
    for name, domain in binding.loss.domains.items():
        parameter = name in named and name not in binding.loss.arrays and name not in numbers
        if parameter and not domain.everything:
            found.append(name)
    return found


def checks_parameters(binding: Binding) -> bool:
    """Whether `check_parameters` looks at anything."""
    return "denominator" in binding.names or bool(_looked_at(binding, binding.names))


def outside(binding: Binding, xp: Namespace, named: Mapping[str, Array]) -> Iterator[Outside]:
    """Each argument that has a domain, beside where it is outside of it."""
    first = named[binding.loss.arrays[0]]
    rows, mask = len(binding.losses_shape(named)), binding.mask(xp, named)
    inputs = binding.inputs()
    of_class, ids_of_rows = _of_class(xp, inputs, named), None
    kept = binding.kept_in_rows(xp, named) if len(binding.loss.row) > 1 else {}
    for name, domain in inputs:
        if domain.everything or name in of_class:
            continue
        array, ids = named[name], holds_ids(xp, named[name], domain)
        classes = _whole(binding, named, class_axis(binding, name, named)[1]) if ids else None
        # In its own dtype a bound may wrap.
        wide = checks.wide_ids(xp, array) if ids else cast(xp, array, floating(xp, array, first))
        flags = domain.outside(xp, wide, classes)
        if isinstance(domain, ClassSequences):
            flags = _counted(binding, xp, domain, wide, flags, named)
        counted = mask
        if counted is not None:
            for place, axis in enumerate(binding.axes(binding.loss.arguments[name], array, rows)):
                counted = counted if axis[0] == EXAMPLES else xp.expand_dims(counted, axis=place)
            flags = flags & counted
        if name in kept:
            flags = flags & kept[name]
        yield Outside(name, array if ids else wide, flags, domain, classes)
        if ids:
            ids_of_rows = wide if counted is None else xp.where(counted, wide, xp.zeros_like(wide))
    # Only once the ids are known to be those of classes.
    for name, domain in inputs:
        if name in of_class:
            array = pick(xp, row_last(binding, xp, name, named[name], rows), ids_of_rows)[..., 0]
            flags = domain.outside(xp, array)
            yield Outside(name, array, flags if mask is None else flags & mask, domain)
    if "sample_weight" in named and is_floating(xp, named["sample_weight"]):
        # Those of masked examples do not matter.
        weight = expand(named["sample_weight"], rows)
        flags = WEIGHT.outside(xp, weight)
        yield Outside("sample_weight", weight, flags if mask is None else flags & mask, WEIGHT)


def unseen(
    binding: Binding,
    xp: Namespace,
    named: Mapping[str, Array],
    ready: Mapping[str, Array],
    rows: int,
    mask: Array | None,
) -> tuple[dict[str, Array], list[Array]]:
    """Arrays that could not be looked at, with 0 for class ids that are none; and in which rows, or whether anywhere,
    something is outside its domain.

    `ready` are the arrays as a kernel wants them, where examples have so many axes: `rows`.
    """
    found, bad = dict(ready), []
    inputs, kept = binding.inputs(), binding.kept_in_rows(xp, named) if len(binding.loss.row) > 1 else {}
    of_class, ids_of_rows = _of_class(xp, inputs, named), None
    for name, domain in inputs:
        if domain.everything or name in of_class:
            continue
        array, ids, classes = ready[name], holds_ids(xp, named[name], domain), None
        if ids:
            holder, _ = class_axis(binding, name, named)
            letters = binding.loss.arguments[holder].dims[-1]
            axis = letters.index(_letter(binding, name)) - len(letters)
            classes = _whole(binding, ready, backend_of(array).length(ready[holder], axis, array.dtype))
            classes = cast_count(xp, classes, array.dtype)
        of_rows = array.ndim > rows and not ids
        flags = domain.outside_in_row(xp, array) if of_rows else domain.outside(xp, array, classes)
        if isinstance(domain, ClassSequences):
            flags = _counted(binding, xp, domain, array, flags, ready)
        if ids:
            ids_of_rows = found[name] = xp.where(flags, xp.zeros_like(array), array)
            if name in kept:
                flags = flags & row_last(binding, xp, name, kept[name], rows)
        while flags.ndim > rows:
            flags = xp.any(flags, axis=-1)
        bad.append(flags if mask is None else flags & mask)
    for name, domain in inputs:
        if name in of_class:
            bad.append(domain.outside(xp, pick(xp, ready[name], ids_of_rows)[..., 0]))
    weight = ready.get("sample_weight")
    if weight is not None and is_floating(xp, named["sample_weight"]):
        flags = WEIGHT.outside(xp, expand(weight, rows))
        bad.append(flags if mask is None else flags & mask)
    bad += [xp.any(binding.loss.domains[name].refuses(xp, ready[name])) for name in _looked_at(binding, ready)]
    return found, bad


def denominator(
    binding: Binding, xp: Namespace, given: Array | None, named: Mapping[str, Array], mask: Array | None
) -> Array | None:
    """The denominator that was given: NaN where it is none, and could not be looked at."""
    if given is None or binding.readable:
        return given
    possible = given > 0
    if mask is not None:
        possible = possible | ((given == 0) & ~xp.any(mask))
    elif binding.is_empty(named):
        possible = possible | (given == 0)
    return given * backend_of(given).poison(~possible, given.dtype)


def row_last(binding: Binding, xp: Namespace, name: str, array: Array, count: int) -> Array:
    """An array of rows, where the examples have `count` axes, with one axis for each letter of a row, the last ones."""
    row, last = _row_axes(binding, name, array, count)
    if row != last:
        array = xp.moveaxis(array, row, last)
    end = count + len(binding.axis) - len(binding.loss.row) + 1
    if end > count + 1:
        backend = backend_of(array)
        lengths = [backend.length(array, place, xp.int32) for place in range(array.ndim)]
        region = functools.reduce(operator.mul, lengths[count:end])
        array = xp.reshape(array, (*lengths[:count], region, *lengths[end:]))
    return array


def row_back(binding: Binding, xp: Namespace, name: str, array: Array, like: Array, count: int) -> Array:
    """What `row_last` made of the argument `like`, or a gradient by that, with the axes of `like` again."""
    row, last = _row_axes(binding, name, like, count)
    if len(row) > array.ndim - count:
        places = (*(place for place in range(like.ndim) if place not in row), *row)
        array = xp.reshape(array, tuple(like.shape[place] for place in places))
    return array if row == last else xp.moveaxis(array, last, row)


def _row_axes(binding: Binding, name: str, array: Array, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the axes of a row are, and where they go."""
    axes = binding.axes(binding.loss.arguments[name], array, count)
    row = tuple(axes.index(axis) for axis in binding.row if axis in axes)
    return row, tuple(range(array.ndim - len(row), array.ndim))


def class_axis(binding: Binding, ids: str, named: Mapping[str, Array]) -> tuple[str, int]:
    """An argument that has the classes of some ids, and how many there are."""
    letter = _letter(binding, ids)
    count = len(binding.losses_shape(named))
    for name in binding.loss.arrays:
        axes = binding.axes(binding.loss.arguments[name], named[name], count)
        if name != ids and (letter, 0) in axes:
            return name, named[name].shape[axes.index((letter, 0))]
    raise TypeError(f"{binding.loss.__name__}: no array has the classes of {ids}")


def _whole(binding: Binding, named: Mapping[str, Array], classes: Any) -> Any:
    """How many classes there are, of which a member of a group may have some."""
    group_of = binding.loss.group_of
    return classes if group_of is None else group_of(named[binding.loss.arrays[0]]).offset_and_length(classes)[1]


def _letter(binding: Binding, ids: str) -> str:
    """That of the axis that some ids, or lengths, are about."""
    argument = binding.loss.arguments[ids]
    if isinstance(argument.domain, Lengths):
        return argument.domain.of
    return "c" if isinstance(argument.domain, ClassSequences) else argument.dims[-1][-1]


def _counted(
    binding: Binding, xp: Namespace, domain: ClassSequences, ids: Array, flags: Array, named: Mapping[str, Array]
) -> Array:
    """Where ids that count are flagged, or are the blank."""
    flags = flags | (ids == dict(binding.parameters)[domain.blank])
    count = cast(xp, checks.wide_ids(xp, named[domain.count]), ids.dtype)
    return flags & (positions(xp, ids, -1, ids.dtype) < count[..., None])


def _of_class(xp: Namespace, inputs: Sequence[tuple[str, Domain]], named: Mapping[str, Array]) -> list[str]:
    """The arrays of which only the entries that class ids name are looked at."""
    found = [name for name, domain in inputs if domain.of_class]
    ids = bool(found) and any(holds_ids(xp, named[name], domain) for name, domain in inputs)
    return found if ids else []
