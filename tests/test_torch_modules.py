"""Losses as `torch.nn.Module`."""

import copy
import doctest
import io
import pickle
import re
import sys
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.core import words

torch = pytest.importorskip("torch")
from torch.nn import Parameter  # noqa: E402

import polyloss_torch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@polyloss.elementwise(scale=polyloss.POSITIVE, autodiff=True)
def scaled(xp: Any, /, prediction: Any, target: Any, *, scale: Any, flag: bool = False, **call: Any) -> Any:
    return xp.abs(prediction - target) / scale


@pytest.fixture
def x() -> Any:
    return torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def y() -> Any:
    return torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_module(x: Any, y: Any) -> None:
    criterion = polyloss_torch.Huber(delta=0.7, reduction="sum")
    torch.testing.assert_close(criterion(x, y), polyloss.huber(x, y, delta=0.7, reduction="sum"))
    weight = torch.rand(6, dtype=torch.float64)
    torch.testing.assert_close(
        criterion(x, y, sample_weight=weight, where=y > 0),
        polyloss.huber(x, y, delta=0.7, reduction="sum", sample_weight=weight, where=y > 0),
    )
    assert repr(criterion) == "Huber(delta=0.7, reduction='sum')"
    assert not list(criterion.parameters())


def test_module_arrays_are_buffers(x: Any) -> None:
    ids = torch.tensor([0, 1, 2, 3, 0, 1])
    weight = torch.arange(1.0, 5.0)
    criterion = polyloss_torch.CrossEntropy(class_weight=weight, axis=-1)
    assert repr(criterion) == "CrossEntropy(class_weight=Tensor(shape=(4,)))"
    torch.testing.assert_close(criterion(x, ids), polyloss.cross_entropy(x, ids, class_weight=weight))
    assert criterion.double().class_weight.dtype == torch.float64
    other = polyloss_torch.CrossEntropy(class_weight=torch.zeros(4))
    other.load_state_dict(criterion.state_dict())
    torch.testing.assert_close(other(x, ids), criterion(x, ids))


@pytest.mark.parametrize("make", [polyloss_torch.Huber, lambda **k: polyloss_torch.module(polyloss.huber, **k)])
def test_module_refuses_at_construction(make: Any) -> None:
    with pytest.raises(TypeError, match="unexpected dleta; did you mean delta"):
        make(dleta=1.0)
    with pytest.raises(ValueError, match="delta must be positive, got -1"):
        make(delta=-1.0)
    with pytest.raises(ValueError, match="reduction must be one of none, sum, mean, weighted_mean, got 'avg'"):
        make(reduction="avg")
    with pytest.raises(TypeError, match="unexpected where"):
        make(where=torch.ones(3, dtype=torch.bool))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("Quantile", {"q": torch.tensor([0.05, 5.0])}, r"q must be in \(0, 1\), got 5 \(element 1 of shape \(2,\)\)"),
        ("Quantile", {"q": [0.05, 0.5]}, r"q must be an array, got list; make it one: torch\.tensor\(q\)"),
        ("Quantile", {"q": np.asarray([0.05, 0.5])}, r"q is numpy; convert what is NumPy's, as in torch\.tensor\(q\)"),
        ("Huber", {"delta": Parameter(torch.tensor(-1.0))}, "delta must be positive, got -1"),
        ("Huber", {"delta": torch.tensor([1.0, torch.nan])}, "delta must be positive, got nan"),
        ("Huber", {"delta": torch.tensor(0)}, "delta must be positive, got 0"),
        ("Huber", {"delta": torch.tensor(1j)}, "delta must be real, got dtype torch.complex64"),
        ("Huber", {"delta": torch.tensor(1.0, dtype=torch.bfloat16) - 2}, "delta must be positive, got -1"),
        ("CrossEntropy", {"class_weight": torch.ones(2).to_sparse()}, "class_weight must be a plain array, .*to_dense"),
        ("CrossEntropy", {"ignore_index": torch.tensor(1.5)}, "ignore_index must be a whole number"),
        ("InfoNce", {"temperature": torch.ones(2)}, "temperature must have the shape of a number"),
        ("LinearCrossEntropy", {"bias": torch.tensor([1, 2])}, "bias must be real floating"),
        ("TripletMargin", {"swap": torch.tensor(True)}, "swap must be known while a call is traced"),
    ],
)  # fmt: skip
def test_parameters_that_are_arrays_are_checked_where_they_are_given(name: str, values: Any, message: str) -> None:
    made = getattr(polyloss_torch, name)
    criterion = made()
    with pytest.raises((TypeError, ValueError), match=message):
        made(**values)
    for key, value in values.items():
        with pytest.raises((TypeError, ValueError), match=message):
            setattr(criterion, key, value)
    assert repr(criterion) == f"{name}()"


def test_parameters_that_cannot_be_looked_at_are_taken() -> None:
    bad = torch.tensor(-1.0)
    assert polyloss_torch.Huber(delta=bad.to("meta")).delta.is_meta

    def made(delta: Any) -> Any:
        return polyloss_torch.Huber(delta=delta)(torch.ones(2), torch.zeros(2))

    assert torch.func.vmap(made)(bad[None]).isnan().all()


def test_log_variances_are_checked_where_they_are_given() -> None:
    total = polyloss.multi_task({"depth": polyloss.mse, "pose": polyloss.l1})
    criterion = polyloss_torch.module(total, log_variances=torch.zeros(2))
    for value, message in (
        ([0.0, 0.0], "log_variances must be an array, got list"),
        (torch.zeros(3), "log_variances must have one value per task"),
        (torch.zeros(2, dtype=torch.int64), "log_variances must be real floating"),
        (np.zeros(2), "log_variances is numpy"),
    ):
        for give in (
            lambda value=value: polyloss_torch.module(total, log_variances=value),
            lambda value=value: setattr(criterion, "log_variances", value),
        ):
            with pytest.raises((TypeError, ValueError), match=message):
                give()
    criterion.log_variances = None


def test_a_module_has_every_parameter_that_has_no_default(x: Any, y: Any) -> None:
    way = "polyloss_torch.module: missing {}, of which scaled has no default, as in {}"
    for loss, own in {
        scaled: "polyloss_torch.module(..., scale=...)",
        scaled + scaled.partial(scale=2.0): "polyloss_torch.module(..., scale=...)",
        scaled + polyloss.mse: "scaled.partial(scale=...)",
    }.items():
        with pytest.raises(TypeError, match=f"^{re.escape(way.format('scale', own))}$"):
            polyloss_torch.module(loss)
    criterion = polyloss_torch.module(scaled, scale=4.0)
    torch.testing.assert_close(criterion(x, y), polyloss.l1(x, y) / 4)
    assert repr(criterion) == "LossModule(<polyloss loss scaled>, scale=4.0)"
    del criterion.scale
    with pytest.raises(TypeError, match=r"^scaled: missing scale, which has no default"):
        criterion(x, y)


def test_module_of_a_sum(x: Any, y: Any) -> None:
    both = 0.5 * polyloss.mse + polyloss.l1
    criterion = polyloss_torch.module(both, reduction="sum")
    torch.testing.assert_close(criterion(x, y), both(x, y, reduction="sum"))
    assert "0.5 * mse + l1" in repr(criterion)
    with pytest.raises(TypeError, match=r"0\.5 \* mse \+ l1: unexpected delta; its keywords are reduction$"):
        polyloss_torch.module(both, delta=1.0)


@pytest.mark.parametrize(
    ("wrong", "way"),
    [
        ("mse", "str 'mse'; nearest here: polyloss.mse"),
        ("hubre", "str 'hubre'; did you mean polyloss.huber?"),
        (torch.nn.functional.mse_loss, "function; nearest here: polyloss.mse; polyloss.compat.torch.mse_loss has"),
        (polyloss_torch.Huber, "type; nearest here: polyloss.huber"),
        (lambda a, b: a, "function; polyloss.elementwise or polyloss.rowwise makes a loss of a function"),
        (torch.ones(2), "Tensor of shape (2,) and dtype torch.float32"),
    ],
)
def test_what_is_no_loss(wrong: Any, way: str) -> None:
    message = f"polyloss_torch.module: expected a loss or a sum of losses, got {way}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        polyloss_torch.module(wrong)


def test_a_sum_with_weights_is_compiled(x: Any, y: Any) -> None:
    criterion = polyloss_torch.module(0.5 * polyloss.mse + polyloss.huber)
    compiled = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    call = {"sample_weight": torch.rand(6, dtype=torch.float64), "where": y > 0}
    torch.testing.assert_close(compiled(x, y, **call), criterion(x, y, **call))


def test_a_parameter_of_one_term_is_fixed_in_it(x: Any, y: Any) -> None:
    total = 0.5 * polyloss.mse + polyloss.huber
    way = r"delta belongs to huber alone: fix it there before the sum is made, as in 0\.5 \* mse \+ huber\.partial\("
    with pytest.raises(TypeError, match=way):
        polyloss_torch.module(total, delta=3.0)
    with pytest.raises(TypeError, match=way):
        polyloss_torch.module(total)(x, y, delta=3.0)
    with pytest.raises(AttributeError, match=way):
        polyloss_torch.module(total).delta = 3.0


def test_module_is_copied_pickled_saved_and_compiled(x: Any, y: Any) -> None:
    criterion = polyloss_torch.Huber(delta=0.7)
    file = io.BytesIO()
    torch.save(criterion, file)
    file.seek(0)
    copies = [
        copy.deepcopy(criterion),
        pickle.loads(pickle.dumps(criterion)),
        torch.load(file, weights_only=False),
        torch.compile(criterion, fullgraph=True, backend="aot_eager"),
    ]
    for other in copies:
        torch.testing.assert_close(other(x, y), criterion(x, y))


def test_attributes_are_what_a_module_uses(x: Any) -> None:
    ids = torch.tensor([0, 1, 2, 3, 0, 1])
    criterion: Any = polyloss_torch.CrossEntropy()
    assert (criterion.label_smoothing, criterion.reduction, criterion.class_weight) == (0.0, "mean", None)
    criterion.reduction, criterion.label_smoothing = "sum", 0.5
    torch.testing.assert_close(criterion(x, ids), polyloss.cross_entropy(x, ids, reduction="sum", label_smoothing=0.5))
    assert repr(criterion) == "CrossEntropy(label_smoothing=0.5, reduction='sum')"
    criterion.class_weight = torch.arange(1.0, 5.0)
    expected = polyloss.cross_entropy(x, ids, reduction="sum", label_smoothing=0.5, class_weight=torch.arange(1.0, 5.0))
    torch.testing.assert_close(criterion(x, ids), expected)
    assert [name for name, _ in criterion.named_buffers()] == ["class_weight"]
    criterion.class_weight = 2.0
    assert not list(criterion.buffers())
    torch.testing.assert_close(
        criterion(x, ids), 2 * polyloss.cross_entropy(x, ids, reduction="sum", label_smoothing=0.5)
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("reduction", "avg", "reduction must be one of none, sum, mean, weighted_mean, got 'avg'; say .*'mean'"),
        ("label_smoothing", 1.5, r"label_smoothing must be in \[0, 1\], got 1.5"),
        ("label_smoothing", "a", "label_smoothing must be a real number or an array, got str 'a'"),
        ("label_smoothing", None, "label_smoothing must be a number or an array, got None"),
        ("ignore_index", 0.5, "ignore_index must be a whole number"),
        ("ignore_index", [1, 2], "one class id, got list"),
        ("ignore_index", torch.ones(2), "one class id, got Tensor"),
        ("axis", 0.5, "axis must be an integer, got float 0.5"),
    ],
)
def test_a_bad_parameter_is_refused_where_it_is_set(name: str, value: Any, message: str) -> None:
    """As an attribute as at construction, and of a sum; what it was stays."""
    total = polyloss.cross_entropy + polyloss.softmax_focal
    makers: list[Any] = [polyloss_torch.CrossEntropy]
    if name != "label_smoothing":
        makers.append(lambda **parameters: polyloss_torch.module(total, **parameters))
    for make in makers:
        criterion = make()
        before = getattr(criterion, name)
        for refused in (lambda make=make: make(**{name: value}), lambda one=criterion: setattr(one, name, value)):
            with pytest.raises((TypeError, ValueError), match=message):
                refused()
        assert getattr(criterion, name) is before


def test_attributes_of_a_sum(x: Any, y: Any) -> None:
    both = polyloss.mse + polyloss.huber.partial(delta=0.5)
    criterion = polyloss_torch.module(both)
    criterion.reduction = "sum"
    torch.testing.assert_close(criterion(x, y), both(x, y, reduction="sum"))
    twice = polyloss_torch.module(polyloss.huber.partial(delta=0.5) + polyloss.huber)
    assert not hasattr(twice, "delta")
    torch.testing.assert_close(twice(x, y), polyloss.huber(x, y, delta=0.5) + polyloss.huber(x, y))
    twice.delta = 2.0
    torch.testing.assert_close(twice(x, y), 2 * polyloss.huber(x, y, delta=2.0))


def test_parameters_come_by_name(x: Any, y: Any) -> None:
    ways: list[tuple[Any, Any, str]] = [
        (polyloss_torch.Huber, 2.0, "by name (delta, reduction), got float 2.0 without one, as in Huber(delta=2.0)"),
        (polyloss_torch.Huber, "sum", ", as in Huber(reduction='sum')"),
        (polyloss_torch.Huber, "average", "got str 'average' without one"),
        (polyloss_torch.CrossEntropy, 0.1, ", as in CrossEntropy(label_smoothing=0.1)"),
        (polyloss_torch.CrossEntropy, -100, ", as in CrossEntropy(ignore_index=-100)"),
    ]
    for kind, value, way in ways:
        with pytest.raises(TypeError, match=re.escape(f"{way}") + "$"):
            kind(value)
    with pytest.raises(TypeError, match=r"make the object first, .* CrossEntropy\(...\)\(logits, target\)"):
        polyloss_torch.CrossEntropy(x, y)


def test_sums_of_modules(x: Any, y: Any) -> None:
    huber: Any = polyloss_torch.Huber(delta=torch.tensor(0.7, dtype=torch.float64))
    expected = 0.5 * polyloss.huber(x, y, delta=0.7) + polyloss.l1(x, y)
    sums: list[Any] = [
        0.5 * huber + polyloss.l1,
        polyloss.l1 + huber * 0.5,
        polyloss.l1 + huber / 2,
        sum([0.5 * huber, polyloss.l1]),
    ]
    for criterion in (*sums, pickle.loads(pickle.dumps(sums[0])), copy.deepcopy(sums[1])):
        assert isinstance(criterion, torch.nn.Module)
        torch.testing.assert_close(criterion(x, y), expected)
        assert [value.item() for value in criterion.buffers()] == [0.7]
    weight = torch.rand(6, dtype=torch.float64)
    torch.testing.assert_close(
        sums[0](x, y, sample_weight=weight),
        0.5 * polyloss.huber(x, y, delta=0.7, sample_weight=weight) + polyloss.l1(x, y, sample_weight=weight),
    )
    with pytest.raises(TypeError, match=r"^polyloss_torch.module: unexpected reduction: .* is made of modules"):
        polyloss_torch.module(sums[0], reduction="sum")
    with pytest.raises(TypeError, match="must take the same arrays"):
        huber + polyloss_torch.TripletMargin()


def test_module_of_somebody_else_in_a_sum(x: Any, y: Any) -> None:
    criterion: Any = polyloss.mse + 0.1 * polyloss_torch.module(torch.nn.L1Loss())
    torch.testing.assert_close(criterion(x, y), polyloss.mse(x, y) + 0.1 * torch.nn.functional.l1_loss(x, y))
    assert any(isinstance(member, torch.nn.L1Loss) for member in criterion.modules())


def test_module_of_several_tasks(x: Any, y: Any) -> None:
    huber: Any = polyloss_torch.Huber(delta=torch.tensor(0.7, dtype=torch.float64))
    total = polyloss.multi_task(
        {"depth": huber, "pose": polyloss.l1}, {"depth": 2.0, "pose": 1.0}, kinds={"depth": "regression"}
    )
    plain = polyloss.multi_task(
        {"depth": polyloss.huber.partial(delta=0.7), "pose": polyloss.l1}, {"depth": 2.0, "pose": 1.0}
    )
    arrays = {"depth": (x, y), "pose": (x[0], y[0])}
    fixed = polyloss_torch.module(total)
    torch.testing.assert_close(fixed(arrays), plain(arrays))
    learned = polyloss_torch.module(total, log_variances=Parameter(torch.ones(2, dtype=torch.float64)))
    assert [name for name, _ in learned.named_parameters()] == ["log_variances"]
    assert len(list(learned.buffers())) == 1
    for criterion in (learned, pickle.loads(pickle.dumps(learned))):
        value, parts = criterion(arrays, parts=True, options={"pose": {"reduction": "sum"}})
        expected = torch.ones(2, dtype=torch.float64, requires_grad=True)
        torch.testing.assert_close(value, plain(arrays, log_variances=expected, options={"pose": {"reduction": "sum"}}))
        torch.testing.assert_close(parts["pose"], polyloss.l1(x[0], y[0], reduction="sum"))
        criterion(arrays).backward()
        plain(arrays, log_variances=expected).backward()
        torch.testing.assert_close(criterion.log_variances.grad, expected.grad)
    with pytest.raises(TypeError, match="multi_task: unexpected reduction; its keywords are log_variances"):
        polyloss_torch.module(total, reduction="sum")


def test_every_loss_has_a_module_class() -> None:
    names = set(dir(polyloss_torch))
    losses = [name for name in vars(polyloss)["__all__"] if isinstance(getattr(polyloss, name), polyloss.Loss)]
    assert {words.class_name(name) for name in losses} <= names
    for name in ("Mse", "L1", "KlDivergence", "BinaryCrossEntropyWithLogits"):
        assert issubclass(getattr(polyloss_torch, name), torch.nn.Module)
    with pytest.raises(AttributeError, match="Hubr"):
        _ = polyloss_torch.Hubr


def test_examples_in_docstrings() -> None:
    results = doctest.testmod(sys.modules[polyloss_torch.LossModule.__module__])
    assert results.failed == 0
    assert results.attempted > 4


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (
            "MSELoss",
            "nearest here: polyloss_torch.Mse; polyloss.compat.torch.mse_loss has PyTorch's signature and definition",
        ),
        (
            "CrossEntropyLoss",
            "nearest here: polyloss_torch.CrossEntropy; polyloss.compat.torch.cross_entropy has PyTorch's",
        ),
        (
            "BCEWithLogitsLoss",
            "nearest here: polyloss_torch.BinaryCrossEntropyWithLogits; polyloss.compat.torch."
            "binary_cross_entropy_with_logits has PyTorch's signature and definition",
        ),
        ("SupConLoss", "there is no such loss in polyloss yet"),
        ("huber", "nearest here: polyloss_torch.Huber"),
        ("Hubr", "did you mean polyloss_torch.Huber?"),
    ],
)
def test_classes_of_others_are_answered_with_ours(name: str, way: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(f"module 'polyloss_torch' has no attribute {name!r}; {way}")):
        getattr(polyloss_torch, name)


def test_parameters_do_not_come_with_a_call(x: Any, y: Any) -> None:
    for criterion in (polyloss_torch.Huber(), polyloss_torch.module(polyloss.mse + polyloss.huber)):
        with pytest.raises(TypeError, match=r"reduction belongs to the object, .* set it .*criterion\.reduction = "):
            criterion(x, y, reduction="sum")
    with pytest.raises(TypeError, match="Huber: delta belongs to the object"):
        polyloss_torch.Huber()(x, y, delta=2.0)
    total = polyloss_torch.module(polyloss.multi_task({"depth": polyloss.mse}))
    with pytest.raises(TypeError, match="log_variances belongs to the object"):
        total(x, y, log_variances=torch.zeros(1))


def test_attributes_that_were_meant_to_be_parameters(x: Any, y: Any) -> None:
    criterion = polyloss_torch.Huber(delta=2.0)
    slips = {"detla": "delta", "delt": "delta", "redution": "reduction", "reductoin": "reduction"}
    for name, meant in slips.items():
        with pytest.raises(AttributeError, match=rf"Huber: has no parameter {name}; did you mean {meant}\?"):
            setattr(criterion, name, 3.0)
    for name in ("sample_weight", "where", "denominator"):
        with pytest.raises(AttributeError, match=f"{name} is no attribute: it belongs to the arrays of a call"):
            setattr(criterion, name, x)
    assert not {"detla", "where"} & {*vars(criterion)}
    for name in ("note", "history", "encoder", "_delta", "scaler", "data"):
        setattr(criterion, name, torch.nn.Linear(1, 1) if name == "encoder" else name)
    with pytest.raises(AttributeError, match="no parameter class_weights; did you mean class_weight"):
        polyloss_torch.CrossEntropy().class_weights = x
    criterion.note = "changed"
    criterion.eval().delta = 1.0
    torch.testing.assert_close(copy.deepcopy(criterion)(x, y), polyloss.huber(x, y))


@pytest.mark.parametrize(
    "name", [n for n in vars(polyloss)["__all__"] if isinstance(getattr(polyloss, n), polyloss.Loss)]
)
def test_words_are_attributes_like_any_other(name: str) -> None:
    criterion = getattr(polyloss_torch, words.class_name(name))()
    for word in ("scaler", "scales", "axes", "deltas", "betas", "margins", "data", "weights", "weight", "power"):
        setattr(criterion, word, 1.0)
        assert getattr(criterion, word) == 1.0


def test_a_module_that_is_no_loss_yet() -> None:
    with pytest.raises(TypeError, match=r"got L1Loss; polyloss_torch\.module makes a loss of a module$"):
        torch.nn.L1Loss() + polyloss.mse
