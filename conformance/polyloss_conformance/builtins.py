"""The losses that come with the frameworks, and how a call of polyloss is said with each of them.

A `Twin` pairs a built-in with the function of the same name and signature in `polyloss.compat`. Adding one is an
entry in `TWINS`: the loss it computes, its family and name, and a function that translates the arguments.
"""

import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from polyloss.core.backend import backend_of
from polyloss.core.entries import one_hot

from .cases import DTYPES, SINGLE, Arguments, Case

Array = Any
Result = Callable[[Array], Array]


class Family(NamedTuple):
    """Where built-ins come from.

    Parameters
    ----------
    backend : str
        Whose arrays they take.
    package : str
        The distribution whose version decides.
    module : str
        Where the functions are.
    """

    backend: str
    package: str
    module: str

    def load(self) -> Any:
        """The module. Imports its framework."""
        top, *inner = self.module.split(".")
        if top == "keras":
            os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        found: Any = importlib.import_module(top)
        for name in inner:
            found = getattr(found, name)
        return found


FAMILIES = {
    "torch": Family("torch", "torch", "torch.nn.functional"),
    "keras": Family("tensorflow", "keras", "keras.losses"),
    "optax": Family("jax", "optax", "optax.losses"),
    "tf": Family("tensorflow", "tensorflow", "tensorflow.nn"),
}
"""By the name of the module in `polyloss.compat`."""


class Said(NamedTuple):
    """A call of polyloss in the words of a built-in.

    Parameters
    ----------
    args, keywords
        What the built-in is called with.
    result : callable
        Makes its result comparable: the shape and the scale of the polyloss call.
    """

    args: Sequence[Array]
    keywords: Mapping[str, Any]
    result: Result = lambda value: value


class Call:
    """One call of polyloss, to be translated."""

    def __init__(self, arguments: Arguments, reduction: str) -> None:
        self.arrays = arguments.arrays
        # What is switched off is not there.
        self.parameters = {
            k: v for k, v in arguments.parameters.items() if k != "axis" and v is not None and v is not False
        }
        self.options = {k: v for k, v in arguments.options.items() if k != "reduction"}
        self.reduction = reduction
        self.axis: int = arguments.parameters.get("axis", -1)
        self.xp = backend_of(self.arrays[0]).namespace(self.arrays[0])

    def has(self, *names: str) -> bool:
        """Whether nothing but these parameters and options is given."""
        return not (set(self.parameters) | set(self.options)) - set(names)

    @property
    def ids(self) -> bool:
        return bool(self.xp.isdtype(self.arrays[-1].dtype, "integral"))

    @property
    def rows(self) -> tuple[int, ...]:
        """The shape of the per-example losses of a row-wise loss."""
        shape = list(self.arrays[0].shape)
        del shape[self.axis]
        return tuple(shape)

    def to(self, axis: int, *arrays: Array) -> tuple[Array, ...]:
        """Arrays with the class axis moved; class ids have none."""
        ndim = self.arrays[0].ndim
        return tuple(self.xp.moveaxis(a, self.axis, axis) if a.ndim == ndim else a for a in arrays)


Translation = Callable[[Call], Said | None]


@dataclass(frozen=True)
class Twin:
    """A built-in, and the function of `polyloss.compat` with its signature.

    Parameters
    ----------
    loss : str
        The loss of polyloss that it computes.
    family, name : str
        ``torch``, ``keras``, ``optax`` or ``tf``, and the name of the function there.
    says : callable
        Translates a call of polyloss; None where this built-in cannot say it.
    variant : str
        Arguments in which this entry differs from another one for the same built-in.
    reductions : tuple of str
        The reductions that it can be asked for.
    dtypes : tuple of str
        Where the translation itself costs no accuracy.
    constants : tuple of int
        Positions of the arrays of the loss that the built-in does not differentiate.
    admits : callable
        Whether the values of a case can be said with it.
    """

    loss: str
    family: str
    name: str
    says: Translation
    variant: str = ""
    reductions: tuple[str, ...] = ("none",)
    dtypes: tuple[str, ...] = DTYPES
    constants: tuple[int, ...] = ()
    admits: Callable[[Case], bool] = field(default=lambda case: True)

    @property
    def id(self) -> str:
        """Names the twin in the table of deviations."""
        return f"{self.family}.{self.name}" + (f"({self.variant})" if self.variant else "")

    @property
    def backend(self) -> str:
        """Whose arrays the built-in takes."""
        return FAMILIES[self.family].backend

    @property
    def package(self) -> str:
        """The distribution that the built-in comes with."""
        return FAMILIES[self.family].package

    def available(self) -> bool:
        """Whether the built-in can be imported here. That of Keras runs on TensorFlow."""
        modules = {FAMILIES[self.family].module.partition(".")[0], self.backend}
        found = all(importlib.util.find_spec(module) for module in modules)
        found = found and (self.family != "keras" or os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow")
        # An older version may lack it.
        return found and hasattr(FAMILIES[self.family].load(), self.name)

    def version(self) -> str:
        """The installed version of `package`."""
        return _version(self.package, self.backend)

    def builtin(self) -> Callable[..., Array]:
        """The built-in. Imports its framework."""
        function: Callable[..., Array] = getattr(FAMILIES[self.family].load(), self.name)
        return function

    def twin(self) -> Callable[..., Array]:
        """The function of `polyloss.compat`."""
        function: Callable[..., Array] = getattr(importlib.import_module(f"polyloss.compat.{self.family}"), self.name)
        return function

    def expressible(self, case: Case, reduction: str) -> bool:
        """Whether the built-in can be asked for this case."""
        if case.kind == "error" or reduction not in self.reductions or not self.admits(case):
            return False
        return self.says(Call(case.at("float64"), reduction)) is not None

    def evaluate(self, function: Callable[..., Array], arguments: Arguments, reduction: str) -> Array | None:
        """`function`, the built-in or its twin, for a call of polyloss: None where it cannot be said.

        The result has the shape and the scale of the polyloss call, and is differentiable where `function` is.
        """
        said = self.says(Call(arguments, reduction))
        return None if said is None else said.result(function(*said.args, **said.keywords))


def twins_of(loss: str) -> tuple[Twin, ...]:
    """The built-ins that compute a loss."""
    return tuple(twin for twin in TWINS if twin.loss == loss)


@lru_cache
def _version(package: str, module: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # TensorFlow comes as distributions of several names.
        return str(importlib.import_module(module).__version__)


# --------------------------------------------------------------------------------------------------------------------
# torch: reductions, weights, the class axis second


_MEANS = ("mean", "weighted_mean")


def _torch_elements(call: Call, *, weight: str | None = None, **names: str) -> Said | None:
    """`names`: polyloss parameter -> that of the built-in. `weight`: the reduction that its mean is, with weights."""
    if not call.has("sample_weight", *names) or (weight is None and call.options):
        return None
    reduction = call.reduction
    if reduction in _MEANS:
        if reduction not in (_MEANS if not call.options else (weight,)):
            return None
        reduction = "mean"
    keywords = {name: call.parameters[key] for key, name in names.items() if key in call.parameters}
    if any(hasattr(keywords.get(name), "shape") for name in ("delta", "beta")):
        return None
    if call.options:
        prediction, given = call.arrays[0], call.options["sample_weight"]
        given = given[(..., *(None,) * (prediction.ndim - given.ndim))]
        keywords["weight"] = call.xp.broadcast_to(given, prediction.shape)
    return Said(call.arrays, keywords | {"reduction": reduction})


def _torch_bce_logits(call: Call) -> Said | None:
    return (
        None
        if call.parameters.get("label_smoothing")
        else _torch_elements(call, weight="mean", pos_weight="pos_weight")
    )


def _torch_bce_tensor(call: Call) -> Said | None:
    said = _torch_bce_logits(call)
    if said is not None and isinstance(said.keywords.get("pos_weight"), float):
        weight = call.xp.full_like(call.arrays[0], said.keywords["pos_weight"])
        return Said(said.args, {**said.keywords, "pos_weight": weight})
    return said


def _torch_class_keywords(call: Call, *names: str) -> dict[str, Any] | None:
    """The keywords where none but these parameters are given; None where torch cannot say them."""
    weight = call.parameters.get("class_weight")
    if not call.has("class_weight", "ignore_index", *names):
        return None
    weighted = weight is not None and call.ids
    reduction = call.reduction
    if reduction in _MEANS:
        if reduction not in (("weighted_mean",) if weighted else ("mean",) if weight is not None else _MEANS):
            return None
        reduction = "mean"
    if str(call.arrays[-1].dtype).rpartition(".")[2] == "int32":
        return None
    keywords: dict[str, Any] = {"reduction": reduction, "weight": weight}
    for key in ("ignore_index", "label_smoothing"):
        if call.parameters.get(key) is not None:
            keywords[key] = call.parameters[key]
    return keywords


def _torch_classes(call: Call, *, smoothing: bool = True) -> Said | None:
    keywords = _torch_class_keywords(call, *["label_smoothing"] * smoothing)
    if keywords is None or not (smoothing or call.ids):
        return None
    return Said(call.to(1 if call.arrays[0].ndim > 1 else 0, *call.arrays), keywords)


def _torch_linear(call: Call) -> Said | None:
    keywords = _torch_class_keywords(call, "label_smoothing", "bias")
    if keywords is None:
        return None
    hidden, weight, target = call.arrays
    keywords["linear_bias"] = call.parameters.get("bias")
    if hidden.ndim < 3:
        return Said(call.arrays, keywords)
    xp, rows = call.xp, call.rows
    flat = xp.reshape(target, (-1,) if call.ids else (-1, target.shape[-1]))
    arrays = xp.reshape(hidden, (-1, hidden.shape[-1])), weight, flat
    return Said(arrays, keywords, lambda value: xp.reshape(value, rows) if value.ndim else value)


def _torch_kl(call: Call) -> Said | None:
    if not call.has("log_target") or call.reduction == "weighted_mean":
        return None
    length, rows = call.arrays[0].shape[call.axis], call.rows
    arrays = [call.xp.reshape(a, (-1, length)) for a in call.to(-1, *call.arrays)]
    keywords = {**call.parameters, "reduction": "batchmean" if call.reduction == "mean" else call.reduction}
    if call.reduction == "none":
        return Said(arrays, keywords, lambda value: call.xp.reshape(call.xp.sum(value, axis=-1), rows))
    return Said(arrays, keywords)


def _torch_triplet(call: Call, *, eps: float | None = None) -> Said | None:
    if (
        not call.has("margin", "p", "swap")
        or not call.parameters.get("margin", 1.0)
        or call.reduction == "weighted_mean"
    ):
        return None
    keywords = {**call.parameters, "reduction": call.reduction} | ({} if eps is None else {"eps": eps})
    return Said(call.to(-1, *call.arrays), keywords)


def _torch_triplet_distance(call: Call) -> Said | None:
    if call.parameters.get("p") != 1:
        return None
    said = _torch_triplet(call)
    if said is None:
        return None
    keywords = {key: value for key, value in said.keywords.items() if key != "p"}
    return Said(said.args, keywords | {"distance_function": _city_block})


def _city_block(x: Array, y: Array) -> Array:
    xp = backend_of(x).namespace(x)
    return xp.sum(xp.abs(x - y), axis=-1)


def _torch_soft_margin(call: Call) -> Said | None:
    if not call.has() or call.reduction == "weighted_mean":
        return None
    logits, target = call.arrays
    return Said((logits, 2 * target - 1), {"reduction": call.reduction})


def _torch_hinge_embedding(call: Call) -> Said | None:
    parameters = {"margin": 1.0, "similar_label": 1, "factor": 0.5, "power": 2, **call.parameters}
    if call.options or parameters["power"] != 1 or call.reduction == "weighted_mean":
        return None
    distance, target = call.arrays
    label = 2 * target - 1 if parameters["similar_label"] == 1 else 1 - 2 * target
    keywords = {"margin": parameters["margin"], "reduction": call.reduction}
    return Said((distance, label), keywords, lambda value: value * parameters["factor"])


def _labels_are_hard(case: Case) -> bool:
    return bool(np.isin(case.arrays[1], (0, 1)).all())


# --------------------------------------------------------------------------------------------------------------------
# keras: the target first, the mean over the last axis


def _keras_elements(call: Call, *names: str, **keywords: Any) -> Said | None:
    if not call.has(*names) or call.options or any(hasattr(value, "shape") for value in call.parameters.values()):
        return None
    y_pred, y_true = (a[..., None] for a in call.arrays)
    return Said((y_true, y_pred), {**call.parameters, **keywords})


def _keras_bce(call: Call) -> Said | None:
    return None if call.parameters.get("clip") else _keras_elements(call)


def _keras_two_classes(call: Call, *, sparse: bool) -> Said | None:
    """A probability as the second of two."""
    if not call.has() or call.options:
        return None
    p, t = call.arrays
    columns = call.xp.stack([1 - p, p], axis=-1)
    if sparse:
        return Said((call.xp.astype(t, call.xp.int64), columns), {})
    return Said((call.xp.stack([1 - t, t], axis=-1), columns), {})


def _complement_is_exact(case: Case) -> bool:
    """Whether ``1 - p`` loses nothing where it counts."""
    p, t = (np.asarray(a) for a in case.at("float32").arrays)
    one = np.float32(1)
    return bool(np.all(((one - (one - p) == p) | (t == 1)) & (one - (one - t) == t)))


def _keras_classes(call: Call) -> Said | None:
    if call.options or call.ids or not call.has("label_smoothing"):
        return None
    logits, target = call.arrays
    return Said((target, logits), {"from_logits": True, "axis": call.axis, **call.parameters})


def _keras_ids(call: Call) -> Said | None:
    if (
        call.options
        or not call.ids
        or not call.has("ignore_index")
        or call.axis % call.arrays[0].ndim != call.arrays[0].ndim - 1
    ):
        return None
    logits, target = call.arrays
    return Said((target, logits), {"from_logits": True, "ignore_class": call.parameters.get("ignore_index")})


def _keras_kl(call: Call) -> Said | None:
    if not call.has():
        return None
    log_p, target = call.to(-1, *call.arrays)
    return Said((target, call.xp.exp(log_p)), {})


def _logarithms_are_moderate(case: Case) -> bool:
    """Whether exp loses nothing of the log-probabilities."""
    log_p, target = map(np.asarray, case.arrays)
    return bool(np.all((log_p > -80) | (np.isneginf(log_p) & (target == 0))))


def _keras_sigmoid_focal(call: Call) -> Said | None:
    alpha = call.parameters.get("alpha")
    said = _keras_elements(call, "alpha", "gamma", from_logits=True)
    if said is None or alpha is None:
        return said
    return Said(said.args, {**said.keywords, "apply_class_balancing": True})


def _keras_softmax_focal(call: Call) -> Said | None:
    if call.options or not call.has("alpha", "gamma"):
        return None
    logits, target = call.to(-1, *call.arrays)
    if call.ids:
        target = call.xp.astype(one_hot(call.xp, target, logits), logits.dtype)
    keywords = {"alpha": 1.0, **call.parameters, "from_logits": True}
    return Said((target, logits), keywords)


# --------------------------------------------------------------------------------------------------------------------
# optax and tf.nn: nothing reduced


def _plain(call: Call, *names: str, factor: float = 1.0) -> Said | None:
    """The arrays in the order of polyloss."""
    if not call.has(*names):
        return None
    return Said(call.arrays, call.parameters, (lambda value: value) if factor == 1 else lambda value: value * factor)


def _optax_classes(call: Call, *, ids: bool, rows: bool = True) -> Said | None:
    if not call.has("where") or call.ids != ids:
        return None
    if not rows:
        return None if call.options else Said(call.to(-1, *call.arrays), {})
    return Said(call.arrays, {"axis": call.axis, **_row_mask(call)})


def _row_mask(call: Call) -> dict[str, Array]:
    where = call.options.get("where")
    if where is None:
        return {}
    ndim = call.arrays[0].ndim - 1
    return {"where": call.xp.broadcast_to(where[(..., *(None,) * (ndim - where.ndim))], call.rows)}


def _optax_kl(call: Call, *, log_target: bool) -> Said | None:
    if not call.has("log_target", "where") or bool(call.parameters.get("log_target")) != log_target:
        return None
    mask = {key: call.xp.expand_dims(where, axis=call.axis) for key, where in _row_mask(call).items()}
    return Said(call.arrays, {"axis": call.axis, **mask})


def _optax_triplet(call: Call, *, eps: float | None = None) -> Said | None:
    if not call.has("margin", "p"):
        return None
    names = {"p": "norm_degree"}
    keywords = {names.get(key, key): value for key, value in call.parameters.items()}
    return Said(call.arrays, {"axis": call.axis, **keywords} | ({} if eps is None else {"eps": eps}))


def _tf_logits(call: Call) -> Said | None:
    return Said((), {"labels": call.arrays[1], "logits": call.arrays[0]}) if call.has() else None


def _tf_weighted(call: Call) -> Said | None:
    weight = call.parameters.get("pos_weight")
    if weight is None or not call.has("pos_weight"):
        return None
    return Said((), {"labels": call.arrays[1], "logits": call.arrays[0], "pos_weight": weight})


def _tf_classes(call: Call, *, ids: bool) -> Said | None:
    said = _tf_logits(call)
    if said is None or call.ids != ids:
        return None
    if not ids:
        return Said((), {**said.keywords, "axis": call.axis})
    logits, target = call.to(-1, *call.arrays)
    return None if "uint" in str(target.dtype) else Said((), {"labels": target, "logits": logits})


def _tf_l2(call: Call) -> Said | None:
    if not call.has():
        return None
    prediction, target = call.arrays
    return Said((prediction - target,), {}, lambda value: 2 * value)


_ALL = ("none", "sum", "mean", "weighted_mean")
_BCE = "binary_cross_entropy_with_logits"

TWINS: tuple[Twin, ...] = (
    Twin("mse", "torch", "mse_loss", partial(_torch_elements, weight="weighted_mean"), reductions=_ALL),
    Twin("mse", "keras", "mean_squared_error", _keras_elements),
    Twin("mse", "optax", "squared_error", _plain),
    Twin("mse", "optax", "l2_loss", partial(_plain, factor=2.0)),
    Twin("mse", "tf", "l2_loss", _tf_l2, reductions=("sum",), dtypes=SINGLE),
    Twin("l1", "torch", "l1_loss", partial(_torch_elements, weight="weighted_mean"), reductions=_ALL),
    Twin("l1", "keras", "mean_absolute_error", _keras_elements),
    Twin("huber", "torch", "huber_loss", partial(_torch_elements, weight="mean", delta="delta"), reductions=_ALL),
    Twin("huber", "keras", "huber", lambda call: _keras_elements(call, "delta")),
    Twin("huber", "optax", "huber_loss", lambda call: _plain(call, "delta")),
    Twin("smooth_l1", "torch", "smooth_l1_loss", partial(_torch_elements, beta="beta"), reductions=_ALL),
    Twin("log_cosh", "keras", "log_cosh", _keras_elements),
    Twin("log_cosh", "optax", "log_cosh", _plain),
    Twin("cross_entropy", "torch", "cross_entropy", _torch_classes, reductions=_ALL),
    Twin("cross_entropy", "keras", "categorical_crossentropy", _keras_classes, variant="from_logits=True"),
    Twin("cross_entropy", "keras", "sparse_categorical_crossentropy", _keras_ids, variant="from_logits=True"),
    Twin("cross_entropy", "optax", "softmax_cross_entropy", partial(_optax_classes, ids=False)),
    Twin("cross_entropy", "optax", "softmax_cross_entropy_with_integer_labels", partial(_optax_classes, ids=True)),
    Twin("cross_entropy", "optax", "safe_softmax_cross_entropy", partial(_optax_classes, ids=False, rows=False)),
    Twin("cross_entropy", "tf", "softmax_cross_entropy_with_logits", partial(_tf_classes, ids=False)),
    Twin("cross_entropy", "tf", "sparse_softmax_cross_entropy_with_logits", partial(_tf_classes, ids=True)),
    Twin("linear_cross_entropy", "torch", "linear_cross_entropy", _torch_linear, reductions=_ALL),
    Twin("nll", "torch", "nll_loss", partial(_torch_classes, smoothing=False), reductions=_ALL),
    Twin(
        "binary_cross_entropy",
        "torch",
        "binary_cross_entropy",
        partial(_torch_elements, weight="mean"),
        reductions=_ALL,
    ),
    Twin("binary_cross_entropy", "keras", "binary_crossentropy", _keras_bce),
    Twin(
        "binary_cross_entropy",
        "keras",
        "categorical_crossentropy",
        partial(_keras_two_classes, sparse=False),
        dtypes=SINGLE,
        admits=_complement_is_exact,
    ),
    Twin(
        "binary_cross_entropy",
        "keras",
        "sparse_categorical_crossentropy",
        partial(_keras_two_classes, sparse=True),
        dtypes=SINGLE,
        constants=(1,),
        admits=lambda case: _complement_is_exact(case) and _labels_are_hard(case),
    ),
    Twin(_BCE, "torch", "binary_cross_entropy_with_logits", _torch_bce_tensor, reductions=_ALL),
    Twin(
        _BCE,
        "torch",
        "soft_margin_loss",
        _torch_soft_margin,
        reductions=_ALL[:3],
        constants=(1,),
        admits=_labels_are_hard,
    ),
    Twin(
        _BCE,
        "keras",
        "binary_crossentropy",
        lambda call: _keras_elements(call, "label_smoothing", from_logits=True),
        variant="from_logits=True",
    ),
    Twin(_BCE, "optax", "sigmoid_binary_cross_entropy", _plain),
    Twin(_BCE, "tf", "sigmoid_cross_entropy_with_logits", _tf_logits),
    Twin(_BCE, "tf", "weighted_cross_entropy_with_logits", _tf_weighted),
    Twin("sigmoid_focal", "keras", "binary_focal_crossentropy", _keras_sigmoid_focal, variant="from_logits=True"),
    Twin("sigmoid_focal", "optax", "sigmoid_focal_loss", lambda call: _plain(call, "alpha", "gamma")),
    Twin("softmax_focal", "keras", "categorical_focal_crossentropy", _keras_softmax_focal, variant="from_logits=True"),
    Twin("hinge", "keras", "hinge", _keras_elements),
    Twin("hinge", "optax", "hinge_loss", _plain),
    Twin("squared_hinge", "keras", "squared_hinge", _keras_elements),
    Twin("kl_divergence", "torch", "kl_div", _torch_kl, reductions=_ALL[:3], dtypes=SINGLE),
    Twin("kl_divergence", "keras", "kl_divergence", _keras_kl, dtypes=SINGLE, admits=_logarithms_are_moderate),
    Twin("kl_divergence", "optax", "kl_divergence", partial(_optax_kl, log_target=False)),
    Twin("kl_divergence", "optax", "kl_divergence_with_log_targets", partial(_optax_kl, log_target=True)),
    Twin(
        "contrastive",
        "torch",
        "hinge_embedding_loss",
        _torch_hinge_embedding,
        reductions=_ALL[:3],
        constants=(1,),
        admits=_labels_are_hard,
    ),
    Twin("triplet_margin", "torch", "triplet_margin_loss", _torch_triplet, reductions=_ALL[:3]),
    Twin(
        "triplet_margin",
        "torch",
        "triplet_margin_loss",
        partial(_torch_triplet, eps=0),
        variant="eps=0",
        reductions=_ALL[:3],
    ),
    Twin("triplet_margin", "torch", "triplet_margin_with_distance_loss", _torch_triplet_distance, reductions=_ALL[:3]),
    Twin("triplet_margin", "optax", "triplet_margin_loss", _optax_triplet),
    Twin("triplet_margin", "optax", "triplet_margin_loss", partial(_optax_triplet, eps=0), variant="eps=0"),
)
"""Every built-in that computes a loss of polyloss."""

__all__ = ["FAMILIES", "TWINS", "Call", "Said", "Twin", "twins_of"]
