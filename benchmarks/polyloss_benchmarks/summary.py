"""The results of a run in a few lines, for the documents: ``python -m polyloss_benchmarks.summary bench.json``."""

import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .report import AGAINST, TITLES
from .rows import HALVES
from .run import GRADIENT


def markdown(data: dict[str, Any]) -> str:
    """A table of the ratios of value and gradient in a JSON report, and what they were measured on."""
    cells = [cell for cell in data["cells"] if cell["what"] == GRADIENT and cell["ratio"] is not None]
    lines = [
        "| where | against | ratio: median | from | to | worst loss, its median | targets met |",
        "|---|---|---|---|---|---|---|",
    ]
    for column in dict.fromkeys(map(_column, cells)):
        mine = [cell for cell in cells if _column(cell) == column]
        best, worst = (choose(mine, key=lambda cell: cell["ratio"]) for choose in (min, max))
        aimed = [cell for cell in mine if cell["met"] is not None]
        of_row = {row: _median(cell for cell in mine if cell["row"] == row) for row in {cell["row"] for cell in mine}}
        slowest = max(sorted(of_row), key=lambda row: of_row[row])
        where, against, halves = column
        lines.append(
            f"| {TITLES[where]}{', 16 bits' if halves else ''} | {AGAINST.get(against, against)} "
            f"| {_median(mine):.2f} | {_cell(best)} | {_cell(worst)} | {of_row[slowest]:.2f} (`{slowest}`) "
            f"| {sum(cell['met'] for cell in aimed)} of {len(aimed)} |"
        )
    names = ("python", "torch", "tensorflow", "keras", "jax", "optax", "numpy")
    return "\n".join([*lines, "", _measured(data, names)])


def _column(cell: dict[str, Any]) -> tuple[str, str, bool]:
    return f"{cell['backend']} {cell['mode']}", cell["against"], cell.get("dtype", "float32") in HALVES


def _median(cells: Iterable[dict[str, Any]]) -> float:
    return float(statistics.median(cell["ratio"] for cell in cells))


def processes(data: dict[str, Any]) -> str:
    """Tables of memory, time and messages of classes that are split over processes, and what they were measured on."""
    layers = [cell for cell in data["split"] if "memory" in cell]
    steps = [cell for cell in data["split"] if "memory" not in cell]
    whole = {cell["mode"]: cell["memory"] for cell in layers if cell["processes"] == 1}
    layer = layers[0]
    lines = [
        f"Peak memory of a layer and its loss, value and gradient: {layer['rows']} rows, {layer['features']} features, "
        f"{layer['classes']} classes, float32.",
        "",
        "| processes | eager: MiB in each | of one process | compiled: MiB in each | of one process |",
        "|---|---|---|---|---|",
    ]
    for (count,), of_mode in _by(layers, "processes").items():
        cells = [(of_mode[mode]["memory"], whole[mode]) for mode in ("eager", "compiled")]
        lines.append(f"| {count} | {' | '.join(f'{ours / 2**20:.0f} | {ours / alone:.2f}' for ours, alone in cells)} |")
    lines += [
        "",
        f"Value and gradient of logits in {steps[0]['rows']} rows: processor seconds and messages of each process.",
        "",
        "| classes | processes | eager | compiled | messages | bytes | milliseconds of the messages alone |",
        "|---|---|---|---|---|---|---|",
    ]
    for (classes, count), of_mode in _by(steps, "classes", "processes").items():
        eager, compiled = of_mode["eager"], of_mode["compiled"]
        lines.append(
            f"| {classes} | {count} | {eager['processor_seconds']:.2f} | {compiled['processor_seconds']:.2f} "
            f"| {eager['messages']} | {eager['bytes']} | {1000 * eager['seconds_of_messages']:.1f} |"
        )
    ratios = (
        f"{one['ratio']:.2f} ({one['backend']}, {' x '.join(map(str, one['shape']))})" for one in data["one_process"]
    )
    lines += [
        "",
        f"In one process, `sharded(cross_entropy)` over `cross_entropy`, times: {', '.join(ratios)}.",
        "",
        _measured(data, ("python", "torch", "numpy")),
    ]
    return "\n".join(lines)


def _by(cells: list[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], dict[str, dict[str, Any]]]:
    """The cells of each mode, by some of their keys, in order."""
    found: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for cell in cells:
        found.setdefault(tuple(cell[key] for key in keys), {})[cell["mode"]] = cell
    return dict(sorted(found.items()))


def _measured(data: dict[str, Any], names: tuple[str, ...]) -> str:
    machine, versions = data["machine"], data["versions"]
    known = ", ".join(f"{name} {versions[name]}" for name in names if versions.get(name))
    return f"Measured on {data['date'][:10]} with {machine['processor']}, {machine['cores']} cores; {known}."


def _cell(cell: dict[str, Any]) -> str:
    dtype = cell.get("dtype", "float32")
    return f"{cell['ratio']:.2f} (`{cell['row']}`, {cell['size']}{f', {dtype}' if dtype in HALVES else ''})"


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
