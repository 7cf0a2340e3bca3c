"""The docstring of a loss: what its author wrote, and what follows from its arguments.

The author writes the summary, the formula, the parameters, notes, the paper and an example. What every loss takes,
what it returns and what it refuses is added where the loss is made, unless the author wrote that too.
"""

import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .arguments import IGNORED, REGION, row_of
from .domains import REAL, Classes, Domain, Lengths
from .kernel import Definition
from .typing import Call

_SECTIONS = (
    *("", "Parameters", "Returns", "Yields", "Receives", "Other Parameters", "Raises", "Warns", "Warnings"),
    *("See Also", "Notes", "References", "Examples"),
)
"""The order of numpydoc. What comes before the first heading has no title."""
_HEADING = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
_ENTRY = re.compile(r"^(\*{0,2}\w+(?:, *\*{0,2}\w+)*)(?: *:.*)?$", re.MULTILINE)
_OTHER_STYLE = re.compile(r"^\s*(Args:|Arguments:|:param\b)", re.MULTILINE)
_INTERVAL = re.compile(r"([\[(][^\s,]+,) (\S+[\])])")
"""What is not broken between two lines."""
_OF_REGIONS = {
    ("s",): (
        "axis : int or tuple of int, default -1",
        "All axes of a region: ``(-2, -1)`` of images. Without that of the batch each example has a loss; with it, the "
        "whole batch has one.",
    ),
    ("s", "c"): (
        "axis : tuple of int, default (-2, -1)",
        "All axes of a region, and behind these that of the classes: ``(2, 3, 1)`` of images as PyTorch has them, "
        "``(1, 2, 3)`` with the channels last, ``(0, 1, 2, 3)`` where the whole batch is one region.",
    ),
}
_WIDTH = 112


def whole(written: str | None, loss: Definition) -> str | None:
    """The docstring of `loss`, whose kernel has the docstring `written`.

    One in another style than that of NumPy is left alone. ``python -OO`` leaves none, and none is made.
    """
    known = None if sys.flags.optimize > 1 else _sections(written or "")
    if known is None:
        return written
    sections = dict(known)
    sections["Parameters"] = "\n".join(filter(None, [sections.get("Parameters"), *_undescribed(sections, loss)]))
    sections.setdefault("Returns", _entry("array", _result(loss)))
    sections.setdefault("Raises", "\n".join(_refusals(loss)))
    return joined(sections)


def joined(sections: Mapping[str, str]) -> str:
    """The docstring of these sections, in the order of numpydoc."""
    order = sorted(sections, key=lambda title: _SECTIONS.index(title) if title in _SECTIONS else len(_SECTIONS))
    parts = (f"{title}\n{'-' * len(title)}\n{sections[title]}" if title else sections[title] for title in order)
    return "\n\n".join(filter(None, parts))


# This and `_entry` take the time, and `Loss.partial` comes with the same texts again and again.
@functools.cache
def _sections(written: str) -> Mapping[str, str] | None:
    """The sections of what an author wrote; None where it is in another style."""
    return None if _OTHER_STYLE.search(written) else split(inspect.cleandoc(written))


def split(docstring: str) -> Mapping[str, str]:
    """The sections of a docstring, by title."""
    parts = _HEADING.split(docstring)
    return {title: section.strip("\n") for title, section in zip(["", *parts[1::2]], parts[::2], strict=True)}


def described(parameters: str) -> set[str]:
    """The names that a section of parameters describes."""
    return {name.strip(" *") for names in _ENTRY.findall(parameters) for name in names.split(",")}


def _undescribed(sections: Mapping[str, str], loss: Definition) -> Iterator[str]:
    """An entry for each argument that the author says nothing of."""
    names = described(sections.get("Parameters", "")) | described(sections.get("Other Parameters", ""))
    for name in loss.arrays:
        if name not in names:
            yield _entry(f"{name} : array", _of_array(loss, name))
    for name in loss.parameters:
        if name not in names:
            domain = loss.domains.get(name, REAL)
            kind = _kind(loss.defaults[name], domain) if name in loss.defaults else "required"
            yield _entry(f"{name} : {kind}", _sentence(range_of(domain)))
    if REGION in loss.row:
        yield _entry(*_OF_REGIONS[loss.row])
        names = {*names, "axis"}
    common = [name for name in (*(["axis"] if loss.rowwise else []), *Call.__annotations__) if name not in names]
    if common:
        every = "row-wise loss" if loss.rowwise else "loss"
        yield _entry(", ".join(common), f"As in every {every}: see `polyloss.Loss`.")


def _of_array(loss: Definition, name: str) -> str:
    domain, first = loss.domains.get(name, REAL), loss.arrays[0]
    entries = name != first and loss.arguments[name].dims == loss.arguments[first].dims
    texts = [
        "real floating" if _is_floating(loss, name) else "",
        f"of the shape of `{first}`" if entries else "",
        range_of(domain),
    ]
    return _sentence(", ".join(filter(None, texts)))


def _kind(default: Any, domain: Domain) -> str:
    """What a parameter may be, as far as its default tells."""
    if default is None:
        return "optional"
    kind = type(default).__name__
    if kind == "float" and not domain.static:
        kind = "float or array"
    return f"{kind}, default {default!r}"


def _is_floating(loss: Definition, name: str) -> bool:
    """Whether an array must be real floating."""
    return name != "target" and not isinstance(loss.domains.get(name), (Classes, Lengths))


def _result(loss: Definition) -> str:
    first = f"`{loss.arrays[0]}`"
    axes = len(row_of(loss.arguments, loss.arrays[0]))
    lacks = "`axis`" if loss.rowwise else "its last axis" if axes == 1 else f"its last {axes} axes"
    row = f" without {lacks}" if axes else ""
    return f'A scalar, or the shape of {first}{row} with ``reduction="none"``; dtype of {first}.'


def _refusals(loss: Definition) -> Iterator[str]:
    """What is an error, and which."""
    domains = {name: loss.domains.get(name, REAL) for name in (*loss.arrays, *loss.parameters)}
    floating = [name for name in loss.arrays if _is_floating(loss, name)]
    classes = [name for name in loss.arrays if isinstance(domains[name], Classes)]
    lengths = [name for name in loss.arrays if isinstance(domains[name], Lengths)]
    static = [name for name in loss.parameters if name in loss.static]
    kinds = {
        "is not real floating": floating,
        "holds class ids that are not integers": classes,
        "holds lengths that are not integers": lengths,
        "is an array": static,
    }
    types = [f"{_or([f'`{name}`' for name in names])} {wrong}" for wrong, names in kinds.items() if names]
    yield _entry("TypeError", f"If {_or([*types, 'the arrays come from different frameworks'], ', or ')}.")
    values = ["the shapes do not fit (nothing is broadcast)"]
    ids_only = any(isinstance(domain, Classes) and domain.ids_only for domain in domains.values())
    if IGNORED in loss.parameters and not ids_only:
        values.append(f"`{IGNORED}` comes with probabilities")
    ranges = [(name, text) for name, domain in domains.items() if (text := range_of(domain))]
    if ranges:
        must = "; ".join(f"`{name}` must be {text}" for name, text in ranges)
        values.append(f"a value is outside its range: {must}")
    yield _entry("ValueError", f"If {_or(values, ', or ')}.")


def range_of(domain: Domain) -> str:
    """The values that an argument may have, in words; nothing where they are all numbers."""
    if domain.everything:
        return ""
    text = domain.expected()
    if isinstance(domain, Classes) and not domain.ids_only:
        text = f"class ids in [0, C) or {text}"
    for name in domain.named or ():
        text += f' or "{name}"'
    if domain.unless is not None and domain.instead is not None:
        text += f", with `{domain.unless}` {domain.instead.expected()}"
    return text


@functools.cache
def _entry(heading: str, text: str) -> str:
    if not text:
        return heading
    lines = textwrap.wrap(_INTERVAL.sub(r"\1\0\2", text), _WIDTH, break_on_hyphens=False)
    return "\n    ".join([heading, *lines]).replace("\0", " ")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _or(items: Sequence[str], last: str = " or ") -> str:
    return last.join(filter(None, [", ".join(items[:-1]), items[-1]]))
