"""A straight line through data of which one tenth is nonsense: what each loss makes of it, with NumPy alone.

The gradient comes from the closed forms; the last loss is written here.

    python examples/outliers.py
"""

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

import polyloss


@polyloss.elementwise(scale=polyloss.POSITIVE)
def cauchy(xp: Any, prediction: Any, target: Any, *, scale: float = 1.0, **call: Unpack[polyloss.Call]) -> Any:
    """Cauchy's robust loss."""
    ratio = (prediction - target) / scale
    slope = 2.0 * ratio / (1.0 + ratio * ratio) / scale
    return xp.log1p(ratio * ratio), lambda: slope, lambda: -slope


def fit(loss: Callable[..., Any], rate: float, x: Any, y: Any, start: Any) -> Any:
    """Slope and intercept, by gradient descent from `start`."""
    line = start.copy()
    for _ in range(2000):
        _, gradient = polyloss.value_and_grad(loss)(line[0] * x + line[1], y)
        line -= rate * np.asarray([np.sum(gradient * x), np.sum(gradient)])
    return line


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=200)
    y = 2.0 * x + 1.0 + 0.1 * rng.normal(size=200)
    y[:20] = 15.0
    # The robust losses measure errors in units of a scale of 0.1 or so: their curvature is a hundred times larger.
    losses: dict[str, tuple[Callable[..., Any], float]] = {
        "mse": (polyloss.mse, 0.2),
        "l1": (polyloss.l1, 0.01),
        "huber(delta=0.2)": (polyloss.huber.partial(delta=0.2), 0.2),
        "tukey_biweight(scale='mad')": (polyloss.tukey_biweight.partial(scale="mad"), 0.005),
        "cauchy(scale=0.2)": (cauchy.partial(scale=0.2), 0.005),
    }
    print(f"{'loss':30}{'slope':>8}{'intercept':>12}      (2 and 1 without the outliers)")
    start = np.zeros(2)
    for name, (loss, rate) in losses.items():
        # The last two are not convex: they start where Huber's loss ended.
        line = fit(loss, rate, x, y, start)
        start = line if name.startswith("huber") else start
        print(f"{name:30}{line[0]:8.3f}{line[1]:12.3f}")


if __name__ == "__main__":
    main()
