"""What a loss is.

A loss is made from a kernel: a function of the namespace, the arrays and the parameters that returns the
per-example value and, on demand, its local derivative with respect to each array. All the rest (which framework,
checks, masks, half precision, reduction) is the same for every loss, and is not its business.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, NamedTuple, ParamSpec, overload

import numpy as np

from . import _blocks
from . import _checks as checks
from ._backend import Backend, find_backend
from ._checks import Domain
from ._plan import Plan
from ._reduction import REDUCTIONS
from ._typing import Array, Call, Namespace, RowCall
from .compose import Combinable

P = ParamSpec("P")
Kernel = Callable[Concatenate[Namespace, P], Any]

_CALL: dict[str, Any] = {"reduction": "mean", "sample_weight": None, "where": None, "denominator": None}


class Loss(Combinable, Generic[P]):
    """A loss function: callable on the arrays of any framework. Made by `elementwise` and `rowwise`.

    Losses add and scale: ``0.7 * polyloss.mse + 0.3 * polyloss.l1`` is a loss.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> isinstance(polyloss.huber, polyloss.Loss), polyloss.huber.arrays, polyloss.huber.defaults
    (True, ('prediction', 'target'), {'delta': 1.0})
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
        self._origin: Loss[Any] = self
        self._known: dict[Any, _Known] = {}
        self.__name__: str = kernel.__name__
        self.__qualname__: str = kernel.__qualname__
        self.__module__ = kernel.__module__
        self.__doc__ = kernel.__doc__
        self.__wrapped__ = kernel
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

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Array: ...

    else:

        def __call__(self, *arrays, **keywords):
            """Evaluate the loss."""
            known, inputs, options = self._recall(arrays, keywords)
            if known.blocks is not None and _blocks.enabled:
                return known.backend.attach_blocks(known.blocks, (*inputs, *options) if options else inputs)
            return known.backend.run(known.plan, inputs, dict(zip(known.names, options, strict=True)))

    def __get__(self, instance: object, owner: type | None = None) -> "Loss[P]":
        # As an attribute of a class a loss stays what it is, and pydoc shows its signature.
        return self

    def __repr__(self) -> str:
        fixed = "".join(f", {name}={value!r}" for name, value in self.fixed.items())
        return f"<polyloss loss {self.__name__}{fixed}>"

    def __reduce__(self) -> Any:
        return (_with_defaults, (self.__module__, self.__qualname__, self.fixed)) if self.fixed else self.__qualname__

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
            if name not in self.defaults:
                raise TypeError(f"{self.__name__} has no parameter {name}; it has {', '.join(self.defaults) or 'none'}")
        loss = type(self)(
            self.kernel,
            rowwise=self.rowwise,
            autodiff=self.autodiff,
            tasks=self.tasks,
            domains=self.domains,
            defaults=self.fixed | parameters,
        )
        loss._origin = self._origin
        return loss

    def closed_form(
        self, arguments: Sequence[Array], keywords: Mapping[str, Any], argnums: Sequence[int | str]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The value and its gradients, without automatic differentiation."""
        known, inputs, options = self._recall(tuple(arguments), dict(keywords))
        if known.blocks is None or not _blocks.enabled:
            return known.plan.closed_form(inputs, dict(zip(known.names, options, strict=True)), argnums)
        places = known.plan.places(argnums, self.arrays[: known.blocks.gradients])
        wanted = [place in places for place in range(len(inputs) + len(options))]
        value, gradients = known.blocks.forward((*inputs, *options), wanted)
        return value, tuple(gradients[place] for place in places)

    def _recall(
        self, arrays: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple["_Known", tuple[Array, ...], tuple[Array, ...]]:
        """What is known of calls like this one; its arrays; those among its keywords."""
        key = self._signature(arrays, keywords)
        known = None if key is None else self._known.get(key)
        if known is not None:
            inputs = arrays + tuple(keywords[name] for name in self.arrays[len(arrays) :])
            options = tuple(keywords[name] for name in known.names)
            if known.plan.readable and not (known.blocks and _blocks.enabled):
                known.plan.check_values(inputs, dict(zip(known.names, options, strict=True)))
            return known, inputs, options
        plan, backend, inputs, named = self._plan(arrays, dict(keywords))
        known = _Known(plan, backend, tuple(named), _blocks.blocks_of(plan, backend, inputs, named))
        given = (*arrays, *(keywords[name] for name in self.arrays[len(arrays) :]))
        as_given = all(one is other for one, other in zip(inputs, given, strict=True))
        if key is not None and as_given and all(value is keywords.get(name) for name, value in named.items()):
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[key] = known
        return known, inputs, tuple(named.values())

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
            if value is None or kind is float or kind is int or kind is bool or kind is str:
                constants.append((name, kind, value))
            else:
                constants.append(name)
                others.append(value)
        named = backend.signature(others) if others else ()
        return None if named is None else (found, named, *constants)

    def _plan(
        self, arrays: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[Plan, Backend, tuple[Array, ...], dict[str, Array]]:
        """Sort the arguments into what is constant and what is an array, and check them."""
        name = self.__name__
        call = {key: keywords.pop(key, default) for key, default in _CALL.items()}
        axis = keywords.pop("axis", -1) if self.rowwise else None
        if len(arrays) > len(self.arrays):
            raise TypeError(f"{name}: takes {len(self.arrays)} arrays ({', '.join(self.arrays)}), got {len(arrays)}")
        for key in self.arrays[len(arrays) :]:
            if key not in keywords:
                raise TypeError(f"{name}: missing {key}")
            arrays += (keywords.pop(key),)
        for key in keywords:
            if key not in self.defaults:
                raise TypeError(f"{name}: unexpected {key}; its own keywords are {', '.join(self.defaults) or 'none'}")
        checks.one_of(name, "reduction", call["reduction"], REDUCTIONS)
        if call["denominator"] is not None and call["reduction"] in ("none", "sum"):
            raise ValueError(f"{name}: denominator must come with a mean, got reduction={call['reduction']!r}")

        constants: list[tuple[str, Any]] = []
        options = {key: value for key, value in call.items() if key != "reduction" and value is not None}
        for key, value in (self.defaults | keywords).items():
            if isinstance(value, np.generic):
                value = value.item()
            if value is None or isinstance(value, (bool, int, float, str)) or callable(value):
                self.check_constant(key, value)
                constants.append((key, value))
            else:
                options[key] = value
        if not all(isinstance(a, np.generic) for a in arrays):
            # Beside arrays, a NumPy scalar is a number like any other.
            arrays = tuple(a.item() if isinstance(a, np.generic) else a for a in arrays)
        named = dict(zip(self.arrays, arrays, strict=True))
        for key, value in () if self.takes_numbers else named.items():
            if find_backend(type(value)) is None:
                raise TypeError(f"{name}: {key} must be an array, got {checks.describe(value)}")
        backend = checks.common_backend(name, named | options)
        like = next(backend.asarray(a, None) for a in arrays if find_backend(type(a)) is not None)
        xp = backend.namespace(like)
        # A number has no shape that could mismatch: it stands for an array full of it.
        inputs = tuple(
            xp.full_like(like, a) if isinstance(a, (int, float)) else backend.asarray(a, like) for a in arrays
        )
        options = {key: backend.asarray(value, like) for key, value in options.items()}
        plan = self.plan_type(
            self._origin,
            tuple(constants),
            str(call["reduction"]),
            None if axis is None else checks.axis_of(name, axis, inputs[0].ndim),
            backend.readable(*inputs, *options.values()),
        )
        plan.check_shapes(inputs, options)
        if plan.readable:
            plan.check_values(inputs, options)
        return plan, backend, inputs, options

    def check_constant(self, key: str, value: Any) -> None:
        """Raise where a parameter that is no array is out of its range."""
        domain = self.domains.get(key)
        if domain is None or value is None:
            return
        if domain.named and isinstance(value, str):
            checks.one_of(self.__name__, key, value, tuple(domain.named))
        else:
            checks.number_in(self.__name__, key, value, domain)


_KNOWN = 256


class _Known(NamedTuple):
    """What all calls have in common that differ in values alone."""

    plan: Plan
    backend: Backend
    names: tuple[str, ...]
    blocks: _blocks.Blocks | None


def _with_defaults(module: str, name: str, fixed: Mapping[str, Any]) -> Loss[Any]:
    from importlib import import_module

    loss: Loss[Any] = getattr(import_module(module), name)
    return loss.partial(**fixed)


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
            return Loss(kernel, rowwise=self.rowwise, autodiff=autodiff, tasks=tasks, domains=domains)

        return make if kernel is None else make(kernel)


_PARAMETERS = """
Parameters
----------
kernel : callable
    Takes the namespace, the arrays and, as keywords, its parameters; returns the loss of each example, and one
    function without arguments for each array that it is differentiable in: the local derivative.
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
