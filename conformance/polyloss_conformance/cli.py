"""The command line: ``polyloss conformance``, ``bench``, ``losses``, ``show`` and ``guide``."""

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from .terminal import as_text, check_paths, fail, progress_bars, write

app = typer.Typer(
    help="One loss function for every array framework.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        import polyloss

        typer.echo(f"polyloss {polyloss.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """One loss function for every array framework."""


DEVICE = "Where arrays are made, as users of a framework say it: cpu, cuda:1, mps, xpu (PyTorch), gpu, GPU:0."


@app.command()
def conformance(
    backend: Annotated[
        list[str] | None, typer.Option(help="Backend to run; repeat for more. [default: all installed]")
    ] = None,
    loss: Annotated[list[str] | None, typer.Option(help="Loss to run; repeat for more. [default: all]")] = None,
    dtype: Annotated[list[str] | None, typer.Option(help="Dtype to run; repeat for more. [default: all]")] = None,
    html: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("polyloss-conformance.html"),
    no_html: Annotated[bool, typer.Option("--no-html", help="Write no HTML report.")] = False,
    json: Annotated[Path | None, typer.Option(help="Where a JSON report goes.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Where a JUnit XML report goes.")] = None,
    losses: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE", help="Check the losses of this module, or of this file (x/my_losses.py), instead."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Eager calls alone, without a compiler.")] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="All dtypes and compilers, built-ins, bad values while traced, kinds of calls: for developers.",
        ),
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Every case in every dtype under every compiler. Slow.")
    ] = False,
    device: Annotated[str, typer.Option(help=DEVICE)] = "cpu",
) -> None:
    """Prove that losses are right on every backend: values, gradients, second derivatives, bad input.

    Every loss on every installed framework takes four minutes on two cores: nearly every call of NumPy, of the
    others those in float32 (of JAX some of those), and one under a compiler. --full adds all modes and the
    built-ins; --all takes hours.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from . import names, report
    from .modules import load, not_checked, public_losses
    from .selection import extent_of
    from .workers import Order, run_order

    console = Console()
    check_paths(console, html=None if no_html else html, json=json, junit=junit)
    start = time.monotonic()
    try:
        chosen = tuple(loss or ())
        if losses is not None and len(losses) > 1:
            raise ValueError(f"--losses is given {len(losses)} times: import the losses of all in one module")
        if not losses:
            known = tuple(public_losses())
            chosen = tuple(names.resolve(name, known) for name in chosen)
        order = Order(
            tuple(backend or ()),
            chosen,
            tuple(dtype or ()),
            extent_of(quick, full, everything, own=bool(losses)),
            losses[0] if losses else None,
            device,
        )
        order = order.checked()
        # Who chooses losses by name asks for no others.
        others = not_checked(load(order.module)) if order.module is not None and not chosen else {}
        with progress_bars(console, 11) as progress:
            bars = {name: progress.add_task(name, total=None, what="") for name in order.backends}
            results = run_order(
                order, lambda name, what, total, more: progress.update(bars[name], total=total, advance=more, what=what)
            )
    except ValueError as error:
        raise fail(console, str(error)) from None
    found = report.Report(
        results, report.versions(order.backends), time.monotonic() - start, others, own=order.module is not None
    )
    console.print(found.table(console.width))
    for name, why in found.not_checked.items():
        console.print(f"[yellow]not checked: {escape(f'{name}, {why}')}", highlight=False)
    if found.deviations:
        console.print(
            f"{len(found.deviations)} known deviations of built-ins were met: the HTML report has their inputs"
        )
    for cause in found.causes[:20]:
        result, times = cause.example, len(cause.results)
        where = " ".join(filter(None, [result.backend, result.mode, result.dtype]))
        what = f"[bold]{escape(result.case)}[/] ({result.check}) on {where}{f', {times} times' if times > 1 else ''}"
        console.print(f"[red]{result.loss}[/] {what}", highlight=False)
        for line in (result.message, *cause.where):
            console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
        if result.call:
            # As it is, for it to be pasted.
            console.print(Text(result.call), soft_wrap=True)
    if len(found.causes) > 20:
        console.print(f"... and {len(found.causes) - 20} more")
    written = [
        write(console, "json", json, as_text(found.json)),
        write(console, "junit", junit, as_text(found.junit)),
    ]
    if not no_html:
        written.append(write(console, "html", html, as_text(found.html)))
        if written[-1]:
            console.print(f"report: {html}")
    passed = len(results) - len(found.failures)
    console.print(
        f"{passed} of {len(results)} checks passed in {found.seconds:.0f} s", style="red" if found.failures else "green"
    )
    if found.failures or not all(written):
        raise typer.Exit(1)


@app.command()
def bench(
    backend: Annotated[
        list[str] | None, typer.Option(help="Backend to measure; repeat for more. [default: all installed]")
    ] = None,
    mode: Annotated[
        list[str] | None, typer.Option(help="eager, compile, jit_compile, un-jitted, jit; repeat for more.")
    ] = None,
    row: Annotated[
        list[str] | None, typer.Option("--row", "--loss", help="Loss to measure; repeat for more. [default: all]")
    ] = None,
    size: Annotated[
        list[str] | None, typer.Option(help="Elements, such as 4Ki, or a shape, such as 8192x1000; repeat for more.")
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="float32, bfloat16, float16; repeat for more. [default: halves of the most used losses]"),
    ] = None,
    device: Annotated[str, typer.Option(help=DEVICE)] = "cpu",
    json: Annotated[Path | None, typer.Option(help="Where a JSON report goes.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Where a plot goes, SVG or PNG. Needs Matplotlib.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few losses, small sizes, value with gradient alone.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where a target is missed.")] = False,
    growth: Annotated[
        bool,
        typer.Option("--growth", help="Time and memory of polyloss alone, eager, as work grows a thousandfold."),
    ] = False,
) -> None:
    """Measure polyloss beside the frameworks' own losses: ratios of time and memory."""
    import importlib.util

    from polyloss_benchmarks.growth import GrowthReport, growing, run_growth
    from polyloss_benchmarks.report import Report, machine
    from polyloss_benchmarks.rows import ROWS
    from polyloss_benchmarks.run import Order
    from polyloss_benchmarks.run import run_order as measure

    from . import names

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    check_paths(console, json=json, plot=plot)
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        console.print("[red]a plot needs Matplotlib, which is not installed: it is in the extra \\[bench]")
        raise typer.Exit(2)
    try:
        on = machine()
        rows = tuple(names.resolve(name, tuple(ROWS)) for name in row or ())
        order = Order(
            *(tuple(backend or ()), tuple(mode or ()), rows, tuple(size or ()), quick),
            dtypes=tuple(dtype or ()),
            device=device,
        ).checked()
        if growth:
            growing(rows)
            if dtype or size or quick:
                raise ValueError("--growth has sizes of its own, in float32: leave out --size, --dtype and --quick")
        with progress_bars(console, 22) as progress:
            columns = [" ".join(column) for column in order.columns()]
            bars = {name: progress.add_task(name, start=False, total=None, what="") for name in columns}

            def watch(name: str, what: str, done: int, total: int) -> None:
                progress.start_task(bars[name])
                progress.update(bars[name], total=total, completed=done, what=what)

            if growth:
                start = time.monotonic()
                grown = GrowthReport(run_growth(order, watch), on, time.monotonic() - start)
            else:
                results = measure(order, watch)
    except ValueError as error:
        raise fail(console, str(error)) from None
    if growth:
        _tell_growth(console, grown, json, plot)
        return
    found = Report(results, on)
    for table in found.tables(wide=console.width >= 140):
        console.print(table)
    for cell in found.errors:
        where = escape(f"{cell.backend} {cell.mode} {cell.row} {cell.size}")
        console.print(f"[red]{where}[/] {escape(cell.error or '')}", highlight=False)
    written = [write(console, "json", json, as_text(found.json)), write(console, "plot", plot, found.plot)]
    console.print(found.summary())
    if found.warning is not None:
        console.print(f"[yellow]{found.warning}")
    if not all(written) or (strict and not found.strictly_met):
        raise typer.Exit(1)


def _tell_growth(console: Console, found: Any, json: Path | None, plot: Path | None) -> None:
    console.print(found.table())
    for point in found.errors:
        where = escape(f"{point.backend} {point.row} {point.shape}")
        console.print(f"[red]{where}[/] {escape(point.error or '')}", highlight=False)
    written = [write(console, "json", json, as_text(found.json)), write(console, "plot", plot, found.plot)]
    if found.errors or not all(written):
        raise typer.Exit(1)


@app.command("losses")
def list_losses() -> None:
    """Every loss: what it is for, and which built-ins compute it."""
    from . import builtins, guide
    from .modules import public_losses

    console = Console()
    for name, loss in public_losses().items():
        tasks = dict.fromkeys((*guide.tasks_of(name), *loss.tasks))
        twins = dict.fromkeys(f"{twin.family}.{twin.name}" for twin in builtins.twins_of(name))
        console.print(f"[bold]{name}[/]  [dim]{', '.join(tasks)}", highlight=False)
        if twins:
            console.print(Padding(", ".join(twins), (0, 0, 0, 4)), highlight=False)


@app.command()
def show(
    loss: Annotated[
        str,
        typer.Argument(
            help="A loss, such as huber, a built-in, such as torch.huber_loss or mae, or one of your own, such as "
            "my_losses:cauchy or folder/my_losses.py:cauchy."
        ),
    ],
) -> None:
    """One loss: formula, signature, gradient rule, the built-ins that compute it and where they deviate."""
    from . import show as shown

    console = Console()
    try:
        found = shown.find(loss)
    except ValueError as error:
        raise fail(console, str(error)) from None
    shown.tell(console, *found)


@app.command()
def rosetta(
    name: Annotated[
        str | None,
        typer.Argument(help="A loss, a function or a class: huber, torch.nn.SmoothL1Loss, keras.losses.Huber, mae."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the whole table.")] = False,
) -> None:
    """The phrase book: what a loss and its arguments are called in polyloss and in each other library."""
    from . import rosetta as book
    from .modules import public_losses
    from .show import signature

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    console = Console()
    if (name is None) != markdown:
        raise fail(console, "give a NAME or --markdown, one of both")
    if name is None:
        typer.echo(book.markdown(), nl=False)
        return
    known = public_losses()
    try:
        loss = book.loss_of(name, tuple(known))
    except ValueError as error:
        raise fail(console, str(error)) from None
    console.print(f"[bold]polyloss.{loss}[/]{escape(signature(known[loss]))}\n", highlight=False)
    # Frameworks that are imported meanwhile may have something to say.
    found = [(phrase.call, list(phrase.lines())) for phrase in book.phrases(loss, first=name)]
    for call, lines in found:
        console.print(f"[bold]{escape(call)}", highlight=False, soft_wrap=True)
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 4)), highlight=False)
    if not found:
        console.print("no other library here has it")


@app.command()
def report(
    builtin: Annotated[str, typer.Argument(help="A function of another library: torch.cross_entropy, optax.log_cosh.")],
) -> None:
    """What is recorded against a built-in, as bug reports in Markdown that can be sent as they are."""
    from . import bugs

    try:
        found = list(bugs.reports(builtin))
    except ValueError as error:
        raise fail(Console(stderr=True), str(error)) from None
    typer.echo("\n---\n\n".join(found), nl=False)


@app.command()
def migrate(
    file: Annotated[Path, typer.Argument(help="A training script.", exists=True, dir_okay=False)],
    write: Annotated[bool, typer.Option("--write", help="Change the file.")] = False,
) -> None:
    """Rewrite the losses of a script to those of polyloss.compat, which take the same arguments on any arrays."""
    import importlib.util

    console = Console()
    if importlib.util.find_spec("libcst") is None:
        raise fail(
            console, 'scripts are read with LibCST, which is not installed: pip install "polyloss-array[migrate]"'
        )
    from .migrate import migrate_file

    try:
        found = migrate_file(file, write=write)
    except ValueError as error:
        raise fail(console, f"{file}: {error}") from None
    for change in found.changes:
        became = f" -> {change.after}" if change.after != change.before else " stays"
        console.print(
            f"[bold]{escape(f'{file}:{change.line}: {change.before}{became}')}", highlight=False, soft_wrap=True
        )
        for remark in change.remarks:
            console.print(Padding(Text(remark), (0, 0, 0, 4)), highlight=False)
    count = sum(change.after != change.before for change in found.changes)
    state = "rewritten" if write else "to rewrite: --write does it"
    console.print(
        f"{count} {'loss' if count == 1 else 'losses'} {state}"
        if count
        else "there is no loss here that polyloss.compat has"
    )


@app.command()
def guide() -> None:
    """Which loss for which task."""
    from . import guide as advice

    console = Console()
    previous = ""
    for entry in advice.GUIDE:
        if entry.task != previous:
            console.print(f"[bold]{entry.task}", highlight=False)
        lines = (f"  {entry.situation}", f"    [cyan]{escape(entry.call)}", f"    [dim]{escape(entry.why)}")
        for line in lines:
            text = line.lstrip()
            console.print(Padding(text, (0, 0, 0, len(line) - len(text))), highlight=False)
        previous = entry.task


if __name__ == "__main__":
    app()
