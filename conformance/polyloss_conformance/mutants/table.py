"""All mutants."""

import importlib
import math

from .core import empty_mean, half_poisoned, half_sum, last_product, linear, nothing, replacing, subtracted, unpoisoned
from .kernels import by_parameter, constant, each_gradient, kernel, mean_over_rows, naive_cross_entropy, swapped
from .mutant import Mutant
from .wrappers import MaskedResult, OtherDtype, OwnGradient, Undifferentiated, divide, instead, without

MUTANTS = (
    Mutant("gradient of the wrong sign", ("mse", "cross_entropy"), each_gradient(lambda xp, g: -g)),
    Mutant(
        "gradient of the last array of the wrong sign",
        ("huber", "triplet_margin"),
        each_gradient(lambda xp, g: -g, last=True),
    ),
    Mutant("gradient without its factor 2", ("mse", "squared_hinge"), each_gradient(lambda xp, g: 0.5 * g)),
    Mutant("gradient that is a little off", ("log_cosh", "kl_divergence"), each_gradient(lambda xp, g: 1.00001 * g)),
    Mutant(
        "gradient with NaN where it is 0",
        ("l1", "contrastive"),
        each_gradient(lambda xp, g: xp.where(g == 0, math.nan, g)),
    ),
    Mutant("another sub-gradient at the kink", ("l1", "hinge"), each_gradient(lambda xp, g: xp.where(g == 0, 1.0, g))),
    Mutant("gradient in reverse order", ("mse", "nll"), each_gradient(lambda xp, g: xp.flip(g, axis=-1))),
    Mutant("value without its factor 1/2", ("huber", "contrastive"), kernel(lambda xp, v, *g: (2.0 * v, *g))),
    Mutant(
        "value and gradient twice as large",
        ("mse", "softmax_focal"),
        kernel(lambda xp, v, *g: (2.0 * v, *((lambda g=g: 2.0 * g()) for g in g))),
    ),
    Mutant("value that is a little off", ("mse", "cross_entropy"), kernel(lambda xp, v, *g: (1.00001 * v, *g))),
    Mutant("value that cancels", ("cross_entropy", "log_cosh"), kernel(naive_cross_entropy)),
    Mutant("examples in another order", ("l1", "kl_divergence"), kernel(mean_over_rows)),
    Mutant("arguments swapped", ("binary_cross_entropy",), swapped(0, 1)),
    Mutant("positive and negative swapped", ("triplet_margin",), swapped(1, 2)),
    Mutant(
        "gradient that is a constant",
        ("mse", "cross_entropy"),
        each_gradient(constant),
        backends=("torch",),
        dtypes=("float64",),
        checks=("second order",),
    ),
    Mutant("where dropped", ("mse", "cross_entropy"), without("where")),
    Mutant("sample_weight dropped", ("huber", "nll"), without("sample_weight")),
    Mutant("denominator dropped", ("mse", "kl_divergence"), without("denominator")),
    Mutant("class_weight dropped", ("cross_entropy",), without("class_weight")),
    Mutant("axis dropped", ("cross_entropy", "contrastive_embedding"), without("axis")),
    Mutant("mean instead of weighted_mean", ("mse", "cross_entropy"), instead("mean", "weighted_mean")),
    Mutant("weighted_mean instead of mean", ("mse", "cross_entropy"), instead("weighted_mean", "mean")),
    Mutant("sum instead of mean", ("l1", "softmax_focal"), instead("sum", "mean")),
    Mutant("masked examples in the denominator", ("mse",), divide(lambda array, where: float(math.prod(array.shape)))),
    Mutant(
        "number of rows as the denominator",
        ("l1", "sigmoid_focal"),
        divide(lambda array, where: float(array.shape[0])),
    ),
    Mutant("upstream gradient ignored", ("mse", "cross_entropy"), OwnGradient, backends=("numpy",)),
    Mutant(
        "upstream gradient ignored",
        ("mse", "cross_entropy"),
        backends=("torch",),
        patch=replacing(
            "polyloss.engine.blocks", "Blocks.backward", lambda backward: lambda self, arrays, kept, *_: kept
        ),
    ),
    Mutant(
        "last block left out",
        ("l1", "cross_entropy"),
        modes=("small blocks",),
        patch=replacing(
            "polyloss.engine.program", "_starts", lambda starts: lambda *sizes: starts(*sizes)[: -1 or None]
        ),
    ),
    Mutant(
        "small numbers cancel where several are computed at a time",
        ("sigmoid_focal",),
        backends=("tensorflow",),
        modes=("function",),
        patch=subtracted(vectors=True),
    ),
    Mutant(
        "small numbers cancel where they are computed one by one",
        ("sigmoid_focal",),
        backends=("tensorflow",),
        modes=("function",),
        patch=subtracted(vectors=False),
    ),
    Mutant(
        "small numbers cancel in generated code",
        ("sigmoid_focal",),
        backends=("torch",),
        modes=("compile",),
        patch=replacing("polyloss_torch._namespace", "expm1", lambda expm1: importlib.import_module("torch").expm1),
    ),
    Mutant(
        "upstream gradient ignored in whole arrays",
        ("mse", "cross_entropy"),
        backends=("torch",),
        modes=("whole arrays",),
        patch=replacing(
            "polyloss_torch", "pull", lambda pull: lambda upstream, local: local + 0.0 * pull(upstream, local)
        ),
    ),
    Mutant(
        "gradient of logits of the wrong sign",
        ("linear_cross_entropy",),
        patch=linear(lambda xp, v, g, *more: (v, lambda: -g(), *more)),
    ),
    Mutant(
        "gradient of logits that is a little off",
        ("linear_cross_entropy",),
        patch=linear(lambda xp, v, g, *more: (v, lambda: 1.00001 * g(), *more)),
    ),
    Mutant("value of logits that cancels", ("linear_cross_entropy",), patch=linear(naive_cross_entropy)),
    Mutant(
        "chunk before the last left out of a gradient",
        ("linear_cross_entropy",),
        backends=("numpy",),
        modes=("small blocks",),
        patch=replacing("polyloss.core.sums", "add_product", last_product),
    ),
    Mutant(
        "chunk before the last left out of a gradient",
        ("linear_cross_entropy",),
        backends=("torch",),
        modes=("aot_eager",),
        patch=replacing("polyloss.core.sums", "add_product", last_product),
    ),
    Mutant(
        "upstream gradient of a sum of chunks ignored",
        ("linear_cross_entropy",),
        backends=("torch",),
        patch=replacing("polyloss.core.chunked", "scaled", lambda scaled: lambda gradient, upstream: gradient),
    ),
    Mutant("bias dropped", ("linear_cross_entropy",), without("bias"), backends=("torch",)),
    Mutant("z_loss dropped", ("linear_cross_entropy",), without("z_loss")),
    Mutant("logit_softcap dropped", ("linear_cross_entropy",), without("logit_softcap")),
    Mutant("ignore_index dropped", ("linear_cross_entropy",), without("ignore_index")),
    Mutant(
        "layer transposed",
        ("linear_cross_entropy",),
        patch=replacing(
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
        patch=linear(lambda xp, v, g, *more: (v, lambda: constant(xp, g()), *more)),
        checks=("second order",),
    ),
    Mutant(
        "curvature that is a little off",
        ("mse", "cross_entropy"),
        backends=("numpy",),
        patch=replacing("polyloss_autodiff._along", "_change", lambda change: lambda xp, *of: 1.0001 * change(xp, *of)),
        checks=("second order",),
    ),
    Mutant(
        "curvature of both branches",
        ("tukey_biweight", "circle"),
        backends=("numpy",),
        patch=replacing("polyloss_autodiff._namespace", "_chosen", lambda chosen: lambda xp, condition, first, x: x),
        checks=("second order",),
    ),
    Mutant("mask of the result, not of the input", ("mse", "huber"), MaskedResult, backends=("torch",)),
    Mutant("result in another dtype", ("mse",), OtherDtype, dtypes=("float32",)),
    Mutant(
        "half precision computed in half precision",
        ("cross_entropy", "tukey_biweight"),
        dtypes=("float16",),
        patch=replacing("polyloss.core.checks", "is_half", lambda is_half: lambda dtype: False),
    ),
    Mutant(
        "shapes not checked",
        ("mse", "cross_entropy"),
        patch=replacing("polyloss.core.checks", "shape_is", nothing),
        checks=("error",),
    ),
    Mutant(
        "values not checked",
        ("binary_cross_entropy", "nll"),
        patch=replacing("polyloss.core.plan", "Plan.check_values", nothing),
        checks=("error",),
    ),
    Mutant(
        "bad rows not poisoned",
        ("hinge", "cross_entropy"),
        backends=("torch",),
        modes=("aot_eager",),
        patch=replacing("polyloss.core.plan", "reduce", unpoisoned),
        checks=("bad values while traced",),
    ),
    Mutant(
        "bad rows poisoned in the value alone",
        ("hinge", "cross_entropy"),
        backends=("torch",),
        modes=("aot_eager",),
        patch=replacing("polyloss.core.plan", "reduce", half_poisoned),
        checks=("bad values while traced",),
    ),
    Mutant("gradient of the mean of nothing", ("mse",), without("where"), dtypes=("float64",), checks=("law",)),
    Mutant(
        "another value without gradients",
        ("mse", "cross_entropy"),
        Undifferentiated,
        backends=("torch",),
        dtypes=("float64",),
        checks=("law",),
    ),
    Mutant("weights that do not multiply", ("l1",), without("sample_weight"), dtypes=("float64",), checks=("law",)),
    Mutant("a sum that is no sum", ("cross_entropy",), instead("mean", "sum"), dtypes=("float64",), checks=("law",)),
    Mutant(
        "a loss below zero",
        ("huber",),
        kernel(lambda xp, v, *g: (v - 0.001, *g)),
        dtypes=("float64",),
        checks=("law",),
    ),
    Mutant(
        "derivative by a parameter of the wrong sign",
        ("huber", "cross_entropy"),
        by_parameter(lambda derivative: -derivative),
        dtypes=("float64",),
        checks=("kind of call",),
    ),
    Mutant(
        "derivative by a parameter that is a constant",
        ("smooth_l1",),
        by_parameter(lambda derivative: constant(None, derivative)),
        backends=("torch",),
        dtypes=("float64",),
        checks=("kind of call",),
    ),
    Mutant(
        "class ids compared in their own dtype",
        ("cross_entropy", "nll"),
        patch=replacing("polyloss.core.checks", "wide_ids", lambda wide_ids: lambda xp, ids: ids),
        backends=("numpy",),
        dtypes=("float64",),
        checks=("kind of call",),
    ),
    Mutant(
        "mean of nothing divided by nothing",
        ("mse",),
        patch=replacing("polyloss.core.plan", "reduce", empty_mean),
        backends=("torch",),
        dtypes=("float64",),
        checks=("kind of call",),
    ),
    Mutant(
        "half precision summed in half precision",
        ("mse",),
        patch=replacing("polyloss.engine.blocks", "Blocks.forward", half_sum),
        dtypes=("float16",),
        checks=("kind of call",),
    ),
    Mutant(
        "half precision inside autocast",
        ("mse", "cross_entropy"),
        patch=replacing(
            "polyloss_torch",
            "TorchBackend.result_dtype",
            lambda result_dtype: lambda self, prediction: prediction.dtype,
        ),
        backends=("torch",),
        dtypes=("bfloat16",),
        checks=("kind of call",),
    ),
    Mutant("least elsewhere", ("mse",), each_gradient(lambda xp, g: g + 0.1), dtypes=("float64",), checks=("law",)),
)
