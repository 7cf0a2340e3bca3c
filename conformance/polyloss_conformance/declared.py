"""How a loss that has no record is called: arrays made from what it declares. A sum of losses is one loss here."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import polyloss
from polyloss.core import checks
from polyloss.core.arguments import EXAMPLES
from polyloss.core.compose import terms_of
from polyloss.core.domains import REAL, Classes, Domain

from .arrays import Shape, bits, classes, normal, uniform
from .case import Entry
from .losses import LOSSES

ENTRIES = 5
"""So many classes or features."""


class Sum(polyloss.LossSum):
    """A sum of losses that says of its arguments what one of its terms does: `like`, whose arrays fit all of them.

    It has no parameters: those of its terms are fixed.
    """

    def __init__(self, total: polyloss.LossSum, like: polyloss.Loss[Any]) -> None:
        super().__init__(total.terms)
        self.like = like
        self.rowwise = like.rowwise
        self.domains: Mapping[str, Domain] = {
            name: like.domains[its] for name, its in zip(self.arrays, like.arrays, strict=True) if its in like.domains
        }
        self.parameters: tuple[str, ...] = ()
        self.defaults: Mapping[str, Any] = {}
        self.static: frozenset[str] = frozenset()
        self.autodiff = any(term.autodiff is True for term in losses_of(total))


def as_one(total: polyloss.LossSum) -> Sum:
    """A sum as one loss. ValueError where no arrays are made that fit all of its terms."""
    terms = losses_of(total)
    for like in terms:
        arrays = generated(like)
        try:
            shapes = {_losses_shape(term, arrays) for term in terms}
        except (TypeError, ValueError) as error:
            problem = f"what fits {like.__name__} does not fit another term: {error}"
            continue
        if len(shapes) == 1:
            return Sum(total, like)
        problem = "some of its terms are losses of elements, others of rows or of a batch"
    raise ValueError(
        f"a sum of losses that no generated arrays fit ({problem}); its terms are checked where they have names here"
    )


def losses_of(loss: Any) -> list[polyloss.Loss[Any]]:
    """The losses in a sum, those of sums in it among them; of a loss, that alone."""
    return [term for _, term in terms_of(loss) if isinstance(term, polyloss.Loss)]


def _losses_shape(loss: polyloss.Loss[Any], arrays: tuple[Any, ...]) -> checks.Shape:
    """The shape of the per-example losses. An error where the arrays are not for this loss; the kernel is not run."""
    call = loss.bind(arrays, {"reduction": "none"})
    call.check_values()
    return call.plan.losses_shape(call.named)


def entry_of(loss: polyloss.Loss[Any] | Sum) -> Entry:
    """How a loss is called: like the loss of polyloss of which it is a `partial`, or as it says itself."""
    origin = (loss.like if isinstance(loss, Sum) else loss).origin
    for name, entry in LOSSES.items():
        if getattr(polyloss, name, None) is origin:
            return entry
    return Entry(arrays=loss.arrays, rowwise=loss.rowwise)


def generated(
    loss: polyloss.Loss[Any] | Sum, examples: Shape = (), row: Mapping[str, int] | None = None
) -> tuple[Any, ...]:
    """Ordinary arguments for per-example losses of a shape; that of `Entry.table`, if nothing is said.

    `row` has the lengths of the axes of a row, by their letters.
    """
    like = loss.like if isinstance(loss, Sum) else loss
    examples = examples or entry_of(loss).table
    return tuple(_ordinary(like, name, examples, row or {}) for name in like.arrays)


def small(loss: polyloss.Loss[Any] | Sum, size: float) -> tuple[Any, ...] | None:
    """The same, of that size alone where the domains let numbers be as small; None where no argument may be.

    Both arrays of a difference are small then: of large ones it would not be known to that many digits.
    """
    like = loss.like if isinstance(loss, Sum) else loss
    domains = [like.domains.get(name, REAL) for name in like.arrays]
    scaled = [not isinstance(d, Classes) and d.low in (-np.inf, 0) and d.high == np.inf for d in domains]
    if not any(scaled):
        return None
    arrays = zip(generated(loss), scaled, strict=True)
    return tuple(size * array if smaller else array for array, smaller in arrays)


def _ordinary(loss: polyloss.Loss[Any], argument: str, examples: Shape, row: Mapping[str, int]) -> Any:
    domain = loss.domains.get(argument, REAL)
    name = f"{loss.__name__} {argument}"
    shape: Shape = ()
    for letter in loss.arguments[argument].dims[0]:
        shape += examples if letter == EXAMPLES else (row.get(letter, ENTRIES),)
    if isinstance(domain, Classes):
        return classes(name, shape, row.get("c", ENTRIES))
    if domain.ends_only:
        return np.where(bits(name, shape) == 1, float(domain.high), float(domain.low))
    if np.isfinite(domain.low) and np.isfinite(domain.high):
        width = domain.high - domain.low
        return uniform(name, shape, domain.low + 0.05 * width, domain.high - 0.05 * width)
    if np.isfinite(domain.low):
        return domain.low + uniform(name, shape, 0.1, 2.0)
    return normal(name, shape)
