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
from collections import Counter
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
_SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_TARGET = re.compile(r"\]\(([^)\s]+)\)|<(https?:[^>\s]+)>")
_NUMBER = re.compile(r"(?<![A-Za-z\d.,)\]])[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
_ITEM = re.compile(r"^ *(?:[-*]|\d+\.) ", re.MULTILINE)
_ROW = re.compile(r"^\|", re.MULTILINE)
_OTHER = re.compile(rf"\n*(?:{_ITEM.pattern}|{_ROW.pattern}|{_HEADING.pattern})", re.MULTILINE)
"""How a block begins that is no paragraph."""
_ANCHOR = re.compile(r"^\(\S+\)=$", re.MULTILINE)
_DRAWN = "```{picture}"
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
    """What cells of generated tables are called in an edition, by the name of the table, and what the site says."""
    with (ROOT / "docs" / edition / "phrases.toml").open("rb") as file:
        return tomllib.load(file)


def translate(table: str, of_table: dict[str, str]) -> tuple[str, set[str]]:
    """A generated table in another language, and the phrases that it needs, whether `of_table` has them or not.

    A phrase is a cell, or a line below the table, as it is or with ``{}`` for each number and each code in it; its own
    braces are doubled then, as `str.format` has them. Where no letter is left then, there is nothing to translate.
    """
    needed = set()

    def said(text: str) -> str:
        pattern = _STAYS.sub("{}", text.replace("{", "{{").replace("}", "}}"))
        if not _LETTER.search(pattern):
            return text
        needed.add(text if text in of_table else pattern)
        if text in of_table:
            return of_table[text]
        phrase = of_table.get(pattern, "")
        try:
            return phrase.format(*_STAYS.findall(text))
        except (IndexError, KeyError, ValueError) as error:
            raise ValueError(f"the phrase {phrase!r} has other places than {pattern!r}") from error

    lines = [_CELL.sub(lambda cell: said(cell[0]), one) if one[:1] == "|" else said(one) for one in table.splitlines()]
    return "".join(f"{line}\n" for line in lines), needed


# ------------------------------------------------------------------------------------------------------------- in step


def _prose(text: str, keep: Callable[[str], str] = lambda block: "") -> str:
    """A page without blocks of code, or with what `keep` leaves of each."""
    return _BLOCK.sub(lambda block: keep(block[0]), text)


def _sections(text: str) -> list[tuple[str, str]]:
    """The headings of a page, and the section that each begins; what is before the first has a name in brackets.

    Generated tables do not count.
    """
    text = TABLE.sub("", _DIGESTS.sub("", text))
    headings = list(_HEADING.finditer(_prose(text, lambda block: " " * len(block))))
    starts = [heading.start() for heading in headings]
    parts = [text[start:end] for start, end in zip([0, *starts], [*starts, len(text)], strict=True)]
    found = list(zip(["(before the first heading)", *(heading[2] for heading in headings)], parts, strict=True))
    return found if found[0][1].strip() else found[1:]


def sections(text: str) -> list[tuple[str, str]]:
    """The headings of a page, and a digest of the section that each begins: where lines are broken does not count."""
    parts = [(heading, " ".join(part.split())) for heading, part in _sections(text)]
    return [(heading, hashlib.sha256(part.encode()).hexdigest()[:8]) for heading, part in parts]


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
    """The blocks of code, and the first lines of pictures: what is said of these is translated."""
    return [block.partition("\n")[0] if block.startswith(_DRAWN) else block for block in _BLOCK.findall(text)]


def _rows_of_code(text: str) -> list[list[str]]:
    """The cells that need no translation, of each row that begins with code. A list has commas of its language."""
    lines = [line.replace("、", ", ") for line in text.splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [[c for c in cells if not _LETTER.search(_STAYS.sub("", c))] for cells in rows if cells[0][-1] == "`"]


SHARE = 0.3
"""How many letters a section has in another language for each English one, at least: the Chinese pages have 0.33."""

# fmt: off
WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)
# fmt: on
"""Numbers that English text spells, where Chinese has digits."""


class _Section:
    """What a section has that should be the same in every language.

    Parameters
    ----------
    text : str
    page : Path
        Where it is: links to other files are taken from there.
    """

    def __init__(self, text: str, page: Path) -> None:
        # What is said of a picture is prose.
        prose = _prose(text, lambda block: block.strip("`").partition("\n")[2] if block.startswith(_DRAWN) else "")
        prose = _ANCHOR.sub("", _MARKER.sub("", prose))
        self.links = Counter(self._goal(one[1] or one[2], page) for one in _TARGET.finditer(prose))
        prose = _TARGET.sub("]", prose)
        self.code = Counter(" ".join(span[2].split()) for span in _SPAN.finditer(prose))
        plain = _SPAN.sub("`", prose)
        self.numbers = Counter(_NUMBER.findall(plain))
        self.letters = len(_LETTER.findall(plain))
        # What a translation may add: words as code, and numbers of blocks, which it explains, or of words, in digits.
        self.names = Counter(re.findall(r"\w+", text))
        self.spelled = Counter(number for block in _BLOCK.findall(text) for number in _NUMBER.findall(block))
        self.spelled.update(str(WORDS.index(word)) for word in re.findall(r"\w+", plain.lower()) if word in WORDS)
        self.items, self.rows = len(_ITEM.findall(prose)), len(_ROW.findall(prose))
        self.paragraphs = sum(not _OTHER.match(block) for block in re.split(r"\n\s*\n", prose.strip()) if block)

    @staticmethod
    def _goal(link: str, page: Path) -> str:
        file, mark, anchor = link.partition("#")
        if not file or re.match(r"[a-z]+:", file):
            return link
        return f"{original(Path(os.path.normpath(page.parent / file)))}{mark}{anchor}"


def _damage(there: _Section, english: _Section) -> Iterator[str]:
    """What a section lost, or has that the English one has nowhere."""
    for what, aside in (("links", Counter()), ("code", english.names), ("numbers", english.spelled)):
        mine, theirs = getattr(there, what), getattr(english, what)
        yield from (f"{what}: {lost} is missing" for lost in theirs - mine)
        yield from (f"{what}: {new} is not in the English section" for new in mine - theirs - aside)
    for what in ("items", "rows", "paragraphs"):
        if getattr(there, what) != getattr(english, what):
            yield f"{what}: {getattr(there, what)} instead of {getattr(english, what)}"
    if there.letters < SHARE * english.letters:
        yield f"text: {there.letters} letters for {english.letters} English ones"


def differences(page: Path) -> Iterator[str]:
    """What should be the same in a translation, and is not."""
    text, english = (path.read_text(encoding="utf-8") for path in (page, original(page)))
    parts: dict[str, Callable[[str], list[str] | list[list[str]]]] = {
        "blocks of code": _blocks,
        "levels of headings": lambda text: [heading[1] for heading in _HEADING.finditer(_prose(text))],
        "marks of generated tables": _MARKER.findall,
        "rows of tables that begin with code": _rows_of_code,
    }
    for what, part in parts.items():
        if part(text) != part(english):
            yield f"{what} are not those of the English page"
    mine, theirs = _sections(text), _sections(english)
    if len(mine) != len(theirs):
        yield f"{len(mine)} sections instead of {len(theirs)}"
        return
    for (_, one), (heading, other) in zip(mine, theirs, strict=True):
        yield from (f"{heading}: {lost}" for lost in _damage(_Section(one, page), _Section(other, original(page))))


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
