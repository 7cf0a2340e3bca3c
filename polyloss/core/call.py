"""A call whose arguments are bound: its plan, and its arrays."""

from collections.abc import Sequence
from typing import NamedTuple

from .backend import Backend, Named
from .plan import Plan
from .typing import Array


class BoundCall(NamedTuple):
    """What an adapter evaluates."""

    plan: Plan
    backend: Backend
    arrays: tuple[Array, ...]
    """The arrays of the loss, and then those among the keywords, as the plan names them."""

    @property
    def named(self) -> Named:
        """The arrays by their names."""
        return self.plan.named(self.arrays)

    def check_values(self) -> None:
        """Raise for values outside their domains, where these can be looked at now."""
        if self.plan.readable:
            self.plan.check_values(self.named)

    def value_and_gradients(self, argnums: Sequence[int | str]) -> tuple[Array, tuple[Array, ...]]:
        """The value and its gradients in closed form, computed on whole arrays."""
        self.check_values()
        return self.plan.value_and_gradients(self.arrays, argnums)
