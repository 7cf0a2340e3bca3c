"""`polyloss.scientific`: SciPy finds the weights of scikit-learn's models, and scorers are those of scikit-learn."""

import pickle
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import scientific

pytest.importorskip("scipy", reason="scipy is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

Numbers = np.ndarray[Any, Any]


def scaled(x: Numbers) -> Numbers:
    return np.asarray((x - x.mean(axis=0)) / x.std(axis=0))


def cancer() -> tuple[Numbers, Numbers]:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return scaled(x), y.astype(float)


def fit(model: scientific.Linear, method: str) -> tuple[Numbers, Numbers]:
    from scipy.optimize import minimize

    options = {"L-BFGS-B": {"ftol": 0.0, "gtol": 1e-10, "maxiter": 10_000}, "trust-ncg": {"gtol": 1e-9}}[method]
    newton = {"hessp": model.hessp} if method != "L-BFGS-B" else {}
    found = minimize(model.value_and_gradient, model.start, jac=True, method=method, options=options, **newton)
    return model.split(found.x)


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-ncg"])
def test_logistic_regression_is_that_of_scikit_learn(method: str) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = cancer()
    weight = np.linspace(0.5, 1.5, len(x))
    for sample_weight in (None, weight):
        model = scientific.Linear(
            polyloss.binary_cross_entropy_with_logits, x, y, penalty=1.0, sample_weight=sample_weight, reduction="sum"
        )
        weights, intercept = fit(model, method)
        known = LogisticRegression(C=1.0, tol=1e-12, solver="newton-cholesky").fit(x, y, sample_weight=sample_weight)
        np.testing.assert_allclose(weights, known.coef_[0], atol=1e-6)
        np.testing.assert_allclose(intercept, known.intercept_[0], atol=1e-6)
        scores = model.predict(np.append(weights, intercept), x)
        np.testing.assert_allclose(scores, known.decision_function(x), atol=1e-5)


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-ncg"])
def test_logistic_regression_of_three_classes_is_that_of_scikit_learn(method: str) -> None:
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression

    x, y = load_wine(return_X_y=True)
    x = scaled(x)
    weights, intercept = fit(scientific.Linear(polyloss.cross_entropy, x, y, penalty=1.0, reduction="sum"), method)
    known = LogisticRegression(C=1.0, tol=1e-12, max_iter=1000, solver="newton-cg").fit(x, y)
    np.testing.assert_allclose(weights, known.coef_.T, atol=1e-6)
    # A constant for all classes changes nothing.
    np.testing.assert_allclose(intercept - intercept.mean(), known.intercept_ - known.intercept_.mean(), atol=1e-6)


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-ncg"])
def test_robust_regression_is_that_of_scikit_learn(method: str) -> None:
    """Of the scale that scikit-learn finds: it minimizes its squares, which are twice ours, over that scale."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import HuberRegressor

    x, y = load_diabetes(return_X_y=True)
    # Of all ten, two hardly differ, and scikit-learn stops before it has told them apart.
    x, y = scaled(x[:, [0, 1, 2, 3, 8, 9]]), (y - y.mean()) / y.std()
    y[::9] += 5
    known = HuberRegressor(epsilon=1.35, alpha=0.5, tol=1e-11, max_iter=10_000, warm_start=True)
    for _ in range(10):
        # It stops where its value changes little, and goes on from there.
        known.fit(x, y)
    loss = polyloss.huber.partial(delta=1.35 * known.scale_)
    weights, intercept = fit(scientific.Linear(loss, x, y, penalty=0.5 * known.scale_, reduction="sum"), method)
    np.testing.assert_allclose(weights, known.coef_, atol=1e-6)
    np.testing.assert_allclose(intercept, known.intercept_, atol=1e-6)


def test_ridge_of_several_targets_without_intercept_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 2))
    model = scientific.Linear(0.5 * polyloss.mse, x, y, penalty=2.0, reduction="sum", intercept=False)
    weights, intercept = fit(model, "trust-ncg")
    np.testing.assert_allclose(weights, Ridge(alpha=2.0, fit_intercept=False).fit(x, y).coef_.T, atol=1e-8)
    assert intercept.tolist() == [0.0, 0.0]


def test_sparse_features_give_the_same() -> None:
    from scipy.sparse import csr_array

    x, y = cancer()
    x = np.where(np.abs(x) > 1, x, 0.0)
    loss, point = polyloss.binary_cross_entropy_with_logits, np.random.default_rng(0).normal(size=31)
    dense, sparse = (scientific.Linear(loss, one, y, penalty=0.1) for one in (x, csr_array(x)))
    (value, gradient), (same_value, same_gradient) = (model.value_and_gradient(point) for model in (dense, sparse))
    assert np.isclose(value, same_value, rtol=1e-12)
    np.testing.assert_allclose(gradient, same_gradient, rtol=1e-12)
    np.testing.assert_allclose(dense.hessp(point, point), sparse.hessp(point, point), rtol=1e-7, atol=1e-9)
    assert dense.value(point) == dense.value_and_gradient(point)[0]


def test_the_gradient_and_the_hessian_are_those_of_the_value() -> None:
    from scipy.optimize import approx_fprime

    x, y = cancer()
    rng = np.random.default_rng(0)
    ids = (y + (x[:, 0] > 1)).astype(int)
    weight = rng.uniform(size=len(x))
    model = scientific.Linear(polyloss.softmax_focal, x[:, :4], ids, penalty=0.3, sample_weight=weight)
    point, vector = rng.normal(size=(2, 15))
    gradient = model.value_and_gradient(point)[1]
    np.testing.assert_allclose(gradient, approx_fprime(point, model.value, 1e-7), atol=1e-5)
    step = 1e-5
    ahead, behind = (model.value_and_gradient(point + sign * step * vector)[1] for sign in (1, -1))
    np.testing.assert_allclose(model.hessp(point, vector), (ahead - behind) / (2 * step), atol=1e-7)


def test_bad_models_are_refused() -> None:
    x, y = np.zeros((3, 2)), np.zeros(3)
    with pytest.raises(ValueError, match="mse: x has 3 rows, but there are 2 targets"):
        scientific.Linear(polyloss.mse, x, y[:2])
    with pytest.raises(ValueError, match="mse: penalty must be zero or positive and finite"):
        scientific.Linear(polyloss.mse, x, y, penalty=-1)
    with pytest.raises(TypeError, match="expected a loss, such as"):
        scientific.Linear("mse", x, y)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="gaussian_nll: takes prediction, target, variance"):
        scientific.scorer(polyloss.gaussian_nll)
    with pytest.raises(ValueError, match="class ids must be whole numbers"):
        scientific.Linear(polyloss.cross_entropy, x, y + 0.5)


@pytest.mark.parametrize("weighted", [False, True])
def test_scorers_are_those_of_scikit_learn(weighted: bool) -> None:
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.metrics import get_scorer

    x, y = cancer()
    weight = {"sample_weight": np.linspace(0.0, 2.0, len(x))} if weighted else {}
    line = LinearRegression().fit(x, y)
    for name, loss in (("neg_mean_squared_error", polyloss.mse), ("neg_mean_absolute_error", polyloss.l1)):
        expected = get_scorer(name)(line, x, y, **weight)
        np.testing.assert_allclose(scientific.scorer(loss)(line, x, y, **weight), expected)
    names = np.asarray(["no", "yes"])[y.astype(int)]
    three = np.asarray(["a", "b", "c"])[(y + (x[:, 0] > 1)).astype(int)]
    losses: list[tuple[Numbers, dict[str, Any]]] = [
        (
            names,
            {
                "predict_proba": polyloss.binary_cross_entropy,
                "decision_function": polyloss.binary_cross_entropy_with_logits,
            },
        ),
        (three, {"predict_log_proba": polyloss.nll, "decision_function": polyloss.cross_entropy}),
    ]
    for labels, by_method in losses:
        model = LogisticRegression(max_iter=500).fit(x, labels)
        expected = get_scorer("neg_log_loss")(model, x, labels, **weight)
        for method, loss in by_method.items():
            ours = scientific.scorer(loss, response_method=method, classes=model.classes_)
            np.testing.assert_allclose(ours(model, x, labels, **weight), expected, rtol=1e-6)


def test_two_classes_are_what_the_loss_calls_them() -> None:
    from sklearn.metrics import hinge_loss
    from sklearn.svm import LinearSVC

    x, y = cancer()
    names = np.asarray(["no", "yes"])[y.astype(int)]
    model = LinearSVC().fit(x, names)
    ours = scientific.scorer(polyloss.hinge, response_method="decision_function", classes=model.classes_)
    np.testing.assert_allclose(ours(model, x, names), -hinge_loss(y, model.decision_function(x)))


def test_a_fold_without_a_class_is_scored() -> None:
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression

    x, y = load_wine(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(scaled(x), y)
    ours = scientific.scorer(polyloss.cross_entropy, response_method="decision_function")
    part = y != 0
    expected = -np.log(model.predict_proba(scaled(x)[part])[np.arange(part.sum()), y[part]]).mean()
    np.testing.assert_allclose(ours(model, scaled(x)[part], y[part]), -expected)


def test_model_selection_takes_scorers() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, cross_val_score

    x, y = cancer()
    ours = pickle.loads(pickle.dumps(scientific.scorer(polyloss.mse)))
    expected = cross_val_score(Ridge(), x, y, scoring="neg_mean_squared_error")
    np.testing.assert_allclose(cross_val_score(Ridge(), x, y, scoring=ours), expected)
    search = GridSearchCV(Ridge(), {"alpha": [1e-3, 1e6]}, scoring=ours).fit(x, y)
    assert search.best_params_ == {"alpha": 1e-3}


def test_unknown_labels_are_refused() -> None:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    x, y = np.zeros((4, 1)), np.asarray(["a", "b", "a", "b"])
    model = DummyClassifier(strategy="prior").fit(x, y)
    scorer = scientific.scorer(polyloss.binary_cross_entropy, response_method="predict_proba", classes=["a", "c"])
    with pytest.raises(ValueError, match=r"'b'\)? is none of the classes \['a' 'c'\]"):
        scorer(model, x, y)
    with pytest.raises(ValueError, match="needs a score for each class"):
        scientific.scorer(polyloss.cross_entropy)(DummyRegressor().fit(x, [0, 1, 0, 1]), x, [0, 1, 0, 1])
