"""The command line: ``polyloss conformance``, ``losses``, ``show`` and ``guide``."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

app = typer.Typer(
    help="One loss function for every array framework.", no_args_is_help=True, add_completion=False, rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.command()
def conformance(
    backend: Annotated[list[str] | None, typer.Option(help="Backend to run; repeat for more. [default: all installed]")] = None,
    loss: Annotated[list[str] | None, typer.Option(help="Loss to run; repeat for more. [default: all]")] = None,
    dtype: Annotated[list[str] | None, typer.Option(help="Dtype to run; repeat for more. [default: all]")] = None,
    html: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("polyloss-conformance.html"),
    no_html: Annotated[bool, typer.Option("--no-html", help="Write no HTML report.")] = False,
    json: Annotated[Path | None, typer.Option(help="Where a JSON report goes.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Where a JUnit XML report goes.")] = None,
    losses: Annotated[str | None, typer.Option(metavar="MODULE", help="Check the losses of this module instead.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every case in every dtype under every compiler. Slow.")] = False,
) -> None:
    """Prove that losses are right on every backend: values, gradients, second derivatives, bad input."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from . import frameworks, report
    from .workers import Order, run_order

    console = Console()
    start = time.monotonic()
    try:
        order = Order(
            tuple(dict.fromkeys(backend or frameworks.installed())), tuple(loss or ()), tuple(dtype or ()), everything, losses
        )
        order.check()
        with Progress(
            TextColumn("{task.description:<11}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[what]}"), console=console, transient=True,
        ) as progress:
            bars = {name: progress.add_task(name, total=None, what="") for name in order.backends}
            results = run_order(
                order, lambda name, what, total: progress.update(bars[name], total=total, advance=1, what=what)
            )
    except ValueError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(2) from None
    found = report.Report(results, report.versions(order.backends), time.monotonic() - start, [])
    console.print(found.table())
    for result in found.failures[:20]:
        console.print(
            f"[red]{result.loss}[/] {result.backend} {result.mode} {result.dtype} [bold]{result.case}[/] ({result.check})",
            highlight=False,
        )
        console.print(f"  {result.message}", highlight=False, markup=False)
    if len(found.failures) > 20:
        console.print(f"... and {len(found.failures) - 20} more")
    if json is not None:
        json.write_text(found.json(), encoding="utf-8")
    if junit is not None:
        junit.write_text(found.junit(), encoding="utf-8")
    if not no_html:
        html.write_text(found.html(), encoding="utf-8")
        console.print(f"report: {html}")
    passed = len(results) - len(found.failures)
    console.print(f"{passed} of {len(results)} checks passed in {found.seconds:.0f} s", style="red" if found.failures else "green")
    if found.failures:
        raise typer.Exit(1)


@app.command()
def guide() -> None:
    """Which loss for which task."""
    from . import guide as advice

    table = Table(title="which loss for which task", title_justify="left", title_style="bold")
    for column in ("task", "situation", "loss", "why"):
        table.add_column(column)
    previous = ""
    for entry in advice.GUIDE:
        table.add_row("" if entry.task == previous else f"[bold]{entry.task}", entry.situation, f"[cyan]{escape(entry.call)}", entry.why)
        previous = entry.task
    Console().print(table)


if __name__ == "__main__":
    app()
