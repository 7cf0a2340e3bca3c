"""Seeded mistakes, each of which the suite must catch: otherwise its success means nothing.

A mutant wraps a loss, or replaces a function of the core while it runs; no file is changed.
"""

from .mutant import Mutant, caught
from .table import MUTANTS

__all__ = ["MUTANTS", "Mutant", "caught"]
