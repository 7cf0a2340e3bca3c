"""The arguments of a loss, as they are declared: what shape each has beside the others, and which values it may have.

Shapes are written with letters, as those of NumPy's generalised functions are: ``(n,d),(c,d),(n|n,c)->(n)``. ``n``
stands for all axes of the examples, of which there may be any number; every other letter is one axis, as long in
every argument that has it. Only ``s``, a region, may be several, which a kernel sees as one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .domains import REAL, WEIGHT, Classes, Domain

Dims: TypeAlias = tuple[str, ...]
Part: TypeAlias = Literal["all", "first", "last"]

EXAMPLES = "n"
"""The letter of the axes that losses have."""
REGION = "s"
"""The letter of as many axes as a call says: those of a region."""
WORDS = {
    "c": ("class", "classes"),
    "d": ("feature", "features"),
    "m": ("reference", "references"),
    REGION: ("element", "elements"),
    "t": ("step", "steps"),
    "l": ("label", "labels"),
}
"""What one entry along an axis with another letter, and several, are called in a message."""
IGNORED = "ignore_index"
"""The parameter that is a class id."""
OF_A_CALL = ("sample_weight", "where", "denominator")
"""The keywords that come with a call and are no parameters of the loss."""


@dataclass(frozen=True)
class Argument:
    """An argument that is an array, or may be one.

    Parameters
    ----------
    name : str
    dims : tuple of tuple of str
        The shapes that it may have: one; or for class ids, and for probabilities in their place.
    part : {"all", "first", "last"}
        Whether it has all of these axes, may lack some at the end, as weights do, or at the front, as parameters do.
    domain : Domain
    """

    name: str
    dims: tuple[Dims, ...]
    part: Part = "all"
    domain: Domain = REAL

    @property
    def of_examples(self) -> bool:
        """Whether it has the axes of the examples."""
        return EXAMPLES in self.dims[0]


def parsed(signature: str) -> list[tuple[Dims, ...]]:
    """The shapes in a signature.

    >>> parsed("(n,d),(n|n,d)->(n)")
    [(('n', 'd'),), (('n',), ('n', 'd'))]
    """
    arrays = signature.partition("->")[0].replace(" ", "").strip("()").split("),(")
    return [tuple(tuple(filter(None, dims.split(","))) for dims in shapes.split("|")) for shapes in arrays]


def declared(
    arrays: Sequence[str],
    parameters: Sequence[str],
    domains: Mapping[str, Domain],
    signature: str,
    shapes: Mapping[str, str],
) -> dict[str, Argument]:
    """The arguments of a loss by their names.

    Parameters
    ----------
    arrays, parameters : sequence of str
        Their names.
    domains : mapping
        The values that they may have.
    signature : str
        The shapes of the arrays; of one alone, it is that of all: elements or rows.
    shapes : mapping
        Those of parameters that are not simply a number for each entry of a row or, without rows, of the last axes.
    """
    alike = parsed(signature)
    found: dict[str, Argument] = {}
    for place, name in enumerate(arrays):
        domain, dims = domains.get(name, REAL), alike[min(place, len(alike) - 1)]
        if len(alike) == 1 and len(dims[0]) > 1 and place:
            # A row-wise loss: rows, something for each of them, or either.
            each: tuple[Dims, ...] = ((EXAMPLES,),)
            dims = (*each, *dims) if isinstance(domain, Classes) else each if domain.per_example else dims
        found[name] = Argument(name, dims, "all", domain)
    letters = {letter for argument in found.values() for dims in argument.dims for letter in dims}
    last: Dims = alike[0][0] if letters == {EXAMPLES} else ("c",) if "c" in letters else ()
    for name in parameters:
        domain = domains.get(name, REAL)
        if name in shapes:
            found[name] = Argument(name, tuple(parsed(shapes[name])[0]), "all", domain)
        elif name == IGNORED or domain.scalar:
            found[name] = Argument(name, ((),), "all", domain)
        else:
            found[name] = Argument(name, (last,), "last", domain)
    found["sample_weight"] = Argument("sample_weight", ((EXAMPLES,),), "first", WEIGHT)
    found["where"] = Argument("where", ((EXAMPLES,),), "first")
    found["denominator"] = Argument("denominator", ((),))
    return found


def row_of(arguments: Mapping[str, Argument], first: str) -> Dims:
    """The letters of a row of the first array: none where each element has a loss of its own."""
    return tuple(letter for letter in arguments[first].dims[-1] if letter != EXAMPLES)


def is_static(default: Any, domain: Domain | None) -> bool:
    """Whether a kernel may branch on a parameter: declared, or to be seen by a default that is no float."""
    return isinstance(default, (bool, int, str)) or (domain is not None and domain.static)
