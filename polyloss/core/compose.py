"""Losses made of losses: sums of them."""

import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from . import checks, words
from .backend import find_backend, without_scalars
from .dtypes import astype, widened
from .shown import Shown
from .typing import Array

MOST_TERMS = 12
"""So many terms of a sum are named."""


class Combinable(Shown):
    """What can be added and scaled: a loss, or a sum of losses."""

    __name__: str
    __call__: Callable[..., Array]
    arrays: tuple[str, ...]
    tasks: tuple[str, ...]
    autograph_info__: dict[str, object] = {}  # noqa: RUF012 - by this name TensorFlow's AutoGraph knows not to rewrite it
    __array_ufunc__ = None  # a NumPy number on the left leaves the product to the loss

    def closed_form(
        self, arguments: Sequence[Array], keywords: Mapping[str, Any], argnums: Sequence[int | str]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The value and its gradients, without automatic differentiation."""
        raise NotImplementedError

    def __mul__(self, factor: float) -> "LossSum":
        made: LossSum = self._made(
            LossSum([(factor_of("a loss", factor) * scale, loss) for scale, loss in self._terms()])
        )
        return made

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "LossSum":
        if isinstance(divisor, bool) or not isinstance(divisor, numbers.Real):
            raise _no_factor("a loss", divisor, "divided")
        if not (0 < divisor < math.inf and 1.0 / float(divisor) < math.inf):
            raise ValueError(f"a loss must be divided by a positive number that is finite, got {divisor!r}")
        return self * (1.0 / float(divisor))

    def __rtruediv__(self, other: object) -> NoReturn:
        raise TypeError("1 / loss is no loss; divide by loss(prediction, target)")

    def __add__(self, other: "Combinable") -> "LossSum":
        if not isinstance(other, Combinable):
            raise _no_term(other)
        made: LossSum = self._made(other._made(LossSum([*self._terms(), *other._terms()])))
        return made

    def __radd__(self, other: int) -> "Combinable":
        # What sum() starts from.
        if not isinstance(other, int) or other != 0:
            raise _no_term(other)
        return self

    def __sub__(self, other: object) -> NoReturn:
        raise TypeError("losses are not subtracted: a difference may have no minimum; subtract their values")

    __rsub__ = __sub__

    def __neg__(self) -> NoReturn:
        raise TypeError("a loss has no negative: negate its value, where it is to be maximized")

    def _terms(self) -> list[tuple[float, "Combinable"]]:
        return [(1.0, self)]

    def _made(self, total: Any) -> Any:
        """A sum that this is a term of, as what it should be: one with an object in it may have to be one too."""
        return total


def widened_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {name: widened(value) for name, value in keywords.items()}


class LossSum(Combinable):
    r"""A weighted sum of losses of the same arrays: :math:`\sum_k w_k \ell_k`, a loss itself.

    Made by ``+``, ``*``, ``/`` and ``sum``. Every term is called with the same arrays and keywords; what is different
    between them is fixed before, by `Loss.partial`.

    Parameters
    ----------
    terms : sequence of (float, loss)
        Factors :math:`w_k \ge 0`, and losses that take the same number of arrays.

    Raises
    ------
    TypeError
        If the losses do not take the same number of arrays.
    ValueError
        If a factor is negative or not finite.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> elastic = 0.5 * polyloss.mse + 2.0 * polyloss.l1
    >>> elastic
    <polyloss loss 0.5 * mse + 2 * l1>
    >>> float(elastic(np.asarray([3.0]), np.asarray([1.0])))
    6.0
    """

    def __init__(self, terms: Sequence[tuple[float, Combinable]]) -> None:
        self.terms = tuple(terms)
        if not self.terms:
            raise ValueError("a sum of losses must have a term")
        self.arrays = self.terms[0][1].arrays
        for _, loss in self.terms:
            if len(loss.arrays) != len(self.arrays):
                known = "; ".join(f"{one.__name__} takes {', '.join(one.arrays)}" for _, one in self.terms)
                raise TypeError(f"losses that are added must take the same arrays, but {known}")
        self.tasks = tuple(t for t in self.terms[0][1].tasks if all(t in loss.tasks for _, loss in self.terms))

    @property
    def __name__(self) -> str:  # type: ignore[override]
        # When somebody asks: a compiler cannot write down a number that it does not know.
        return _added(self.terms, lambda loss: loss.__name__)

    def __repr__(self) -> str:
        return f"<polyloss loss {_added(self.terms, described)}>"

    def __call__(self, *arrays: Array, **keywords: Any) -> Array:
        words.refuse_keras("a sum of losses", self.arrays, "")
        arrays, keywords = without_scalars(arrays, keywords)
        first, *rest = (scale * loss(*map(widened, arrays), **widened_keywords(keywords)) for scale, loss in self.terms)
        return self._narrow(sum(rest, start=first), arrays, keywords)

    def closed_form(
        self, arguments: Sequence[Array], keywords: Mapping[str, Any], argnums: Sequence[int | str]
    ) -> tuple[Array, tuple[Array, ...]]:
        wide = tuple(map(widened, arguments))
        parts = [(scale, *loss.closed_form(wide, widened_keywords(keywords), argnums)) for scale, loss in self.terms]
        first, *rest = (scale * value for scale, value, _ in parts)
        given = [keywords[number] if isinstance(number, str) else arguments[number] for number in argnums]
        gradients = (sum(scale * found[i] for scale, _, found in parts) for i in range(len(argnums)))
        return self._narrow(sum(rest, start=first), arguments, keywords), tuple(
            astype(gradient, array.dtype) for gradient, array in zip(gradients, given, strict=True)
        )

    def _narrow(self, total: Array, arrays: Sequence[Array], keywords: Mapping[str, Any]) -> Array:
        """The total, which was made in float32 of half precision, rounded once."""
        first = arrays[0] if arrays else keywords[self.arrays[0]]
        backend = find_backend(type(first))
        return total if backend is None else astype(total, backend.result_dtype(first))

    def _terms(self) -> list[tuple[float, Combinable]]:
        return list(self.terms)


def terms_of(loss: Any) -> Iterator[tuple[float, Any]]:
    """The losses that `loss` is a sum of, with their factors."""
    if not isinstance(loss, LossSum):
        yield 1.0, loss
        return
    for factor, one in loss.terms:
        yield from ((factor * inner, term) for inner, term in terms_of(one))


def factor_of(name: str, factor: float) -> float:
    """The factor of the loss `name`, with an error where it is none."""
    if isinstance(factor, bool) or not isinstance(factor, numbers.Real):
        raise _no_factor(name, factor)
    if not 0 <= factor < math.inf:
        raise ValueError(f"{name} must be scaled by a finite number that is not negative, got {factor!r}")
    return float(factor)


def _no_factor(name: str, factor: Any, how: str = "scaled") -> TypeError:
    array = find_backend(type(factor)) is not None and hasattr(factor, "shape")
    hint = "; scale its value by an array, or let weights be learned by polyloss.multi_task" if array else ""
    return TypeError(f"{name} must be {how} by a real number, got {checks.describe(factor)}{hint}")


def _no_term(other: Any) -> TypeError:
    hint = "; polyloss.elementwise or polyloss.rowwise makes a loss of a function" if callable(other) else ""
    bases = [base.__module__ for base in type(other).__mro__]
    if any(base.startswith("torch.nn.") for base in bases):
        hint = "; polyloss_torch.module makes a loss of a module"
    if any(base.startswith("keras.") for base in bases):
        hint = "; add the losses first, as in polyloss_keras.KerasLoss(polyloss.mse + polyloss.huber)"
    return TypeError(f"a loss adds to losses and sums of losses, got {checks.describe(other)}{hint}")


def scaled(scale: float, name: str) -> str:
    """A loss times its factor, as it is shown."""
    return name if scale == 1 else f"{scale:g} * {name}"


def _added(terms: Sequence[tuple[float, Combinable]], said: Callable[[Combinable], str]) -> str:
    """The first terms of a sum, as they are shown, and how many there are besides."""
    shown = [scaled(scale, said(loss)) for scale, loss in terms[:MOST_TERMS]]
    return " + ".join([*shown, *([f"{more} more"] if (more := len(terms) - MOST_TERMS) > 0 else [])])


def described(loss: Combinable) -> str:
    """A loss with its parameters, as it is shown."""
    if isinstance(loss, LossSum):
        return f"({_added(loss.terms, described)})"
    fixed = ", ".join(f"{name}={checks.brief(value)}" for name, value in getattr(loss, "fixed", {}).items())
    return f"{loss.__name__}({fixed})" if fixed else loss.__name__
