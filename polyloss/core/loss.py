"""What a loss is.

A loss is made from a kernel: a function of the namespace, the arrays and the parameters that returns the
per-example value and, on demand, its local derivative with respect to each array. All the rest (which framework,
checks, masks, half precision, reduction) is the same for every loss, and is not its business.
"""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, NamedTuple, ParamSpec, overload

import numpy as np

from . import checks, words
from .backend import (
    Backend,
    InBlocks,
    at_trace_time,
    find_backend,
    lacks_closed_form,
    unwrapped,
    without_scalars,
)
from .checks import REAL, Classes, Domain
from .closures import warn_of_state
from .compose import Combinable
from .dtypes import working
from .kernel import Definition
from .plan import IGNORED, OF_A_CALL, Plan
from .typing import Array, Call, Namespace, RowCall

P = ParamSpec("P")
Kernel = Callable[Concatenate[Namespace, P], Any]

_CALL: dict[str, Any] = {"reduction": "mean", "sample_weight": None, "where": None, "denominator": None}


class Loss(Definition, Combinable, Generic[P]):
    r"""A loss function: callable on the arrays of any framework. Made by `elementwise` and `rowwise`.

    Losses add and scale: ``0.7 * polyloss.mse + 0.3 * polyloss.l1`` is a loss. Besides its own parameters, every loss
    takes the keywords below. With the losses :math:`\ell_i` of the examples, weights :math:`w_i` (1 without
    `sample_weight`) and the examples :math:`M` that count, the result is

    .. math:: \sum_{i \in M} w_i\, \ell_i \,/\, D

    Parameters
    ----------
    reduction : {"mean", "sum", "none", "weighted_mean"}, default "mean"
        ``"mean"``: :math:`D` is the number of examples that count, whatever their weights. ``"weighted_mean"``:
        :math:`D` is the sum of their weights, times that of their class where there is a ``class_weight``. ``"sum"``:
        :math:`D = 1`. ``"none"``: no sum, the loss of each example times its weight. Where nothing counts, or of an
        empty batch, sum and mean are 0.
    sample_weight : array or float, optional
        A factor of the loss of each example, real; it may be negative. It has the shape of the losses, or lacks axes
        at their end: one number for each image of a batch is one for all of its pixels. Nothing else is broadcast.
    where : boolean array, optional
        Which examples count, in a shape as that of `sample_weight`. One that does not adds exactly 0 to the value and
        to the gradient, even where its inputs are NaN, infinite or no valid label.
    denominator : float or array, optional
        Takes the place of :math:`D` of a mean: the number of examples of all micro-batches or of all devices. Positive;
        0 is allowed where nothing counts.
    axis : int, default -1
        Of a row-wise loss: the axis that a row runs along, classes or features.

    Notes
    -----
    The result has the dtype of the prediction, but for halves inside `torch.autocast`, whose losses are float32 as
    those of PyTorch. Half precision is computed and summed in float32, and rounded once. Numbers among the parameters
    may change from call to call without any cost; given as arrays they have a gradient: `value_and_grad`.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> isinstance(polyloss.huber, polyloss.Loss), polyloss.huber.arrays, polyloss.huber.defaults
    (True, ('prediction', 'target'), {'delta': 1.0})
    >>> prediction, target, weight = np.asarray([1.0, 2.0, np.nan]), np.zeros(3), np.asarray([3.0, 1.0, 1.0])
    >>> call = {"where": np.isfinite(prediction), "sample_weight": weight}
    >>> [float(polyloss.mse(prediction, target, reduction=r, **call)) for r in ("sum", "mean", "weighted_mean")]
    [7.0, 3.5, 1.75]
    """

    plan_type: ClassVar[type[Plan]] = Plan
    takes_numbers: ClassVar[bool] = True
    """Whether a number stands for an array full of it."""

    def __init__(
        self,
        kernel: Kernel[P],
        *,
        rowwise: bool,
        autodiff: bool | str = False,
        tasks: Sequence[str] = (),
        domains: Mapping[str, Domain] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        own = list(inspect.signature(kernel).parameters.values())[1:]
        self.kernel = kernel
        self.rowwise = rowwise
        self.autodiff = autodiff
        self.tasks = tuple(tasks)
        self.domains = dict(domains or {})
        self.arrays = tuple(p.name for p in own if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.defaults = {p.name: p.default for p in own if p.kind is p.KEYWORD_ONLY} | dict(defaults or {})
        self.fixed = dict(defaults or {})
        self._static = frozenset(name for p in own if self._is_static(name := p.name, p.default))
        self._optional = frozenset(p.name for p in own if p.default is None)
        self._origin: Loss[Any] = self
        self._calls: dict[Any, _CallKind] = {}
        self.__name__: str = kernel.__name__
        self.__qualname__: str = kernel.__qualname__
        self.__module__ = kernel.__module__
        self.__doc__ = kernel.__doc__
        for name in self.domains:
            if name not in self.defaults and name not in self.arrays:
                raise TypeError(f"{self.__name__} has no parameter {name}; it has {', '.join(self.defaults) or 'none'}")

    @property
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter
        hints = {name: hint for base in (Call, RowCall) for name, hint in base.__annotations__.items()}
        own = [p for p in list(inspect.signature(self.kernel).parameters.values())[1:] if p.kind is not p.VAR_KEYWORD]
        own = [p.replace(default=self.defaults.get(p.name, p.default)) for p in own]
        common = {"axis": -1} | _CALL if self.rowwise else _CALL
        own += [kind(n, kind.KEYWORD_ONLY, default=d, annotation=hints[n]) for n, d in common.items()]
        return inspect.Signature(own, return_annotation=Array)

    def _is_static(self, name: str, default: Any) -> bool:
        """Whether a kernel may branch on a number: declared, or to be seen by a default that is no float."""
        domain = self.domains.get(name)
        return isinstance(default, (bool, int, str)) or (domain is not None and domain.static)

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Array: ...

    else:

        def __call__(self, *arrays, **keywords):
            """Evaluate the loss."""
            words.refuse_keras(self.__name__, self.arrays, self.__module__)
            call, inputs, options = self._bind(arrays, keywords)
            if call.blocks is not None and call.blocks.enabled:
                return call.blocks.value((*inputs, *options) if options else inputs)
            return call.backend.run(call.plan, inputs, dict(zip(call.names, options, strict=True)))

    def __repr__(self) -> str:
        fixed = "".join(f", {name}={checks.brief(value)}" for name, value in self.fixed.items())
        return f"<polyloss loss {self.__name__}{fixed}>"

    def __reduce__(self) -> Any:
        is_partial = self._origin is not self
        return (_with_defaults, (self.__module__, self.__qualname__, self.fixed)) if is_partial else self.__qualname__

    def partial(self, **parameters: Any) -> "Loss[P]":
        """This loss with other default parameters.

        Examples
        --------
        >>> import numpy as np, polyloss
        >>> wide = polyloss.huber.partial(delta=10.0)
        >>> float(wide(np.asarray([3.0]), np.asarray([0.0])))
        4.5
        """
        for name in parameters:
            if name in _CALL or (name == "axis" and self.rowwise):
                raise TypeError(
                    f"{self.__name__}: {name} comes with a call, not with partial, as in "
                    f"{self.__name__}({', '.join(self.arrays)}, {name}=...)"
                )
            if name not in self.defaults:
                raise TypeError(_unknown_keyword(self.__name__, name, (), tuple(self.defaults)))
        loss = type(self)(
            self.kernel,
            rowwise=self.rowwise,
            autodiff=self.autodiff,
            tasks=self.tasks,
            domains=self.domains,
            defaults=self.fixed | parameters,
        )
        loss._origin, loss.__module__ = self._origin, self.__module__
        return loss

    def closed_form(
        self, arguments: Sequence[Array], keywords: Mapping[str, Any], argnums: Sequence[int | str]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The value and its gradients, without automatic differentiation."""
        call, inputs, options = self._bind(tuple(arguments), dict(keywords))
        blocks = call.blocks
        names = (*self.arrays, *call.names)
        chosen = [self.arrays[n] if isinstance(n, int) else n for n in argnums]
        wanted = [name in chosen for name in names]
        exist = all(name in names for name in chosen)
        if blocks is None or not blocks.enabled or not exist or lacks_closed_form(blocks.closed, wanted):
            if blocks is not None and blocks.enabled:
                blocks.check((*inputs, *options))
            return call.plan.closed_form(inputs, dict(zip(call.names, options, strict=True)), argnums)
        value, gradients = blocks.forward((*inputs, *options), wanted)
        return value, tuple(gradients[names.index(name)] for name in chosen)

    def _bind(
        self, arrays: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple["_CallKind", tuple[Array, ...], tuple[Array, ...]]:
        """What is known of calls like this one; its arrays; those among its keywords, numbers among them."""
        keywords = {key: value.item() if isinstance(value, np.generic) else value for key, value in keywords.items()}
        key = self._signature(arrays, keywords)
        call = None if key is None else self._calls.get(key)
        if call is None:
            return self._bind_new(key, arrays, keywords)
        inputs = arrays + tuple(keywords[name] for name in self.arrays[len(arrays) :])
        options = []
        for name, number in zip(call.names, call.numbers, strict=True):
            value = keywords[name] if name in keywords else self.defaults[name]
            if number is not None:
                if name in keywords:
                    self.check_constant(name, value)
                    checks.fits_dtype(self.__name__, name, value, number)
                value = call.backend.asarray(value, inputs[0], number)
            options.append(value)
        if call.plan.readable and not (call.blocks and call.blocks.enabled):
            call.plan.check_values(inputs, dict(zip(call.names, options, strict=True)))
        return call, inputs, tuple(options)

    def _bind_new(
        self, key: Any, arrays: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple["_CallKind", tuple[Array, ...], tuple[Array, ...]]:
        """The same for the first of such calls, which is remembered by `key`."""
        plain, named = tuple(map(unwrapped, arrays)), {key: unwrapped(value) for key, value in keywords.items()}
        plan, backend, inputs, by_name, numbers = self._plan(*without_scalars(plain, named))
        blocks = backend.blocks(plan, inputs, by_name)
        call = _CallKind(plan, backend, tuple(by_name), tuple(map(numbers.get, by_name)), blocks)
        given = (*arrays, *(keywords[name] for name in self.arrays[len(arrays) :]))
        as_given = all(one is other for one, other in zip(inputs, given, strict=True))
        as_given = as_given and all(name in numbers or array is keywords.get(name) for name, array in by_name.items())
        if key is not None and as_given:
            if len(self._calls) >= _MOST_CALLS:
                self._calls.clear()
            self._calls[key] = call
        return call, inputs, tuple(by_name.values())

    def _signature(self, arrays: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """What two calls have in common that differ in values alone; None where that is not known."""
        backend = find_backend(type(arrays[0])) if arrays else None
        if backend is None:
            return None
        found = backend.signature(arrays)
        if found is None or not keywords:
            return found
        constants: list[Any] = []
        others = []
        for name, value in keywords.items():
            kind = type(value)
            if self._is_number(name, value):
                # What a class id travels in depends on how large it is.
                constants.append((name, kind, _is_narrow(value)) if name == IGNORED else (name, kind))
            elif value is None or kind is float or kind is int or kind is bool or kind is str:
                constants.append((name, kind, value))
            else:
                constants.append(name)
                others.append(value)
        named = backend.signature(others) if others else ()
        return None if named is None else (found, named, *constants)

    def _is_number(self, name: str, value: Any) -> bool:
        """Whether a keyword is a number that travels as an array: one that nothing branches on."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or name in self._static or name == "axis":
            return False
        domain = self.domains.get(name)
        return domain is None or value not in domain.special

    def _plan(
        self, arrays: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[Plan, Backend, tuple[Array, ...], dict[str, Array], dict[str, Any]]:
        """Sort the arguments into what is constant and what is an array, and check them.

        Returns, besides the plan, the backend and the arrays, those of the keywords by their names, and the dtype of
        those that came as numbers.
        """
        name = self.__name__
        call = {key: keywords.pop(key, default) for key, default in _CALL.items()}
        axis = keywords.pop("axis", -1) if self.rowwise else None
        if len(arrays) > len(self.arrays):
            raise words.positional(name, self.arrays, self._keywords, arrays, self._takes)
        for key in keywords:
            if key in self.arrays[: len(arrays)]:
                raise TypeError(f"{name}: {key} came twice, by its position and by its name")
            if key not in self.defaults and key not in self.arrays[len(arrays) :]:
                raise TypeError(_unknown_keyword(name, key, self.arrays, self._keywords))
        for key in self.arrays[len(arrays) :]:
            if key not in keywords:
                raise TypeError(f"{name}: missing {key}")
            arrays += (keywords.pop(key),)
        words.check_reduction(name, call["reduction"])
        if call["denominator"] is not None and call["reduction"] in ("none", "sum"):
            raise ValueError(f"{name}: denominator must come with a mean, got reduction={call['reduction']!r}")

        if call["where"] is not None and find_backend(type(call["where"])) is None:
            raise checks.no_array(name, "where", call["where"], arrays, "a boolean array")

        constants: list[tuple[str, Any]] = []
        options = {key: value for key, value in call.items() if key != "reduction" and value is not None}
        for key, value in (self.defaults | keywords).items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if number or value is None or isinstance(value, (bool, str)) or callable(value):
                self.check_constant(key, value)
                if not self._is_number(key, value):
                    constants.append((key, value))
                    continue
            elif key in self._static:
                raise checks.not_static(name, key, value)
            elif key == IGNORED and find_backend(type(value)) is None:
                raise checks.one_id(name, key, value)
            options[key] = value
        inputs = self._same_kind(arrays)
        backend = checks.common_backend(name, dict(zip(self.arrays, inputs, strict=True)) | options)
        like = next(backend.asarray(a, None) for a in inputs if find_backend(type(a)) is not None)
        xp = backend.namespace(like)
        inputs = tuple(
            self._of_number(xp, backend, key, value, like) if isinstance(value, (int, float)) else value
            for key, value in zip(self.arrays, inputs, strict=True)
        )
        inputs = tuple(backend.asarray(a, like) for a in inputs)
        numbers = {
            key: self._dtype_of(xp, key, value, inputs[0])
            for key, value in options.items()
            if self._is_number(key, value)
        }
        for key, dtype in numbers.items():
            checks.fits_dtype(name, key, options[key], dtype)
        options = {key: backend.asarray(value, like, numbers.get(key)) for key, value in options.items()}
        result = backend.result_dtype(inputs[0])
        plan = self.plan_type(
            self._origin,
            tuple(constants),
            str(call["reduction"]),
            checks.axis_of(name, axis, inputs[0].ndim) if self.rowwise else None,
            backend.readable(*inputs, *options.values()),
            tuple(key for key in numbers if key not in OF_A_CALL),
            None if result == inputs[0].dtype else result,
        )
        try:
            plan.check_shapes(inputs, options)
        except (TypeError, ValueError) as error:
            domain = self.domains.get(self.arrays[-1], REAL)
            if len(inputs) != 2 or not checks.looks_swapped(xp, *inputs, plan.axis, domain):
                raise
            # Of the error itself, PyTorch's compiler has another text. And a target is not to be made a prediction.
            message = str(error.args[0]).removesuffix(checks.TO_FLOAT)
            raise type(error)(words.with_order(message, name, self.arrays, self.__module__)) from None
        if plan.readable:
            plan.check_values(inputs, options)
        return plan, backend, inputs, options, numbers

    def _same_kind(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arrays; beside any, a NumPy scalar is a number like any other."""
        if not all(isinstance(a, np.generic) for a in arrays):
            arrays = tuple(a.item() if isinstance(a, np.generic) else a for a in arrays)
        for key, value in () if self.takes_numbers else zip(self.arrays, arrays, strict=True):
            if find_backend(type(value)) is None and not isinstance(self.domains.get(key), Classes):
                raise checks.no_array(self.__name__, key, value, arrays)
        return arrays

    def _of_number(self, xp: Namespace, backend: Backend, key: str, value: float, like: Array) -> Array:
        """An array of a number: an array full of it, since it has no shape that could mismatch; or a class id."""
        if not isinstance(self.domains.get(key), Classes):
            return xp.full_like(like, value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{self.__name__}: {key} must be an array, or the class id of a single row, got {value!r}")
        return backend.asarray(value, like, _integer(xp, value))

    def _dtype_of(self, xp: Namespace, key: str, value: float, first: Array) -> Any:
        """The dtype that a number travels in."""
        if key != IGNORED:
            floating = checks.is_kind(xp, first, "real floating")
            return working(xp, first.dtype) if floating else xp.float32
        return _integer(xp, int(value))

    @property
    def _keywords(self) -> tuple[str, ...]:
        return (*self.defaults, *(("axis",) if self.rowwise else ()), *_CALL)

    def _takes(self, key: str, value: float) -> bool:
        """Whether a parameter may be this number."""
        default = self.defaults.get(key)
        if isinstance(value, bool) or isinstance(default, bool) or key not in self.defaults:
            return isinstance(value, bool) and isinstance(default, bool)
        if key not in self.domains and key != IGNORED and not isinstance(default, (int, float)):
            return False
        try:
            self.check_constant(key, value)
        except (TypeError, ValueError):
            return False
        return True

    def check_constant(self, key: str, value: Any) -> None:
        """Raise where a parameter that is no array is out of its range."""
        domain = self.domains.get(key)
        if value is None:
            if key in self.defaults and key not in self._optional:
                raise TypeError(f"{self.__name__}: {key} must be a number or an array, got None")
            return
        if key == IGNORED:
            if isinstance(value, bool) or not isinstance(value, int):
                raise checks.one_id(self.__name__, key, value)
            return
        if domain is None:
            if isinstance(self._origin.defaults.get(key), float):
                checks.real_number(self.__name__, key, value)
            return
        if domain.named and isinstance(value, str):
            checks.one_of(self.__name__, key, value, tuple(domain.named))
        else:
            checks.number_in(self.__name__, key, value, domain)


@at_trace_time
def _unknown_keyword(loss: str, key: str, arrays: tuple[str, ...], keywords: tuple[str, ...]) -> str:
    return str(words.unknown_keyword(loss, key, arrays, keywords))


_MOST_CALLS = 256


class _CallKind(NamedTuple):
    """What all calls have in common that differ in values alone."""

    plan: Plan
    backend: Backend
    names: tuple[str, ...]
    numbers: tuple[Any, ...]
    """For each of the names the dtype that a number has as an array; None where it is an array already."""
    blocks: InBlocks | None


def _with_defaults(module: str, name: str, fixed: Mapping[str, Any]) -> Loss[Any]:
    loss: Loss[Any] = operator.attrgetter(name)(import_module(module))
    return loss.partial(**fixed)


def _integer(xp: Namespace, value: int) -> Any:
    """The dtype of a class id."""
    return xp.int32 if _is_narrow(value) else xp.int64


def _is_narrow(value: float) -> bool:
    return -(2**31) <= value < 2**31


class _Decorator:
    """Makes a `Loss` of a kernel."""

    def __init__(self, rowwise: bool, doc: str) -> None:
        self.rowwise = rowwise
        self.__doc__ = doc

    @overload
    def __call__(self, kernel: Kernel[P], /) -> Loss[P]: ...
    @overload
    def __call__(
        self, /, *, autodiff: bool | str = False, tasks: Sequence[str] = (), **domains: Domain
    ) -> Callable[[Kernel[P]], Loss[P]]: ...
    def __call__(
        self, kernel: Any = None, /, *, autodiff: bool | str = False, tasks: Sequence[str] = (), **domains: Domain
    ) -> Any:
        def make(kernel: Kernel[P]) -> Loss[P]:
            words.check_kernel(kernel.__name__, inspect.signature(kernel).parameters)
            warn_of_state(kernel.__name__, kernel)
            return Loss(kernel, rowwise=self.rowwise, autodiff=autodiff, tasks=tasks, domains=domains)

        return make if kernel is None else make(kernel)


_PARAMETERS = """
Parameters
----------
kernel : callable
    Takes the namespace, the arrays and, as keywords, its parameters; returns the loss of each example, one function
    without arguments for each array, its local derivative, and optionally a dict of such functions for parameters. What
    is left out the framework differentiates. A number among the parameters arrives as an array without axes, unless its
    domain is `static` or its default is a whole number, a boolean or a string.
autodiff : bool or str, default False
    Whether the kernel returns its value alone, for the framework to differentiate; or the name of a parameter with
    which, when it is not None, it does.
tasks : sequence of str, optional
    What the loss is for.
**domains : Domain
    The values that an argument may take, by its name: `polyloss.POSITIVE` and so on.

Returns
-------
Loss
"""

elementwise = _Decorator(
    rowwise=False,
    doc=f"""Makes a loss of a kernel with one value for each element.
{_PARAMETERS}
Examples
--------
>>> import numpy as np, polyloss
>>> @polyloss.elementwise
... def cube(xp, prediction, target, **call):
...     error = prediction - target
...     return xp.abs(error) ** 3, lambda: 3 * error * xp.abs(error), lambda: -3 * error * xp.abs(error)
>>> float(cube(np.asarray([2.0, 9.0]), np.asarray([0.0, 0.0]), where=np.asarray([True, False])))
8.0
""",
)
rowwise = _Decorator(
    rowwise=True,
    doc=f"""Makes a loss of a kernel with one value for each row. The kernel sees the row as the last axis.
{_PARAMETERS}
Examples
--------
>>> import numpy as np, polyloss
>>> @polyloss.rowwise
... def total_error(xp, prediction, target, **call):
...     error = xp.sum(prediction - target, axis=-1)
...     slope = 2 * error[..., None] * xp.ones_like(prediction)
...     return error * error, lambda: slope, lambda: -slope
>>> total_error(np.asarray([[1.0, 2.0], [3.0, 4.0]]), np.zeros((2, 2)), axis=0, reduction="none").tolist()
[16.0, 36.0]
""",
)
