"""`polyloss.compile` for MLX: `mx.compile` of arrays, where anything else is constant."""

import functools
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from polyloss.core.transforms import of_arrays


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` behind `mx.compile`, which takes no functions among its arguments."""

    @functools.lru_cache
    def of(names: tuple[Any, ...], constants: tuple[tuple[Any, type, Any], ...]) -> Callable[..., Any]:
        made: Callable[..., Any] = mx.compile(of_arrays(function, names, {key: value for key, _, value in constants}))
        return made

    def run(*arguments: Any, **keywords: Any) -> Any:
        named: dict[Any, Any] = dict(enumerate(arguments)) | keywords
        traced = {key: value for key, value in named.items() if isinstance(value, (mx.array, list, dict))}
        constants = tuple((key, type(value), value) for key, value in named.items() if key not in traced)
        return of(tuple(named), constants)([*traced.values()])

    return run


__all__ = ["compiled"]
