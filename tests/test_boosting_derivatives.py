"""What `polyloss.boosting` computes, without any of the libraries."""

from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import boosting

SCORES = np.asarray([0.3, -1.2, 4.0, 0.1])
TARGET = np.asarray([0.0, 1.0, 1.0, 0.0])
WEIGHT = np.asarray([1.0, 2.0, 0.5, 3.0])


def derivatives(loss: Any, curvature: Any = "auto", weight: Any = None) -> Any:
    return boosting.xgboost(loss, curvature=curvature).objective(TARGET, SCORES, sample_weight=weight)


def test_squares_have_their_own_curvature_however_it_is_asked_for() -> None:
    """The slopes over the errors of squares are their second derivative."""
    for curvature in ("auto", "exact", "bound", 2.0):
        gradient, found = derivatives(polyloss.mse, curvature, WEIGHT)
        np.testing.assert_allclose(gradient, 2 * WEIGHT * (SCORES - TARGET), rtol=1e-9)
        np.testing.assert_allclose(found, 2 * WEIGHT, rtol=1e-9)


def test_the_absolute_error_has_slopes_over_errors() -> None:
    gradient, found = derivatives(polyloss.l1, weight=WEIGHT)
    np.testing.assert_allclose(gradient, WEIGHT * np.sign(SCORES - TARGET))
    errors = (WEIGHT * np.abs(SCORES - TARGET)).sum()
    np.testing.assert_allclose(found, WEIGHT * WEIGHT.sum() / errors)


def test_the_absolute_error_has_no_other() -> None:
    for curvature in ("exact", "bound"):
        with pytest.raises(
            ValueError, match=r"l1: the second derivative is 0 wherever there is a slope.*curvature=1\.0"
        ):
            derivatives(polyloss.l1, curvature)


def test_the_hinge_needs_a_constant() -> None:
    objective = boosting.xgboost(polyloss.hinge).objective
    with pytest.raises(ValueError, match="hinge: the second derivative is 0"):
        objective(2 * TARGET - 1, SCORES)
    assert boosting.xgboost(polyloss.hinge, curvature=1.0).objective(2 * TARGET - 1, SCORES)[1].tolist() == [1.0] * 4


def test_classes_have_the_bound_that_xgboost_has() -> None:
    scores, ids = np.random.default_rng(0).normal(size=(4, 3)), np.asarray([0.0, 2.0, 1.0, 1.0])
    p = polyloss.softmax(scores)
    gradient, found = boosting.xgboost(polyloss.cross_entropy).objective(ids, scores, sample_weight=WEIGHT)
    np.testing.assert_allclose(gradient, WEIGHT[:, None] * (p - np.eye(3)[ids.astype(int)]))
    np.testing.assert_allclose(found, 2 * WEIGHT[:, None] * p * (1 - p), rtol=1e-8)
    _, exact = boosting.xgboost(polyloss.cross_entropy, curvature="exact").objective(ids, scores)
    np.testing.assert_allclose(exact, p * (1 - p), rtol=1e-8)


def test_a_matrix_of_catboost_is_the_negative_hessian() -> None:
    scores = np.asarray([0.2, -0.4, 1.0])
    p = polyloss.softmax(scores)
    objective, _ = boosting.catboost(polyloss.cross_entropy, curvature="exact")
    gradient, matrix = objective.calc_ders_multi(scores, 2.0, 3.0)
    np.testing.assert_allclose(gradient, 3 * (np.eye(3)[2] - p))
    np.testing.assert_allclose(matrix, 3 * (np.outer(p, p) - np.diag(p)), rtol=1e-8)


def test_a_loss_that_is_not_convex_gets_no_negative_curvature() -> None:
    logits, target = np.asarray([-6.0, 6.0, 0.2]), np.asarray([1.0, 0.0, 1.0])
    loss = polyloss.sigmoid_focal
    _, exact = boosting.xgboost(loss, curvature="exact").objective(target, logits)
    _, bound = boosting.xgboost(loss).objective(target, logits)
    assert exact.min() < 0
    np.testing.assert_allclose(bound, np.abs(exact))


@pytest.mark.parametrize(
    ("loss", "target", "expected"),
    [
        (polyloss.mse, [1.0, 2.0, 6.0], 3.0),
        (polyloss.l1, [1.0, 2.0, 6.0], 2.0),
        (polyloss.quantile.partial(q=0.9), np.arange(11.0), 9.0),
        (polyloss.binary_cross_entropy_with_logits, [0.0, 1.0, 1.0, 1.0], np.log(3)),
        (polyloss.poisson_nll.partial(log_rate=True), [1.0, 0.0, 5.0], np.log(2)),
        (polyloss.mse, np.asarray([[1.0, -20.0], [3.0, 30.0]]), [2.0, 5.0]),
    ],
)
def test_base_score_is_the_constant_of_the_least_loss(loss: Any, target: Any, expected: Any) -> None:
    np.testing.assert_allclose(boosting.base_score(loss, np.asarray(target)), expected, rtol=1e-9)


def test_base_score_counts_weights_and_classes() -> None:
    found = boosting.base_score(polyloss.mse, np.asarray([0.0, 3.0]), sample_weight=np.asarray([1.0, 2.0]))
    assert np.isclose(found, 2.0)
    pytest.importorskip("scipy", reason="scipy is not installed")
    ids = np.repeat([0, 1, 2], [1, 50, 4000])
    np.testing.assert_allclose(
        polyloss.softmax(boosting.base_score(polyloss.cross_entropy, ids, classes=3)),
        np.asarray([1, 50, 4000]) / 4051,
        rtol=1e-5,
    )


def test_base_score_of_a_class_without_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="no constant score has the least loss"):
        boosting.base_score(polyloss.binary_cross_entropy_with_logits, np.ones(3))
    pytest.importorskip("scipy", reason="scipy is not installed")
    with pytest.raises(ValueError, match="no constant score has the least loss"):
        boosting.base_score(polyloss.cross_entropy, np.asarray([0, 1, 1]), classes=3)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (polyloss.gaussian_nll, "one prediction and one target"),
        (polyloss.nt_xent, "losses of single examples"),
        (polyloss.dice, "losses of single examples"),
        (polyloss.binary_cross_entropy, r"probabilities must be in \[0, 1\]; take a loss of logits"),
        (polyloss.poisson_nll, "fix log_rate=True by partial"),
        (polyloss.mse + 0.1 * polyloss.msle, "msle: boosting predicts raw scores"),
        (np.abs, "expected a loss, such as polyloss.huber"),
    ],
)
def test_a_loss_of_something_else_is_refused(loss: Any, message: str) -> None:
    for make in (boosting.xgboost, boosting.lightgbm, boosting.catboost):
        with pytest.raises((TypeError, ValueError), match=message):
            make(loss)


def test_wrong_options_and_targets_are_refused() -> None:
    for curvature in ("newton", 0.0, -1.0, True, np.inf):
        with pytest.raises(ValueError, match="curvature must be 'auto', 'exact', 'bound' or a positive number"):
            boosting.xgboost(polyloss.mse, curvature=curvature)
    rows, _ = boosting.xgboost(polyloss.cross_entropy)
    with pytest.raises(ValueError, match="needs a score for each class"):
        rows(TARGET, SCORES)
    with pytest.raises(ValueError, match=r"class ids must be whole numbers, got 0\.5"):
        rows(np.asarray([0.5, 1.0]), np.zeros((2, 3)))


def test_metrics_say_what_their_library_reads() -> None:
    loss = polyloss.mse + 0.5 * polyloss.l1
    expected = np.average((SCORES - TARGET) ** 2 + 0.5 * np.abs(SCORES - TARGET), weights=WEIGHT)
    assert np.isclose(boosting.xgboost(loss).metric(TARGET, SCORES, sample_weight=WEIGHT), expected)
    name, value, more_is_better = boosting.lightgbm(loss).metric(TARGET, SCORES, WEIGHT)
    # XGBoost's log of an iteration has no room for spaces.
    assert (name, more_is_better) == ("polyloss_mse_0_5_l1", False)
    metric = boosting.catboost(loss).metric
    assert np.isclose(
        metric.get_final_error(
            *metric.evaluate((SCORES,), TARGET, WEIGHT),
        ),
        value,
    )
    assert np.isclose(value, expected)
