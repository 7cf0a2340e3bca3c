"""Makes the site, one folder of static files: ``python docs/build.py [FOLDER]``.

The Markdown of the repository is laid out as it lies there, so that its links hold, beside pages that extensions
generate. Another edition, in another language, is another folder with its own README, such as ``docs/zh``.
"""

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
"""Folders of ``docs`` that are a site of their own, and their language; the rest of ``docs`` is the English one."""


def sources(edition: str) -> list[Path]:
    """The files of an edition that are written by hand."""
    if edition:
        return sorted((ROOT / "docs" / edition).glob("**/*.md"))
    found = [*ROOT.glob("*.md")]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).glob("**/*") if path.suffix in (".md", *BESIDE)]
    others = [ROOT / "docs" / name for name in (*EDITIONS, "_static")]
    return sorted(path for path in found if not any(path.is_relative_to(other) for other in others))


def stage(edition: str, to: Path) -> None:
    """Lay the files of an edition out. The README is the first page."""
    start = ROOT / "docs" / edition if edition else ROOT
    shutil.rmtree(to, ignore_errors=True)
    for path in sources(edition):
        goal = to / path.relative_to(start)
        goal.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".md":
            shutil.copy2(path, goal)
            continue
        text = path.read_text(encoding="utf-8")
        up = "../" * (len(path.relative_to(start).parts) - 1)
        # The first page is called index there.
        text = re.sub(rf"\]\({re.escape(up)}README\.md(?=[#)])", f"]({up}index.md", text)
        first = goal == to / "README.md"
        (to / "index.md" if first else goal).write_text(text, encoding="utf-8")


def build(out: Path) -> int:
    """Make all editions. Warnings are errors."""
    work = ROOT / "build" / "site-work"
    shutil.rmtree(out, ignore_errors=True)
    for edition in ("", *(name for name in EDITIONS if (ROOT / "docs" / name).is_dir())):
        source = work / f"source-{edition or 'en'}"
        stage(edition, source)
        options = ["-D", f"language={EDITIONS[edition]}"] if edition else []
        command = ["-b", "html", "-W", "--keep-going", "-q", "-E", "-c", str(ROOT / "docs"), *options]
        status = main([*command, "-d", str(work / f"trees-{edition or 'en'}"), str(source), str(out / edition)])
        if status:
            return status
    return 0


if __name__ == "__main__":
    raise SystemExit(build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"))
