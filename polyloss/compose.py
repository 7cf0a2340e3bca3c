"""Losses made of losses."""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._typing import Array


class Combinable:
    """What can be added and scaled: a loss, or a sum of losses."""

    __name__: str
    __call__: Callable[..., Array]
    autograph_info__: dict[str, object] = {}  # noqa: RUF012 - by this name TensorFlow's AutoGraph knows not to rewrite it

    def closed_form(
        self, arguments: Sequence[Array], keywords: Mapping[str, Any], argnums: Sequence[int]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The value and its gradients, without automatic differentiation."""
        raise NotImplementedError

    def __mul__(self, factor: float) -> "LossSum":
        if isinstance(factor, bool) or not isinstance(factor, numbers.Real):
            return NotImplemented
        if not math.isfinite(factor):
            raise ValueError(f"a loss must be scaled by a finite number, got {factor!r}")
        return LossSum([(float(factor) * scale, loss) for scale, loss in self._terms()])

    __rmul__ = __mul__

    def __add__(self, other: "Combinable") -> "LossSum":
        return LossSum([*self._terms(), *other._terms()]) if isinstance(other, Combinable) else NotImplemented

    def _terms(self) -> list[tuple[float, "Combinable"]]:
        return [(1.0, self)]


class LossSum(Combinable):
    r"""A weighted sum of losses of the same arrays: :math:`\sum_k w_k \ell_k`.

    Made by ``+`` and ``*``. Every term is called with the same arrays and keywords.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> elastic = 0.5 * polyloss.mse + 2.0 * polyloss.l1
    >>> float(elastic(np.asarray([3.0]), np.asarray([1.0])))
    6.0
    """

    def __init__(self, terms: Sequence[tuple[float, Combinable]]) -> None:
        self.terms = tuple(terms)
        self.__name__ = " + ".join(f"{scale:g} * {loss.__name__}" for scale, loss in self.terms)

    def __repr__(self) -> str:
        return f"<polyloss loss {self.__name__}>"

    def __call__(self, *arrays: Array, **keywords: Any) -> Array:
        first, *rest = (scale * loss(*arrays, **keywords) for scale, loss in self.terms)
        return sum(rest, start=first)

    def closed_form(
        self, arguments: Sequence[Array], keywords: Mapping[str, Any], argnums: Sequence[int]
    ) -> tuple[Array, tuple[Array, ...]]:
        parts = [(scale, *loss.closed_form(arguments, keywords, argnums)) for scale, loss in self.terms]
        first, *rest = (scale * value for scale, value, _ in parts)
        gradients = tuple(
            sum((scale * g[i] for scale, _, g in parts[1:]), start=parts[0][0] * parts[0][2][i])
            for i in range(len(argnums))
        )
        return sum(rest, start=first), gradients

    def _terms(self) -> list[tuple[float, Combinable]]:
        return list(self.terms)
