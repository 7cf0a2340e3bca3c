"""What every loss is asked: reductions, weights and masks, and what is refused whatever the loss is."""

from typing import Any

import numpy as np

from .arrays import damage, floats, inf, mask, nan, uniform
from .case import Cases, Entry

SHAPES: tuple[tuple[int, ...], ...] = ((7,), (4, 3), (2, 3, 2))
MISMATCH = "shape|scalar"


def everywhere(case: Cases, entry: Entry) -> None:
    """The cases that every loss has."""
    _ordinary(case, entry)
    _masked_and_weighted(case, entry)
    _bad_arrays(case, entry)
    _bad_options(case, entry)


# A case is a line or two.
# fmt: off


def _ordinary(case: Cases, entry: Entry) -> None:
    loss = case.loss
    for shape in SHAPES[:1] if entry.batch else SHAPES:
        case.sample(f"ordinary_{len(shape)}d", *case.ordinary(shape))
    vector, matrix = case.ordinary((6,)), case.ordinary(entry.table)
    by_row, by_entry = uniform(loss + "w", (4,), 0.25, 2.0), uniform(loss + "v", entry.table, 0.25, 2.0)
    keep = kept(entry)

    case.sample("default_reduction", *vector, reduction="default")
    case.sample("sum", *matrix, reduction="sum")
    case.sample("mean_of_matrix", *matrix, reduction="mean", note="trap: over all examples, not over the first axis")
    case.sample("weighted_none", *matrix, sample_weight=by_entry)
    case.sample("weighted_sum", *matrix, reduction="sum", sample_weight=by_entry)
    case.sample("weights_in_mean", *matrix, reduction="mean", sample_weight=by_entry)
    case.sample("weighted_mean", *matrix, reduction="weighted_mean", sample_weight=by_entry)
    case.sample("weight_per_row", *matrix, reduction="mean", sample_weight=by_row)
    if not entry.batch:
        case.sample("weight_per_row_of_square", *case.ordinary((3, 3)), reduction="sum", sample_weight=floats(1, 2, 4),
                    note="trap: trailing broadcasting would weight the columns")
    case.sample("masked_mean", *matrix, reduction="mean", where=keep)
    case.sample("masked_none", *matrix, where=keep)
    case.sample("mask_per_row", *matrix, reduction="mean", where=mask(True, False, True, True))
    case.sample("masked_weighted_mean", *matrix, reduction="weighted_mean", where=keep, sample_weight=by_entry)
    case.sample("denominator", *matrix, reduction="mean", denominator=32.0)
    case.sample("denominator_weighted", *matrix, reduction="weighted_mean", denominator=0.5, sample_weight=by_entry)
    case.sample("one_example", *case.ordinary((1,)), reduction="mean")


def kept(entry: Entry) -> Any:
    """A mask of the examples of `Entry.table`."""
    keep = mask([True, False, True], [True, True, False], [False, False, False], [True, True, True])
    return keep[:, 0] if entry.batch else keep


def _masked_and_weighted(case: Cases, entry: Entry) -> None:
    vector, matrix, keep = case.ordinary((6,)), case.ordinary(entry.table), kept(entry)
    by_row = uniform(case.loss + "w", (4,), 0.25, 2.0)
    case.edge("masked_nonfinite", *damage(matrix, keep), reduction="mean", where=keep,
              note="trap: NaN and inf in masked examples leak through where(mask, f(x), 0)")
    case.edge("masked_nonfinite_weighted", *damage(matrix, keep), reduction="weighted_mean", where=keep,
              sample_weight=by_row)
    case.edge("masked_weights_nonfinite", *vector, reduction="mean", where=mask(True, False, True, True, False, True),
              sample_weight=floats(1, nan, 2, 0.5, inf, 3))
    case.edge("everything_masked", *matrix, reduction="mean", where=np.zeros(entry.table, dtype=np.bool_))
    case.edge("everything_masked_weighted", *vector, reduction="weighted_mean", where=np.zeros(6, dtype=np.bool_),
              sample_weight=floats(1, 2, 3, 4, 5, 6))
    case.edge("all_weights_zero", *vector, reduction="weighted_mean", sample_weight=np.zeros(6))
    case.edge("all_weights_zero_mean", *vector, reduction="mean", sample_weight=np.zeros(6))
    case.edge("some_weights_zero", *vector, reduction="weighted_mean", sample_weight=floats(1, 0, 2, 0, 0, 0.5))
    broken = tuple(array.copy() for array in vector)
    broken[0][2] = nan
    case.edge("nan_shows", *broken, note="NaN in an example that counts is never a plausible number")


def _bad_arrays(case: Cases, entry: Entry) -> None:
    vector, matrix = case.ordinary((6,)), case.ordinary(entry.table)
    first, *others = matrix
    name, beside = entry.arrays[0], entry.own[1]
    second = entry.arrays[beside]

    def instead(array: Any) -> tuple[Any, ...]:
        """The arrays after the first, one of them another: what each example has beside it."""
        return (*others[: beside - 1], array, *others[beside:])

    if entry.rowwise:
        case.refuse("rows_missing", ValueError, MISMATCH, first[:3], *others)
    else:
        column = tuple(array[:4].reshape(4, 1) for array in vector)
        case.refuse("column_against_vector", ValueError, MISMATCH, column[0], *(array[:4] for array in vector[1:]),
                    note="trap: (N, 1) against (N,) broadcasts to (N, N)")
        case.refuse("vector_against_column", ValueError, MISMATCH, vector[0][:4], *column[1:])
        case.refuse("row_against_matrix", ValueError, MISMATCH, first, *(array[:1] for array in others))
    if entry.rowwise and entry.axis:
        case.refuse("axis_out_of_range", (ValueError, IndexError), "axis", *matrix, axis=3)
        case.refuse("axis_not_an_integer", TypeError, "axis", *matrix, axis=1.0)
    else:
        case.refuse("no_axis", TypeError, "axis", *matrix, axis=0)
    case.refuse("other_length", ValueError, MISMATCH, first, *instead(matrix[beside][:3]))
    case.refuse("integer_prediction", TypeError, name, np.ones(first.shape, dtype=np.int64), *others)
    case.refuse("boolean_prediction", TypeError, name, np.ones(first.shape, dtype=np.bool_), *others)
    case.refuse("complex_prediction", TypeError, name, first.astype(np.complex128), *others)
    case.refuse("complex_target", TypeError, second, first, *instead(matrix[beside].astype(np.complex128)))
    case.refuse("list_prediction", TypeError, name, first.tolist(), *others)
    case.refuse("list_target", TypeError, second, first, *instead(matrix[beside].tolist()))
    case.refuse("none_target", TypeError, second, first, *instead(None))
    if entry.rowwise and entry.axis:
        nothing = (array[..., :0] if array.ndim == first.ndim else array for array in matrix)
        case.refuse("rows_of_nothing", ValueError, "entries", *nothing)


def _bad_options(case: Cases, entry: Entry) -> None:
    vector, matrix = case.ordinary((6,)), case.ordinary(entry.table)
    case.refuse("unknown_reduction", ValueError, "reduction", *matrix, reduction="average")
    case.refuse("reduction_not_a_name", (ValueError, TypeError), "reduction", *matrix, reduction=None)
    case.refuse("unknown_keyword", TypeError, "fuzz", *matrix, fuzz=1e-7)
    case.refuse("argument_missing", TypeError, entry.arrays[entry.own[1]], *matrix[:entry.own[1]])
    case.refuse("weight_along_the_wrong_axis", ValueError, "sample_weight", *matrix, sample_weight=floats(1, 2, 3),
                note="trap: shape (3,) would weight the columns of (4, 3)")
    case.refuse("weight_with_length_one", ValueError, "sample_weight", *matrix, sample_weight=np.ones((4, 1)))
    case.refuse("weight_with_an_axis_more", ValueError, "sample_weight", *vector, sample_weight=np.ones((6, 2)))
    case.refuse("weight_is_a_list", TypeError, "sample_weight", *vector, sample_weight=[1.0] * 6)
    case.refuse("weight_nan", ValueError, "sample_weight", *vector, sample_weight=floats(1, 1, nan, 1, 1, 1),
                values=True)
    case.refuse("weight_complex", TypeError, "sample_weight", *vector, sample_weight=np.ones(6, dtype=np.complex128))
    case.refuse("mask_along_the_wrong_axis", ValueError, "where", *matrix, where=mask(True, False, True))
    case.refuse("mask_of_numbers", TypeError, "where", *matrix, where=np.ones(entry.table))
    case.refuse("denominator_per_example", ValueError, "denominator", *vector, denominator=np.ones(6))
    case.refuse("denominator_of_a_sum", ValueError, "denominator", *vector, reduction="sum", denominator=2.0)
