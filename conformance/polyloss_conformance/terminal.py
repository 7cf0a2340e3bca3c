"""What commands have in common: how they say that something is wrong, write reports, and show how far they are."""

import os
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .result import printable


def fail(console: Console, message: str, status: int = 2) -> typer.Exit:
    """What ends the command, once the message is shown: in one line, however long."""
    console.print(f"[red]{escape(printable(message))}", highlight=False, soft_wrap=True)
    return typer.Exit(status)


def check_paths(console: Console, **paths: Path | None) -> None:
    """Say before the work begins where a report cannot be written, or would be written over by another."""
    taken: dict[Path, str] = {}
    for option, path in paths.items():
        if path is None:
            continue
        problem = ""
        other = taken.setdefault(path.resolve(), option)
        if other != option:
            problem = f"--{other} goes there too; give each a file of its own"
        elif path.is_dir():
            problem = "is a folder, not a file"
        elif not path.parent.is_dir():
            problem = f"there is no folder {path.parent}"
        elif not os.access(path if path.exists() else path.parent, os.W_OK):
            problem = "cannot be written"
        elif option == "plot" and path.suffix.lower() not in (".svg", ".png"):
            problem = "must end in .svg or .png"
        if problem:
            raise fail(console, f"--{option} {path}: {problem}")


def write(console: Console, option: str, path: Path | None, write: Callable[[Path], object]) -> bool:
    """Write a report. Where that fails after all, the others are still written, and the results shown."""
    if path is not None:
        try:
            write(path)
        except OSError as error:
            fail(console, f"--{option} {path}: {error.strerror or error}")
            return False
    return True


def as_text(text: Callable[[], str]) -> Callable[[Path], object]:
    """Writes a text, whatever the messages in it are made of."""
    return lambda path: path.write_text(printable(text()), encoding="utf-8")


def progress_bars(console: Console, width: int) -> Progress:
    """A bar for each backend, with what is done next."""
    return Progress(
        TextColumn(f"{{task.description:<{width}}}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[what]}"),
        console=console,
        transient=True,
    )
