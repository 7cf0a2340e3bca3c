"""One total for several tasks, with fixed or with learned weights."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from .core import checks, words
from .core.backend import Backend, backend_of, find_backend, unwrapped
from .core.compose import Combinable, described, factor_of, scaled, widened_keywords
from .core.dtypes import astype, widened, working
from .core.kernel import BoundKernel
from .core.typing import Array, KernelResult, Namespace
from .stable import softplus_of

__all__ = ["MultiTask", "multi_task"]

Kind: TypeAlias = Literal["regression", "classification"]

Regularizer: TypeAlias = Literal["log", "log1p"]

_KEYWORDS = ("log_variances", "options", "parts")

_FACTORS = {"regression": 0.5, "classification": 1.0}

_TAGS = {"regression": "regression"} | dict.fromkeys(("multi-class", "binary", "multi-label"), "classification")


class MultiTask:
    r"""The total of several tasks' losses, each of its own arrays. Made by `multi_task`, which says what it computes.

    Called with a mapping from task to arrays, or with all arrays one after the other in the order of `arrays`, as
    `polyloss.value_and_grad` wants them. Log-variances come last, or by their name.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> total = polyloss.multi_task({"depth": polyloss.mse, "pose": polyloss.l1})
    >>> total.arrays
    ('depth.prediction', 'depth.target', 'pose.prediction', 'pose.target')
    >>> depth, pose = (np.asarray([3.0]), np.asarray([1.0])), (np.asarray([0.5]), np.asarray([0.0]))
    >>> value, parts = total({"depth": depth, "pose": pose}, parts=True)
    >>> float(value), float(parts["pose"])
    (4.5, 0.5)
    """

    autograph_info__: dict[str, object] = {}  # noqa: RUF012 - as in Combinable

    def __init__(
        self,
        losses: Mapping[str, Combinable],
        weights: Mapping[str, float] | None = None,
        *,
        kinds: Mapping[str, Kind] | None = None,
        regularizer: Regularizer = "log",
    ) -> None:
        if not isinstance(losses, Mapping) or not losses:
            raise TypeError(f"multi_task: losses must be a mapping from task to loss, got {losses!r}")
        for task, loss in losses.items():
            if not isinstance(loss, Combinable):
                raise TypeError(f"multi_task: {task} must be a loss or a sum of losses, got {loss!r}")
        checks.one_of("multi_task", "regularizer", regularizer, get_args(Regularizer))
        self.__name__ = "multi_task"
        self.losses = dict(losses)
        self.regularizer = regularizer
        if weights is not None:
            self._check_tasks("weights", weights)
        self.weights = {task: factor_of(f"multi_task: {task}", (weights or {}).get(task, 1.0)) for task in self.losses}
        self._check_tasks("kinds", kinds or {}, every=False)
        for kind in (kinds or {}).values():
            checks.one_of("multi_task", "kinds", kind, tuple(_FACTORS))
        self.kinds = {task: (kinds or {}).get(task, _kind(loss)) for task, loss in self.losses.items()}

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of all arrays, in order: ``task.array``."""
        return tuple(f"{task}.{name}" for task, loss in self.losses.items() for name in loss.arrays)

    def __repr__(self) -> str:
        terms = (f"{task}: {scaled(self.weights[task], described(loss))}" for task, loss in self.losses.items())
        return f"<polyloss multi_task {', '.join(terms)}>"

    def __call__(
        self,
        *arguments: Any,
        log_variances: Array | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        parts: bool = False,
        **unknown: Any,
    ) -> Any:
        """The total.

        Parameters
        ----------
        *arguments : mapping from task to arrays, or arrays
            ``{"seg": (logits, ids), "depth": (prediction, target)}``, or ``logits, ids, prediction, target``.
        log_variances : array, optional
            Shape (tasks,), in the order of the tasks. Also as the last one of `arguments`.
        options : mapping, optional
            Keywords for some tasks: ``{"depth": {"where": mask}}``.
        parts : bool, default False
            Whether to return, beside the total, the bare loss of each task.

        Returns
        -------
        array or (array, mapping from task to array)
            Scalars. The dtype is that of the tasks' losses; where they differ, the one that holds all.
        """
        self._check_keywords(unknown)
        arrays, log_variances = self._arguments(arguments, log_variances)
        options = self._options(options)
        losses = {
            task: loss(*map(widened, arrays[task]), **widened_keywords(options[task]))
            for task, loss in self.losses.items()
        }
        dtypes = self._result_dtypes(arrays, losses)
        total, _ = self._total(losses, log_variances, dtypes)
        return (total, {task: astype(loss, dtypes[task]) for task, loss in losses.items()}) if parts else total

    def closed_form(
        self, arguments: Sequence[Array], keywords: Mapping[str, Any], argnums: Sequence[int | str]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The total and its gradients with respect to arrays at flat positions, without automatic differentiation."""
        self._check_keywords(keywords)
        if keywords.get("parts"):
            raise ValueError("multi_task: a gradient needs the total alone, got parts=True")
        arrays, log_variances = self._arguments(tuple(arguments), keywords.get("log_variances"))
        options = self._options(keywords.get("options"))
        # The only keyword that is an array comes after all others.
        flat = [len(self.arrays) if isinstance(number, str) else number for number in argnums]
        values: dict[str, Array] = {}
        gradients: dict[int, tuple[str, Array]] = {}
        start = 0
        for task, loss in self.losses.items():
            of_task = [number for number in flat if start <= number < start + len(loss.arrays)]
            if of_task:
                places = [number - start for number in of_task]
                wide = tuple(map(widened, arrays[task]))
                values[task], task_gradients = loss.closed_form(wide, widened_keywords(options[task]), places)
                gradients |= {number: (task, g) for number, g in zip(of_task, task_gradients, strict=True)}
            else:
                values[task] = loss(*map(widened, arrays[task]), **widened_keywords(options[task]))
            start += len(loss.arrays)
        dtypes = self._result_dtypes(arrays, values)
        total, (shares, by_log_variances) = self._total(values, log_variances, dtypes)
        inputs = [array for task in self.losses for array in arrays[task]]
        results = []
        for number in flat:
            if number == start:
                results.append(by_log_variances())
                continue
            task, gradient = gradients[number]
            results.append(astype(shares()[task] * gradient, inputs[number].dtype))
        return total, tuple(results)

    def _total(
        self, losses: Mapping[str, Array], log_variances: Array | None, dtypes: Mapping[str, Any]
    ) -> tuple[Array, tuple[Callable[[], Mapping[str, Any]], Callable[[], Array]]]:
        """The total; and its derivative by each loss, and that by the log-variances."""
        backend, xp = self._backend({**losses, "log_variances": log_variances})
        for task, loss in losses.items():
            checks.shape_is("multi_task", f"the loss of {task}", tuple(loss.shape), (), "a reduction to the shape")
        wide = [loss.dtype for loss in losses.values()]
        if log_variances is None:
            dtype = functools.reduce(xp.result_type, wide)
            terms = [self.weights[task] * astype(loss, dtype) for task, loss in losses.items()]
            total = sum(terms[1:], start=terms[0])
            return self._narrow(total, dtypes), (lambda: self.weights, lambda: None)

        log_variances = self._log_variances(backend, log_variances, next(iter(losses.values())))
        factors = {task: self.weights[task] * self._factor_of(task) for task in losses}
        original = log_variances.dtype
        dtype = functools.reduce(xp.result_type, [*wide, working(xp, original)])
        weighted = xp.stack([factors[task] * astype(loss, dtype) for task, loss in losses.items()])
        s = astype(log_variances, dtype)
        pair = BoundKernel(_uncertain, 2, (("regularizer", self.regularizer),), ())
        total = xp.sum(backend.attach(pair, (weighted, s)))

        def shares() -> Mapping[str, Any]:
            precision = pair(weighted, s)[1]()
            return {task: factors[task] * precision[k] for k, task in enumerate(losses)}

        return self._narrow(total, dtypes), (shares, lambda: astype(pair(weighted, s)[2](), original))

    def _result_dtypes(self, arrays: Mapping[str, Any], losses: Mapping[str, Array]) -> dict[str, Any]:
        """The dtype of the loss of each task, by that of its prediction."""
        first = {task: arrays[task][0] if hasattr(arrays[task][0], "dtype") else loss for task, loss in losses.items()}
        return {task: backend_of(losses[task]).result_dtype(array) for task, array in first.items()}

    def _narrow(self, total: Array, dtypes: Mapping[str, Any]) -> Array:
        first, *rest = dtypes.values()
        return astype(total, first) if all(dtype == first for dtype in rest) else total

    def _factor_of(self, task: str) -> float:
        kind = self.kinds[task]
        if kind is None:
            raise ValueError(
                f"multi_task: kinds must say whether {task} is a regression or a classification: its loss, "
                f"{self.losses[task].__name__}, does not tell"
            )
        return _FACTORS[kind]

    def _arguments(
        self, arguments: tuple[Any, ...], log_variances: Array | None
    ) -> tuple[dict[str, Any], Array | None]:
        """The arrays of each task, and the log-variances."""
        if arguments and isinstance(arguments[0], Mapping):
            named, *rest = arguments
            self._check_tasks("the arrays", named)
            for task, values in named.items():
                expected = self.losses[task].arrays
                if not isinstance(values, (tuple, list)) or len(values) != len(expected):
                    what = f"{len(values)} of them" if isinstance(values, (tuple, list)) else checks.describe(values)
                    raise TypeError(f"multi_task: {task} must be a tuple ({', '.join(expected)}), got {what}")
            arrays = {task: tuple(named[task]) for task in self.losses}
        else:
            count = len(self.arrays)
            if len(arguments) < count:
                raise TypeError(f"multi_task: missing {', '.join(self.arrays[len(arguments) :])}")
            left, rest = iter(arguments[:count]), list(arguments[count:])
            arrays = {task: tuple(next(left) for _ in loss.arrays) for task, loss in self.losses.items()}
        if len(rest) + (log_variances is not None) > 1:
            raise TypeError(f"multi_task: takes {', '.join(self.arrays)}, log_variances; got {len(rest)} arrays more")
        everything = dict(zip(self.arrays, (a for task in arrays.values() for a in task), strict=True))
        log_variances = rest[0] if rest else log_variances
        self._backend(everything | {"log_variances": log_variances})
        return arrays, log_variances

    def _backend(self, arguments: Mapping[str, Any]) -> tuple[Backend, Namespace]:
        arguments = {name: value for name, value in arguments.items() if name != "log_variances" or value is not None}
        backend = checks.common_backend("multi_task", arguments)
        first = next(value for value in arguments.values() if find_backend(type(value)) is backend)
        return backend, backend.namespace(first)

    def check_log_variances(self, log_variances: Any, like: Array) -> None:
        """Raise for log-variances with which no call would succeed; `like` is an array such as the calls will bring."""
        backend, _ = self._backend({self.arrays[0]: like, "log_variances": unwrapped(log_variances)})
        if log_variances is not None:
            self._log_variances(backend, unwrapped(log_variances), like)

    def _log_variances(self, backend: Backend, given: Any, like: Array) -> Array:
        found = backend.asarray(given, like)
        checks.real_floating("multi_task", "log_variances", backend.namespace(found), found)
        expected = (len(self.losses),)
        checks.shape_is("multi_task", "log_variances", tuple(found.shape), expected, "one value per task, shape")
        return found

    def _options(self, options: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Mapping[str, Any]]:
        self._check_tasks("options", options or {}, every=False)
        return {task: (options or {}).get(task, {}) for task in self.losses}

    def _check_keywords(self, keywords: Mapping[str, Any]) -> None:
        for name in keywords:
            if name in _KEYWORDS:
                continue
            error = words.unknown_keyword("multi_task", name, (), _KEYWORDS)
            task = next((task for task, loss in self.losses.items() if _takes(loss, name)), None)
            if task is not None:
                error = TypeError(f"{error}; of a task it goes by options={{{task!r}: {{{name!r}: ...}}}}")
            raise error

    def _check_tasks(self, what: str, by_task: Mapping[str, Any], *, every: bool = True) -> None:
        if not isinstance(by_task, Mapping):
            raise TypeError(f"multi_task: {what} must be a mapping by task, got {checks.describe(by_task)}")
        tasks = f"the tasks are {', '.join(self.losses)}"
        unknown = [str(task) for task in by_task if task not in self.losses]
        if unknown:
            raise ValueError(f"multi_task: {what} must be those of its tasks, got {', '.join(unknown)}; {tasks}")
        missing = [task for task in self.losses if task not in by_task]
        if every and missing:
            raise ValueError(f"multi_task: {what} must be there for every task, missing {', '.join(missing)}; {tasks}")


def multi_task(
    losses: Mapping[str, Combinable],
    weights: Mapping[str, float] | None = None,
    *,
    kinds: Mapping[str, Kind] | None = None,
    regularizer: Regularizer = "log",
) -> MultiTask:
    r"""One total of the losses of several tasks, with fixed or with learned weights.

    .. math::
        L = \sum_k w_k L_k
        \qquad \text{or, with log-variances } s_k = \log \sigma_k^2, \qquad
        L = \sum_k c_k \, w_k \, e^{-s_k} L_k + R(s_k)

    with :math:`c_k = \frac{1}{2}` for a regression and 1 for a classification. The log-variances are an argument of
    the call, and a parameter of the training as any other: the total is differentiable in them. With :math:`R(s) =
    \frac{1}{2} s = \log \sigma` and equal weights the best :math:`e^{s_k}` of a regression is :math:`L_k` itself, that
    of a classification :math:`2 L_k`. The total may be negative then, and sinks without end where an
    :math:`L_k \le 0`. With :math:`R(s) = \log(1 + e^s) = \log(1 + \sigma^2)` no term is negative.

    A. Kendall, Y. Gal and R. Cipolla, "Multi-task learning using uncertainty to weigh losses for scene geometry and
    semantics", CVPR 2018. L. Liebel and M. Körner, "Auxiliary tasks in multi-task learning", arXiv 2018, where
    :math:`c_k` is 1/2 for every task.

    Parameters
    ----------
    losses : mapping from task to loss
        :math:`L_k`: losses, or sums of losses. Their reduction must leave a scalar.
    weights : mapping from task to float, optional
        :math:`w_k \ge 0` of every task; 1 without it.
    kinds : mapping from task to {"regression", "classification"}, optional
        For learned weights, of tasks whose loss does not tell by itself.
    regularizer : {"log", "log1p"}, default "log"
        :math:`R`, for learned weights: :math:`\log \sigma` or :math:`\log(1 + \sigma^2)`.

    Returns
    -------
    callable
        Takes the arrays as a mapping from task to tuple, or one after the other, and then the log-variances, an array
        of shape (tasks,), where weights are to be learned. Keywords: ``log_variances``; ``options``, which maps tasks
        to keywords of their loss; ``parts=True`` for the pair of the total and a mapping from task to :math:`L_k`.

    Raises
    ------
    TypeError
        If something in `losses` is no loss, or, when called, a task has too few or too many arrays.
    ValueError
        If a task is unknown or missing, a weight negative or not finite, a `regularizer` or kind unknown; when called,
        if a loss is no scalar, or `log_variances` has not one value per task.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> total = polyloss.multi_task({"depth": polyloss.mse, "pose": polyloss.l1}, {"depth": 1.0, "pose": 10.0})
    >>> depth, pose = (np.asarray([3.0]), np.asarray([1.0])), (np.asarray([0.5]), np.asarray([0.0]))
    >>> float(total({"depth": depth, "pose": pose}))
    9.0

    With learned weights, and the gradient with respect to them:

    >>> learned = polyloss.multi_task({"depth": polyloss.mse, "pose": polyloss.l1})
    >>> value, gradient = polyloss.value_and_grad(learned, argnums=4)(*depth, *pose, np.zeros(2))
    >>> float(value), gradient.tolist()
    (2.25, [-1.5, 0.25])
    """
    return MultiTask(losses, weights, kinds=kinds, regularizer=regularizer)


def _uncertain(xp: Namespace, losses: Array, s: Array, *, regularizer: Regularizer) -> KernelResult:
    """Losses times their precision, and what keeps that from vanishing."""
    precision = xp.exp(-s)
    weighted = precision * losses
    if regularizer == "log":
        return weighted + 0.5 * s, lambda: precision, lambda: 0.5 - weighted
    # log(1 + e^s), and its derivative: the sigmoid.
    penalty, sigmoid = softplus_of(xp, s)
    return weighted + penalty, lambda: precision, lambda: sigmoid() - weighted


def _takes(loss: Combinable, keyword: str) -> bool:
    return all(keyword in inspect.signature(term).parameters for _, term in loss._terms())


def _kind(loss: Combinable) -> Kind | None:
    """What the loss itself is for, if it tells."""
    kinds = {_TAGS[tag] for tag in loss.tasks if tag in _TAGS}
    if len(kinds) != 1:
        return None
    return "regression" if kinds == {"regression"} else "classification"
