"""What the generated pages are written with."""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpydoc.docscrape_sphinx import SphinxDocString

from polyloss.core import docstrings
from polyloss_conformance.deviations import Deviation


def title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def indented(text: str) -> str:
    return textwrap.indent(text, "   ")


def directive(name: str, argument: str = "", content: str = "", **options: str) -> str:
    """A directive with its content."""
    lines = [f".. {name}:: {argument}".rstrip(), *(f"   :{key}: {value}".rstrip() for key, value in options.items())]
    return "\n".join([*lines, "", indented(content), ""])


def code(text: str, language: str = "python") -> str:
    return directive("code-block", language, text)


def literal(text: str) -> str:
    """A text as code within a line; nothing where there is none."""
    return f"``{text}``" if text else ""


def plain(text: str) -> str:
    """A text in which nothing is markup."""
    return "".join(f"\\{c}" if c in "\\*`_|" else c for c in text)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = []
    for row in (headings, *rows):
        for number, cell in enumerate(row):
            first, *rest = (cell or " ").splitlines() or [" "]
            lines.append(f"{'* ' if number == 0 else '  '}- {first}".rstrip())
            lines += [f"    {line}" for line in rest]
    return directive("list-table", "", "\n".join(lines), **{"header-rows": "1"})


def prose(text: str) -> str:
    """A text in which no author's initial is taken for the number of a list."""
    return re.sub(r"^(\s*)([A-Z]\. )", r"\1\\\2", text, flags=re.MULTILINE)


def numpydoc(text: str) -> str:
    """A docstring in the style of NumPy as reStructuredText."""
    return str(SphinxDocString(prose(text), config={"show_class_members": False})) if text else ""


def sections(text: str, *titles: str) -> str:
    """Some sections of a docstring."""
    found = {name: part for name, part in docstrings.split(text).items() if name in titles}
    return numpydoc(docstrings.joined({"": "", **found}))


def shown(entry: Deviation) -> Iterator[str]:
    """What happens, the line that shows it, what that gives, and what is right."""
    yield plain(entry.reason) + "\n"
    if entry.input:
        gives, right = ("an error" if text == "error" else literal(text) for text in (entry.returns, entry.exact))
        yield code(entry.input)
        yield f"It gives {gives}; right is {right}.\n"


def signature(function: Callable[..., Any]) -> str:
    """The arguments and their defaults, without types."""
    found = inspect.signature(function)
    bare = [one.replace(annotation=one.empty) for one in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=found.empty))


def write(path: Path, *parts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts), encoding="utf-8")
