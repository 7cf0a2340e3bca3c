"""Shapes and dtypes: every message names the argument, what came, and what was expected."""

import functools
import itertools
import math
import numbers
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from .backend import Backend, at_trace_time, find_backend, unwrapped
from .domains import Classes, Domain
from .typing import Array, Namespace

Shape: TypeAlias = tuple[int | None, ...]

_LONGEST = 100
"""So many characters of a parameter are shown."""


def describe(value: Any) -> str:
    """What came, in a few words."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        return f"{type(value).__name__} {value!r}" if isinstance(value, numbers.Number | str) else type(value).__name__
    return f"{type(value).__name__} of shape {tuple(shape)} and dtype {dtype}"


def brief(value: Any) -> str:
    """A parameter in one short line: of an array its number, or how large it is."""
    kind, value = type(value).__name__, unwrapped(value)
    backend = find_backend(type(value))
    if backend is None:
        text = repr(value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    if tuple(value.shape) or not backend.readable(value):
        return f"{kind}(shape={tuple(value.shape)})"
    value = backend.look(value)
    if not is_kind(backend.namespace(value), value, "real floating"):
        return f"{kind}({int(value)})"
    return f"{kind}({float(f'{float(value):.6g}')})"


def no_array(loss: str, name: str, value: Any, others: Iterable[Any] = (), what: str = "an array") -> TypeError:
    """The error for what is no array, beside `others`, some of which may be."""
    backends = (find_backend(type(other)) for other in others)
    constructor = next((backend.constructor for backend in backends if backend is not None), "np.asarray")
    hint = f"; make it one: {constructor}({name})" if isinstance(value, (list, tuple)) else ""
    return TypeError(f"{loss}: {name} must be {what}, got {describe(value)}{hint}")


def common_backend(loss: str, arguments: Mapping[str, Any]) -> Backend:
    """The one backend of all arrays among the arguments. Python numbers belong to any."""
    owners: dict[str, Backend] = {}
    common, mixed = None, False
    for name, value in arguments.items():
        backend = None if type(value) in (float, int) else find_backend(type(value))
        if backend is not None:
            owners[name] = backend
            common = common or backend
            mixed = mixed or backend is not common
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise no_array(loss, name, value, arguments.values())
    if common is None:
        came = ", ".join(map(describe, arguments.values())) or "none"
        raise TypeError(f"{loss}: expected at least one array, got {came}")
    if mixed:
        common = _common(loss, owners)
    firsts: dict[str, Array] = {}
    for name, backend in owners.items():
        value = arguments[name]
        first = firsts.setdefault(backend.name, value)
        refusal = backend.refusal(value) or (None if first is value else backend.refusal_beside(value, first))
        if refusal is not None:
            raise TypeError(f"{loss}: {name} must be a plain array, got {refusal}")
    return common


def _common(loss: str, owners: Mapping[str, Backend]) -> Backend:
    """The one backend of all arrays, by whose they are. Arrays of NumPy may come beside those of some frameworks."""
    found = list({backend.name: backend for backend in owners.values()}.values())
    others = [backend for backend in found if backend.name != "numpy"]
    if len(found) == 1 or (len(others) == 1 and others[0].welcomes_numpy):
        return others[0] if others else found[0]
    firsts: dict[str, str] = {}
    for name, backend in owners.items():
        firsts.setdefault(backend.name, name)
    names = ", ".join(f"{firsts[backend.name]} is {backend.name}" for backend in found)
    hint = ""
    if "numpy" in firsts:
        hint = f"; convert what is NumPy's, as in {others[0].constructor}({firsts['numpy']})"
    raise TypeError(f"{loss}: all arrays must come from one framework, but {names}{hint}")


_KINDS = {"f": "real floating", "i": "integral", "u": "integral", "b": "bool"}
"""What the Array API calls the kinds of NumPy's own dtypes."""


def is_kind(xp: Namespace, array: Array, *kinds: str) -> bool:
    """Whether an array has a dtype of one of these kinds. NumPy knows none for bfloat16."""
    dtype = array.dtype
    kind = _KINDS.get(getattr(dtype, "kind", ""))
    if kind is not None:
        # As `isdtype`, which takes longer than all other checks.
        return kind in kinds
    return "real floating" in kinds if is_half(dtype) else bool(xp.isdtype(dtype, kinds))


def is_integer(xp: Namespace, array: Array) -> bool:
    return is_kind(xp, array, "integral")


@at_trace_time
def _of_integer(dtype: str) -> tuple[bool, int]:
    """Whether an integer dtype is unsigned, and how many bits it has."""
    kind = re.search(r"(u?)int(\d+)", dtype)
    return (bool(kind[1]), int(kind[2])) if kind else (False, 32)


def wide_ids(xp: Namespace, ids: Array, *, alike: bool = False) -> Array:
    """Class ids in a signed dtype, so that no comparison wraps. What does not fit becomes the largest.

    With `alike` it wraps instead: ids that are compared with each other alone are as different as before.
    """
    dtype = ids.dtype
    known = getattr(dtype, "kind", "") in ("i", "u")
    unsigned, bits = (dtype.kind == "u", 8 * dtype.itemsize) if known else _of_integer(str(dtype))
    if not unsigned and bits in (32, 64):
        return ids
    wide = xp.astype(ids, xp.int64 if bits + unsigned > 32 else xp.int32)
    if not unsigned or bits < 32 or alike:
        return wide
    return xp.where(wide < 0, xp.full_like(wide, xp.iinfo(wide.dtype).max), wide)


TO_FLOAT = "; convert it to float32 first"


def real_floating(
    loss: str, name: str, xp: Namespace, array: Array, dtype_hint: str = "float32", why: str = "", unless: str = ""
) -> None:
    """A prediction must be real floating."""
    if not is_kind(xp, array, "real floating"):
        hint = f"; convert it to {dtype_hint} first{unless}" if is_kind(xp, array, "integral", "bool") else ""
        raise TypeError(f"{loss}: {name} must be real floating{why}, got dtype {array.dtype}{hint}")


def real(loss: str, name: str, xp: Namespace, array: Array) -> None:
    """A target or a weight may be integer or boolean too, but not complex."""
    if not is_kind(xp, array, "real floating", "integral", "bool"):
        raise TypeError(f"{loss}: {name} must be real, got dtype {array.dtype}")


def integer(loss: str, name: str, xp: Namespace, array: Array, what: str) -> None:
    """Class ids and lengths must be integers."""
    if not is_integer(xp, array):
        raise TypeError(f"{loss}: {name} must be {what}: integers; got dtype {array.dtype}")


def is_class(loss: str, name: str, value: int, classes: int | None) -> None:
    """A parameter must be the id of one of so many classes."""
    if classes is not None and value >= classes:
        raise ValueError(f"{loss}: {name} must be a class id in [0, {classes}), got {value!r}")


def boolean(loss: str, name: str, xp: Namespace, array: Array) -> None:
    if not is_kind(xp, array, "bool"):
        raise TypeError(
            f"{loss}: {name} must be boolean, got dtype {array.dtype}; compare first, as in {name}=mask != 0"
        )


def one_id(loss: str, name: str, value: Any) -> TypeError:
    """The error for what is not the one class id to ignore."""
    several = isinstance(value, (list, tuple, set)) or bool(tuple(getattr(value, "shape", ())))
    ids, hint = _ids_in(value) if several else [], ""
    if len(ids) == 1:
        hint = f"; say {name}={ids[0]}"
    elif several:
        each = [f"(target != {one})" for one in ids[:2]] + ["..."] * (len(ids) > 2 or not ids)
        hint = f"; of several classes, leave out each by where={' & '.join(each)}"
    return TypeError(f"{loss}: {name} must be a whole number, one class id, got {describe(value)}{hint}")


def _ids_in(value: Any) -> list[int]:
    """The class ids in a sequence or in an array, three at most, if that can be looked at."""
    backend = find_backend(type(value))
    if backend is not None:
        array = unwrapped(value)
        if array.ndim != 1 or not backend.readable(array) or not is_integer(backend.namespace(array), array):
            return []
        value = [int(backend.look(array)[place]) for place in range(min(3, array.shape[0]))]
    return [one for one in value if isinstance(one, int) and not isinstance(one, bool)][:3]


def axis_of(loss: str, axis: Any, ndim: int) -> int:
    """An axis, counted from the front."""
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise not_static(loss, "axis", axis)
    if ndim == 0:
        raise ValueError(f"{loss}: an array with one axis or more was expected, got one of shape ()")
    if not -ndim <= axis < ndim:
        raise ValueError(f"{loss}: axis must be in [{-ndim}, {ndim}), got {axis}")
    return axis % ndim


def is_half(dtype: Any) -> bool:
    """Whether a dtype has 16 bits: such arrays are computed in float32."""
    # NumPy takes its time to spell a dtype.
    return getattr(dtype, "itemsize", 2) == 2 and "float16" in str(dtype)


def looks_swapped(xp: Namespace, first: Array, second: Array, axis: int | None, domain: Domain) -> bool:
    """Whether the two arrays of a loss, whose shapes or dtypes do not fit, would in the other order.

    `domain` is that of the second, the target. Where it may be any number, nothing tells which is which.
    """
    floating = [is_kind(xp, array, "real floating") for array in (first, second)]
    if floating != [True, True] or axis is None or not isinstance(domain, Classes):
        return floating == [False, True] and (isinstance(domain, Classes) or not domain.everything)
    # Keras makes floats of class ids, one for each row.
    one_each = first.ndim == second.ndim and first.shape[axis] == 1 != second.shape[axis]
    return bool(first.ndim < second.ndim or one_each)


def labels_first(xp: Namespace, arrays: Sequence[Array], domain: Domain) -> bool:
    """Whether the first of two arrays has values that a target may have, and the second has not."""
    first, second = arrays
    if domain.everything or not is_kind(xp, second, "real floating"):
        return False
    return not bool(xp.any(domain.outside(xp, first))) and bool(xp.any(domain.outside(xp, second)))


def same_length(one: int | None, other: int | None) -> bool:
    """Whether two lengths agree. A length that is unknown while tracing agrees with any."""
    return one is None or other is None or one == other


def same_shape(one: Shape, other: Shape) -> bool:
    return one == other or (len(one) == len(other) and all(map(same_length, one, other)))


def without_ones(name: str, shape: Shape, agrees: Callable[[Shape], bool]) -> str:
    """How to index an array so that it fits, where nothing but axes of length 1 is in the way."""
    ones = [axis for axis, length in enumerate(shape) if length == 1]
    for count in range(1, len(ones) + 1):
        for axes in itertools.combinations(reversed(ones), count):
            if agrees(tuple(length for axis, length in enumerate(shape) if axis not in axes)):
                index = ", ".join("0" if axis in axes else ":" for axis in range(max(axes) + 1))
                return f"; say {name}[{index}]"
    return ""


def shape_is(
    loss: str, name: str, shape: Shape, expected: Shape, why: str, hint: str = "", of: str | None = None
) -> None:
    """The shape must be `expected`, that of the argument `of`."""
    if not same_shape(shape, expected):
        hint = hint or without_ones(name, shape, functools.partial(same_shape, expected))
        if of is not None and not hint:
            hint = without_ones(of, expected, functools.partial(same_shape, shape))
        raise ValueError(f"{loss}: {name} must have {why} {expected}, got {shape}; nothing is broadcast{hint}")


def shape_ends(loss: str, name: str, shape: Shape, last: Shape, rowwise: bool) -> None:
    """A parameter that is an array belongs to the last axes; in a row-wise loss, to the entries of a row."""
    ends = last[len(last) - len(shape) :]
    # Within these, an axis of length 1 says that all along it share a number.
    spread = shape if rowwise else tuple(known if one == 1 else one for one, known in zip(shape, ends, strict=False))
    if len(shape) > len(last) or not same_shape(spread, ends):
        expected = f"one number per class, {last}," if rowwise else f"the shape of the last axes of {last}, or 1 there,"
        raise ValueError(f"{loss}: {name} must have {expected} or be a number; got shape {shape}")


def shape_starts(loss: str, name: str, shape: Shape, examples: Shape) -> None:
    """A weight or a mask may lack trailing axes."""

    def agrees(shape: Shape) -> bool:
        return same_shape(shape, examples[: len(shape)])

    if not agrees(shape):
        raise ValueError(
            f"{loss}: {name} must have the shape of the per-example losses {examples} or lack trailing axes of it, "
            f"got {shape}; nothing is broadcast along other axes{without_ones(name, shape, agrees)}"
        )


def has_entries(loss: str, name: str, shape: Shape, axis: int) -> None:
    """There may be no rows, but not rows of nothing."""
    if shape[axis] == 0:
        raise ValueError(f"{loss}: {name} must have entries along axis {axis}, got shape {shape}")


def real_number(loss: str, name: str, value: Any) -> None:
    """A parameter that is data, and no array."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{loss}: {name} must be a real number or an array, got {describe(value)}")


def number_in(loss: str, name: str, value: Any, domain: Domain) -> None:
    """A parameter given as a number."""
    real_number(loss, name, value)
    if not domain.holds(value):
        # Not the domain itself, of which PyTorch's compiler would write the class.
        raise ValueError(f"{loss}: {name} must be {domain.expected()}, got {value!r}")


def fits_dtype(loss: str, name: str, value: float, dtype: Any, domain: Domain | None = None) -> None:
    """A number must be one in the dtype that it travels in: not become 0, infinite or the open end of its domain."""
    if domain is not None and domain.open_high and domain.high - value < 1e-7 * abs(domain.high) < math.inf:
        rounded = float(np.float32(value)) if "float32" in str(dtype) else value
        if not domain.holds(rounded):
            raise ValueError(f"{loss}: {name} must be {domain.expected()} in float32 too, got {value!r}")
    if 1e-30 < abs(value) < 2**31 or value == 0:
        return
    kind = next(name for name in ("int32", "int64", "float32", "float64") if name in str(dtype))
    if kind.startswith("int"):
        end = 2 ** (int(kind[3:]) - 1)
        good = -end <= value < end
    else:
        smallest, largest = (1e-45, 3.4028235e38) if kind == "float32" else (0.0, sys.float_info.max)
        good = value != value or abs(value) == math.inf or smallest <= abs(value) <= largest
    if not good:
        raise ValueError(f"{loss}: {name} must fit into {kind}, got {value!r}")


def none_outside(
    loss: str,
    name: str,
    xp: Namespace,
    array: Array,
    outside: Array,
    expected: str,
    hint: str | Mapping[float, str] = "",
) -> None:
    """Raise where `outside` is True anywhere."""
    if bool(xp.any(outside)):
        raise is_outside(loss, name, xp, array, outside, expected, hint=hint)


def is_outside(
    loss: str,
    name: str,
    xp: Namespace,
    array: Array,
    outside: Array,
    expected: str,
    *,
    hint: str | Mapping[float, str] = "",
    negative: str = "",
    largest: bool = False,
) -> ValueError:
    """The error for the first value where `outside` is True, or for the largest.

    `hint` ends the message, or what it has for the value; or `negative` where the value is: with braces for it.
    """
    shape = tuple(outside.shape)
    # A weight may belong to several examples, of which some count.
    array, outside = (xp.reshape(a, (-1,)) for a in (xp.broadcast_to(array, shape), outside))
    found = int(xp.argmax(xp.where(outside, array, -xp.inf) if largest else xp.astype(outside, xp.int32)))
    value = float(array[found])
    way = hint if isinstance(hint, str) else hint.get(value, "")
    way = negative.format(value) if negative and value < 0 else way.replace("{name}", name)
    came = f"{value:g} (element {found} of shape {shape})"
    return ValueError(f"{loss}: {name} must be {expected}, got {'; '.join([came, way] if way else [came])}")


def not_static(loss: str, name: str, value: Any) -> TypeError:
    """The error for an array, or anything else, in the place of what a loss branches on."""
    backend = find_backend(type(value))
    hint = backend.static_hint.format(name=name) if backend is not None and not backend.readable(value) else ""
    expected = (
        "an integer"
        if name == "axis"
        else "known while a call is traced, for it decides what is computed: True, False or a number, not an array"
    )
    return TypeError(f"{loss}: {name} must be {expected}, got {describe(value)}{hint}")


def one_of(loss: str, name: str, value: Any, choices: tuple[bool | str, ...]) -> None:
    if not isinstance(value, bool | str) or value not in choices:
        raise ValueError(f"{loss}: {name} must be one of {', '.join(map(str, choices))}, got {value!r}")
