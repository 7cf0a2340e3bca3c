"""What the suite does with a framework: make arrays, run a loss, differentiate it by the framework's own means.

Nothing here asks polyloss which framework is which: the suite has its own opinion to compare with.
"""

import functools
import importlib.metadata
import importlib.util
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from .cases import DTYPES, Place, has_bfloat16, numpy_dtype

Array = Any


class Outcome(NamedTuple):
    """A value and one gradient for each array that was asked for; None where the framework cannot differentiate."""

    value: Array
    gradients: tuple[Array, ...] | None


EAGER = ("eager", "small blocks", "whole arrays")
"""Without a compiler: as users have it, in blocks of a few elements and by several threads, and without blocks."""


@contextmanager
def engine(mode: str) -> Iterator[None]:
    """A context in which calls are made as `mode` wants it.

    Chunks of logits are small in all modes but the one that users have: there would hardly be several.
    """
    from polyloss.core import chunked
    from polyloss.engine import blocks as _blocks
    from polyloss.engine import program as _program

    small = {(_program, "BLOCK"): 4} if mode == "small blocks" else {}
    if mode != "eager":
        # Two to four rows, each a block of its own.
        small |= {(chunked, "CHUNK"): 12, (chunked, "BLOCK"): 4}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(_blocks, "enabled", mode != "whole arrays"))
        for (module, name), size in small.items():
            stack.enter_context(mock.patch.object(module, name, size))
        yield


Step = Callable[[Sequence[Array], Mapping[str, Array], Array], Outcome]
"""Takes the arrays, the keywords that are arrays, and the cotangent."""


def placed(arrays: Sequence[Array], options: Mapping[str, Array]) -> dict[Place, Array]:
    """The arrays of a call by their places."""
    return dict(enumerate(arrays)) | dict(options)


def called(loss: Any, static: Mapping[str, Any], given: Mapping[Place, Array]) -> Array:
    """The loss of arrays at their places."""
    arrays = [array for place, array in given.items() if isinstance(place, int)]
    return loss(*arrays, **static, **{place: array for place, array in given.items() if isinstance(place, str)})


class Framework(ABC):
    """One framework, as the suite sees it.

    Attributes
    ----------
    name : str
        As in `polyloss.Backend.name`.
    package : str
        The distribution whose version the report names.
    modes : tuple of str
        Some of `EAGER` first, then the compilers.
    dtypes : tuple of str
        The floating dtypes that it has.
    flushes : bool
        Whether it takes subnormal numbers for zero somewhere.
    slow_eager : bool
        Whether even an eager call is compiled, so that many small cases are better run as one.
    device : str
        Where its arrays are made. See `use`.
    """

    name: str
    package: str
    modes: tuple[str, ...] = EAGER
    dtypes: tuple[str, ...] = DTYPES if has_bfloat16 else tuple(d for d in DTYPES if d != "bfloat16")
    flushes = False
    slow_eager = False
    device = "cpu"
    has_devices = False
    """Whether it can be told another device."""
    dynamic = False
    """Whether a compiled function takes batches of any size without being compiled again."""
    differentiates = True
    """Whether it has automatic differentiation."""
    welcomes_numpy = True
    """Whether its own functions take NumPy arrays beside its own."""

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.package)

    def use(self, device: str) -> None:
        """Make all arrays on `device` from now on. ValueError where there is no such device here."""
        if device != "cpu":
            raise ValueError(f"{self.name} has no device but cpu here, got {device}")

    @property
    def shows_values(self) -> bool:
        """Whether the values of its arrays can be looked at: those on an accelerator would be waited for."""
        return self.device.partition(":")[0] == "cpu"

    @abstractmethod
    def array(self, value: NDArray[Any]) -> Array:
        """A NumPy array of any dtype, bfloat16 included, as an array of the framework."""

    @abstractmethod
    def numpy(self, array: Array) -> NDArray[Any]:
        """The same numbers in NumPy, exactly."""

    @abstractmethod
    def is_array(self, value: Any) -> bool:
        """Whether `value` is an array of the framework."""

    def forget(self) -> None:  # noqa: B027
        """Free what was compiled, if anything is kept."""

    def dtype(self, array: Array) -> str:
        return str(array.dtype)

    def convert(self, value: Any) -> Any:
        """`value` as an array of the framework where it is one of NumPy."""
        return self.array(value) if isinstance(value, np.ndarray) else value

    def autocast(self, dtype: str) -> AbstractContextManager[Any] | None:
        """A context in which the framework chooses a dtype for each operation. None where there is no such thing."""
        return None

    @abstractmethod
    def step(
        self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place], mode: str, batched: Collection[Place] = ()
    ) -> Step:
        """A function that evaluates `loss` and its gradients with respect to the arrays at the positions `wanted`.

        Parameters
        ----------
        mode : str
            One of `modes`. What is eager is made the same way: it differs in the `engine` that it is called with.
        batched : collection of int or str
            The arrays whose first axis, where they have one, is a batch that may change between calls.
        """

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:
        """Trace `loss` without running it, so that nothing of its values is known. False where there is no tracing."""
        return False

    def hessian_product(
        self,
        loss: Any,
        static: Mapping[str, Any],
        arrays: Sequence[Array],
        wanted: Sequence[Place],
        cotangent: Array,
        directions: Sequence[Array],
        options: Mapping[str, Array] | None = None,
    ) -> tuple[Array, ...]:
        """The derivative, along `directions`, of the gradients with respect to the arrays at `wanted`."""
        raise NotImplementedError


class NumpyFramework(Framework):
    name = "numpy"
    package = "numpy"
    dtypes = tuple(d for d in DTYPES if d != "bfloat16")
    differentiates = False

    def array(self, value: NDArray[Any]) -> Array:
        value = value.copy()
        value.flags.writeable = False
        return value

    def numpy(self, array: Array) -> NDArray[Any]:
        return np.asarray(array)

    def is_array(self, value: Any) -> bool:
        return isinstance(value, np.ndarray | np.generic)

    def step(
        self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place], mode: str, batched: Collection[Place] = ()
    ) -> Step:
        import polyloss

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            value = loss(*arrays, **static, **options)
            if not wanted:
                return Outcome(value, ())
            keywords = {**static, **options}
            if keywords.get("reduction", "mean") == "none":
                # There is no upstream gradient to give; a weight in a sum is the same product.
                weight = keywords.get("sample_weight")
                if weight is not None:
                    cotangent = weight[(..., *(None,) * (cotangent.ndim - weight.ndim))] * cotangent
                keywords |= {"reduction": "sum", "sample_weight": np.asarray(cotangent)}
            try:
                _, gradients = polyloss.value_and_grad(loss, tuple(wanted))(*arrays, **keywords)
            except TypeError as error:
                if "no closed-form gradient" in str(error):
                    return Outcome(value, None)
                raise
            return Outcome(value, tuple(gradients))

        return run


class TorchFramework(Framework):
    name = "torch"
    package = "torch"
    modes = (*EAGER, "aot_eager", "compile")
    dynamic = True
    welcomes_numpy = False
    has_devices = True

    def use(self, device: str) -> None:
        import torch

        try:
            # On the meta device there are no values to bring back.
            torch.zeros((), device=device).cpu()
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"torch has no device {device} here: {str(error).partition(chr(10))[0]}") from None
        self.device = device
        # Code that is compiled for CUDA takes subnormal numbers for zero.
        self.flushes = not self.shows_values

    def array(self, value: NDArray[Any]) -> Array:
        import torch

        if has_bfloat16 and value.dtype == numpy_dtype("bfloat16"):
            return torch.tensor(value.astype(np.float32), device=self.device).to(torch.bfloat16)
        return torch.tensor(value, device=self.device)

    def numpy(self, array: Array) -> NDArray[Any]:
        import torch

        array = array.detach()
        found: NDArray[Any] = (array.float() if array.dtype == torch.bfloat16 else array).cpu().numpy()
        return found

    def is_array(self, value: Any) -> bool:
        import torch

        return isinstance(value, torch.Tensor)

    def dtype(self, array: Array) -> str:
        return str(array.dtype).removeprefix("torch.")

    def autocast(self, dtype: str) -> AbstractContextManager[Any] | None:
        import torch

        return torch.autocast(torch.device(self.device).type, dtype=getattr(torch, dtype))

    def step(
        self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place], mode: str, batched: Collection[Place] = ()
    ) -> Step:
        import torch

        function = loss
        if mode not in EAGER:
            torch._dynamo.reset()
            function = torch.compile(loss, fullgraph=True, backend="inductor" if mode == "compile" else mode)

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            given = _variables(placed(arrays, options), wanted)
            for place in batched:
                array = given[place]
                if array.ndim and array.shape[0] > 1:
                    torch._dynamo.mark_dynamic(array, 0)
                if array.ndim > 1:
                    torch._dynamo.maybe_mark_dynamic(array, 1)
            value = called(function, static, given)
            gradients = torch.autograd.grad(value, [given[place] for place in wanted], cotangent)
            return Outcome(value.detach(), gradients)

        return run

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:

        names = tuple(options)

        def function(*inputs: Any) -> Any:
            return loss(*inputs[: len(arrays)], **static, **dict(zip(names, inputs[len(arrays) :], strict=True)))

        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode(allow_non_fake_inputs=False) as mode:
            function(*(mode.from_tensor(a) if self.is_array(a) else a for a in (*arrays, *options.values())))
        return True

    def hessian_product(
        self,
        loss: Any,
        static: Mapping[str, Any],
        arrays: Sequence[Array],
        wanted: Sequence[Place],
        cotangent: Array,
        directions: Sequence[Array],
        options: Mapping[str, Array] | None = None,
    ) -> tuple[Array, ...]:
        import torch

        given = _variables(placed(arrays, options or {}), wanted)
        inputs = [given[place] for place in wanted]
        gradients = torch.autograd.grad(called(loss, static, given), inputs, cotangent, create_graph=True)
        along = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
        if not along.requires_grad:
            return tuple(torch.zeros_like(a) for a in inputs)
        return torch.autograd.grad(along, inputs, materialize_grads=True)


def _variables(given: Mapping[Place, Array], wanted: Sequence[Place]) -> dict[Place, Array]:
    return {p: array.detach().clone().requires_grad_() if p in wanted else array for p, array in given.items()}


class JaxFramework(Framework):
    name = "jax"
    package = "jax"
    modes = ("eager", "jit")
    flushes = True
    slow_eager = True
    has_devices = True

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

    def use(self, device: str) -> None:
        import jax

        try:
            first = jax.devices(device)[0]
        except RuntimeError as error:
            raise ValueError(f"jax has no device {device} here: {str(error).partition(chr(10))[0]}") from None
        jax.config.update("jax_default_device", first)  # type: ignore[no-untyped-call]
        self.device = device

    def forget(self) -> None:
        import jax

        jax.clear_caches()  # type: ignore[no-untyped-call]

    def array(self, value: NDArray[Any]) -> Array:
        import jax.numpy as jnp

        return jnp.asarray(value)

    def numpy(self, array: Array) -> NDArray[Any]:
        return np.asarray(array)

    def is_array(self, value: Any) -> bool:
        import jax

        return isinstance(value, jax.Array)

    def step(
        self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place], mode: str, batched: Collection[Place] = ()
    ) -> Step:
        import jax

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            given = placed(arrays, options)

            def function(*chosen: Array) -> Array:
                return called(loss, static, given | dict(zip(wanted, chosen, strict=True)))

            value, pull = jax.vjp(function, *(given[place] for place in wanted))
            return Outcome(value, pull(cotangent))

        return jax.jit(run) if mode == "jit" else run

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:
        import jax

        places = [i for i, a in enumerate(arrays) if self.is_array(a)]
        names = [k for k, o in options.items() if self.is_array(o)]

        def function(chosen: Sequence[Array], named: Sequence[Array]) -> Any:
            inputs = list(arrays)
            for i, array in zip(places, chosen, strict=True):
                inputs[i] = array
            return loss(*inputs, **static, **{**options, **dict(zip(names, named, strict=True))})

        jax.eval_shape(function, [arrays[i] for i in places], [options[k] for k in names])
        return True

    def hessian_product(
        self,
        loss: Any,
        static: Mapping[str, Any],
        arrays: Sequence[Array],
        wanted: Sequence[Place],
        cotangent: Array,
        directions: Sequence[Array],
        options: Mapping[str, Array] | None = None,
    ) -> tuple[Array, ...]:
        import jax

        given = placed(arrays, options or {})

        def gradients(*chosen: Array) -> Any:
            def function(*inner: Array) -> Array:
                return called(loss, static, given | dict(zip(wanted, inner, strict=True)))

            return jax.vjp(function, *chosen)[1](cotangent)

        found: tuple[Array, ...] = jax.jit(lambda p, d: jax.jvp(gradients, p, d)[1])(
            tuple(given[place] for place in wanted), tuple(directions)
        )
        return found


class TensorflowFramework(Framework):
    name = "tensorflow"
    package = "tensorflow"
    modes = (*EAGER, "function", "xla")
    flushes = True
    dynamic = True

    def __init__(self) -> None:
        import tensorflow as tf

        # Many small functions are meant to be traced here, and it would warn of each.
        tf.get_logger().setLevel("ERROR")

    @property
    def version(self) -> str:
        import tensorflow as tf

        return str(tf.__version__)

    def array(self, value: NDArray[Any]) -> Array:
        import tensorflow as tf

        if has_bfloat16 and value.dtype == numpy_dtype("bfloat16"):
            return tf.cast(tf.constant(value.astype(np.float32)), tf.bfloat16)
        return tf.constant(value)

    def numpy(self, array: Array) -> NDArray[Any]:
        return np.asarray(array.numpy())

    def is_array(self, value: Any) -> bool:
        import tensorflow as tf

        return isinstance(value, tf.Tensor)

    def dtype(self, array: Array) -> str:
        return str(array.dtype.name)

    def step(
        self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place], mode: str, batched: Collection[Place] = ()
    ) -> Step:
        import tensorflow as tf

        def run(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Any:
            given = placed(arrays, options)
            chosen = [given[place] for place in wanted]
            with tf.GradientTape() as tape:
                tape.watch(chosen)
                value = called(loss, static, given)
            return value, tape.gradient(value, chosen, output_gradients=cotangent)

        if mode in EAGER:
            return lambda arrays, options, cotangent: Outcome(*_tuple(run(arrays, options, cotangent)))

        compiled: list[Any] = []

        def call(arrays: Sequence[Array], options: Mapping[str, Array], cotangent: Array) -> Outcome:
            if not compiled:

                def spec(array: Array, place: int | None = None) -> Any:
                    # Arrays that all examples share keep their shapes. Keywords may be longer in the next call.
                    known = not batched or (place is not None and place not in batched)
                    return tf.TensorSpec(array.shape if known else [None] * array.shape.rank, array.dtype)

                signature = [
                    [spec(array, place) for place, array in enumerate(arrays)],
                    {key: spec(option) for key, option in options.items()},
                    spec(cotangent),
                ]
                compiled.append(tf.function(run, input_signature=signature, jit_compile=mode == "xla"))
            return Outcome(*_tuple(compiled[0](list(arrays), dict(options), cotangent)))

        return call

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:
        import tensorflow as tf

        def function(inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
            return loss(*inputs, **static, **keywords)

        def spec(a: Any) -> Any:
            return tf.TensorSpec(a.shape, a.dtype) if self.is_array(a) else a

        tf.function(function, autograph=False).get_concrete_function(
            [spec(a) for a in arrays], {k: spec(o) for k, o in options.items()}
        )
        return True

    def hessian_product(
        self,
        loss: Any,
        static: Mapping[str, Any],
        arrays: Sequence[Array],
        wanted: Sequence[Place],
        cotangent: Array,
        directions: Sequence[Array],
        options: Mapping[str, Array] | None = None,
    ) -> tuple[Array, ...]:
        import tensorflow as tf

        given = placed(arrays, options or {})
        chosen = [given[place] for place in wanted]
        with tf.GradientTape() as outer:
            outer.watch(chosen)
            with tf.GradientTape() as inner:
                inner.watch(chosen)
                value = called(loss, static, given)
            gradients = inner.gradient(value, chosen, output_gradients=cotangent)
        return tuple(outer.gradient(gradients, chosen, output_gradients=list(directions), unconnected_gradients="zero"))


def _tuple(outcome: tuple[Array, Sequence[Array]]) -> tuple[Array, tuple[Array, ...]]:
    return outcome[0], tuple(outcome[1])


KNOWN: dict[str, type[Framework]] = {
    "numpy": NumpyFramework,
    "torch": TorchFramework,
    "jax": JaxFramework,
    "tensorflow": TensorflowFramework,
}


def installed() -> tuple[str, ...]:
    """The names of the frameworks that can be imported here."""
    return tuple(name for name in KNOWN if importlib.util.find_spec(name) is not None)


def dtypes(name: str) -> tuple[str, ...]:
    """The floating dtypes of a framework. Does not import it."""
    return KNOWN[name].dtypes


@functools.lru_cache
def framework(name: str) -> Framework:
    """The framework of a name in `KNOWN`. Imports it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return KNOWN[name]()
