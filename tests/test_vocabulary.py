"""Each name that kernels may use does on every backend, and in the engine, what array-api-strict does."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pytest

import polyloss
from polyloss.core.backend import backend_of
from polyloss.core.vocabulary import Namespace
from polyloss.engine.symbols import ROWS as ALL_ROWS
from polyloss.engine.trace import Trace
from polyloss_numpy import backend as numpy_backend

NAMES = {name for name in vars(Namespace) if not name.startswith("_")}
ROWS, ENTRIES = 7, 5


def _random(dtype: str) -> Any:
    generator = np.random.default_rng(20)
    size = generator.choice([1e-6, 0.1, 1.0, 10.0, 80.0], (ROWS, ENTRIES))
    return (generator.normal(size=(ROWS, ENTRIES)) * size).astype(dtype)


def _special(dtype: str) -> Any:
    found = _random(dtype)
    ends = np.finfo(np.float32)
    found[0] = [np.nan, np.inf, -np.inf, 0.0, -0.0]
    found[1] = [1.0, -1.0, 0.5, -0.5, 2.0]
    found[2] = [-1.5, 2.5, 88.0, -88.0, 16.0] if dtype == "float16" else [ends.max, ends.min, 1e-30, -1e-30, 88.0]
    return found


INPUTS: Mapping[str, Callable[[str], Any]] = {
    "x": _special,
    "other": lambda dtype: _special(dtype)[::-1, ::-1].copy(),
    "finite": _random,
    "near": lambda dtype: np.tanh(_random(dtype)),
    "ends": lambda dtype: np.where(np.eye(ROWS, ENTRIES) > 0, np.asarray(np.inf, dtype), np.abs(_random(dtype))),
    "ordered": lambda dtype: np.where(np.isnan(_special(dtype)), np.asarray(3.0, dtype), _special(dtype)),
    "square": lambda dtype: np.stack([_random(dtype), -_random(dtype)], axis=0),
    "row": lambda dtype: _random(dtype)[3],
    "column": lambda dtype: _random(dtype)[:, :1],
    "number": lambda dtype: np.asarray(0.75, dtype),
    "nothing": lambda dtype: np.zeros((0, ENTRIES), dtype),
    "narrow": lambda dtype: np.zeros((ROWS, 0), dtype),
    "mask": lambda _: np.random.default_rng(21).random((ROWS, ENTRIES)) < 0.5,
    "none": lambda _: np.zeros((ROWS, ENTRIES), bool),
    "every": lambda _: np.ones((ROWS, ENTRIES), bool),
    "ids": lambda _: np.random.default_rng(22).integers(0, ENTRIES, ROWS),
    "id": lambda _: np.asarray(2),
    "whole": lambda _: np.random.default_rng(23).integers(-40, 40, (ROWS, ENTRIES)),
    "small": lambda _: np.random.default_rng(23).integers(-40, 40, (ROWS, ENTRIES)).astype(np.int32),
}
SHARED = ("row", "number", "id")
"""What all rows have in common, where the engine works on one row after the other."""


class Row(NamedTuple):
    """A use of a name, which is no function only where the call says so."""

    name: str
    call: Callable[..., Any]
    inputs: tuple[str, ...] = ("x",)
    eps: float = 0.0
    """So many units in the last place frameworks may be off: 0 where there is nothing to round."""
    halves: bool = False
    """Whether it is applied to halves too: kernels get them widened, but what checks and casts them does not."""
    signs: bool = True
    """Whether a zero has a sign that must be right."""


def element(name: str, eps: float, *inputs: str, signs: bool = True) -> list[Row]:
    """A function of each element: of special numbers, of a number without axes and of nothing."""

    def call(xp: Any, x: Any) -> Any:
        return getattr(xp, name)(x)

    return [Row(name, call, (kind,), eps, signs=signs) for kind in inputs or ("x", "number", "nothing")]


def reduction(name: str, *inputs: str, eps: float = 0.0) -> Iterator[Row]:
    """A function along axes."""
    for keepdims in (False, True):
        for axis in (None, -1, 0, (0, 1)):

            def call(xp: Any, x: Any, axis: Any = axis, keepdims: bool = keepdims) -> Any:
                return getattr(xp, name)(x, axis=axis, keepdims=keepdims)

            yield from (Row(name, call, (kind,), eps) for kind in inputs)
    yield from (Row(name, lambda xp, x: getattr(xp, name)(x), (kind,), eps) for kind in inputs)


def pairs(name: str, eps: float = 0.0) -> Iterator[Row]:
    """A function of two arrays, of which either may be smaller, or a number."""

    def call(xp: Any, x1: Any, x2: Any) -> Any:
        return getattr(xp, name)(x1, x2)

    for inputs in (("x", "other"), ("x", "row"), ("column", "x"), ("x", "number"), ("nothing", "row")):
        yield Row(name, call, inputs, eps, signs=name == "pow")
    for number in (0.0, 1.5, -2.0):
        yield Row(name, lambda xp, x, number=number: getattr(xp, name)(x, number), ("x",), eps, signs=name == "pow")
        yield Row(name, lambda xp, x, number=number: getattr(xp, name)(number, x), ("x",), eps, signs=name == "pow")


TABLE: list[Row] = [
    # Constants and data types.
    Row("inf", lambda xp, x: xp.where(x > 0, x, -xp.inf)),
    Row("inf", lambda xp, x: xp.inf),
    *(
        Row(name, lambda xp, x, name=name: xp.zeros_like(x, dtype=getattr(xp, name)), ("finite",))
        for name in ("bool", "int32", "int64", "float32", "float64")
    ),
    *(
        Row("astype", lambda xp, x, name=name: xp.astype(x, getattr(xp, name)), (kind,))
        for name, kinds in {
            "bool": ("finite", "whole", "none"),
            "int32": ("whole", "mask"),
            "int64": ("small", "mask"),
            "float32": ("x", "whole", "mask", "nothing", "number"),
            "float64": ("x", "small", "mask"),
        }.items()
        for kind in kinds
    ),
    Row("astype", lambda xp, x: xp.astype(x, xp.float32), halves=True),
    Row("astype", lambda xp, x, y: xp.astype(y > 0, x.dtype), ("x", "other"), halves=True),
    *(
        Row("finfo", lambda xp, x, name=name: float(getattr(xp.finfo(x.dtype), name)))
        for name in ("bits", "eps", "max", "min", "smallest_normal")
    ),
    *(Row("iinfo", lambda xp, x, name=name: getattr(xp.iinfo(x.dtype), name), ("small",)) for name in ("max", "min")),
    Row("iinfo", lambda xp, x: xp.iinfo(x.dtype).bits, ("whole",)),
    *(
        Row("isdtype", lambda xp, x, kind=kind: bool(xp.isdtype(x.dtype, kind)), (array,))
        for kind in ("bool", "integral", "signed integer", "unsigned integer", "real floating", "numeric")
        for array in ("x", "mask", "whole")
    ),
    Row("isdtype", lambda xp, x: bool(xp.isdtype(x.dtype, ("integral", "real floating")))),
    Row("isdtype", lambda xp, x: bool(xp.isdtype(x.dtype, x.dtype))),
    Row("result_type", lambda xp, x, y: xp.zeros_like(x, dtype=xp.result_type(x, y)), ("x", "number")),
    Row("result_type", lambda xp, x: xp.zeros_like(x, dtype=xp.result_type(x.dtype, xp.float32))),
    # Creation.
    Row("arange", lambda xp, x: xp.arange(ENTRIES, dtype=x.dtype), ("whole",)),
    Row("arange", lambda xp, x: xp.astype(xp.arange(3, dtype=xp.int32), x.dtype)),
    Row("arange", lambda xp, x: xp.arange(0, dtype=xp.int64)),
    Row("arange", lambda xp, x: xp.arange(x.shape[-1], dtype=x.dtype, device=getattr(x, "device", None) or None)),
    *(
        Row("asarray", lambda xp, x, number=n: xp.asarray(number, dtype=x.dtype))
        for n in (2, 0.1, -0.0, np.inf, np.nan)
    ),
    Row("asarray", lambda xp, x: xp.asarray(True, dtype=xp.bool)),
    Row("asarray", lambda xp, x: xp.asarray(-3, dtype=x.dtype), ("small",)),
    *(
        Row("full_like", lambda xp, x, number=number: xp.full_like(x, number), (kind,), halves=kind != "whole")
        for number, kinds in {2: ("x", "whole", "nothing"), 0.1: ("x", "number"), np.nan: ("x",), -0.0: ("x",)}.items()
        for kind in kinds
    ),
    Row("full_like", lambda xp, x: xp.full_like(x, True, dtype=xp.bool)),
    *(
        Row(name, lambda xp, x, name=name: getattr(xp, name)(x), (kind,), halves=True)
        for name in ("ones_like", "zeros_like")
        for kind in ("x", "whole", "mask", "nothing", "number")
    ),
    Row("ones_like", lambda xp, x: xp.ones_like(x, dtype=xp.bool)),
    Row("zeros_like", lambda xp, x: xp.zeros_like(x, dtype=xp.int32)),
    # Element by element.
    *element("abs", 0, "x", "number", "nothing", "whole"),
    *element("exp", 4),
    *element("expm1", 4),
    *element("floor", 0),
    *element("isfinite", 0),
    *element("isinf", 0),
    *element("isnan", 0),
    *(Row(n, lambda xp, x, n=n: getattr(xp, n)(x), halves=True) for n in ("isfinite", "isinf", "isnan")),
    *element("log", 4),
    *element("log1p", 4),
    *element("sign", 0, "x", "number", "nothing", "whole", signs=False),
    *element("sinh", 4, "near", "number", "nothing"),
    *element("sinh", 16, "x"),
    *element("sqrt", 1),
    *element("tanh", 4),
    *pairs("maximum"),
    *pairs("minimum"),
    *pairs("pow", 8),
    Row("pow", lambda xp, x: xp.pow(x, 2), eps=2),
    *(
        Row("clip", lambda xp, x, low=low, high=high: xp.clip(x, low, high), signs=low != 0.0)
        for low, high in ((-1.0, 1.0), (None, 1.0), (-0.5, None), (-1, 1), (0.0, 1e30))
    ),
    Row("clip", lambda xp, x: xp.clip(x, min=0.0, max=2.0), signs=False),
    Row("clip", lambda xp, x: xp.clip(x, -3, 7), ("whole",)),
    Row("clip", lambda xp, x: xp.clip(x, 0.0, 1.0), ("nothing",)),
    Row("clip", lambda xp, x, y: xp.clip(x, -y, y), ("x", "number")),
    Row("clip", lambda xp, x, y: xp.clip(x, -xp.abs(y), xp.abs(y)), ("x", "column")),
    Row("where", lambda xp, c, x, y: xp.where(c, x, y), ("mask", "x", "other"), halves=True),
    *(Row("where", lambda xp, c, x, n=n: xp.where(c, x, n), ("mask", "x"), halves=True) for n in (0.0, -0.0, 1, 0.5)),
    *(Row("where", lambda xp, c, x, n=n: xp.where(c, n, x), ("mask", "x")) for n in (0.0, 1.0, np.inf, np.nan)),
    Row("where", lambda xp, c, x: xp.where(c, x, -x), ("mask", "x")),
    Row("where", lambda xp, c, x: xp.where(c, x, 0), ("mask", "whole")),
    Row("where", lambda xp, c, x, y: xp.where(c, x > 0, y > 0), ("mask", "x", "other")),
    Row("where", lambda xp, x, y: xp.where(y > 0, x, 1.0), ("x", "row")),
    Row("where", lambda xp, x, y: xp.where(x > 0, y, 1.0), ("x", "column")),
    Row("where", lambda xp, x, y: xp.where(y > 0, x, 0.0), ("x", "number")),
    Row("where", lambda xp, x: xp.where(x > 0, x, 0.0), ("nothing",)),
    # Reductions.
    *reduction("all", "mask", "every", "none"),
    *reduction("any", "mask", "every", "none"),
    Row("any", lambda xp, x: xp.any(x > 0), ("nothing",)),
    Row("all", lambda xp, x: xp.all(x > 0), ("nothing",)),
    *reduction("max", "x", "ordered", "whole"),
    *reduction("min", "x", "ordered", "whole"),
    *reduction("mean", "finite", eps=16),
    Row("mean", lambda xp, x: xp.mean(x, axis=-1), ("ends",), eps=16),
    *reduction("sum", "finite", "whole", eps=16),
    Row("sum", lambda xp, x: xp.sum(x, axis=-1), ("ends",), eps=16),
    Row("sum", lambda xp, x: xp.sum(x, axis=-1, keepdims=True), ("narrow",)),
    Row("sum", lambda xp, x: xp.sum(x), ("nothing",)),
    Row("sum", lambda xp, x: xp.sum(xp.astype(x, xp.int32), axis=-1, dtype=xp.int32), ("mask",)),
    *(
        Row("argmax", lambda xp, x, axis=axis: xp.argmax(x, axis=axis), (kind,))
        for axis in (None, -1, 0)
        for kind in ("ordered", "small")
    ),
    Row("argmax", lambda xp, x: xp.argmax(x, axis=-1, keepdims=True), ("finite",)),
    # Order and entries.
    Row("cumulative_sum", lambda xp, x: xp.cumulative_sum(x, axis=-1), ("finite",), eps=16),
    Row("cumulative_sum", lambda xp, x: xp.cumulative_sum(x, axis=0, include_initial=True), ("finite",), eps=16),
    *(
        Row("cumulative_sum", lambda xp, x: xp.cumulative_sum(x, axis=-1, include_initial=True), (kind,), eps=16)
        for kind in ("finite", "row", "ends", "whole", "nothing", "narrow", "square")
    ),
    Row("sort", lambda xp, x: xp.sort(x), ("ordered",)),
    Row("sort", lambda xp, x: xp.sort(x, axis=0), ("ordered",)),
    Row("sort", lambda xp, x: xp.sort(x), ("whole",)),
    Row("sort", lambda xp, x: xp.sort(x), ("nothing",)),
    Row("take", lambda xp, x, i: xp.take(x, i, axis=0), ("row", "ids")),
    Row("take", lambda xp, x, i: xp.take(x, i, axis=1), ("x", "ids")),
    Row("take", lambda xp, x, i: xp.take(x, xp.stack([i, i - 1]), axis=0), ("row", "id")),
    Row("take_along_axis", lambda xp, x, i: xp.take_along_axis(x, i[..., None], axis=-1), ("x", "ids")),
    Row(
        "take_along_axis",
        lambda xp, x, i: xp.take_along_axis(x, xp.astype(i[..., None], xp.int32), axis=-1),
        ("x", "ids"),
    ),
    # Shapes.
    Row("broadcast_arrays", lambda xp, x, y: xp.broadcast_arrays(x, y)[1], ("x", "row")),
    Row("broadcast_arrays", lambda xp, x, y: xp.broadcast_arrays(x, y)[0], ("number", "column")),
    *(
        Row("broadcast_to", lambda xp, x, y: xp.broadcast_to(y, x.shape), ("x", kind), halves=True)
        for kind in ("x", "row", "column", "number", "mask")
    ),
    *(
        Row("concat", lambda xp, x, y, axis=axis: xp.concat([x, y], axis=axis), ("x", "other"), halves=True)
        for axis in (0, 1, -1)
    ),
    Row("concat", lambda xp, x, y: xp.concat([x, y]), ("x", "nothing")),
    *(Row("expand_dims", lambda xp, x, axis=axis: xp.expand_dims(x, axis=axis)) for axis in (0, 1, 2, -1)),
    Row("matrix_transpose", lambda xp, x: xp.matrix_transpose(x)),
    Row("matrix_transpose", lambda xp, x: xp.matrix_transpose(x), ("square",)),
    *(
        Row("moveaxis", lambda xp, x, a=a, b=b: xp.moveaxis(x, a, b), ("square",))
        for a, b in ((0, -1), (-1, 0), (1, 2), (2, 2), ((0, 1), (-2, -1)))
    ),
    *(
        Row("reshape", lambda xp, x, shape=shape: xp.reshape(x, shape), halves=True)
        for shape in ((-1,), (ENTRIES, ROWS), (1, -1, 1), (ROWS, ENTRIES))
    ),
    Row("reshape", lambda xp, x: xp.reshape(x, (0,)), ("nothing",)),
    Row("reshape", lambda xp, x: xp.reshape(x, (1,)), ("number",)),
    Row("squeeze", lambda xp, x: xp.squeeze(x, axis=-1), ("column",)),
    Row("squeeze", lambda xp, x: xp.squeeze(x[None, ...], axis=(0, 2)), ("column",)),
    *(Row("stack", lambda xp, x, y, axis=axis: xp.stack([x, y], axis=axis), ("x", "other")) for axis in (0, 1, -1)),
    Row("stack", lambda xp, x, y: xp.stack([x, y]), ("number", "number")),
]

UNTRACED = {
    "argmax",
    "broadcast_arrays",
    "concat",
    "cumulative_sum",
    "floor",
    "matrix_transpose",
    "mean",
    "moveaxis",
    "reshape",
    "result_type",
    "sort",
    "squeeze",
    "stack",
}
"""What makes the engine leave a call to the namespace of the arrays."""


@pytest.fixture(scope="module")
def standard() -> Any:
    """array-api-strict, with every optional feature off."""
    strict = pytest.importorskip("array_api_strict")
    strict.set_array_api_strict_flags(
        api_version="2024.12", boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    )
    return strict


def arrays_of(row: Row, dtype: str) -> list[Any]:
    return [INPUTS[kind](dtype) for kind in row.inputs]


def expected_of(standard: Any, row: Row, dtype: str) -> Any:
    """What the standard says, as NumPy has it: of halves, what it says of the same numbers in float32."""
    arrays = arrays_of(row, dtype)
    if dtype == "float16":
        arrays = [array.astype(np.float32) if array.dtype == np.float16 else array for array in arrays]
    with np.errstate(all="ignore"):
        found = row.call(standard, *map(standard.asarray, arrays))
    return np.asarray(found._array) if hasattr(found, "_array") else found


def compare(actual: Any, expected: Any, eps: float, signs: bool) -> None:
    """Shape, dtype and values; NaN equals NaN, and a zero has its sign."""
    __tracebackhide__ = True
    actual = np.asarray(actual)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    # Compilers take numbers below the normal ones for 0.
    least = float(np.finfo(expected.dtype).smallest_normal) if eps else 0.0
    np.testing.assert_allclose(actual, expected, rtol=eps * np.finfo(expected.dtype).eps, atol=least, equal_nan=True)
    if signs:
        zeros = (actual == 0) & (expected == 0)
        np.testing.assert_array_equal(np.signbit(actual[zeros]), np.signbit(expected[zeros]))


@pytest.mark.numpy
def test_every_name_has_rows_that_use_it(standard: Any) -> None:
    assert {row.name for row in TABLE} == NAMES
    for row in TABLE:
        used: set[str] = set()

        class Recorder:
            def __getattr__(self, name: str, used: set[str] = used) -> Any:
                used.add(name)
                return getattr(standard, name)

        with np.errstate(all="ignore"):
            row.call(Recorder(), *map(standard.asarray, arrays_of(row, "float64")))
        assert row.name in used
        assert used <= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_backend_does_what_the_standard_says(backend: Any, standard: Any, name: str) -> None:
    for row in (row for row in TABLE if row.name == name):
        for dtype in ("float32", "float64", *(("float16",) if row.halves and "float16" in backend.dtypes else ())):
            arrays = [backend.from_numpy(array, str(array.dtype)) for array in arrays_of(row, dtype)]
            xp = backend_of(arrays[0]).namespace(arrays[0])
            with np.errstate(all="ignore"):
                actual = row.call(xp, *arrays)
            expected = expected_of(standard, row, dtype)
            case = f"{row.name} of {', '.join(row.inputs)} in {dtype}, row {TABLE.index(row)}"
            if not isinstance(expected, np.ndarray):
                assert not hasattr(actual, "shape"), case
                if name != "finfo" or dtype != "float16":
                    assert actual == expected, case
                continue
            assert backend.owns(actual), case
            actual = backend.numpy(actual)
            if dtype == "float16" and actual.dtype == np.float16:
                actual, expected = actual.astype(np.float32), expected.astype(np.float16).astype(np.float32)
            try:
                compare(actual, expected, row.eps, row.signs)
            except AssertionError as error:
                raise AssertionError(f"{case}: {error}") from None


class Work:
    """A row, as work of the engine on one row of arrays after the other."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def block(self, xp: Any, rows: Mapping[str, Any], fixed: Mapping[str, Any], wanted: Sequence[str]) -> Any:
        """What is found of each row, in float64, since the engine adds it up. What is the same for all rows is added
        to -0, which changes nothing."""
        arrays = {**rows, **fixed}
        assert isinstance(xp, Trace)
        found = self.row.call(xp, *(arrays[f"{place}"] for place in range(len(self.row.inputs))))
        first: Any = next(iter(rows.values()))
        if not hasattr(found, "shape"):
            return {"found": xp.full_like(first, float(found), dtype=xp.float64)}
        found, nothing = xp.astype(found, xp.float64), cast(Any, xp.full_like(first, -0.0, dtype=xp.float64))
        return {"found": found if is_of_rows(found) else nothing + found}


def is_of_rows(symbol: Any) -> bool:
    return bool(symbol.lengths) and symbol.lengths[0] is ALL_ROWS


def traced(row: Row, dtype: str) -> Any:
    """What the engine finds, or None where it cannot."""
    arrays = dict(zip(map(str, range(len(row.inputs))), arrays_of(row, dtype), strict=True))
    fixed = {key: arrays[key] for key, kind in zip(arrays, row.inputs, strict=True) if kind in SHARED}
    rows = {key: array for key, array in arrays.items() if key not in fixed}
    found = numpy_backend.by_rows(Work(row), rows, fixed, ("found",)) if rows else None
    return None if found is None else found["found"]


@pytest.mark.numpy
@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_engine_does_what_the_standard_says(standard: Any, name: str) -> None:
    count = 0
    for row in (row for row in TABLE if row.name == name):
        for dtype in ("float32", "float64"):
            expected, actual = expected_of(standard, row, dtype), traced(row, dtype)
            if actual is None:
                continue
            count += 1
            case = f"{row.name} of {', '.join(row.inputs)} in {dtype}, row {TABLE.index(row)}"
            expected = np.broadcast_to(np.asarray(expected, np.float64), actual.shape)
            try:
                compare(actual, expected, row.eps * (2.0**29 if dtype == "float32" else 1.0), row.signs)
            except AssertionError as error:
                raise AssertionError(f"{case}: {error}") from None
    assert (count == 0) == (name in UNTRACED)


def names_of(code: str) -> set[str]:
    """What is used of a namespace: of `xp`, and of what a function `namespace` returns."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute):
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            if ast.unparse(owner).endswith("namespace" if owner is not node.value else "xp"):
                found.add(node.attr)
    return found


def test_the_names_are_those_that_polyloss_uses() -> None:
    """And a few that its engine knows too."""
    files = Path(polyloss.__file__).parent.rglob("*.py")
    used = set().union(*(names_of(path.read_text(encoding="utf-8")) for path in files))
    assert used <= NAMES
    assert NAMES - used <= {"float64", "isnan", "minimum", "pow"}


def test_a_name_is_seen_wherever_it_is_used() -> None:
    code = "xp.sum(x); namespace(x).floor(x); backend_of(x).namespace(x).sort(x); self.xp.exp; found(x).mean(x)"
    assert names_of(code) == {"sum", "floor", "sort", "exp"}
