"""What a loss is.

A loss is made from a kernel: a function of the namespace, the arrays and the parameters that returns the
per-example value and, on demand, its local derivative with respect to each array. All the rest (which framework,
checks, masks, half precision, reduction) is the same for every loss, and is not its business.
"""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Concatenate, Generic, NamedTuple, ParamSpec, Self

import numpy as np

from . import bind, checks, docstrings, words
from .arguments import IGNORED, REGION, declared, is_static, row_of
from .backend import Backend, find_backend, unwrapped, without_scalars
from .call import BoundCall
from .compose import Combinable
from .domains import Domain
from .kernel import Definition, Fuse
from .plan import Plan
from .typing import Array, Call, Namespace, RegionCall, RowCall

P = ParamSpec("P")
Kernel = Callable[Concatenate[Namespace, P], Any]


class Loss(Definition, Combinable, Generic[P]):
    r"""A loss function: callable on the arrays of any framework. Users make one by `elementwise` or `rowwise`.

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
        Of a row-wise loss: the axis that a row runs along, classes or features. Of a loss of regions: all axes of a
        region, as in ``axis=(-2, -1)``, and those of classes behind them.

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

    def __init__(
        self,
        kernel: Kernel[P],
        *,
        signature: str,
        shapes: Mapping[str, str] | None = None,
        fuse: Fuse | None = None,
        autodiff: bool | str = False,
        tasks: Sequence[str] = (),
        domains: Mapping[str, Domain] | None = None,
    ) -> None:
        own = list(inspect.signature(kernel).parameters.values())[1:]
        keywords = {p.name: p.default for p in own if p.kind is p.KEYWORD_ONLY}
        parameters = {name: default for name, default in keywords.items() if default is not inspect.Parameter.empty}
        self.kernel = kernel
        self.signature, self.shapes, self.fuse = signature, dict(shapes or {}), fuse
        self.rowwise = fuse is None and "," in signature.partition(")")[0]
        self.autodiff = autodiff
        self.tasks = tuple(tasks)
        self.domains = dict(domains or {})
        self.arrays = tuple(p.name for p in own if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.parameters = tuple(keywords)
        self.defaults = parameters
        self.static = frozenset(n for n, default in parameters.items() if is_static(default, self.domains.get(n)))
        self.optional = frozenset(n for n, default in parameters.items() if default is None)
        self.floats = frozenset(n for n, default in parameters.items() if isinstance(default, float))
        self.__name__: str = kernel.__name__
        self.__qualname__: str = kernel.__qualname__
        self.__module__ = kernel.__module__
        for name in (*self.domains, *self.shapes):
            if name not in self.parameters and name not in self.arrays:
                known = ", ".join(self.parameters) or "none"
                raise TypeError(f"{self.__name__} has no parameter {name}; it has {known}")
        self.arguments = declared(self.arrays, self.parameters, self.domains, signature, self.shapes)
        self.row = row_of(self.arguments, self.arrays[0])
        self.origin: Definition = self
        self._take({})

    @property
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter
        hints = {
            name: hint
            for base in (Call, RegionCall if REGION in self.row else RowCall)
            for name, hint in base.__annotations__.items()
        }
        own = [p for p in list(inspect.signature(self.kernel).parameters.values())[1:] if p.kind is not p.VAR_KEYWORD]
        own = [p.replace(default=self.defaults.get(p.name, p.default)) for p in own]
        common = {"axis": bind.default_axis(self)} | bind.COMMON if self.rowwise else bind.COMMON
        own += [kind(n, kind.KEYWORD_ONLY, default=d, annotation=hints[n]) for n, d in common.items()]
        return inspect.Signature(own, return_annotation=Array)

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Array: ...

    else:

        def __call__(self, *arrays, **keywords):
            """Evaluate the loss."""
            words.refuse_keras(self.__name__, self.arrays, self.__module__)
            call = self.bind(arrays, keywords)
            return call.backend.evaluate(call)

    def __repr__(self) -> str:
        fixed = "".join(f", {name}={checks.brief(value)}" for name, value in self.fixed.items())
        return f"<polyloss loss {self.__name__}{fixed}>"

    def __reduce__(self) -> Any:
        is_partial = self.origin is not self
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
        # A scalar of NumPy is a number like any other.
        parameters = {
            name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()
        }
        for name, value in parameters.items():
            if name in bind.COMMON or (name == "axis" and self.rowwise):
                raise TypeError(
                    f"{self.__name__}: {name} comes with a call, not with partial, as in "
                    f"{self.__name__}({', '.join(self.arrays)}, {name}=...)"
                )
            if name not in self.parameters:
                raise TypeError(bind.unknown_keyword(self.__name__, name, (), self.parameters))
            bind.check_parameter(self, name, value)
        # Nothing else depends on the defaults: what is made of the kernel takes longer than a call.
        loss = self._same()
        loss._take(self.fixed | parameters)
        return loss

    def _same(self) -> Self:
        """Another object with all that this one has."""
        loss = object.__new__(type(self))
        vars(loss).update(vars(self))
        return loss

    def _take(self, given: Mapping[str, Any]) -> None:
        """Have some defaults beside those of the kernel."""
        known = {**self.origin.defaults, **given}
        self.fixed = dict(given)
        self.defaults = {name: known[name] for name in self.parameters if name in known}
        self.__doc__ = docstrings.whole(self.kernel.__doc__, self)
        self._forget()

    def _forget(self) -> None:
        """Remember no call any more."""
        self._plans: dict[Any, _Remembered] = {}
        self._of_any_batch: dict[Any, _Remembered] = {}

    def closed_form(
        self, arguments: Sequence[Array], keywords: Mapping[str, Any], argnums: Sequence[int | str]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The value and its gradients, without automatic differentiation."""
        call = self.bind(tuple(arguments), dict(keywords))
        return call.backend.value_and_gradients(call, argnums)

    def bind(self, arrays: tuple[Any, ...], keywords: dict[str, Any]) -> BoundCall:
        """A call of this loss. What is remembered of calls is their plan, by all that they have in common."""
        for name, given in keywords.items():
            if isinstance(given, np.generic):
                # A number like any other; or a mask of one element.
                keywords = keywords | {name: np.asarray(given) if name == "where" else given.item()}
        backend = find_backend(type(arrays[0])) if arrays else None
        key = None if backend is None else backend.signature(arrays)
        if keywords and key is not None:
            assert backend is not None
            key = self._key(backend, key, keywords)
        if backend is None or key is None:
            # There may be more than plain arrays and numbers among the arguments.
            plain, named = tuple(map(unwrapped, arrays)), {key: unwrapped(value) for key, value in keywords.items()}
            return bind.bind(self, *without_scalars(plain, named))
        remembered = self._plans.get(key)
        if remembered is None:
            any_batch = _any_batch_of(key, bool(keywords))
            known = self._of_any_batch.get(any_batch)
            if known is None:
                call = bind.bind(self, arrays, keywords)
                if self._as_given(call, arrays, keywords):
                    options = tuple(zip(call.plan.names, call.plan.dtypes, strict=True))[len(self.arrays) :]
                    known = self._remember(key, _Remembered(call.plan, call.backend, options, {}))
                    if any_batch is not None and call.plan.fits_any_batch:
                        self._of_any_batch[any_batch] = known
                return call
            plan = known.plan.changed(sibling=known.plan)
            remembered = self._remember(key, known._replace(plan=plan))
        plan, backend, options, _ = remembered
        by_name = self.arrays[len(arrays) :]
        inputs = (*arrays, *map(keywords.__getitem__, by_name)) if by_name else arrays
        if not options:
            return BoundCall(plan, backend, inputs)
        data = []
        for name, dtype in options:
            given = name in keywords
            value = keywords[name] if given else self.defaults[name]
            data.append(value if dtype is None else self._number(remembered, name, value, given, inputs[0], dtype))
        return BoundCall(plan, backend, (*inputs, *data))

    def _remember(self, key: Any, known: "_Remembered") -> "_Remembered":
        if len(self._plans) >= _MOST_PLANS:
            self._forget()
        self._plans[key] = known
        return known

    def _number(
        self, remembered: "_Remembered", name: str, value: float, given: bool, like: Array, dtype: Any
    ) -> Array:
        """A number, `given` or a default, as an array: that of the last call, if it was the same object."""
        last = remembered.numbers.get(name)
        if last is not None and last[0] is value and remembered.backend.keeps(last[1]):
            return last[1]
        if given:
            bind.check_constant(self, name, value)
            checks.fits_dtype(self.__name__, name, value, dtype, self.domains.get(name))
        array = remembered.backend.asarray(value, like, dtype)
        remembered.numbers[name] = value, array
        return array

    def _as_given(self, call: BoundCall, arrays: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
        """Whether all arrays of a call are those that came, or numbers."""
        passed = (*arrays, *map(keywords.get, call.plan.names[len(arrays) :]))
        for array, one, dtype in zip(call.arrays, passed, call.plan.dtypes, strict=True):
            if dtype is None and array is not one:
                return False
        return True

    def _key(self, backend: Backend, inputs: Any, keywords: dict[str, Any]) -> Any:
        """The same of calls with keywords, of the `signature` of their inputs; None where that is not known."""
        constants: list[Any] = []
        others = []
        for name, value in keywords.items():
            kind = type(value)
            if bind.becomes_array(self, name, value):
                # What a class id travels in depends on how large it is.
                constants.append((name, kind, bind.is_narrow(value)) if name == IGNORED else (name, kind))
            elif value is None or kind is float or kind is int or kind is bool or kind is str or kind is tuple:
                constants.append((name, kind, value))
            else:
                constants.append(name)
                others.append(value)
        named = backend.signature(others) if others else ()
        return None if named is None else (inputs, named, *constants)


_MOST_PLANS = 256
_NUMBERS = {int}


def _any_batch_of(key: Any, has_keywords: bool) -> Any:
    """What calls have in common that differ in their number of examples as well.

    None where that number has to be looked at: where it is small or a symbol, or where something else is as long, so
    that a weight of examples and one of classes cannot be told apart.
    """
    count, found = 0, []
    for item in (*key[0], *key[1]) if has_keywords else key:
        if isinstance(item, tuple) and item:
            if not _NUMBERS.issuperset(map(type, item)):
                # Symbols, while a program is exported.
                return None
            count = count or item[0]
            if count < 2 or count in item[1:]:
                return None
            item = (... if item[0] == count else item[0], *item[1:])
        found.append(item)
    return (tuple(found), *key[2:]) if has_keywords else tuple(found)


class _Remembered(NamedTuple):
    """What calls have in common that differ in values alone."""

    plan: Plan
    backend: Backend
    options: tuple[tuple[str, Any], ...]
    """The arrays among the keywords: the name of each, and the dtype of those that come as numbers."""
    numbers: dict[str, tuple[float, Array]]
    """The last numbers, and what was made of them."""


def _with_defaults(module: str, name: str, fixed: Mapping[str, Any]) -> Loss[Any]:
    loss: Loss[Any] = operator.attrgetter(name)(import_module(module))
    return loss.partial(**fixed)
