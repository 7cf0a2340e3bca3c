"""What a user's type checker sees. Nobody runs this file: mypy and pyright read it (tox -e types).

An error that is expected carries an ignore for both; an ignore that nothing needs is an error in itself.
"""

from typing import Any, assert_type

import numpy as np

import polyloss

prediction = np.asarray([1.0, 2.0])
target = np.asarray([1.0, 0.0])

# Right calls.
polyloss.huber(prediction, target)
polyloss.huber(
    prediction, target, delta=2.0, reduction="weighted_mean", sample_weight=target, where=None, denominator=2
)
polyloss.mse(prediction=prediction, target=target, reduction="none")
polyloss.compile(polyloss.l1)(prediction, target)
polyloss.value_and_grad(polyloss.mse, argnums=(0, 1))(prediction, target)
polyloss.huber.partial(delta=2.0)(prediction, target, reduction="sum")
assert_type(polyloss.huber(prediction, target), Any)
assert_type(polyloss.mse + 0.5 * polyloss.l1, polyloss.LossSum)

# A keyword that does not exist, or belongs to another loss.
polyloss.huber(prediction, target, dleta=2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
polyloss.mse(prediction, target, delta=2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
# A reduction that does not exist.
polyloss.huber(prediction, target, reduction="average")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
# A parameter of the wrong type, one that is keyword-only, a missing target.
polyloss.triplet_margin(prediction, target, target, p="wide")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
polyloss.huber(prediction, target, 2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
polyloss.huber(prediction)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
# A loss without a class axis has none.
polyloss.huber(prediction, target, axis=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
# A loss adds to a loss, not to a number.
polyloss.mse + 1.0  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
