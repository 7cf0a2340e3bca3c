"""Losses by the names that people know: those of the built-ins, of their classes, and a few abbreviations."""

import difflib
import importlib
import re
from collections.abc import Sequence
from functools import cache

from .builtins import FAMILIES

WORDS = {
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy_with_logits",
    "biweight": "tukey_biweight",
    "ce": "cross_entropy",
    "focal": "sigmoid_focal",
    "kl": "kl_divergence",
    "kld": "kl_divergence",
    "l2": "mse",
    "linear_ce": "linear_cross_entropy",
    "log_loss": "binary_cross_entropy",
    "mae": "l1",
    "softmax_ce": "cross_entropy",
    "triplet": "triplet_margin",
    "tukey": "tukey_biweight",
    "xent": "cross_entropy",
}


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
    meant = {n: loss for n, loss in _others().items() if loss in known} | {_plain(loss): loss for loss in known}
    found = meant.get(_plain(given))
    if found is not None:
        return found
    near = dict.fromkeys(meant[n] for n in difflib.get_close_matches(_plain(given), meant, n=3, cutoff=0.75))
    hint = f"; did you mean {' or '.join(near)}?" if near else ";"
    raise ValueError(f"no loss called {name}{hint} there is {', '.join(known)}")


@cache
def _others() -> dict[str, str]:
    """What a built-in is called, and the loss that its twin says it computes."""
    found = {_plain(word): loss for word, loss in WORDS.items()}
    for family in FAMILIES:
        module = importlib.import_module(f"polyloss.compat.{family}")
        for name in module.__all__:
            loss = re.search(r"`polyloss\.(\w+)`", getattr(module, name).__doc__ or "")
            if loss is not None:
                found.setdefault(_plain(name), loss[1])
    return found


def _plain(name: str) -> str:
    """A name without what spellings differ in: ``CrossEntropyLoss`` is ``cross_entropy``."""
    return re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("loss")
