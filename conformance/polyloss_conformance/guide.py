"""Which loss for which task: what the records advise, as the command line, the README and the documentation show it."""

from .losses import LOSSES
from .spec import Advice

_ORDER = (
    "multi-class",
    "binary",
    "multi-label",
    "regression",
    "outliers",
    "class imbalance",
    "similarity",
    "sequence",
    "distribution",
)
_ADVICE = [advice for spec in LOSSES.values() for advice in spec.advice]

TASKS = tuple(dict.fromkeys((*_ORDER, *(advice.task for advice in _ADVICE))))
"""Those that are asked for most first; then those that only a record names."""

GUIDE: tuple[Advice, ...] = tuple(sorted(_ADVICE, key=lambda advice: TASKS.index(advice.task)))
"""In the order of the tasks."""


def tasks_of(loss: str) -> tuple[str, ...]:
    """The tasks that a loss is recommended for."""
    return tuple(dict.fromkeys(advice.task for advice in GUIDE if advice.loss == loss))


def markdown() -> str:
    """The table of the README."""
    lines = ["| task | situation | loss | why |", "|---|---|---|---|"]
    previous = ""
    for advice in GUIDE:
        task = "" if advice.task == previous else f"**{advice.task}**"
        lines.append(f"| {task} | {advice.situation} | `{advice.call}` | {advice.why} |")
        previous = advice.task
    return "\n".join(lines) + "\n"
