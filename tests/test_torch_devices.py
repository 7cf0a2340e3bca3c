"""PyTorch on a device: nothing is copied to it or back, and nothing waits for it.

There is no device here, but tensors on the meta device have no values to ask for, and those of a fake one no memory.
"""

import re
from typing import Any

import pytest
from typer.testing import CliRunner

import polyloss
from polyloss_conformance import builtins, cases, frameworks
from polyloss_conformance.case import Arguments
from polyloss_conformance.cli import app

torch = pytest.importorskip("torch")
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

import polyloss_torch  # noqa: E402

from .samples import samples  # noqa: E402

MAKERS = (torch.tensor, torch.asarray, torch.as_tensor)
"""They make tensors on the CPU first, and a copy of one on a device waits for that."""


class NoNumbersToCopy(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert function not in MAKERS, f"{function.__name__}{args}"
        return function(*args, **(kwargs or {}))


class OneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        devices = {a.device for a in tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)}
        assert len(devices) < 2, f"{function} of tensors on {devices}"
        assert function is not torch.ops.aten._local_scalar_dense.default, "a value is asked for"
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", cases.LOSSES)
def test_torch_neither_copies_nor_waits(name: str) -> None:
    framework = frameworks.framework("torch")
    count = 0
    for given, static, keywords in samples(name, ("float32", "bfloat16")):
        arrays = [framework.array(a).to("meta") for a in given]
        options = {key: framework.array(a).to("meta") for key, a in keywords.items()}
        for place, array in frameworks.placed(arrays, options).items():
            if place in cases.LOSSES[name].differentiable and array.is_floating_point():
                array.requires_grad_()
        # The second call is one that is remembered.
        for _ in range(2):
            with NoNumbersToCopy(), OneDevice():  # type: ignore[no-untyped-call]
                value = getattr(polyloss, name)(*arrays, **static, **options)
                value.backward(torch.ones_like(value))
            assert value.is_meta
            count += 1
    assert count > 8


@pytest.mark.parametrize("twin", builtins.TWINS, ids=lambda twin: twin.id)
def test_twins_stay_on_the_device(twin: Any) -> None:
    framework = frameworks.framework("torch")

    def there(value: Any) -> Any:
        value = framework.convert(value)
        return value.to("meta") if framework.is_array(value) else value

    count = 0
    for case in cases.CASES[twin.loss]:
        reduction = twin.reductions[count % len(twin.reductions)]
        if count == 12 or not twin.expressible(case, reduction):
            continue
        arrays, parameters, options = case.at("float32")
        on_meta = Arguments(
            tuple(there(a) for a in arrays),
            {key: there(value) for key, value in parameters.items()},
            {key: there(value) for key, value in options.items()},
        )
        with OneDevice():  # type: ignore[no-untyped-call]
            assert twin.evaluate(twin.twin(), on_meta, reduction).is_meta
        count += 1
    assert count


def test_torch_takes_numbers_from_the_cpu_and_no_other_tensor() -> None:
    with FakeTensorMode():
        x, far = torch.empty(4, 3), torch.empty(4, 3, device="cuda")
        ids, mask = torch.zeros(4, dtype=torch.int64), x > 0
        assert polyloss.huber(far, far, delta=torch.tensor(2.0)).device == far.device
        calls = {
            "target": lambda: polyloss.mse(far, x),
            "where": lambda: polyloss.mse(far, far, where=mask),
            "class_weight": lambda: polyloss.cross_entropy(far, far, class_weight=torch.ones(3)),
        }
        for argument, call in calls.items():
            way = (
                f": {argument} must be a plain array, got a tensor on cpu beside one on cuda:0; move it there, as with"
            )
            with pytest.raises(TypeError, match=re.escape(way)):
                call()  # type: ignore[no-untyped-call]
        with pytest.raises(TypeError, match="a tensor on cpu beside one on cuda:0"):
            polyloss.cross_entropy(far, ids)


@pytest.mark.parametrize("device", ["meta", "nonsense"])
def test_suite_says_which_device_is_missing(device: str) -> None:
    arguments = ["conformance", "--no-html", "--backend", "torch", "--loss", "mse", "--device", device]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert result.exit_code == 2
    assert f"torch has no device {device} here" in result.output


class WithLosses(torch.nn.Module):  # type: ignore[name-defined,misc]
    """What a user's own module may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.loss, self.total = polyloss.huber, 0.5 * polyloss.mse + polyloss.l1
        self.module = polyloss_torch.CrossEntropy(label_smoothing=0.1)

    def forward(self, x: Any, ids: Any) -> Any:
        return self.loss(x, x + 1) + self.total(x, x + 2) + self.module(x, ids)


def test_module_that_holds_losses_is_compiled() -> None:
    # Before torch 2.13, the compiler takes any attribute with a method __get__ for a descriptor.
    assert not hasattr(polyloss.Loss, "__get__")
    x, ids = torch.linspace(-1.0, 2.0, 12).reshape(4, 3), torch.tensor([0, 1, 2, 0])
    model = WithLosses()
    torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="aot_eager")(x, ids), model(x, ids))


def test_suite_runs_where_it_is_told() -> None:
    arguments = ["conformance", "--no-html", "--quick", "--backend", "torch", "--loss", "mse", "--dtype", "float64"]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments, "--device", "cpu:0"])
    assert result.exit_code == 0, result.output
