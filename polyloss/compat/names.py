"""What losses are called in other libraries, and here."""

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import ModuleType

import polyloss

from . import keras, optax, tf, torch
from ._classes import Recipe, class_of, layer_of
from .keras.classes import CLASSES as OF_KERAS
from .torch.classes import CLASSES as OF_TORCH
from .torch.classes import LAYERS as LAYERS_OF_TORCH

WORDS = {
    "ctc_loss_with_forward_probs": "ctc",
    "adaptive_log_softmax_with_loss": "linear_cross_entropy",
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy_with_logits",
    "biweight": "tukey_biweight",
    "ce": "cross_entropy",
    "clip_loss": "info_nce",
    "connectionist_temporal_classification": "ctc",
    "cosine": "cosine_distance",
    "cosine_similarity": "cosine_distance",
    "crammer_singer": "multiclass_hinge",
    "focal": "sigmoid_focal",
    "gaussian": "gaussian_nll",
    "gce": "generalized_cross_entropy",
    "gdl": "generalized_dice",
    "i_divergence": "generalized_kl_divergence",
    "iou": "tversky",
    "jaccard": "tversky",
    "kl": "kl_divergence",
    "kld": "kl_divergence",
    "l2": "mse",
    "linear_ce": "linear_cross_entropy",
    "listnet": "ranking_softmax",
    "listwise_softmax": "ranking_softmax",
    "log_loss": "binary_cross_entropy",
    "mae": "l1",
    "make_fenchel_young_loss": "fenchel_young",
    "mean_pinball_loss": "quantile",
    "multiple_negatives_ranking_loss": "info_nce",
    "npairs_loss": "info_nce",
    "pairwise_hinge": "margin_ranking",
    "pinball": "quantile",
    "poly1": "poly1_cross_entropy",
    "poly_cross_entropy": "poly1_cross_entropy",
    "simclr": "nt_xent",
    "soft_dice": "dice",
    "softmax_ce": "cross_entropy",
    "softmax_tversky": "softmax_dice",
    "tilted_loss": "quantile",
    "triplet": "triplet_margin",
    "tukey": "tukey_biweight",
    "weston_watkins": "multi_margin",
    "xent": "cross_entropy",
}
"""Abbreviations of losses, and names of losses that have no twin."""

_REMARKS = {
    "adaptive_log_softmax_with_loss": "one for the head, and one for each cluster of its rows",
    "clip_loss": "with symmetric=True",
    **dict.fromkeys(("cosine", "cosine_similarity"), "1 - cosine; with similarity=True minus the cosine"),
    **dict.fromkeys(("iou", "jaccard"), "with alpha=1 and beta=1"),
    "listnet": "of softmax(target)",
    "pairwise_hinge": "with margin=1",
    "weston_watkins": "divided by the number of classes",
}
"""What is to be said of some of them: how ours is theirs, or what differs."""

_TOOLS = {"grad": "value_and_grad", "gradient": "value_and_grad", "jit": "compile"}
"""Functions of other libraries, and ours."""

MISSING = (
    "rmse",
    "root_mean_squared_error",
    "sup_con",
)
"""Losses of these libraries, and others that are well known, which are not here."""

_FAMILIES = {"torch": "PyTorch", "keras": "Keras", "optax": "Optax", "tf": "TensorFlow"}
"""The modules of `polyloss.compat`, and whose signatures theirs are."""

_FRAMEWORKS = {
    "torch": ("torch", "polyloss_torch has modules"),
    "keras": ("keras", "polyloss_keras has classes for compile()"),
    "optax": ("optax", ""),
    "tf": ("tf", "polyloss_keras has classes for compile()"),
}
_FRAMEWORKS |= {"jax": _FRAMEWORKS["optax"], "pytorch": _FRAMEWORKS["torch"], "tensorflow": _FRAMEWORKS["tf"]}
"""Where somebody may want to go who asks for a framework: to a module of `polyloss.compat`, or to another package."""

_CLASSES: dict[str, dict[str, Recipe]] = {"torch": OF_TORCH, "keras": OF_KERAS}
_LAYERS: dict[str, dict[str, Callable[..., object]]] = {"torch": LAYERS_OF_TORCH}
_MODULES: dict[str, ModuleType] = {"torch": torch, "keras": keras, "optax": optax, "tf": tf}


def plain(name: str) -> str:
    """A name without what spellings differ in: ``CrossEntropyLoss`` is ``cross_entropy``."""
    return _letters(name).removesuffix("loss") or name.lower()


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def losses_of_others() -> dict[str, str]:
    """What a built-in is called, in plain letters, and the loss that its twin says it computes."""
    losses = {plain(word): loss for word, loss in WORDS.items()}
    for twin, loss in twins().items():
        losses.setdefault(plain(twin.rpartition(".")[2]), loss)
    return losses


def meanings(names: Iterable[str]) -> dict[str, str]:
    """The losses of `names`, by all that they are called, in plain letters."""
    names = tuple(names)
    return {word: loss for word, loss in losses_of_others().items() if loss in names} | {plain(n): n for n in names}


def near(name: str, names: Iterable[str], count: int = 2) -> list[str]:
    """Those of `names`, or what they mean, whose names look like this one."""
    meant = meanings(names)
    return list(dict.fromkeys(meant[word] for word in _alike(name, meant, count)))


def _alike(name: str, words: Iterable[str], count: int) -> list[str]:
    """Those of `words`, in plain letters, that look like a name."""
    words = tuple(words)
    found = difflib.get_close_matches(plain(name), words, n=count, cutoff=0.8)
    # The slip may be in the ending that plain names do not have. It makes short names alike: fewer slips are allowed.
    whole = difflib.get_close_matches(_letters(name), [f"{word}loss" for word in words], n=count, cutoff=0.88)
    return list(dict.fromkeys([*found, *(word.removesuffix("loss") for word in whole)]))[:count]


@cache
def twins() -> dict[str, str]:
    """The functions of `polyloss.compat`, such as ``torch.mse_loss``, with the loss that each computes."""
    return {
        f"{family}.{name}": getattr(module, name).__loss__
        for family, module in _MODULES.items()
        for name in module.__all__
    }


def public_names(module: str) -> dict[str, str]:
    """What somebody may look for in a module, with where it is: all that polyloss has, and what it has itself."""
    found = {name: f"polyloss.{name}" for name in vars(polyloss)["__all__"]}
    return found | {name: f"{module}.{name}" for name in vars(sys.modules[module])["__all__"]}


def no_attribute(
    module: str, name: str, public: Mapping[str, str] | None = None, families: Sequence[str] = tuple(_FAMILIES)
) -> AttributeError:
    """The error for a name that `module` does not have, with what it is called here.

    Parameters
    ----------
    public : mapping, optional
        Names of losses, and other public ones, with where they are: `public_names` unless given.
    families : sequence of str
        Whose names somebody may have in mind.
    """
    message = f"module {module!r} has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(message)
    public = public_names(module) if public is None else public
    ours = meanings(public).get(plain(name))
    tool = _TOOLS.get(name.lower())
    twins = _twins_of(name, ours, families)
    ways: list[str] = []
    if ours is not None:
        # A loss of theirs may be half of ours, or of the same kind only.
        other = bool(twins) or plain(name) in losses_of_others()
        ways = [_nearest(name, public[ours]) if other else f"did you mean {public[ours]}?"]
    ways += [_described(family, twin) for family, twin in twins]
    if not ways and plain(name) in losses_of_others():
        # A module of classes may have none of it.
        ways = [_nearest(name, f"polyloss.{losses_of_others()[plain(name)]}")]
    if not ways and tool is not None and tool in public:
        ways = [f"did you mean {public[tool]}?"]
    if not ways and plain(name) in map(plain, MISSING):
        ways = [
            "there is no such loss in polyloss yet; polyloss.elementwise and polyloss.rowwise make one of a function"
        ]
    if not ways and module in ("polyloss", "polyloss.compat") and name.lower() in _FRAMEWORKS:
        family, package = _FRAMEWORKS[name.lower()]
        ways = [
            f"polyloss.compat.{family} has {_FAMILIES[family]}'s signatures and definitions",
            *filter(None, [package]),
        ]
    if not ways:
        similar = dict.fromkeys(public[one] for one in near(name, public))
        ways = [f"did you mean {' or '.join(similar)}?"] if similar else []
    return AttributeError("; ".join([message, *ways]))


def attribute_of(family: str) -> Callable[[str], object]:
    """The function `__getattr__` of a module of `polyloss.compat`: its classes, or an error with what is nearest."""
    module = _MODULES[family].__name__
    losses = {twin.partition(".")[2]: loss for twin, loss in twins().items() if twin.startswith(f"{family}.")}
    public = public_names("polyloss")
    meant = {word: [t for t, one in losses.items() if one == loss] for word, loss in meanings(public).items()}
    meant = {word: twins for word, twins in meant.items() if twins} | {plain(twin): [twin] for twin in losses}
    others = [other for other in _FAMILIES if other != family]
    classes, layers = _CLASSES.get(family, {}), _LAYERS.get(family, {})

    def answer(name: str) -> object:
        if name in classes:
            return class_of(classes[name])
        if name in layers:
            return layer_of(family, name, layers[name])
        word = plain(name)
        known_elsewhere = word in map(plain, MISSING) or word in losses_of_others()
        alike = [] if known_elsewhere else _alike(name, meant, 1)
        twins = [] if name.startswith("_") else next((meant[one] for one in (word, *alike) if one in meant), [])
        if not twins:
            raise no_attribute(module, name, public, others)
        ways = " or ".join(f"{module}.{twin}" for twin in twins)
        raise AttributeError(f"module {module!r} has no attribute {name!r}; nearest here: {ways}")

    return answer


def names_of(family: str) -> Callable[[], list[str]]:
    """The function `__dir__` of a module of `polyloss.compat`."""
    return lambda: sorted({*vars(_MODULES[family]), *_CLASSES.get(family, {}), *_LAYERS.get(family, {})})


def _twins_of(name: str, ours: str | None, families: Sequence[str]) -> list[list[str]]:
    """The functions of `polyloss.compat` in some families that somebody may mean, each with its family first."""
    places = [twin.split(".") for twin in twins() if twin.partition(".")[0] in families]
    return (
        [t for t in places if t[1] == name]
        or [t for t in places if plain(t[1]) == plain(name)]
        or [t for t in places if plain(t[1]) == plain(ours or name)]
    )


def _nearest(name: str, here: str) -> str:
    remark = next((text for word, text in _REMARKS.items() if plain(word) == plain(name)), "")
    return f"nearest here: {here}{remark and f' ({remark})'}"


def _described(family: str, twin: str) -> str:
    return f"polyloss.compat.{family}.{twin} has {_FAMILIES[family]}'s signature and definition"
