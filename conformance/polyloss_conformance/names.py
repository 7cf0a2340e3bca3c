"""Losses by the names that people know: those of the built-ins, of their classes, and a few abbreviations."""

import difflib
from collections.abc import Sequence

from polyloss.compat.names import meanings, plain


def resolve(name: str, known: Sequence[str]) -> str:
    """The loss of a name: ``huber``, ``torch.huber_loss``, ``nn.HuberLoss``, ``mae``.

    Raises
    ------
    ValueError
        For a name that means none of `known`; the message has those that look like it.
    """
    if name in known:
        return name
    given = name.rpartition(".")[2]
    meant = meanings(known)
    found = meant.get(plain(given))
    if found is not None:
        return found
    near = dict.fromkeys(meant[n] for n in difflib.get_close_matches(plain(given), meant, n=3, cutoff=0.75))
    hint = f"; did you mean {' or '.join(near)}?" if near else ";"
    raise ValueError(f"no loss called {name}{hint} there is {', '.join(known)}")
