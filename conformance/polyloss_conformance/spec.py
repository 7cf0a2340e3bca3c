"""The record of a loss: all that the suite, the guide and the benchmarks have to know about it.

A record is written once, in the file of `losses` that is the mirror image of the one where the loss is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .arrays import Floats, Shape
from .benchmark import Benchmark
from .case import Case, Cases, Entry
from .everywhere import everywhere
from .exact.rules import Batch, Rule
from .translations import Twin


@dataclass(frozen=True)
class Laws:
    """What holds of a loss for every admissible input.

    Parameters
    ----------
    nonnegative : bool
        It is never below zero.
    symmetric : bool
        Its first two arrays may be exchanged.
    """

    nonnegative: bool = True
    symmetric: bool = False


@dataclass(frozen=True)
class Perfect:
    """A prediction that equals its target.

    Parameters
    ----------
    arrays : tuple
        The arguments.
    values : array
        The known loss of each example.
    stationary : bool
        Whether no change of the prediction makes the loss smaller, so that its gradient is 0.
    parameters : mapping
        Keywords of the loss.
    """

    arrays: tuple[Any, ...]
    values: Floats
    stationary: bool = True
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Advice:
    """When to take a loss: one situation.

    Parameters
    ----------
    task, situation : str
        What is predicted, and what is special about it.
    call : str
        How the loss is called there.
    why : str
        In one sentence.
    """

    task: str
    situation: str
    call: str
    why: str

    @property
    def loss(self) -> str:
        """A public loss of polyloss."""
        return self.call.partition("(")[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Spec(Entry):
    """What there is to know about a loss.

    Parameters
    ----------
    loss : str
        Its public name.
    ordinary : callable
        Makes ordinary arrays, from a name to draw by and the shape of the per-example losses. Row-wise losses get five
        classes or features.
    exact : callable
        The exact rule: of an element, a row, or a batch (see `exact.rules`).
    of_value : mapping
        The parameters with which the gradient is that of the value. Without them, something in it counts as a constant,
        which difference quotients do not know.
    settle : callable, optional
        Makes the parameters of the exact rule from those of the call and the examples that count, where a parameter
        depends on all of these.
    questions : tuple of callable
        Write the cases of this loss, beside those that every loss has.
    ideal : callable
        Perfect predictions, from a name to draw by.
    laws : Laws
    twins : tuple of Twin
        The built-ins that compute it.
    advice : tuple of Advice
    benchmark : Benchmark
        How it is measured.
    """

    loss: str
    ordinary: Callable[[str, Shape], tuple[Any, ...]]
    exact: Rule | Batch
    of_value: Mapping[str, Any] = field(default_factory=dict)
    settle: Callable[[dict[str, Any], list[list[Any]]], dict[str, Any]] | None = None
    questions: tuple[Callable[[Cases], None], ...] = ()
    ideal: Callable[[str], list[Perfect]]
    laws: Laws = Laws()
    twins: tuple[Twin, ...] = ()
    advice: tuple[Advice, ...] = ()
    benchmark: Benchmark = field(default_factory=Benchmark)

    def __post_init__(self) -> None:
        object.__setattr__(self, "twins", tuple(replace(twin, loss=self.loss) for twin in self.twins))
        object.__setattr__(self, "batch", isinstance(self.exact, Batch))

    def ordinary_of(self, shape: Shape) -> tuple[Any, ...]:
        """Ordinary arrays for per-example losses of a shape, the same in every run."""
        return self.ordinary(f"{self.loss}{shape}", shape)

    @cached_property
    def cases(self) -> list[Case]:
        """All cases: what every loss is asked, and what this one is."""
        written = Cases(self.loss, self.ordinary_of)
        everywhere(written, self)
        for question in self.questions:
            question(written)
        return list(written.written.values())

    def cases_of(self, kind: str | None = None) -> list[Case]:
        """The cases, all of them or those of one kind."""
        return [case for case in self.cases if kind in (None, case.kind)]

    @cached_property
    def perfect(self) -> list[Perfect]:
        """Perfect predictions."""
        return self.ideal(self.loss)
