"""The classes of `polyloss.compat.torch` are those of `torch.nn`, and plain ones where PyTorch is not installed."""

import copy
import importlib.util
import inspect
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

from polyloss import compat
from polyloss.compat import _classes
from polyloss.compat.torch.classes import CLASSES, LAYERS

RNG = np.random.default_rng(5)
LOGITS = RNG.normal(0, 2, (6, 4))
OTHER = RNG.normal(0, 2, (6, 4))
SHARES = RNG.dirichlet(np.ones(4), 6)
BITS = (OTHER > 0) * 1.0
SIGNS = np.sign(OTHER)
IDS = RNG.integers(0, 4, 6)
WEIGHT = np.asarray([0.5, 2.0, 1.0, 3.0])

CALLS: dict[str, tuple[tuple[Any, ...], tuple[dict[str, Any], ...]]] = {
    "BCELoss": ((SHARES, BITS), ({}, {"weight": WEIGHT, "reduction": "none"})),
    "BCEWithLogitsLoss": ((LOGITS, BITS), ({}, {"weight": WEIGHT, "pos_weight": 2 * WEIGHT})),
    "CTCLoss": (
        (np.log(SHARES), np.asarray([1, 2]), np.asarray(6), np.asarray(2)),
        ({}, {"blank": 3, "reduction": "sum"}, {"zero_infinity": True}),
    ),
    "CosineEmbeddingLoss": ((LOGITS, OTHER, SIGNS[:, 0]), ({}, {"margin": 0.25})),
    "CrossEntropyLoss": ((LOGITS, IDS), ({}, {"weight": WEIGHT, "ignore_index": 2, "label_smoothing": 0.25})),
    "GaussianNLLLoss": ((LOGITS, OTHER, SHARES), ({}, {"full": True, "eps": 0.25, "reduction": "sum"})),
    "HingeEmbeddingLoss": ((np.abs(LOGITS), SIGNS), ({}, {"margin": 2.0})),
    "HuberLoss": ((LOGITS, OTHER), ({}, {"reduction": "sum", "delta": 0.5})),
    "KLDivLoss": ((np.log(SHARES), SHARES[::-1].copy()), ({"reduction": "batchmean"}, {"reduction": "sum"})),
    "L1Loss": ((LOGITS, OTHER), ({}, {"reduction": "none"})),
    "MSELoss": ((LOGITS, OTHER), ({}, {"reduction": "sum"})),
    "MarginRankingLoss": ((LOGITS, OTHER, SIGNS), ({}, {"margin": 0.5, "reduction": "sum"})),
    "MultiLabelMarginLoss": ((LOGITS, np.tile([2, 0, -1, 1], (6, 1))), ({}, {"reduction": "none"})),
    "MultiLabelSoftMarginLoss": ((LOGITS, BITS), ({}, {"weight": WEIGHT, "reduction": "none"})),
    "MultiMarginLoss": ((LOGITS, IDS), ({}, {"p": 2, "margin": 0.5, "weight": WEIGHT})),
    "NLLLoss": ((np.log(SHARES), IDS), ({}, {"weight": WEIGHT, "ignore_index": 1})),
    "NLLLoss2d": ((np.log(SHARES), IDS), ({},)),
    "PoissonNLLLoss": ((LOGITS, np.round(4 * SHARES)), ({}, {"full": True, "reduction": "sum"})),
    "SmoothL1Loss": ((LOGITS, OTHER), ({}, {"beta": 0.5})),
    "SoftMarginLoss": ((LOGITS, SIGNS), ({}, {"reduction": "none"})),
    "TripletMarginLoss": ((LOGITS, OTHER, SHARES), ({}, {"margin": 2.0, "p": 1, "swap": True})),
    "TripletMarginWithDistanceLoss": ((LOGITS, OTHER, SHARES), ({}, {"swap": True})),
}
OF_LAYERS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], tuple[dict[str, Any], ...]]] = {
    "AdaptiveLogSoftmaxWithLoss": (
        (4, 5, [1, 3], 2.0),
        (LOGITS, np.asarray([0, 4, 2, 3, 0, 1])),
        ({}, {"head_bias": True}),
    ),
    "LinearCrossEntropyLoss": (
        (4, 5),
        (LOGITS, IDS),
        ({}, {"bias": True, "weight": SHARES[:5, 0], "ignore_index": 2, "label_smoothing": 0.25, "reduction": "none"}),
    ),
}
"""What each class with weights of its own is made with, what it is called with, and more to make it with."""

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
of_torch = [pytest.mark.torch, needs_torch, pytest.mark.filterwarnings("ignore:.NLLLoss2d. has been deprecated")]


def marked(function: Any) -> Any:
    for mark in of_torch:
        function = mark(function)
    return function


@marked
def test_every_class_of_torch_is_here() -> None:
    import torch

    theirs = {name for name in dir(torch.nn) if "Loss" in name}
    assert theirs <= CLASSES.keys() | LAYERS.keys()
    assert CALLS.keys() == CLASSES.keys()
    assert OF_LAYERS.keys() == LAYERS.keys()
    assert CLASSES.keys() | LAYERS.keys() <= set(dir(compat.torch))


@marked
@pytest.mark.parametrize("name", CLASSES)
def test_the_signature_is_that_of_the_class_of_torch(name: str) -> None:
    import torch

    ours = inspect.signature(getattr(compat.torch, name)).parameters.values()
    theirs = inspect.signature(getattr(torch.nn, name).__init__).parameters.values()
    assert [(p.name, p.default, p.kind) for p in ours] == [(p.name, p.default, p.kind) for p in theirs][1:]


@marked
@pytest.mark.parametrize("name", CLASSES)
def test_objects_are_those_of_torch_in_all_but_what_they_compute(name: str) -> None:
    import torch

    arrays, calls = CALLS[name]
    for keywords in calls:
        given = {key: torch.tensor(v) if isinstance(v, np.ndarray) else v for key, v in keywords.items()}
        ours, theirs = (kind(**given) for kind in (getattr(compat.torch, name), getattr(torch.nn, name)))
        assert isinstance(ours, getattr(torch.nn, name))
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        ours.load_state_dict({key: 2 * value for key, value in theirs.state_dict().items()})
        theirs.load_state_dict({key: 2 * value for key, value in theirs.state_dict().items()})
        for made in (ours, copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            found: list[Any] = []
            expected: list[Any] = []
            for criterion, results in ((made, found), (theirs, expected)):
                inputs = [torch.tensor(a, requires_grad=a is arrays[0]) for a in arrays]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # KLDivLoss warns of its own mean
                    # By log-probabilities that nothing normalises, the gradient of torch is none.
                    first = inputs[0].log_softmax(-1) if name == "CTCLoss" else inputs[0]
                    value = criterion(first, *inputs[1:])
                results += [value.detach(), *torch.autograd.grad(value.sum(), inputs[:1])]
            for one, other in zip(found, expected, strict=True):
                # Distances of torch have an eps.
                torch.testing.assert_close(one, other, rtol=1e-4 if "Triplet" in name else 1e-12, atol=1e-12)


@marked
@pytest.mark.parametrize("name", CLASSES)
def test_arrays_have_the_names_that_torch_has(name: str) -> None:
    import torch

    arrays = [torch.tensor(a) for a in CALLS[name][0]]
    criterion = getattr(compat.torch, name)()
    names = list(inspect.signature(getattr(torch.nn, name).forward).parameters)[1:]
    expected = criterion(*arrays)
    torch.testing.assert_close(criterion(**dict(zip(names, arrays, strict=True))), expected)
    torch.testing.assert_close(criterion(arrays[0], **dict(zip(names[1:], arrays[1:], strict=True))), expected)


@marked
@pytest.mark.parametrize("name", LAYERS)
def test_a_class_with_weights_is_that_of_torch_in_all_but_what_it_computes(name: str) -> None:
    import torch

    if not hasattr(torch.nn, name):
        pytest.skip(f"torch {torch.__version__} has no {name}")
    kind, own = getattr(compat.torch, name), getattr(torch.nn, name)
    assert issubclass(kind, own)
    assert inspect.signature(kind) == inspect.signature(own)
    made_with, arrays, more = OF_LAYERS[name]
    for keywords in more:
        given = {key: torch.tensor(v) if isinstance(v, np.ndarray) else v for key, v in keywords.items()}
        ours, theirs = (one(*made_with, dtype=torch.float64, **given) for one in (kind, own))
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        ours.load_state_dict(theirs.state_dict())
        for made in (ours, copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            found: list[Any] = []
            expected: list[Any] = []
            for layer, results in ((made, found), (theirs, expected)):
                hidden, *others = (torch.tensor(a, requires_grad=a is arrays[0]) for a in arrays)
                values = layer(hidden, *others)
                values = list(values) if isinstance(values, tuple) else [values]
                results += values
                results += torch.autograd.grad(sum(v.sum() for v in values), [hidden, *layer.parameters()])
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_class_with_weights_needs_pytorch(no_torch: None) -> None:
    for name, function in LAYERS.items():
        with pytest.raises(AttributeError, match=rf"{name} has weights, and needs torch .*{function.__name__} takes"):
            getattr(compat.torch, name)


@marked
def test_an_adaptive_softmax() -> None:
    import torch

    layer = compat.torch.AdaptiveLogSoftmaxWithLoss(4, 5, [1, 3], div_value=2.0, head_bias=True)
    hidden, target = torch.tensor(LOGITS, dtype=torch.float32), torch.tensor([0, 4, 2, 3, 0, 1])
    output, loss = layer(hidden, target)
    torch.testing.assert_close(output, layer.log_prob(hidden).gather(1, target[:, None])[:, 0])
    torch.testing.assert_close(loss, -output.mean())
    torch.testing.assert_close(layer(hidden[1], target[1]).output, output[1])
    assert layer(hidden[:0], target[:0]).loss.item() == 0
    assert layer.predict(hidden).tolist() == layer.log_prob(hidden).argmax(dim=1).tolist()
    with pytest.raises(ValueError, match=r"target_ must be class ids in \[0, 5\)"):
        layer(hidden, target - 1)
    with pytest.raises(ValueError, match=r"input_ must have the shape \(N, D\) beside a target_ of shape \(N\)"):
        layer(hidden, target[:5])
    # A probability next to 1 keeps the digits of its logarithm.
    with torch.no_grad():
        layer.head.weight.mul_(0)
        layer.head.bias.copy_(torch.tensor([20.0, 0.0, 0.0]))
    np.testing.assert_allclose(layer(hidden, 0 * target).loss.item(), 2 * np.exp(-20.0), rtol=1e-6)
    half = layer.bfloat16()(hidden.bfloat16(), 0 * target)
    assert half.loss.dtype == half.output.dtype == torch.bfloat16
    np.testing.assert_allclose(half.loss.item(), 2 * np.exp(-20.0), rtol=0.01)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors is a no-op")
@marked
def test_a_cluster_without_features_is_uniform() -> None:
    import torch

    torch.manual_seed(0)
    ours, theirs = (
        kind(8, 20, [4, 10]) for kind in (compat.torch.AdaptiveLogSoftmaxWithLoss, torch.nn.AdaptiveLogSoftmaxWithLoss)
    )
    ours.load_state_dict(theirs.state_dict())
    hidden, target = torch.randn(3, 8), torch.tensor([1, 5, 15])
    torch.testing.assert_close(ours(hidden, target), theirs(hidden, target), check_dtype=True)
    ours(hidden, target).loss.backward()


@marked
def test_a_layer_of_many_places() -> None:
    import torch

    criterion = compat.torch.LinearCrossEntropyLoss(4, 5, out_features=(3, 2), bias=True)
    theirs = torch.nn.LinearCrossEntropyLoss(4, 5, out_features=(3, 2), bias=True)
    criterion.load_state_dict(theirs.state_dict())
    hidden, target = torch.tensor(LOGITS, dtype=torch.float32), torch.randint(5, (6, 3, 2))
    torch.testing.assert_close(criterion(hidden, target), theirs(hidden, target))
    half = criterion.bfloat16()(hidden.bfloat16(), target)
    torch.testing.assert_close(half, theirs(hidden, target).bfloat16(), rtol=0.02, atol=0)
    assert half.dtype == torch.bfloat16


@marked
def test_an_attribute_counts_as_it_is_at_a_call() -> None:
    import torch

    criterion: Any = compat.torch.HuberLoss()
    criterion.delta = 2.0
    assert criterion(torch.tensor([3.0]), torch.tensor([0.0])).item() == 4.0
    weighted = compat.torch.CrossEntropyLoss(weight=torch.ones(4)).to(torch.float64)
    assert weighted.weight.dtype == torch.float64
    compiled: Any = torch.compile(weighted, fullgraph=True, backend="aot_eager")
    logits, ids = torch.tensor(LOGITS), torch.tensor(IDS)
    torch.testing.assert_close(compiled(logits, target=ids), weighted(logits, ids))


@marked
def test_what_replaced_parameters_of_old_is_said_by_torch_itself() -> None:
    with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
        criterion: Any = compat.torch.MSELoss(size_average=False)
    assert criterion.reduction == "sum"


@marked
def test_a_distance_is_exact_unless_one_is_given() -> None:
    import torch

    points = torch.zeros(2, 3)
    assert compat.torch.TripletMarginWithDistanceLoss(margin=1e-9)(points, points, points).item() == pytest.approx(1e-9)
    distance = torch.nn.PairwiseDistance(eps=0.5)
    given = compat.torch.TripletMarginWithDistanceLoss(distance_function=distance)
    assert given.distance_function is distance


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As if PyTorch were not installed."""
    monkeypatch.setattr(_classes, "find_spec", lambda _: None)
    for made in (_classes.class_of, _classes.layer_of):
        made.cache_clear()
    yield
    for made in (_classes.class_of, _classes.layer_of):
        made.cache_clear()


@pytest.mark.parametrize("name", CLASSES)
def test_without_torch_classes_are_plain(backend: Any, no_torch: None, name: str) -> None:
    arrays, calls = CALLS[name]
    recipe = CLASSES[name]
    inputs = [backend.array(a) for a in arrays]
    for keywords in calls:
        given = {key: backend.array(v) if isinstance(v, np.ndarray) else v for key, v in keywords.items()}
        criterion = getattr(compat.torch, name)(**given)
        assert type(criterion).__mro__[1:] == (_classes.Criterion, object)
        expected = recipe.function(*inputs, **given)
        backend.check(criterion(*inputs), backend.numpy(expected), rtol=0)


def test_a_plain_class_refuses_what_it_cannot_be_made_with(no_torch: None) -> None:
    with pytest.raises(
        TypeError, match="HuberLoss: got an unexpected keyword argument 'dleta'; it takes reduction, delta"
    ):
        compat.torch.HuberLoss(dleta=1.0)
    with pytest.raises(TypeError, match="MSELoss: size_average is not supported, got False"):
        compat.torch.MSELoss(size_average=False)
    criterion = compat.torch.HuberLoss(delta=2.0)
    assert repr(criterion) == "HuberLoss(delta=2.0)"
    assert inspect.signature(type(criterion)) == CLASSES["HuberLoss"].signature


def test_without_keras_its_classes_name_the_functions(no_torch: None) -> None:
    with pytest.raises(AttributeError, match=r"compat\.keras\.Huber needs Keras to be installed; .*\.huber does not"):
        compat.keras.Huber  # noqa: B018
