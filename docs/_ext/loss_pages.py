"""A page for each loss, from its declaration and its record, and a page that lists them."""

import functools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import curves
import explorer
import rst
from calls import calls
from sphinx.application import Sphinx

import polyloss
from polyloss.core import docstrings, words
from polyloss.core.domains import REAL
from polyloss_benchmarks.report import AGAINST, TITLES
from polyloss_benchmarks.run import GRADIENT
from polyloss_conformance import bugs, deviations, guide, rosetta
from polyloss_conformance.losses import FAMILIES, LOSSES
from polyloss_conformance.spec import Spec

ROOT = Path(__file__).parents[2]


def page(name: str, bench: dict[str, Any], accuracy: dict[str, Any]) -> str:
    """The page of a loss."""
    loss = getattr(polyloss, name)
    text = docstrings.split(loss.__doc__)[""]
    summary, _, rest = text.partition("\n\n")
    parts = [
        rst.title(name),
        ".. py:currentmodule:: polyloss\n",
        summary + "\n",
        rst.prose(rest) + "\n",
        rst.directive("raw", "html", curves.html(name, loss)),
        *_explored(name),
        *_when(name),
        rst.title("The same call everywhere", "-"),
        _tabs(name),
        rst.title("Arguments", "-"),
        rst.directive(
            "py:function",
            f"{name}{rst.signature(loss)}",
            rst.sections(loss.__doc__, "Parameters", "Other Parameters", "Returns", "Raises"),
        ),
        _ranges(loss),
        *_elsewhere(name),
        *_deviations(LOSSES[name]),
        *_accuracy(name, accuracy),
        *_speed(name, bench),
    ]
    others = rst.sections(loss.__doc__, "Notes", "References", "Examples")
    return "\n".join([*parts, rst.title("Notes, paper and examples", "-"), others])


def _explored(name: str) -> Iterator[str]:
    if name in explorer.offered():
        yield f"`Move its parameters in the explorer <{explorer.link(name)}>`__.\n"


def _when(name: str) -> Iterator[str]:
    mine = [advice for advice in guide.GUIDE if advice.loss == name]
    if mine:
        yield rst.title("When to take it", "-")
        rows = [(f"{a.task}: {a.situation}", rst.literal(a.call), rst.plain(a.why)) for a in mine]
        yield rst.table(("for", "call", "why"), rows)
    tasks = dict.fromkeys(advice.task for advice in mine)
    others = [a for a in guide.GUIDE if a.task in tasks and a.loss != name]
    also = rst.sections(getattr(polyloss, name).__doc__, "See Also")
    if others or also:
        yield rst.title("When another one is better", "-")
        rows = [(f"{a.task}: {a.situation}", f":py:func:`{a.loss}`", rst.plain(a.why)) for a in others]
        if rows:
            yield rst.table(("for", "take", "why"), rows)
        yield also


def _tabs(name: str) -> str:
    items = [rst.directive("tab-item", title, rst.code(text), sync=title) for title, text in calls(name).items()]
    return rst.directive("tab-set", "", "\n".join(items))


def _ranges(loss: Any) -> str:
    rows = []
    for argument in (*loss.arrays, *loss.parameters):
        default = "" if argument not in loss.defaults else rst.literal(repr(loss.defaults[argument]))
        said = docstrings.range_of(loss.domains.get(argument, REAL)) or "any"
        rows.append((rst.literal(argument), said, default or "required"))
    made = words.class_name(loss.__name__)
    classes = [f"``polyloss_torch.{made}``", *([f"``polyloss_keras.{made}``"] if len(loss.arrays) == 2 else [])]
    return "\n".join([rst.table(("argument", "range", "default"), rows), f"As a class: {', '.join(classes)}.\n"])


def _elsewhere(name: str) -> Iterator[str]:
    phrases = rosetta.phrases(name)
    if phrases:
        yield rst.title("What it is called elsewhere", "-")
    for phrase in phrases:
        said = [f"In polyloss: {rst.literal(phrase.ours)}"]
        said += [f"As a class: {', '.join(map(rst.literal, phrase.classes))}"] if phrase.classes else []
        said += [f"On any arrays: {rst.literal(phrase.here)}", f"Arguments: {rst.plain(rosetta.arguments(phrase))}"]
        yield f"{rst.literal(phrase.call)}\n\n" + "\n".join(f"- {line}" for line in said) + "\n"


def _deviations(spec: Spec) -> Iterator[str]:
    ids = {twin.id for twin in spec.twins}
    found = [entry for entry in deviations.load() if ids & set(entry.builtin) and entry.loss in (None, spec.loss)]
    if found:
        yield rst.title("Where built-ins differ", "-")
        yield "Each with a line that shows it; :doc:`/bugs` has reports of all.\n"
    for entry in found:
        yield f"{', '.join(rst.literal(one) for one in entry.builtin if one in ids)}: {bugs.KINDS[entry.kind]}\n"
        yield rst.indented("\n".join(rst.shown(entry))) + "\n"


def _accuracy(name: str, data: dict[str, Any]) -> Iterator[str]:
    limits = data["tolerances"]
    for cell in (cell for cell in data["cells"] if cell["loss"] == name):
        yield rst.title("How accurate", "-")
        rows = [
            ("float32, float64", "value", f"{cell['value']:.2f}", f"{limits['value']:g}"),
            ("float32, float64", "gradient", f"{cell['gradient']:.2f}", f"{limits['gradient']:g}"),
            ("float16", "value", f"{cell['half_value']:.2f}", f"{limits['half_ulp']:g}"),
            ("float16", "gradient", f"{cell['half_gradient']:.2f}", f"{limits['half_ulp']:g}"),
        ]
        yield rst.table(("dtype", "of the", "largest error", "promised"), rows)
        yield (
            f"In condition-scaled eps, of halves in units in the last place (:doc:`/docs/numerics`), over "
            f"{cell['passed'] + cell['failed']} checks. Measured on {data['date'][:10]} with NumPy "
            f"{data['versions']['numpy']} by ``polyloss conformance --quick --backend numpy``; the cases are in "
            f"`its report <../conformance.html#{name}>`__.\n"
        )


def _speed(name: str, data: dict[str, Any]) -> Iterator[str]:
    cells = [c for c in data["cells"] if c["row"] == name and c["what"] == GRADIENT and c["ratio"] is not None]
    if cells:
        yield rst.title("How fast", "-")
        rows = [
            (
                TITLES[f"{c['backend']} {c['mode']}"],
                f"{AGAINST.get(c['against'], c['against'])}: {rst.literal(c['builtin'])}",
                f"{c['size']}{', ' + c['dtype'] if c.get('dtype', 'float32') != 'float32' else ''}",
                f"{c['ratio']:.2f}",
                f"{c['quartiles'][0]:.2f} to {c['quartiles'][1]:.2f}",
            )
            for c in cells
        ]
        machine = data["machine"]
        yield (
            "Time of value and gradient, polyloss over the other: below 1, polyloss is faster. "
            f"Measured on {data['date'][:10]} with {machine['processor']}, {machine['cores']} cores; "
            ":doc:`/benchmarks/results/README` says how.\n"
        )
        table = rst.table(("where", "against", "size", "ratio", "quartiles"), rows)
        yield rst.directive("dropdown", _medians(cells), table)


def _medians(cells: list[dict[str, Any]]) -> str:
    """What a long table of ratios says in a line."""
    ratios: dict[str, list[float]] = {}
    for cell in cells:
        ratios.setdefault(TITLES[f"{cell['backend']} {cell['mode']}"], []).append(cell["ratio"])
    said = "; ".join(f"{where} {statistics.median(found):.2f}" for where, found in ratios.items())
    return f"Medians of {len(cells)} ratios: {said}"


_HEAD = """\
Each page is made from what the loss declares, and from its record in the suite. What the suite found on NumPy when the
site was made: `its report <../conformance.html>`__.
"""


def index() -> str:
    """Every loss, by family."""
    parts = [rst.title("Losses"), _HEAD]
    for family in FAMILIES:
        specs = [spec for spec in vars(family).values() if isinstance(spec, Spec)]
        heading = family.__name__.rpartition(".")[2].replace("_", " ")
        parts.append(rst.title(heading[:1].upper() + heading[1:], "-"))
        rows = []
        for name in (spec.loss for spec in specs):
            summary = docstrings.split(getattr(polyloss, name).__doc__)[""].partition("\n\n")[0]
            rows.append((f":doc:`{name}`", summary.replace("\n", " ")))
        parts.append(rst.table(("loss", "what it is"), rows))
    return "\n".join([*parts, rst.directive("toctree", "", "\n".join(LOSSES), hidden="")])


@functools.cache
def run_of_numpy() -> tuple[dict[str, Any], str]:
    """What the suite says of NumPy, now, and its report for a reader: asked once for all editions."""
    run = "from polyloss.__main__ import main; main()"
    with tempfile.TemporaryDirectory() as folder:
        found, report = Path(folder) / "accuracy.json", Path(folder) / "conformance.html"
        options = ["conformance", "--backend", "numpy", "--quick", "--html", str(report), "--json", str(found)]
        subprocess.run([sys.executable, "-c", run, *options], check=True, capture_output=True)
        return json.loads(found.read_text(encoding="utf-8")), report.read_text(encoding="utf-8")


def write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "losses"
    bench = json.loads((ROOT / "benchmarks" / "results" / "bench.json").read_text(encoding="utf-8"))
    accuracy, report = run_of_numpy()
    Path(app.outdir).mkdir(parents=True, exist_ok=True)
    (Path(app.outdir) / "conformance.html").write_text(report, encoding="utf-8")
    for name in LOSSES:
        rst.write(folder / f"{name}.rst", page(name, bench, accuracy))
    rst.write(folder / "index.rst", index())


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
