"""PyTorch: tensors without memory, without values, in many processes, of foreign layouts."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import polyloss

torch = pytest.importorskip("torch")
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # noqa: E402

IDS = torch.tensor([0, 1, 2, 0])


@pytest.fixture
def x() -> Any:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------------------ zeros without memory


def test_zeros_without_memory(x: Any) -> None:
    zeros = torch._efficientzerotensor
    target = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(polyloss.mse(zeros((3,)), target), torch.tensor(14 / 3))
    torch.testing.assert_close(polyloss.mse(target, zeros((3,))), torch.tensor(14 / 3))
    torch.testing.assert_close(polyloss.mse(target, 2 * target, sample_weight=zeros((3,))), torch.tensor(0.0))
    torch.testing.assert_close(polyloss.cross_entropy(zeros((4, 3)), IDS), torch.tensor(3.0).log())
    torch.testing.assert_close(
        polyloss.linear_cross_entropy(zeros((4, 3)), x, torch.tensor([0, 1, 2, 3])), torch.tensor(4.0).log()
    )
    learned = x.clone().requires_grad_()
    value = polyloss.huber(learned, torch.zeros(4, 3))
    (gradient,) = torch.autograd.grad(value, learned, zeros(()))
    assert bool((gradient == 0).all())


# ---------------------------------------------------------------------------------------------- tensors without values


def test_fake_tensors() -> None:
    with FakeTensorMode():
        logits = torch.randn(4, 3, requires_grad=True)
        for value in (
            polyloss.cross_entropy(logits, torch.randint(0, 3, (4,)), class_weight=torch.rand(3)),
            polyloss.binary_cross_entropy_with_logits(logits, torch.rand(4, 3)),
            polyloss.huber(logits, torch.rand(4, 3), denominator=torch.tensor(7.0), delta=2.0),
            polyloss.linear_cross_entropy(logits, torch.rand(5, 3), torch.randint(0, 5, (4,))),
        ):
            assert isinstance(value, FakeTensor)
            assert value.shape == ()
            (gradient,) = torch.autograd.grad(value, logits)
            assert gradient.shape == (4, 3)


def test_meta_tensors(x: Any) -> None:
    logits = x.to("meta").requires_grad_()
    value = polyloss.cross_entropy(logits, IDS.to("meta"), label_smoothing=0.1)
    value.backward()
    assert value.is_meta
    assert logits.grad.shape == (4, 3)
    for arrays, keywords, name in (((x, x.to("meta")), {}, "target"), ((x, x), {"where": logits > 0}, "where")):
        way = f"mse: {name} must be a plain array, got a tensor on meta beside one on cpu: on the meta device there are"
        with pytest.raises(TypeError, match=way):
            polyloss.mse(*arrays, **keywords)


# ------------------------------------------------------------------------------------------------------ foreign kinds

FOREIGN = {
    "sparse": (lambda x: x.to_sparse(), r"a sparse tensor.*\(torch.sparse_coo\); use .to_dense\(\)"),
    "csr": (lambda x: x.to_sparse_csr(), r"a sparse tensor.*\(torch.sparse_csr\); use .to_dense\(\)"),
    "jagged": (
        lambda x: torch.nested.nested_tensor([x, x[:2]], layout=torch.jagged),
        "a nested tensor; use torch.nested.to_padded_tensor",
    ),
    "nested": (lambda x: torch.nested.nested_tensor([x, x[:2]]), "a nested tensor; use torch.nested.to_padded_tensor"),
    "float8": (lambda x: x.to(torch.float8_e4m3fn), r"float8_e4m3fn; use .to\(torch.float32\)"),
    "quantized": (
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        r"quantized .*use .dequantize\(\)",
    ),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
@pytest.mark.filterwarnings("ignore:.*quantiz.*:")
@pytest.mark.parametrize(("make", "message"), FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_tensors_are_refused_by_name(x: Any, make: Any, message: str) -> None:
    foreign = make(x)
    with pytest.raises(TypeError, match=f"mse: prediction must be .*{message}"):
        polyloss.mse(foreign, x)
    with pytest.raises(TypeError, match=f"mse: target must be .*{message}"):
        polyloss.mse(x, foreign)
    with pytest.raises(TypeError, match=f"mse: sample_weight must be .*{message}"):
        polyloss.mse(x, x, sample_weight=foreign)


# ------------------------------------------------------------------------------------------------- distributed tensors


@pytest.fixture(scope="module")
def mesh() -> Iterator[Any]:
    """One process that calls itself a group."""
    from torch.distributed.device_mesh import init_device_mesh

    dist: Any = torch.distributed
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "weighted_mean"])
@pytest.mark.parametrize("where", ["rows", "classes", "everywhere"])
def test_distributed_logits(mesh: Any, x: Any, reduction: Any, where: str) -> None:
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

    placement = {"rows": Shard(0), "classes": Shard(1), "everywhere": Replicate()}[where]
    spread = distribute_tensor(IDS, mesh, [Shard(0) if where == "rows" else Replicate()])
    keywords: dict[str, Any] = {"class_weight": torch.tensor([1.0, 2.0, 3.0]), "label_smoothing": 0.1}
    keywords |= {"sample_weight": torch.linspace(0.5, 1, 4), "where": torch.tensor([True, True, False, True])}
    plain = x.clone().requires_grad_()
    expected = polyloss.cross_entropy(plain, IDS, reduction=reduction, **keywords)
    expected.sum().backward()
    for ids in (IDS, spread):
        logits: Any = distribute_tensor(x, mesh, [placement]).requires_grad_()
        value = polyloss.cross_entropy(logits, ids, reduction=reduction, **keywords)
        value.sum().backward()
        assert isinstance(value, DTensor)
        assert isinstance(logits.grad, DTensor)
        torch.testing.assert_close(value.full_tensor(), expected)
        torch.testing.assert_close(logits.grad.full_tensor(), plain.grad)
    bad: Any = polyloss.cross_entropy(logits, torch.tensor([0, 1, 7, 0]), reduction="none")
    assert bad.full_tensor().isnan().tolist() == [False, False, True, False]


def test_distributed_as_the_built_in(mesh: Any, x: Any) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor

    ids = distribute_tensor(IDS, mesh, [Shard(0)])
    found: list[Any] = []
    for loss in (polyloss.cross_entropy, torch.nn.functional.cross_entropy):
        logits: Any = distribute_tensor(x, mesh, [Shard(0)]).requires_grad_()
        value = loss(logits, ids)
        value.backward()
        assert logits.grad is not None
        found.append((value, logits.grad))
    (ours, by_us), (theirs, by_them) = found
    assert ours.placements == theirs.placements
    torch.testing.assert_close(ours.full_tensor(), theirs.full_tensor())
    torch.testing.assert_close(by_us.full_tensor(), by_them.full_tensor())


def test_distributed_parameters_and_sums(mesh: Any, x: Any) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor

    both = 0.5 * polyloss.huber + polyloss.log_cosh
    spread = distribute_tensor(x, mesh, [Shard(0)])
    value, gradient = polyloss.value_and_grad(both)(spread, 2 * spread)
    expected, by_plain = polyloss.value_and_grad(both)(x, 2 * x)
    torch.testing.assert_close(value.full_tensor(), expected)
    torch.testing.assert_close(gradient.full_tensor(), by_plain)
    weight, other = (torch.tensor([1.0, 2.0, 3.0], requires_grad=True) for _ in range(2))
    polyloss.cross_entropy(spread, IDS, class_weight=weight).backward()
    polyloss.cross_entropy(x, IDS, class_weight=other).backward()
    torch.testing.assert_close(weight.grad, other.grad)
    layer = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    matrix: Any = distribute_tensor(layer, mesh, [Shard(0)]).requires_grad_()
    same = layer.clone().requires_grad_()
    polyloss.linear_cross_entropy(spread, matrix, IDS).backward()
    polyloss.linear_cross_entropy(x, same, IDS).backward()
    assert matrix.grad is not None
    torch.testing.assert_close(matrix.grad.full_tensor(), same.grad)


def _in_one_of_two_processes(rank: int, store: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    dist: Any = torch.distributed
    dist.init_process_group("gloo", store=dist.FileStore(store, 2), rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    x, y = (torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    ids = torch.tensor([0, 1, 2, 0, 3, 1])
    losses: list[Any] = [
        lambda a: polyloss.cross_entropy(a, ids),
        lambda a: polyloss.cross_entropy(a, ids, reduction="none", label_smoothing=0.1).sum(),
        lambda a: polyloss.cross_entropy(a, ids, class_weight=y[0].exp(), ignore_index=0, reduction="weighted_mean"),
        lambda a: polyloss.huber(a, y),
        lambda a: polyloss.linear_cross_entropy(a, y, ids),
        lambda a: polyloss.linear_cross_entropy(y, a, ids),
    ]
    for loss in losses:
        plain = x.clone().requires_grad_()
        expected = loss(plain)
        expected.backward()
        for placement in (Shard(0), Shard(1), Replicate()):
            spread: Any = distribute_tensor(x, mesh, [placement]).requires_grad_()
            value = loss(spread)
            value.backward()
            torch.testing.assert_close(value.full_tensor(), expected)
            torch.testing.assert_close(spread.grad.full_tensor(), plain.grad)
    dist.destroy_process_group()


def test_two_processes(tmp_path: Path) -> None:
    # By the path of this file: a child finds no tests among the modules that are installed.
    code = f"import runpy, sys; runpy.run_path({__file__!r})['_in_one_of_two_processes'](int(sys.argv[1]), sys.argv[2])"
    command = [sys.executable, "-P", "-c", code]
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    errors = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], errors
