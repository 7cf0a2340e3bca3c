"""Losses over several devices, by the framework's own collectives.

Every function here is called by all members of a group at the same time. A group is, of

- PyTorch: a `torch.distributed.ProcessGroup`, a `DeviceMesh` of one dimension, or None for all processes;
- JAX: the name of an axis, or of several, inside of `jax.shard_map` or `jax.pmap`;
- TensorFlow: None, for the replicas of the strategy that a replica function runs in.

NumPy, and a process of PyTorch or TensorFlow without others, is a group of one.
"""

import functools
from collections.abc import Hashable
from typing import Any

from .core.backend import backend_of, find_backend
from .core.checks import describe, is_kind
from .core.collectives import Group
from .core.compose import Combinable, LossSum
from .core.dtypes import cast, is_floating, working
from .core.group_losses import DataParallel, Sharded
from .core.loss import Loss
from .core.pairs import OverPairs
from .core.typing import Array

__all__ = ["average", "data_parallel", "replicated", "sharded", "total"]


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
    r"""A loss of rows that are split over a group, as the classes of a large vocabulary are.

    Each member calls it with its part of every row: the logits of some classes, and with them what has an axis of
    classes, such as ``class_weight`` and probabilities. The parts lie one behind the other in the order of the members;
    in PyTorch they may differ in length. All else is the same for each member: class ids, which are those of whole
    rows, weights and masks. The value is that of whole rows, for each member; the gradient is that of the member's own
    part.

    Parameters
    ----------
    loss : Loss
        A row-wise loss with gradients in closed form, such as `polyloss.cross_entropy`, `nll`, `softmax_focal`,
        `kl_divergence` or `multiclass_hinge`; one that sorts its rows is refused when it is called. Or
        `polyloss.linear_cross_entropy`: each member has its rows of ``weight``, ``bias`` and ``class_weight``, and the
        same ``hidden``, whose gradient is summed over them: no `replicated` is needed.
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
    ValueError
        When it is called: if members have other numbers of rows or features, or other dtypes, for all of them.

    Notes
    -----
    What travels of each row of class ids are the largest logit, with whether there is a NaN, the one of the id, and
    the sum of the others: forward alone. For probabilities and with smoothing there are a few numbers more,
    backward too. No row is gathered. In PyTorch what members have, lengths and dtypes, and whether somebody has bad
    values travel as well, once for each call, so that these are an error for all members. Whether ids or the values of
    parameters differ between them by mistake is not seen. A gradient by what all members have, such as
    `label_smoothing`, is the whole one for each of them. Second derivatives by parts of rows are right. Whether
    log-probabilities are in their domain is not checked.

    A kernel of one's own may touch its rows by element and by ``xp.sum``, ``max``, ``min``, ``any`` and ``all``
    along the last axis. Other functions of `xp` are refused; what it finds by an index, by ``@`` or by
    ``shape[-1]`` is of the part alone, and nobody sees that.

    See Also
    --------
    replicated : for what comes before, and is the same for all members.

    Examples
    --------
    >>> import numpy as np, polyloss.distributed
    >>> layer = polyloss.distributed.sharded(polyloss.linear_cross_entropy)
    >>> round(float(layer(np.eye(2), np.asarray([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0]]), np.asarray([0, 2]))), 4)
    1.6672
    >>> loss = polyloss.distributed.sharded(polyloss.cross_entropy)
    >>> round(float(loss(np.asarray([[2.0, 0.0, 0.0]]), np.asarray([0]))), 4)
    0.2395
    """
    # What gathers its gradients of many rows knows whether it can be split.
    if not (isinstance(loss, Loss) and (loss.rowwise or hasattr(loss.fuse, "split"))):
        raise TypeError(f"sharded: loss must be a row-wise loss, such as polyloss.cross_entropy, got {loss!r}")
    if isinstance(loss, Sharded):
        raise TypeError(f"sharded: {loss.__name__} is split over a group already")
    if isinstance(loss, DataParallel):
        raise TypeError("sharded: classes are split first, as in data_parallel(sharded(loss, classes), examples)")
    if not isinstance(group, Hashable):
        raise TypeError(f"sharded: group must be one of a framework, or a tuple of axes, got {describe(group)}")
    if loss.autodiff:
        raise TypeError(f"sharded: {loss.__name__} has no gradient in closed form: its rows must be whole")
    return _sharded(loss, group)


_sharded = functools.lru_cache(maxsize=256)(Sharded)


def data_parallel(loss: Combinable, group: Any = None, *, ring: bool = False) -> Combinable:
    r"""A loss of a batch whose examples are spread over a group, as in data-parallel training.

    Each member calls it with examples of its own, and all get the value of one process with the whole batch. A mean is
    that over all examples that count, wherever they are: neither ignored tokens that are spread unevenly nor members
    with fewer examples change it. Where examples are compared with each other, as in `polyloss.info_nce`, they are
    compared with those of all members. An example is with one member as a whole: a region of `polyloss.dice` that has
    the axis of the examples is not.

    Parameters
    ----------
    loss : Loss
        Any loss, or a sum of losses. With one of `sharded`, whose classes are split over another group, the devices
        are a grid.
    group : optional
        See `polyloss.distributed`.
    ring : bool, default False
        For a loss that compares examples with each other, of n examples of each member. False: the N examples of all
        are gathered, and a member has the scores of n by N pairs. True: they travel round the members, which have the
        scores of n by n pairs at a time; PyTorch and JAX can.

    Returns
    -------
    Loss
        The same object for the same arguments. With ``reduction="none"``, a member gets the losses of its own
        examples. A `denominator` is that of all members.

    Raises
    ------
    TypeError
        If `loss` is no loss, or spread over a group already; with `ring`, if it or a term of it compares no examples.
    ValueError
        When it is called: if the arguments of any member are wrong, for all of them; or if `group` does not exist.
    NotImplementedError
        When it is called with `ring` in TensorFlow.

    Notes
    -----
    What is averaged over the members is the gradient of one process: that is what DistributedDataParallel, FSDP and
    ``jax.lax.pmean`` do. Before that, the gradient of each member is that of the sum of the
    values that the members get, as of any all-reduced value. Where gradients are summed, as by ``apply_gradients`` of
    an optimizer of Keras within ``tf.distribute``, divide the value by the number of members before. Under
    `jax.shard_map` with ``check_vma=True`` nothing is to be averaged: gradients by what all devices have are whole.

    One all-reduce of four numbers forward, and one backward. They tell as well whether an argument of some member was
    wrong, and whether all have the same keywords, reduction and lengths of rows: if not, that is an error for all of
    them, where the values of arrays can be looked at. Where they cannot, or where one member alone has
    ``reduction="none"``, some may wait for others.

    Comparing examples takes three messages more for errors and lengths, an all-gather of the examples, and a
    reduce-scatter of gradients; with masks, labels or `symmetric` as many of each. A ring of p members goes round once
    for each number that the loss needs of whole rows, three times for `info_nce`, and once for the gradient. In JAX it
    takes `jax.shard_map` with ``check_vma=True``; other losses can do with `jax.pmap`. In PyTorch there is no forward
    mode of a value of all members.

    See Also
    --------
    average, total : denominators, where a loss is called as always.
    sharded : where classes are spread, and not examples.

    Examples
    --------
    >>> import numpy as np, polyloss.distributed
    >>> loss = polyloss.distributed.data_parallel(polyloss.cross_entropy)
    >>> round(float(loss(np.zeros((3, 4)), np.asarray([0, -100, 2]), ignore_index=-100)), 4)
    1.3863
    """
    if isinstance(loss, LossSum):
        return LossSum([(scale, data_parallel(term, group, ring=ring)) for scale, term in loss.terms])
    if not isinstance(loss, Loss):
        raise TypeError(
            f"data_parallel: loss must be a loss, such as polyloss.cross_entropy, or a sum of losses, got {loss!r}; "
            "modules and polyloss.multi_task take what data_parallel returns"
        )
    if isinstance(loss, DataParallel):
        raise TypeError(f"data_parallel: the examples of {loss.__name__} are spread over a group already")
    if isinstance(loss, Sharded) and loss.group == group:
        raise TypeError(
            f"data_parallel: the classes of {loss.__name__} are split over this group; examples need another"
        )
    if not isinstance(group, Hashable):
        raise TypeError(f"data_parallel: group must be one of a framework, or a tuple of axes, got {describe(group)}")
    if ring and not isinstance(loss.fuse, OverPairs):
        raise TypeError(f"data_parallel: ring is for a loss that compares examples, and {loss.__name__} does not")
    return _data_parallel(loss, group, ring)


_data_parallel = functools.lru_cache(maxsize=256)(DataParallel)


def _group(group: Any, array: Array) -> Group:
    return backend_of(array).group(group, array)
