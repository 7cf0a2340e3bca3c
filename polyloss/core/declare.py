"""How a loss is declared: a kernel, the shapes of its arrays, and the values that its arguments may have."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from . import words
from .closures import warn_of_state
from .domains import Domain
from .kernel import Fuse
from .loss import Kernel, Loss, P


class _Decorator:
    """Makes a `Loss` of a kernel."""

    def __init__(self, signature: str, doc: str = "") -> None:
        self.signature = signature
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
        def make(kernel: Kernel[P], stacklevel: int = 2) -> Loss[P]:
            words.check_kernel(kernel.__name__, inspect.signature(kernel).parameters)
            # The line that is shown is that of the kernel.
            warn_of_state(kernel.__name__, kernel, stacklevel)
            return Loss(kernel, signature=self.signature, autodiff=autodiff, tasks=tasks, domains=domains)

        return make if kernel is None else make(kernel, 3)


def fused(
    signature: str, fuse: Fuse, shapes: Mapping[str, str] | None = None, tasks: Sequence[str] = (), **domains: Domain
) -> Callable[[Kernel[P]], Loss[P]]:
    """Makes a loss whose examples share more than parameters: a matrix, or each other.

    Parameters
    ----------
    signature : str
        The shapes of its arrays, such as ``(n,d),(c,d),(n|n,c)->(n)``.
    fuse : callable
        Makes what finds the gradients together with the value: see `polyloss.core.chunked`.
    shapes : mapping, optional
        Those of parameters that are arrays, and no numbers.
    tasks, **domains
        As those of `elementwise`.
    """

    def make(kernel: Kernel[P]) -> Loss[P]:
        return Loss(kernel, signature=signature, shapes=shapes, fuse=fuse, tasks=tasks, domains=domains)

    return make


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
    "(n)->(n)",
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
    "(n,c)->(n)",
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
regionwise = _Decorator("(n,s)->(n)")
"""Makes a loss of a kernel with one value for each region, which may have several axes: the kernel sees one, the
last."""
regions_of_classes = _Decorator("(n,s,c),(n,s|n,s,c)->(n)")
"""The same with an axis of classes behind those of a region. A class id that does not count is -1 there."""
