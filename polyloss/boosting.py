"""Any loss as the objective and as the metric of XGBoost, LightGBM and CatBoost.

`xgboost`, `lightgbm` and `catboost` make both of a loss, for the classes of scikit-learn's kind as for the library's
own training. None of them imports its library; only that of CatBoost does, where an example has several targets.

The trees are grown from first and second derivatives by the raw scores: the prediction for numbers, logits for classes.
So take a loss of logits, and let the model predict raw scores: it knows nothing of the loss after the training.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .core.compose import Combinable, terms_of
from .core.labels import as_target, expect_loss, is_rowwise, mean_of
from .core.transforms import value_and_grad
from .derivatives import curvature as curvature_of
from .derivatives import curvature_bound, hessian_product

__all__ = ["Pair", "base_score", "catboost", "lightgbm", "xgboost"]

Numbers = np.ndarray[Any, Any]
Derivatives = tuple[Numbers, Numbers]
Curvature = str | float


class Pair(NamedTuple):
    """What a loss is for a library."""

    objective: Any
    """What is minimized."""
    metric: Any
    """What is watched: the mean of the loss, weighted where examples have weights."""


# ------------------------------------------------------------------------------------------------------- the libraries


def xgboost(loss: Combinable, *, curvature: Curvature = "auto") -> Pair:
    """A loss as objective and metric of XGBoost 2.1 or newer.

    Parameters
    ----------
    loss : Loss or LossSum
        Of one prediction and one target, elementwise or row-wise: of rows are ``params["num_class"]`` scores for each
        class id, or as many as an example has targets.
    curvature : {"auto", "exact", "bound"} or float, default "auto"
        What stands for the second derivative, on which depends how far a step goes.

        - ``"auto"``: its bound, below; for a loss of residuals, whose two gradients are opposite, never less than the
          slopes of all examples over their errors, in the mean. So `polyloss.l1` and `polyloss.quantile` have one, and
          `polyloss.huber` makes no endless steps where all errors are large.
        - ``"exact"``: itself. It may be 0, or negative.
        - ``"bound"``: the sum of the absolute values of a row of the Hessian, 2 p (1 - p) of the cross entropy. It is
          what XGBoost has for its own, as one score is changed at a time.
        - a positive number: the same for all examples.

    Returns
    -------
    Pair
        ``xgb.train(params, data, obj=objective, custom_metric=metric)`` and
        ``XGBRegressor(objective=objective, eval_metric=metric)``.

    Raises
    ------
    TypeError
        If `loss` is no such loss.
    ValueError
        If scores are outside of what the loss takes, as where it takes probabilities; while training, if the data have
        groups, as those of ranking, or the second derivative is 0 wherever there is a slope.

    Notes
    -----
    Without `base_score`, XGBoost starts a custom objective from 0.5. The metric sees raw scores, as ``predict(data,
    output_margin=True)`` returns them; ``XGBClassifier.predict_proba`` makes probabilities of logits.

    Examples
    --------
    >>> import numpy as np, polyloss.boosting
    >>> objective, metric = polyloss.boosting.xgboost(polyloss.huber)
    >>> gradient, curvature = objective(np.asarray([0.0, 0.0]), np.asarray([0.5, -3.0]), sample_weight=np.ones(2))
    >>> gradient.tolist(), float(metric(np.asarray([0.0, 0.0]), np.asarray([0.5, -3.0])))
    ([0.5, -1.0], 1.3125)
    """
    return Pair(_Objective(loss, curvature), _XGBoostMetric(loss))


def lightgbm(loss: Combinable, *, curvature: Curvature = "auto") -> Pair:
    """A loss as objective and metric of LightGBM 4 or newer.

    Parameters
    ----------
    loss, curvature
        As those of `xgboost`. LightGBM has one target for each example.

    Returns
    -------
    Pair
        ``lgb.train(params | {"objective": objective}, data, feval=metric)`` and
        ``LGBMRegressor(objective=objective, metric="none").fit(x, y, eval_metric=metric)``. Otherwise LightGBM watches
        a metric of its own as well, and stops by it.

    Raises
    ------
    TypeError, ValueError
        As `xgboost`.

    Notes
    -----
    LightGBM starts a custom objective from 0: give `base_score` as ``init_score``, and add it to what is predicted. Its
    own `l1`, `quantile` and `mape` compute the leaves anew after a tree has grown, which no custom objective can.

    Examples
    --------
    >>> import numpy as np, polyloss.boosting
    >>> objective, metric = polyloss.boosting.lightgbm(polyloss.mse)
    >>> metric(np.asarray([1.0, 2.0]), np.asarray([2.0, 4.0]))
    ('polyloss_mse', 2.5, False)
    """
    return Pair(_Objective(loss, curvature), _LightGBMMetric(loss))


def catboost(loss: Combinable, *, curvature: Curvature = "auto", several_targets: bool = False) -> Pair:
    """A loss as objective and metric of CatBoost, on the CPU.

    Parameters
    ----------
    loss, curvature
        As those of `xgboost`. Of several scores ``"exact"`` is the whole Hessian of a row, and all others are diagonal.
    several_targets : bool, default False
        Whether an example has several targets, and not one number or class id. CatBoost has to be installed then.

    Returns
    -------
    Pair
        ``CatBoostRegressor(loss_function=objective, eval_metric=metric)``. With class ids
        ``CatBoostClassifier(..., classes_count=3)``.

    Raises
    ------
    TypeError, ValueError
        As `xgboost`.

    Notes
    -----
    CatBoost asks for the derivatives of several scores one example at a time, which takes far longer than the trees.

    Examples
    --------
    >>> import numpy as np, polyloss.boosting
    >>> objective, metric = polyloss.boosting.catboost(polyloss.mse)
    >>> objective.calc_ders_range(np.asarray([1.0]), np.asarray([3.0]), None).tolist()
    [[4.0, -2.0]]
    """
    if several_targets:
        return Pair(*(_with_base(name, loss, curvature) for name in _BASES))
    return Pair(_CatBoostObjective(loss, curvature), MeanLoss(loss))


def base_score(
    loss: Combinable, target: Numbers, *, classes: int | None = None, sample_weight: Numbers | None = None
) -> Any:
    """The constant raw score of the least loss, from which boosting should start.

    Parameters
    ----------
    loss : Loss or LossSum
        As that of `xgboost`.
    target : array
        Of all examples.
    classes : int, optional
        How many there are, where the targets are class ids.
    sample_weight : array, optional
        Of each example.

    Returns
    -------
    float or array
        A number for each score: the median for `polyloss.l1`, the log-odds for
        `polyloss.binary_cross_entropy_with_logits`.

    Raises
    ------
    ValueError
        If there is none, as where all examples are of one class.

    Examples
    --------
    >>> import numpy as np, polyloss.boosting
    >>> float(round(polyloss.boosting.base_score(polyloss.quantile.partial(q=0.9), np.arange(11.0)), 6))
    9.0
    """
    _check(loss)
    target = np.asarray(target)
    if target.dtype.kind == "f" and np.isnan(target).any():
        raise ValueError(f"{loss.__name__}: target must be numbers, got NaN")
    width = (classes,) if classes is not None else target.shape[1:]

    def derivatives(constant: Numbers) -> tuple[float, Numbers, Numbers]:
        scores = np.broadcast_to(constant, (len(target), *width)).copy()
        value, *both = curvature_of(loss)(scores, as_target(loss, scores, target), sample_weight=sample_weight)
        return (float(value), *(array.sum(axis=0) for array in both))

    start = np.zeros(width)
    if is_rowwise(loss):
        row = _least_row(lambda constant: derivatives(constant)[:2], start)
        _, slope, curvature = derivatives(row)
        # Where a class has no example the slope goes to 0, but a step of Newton's method stays as long as ever.
        found = row if np.all(np.abs(slope) <= 1e-3 * np.abs(curvature) + 1e-15) else None
    else:
        found = _root(lambda constant: derivatives(constant)[1], start)
    if found is None:
        raise ValueError(f"{loss.__name__}: no constant score has the least loss on these targets")
    return found if width else float(found)


# --------------------------------------------------------------------------------------------------------- derivatives


def _check(loss: Any) -> None:
    """Refuse what is no loss of raw scores and targets."""
    expect_loss("boosting", loss)
    for _, term in terms_of(loss):
        name = term.__name__
        if len(term.arrays) != 2:
            raise TypeError(f"{name}: boosting takes losses of one prediction and one target, not {term.arrays}")
        if term.signature not in ("(n)->(n)", "(n,c)->(n)"):
            raise TypeError(f"{name}: boosting takes losses of single examples; this one has {term.signature}")
        domain = term.domains.get(term.arrays[0])
        limited = domain is not None and (np.isfinite(domain.low) or np.isfinite(domain.high))
        if limited and domain.unless is not None and term.defaults[domain.unless]:
            limited = False
        if limited:
            way = f"; fix {domain.unless}=True by partial" if domain.unless is not None else ""
            raise ValueError(
                f"{name}: boosting predicts raw scores, which may be any number, but {term.arrays[0]} must be in "
                f"[{domain.low:g}, {domain.high:g}]{way or '; take a loss of logits'}"
            )


def _is_of_residuals(loss: Combinable) -> bool:
    """Whether a loss is one of ``prediction - target``: its gradients are opposite then."""
    if is_rowwise(loss):
        return False
    prediction, target = np.asarray([-2.3, -0.4, 0.7, 3.1]), np.ones(4)
    try:
        _, (by_prediction, by_target) = value_and_grad(loss, argnums=(0, 1))(prediction, target, reduction="sum")
    except TypeError:
        # No gradient by its target.
        return False
    return bool(by_prediction.any()) and np.allclose(by_prediction, -by_target, rtol=1e-9, atol=0)


class _Boosted:
    """What all have in common: the loss, and its derivatives by raw scores."""

    def __init__(self, loss: Combinable, curvature: Curvature = "auto") -> None:
        _check(loss)
        number = isinstance(curvature, (int, float)) and not isinstance(curvature, bool)
        if not (number and 0 < float(curvature) < np.inf) and curvature not in ("auto", "exact", "bound"):
            raise ValueError(
                f"{loss.__name__}: curvature must be 'auto', 'exact', 'bound' or a positive number, got {curvature!r}"
            )
        self.loss, self.curvature = loss, curvature
        self._has_residuals = _is_of_residuals(loss)
        self.__name__ = "polyloss_" + re.sub(r"\W+", "_", loss.__name__)

    def __deepcopy__(self, memo: Any) -> "_Boosted":
        # It never changes, and scikit-learn's `clone` looks for the same object in what CatBoost copied.
        return self

    def __repr__(self) -> str:
        return f"<{self.__name__} for boosting>"

    def _derivatives(self, scores: Any, target: Any, sample_weight: Any) -> Derivatives:
        """Gradient and curvature of the sum over examples."""
        loss = self.loss
        scores = np.asarray(scores, dtype=np.float64)
        target = as_target(loss, scores, target)
        given: Mapping[str, Any] = {"reduction": "sum", "sample_weight": _weight(sample_weight)}
        if not isinstance(self.curvature, str):
            _, gradient = value_and_grad(loss)(scores, target, **given)
            return gradient, _spread(given["sample_weight"], scores) * float(self.curvature)
        find = curvature_of if self.curvature == "exact" else curvature_bound
        _, gradient, found = find(loss)(scores, target, **given)
        if self.curvature == "auto" and self._has_residuals:
            weight, errors = _spread(given["sample_weight"], scores), np.abs(scores - target)
            total = (weight * errors).sum()
            if total > 0:
                found = np.maximum(found, weight * (np.abs(gradient).sum() / total))
        if gradient.any() and not found.any():
            raise ValueError(
                f"{loss.__name__}: the second derivative is 0 wherever there is a slope; give a constant one, as "
                "curvature=1.0"
            )
        return gradient, found

    def _mean(self, scores: Any, target: Any, sample_weight: Any) -> float:
        return mean_of(self.loss, scores, target, _weight(sample_weight))


def _weight(sample_weight: Any) -> Numbers | None:
    """Weights of examples. XGBoost has an empty array where there are none."""
    if sample_weight is None or np.size(sample_weight) == 0:
        return None
    return np.asarray(sample_weight, dtype=np.float64)


def _spread(weight: Numbers | None, scores: Numbers) -> Numbers:
    """The weight of each score."""
    column = np.ones(()) if weight is None else weight.reshape(-1, *(1,) * (scores.ndim - 1))
    return np.broadcast_to(column, scores.shape)


# ---------------------------------------------------------------------------------------------- XGBoost and LightGBM


def _unpacked(first: Any, second: Any, sample_weight: Any, group: Any) -> tuple[Any, Any, Any]:
    """Scores, targets and weights, of either call.

    The libraries' own training calls with scores and data, the classes for scikit-learn with targets and scores.
    """
    if hasattr(second, "get_label"):
        # Boundaries of groups with XGBoost, their lengths with LightGBM.
        group = second.get_uint_info("group_ptr") if hasattr(second, "get_uint_info") else second.get_group()
        first, second, sample_weight = second.get_label(), first, second.get_weight()
    if group is not None and np.size(group) > 0:
        raise ValueError("boosting: the data have groups, as those of ranking; the losses are of single examples")
    return second, first, sample_weight


class _Objective(_Boosted):
    """The signatures are what both libraries look at to find out that weights are wanted."""

    def __call__(self, first: Any, second: Any, sample_weight: Any = None, group: Any = None) -> Derivatives:
        return self._derivatives(*_unpacked(first, second, sample_weight, group))


class _XGBoostMetric(_Boosted):
    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> Any:
        value = self._mean(*_unpacked(first, second, sample_weight, None))
        return (self.__name__, value) if hasattr(second, "get_label") else value


class _LightGBMMetric(_Boosted):
    def __call__(
        self, first: Any, second: Any, sample_weight: Any = None, group: Any = None
    ) -> tuple[str, float, bool]:
        value = self._mean(*_unpacked(first, second, sample_weight, group))
        return self.__name__, value, False


# ------------------------------------------------------------------------------------------------------------ CatBoost


class _CatBoostObjective(_Boosted):
    """CatBoost maximizes: all derivatives are negative."""

    no_jit = True
    """CatBoost shall not try Numba, where that is installed, and warn that it cannot."""

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> Numbers:
        """Both derivatives of each example, which has one score."""
        gradient, curvature = self._derivatives(approxes, targets, weights)
        return -np.stack([gradient, curvature], axis=1)

    def calc_ders_multi(self, approx: Any, target: Any, weight: Any) -> Derivatives:
        """The gradient and the Hessian of one example."""
        scores, target = np.asarray([approx], dtype=np.float64), np.asarray([target])
        weights = np.asarray([1.0 if weight is None else weight])
        if is_rowwise(self.loss) and isinstance(self.curvature, str):
            known, given = as_target(self.loss, scores, target), {"reduction": "sum"}
            _, gradient = value_and_grad(self.loss)(scores, known, sample_weight=weights, **given)
            # All columns of the Hessian in one call, as those of so many equal examples.
            count = scores.shape[-1]
            rows, known, weights = (np.repeat(array, count, axis=0) for array in (scores, known, weights))
            matrix = hessian_product(self.loss)(np.eye(count), rows, known, sample_weight=weights, **given)
            curvature = matrix if self.curvature == "exact" else np.diag(np.abs(matrix).sum(axis=1))
            return -gradient[0], -curvature
        gradient, diagonal = self._derivatives(scores, target, weights)
        return -gradient[0], -np.diag(diagonal[0])


class MeanLoss(_Boosted):
    """CatBoost calls a metric by the name of its class."""

    no_jit = True

    def get_final_error(self, error: float, weight: float) -> float:
        """The mean of a sum."""
        return error / weight

    def is_max_optimal(self) -> bool:
        """Whether more is better."""
        return False

    def evaluate(self, approxes: Any, target: Any, weight: Any) -> tuple[float, float]:
        """The sum of the losses, and that of the weights."""
        scores = np.stack(approxes, axis=-1)
        targets = np.stack(target, axis=-1) if isinstance(target, tuple) else np.asarray(target)
        if len(approxes) == 1:
            scores, targets = scores[:, 0], targets.reshape(len(scores))
        total = float(len(scores)) if weight is None else float(np.sum(weight))
        return self._mean(scores, targets, weight) * total, total


_BASES: dict[str, type[_Boosted]] = {
    "MultiTargetCustomObjective": _CatBoostObjective,
    "MultiTargetCustomMetric": MeanLoss,
}
"""The classes of CatBoost that tell it that there are several targets."""


def _with_base(name: str, loss: Combinable, curvature: Curvature) -> _Boosted:
    import catboost

    ours = _BASES[name]
    # Neither class exists where CatBoost does not, so what is pickled is how to make it.
    body = {"__reduce__": lambda self: (_with_base, (name, self.loss, self.curvature))}
    made: _Boosted = type(ours.__name__, (ours, getattr(catboost, name)), body)(loss, curvature)
    return made


# ----------------------------------------------------------------------------------------------------------- constants


def _root(slope: Callable[[Numbers], Numbers], start: Numbers) -> Numbers | None:
    """Where a slope changes its sign from below to above, for each score alone; None where it has one sign."""
    low, high, step = start, start, 1.0
    while np.any(too_high := slope(low) >= 0) | np.any(too_low := slope(high) <= 0):
        if step > 1e12:
            return None
        low, high, step = np.where(too_high, low - step, low), np.where(too_low, high + step, high), 2 * step
    # As many halves as float64 has bits.
    for _ in range(100):
        middle = (low + high) / 2
        above = slope(middle) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


def _least_row(slope: Callable[[Numbers], tuple[float, Numbers]], start: Numbers) -> Numbers:
    """The scores of the least loss of rows."""
    from scipy.optimize import minimize

    return np.asarray(minimize(slope, start, jac=True, method="L-BFGS-B", options={"ftol": 0.0, "gtol": 1e-9}).x)
