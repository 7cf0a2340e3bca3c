"""Which axis of which argument is what: the shapes of a call, compared with those that were declared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import checks
from .arguments import EXAMPLES, IGNORED, OF_A_CALL, REGION, WORDS, Argument, Dims
from .backend import Alike, Named, backend_of
from .domains import REAL, Classes, ClassSequences, Domain, Lengths
from .dtypes import cast
from .kernel import Definition
from .reduction import expand
from .typing import Array, Namespace

_OF_ONE_HOT = "; argmax along the axis of the classes makes these of one-hot rows"

Axis: TypeAlias = tuple[str, int]
"""A letter and, of the examples, which of their axes."""


@dataclass(frozen=True)
class Binding:
    """The arguments of a call without their arrays.

    Parameters
    ----------
    loss : Definition
    parameters : tuple
        Name and value of each parameter that is no array.
    names : tuple of str
        What the arrays are: those of the loss, and then those among the keywords.
    axis : tuple of int
        The axes of a row in the first array, in the order of their letters, counted from the front; none where elements
        have losses.
    dtypes : tuple
        For each name the dtype of the array that a number became; None for what came as an array.
    readable : bool
        Whether the values can be looked at. Where they cannot be, a row with a bad one becomes NaN.
    kinds : tuple of type
        Those of the parameters: 1, 1.0 and True are equal, and to a kernel they need not be.
    """

    loss: Definition
    parameters: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]
    axis: tuple[int, ...]
    dtypes: tuple[Any, ...]
    readable: bool
    kinds: tuple[type, ...]

    @property
    def numbers(self) -> list[str]:
        """The parameters that came as numbers, and were checked as such."""
        pairs = zip(self.names, self.dtypes, strict=True)
        return [name for name, dtype in pairs if dtype is not None and name not in OF_A_CALL]

    def named(self, arrays: Sequence[Array]) -> Named:
        """The arrays by their names."""
        return dict(zip(self.names, arrays, strict=True))

    def inputs(self) -> list[tuple[str, Domain]]:
        """The arrays of the loss, and the values that they may have in this call."""
        parameters = dict(self.parameters)
        found = []
        for name in self.loss.arrays:
            domain = self.loss.arguments[name].domain
            if domain.unless and parameters.get(domain.unless):
                domain = domain.instead or REAL
            found.append((name, domain))
        return found

    def losses_shape(self, named: Mapping[str, Array]) -> checks.Shape:
        """The shape of the losses."""
        whole = tuple(named[self.loss.arrays[0]].shape)
        for axis in sorted(self.axis, reverse=True):
            whole = whole[:axis] + whole[axis + 1 :]
        return whole

    @property
    def row(self) -> list[Axis]:
        """What the axes of a row are."""
        letters = self.loss.row
        found: list[Axis] = []
        for letter in letters:
            # Dynamo of PyTorch 2.11 follows no `zip` that is added to a list.
            for number in range(len(self.axis) - len(letters) + 1 if letter == REGION else 1):
                found.append((letter, number))
        return found

    def is_empty(self, named: Mapping[str, Array]) -> bool:
        """Whether there is no example at all."""
        return 0 in self.losses_shape(named)

    def axes(self, argument: Argument, array: Array, count: int) -> list[Axis]:
        """What each axis of an array is, where the examples have `count`."""
        dims = argument.dims[0]
        if len(argument.dims) > 1 and checks.is_kind(backend_of(array).namespace(array), array, "real floating"):
            dims = argument.dims[-1]
        found = self._axes(dims, count)
        if argument.part == "first":
            return found[: array.ndim]
        return found[len(found) - array.ndim :] if argument.part == "last" and array.ndim <= len(found) else found

    def _axes(self, dims: Dims, count: int) -> list[Axis]:
        """The axes of a shape; those of a row are where they are in the first array."""
        found: list[Axis] = []
        for letter in dims:
            for number in range(count if letter == EXAMPLES else 1):
                found.append((letter, number))
        if len(dims) > 1 and dims[0] == EXAMPLES and self.loss.rowwise:
            del found[count:]
            for place, axis in sorted(zip(self.axis, self.row, strict=True)):
                found.insert(place, axis)
            found = [axis for axis in found if axis[0] in dims]
        return found

    def lengths(self, named: Mapping[str, Array]) -> dict[Axis, int | None]:
        """How long each axis of the inputs is, where that is known."""
        found: dict[Axis, int | None] = {}
        count = len(self.losses_shape(named))
        for name in self.loss.arrays:
            array = named[name]
            for axis, length in zip(self.axes(self.loss.arguments[name], array, count), array.shape, strict=False):
                if found.get(axis) is None:
                    found[axis] = length
        return found

    def alike(self, named: Mapping[str, Array]) -> Iterator[Alike]:
        """Each axis of an argument beside the first one that must be as long."""
        count = len(self.losses_shape(named))
        first: dict[Axis, tuple[str, Array, int]] = {}
        for name, array in named.items():
            argument = self.loss.arguments[name]
            for place, axis in enumerate(self.axes(argument, array, count)):
                if axis in first:
                    shared = argument.part == "last" and axis[0] == EXAMPLES
                    yield Alike(name, array, place, *first[axis], shared)
                else:
                    first[axis] = (name, array, place)

    def check_shapes(self, xp: Namespace, named: Mapping[str, Array]) -> None:
        """Raise for all that dtypes and shapes tell."""
        name, first = self.loss.__name__, self.loss.arrays[0]
        checks.real_floating(name, first, xp, named[first])
        rows = self.losses_shape(named)
        lengths: dict[Axis, int | None] = {}
        empty: list[tuple[str, Array, int]] = []
        for key, domain in self.inputs():
            argument, array = self.loss.arguments[key], named[key]
            axes = self.axes(argument, array, len(rows))
            if isinstance(domain, (ClassSequences, Lengths)):
                checks.integer(name, key, xp, array, "class ids" if isinstance(domain, Classes) else "lengths")
                self._check_shape(argument, array, axes, lengths)
                if isinstance(domain, ClassSequences):
                    checks.is_class(name, domain.blank, dict(self.parameters)[domain.blank], lengths["c", 0])
            elif isinstance(domain, Classes) and argument.of_examples:
                self._check_classes(xp, key, domain.ids_only, named, rows, lengths)
            else:
                if domain.ends_only and domain.low < 0 and checks.is_kind(xp, array, "bool"):
                    # True would pass, until a False comes.
                    raise TypeError(f"{name}: {key} must be {domain}, got dtype bool; 2 * {key} - 1 makes these of it")
                if isinstance(domain, Classes):
                    if not checks.is_integer(xp, array):
                        raise TypeError(f"{name}: {key} must be class ids: integers; got {checks.describe(array)}")
                elif key != first:
                    (checks.real if key == "target" else checks.real_floating)(name, key, xp, array)
                self._check_shape(argument, array, axes, lengths)
            for place, axis in enumerate(axes):
                if axis[0] != EXAMPLES and array.shape[place] == 0:
                    empty.append((key, array, place))
                if lengths.get(axis) is None:
                    lengths[axis] = array.shape[place]
        # Last: of a shape that does not fit, there is more to say.
        for key, array, place in empty:
            checks.has_entries(name, key, tuple(array.shape), place)
        for key in self.names[len(self.loss.arrays) :]:
            self._check_keyword(xp, self.loss.arguments[key], named[key], rows, lengths)

    def _check_shape(
        self, argument: Argument, array: Array, axes: Sequence[Axis], lengths: Mapping[Axis, int | None]
    ) -> None:
        """An input must have the shape that was declared, beside those before it."""
        name, first, shape = self.loss.__name__, self.loss.arguments[self.loss.arrays[0]], tuple(array.shape)
        if argument is first:
            if len(shape) < len(argument.dims[0]) - 1:
                words = "".join(f", {WORDS[letter][1]}" for letter in argument.dims[0][1:])
                raise ValueError(f"{name}: {argument.name} must have the shape (...{words}), got {shape}")
            return
        expected = tuple(map(lengths.get, axes))
        if set(axes).issubset(lengths):
            what = f"the shape of {first.name}," if argument.dims == first.dims else "one value per row, shape"
            # Without its axis of classes, a row of one would be another kind of row.
            of = None if self.axis else first.name
            checks.shape_is(name, argument.name, shape, expected, what, of=of)
            return
        if not checks.same_shape(shape, expected):
            words = ", ".join(str(lengths[axis]) if axis in lengths else WORDS[axis[0]][1] for axis in axes)
            turned = len(shape) == 2 and None not in shape and checks.same_shape(shape[::-1], expected)
            hint = f"; say {argument.name}.T" if turned else ""
            raise ValueError(f"{name}: {argument.name} must have the shape ({words}), got {shape}{hint}")
        if None in shape and not argument.of_examples:
            raise ValueError(f"{name}: {argument.name} must have a known shape, got {shape}")

    def _check_classes(
        self,
        xp: Namespace,
        key: str,
        ids_only: bool,
        named: Mapping[str, Array],
        rows: checks.Shape,
        lengths: Mapping[Axis, int | None],
    ) -> None:
        """Class ids, one per row; or probabilities, one per class."""
        name, first, array = self.loss.__name__, self.loss.arrays[0], named[key]
        argument, shape = self.loss.arguments[key], tuple(array.shape)
        alike = argument.dims[-1] == self.loss.arguments[first].dims[0]
        each = argument.dims[0] if len(argument.dims) > 1 else (EXAMPLES,)
        rows, axes = tuple(map(lengths.get, self._axes(each, len(rows)))), self._axes(argument.dims[-1], len(rows))
        whole, one = tuple(map(lengths.get, axes)), "element" if REGION in each else "row"
        dtype = f"the dtype of {first}, {named[first].dtype},"
        if checks.is_integer(xp, array):
            if not checks.same_shape(shape, rows):
                others = range(len(whole)) if self.loss.rowwise and len(self.loss.row) == 1 else ()
                fits = [a for a in others if checks.same_shape(shape, whole[:a] + whole[a + 1 :])]
                hint = f"; for classes along another axis of {first} say axis={fits[0]}" if fits else ""
                if checks.same_shape(shape, whole) and whole != (*rows, 1):
                    hint = f"; if these are probabilities, such as one-hot rows, convert them to {dtype} first"
                    hint = _OF_ONE_HOT if ids_only else hint
                checks.shape_is(name, key, shape, rows, f"class ids, one per {one}, shape", hint)
            return
        if checks.same_shape(shape, rows):
            raise TypeError(
                f"{name}: {key} with one value per {one} holds class ids: integers; got dtype {array.dtype}; convert "
                "them to integers first"
            )
        if ids_only:
            what = checks.describe(array)
            raise TypeError(f"{name}: {key} must be class ids: integers, one per {one}; got {what}{_OF_ONE_HOT}")
        checks.real_floating(name, key, xp, array, dtype, " or class ids")
        what = f"probabilities in the shape of {first}," if alike else "a probability for each class, shape"
        ids = "class ids (integers)" if alike else f"class ids (integers), one per {one}"
        checks.shape_is(name, key, shape, whole, f"{ids}, or {what}")
        if IGNORED in named:
            raise ValueError(f"{name}: {IGNORED} must come with class ids, got probabilities as {key}")

    def _check_keyword(
        self, xp: Namespace, argument: Argument, value: Array, rows: checks.Shape, lengths: Mapping[Axis, int | None]
    ) -> None:
        name, key, shape = self.loss.__name__, argument.name, tuple(value.shape)
        check_keyword_alone(name, argument, xp, value)
        if argument.part == "first":
            checks.shape_starts(name, key, shape, rows)
        elif argument.part == "last":
            whole = rows if EXAMPLES in argument.dims[0] else tuple(lengths[letter, 0] for letter in argument.dims[0])
            checks.shape_ends(name, key, shape, whole, EXAMPLES not in argument.dims[0])
        elif argument.dims[0]:
            expected = tuple(map(lengths.get, self.axes(argument, value, len(rows))))
            checks.shape_is(name, key, shape, expected, f"one number per {WORDS[argument.dims[0][0]][0]}, shape")

    def mask(self, xp: Namespace, named: Mapping[str, Array]) -> Array | None:
        """Which examples count: those of ``where`` whose class is not ignored."""
        mask = named.get("where")
        if mask is not None:
            mask = expand(mask, len(self.losses_shape(named)))
        if IGNORED in named:
            for kept in self._kept(xp, named, in_rows=False).values():
                mask = kept if mask is None else mask & kept
        return mask

    def kept_in_rows(self, xp: Namespace, named: Mapping[str, Array]) -> Named:
        """Which of the class ids within a row are not ignored."""
        return self._kept(xp, named, in_rows=True) if IGNORED in named else {}

    def _kept(self, xp: Namespace, named: Mapping[str, Array], *, in_rows: bool) -> Named:
        found: Named = {}
        for name, domain in self.inputs():
            if (REGION in self.loss.arguments[name].dims[0]) is in_rows and holds_ids(xp, named[name], domain):
                ids, ignored = checks.wide_ids(xp, named[name]), checks.wide_ids(xp, named[IGNORED])
                kind = ids.dtype if ids.dtype == ignored.dtype else xp.int64
                found[name] = cast(xp, ids, kind) != cast(xp, ignored, kind)
        return found


def check_keyword_alone(loss: str, argument: Argument, xp: Namespace, value: Array) -> None:
    """Raise for what dtype and shape of a keyword tell without the arrays of a call."""
    key, shape = argument.name, tuple(value.shape)
    if key == "where":
        checks.boolean(loss, key, xp, value)
    elif key == IGNORED:
        if not checks.is_integer(xp, value) or shape:
            raise checks.one_id(loss, key, value)
    else:
        floating = argument.part == "all" and argument.dims[0]
        (checks.real_floating if floating else checks.real)(loss, key, xp, value)
        if not argument.dims[0]:
            checks.shape_is(loss, key, shape, (), "the shape of a number,")


def holds_ids(xp: Namespace, array: Array, domain: Domain) -> bool:
    """Whether an array holds class ids or lengths, and not what stands in their place."""
    return isinstance(domain, (Classes, Lengths)) and checks.is_integer(xp, array)
