"""The names that a kernel may use of its namespace, on every framework and in the engine.

`Namespace` is what type checkers know of `xp`: a name that is not here, or a keyword that a function does not take, is
an error before anything runs. Each name is tested on every backend against array-api-strict.

While it runs, a kernel may use any function of the Array API standard that its framework has; but no checker knows it,
and the engine makes such calls on whole arrays.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

Array: TypeAlias = Any
"""An array of any framework.

No protocol: what users hand over and get back is a tensor of PyTorch, an array of JAX or of NumPy, and a type with the
few operators that they share would deny them ``loss.backward()`` and ``loss.item()``.
"""

DType: TypeAlias = Any
Scalar: TypeAlias = bool | int | float
Flag: TypeAlias = bool
Axis: TypeAlias = int | tuple[int, ...]
Arrays: TypeAlias = list[Any] | tuple[Any, ...]
Shape: TypeAlias = tuple[Any, ...]
"""Lengths. While tracing, some are arrays without axes."""


class FloatInfo(Protocol):
    """The limits of a floating dtype."""

    @property
    def bits(self) -> int:
        """How many bits a number has."""

    @property
    def eps(self) -> Any:
        """The distance of 1 to the next number."""

    @property
    def max(self) -> Any:
        """The largest number."""

    @property
    def min(self) -> Any:
        """The least number."""

    @property
    def smallest_normal(self) -> Any:
        """The least positive number that has all its digits."""


class IntegerInfo(Protocol):
    """The limits of an integer dtype."""

    @property
    def bits(self) -> int:
        """How many bits a number has."""

    @property
    def max(self) -> int:
        """The largest number."""

    @property
    def min(self) -> int:
        """The least number."""


class Namespace(Protocol):
    """The functions that work on one kind of array: a part of the Array API standard 2024.12."""

    # ------------------------------------------------------------------------------------------- constants, data types

    @property
    def inf(self) -> float:
        """Infinity."""

    @property
    def bool(self) -> DType:
        """The dtype of conditions."""

    @property
    def int32(self) -> DType:
        """A dtype."""

    @property
    def int64(self) -> DType:
        """A dtype."""

    @property
    def float32(self) -> DType:
        """A dtype."""

    @property
    def float64(self) -> DType:
        """A dtype."""

    def astype(self, x: Array, dtype: DType, /) -> Array:
        """`x` in another dtype."""

    def finfo(self, type: DType, /) -> FloatInfo:
        """The limits of a floating dtype."""

    def iinfo(self, type: DType, /) -> IntegerInfo:
        """The limits of an integer dtype."""

    def isdtype(self, dtype: DType, kind: DType | str | tuple[DType | str, ...]) -> Flag:
        """Whether a dtype is of a kind, such as ``"integral"``."""

    def result_type(self, *arrays_and_dtypes: Any) -> DType:
        """The dtype that arrays and dtypes have in common."""

    # -------------------------------------------------------------------------------------------------------- creation

    def arange(self, stop: Any, /, *, dtype: DType, device: Any = None) -> Array:
        """The whole numbers below `stop`."""

    def asarray(self, obj: Any, /, *, dtype: DType, device: Any = None) -> Array:
        """A number as an array without axes."""

    def full_like(self, x: Array, /, fill_value: Scalar, *, dtype: DType | None = None) -> Array:
        """An array of one number, in the shape of `x`."""

    def ones_like(self, x: Array, /, *, dtype: DType | None = None) -> Array:
        """Ones in the shape of `x`."""

    def zeros_like(self, x: Array, /, *, dtype: DType | None = None) -> Array:
        """Zeros in the shape of `x`."""

    # ---------------------------------------------------------------------------------------------- element by element

    def abs(self, x: Array, /) -> Array:
        """The absolute value."""

    def clip(self, x: Array, /, min: Array | Scalar | None = None, max: Array | Scalar | None = None) -> Array:
        """`x` within bounds."""

    def exp(self, x: Array, /) -> Array:
        """The exponential."""

    def expm1(self, x: Array, /) -> Array:
        """``exp(x) - 1``, exact near 0."""

    def floor(self, x: Array, /) -> Array:
        """The next whole number below."""

    def isfinite(self, x: Array, /) -> Array:
        """Where `x` is neither infinite nor NaN."""

    def isinf(self, x: Array, /) -> Array:
        """Where `x` is infinite."""

    def isnan(self, x: Array, /) -> Array:
        """Where `x` is NaN."""

    def log(self, x: Array, /) -> Array:
        """The natural logarithm."""

    def log1p(self, x: Array, /) -> Array:
        """``log(1 + x)``, exact near 0."""

    def maximum(self, x1: Array | Scalar, x2: Array | Scalar, /) -> Array:
        """The larger one of each two."""

    def minimum(self, x1: Array | Scalar, x2: Array | Scalar, /) -> Array:
        """The smaller one of each two."""

    def pow(self, x1: Array | Scalar, x2: Array | Scalar, /) -> Array:
        """``x1 ** x2``"""

    def sign(self, x: Array, /) -> Array:
        """-1, 0 or 1, and NaN of NaN."""

    def sinh(self, x: Array, /) -> Array:
        """The hyperbolic sine, exact near 0. Far out, that of JAX is up to 13 units in the last place off."""

    def sqrt(self, x: Array, /) -> Array:
        """The square root."""

    def tanh(self, x: Array, /) -> Array:
        """The hyperbolic tangent."""

    def where(self, condition: Array, x1: Array | Scalar, x2: Array | Scalar, /) -> Array:
        """`x1` where the condition holds, elsewhere `x2`. One of both is an array."""

    # ------------------------------------------------------------------------------------------------------ reductions

    def all(self, x: Array, /, *, axis: Axis | None = None, keepdims: Flag = False) -> Array:
        """Whether all are true."""

    def any(self, x: Array, /, *, axis: Axis | None = None, keepdims: Flag = False) -> Array:
        """Whether one is true."""

    def argmax(self, x: Array, /, *, axis: int | None = None, keepdims: Flag = False) -> Array:
        """The place of the largest."""

    def max(self, x: Array, /, *, axis: Axis | None = None, keepdims: Flag = False) -> Array:
        """The largest."""

    def mean(self, x: Array, /, *, axis: Axis | None = None, keepdims: Flag = False) -> Array:
        """The mean."""

    def min(self, x: Array, /, *, axis: Axis | None = None, keepdims: Flag = False) -> Array:
        """The smallest."""

    def sum(
        self, x: Array, /, *, axis: Axis | None = None, dtype: DType | None = None, keepdims: Flag = False
    ) -> Array:
        """The sum, which is accurate however many there are."""

    # ---------------------------------------------------------------------------------------------- order and entries

    def cumulative_sum(self, x: Array, /, *, axis: int, include_initial: Flag = False) -> Array:
        """What the entries up to each one sum to; and before these a 0."""

    def sort(self, x: Array, /, *, axis: int = -1) -> Array:
        """`x` in ascending order."""

    def take(self, x: Array, indices: Array, /, *, axis: int) -> Array:
        """The slices at `indices`."""

    def take_along_axis(self, x: Array, indices: Array, /, *, axis: int) -> Array:
        """The entry at each index. Missing before the standard of 2024.12: ask with ``hasattr``."""

    # ---------------------------------------------------------------------------------------------------------- shapes

    def broadcast_arrays(self, *arrays: Array) -> Sequence[Array]:
        """The arrays in the shape that they have in common."""

    def broadcast_to(self, x: Array, /, shape: Shape) -> Array:
        """`x` in a larger shape."""

    def concat(self, arrays: Arrays, /, *, axis: int | None = 0) -> Array:
        """Arrays one behind the other."""

    def expand_dims(self, x: Array, /, *, axis: int) -> Array:
        """`x` with one more axis."""

    def matrix_transpose(self, x: Array, /) -> Array:
        """`x` with the last two axes exchanged."""

    def moveaxis(self, x: Array, source: Axis, destination: Axis, /) -> Array:
        """`x` with axes in other places."""

    def reshape(self, x: Array, /, shape: Shape) -> Array:
        """`x` in another shape."""

    def squeeze(self, x: Array, /, axis: Axis) -> Array:
        """`x` without axes of length 1."""

    def stack(self, arrays: Arrays, /, *, axis: int = 0) -> Array:
        """Arrays side by side along a new axis."""
