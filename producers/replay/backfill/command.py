"""``./breakwater backfill``: many sessions, a task each."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from common import topics
from common.cli.options import HomeOption
from common.errors import ConfigError
from common.settings import settings
from producers.replay.backfill.plan import Report, backfill, sessions_between
from producers.replay.backfill.session import Done, Job, has_inputs
from producers.replay.backfill.workers import InProcess, ray_workers
from producers.replay.overrides import config_with

app = typer.Typer(add_completion=False)


@app.command()
def run(
    begin: Annotated[str, typer.Option("--from", help="First trade date, e.g. 2025-06-02.", show_default=False)],
    end: Annotated[str, typer.Option("--to", help="Last trade date.", show_default=False)],
    workers: Annotated[int, typer.Option(help="Processes on this machine; 0 computes in this one.", min=0)] = 2,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="A Ray cluster instead of this machine: host:port.")
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", help="Read files instead of the tables; repeatable.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="Folder of the results, or s3://…", show_default="<home>/lake/backfill/<configuration>"),
    ] = None,
    complex_name: Annotated[str, typer.Option("--complex", help="Complex to compute.")] = "SPY",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value of a key; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Compute features, signals, outcomes and option flow of many sessions again, each into a folder of its own.

    Sessions that are there already are passed over, so the same command goes on where it was interrupted. What failed
    three times is reported at the end; the command then ends with 1.
    """
    config, _ = config_with(changes or [])
    partition, namespace = topics.partition_of(complex_name), settings().namespace
    place = out or str(settings().lake / "backfill" / config.hash)
    dates = sessions_between(_date(begin), _date(end))
    files = tuple(str(path.resolve()) for path in file or ())
    wanted = dates if files else [date for date in dates if has_inputs(date, namespace, partition)]
    keys = config.model_dump(mode="json")
    jobs = [Job(date, keys, place, namespace, partition, files) for date in wanted]
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with (
        ExitStack() as stack,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        shown = bar.add_task("sessions", total=len(jobs))

        def told(date: int, outcome: Done | Exception) -> None:
            bar.update(shown, advance=1, description=f"{date} {'done' if isinstance(outcome, Done) else 'failed'}")

        inside = workers == 0 and ray_address is None
        pool = InProcess() if inside else stack.enter_context(ray_workers(max(1, workers), ray_address))
        report = backfill(jobs, pool, config.hash, told)
    report.without_inputs = [date for date in dates if date not in wanted]
    if as_json:
        typer.echo(orjson.dumps(_data(report, place), option=orjson.OPT_SORT_KEYS).decode())
    else:
        _show(report, place)
    if report.failed:
        raise typer.Exit(1)


def _date(text: str) -> int:
    try:
        return int(date.fromisoformat(text).strftime("%Y%m%d"))
    except ValueError:
        raise ConfigError(f"{text!r} is not a date", hint="Write it as 2025-06-02.") from None


def _data(report: Report, place: str) -> dict[str, object]:
    return {
        "out": place,
        "sessions": {
            str(date): {**done.digests, "signals_digest": done.signals_digest} for date, done in report.all.items()
        },
        "rows": {str(date): dict(done.rows) for date, done in report.all.items()},
        "passed_over": sorted(report.passed_over),
        "failed": {str(date): str(error) for date, error in sorted(report.failed.items())},
        "without_inputs": report.without_inputs,
    }


def _show(report: Report, place: str) -> None:
    console = Console()
    shown = Table(show_edge=False, header_style="bold")
    for column in ("session", "", "signals digest"):
        shown.add_column(column)
    for column in ("features", "signals", "outcomes"):
        shown.add_column(column, justify="right")
    for day, done in report.all.items():
        state = "was there" if day in report.passed_over else "computed"
        counts = [f"{done.rows[kind]:,}" for kind in ("features", "signals", "outcomes")]
        shown.add_row(str(day), state, done.signals_digest[:16], *counts)
    for day, error in sorted(report.failed.items()):
        shown.add_row(str(day), "[red]failed[/red]", str(error))
    console.print(shown)
    if report.without_inputs:
        console.print(f"[dim]nothing is stored of {', '.join(map(str, report.without_inputs))}[/dim]")
    console.print(place, soft_wrap=True, highlight=False)
