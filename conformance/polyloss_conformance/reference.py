"""The exact results of cases: a face of `exact`."""

from .exact.arrange import HelperTruth, Truth, helper_truth, truth
from .exact.memory import kept_in, remembered
from .exact.numbers import EPS, mp, to_longdouble
from .exact.reduce import Reduced, reduced

__all__ = [
    "EPS",
    "HelperTruth",
    "Reduced",
    "Truth",
    "helper_truth",
    "kept_in",
    "mp",
    "reduced",
    "remembered",
    "to_longdouble",
    "truth",
]
