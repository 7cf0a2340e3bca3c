"""What a kernel reads besides its arguments: it is read once, where a kernel is traced or compiled."""

import dataclasses
import dis
import enum
import functools
import logging
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .backend import find_backend
from .compose import Combinable

_FUNCTIONS = (types.ModuleType, type, types.FunctionType, np.ufunc, Combinable, enum.Enum, logging.Logger, np.generic)
_MUTABLE = (list, dict, set, bytearray, np.random.RandomState)
_READ = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF")
_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")


def warn_of_state(loss: str, kernel: Callable[..., Any], stacklevel: int = 1) -> None:
    """Warn of what a kernel reads that may change from call to call: later values of it may not be seen.

    `stacklevel` is counted from the caller, which is 1.

    Examples
    --------
    >>> import numpy as np
    >>> scale = np.ones(3)
    >>> def kernel(xp, prediction, target):
    ...     return (prediction - target) / scale
    >>> warn_of_state("scaled", kernel)  # doctest: +SKIP
    UserWarning: scaled: the kernel reads scale (ndarray), which a traced or compiled kernel reads only once; ...
    """
    found = sorted({_described(name, value) for name, value in reads(kernel) if has_state(value)})
    if found:
        warnings.warn(
            f"{loss}: the kernel reads {', '.join(found)}, which a traced or compiled kernel reads only once; make it "
            "a parameter, and pass it as an array",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def _described(name: str, value: Any) -> str:
    return name if hasattr(value, "__self__") else f"{name} ({type(value).__name__})"


def reads(function: Any) -> Iterator[tuple[str, Any]]:
    """Names and values that a function finds outside of itself, in functions within it too."""
    if isinstance(function, functools.partial):
        yield from reads(function.func)
    elif isinstance(function, types.MethodType):
        yield "self", function.__self__
        yield from reads(function.__func__)
    elif isinstance(function, types.FunctionType):
        outside = dict(function.__globals__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            outside.pop(name, None)
            try:
                outside[name] = cell.cell_contents
            except ValueError:
                # Not there yet.
                continue
        yield from _reads_of_code(function.__code__, outside)
    else:
        yield getattr(function, "__name__", "itself"), function


def _reads_of_code(code: types.CodeType, outside: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    own = {*code.co_varnames, *code.co_cellvars}
    name, value = "", None
    for instruction in dis.get_instructions(code):
        if instruction.opname in _ATTRIBUTE and isinstance(value, types.ModuleType):
            # What a module holds is what the kernel reads.
            name, value = f"{name}.{instruction.argval}", getattr(value, instruction.argval, None)
            continue
        if name:
            yield name, value
        name, value = "", None
        if instruction.opname in _READ and instruction.argval in outside and instruction.argval not in own:
            name, value = instruction.argval, outside[instruction.argval]
    within = {key: found for key, found in outside.items() if key not in own}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _reads_of_code(constant, within)


def has_state(value: Any) -> bool:
    """Whether a value may be another one later, without another name being bound to it."""
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType | type):
        # Such as a random number of a module: the method of a hidden generator.
        return has_state(owner)
    if isinstance(value, functools.partial):
        return any(map(has_state, (*value.args, *value.keywords.values())))
    if isinstance(value, tuple | frozenset):
        return any(map(has_state, value))
    if isinstance(value, _FUNCTIONS) or hasattr(value, "__wrapped__") or type(value).__module__ == "typing":
        return False
    kind = type(value).__name__.lower()
    if kind.endswith("dtype"):
        return False
    if isinstance(value, _MUTABLE) or kind == "generator":
        return True
    if hasattr(value, "shape") and find_backend(type(value)) is not None:
        return True
    if dataclasses.is_dataclass(value):
        return not getattr(type(value), "__dataclass_params__").frozen  # noqa: B009
    return bool(getattr(value, "__dict__", None))
