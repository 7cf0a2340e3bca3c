"""`polyloss.boosting`: trees of XGBoost, LightGBM and CatBoost are those of their own objective of the same name."""

import copy
import json
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import boosting
from polyloss.core.typing import Namespace

pytestmark = pytest.mark.boosting

xgb = pytest.importorskip("xgboost", reason="xgboost is not installed")
lgb = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
cb = pytest.importorskip("catboost", reason="catboost is not installed")

ROUNDS = 4
Numbers = np.ndarray[Any, Any]


@polyloss.elementwise(delta=polyloss.POSITIVE)
def pseudo_huber(xp: Namespace, /, prediction: Any, target: Any, *, delta: Any = 1.0, **call: Any) -> Any:
    """As XGBoost has it."""
    error = (prediction - target) / delta
    root = xp.sqrt(1 + error * error)
    return delta * delta * (root - 1), lambda: delta * error / root, lambda: -delta * error / root


def numbers(kind: str) -> tuple[Numbers, Numbers]:
    """Features and targets of a kind, the same each time."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(240, 5))
    signal = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=240)
    targets: dict[str, Callable[[], Numbers]] = {
        "number": lambda: signal,
        "numbers": lambda: np.stack([signal, x[:, 3] - signal], axis=1),
        "binary": lambda: (signal > 0).astype(float),
        "class": lambda: np.digitize(signal, [-0.7, 0.7]).astype(float),
        "count": lambda: rng.poisson(np.exp(0.5 * signal)).astype(float),
    }
    return x, targets[kind]()


WEIGHT = np.random.default_rng(1).uniform(0.5, 3.0, 240)
half_squares = 0.5 * polyloss.mse
log_loss = polyloss.binary_cross_entropy_with_logits
poisson = polyloss.poisson_nll.partial(log_rate=True)


def same_trees(ours: list[Any], theirs: list[Any]) -> None:
    """Trees as lists of splits and leaves: the same places, and numbers up to the rounding of float32."""
    assert len(ours) == len(theirs) >= ROUNDS
    for one, other in zip(ours, theirs, strict=True):
        assert [node[:-1] for node in one] == [node[:-1] for node in other]
        np.testing.assert_allclose([n[-1] for n in one], [n[-1] for n in other], rtol=2e-4, atol=2e-6)
    assert any(len(tree) > 3 for tree in ours)


# ------------------------------------------------------------------------------------------------------------- XGBoost


def xgboost_trees(booster: Any) -> list[Any]:
    """Each node: its number, its feature, and the value of the split or of the leaf."""

    def walk(node: Any) -> Any:
        yield node["nodeid"], node.get("split", "leaf"), node.get("split_condition", node.get("leaf"))
        for child in node.get("children", ()):
            yield from walk(child)

    return [list(walk(json.loads(text))) for text in booster.get_dump(dump_format="json")]


XGBOOST: dict[str, Any] = {
    "squares": (half_squares, "number", {"objective": "reg:squarederror"}, {}),
    "squares of two": (half_squares, "numbers", {"objective": "reg:squarederror"}, {}),
    "log loss": (log_loss, "binary", {"objective": "binary:logistic", "base_score": 0.5}, {}),
    "softmax": (polyloss.cross_entropy, "class", {"objective": "multi:softprob", "num_class": 3}, {}),
    "pseudo-Huber": (
        pseudo_huber.partial(delta=0.7),
        "number",
        {"objective": "reg:pseudohubererror", "huber_slope": 0.7},
        {"curvature": "exact"},
    ),
}


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weights"])
@pytest.mark.parametrize("name", XGBOOST)
def test_trees_of_xgboost(name: str, weight: Numbers | None) -> None:
    loss, kind, theirs, options = XGBOOST[name]
    x, y = numbers(kind)
    data = xgb.DMatrix(x, y, weight=weight)
    common: dict[str, Any] = {"max_depth": 3, "eta": 0.3, "base_score": 0.0, "nthread": 1}
    classes = {key: value for key, value in theirs.items() if key == "num_class"}
    objective, _ = boosting.xgboost(loss, **options)
    ours = xgb.train({**common, **classes}, data, ROUNDS, obj=objective)
    same_trees(xgboost_trees(ours), xgboost_trees(xgb.train({**common, **theirs}, data, ROUNDS)))


def test_classes_of_xgboost_for_scikit_learn_train_the_same() -> None:
    x, y = numbers("class")
    objective, metric = boosting.xgboost(polyloss.cross_entropy)
    common: dict[str, Any] = {"n_estimators": ROUNDS, "max_depth": 3, "n_jobs": 1, "base_score": 0.0}
    ours = xgb.XGBClassifier(objective=objective, eval_metric=metric, **common)
    ours.fit(x, y, sample_weight=WEIGHT, eval_set=[(x, y)], sample_weight_eval_set=[WEIGHT], verbose=False)
    theirs = xgb.XGBClassifier(eval_metric="mlogloss", **common)
    theirs.fit(x, y, sample_weight=WEIGHT, eval_set=[(x, y)], sample_weight_eval_set=[WEIGHT], verbose=False)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-4)
    (watched,), (known,) = ours.evals_result().values(), theirs.evals_result().values()
    np.testing.assert_allclose(watched["polyloss_cross_entropy"], known["mlogloss"], rtol=1e-5)


def test_xgboost_stops_early_by_the_metric() -> None:
    x, y = numbers("number")
    train, test = xgb.DMatrix(x[:160], y[:160]), xgb.DMatrix(x[160:], y[160:])
    objective, metric = boosting.xgboost(polyloss.l1)
    watched: dict[str, Any] = {}
    options = {"custom_metric": metric, "evals": [(test, "test")], "evals_result": watched, "verbose_eval": False}
    found = xgb.train({"eta": 0.5, "nthread": 1}, train, 300, obj=objective, early_stopping_rounds=5, **options)
    history = watched["test"]["polyloss_l1"]
    assert len(history) < 300
    assert found.best_iteration == int(np.argmin(history)) == len(history) - 6
    best = found.predict(test, iteration_range=(0, found.best_iteration + 1))
    assert np.isclose(np.abs(best - y[160:]).mean(), min(history), rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------ LightGBM


def lightgbm_trees(booster: Any) -> list[Any]:
    def walk(node: Any, place: str = "") -> Any:
        yield place, node.get("split_feature", "leaf"), node.get("threshold", node.get("leaf_value"))
        for side in ("left_child", "right_child"):
            if side in node:
                yield from walk(node[side], place + side[0])

    return [list(walk(tree["tree_structure"])) for tree in booster.dump_model()["tree_info"]]


LIGHTGBM: dict[str, Any] = {
    "squares": (half_squares, "number", {"objective": "l2"}, {}),
    "Huber": (polyloss.huber.partial(delta=0.5), "number", {"objective": "huber", "alpha": 0.5}, {"curvature": 1.0}),
    "log loss": (log_loss, "binary", {"objective": "binary"}, {}),
    "Poisson": (poisson, "count", {"objective": "poisson", "poisson_max_delta_step": 1e-12}, {}),
    "softmax": (polyloss.cross_entropy, "class", {"objective": "multiclass", "num_class": 3}, {}),
}


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weights"])
@pytest.mark.parametrize("name", LIGHTGBM)
def test_trees_of_lightgbm(name: str, weight: Numbers | None) -> None:
    loss, kind, theirs, options = LIGHTGBM[name]
    x, y = numbers(kind)
    classes = {key: value for key, value in theirs.items() if key == "num_class"}
    # Its softmax has C / (C - 1) p (1 - p) where the bound is 2 p (1 - p): the same steps, shorter by a factor.
    factor = (classes["num_class"] / (classes["num_class"] - 1)) / 2 if classes else 1.0
    common: dict[str, Any] = {
        "num_leaves": 6,
        "boost_from_average": False,
        "min_sum_hessian_in_leaf": 1e-9,
        "verbose": -1,
    }
    common |= {"deterministic": True, "num_threads": 1}
    objective, _ = boosting.lightgbm(loss, **options)
    data = partial(lgb.Dataset, x, y, weight=weight)
    ours = lgb.train({**common, **classes, "objective": objective, "learning_rate": 0.3}, data(), ROUNDS)
    known = lgb.train({**common, **theirs, "learning_rate": 0.3 * factor}, data(), ROUNDS)
    same_trees(lightgbm_trees(ours), lightgbm_trees(known))


@pytest.mark.parametrize(("name", "loss"), [("quantile", polyloss.quantile.partial(q=0.8)), ("l1", polyloss.l1)])
def test_lightgbm_alone_computes_the_leaves_anew(name: str, loss: Any) -> None:
    """The difference that the guide tells of: the same splits of the first tree, and other values of its leaves."""
    x, y = numbers("number")
    common: dict[str, Any] = {
        "num_leaves": 6,
        "boost_from_average": False,
        "verbose": -1,
        "num_threads": 1,
        "alpha": 0.8,
    }
    objective, _ = boosting.lightgbm(loss, curvature=1.0)
    (ours,) = lightgbm_trees(lgb.train({**common, "objective": objective}, lgb.Dataset(x, y), 1))
    (theirs,) = lightgbm_trees(lgb.train({**common, "objective": name}, lgb.Dataset(x, y), 1))
    assert [node[:2] for node in ours] == [node[:2] for node in theirs]
    leaves, renewed = ([node[-1] for node in tree if node[1] == "leaf"] for tree in (ours, theirs))
    assert not np.allclose(leaves, renewed, rtol=0.1)


def test_classes_of_lightgbm_for_scikit_learn_train_the_same() -> None:
    x, y = numbers("binary")
    objective, metric = boosting.lightgbm(log_loss)
    common: dict[str, Any] = {
        "n_estimators": ROUNDS,
        "num_leaves": 6,
        "boost_from_average": False,
        "verbose": -1,
        "n_jobs": 1,
    }
    watch = {"sample_weight": WEIGHT, "eval_X": x, "eval_y": y, "eval_sample_weight": [WEIGHT]}
    ours = lgb.LGBMClassifier(objective=objective, **common).fit(x, y, eval_metric=metric, **watch)
    theirs = lgb.LGBMClassifier(**common).fit(x, y, eval_metric="binary_logloss", **watch)
    same_trees(lightgbm_trees(ours.booster_), lightgbm_trees(theirs.booster_))
    (watched,), (known,) = ours.evals_result_.values(), theirs.evals_result_.values()
    np.testing.assert_allclose(watched["polyloss_binary_cross_entropy_with_logits"], known["binary_logloss"], rtol=1e-5)


def test_lightgbm_stops_early_by_the_metric() -> None:
    x, y = numbers("number")
    train = lgb.Dataset(x[:160], y[:160])
    objective, metric = boosting.lightgbm(polyloss.huber)
    watched: dict[str, Any] = {}
    stop = [lgb.early_stopping(5, verbose=False), lgb.record_evaluation(watched)]
    parameters = {"objective": objective, "verbose": -1, "metric": "none", "num_threads": 1, "learning_rate": 0.5}
    valid = [train.create_valid(x[160:], y[160:])]
    found = lgb.train(parameters, train, 300, valid_sets=valid, feval=metric, callbacks=stop)
    history = watched["valid_0"]["polyloss_huber"]
    assert len(history) < 300
    assert found.best_iteration == int(np.argmin(history)) + 1


# ------------------------------------------------------------------------------------------------------------ CatBoost


def catboost_trees(model: Any, path: Path) -> list[Any]:
    model.save_model(str(path), format="json")
    trees = json.loads(path.read_text())["oblivious_trees"]
    splits = [[(s["float_feature_index"], s["border"], 0.0) for s in tree["splits"] or ()] for tree in trees]
    return [
        [*inner, *((place, "leaf", value) for place, value in enumerate(tree["leaf_values"]))]
        for inner, tree in zip(splits, trees, strict=True)
    ]


CATBOOST: dict[str, Any] = {
    "squares": (half_squares, "number", "RMSE", {}),
    "squares of two": (half_squares, "numbers", "MultiRMSE", {}),
    "Huber": (polyloss.huber.partial(delta=0.5), "number", "Huber:delta=0.5", {"curvature": "exact"}),
    "log loss": (log_loss, "binary", "Logloss", {}),
    "Poisson": (poisson, "count", "Poisson", {}),
    "softmax": (polyloss.cross_entropy, "class", "MultiClass", {"curvature": "exact"}),
}


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weights"])
@pytest.mark.parametrize("name", CATBOOST)
def test_trees_of_catboost(name: str, weight: Numbers | None, tmp_path: Path) -> None:
    loss, kind, theirs, options = CATBOOST[name]
    x, y = numbers(kind)
    pair = boosting.catboost(loss, several_targets=y.ndim > 1, **options)
    common: dict[str, Any] = {
        "iterations": ROUNDS,
        "depth": 3,
        "learning_rate": 0.3,
        "thread_count": 1,
        "verbose": False,
    }
    common |= {"leaf_estimation_method": "Newton", "leaf_estimation_iterations": 1, "allow_writing_files": False}
    common |= {"boost_from_average": False} if kind != "class" else {}
    common |= {"leaf_estimation_backtracking": "No", "random_strength": 0, "bootstrap_type": "No"}
    common |= {"score_function": "L2"}
    kind_of_model = cb.CatBoostClassifier if kind in ("binary", "class") else cb.CatBoostRegressor
    classes = {"classes_count": 3} if kind == "class" else {}
    ours = kind_of_model(loss_function=pair.objective, eval_metric=pair.metric, **classes, **common)
    known = kind_of_model(loss_function=theirs, **common)
    found = [catboost_trees(m.fit(x, y, sample_weight=weight), tmp_path / "model.json") for m in (ours, known)]
    same_trees(*found)


def test_metric_of_catboost_is_the_mean() -> None:
    x, y = numbers("class")
    objective, metric = boosting.catboost(polyloss.cross_entropy)
    common: dict[str, Any] = {
        "iterations": 2,
        "thread_count": 1,
        "verbose": False,
        "allow_writing_files": False,
        "classes_count": 3,
    }
    model = cb.CatBoostClassifier(loss_function=objective, eval_metric=metric, custom_metric="MultiClass", **common)
    model.fit(cb.Pool(x, y, weight=WEIGHT), eval_set=cb.Pool(x, y, weight=WEIGHT))
    found = model.get_evals_result()["validation"]
    np.testing.assert_allclose(found.pop("MeanLoss"), found.pop("MultiClass:use_weights=true"), rtol=1e-6)


# ----------------------------------------------------------------------------------------------------------------- all


@pytest.mark.parametrize("make", [boosting.xgboost, boosting.lightgbm, boosting.catboost])
def test_objectives_are_pickled_and_copied(make: Callable[..., boosting.Pair]) -> None:
    pairs = [make(polyloss.huber.partial(delta=2.0), curvature="bound")]
    if make is boosting.catboost:
        pairs.append(make(polyloss.huber, several_targets=True))
    for pair in pairs:
        for copied in (pickle.loads(pickle.dumps(pair)), copy.deepcopy(pair)):
            for ours, its in zip(pair, copied, strict=True):
                assert type(its).__name__ == type(ours).__name__
                assert (its.curvature, its.loss.fixed) == (ours.curvature, ours.loss.fixed)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_models_are_saved_without_their_objective(library: str, tmp_path: Path) -> None:
    x, y = numbers("number")
    path = tmp_path / "model.json"
    objective, _ = getattr(boosting, library)(polyloss.huber)
    if library == "xgboost":
        data = xgb.DMatrix(x, y)
        model = xgb.train({"nthread": 1}, data, ROUNDS, obj=objective)
        model.save_model(path)
        again: Any = xgb.Booster(model_file=path)
        assert np.array_equal(again.predict(data), model.predict(data))
    else:
        parameters = {"objective": objective, "verbose": -1, "num_threads": 1}
        model = lgb.train(parameters, lgb.Dataset(x, y), ROUNDS)
        model.save_model(path)
        assert np.array_equal(lgb.Booster(model_file=path).predict(x), model.predict(x))


def test_a_catboost_model_is_saved_without_its_objective(tmp_path: Path) -> None:
    x, y = numbers("number")
    objective, metric = boosting.catboost(polyloss.huber)
    common: dict[str, Any] = {"iterations": ROUNDS, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    model = cb.CatBoostRegressor(loss_function=objective, eval_metric=metric, **common).fit(x, y)
    model.save_model(tmp_path / "model.cbm")
    assert np.array_equal(cb.CatBoostRegressor().load_model(tmp_path / "model.cbm").predict(x), model.predict(x))


def test_grid_search_clones_the_objective() -> None:
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV

    x, y = numbers("number")
    models: Mapping[str, Any] = {
        "xgboost": xgb.XGBRegressor(objective=boosting.xgboost(polyloss.huber).objective, n_jobs=1, n_estimators=3),
        "lightgbm": lgb.LGBMRegressor(
            objective=boosting.lightgbm(polyloss.huber).objective, n_jobs=1, n_estimators=3, verbose=-1
        ),
    }
    for model in models.values():
        found = GridSearchCV(clone(model), {"max_depth": [1, 3]}, cv=2).fit(x, y)
        assert found.best_params_ == {"max_depth": 3}


def test_groups_are_refused() -> None:
    x, y = numbers("number")
    with pytest.raises(ValueError, match="groups, as those of ranking"):
        xgb.train({}, xgb.DMatrix(x, y, qid=np.repeat(np.arange(24), 10)), 1, obj=boosting.xgboost(polyloss.mse)[0])
    objective = boosting.lightgbm(polyloss.mse).objective
    with pytest.raises(ValueError, match="groups, as those of ranking"):
        lgb.train({"objective": objective, "verbose": -1}, lgb.Dataset(x, y, group=[10] * 24), 1)
    with pytest.raises(ValueError, match="groups, as those of ranking"):
        lgb.LGBMRanker(objective=objective, verbose=-1).fit(x, np.digitize(y, [0]), group=[10] * 24)
