"""Makes the site, one folder of static files: ``python docs/build.py [FOLDER]``.

With ``--links`` it asks the network for every page elsewhere that the site leads to, and makes nothing.

The Markdown of the repository is laid out as it lies there, beside pages that extensions generate. Another edition, in
another language, is a folder in it, made in the same way with some pages translated: those of a folder of ``docs``.
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import main

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from editions import EDITIONS, edition_of, joined, original, place  # noqa: E402

FOLDERS = ("docs", "polyloss", "benchmarks", "examples")
BESIDE = (".svg", ".png")
"""Pictures in Markdown."""


def sources(edition: str) -> list[Path]:
    """The files of an edition that are written by hand: the English ones, then those that take their place."""
    found = [*ROOT.glob("*.md")]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).glob("**/*") if path.suffix in (".md", *BESIDE)]
    found = [path for path in found if not path.is_relative_to(ROOT / "docs" / "_static")]
    return [path for wanted in dict.fromkeys(("", edition)) for path in sorted(found) if edition_of(path) == wanted]


def stage(edition: str, to: Path) -> None:
    """Lay the files of an edition out, with links to where the others are then."""
    shutil.rmtree(to, ignore_errors=True)
    for path in sources(edition):
        goal = to / place(path)
        goal.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".md":
            shutil.copy2(path, goal)
            continue

        def moved(link: re.Match[str], path: Path = path) -> str:
            target = Path(os.path.normpath(path.parent / link[1]))
            return f"]({Path(os.path.relpath(place(target), place(path).parent)).as_posix()}"

        def switched(link: re.Match[str], path: Path = path) -> str:
            target = Path(os.path.normpath(path.parent / link[2]))
            if original(target) != original(path):
                return link[0]
            # Another edition is another site to Sphinx, which knows no page of it.
            other = Path(os.path.relpath(edition_of(target) / place(target), edition / place(path).parent))
            return f'<a href="{other.with_suffix(".html").as_posix()}">{link[1]}</a>'

        text = _SWITCH.sub(switched, path.read_text(encoding="utf-8"))
        text = _LINK.sub(moved, text)
        goal.write_text(joined(text) if edition_of(path) else text, encoding="utf-8")


_LINK = re.compile(r"\]\(([^)#\s:]+\.(?:md|svg|png))(?=[#)])")
"""A link to a file of the repository, up to its anchor."""

_SWITCH = re.compile(r"^\[(.+)\]\((\S+\.md)\)$", re.MULTILINE)
"""A line that is one link, as the one to the same page in another edition."""


def build(out: Path, builder: str = "html") -> int:
    """Make all editions, by a builder of Sphinx. Warnings are errors."""
    work = ROOT / "build" / "site-work"
    shutil.rmtree(out, ignore_errors=True)
    for edition, (language, _) in EDITIONS.items():
        source = work / f"source-{language}"
        stage(edition, source)
        command = [
            "-b",
            builder,
            "-W",
            "--keep-going",
            "-q",
            "-E",
            "-c",
            str(ROOT / "docs"),
            "-D",
            f"language={language}",
        ]
        status = int(main([*command, "-d", str(work / f"trees-{language}"), str(source), str(out / edition)]))
        if status:
            return status
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the site.")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "site")
    parser.add_argument("--links", action="store_true", help="make nothing; check links to elsewhere, with a network")
    given = parser.parse_args()
    if given.links:
        raise SystemExit(build(ROOT / "build" / "site-links", "linkcheck"))
    raise SystemExit(build(given.folder))
