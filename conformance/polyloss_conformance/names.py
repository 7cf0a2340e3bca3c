"""Losses by the names that people know: those of the built-ins, of their classes, and a few abbreviations."""

from collections.abc import Sequence
from difflib import get_close_matches

from polyloss.compat.names import meanings, near, plain, twins


def resolve(name: str, known: Sequence[str]) -> str:
    """The loss of a name: ``huber``, ``torch.huber_loss``, ``nn.HuberLoss``, ``mae``.

    Raises
    ------
    ValueError
        For a name that means none of `known`; the message has those that look like it.
    """
    if name in known:
        return name
    library, _, given = name.rpartition(".")
    # A whole name first: without its ending it may be that of another loss.
    exactly = [loss for twin, loss in twins().items() if twin.partition(".")[2] == given and loss in known]
    of_library = [loss for twin, loss in twins().items() if twin == f"{library.partition('.')[0]}.{given}"]
    if exactly:
        return (of_library or exactly)[0]
    found = meanings(known).get(plain(given))
    if found is not None:
        return found
    alike = near(given, known, 3) or get_close_matches(given, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(alike)}? " if alike else ""
    raise ValueError(f"no loss called {name}; {hint}polyloss losses lists all")
