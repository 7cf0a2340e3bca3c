"""From the arguments of a call to its plan and its arrays: what is constant, and what is data."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import checks, values, words
from .arguments import EXAMPLES, IGNORED, OF_A_CALL, REGION
from .backend import Backend, at_trace_time, backend_of, find_backend, unwrapped
from .binding import check_keyword_alone
from .call import BoundCall
from .domains import REAL, Classes
from .dtypes import cast, is_floating, working
from .kernel import Definition
from .plan import Plan
from .typing import Array, Namespace

COMMON: dict[str, Any] = {"reduction": "mean", "sample_weight": None, "where": None, "denominator": None}
"""The keywords of every loss, and their defaults."""


def bind(loss: Definition, arrays: tuple[Any, ...], keywords: dict[str, Any]) -> BoundCall:
    """A call, checked but for the values of its arrays."""
    keywords = dict(keywords)
    common = dict(COMMON)
    for key in COMMON:
        if key in keywords:
            common[key] = keywords.pop(key)
    axis = keywords.pop("axis", default_axis(loss)) if loss.rowwise else None
    arrays, own = _inputs(loss, arrays, keywords)
    _check_common(loss, common, arrays)
    data = {}
    for key in OF_A_CALL:
        if common[key] is not None:
            data[key] = common[key]
    constants: list[tuple[str, Any]] = []
    for key, value in (loss.defaults | own).items():
        if _is_data(loss, key, value):
            data[key] = value
        else:
            constants.append((key, value))
    backend, inputs, dtypes, data = _converted(loss, arrays, data)
    result, first = backend.result_dtype(inputs[0]), inputs[0]
    # Of other losses a row is always last.
    last = tuple(range(max(0, first.ndim - len(loss.row)), first.ndim))
    axes = axes_of(loss, axis, first.ndim) if loss.rowwise else last
    call = (*inputs, *data.values())
    plan = Plan(
        loss.origin,
        tuple(constants),
        (*loss.arrays, *data),
        axes,
        (*(None,) * len(inputs), *map(dtypes.get, data)),
        backend.readable(*call),
        tuple(type(value) for _, value in constants),
        str(common["reduction"]),
        None if result == first.dtype else result,
    )
    _check_shapes(plan, backend.namespace(first), plan.named(call))
    return BoundCall(plan, backend, call)


def default_axis(loss: Definition) -> int | tuple[int, ...]:
    """Along which axes rows run, where a call does not say it: the last ones."""
    return tuple(range(-len(loss.row), 0)) if len(loss.row) > 1 else -1


def axes_of(loss: Definition, axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes of a row, counted from the front."""
    if REGION not in loss.row:
        return (checks.axis_of(loss.__name__, axis, ndim),)
    several = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(checks.axis_of(loss.__name__, one, ndim) for one in several)
    if len(axes) < len(loss.row) or len({*axes}) < len(axes):
        last = ", and last that of the classes" if len(loss.row) > 1 else ""
        raise ValueError(f"{loss.__name__}: axis must name the axes of a region, each once{last}; got {axis!r}")
    return axes


def _inputs(
    loss: Definition, arrays: tuple[Any, ...], keywords: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arrays, by position or by name, and the other keywords."""
    name, keywords = loss.__name__, dict(keywords)
    if len(arrays) > len(loss.arrays):
        raise words.positional(name, loss.arrays, known_keywords(loss), arrays, functools.partial(_takes, loss))
    for key in keywords:
        if key in loss.arrays[: len(arrays)]:
            raise TypeError(f"{name}: {key} came twice, by its position and by its name")
        if key not in loss.parameters and key not in loss.arrays[len(arrays) :]:
            raise TypeError(unknown_keyword(name, key, loss.arrays, known_keywords(loss)))
    for key in loss.arrays[len(arrays) :]:
        if key not in keywords:
            raise TypeError(f"{name}: missing {key}")
        arrays += (keywords.pop(key),)
    for key in loss.parameters:
        if key not in loss.defaults and key not in keywords:
            raise TypeError(
                f"{name}: missing {key}, which has no default, as in {name}({', '.join(loss.arrays)}, {key}=...)"
            )
    return arrays, keywords


def _check_common(loss: Definition, common: Mapping[str, Any], arrays: Sequence[Any]) -> None:
    name = loss.__name__
    words.check_reduction(name, common["reduction"])
    if common["denominator"] is not None and common["reduction"] in ("none", "sum"):
        raise ValueError(f"{name}: denominator must come with a mean, got reduction={common['reduction']!r}")
    if common["where"] is not None and find_backend(type(common["where"])) is None:
        raise checks.no_array(name, "where", common["where"], arrays, "a boolean array")


def _is_data(loss: Definition, key: str, value: Any) -> bool:
    """Whether a parameter travels as an array."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number or value is None or isinstance(value, (bool, str)) or callable(value):
        check_constant(loss, key, value)
        return becomes_array(loss, key, value)
    if key in loss.static:
        raise checks.not_static(loss.__name__, key, value)
    if key == IGNORED and find_backend(type(value)) is None:
        raise checks.one_id(loss.__name__, key, value)
    return True


def _converted(
    loss: Definition, arrays: tuple[Any, ...], data: dict[str, Any]
) -> tuple[Backend, tuple[Array, ...], dict[str, Any], dict[str, Array]]:
    """The one backend, the arrays, and those among the keywords: with the dtype of those that came as numbers."""
    arrays = _same_kind(loss, arrays)
    backend = checks.common_backend(loss.__name__, dict(zip(loss.arrays, arrays, strict=True)) | data)
    like = backend.asarray(backend.leading((*arrays, *data.values())), None)
    xp = backend.namespace(like)
    inputs = []
    for key, array in zip(loss.arrays, arrays, strict=True):
        if isinstance(array, (int, float)):
            array = _of_number(loss, xp, backend, key, array, like)
        inputs.append(backend.asarray(array, like))
    numbers = {key: value for key, value in data.items() if becomes_array(loss, key, value)}
    dtypes = {key: _dtype_of(xp, key, value, inputs[0]) for key, value in numbers.items()}
    for key, dtype in dtypes.items():
        checks.fits_dtype(loss.__name__, key, data[key], dtype, loss.domains.get(key))
    return backend, tuple(inputs), dtypes, {key: backend.asarray(data[key], like, dtypes.get(key)) for key in data}


def _same_kind(loss: Definition, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arrays; beside any, a NumPy scalar is a number like any other."""
    scalars = [isinstance(array, np.generic) for array in arrays]
    if any(scalars) and not all(scalars):
        arrays = tuple(array.item() if is_scalar else array for array, is_scalar in zip(arrays, scalars, strict=True))
    for key, value in zip(loss.arrays, arrays, strict=True) if loss.fuse is not None else ():
        # Where the shapes differ, a number tells of none.
        if find_backend(type(value)) is None and not isinstance(loss.domains.get(key), Classes):
            raise checks.no_array(loss.__name__, key, value, arrays)
    return arrays


def _of_number(loss: Definition, xp: Namespace, backend: Backend, key: str, value: Any, like: Array) -> Array:
    """Of a number an array: full of it, since it has no shape that could mismatch; or a class id."""
    if not isinstance(loss.domains.get(key), Classes):
        # One value for a row has no shape to be full of.
        of_rows = loss.rowwise and loss.arguments[key].dims == ((EXAMPLES,),)
        return backend.asarray(value, like, like.dtype) if of_rows else xp.full_like(like, value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{loss.__name__}: {key} must be an array, or the class id of a single row, got {value!r}")
    return backend.asarray(value, like, _integer(xp, value))


def _dtype_of(xp: Namespace, key: str, value: float, first: Array) -> Any:
    """The dtype that a number travels in."""
    if key != IGNORED:
        floating = checks.is_kind(xp, first, "real floating")
        return working(xp, first.dtype) if floating else xp.float32
    return _integer(xp, int(value))


def _integer(xp: Namespace, value: int) -> Any:
    """The dtype of a class id."""
    return xp.int32 if is_narrow(value) else xp.int64


def is_narrow(value: float) -> bool:
    """Whether a class id fits into 32 bits."""
    return -(2**31) <= value < 2**31


def _check_shapes(plan: Plan, xp: Namespace, named: Mapping[str, Array]) -> None:
    loss = plan.loss
    try:
        plan.check_shapes(xp, named)
    except (TypeError, ValueError) as error:
        arrays = [named[key] for key in loss.arrays]
        domain = loss.domains.get(loss.arrays[-1], REAL)
        last = plan.axis[-1] if plan.axis else None
        if len(arrays) != 2 or not checks.looks_swapped(xp, arrays[0], arrays[1], last, domain):
            raise
        # Of the error itself, PyTorch's compiler has another text. And a target is not to be made a prediction.
        message = str(error.args[0]).removesuffix(checks.TO_FLOAT)
        raise type(error)(words.with_order(message, loss.__name__, loss.arrays, loss.__module__)) from None


def becomes_array(loss: Definition, name: str, value: Any) -> bool:
    """Whether a keyword is a number that travels as an array: one that nothing branches on."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or name in loss.static or name == "axis":
        return False
    domain = loss.domains.get(name)
    return domain is None or value not in domain.special


def check_parameter(loss: Definition, key: str, value: Any, like: Array | None = None) -> None:
    """Raise for a parameter with which no call would succeed, before there is one.

    `like` is an array such as the calls will bring, where that is known.
    """
    value = unwrapped(value)
    if not _is_data(loss, key, value) or isinstance(value, (int, float)):
        return
    backend = checks.common_backend(loss.__name__, ({} if like is None else {loss.arrays[0]: like}) | {key: value})
    array = backend.asarray(value, like)
    check_keyword_alone(loss.__name__, loss.arguments[key], backend.namespace(array), array)
    domain = loss.domains.get(key, REAL)
    if not domain.everything and backend.readable(array):
        array = backend.look(array)
        xp = backend_of(array).namespace(array)
        # In its own dtype: which one calls are computed in, only their arrays tell.
        array = cast(xp, array, working(xp, array.dtype) if is_floating(xp, array) else xp.float32)
        values.check_domain(loss.__name__, key, domain, xp, array)


def check_constant(loss: Definition, key: str, value: Any) -> None:
    """Raise where a parameter that is no array is out of its range."""
    if value is None:
        if key in loss.parameters and key not in loss.optional:
            raise TypeError(f"{loss.__name__}: {key} must be a number or an array, got None")
        return
    if key == IGNORED:
        if isinstance(value, bool) or not isinstance(value, int):
            raise checks.one_id(loss.__name__, key, value)
        return
    argument, domain = loss.arguments.get(key), loss.domains.get(key)
    if argument is not None and argument.part == "all" and argument.dims[0]:
        raise TypeError(f"{loss.__name__}: {key} must be an array, got {checks.describe(value)}")
    if domain is None:
        if key in loss.floats:
            checks.real_number(loss.__name__, key, value)
        return
    if domain.choices or (domain.named and isinstance(value, str)):
        checks.one_of(loss.__name__, key, value, domain.choices or tuple(domain.named or ()))
    else:
        checks.number_in(loss.__name__, key, value, domain)


def known_keywords(loss: Definition) -> tuple[str, ...]:
    """The keywords of a loss."""
    return (*loss.parameters, *(("axis",) if loss.rowwise else ()), *COMMON)


def _takes(loss: Definition, key: str, value: float) -> bool:
    """Whether a parameter may be this number."""
    default = loss.defaults.get(key)
    if isinstance(value, bool) or isinstance(default, bool) or key not in loss.parameters:
        return isinstance(value, bool) and isinstance(default, bool)
    if key not in loss.domains and key != IGNORED and not isinstance(default, (int, float)):
        return False
    try:
        check_constant(loss, key, value)
    except (TypeError, ValueError):
        return False
    return True


@at_trace_time
def unknown_keyword(loss: str, key: str, arrays: tuple[str, ...], keywords: tuple[str, ...]) -> str:
    """The message for a keyword that a loss does not have."""
    return str(words.unknown_keyword(loss, key, arrays, keywords))
