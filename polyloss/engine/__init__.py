"""Calls on arrays in memory, in blocks that stay in the cache. Adapters alone know it."""

from .blocks import InMemory, is_traced

__all__ = ["InMemory", "is_traced"]
