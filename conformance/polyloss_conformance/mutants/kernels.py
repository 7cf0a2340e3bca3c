"""Wrong kernels."""

from collections.abc import Callable, Sequence
from typing import Any


def with_kernel(loss: Any, kernel: Callable[..., Any]) -> Any:
    kernel.__name__ = loss.__name__
    # A loss pickles, and so copies, as the public one of its name.
    wrong = object.__new__(type(loss))
    wrong.__dict__.update(loss.__dict__, kernel=kernel, origin=wrong)
    wrong._forget()
    return wrong


def kernel(change: Callable[..., Any]) -> Callable[[Any], Any]:
    """A loss whose kernel returns what `change` makes of its namespace and its pair."""

    def alter(loss: Any) -> Any:
        right = loss.kernel

        def kernel(xp: Any, *arrays: Any, **parameters: Any) -> Any:
            return change(xp, *(part for part in right(xp, *arrays, **parameters) if not isinstance(part, dict)))

        return with_kernel(loss, kernel)

    return alter


def each_gradient(change: Callable[[Any, Any], Any], last: bool = False) -> Callable[[Any], Any]:
    def wrong(xp: Any, gradient: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: change(xp, gradient())

    def altered(xp: Any, value: Any, *gradients: Callable[[], Any]) -> Any:
        count = len(gradients)
        return value, *(wrong(xp, g) if not last or i == count - 1 else g for i, g in enumerate(gradients))

    return kernel(altered)


def by_parameter(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A loss whose kernel returns other derivatives by its parameters."""

    def wrong(derivative: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: change(derivative())

    def alter(loss: Any) -> Any:
        right = loss.kernel

        def kernel(xp: Any, *arrays: Any, **parameters: Any) -> Any:
            found = right(xp, *arrays, **parameters)
            return *found[:-1], {name: wrong(derivative) for name, derivative in found[-1].items()}

        return with_kernel(loss, kernel)

    return alter


def constant(xp: Any, array: Any) -> Any:
    import polyloss

    return polyloss.stop_gradient(array)


def swapped(first: int, second: int) -> Callable[[Any], Any]:
    """Two arrays in the wrong order, all the way through."""

    def exchange(items: Sequence[Any]) -> list[Any]:
        found = list(items)
        found[first], found[second] = found[second], found[first]
        return found

    def alter(loss: Any) -> Any:
        right = loss.kernel

        def kernel(xp: Any, *arrays: Any, **parameters: Any) -> Any:
            found = right(xp, *exchange(arrays), **parameters)
            value, *gradients = (part for part in found if not isinstance(part, dict))
            return value, *exchange(gradients)

        return with_kernel(loss, kernel)

    return alter


def naive_cross_entropy(xp: Any, value: Any, *gradients: Any) -> Any:
    # The loss of a confident row, as the difference of two large numbers.
    return (value + 1.0) - 1.0, *gradients


def mean_over_rows(xp: Any, value: Any, *gradients: Any) -> Any:
    return xp.flip(value, axis=0), *gradients
