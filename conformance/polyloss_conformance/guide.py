"""Which loss for which task: one record, which the command line, the README and the documentation show."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """One situation.

    Parameters
    ----------
    task, situation : str
        What is predicted, and what is special about it.
    loss : str
        A public loss of polyloss.
    call : str
        How it is called there.
    why : str
        In one sentence.
    """

    task: str
    situation: str
    loss: str
    call: str
    why: str


GUIDE = (
    Advice(
        "multi-class",
        "one class of many, logits",
        "cross_entropy",
        "cross_entropy(logits, class_ids)",
        "exact for confident rows too; takes probabilities as targets",
    ),
    Advice(
        "multi-class",
        "log-probabilities come out of the model",
        "nll",
        "nll(log_probabilities, class_ids)",
        "skips the softmax",
    ),
    Advice(
        "multi-class",
        "over-confident, noisy labels",
        "cross_entropy",
        "cross_entropy(logits, class_ids, label_smoothing=0.1)",
        "keeps the logits finite",
    ),
    Advice(
        "multi-class",
        "a large vocabulary: language models",
        "linear_cross_entropy",
        "linear_cross_entropy(hidden, weight, class_ids)",
        "the logits of all tokens never exist at once",
    ),
    Advice(
        "binary",
        "a logit for each example",
        "binary_cross_entropy_with_logits",
        "binary_cross_entropy_with_logits(logits, target)",
        "right to the last place for any logit",
    ),
    Advice(
        "binary",
        "a probability for each example",
        "binary_cross_entropy",
        "binary_cross_entropy(probabilities, target)",
        "infinite where it is; logits are safer",
    ),
    Advice(
        "binary",
        "a maximal margin",
        "hinge",
        "hinge(scores, target)",
        "labels -1 and +1; squared_hinge is the smooth one",
    ),
    Advice(
        "binary",
        "a maximal margin, smooth",
        "squared_hinge",
        "squared_hinge(scores, target)",
        "differentiable at the margin",
    ),
    Advice(
        "multi-label",
        "several labels for each example",
        "binary_cross_entropy_with_logits",
        "binary_cross_entropy_with_logits(logits, target)",
        "one logit for each label; the mean is over all labels",
    ),
    Advice("regression", "Gaussian noise", "mse", "mse(prediction, target)", "estimates the mean"),
    Advice(
        "regression",
        "the median",
        "l1",
        "l1(prediction, target)",
        "estimates the median; gradient 0 at a perfect prediction",
    ),
    Advice(
        "regression",
        "smooth everywhere",
        "log_cosh",
        "log_cosh(prediction, target)",
        "quadratic near the target, linear far away, no parameter",
    ),
    Advice(
        "outliers",
        "some large errors",
        "huber",
        "huber(prediction, target, delta=1.0)",
        "quadratic within delta, linear outside",
    ),
    Advice(
        "outliers",
        "object detection, boxes",
        "smooth_l1",
        "smooth_l1(prediction, target, beta=1.0)",
        "huber(beta) / beta: slope 1 outside",
    ),
    Advice(
        "outliers",
        "gross errors that shall not count",
        "tukey_biweight",
        'tukey_biweight(prediction, target, scale="mad")',
        "gradient exactly 0 beyond c",
    ),
    Advice(
        "class imbalance",
        "many easy negatives",
        "sigmoid_focal",
        "sigmoid_focal(logits, target, alpha=0.25, gamma=2.0)",
        "easy examples count less",
    ),
    Advice(
        "class imbalance",
        "many classes",
        "softmax_focal",
        "softmax_focal(logits, class_ids, gamma=2.0)",
        "the same for one class of many",
    ),
    Advice(
        "class imbalance",
        "rare classes",
        "cross_entropy",
        'cross_entropy(logits, class_ids, class_weight=w, reduction="weighted_mean")',
        "a weight for each class",
    ),
    Advice(
        "class imbalance",
        "rare positives",
        "binary_cross_entropy_with_logits",
        "binary_cross_entropy_with_logits(logits, target, pos_weight=w)",
        "a weight for the positives",
    ),
    Advice(
        "similarity",
        "pairs of embeddings",
        "contrastive_embedding",
        "contrastive_embedding(x1, x2, same)",
        "pulls pairs together, pushes others a margin apart",
    ),
    Advice(
        "similarity",
        "distances of pairs",
        "contrastive",
        "contrastive(distance, same)",
        "the same, where the distances are known",
    ),
    Advice(
        "similarity",
        "anchor, positive, negative",
        "triplet_margin",
        "triplet_margin(anchor, positive, negative)",
        "the positive a margin nearer than the negative",
    ),
    Advice(
        "distribution",
        "distillation, a target distribution",
        "kl_divergence",
        "kl_divergence(log_probabilities, target)",
        "KL(target ‖ prediction); zeros are exact",
    ),
)
"""In the order of the tasks."""

TASKS = tuple(dict.fromkeys(advice.task for advice in GUIDE))


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
