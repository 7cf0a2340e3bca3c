"""PyTorch: automatic mixed precision."""

from typing import Any

import pytest

import polyloss

torch = pytest.importorskip("torch")
import polyloss.compat.torch as twins  # noqa: E402
import polyloss_torch  # noqa: E402

HALVES = [torch.bfloat16, torch.float16]
ROWS = 30_000
GENERATOR = torch.Generator().manual_seed(0)
X, Y = (torch.randn(ROWS, 4, generator=GENERATOR) for _ in range(2))
IDS = torch.arange(ROWS) % 4

LOSSES: dict[str, Any] = {
    "function": lambda x, y: polyloss.huber(x, y, reduction="sum"),
    "ids": lambda x, y: polyloss.cross_entropy(x, IDS, reduction="sum"),
    "each": lambda x, y: polyloss.cross_entropy(x, IDS, reduction="none").sum(),
    "mean": lambda x, y: polyloss.cross_entropy(x, IDS, class_weight=torch.ones(4)),
    "distances": lambda x, y: polyloss.triplet_margin(x, y, -y, reduction="sum"),
    "module": lambda x, y: polyloss_torch.CrossEntropy(reduction="sum")(x, IDS),
    "twin": lambda x, y: twins.cross_entropy(x, IDS, reduction="sum"),
    "twin of mse": lambda x, y: twins.mse_loss(x, y, reduction="sum"),
    "sum": lambda x, y: (0.5 * polyloss.mse + polyloss.l1)(x, y, reduction="sum"),
    "tasks": lambda x, y: polyloss.multi_task({"a": polyloss.mse, "b": polyloss.cross_entropy})(
        {"a": (x, y), "b": (x, IDS)}, options={"a": {"reduction": "sum"}}
    ),
}


@pytest.mark.parametrize("blocks", [True, False], ids=["blocks", "whole"])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_result_is_float32(monkeypatch: pytest.MonkeyPatch, loss: Any, dtype: Any, blocks: bool) -> None:
    monkeypatch.setattr("polyloss.engine.blocks.enabled", blocks)
    x, y = X.to(dtype).requires_grad_(), Y.to(dtype)
    wide = x.detach().float().requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        value = loss(x, y)
    value.backward()
    expected = loss(wide, y.float())
    expected.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(x.grad, wide.grad.to(dtype))
    assert loss(x, y).dtype == dtype


@pytest.mark.parametrize("inside", [True, False], ids=["backward inside", "backward outside"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("hidden", [torch.float32, "half"], ids=str)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("blocks", [True, False], ids=["blocks", "whole"])
def test_products_of_a_linear_layer(
    monkeypatch: pytest.MonkeyPatch, dtype: Any, hidden: Any, reduction: Any, inside: bool, blocks: bool
) -> None:
    monkeypatch.setattr("polyloss.engine.blocks.enabled", blocks)
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(50, 16, generator=generator), torch.randn(50, generator=generator)
    rows = torch.randn(64, 16, generator=generator).to(dtype if hidden == "half" else hidden)
    ids = torch.randint(0, 50, (64,), generator=generator)

    def gradients(autocast: bool, rows: Any) -> Any:
        arrays = [array.clone().requires_grad_() for array in (rows, weight, bias)]
        with torch.autocast("cpu", dtype=dtype, enabled=autocast):
            value = polyloss.linear_cross_entropy(arrays[0], arrays[1], ids, bias=arrays[2], reduction=reduction).sum()
            if inside:
                value.backward()
        if not inside:
            value.backward()
        return value, [array.grad for array in arrays]

    value, (by_rows, *others) = gradients(True, rows)
    expected, (by_wide, *expected_others) = gradients(False, rows.float())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(others, expected_others)
    torch.testing.assert_close(by_rows, by_wide.to(rows.dtype))


class Recorded:
    """A training with a scaler of gradients: its losses, the steps that were skipped, the last scale."""

    def __init__(self, loss: Any, dtype: Any) -> None:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        # So large at first that gradients in half precision overflow.
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=5)
        inputs, ids = torch.randn(40, 128, 8), torch.randint(0, 4, (40, 128))
        self.losses, self.skipped = [], 0
        for batch, target in zip(inputs, ids, strict=True):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=dtype):
                value = loss(net(batch), target)
            before = scaler.get_scale()
            scaler.scale(value).backward()
            scaler.step(optimizer)
            scaler.update()
            self.skipped += scaler.get_scale() < before
            self.losses.append(value.item())
        self.scale = scaler.get_scale()


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_training_with_a_scaler(dtype: Any) -> None:
    builtin = Recorded(torch.nn.functional.cross_entropy, dtype)
    assert builtin.skipped > 0 or dtype == torch.bfloat16
    for loss in (polyloss.cross_entropy, twins.cross_entropy, polyloss_torch.CrossEntropy()):
        ours = Recorded(loss, dtype)
        assert (ours.skipped, ours.scale) == (builtin.skipped, builtin.scale)
        assert ours.losses == pytest.approx(builtin.losses, rel=5e-3)
