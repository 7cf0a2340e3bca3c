"""A user's module of losses, by its name or by the path to its file."""

import importlib
import sys
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import polyloss
from polyloss.core.compose import Combinable

from . import declared


def public_losses(module: ModuleType = polyloss) -> dict[str, polyloss.Loss[Any]]:
    """The losses of a module, by name."""
    return {name: value for name, value in vars(module).items() if isinstance(value, polyloss.Loss) and name[0] != "_"}


def own_losses(module: ModuleType) -> dict[str, polyloss.Loss[Any] | declared.Sum]:
    """Those of them that are not polyloss's, and sums of losses."""
    return _own(module)[0]


def not_checked(module: ModuleType) -> dict[str, str]:
    """What a module has beside them that computes a loss, by name, and why it is not checked."""
    return _own(module)[1]


def _own(module: ModuleType) -> tuple[dict[str, polyloss.Loss[Any] | declared.Sum], dict[str, str]]:
    shipped = list(public_losses().values())
    losses: dict[str, polyloss.Loss[Any] | declared.Sum] = {}
    others: dict[str, str] = {}
    for name, value in vars(module).items():
        if name[0] == "_":
            continue
        if isinstance(value, polyloss.Loss):
            losses |= {name: value} if value not in shipped else {}
        elif isinstance(value, polyloss.LossSum):
            try:
                losses[name] = declared.as_one(value)
            except ValueError as error:
                others[name] = str(error)
        elif isinstance(value, polyloss.MultiTask):
            others[name] = "a total of several tasks; its losses are checked where they have names here"
        elif isinstance(value, Combinable):
            others[name] = (
                f"a {type(value).__name__} of one framework; the loss in it is checked where it has a name here"
            )
    return losses, others


def load(name: str, option: str = "--losses") -> ModuleType:
    """The module of a name, a dotted name or a path to a file. The working directory is looked in as well.

    `option` is what messages have before the name.

    Raises
    ------
    ValueError
        Where there is no such file or module, where it cannot be imported or has no loss, or where Python has another
        module of the file's name.
    """
    given = f"{option} {name}".strip()
    file, colon, loss = name.partition(".py:")
    if colon:
        raise ValueError(f"{given}: choose of the losses of a file by --loss: --losses {file}.py --loss {loss}")
    path = Path(name).resolve()
    if Path(name).is_dir() and not name.isidentifier():
        raise ValueError(f"{given}: {path} is a folder; {_GIVE}")
    if path.suffix != ".py":
        if all(part.isidentifier() for part in name.split(".")):
            return _with_losses(given, _module(given, name, Path.cwd()))
        path = path.with_name(f"{path.name}.py")
    if not path.is_file():
        raise ValueError(f"{given}: there is no file {path}; {_GIVE}")
    found = _module(given, path.stem, path.parent)
    if found.__file__ is None or Path(found.__file__).resolve() != path:
        raise ValueError(
            f"{given}: Python already has a module called {path.stem} ({found.__file__ or 'built in'}); "
            "give the file another name"
        )
    return _with_losses(given, found)


_GIVE = "give a module (my_losses, package.losses) or a file (folder/my_losses.py)"


def _module(given: str, name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        # Last: what is beside the module is found, and a torch.py there is not taken for torch.
        sys.path.append(str(folder))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            # The module is there, and what it imports is not.
            raise _failed(given, error, "install it, or set PYTHONPATH to the folder that it is in") from error
        raise ValueError(
            f"{given}: there is no module called {error.name} in {Path.cwd()} or on Python's path; {_GIVE}"
        ) from None
    except SystemExit as error:
        way = 'put what shall not run on import under: if __name__ == "__main__":'
        raise _failed(given, error, way) from error
    except Exception as error:
        if isinstance(error, SyntaxError):
            way = "correct it"
        elif isinstance(error, ImportError) and "attempted relative import" in str(error):
            way = _dotted(name, folder)
        else:
            way = f'python -c "import {name}" in {folder} shows the whole error'
        raise _failed(given, error, way) from error


def _dotted(name: str, folder: Path) -> str:
    """The way out for a module that imports relatively, and was not imported as a part of the package that it is in."""
    package, parts = folder.joinpath(*name.split(".")[:-1]), [name.rpartition(".")[2]]
    while (package / "__init__.py").exists() or len(parts) <= name.count(".") + 1:
        package, parts = package.parent, [package.name, *parts]
    return f"a relative import needs a package: name it {'.'.join(parts)} in {package}, or import absolutely"


def _failed(given: str, error: BaseException, way: str) -> ValueError:
    """The error for a module that cannot be imported: in which line, and why."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _imports(frame.filename)]
    # What the module itself calls is none of its lines.
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    file, number, line = (own[-1].filename, own[-1].lineno, own[-1].line or "") if own else (None, None, "")
    text = str(error)
    if isinstance(error, SyntaxError) and error.filename is not None:
        file, number, line, text = error.filename, error.lineno, (error.text or "").strip(), error.msg
    place = ", ".join(filter(None, [file, f"line {number}" if number else ""]))
    shown = f" ({line})" if line else ""
    told = f"{type(error).__name__}: {' '.join(text.split())}".removesuffix(": ")
    return ValueError(f"{given}: {f'{place}{shown}: ' if place else ''}{told}; {way}")


def _imports(file: str) -> bool:
    """Whether a line of a traceback is one of Python's import system, or of this file."""
    return file.startswith("<frozen importlib") or file in (importlib.__file__, __file__)


def _check_cases(given: str, module: ModuleType, losses: Collection[str]) -> None:
    """Refuse `CASES` that nobody would call."""
    others = not_checked(module)
    cases, what = getattr(module, "CASES", {}), f"{given}: {module.__file__ or module.__name__}: CASES"
    if not isinstance(cases, Mapping):
        raise ValueError(f"{what} must be a dict of lists by the names of losses, got {cases!r}")
    for name, calls in cases.items():
        if name not in losses:
            why = f"which is not checked: {others[name]}" if name in others else ""
            raise ValueError(f"{what} has calls of {name}{why and ', ' + why}; the losses here are {', '.join(losses)}")
        for number, call in enumerate(calls):
            if not (
                isinstance(call, tuple | list)
                and len(call) == 2
                and isinstance(call[0], tuple | list)
                and isinstance(call[1], Mapping)
            ):
                raise ValueError(
                    f"{what}[{name!r}][{number}] must be the arrays and a dict of keywords, as in "
                    f"((prediction, target), {{}}), got {type(call).__name__}"
                )


def _with_losses(given: str, module: ModuleType) -> ModuleType:
    """The module, unless it has no loss of its own."""
    own, what = own_losses(module), f"{given}: {module.__file__ or module.__name__}"
    if own:
        _check_cases(given, module, own)
        return module
    if others := not_checked(module):
        told = "; ".join(f"{name} is {why}" for name, why in others.items())
        raise ValueError(f"{given}: {module.__file__ or module.__name__} has no loss that can be checked: {told}")
    functions = [
        f"{name} (line {value.__code__.co_firstlineno})"
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and name[0] != "_" and value.__module__ == module.__name__
    ]
    raise ValueError(
        f"{what} declares no loss, which is a polyloss.Loss by a name "
        "that does not begin with _; @polyloss.elementwise or @polyloss.rowwise makes one of a function"
        + (f", such as {functions[0]}" if functions else "")
    )
