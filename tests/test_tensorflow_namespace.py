"""TensorFlow's namespace, which is our own: the vocabulary where lengths are unknown, and the rest of the standard."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from polyloss_tensorflow import _namespace as xp  # noqa: E402
from polyloss_tensorflow import _standard, _vocabulary  # noqa: E402

from .test_vocabulary import NAMES, TABLE, Row, arrays_of, compare, element, expected_of, pairs, reduction  # noqa: E402
from .test_vocabulary import standard as standard  # noqa: E402


def binary(name: str, *kinds: str, eps: float = 0.0) -> list[Row]:
    def call(xp: Any, x1: Any, x2: Any) -> Any:
        return getattr(xp, name)(x1, x2)

    return [Row(name, call, (kind, kind), eps, signs=name != "hypot") for kind in kinds]


def one(name: str, call: Callable[..., Any], *inputs: str, eps: float = 0.0) -> Row:
    return Row(name, call, inputs or ("x",), eps)


REST: list[Row] = [
    *(row for name in ("acos", "asin", "atanh") for row in element(name, 4, "near", "x")),
    *(
        row
        for name in ("acosh", "asinh", "atan", "cos", "cosh", "sin", "tan")
        for row in element(name, 16, "near", "x")
    ),
    *(row for name in ("log10", "log2") for row in element(name, 4)),
    *(row for name in ("ceil", "round", "trunc") for row in element(name, 0, "x", "whole", "nothing")),
    *(row for name in ("negative", "positive", "square") for row in element(name, 0, "x", "whole", "nothing")),
    *element("reciprocal", 1),
    *element("signbit", 0),
    *element("logical_not", 0, "mask"),
    *element("bitwise_invert", 0, "mask", "whole"),
    *(
        row
        for name in ("add", "subtract", "multiply", "equal", "not_equal", "less", "less_equal", "greater")
        for row in pairs(name)
    ),
    *pairs("greater_equal"),
    *pairs("divide", 1),
    *binary("floor_divide", "finite"),
    *binary("remainder", "finite"),
    *binary("copysign", "x"),
    *(row for name in ("atan2", "hypot", "logaddexp") for row in binary(name, "x", "near", "nothing", eps=4)),
    *(row for name in ("logical_and", "logical_or", "logical_xor") for row in binary(name, "mask")),
    *(row for name in ("bitwise_and", "bitwise_or", "bitwise_xor") for row in binary(name, "mask", "whole")),
    *reduction("std", "finite", eps=16),
    *reduction("var", "finite", eps=16),
    one("var", lambda xp, x: xp.var(x, axis=-1, correction=1.0), "finite", eps=16),
    *reduction("prod", "near", eps=16),
    *reduction("count_nonzero", "whole", "x", "mask"),
    one("argmin", lambda xp, x: xp.argmin(x, axis=-1), "ordered"),
    one("argmin", lambda xp, x: xp.argmin(x), "ordered"),
    one("argsort", lambda xp, x: xp.argsort(x), "ordered"),
    one("argsort", lambda xp, x: xp.argsort(x, axis=0, descending=True), "small"),
    *(
        one("cumulative_prod", lambda xp, x, k=k: xp.cumulative_prod(x, axis=-1, include_initial=k), "near", eps=16)
        for k in (False, True)
    ),
    one("cumulative_prod", lambda xp, x: xp.cumulative_prod(x), "ids"),
    one("diff", lambda xp, x: xp.diff(x, axis=0, n=2), "near", eps=1),
    one("full", lambda xp, x: xp.full((2, 3), 0.5, dtype=x.dtype)),
    one("ones", lambda xp, x: xp.ones((2, 3), dtype=x.dtype)),
    one("linspace", lambda xp, x: xp.linspace(0.0, 1.0, 5, dtype=x.dtype), eps=1),
    one("eye", lambda xp, x: xp.eye(3, dtype=x.dtype)),
    one("eye", lambda xp, x: xp.eye(3, 4, k=1, dtype=x.dtype)),
    *(
        one(name, lambda xp, x, n=name, k=k: getattr(xp, n)(x, k=k), kind)
        for name in ("tril", "triu")
        for k in (0, -1, 2)
        for kind in ("x", "square")
    ),
    one("permute_dims", lambda xp, x: xp.permute_dims(x, (2, 0, 1)), "square"),
    one("unstack", lambda xp, x: xp.unstack(x, axis=1)[2]),
    one("flip", lambda xp, x: xp.flip(x)),
    one("flip", lambda xp, x: xp.flip(x, axis=-1)),
    one("roll", lambda xp, x: xp.roll(x, 2)),
    one("roll", lambda xp, x: xp.roll(x, (1, -1), axis=(0, 1))),
    one("tile", lambda xp, x: xp.tile(x, (2, 1, 3))),
    one("repeat", lambda xp, x: xp.repeat(x, 2)),
    one("repeat", lambda xp, x: xp.repeat(x, 3, axis=1)),
    one("matmul", lambda xp, x, y: xp.matmul(xp.matrix_transpose(x), y), "near", "near", eps=64),
    one("matmul", lambda xp, x, y: xp.matmul(x, y), "near", "row", eps=64),
    one("tensordot", lambda xp, x, y: xp.tensordot(x, y, axes=2), "near", "near", eps=64),
    one("vecdot", lambda xp, x, y: xp.vecdot(x, y), "near", "near", eps=64),
]


def test_every_function_has_rows() -> None:
    assert {row.name for row in REST} == {*_standard.__all__}
    assert {*_vocabulary.__all__} == NAMES
    assert not NAMES & {*_standard.__all__}


def check(row: Row, dtype: str, found: Any, standard: Any) -> None:
    expected = expected_of(standard, row, dtype)
    try:
        compare(found.numpy(), expected, row.eps, row.signs)
    except AssertionError as error:
        raise AssertionError(f"{row.name} of {', '.join(row.inputs)} in {dtype}: {error}") from None


@pytest.mark.parametrize("name", sorted(_standard.__all__))
def test_the_rest_of_the_standard(standard: Any, name: str) -> None:
    for row in (row for row in REST if row.name == name):
        for dtype in ("float32", "float64"):
            check(row, dtype, row.call(xp, *map(tf.constant, arrays_of(row, dtype))), standard)


NO_TENSOR = {"finfo", "iinfo", "isdtype"}
OF_LENGTHS = {"arange", "broadcast_to"}


@pytest.mark.parametrize("name", sorted(NAMES - NO_TENSOR - OF_LENGTHS))
def test_the_vocabulary_of_tensors_of_unknown_lengths(standard: Any, name: str) -> None:
    for row in (row for row in TABLE if row.name == name):
        arrays = [tf.constant(array) for array in arrays_of(row, "float32")]
        specs = [tf.TensorSpec([None] * array.ndim, array.dtype) for array in arrays]
        found = tf.function(lambda *arrays, row=row: row.call(xp, *arrays), input_signature=specs)(*arrays)
        if isinstance(expected_of(standard, row, "float32"), np.ndarray):
            check(row, "float32", found, standard)
