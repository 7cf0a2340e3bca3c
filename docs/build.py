"""Makes the site, one folder of static files: ``python docs/build.py [FOLDER]``.

The Markdown of the repository is laid out as it lies there, beside pages that extensions generate. Another edition, in
another language, is a folder in it, made in the same way with some pages translated: those of a folder of ``docs``.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import main

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "polyloss", "benchmarks", "examples")
BESIDE = (".svg", ".png")
"""Pictures in Markdown."""

EDITIONS = {"zh": "zh_CN"}
"""Folders of ``docs`` with pages that take the place of those of the same name, and their language."""


def sources(edition: str) -> list[Path]:
    """The files of an edition that are written by hand: the English ones, then those that take their place."""
    found = [*ROOT.glob("*.md")]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).glob("**/*") if path.suffix in (".md", *BESIDE)]
    others = [ROOT / "docs" / name for name in (*EDITIONS, "_static")]
    english = sorted(path for path in found if not any(path.is_relative_to(other) for other in others))
    return english + (sorted((ROOT / "docs" / edition).glob("**/*.md")) if edition else [])


def place(path: Path) -> Path:
    """Where a file of the repository is in the site. The README is the first page, and called index."""
    for edition in EDITIONS:
        folder = ROOT / "docs" / edition
        if path.is_relative_to(folder):
            path = ROOT / "README.md" if path == folder / "README.md" else ROOT / "docs" / path.relative_to(folder)
    return Path("index.md") if path == ROOT / "README.md" else path.relative_to(ROOT)


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

        goal.write_text(_LINK.sub(moved, path.read_text(encoding="utf-8")), encoding="utf-8")


_LINK = re.compile(r"\]\(([^)#\s:]+\.(?:md|svg|png))(?=[#)])")
"""A link to a file of the repository, up to its anchor."""


def build(out: Path) -> int:
    """Make all editions. Warnings are errors."""
    work = ROOT / "build" / "site-work"
    shutil.rmtree(out, ignore_errors=True)
    for edition in ("", *(name for name in EDITIONS if (ROOT / "docs" / name).is_dir())):
        source = work / f"source-{edition or 'en'}"
        stage(edition, source)
        options = ["-D", f"language={EDITIONS[edition]}"] if edition else []
        command = ["-b", "html", "-W", "--keep-going", "-q", "-E", "-c", str(ROOT / "docs"), *options]
        status = int(main([*command, "-d", str(work / f"trees-{edition or 'en'}"), str(source), str(out / edition)]))
        if status:
            return status
    return 0


if __name__ == "__main__":
    raise SystemExit(build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"))
