"""The classes of `polyloss.compat.keras`: those of `keras.losses`, which compute what the functions there do."""

import inspect
from typing import Any

import keras

from polyloss.compat._classes import OfClass, Recipe
from polyloss.compat.keras._common import same_rank

from ._private import set_keras_mask


def twin_class(recipe: Recipe) -> type[keras.losses.Loss]:
    """A class that is made, weighted, masked, reduced, saved and loaded as Keras's own, and is one of those."""
    own: type[keras.losses.Loss] = getattr(keras.losses, recipe.name)
    signature = inspect.signature(own)

    def construct(self: Any, *arguments: Any, **keywords: Any) -> None:
        own.__init__(self, *arguments, **keywords)
        given = signature.bind(*arguments, **keywords)
        given.apply_defaults()
        for name in recipe.options:
            setattr(self, name, given.arguments[name])

    def options(self: Any) -> dict[str, Any]:
        return {name: getattr(self, name) for name in recipe.options}

    def call(self: Any, y_true: Any, y_pred: Any) -> Any:
        # Of lists, Keras has converted the numbers in them alone.
        y_true, y_pred = same_rank(*(keras.ops.convert_to_tensor(y, dtype=self.dtype) for y in (y_true, y_pred)))
        losses = recipe.function(y_true, y_pred, **options(self))
        counted = recipe.counted and recipe.counted(y_true, losses, **options(self))
        if counted is not None:
            set_keras_mask(losses, counted)
        return losses

    def get_config(self: Any) -> dict[str, Any]:
        config: dict[str, Any] = keras.losses.Loss.get_config(self)
        return config | options(self)

    def represent(self: Any) -> str:
        return f"{recipe.name}({', '.join(f'{name}={value!r}' for name, value in get_config(self).items())})"

    attributes = recipe.attributes() | {"__signature__": OfClass(signature)}
    attributes |= {"__init__": construct, "call": call, "get_config": get_config, "__repr__": represent}
    made: type[keras.losses.Loss] = type(recipe.name, (own,), attributes)
    keras.saving.register_keras_serializable("polyloss.compat")(made)
    return made
