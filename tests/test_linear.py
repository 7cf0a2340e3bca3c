"""Linear cross entropy: what cross entropy of the logits is, in chunks, with every gradient, transform and compiler."""

import math
import tracemalloc
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import polyloss
from polyloss import cross_entropy, linear_cross_entropy
from polyloss.core import chunked, sums

pytestmark = pytest.mark.unoptimised

TOKENS, FEATURES, CLASSES = 13, 4, 10


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of five rows, the last one shorter, of blocks of two."""
    monkeypatch.setattr(chunked, "CHUNK", 5 * CLASSES)
    monkeypatch.setattr(chunked, "BLOCK", 2 * CLASSES)


def drawn(rng: Any) -> tuple[Any, Any, Any, Any]:
    """Hidden states, weights, bias, class ids."""
    hidden, weight = rng.normal(size=(TOKENS, FEATURES)), rng.normal(size=(CLASSES, FEATURES))
    return hidden, weight, rng.normal(size=CLASSES), rng.integers(0, CLASSES, TOKENS)


def expected(
    hidden: Any,
    weight: Any,
    target: Any,
    *,
    bias: Any = 0.0,
    z_loss: float = 0.0,
    logit_softcap: float | None = None,
    reduction: str = "mean",
    cotangent: Any = None,
    **keywords: Any,
) -> tuple[Any, Any, Any, Any]:
    """The value and the gradients by hidden states, weights and bias, from whole logits in float64."""
    features = hidden.shape[-1]
    raw = hidden @ weight.T + bias
    logits = raw if logit_softcap is None else logit_softcap * np.tanh(raw / logit_softcap)
    norm = np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    weights = {key: keywords[key] for key in ("sample_weight", "where") if key in keywords}
    if keywords.get("ignore_index") is not None:
        weights["where"] = (target != keywords["ignore_index"]) & weights.get("where", True)

    def reduced(**more: Any) -> tuple[Any, Any]:
        found, slope = polyloss.value_and_grad(cross_entropy)(logits, target, **keywords, **more)
        square = np.concatenate([norm, 0 * norm], axis=-1)
        # The same reduction of the squares, as halves of the mean square of two entries.
        if z_loss:
            total = more | {key: value for key, value in weights.items() if key not in more}
            if more.get("reduction") == "weighted_mean" or "denominator" in keywords:
                raise NotImplementedError
            one = polyloss.value_and_grad(polyloss.mse)(square[..., 0], 0 * square[..., 0], **total)
            found = found + z_loss * one[0]
            slope = slope + z_loss * one[1][..., None] * np.exp(logits - norm)
        return found, slope

    if reduction == "none":
        value = cross_entropy(logits, target, reduction="none", **keywords)
        if z_loss:
            value = value + z_loss * polyloss.mse(norm[..., 0], 0 * norm[..., 0], reduction="none", **weights)
        share = cotangent * weights.pop("sample_weight", 1.0)
        keywords.pop("sample_weight", None)
        weights["sample_weight"] = share
        _, slope = reduced(reduction="sum", sample_weight=share)
    else:
        value, slope = reduced(reduction=reduction)
    if logit_softcap is not None:
        slope = slope / np.cosh(raw / logit_softcap) ** 2
    flat = slope.reshape(-1, slope.shape[-1])
    return value, slope @ weight, flat.T @ hidden.reshape(-1, features), np.sum(flat, axis=0)


def exact(hidden: Any, weight: Any, target: Any, z_loss: float, logit_softcap: float) -> tuple[Any, Any, Any]:
    """The sum of the losses and its gradients, in fifty digits."""
    by_hidden, by_weight = np.zeros(hidden.shape), np.zeros(weight.shape)
    with mp.workdps(50):
        total = mp.mpf(0)
        for i, row in enumerate(hidden.tolist()):
            raw = [mp.fsum(mp.mpf(a) * mp.mpf(b) for a, b in zip(row, w, strict=True)) for w in weight.tolist()]
            capped = [logit_softcap * mp.tanh(x / logit_softcap) for x in raw]
            terms = [mp.exp(x) for x in capped]
            norm = mp.log(mp.fsum(terms))
            total += norm - capped[target[i]] + z_loss * norm**2
            slopes = [
                ((1 + 2 * z_loss * norm) * term / mp.fsum(terms) - (c == target[i])) * mp.sech(x / logit_softcap) ** 2
                for c, (term, x) in enumerate(zip(terms, raw, strict=True))
            ]
            by_hidden[i] = [
                float(mp.fsum(s * mp.mpf(w[d]) for s, w in zip(slopes, weight.tolist(), strict=True)))
                for d in range(hidden.shape[1])
            ]
            by_weight += [[float(s * mp.mpf(h)) for h in row] for s in slopes]
    return float(total), by_hidden, by_weight


KEYWORDS: list[dict[str, Any]] = [
    {},
    {"label_smoothing": 0.1},
    {"z_loss": 0.3},
    {"logit_softcap": 1.5},
    {"ignore_index": 3},
    {"class_weight": np.linspace(0.0, 2.0, CLASSES)},
    {"sample_weight": np.linspace(0.5, 2.0, TOKENS)},
    {"where": np.arange(TOKENS) % 3 > 0},
    {
        "label_smoothing": 0.2,
        "z_loss": 0.1,
        "logit_softcap": 2.0,
        "ignore_index": 1,
        "class_weight": np.linspace(1.0, 2.0, CLASSES),
        "where": np.arange(TOKENS) % 4 > 0,
    },
]


def prepared(backend: Any, keywords: dict[str, Any], dtype: str) -> dict[str, Any]:
    return {
        key: backend.array(value, None if value.dtype == bool else dtype) if isinstance(value, np.ndarray) else value
        for key, value in keywords.items()
    }


@pytest.mark.parametrize("keywords", KEYWORDS, ids=lambda keywords: " ".join(keywords) or "nothing")
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_value_and_gradients(backend: Any, rng: Any, keywords: dict[str, Any], reduction: str) -> None:
    hidden, weight, _, target = drawn(rng)
    cotangent = rng.normal(size=TOKENS)
    keywords = keywords | {"reduction": reduction}
    value, by_hidden, by_weight, _ = expected(hidden, weight, target, cotangent=cotangent, **keywords)
    arrays = backend.array(hidden), backend.array(weight), backend.array(target)
    upstream = {"cotangent": cotangent} if reduction == "none" else {}
    found, gradients = backend.value_and_grad(
        linear_cross_entropy, *arrays, **upstream, **prepared(backend, keywords, "float64")
    )
    near(backend, found, value)
    near(backend, gradients[0], by_hidden)
    near(backend, gradients[1], by_weight)


def near(backend: Any, found: Any, wanted: Any, rtol: float = 1e-11) -> None:
    """Sums of products cancel here and there: near to the largest."""
    wanted = np.asarray(wanted)
    assert tuple(found.shape) == wanted.shape
    array = backend.numpy(found).astype(np.float64)
    np.testing.assert_allclose(array, wanted, rtol=rtol, atol=rtol * float(np.max(np.abs(wanted), initial=0.0)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_against_fifty_digits(backend: Any, rng: Any, dtype: str, scale: float) -> None:
    hidden, weight, _, target = drawn(rng)
    # Few digits: products and their sums are exact, whatever the order.
    hidden, weight = np.round(scale * hidden * 16) / 16, np.round(weight * 16) / 16
    wanted = exact(hidden, weight, target, 0.25, 8.0)
    arrays = backend.array(hidden, dtype), backend.array(weight, dtype), backend.array(target)
    found, gradients = backend.value_and_grad(
        linear_cross_entropy, *arrays, z_loss=0.25, logit_softcap=8.0, reduction="sum"
    )
    eps = {"float32": 2.0**-23, "float64": 2.0**-52}[dtype]
    for array, number in zip((found, *gradients), wanted, strict=False):
        near(backend, array, number, 16 * eps)


@pytest.mark.parametrize("reduction", ["none", "mean", "weighted_mean"])
def test_bias_has_a_gradient(backend: Any, rng: Any, reduction: str) -> None:
    hidden, weight, bias, target = drawn(rng)
    keywords = {"reduction": reduction, "bias": bias, "class_weight": np.linspace(1.0, 2.0, CLASSES)}
    cotangent = rng.normal(size=TOKENS)
    value, by_hidden, by_weight, by_bias = expected(hidden, weight, target, cotangent=cotangent, **keywords)
    given = prepared(backend, keywords, "float64")
    arrays = [backend.array(array) for array in (hidden, weight, target)]
    near(backend, linear_cross_entropy(*arrays, **given), value)
    if reduction != "none":
        found, by_name = polyloss.value_and_grad(linear_cross_entropy, ("bias", 1))(*arrays, **given)
        near(backend, found, value)
        near(backend, by_name[0], by_bias)
        near(backend, by_name[1], by_weight)
    if not backend.has_autodiff:
        return
    del given["bias"]

    def loss(hidden: Any, weight: Any, bias: Any, target: Any, **keywords: Any) -> Any:
        return linear_cross_entropy(hidden, weight, target, bias=bias, **given, **keywords)

    upstream = {"cotangent": cotangent} if reduction == "none" else {}
    del given["reduction"]
    found, gradients = backend.value_and_grad(
        loss, *arrays[:2], backend.array(bias), arrays[2], **upstream, reduction=reduction
    )
    near(backend, found, value)
    for gradient, wanted in zip(gradients, (by_hidden, by_weight, by_bias), strict=False):
        near(backend, gradient, wanted)


@pytest.mark.parametrize("keywords", [{}, {"label_smoothing": 0.1, "class_weight": np.linspace(1.0, 2.0, CLASSES)}])
def test_probabilities(backend: Any, rng: Any, keywords: dict[str, Any]) -> None:
    hidden, weight, _, _ = drawn(rng)
    target = rng.dirichlet(np.ones(CLASSES), TOKENS)
    value, by_hidden, by_weight, _ = expected(hidden, weight, target, **keywords)
    by_target = polyloss.value_and_grad(cross_entropy, 1)(hidden @ weight.T, target, **keywords)[1]
    arrays = [backend.array(array) for array in (hidden, weight, target)]
    found, gradients = backend.value_and_grad(linear_cross_entropy, *arrays, **prepared(backend, keywords, "float64"))
    near(backend, found, value)
    for gradient, wanted in zip(gradients, (by_hidden, by_weight, by_target), strict=True):
        near(backend, gradient, wanted)


@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 3), (5,), (2, 5)])
def test_any_number_of_axes(backend: Any, rng: Any, lead: tuple[int, ...]) -> None:
    hidden, weight = rng.normal(size=(*lead, FEATURES)), rng.normal(size=(CLASSES, FEATURES))
    target = np.asarray(rng.integers(0, CLASSES, lead))
    cotangent = np.asarray(rng.normal(size=lead))
    value, by_hidden, by_weight, _ = expected(hidden, weight, target, reduction="none", cotangent=cotangent)
    arrays = [backend.array(array) for array in (hidden, weight, target)]
    found, gradients = backend.value_and_grad(linear_cross_entropy, *arrays, cotangent=cotangent)
    near(backend, found, value)
    near(backend, gradients[0], by_hidden)
    near(backend, gradients[1], by_weight)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtypes(backend: Any, rng: Any, dtype: str) -> None:
    if dtype not in backend.dtypes:
        pytest.skip(f"{backend.name} has no {dtype}")
    hidden, weight, _, target = drawn(rng)
    arrays = backend.array(hidden, dtype), backend.array(weight, dtype)
    hidden, weight = (backend.numpy(array).astype(np.float64) for array in arrays)
    value, by_hidden, by_weight, _ = expected(hidden, weight, target)
    found, gradients = backend.value_and_grad(linear_cross_entropy, *arrays, backend.array(target))
    eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}[dtype]
    for array, wanted in zip((found, *gradients), (value, by_hidden, by_weight), strict=False):
        assert array.dtype == arrays[0].dtype
        near(backend, array, wanted, 8 * eps if dtype == "float32" else eps)


@pytest.fixture
def _usual_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 1 << 24)
    monkeypatch.setattr(chunked, "BLOCK", 1 << 17)


def off_by(backend: Any, loss: Any, hidden: Any, weight: Any, target: Any) -> float:
    """The largest error of the gradients by weight and bias, in eps of the sums of what their terms are in size."""
    arrays = backend.array(hidden, "float32"), backend.array(weight, "float32"), backend.array(target)
    bias = backend.array(np.zeros(len(weight)), "float32")
    if backend.has_autodiff:
        _, found = backend.value_and_grad(lambda h, w, b: loss(h, w, arrays[2], bias=b), *arrays[:2], bias)
    else:
        _, found = polyloss.value_and_grad(loss, (0, 1, "bias"))(*arrays, bias=bias)
    logits = backend.numpy(arrays[0]).astype(np.float64) @ backend.numpy(arrays[1]).astype(np.float64).T
    slope = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    slope = (slope / slope.sum(axis=-1, keepdims=True) - np.eye(len(weight))[target]) / len(hidden)
    features = np.concatenate([backend.numpy(arrays[0]), np.ones((len(hidden), 1))], axis=-1)
    exact, scale = slope.T @ features, abs(slope).T @ abs(features)
    actual = np.concatenate([backend.numpy(found[1]), backend.numpy(found[2])[:, None]], axis=-1)
    return float(np.max(abs(actual - exact) / scale) * 2.0**23)


@pytest.mark.usefixtures("_usual_chunks")
@pytest.mark.parametrize("mode", ["eager", "compiled", "generated"])
@pytest.mark.parametrize("features", [1, 3])
def test_a_long_sum_does_not_drift(backend: Any, rng: Any, features: int, mode: str) -> None:
    """A library may add what all tokens add one by one: then this is off by thousands of eps."""
    loss: Any = linear_cross_entropy
    if mode != "eager":
        if not backend.has_autodiff:
            pytest.skip("has no compiler")
        if mode == "generated" and backend.name == "torch":
            pytest.skip("generates no code for chunks")
        loss = backend.compile(loss, quick=mode == "compiled")
    # The same row again and again: what is rounded away adds up.
    hidden = np.tile(rng.normal(size=(1, features)), (1 << 18, 1))
    assert off_by(backend, loss, hidden, rng.normal(size=(4, features)), np.full(1 << 18, 1)) < 8


@pytest.mark.usefixtures("_usual_chunks")
def test_chunks_add_up(backend: Any, rng: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks of many sums of few terms, the last ones short."""
    monkeypatch.setattr(chunked, "CHUNK", 4 * 1000)
    monkeypatch.setattr(sums, "_BLOCK", 4 * 6)
    hidden, target = np.tile(rng.normal(size=(1, 3)), (40_011, 1)), np.full(40_011, 1)
    assert off_by(backend, linear_cross_entropy, hidden, rng.normal(size=(4, 3)), target) < 8


@pytest.mark.usefixtures("_usual_chunks")
def test_chunks_of_a_larger_layer_add_up(backend: Any, rng: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library sums the rows of a chunk, in an order that depends on the processor: this was off by 28 to 33 eps."""
    monkeypatch.setattr(chunked, "CHUNK", 192 * 1000)
    hidden, target = np.tile(rng.normal(size=(1, 192)), (10_011, 1)), np.full(10_011, 1)
    assert sums.NARROW < 192 * 192
    assert off_by(backend, linear_cross_entropy, hidden, rng.normal(size=(192, 192)) / 192, target) < 64


def test_masked_rows_are_never_looked_at(backend: Any, rng: Any) -> None:
    hidden, weight, _, target = drawn(rng)
    keep = np.arange(TOKENS) % 3 > 0
    value, by_hidden, by_weight, _ = expected(hidden, weight, target, where=keep)
    hidden[~keep], target[~keep] = math.nan, -7
    arrays = backend.array(hidden), backend.array(weight), backend.array(target)
    found, gradients = backend.value_and_grad(linear_cross_entropy, *arrays, where=backend.array(keep))
    near(backend, found, value)
    near(backend, gradients[0], by_hidden)
    near(backend, gradients[1], by_weight)
    found, gradients = backend.value_and_grad(
        linear_cross_entropy, *arrays[:2], backend.array(np.full(TOKENS, -7)), ignore_index=-7
    )
    near(backend, found, 0.0)
    near(backend, gradients[0], np.zeros_like(hidden))
    near(backend, gradients[1], np.zeros_like(weight))


def test_a_class_is_masked_by_its_bias(backend: Any, rng: Any) -> None:
    hidden, weight, bias, target = drawn(rng)
    target = target % (CLASSES - 1)
    bias[-1] = -math.inf
    few = [expected(hidden, weight[:-1], target, bias=bias[:-1], label_smoothing=0.1)[i] for i in (0, 1, 2)]
    found, gradients = backend.value_and_grad(
        linear_cross_entropy,
        *(backend.array(array) for array in (hidden, weight, target)),
        bias=backend.array(bias),
        label_smoothing=0.1,
    )
    near(backend, found, few[0])
    near(backend, gradients[0], few[1])
    near(backend, gradients[1], np.concatenate([few[2], np.zeros((1, FEATURES))]))


def test_a_soft_cap_does_not_cancel(backend: Any) -> None:
    hidden, weight = backend.array([[1.0]], "float32"), backend.array([[40.0], [0.0]], "float32")
    arguments = hidden, weight, backend.array([1])
    _, gradients = backend.value_and_grad(linear_cross_entropy, *arguments, logit_softcap=2.0)
    slope = 1 / math.cosh(20.0) ** 2 / (1 + math.exp(-2.0))
    backend.check(gradients[1], [[slope], [-1 / (1 + math.exp(-2.0))]], rtol=1e-5)


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_compiled(backend: Any, rng: Any, reduction: str) -> None:
    hidden, weight, _, target = drawn(rng)
    cotangent = rng.normal(size=TOKENS)
    keywords: dict[str, Any] = {"label_smoothing": 0.1, "z_loss": 0.1, "reduction": reduction}
    compiled = backend.compile(lambda *arrays: linear_cross_entropy(*arrays, **keywords))

    def run(*arrays: Any, reduction: str = reduction) -> Any:
        return compiled(*arrays)

    for rows in (TOKENS, 7):
        few = hidden[:rows], weight, target[:rows]
        value, by_hidden, by_weight, _ = expected(*few, cotangent=cotangent[:rows], **keywords)
        arrays = [backend.array(array) for array in few]
        near(backend, run(*arrays), value)
        if backend.has_autodiff:
            upstream = {"cotangent": cotangent[:rows]} if reduction == "none" else {}
            found, gradients = backend.value_and_grad(run, *arrays, **upstream)
            near(backend, found, value)
            near(backend, gradients[0], by_hidden)
            near(backend, gradients[1], by_weight)


def test_a_bad_class_id_is_nan_where_nobody_can_look(backend: Any, rng: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("nothing is compiled")
    hidden, weight, _, target = drawn(rng)
    target[4] = CLASSES
    run = backend.compile(lambda *arrays: linear_cross_entropy(*arrays, reduction="none"))
    found = backend.numpy(run(*(backend.array(array) for array in (hidden, weight, target))))
    assert np.isnan(found).tolist() == (target == CLASSES).tolist()


def test_sums_and_partials(backend: Any, rng: Any) -> None:
    hidden, weight, _, target = drawn(rng)
    arrays = [backend.array(array) for array in (hidden, weight, target)]
    total = 0.5 * linear_cross_entropy + linear_cross_entropy.partial(label_smoothing=0.5)
    plain, smooth = expected(hidden, weight, target), expected(hidden, weight, target, label_smoothing=0.5)
    found, gradients = polyloss.value_and_grad(total, (0, 1))(*arrays)
    near(backend, found, 0.5 * plain[0] + smooth[0])
    for i in (0, 1):
        near(backend, gradients[i], 0.5 * plain[i + 1] + smooth[i + 1])


def test_share_gradient(backend: Any, rng: Any) -> None:
    """A weight of an example may be learned, as it may in every loss."""
    if not backend.has_autodiff:
        pytest.skip("no automatic differentiation")
    hidden, weight, _, target = drawn(rng)
    arrays = [backend.array(array) for array in (hidden, weight)]
    ids = backend.array(target)

    def loss(hidden: Any, weight: Any, sample_weight: Any) -> Any:
        return linear_cross_entropy(hidden, weight, ids, sample_weight=sample_weight, reduction="sum")

    found = backend.grad(loss, *arrays, backend.array(np.ones(TOKENS)))[2]
    near(backend, found, cross_entropy(hidden @ weight.T, target, reduction="none"))


def test_errors_name_the_argument(backend: Any) -> None:
    def call(*values: Any, **keywords: Any) -> Any:
        return linear_cross_entropy(*map(backend.array, values), **keywords)

    hidden, weight, target = np.ones((3, 2)), np.ones((4, 2)), np.asarray([0, 1, 2])
    with pytest.raises(TypeError, match="hidden must be real floating"):
        call(hidden.astype(np.int64), weight, target)
    with pytest.raises(TypeError, match="weight must be real floating"):
        call(hidden, weight.astype(np.int64), target)
    with pytest.raises(ValueError, match=r"weight must have the shape \(classes, 2\), got \(4, 3\)"):
        call(hidden, np.ones((4, 3)), target)
    with pytest.raises(ValueError, match=r"target must have class ids, one per row, shape \(3,\), got \(4,\)"):
        call(hidden, weight, np.asarray([0, 1, 2, 3]))
    with pytest.raises(
        ValueError, match=r"target must have .* probability for each class, shape \(3, 4\), got \(3, 2\)"
    ):
        call(hidden, weight, hidden)
    with pytest.raises(ValueError, match=r"target must be class ids in \[0, 4\), got 4 \(element 1"):
        call(hidden, weight, np.asarray([0, 4, 2]))
    with pytest.raises(ValueError, match=r"target must be probabilities in \[0, 1\], got 2"):
        call(hidden, weight, np.full((3, 4), 2.0))
    with pytest.raises(ValueError, match="ignore_index must come with class ids"):
        call(hidden, weight, np.full((3, 4), 0.25), ignore_index=0)
    with pytest.raises(ValueError, match=r"bias must have one number per class, shape \(4,\), got \(3,\)"):
        call(hidden, weight, target, bias=backend.array(np.ones(3)))
    with pytest.raises(TypeError, match="bias must be an array, got float"):
        call(hidden, weight, target, bias=1.0)
    with pytest.raises(ValueError, match="z_loss must be zero or positive and finite, got -1"):
        call(hidden, weight, target, z_loss=-1.0)
    with pytest.raises(ValueError, match="logit_softcap must be positive and finite, got 0"):
        call(hidden, weight, target, logit_softcap=0.0)
    with pytest.raises(ValueError, match=r"z_loss must have the shape of a number, \(\), got \(1,\)"):
        call(hidden, weight, target, z_loss=backend.array([1.0]))
    with pytest.raises(ValueError, match="class_weight must be zero or positive"):
        call(hidden, weight, target, class_weight=backend.array([1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(TypeError, match="unexpected axis"):
        call(hidden, weight, target, axis=0)
    with pytest.raises(ValueError, match=r"target must have class ids, one per row, shape \(3,\), got \(\)"):
        linear_cross_entropy(backend.array(hidden), backend.array(weight), 0)


def test_peak_memory(monkeypatch: pytest.MonkeyPatch, rng: Any) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 1 << 16)
    monkeypatch.setattr(chunked, "BLOCK", 1 << 14)
    monkeypatch.setattr(sums, "_BLOCK", 1 << 14)
    hidden, weight = rng.normal(size=(512, 8)).astype(np.float32), rng.normal(size=(4096, 8)).astype(np.float32)
    target = rng.integers(0, 4096, 512)
    function = polyloss.value_and_grad(linear_cross_entropy, (0, 1))
    # The first call imports and traces.
    function(hidden, weight, target)
    tracemalloc.start()
    function(hidden, weight, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < hidden.nbytes + weight.nbytes + 512 * 4096 * 4 / 4


def test_built_in(rng: Any) -> None:
    """PyTorch's own function, whole and in chunks. Its mean is the weighted one."""
    torch = pytest.importorskip("torch")
    options = pytest.importorskip("torch.nn").LinearCrossEntropyOptions
    hidden, weight, bias, target = (torch.from_numpy(array) for array in drawn(rng))
    inputs = [array.requires_grad_() for array in (hidden, weight, bias)]
    classes = torch.linspace(0.5, 2.0, CLASSES, dtype=torch.float64)
    loss: Any = linear_cross_entropy
    for chunks in (None, options(batch_chunk_size=5)):
        for ours, theirs in (("weighted_mean", "mean"), ("sum", "sum"), ("none", "none")):
            values = [
                loss(hidden, weight, target, bias=bias, class_weight=classes, ignore_index=3, reduction=ours),
                torch.nn.functional.linear_cross_entropy(
                    hidden,
                    weight,
                    target,
                    linear_bias=bias,
                    weight=classes,
                    ignore_index=3,
                    reduction=theirs,
                    options=chunks,
                ),
            ]
            upstream = torch.from_numpy(np.asarray(rng.normal(size=tuple(values[0].shape))))
            gradients = [torch.autograd.grad(value, inputs, upstream) for value in values]
            torch.testing.assert_close(values[0], values[1])
            for found, wanted in zip(*gradients, strict=True):
                torch.testing.assert_close(found, wanted)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_torch_transforms(rng: Any) -> None:
    torch = pytest.importorskip("torch")
    hidden, weight, bias, target = (torch.from_numpy(array[:5]) for array in drawn(rng))
    target = target % 5
    arrays = [array.requires_grad_() for array in (hidden, weight, bias)]
    for reduction in ("none", "mean"):

        def loss(*arrays: Any, reduction: str = reduction) -> Any:
            keywords: Any = {"bias": arrays[2], "z_loss": 0.1, "logit_softcap": 3.0, "reduction": reduction}
            return linear_cross_entropy(arrays[0], arrays[1], target, **keywords)

        assert torch.autograd.gradcheck(loss, arrays, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(loss, arrays)
        value = loss(*arrays)
        first = torch.autograd.grad(value.sum(), arrays, retain_graph=True)
        with torch.no_grad():
            for gradient in first:
                gradient.mul_(2.0)
        for found, wanted in zip(torch.autograd.grad(3.0 * value.sum(), arrays), first, strict=True):
            torch.testing.assert_close(found, 1.5 * wanted)
        stack = torch.stack([hidden, 2 * hidden]).detach()
        for_one = torch.func.grad(lambda h: loss(h, weight, bias).sum())
        torch.testing.assert_close(torch.vmap(for_one)(stack), torch.stack([for_one(h) for h in stack]))
        value = loss(*arrays)
        with torch.no_grad():
            weight.add_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            value.sum().backward()
        with torch.no_grad():
            weight.sub_(1.0)


@pytest.mark.parametrize("reduction", ["mean", "weighted_mean"])
def test_gradients_by_parameters(backend: Any, rng: Any, reduction: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("the gradient by parameters needs the framework's automatic differentiation")
    hidden, weight, bias, target = (backend.array(array) for array in drawn(rng))
    class_weight, cap = 0.5 + backend.xp.abs(bias), backend.array(3.0)

    def ours(class_weight: Any, cap: Any) -> Any:
        return linear_cross_entropy(
            hidden, weight, target, class_weight=class_weight, logit_softcap=cap, reduction=reduction
        )

    def plain(class_weight: Any, cap: Any) -> Any:
        logits = cap * backend.xp.tanh((hidden @ backend.xp.matrix_transpose(weight)) / cap)
        return cross_entropy(logits, target, class_weight=class_weight, reduction=reduction)

    found, wanted = (backend.grad(loss, class_weight, cap) for loss in (ours, plain))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(backend.numpy(one), backend.numpy(other), rtol=1e-9, atol=1e-12)


def test_jax_transforms(rng: Any) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    hidden, weight, bias, target = (jax.numpy.asarray(array[:5]) for array in drawn(rng))

    def ours(hidden: Any, weight: Any, bias: Any) -> Any:
        return linear_cross_entropy(hidden, weight, target % 5, bias=bias, label_smoothing=0.1, z_loss=0.2)

    def plain(hidden: Any, weight: Any, bias: Any) -> Any:
        logits = hidden @ weight.T + bias
        norm = jax.nn.logsumexp(logits, axis=-1)
        return cross_entropy(logits, target % 5, label_smoothing=0.1) + 0.2 * (norm * norm).mean()

    arrays, tangents = (hidden, weight, bias), (2 * hidden, weight + 1, bias - 1)
    stack = jax.numpy.stack([hidden, 2 * hidden])
    transforms: list[Any] = [
        lambda loss: jax.jvp(loss, arrays, tangents),
        lambda loss: jax.jit(lambda: jax.jvp(jax.grad(loss, 1), arrays, tangents))(),
        lambda loss: jax.vmap(jax.grad(loss, (0, 1)), (0, None, None))(stack, weight, bias),
    ]
    for transform in transforms:
        found, wanted = (jax.tree.leaves(transform(loss)) for loss in (ours, plain))
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


def test_tensorflow_graphs(rng: Any) -> None:
    """Batch and time unknown, compiled by XLA or not; second derivatives."""
    tf = pytest.importorskip("tensorflow")
    hidden, weight = rng.normal(size=(2, 7, FEATURES)), rng.normal(size=(CLASSES, FEATURES))
    target = rng.integers(0, CLASSES, (2, 7))
    signature = [
        tf.TensorSpec((None, None, FEATURES), tf.float64),
        tf.TensorSpec(weight.shape, tf.float64),
        tf.TensorSpec((None, None), tf.int64),
    ]

    def step(hidden: Any, weight: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((hidden, weight))
            value = linear_cross_entropy(hidden, weight, target)
        return value, *tape.gradient(value, (hidden, weight))

    wanted = expected(hidden, weight, target)
    for compiled in (False, True):
        run = tf.function(step, input_signature=signature, jit_compile=compiled)
        for found, number in zip(run(*map(tf.constant, (hidden, weight, target))), wanted, strict=False):
            np.testing.assert_allclose(found, number, rtol=1e-10, atol=1e-12)

    # Fewer rows than a chunk has, nothing known of them.
    few = hidden[0, :2], weight, target[0, :2]
    signature = [tf.TensorSpec((None, None), tf.float64), signature[1], tf.TensorSpec((None,), tf.int64)]
    for compiled in (False, True):
        run = tf.function(step, input_signature=signature, jit_compile=compiled)
        for found, number in zip(run(*map(tf.constant, few)), expected(*few), strict=False):
            np.testing.assert_allclose(found, number, rtol=1e-10, atol=1e-12)
    signature[1] = tf.TensorSpec((None, FEATURES), tf.float64)
    with pytest.raises(ValueError, match="weight must have a known shape"):
        tf.function(step, input_signature=signature)(*map(tf.constant, few))

    def twice(loss: Any) -> Any:
        inputs = tf.constant(hidden), tf.constant(weight)
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                value = loss(*inputs)
            first = inner.gradient(value, inputs)
            total = sum(tf.reduce_sum(gradient**3) for gradient in first)
        return outer.gradient(total, inputs)

    found = twice(lambda h, w: linear_cross_entropy(h, w, target))
    plain = twice(lambda h, w: cross_entropy(tf.linalg.matmul(h, w, transpose_b=True), target))
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_parameters_of_an_empty_batch_have_a_gradient(backend: Any) -> None:
    """Of zeros: one that is missing, some trainers refuse."""
    if not backend.has_autodiff:
        pytest.skip("the gradient by parameters needs the framework's automatic differentiation")
    hidden, weight, ids = (
        backend.array(np.zeros((0, 3))),
        backend.array(np.ones((4, 3))),
        backend.array(np.zeros(0, int)),
    )
    given: dict[str, Any] = {"bias": [0.0, 1.0, -np.inf, 2.0], "class_weight": [1.0, 2.0, 0.0, 1.0]}
    given.update(label_smoothing=0.5, z_loss=0.25, logit_softcap=2.0)
    arrays = {name: backend.array(np.asarray(value)) for name, value in given.items()}
    _, found = polyloss.value_and_grad(polyloss.linear_cross_entropy, tuple(arrays))(hidden, weight, ids, **arrays)
    for name, gradient in zip(arrays, found, strict=True):
        backend.check(gradient, np.zeros(np.shape(given[name])))
