"""optax: nothing reduced."""

from . import Array, Call, Said


def plain(call: Call, *names: str, factor: float = 1.0) -> Said | None:
    """The arrays in the order of polyloss."""
    if not call.has(*names):
        return None
    return Said(call.arrays, call.parameters, (lambda value: value) if factor == 1 else lambda value: value * factor)


def row_mask(call: Call) -> dict[str, Array]:
    where = call.options.get("where")
    if where is None:
        return {}
    ndim = call.arrays[0].ndim - 1
    return {"where": call.xp.broadcast_to(where[(..., *(None,) * (ndim - where.ndim))], call.rows)}
