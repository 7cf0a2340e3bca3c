"""Arrays without automatic differentiation: NumPy, array-api-strict, Dask."""

from typing import Any

import numpy as np
import pytest

import polyloss
import polyloss_numpy
from polyloss.engine import compiled

from .ordinary import ordinary

LOSSES = {name: value for name, value in vars(polyloss).items() if isinstance(value, polyloss.Loss)}


def arguments(name: str, rng: Any) -> list[Any]:
    """Arrays that a loss accepts."""
    return list(ordinary(LOSSES[name], rng))


def options(name: str, rng: Any) -> dict[str, Any]:
    mask = rng.random((6, 4)) < 0.7
    mask[0] = True
    by_row = LOSSES[name].rowwise or LOSSES[name].fuse is not None
    return {"sample_weight": rng.random(6), "where": mask[:, 0] if by_row else mask}


@pytest.mark.parametrize("name", LOSSES)
def test_read_only_arrays(name: str, rng: Any) -> None:
    arrays = arguments(name, rng)
    expected = polyloss.value_and_grad(LOSSES[name])(*arrays)
    for array in arrays:
        array.flags.writeable = False
    value, gradient = polyloss.value_and_grad(LOSSES[name])(*arrays)
    assert value == expected[0]
    assert np.array_equal(gradient, expected[1])
    gradient += 1.0  # the caller's own


@pytest.mark.parametrize("name", LOSSES)
def test_closed_form_against_differences(name: str, rng: Any) -> None:
    arrays, more = arguments(name, rng), options(name, rng)
    step = rng.normal(size=arrays[0].shape) * 1e-6
    _, gradient = polyloss.value_and_grad(LOSSES[name])(*arrays, **more)
    ahead, behind = (float(LOSSES[name](arrays[0] + sign * step, *arrays[1:], **more)) for sign in (0.5, -0.5))
    np.testing.assert_allclose(np.sum(gradient * step), ahead - behind, rtol=1e-4, atol=1e-14)


@pytest.mark.parametrize("version", ["2023.12", "2024.12"])
@pytest.mark.parametrize("name", LOSSES)
def test_strict(name: str, version: str, rng: Any) -> None:
    strict = pytest.importorskip("array_api_strict")
    arrays, more = arguments(name, rng), options(name, rng)
    expected = polyloss.value_and_grad(LOSSES[name])(*arrays, **more)
    with strict.ArrayAPIStrictFlags(
        api_version=version, boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    ):
        value, gradient = polyloss.value_and_grad(LOSSES[name])(
            *map(strict.asarray, arrays), **{key: strict.asarray(option) for key, option in more.items()}
        )
        assert isinstance(value, type(strict.asarray(0)))
        assert (value.shape, value.dtype) == ((), strict.float64)
        assert (gradient.shape, gradient.dtype) == (arrays[0].shape, strict.float64)
        np.testing.assert_allclose(float(value), expected[0], rtol=1e-13)
        np.testing.assert_allclose(np.from_dlpack(gradient), expected[1], rtol=1e-13, atol=1e-16)


def now(*_: Any, **__: Any) -> Any:
    raise AssertionError("computed while the graph was built")


@pytest.mark.parametrize("name", LOSSES)
def test_dask_computes_nothing_early(name: str, rng: Any) -> None:
    dask = pytest.importorskip("dask")
    da = pytest.importorskip("dask.array")

    def lazy(array: Any) -> Any:
        return da.from_array(array, chunks=2)

    arrays, more = arguments(name, rng), options(name, rng)
    expected = polyloss.value_and_grad(LOSSES[name])(*arrays, **more)
    with dask.config.set(scheduler=now):
        value, gradient = polyloss.value_and_grad(LOSSES[name])(
            *map(lazy, arrays), **{key: lazy(option) for key, option in more.items()}
        )
        losses = LOSSES[name](*map(lazy, arrays), reduction="none")
    for array in (value, gradient, losses):
        assert isinstance(array, da.Array)
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_allclose(value.compute(), expected[0], rtol=1e-13)
        np.testing.assert_allclose(gradient.compute(), expected[1], rtol=1e-13, atol=1e-16)
        np.testing.assert_allclose(losses.compute(), LOSSES[name](*arrays, reduction="none"), rtol=1e-13)


@pytest.mark.parametrize(
    "more",
    [
        {"reduction": "sum"},
        {"reduction": "weighted_mean"},
        {"reduction": "mean", "denominator": 9},
        {"reduction": "mean", "denominator": np.asarray(9.0)},
    ],
    ids=["sum", "weighted_mean", "number", "array"],
)
@pytest.mark.parametrize("name", ["huber", "cross_entropy", "info_nce", "linear_cross_entropy"])
@pytest.mark.parametrize("mixed", [False, True], ids=["dask", "prediction of numpy"])
def test_dask_reductions(name: str, more: dict[str, Any], mixed: bool, dask: Any, rng: Any) -> None:
    """All reductions are lazy. One lazy array makes the call lazy, wherever it comes."""
    from dask import config

    arrays, more = arguments(name, rng), options(name, rng) | more
    expected = polyloss.value_and_grad(LOSSES[name])(*arrays, **more)
    with config.set(scheduler=now):
        lazy = [dask.array(array) if place or not mixed else array for place, array in enumerate(arrays)]
        lazily = {key: dask.array(v) if isinstance(v, np.ndarray) else v for key, v in more.items()}
        value, gradient = polyloss.value_and_grad(LOSSES[name])(*lazy, **lazily)
    assert dask.owns(value)
    assert dask.owns(gradient)
    with config.set(scheduler="synchronous"):
        np.testing.assert_allclose(value.compute(), expected[0], rtol=1e-13)
        np.testing.assert_allclose(gradient.compute(), expected[1], rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.fuse is None])
def test_dask_has_one_chunk_at_a_time(name: str, rng: Any) -> None:
    """Of losses whose examples share nothing, no result is as large as all rows: see `_InChunks`."""
    da = pytest.importorskip("dask.array")
    callbacks = pytest.importorskip("dask.callbacks")
    arrays = ordinary(LOSSES[name], rng, rows=64, classes=3)
    lazy = [da.from_array(array, chunks=(4, *array.shape[1:])) for array in arrays]
    value, gradient = polyloss.value_and_grad(LOSSES[name])(*lazy)
    sizes: list[int] = []
    with callbacks.Callback(posttask=lambda key, result, *_: sizes.append(getattr(result, "size", 1))):
        da.compute(value, (gradient * gradient).sum(), scheduler="synchronous", optimize_graph=False)
    assert max(sizes) <= 4 * 3 * 3


def test_dask_of_unknown_length(rng: Any) -> None:
    da = pytest.importorskip("dask.array")
    x = da.from_array(rng.normal(size=6), chunks=2)
    some = x[x > 0]
    with pytest.raises(TypeError, match="mse: prediction must be a plain array, got one whose length is not known"):
        polyloss.mse(some, some)
    with pytest.raises(TypeError, match=r"mse: where .* call its compute_chunk_sizes\(\) first"):
        polyloss.mse(x, x, where=some > 1)
    some.compute_chunk_sizes()
    assert float(polyloss.mse(some, some)) == 0.0


def test_dask_bad_values_become_nan(rng: Any) -> None:
    da = pytest.importorskip("dask.array")
    logits = da.from_array(rng.normal(size=(3, 4)), chunks=2)
    losses = polyloss.cross_entropy(logits, da.from_array(np.asarray([1, 4, -1]), chunks=2), reduction="none")
    assert np.isnan(losses.compute(scheduler="synchronous")).tolist() == [False, True, True]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
def test_the_kind_of_a_result_is_always_the_same(dtype: str, reduction: Any, rng: Any) -> None:
    x, y = rng.normal(size=(2, 6)).astype(dtype)
    for more in ({}, {"where": y > 0}, {"sample_weight": y**2}):
        value = polyloss.huber(x, y, reduction=reduction, **more)
        of_pair, gradient = polyloss.value_and_grad(polyloss.huber)(x, y, reduction=reduction, **more)
        assert type(value) is type(of_pair) is np.dtype(dtype).type
        assert type(gradient) is np.ndarray
        assert gradient.dtype == dtype


def test_numpy_scalars() -> None:
    assert polyloss.mse(np.float64(3.0), np.float64(1.0)) == 4.0
    assert polyloss.mse(np.float32(3.0), np.float32(1.0)).dtype == np.float32
    x, y = np.asarray([3.0, 0.5]), np.zeros(2)
    delta: Any
    bad: Any
    for delta in (np.float64(2.0), np.float32(2.0), np.int64(2), np.asarray(2.0)):
        assert polyloss.huber(x, y, delta=delta) == polyloss.huber(x, y, delta=2.0)
    for bad in (np.float64(-2.0), np.float32(-2.0), np.asarray(-2.0)):
        with pytest.raises(ValueError, match="delta must be positive"):
            polyloss.huber(x, y, delta=bad)


def test_only_losses_have_gradients() -> None:
    x = np.ones(3)
    with pytest.raises(TypeError, match="must be a loss or a sum of losses"):
        polyloss.value_and_grad(lambda a: (a * a).sum())(x)


def test_nothing_to_compile() -> None:
    assert polyloss_numpy.backend.compile(polyloss.mse) is polyloss.mse
    x = np.ones(3)
    assert polyloss.stop_gradient(x) is x


def test_bfloat16_of_ml_dtypes() -> None:
    """NumPy itself does not know what kind of dtype that is."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    half = ml_dtypes.bfloat16
    logits, shares = np.asarray([[0.5, -1.0, 2.0]]), np.asarray([[0.25, 0.25, 0.5]])
    expected = float(polyloss.cross_entropy(logits, shares))
    for dtypes in ((half, half), (np.float32, half), (half, np.float32)):
        arrays = [array.astype(dtype) for array, dtype in zip((logits, shares), dtypes, strict=True)]
        value, gradient = polyloss.value_and_grad(polyloss.cross_entropy)(*arrays)
        assert float(value) == pytest.approx(expected, rel=2**-8)
        assert gradient.dtype == dtypes[0]
    x = np.asarray([1.0, 3.0], np.float32)
    assert float(polyloss.huber(x, x - 1, delta=np.asarray(0.5, half))) == 0.375
    with pytest.raises(TypeError, match="nll: target with one value per row holds class ids: integers"):
        polyloss.nll(np.asarray([[-1.0, -2.0]]).astype(half), np.asarray([0.5]).astype(half))
    for dtype in (ml_dtypes.float8_e4m3fn, ml_dtypes.int4):
        with pytest.raises(TypeError, match=f"mse: prediction must be a plain array, got dtype {np.dtype(dtype)}, in"):
            polyloss.mse(np.ones(3).astype(dtype), np.ones(3).astype(dtype))


def test_what_many_values_leave_behind() -> None:
    """A number that a kernel branches on is traced for anew. Of many such, few are kept."""
    x = np.asarray([[1.0, 2.0], [0.5, -1.0]])
    for number in range(300):
        polyloss.triplet_margin(x, x + 1, -x, p=2.5 + number / 1024)
    assert 0 < compiled.compiled.cache_info().currsize <= 256
