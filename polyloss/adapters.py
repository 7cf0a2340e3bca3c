"""What an adapter of a framework is made of: the contract, what it hands over, and the functions that most need.

`Backend` has five methods that every adapter writes: `namespace`, `asarray`, `readable`, `attach` and `value_and_grad`.
All others have a default that is right, though seldom the fastest, for a library without automatic differentiation. A
package with an instance called ``backend`` is an adapter once `register_backend` knows it. ``docs/adapters.md``
explains how, ``examples/polyloss_strict`` is one.

The types of kernels are here too, for losses of one's own: `Array`, `Namespace`, `KernelResult`, and `Gradient`, a
function without arguments that returns an array.

What else the adapters of this distribution import of polyloss may change with any version.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .core.backend import Backend, Fused, Pair, lacks_closed_form, register_backend
from .core.reduction import pull, push, sum_to
from .core.transforms import scalar
from .core.typing import Gradient, KernelResult
from .core.vocabulary import Array, Namespace


def closed_form(function: Callable[..., Array], argnums: Sequence[int]) -> Callable[..., tuple[Array, Any]]:
    """`Backend.value_and_grad` for arrays without automatic differentiation, from the closed forms of losses.

    Parameters
    ----------
    function : callable
        A loss, or a sum of losses.
    argnums : sequence of int
        The positions of the arguments to differentiate with respect to.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns the value and a tuple of gradients.

    Raises
    ------
    TypeError
        If `function` is neither.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> from polyloss.adapters import closed_form
    >>> value, (gradient,) = closed_form(polyloss.mse, (0,))(np.asarray([3.0]), np.asarray([1.0]))
    >>> float(value), gradient.tolist()
    (4.0, [4.0])
    """
    found = getattr(function, "closed_form", None)
    if found is None:
        name = getattr(function, "__name__", repr(function))
        raise TypeError(f"{name} must be a loss or a sum of losses: these arrays have no automatic differentiation")
    return lambda *arguments, **keywords: found(arguments, keywords, argnums)


__all__ = [
    "Array",
    "Backend",
    "Fused",
    "Gradient",
    "KernelResult",
    "Namespace",
    "Pair",
    "closed_form",
    "lacks_closed_form",
    "pull",
    "push",
    "register_backend",
    "scalar",
    "sum_to",
]
