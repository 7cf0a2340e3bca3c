"""Editions of the documentation in other languages, and whether they keep up with the English one.

A page of an edition ends with digests of the sections of the English page that it was made from.
``python docs/editions.py confirm docs/zh/README.md`` writes them anew, once the translation says what the English page
says.
"""

import argparse
import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

EDITIONS = {"": ("en", "English"), "zh": ("zh_CN", "简体中文")}
"""Where they are in the site, their language, and what it is called.

All but the English one have a folder of ``docs``, with pages that take the place of the English ones of the same name.
"""

TABLE = re.compile(r"(?<=<!-- begin )(\w+)(: [^>]*-->\n)(.*?)(?=<!-- end \1 -->)", re.DOTALL)
"""A generated table: its name, the rest of that line, and the table."""

_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_MARKER = re.compile(r"<!-- (?:begin|end) [^>]*-->")
_DIGESTS = re.compile(r"\n*<!-- English edition: ([^>]*) -->\n*\Z")
_LINK = re.compile(r"\]\(([^)#\s:]+\.md)(?=[#)])")
_CELL = re.compile(r"(?<=\| )[^|]+?(?= \|)")
_STAYS = re.compile(r"`[^`]*`|\b\d(?:[\w.,+-]*\w)?")
"""Code, or a number."""
_LETTER = re.compile(r"[^\W\d_]")
_HAN = "[\u3400-\u9fff]"
_BROKEN = re.compile(rf"{_HAN}\n *{_HAN}")
_STOP = re.compile(rf"{_HAN}[,.]\s?{_HAN}")
_JOINT = re.compile(rf"({_BLOCK.pattern})|(?<=[，。；：、！？）”])\n *(?=[^\W\d_]|\[|`(?!``))", _BLOCK.flags)


def pages() -> list[Path]:
    """The pages of all editions but the English one."""
    return sorted(path for path in (ROOT / "docs").glob("**/*.md") if edition_of(path))


def edition_of(path: Path) -> str:
    """The folder of the edition that a file belongs to; empty for English."""
    return next((edition for edition in EDITIONS if edition and path.is_relative_to(ROOT / "docs" / edition)), "")


def original(path: Path) -> Path:
    """The English file whose place a file takes, or itself."""
    edition = edition_of(path)
    if not edition:
        return path
    name = path.relative_to(ROOT / "docs" / edition)
    return ROOT / name if name == Path("README.md") else ROOT / "docs" / name


def place(path: Path) -> Path:
    """Where a file of the repository is in its edition of the site. The README is the first page, and called index."""
    path = original(path)
    return Path("index.md") if path == ROOT / "README.md" else path.relative_to(ROOT)


# ----------------------------------------------------------------------------------------------------- generated tables


def phrases(edition: str) -> dict[str, dict[str, str]]:
    """What cells of generated tables are called in an edition, by the name of the table."""
    with (ROOT / "docs" / edition / "phrases.toml").open("rb") as file:
        return tomllib.load(file)


def translate(table: str, of_table: dict[str, str]) -> tuple[str, set[str]]:
    """A generated table in another language, and the phrases that it needs, whether `of_table` has them or not.

    A phrase is a cell, or a line below the table, as it is or with ``{}`` for each number and each code in it. Where no
    letter is left then, there is nothing to translate.
    """
    needed = set()

    def said(text: str) -> str:
        pattern = _STAYS.sub("{}", text)
        if not _LETTER.search(pattern):
            return text
        needed.add(text if text in of_table else pattern)
        return of_table[text] if text in of_table else of_table.get(pattern, "").format(*_STAYS.findall(text))

    lines = [_CELL.sub(lambda cell: said(cell[0]), one) if one[:1] == "|" else said(one) for one in table.splitlines()]
    return "".join(f"{line}\n" for line in lines), needed


# ------------------------------------------------------------------------------------------------------------- in step


def _prose(text: str, keep: Callable[[str], str] = lambda block: "") -> str:
    """A page without blocks of code, or with what `keep` leaves of each."""
    return _BLOCK.sub(lambda block: keep(block[0]), text)


def sections(text: str) -> list[tuple[str, str]]:
    """The headings of a page, and a digest of the section that each begins.

    Generated tables do not count, nor does where lines are broken.
    """
    text = TABLE.sub("", text)
    headings = list(_HEADING.finditer(_prose(text, lambda block: " " * len(block))))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    parts = [" ".join(text[heading.start() : end].split()) for heading, end in zip(headings, ends, strict=True)]
    digests = [hashlib.sha256(part.encode()).hexdigest()[:8] for part in parts]
    return [(heading[2], digest) for heading, digest in zip(headings, digests, strict=True)]


def changed(text: str, english: str) -> list[str]:
    """The headings of those sections of an English page that the translation was not made from."""
    found = _DIGESTS.search(text)
    known, now = found[1].split() if found else [], sections(english)
    if [digest for _, digest in now] == known:
        return []
    return [heading for heading, digest in now if digest not in known] or ["(sections were moved, or taken out)"]


def confirm(page: Path) -> None:
    """Write down that a page says what the English one says now."""
    digests = " ".join(digest for _, digest in sections(original(page).read_text(encoding="utf-8")))
    text = _DIGESTS.sub("", page.read_text(encoding="utf-8")).rstrip("\n")
    page.write_text(f"{text}\n\n<!-- English edition: {digests} -->\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------ the same


def _blocks(text: str) -> list[str]:
    """The blocks of code, and the first lines of pictures and trees: what is said of these is translated."""
    drawn = ("```{picture}", "```{tree}")
    return [block.partition("\n")[0] if block.startswith(drawn) else block for block in _BLOCK.findall(text)]


def _rows_of_code(text: str) -> list[list[str]]:
    """The cells that need no translation, of each row that begins with code. A list has commas of its language."""
    lines = [line.replace("、", ", ") for line in text.splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [[c for c in cells if not _LETTER.search(_STAYS.sub("", c))] for cells in rows if cells[0][-1] == "`"]


def differences(text: str, english: str) -> Iterator[str]:
    """What should be the same in a translation, and is not."""
    parts: dict[str, Callable[[str], list[str] | list[list[str]]]] = {
        "blocks of code": _blocks,
        "levels of headings": lambda text: [heading[1] for heading in _HEADING.finditer(_prose(text))],
        "marks of generated tables": _MARKER.findall,
        "rows of tables that begin with code": _rows_of_code,
    }
    for what, part in parts.items():
        if part(text) != part(english):
            yield f"{what} are not those of the English page"


def slips(text: str) -> Iterator[str]:
    """What is wrong in the type of Chinese text: a line break becomes a space, which nobody writes between words."""
    for what, pattern in (("a line break", _BROKEN), ("an ASCII comma or full stop", _STOP)):
        yield from (f"{what} between two characters: {found!r}" for found in pattern.findall(_prose(text)))


def joined(text: str) -> str:
    """A page of Chinese text whose paragraphs go on after punctuation, where a line break would be seen as a space."""
    return _JOINT.sub(r"\1", text)


def detours(page: Path) -> Iterator[str]:
    """Links of a page to an English one that is in its edition, but for the switch between editions."""
    there = {original(path): path for path in pages() if edition_of(path) == edition_of(page)}
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        target = Path(os.path.normpath(page.parent / link))
        if target in there and target != original(page):
            yield f"{link} is {there[target].relative_to(ROOT)} in this edition"


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Keep editions of the documentation in step.")
    parser.add_argument("what", choices=["confirm"], help="the pages say what the English ones say now")
    parser.add_argument("pages", type=Path, nargs="+")
    found = [path.resolve() for path in parser.parse_args(arguments).pages]
    for path in found:
        if path not in pages():
            parser.error(f"{path} is no page of an edition")
    for path in found:
        confirm(path)


if __name__ == "__main__":
    main()
