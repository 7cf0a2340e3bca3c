"""Losses over several devices, by the framework's own collectives.

Every function here is called by all members of a group at the same time. A group is, of

- PyTorch: a `torch.distributed.ProcessGroup`, a `DeviceMesh` of one dimension, or None for all processes;
- JAX: the name of an axis, or of several, inside of `jax.shard_map`, or of `jax.pmap` for counts;
- TensorFlow: None, for the replicas of the strategy that a replica function runs in: counts alone.

NumPy, and a process of PyTorch or TensorFlow without others, is a group of one.
"""

import functools
from collections.abc import Hashable
from typing import Any

from .core.arguments import declared
from .core.backend import backend_of, find_backend
from .core.call import BoundCall
from .core.checks import describe, is_integer, is_kind
from .core.collectives import Alone, Group, GroupOf, SplitClasses, split_kernel
from .core.domains import REAL, Classes
from .core.dtypes import cast, is_floating, working
from .core.loss import Loss
from .core.typing import Array

__all__ = ["average", "replicated", "sharded", "total"]


def total(count: Array, group: Any = None) -> Array:
    """The sum of an array over the members of a group, as a constant.

    With it as `denominator`, each member's mean is its share of the mean over all of them: the sum of those values, and
    of their gradients, is that of one process with the whole batch.

    Parameters
    ----------
    count : array
        Real: what the examples of this member add to the denominator, such as ``(ids != -100).sum()``.
    group : optional
        See `polyloss.distributed`.

    Returns
    -------
    array
        In the shape of `count`; halves are float32, and integers those of 64 bits, where the framework has them.

    Raises
    ------
    TypeError
        If `count` is no array of numbers, or `group` is none of its framework.

    See Also
    --------
    average : where gradients are averaged over the members, as DDP does.

    Examples
    --------
    >>> import numpy as np, polyloss.distributed
    >>> logits, ids = np.zeros((3, 4)), np.asarray([0, -100, 2])
    >>> count = polyloss.distributed.total((ids != -100).sum())
    >>> round(float(polyloss.cross_entropy(logits, ids, ignore_index=-100, denominator=count)), 4)
    1.3863
    """
    return _total("total", count, group)


def average(count: Array, group: Any = None) -> Array:
    """The sum of an array over the members of a group, divided by their number, as a constant.

    With it as `denominator`, the average of the members' values and gradients is that of one process with the whole
    batch: what `torch.nn.parallel.DistributedDataParallel`, FSDP and `jax.lax.pmean` make of them.

    Parameters
    ----------
    count : array
        As that of `total`.
    group : optional
        See `polyloss.distributed`.

    Returns
    -------
    array
        In the shape of `count`, real floating.

    Raises
    ------
    TypeError
        As `total`.

    Examples
    --------
    >>> import numpy as np, polyloss.distributed
    >>> float(polyloss.distributed.average(np.asarray(6)))
    6.0
    """
    return _total("average", count, group) / _group(group, count).size


def _total(name: str, count: Array, group: Any) -> Array:
    backend = find_backend(type(count)) if hasattr(count, "dtype") else None
    if backend is None:
        raise TypeError(f"{name}: count must be an array, which tells the framework, got {describe(count)}")
    xp = backend.namespace(count)
    if is_kind(xp, count, "bool"):
        raise TypeError(f"{name}: count must be a number of examples, got booleans; mask.sum() is that of a mask")
    # Neither shall wrap or round what one member's dtype holds, but not that of all.
    wide = working(xp, count.dtype) if is_floating(xp, count) else xp.int64
    return backend.stop_gradient(_group(group, count).sum(cast(xp, count, wide)))


def replicated(array: Array, group: Any = None) -> Array:
    """An array that is the same for all members, for what each of them makes of it: its gradient is summed over them.

    The last hidden states go through it, before each member multiplies them with its part of the last layer. Megatron
    calls it ``copy_to_tensor_model_parallel_region``. Under `jax.shard_map` it is not needed, and changes nothing.

    Parameters
    ----------
    array : array
        Real floating.
    group : optional
        See `polyloss.distributed`.

    Returns
    -------
    array
        The same numbers.

    Raises
    ------
    TypeError
        If `array` is none, or `group` is none of its framework.

    See Also
    --------
    sharded : the loss of what the members make of it.

    Examples
    --------
    >>> import numpy as np, polyloss.distributed
    >>> polyloss.distributed.replicated(np.asarray([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    return _group(group, array).replicated(array)


def sharded(loss: Loss[Any], group: Any = None) -> Loss[Any]:
    r"""A row-wise loss of rows that are split over a group, as the classes of a large vocabulary are.

    Each member calls it with its part of every row: the logits of some classes, and with them what has an axis of
    classes, such as ``class_weight`` and probabilities. The parts lie one behind the other in the order of the members;
    in PyTorch they may differ in length. All else is the same for each member: class ids, which are those of whole
    rows, weights and masks. The value is that of whole rows, for each member; the gradient is that of the member's own
    part.

    Parameters
    ----------
    loss : Loss
        A row-wise loss with gradients in closed form, such as `polyloss.cross_entropy`, `nll`, `softmax_focal`,
        `kl_divergence` or `multiclass_hinge`. One that sorts its rows is refused when it is called.
    group : optional
        See `polyloss.distributed`. One process alone gives the same bits as `loss`.

    Returns
    -------
    Loss
        The same object for the same arguments. Make it outside of what `torch.compile` reads.

    Raises
    ------
    TypeError
        If `loss` has no rows, is differentiated by the framework, or is split already.

    Notes
    -----
    What travels of each row of class ids are the largest logit, with whether there is a NaN, the one of the id, and
    the sum of the others: forward alone. For probabilities and with smoothing there are a few numbers more,
    backward too. No row is gathered. In PyTorch the lengths of all parts and whether somebody has bad values travel
    as well, so that these are an error for all members. What else differs between them by mistake, ids or
    parameters, is not seen. A gradient by what all members have, such as `label_smoothing`, is the whole one for
    each of them. Second derivatives by parts of rows are right. Whether log-probabilities are in their domain is
    not checked.

    A kernel of one's own may touch its rows by element and by ``xp.sum``, ``max``, ``min``, ``any`` and ``all``
    along the last axis. Other functions of `xp` are refused; what it finds by an index, by ``@`` or by
    ``shape[-1]`` is of the part alone, and nobody sees that.

    See Also
    --------
    replicated : for what comes before, and is the same for all members.

    Examples
    --------
    >>> import numpy as np, polyloss.distributed
    >>> loss = polyloss.distributed.sharded(polyloss.cross_entropy)
    >>> round(float(loss(np.asarray([[2.0, 0.0, 0.0]]), np.asarray([0]))), 4)
    0.2395
    """
    if not (isinstance(loss, Loss) and loss.rowwise):
        raise TypeError(f"sharded: loss must be a row-wise loss, such as polyloss.cross_entropy, got {loss!r}")
    if isinstance(loss, _Sharded):
        raise TypeError(f"sharded: {loss.__name__} is split over a group already")
    if not isinstance(group, Hashable):
        raise TypeError(f"sharded: group must be one of a framework, got {describe(group)}")
    if loss.autodiff:
        raise TypeError(f"sharded: {loss.__name__} has no gradient in closed form: its rows must be whole")
    return _sharded(loss, group)


@functools.lru_cache(maxsize=256)
def _sharded(loss: Loss[Any], group: Any) -> "_Sharded":
    return _Sharded(loss, functools.partial(_group, group))


class _Sharded(Loss[Any]):
    """A loss of rows that are split over a group."""

    whole: Loss[Any]
    """The same one of whole rows."""

    def __init__(self, whole: Loss[Any], group_of: GroupOf) -> None:
        vars(self).update(vars(whole))
        self.whole, self.group_of = whole, group_of
        self.kernel = split_kernel(whole.kernel, group_of)
        self.domains = {}
        for name, domain in whole.domains.items():
            if isinstance(domain, Classes):
                self.domains[name] = SplitClasses(ids_only=domain.ids_only, hint=domain.hint, group_of=group_of)
            else:
                # Of an entry that an id names, one member alone could tell.
                self.domains[name] = REAL if domain.of_class else domain
        self.arguments = declared(self.arrays, self.parameters, self.domains, self.signature, self.shapes)
        origin: Any = whole.origin
        self.origin = self if origin is whole else _Sharded(origin, group_of)
        self._take(whole.fixed)

    def bind(self, arrays: tuple[Any, ...], keywords: dict[str, Any]) -> BoundCall:
        first = arrays[0] if arrays else keywords.get(self.arrays[0])
        assert self.group_of is not None
        if find_backend(type(first)) is not None:
            group = self.group_of(first)
            if isinstance(group, Alone):
                return self.whole.bind(arrays, keywords)
            # Probabilities are split as the rows are.
            second = arrays[1] if len(arrays) > 1 else keywords.get(self.arrays[1])
            ids = find_backend(type(second)) is not None and is_integer(backend_of(second).namespace(second), second)
            group.check(first, second if ids else None)
        return super().bind(arrays, keywords)

    def partial(self, **parameters: Any) -> Loss[Any]:
        found = super().partial(**parameters)
        assert isinstance(found, _Sharded)
        found.whole = self.whole.partial(**parameters)
        return found

    def __repr__(self) -> str:
        return f"polyloss.distributed.sharded({self.whole!r})"

    def __copy__(self) -> "_Sharded":
        return self

    def __deepcopy__(self, memo: Any) -> "_Sharded":
        # What a copy of a model has is of the same process.
        return self

    def __reduce__(self) -> Any:
        raise TypeError(f"{self!r} belongs to its process, as its group does: make it in the other one")


def _group(group: Any, array: Array) -> Group:
    return backend_of(array).group(group, array)
