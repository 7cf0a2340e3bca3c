"""What losses are called in other libraries, and here."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import ModuleType

from . import keras, optax, tf, torch

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
"""Abbreviations of losses."""

_TOOLS = {"grad": "value_and_grad", "gradient": "value_and_grad", "jit": "compile"}
"""What is called otherwise elsewhere, and is no loss."""

MISSING = (
    *("cosine_embedding_loss", "gaussian_nll_loss", "margin_ranking_loss", "multi_margin_loss"),
    *("multilabel_margin_loss", "multilabel_soft_margin_loss", "poisson_nll_loss", "ctc_loss", "cosine_similarity"),
    *("categorical_hinge", "circle", "dice", "mean_absolute_percentage_error", "mean_squared_logarithmic_error"),
    *("poisson", "tversky", "cosine_distance", "ntxent", "ranking_softmax_loss"),
)
"""Losses of these libraries that are not here."""

_FAMILIES = {"torch": "PyTorch", "keras": "Keras", "optax": "Optax", "tf": "TensorFlow"}
"""The modules of `polyloss.compat`, and whose signatures theirs are."""

_MODULES: dict[str, ModuleType] = {"torch": torch, "keras": keras, "optax": optax, "tf": tf}


def plain(name: str) -> str:
    """A name without what spellings differ in: ``CrossEntropyLoss`` is ``cross_entropy``."""
    return re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("loss")


@cache
def losses_of_others() -> dict[str, str]:
    """What a built-in is called, in plain letters, and the loss that its twin says it computes."""
    found = {plain(word): loss for word, loss in WORDS.items()}
    for twin, documented in _twins().items():
        loss = re.search(r"`polyloss\.(\w+)`", documented)
        if loss is not None:
            found.setdefault(plain(twin.rpartition(".")[2]), loss[1])
    return found


def meanings(known: Iterable[str]) -> dict[str, str]:
    """The losses of `known`, by all that they are called, in plain letters."""
    known = tuple(known)
    return {word: loss for word, loss in losses_of_others().items() if loss in known} | {plain(n): n for n in known}


@cache
def _twins() -> dict[str, str]:
    """The functions of `polyloss.compat`, such as ``torch.mse_loss``, with their docstrings."""
    return {
        f"{family}.{name}": getattr(module, name).__doc__ or ""
        for family, module in _MODULES.items()
        for name in module.__all__
    }


def no_attribute(
    module: str, name: str, known: Mapping[str, str], families: Sequence[str] = tuple(_FAMILIES)
) -> AttributeError:
    """The error for a name that `module` does not have, with what it is called here.

    Parameters
    ----------
    known : mapping
        Names of losses, and other public ones, with where they are.
    families : sequence of str
        Whose names somebody may have in mind.
    """
    message = f"module {module!r} has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(message)
    meant = meanings(known)
    ours = meant.get(plain(name))
    tool = _TOOLS.get(name.lower())
    twins = [twin.split(".") for twin in _twins() if twin.partition(".")[0] in families]
    twins = (
        [t for t in twins if t[1] == name]
        or [t for t in twins if plain(t[1]) == plain(name)]
        or [t for t in twins if plain(t[1]) == plain(ours or name)]
    )
    # A loss of theirs may be half of ours, or of the same kind only.
    ways = [] if ours is None else [f"nearest here: {known[ours]}"]
    ways += [
        f"polyloss.compat.{family}.{twin} has {_FAMILIES[family]}'s signature and definition" for family, twin in twins
    ]
    if not ways and tool is not None and tool in known:
        ways = [f"did you mean {known[tool]}?"]
    if not ways and plain(name) in map(plain, MISSING):
        ways = [
            "there is no such loss in polyloss yet; polyloss.elementwise and polyloss.rowwise make one of a function"
        ]
    if not ways:
        near = dict.fromkeys(meant[n] for n in difflib.get_close_matches(plain(name), meant, n=2, cutoff=0.8))
        ways = [f"did you mean {' or '.join(known[n] for n in near)}?"] if near else []
    return AttributeError("; ".join([message, *ways]))
