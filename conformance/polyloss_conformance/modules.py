"""A user's module of losses, by its name or by the path to its file."""

import importlib
import sys
from pathlib import Path
from types import ModuleType


def load(name: str) -> ModuleType:
    """The module of a name, a dotted name or a path to a file. The working directory is looked in as well.

    Raises
    ------
    ValueError
        Where there is no such file or module, or where Python has another module of the file's name.
    """
    file, colon, loss = name.partition(".py:")
    if colon:
        raise ValueError(f"--losses {name}: choose of the losses of a file by --loss: --losses {file}.py --loss {loss}")
    path = Path(name).resolve()
    if path.suffix != ".py":
        if all(part.isidentifier() for part in name.split(".")):
            return _module(name, Path.cwd())
        path = path.with_name(f"{path.name}.py")
    if not path.is_file():
        raise ValueError(f"--losses {name}: there is no file {path}")
    found = _module(path.stem, path.parent)
    if found.__file__ is None or Path(found.__file__).resolve() != path:
        raise ValueError(
            f"--losses {name}: Python already has a module called {path.stem} ({found.__file__ or 'built in'}); "
            "give the file another name"
        )
    return found


def _module(name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and what it imports is not
        raise ValueError(
            f"--losses {name}: there is no module called {error.name} in {Path.cwd()} or on Python's path; "
            "give a module (my_losses, package.losses) or a file (folder/my_losses.py)"
        ) from None
