"""The classes of `polyloss.compat.torch`: those of `torch.nn`, which compute what the functions there do."""

import inspect
import warnings
from typing import Any

import torch

from polyloss.compat._classes import Recipe

from ._common import with_code_of_its_own


def twin_class(recipe: Recipe) -> type[torch.nn.Module]:
    """A class that is made, moved, saved and loaded as PyTorch's own, and is one of those."""
    own: type[torch.nn.Module] = getattr(torch.nn, recipe.name)
    function, options, signature = recipe.function, recipe.options, recipe.signature
    names = list(inspect.signature(own.forward).parameters)[1:]

    def construct(self: torch.nn.Module, *arguments: Any, **keywords: Any) -> None:
        own.__init__(self, *arguments, **keywords)
        given = signature.bind(*arguments, **keywords).arguments
        for name in options:
            # What was given counts, and not what PyTorch made of it: a distance of its own where there was none. But a
            # reduction may come of older parameters, and tensors are buffers now.
            if not isinstance(getattr(self, name), str | torch.Tensor | None):
                setattr(self, name, given.get(name, signature.parameters[name].default))

    def forward(self: torch.nn.Module, *arrays: Any, **named: Any) -> Any:
        # Some are called otherwise than those of the function.
        given = [named.pop(name) for name in names[len(arrays) :] if name in named]
        return function(*arrays, *given, **named, **{name: getattr(self, name) for name in options})

    attributes = {"__init__": construct, "forward": with_code_of_its_own(forward)}
    with warnings.catch_warnings():
        # Some are deprecated, which is for those to hear who ask PyTorch for them.
        warnings.simplefilter("ignore", FutureWarning)
        return type(recipe.name, (own,), recipe.attributes() | attributes)
