"""What a notebook shows of a loss, and of the objects that hold one."""

from collections.abc import Mapping
from typing import Any


class Shown:
    """What a notebook shows.

    It is drawn by `polyloss.display`, which is above the core: nobody needs it before there is something to show, and
    only here does the core import what is above it.
    """

    def _shown_as(self) -> tuple[Any, Mapping[str, Any]]:
        """The loss that is shown for this object, and parameters of it: itself, unless it holds another one."""
        return self, {}

    def _repr_html_(self) -> str | None:
        from polyloss.display import notebook

        return notebook.html(self)

    def _repr_latex_(self) -> str | None:
        from polyloss.display import notebook

        return notebook.latex(self)
