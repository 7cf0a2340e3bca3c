"""PyTorch: the compiler."""

import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

import polyloss

torch = pytest.importorskip("torch")
import polyloss_torch  # noqa: E402
from polyloss_torch._common import bound  # noqa: E402

from .test_checks import STRUCTURE  # noqa: E402

# torch's own: forward mode loads decompositions by torch.jit.script, and AOTAutograd looks at .grad of a non-leaf
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]


@pytest.fixture
def x() -> Any:
    return torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def y() -> Any:
    return torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def huber(a: Any, b: Any) -> Any:
    return polyloss.huber(a, b, delta=0.7)


def closed(loss: Any, a: Any, b: Any, **keywords: Any) -> Any:
    """The closed form, by NumPy."""
    return torch.asarray(polyloss.value_and_grad(loss)(a.detach().numpy(), b.detach().numpy(), **keywords)[1])


def compiled(function: Any, backend: str = "aot_eager", **options: Any) -> Any:
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend=backend, **options)


def test_compiled_with_a_batch_that_changes(x: Any, y: Any) -> None:
    loss = compiled(polyloss.huber)
    with torch._dynamo.config.patch(recompile_limit=2, fail_on_recompile_limit_hit=True):
        for rows in (3, 5, 6, 4, 2):
            a = x[:rows].detach().requires_grad_()
            value = loss(a, y[:rows], delta=0.7)
            value.backward()
            torch.testing.assert_close(value, huber(a, y[:rows]))
            torch.testing.assert_close(a.grad, closed(polyloss.huber, a, y[:rows], delta=0.7))


def test_compiled_with_numbers_that_change(x: Any, y: Any) -> None:
    loss = compiled(lambda a, b, delta: polyloss.huber(a, b, delta=delta))
    with torch._dynamo.config.patch(recompile_limit=4, fail_on_recompile_limit_hit=True):
        for delta in (0.5, 0.7, 1.5, 1, 2, 3):
            torch.testing.assert_close(loss(x, y, delta), polyloss.huber(x, y, delta=delta))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_generated_code_is_accurate(dtype: Any) -> None:
    """What kernels are made of. The code generator has ways of its own: for expm1 it would subtract 1 from exp."""
    names = ("cosh", "exp", "expm1", "log", "log1p", "sqrt", "tanh")
    xp = polyloss_torch.backend.namespace(torch.empty(0))
    size = np.geomspace(1e-30, 80.0, 333)
    signed = {name: np.concatenate([size, -size]) for name in ("exp", "expm1", "tanh", "cosh")}
    inputs = {name: torch.tensor(signed.get(name, size), dtype=dtype) for name in names}
    found = torch.compile(lambda x: {name: getattr(xp, name)(x[name]) for name in names})(inputs)
    for name in names:
        exact = getattr(np, name)(inputs[name].numpy().astype(np.longdouble))
        error = abs(found[name].numpy() - exact) / abs(exact)
        assert np.max(error) < 4 * torch.finfo(dtype).eps, name


OF_A_NUMBER: dict[str, Any] = {
    "denominator": lambda a, b, hard, ids, n: polyloss.mse(a, b, denominator=n),
    "huber": lambda a, b, hard, ids, n: polyloss.huber(a, b, delta=n),
    "smooth_l1": lambda a, b, hard, ids, n: polyloss.smooth_l1(a, b, beta=n),
    "tukey_biweight": lambda a, b, hard, ids, n: polyloss.tukey_biweight(a, b, c=n, scale=2.0 * n),
    "contrastive_embedding": lambda a, b, hard, ids, n: polyloss.contrastive_embedding(a, b, hard[:, 0], margin=n),
    "triplet_margin": lambda a, b, hard, ids, n: polyloss.triplet_margin(a, b, hard, margin=n),
    "binary_cross_entropy": lambda a, b, hard, ids, n: polyloss.binary_cross_entropy(a.sigmoid(), hard, clip=n / 10),
    "binary_cross_entropy_with_logits": lambda a, b, hard, ids, n: polyloss.binary_cross_entropy_with_logits(
        a, hard, pos_weight=n, label_smoothing=n / 4
    ),
    "cross_entropy": lambda a, b, hard, ids, n: polyloss.cross_entropy(a, ids, label_smoothing=n / 4),
    "sigmoid_focal": lambda a, b, hard, ids, n: polyloss.sigmoid_focal(a, hard, gamma=n + 0.01, alpha=n / 4),
    "softmax_focal": lambda a, b, hard, ids, n: polyloss.softmax_focal(a, ids, gamma=n + 0.01),
    "linear_cross_entropy": lambda a, b, hard, ids, n: polyloss.linear_cross_entropy(
        a, b, ids, z_loss=n, label_smoothing=n / 4, logit_softcap=n
    ),
}


@pytest.mark.parametrize("name", OF_A_NUMBER)
def test_compiled_with_its_gradient_for_any_number(x: Any, y: Any, name: str) -> None:
    """Compiled for the first number, and once more for all others."""
    hard, ids = (y > 0).to(x.dtype), torch.arange(6) % 4
    loss = compiled(OF_A_NUMBER[name])
    with torch._dynamo.config.patch(recompile_limit=2, fail_on_recompile_limit_hit=True):
        for number in (0.5, 0.7, 0.9, 1.1):
            a, again = (x.detach().clone().requires_grad_() for _ in range(2))
            loss(a, y, hard, ids, number).backward()
            OF_A_NUMBER[name](again, y, hard, ids, number).backward()
            torch.testing.assert_close(a.grad, again.grad)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "weighted_mean"])
def test_compiled_with_every_option(x: Any, y: Any, reduction: Any) -> None:
    cotangent = torch.linspace(1, 2, 24, dtype=torch.float64).reshape(6, 4)

    def step(a: Any, b: Any, weight: Any, mask: Any, denominator: Any) -> Any:
        more = {"denominator": denominator} if "mean" in reduction else {}
        losses = polyloss.smooth_l1(a, b, sample_weight=weight, where=mask, reduction=reduction, **more)
        return (losses * cotangent).sum()

    options = (torch.linspace(0, 1, 6, dtype=torch.float64), y > 0, torch.tensor(3.0))
    a, b = (x.detach().clone().requires_grad_() for _ in range(2))
    actual, expected = compiled(step)(a, y, *options), step(b, y, *options)
    actual.backward()
    expected.backward()
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("options", [{}, {"ignore_index": -1}, {"label_smoothing": 0.1, "axis": 0}, {"weights": True}])
def test_compiled_class_ids(x: Any, options: Any) -> None:
    logits = x.T.contiguous() if "axis" in options else x
    keywords = {k: v for k, v in options.items() if k != "weights"}
    if "weights" in options:
        keywords |= {"class_weight": torch.arange(1.0, 5.0), "reduction": "weighted_mean"}
    ids = torch.tensor([0, 1, 2, 3, 0, -1 if "ignore_index" in options else 2])
    a, b = (logits.detach().clone().requires_grad_() for _ in range(2))
    actual = compiled(polyloss.cross_entropy)(a, ids, **keywords)
    expected = polyloss.cross_entropy(b, ids, **keywords)
    actual.backward()
    expected.backward()
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(a.grad, b.grad)


def test_compiled_bad_class_id_is_nan_in_its_row(x: Any) -> None:
    a = x.requires_grad_()
    losses = compiled(polyloss.cross_entropy)(a, torch.tensor([0, 1, 4, 3, -1, 2]), reduction="none")
    losses.sum().backward()
    bad = torch.tensor([False, False, True, False, True, False])
    assert torch.equal(losses.isnan(), bad)
    assert torch.equal(a.grad.isnan().all(dim=1), bad)
    assert torch.equal(a.grad.isnan().any(dim=1), bad)


def test_compiled_value_and_grad_and_sums(x: Any, y: Any) -> None:
    both = 0.7 * polyloss.mse + 0.3 * polyloss.huber
    expected = polyloss.value_and_grad(both, argnums=(0, 1))(x, y, reduction="sum")
    actual = compiled(lambda a, b: polyloss.value_and_grad(both, argnums=(0, 1))(a, b, reduction="sum"))(x, y)
    torch.testing.assert_close(actual, expected)


def test_compile_is_the_first_thing_a_process_does() -> None:
    code = """
import polyloss, torch
a = torch.ones(3, requires_grad=True)
torch.compile(polyloss.mse, fullgraph=True, backend="aot_eager")(a, torch.zeros(3)).backward()
assert torch.allclose(a.grad, torch.full((3,), 2 / 3)), a.grad
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


SCALARS: dict[str, Any] = {
    "delta": lambda a, b, n: polyloss.huber(a, b, delta=n),
    "sample_weight": lambda a, b, n: polyloss.huber(a, b, sample_weight=n, denominator=n),
    "special": lambda a, b, n: polyloss.softmax_focal(a, b[:, 0].long() % 4, gamma=n),
    "ignore_index": lambda a, b, n: polyloss.cross_entropy(a, b[:, 0].long() % 4, ignore_index=np.int64(n)),
    "a sum": lambda a, b, n: (polyloss.huber + polyloss.huber)(a, b, delta=n),
    "a gradient": lambda a, b, n: polyloss.value_and_grad(polyloss.huber)(a, b, delta=n),
}


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("name", SCALARS)
def test_scalars_of_numpy_are_numbers(x: Any, y: Any, name: str, kind: Any) -> None:
    """The compiler's first half, which reads Python, shows an array in their place."""
    function, number = SCALARS[name], kind(2)
    expected = function(x, y, number)
    torch.testing.assert_close(compiled(function, "eager")(x, y, number), expected)
    torch.testing.assert_close(compiled(lambda a, b: function(a, b, number), "eager")(x, y), expected)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_scalars_of_numpy_as_attributes(x: Any, y: Any, kind: Any) -> None:
    criterion = polyloss_torch.Huber(delta=kind(2))
    torch.testing.assert_close(compiled(criterion)(x, y), criterion(x, y))


def test_scalars_of_numpy_with_polyloss_compile(x: Any, y: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: quick(function, backend="eager", **options))
    fast = polyloss.compile(polyloss.huber)
    for delta in (np.float64(0.7), np.float32(0.7)):
        torch.testing.assert_close(fast(x, y, delta=delta), polyloss.huber(x, y, delta=delta))


def test_a_scalar_of_numpy_cannot_decide_what_is_compiled(x: Any, y: Any) -> None:
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"p must be known .* scalar of NumPy .* number of Python"):
        compiled(polyloss.triplet_margin)(x, y, -y, p=np.float32(2.0))


class Wrong(NamedTuple):
    """A call that is refused."""

    loss: Any
    arrays: tuple[Any, ...]
    keywords: dict[str, Any]


ROWS = np.ones((2, 3))
WRONG = {name: Wrong(loss, arrays, keywords) for name, (loss, arrays, keywords, *_) in STRUCTURE.items()}
WRONG |= {
    "too many arguments": Wrong(polyloss.huber, (ROWS, ROWS, "sum"), {}),
    "a name from elsewhere": Wrong(polyloss.cross_entropy, (ROWS, np.asarray([0, 1])), {"weight": np.ones(3)}),
    "no name from anywhere": Wrong(polyloss.mse, (ROWS, ROWS), {"quux": 1.0}),
    "misspelled array": Wrong(polyloss.mse, (ROWS,), {"targte": ROWS}),
    "a list": Wrong(polyloss.mse, (ROWS, [1.0]), {}),
    "too large a number": Wrong(polyloss.huber, (ROWS.astype("float32"), ROWS.astype("float32")), {"delta": 1e300}),
    "several ids to ignore": Wrong(polyloss.cross_entropy, (ROWS, np.asarray([0, 1])), {"ignore_index": (0, 1)}),
    "misspelled argnums": Wrong(polyloss.value_and_grad(polyloss.huber, "detla"), (ROWS, ROWS), {}),
    "missing argnums": Wrong(polyloss.value_and_grad(polyloss.huber, "delta"), (ROWS, ROWS), {}),
    "misspelled in a module": Wrong(polyloss_torch.Huber(), (ROWS, ROWS), {"detla": 1.0}),
    "misspelled in a sum": Wrong(polyloss.huber + polyloss.mse, (ROWS, ROWS), {"reducton": "sum"}),
    "misspelled in a partial loss": Wrong(lambda a: polyloss.huber.partial(detla=1.0)(a, a), (ROWS,), {}),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_messages_survive_the_compiler(case: Wrong) -> None:
    """What is refused in an eager call is refused with the same words, which the compiler puts into its own."""
    arrays = [torch.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in case.arrays]
    keywords = {k: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for k, v in case.keywords.items()}
    with pytest.raises((TypeError, ValueError)) as expected:
        case.loss(*arrays, **keywords)
    with pytest.raises(torch._dynamo.exc.Unsupported) as found:
        compiled(case.loss)(*arrays, **keywords)
    assert f"{type(expected.value).__name__}({str(expected.value)!r})" in str(found.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("polyloss.huber(a, b, delta=np.float32(2.0))", ""),
        ("polyloss.huber(a, np.zeros(3))", "all arrays must come from one framework, but prediction is torch, target"),
        ("polyloss.huber(a, b, detla=1.0)", "unexpected detla; did you mean delta"),
    ],
)
def test_the_first_thing_that_a_process_compiles(call: str, message: str) -> None:
    """No array of NumPy was seen before."""
    code = f"""
import numpy as np, polyloss, torch
a, b = torch.ones(3), torch.zeros(3)
try:
    print(torch.compile(lambda a, b: {call}, fullgraph=True, backend="eager")(a, b))
except Exception as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert message in found if message else found == "tensor(0.5000)\n"


class Counting:
    """A backend of the compiler that says how often it was asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, examples: Any) -> Any:
        self.count += 1
        return graph.forward


NUMBERS: dict[str, Any] = {"delta": polyloss.huber, "beta": polyloss.smooth_l1, "denominator": polyloss.mse}


@pytest.mark.parametrize("values", [(0.5, 0.7, 1.5, 2.5, 3.5, 4.5), (2, 3, 4, 5, 6, 7)], ids=["floats", "integers"])
@pytest.mark.parametrize("name", NUMBERS)
def test_no_compilation_per_value(x: Any, y: Any, name: str, values: Any) -> None:
    loss, counting = NUMBERS[name], Counting()
    fast = torch.compile(loss, fullgraph=True, backend=counting)
    for value in values:
        torch.testing.assert_close(fast(x, y, **{name: value}), loss(x, y, **{name: value}))
    # The first value is taken to be a constant, as the compiler does; then it is a variable.
    assert counting.count == 2


def test_no_compilation_per_value_of_an_attribute(x: Any, y: Any) -> None:
    counting, criterion = Counting(), polyloss_torch.Huber()
    fast = torch.compile(criterion, fullgraph=True, backend=counting)
    for delta in (1.0, 2.0, 3.0, 4.0):
        criterion.delta = delta
        torch.testing.assert_close(fast(x, y), polyloss.huber(x, y, delta=delta))
    assert counting.count == 2


def test_a_dozen_losses_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: quick(function, backend="eager", **options))
    names = ["huber", "l1", "log_cosh", "mse", "smooth_l1", "tukey_biweight", "binary_cross_entropy", "cross_entropy"]
    names += ["softmax_focal", "sigmoid_focal", "binary_cross_entropy_with_logits", "contrastive"]
    losses: list[Any] = [getattr(polyloss, name) for name in names]
    prediction, target = torch.rand(6, 4), torch.arange(24).reshape(6, 4) % 2.0
    for loss in losses:
        for rows in (6, 4, 3):
            arrays = prediction[:rows], target[:rows]
            torch.testing.assert_close(polyloss.compile(loss)(*arrays), loss(*arrays))
        module = getattr(polyloss_torch, "".join(part.capitalize() for part in loss.__name__.split("_")))()
        torch.testing.assert_close(torch.compile(module, fullgraph=True)(prediction, target), loss(prediction, target))


def test_beta_that_changes() -> None:
    """With code generation, which decides more than the other backends."""
    x, y = torch.linspace(-2, 2, 12), torch.zeros(12)
    fast = polyloss.compile(polyloss.smooth_l1)
    for beta in (0.5, 0.7, 1.0):
        torch.testing.assert_close(fast(x, y, beta=beta), polyloss.smooth_l1(x, y, beta=beta))


def test_compiling_again_keeps_nothing_more(x: Any, y: Any) -> None:
    for _ in range(3):
        compiled(polyloss.triplet_margin)(x, y, -y)
        compiled(polyloss.linear_cross_entropy)(x, y, torch.tensor([0, 1, 2, 3, 4, 5]))
        kept = len(bound)
        torch._dynamo.reset()
    compiled(polyloss.triplet_margin)(x, y, -y)
    assert len(bound) == kept


@pytest.mark.parametrize("inside", [True, False], ids=["in the graph", "around it"])
def test_autocast(inside: bool) -> None:
    x = torch.randn(512, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    a, b = x.clone().requires_grad_(), x.float().requires_grad_()
    ids = torch.arange(512) % 4

    def step(logits: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside):
            return polyloss.cross_entropy(logits, ids, reduction="sum")

    def around(logits: Any) -> Any:
        return polyloss.cross_entropy(logits, ids, reduction="sum")

    fast = compiled(step if inside else around)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not inside):
        value = fast(a)
    value.backward()
    expected = around(b)
    expected.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(a.grad, b.grad.bfloat16())


@pytest.mark.parametrize("dynamic", [None, True])
def test_a_factor_that_changes(x: Any, y: Any, dynamic: bool | None) -> None:
    loss = compiled(lambda a, b, w: (w * polyloss.mse + (1 - w) * polyloss.l1)(a, b), dynamic=dynamic)
    with torch._dynamo.config.patch(recompile_limit=2, fail_on_recompile_limit_hit=True):
        for w in (0.25, 0.5, 0.75):
            torch.testing.assert_close(loss(x, y, w), w * polyloss.mse(x, y) + (1 - w) * polyloss.l1(x, y))
