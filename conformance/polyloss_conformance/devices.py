"""Devices by the names that the users of each framework know: ``cuda:1``, ``mps``, ``gpu``, ``GPU:0``."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def use(backend: str, name: str) -> Any:
    """The device of a name, on which the framework makes its arrays in this process from now on, if it can be told so.

    Raises
    ------
    ValueError
        If there is no such device here. The message says which there are.
    """
    return _USES[backend](name)


def having(backends: Sequence[str], name: str, named: bool) -> tuple[str, ...]:
    """The backends that have a device. Each is asked in a process of its own: this one stays as it was.

    Parameters
    ----------
    named : bool
        Whether all of them must have it.

    Raises
    ------
    ValueError
        If one that must have it has none, or if nobody has.
    """
    if name == "cpu":
        return tuple(backends)
    os.environ.update(QUIET)
    missing: dict[str, str] = {}
    for backend in backends:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                pool.submit(_ask, backend, name).result()
            except ValueError as error:
                missing[backend] = str(error)
    found = tuple(backend for backend in backends if backend not in missing)
    if (named and missing) or not found:
        raise ValueError("\n".join(missing.values()))
    return found


QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Environment of a process that asks: no greetings, and no more memory of a device than is needed."""


def _ask(backend: str, name: str) -> None:
    use(backend, name)


def _missing(backend: str, name: str, there: Sequence[str]) -> ValueError:
    return ValueError(f"{backend} has no device {name} here; there is {', '.join(there)}")


def _numpy(name: str) -> str:
    if name.lower() != "cpu":
        raise _missing("numpy", name, ("cpu",))
    return "cpu"


def _torch(name: str) -> Any:
    import torch

    try:
        device = torch.device(name.lower())
        # On the meta device there are no values to bring back.
        torch.zeros((), device=device).cpu()
    except (RuntimeError, AssertionError):
        there = ["cpu"]
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        if accelerator is not None:
            there += [f"{accelerator.type}:{number}" for number in range(torch.accelerator.device_count())]
        raise _missing("torch", name, there) from None
    return device


def _jax(name: str) -> Any:
    import jax

    kind, _, number = name.lower().partition(":")
    try:
        device = jax.devices(kind)[int(number or 0)]
    except (RuntimeError, ValueError, IndexError):
        there = dict.fromkeys((*jax.devices("cpu"), *jax.devices()))
        raise _missing("jax", name, [f"{one.platform}:{one.id}" for one in there]) from None
    jax.config.update("jax_default_device", device)  # type: ignore[no-untyped-call]
    return device


def _tensorflow(name: str) -> str:
    import tensorflow as tf

    there = {one.name.removeprefix("/physical_device:"): one for one in tf.config.list_physical_devices()}
    kind, _, number = name.upper().lstrip("/").partition(":")
    kind = {"CUDA": "GPU", "ROCM": "GPU"}.get(kind, kind)
    device = there.get(f"{kind}:{number or 0}")
    if device is None:
        raise _missing("tensorflow", name, tuple(there))
    if tf.config.list_physical_devices("GPU"):
        # It computes on the first one that it sees, and otherwise on the CPU.
        tf.config.set_visible_devices([device] if kind == "GPU" else [], "GPU")
    return f"{kind}:0"


def _mlx(name: str) -> Any:
    import mlx.core as mx

    kind, _, number = name.lower().partition(":")
    kind = {"cuda": "gpu", "metal": "gpu"}.get(kind, kind)
    there = [f"{one}:{n}" for one in ("cpu", "gpu") for n in range(mx.device_count(mx.DeviceType[one]))]
    if f"{kind}:{number or 0}" not in there:
        raise _missing("mlx", name, there)
    device = mx.Device(mx.DeviceType[kind], int(number or 0))
    mx.set_default_device(device)
    return device


_USES: dict[str, Callable[[str], Any]] = {
    "numpy": _numpy,
    "torch": _torch,
    "jax": _jax,
    "tensorflow": _tensorflow,
    "mlx": _mlx,
}
