"""The results as tables in the terminal, JSON, and a plot of ratio against size."""

import datetime
import importlib.metadata
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from . import measure
from .rows import ROWS
from .run import GRADIENT, VALUE, Cell, Results

SCHEMA_VERSION = 1
PACKAGES = (
    *("numpy", "scipy", "scikit-learn", "torch", "tensorflow", "tensorflow-cpu", "keras", "jax", "jaxlib", "optax"),
    "array-api-compat",
)
TITLES = {
    "numpy eager": "NumPy",
    "torch eager": "torch",
    "torch compile": "torch.compile",
    "tensorflow eager": "TensorFlow",
    "tensorflow jit_compile": "TensorFlow jit_compile",
    "jax un-jitted": "JAX, un-jitted",
    "jax jit": "jax.jit",
}
AGAINST = {
    "plain": "the plain expression",
    "torch": "torch.nn.functional",
    "torch float32": "torch.nn.functional of .float()",
}


def machine() -> dict[str, Any]:
    """What the benchmark ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    return {
        "processor": _processor(),
        "cores": measure.available_cores(),
        "memory": memory,
        "platform": platform.platform(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def versions() -> dict[str, str | None]:
    """Of Python, polyloss, its commit where it is a checkout, and the packages it is compared with."""
    import polyloss

    found: dict[str, str | None] = {"python": platform.python_version(), "polyloss": polyloss.__version__}
    try:
        found["commit"] = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(polyloss.__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found["commit"] = None
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class Report:
    """The results of a run, and the `machine` from before it."""

    def __init__(self, results: Results, on: dict[str, Any]) -> None:
        self.results = results
        self.machine = on

    @property
    def cells(self) -> list[Cell]:
        return self.results.cells

    @property
    def errors(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.error is not None]

    @property
    def strictly_met(self) -> bool:
        """Whether every target is met and nothing failed."""
        return not self.errors and not any(cell.met is False or cell.memory_met is False for cell in self.cells)

    def summary(self) -> str:
        """One line: how many targets are met."""
        time = [cell.met for cell in self.cells if cell.met is not None]
        memory = [cell.memory_met for cell in self.cells if cell.memory_met is not None]
        unsure = sum(cell.sure is False for cell in self.cells)
        return (
            f"{sum(time)} of {len(time)} cells meet their target of time ({unsure} of all within the noise), "
            f"{sum(memory)} of {len(memory)} that of memory, {len(self.errors)} failed; "
            f"{len(self.cells)} cells in {self.results.seconds:.0f} s"
        )

    @property
    def warning(self) -> str | None:
        """What makes the results doubtful, if anything does."""
        load, cores = self.machine.get("load"), self.machine["cores"]
        if load is None or load < cores / 4:
            return None
        return f"other work was running here before (load {load:.1f} on {cores} cores): ratios are not to be trusted"

    def tables(self, *, wide: bool = True) -> Iterable[Table]:
        """One for each column. Without `wide`, for 100 characters, times are left out."""
        for column in dict.fromkeys((cell.backend, cell.mode) for cell in self.cells):
            yield self._table(column, [cell for cell in self.cells if (cell.backend, cell.mode) == column], wide)

    def _table(self, column: tuple[str, str], cells: list[Cell], wide: bool) -> Table:
        name = " ".join(column)
        title = f"{TITLES.get(name, name)}: polyloss / built-in"
        if name in self.results.bandwidth:
            title += f" (memory: {self.results.bandwidth[name] / 1e9:.0f} GB/s)"
        table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
        for heading in ("loss", "size", "built-in", "what"):
            table.add_column(heading, overflow="fold")
        times = ("time", "built-in's") if wide else ()
        for heading in ("ratio", "quartiles", "target", *times, "memory", "× limit"):
            table.add_column(heading, justify="right", no_wrap=True)
        previous: tuple[str, str] | None = None
        for cell in cells:
            row = cell.row if cell.dtype == "float32" else f"{cell.row}, {cell.dtype}"
            same_row = previous is not None and previous[0] == row
            same_size = previous == (row, cell.size)
            previous = row, cell.size
            what = "value" if cell.what == VALUE else "+ gradient"
            head = ("" if same_row else row, "" if same_size else cell.size, cell.builtin, what)
            if cell.error is not None:
                table.add_row(*head, "[red]✗ failed", style="red")
                continue
            table.add_row(
                *head,
                _marked(cell.ratio, cell.met, cell.sure),
                "" if cell.quartiles is None else "{:.2f}–{:.2f}".format(*cell.quartiles),
                "" if cell.target is None else f"{cell.target:.2f}",
                *((_time(cell.seconds), _time(cell.builtin_seconds)) if wide else ()),
                _marked(_ratio(cell.memory, cell.builtin_memory), cell.memory_met),
                "" if cell.limit_ratio is None else f"{cell.limit_ratio:.1f}",
            )
        return table

    def json(self) -> str:
        """Everything, a line for each cell, so that two runs can be compared."""
        data = {
            "schema": SCHEMA_VERSION,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(self.results.seconds, 1),
            "machine": self.machine,
            "versions": versions(),
            "bandwidth": self.results.bandwidth,
            "memory_resolution": measure.MEMORY_RESOLUTION,
        }
        head = json.dumps(rounded(data), indent=1, allow_nan=False).removesuffix("\n}")
        cells = [json.dumps(rounded(_data(cell)), allow_nan=False) for cell in self.cells]
        return head + ',\n "cells": [\n  ' + ",\n  ".join(cells) + "\n ]\n}\n"

    def plot(self, path: Path) -> None:
        """Write ratio against size of the losses that are most used, a panel for each framework, mode and library.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        cells = [cell for cell in self.cells if cell.ratio is not None and cell.what == GRADIENT]
        # Lines, and not points.
        cells = [cell for cell in cells if cell.dtype == "float32" and ROWS[cell.row].most_used]
        panels = list(dict.fromkeys((cell.backend, cell.mode, cell.against) for cell in cells))
        losses = list(dict.fromkeys(cell.row for cell in cells))
        columns = min(3, max(1, len(panels)))
        rows = max(1, math.ceil(len(panels) / columns))
        figure = Figure(figsize=(4.2 * columns, 3.2 * rows + 0.9), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False).flat
        sizes = [cell.elements for cell in cells] or [1]
        handles: dict[str, Any] = {}
        for panel, axis in zip(panels, axes, strict=False):
            mine = [cell for cell in cells if (cell.backend, cell.mode, cell.against) == panel]
            for number, loss in enumerate(losses):
                points = sorted((cell for cell in mine if cell.row == loss), key=lambda cell: cell.elements)
                if points:
                    handles[loss] = _line(axis, points, f"C{number}", "osD^vP*Xph"[number % 10])
            limits = [cell for cell in mine if cell.target is not None]
            marks = axis.scatter(
                [c.elements for c in limits], [c.target for c in limits], marker="_", s=160, color="black", zorder=3
            )
            if limits:
                handles["target"] = marks
            axis.axhline(1, color="grey", linewidth=0.8)
            axis.set(xscale="log", yscale="log", xlim=(min(sizes) / 2, 2 * max(sizes)))
            axis.set(xlabel="elements", ylabel="polyloss / built-in")
            ticks = [t for t in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20) if _inside(t, axis.get_ylim())]
            axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
            axis.minorticks_off()
            name = " ".join(panel[:2])
            axis.set_title(f"{TITLES.get(name, name)} against {AGAINST.get(panel[2], panel[2])}", fontsize=10)
        for axis in list(axes):
            axis.remove()
        if handles:
            figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, fontsize=8)
        figure.suptitle(
            f"Time of value and gradient, median and quartiles of ratios: {self.machine['processor']}, "
            f"{self.machine['cores']} cores",
            fontsize=10,
        )
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _data(cell: Cell) -> dict[str, Any]:
    return asdict(cell) | {"met": cell.met, "sure": cell.sure, "memory_met": cell.memory_met}


def _line(axis: Any, points: list[Cell], colour: str, marker: str) -> Any:
    ratios = [cell.ratio or math.nan for cell in points]
    quartiles = [cell.quartiles or (math.nan, math.nan) for cell in points]
    below = [max(0.0, r - q[0]) for r, q in zip(ratios, quartiles, strict=True)]
    above = [max(0.0, q[1] - r) for r, q in zip(ratios, quartiles, strict=True)]
    return axis.errorbar(
        [cell.elements for cell in points],
        ratios,
        yerr=(below, above),
        color=colour,
        marker=marker,
        markersize=4,
        linewidth=1,
        elinewidth=0.8,
        capsize=2,
    )


def _inside(tick: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= tick <= limits[1]


def _marked(ratio: float | None, met: bool | None, sure: bool | None = None) -> str:
    if ratio is None or met is None:
        return "" if ratio is None else f"{ratio:.2f}"
    colour, mark = ("green", "✓") if met else ("red", "✗")
    return f"[{colour}]{ratio:.2f}[/] {mark}" + ("?" if sure is False else "")


def _ratio(ours: int | None, theirs: int | None) -> float | None:
    """Of memory, as far as it can be told: None for two that are too small to be told apart."""
    if ours is None or theirs is None or max(ours, theirs) < measure.MEMORY_RESOLUTION:
        return None
    return ours / max(theirs, measure.MEMORY_RESOLUTION)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    unit, factor = ("µs", 1e6) if seconds < 1e-3 else ("ms", 1e3) if seconds < 1 else ("s", 1)
    return f"{seconds * factor:.3g} {unit}"


def rounded(value: Any) -> Any:
    """With four digits: more is noise, and would change in every run."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
