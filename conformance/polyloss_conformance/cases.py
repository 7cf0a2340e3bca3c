"""Deterministic sample, edge and error cases, as data: no framework, no polyloss.

Every array is a float64 (or int64, bool) master; `Case.at` rounds the float ones to the dtype under test, and the
reference is evaluated at exactly those rounded numbers. Adding a loss is an entry in `LOSSES`, a section of cases
here, and one function in `reference`.

A note that starts with an id (A1, B3, C) names the finding of a built-in that the case guards against; `trap` marks
an error that is common in formulas or code.
"""

import importlib.util
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Raises = type[Exception] | tuple[type[Exception], ...]

DTYPES = ("float16", "bfloat16", "float32", "float64")
WIDE = ("bfloat16", "float32", "float64")
"""The dtypes with at least the exponents of float32."""
SINGLE = ("float32", "float64")
DOUBLE = ("float64",)

has_bfloat16 = importlib.util.find_spec("ml_dtypes") is not None

inf, nan = float("inf"), float("nan")


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a name in `DTYPES`."""
    if name == "bfloat16":
        import ml_dtypes

        half: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return half
    return np.dtype(name)


class Arguments(NamedTuple):
    """What a loss is called with, at one dtype."""

    arrays: tuple[Any, ...]
    parameters: dict[str, Any]
    options: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """One call of one loss, at every dtype of `dtypes`.

    Parameters
    ----------
    loss, name : str
        The public name of the loss, and a name of the case that is unique within it.
    kind : str
        ``"sample"``, ``"edge"`` or ``"error"``.
    arrays : tuple
        Positional arguments. Error cases may hold anything, lists too.
    parameters, options : mapping
        The loss's own keywords; and ``reduction``, ``sample_weight``, ``where``, ``denominator``.
    note : str
        Why the case is here.
    error : tuple or None
        The exception that is expected, and a regular expression that its message contains (ignoring case).
    value_check : bool
        The error depends on values, so it is only raised where these can be read: eagerly, on the CPU.
    """

    loss: str
    name: str
    kind: str
    arrays: tuple[Any, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    dtypes: tuple[str, ...] = DTYPES
    note: str = ""
    error: tuple[Raises, str] | None = None
    value_check: bool = False

    @property
    def id(self) -> str:
        return f"{self.loss}-{self.name}"

    def at(self, dtype: str) -> Arguments:
        """The arguments with all float arrays rounded to `dtype`."""
        arrays, parameters, options = _rounded(self, dtype)
        return Arguments(arrays, dict(parameters), dict(options))


@cache
def _rounded(case: Case, dtype: str) -> Arguments:
    target = numpy_dtype(dtype)

    def to(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            with np.errstate(over="ignore", under="ignore"):
                value = value.astype(target)
            value.flags.writeable = False
        return value

    return Arguments(
        tuple(map(to, case.arrays)),
        {key: to(value) for key, value in case.parameters.items()},
        {key: to(value) for key, value in case.options.items()},
    )


@dataclass(frozen=True)
class Laws:
    """What holds of a loss for every admissible input.

    Parameters
    ----------
    nonnegative : bool
        It is never below zero.
    perfect : float or None
        Its value where the prediction is the target; None where that depends on the target.
    symmetric : bool
        Its first two arrays may be exchanged.
    smooth : bool
        It has a derivative everywhere.
    """

    nonnegative: bool = True
    perfect: float | None = 0.0
    symmetric: bool = False
    smooth: bool = True


Place = int | str
"""Where an array is in a call: its position, or its keyword."""


@dataclass(frozen=True)
class Entry:
    """What the suite has to know about a loss.

    Parameters
    ----------
    arrays : tuple of str
        The positional ones.
    rowwise : bool
        An example is a row.
    axis : bool
        The axis of a row can be chosen, where it is a row.
    differentiable : tuple of int or str
        The arrays that it has a gradient in, keywords among them.
    shared : tuple of int or str
        The arrays, beside numbers and parameters of classes, that all examples have in common: their gradient is a sum
        over the examples.
    """

    arrays: tuple[str, ...]
    rowwise: bool = False
    axis: bool = True
    differentiable: tuple[Place, ...] = (0, 1)
    shared: tuple[Place, ...] = ()
    laws: Laws = Laws()

    @property
    def own(self) -> tuple[int, ...]:
        """The positions of the arrays of which each example has a part."""
        return tuple(place for place in range(len(self.arrays)) if place not in self.shared)

    def name(self, place: Place) -> str:
        return self.arrays[place] if isinstance(place, int) else place


_RESIDUAL = ("prediction", "target")
LOSSES: dict[str, Entry] = {
    "mse": Entry(_RESIDUAL, laws=Laws(symmetric=True)),
    "l1": Entry(_RESIDUAL, laws=Laws(symmetric=True, smooth=False)),
    "huber": Entry(_RESIDUAL, laws=Laws(symmetric=True)),
    "smooth_l1": Entry(_RESIDUAL, laws=Laws(symmetric=True, smooth=False)),
    "log_cosh": Entry(_RESIDUAL, laws=Laws(symmetric=True)),
    "tukey_biweight": Entry(_RESIDUAL, laws=Laws(symmetric=True)),
    "cross_entropy": Entry(("logits", "target"), rowwise=True, laws=Laws(perfect=None)),
    "linear_cross_entropy": Entry(
        ("hidden", "weight", "target"),
        rowwise=True,
        axis=False,
        differentiable=(0, 1, 2, "bias"),
        shared=(1, "bias"),
        laws=Laws(perfect=None),
    ),
    "nll": Entry(("log_probabilities", "target"), rowwise=True, laws=Laws(perfect=None)),
    "binary_cross_entropy": Entry(("probabilities", "target"), laws=Laws(perfect=None)),
    "binary_cross_entropy_with_logits": Entry(("logits", "target"), laws=Laws(perfect=None)),
    "sigmoid_focal": Entry(("logits", "target"), laws=Laws(perfect=None)),
    "softmax_focal": Entry(("logits", "target"), rowwise=True, laws=Laws(perfect=None)),
    "hinge": Entry(("scores", "target"), laws=Laws(smooth=False)),
    "squared_hinge": Entry(("scores", "target")),
    # Zero or more only where the rows are distributions.
    "kl_divergence": Entry(("log_probabilities", "target"), rowwise=True, laws=Laws(nonnegative=False, perfect=None)),
    "contrastive": Entry(("distance", "target"), laws=Laws(perfect=None, smooth=False)),
    "contrastive_embedding": Entry(
        ("x1", "x2", "target"),
        rowwise=True,
        differentiable=(0, 1, 2),
        laws=Laws(perfect=None, symmetric=True, smooth=False),
    ),
    "triplet_margin": Entry(
        ("anchor", "positive", "negative"),
        rowwise=True,
        differentiable=(0, 1, 2),
        laws=Laws(perfect=None, smooth=False),
    ),
}
HELPERS = ("log_sum_exp", "log_softmax", "softmax", "softplus", "log_sigmoid", "sigmoid")

CASES: dict[str, list[Case]] = {loss: [] for loss in LOSSES}
HELPER_CASES: dict[str, list[Case]] = {helper: [] for helper in HELPERS}


def cases_of(loss: str, kind: str | None = None) -> list[Case]:
    """The cases of a loss, all of them or those of one kind."""
    return [case for case in CASES[loss] if kind in (None, case.kind)]


# --------------------------------------------------------------------------------------------------------------------
# How cases are written. Where a case does not say otherwise, it looks at each example: reduction="none".

_OPTIONS = ("reduction", "sample_weight", "where", "denominator")


def _add(
    kind: str,
    loss: str,
    name: str,
    arrays: tuple[Any, ...],
    note: str,
    parameters: dict[str, Any],
    error: tuple[Raises, str] | None = None,
    value_check: bool = False,
) -> None:
    """File a case; keywords that belong to every loss are its options."""
    dtypes = parameters.pop("dtypes", DTYPES)
    options: dict[str, Any] = {key: parameters.pop(key) for key in _OPTIONS if key in parameters}
    if kind != "error" and options.setdefault("reduction", "none") == "default":
        del options["reduction"]
    if not has_bfloat16:
        dtypes = tuple(dtype for dtype in dtypes if dtype != "bfloat16")
    home = CASES.get(loss, HELPER_CASES.get(loss))
    assert home is not None, loss
    assert name not in {case.name for case in home}, f"two cases {loss}-{name}"
    home.append(Case(loss, name, kind, arrays, parameters, options, dtypes, note, error, value_check))


def sample(loss: str, name: str, *arrays: Any, note: str = "", **parameters: Any) -> None:
    _add("sample", loss, name, arrays, note, parameters)


def edge(loss: str, name: str, *arrays: Any, note: str = "", **parameters: Any) -> None:
    _add("edge", loss, name, arrays, note, parameters)


def refuse(
    loss: str,
    name: str,
    raises: Raises,
    says: str,
    *arrays: Any,
    note: str = "",
    values: bool = False,
    **parameters: Any,
) -> None:
    """Bad input. `values`: only the values tell."""
    _add("error", loss, name, arrays, note, {"dtypes": ("float32",), **parameters}, (raises, says), values)


def floats(*values: Any) -> Floats:
    """``floats(1, 2)`` is a vector, ``floats([1, 2], [3, 4])`` a matrix."""
    return np.asarray(values, dtype=np.float64)


def ids(*values: Any) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)


def mask(*values: Any) -> NDArray[np.bool_]:
    return np.asarray(values, dtype=np.bool_)


def generator(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def normal(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Floats:
    return generator(name).normal(0.0, scale, shape)


def uniform(name: str, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Floats:
    return generator(name).uniform(low, high, shape)


def signs(name: str, shape: tuple[int, ...]) -> Floats:
    return generator(name).choice([-1.0, 1.0], shape)


def bits(name: str, shape: tuple[int, ...]) -> Floats:
    return generator(name).choice([0.0, 1.0], shape)


def classes(name: str, shape: tuple[int, ...], count: int) -> NDArray[np.int64]:
    return generator(name).integers(0, count, shape)


def log_softmax(logits: Floats, axis: int = -1) -> Floats:
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def simplex(name: str, shape: tuple[int, ...], axis: int = -1) -> Floats:
    return np.exp(log_softmax(normal(name, shape, 1.5), axis))


# --------------------------------------------------------------------------------------------------------------------
# What every loss is asked

# Tables: a case is a line or two.
# fmt: off

SHAPES: tuple[tuple[int, ...], ...] = ((7,), (4, 3), (2, 3, 2))
_LAYER = normal("layer", (4, 3))
"""Of a linear layer: the same for most cases, so that their examples can be one call."""


def _base(loss: str, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Ordinary arrays. `shape` is that of the per-example losses; row-wise losses get five classes or features."""
    name = f"{loss}{shape}"
    rows = (*shape, 5)
    match loss:
        case "cross_entropy" | "softmax_focal":
            return normal(name, rows, 2.0), classes(name + "y", shape, 5)
        case "linear_cross_entropy":
            return normal(name, (*shape, 3)), _LAYER, classes(name + "y", shape, 4)
        case "nll":
            return log_softmax(normal(name, rows, 2.0)), classes(name + "y", shape, 5)
        case "kl_divergence":
            return log_softmax(normal(name, rows, 2.0)), simplex(name + "y", rows)
        case "binary_cross_entropy":
            return uniform(name, shape, 0.03, 0.97), uniform(name + "y", shape)
        case "binary_cross_entropy_with_logits" | "sigmoid_focal":
            return normal(name, shape, 3.0), uniform(name + "y", shape)
        case "hinge" | "squared_hinge":
            return normal(name, shape, 1.5), signs(name + "y", shape)
        case "contrastive":
            return uniform(name, shape, 0.0, 2.0), bits(name + "y", shape)
        case "contrastive_embedding":
            x1 = normal(name, rows)
            return x1, x1 + normal(name + "2", rows, 0.4), bits(name + "y", shape)
        case "triplet_margin":
            anchor = normal(name, rows)
            return anchor, anchor + normal(name + "p", rows, 0.7), anchor + normal(name + "n", rows, 0.7)
    return normal(name, shape, 2.0), normal(name + "y", shape, 2.0)


def _damage(arrays: tuple[Any, ...], rows: NDArray[np.bool_]) -> tuple[Any, ...]:
    """NaN and inf in the examples where `rows` is False."""
    damaged = []
    for array in arrays:
        if array.dtype == np.float64 and array.shape[: rows.ndim] == rows.shape:
            array = array.copy()
            array[~rows] = nan
            first = np.flatnonzero(~rows)[0]
            array.reshape(rows.size, -1)[first] = inf
        damaged.append(array)
    return tuple(damaged)


def _everywhere(loss: str) -> None:
    """Reductions, weights and masks, and what is refused whatever the loss is."""
    for shape in SHAPES:
        sample(loss, f"ordinary_{len(shape)}d", *_base(loss, shape))
    vector, matrix = _base(loss, (6,)), _base(loss, (4, 3))
    by_row, by_entry = uniform(loss + "w", (4,), 0.25, 2.0), uniform(loss + "v", (4, 3), 0.25, 2.0)
    keep = mask([True, False, True], [True, True, False], [False, False, False], [True, True, True])

    sample(loss, "default_reduction", *vector, reduction="default")
    sample(loss, "sum", *matrix, reduction="sum")
    sample(loss, "mean_of_matrix", *matrix, reduction="mean", note="trap: over all examples, not over the first axis")
    sample(loss, "weighted_none", *matrix, sample_weight=by_entry)
    sample(loss, "weighted_sum", *matrix, reduction="sum", sample_weight=by_entry)
    sample(loss, "weights_in_mean", *matrix, reduction="mean", sample_weight=by_entry)
    sample(loss, "weighted_mean", *matrix, reduction="weighted_mean", sample_weight=by_entry)
    sample(loss, "weight_per_row", *matrix, reduction="mean", sample_weight=by_row)
    square = _base(loss, (3, 3))
    sample(loss, "weight_per_row_of_square", *square, reduction="sum", sample_weight=floats(1, 2, 4),
           note="trap: trailing broadcasting would weight the columns")
    sample(loss, "masked_mean", *matrix, reduction="mean", where=keep)
    sample(loss, "masked_none", *matrix, where=keep)
    sample(loss, "mask_per_row", *matrix, reduction="mean", where=mask(True, False, True, True))
    sample(loss, "masked_weighted_mean", *matrix, reduction="weighted_mean", where=keep, sample_weight=by_entry)
    sample(loss, "denominator", *matrix, reduction="mean", denominator=32.0)
    sample(loss, "denominator_weighted", *matrix, reduction="weighted_mean", denominator=0.5, sample_weight=by_entry)
    sample(loss, "one_example", *_base(loss, (1,)), reduction="mean")

    edge(loss, "masked_nonfinite", *_damage(matrix, keep), reduction="mean", where=keep,
         note="trap: NaN and inf in masked examples leak through where(mask, f(x), 0)")
    edge(loss, "masked_nonfinite_weighted", *_damage(matrix, keep), reduction="weighted_mean", where=keep,
         sample_weight=by_row)
    edge(loss, "masked_weights_nonfinite", *vector, reduction="mean", where=mask(True, False, True, True, False, True),
         sample_weight=floats(1, nan, 2, 0.5, inf, 3))
    edge(loss, "everything_masked", *matrix, reduction="mean", where=np.zeros((4, 3), dtype=np.bool_))
    edge(loss, "everything_masked_weighted", *vector, reduction="weighted_mean", where=np.zeros(6, dtype=np.bool_),
         sample_weight=floats(1, 2, 3, 4, 5, 6))
    edge(loss, "all_weights_zero", *vector, reduction="weighted_mean", sample_weight=np.zeros(6))
    edge(loss, "all_weights_zero_mean", *vector, reduction="mean", sample_weight=np.zeros(6))
    edge(loss, "some_weights_zero", *vector, reduction="weighted_mean", sample_weight=floats(1, 0, 2, 0, 0, 0.5))
    broken = tuple(array.copy() for array in vector)
    broken[0][2] = nan
    edge(loss, "nan_shows", *broken, note="NaN in an example that counts is never a plausible number")

    # Bad input
    first, *others = matrix
    entry = LOSSES[loss]
    name = entry.arrays[0]
    where, beside = np.ones((4, 3), dtype=np.bool_), entry.own[1]
    second = entry.arrays[beside]

    def instead(array: Any) -> tuple[Any, ...]:
        """The arrays after the first, one of them another: what each example has beside it."""
        return (*others[: beside - 1], array, *others[beside:])

    mismatch = "shape|scalar"
    if entry.rowwise:
        refuse(loss, "rows_missing", ValueError, mismatch, first[:3], *others)
    else:
        column = tuple(array[:4].reshape(4, 1) for array in vector)
        refuse(loss, "column_against_vector", ValueError, mismatch, column[0], *(array[:4] for array in vector[1:]),
               note="trap: (N, 1) against (N,) broadcasts to (N, N)")
        refuse(loss, "vector_against_column", ValueError, mismatch, vector[0][:4], *column[1:])
        refuse(loss, "row_against_matrix", ValueError, mismatch, first, *(array[:1] for array in others))
    if entry.rowwise and entry.axis:
        refuse(loss, "axis_out_of_range", (ValueError, IndexError), "axis", *matrix, axis=3)
        refuse(loss, "axis_not_an_integer", TypeError, "axis", *matrix, axis=1.0)
    else:
        refuse(loss, "no_axis", TypeError, "axis", *matrix, axis=0)
    refuse(loss, "other_length", ValueError, mismatch, first, *instead(matrix[beside][:3]))
    refuse(loss, "integer_prediction", TypeError, name, np.ones(first.shape, dtype=np.int64), *others)
    refuse(loss, "boolean_prediction", TypeError, name, np.ones(first.shape, dtype=np.bool_), *others)
    refuse(loss, "complex_prediction", TypeError, name, first.astype(np.complex128), *others)
    refuse(loss, "complex_target", TypeError, second, first, *instead(matrix[beside].astype(np.complex128)))
    refuse(loss, "list_prediction", TypeError, name, first.tolist(), *others)
    refuse(loss, "list_target", TypeError, second, first, *instead(matrix[beside].tolist()))
    refuse(loss, "none_target", TypeError, second, first, *instead(None))
    if entry.rowwise and entry.axis:
        nothing = (array[..., :0] if array.ndim == first.ndim else array for array in matrix)
        refuse(loss, "rows_of_nothing", ValueError, "entries", *nothing)
    refuse(loss, "unknown_reduction", ValueError, "reduction", *matrix, reduction="average")
    refuse(loss, "reduction_not_a_name", (ValueError, TypeError), "reduction", *matrix, reduction=None)
    refuse(loss, "unknown_keyword", TypeError, "epsilon", *matrix, epsilon=1e-7)
    refuse(loss, "argument_missing", TypeError, second, *matrix[:beside])
    refuse(loss, "weight_along_the_wrong_axis", ValueError, "sample_weight", *matrix, sample_weight=floats(1, 2, 3),
           note="trap: shape (3,) would weight the columns of (4, 3)")
    refuse(loss, "weight_with_length_one", ValueError, "sample_weight", *matrix, sample_weight=np.ones((4, 1)))
    refuse(loss, "weight_with_an_axis_more", ValueError, "sample_weight", *vector, sample_weight=np.ones((6, 2)))
    refuse(loss, "weight_is_a_list", TypeError, "sample_weight", *vector, sample_weight=[1.0] * 6)
    refuse(loss, "weight_nan", ValueError, "sample_weight", *vector, sample_weight=floats(1, 1, nan, 1, 1, 1),
           values=True)
    refuse(loss, "weight_complex", TypeError, "sample_weight", *vector, sample_weight=np.ones(6, dtype=np.complex128))
    refuse(loss, "mask_along_the_wrong_axis", ValueError, "where", *matrix, where=mask(True, False, True))
    refuse(loss, "mask_of_numbers", TypeError, "where", *matrix, where=where.astype(np.float64))
    refuse(loss, "denominator_per_example", ValueError, "denominator", *vector, denominator=np.ones(6))
    refuse(loss, "denominator_of_a_sum", ValueError, "denominator", *vector, reduction="sum", denominator=2.0)


for _loss in LOSSES:
    _everywhere(_loss)

# --------------------------------------------------------------------------------------------------------------------
# Regression

for _loss in ("mse", "l1", "huber", "smooth_l1", "log_cosh"):
    edge(_loss, "perfect", floats(0, 1, -2.5, 1e4), floats(0, 1, -2.5, 1e4),
         note="trap: derivative of abs at 0 (JAX 1), of a root at 0 (NaN)")
    edge(_loss, "infinite_prediction", floats(inf, -inf, 1), floats(0, 0, inf))
    edge(_loss, "close_to_target", floats(1, 1 + 2**-7, -3), floats(1 + 2**-7, 1, -3 - 2**-6))
    edge(_loss, "huge", floats(1e18, -1e18, 3e18), floats(0, 1e18, 2e18), dtypes=WIDE)
    edge(_loss, "tiny", floats(1e-15, -3e-15, 0), floats(0, 1e-15, 2e-15), dtypes=WIDE)
    edge(_loss, "tiny_double", floats(1e-130, -3e-130, 0), floats(0, 1e-130, 2e-130), dtypes=DOUBLE)
    edge(_loss, "float64_mean", 0.1 + 1e-9 * np.arange(8.0), np.zeros(8), dtypes=DOUBLE, reduction="mean",
         note="A14: float64 averaged in float32")

edge("l1", "mean_of_70000_ones", np.ones(70_000), np.zeros(70_000), reduction="mean", note="A1: NaN in float16")
edge("l1", "mean_of_1000_times_200", np.full(1000, 200.0), np.zeros(1000), reduction="mean", note="A1: inf in float16")
edge("l1", "mean_of_64_times_40000", np.full(64, 40_000.0), np.zeros(64), reduction="mean", note="A1: inf in float16")
edge("l1", "mean_of_100000_uniform", np.tile(np.arange(250.0) / 256, 400), np.zeros(100_000), reduction="mean",
     note="A1: 0 in float16")
edge("l1", "mean_of_4096_ones", np.ones(4096), np.zeros(4096), reduction="mean", note="a bfloat16 sum stops at 256")
edge("l1", "mean_of_262144_tenths", np.full(262_144, 0.1), np.zeros(262_144), dtypes=SINGLE, reduction="mean",
     note="A2: a sequential float32 sum is off by 1e-4 already")
edge("l1", "mean_far_from_zero", 1e4 + np.tile(np.arange(256.0) / 256, 256), np.zeros(65_536), dtypes=SINGLE,
     reduction="mean", note="A2")
edge("l1", "mean_of_one_giant", np.concatenate([floats(1e8), np.ones(65_535)]), np.zeros(65_536), dtypes=SINGLE,
     reduction="mean")
edge("mse", "mean_of_70000_ones", np.ones(70_000), np.zeros(70_000), reduction="mean", note="A1: NaN in float16")

sample("mse", "no_half", floats(2, 0, -3), floats(0, 2, 1), note="trap: e², not e²/2")
edge("mse", "overflow", floats(1e25, -300), floats(0, 0), dtypes=WIDE, note="inf in float32")
edge("mse", "overflow_half", floats(300, -200), floats(0, 0), dtypes=("float16",))
edge("mse", "infinite_scale_double", floats(1e200, 1e150), floats(0, 0), dtypes=DOUBLE)

for _delta in (0.25, 1.0, 2.0):
    sample("huber", f"delta_{_delta:g}", *_base("huber", (4, 3)), delta=_delta, reduction="mean")
sample("huber", "delta_integer", *_base("huber", (4, 3)), delta=2, reduction="mean")
sample("huber", "delta_1.345", *_base("huber", (4, 3)), delta=1.345, reduction="mean",
       note="the constant for Gaussian residuals")
sample("huber", "known_values", floats(-3, -3, 0.5), floats(0, 0, 0), delta=2.0,
       note="trap: smooth_l1(beta) is huber(beta)/beta; 4.0 here, not 2.0")
sample("huber", "delta_per_column", *_base("huber", (4, 3)), delta=floats(0.25, 1, 2),
       note="an array matches the last axes")
edge("huber", "at_delta", floats(1, -1, 1.5), floats(0, 0, 0.5), note="no kink")
edge("huber", "tiny_residual", floats(1e-4, 1e-7, -1e-7, 6e-8), np.zeros(4), note="A9: gradient eps·delta off or 0")
edge("huber", "tiny_residual_wide", floats(1e-8, -1e-12, 1e-15), np.zeros(3), dtypes=WIDE, note="A9")
edge("huber", "beyond_half_of_the_largest", floats(2e38, -3e38), np.zeros(2), dtypes=WIDE,
     note="B5: gradient NaN from 1.7e38 on")
edge("huber", "beyond_half_of_the_largest_half", floats(40_000, -60_000), np.zeros(2), note="B5")
edge("huber", "huge_delta", floats(1e20, -1e10, 1e25), np.zeros(3), delta=2.0**60, dtypes=SINGLE)
for _bad in (0.0, -1.0, nan):
    refuse("huber", f"delta_{_bad:g}", ValueError, "delta", *_base("huber", (6,)), delta=_bad)
refuse("huber", "delta_a_name", TypeError, "delta", *_base("huber", (6,)), delta="1")

for _beta in (0.25, 1.0, 2.0, 0.0):
    sample("smooth_l1", f"beta_{_beta:g}", *_base("smooth_l1", (4, 3)), beta=_beta, reduction="mean")
sample("smooth_l1", "known_values", floats(-3, -3, 0.5), floats(0, 0, 0), beta=2.0,
       note="trap: 2.0, where huber is 4.0")
sample("smooth_l1", "beta_per_column", *_base("smooth_l1", (4, 3)), beta=floats(0, 1, 2))
edge("smooth_l1", "beta_zero_at_zero", floats(0, 1, -1), floats(0, 1, 0), beta=0.0, note="L1: 0 at the kink")
edge("smooth_l1", "at_beta", floats(0.5, -0.5), floats(0, 0), beta=0.5, note="no kink")
edge("smooth_l1", "square_overflows", floats(1e25, -1e26, 1e28), np.zeros(3), beta=2.0**90, dtypes=SINGLE,
     note="B3: inf")
edge("smooth_l1", "square_underflows", floats(2.0**-101, -(2.0**-102), 2.0**-99), np.zeros(3), beta=2.0**-100,
     dtypes=SINGLE, note="B3: 0")
for _bad in (-1.0, nan):
    refuse("smooth_l1", f"beta_{_bad:g}", ValueError, "beta", *_base("smooth_l1", (6,)), beta=_bad)

edge("log_cosh", "small", floats(1e-3, 3e-4, -1e-4, 6e-8), np.zeros(4), note="A10: 0, or negative, below 1e-3.5")
edge("log_cosh", "small_wide", floats(1.8e-8, -1e-8, 1e-12), np.zeros(3), dtypes=WIDE, note="A10")
edge("log_cosh", "around_one", floats(0.999, 1, 1.001, -1, 0.5), np.zeros(5))
edge("log_cosh", "large", floats(89, 90, -100, 1000, -1e4), np.zeros(5), note="trap: log(cosh(90)) is inf in float32")

# --------------------------------------------------------------------------------------------------------------------
# Robust regression

for _c, _scale in ((4.685, 1.0), (2.0, 1.0), (4.0, 0.5), (1.5, 2.0)):
    sample("tukey_biweight", f"c_{_c:g}_scale_{_scale:g}", *_base("tukey_biweight", (4, 3)), c=_c, scale=_scale,
           reduction="mean")
sample("tukey_biweight", "mad", *_base("tukey_biweight", (7,)), scale="mad", reduction="mean")
sample("tukey_biweight", "mad_of_even_count", *_base("tukey_biweight", (2, 3, 2)), scale="mad",
       note="the median of an even count is the mean of the middle two")
sample("tukey_biweight", "mad_masked", *_damage(_base("tukey_biweight", (7,)), mask(*[True] * 5, False, False)),
       scale="mad", where=mask(*[True] * 5, False, False), reduction="mean",
       note="the scale of the unmasked residuals alone")
sample("tukey_biweight", "mad_with_outliers", floats(0.1, -0.2, 0.3, 0.5, -0.4, 1000, -80), np.zeros(7), scale="mad")
sample("tukey_biweight", "mad_is_not_changed_by_weights", *_base("tukey_biweight", (6,)), scale="mad",
       sample_weight=floats(1, 2, 0.5, 4, 1, 1), c=3.0, reduction="mean")
sample("tukey_biweight", "c_and_scale_per_column", *_base("tukey_biweight", (4, 3)), c=floats(2, 4, 5),
       scale=floats(1, 0.5, 2))
edge("tukey_biweight", "saturated", floats(6, -6, 100, 1e4), np.zeros(4),
     note="trap: beyond c the gradient is 0 and the value c²/6 = 3.658204")
edge("tukey_biweight", "saturated_wide", floats(1e20, -3e38), np.zeros(2), dtypes=WIDE)
edge("tukey_biweight", "at_c", floats(2, -2, 1.9921875, 2.015625), np.zeros(4), c=2.0, note="no kink")
edge("tukey_biweight", "perfect", floats(0, 1), floats(0, 1))
edge("tukey_biweight", "infinite_prediction", floats(inf, -inf, 1), floats(0, 0, inf))
edge("tukey_biweight", "tiny", floats(1e-3, -1e-4, 6e-8), np.zeros(3), note="trap: 1 - (1 - u²)³ cancels")
edge("tukey_biweight", "tiny_wide", floats(1e-8, -1e-15), np.zeros(2), dtypes=WIDE)
edge("tukey_biweight", "tiny_scale", floats(1e-12, 2e-12, -1e-11), np.zeros(3), scale=2.0**-40, dtypes=WIDE)
edge("tukey_biweight", "huge_scale", floats(1e12, 2e12, -1e13), np.zeros(3), scale=2.0**40, dtypes=WIDE)
edge("tukey_biweight", "mad_zero", floats(1, 1, 1, 2, 1), floats(1, 1, 1, 1, 1), scale="mad",
     note="most residuals equal: the limit, 0 at a residual of 0 and c²/6 elsewhere")
edge("tukey_biweight", "mad_of_one", floats(3), floats(1), scale="mad")
edge("tukey_biweight", "mad_everything_masked", *_base("tukey_biweight", (4,)), scale="mad", where=mask(*[False] * 4),
     reduction="mean")
for _bad in (0.0, -1.0):
    refuse("tukey_biweight", f"c_{_bad:g}", ValueError, r"\bc\b", *_base("tukey_biweight", (6,)), c=_bad)
    refuse("tukey_biweight", f"scale_{_bad:g}", ValueError, "scale", *_base("tukey_biweight", (6,)), scale=_bad)
refuse("tukey_biweight", "scale_unknown", ValueError, "scale", *_base("tukey_biweight", (6,)), scale="std")

# --------------------------------------------------------------------------------------------------------------------
# Classes: cross entropy, negative log-likelihood, softmax focal loss

_LOGITS = normal("logits", (6, 4), 2.0)
_IDS = ids(0, 3, 1, 2, 3, 1)
_SOFT = simplex("soft", (6, 4))
_CLASS_WEIGHT = floats(0.5, 2, 1, 3)
_CUBE = normal("cube", (2, 4, 3), 2.0)
_CUBE_IDS = classes("cube", (2, 3), 4)
_CUBE_SOFT = simplex("cube", (2, 4, 3), axis=1)

for _loss in ("cross_entropy", "nll", "softmax_focal"):
    _log = log_softmax if _loss == "nll" else lambda logits, axis=-1: logits
    _rows, _cube = _log(_LOGITS), _log(_CUBE, 1)
    sample(_loss, "one_row", _rows[0], np.asarray(2), note="a single row: ids have no axis left")
    sample(_loss, "one_row_probabilities", _rows[0], _SOFT[0])
    sample(_loss, "class_axis_1", _cube, _CUBE_IDS, axis=1)
    sample(_loss, "class_axis_0", np.ascontiguousarray(_rows.T), _IDS, axis=0, reduction="mean")
    sample(_loss, "class_axis_-2", _cube, _CUBE_IDS, axis=-2, reduction="mean")
    sample(_loss, "probabilities", _rows, _SOFT)
    sample(_loss, "probabilities_axis_1", _cube, _CUBE_SOFT, axis=1)
    sample(_loss, "probabilities_one_hot", _rows, np.eye(4)[_IDS], note="equals class ids")
    sample(_loss, "probabilities_not_normalised", _rows, 0.5 * _SOFT)
    sample(_loss, "ignore_index", _rows, ids(0, -100, 1, -100, 3, 1), ignore_index=-100, reduction="mean")
    sample(_loss, "ignore_index_none_reduction", _rows, ids(0, -100, 1, -100, 3, 1), ignore_index=-100)
    sample(_loss, "ignore_index_is_a_class", _rows, _IDS, ignore_index=3, reduction="mean",
           note="trap: the class stays in the softmax")
    sample(_loss, "ignore_index_with_mask", _rows, ids(0, -1, 1, 2, 3, 1), ignore_index=-1, reduction="weighted_mean",
           where=mask(True, True, False, True, True, True), sample_weight=floats(1, 8, 2, 0.5, 1, 3))
    edge(_loss, "ignore_index_everywhere", _rows, np.full(6, -1), ignore_index=-1, reduction="mean",
         note="mean 0, not NaN")
    edge(_loss, "ignore_index_everywhere_weighted", _rows, np.full(6, 7), ignore_index=7, reduction="weighted_mean")
    edge(_loss, "ignored_nonfinite",
         *_damage((_rows, ids(0, -1, 1, -1, 3, 1)), mask(True, False, True, False, True, True)), ignore_index=-1,
         reduction="mean", note="C: NaN logits of an ignored row leak into the gradient")
    edge(_loss, "one_class", np.zeros((3, 1)), np.zeros(3, dtype=np.int64))
    edge(_loss, "int32_ids", _rows, _IDS.astype(np.int32), reduction="mean")
    edge(_loss, "uint8_ids", _rows, _IDS.astype(np.uint8), reduction="mean")

    refuse(_loss, "label_too_large", ValueError, "target", _rows, ids(0, 4, 1, 2, 3, 1), values=True,
           note="C: NaN value with a finite gradient; or silently 0")
    refuse(_loss, "label_minus_one", ValueError, "target", _rows, ids(0, -1, 1, 2, 3, 1), values=True,
           note="trap: wraps to the last class, or is ignored but counted")
    refuse(_loss, "label_minus_100", ValueError, "target", _rows, ids(0, -100, 1, 2, 3, 1), values=True)
    refuse(_loss, "label_not_ignored", ValueError, "target", _rows, ids(0, -1, 1, 2, 3, 1), ignore_index=-100,
           values=True)
    refuse(_loss, "float_ids", TypeError, "target", _rows, _IDS.astype(np.float64),
           note="trap: ids in a float dtype are corrupted above 256 (bfloat16)")
    refuse(_loss, "ids_in_a_column", ValueError, "target", _rows, _IDS.reshape(6, 1))
    refuse(_loss, "ids_one_for_all", ValueError, "target", _rows, ids(1))
    refuse(_loss, "one_hot_integers", ValueError, "target", _rows, np.eye(4, dtype=np.int64)[_IDS])
    refuse(_loss, "probabilities_too_large", ValueError, "target", _rows, 2 * _SOFT, values=True)
    refuse(_loss, "probabilities_negative", ValueError, "target", _rows, -_SOFT, values=True)
    refuse(_loss, "probabilities_one_row", ValueError, "target", _rows, _SOFT[:1])
    refuse(_loss, "probabilities_of_fewer_classes", ValueError, "target", _rows, _SOFT[:, :3])
    refuse(_loss, "ignore_index_with_probabilities", ValueError, "ignore_index", _rows, _SOFT, ignore_index=0)

for _loss in ("cross_entropy", "nll"):
    _log = log_softmax if _loss == "nll" else lambda logits, axis=-1: logits
    _rows, _cube = _log(_LOGITS), _log(_CUBE, 1)
    for _reduction in ("none", "mean", "weighted_mean"):
        sample(_loss, f"class_weight_{_reduction}", _rows, _IDS, class_weight=_CLASS_WEIGHT, reduction=_reduction,
               note="trap: the mean over rows or over weights; here each has its name")
        sample(_loss, f"class_weight_probabilities_{_reduction}", _rows, _SOFT, class_weight=_CLASS_WEIGHT,
               reduction=_reduction)
        sample(_loss, f"class_weight_smoothing_{_reduction}", _rows, _IDS, class_weight=_CLASS_WEIGHT,
               label_smoothing=0.25, reduction=_reduction,
               note="trap: the smoothing mass of each class has that class's weight")
    sample(_loss, "class_weight_and_sample_weight", _cube, _CUBE_IDS, axis=1, class_weight=_CLASS_WEIGHT,
           reduction="weighted_mean", sample_weight=floats([1, 2, 0.5], [0, 3, 1]))
    sample(_loss, "class_weight_ignore_index", _rows, ids(0, -1, 1, 2, -1, 1), class_weight=_CLASS_WEIGHT,
           ignore_index=-1, reduction="weighted_mean")
    sample(_loss, "class_weight_axis_1_probabilities", _cube, _CUBE_SOFT, axis=1, class_weight=_CLASS_WEIGHT)
    sample(_loss, "label_smoothing", _rows, _IDS, label_smoothing=0.125, note="trap: eps/K over all classes")
    sample(_loss, "label_smoothing_0.1", _rows, _IDS, label_smoothing=0.1, reduction="mean")
    sample(_loss, "label_smoothing_one", _rows, _IDS, label_smoothing=1.0)
    sample(_loss, "label_smoothing_probabilities", _rows, _SOFT, label_smoothing=0.25)
    sample(_loss, "label_smoothing_axis_1", _cube, _CUBE_IDS, axis=1, label_smoothing=0.25,
           note="K is the number of classes, not the length of the last axis")
    sample(_loss, "label_smoothing_ignore_index", _rows, ids(0, -1, 1, 2, -1, 1), label_smoothing=0.25,
           ignore_index=-1, reduction="mean")
    edge(_loss, "class_weight_zero", _rows, _IDS, class_weight=np.zeros(4), reduction="weighted_mean",
         note="weights that sum to zero: 0, not NaN")
    edge(_loss, "class_weight_zero_for_some", _rows, _IDS, class_weight=floats(0, 1, 0, 2), reduction="weighted_mean")
    refuse(_loss, "class_weight_too_short", ValueError, "class_weight", _rows, _IDS, class_weight=np.ones(3))
    refuse(_loss, "class_weight_per_entry", ValueError, "class_weight", _rows, _IDS, class_weight=np.ones((2, 4)))
    refuse(_loss, "class_weight_list", TypeError, "class_weight", _rows, _IDS, class_weight=[1.0, 1.0, 1.0, 1.0])
    refuse(_loss, "class_weight_negative", ValueError, "class_weight", _rows, _IDS, class_weight=floats(1, -1, 1, 1),
           values=True)
    refuse(_loss, "class_weight_nan", ValueError, "class_weight", _rows, _IDS, class_weight=floats(1, nan, 1, 1),
           values=True)
    refuse(_loss, "label_smoothing_negative", ValueError, "label_smoothing", _rows, _IDS, label_smoothing=-0.1)
    refuse(_loss, "label_smoothing_above_one", ValueError, "label_smoothing", _rows, _IDS, label_smoothing=1.5)

refuse("nll", "logits_by_mistake", ValueError, "log_probabilities", 5 + _LOGITS, _IDS, values=True,
       note="trap: the built-in takes them for log-probabilities, and the loss is negative")
refuse("nll", "logits_by_mistake_with_probabilities", ValueError, "log_probabilities", _LOGITS, _SOFT, values=True)
refuse("nll", "logits_by_mistake_axis_1", ValueError, "log_probabilities", 5 + _CUBE, _CUBE_IDS, axis=1, values=True)

_LINEAR = "linear_cross_entropy"
_HIDDEN, _BIAS = normal("hidden", (6, 3)), normal("bias", (4,))

for _reduction in ("none", "mean", "weighted_mean"):
    sample(_LINEAR, f"class_weight_{_reduction}", _HIDDEN, _LAYER, _IDS, class_weight=_CLASS_WEIGHT,
           reduction=_reduction)
    sample(_LINEAR, f"class_weight_probabilities_{_reduction}", _HIDDEN, _LAYER, _SOFT, class_weight=_CLASS_WEIGHT,
           reduction=_reduction)
    sample(_LINEAR, f"bias_{_reduction}", _HIDDEN, _LAYER, _IDS, bias=_BIAS, reduction=_reduction)
sample(_LINEAR, "one_row", _HIDDEN[0], _LAYER, np.asarray(2), note="a single token: ids have no axis left")
sample(_LINEAR, "one_row_probabilities", _HIDDEN[0], _LAYER, _SOFT[0])
sample(_LINEAR, "as_many_features_as_classes", _HIDDEN, _LAYER[:3], simplex("soft 3", (6, 3)),
       note="trap: the matrix is not transposed")
sample(_LINEAR, "many_features", normal("features", (4, 64)), normal("features layer", (4, 64)) / 4, ids(0, 3, 1, 2),
       note="the bound is on the products: their sum may cancel")
sample(_LINEAR, "probabilities", _HIDDEN, _LAYER, _SOFT)
sample(_LINEAR, "probabilities_bias", _HIDDEN, _LAYER, _SOFT, bias=_BIAS)
sample(_LINEAR, "probabilities_one_hot", _HIDDEN, _LAYER, np.eye(4)[_IDS], note="equals class ids")
sample(_LINEAR, "probabilities_not_normalised", _HIDDEN, _LAYER, 0.5 * _SOFT)
sample(_LINEAR, "ignore_index", _HIDDEN, _LAYER, ids(0, -100, 1, -100, 3, 1), ignore_index=-100, reduction="mean")
sample(_LINEAR, "ignore_index_none_reduction", _HIDDEN, _LAYER, ids(0, -100, 1, -100, 3, 1), ignore_index=-100)
sample(_LINEAR, "ignore_index_is_a_class", _HIDDEN, _LAYER, _IDS, ignore_index=3, reduction="mean",
       note="trap: the class stays in the softmax")
sample(_LINEAR, "ignore_index_with_mask", _HIDDEN, _LAYER, ids(0, -1, 1, 2, 3, 1), ignore_index=-1,
       reduction="weighted_mean", where=mask(True, True, False, True, True, True),
       sample_weight=floats(1, 8, 2, 0.5, 1, 3))
sample(_LINEAR, "label_smoothing", _HIDDEN, _LAYER, _IDS, label_smoothing=0.125)
sample(_LINEAR, "label_smoothing_0.1", _HIDDEN, _LAYER, _IDS, label_smoothing=0.1, reduction="mean")
sample(_LINEAR, "label_smoothing_probabilities", _HIDDEN, _LAYER, _SOFT, label_smoothing=0.25)
sample(_LINEAR, "class_weight_smoothing", _HIDDEN, _LAYER, _IDS, class_weight=_CLASS_WEIGHT, label_smoothing=0.25,
       reduction="weighted_mean")
sample(_LINEAR, "z_loss", _HIDDEN, _LAYER, _IDS, z_loss=0.25)
sample(_LINEAR, "z_loss_small", _HIDDEN, _LAYER, _IDS, z_loss=1e-4, reduction="mean")
sample(_LINEAR, "logit_softcap", _HIDDEN, _LAYER, _IDS, logit_softcap=1.5)
sample(_LINEAR, "logit_softcap_z_loss_probabilities", _HIDDEN, _LAYER, _SOFT, logit_softcap=2.0, z_loss=0.25)
sample(_LINEAR, "everything", _HIDDEN, _LAYER, ids(0, -1, 1, 2, 3, 1), bias=_BIAS, class_weight=_CLASS_WEIGHT,
       ignore_index=-1, label_smoothing=0.25, z_loss=0.125, logit_softcap=2.0, reduction="weighted_mean",
       sample_weight=floats(1, 8, 2, 0.5, 1, 3), where=mask(True, True, False, True, True, True),
       note="trap: class weights have no part in the z-loss")
edge(_LINEAR, "ignore_index_everywhere", _HIDDEN, _LAYER, np.full(6, -1), ignore_index=-1, reduction="mean",
     note="mean 0, not NaN")
edge(_LINEAR, "ignore_index_everywhere_weighted", _HIDDEN, _LAYER, np.full(6, 7), ignore_index=7,
     reduction="weighted_mean")
edge(_LINEAR, "ignored_nonfinite",
     *_damage((_HIDDEN, _LAYER, ids(0, -1, 1, -1, 3, 1)), mask(True, False, True, False, True, True)), ignore_index=-1,
     reduction="mean", note="NaN in an ignored token leaks into the gradient of the layer")
edge(_LINEAR, "one_class", _HIDDEN[:3], _LAYER[:1], np.zeros(3, dtype=np.int64))
edge(_LINEAR, "int32_ids", _HIDDEN, _LAYER, _IDS.astype(np.int32), reduction="mean")
edge(_LINEAR, "uint8_ids", _HIDDEN, _LAYER, _IDS.astype(np.uint8), reduction="mean")
edge(_LINEAR, "class_weight_zero", _HIDDEN, _LAYER, _IDS, class_weight=np.zeros(4), reduction="weighted_mean")
edge(_LINEAR, "class_weight_zero_for_some", _HIDDEN, _LAYER, _IDS, class_weight=floats(0, 1, 0, 2),
     reduction="weighted_mean")
_FEW = floats([1, 0], [0, 1], [-1, -1])
edge(_LINEAR, "zero_hidden", floats([0, 0], [-0.0, 0.0]), _FEW, ids(0, 2), note="equal logits; zero-initialised")
edge(_LINEAR, "zero_layer", normal("any", (3, 2)), np.zeros((3, 2)), ids(0, 1, 2), note="zero-initialised heads")
edge(_LINEAR, "extreme_logits", floats([1e4, 0], [-1e4, 0], [0, 1e4], [-5e3, -5e3], [1e4, 1e4]), _FEW,
     ids(0, 1, 0, 2, 1), note="saturated, right and wrong")
edge(_LINEAR, "confident", floats([17, 0], [50, -20], [0, 9], [-15, -20]), _FEW, ids(0, 0, 1, 2),
     note="A7: the loss of a confident row cancels")
edge(_LINEAR, "confidently_wrong", floats([17, 0], [100, 0], [0, 1000]), _FEW, ids(1, 2, 0))
edge(_LINEAR, "confident_one_hot", floats([17, 0], [50, -20], [0, 9]), _FEW, np.eye(3)[ids(0, 0, 1)])
edge(_LINEAR, "matching_soft", np.log2(floats([1, 2], [8, 1])), floats([1, 0], [0, 1], [0.5, 0.5]),
     floats([0.25, 0.5, 0.25], [0.5, 0.125, 0.375]), note="the gradient cancels where the prediction is nearly right")
edge(_LINEAR, "cancelling_products", floats([300.25, 300], [-1000, 1000.5]), floats([1, -1], [0.5, -0.5], [1, 1]),
     ids(0, 1), note="logits that are small differences of large products")
edge(_LINEAR, "huge", floats([1e20, 0], [3e38, 1e38]), floats([1, 0], [0.5, 0], [-0.5, 0.25]), ids(0, 1), dtypes=WIDE)
edge(_LINEAR, "tiny", floats([1e-20, 0], [1e-38, 0]), floats([1, 0], [0, 1], [-1, 0.5]), ids(0, 1), dtypes=WIDE)
edge(_LINEAR, "infinite_hidden", floats([inf, 0], [1, 0]), floats([1, 2], [-1, 2], [-2, 1]), ids(0, 1),
     note="the limit of the loss: 0; that of the layer's gradient is asked of nobody")
edge(_LINEAR, "infinite_hidden_wrong", floats([inf, 0], [1, 0]), floats([1, 2], [-1, 2], [-2, 1]), ids(1, 1),
     note="a loss of +inf")
edge(_LINEAR, "bias_masks_a_class", floats([1, 0.5], [-2, 0.25], [0, 3]), _FEW, ids(0, 1, 1),
     bias=floats(0.5, 0, -inf))
edge(_LINEAR, "bias_masks_a_class_smoothing", floats([1, 0.5], [-2, 0.25], [0, 3]), _FEW, ids(0, 1, 1),
     bias=floats(0.5, 0, -inf), label_smoothing=0.25, note="K counts the classes that are not masked")
edge(_LINEAR, "bias_masks_a_class_soft", floats([1, 0.5], [-2, 0.25]), _FEW, floats([0.25, 0.75, 0], [0, 1, 0]),
     bias=floats(0.5, 0, -inf), note="trap: 0·(-inf)")
edge(_LINEAR, "bias_masks_the_target", floats([1, 0.5], [-2, 0.25]), _FEW, ids(2, 0), bias=floats(0.5, 0, -inf),
     note="a loss of +inf")
edge(_LINEAR, "large_bias", floats([1, 0.5], [-2, 0.25]), _FEW, ids(0, 2), bias=floats(1e4, 1e4, 1e4 - 8))
edge(_LINEAR, "z_loss_large_norm", floats([1e4, 0], [-1e4, 0], [0, 30]), _FEW, ids(0, 1, 2), z_loss=2.0**-10)
edge(_LINEAR, "z_loss_no_norm", floats([0, 0], [0.5, -0.5]), _FEW, ids(0, 1), z_loss=1.0,
     bias=np.full(3, -np.log(3.0)), note="the norm itself cancels")
edge(_LINEAR, "softcap_large_logits", floats([1e4, 0], [-1e4, 0], [60, -60], [0, 1e4]), _FEW, ids(0, 1, 2, 1),
     logit_softcap=30.0, note="trap: 1 - tanh² cancels")
edge(_LINEAR, "softcap_small_logits", floats([1e-3, 0], [3e-4, -1e-4]), _FEW, ids(0, 1), logit_softcap=50.0)
edge(_LINEAR, "softcap_and_z_loss", floats([100, 0], [-3, 2], [0, 60]), _FEW, ids(0, 1, 2), logit_softcap=4.0,
     z_loss=0.5)
edge(_LINEAR, "softcap_masked_class", floats([1, 0.5], [-2, 0.25]), _FEW, ids(0, 1), bias=floats(0.5, 0, -inf),
     logit_softcap=4.0, note="no mask any more: its logit is the cap's")
_ORDER = classes("order", (1000,), 40)
edge(_LINEAR, "mean_of_1000_tokens", normal("tokens", (40, 3))[_ORDER], _LAYER, classes("tokens", (40,), 4)[_ORDER],
     reduction="mean", note="the gradient of the layer is a sum of many")
edge(_LINEAR, "mean_of_70000_rows", np.zeros((70_000, 1)), floats([1], [-1]), np.zeros(70_000, dtype=np.int64),
     dtypes=("float16",), reduction="mean", note="A1")

refuse(_LINEAR, "label_too_large", ValueError, "target", _HIDDEN, _LAYER, ids(0, 4, 1, 2, 3, 1), values=True)
refuse(_LINEAR, "label_minus_one", ValueError, "target", _HIDDEN, _LAYER, ids(0, -1, 1, 2, 3, 1), values=True)
refuse(_LINEAR, "label_minus_100", ValueError, "target", _HIDDEN, _LAYER, ids(0, -100, 1, 2, 3, 1), values=True)
refuse(_LINEAR, "label_not_ignored", ValueError, "target", _HIDDEN, _LAYER, ids(0, -1, 1, 2, 3, 1), ignore_index=-100,
       values=True)
refuse(_LINEAR, "float_ids", TypeError, "target", _HIDDEN, _LAYER, _IDS.astype(np.float64))
refuse(_LINEAR, "ids_in_a_column", ValueError, "target", _HIDDEN, _LAYER, _IDS.reshape(6, 1))
refuse(_LINEAR, "ids_one_for_all", ValueError, "target", _HIDDEN, _LAYER, ids(1))
refuse(_LINEAR, "one_hot_integers", ValueError, "target", _HIDDEN, _LAYER, np.eye(4, dtype=np.int64)[_IDS])
refuse(_LINEAR, "probabilities_too_large", ValueError, "target", _HIDDEN, _LAYER, 2 * _SOFT, values=True)
refuse(_LINEAR, "probabilities_negative", ValueError, "target", _HIDDEN, _LAYER, -_SOFT, values=True)
refuse(_LINEAR, "probabilities_one_row", ValueError, "target", _HIDDEN, _LAYER, _SOFT[:1])
refuse(_LINEAR, "probabilities_of_fewer_classes", ValueError, "target", _HIDDEN, _LAYER, _SOFT[:, :3])
refuse(_LINEAR, "ignore_index_with_probabilities", ValueError, "ignore_index", _HIDDEN, _LAYER, _SOFT, ignore_index=0)
refuse(_LINEAR, "other_hidden_size", ValueError, "weight", _HIDDEN, _LAYER[:, :2], _IDS)
refuse(_LINEAR, "layer_transposed", ValueError, "weight", _HIDDEN, _LAYER.T.copy(), _IDS)
refuse(_LINEAR, "layer_of_one_class_a_vector", ValueError, "weight", _HIDDEN, _LAYER[0], np.zeros(6, dtype=np.int64))
refuse(_LINEAR, "hidden_without_features", ValueError, "hidden", np.asarray(1.0), _LAYER, _IDS)
refuse(_LINEAR, "no_classes", ValueError, "entries", _HIDDEN, _LAYER[:0], _IDS)
refuse(_LINEAR, "no_features", ValueError, "entries", _HIDDEN[:, :0], _LAYER[:, :0], _IDS)
refuse(_LINEAR, "integer_layer", TypeError, "weight", _HIDDEN, np.ones((4, 3), dtype=np.int64), _IDS)
refuse(_LINEAR, "layer_is_a_list", TypeError, "weight", _HIDDEN, _LAYER.tolist(), _IDS)
refuse(_LINEAR, "bias_too_short", ValueError, "bias", _HIDDEN, _LAYER, _IDS, bias=_BIAS[:3])
refuse(_LINEAR, "bias_per_token", ValueError, "bias", _HIDDEN, _LAYER, _IDS, bias=np.ones((6, 4)))
refuse(_LINEAR, "bias_a_number", TypeError, "bias", _HIDDEN, _LAYER, _IDS, bias=1.0)
refuse(_LINEAR, "bias_of_integers", TypeError, "bias", _HIDDEN, _LAYER, _IDS, bias=ids(0, 1, 2, 3))
refuse(_LINEAR, "class_weight_too_short", ValueError, "class_weight", _HIDDEN, _LAYER, _IDS, class_weight=np.ones(3))
refuse(_LINEAR, "class_weight_per_entry", ValueError, "class_weight", _HIDDEN, _LAYER, _IDS,
       class_weight=np.ones((2, 4)))
refuse(_LINEAR, "class_weight_negative", ValueError, "class_weight", _HIDDEN, _LAYER, _IDS,
       class_weight=floats(1, -1, 1, 1), values=True)
for _parameter, _bad in (("label_smoothing", -0.1), ("label_smoothing", 1.5), ("z_loss", -1.0), ("z_loss", nan),
                         ("logit_softcap", 0.0), ("logit_softcap", -2.0), ("logit_softcap", nan)):
    _wrong: dict[str, Any] = {_parameter: _bad}
    refuse(_LINEAR, f"{_parameter}_{_bad:g}", ValueError, _parameter, _HIDDEN, _LAYER, _IDS, **_wrong)
for _parameter in ("label_smoothing", "z_loss", "logit_softcap"):
    _wrong = {_parameter: np.ones(4)}
    refuse(_LINEAR, f"{_parameter}_per_class", ValueError, _parameter, _HIDDEN, _LAYER, _IDS, **_wrong)


def _margins(*margins: float) -> Floats:
    """Two logits each, the first ahead by a margin."""
    return np.stack([floats(*margins), np.zeros(len(margins))], axis=1)


for _loss in ("cross_entropy", "softmax_focal"):
    edge(_loss, "two_class_margin", _margins(1, 10, 15, 17, 20, 50), np.zeros(6, dtype=np.int64),
         note="A7: 0 from a margin of 17 on")
    edge(_loss, "two_class_margin_wide", _margins(30, 60, 80, 85), np.zeros(4, dtype=np.int64), dtypes=WIDE, note="A7")
    edge(_loss, "two_class_margin_double", _margins(100, 300), np.zeros(2, dtype=np.int64), dtypes=DOUBLE, note="A7")
    edge(_loss, "confidently_wrong", _margins(10, 17, 50, 100, 1000, 1e4), np.ones(6, dtype=np.int64),
         note="A5: gradient 0 for a confidently wrong example")
    edge(_loss, "confident_row", floats([0, -10, -11, -12], [-15, 0.5, -16, -40], [3, 1, 30, 2]), ids(0, 1, 2),
         note="A7")
    edge(_loss, "confident_one_hot", floats([0, -10, -11, -12], [-15, 0.5, -16, -40], [3, 1, 30, 2]),
         np.eye(4)[ids(0, 1, 2)], note="A7, with probabilities")
    edge(_loss, "confident_soft", floats([12, 0, -1], [0, 20, 1], [0, 0, 9]),
         floats([1 - 2**-7, 2**-7, 0], [0, 1 - 2**-7, 2**-7], [2**-8, 2**-8, 1 - 2**-7]))
    edge(_loss, "matching_soft", np.log2(floats([1, 2, 4, 1], [8, 1, 1, 6])),
         floats([0.125, 0.25, 0.5, 0.125], [0.5, 0.0625, 0.0625, 0.375]),
         note="the gradient cancels where the prediction is nearly right")
    edge(_loss, "equal_logits", floats([0, 0, 0], [1e4, 1e4, 1e4], [-50, -50, -50]), ids(0, 1, 2),
         note="zero-initialised heads, and a shift")
    edge(_loss, "shifted_equal_logits", floats([1e6, 1e6], [1e8, 1e8], [-1e8, -1e8]), ids(0, 1, 0), dtypes=WIDE,
         note="A12: 0.6875 and 0.0 instead of 0.6931")
    edge(_loss, "shifted_logits", floats([1e4, 1e4 + 8, 1e4 - 8], [-1e4, 8 - 1e4, -1e4]), ids(1, 0), note="A12")
    edge(_loss, "tied_maxima", floats([2, 2, 0], [5, -1, 5], [50, 50, -50]), ids(0, 1, 2))
    edge(_loss, "saturated", floats([50, -50, 0], [1000, -1000, 0], [-1e4, 1e4, 0]), ids(1, 2, 2))
    edge(_loss, "huge", floats([1e20, 0, -1e20], [3e38, 1e38, -1e38]), ids(0, 1), dtypes=WIDE)
    edge(_loss, "tiny", floats([1e-20, 0, -1e-20], [1e-38, 0, 0]), ids(0, 1), dtypes=WIDE)
    edge(_loss, "masked_class", floats([1, -inf, 0], [-inf, 2, 0.5], [-inf, -inf, 3]), ids(0, 2, 2),
         note="A11: -inf logits mask a class")
    edge(_loss, "masked_class_one_hot", floats([1, -inf, 0], [-inf, 2, 0.5], [-inf, -inf, 3]), np.eye(3)[ids(0, 2, 2)],
         note="A11: 0·(-inf) is NaN in three of four libraries")
    edge(_loss, "masked_class_soft", floats([1, -inf, 0], [-inf, 2, 0.5]), floats([0.25, 0, 0.75], [0, 0.5, 0.5]),
         note="A11")
    edge(_loss, "masked_target", floats([1, -inf, 0], [-inf, 2, 0.5]), ids(1, 0), note="a loss of +inf")
    edge(_loss, "infinite_target_logit", floats([inf, 0, 1], [-3, inf, -inf]), ids(0, 1),
         note="B15: NaN everywhere; the limit is 0")
    edge(_loss, "infinite_other_logit", floats([inf, 0, 1], [-3, inf, 0]), ids(1, 0), note="loss +inf, gradient ±1")

edge("cross_entropy", "mean_of_70000_rows", np.zeros((70_000, 2)), np.zeros(70_000, dtype=np.int64), reduction="mean",
     note="A1: 0.0 with zero gradient in float16")
edge("nll", "mean_of_70000_rows", np.full((70_000, 2), -0.5), np.zeros(70_000, dtype=np.int64), reduction="mean",
     note="A1")
edge("cross_entropy", "many_classes", normal("many", (3, 40), 4.0), ids(0, 17, 39), reduction="mean")
edge("cross_entropy", "label_smoothing_masked_class", floats([1, -inf, 0], [-inf, 2, 0.5], [-inf, -inf, 3]),
     ids(0, 2, 2), label_smoothing=0.25, note="trap: K counts the classes that are not masked; inf otherwise")
edge("cross_entropy", "label_smoothing_two_classes", _margins(1, -2, 17), ids(0, 0, 1), label_smoothing=0.25,
     note="equals the binary loss with the same smoothing")
edge("cross_entropy", "label_smoothing_confident", _margins(20, 50, 100), ids(0, 0, 0), label_smoothing=0.125)
edge("cross_entropy", "label_smoothing_masked_class_weight", floats([1, -inf, 0], [-inf, 2, 0.5]), ids(0, 2),
     label_smoothing=0.25, class_weight=floats(0.5, 2, 1))

edge("nll", "perfect", floats([0, -inf, -inf], [-inf, 0, -inf]), ids(0, 1))
edge("nll", "masked_class", floats([-0.5, -inf, -1], [-inf, -0.25, -2]), ids(0, 2))
edge("nll", "masked_class_one_hot", floats([-0.5, -inf, -1], [-inf, -0.25, -2]), np.eye(3)[ids(0, 2)],
     note="trap: 0·(-inf)")
edge("nll", "masked_target", floats([-0.5, -inf, -1]), ids(1), note="a loss of +inf")
edge("nll", "label_smoothing_masked_class", floats([-0.5, -inf, -1], [-inf, -0.25, -2]), ids(0, 2),
     label_smoothing=0.25)
edge("nll", "large", floats([-1e4, -100, 0], [-1e-4, -9, -17]), ids(0, 2))

for _gamma in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
    sample("softmax_focal", f"gamma_{_gamma:g}", _LOGITS, _IDS, gamma=_gamma)
    sample("softmax_focal", f"gamma_{_gamma:g}_probabilities", _LOGITS, _SOFT, gamma=_gamma)
    edge("softmax_focal", f"gamma_{_gamma:g}_confident", _margins(1, 17, 50, 200, 1e4), np.zeros(5, dtype=np.int64),
         gamma=_gamma, note="trap: (1 - p)^gamma has no finite derivative at p = 1 for gamma < 1")
    edge("softmax_focal", f"gamma_{_gamma:g}_masked", floats([1, -inf, 0], [0, -inf, -inf]), ids(0, 0), gamma=_gamma)
sample("softmax_focal", "alpha_number", _LOGITS, _IDS, alpha=0.25, reduction="mean")
sample("softmax_focal", "alpha_per_class", _LOGITS, _IDS, alpha=_CLASS_WEIGHT)
sample("softmax_focal", "alpha_per_class_probabilities", _LOGITS, _SOFT, alpha=_CLASS_WEIGHT)
sample("softmax_focal", "alpha_per_class_axis_1", _CUBE, _CUBE_IDS, alpha=_CLASS_WEIGHT, axis=1)
sample("softmax_focal", "alpha_is_no_weight", _LOGITS, _IDS, alpha=_CLASS_WEIGHT, reduction="weighted_mean",
       note="alpha is not in the denominator")
refuse("softmax_focal", "gamma_negative", ValueError, "gamma", _LOGITS, _IDS, gamma=-1.0)
refuse("softmax_focal", "alpha_negative", ValueError, "alpha", _LOGITS, _IDS, alpha=-0.25)
refuse("softmax_focal", "alpha_too_short", ValueError, "alpha", _LOGITS, _IDS, alpha=np.ones(3))

# --------------------------------------------------------------------------------------------------------------------
# Two classes

_P = uniform("p", (4, 3), 0.01, 0.99)
_X = normal("x", (4, 3), 3.0)
_HARD = bits("hard", (4, 3))
_TARGETS = floats(0, 1, 0.5, 0.25)

sample("binary_cross_entropy", "hard_targets", _P, _HARD)
sample("binary_cross_entropy", "multilabel_mean", _P, _HARD, reduction="mean",
       note="trap: the mean is over all labels of all examples")
for _clip in (2.0**-10, 2.0**-7, 0.25):
    sample("binary_cross_entropy", f"clip_{_clip:g}", _P, _HARD, clip=_clip, reduction="mean")
    edge("binary_cross_entropy", f"clip_{_clip:g}_ends", floats(0, 0, 1, 1, 2**-9, 1 - 2**-8),
         floats(0, 1, 0, 1, 1, 0), clip=_clip, note="the clipped function is flat out there")
edge("binary_cross_entropy", "clip_at_its_bound", floats(0.25, 0.75, 0.5), floats(1, 0, 1), clip=0.25,
     note="a kink: 0")
edge("binary_cross_entropy", "ends_right", floats(0, 1), floats(0, 1),
     note="A15: value 0, gradient 1 and -1. A6: NaN in float16")
edge("binary_cross_entropy", "ends_wrong", floats(0, 1, 0, 1), floats(1, 0, 0.5, 0.5),
     note="A6: +inf and an infinite slope, not 16.118 and 0")
edge("binary_cross_entropy", "close_to_the_ends", floats(2**-10, 1 - 2**-8, 2**-14, 1 - 2**-7), floats(1, 0, 1, 0))
edge("binary_cross_entropy", "tiny_probability", floats(1e-8, 1e-20, 1e-30, 1e-37), floats(1, 1, 0, 0.5), dtypes=WIDE,
     note="A6, B13: log clamped, slope clamped at 1e12")
edge("binary_cross_entropy", "tiny_probability_double", floats(1e-50, 1e-20, 1e-300), floats(1, 1, 1), dtypes=DOUBLE,
     note="B13: 100 instead of 115.13")
edge("binary_cross_entropy", "matching", floats(0.5, 0.25, 0.75), floats(0.5, 0.25, 0.75), note="a zero of the slope")
for _bad in (1.5, -0.25):
    refuse("binary_cross_entropy", f"probability_{_bad:g}", ValueError, "probabilities", floats(0.5, _bad),
           floats(1, 1), values=True, note="trap: clipped silently")
refuse("binary_cross_entropy", "logits_by_mistake", ValueError, "probabilities", _X, _HARD, values=True)
for _clip in (-0.1, 0.75):
    refuse("binary_cross_entropy", f"clip_{_clip:g}", ValueError, "clip", _P, _HARD, clip=_clip)

_BCE = "binary_cross_entropy_with_logits"
sample(_BCE, "hard_targets", _X, _HARD)
sample(_BCE, "pos_weight", _X, _HARD, pos_weight=3.0)
sample(_BCE, "pos_weight_soft", *_base(_BCE, (4, 3)), pos_weight=0.25, reduction="mean")
sample(_BCE, "pos_weight_per_label", _X, _HARD, pos_weight=floats(0.5, 3, 1))
sample(_BCE, "pos_weight_per_label_mean", *_base(_BCE, (2, 3, 2)), pos_weight=floats(0.5, 3), reduction="mean",
       note="trap: it is not in the denominator")
sample(_BCE, "pos_weight_weighted_mean", _X, _HARD, pos_weight=3.0, reduction="weighted_mean")
sample(_BCE, "label_smoothing", _X, _HARD, label_smoothing=0.25)
sample(_BCE, "label_smoothing_soft", *_base(_BCE, (4, 3)), label_smoothing=0.125, reduction="mean")
sample(_BCE, "label_smoothing_pos_weight", _X, _HARD, label_smoothing=0.25, pos_weight=floats(0.5, 3, 1))
edge(_BCE, "label_smoothing_confident", floats(20, 50, -20, 1000), floats(1, 1, 0, 0), label_smoothing=0.125)
edge(_BCE, "pos_weight_logit_zero", floats(0, 0, 0), floats(1, 0, 0.5), pos_weight=3.0,
     note="A3: gradient 0 and 1 instead of -1.5 and 0.5")
edge(_BCE, "pos_weight_zero", floats(0, 20, -20), floats(1, 1, 0.5), pos_weight=0.0)
refuse(_BCE, "target_two", ValueError, "target", floats(0.5, 1), floats(1, 2), values=True,
       note="trap: a negative loss")
refuse(_BCE, "target_minus_one", ValueError, "target", floats(0.5, 1), floats(1, -1), values=True)
refuse(_BCE, "pos_weight_negative", ValueError, "pos_weight", _X, _HARD, pos_weight=-1.0)
refuse(_BCE, "pos_weight_negative_array", ValueError, "pos_weight", _X, _HARD, pos_weight=floats(1, -1, 1),
       values=True)
refuse(_BCE, "pos_weight_wrong_length", ValueError, "pos_weight", _X, _HARD, pos_weight=np.ones(4))
refuse(_BCE, "label_smoothing_negative", ValueError, "label_smoothing", _X, _HARD, label_smoothing=-0.1)
refuse(_BCE, "label_smoothing_above_one", ValueError, "label_smoothing", _X, _HARD, label_smoothing=1.5)

for _loss in (_BCE, "sigmoid_focal"):
    edge(_loss, "logit_zero", np.zeros(4), _TARGETS, note="trap: the textbook softplus has slope 0 or 1 at 0")
    edge(_loss, "confidently_right", floats(-9.5, -10, -15, -17, 10, 15, 17, 40), floats(0, 0, 0, 0, 1, 1, 1, 1),
         note="A8: 0 from ±17 on")
    edge(_loss, "confidently_right_wide", floats(-80, 30, 60, 85), floats(0, 1, 1, 1), dtypes=WIDE, note="A8")
    edge(_loss, "confidently_wrong", floats(-12, -50, -88.75, -100, -1000, -1e4, 12, 89, 1e4),
         floats(1, 1, 1, 1, 1, 1, 0, 0, 0), note="A4, A5: inf, or 16.118 with gradient 0")
    edge(_loss, "saturated_soft", floats(50, -50, 1000, -1000, 1e4), floats(0.5, 0.5, 0.75, 0.25, 0.125))
    edge(_loss, "infinite_logit_right", floats(inf, -inf), floats(1, 0), note="B14: NaN; the limit is 0")
    edge(_loss, "infinite_logit_wrong", floats(-inf, inf), floats(1, 0), note="B14")
    edge(_loss, "infinite_logit_soft", floats(-inf, inf), floats(0.5, 0.25))
    edge(_loss, "huge", floats(1e20, -1e20, 3e38), floats(0, 1, 0.5), dtypes=WIDE)
    edge(_loss, "tiny", floats(1e-20, -1e-20, 1e-38), floats(0, 1, 0.5), dtypes=WIDE)
edge(_BCE, "matching_soft", floats(0, 1.0986328125, -1.0986328125), floats(0.5, 0.75, 0.25),
     note="the gradient cancels where the prediction is right")

for _gamma in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
    sample("sigmoid_focal", f"gamma_{_gamma:g}", _X, _HARD, gamma=_gamma)
    sample("sigmoid_focal", f"gamma_{_gamma:g}_soft", *_base("sigmoid_focal", (4, 3)), gamma=_gamma, alpha=0.25)
    edge("sigmoid_focal", f"gamma_{_gamma:g}_saturated", floats(20, 30, 80, -80, 1e4), floats(1, 1, 1, 0, 1),
         gamma=_gamma, note="A5: gradient NaN for gamma < 1; 0⁰ for gamma = 0")
    edge("sigmoid_focal", f"gamma_{_gamma:g}_infinite", floats(inf, -inf), floats(1, 0), gamma=_gamma)
sample("sigmoid_focal", "alpha", _X, _HARD, alpha=0.25, note="trap: alpha for t=1, 1 - alpha for t=0")
sample("sigmoid_focal", "alpha_per_label", _X, _HARD, alpha=floats(0.25, 0.5, 1))
sample("sigmoid_focal", "alpha_zero", _X, _HARD, alpha=0.0)
sample("sigmoid_focal", "alpha_one", _X, _HARD, alpha=1.0)
sample("sigmoid_focal", "soft_targets", floats(2, -1, 0.5), floats(0.875, 0.25, 0.5),
       note="trap: p_t is interpolated, not exp(-BCE)")
refuse("sigmoid_focal", "gamma_negative", ValueError, "gamma", _X, _HARD, gamma=-1.0)
refuse("sigmoid_focal", "alpha_above_one", ValueError, "alpha", _X, _HARD, alpha=1.5)
refuse("sigmoid_focal", "alpha_negative", ValueError, "alpha", _X, _HARD, alpha=-1.0,
       note="some libraries take -1 for none")
refuse("sigmoid_focal", "target_two", ValueError, "target", floats(0.5, 1), floats(1, 2), values=True)

for _loss in ("hinge", "squared_hinge"):
    edge(_loss, "at_the_margin", floats(1, -1, 1), floats(1, -1, -1), note="trap: -1, -0.5 or 0 at the margin; here 0")
    edge(_loss, "around_the_margin", floats(1 - 2**-7, 1 + 2**-6, -1 - 2**-6, 2**-7 - 1), floats(1, 1, -1, -1))
    edge(_loss, "zero_scores", floats(0, 0), floats(1, -1))
    edge(_loss, "correct_by_more", floats(1.5, 7, 1e4, -1.25, -9), floats(1, 1, 1, -1, -1), note="B17: exactly 0")
    edge(_loss, "large", floats(-100, 200, 1e-4), floats(1, -1, 1))
    edge(_loss, "huge", floats(1e18, -1e18, 3e18), floats(-1, 1, 1), dtypes=WIDE)
    edge(_loss, "infinite_scores", floats(inf, -inf, -inf, inf), floats(1, -1, 1, -1))
    refuse(_loss, "label_zero", ValueError, "target", floats(0.5, -1), floats(1, 0), values=True,
           note="trap: labels 0 and 1 are accepted and wrong")
    refuse(_loss, "label_two", ValueError, "target", floats(0.5, -1), floats(1, 2), values=True)

# --------------------------------------------------------------------------------------------------------------------
# Divergences

_KL = "kl_divergence"
_LOG_P, _Q = log_softmax(_LOGITS), _SOFT
sample(_KL, "known_direction", np.log(floats([0.5, 0.5], [0.25, 0.75])), floats([0.25, 0.75], [0.5, 0.5]),
       note="trap: KL(target || prediction), a sum over the classes")
sample(_KL, "one_row", _LOG_P[0], _Q[0])
sample(_KL, "class_axis_1", log_softmax(_CUBE, 1), _CUBE_SOFT, axis=1)
sample(_KL, "class_axis_0", np.ascontiguousarray(_LOG_P.T), np.ascontiguousarray(_Q.T), axis=0, reduction="mean")
sample(_KL, "log_target", _LOG_P, np.log(_Q), log_target=True)
sample(_KL, "log_target_axis_1", log_softmax(_CUBE, 1), np.log(_CUBE_SOFT), axis=1, log_target=True, reduction="mean")
sample(_KL, "not_normalised", _LOG_P, 0.5 * _Q, note="may be negative")
edge(_KL, "equal", np.log(floats([0.5, 0.25, 0.25], [0.125, 0.125, 0.75])),
     floats([0.5, 0.25, 0.25], [0.125, 0.125, 0.75]), note="the sum cancels: the bound is on the terms")
edge(_KL, "equal_log", log_softmax(_LOGITS[:3]), log_softmax(_LOGITS[:3]), log_target=True)
edge(_KL, "zero_target", floats([-0.5, -1, -2], [0, -30, -30]), floats([0, 1, 0], [1, 0, 0]),
     note="trap: 0·log 0. A6: clipped and without gradient")
edge(_KL, "zero_target_impossible_class", floats([-inf, -0.5, -1], [0, -inf, -inf]), floats([0, 0.5, 0.5], [1, 0, 0]),
     note="B7: NaN")
edge(_KL, "impossible_class", floats([-inf, -0.5, -1]), floats([0.25, 0.25, 0.5]), note="+inf")
edge(_KL, "log_target_minus_inf", floats([-0.5, -1, -2], [-inf, 0, -3]), floats([-inf, 0, -inf], [-inf, -0.5, -1]),
     log_target=True, note="B7: NaN")
edge(_KL, "confident", floats([-1e-4, -9, -10], [-100, -1e4, 0]), floats([1 - 2**-7, 2**-8, 2**-8], [0, 0, 1]))
edge(_KL, "tiny_target", floats([-0.5, -1], [-3, -0.0625]), floats([1e-20, 1], [1e-37, 1]), dtypes=WIDE)
edge(_KL, "one_class", np.zeros((3, 1)), np.ones((3, 1)))
refuse(_KL, "target_negative", ValueError, "target", _LOG_P, -_Q, values=True)
refuse(_KL, "logits_by_mistake_in_target", ValueError, "target", _LOG_P, _LOGITS, values=True)
refuse(_KL, "logits_by_mistake", ValueError, "log_probabilities", _LOGITS, _Q, values=True)
refuse(_KL, "logits_by_mistake_in_log_target", ValueError, "target", _LOG_P, _LOGITS, log_target=True, values=True)
refuse(_KL, "row_against_matrix", ValueError, "shape", _LOG_P, _Q[:1])
refuse(_KL, "class_ids", ValueError, "target", _LOG_P, _IDS)

# --------------------------------------------------------------------------------------------------------------------
# Similarity

_D = uniform("distance", (4, 3), 0.0, 2.0)
_PAIRS = bits("pairs", (4, 3))
_E1 = normal("e1", (6, 4))
_E2 = _E1 + normal("e2", (6, 4), 0.5)
_PAIR = bits("pair", (6,))
_CUBE2 = _CUBE + normal("cube2", _CUBE.shape, 0.4)

for _loss, _arrays in {"contrastive": (_D, _PAIRS), "contrastive_embedding": (_E1, _E2, _PAIR)}.items():
    for _power in (1, 2):
        for _similar in (0, 1):
            sample(_loss, f"power_{_power}_similar_{_similar}", *_arrays, power=_power, similar_label=_similar,
                   note="trap: two polarities, a square or not")
    for _margin in (0.25, 2.0):
        sample(_loss, f"margin_{_margin:g}", *_arrays, margin=_margin)
    for _factor in (1.0, 2.0):
        sample(_loss, f"factor_{_factor:g}", *_arrays, factor=_factor, reduction="mean",
               note="trap: a factor 1/2 or not")
    sample(_loss, "soft_labels", *_arrays[:-1], uniform("soft pairs", _arrays[-1].shape))
    sample(_loss, "soft_labels_reversed", *_arrays[:-1], uniform("soft pairs", _arrays[-1].shape), similar_label=0,
           power=1)
    for _bad in (0.0, -1.0):
        refuse(_loss, f"margin_{_bad:g}", ValueError, "margin", *_arrays, margin=_bad)
        refuse(_loss, f"factor_{_bad:g}", ValueError, "factor", *_arrays, factor=_bad)
    refuse(_loss, "power_3", ValueError, "power", *_arrays, power=3)
    refuse(_loss, "similar_label_2", ValueError, "similar_label", *_arrays, similar_label=2)
    refuse(_loss, "label_two", ValueError, "target", *_arrays[:-1], 2 * np.ones(_arrays[-1].shape), values=True)
    refuse(_loss, "label_minus_one", ValueError, "target", *_arrays[:-1], -np.ones(_arrays[-1].shape), values=True,
           note="trap: ±1 labels of other losses")

for _power in (1, 2):
    edge("contrastive", f"at_zero_power_{_power}", floats(0, 0, 0), floats(1, 0, 0.5), power=_power,
         note="trap: the slope at distance 0")
    edge("contrastive", f"at_the_margin_power_{_power}", floats(1, 1, 1), floats(1, 0, 0.5), power=_power)
    edge("contrastive", f"around_the_margin_power_{_power}", floats(1 - 2**-7, 1 + 2**-6, 5, 1000), floats(0, 0, 0, 0),
         power=_power)
    edge("contrastive", f"far_and_dissimilar_power_{_power}", floats(1e25, 3e38), floats(0, 0), power=_power,
         dtypes=WIDE, note="exactly 0: zero times a square that overflows is NaN")
    edge("contrastive", f"huge_power_{_power}", floats(1e18, 1e18), floats(0, 1), power=_power, dtypes=WIDE)
sample("contrastive", "known_values", floats(0.5, 0.5), floats(1, 0), note="trap: 0.125 each")
refuse("contrastive", "negative_distance", ValueError, "distance", floats(0.5, -0.5), floats(1, 0), values=True)

sample("contrastive_embedding", "feature_axis_1", _CUBE, _CUBE2, bits("cube pairs", (2, 3)), axis=1)
sample("contrastive_embedding", "feature_axis_0", _E1.T.copy(), _E2.T.copy(), _PAIR, axis=0, reduction="mean")
sample("contrastive_embedding", "one_pair", _E1[0], _E2[0], np.asarray(1.0))
for _power in (1, 2):
    edge("contrastive_embedding", f"identical_points_power_{_power}", floats([1, 2], [0, 0], [-3, 0.5]),
         floats([1, 2], [0, 0], [-3, 0.5]), floats(1, 0, 0.5), power=_power,
         note="trap: the gradient of a root at 0 is NaN")
    edge("contrastive_embedding", f"tiny_power_{_power}", floats([1e-20, 2e-20], [3e-25, 0]), np.zeros((2, 2)),
         floats(0, 0), power=_power, dtypes=WIDE, note="B1: the square underflows")
edge("contrastive_embedding", "huge", floats([1e20, 2e20], [3e37, -1e37]), np.zeros((2, 2)), floats(0, 1), power=1,
     dtypes=WIDE, note="B1: the square overflows")
edge("contrastive_embedding", "at_the_margin", floats([3, 4], [0, 5]), np.zeros((2, 2)), floats(0, 0), power=1,
     margin=5.0)
edge("contrastive_embedding", "one_feature", floats([1], [-0.5], [0]), floats([0.5], [0.5], [0.25]), floats(1, 0, 0))
refuse("contrastive_embedding", "other_features", ValueError, "shape", _E1, _E2[:, :3], _PAIR)
refuse("contrastive_embedding", "target_in_a_column", ValueError, "target", _E1, _E2, _PAIR.reshape(6, 1))

_A = _E1
_POSITIVE = _A + normal("positive", _A.shape, 0.6)
_NEGATIVE = _A + normal("negative", _A.shape, 0.8)
_TRIPLET = (_A, _POSITIVE, _NEGATIVE)
for _margin in (0.0, 0.25, 1.0, 4.0):
    sample("triplet_margin", f"margin_{_margin:g}", *_TRIPLET, margin=_margin)
for _p in (1.0, 1.5, 2.0, 3.0, 4.0):
    for _swap in (False, True):
        sample("triplet_margin", f"p_{_p:g}{'_swap' * _swap}", *_TRIPLET, p=_p, swap=_swap, margin=2.0)
for _swap in (False, True):
    sample("triplet_margin", f"squared{'_swap' * _swap}", *_TRIPLET, squared=True, swap=_swap, margin=2.0,
           note="trap: squared distance or distance")
sample("triplet_margin", "squared_p_1", *_TRIPLET, squared=True, p=1.0, margin=2.0)
sample("triplet_margin", "p_inf", *_TRIPLET, p=inf, margin=2.0)
sample("triplet_margin", "p_inf_swap_squared", *_TRIPLET, p=inf, swap=True, squared=True, margin=2.0)
edge("triplet_margin", "p_inf_tie", floats([0, 0, 0]), floats([2, -2, 1]), floats([1, 0, 0.5]), p=inf, margin=2.0,
     note="coordinates that tie share the slope")
sample("triplet_margin", "p_integer", *_TRIPLET, p=2, margin=2.0, reduction="mean")
sample("triplet_margin", "feature_axis_1", _CUBE, _CUBE2, _CUBE - 0.75, axis=1, margin=2.0)
sample("triplet_margin", "feature_axis_0", *(array.T.copy() for array in _TRIPLET), axis=0, margin=2.0,
       reduction="mean")
sample("triplet_margin", "one_triplet", *(array[0] for array in _TRIPLET), margin=4.0)
sample("triplet_margin", "swap_matters", floats([0, 0], [0, 0]), floats([3, 0], [1, 0]), floats([4, 0], [0, 2]),
       swap=True, margin=4.0)
edge("triplet_margin", "known_p_1", floats([-3, 1]), floats([0, 0]), floats([10, 0]), p=1.0, margin=20.0,
     note="C: 30 for signed differences, exactly 10")
edge("triplet_margin", "known_p_3", floats([-3, 1]), floats([0, 0]), floats([10, 0]), p=3.0, margin=20.0,
     note="C: NaN, exactly 10.04")
for _margin in (1.0, 0.0):
    edge("triplet_margin", f"identical_points_margin_{_margin:g}", floats([1, 2], [0, 0]), floats([1, 2], [0, 0]),
         floats([1, 2], [0, 0]), margin=_margin, note="C: with eps in the difference ±1/√D, without NaN; here 0")
for _p in (1.0, 1.5, 2.0, 3.0):
    edge("triplet_margin", f"anchor_is_positive_p_{_p:g}", floats([1, 2, 0]), floats([1, 2, 0]),
         floats([1.5, 2, 0.25]), p=_p, margin=2.0, note="trap: the norm at the zero vector")
    edge("triplet_margin", f"anchor_is_negative_p_{_p:g}", floats([1, 2, 0]), floats([1.5, 2, 0.25]),
         floats([1, 2, 0]), p=_p, margin=2.0)
    edge("triplet_margin", f"zero_coordinate_p_{_p:g}", floats([1, 2, 0]), floats([1.5, 2, 1]), floats([1, 3, 0.5]),
         p=_p, margin=2.0, note="a difference of 0 in one coordinate")
edge("triplet_margin", "anchor_is_positive_squared", floats([1, 2, 0]), floats([1, 2, 0]), floats([1.5, 2, 0.25]),
     squared=True, margin=2.0, note="no kink: the square is smooth")
edge("triplet_margin", "at_the_margin", floats([0, 0], [1, 1]), floats([3, 4], [1, 3]), floats([0, 6], [4, 1]),
     note="a hinge exactly at 0")
edge("triplet_margin", "satisfied", floats([0, 0], [1, 1]), floats([1, 0], [1, 1]), floats([9, 0], [50, 1]))
edge("triplet_margin", "swap_tie", floats([0, 0]), floats([2, 0]), floats([1, 3]), swap=True, margin=4.0,
     note="a tie of the minimum: shared equally")
edge("triplet_margin", "huge", floats([0, 0], [0, 0]), floats([2e19, 0], [3e19, 4e19]), floats([3e19, 0], [1e19, 0]),
     dtypes=WIDE, note="B6: inf - inf")
edge("triplet_margin", "tiny", floats([0, 0]), floats([1e-20, 2e-20]), floats([3e-20, 0]), margin=2.0**-65,
     dtypes=WIDE, note="B1: the square underflows")
edge("triplet_margin", "tiny_distances", floats([0, 0]), floats([1e-4, 0]), floats([0, 3e-4]), margin=1.0,
     note="C: eps under the root makes 1e-4 to 1.005e-3")
edge("triplet_margin", "half_range", floats([0, 0]), floats([300, 400]), floats([250, -100]), margin=2.0,
     note="the square overflows in float16")
edge("triplet_margin", "p_3_huge", floats([0, 0]), floats([2e19, 1e19]), floats([3e18, 0]), p=3.0, dtypes=WIDE)
edge("triplet_margin", "one_feature", floats([1], [-0.5]), floats([0.5], [0.5]), floats([0.25], [-2]))
refuse("triplet_margin", "margin_negative", ValueError, "margin", *_TRIPLET, margin=-1.0)
refuse("triplet_margin", "p_below_one", ValueError, r"\bp\b", *_TRIPLET, p=0.5)
refuse("triplet_margin", "other_features", ValueError, "shape", _A, _POSITIVE[:, :3], _NEGATIVE)
refuse("triplet_margin", "one_negative_for_all", ValueError, "shape", _A, _POSITIVE, _NEGATIVE[:1])
refuse("triplet_margin", "integer_negative", TypeError, "negative", _A, _POSITIVE, np.ones(_A.shape, dtype=np.int64))

# --------------------------------------------------------------------------------------------------------------------
# Numeric helpers

_ROWS = floats([0, -10, -11], [1e4, 1e4, 1e4 - 8], [50, -50, 0], [0, 0, 0], [-1000, 1000, 1], [-30, 0.5, -17])
for _helper in ("log_sum_exp", "log_softmax", "softmax"):
    sample(_helper, "ordinary", _LOGITS, reduction="mean")
    sample(_helper, "one_row", _LOGITS[0], reduction="mean")
    sample(_helper, "axis_1", _CUBE, axis=1, reduction="mean")
    edge(_helper, "confident_and_saturated", _ROWS, reduction="mean")
    edge(_helper, "masked_class", floats([1, -inf, 0], [-inf, -inf, 2]), reduction="mean", note="-inf masks a class")
    edge(_helper, "one_class", floats([3], [-1]), reduction="mean")
    edge(_helper, "huge", floats([1e20, 0, -1e20]), dtypes=WIDE, reduction="mean")
edge("log_sum_exp", "all_masked", floats([-inf, -inf]), reduction="mean", note="log of nothing is -inf")
edge("log_sum_exp", "infinite", floats([inf, 0], [1, inf]), reduction="mean")
edge("log_sum_exp", "infinite_twice", floats([inf, inf]), reduction="mean")
for _helper in ("softplus", "log_sigmoid", "sigmoid"):
    sample(_helper, "ordinary", _X, reduction="mean")
    edge(_helper, "zero_and_saturated", floats(0, 17, -17, 20.5, -20.5, 50, -50, 1000, -1000, 1e4), reduction="mean",
         note="trap: slope 0 or 1 at 0; the identity above 20")
    edge(_helper, "infinite", floats(inf, -inf), reduction="mean")
    edge(_helper, "tiny", floats(1e-20, -1e-20), dtypes=WIDE, reduction="mean")
