"""``./breakwater backfill``: many sessions, a task each, brought into tables of their own.

Here the parts meet: `producers.replay.backfill` computes sessions into folders, `lakehouse.sessions` lands them.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from common import iceberg, topics
from common.cli.options import HomeOption
from common.errors import BreakwaterError, ConfigError
from common.settings import settings
from lakehouse.sessions import Rows, Session, SessionTables
from producers.replay.backfill.plan import Report, backfill, sessions_between
from producers.replay.backfill.session import Done, Job, code_digest, has_inputs, rows_of, session_range
from producers.replay.backfill.workers import InProcess, ray_workers
from producers.replay.outputs import KINDS
from producers.replay.overrides import config_with

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class IntoTables:
    """Lands sessions from their folders."""

    tables: SessionTables

    def landed(self) -> dict[int, Done]:
        """What the tables hold whole. Raises ConfigError for tables that were computed otherwise."""
        return {date: Done.of(said) for date, said in self.tables.landed().items()}

    def land(self, done: Done) -> None:
        """Bring the session in. Raises what `SessionTables.land` does."""
        shown = session_range(done.date)
        rows = {
            topic: Rows(partial(rows_of, self.tables.namespace, done, kind), done.digests[kind])
            for kind, topic in KINDS.items()
        }
        self.tables.land(Session(done.date, shown.from_ns, shown.until_ns, rows, done.as_text()))


@app.command()
def run(
    begin: Annotated[str, typer.Option("--from", help="First trade date, e.g. 2025-06-02.", show_default=False)],
    end: Annotated[str, typer.Option("--to", help="Last trade date.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Option(
            help="The run: its tables are backfill_NAME.levels_signals …", show_default="configuration's hash"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine; 0 computes in this one.", min=0)] = 2,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address", help="The Ray cluster of this machine instead: host:port.", show_default="setting"
        ),
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", help="Read files instead of the tables; repeatable.")
    ] = None,
    complex_name: Annotated[str, typer.Option("--complex", help="Complex to compute.")] = "SPY",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value of a key; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Compute features, signals, outcomes and option flow of many sessions again, into tables of a run of their own.

    Sessions that are there already are passed over, so the same command goes on where it was interrupted. What failed
    three times is reported at the end; the command then ends with 1.
    """
    config, _ = config_with(changes or [])
    partition, namespace = topics.partition_of(complex_name), settings().namespace
    files = tuple(str(path.resolve()) for path in file or ())
    origin = "files" if files else f"tables of {namespace or 'live'}"
    tables = SessionTables(
        iceberg.open_catalog(),
        name or config.hash,
        f"configuration {config.hash}, {complex_name}, {origin}",
        tuple(KINDS.values()),
    )
    dates = sessions_between(_date(begin), _date(end))
    wanted = dates if files else [date for date in dates if has_inputs(date, namespace, partition)]
    keys, code = config.model_dump(mode="json"), code_digest()
    jobs = [Job(date, keys, tables.namespace, namespace, partition, code, files) for date in wanted]
    address = ray_address or settings().ray_address
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

        def told(date: int, outcome: Done | Exception, again: bool) -> None:
            if isinstance(outcome, Exception):
                then = "is tried again" if again else "is given up"
                text = escape(f"{date} failed and {then}: {_text(outcome)}")
                console.print(f"[yellow]{text}[/yellow]", soft_wrap=True, highlight=False)
            if not again:
                bar.update(shown, advance=1, description=str(date))

        inside = workers == 0 and address is None
        pool = InProcess() if inside else stack.enter_context(ray_workers(max(1, workers), address))
        report = backfill(jobs, pool, IntoTables(tables), told)
    report.without_inputs = [date for date in dates if date not in wanted]
    if as_json:
        typer.echo(orjson.dumps(_data(report, tables.namespace), option=orjson.OPT_SORT_KEYS).decode())
    else:
        _show(report, tables.namespace)
    if report.failed:
        raise typer.Exit(1)


def _date(text: str) -> int:
    try:
        return int(date.fromisoformat(text).strftime("%Y%m%d"))
    except ValueError:
        raise ConfigError(f"{text!r} is not a date", hint="Write it as 2025-06-02.") from None


def _text(error: Exception) -> str:
    """What went wrong; of other libraries' errors also the kind, as their texts alone may say little."""
    if isinstance(error, BreakwaterError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _data(report: Report, namespace: str) -> dict[str, object]:
    return {
        "tables": namespace,
        "sessions": {
            str(date): {**done.digests, "signals_digest": done.signals_digest} for date, done in report.all.items()
        },
        "rows": {str(date): dict(done.rows) for date, done in report.all.items()},
        "passed_over": sorted(report.passed_over),
        "retried": {str(date): count for date, count in sorted(report.retried.items()) if count},
        "failed": {str(date): _text(error) for date, error in sorted(report.failed.items())},
        "without_inputs": report.without_inputs,
    }


def _show(report: Report, namespace: str) -> None:
    console = Console()
    shown = Table(show_edge=False, header_style="bold")
    for column in ("session", "", "signals digest"):
        shown.add_column(column)
    for column in ("features", "signals", "outcomes"):
        shown.add_column(column, justify="right")
    for day, done in report.all.items():
        tries = f" (try {report.retried[day] + 1})" if report.retried[day] else ""
        state = "was there" if day in report.passed_over else f"computed{tries}"
        counts = [f"{done.rows[kind]:,}" for kind in ("features", "signals", "outcomes")]
        shown.add_row(str(day), state, done.signals_digest[:16], *counts)
    for day, error in sorted(report.failed.items()):
        shown.add_row(str(day), "[red]failed[/red]", escape(_text(error)))
    console.print(shown)
    if report.without_inputs:
        console.print(f"[dim]nothing is stored of {', '.join(map(str, report.without_inputs))}[/dim]")
    console.print(f"{namespace}.levels_signals and its like", soft_wrap=True, highlight=False)
