"""PyTorch: gradients by parameters of losses, and modules that learn them."""

from typing import Any

import pytest

import polyloss

torch = pytest.importorskip("torch")
from torch import func  # noqa: E402

import polyloss_torch  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

F64 = torch.float64
GENERATOR = torch.Generator().manual_seed(0)
X, Y = (torch.randn(6, 3, dtype=F64, generator=GENERATOR) for _ in range(2))
P = torch.sigmoid(Y)
IDS = torch.tensor([0, 1, 2, 0, 1, 1])
LAYER = torch.randn(4, 3, dtype=F64, generator=GENERATOR)
ONE, THREE = torch.tensor(0.6, dtype=F64), torch.tensor([0.5, 1.5, 2.0], dtype=F64)

CASES: dict[str, Any] = {
    "huber delta": (lambda d, **k: polyloss.huber(X, Y, delta=d, **k), ONE),
    "huber deltas": (lambda d, **k: polyloss.huber(X, Y, delta=d, **k), THREE),
    "smooth_l1 beta": (lambda d, **k: polyloss.smooth_l1(X, Y, beta=d, **k), ONE),
    "tukey c": (lambda d, **k: polyloss.tukey_biweight(X, Y, c=d, **k), ONE),
    "pos_weight": (lambda w, **k: polyloss.binary_cross_entropy_with_logits(X, P, pos_weight=w, **k), THREE),
    "alpha": (lambda a, **k: polyloss.sigmoid_focal(X, P, alpha=a, **k), ONE),
    "class_weight of ids": (lambda w, **k: polyloss.cross_entropy(X, IDS, class_weight=w, **k), THREE),
    "class_weight of probabilities": (lambda w, **k: polyloss.cross_entropy(X, P, class_weight=w, **k), THREE),
    "class_weight of a layer": (
        lambda w, **k: polyloss.linear_cross_entropy(X, LAYER, IDS, class_weight=torch.cat([w, w[:1]]), **k),
        THREE,
    ),
    "sum": (lambda d, **k: (0.5 * polyloss.huber + polyloss.huber)(X, Y, delta=d, **k), ONE),
}


@pytest.fixture(params=[True, False], ids=["blocks", "whole"])
def _blocks(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyloss.engine.blocks.enabled", request.param)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("reduction", ["none", "mean", "weighted_mean"])
@pytest.mark.parametrize(("loss", "at"), CASES.values(), ids=CASES.keys())
def test_gradient_by_a_parameter(loss: Any, at: Any, reduction: str) -> None:
    parameter = at.clone().requires_grad_()
    weight = torch.linspace(0.5, 1, 6, dtype=F64)

    def call(value: Any) -> Any:
        return loss(value, reduction=reduction, sample_weight=weight)

    assert torch.autograd.gradcheck(call, (parameter,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, (parameter,))


@pytest.mark.parametrize(("loss", "at"), CASES.values(), ids=CASES.keys())
def test_transforms_by_a_parameter(loss: Any, at: Any) -> None:
    parameter = at.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(parameter), parameter)
    torch.testing.assert_close(func.grad(loss)(at), expected)
    torch.testing.assert_close(func.jacfwd(loss)(at), expected)
    torch.testing.assert_close(polyloss.value_and_grad(loss)(at)[1], expected)
    hessian = func.jacrev(func.jacrev(loss))(at)
    torch.testing.assert_close(func.hessian(loss)(at), hessian)
    torch.testing.assert_close(func.jacfwd(func.jacfwd(loss))(at), hessian)
    many = torch.stack([at, 0.5 * at])
    (half,) = torch.autograd.grad(loss(half_at := (0.5 * at).requires_grad_()), half_at)
    torch.testing.assert_close(func.vmap(func.grad(loss))(many), torch.stack([expected, half]))
    torch.testing.assert_close(func.grad(lambda m: func.vmap(loss)(m).sum())(many), torch.stack([expected, half]))
    fast = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (compiled,) = torch.autograd.grad(fast(parameter), parameter)
    torch.testing.assert_close(compiled, expected)


def test_beside_the_gradient_by_arrays() -> None:
    x, delta = X.clone().requires_grad_(), ONE.clone().requires_grad_()
    polyloss.huber(x, Y, delta=delta, where=Y > 0).backward()
    alone = X.clone().requires_grad_()
    polyloss.huber(alone, Y, delta=ONE, where=Y > 0).backward()
    torch.testing.assert_close(x.grad, alone.grad)
    size = (X - Y).abs()
    expected = torch.where((Y > 0) & (size > ONE), size - ONE, 0.0).sum() / (Y > 0).sum()
    torch.testing.assert_close(delta.grad, expected)


def test_a_module_learns_its_parameter() -> None:
    criterion: Any = polyloss_torch.Huber(delta=torch.nn.Parameter(torch.tensor(2.0, dtype=F64)))
    assert [name for name, _ in criterion.named_parameters()] == ["delta"]
    assert "delta" in criterion.state_dict()
    optimizer = torch.optim.SGD(criterion.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        # A delta of its own wants to be small: the loss is smaller with it.
        criterion(4 * X, Y).backward()
        optimizer.step()
    assert criterion.delta.item() < 2.0
    both = polyloss_torch.module(0.5 * criterion + polyloss.l1)
    assert [value.item() for value in both.parameters()] == [criterion.delta.item()]
    assert next(both.float().parameters()).dtype == torch.float32


def test_what_does_not_require_a_gradient_is_a_buffer() -> None:
    criterion = polyloss_torch.CrossEntropy(class_weight=THREE)
    assert not list(criterion.parameters())
    assert [name for name, _ in criterion.named_buffers()] == ["class_weight"]
    criterion.class_weight = torch.nn.Parameter(THREE.clone())
    criterion(X, IDS).backward()
    assert criterion.class_weight.grad is not None
    assert not list(criterion.buffers())


@pytest.mark.parametrize("value", [2.0, torch.tensor(2.0), "x", [2.0]], ids=["number", "tensor", "string", "list"])
def test_a_learned_parameter_is_not_replaced_by_accident(value: Any) -> None:
    """As of any module: an optimizer would go on to change what nobody uses."""
    learned = torch.nn.Parameter(torch.ones(1))
    weights = polyloss.multi_task({"depth": polyloss.mse})
    for criterion, name in (
        (polyloss_torch.Huber(delta=learned), "delta"),
        (polyloss_torch.module(polyloss.huber + polyloss.huber, delta=learned), "delta"),
        (polyloss_torch.module(weights, log_variances=learned), "log_variances"),
    ):
        with pytest.raises(TypeError, match=rf"{name} is a torch.nn.Parameter.* got .*no_grad.*criterion.{name}.fill_"):
            setattr(criterion, name, value)
        assert [parameter is learned for parameter in criterion.parameters()] == [True]
        with torch.no_grad():
            getattr(criterion, name).fill_(2.0)
        other = torch.nn.Parameter(torch.full((1,), 3.0))
        setattr(criterion, name, other)
        assert [parameter is other for parameter in criterion.parameters()] == [True]
        delattr(criterion, name)
        setattr(criterion, name, torch.full((1,), 2.0))
        assert not list(criterion.parameters())
        assert getattr(criterion, name) == 2.0


def test_a_learned_parameter_is_shown_in_one_line() -> None:
    number, four = torch.nn.Parameter(torch.tensor(0.1)), torch.nn.Parameter(torch.ones(4))
    assert repr(polyloss_torch.Huber(delta=number)) == "Huber(delta=Parameter(0.1))"
    assert repr(polyloss_torch.Huber(delta=torch.tensor(2.0))) == "Huber(delta=Tensor(2.0))"
    assert repr(polyloss_torch.CrossEntropy(class_weight=four)) == "CrossEntropy(class_weight=Parameter(shape=(4,)))"
    assert repr(polyloss_torch.Huber(delta=number).to("meta")) == "Huber(delta=Parameter(shape=()))"
    total = polyloss_torch.module(polyloss.huber.partial(delta=number) + polyloss.l1)
    assert repr(total) == "LossModule(<polyloss loss huber(delta=Parameter(0.1)) + l1>)"


def test_a_learned_parameter_that_went_wrong_is_shown() -> None:
    delta = torch.nn.Parameter(torch.tensor(-1.0))
    for call in ({"delta": delta}, {"delta": 1.0, "denominator": delta}):
        with pytest.raises(ValueError, match=r"must be positive.* got -1"):
            polyloss.huber(X, Y, **call)


def test_a_number_is_not_kept_from_inference_mode() -> None:
    """There, what it became could not be differentiated beside later."""
    x, loss = X.clone().requires_grad_(), polyloss.huber.partial()
    with torch.inference_mode():
        inside = [loss(x, Y) for _ in range(3)][-1]
    outside = loss(x, Y)
    outside.backward()
    torch.testing.assert_close(inside, outside.detach(), rtol=0.0, atol=0.0)


def test_a_number_that_a_kernel_modifies_is_made_anew() -> None:
    """What comes of a number is used again as long as it is the number: not another, and not one modified in place."""

    def growing(xp: Any, prediction: Any, target: Any, *, scale: float = 1.0) -> Any:
        scale += 1
        return scale * (prediction - target), lambda: scale, lambda: -scale

    loss: Any = polyloss.elementwise(growing)
    for scale, times in ((1.0, 2.0), (1.0, 2.0), (3.0, 4.0), (1.0, 2.0)):
        torch.testing.assert_close(loss(X, Y, reduction="none"), 2.0 * (X - Y))
        torch.testing.assert_close(loss(X, Y, reduction="none", scale=scale), times * (X - Y))
