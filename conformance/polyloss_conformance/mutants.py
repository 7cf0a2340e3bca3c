"""Seeded mistakes, each of which the suite must catch: otherwise its success means nothing.

A mutant wraps a loss, or replaces a function of the core while it runs; no file is changed.
"""

import contextlib
import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from polyloss.core.chunked import in_chunks

from . import run
from .result import Check, Result
from .selection import Selection, public_losses

Patch = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Parameters
    ----------
    name : str
        What is wrong.
    losses : tuple of str
        In which losses it is made, each on its own.
    alter : callable or None
        Makes the wrong loss of a right one.
    patch : callable or None
        A context in which the core is wrong.
    backends : tuple of str
        Where it can be made.
    dtypes, modes, checks
        What of the suite has to run to catch it.
    """

    name: str
    losses: tuple[str, ...]
    alter: Callable[[Any], Any] | None = None
    patch: Patch | None = None
    backends: tuple[str, ...] = ("numpy", "torch")
    dtypes: tuple[str, ...] = ("float32",)
    modes: tuple[str, ...] = ("eager",)
    checks: tuple[Check, ...] = ("value and gradient",)

    def selection(self, backend: str, loss: str, function: Any) -> Selection:
        return Selection((backend,), {loss: function}, self.dtypes, modes=self.modes, checks=self.checks)


def caught(mutant: Mutant, backend: str, loss: str) -> Result | None:
    """The first check that notices the mutant, or None."""
    right = public_losses()[loss]
    wrong = right if mutant.alter is None else mutant.alter(right)
    with mutant.patch() if mutant.patch is not None else contextlib.nullcontext(), _unknown(right):
        return _first_failure(mutant.selection(backend, loss, wrong))


def false_alarm(mutant: Mutant, backend: str, loss: str) -> Result | None:
    """The first check that fails without the mutant, or None: then it is the mutant that was caught."""
    return _first_failure(mutant.selection(backend, loss, public_losses()[loss]))


@contextlib.contextmanager
def _unknown(loss: Any) -> Iterator[None]:
    """A context in which nothing is remembered from outside of it, and after which nothing is from inside."""
    from polyloss.engine import blocks as _blocks
    from polyloss.engine import compiled as _compiled

    remembered = (loss._plans.clear, _compiled.compiled.cache_clear, _blocks._row_program.cache_clear)
    for forget in remembered:
        forget()
    try:
        yield
    finally:
        for forget in remembered:
            forget()


def _first_failure(selection: Selection) -> Result | None:
    work = run.jobs(selection)
    if not work:
        raise ValueError("nothing was run against the mutant")
    return next((result for job in work for result in job.run() if not result.passed), None)


# --------------------------------------------------------------------------------------------------------------------
# Wrong kernels


def _with_kernel(loss: Any, kernel: Callable[..., Any]) -> Any:
    kernel.__name__ = loss.__name__
    # A loss pickles, and so copies, as the public one of its name.
    wrong = object.__new__(type(loss))
    wrong.__dict__.update(loss.__dict__, kernel=kernel, origin=wrong, _plans={})
    return wrong


def _kernel(change: Callable[..., Any]) -> Callable[[Any], Any]:
    """A loss whose kernel returns what `change` makes of its namespace and its pair."""

    def alter(loss: Any) -> Any:
        right = loss.kernel

        def kernel(xp: Any, *arrays: Any, **parameters: Any) -> Any:
            return change(xp, *(part for part in right(xp, *arrays, **parameters) if not isinstance(part, dict)))

        return _with_kernel(loss, kernel)

    return alter


def _each_gradient(change: Callable[[Any, Any], Any], last: bool = False) -> Callable[[Any], Any]:
    def wrong(xp: Any, gradient: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: change(xp, gradient())

    def altered(xp: Any, value: Any, *gradients: Callable[[], Any]) -> Any:
        count = len(gradients)
        return value, *(wrong(xp, g) if not last or i == count - 1 else g for i, g in enumerate(gradients))

    return _kernel(altered)


def _by_parameter(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A loss whose kernel returns other derivatives by its parameters."""

    def wrong(derivative: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: change(derivative())

    def alter(loss: Any) -> Any:
        right = loss.kernel

        def kernel(xp: Any, *arrays: Any, **parameters: Any) -> Any:
            found = right(xp, *arrays, **parameters)
            return *found[:-1], {name: wrong(derivative) for name, derivative in found[-1].items()}

        return _with_kernel(loss, kernel)

    return alter


def _constant(xp: Any, array: Any) -> Any:
    import polyloss

    return polyloss.stop_gradient(array)


def _swapped(first: int, second: int) -> Callable[[Any], Any]:
    """Two arrays in the wrong order, all the way through."""

    def exchange(items: Sequence[Any]) -> list[Any]:
        found = list(items)
        found[first], found[second] = found[second], found[first]
        return found

    def alter(loss: Any) -> Any:
        right = loss.kernel

        def kernel(xp: Any, *arrays: Any, **parameters: Any) -> Any:
            found = right(xp, *exchange(arrays), **parameters)
            value, *gradients = (part for part in found if not isinstance(part, dict))
            return value, *exchange(gradients)

        return _with_kernel(loss, kernel)

    return alter


def _naive_cross_entropy(xp: Any, value: Any, *gradients: Any) -> Any:
    # The loss of a confident row, as the difference of two large numbers.
    return (value + 1.0) - 1.0, *gradients


def _mean_over_rows(xp: Any, value: Any, *gradients: Any) -> Any:
    return xp.flip(value, axis=0), *gradients


# --------------------------------------------------------------------------------------------------------------------
# Wrong calls


class _Called:
    """A loss that is called with other keywords than it was given."""

    def __init__(self, loss: Any, change: Callable[[Any, tuple[Any, ...], dict[str, Any]], Mapping[str, Any]]) -> None:
        self._loss, self._change = loss, change
        self.__name__ = loss.__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss, name)

    def __call__(self, *arrays: Any, **keywords: Any) -> Any:
        return self._loss(*arrays, **self._change(self._loss, arrays, keywords))

    def closed_form(self, arrays: Sequence[Any], keywords: Mapping[str, Any], argnums: Sequence[int]) -> Any:
        return self._loss.closed_form(arrays, self._change(self._loss, tuple(arrays), dict(keywords)), argnums)


def _called(change: Callable[..., Mapping[str, Any]]) -> Callable[[Any], Any]:
    return lambda loss: _Called(loss, change)


def _without(name: str) -> Callable[[Any], Any]:
    return _called(lambda loss, arrays, keywords: {k: v for k, v in keywords.items() if k != name})


def _instead(wrong: str, right: str) -> Callable[[Any], Any]:
    def change(loss: Any, arrays: Any, keywords: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**keywords, "reduction": wrong} if keywords.get("reduction", "mean") == right else keywords

    return _called(change)


def _divide(how: Callable[[Any, Any], float]) -> Callable[[Any], Any]:
    """A mean over unmasked examples, with a denominator of its own making."""

    def change(loss: Any, arrays: Any, keywords: Mapping[str, Any]) -> Mapping[str, Any]:
        if keywords.get("reduction", "mean") != "mean" or "denominator" in keywords:
            return keywords
        return {**keywords, "denominator": how(arrays[0], keywords.get("where"))}

    return _called(change)


class _OwnGradient(_Called):
    """A loss with the gradient of its sum, whatever the reduction: what comes from upstream is ignored."""

    def __init__(self, loss: Any) -> None:
        super().__init__(loss, lambda loss, arrays, keywords: keywords)

    def closed_form(self, arrays: Sequence[Any], keywords: Mapping[str, Any], argnums: Sequence[int]) -> Any:
        value, _ = self._loss.closed_form(arrays, keywords, argnums)
        rest = {k: v for k, v in keywords.items() if k not in ("reduction", "denominator", "sample_weight")}
        return value, self._loss.closed_form(arrays, {**rest, "reduction": "sum"}, argnums)[1]


class _MaskedResult(_Called):
    """The mask multiplies the result, and NaN times 0 is NaN."""

    def __init__(self, loss: Any) -> None:
        super().__init__(loss, lambda loss, arrays, keywords: keywords)

    def __call__(self, *arrays: Any, **keywords: Any) -> Any:
        where = keywords.pop("where", None)
        if where is None:
            return self._loss(*arrays, **keywords)
        if keywords.get("reduction", "mean") != "mean" or keywords.keys() & {"sample_weight", "denominator"}:
            return self._loss(*arrays, where=where, **keywords)
        each = self._loss(*arrays, **{**keywords, "reduction": "none"})
        keep = where[(..., *(None,) * (each.ndim - where.ndim))] * (each == each)
        return (each * keep).sum() / keep.sum()


class _OtherDtype(_Called):
    """The result in another dtype than the prediction."""

    def __init__(self, loss: Any) -> None:
        super().__init__(loss, lambda loss, arrays, keywords: keywords)

    def __call__(self, *arrays: Any, **keywords: Any) -> Any:
        value = self._loss(*arrays, **keywords)
        return value.double() if hasattr(value, "double") else value.astype("float64")


# --------------------------------------------------------------------------------------------------------------------
# A wrong core


def _replace(module: str, name: str, make: Callable[[Any], Any]) -> Patch:
    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        owner: Any = importlib.import_module(module)
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        with mock.patch.object(owner, last, make(getattr(owner, last))):
            yield

    return patch


def _nothing(function: Any) -> Any:
    return lambda *arguments, **keywords: None


def _linear(change: Callable[..., Any]) -> Patch:
    """A context in which the cost of logits returns what `change` makes of its namespace and its pair."""

    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        from polyloss.losses import linear

        def cost(xp: Any, *arrays: Any, **parameters: Any) -> Any:
            return change(xp, *linear._cost(xp, *arrays, **parameters))

        with mock.patch.object(linear.linear_cross_entropy, "fuse", in_chunks(cost, linear.OF_COST)):
            yield

    return patch


def _last_product(add_product: Any) -> Any:
    """Of the chunks of a sum, the last one alone."""
    return lambda backend, total, *product: add_product(backend, 0.0 * total, *product)


def _unpoisoned(reduce: Any) -> Any:
    return lambda xp, losses, reduction, weights: reduce(xp, losses, reduction, replace(weights, poison=None))


def _empty_mean(reduce: Any) -> Any:
    """0 divided by 0 examples."""

    def wrong(xp: Any, losses: Any, reduction: str, weights: Any) -> Any:
        value, coefficient = reduce(xp, losses, reduction, weights)
        return value / math.prod(losses.shape) if reduction == "mean" else value, coefficient

    return wrong


def _half_sum(reduce: Any) -> Any:
    """The sum is rounded to float16 before it is divided."""

    def wrong(xp: Any, losses: Any, reduction: str, weights: Any) -> Any:
        value, coefficient = reduce(xp, losses, reduction, weights)
        count = math.prod(losses.shape)
        return xp.astype(xp.astype(count * value, xp.float16), value.dtype) / count, coefficient

    return wrong


def _half_poisoned(reduce: Any) -> Any:
    """NaN in the value, a finite number in the gradient."""

    def wrong(xp: Any, losses: Any, reduction: str, weights: Any) -> Any:
        if weights.poison is not None:
            losses = xp.where(xp.isnan(weights.poison), math.nan, losses)
        return reduce(xp, losses, reduction, replace(weights, poison=None))

    return wrong


def _subtracted(vectors: bool) -> Patch:
    """A context in which code has exp(x) - 1 for expm1 where it takes eight numbers at a time, or where it does not."""

    def make(expm1: Any) -> Any:
        def wrong(x: Any) -> Any:
            import tensorflow as tf

            size = tf.size(x)
            there = tf.reshape(tf.range(size) < size // 8 * 8, tf.shape(x))
            # Of a plain difference, TensorFlow would make an expm1.
            return tf.where(there if vectors else ~there, 2.0 * (0.5 * tf.exp(x) - 0.5), expm1(x))

        return wrong

    return _replace("polyloss_tensorflow._namespace", "expm1", make)


MUTANTS = (
    Mutant("gradient of the wrong sign", ("mse", "cross_entropy"), _each_gradient(lambda xp, g: -g)),
    Mutant(
        "gradient of the last array of the wrong sign",
        ("huber", "triplet_margin"),
        _each_gradient(lambda xp, g: -g, last=True),
    ),
    Mutant("gradient without its factor 2", ("mse", "squared_hinge"), _each_gradient(lambda xp, g: 0.5 * g)),
    Mutant("gradient that is a little off", ("log_cosh", "kl_divergence"), _each_gradient(lambda xp, g: 1.00001 * g)),
    Mutant(
        "gradient with NaN where it is 0",
        ("l1", "contrastive"),
        _each_gradient(lambda xp, g: xp.where(g == 0, math.nan, g)),
    ),
    Mutant("another sub-gradient at the kink", ("l1", "hinge"), _each_gradient(lambda xp, g: xp.where(g == 0, 1.0, g))),
    Mutant("gradient in reverse order", ("mse", "nll"), _each_gradient(lambda xp, g: xp.flip(g, axis=-1))),
    Mutant("value without its factor 1/2", ("huber", "contrastive"), _kernel(lambda xp, v, *g: (2.0 * v, *g))),
    Mutant(
        "value and gradient twice as large",
        ("mse", "softmax_focal"),
        _kernel(lambda xp, v, *g: (2.0 * v, *((lambda g=g: 2.0 * g()) for g in g))),
    ),
    Mutant("value that is a little off", ("mse", "cross_entropy"), _kernel(lambda xp, v, *g: (1.00001 * v, *g))),
    Mutant("value that cancels", ("cross_entropy", "log_cosh"), _kernel(_naive_cross_entropy)),
    Mutant("examples in another order", ("l1", "kl_divergence"), _kernel(_mean_over_rows)),
    Mutant("arguments swapped", ("binary_cross_entropy",), _swapped(0, 1)),
    Mutant("positive and negative swapped", ("triplet_margin",), _swapped(1, 2)),
    Mutant(
        "gradient that is a constant",
        ("mse", "cross_entropy"),
        _each_gradient(_constant),
        backends=("torch",),
        dtypes=("float64",),
        checks=("second order",),
    ),
    Mutant("where dropped", ("mse", "cross_entropy"), _without("where")),
    Mutant("sample_weight dropped", ("huber", "nll"), _without("sample_weight")),
    Mutant("denominator dropped", ("mse", "kl_divergence"), _without("denominator")),
    Mutant("class_weight dropped", ("cross_entropy",), _without("class_weight")),
    Mutant("axis dropped", ("cross_entropy", "contrastive_embedding"), _without("axis")),
    Mutant("mean instead of weighted_mean", ("mse", "cross_entropy"), _instead("mean", "weighted_mean")),
    Mutant("weighted_mean instead of mean", ("mse", "cross_entropy"), _instead("weighted_mean", "mean")),
    Mutant("sum instead of mean", ("l1", "softmax_focal"), _instead("sum", "mean")),
    Mutant("masked examples in the denominator", ("mse",), _divide(lambda array, where: float(math.prod(array.shape)))),
    Mutant(
        "number of rows as the denominator",
        ("l1", "sigmoid_focal"),
        _divide(lambda array, where: float(array.shape[0])),
    ),
    Mutant("upstream gradient ignored", ("mse", "cross_entropy"), _OwnGradient, backends=("numpy",)),
    Mutant(
        "upstream gradient ignored",
        ("mse", "cross_entropy"),
        backends=("torch",),
        patch=_replace(
            "polyloss.engine.blocks", "Blocks.backward", lambda backward: lambda self, arrays, kept, *_: kept
        ),
    ),
    Mutant(
        "last block left out",
        ("l1", "cross_entropy"),
        modes=("small blocks",),
        patch=_replace(
            "polyloss.engine.program", "_starts", lambda starts: lambda *sizes: starts(*sizes)[: -1 or None]
        ),
    ),
    Mutant(
        "small numbers cancel where several are computed at a time",
        ("sigmoid_focal",),
        backends=("tensorflow",),
        modes=("function",),
        patch=_subtracted(vectors=True),
    ),
    Mutant(
        "small numbers cancel where they are computed one by one",
        ("sigmoid_focal",),
        backends=("tensorflow",),
        modes=("function",),
        patch=_subtracted(vectors=False),
    ),
    Mutant(
        "small numbers cancel in generated code",
        ("sigmoid_focal",),
        backends=("torch",),
        modes=("compile",),
        patch=_replace("polyloss_torch._namespace", "expm1", lambda expm1: importlib.import_module("torch").expm1),
    ),
    Mutant(
        "upstream gradient ignored in whole arrays",
        ("mse", "cross_entropy"),
        backends=("torch",),
        modes=("whole arrays",),
        patch=_replace(
            "polyloss_torch", "pull", lambda pull: lambda upstream, local: local + 0.0 * pull(upstream, local)
        ),
    ),
    Mutant(
        "gradient of logits of the wrong sign",
        ("linear_cross_entropy",),
        patch=_linear(lambda xp, v, g, *more: (v, lambda: -g(), *more)),
    ),
    Mutant(
        "gradient of logits that is a little off",
        ("linear_cross_entropy",),
        patch=_linear(lambda xp, v, g, *more: (v, lambda: 1.00001 * g(), *more)),
    ),
    Mutant("value of logits that cancels", ("linear_cross_entropy",), patch=_linear(_naive_cross_entropy)),
    Mutant(
        "chunk before the last left out of a gradient",
        ("linear_cross_entropy",),
        backends=("numpy",),
        modes=("small blocks",),
        patch=_replace("polyloss.core.sums", "add_product", _last_product),
    ),
    Mutant(
        "chunk before the last left out of a gradient",
        ("linear_cross_entropy",),
        backends=("torch",),
        modes=("aot_eager",),
        patch=_replace("polyloss.core.sums", "add_product", _last_product),
    ),
    Mutant(
        "upstream gradient of a sum of chunks ignored",
        ("linear_cross_entropy",),
        backends=("torch",),
        patch=_replace("polyloss.core.chunked", "scaled", lambda scaled: lambda gradient, upstream: gradient),
    ),
    Mutant("bias dropped", ("linear_cross_entropy",), _without("bias"), backends=("torch",)),
    Mutant("z_loss dropped", ("linear_cross_entropy",), _without("z_loss")),
    Mutant("logit_softcap dropped", ("linear_cross_entropy",), _without("logit_softcap")),
    Mutant("ignore_index dropped", ("linear_cross_entropy",), _without("ignore_index")),
    Mutant(
        "layer transposed",
        ("linear_cross_entropy",),
        patch=_replace(
            "polyloss.core.chunked",
            "logits_of",
            lambda logits: (
                lambda hidden, weight, bias: logits(
                    hidden, weight.T if weight.shape[0] == weight.shape[1] else weight, bias
                )
            ),
        ),
    ),
    Mutant(
        "gradient of logits that is a constant",
        ("linear_cross_entropy",),
        backends=("torch",),
        dtypes=("float64",),
        patch=_linear(lambda xp, v, g, *more: (v, lambda: _constant(xp, g()), *more)),
        checks=("second order",),
    ),
    Mutant("mask of the result, not of the input", ("mse", "huber"), _MaskedResult, backends=("torch",)),
    Mutant("result in another dtype", ("mse",), _OtherDtype, dtypes=("float32",)),
    Mutant(
        "half precision computed in half precision",
        ("cross_entropy", "tukey_biweight"),
        dtypes=("float16",),
        patch=_replace("polyloss.core.checks", "is_half", lambda is_half: lambda dtype: False),
    ),
    Mutant(
        "shapes not checked",
        ("mse", "cross_entropy"),
        patch=_replace("polyloss.core.checks", "shape_is", _nothing),
        checks=("error",),
    ),
    Mutant(
        "values not checked",
        ("binary_cross_entropy", "nll"),
        patch=_replace("polyloss.core.plan", "Plan.check_values", _nothing),
        checks=("error",),
    ),
    Mutant(
        "bad rows not poisoned",
        ("hinge", "cross_entropy"),
        backends=("torch",),
        modes=("aot_eager",),
        patch=_replace("polyloss.core.plan", "reduce", _unpoisoned),
        checks=("bad values while traced",),
    ),
    Mutant(
        "bad rows poisoned in the value alone",
        ("hinge", "cross_entropy"),
        backends=("torch",),
        modes=("aot_eager",),
        patch=_replace("polyloss.core.plan", "reduce", _half_poisoned),
        checks=("bad values while traced",),
    ),
    Mutant("gradient of the mean of nothing", ("mse",), _without("where"), dtypes=("float64",), checks=("law",)),
    Mutant("weights that do not multiply", ("l1",), _without("sample_weight"), dtypes=("float64",), checks=("law",)),
    Mutant("a sum that is no sum", ("cross_entropy",), _instead("mean", "sum"), dtypes=("float64",), checks=("law",)),
    Mutant(
        "a loss below zero",
        ("huber",),
        _kernel(lambda xp, v, *g: (v - 0.001, *g)),
        dtypes=("float64",),
        checks=("law",),
    ),
    Mutant(
        "derivative by a parameter of the wrong sign",
        ("huber", "cross_entropy"),
        _by_parameter(lambda derivative: -derivative),
        dtypes=("float64",),
        checks=("kind of call",),
    ),
    Mutant(
        "derivative by a parameter that is a constant",
        ("smooth_l1",),
        _by_parameter(lambda derivative: _constant(None, derivative)),
        backends=("torch",),
        dtypes=("float64",),
        checks=("kind of call",),
    ),
    Mutant(
        "class ids compared in their own dtype",
        ("cross_entropy", "nll"),
        patch=_replace("polyloss.core.checks", "wide_ids", lambda wide_ids: lambda xp, ids: ids),
        backends=("numpy",),
        dtypes=("float64",),
        checks=("kind of call",),
    ),
    Mutant(
        "mean of nothing divided by nothing",
        ("mse",),
        patch=_replace("polyloss.core.plan", "reduce", _empty_mean),
        backends=("torch",),
        dtypes=("float64",),
        checks=("kind of call",),
    ),
    Mutant(
        "half precision summed in half precision",
        ("mse",),
        patch=_replace("polyloss.core.plan", "reduce", _half_sum),
        dtypes=("float16",),
        checks=("kind of call",),
    ),
    Mutant(
        "half precision inside autocast",
        ("mse", "cross_entropy"),
        patch=_replace(
            "polyloss_torch",
            "TorchBackend.result_dtype",
            lambda result_dtype: lambda self, prediction: prediction.dtype,
        ),
        backends=("torch",),
        dtypes=("bfloat16",),
        checks=("kind of call",),
    ),
    Mutant("least elsewhere", ("mse",), _each_gradient(lambda xp, g: g + 0.1), dtypes=("float64",), checks=("law",)),
)
