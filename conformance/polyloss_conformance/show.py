"""What ``polyloss show`` tells of a loss: formula, signature, curves, gradient, built-ins and where these deviate."""

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

import polyloss

from . import builtins, cases, declared, deviations, frameworks, guide, modules, names, plots, reference, typeset
from .checks import own
from .result import printable

NARROWEST = 20
"""No text is narrower: in a window that is, its lines run over."""
FAILURES = (Exception, SystemExit)
"""Whatever the kernel of a user does, the rest is told."""


def find(given: str) -> tuple[str, polyloss.Loss[Any]]:
    """The loss of a name, as `names.resolve` takes it, or one of a user's, as in ``my_losses:cauchy``.

    Returns
    -------
    tuple of str and Loss
        Where it is, as in ``polyloss.huber``, and the loss.

    Raises
    ------
    ValueError
        Where there is none.
    """
    place, colon, name = given.rpartition(":")
    if colon:
        module = modules.load(place, option="")
        known = modules.public_losses(module)
        if name not in known:
            raise ValueError(f"{place} has no loss called {name}; it has {', '.join(known)}")
        return f"{module.__name__}.{name}", known[name]
    known = modules.public_losses()
    name = names.resolve(given, tuple(known))
    return f"polyloss.{name}", known[name]


def signature(function: Any) -> str:
    """The signature without types, which the docstring says in words."""
    found = inspect.signature(function)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=found.empty))


def tell(console: Console, place: str, loss: polyloss.Loss[Any]) -> None:
    """Print all that is known of a loss."""
    console.width = max(console.width, NARROWEST)
    ascii = not console.encoding.startswith("utf")
    said = typeset.plain if ascii else str
    console.print(f"[bold]{place}[/]{escape(signature(loss))}\n", highlight=False)
    for line in typeset.docstring(printable(inspect.getdoc(loss) or ""), console.width, ascii):
        console.print(Text(line), soft_wrap=True)
    console.print("\n[bold]Curves[/]")
    for line in _curves(loss, console.width, ascii):
        text = Text(line)
        text.highlight_regex("[\u2801-\u28ff]+", "cyan")
        console.print(text)
    console.print("\n[bold]Gradient[/]")
    ours = loss is getattr(polyloss, loss.__name__, None)
    for line in _gradient(loss) if ours else _own_gradient(loss):
        console.print(line, highlight=False, markup=False)
    for heading, lines in _recorded(loss.__name__) if ours else ():
        console.print(f"\n[bold]{heading}[/]")
        for line in lines:
            console.print(said(line), highlight=False, markup=False)


def _curves(loss: polyloss.Loss[Any], width: int, ascii: bool) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return plots.of_loss(loss, width, ascii)
    except FAILURES as error:
        return [_why_not(error)]


def _why_not(error: BaseException) -> str:
    return f"none: {type(error).__name__}: {printable(str(error))}"


def _gradient(loss: polyloss.Loss[Any]) -> Iterator[str]:
    """Where a loss of polyloss has a gradient, and how it is found."""
    entry = cases.LOSSES[loss.__name__]
    yield from _closed(loss, map(entry.name, entry.differentiable))
    kinks = []
    for case in cases.cases_of(loss.__name__, "edge"):
        dtype = case.dtypes[-1]
        if max((getattr(a, "size", 0) for a in case.arrays), default=0) < 100 and any(
            k is not None and k.any() for k in reference.truth(case, dtype).kinks.values()
        ):
            kinks.append(case.name)
    if kinks:
        yield f"It has kinks: the sub-gradient of least norm there, on every backend (cases {', '.join(kinks)})."
    else:
        yield "It is differentiable everywhere it is finite."


def _own_gradient(loss: polyloss.Loss[Any]) -> Iterator[str]:
    """The same of a user's loss, of which no more is known than what it returns."""
    if loss.autodiff is True:
        yield "By the framework's automatic differentiation."
        return
    try:
        arrays = declared.generated(loss)
        loss(*arrays)
        found = own.differentiable(loss, frameworks.framework("numpy"), frameworks.placed(arrays, {}), {})
    except FAILURES as error:
        yield _why_not(error)
        return
    yield from _closed(loss, (loss.arrays[place] for place in found if isinstance(place, int)))


def _closed(loss: polyloss.Loss[Any], where: Iterator[str]) -> Iterator[str]:
    by = ", ".join(where)
    yield f"In closed form, with respect to {by} (class ids have none), each computed when it is asked for."
    if isinstance(loss.autodiff, str):
        yield f"With {loss.autodiff}=... by the framework's automatic differentiation."


def _recorded(loss: str) -> Iterator[tuple[str, list[str]]]:
    """What the records have of a loss of polyloss: headings, and the lines below each."""
    advice = [f"{entry.task}: {entry.situation}: {entry.why}" for entry in guide.GUIDE if entry.loss == loss]
    if advice:
        yield "Use it for", advice
    twins = builtins.twins_of(loss)
    names_of = [f"{twin.id} = polyloss.compat.{twin.family}.{twin.name}" for twin in twins]
    yield "Built-ins that compute it (each with its twin in polyloss.compat)", names_of or ["none"]
    ids = {twin.id for twin in twins}
    lines: list[str] = []
    for entry in deviations.load():
        if ids & set(entry.builtin) and entry.loss in (None, loss):
            lines.append(f"{', '.join(sorted(ids & set(entry.builtin)))} [{entry.kind}]: {entry.reason}")
            lines += [f"    {entry.input}"] if entry.input else []
    if lines:
        yield "Where they deviate", lines
