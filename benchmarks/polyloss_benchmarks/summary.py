"""The results of a run in a few lines, for the README: ``python -m polyloss_benchmarks.summary bench.json``."""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from .report import AGAINST, TITLES
from .run import GRADIENT


def markdown(data: dict[str, Any]) -> str:
    """A table of the ratios of value and gradient in a JSON report, and what they were measured on."""
    cells = [cell for cell in data["cells"] if cell["what"] == GRADIENT and cell["ratio"] is not None]
    lines = [
        "| where | against | ratio: median | from | to | targets met |",
        "|---|---|---|---|---|---|",
    ]
    for column in dict.fromkeys((cell["backend"], cell["mode"], cell["against"]) for cell in cells):
        mine = [cell for cell in cells if (cell["backend"], cell["mode"], cell["against"]) == column]
        best, worst = (choose(mine, key=lambda cell: cell["ratio"]) for choose in (min, max))
        aimed = [cell for cell in mine if cell["met"] is not None]
        lines.append(
            f"| {TITLES[' '.join(column[:2])]} | {AGAINST.get(column[2], column[2])} "
            f"| {statistics.median(cell['ratio'] for cell in mine):.2f} | {_cell(best)} | {_cell(worst)} "
            f"| {sum(cell['met'] for cell in aimed)} of {len(aimed)} |"
        )
    machine, versions = data["machine"], data["versions"]
    names = ("python", "torch", "tensorflow", "keras", "jax", "optax", "numpy")
    known = ", ".join(f"{name} {versions[name]}" for name in names if versions.get(name))
    lines += ["", f"Measured on {data['date'][:10]} with {machine['processor']}, {machine['cores']} cores; {known}."]
    return "\n".join(lines)


def _cell(cell: dict[str, Any]) -> str:
    return f"{cell['ratio']:.2f} (`{cell['row']}`, {cell['size']})"


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
