"""What a loss costs as its work grows a thousandfold: time and peak memory of value and gradient, and their slopes."""

import datetime
import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from . import columns, measure
from .columns import Column
from .report import TITLES, rounded, versions
from .rows import ROWS, Row, Shape
from .run import Order, Watch, in_process

FACTORS = tuple(round(10 ** (half / 2), 3) for half in range(7))
"""Three decades, two steps each."""
LAST = 4
"""The slope is that of so many of the largest sizes: of the smaller ones, a part is there whatever the size."""
LONGEST_S, MOST_BYTES = 0.5, 1 << 28
"""Where a call takes more, the next size is left out."""
TRIES = 3


@dataclass(frozen=True)
class Point:
    """The cost of value and gradient at one size.

    Parameters
    ----------
    axis : int
        The axis of the shape that grows.
    length : int
        How long it is.
    memory : int or None
        Peak bytes beyond the arguments, the result included; None where that is unknown, or too little to be told.
    error : str or None
        Why there is no time.
    """

    backend: str
    row: str
    axis: int
    length: int
    shape: Shape
    seconds: float | None = None
    memory: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Growth:
    """How one cost of one loss grows along one axis."""

    points: tuple[Point, ...]

    @property
    def time(self) -> float | None:
        """The power of the size that the time is proportional to, at the end."""
        return slope([(p.length, p.seconds) for p in self.points if p.seconds is not None])

    @property
    def memory(self) -> float | None:
        """The same of the memory."""
        return slope([(p.length, p.memory) for p in self.points if p.memory is not None])


def slope(pairs: Sequence[tuple[float, float]]) -> float | None:
    """That of the last few pairs, in logarithms; None where there are too few."""
    if len(pairs) < 2:
        return None
    sizes, costs = ([math.log(number) for number in numbers] for numbers in zip(*pairs[-LAST:], strict=True))
    return statistics.linear_regression(sizes, costs).slope


def run_growth(order: Order, watch: Watch) -> list[Point]:
    """Measure the losses whose records say how they grow, eagerly, on each backend of an order."""
    found: list[Point] = []
    for backend in dict.fromkeys(backend for backend, _ in order.columns()):
        mode = columns.MODES[backend][0]
        for message in in_process(measure_growth, order, backend, mode):
            if isinstance(message, Point):
                found.append(message)
            elif isinstance(message, str):
                found.append(Point(backend, "", 0, 0, (), error=message))
            else:
                watch(f"{backend} {mode}", *message)
    return found


def growing(rows: Sequence[str] = ()) -> list[tuple[Row, int]]:
    """Losses, and the axes along which they grow. ValueError for a loss of which nothing is known."""
    for name in rows:
        if not ROWS[name].growth:
            there = ", ".join(name for name, row in ROWS.items() if row.growth)
            raise ValueError(f"how {name} grows is not measured; there is {there}")
    return [(ROWS[name], axis) for name in rows or ROWS for axis in ROWS[name].growth]


def measure_growth(column: Column, order: Order) -> Iterator[Any]:
    """The points of one column, and between them what is done next."""
    work = growing(order.rows)
    for done, (row, axis) in enumerate(work):
        yield f"{row.name} axis {axis}", done, len(work)
        for point in _points(column, row, axis):
            yield point
            if point.error or (point.seconds or 0) > LONGEST_S or (point.memory or 0) > MOST_BYTES:
                break
        column.forget()


def _points(column: Column, row: Row, axis: int) -> Iterator[Point]:
    start = row.growth[axis]
    for factor in FACTORS:
        shape = tuple(round(n * factor) if place == axis else n for place, n in enumerate(start))
        point = Point(column.backend, row.name, axis, shape[axis], shape)
        try:
            seconds, memory = _cost(column, row, shape)
        except Exception as error:
            yield Point(**{**vars(point), "error": f"{type(error).__name__}: {error}"[:300]})
            return
        yield Point(**{**vars(point), "seconds": seconds, "memory": memory})


def _cost(column: Column, row: Row, shape: Shape) -> tuple[float, int | None]:
    """Seconds, the least of some tries, and bytes as far as they can be told."""
    step = column.step(column.ours(row), [column.array(a) for a in row.arrays(shape)], row.wanted, True)
    step()
    seconds = min(measure.once(step, column.clock) for _ in range(TRIES))
    memory = column.peak_memory(step, 1)
    return seconds, memory if memory is not None and memory >= measure.MEMORY_RESOLUTION else None


class GrowthReport:
    """The points of a run, and the `machine` from before it."""

    def __init__(self, points: Sequence[Point], on: dict[str, Any], seconds: float) -> None:
        self.points, self.machine, self.seconds = points, on, seconds

    @property
    def errors(self) -> list[Point]:
        return [point for point in self.points if point.error is not None]

    @property
    def lines(self) -> dict[tuple[str, int], dict[str, Growth]]:
        """By loss and axis, and then by backend."""
        points: dict[tuple[str, int], dict[str, list[Point]]] = {}
        for point in self.points:
            if point.seconds is not None:
                points.setdefault((point.row, point.axis), {}).setdefault(point.backend, []).append(point)
        return {key: {b: Growth(tuple(found)) for b, found in lines.items()} for key, lines in points.items()}

    def table(self) -> Table:
        """The slopes."""
        table = Table(title="slopes of time and memory", title_justify="left", header_style="bold")
        backends = dict.fromkeys(point.backend for point in self.points)
        for heading in ("loss", "grows", *backends):
            table.add_column(heading)
        for (row, axis), lines in self.lines.items():
            table.add_row(row, grows(row, axis), *(_slopes(lines.get(backend)) for backend in backends))
        return table

    def json(self) -> str:
        """Everything, a line for each point."""
        data = {
            "schema": 1,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "machine": self.machine,
            "versions": versions(),
            "memory_resolution": measure.MEMORY_RESOLUTION,
        }
        slopes = [
            {"row": row, "axis": axis, "backend": backend, "time": line.time, "memory": line.memory}
            for (row, axis), lines in self.lines.items()
            for backend, line in lines.items()
        ]
        parts = {"slopes": slopes, "points": list(map(asdict, self.points))}
        head = json.dumps(rounded(data), indent=1).removesuffix("\n}")
        for name, items in parts.items():
            lines = ",\n  ".join(json.dumps(rounded(item), allow_nan=False) for item in items)
            head += f',\n "{name}": [\n  {lines}\n ]'
        return head + "\n}\n"

    def plot(self, path: Path) -> None:
        """Write time and memory against size, a panel for each loss and axis.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        lines, columns_ = self.lines, 4
        rows = max(1, math.ceil(len(lines) / columns_))
        figure = Figure(figsize=(3.6 * columns_, 2.8 * rows + 0.8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns_, squeeze=False).flat
        names = list(dict.fromkeys(point.backend for point in self.points))
        handles: dict[str, Any] = {}
        for ((row, along), by_backend), axis in zip(lines.items(), axes, strict=False):
            right = axis.twinx()
            for backend, growth in by_backend.items():
                colour, sizes = f"C{names.index(backend)}", [p.length for p in growth.points]
                [line] = axis.plot(sizes, [p.seconds for p in growth.points], colour, marker="o", markersize=3)
                known = [p for p in growth.points if p.memory is not None]
                right.plot([p.length for p in known], [p.memory for p in known], colour, linestyle=":")  # type: ignore[arg-type,unused-ignore]
                handles[backend] = line
            axis.set(xscale="log", yscale="log", xlabel=grows(row, along), ylabel="seconds")
            right.set(yscale="log", ylabel="bytes (dotted)")
            axis.set_title(row, fontsize=9)
        for axis in list(axes):
            axis.remove()
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
        figure.suptitle(
            f"Value and gradient, eager: {self.machine['processor']}, {self.machine['cores']} cores", fontsize=10
        )
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def grows(row: str, axis: int) -> str:
    """What an axis counts."""
    first = ROWS[row]
    if axis < len(first.growth[axis]) - first.row_axes or axis == 0:
        return "examples"
    return "steps" if row == "ctc" and axis == 1 else "entries of a row"


def markdown(data: dict[str, Any]) -> str:
    """The slopes of a JSON report as a table, for the documents."""
    backends = dict.fromkeys(one["backend"] for one in data["slopes"])
    titles = [TITLES[f"{backend} {columns.MODES[backend][0]}"] for backend in backends]
    lines = [f"| loss | grows | {' | '.join(titles)} |", "|---|---|" + "---|" * len(titles)]
    by: dict[tuple[str, int], dict[str, Any]] = {}
    for one in data["slopes"]:
        by.setdefault((one["row"], one["axis"]), {})[one["backend"]] = one
    for (row, axis), found in by.items():
        cells = (_numbers(found[b]["time"], found[b]["memory"]) if b in found else "" for b in backends)
        lines.append(f"| `{row}` | {grows(row, axis)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _slopes(growth: Growth | None) -> str:
    return "" if growth is None else _numbers(growth.time, growth.memory)


def _numbers(time: float | None, memory: float | None) -> str:
    return ", ".join("–" if number is None else f"{number:.2f}" for number in (time, memory))
