"""A kernel whose derivatives are the changes of another one's: so a product with a Hessian is the gradient of a loss.

To the core it is a kernel like any other. So masks, weights and reductions, half precision, blocks of arrays in memory
and each framework's own ways are those of any loss.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyloss.adapters import Array, Namespace
from polyloss.core.checks import is_kind

from ._arrays import Dual, Recorded, derivatives
from ._namespace import Derivatives


@dataclass(frozen=True)
class Along:
    """The changes of the derivatives of `kernel`, where one of its arrays moves in a direction: its last argument.

    Parameters
    ----------
    kernel : callable
        That of an elementwise or a row-wise loss. It may return its value alone.
    place : int
        The position of the array that moves.
    """

    kernel: Callable[..., Any]
    place: int

    @property
    def __name__(self) -> str:
        return str(getattr(self.kernel, "__name__", repr(self.kernel)))

    def __call__(self, xp: Namespace, *arrays: Array, **parameters: Any) -> tuple[Any, ...]:
        *inputs, direction = arrays
        space = Derivatives(Dual, xp)
        moving = [Dual(array, direction if place == self.place else None) for place, array in enumerate(inputs)]
        given = {name: Dual(value) if hasattr(value, "shape") else value for name, value in parameters.items()}
        found = self.kernel(space, *moving, **given)
        value, *slopes = found if isinstance(found, tuple) else (found,)
        slopes = [slope for slope in slopes if not isinstance(slope, Mapping)]
        if len(slopes) <= self.place:
            slopes = self._recorded(space, moving, given)
        changes = (functools.partial(_change, xp, *pair) for pair in zip(slopes, inputs, strict=False))
        return value.primal, *changes

    def _recorded(
        self, xp: Namespace, inputs: Sequence[Dual], parameters: Mapping[str, Any]
    ) -> list[Callable[[], Dual]]:
        """The derivatives by all inputs, where there is no closed form by the one that moves."""
        floats = [is_kind(xp, array, "real floating") for array in inputs]
        given = [Recorded.start(x) if is_float else Recorded(x) for x, is_float in zip(inputs, floats, strict=True)]
        keywords = {name: Recorded(v) if isinstance(v, Dual) else v for name, v in parameters.items()}
        found = self.kernel(Derivatives(Recorded, xp), *given, **keywords)
        result = found[0] if isinstance(found, tuple) else found
        return [functools.partial(_itself, slope) for slope in derivatives(result, given)]


def _itself(slope: Dual) -> Dual:
    return slope


def _change(xp: Namespace, slope: Callable[[], Dual], array: Array) -> Array:
    change = slope().tangent
    return xp.zeros_like(array) if change is None else change
