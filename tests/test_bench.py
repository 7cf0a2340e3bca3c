"""The benchmark: both sides compute the same, and its numbers are right where they can be known."""

import importlib.util
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import polyloss
from polyloss_benchmarks import columns, growth, measure, rows, run, summary, targets, translated
from polyloss_benchmarks.report import Report
from polyloss_conformance import devices
from polyloss_conformance.cli import app
from polyloss_conformance.frameworks import engine
from polyloss_conformance.losses import FAMILIES, LOSSES
from polyloss_conformance.spec import Spec

pytestmark = pytest.mark.unoptimised


class Clock:
    """Goes only when something is said to take its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[float] = []

    def __call__(self) -> float:
        return self.now

    def takes(self, seconds: float) -> Callable[[], None]:
        def function() -> None:
            self.now += seconds
            self.order.append(seconds)

        return function


CELL = run.Cell("numpy", "eager", "mse", "1Mi", (16384, 64), 1 << 20, "plain", "NumPy expression", run.GRADIENT)
MEASURED = replace(
    CELL,
    ratio=0.4,
    quartiles=(0.375, 0.425),
    pairs=9,
    seconds=0.002,
    builtin_seconds=0.005,
    memory=8 << 20,
    builtin_memory=16 << 20,
    limit_ratio=3.0,
    builtin_limit_ratio=7.5,
    target=0.5,
    memory_target=1.0,
)
MISSED = replace(MEASURED, row="l1", ratio=0.625, memory=32 << 20)
FAILED = replace(CELL, row="huber", target=0.5, error="ValueError: no [such] thing")


def report(*cells: run.Cell) -> Report:
    return Report(
        run.Results(list(cells), {"numpy eager": 4e10}, 12.0), {"processor": "a processor", "cores": 2, "memory": 1}
    )


def column_of(backend: Any, mode: int = 0) -> columns.Column:
    if backend.name not in columns.MODES:
        pytest.skip("no column of the benchmark")
    return columns.load(backend.name, columns.MODES[backend.name][mode])


@pytest.fixture
def single(backend: Any) -> Iterator[None]:
    """JAX without float64, as in the benchmark: with it, optax fails for some arrays in float32."""
    if backend.name != "jax":
        yield
        return
    import jax

    before = jax.config.jax_enable_x64  # type: ignore[attr-defined]
    jax.config.update("jax_enable_x64", False)  # type: ignore[no-untyped-call]
    yield
    jax.config.update("jax_enable_x64", before)  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("name", rows.ROWS)
def test_both_sides_compute_the_same(backend: Any, name: str) -> None:
    column, row = column_of(backend), rows.ROWS[name]
    rivals = column.rivals(row)
    assert rivals
    for theirs in rivals:
        columns.check_same(column, row, column.ours(row), theirs, column.has_gradient(theirs))


@pytest.mark.numpy
def test_every_loss_is_measured() -> None:
    assert set(rows.ROWS) == set(LOSSES)
    families = [{row.name for row in rows.ROWS.values() if row.growth and row.name in names(f)} for f in FAMILIES]
    assert all(len(grown) == 1 for grown in families), families


def names(family: Any) -> set[str]:
    """The losses whose records are in a module."""
    return {spec.loss for spec in vars(family).values() if isinstance(spec, Spec)}


MOST_USED = [name for name, row in rows.ROWS.items() if row.most_used]


@pytest.mark.parametrize("dtype", rows.HALVES)
def test_both_sides_compute_the_same_in_16_bits(backend: Any, dtype: str) -> None:
    column = column_of(backend)
    if dtype not in column.dtypes:
        pytest.skip(f"no {dtype}")
    # One of elements, one of rows.
    for name in ("huber", "cross_entropy"):
        row = rows.ROWS[name]
        for theirs in column.rivals(row, dtype):
            columns.check_same(column, row, column.ours(row), theirs, True, dtype)
            arrays = [column.array(a, dtype) for a in row.arrays(row.shapes[0])]
            value, gradients = column.step(column.ours(row), arrays, row.wanted, True)()
            assert dtype in str(gradients[0].dtype)
            if column.backend != "tensorflow":  # there, the value has been a number since somebody waited for it
                assert dtype in str(value.dtype)


@pytest.mark.torch
def test_torch_in_16_bits_has_two_rivals() -> None:
    column = columns.load("torch", "eager")
    assert MOST_USED[:2] == ["mse", "l1"]
    assert len(MOST_USED) == 10
    for name in MOST_USED:
        row = rows.ROWS[name]
        assert row.halves
        assert [side.against for side in column.rivals(row, "bfloat16")] == ["torch", "torch float32"]
    both = column.rivals(rows.ROWS["mse"], "bfloat16")
    x, t = (column.array(a, "bfloat16") for a in rows.ROWS["mse"].arrays((64, 64)))
    assert [str(side.value(x, t).dtype) for side in both] == ["torch.bfloat16", "torch.float32"]


@pytest.mark.numpy
def test_a_plain_kernel_is_what_is_computed_without_blocks() -> None:
    column, row = columns.load("numpy", "eager"), rows.ROWS["log_cosh"]
    [theirs] = column.rivals(row)
    assert (theirs.against, theirs.name) == ("plain", "kernel, whole arrays")
    assert theirs.pair is not None
    arrays = row.arrays(row.shapes[0])
    with engine("whole arrays"):
        value, gradients = polyloss.value_and_grad(polyloss.log_cosh, (0,))(*arrays)
    found, slopes = theirs.pair(*arrays)
    assert found == value
    np.testing.assert_array_equal(slopes[0], gradients[0])


@pytest.mark.torch
def test_built_ins_take_the_arrays_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    column = columns.load("torch", "eager")
    sides = {name: column.rivals(rows.ROWS[name])[0] for name in MOST_USED if name != "kl_divergence"}
    # Nothing is translated any more when it is timed.
    monkeypatch.setattr(translated, "_call", None)
    for name, side in sides.items():
        arrays = [column.array(a) for a in rows.ROWS[name].arrays(rows.ROWS[name].shapes[0])]
        assert side.name.startswith("F.")
        assert side.value(*arrays).ndim == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch, about itself, while it compiles
def test_both_sides_compute_the_same_when_compiled(backend: Any) -> None:
    if len(columns.MODES.get(backend.name, ())) < 2:
        pytest.skip("no compiler")
    column, row = column_of(backend, 1), rows.ROWS["huber"]
    assert column.compiles
    columns.check_same(column, row, column.ours(row), column.rivals(row)[0], True)


@pytest.mark.parametrize(
    ("part", "alter"),
    [
        ("value", lambda value, gradients: (2 * value, gradients)),
        ("gradient 0", lambda value, gradients: (value, [1.001 * g for g in gradients])),
        ("gradient 0", lambda value, gradients: (value, [np.nan * g for g in gradients])),
        ("value of shape", lambda value, gradients: (value[None], gradients)),
    ],
)
@pytest.mark.numpy
def test_what_differs_is_not_compared(part: str, alter: Callable[..., Any]) -> None:
    column, row = columns.load("numpy", "eager"), rows.ROWS["mse"]
    ours, theirs = column.ours(row), column.rivals(row)[0]
    assert ours.pair is not None
    pair = ours.pair
    ours = replace(ours, pair=lambda *arrays: alter(*pair(*arrays)))
    with pytest.raises(columns.DifferentError, match=part):
        columns.check_same(column, row, ours, theirs, True)


@pytest.mark.parametrize(("ours", "ratio"), [(0.25, 0.5), (0.5, 1.0), (1.0, 2.0), (2**-20, 2**-19)])
def test_ratio(ours: float, ratio: float) -> None:
    clock = Clock()
    found = measure.compare(clock.takes(ours), clock.takes(0.5), 100, clock)
    assert found.ratio == pytest.approx(ratio)
    assert found.quartiles == pytest.approx((ratio, ratio))
    assert found.ours == pytest.approx(ours)
    assert found.theirs == pytest.approx(0.5)
    assert measure.MIN_PAIRS <= found.pairs <= measure.MAX_PAIRS


def test_sides_take_turns_and_each_is_first_half_the_time() -> None:
    clock = Clock()
    found = measure.compare(clock.takes(0.25), clock.takes(0.5), 6, clock)
    assert clock.order == ([0.25, 0.5, 0.25, 0.5] + [0.5, 0.25, 0.25, 0.5] * found.pairs)[: 2 * found.pairs]


def test_spread_is_told() -> None:
    clock, steps = Clock(), iter(range(1000))

    def unsteady() -> None:
        clock.now += 0.25 if next(steps) % 2 else 0.75

    found = measure.compare(unsteady, clock.takes(0.5), 20, clock)
    assert found.quartiles == pytest.approx((0.5, 1.5))


def test_what_is_long_is_measured_three_times() -> None:
    clock = Clock()
    assert measure.compare(clock.takes(5), clock.takes(5), 1, clock).pairs == 3


@pytest.mark.numpy
def test_a_function_against_itself() -> None:
    array = np.ones(1 << 16)
    found = measure.compare(array.sum, array.sum, 0.05)
    assert 0.5 < found.ratio < 2
    assert found.quartiles[0] <= found.ratio <= found.quartiles[1]


@pytest.mark.numpy
def test_peak_memory_is_that_of_temporaries_and_result() -> None:
    array = np.ones(4 << 20, dtype=np.float32)

    def doubled() -> Any:
        return array + array

    def squared() -> Any:
        first, second = doubled(), doubled()
        return first * second

    if measure.peak_memory(doubled) is None:
        pytest.skip("this system does not tell its peak memory")
    assert measure.peak_memory(doubled) == pytest.approx(16 << 20, abs=measure.MEMORY_RESOLUTION)
    assert measure.peak_memory(squared) == pytest.approx(48 << 20, abs=measure.MEMORY_RESOLUTION)
    assert measure.peak_memory(lambda: None) == pytest.approx(0, abs=measure.MEMORY_RESOLUTION)


@pytest.mark.numpy
def test_bandwidth() -> None:
    assert 1e8 < measure.bandwidth(mebibytes=16, tries=2) < 1e13


@pytest.mark.parametrize(
    ("cell", "ratio"),
    [
        (("torch", "eager", "torch", "cross_entropy", 8_192_000), 0.9),
        (("torch", "eager", "torch", "cross_entropy", 1280), 1.6),
        (("torch", "eager", "torch", "huber", 16 << 20), 1.15),
        (("torch", "eager", "torch", "huber", 1 << 20), 1.5),
        (("torch", "eager", "torch", "mse", 1 << 20), 1.0),
        (("torch", "eager", "torch", "binary_cross_entropy_with_logits", 1 << 20), 1.2),
        (("torch", "eager", "torch", "cross_entropy", 1_024_000), 1.2),
        (("torch", "eager", "torch float32", "cross_entropy", 1_024_000, "bfloat16"), 1.2),
        (("torch", "eager", "torch float32", "cross_entropy", 8_192_000, "float16"), 1.0),
        (("torch", "eager", "torch float32", "cross_entropy", 512 * 50257, "bfloat16"), 1.0),
        (("torch", "eager", "torch", "cross_entropy", 8_192_000, "bfloat16"), None),
        (("torch", "eager", "plain", "linear_cross_entropy", 256 * 1024), 1.2),
        (("torch", "eager", "torch", "huber", 64 << 10), None),
        (("torch", "compile", "torch", "huber", 64 << 10), 1.05),
        (("tensorflow", "eager", "Keras", "mse", 4096), 1.0),
        (("jax", "un-jitted", "optax", "mse", 4096), 0.3),
        (("numpy", "eager", "plain", "mse", 1 << 20), 0.5),
        (("numpy", "eager", "plain", "mse", 4096), None),
        (("numpy", "eager", "SciPy", "huber", 1 << 20), None),
        (("torch", "eager", "torch", "linear_cross_entropy", 1 << 28), 1.0),
        (("jax", "jit", "plain", "linear_cross_entropy", 1 << 28), 1.15),
    ],
)
def test_targets(cell: Any, ratio: float | None) -> None:
    assert targets.target(targets.TIME, *cell) == ratio


def test_memory_target_allows_for_the_resolution() -> None:
    assert replace(MEASURED, memory=(16 << 20) + measure.MEMORY_RESOLUTION).memory_met
    assert replace(MEASURED, memory=(17 << 20) + measure.MEMORY_RESOLUTION).memory_met is False
    assert replace(MEASURED, memory=None).memory_met is None


def test_sizes() -> None:
    assert rows.parse_size("4Ki") == 4096
    assert rows.parse_size("16Mi") == 16 << 20
    assert rows.parse_size("8192x1000") == (8192, 1000)
    with pytest.raises(ValueError, match="4Kb"):
        rows.parse_size("4Kb")
    for row in rows.ROWS.values():
        assert len(row.arrays(row.shapes[0])) > max(row.wanted)
        for shape in row.shapes + row.named:
            assert shape in rows.shapes_of(row, [rows.parse_size(rows.format_shape(row, shape))], False)
    assert [rows.format_shape(rows.ROWS["mse"], s) for s in rows.SIZES] == ["4Ki", "64Ki", "1Mi", "4Mi", "16Mi"]
    assert rows.shapes_of(rows.ROWS["cross_entropy"], [1280], False) == [(128, 10)]


@pytest.mark.numpy
def test_halves_are_a_dtype_of_the_cells_that_are_most_used() -> None:
    column = columns.load("numpy", "eager")
    parts = run.Order(rows=("huber", "log_cosh")).parts(column)
    assert {(row.name, dtype) for row, dtype, _ in parts} == {
        ("huber", "float32"),
        ("huber", "float16"),
        ("log_cosh", "float32"),
    }
    named = run.Order(rows=("log_cosh",), dtypes=("float16",)).parts(column)
    assert {dtype for _, dtype, _ in named} == {"float16"}
    shapes = [shape for _, dtype, shape in run.Order(rows=("cross_entropy",)).parts(column) if dtype == "float16"]
    assert shapes == [(1024, 1000)]
    assert rows.ROWS["cross_entropy"].halves == ((1024, 1000), (8192, 1000), (512, 50257))


@pytest.mark.parametrize("named", ["cpu", "CPU:0", "cpu:0"])
def test_arrays_are_made_where_they_are_asked_for(backend: Any, named: str) -> None:
    if backend.name not in columns.MODES:
        pytest.skip("no column of the benchmark")
    if backend.name == "numpy" and ":" in named:
        pytest.skip("it has no numbers of devices")
    column = columns.load(backend.name, columns.MODES[backend.name][0], named)
    row = rows.ROWS["mse"]
    array = column.array(row.arrays(row.shapes[0])[0])
    assert column.on_cpu
    assert "cpu" in str(array.device).lower()
    assert column.clock() <= column.clock()


@pytest.mark.parametrize("named", ["nonsense", "cuda:77", "GPU:77"])
def test_a_device_that_is_not_there_is_an_error_that_says_which_are(backend: Any, named: str) -> None:
    if backend.name not in columns.MODES:
        pytest.skip("no column of the benchmark")
    with pytest.raises(ValueError, match=rf"{backend.name} has no device {named} here; there is (?i:cpu)"):
        columns.load(backend.name, columns.MODES[backend.name][0], named)


@pytest.mark.numpy
@pytest.mark.parametrize("command", ["bench", "conformance"])
def test_commands_say_which_devices_there_are(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--backend", "numpy", "--loss", "mse", "--device", "gpu"])
    assert result.exit_code == 2
    assert "numpy has no device gpu here; there is cpu" in result.output


@pytest.mark.numpy
def test_backends_without_the_device_are_left_out_unless_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(backend: str, name: str) -> None:
        if backend == "numpy":
            raise ValueError("numpy has none")

    class Here:
        """A pool that asks in this process."""

        def __init__(self, *_: Any) -> None: ...
        def __enter__(self) -> "Here":
            return self

        def __exit__(self, *_: Any) -> None: ...
        def submit(self, function: Any, *arguments: Any) -> Any:
            future: Future[None] = Future()
            try:
                ask(*arguments)
                future.set_result(None)
            except ValueError as error:
                future.set_exception(error)
            return future

    monkeypatch.setattr(devices, "ProcessPoolExecutor", Here)
    assert devices.having(("numpy", "torch"), "cuda", named=False) == ("torch",)
    with pytest.raises(ValueError, match="numpy has none"):
        devices.having(("numpy", "torch"), "cuda", named=True)
    with pytest.raises(ValueError, match="numpy has none"):
        devices.having(("numpy",), "cuda", named=False)
    assert devices.having(("numpy",), "cpu", named=True) == ("numpy",)


@pytest.mark.numpy
def test_time_goes_by_the_clock_of_the_device() -> None:
    """What a device does after the call has returned counts too."""
    column = columns.load("numpy", "eager")
    clock, row = Clock(), rows.ROWS["mse"]
    column.clock = clock  # type: ignore[method-assign]
    step = clock.takes(0.5)
    column.step = lambda *_: lambda: (step(), (np.float64(1), ()))[1]  # type: ignore[method-assign]
    pair = run.Pair(column, row, "float32", row.shapes[0], column.rivals(row)[0], False)
    cell = pair.cell([np.ones(4, dtype=np.float32)] * 2, 1e9, 1, {})
    assert (cell.seconds, cell.ratio, cell.device) == (0.5, 1.0, "cpu")


@pytest.mark.torch
def test_torch_waits_for_its_device_and_asks_its_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no device here: its functions note that they are called."""
    torch = pytest.importorskip("torch")
    column, allocated = columns.load("torch", "eager"), [100, 100]
    device = torch.device("cuda:0")
    column.device, column.on_cpu = device, False
    waited: list[Any] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda of: allocated.__setitem__(1, allocated[0]))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda of: allocated[0])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda of: allocated[1])

    def step() -> Any:
        allocated[1] = max(allocated[1], allocated[0] + 4096)

    column.clock()
    assert waited == [device]
    allocated[1] = 1 << 30  # of a call before
    assert column.peak_memory(step, 3) == 4096
    column.device = torch.device("mps")  # it has no such counter
    assert column.peak_memory(step, 3) is None


@pytest.mark.jax
def test_jax_tells_what_its_compiler_and_its_device_have_counted() -> None:
    pytest.importorskip("jax")
    row = rows.ROWS["mse"]
    gradient = row.arrays(row.shapes[0])[0].nbytes

    class Device:
        """Its counters, of which none can be set back."""

        now, peak = 50, 100

        def memory_stats(self) -> dict[str, int]:
            return {"bytes_in_use": self.now, "peak_bytes_in_use": self.peak}

    for mode in columns.MODES["jax"]:
        column = columns.load("jax", mode)
        arrays = [column.array(a) for a in row.arrays(row.shapes[0])]
        step = column.step(column.ours(row), arrays, row.wanted, True)
        device = Device()
        column.device, column.on_cpu = device, False
        if column.compiles:
            # The value and the gradient at least, and not much more than as many arrays again.
            assert gradient <= (column.peak_memory(step, 1) or 0) <= 4 * gradient
            continue
        assert column.peak_memory(step, 1) is None  # another call needed more

        def larger(device: Device = device) -> Any:
            device.peak = 300

        assert column.peak_memory(larger, 1) == 250


@pytest.mark.numpy
def test_slope_of_known_powers() -> None:
    sizes = [10.0**n for n in range(4)]
    assert growth.slope([(n, 3 * n**1.5) for n in sizes]) == pytest.approx(1.5)
    # What is there whatever the size is in the first points alone.
    assert growth.slope([(1, 100), (10, 100), *((n, n) for n in (1e3, 1e4, 1e5, 1e6))]) == pytest.approx(1)
    assert growth.slope([(1, 1)]) is None


@pytest.mark.numpy
def test_growth_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, plot = tmp_path / "growth.json", tmp_path / "growth.svg"
    arguments = ["bench", "--growth", "--backend", "numpy", "--row", "huber", "--json", str(data)]
    if importlib.util.find_spec("matplotlib") is not None:
        arguments += ["--plot", str(plot)]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(data.read_text(encoding="utf-8"))
    lengths = [point["length"] for point in found["points"]]
    assert lengths == sorted(lengths)
    assert lengths[-1] == 1000 * lengths[0]
    [slope] = found["slopes"]
    assert (slope["row"], slope["backend"]) == ("huber", "numpy")
    assert 0.3 < slope["time"] < 2
    assert "| `huber` | examples |" in growth.markdown(found)
    refused = CliRunner().invoke(app, ["bench", "--growth", "--row", "l1"])
    assert refused.exit_code == 2
    assert "how l1 grows is not measured; there is huber" in refused.output


@pytest.mark.numpy
def test_summary_says_which_loss_is_worst_and_keeps_halves_apart() -> None:
    cells = [
        MEASURED,
        replace(MISSED, ratio=0.8),
        replace(MISSED, size="4Ki", ratio=0.2),
        replace(MEASURED, ratio=3.0, dtype="float16"),
    ]
    text = summary.markdown(json.loads(report(*cells).json()))
    whole, halves = (line for line in text.splitlines() if line.startswith("| NumPy"))
    assert "| 0.20 (`l1`, 4Ki) | 0.80 (`l1`, 1Mi) | 0.50 (`l1`) |" in whole
    assert halves.startswith("| NumPy, 16 bits |")
    assert "3.00 (`mse`, 1Mi, float16)" in halves


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (run.Order(dtypes=("float8",)), "float8"),
        (run.Order(rows=("nonsense",)), "nonsense"),
        (run.Order(sizes=("7x7",), rows=("cross_entropy",)), "7x7"),
        (run.Order(backends=("nonsense",)), "nonsense"),
        (run.Order(modes=("nonsense",)), "nonsense"),
    ],
)
def test_a_name_that_matches_nothing_is_an_error(order: run.Order, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run.run_order(order, lambda *_: None)


def test_table_marks_what_is_missed() -> None:
    console = Console(width=220, record=True, file=io.StringIO())
    found = report(MEASURED, MISSED, FAILED)
    for table in found.tables():
        console.print(table)
    text = console.export_text()
    lines = {name: next(line for line in text.splitlines() if f" {name} " in line) for name in ("mse", "l1", "huber")}
    assert "0.40 ✓" in lines["mse"]
    assert "0.50 ✓" in lines["mse"]
    assert "0.38–0.42" in lines["mse"]
    assert "0.62 ✗" in lines["l1"]
    assert "2.00 ✗" in lines["l1"]
    assert "failed" in lines["huber"]
    noisy = replace(MEASURED, quartiles=(0.3, 0.6))
    assert not noisy.sure
    assert noisy.met
    summary = found.summary()
    assert "1 of 3 cells meet their target of time (0 of all within the noise)" in summary
    assert "1 of 2 that of memory" in summary
    assert "1 failed" in summary
    assert not found.strictly_met
    assert report(MEASURED).strictly_met
    assert not report(MISSED).strictly_met


def test_other_work_is_told() -> None:
    results = run.Results([MEASURED], {}, 1.0)
    assert "load 1.5" in (Report(results, {"cores": 2, "load": 1.5}).warning or "")
    assert Report(results, {"cores": 2, "load": 0.1}).warning is None
    assert Report(results, {"cores": 2, "load": None}).warning is None


def test_json() -> None:
    data = json.loads(report(MEASURED, FAILED).json())
    assert {"machine", "versions", "bandwidth", "date", "cells"} <= set(data)
    assert {"python", "polyloss", "commit", "numpy"} <= set(data["versions"])
    first, second = data["cells"]
    assert first["quartiles"] == [0.375, 0.425]
    assert first["met"] is True
    assert first["memory_met"] is True
    assert second["ratio"] is None
    assert second["met"] is False
    assert second["error"] == FAILED.error


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_plot(tmp_path: Path, suffix: str) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("Matplotlib is not installed")
    path = tmp_path / f"plot.{suffix}"
    larger = replace(MEASURED, elements=16 << 20, ratio=0.3, quartiles=(0.2, 0.5))
    report(MEASURED, larger, MISSED, FAILED, replace(MEASURED, against="SciPy")).plot(path)
    assert path.stat().st_size > 1000
    if suffix == "svg":
        assert "NumPy against SciPy" in path.read_text(encoding="utf-8") or "<path" in path.read_text(encoding="utf-8")


@pytest.mark.numpy
def test_command(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    arguments = ["bench", "--backend", "numpy", "--row", "huber", "--size", "4Ki", "--quick", "--json", str(path)]
    start = time.perf_counter()
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert time.perf_counter() - start < 60
    assert "huber" in result.output
    assert "cells meet their target" in result.output
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert {cell["what"] for cell in cells} == {run.GRADIENT}
    assert cells[0]["ratio"] > 0
    assert cells[0]["error"] is None


@pytest.mark.numpy
def test_command_fails_where_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(app, ["bench", "--row", "nonsense"]).exit_code == 2
    monkeypatch.setattr(run, "run_order", lambda order, watch: run.Results([MISSED], {}, 1.0))
    assert CliRunner().invoke(app, ["bench", "--backend", "numpy"]).exit_code == 0
    assert CliRunner().invoke(app, ["bench", "--backend", "numpy", "--strict"]).exit_code == 1


@pytest.mark.parametrize("size", ["0", "-4", "0x3", "3xKi", "banana"])
def test_a_size_that_is_none(size: str) -> None:
    with pytest.raises(ValueError, match=f"a size is like 4Ki, 4096 or 8192x1000, got '{size}'"):
        rows.parse_size(size)


def test_a_size_that_a_loss_does_not_have() -> None:
    with pytest.raises(ValueError, match=r"no such size: 7x7; there is 1024x1000, .*128x10,"):
        run.Order(rows=("cross_entropy",), sizes=("7x7",)).work()
