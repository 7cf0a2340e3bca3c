"""What the suite asks of a framework, whichever it is."""

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance import devices
from polyloss_conformance.cases import DTYPES, Place, has_bfloat16

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

    Chunks of logits are small in small blocks and behind compilers: there would hardly be several.
    """
    from polyloss.core import chunked
    from polyloss.engine import blocks as _blocks
    from polyloss.engine import dialect as _dialect

    small = {(_dialect, "BLOCK"): 4} if mode == "small blocks" else {}
    if mode not in ("eager", "whole arrays"):
        # Two to four rows, each a block of its own.
        small |= {(chunked, "CHUNK"): 12, (chunked, "BLOCK"): 4}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(_blocks, "enabled", mode != "whole arrays"))
        for (module, name), size in small.items():
            stack.enter_context(mock.patch.object(module, name, size))
        yield


QUICK_XLA: Mapping[str, Any] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Compiled in a quarter to a half of the time, to slow code. tox.ini has the same."""

Step = Callable[[Sequence[Array], Mapping[str, Array], Array], Outcome]
"""Takes the arrays, the keywords that are arrays, and the cotangent."""

Curvature = Callable[[Sequence[Array], Mapping[str, Array], Array, Sequence[Array]], tuple[Array, ...]]
"""Takes the same and the directions, one for each gradient."""


def placed(arrays: Sequence[Array], options: Mapping[str, Array]) -> dict[Place, Array]:
    """The arrays of a call by their places."""
    return dict(enumerate(arrays)) | dict(options)


def called(loss: Any, static: Mapping[str, Any], given: Mapping[Place, Array]) -> Array:
    """The loss of arrays at their places."""
    arrays = [array for place, array in given.items() if isinstance(place, int)]
    return loss(*arrays, **static, **{place: array for place, array in given.items() if isinstance(place, str)})


def of_chosen(
    loss: Any, static: Mapping[str, Any], given: dict[Place, Array], wanted: Sequence[Place]
) -> Callable[..., Array]:
    """The loss as a function of the arrays at some places."""

    def function(*chosen: Array) -> Array:
        return called(loss, static, given | dict(zip(wanted, chosen, strict=True)))

    return function


class Framework(ABC):
    """One framework, as the suite sees it.

    Attributes
    ----------
    name : str
        As in `polyloss.Backend.name`.
    package : str
        The distribution whose version the report names.
    written : str
        How users write an array, of its numbers and its dtype.
    modes : tuple of str
        Some of `EAGER` first, then the compilers.
    dtypes : tuple of str
        The floating dtypes that it has.
    flushes : bool
        Whether it takes subnormal numbers for zero somewhere.
    slow_eager : bool
        Whether even an eager call is compiled, so that many small calls are better made as one: see `together`.
    device : str
        Where its arrays are made. See `use`.
    """

    name: str
    package: str
    written: str
    modes: tuple[str, ...] = EAGER
    dtypes: tuple[str, ...] = DTYPES if has_bfloat16 else tuple(d for d in DTYPES if d != "bfloat16")
    flushes = False
    slow_eager = False
    device = "cpu"
    dynamic: tuple[str, ...] = ()
    """The modes in which a compiled function takes batches of any size without being compiled again."""
    differentiates = True
    """Whether it has automatic differentiation."""
    welcomes_numpy = True
    """Whether its own functions take NumPy arrays beside its own."""

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.package)

    def use(self, device: str) -> None:
        """Make all arrays on `device` from now on. ValueError where there is no such device here."""
        devices.use(self.name, device)
        self.device = device.lower()

    @property
    def shows_values(self) -> bool:
        """Whether the values of its arrays can be looked at: those on an accelerator would be waited for."""
        return self.device.partition(":")[0] == "cpu"

    def literal(self, numbers: str, dtype: str) -> str:
        """An array as users write it."""
        return self.written.format(numbers, dtype)

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

    def hurry(self) -> None:  # noqa: B027
        """Have no code optimised that `unoptimised` is said of, in this whole process, where a call cannot be told."""

    def unoptimised(self) -> AbstractContextManager[Any]:
        """A context in which what is compiled is not optimised. `step` asks for it by its argument."""
        return nullcontext()

    def each(
        self, functions: Sequence[Callable[..., Any]], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any | Exception]:
        """What each of many functions makes of its arguments, or what it raises: none of them stops the others.

        They take and give arrays, in any structure.
        """
        found: list[Any | Exception] = []
        for function, given in zip(functions, arguments, strict=True):
            try:
                found.append(function(*given))
            except Exception as error:
                found.append(error)
        return found

    def together(
        self, functions: Sequence[Callable[..., Any]], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any | Exception]:
        """`each`, compiled as one piece that is not optimised, where even eager calls are compiled (`slow_eager`).

        There, no function sees the values of its arrays.
        """
        return self.each(functions, arguments)

    @abstractmethod
    def step(
        self,
        loss: Any,
        static: Mapping[str, Any],
        wanted: Sequence[Place],
        mode: str,
        batched: Collection[Place] = (),
        unoptimised: bool = False,
    ) -> Step:
        """A function that evaluates `loss` and its gradients with respect to the arrays at the positions `wanted`.

        Parameters
        ----------
        mode : str
            One of `modes`. What is eager is made the same way: it differs in the `engine` that it is called with.
        batched : collection of int or str
            The arrays whose first axis, where they have one, is a batch that may change between calls.
        unoptimised : bool
            What is computed is in question, and not the code that a compiler makes of it: that may be slow, if it is
            made quickly.
        """

    def traced(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> bool:
        """Trace `loss` without running it, so that nothing of its values is known. False where there is no tracing."""
        return False

    def of_arrays(
        self, loss: Any, static: Mapping[str, Any], arrays: Sequence[Array], options: Mapping[str, Array]
    ) -> tuple[Callable[..., Any], list[Array]]:
        """The loss as a function of what is an array among its arguments, and these."""
        given = placed(arrays, options)
        wanted = [place for place, array in given.items() if self.is_array(array)]
        return of_chosen(loss, static, given, wanted), [given[place] for place in wanted]

    def curvature(self, loss: Any, static: Mapping[str, Any], wanted: Sequence[Place]) -> Curvature:
        """A function that gives the derivative, along directions, of the gradients by the arrays at `wanted`."""
        raise NotImplementedError

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
        """One call of `curvature`."""
        given = (arrays, options or {}, cotangent, directions)
        [found] = self.together([self.curvature(loss, static, wanted)], [given])
        if isinstance(found, Exception):
            raise found
        product: tuple[Array, ...] = found
        return product
