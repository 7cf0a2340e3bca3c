"""Losses by the names that people know: those of the built-ins, of their classes, and a few abbreviations."""

from collections.abc import Sequence

from polyloss.compat.names import meanings, near, plain


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
    found = meanings(known).get(plain(given))
    if found is not None:
        return found
    alike = near(given, known, 3)
    hint = f"; did you mean {' or '.join(alike)}?" if alike else ";"
    raise ValueError(f"no loss called {name}{hint} there is {', '.join(known)}")
