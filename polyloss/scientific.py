"""Losses for SciPy's optimizers and for scikit-learn's model selection.

`Linear` is a linear model with a loss, as the functions that `scipy.optimize.minimize` takes; `scorer` makes of a loss
what scikit-learn calls a scorer. Neither library is imported before it is used.
"""

from typing import Any

import numpy as np

from .core.compose import Combinable
from .core.labels import as_target, expect_loss, from_classes, is_rowwise, mean_of
from .core.transforms import value_and_grad
from .derivatives import hessian_product

__all__ = ["Linear", "scorer"]

Numbers = np.ndarray[Any, Any]


class Linear:
    r"""A loss of a linear model, with its gradient and its Hessian, as functions of one vector of parameters.

    .. math:: \ell(x W + b,\, y) + \tfrac{\lambda}{2} \lVert W \rVert^2

    Parameters
    ----------
    loss : Loss or LossSum
        Of a prediction and a target. Row-wise, it gets a score for each class.
    x : array of shape (N, D)
        Of floats; or a sparse matrix of SciPy.
    target : array
        A number for each row of `x`, several numbers, or a class id.
    penalty : float, default 0.0
        The factor λ. The intercept has no penalty.
    intercept : bool, default True
        Whether there is a constant b.
    classes : int, optional
        How many there are, where the targets are class ids; by default one more than the largest id.
    sample_weight : array, optional
        Of each row.
    reduction : {"mean", "sum", "weighted_mean"}, default "mean"
        Of the loss; see `Loss`.

    Attributes
    ----------
    start : array
        Zeros, as many as there are parameters.

    Raises
    ------
    TypeError
        If `loss` is no loss of a prediction and a target.
    ValueError
        If the penalty is negative, or there are not as many targets as rows.

    Examples
    --------
    >>> import numpy as np, polyloss.scientific
    >>> x, y = np.asarray([[0.0], [1.0], [2.0], [3.0]]), np.asarray([1.0, 3.0, 5.0, 70.0])
    >>> model = polyloss.scientific.Linear(polyloss.huber, x, y, reduction="sum")
    >>> value, gradient = model.value_and_gradient(model.start)
    >>> float(value), gradient.tolist()
    (77.0, [-6.0, -4.0])
    >>> from scipy.optimize import minimize
    >>> found = minimize(model.value_and_gradient, model.start, jac=True, method="L-BFGS-B")
    >>> weights, intercept = model.split(found.x)
    >>> weights.shape, intercept.shape
    ((1,), ())
    """

    def __init__(
        self,
        loss: Combinable,
        x: Any,
        target: Any,
        *,
        penalty: float = 0.0,
        intercept: bool = True,
        classes: int | None = None,
        sample_weight: Any = None,
        reduction: str = "mean",
    ) -> None:
        _check(loss)
        if not 0 <= penalty < np.inf:
            raise ValueError(f"{loss.__name__}: penalty must be zero or positive and finite, got {penalty!r}")
        self.x, target = x, np.asarray(target)
        if len(target) != x.shape[0]:
            raise ValueError(f"{loss.__name__}: x has {x.shape[0]} rows, but there are {len(target)} targets")
        if classes is None and is_rowwise(loss) and target.ndim == 1:
            classes = int(target.max()) + 1
        width = target.shape[1:] if classes is None else (classes,)
        self._target = as_target(loss, np.empty((len(target), *width)), target)
        self._keywords = {"reduction": reduction, "sample_weight": sample_weight}
        self._both, self._product = value_and_grad(loss), hessian_product(loss)
        self._shapes = (x.shape[1], *width), width if intercept else (0,)
        self._penalty, self._intercept = penalty, intercept
        self.start = np.zeros(sum(map(_count, self._shapes)))

    def split(self, parameters: Numbers) -> tuple[Numbers, Numbers]:
        """The weights of the features, and the intercept: 0 where there is none."""
        weights, intercept = self._shapes
        cut = _count(weights)
        constant = parameters[cut:].reshape(intercept) if self._intercept else np.zeros(weights[1:])
        return parameters[:cut].reshape(weights), constant

    def predict(self, parameters: Numbers, x: Any) -> Numbers:
        """The scores of the rows of `x`."""
        weights, intercept = self.split(parameters)
        scores: Numbers = x @ weights + intercept
        return scores

    def value(self, parameters: Numbers) -> float:
        """The loss with the penalty."""
        return self.value_and_gradient(parameters)[0]

    def value_and_gradient(self, parameters: Numbers) -> tuple[float, Numbers]:
        """The loss with the penalty, and its gradient: `minimize` calls it with ``jac=True``."""
        weights, _ = self.split(parameters)
        value, by_scores = self._both(self.predict(parameters, self.x), self._target, **self._keywords)
        return float(value) + self._penalty * float(np.sum(weights * weights)) / 2, self._joined(by_scores, weights)

    def hessp(self, parameters: Numbers, vector: Numbers) -> Numbers:
        """The Hessian times a vector, for Newton's methods of `minimize`."""
        change, _ = self.split(vector)
        scores = self.predict(parameters, self.x)
        by_scores = self._product(self.predict(vector, self.x), scores, self._target, **self._keywords)
        return self._joined(by_scores, change)

    def _joined(self, by_scores: Numbers, weights: Numbers) -> Numbers:
        """What is known by the scores, by the parameters."""
        by_weights = self.x.T @ by_scores + self._penalty * weights
        by_intercept = by_scores.sum(axis=0) if self._intercept else np.zeros(0)
        return np.concatenate([np.ravel(by_weights), np.ravel(by_intercept)])


def scorer(loss: Combinable, *, response_method: str = "predict", classes: Any = None) -> Any:
    """A scorer of scikit-learn: the negative mean of a loss, so that more is better.

    Parameters
    ----------
    loss : Loss or LossSum
        Of a prediction and a target.
    response_method : {"predict", "decision_function", "predict_proba", "predict_log_proba"}, default "predict"
        What of the model is the prediction: numbers; logits, for `polyloss.cross_entropy` and
        `polyloss.binary_cross_entropy_with_logits`; probabilities, for `polyloss.binary_cross_entropy`; or their
        logarithms, for `polyloss.nll`.
    classes : sequence, optional
        The labels, as the model's ``classes_`` has them. Not needed for class ids, and for 0 and 1. Of two classes, an
        elementwise loss has the second one as 1.

    Returns
    -------
    callable
        As `sklearn.metrics.make_scorer` makes it: for ``scoring=`` of `cross_val_score` and `GridSearchCV`. With a
        ``sample_weight`` it is the weighted mean.

    Raises
    ------
    TypeError
        If `loss` is no loss of a prediction and a target.
    ValueError
        In a call, if a label is none of `classes`.

    Examples
    --------
    >>> import numpy as np, polyloss.scientific
    >>> from sklearn.linear_model import LinearRegression
    >>> x, y = np.asarray([[0.0], [1.0], [2.0]]), np.asarray([0.0, 1.0, 5.0])
    >>> model = LinearRegression().fit(x, y)
    >>> float(round(polyloss.scientific.scorer(polyloss.l1)(model, x, y), 6))
    -0.666667
    """
    from sklearn.metrics import make_scorer

    _check(loss)
    # In a list there may be logarithms of probabilities.
    return make_scorer(_Mean(loss, classes), response_method=[response_method], greater_is_better=False)


class _Mean:
    """The mean of a loss, with the arguments in scikit-learn's order."""

    def __init__(self, loss: Combinable, classes: Any) -> None:
        self.loss, self.classes = loss, classes
        self.__name__ = loss.__name__

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        target = y_true if self.classes is None else from_classes(self.loss, y_true, self.classes)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return mean_of(self.loss, y_pred, target, weight)


def _check(loss: Any) -> None:
    expect_loss("scientific", loss)
    if len(loss.arrays) != 2:
        raise TypeError(f"{loss.__name__}: takes {', '.join(loss.arrays)}, not one prediction and one target")


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))
