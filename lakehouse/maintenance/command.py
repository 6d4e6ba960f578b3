"""``./breakwater maintain``: a round over the tables, or one every so often as a service."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer
from prometheus_client import Counter, Gauge
from pyiceberg.table import Table
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from common import iceberg
from common.cli.options import HomeOption, require_home
from common.errors import InputError
from common.settings import settings
from common.telemetry import Health, configure_logging, get_logger, serve_health, stop_requested
from lakehouse.maintenance.procedures import Trino
from lakehouse.maintenance.schedule import LOOK_S, Schedule
from lakehouse.maintenance.upkeep import Bounds, Round, count_files, maintain, pack_growing, survey

SERVICE = "maintenance"
MIB = 1024 * 1024

log = get_logger("lakehouse.maintenance")

FILES = Gauge("breakwater_maintenance_files", "Data files of the table's current version.", ["table"])
PACKED = Counter("breakwater_maintenance_packed_bytes", "Bytes of files that were packed into larger ones.", ["table"])
REMOVED = Counter("breakwater_maintenance_removed_files", "Files removed that no snapshot named.", ["table"])
FAILURES = Counter("breakwater_maintenance_failures", "Rounds over the table that failed.", ["table"])

app = typer.Typer(add_completion=False)


@app.command()
def maintain_tables(
    tables: Annotated[
        list[str] | None, typer.Argument(help="Tables, e.g. bronze.futures_mbp10; all when none is named.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a round would do; change nothing.")] = False,
    every: Annotated[
        float | None,
        typer.Option(
            min=0.05, help="Minutes between whole rounds; hours that grow are packed meanwhile.", show_default="once"
        ),
    ] = None,
    target: Annotated[int, typer.Option(min=1, help="Size that files are packed to, MiB.")] = 128,
    snapshot_days: Annotated[float, typer.Option(min=0, help="Age from which snapshots may go, days.")] = 5.0,
    keep: Annotated[int, typer.Option(min=1, help="Newest snapshots that stay, whatever their age.")] = 128,
    orphan_hours: Annotated[float, typer.Option(min=0, help="How long a file must be found unnamed, hours.")] = 24.0,
    home: HomeOption = None,
) -> None:
    """Pack small files, merge manifests, expire old snapshots and remove files that no snapshot names.

    Safe beside a running sink and any readers: rows and offsets stay as they are, tagged snapshots stay, and a file
    goes only when it has been found without a name for --orphan-hours (until then it is counted as waiting).
    Where BREAKWATER_TRINO_URL names a Trino (http://host:port/catalog), it packs and merges.
    """
    bounds = Bounds(target * MIB, timedelta(days=snapshot_days), keep, timedelta(hours=orphan_hours))
    wanted = tuple(tables or ())
    if every is None:
        require_home()
    _opened(wanted)
    if every is None:
        Console().print(shown_rounds(_round(wanted, bounds, dry_run=dry_run), dry_run=dry_run))
        return
    if dry_run:
        raise InputError("--dry-run and --every exclude each other", hint="Leave one of them out.")
    _serve(wanted, bounds, every)


def _opened(wanted: Sequence[str]) -> list[Table]:
    """The tables that are asked for, or all. Raises InputError for one that does not exist."""
    names = iceberg.table_names()
    for name in wanted:
        if name not in names:
            raise InputError(f"there is no table {name!r}", hint=f"The tables are: {', '.join(names) or 'none yet'}")
    found = [iceberg.load_table(name) for name in wanted or names]
    return [table for table in found if table is not None]


def _trino() -> Trino | None:
    url = settings().trino_url
    return None if url is None else Trino(url)


def _round(wanted: Sequence[str], bounds: Bounds, *, dry_run: bool) -> list[Round]:
    trino = _trino()
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("looking")
        done = []
        for table in _opened(wanted):
            bar.update(task, description=".".join(table.name()))
            done.append(survey(table, bounds) if dry_run else maintain(table, bounds, trino))
    return done


def shown_rounds(rounds: Sequence[Round], *, dry_run: bool) -> RichTable:
    """A line for each table, in eighty columns."""
    title = "a round would do this" if dry_run else None
    shown = RichTable(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("table", no_wrap=True)
    for heading in ("files", "MiB\npacked", "manifests", "expired", "removed", "waiting"):
        shown.add_column(heading, justify="right", overflow="fold")
    for one in rounds:
        shown.add_row(
            one.table,
            _change(one.files_before, one.files_after),
            f"{one.packed_bytes / MIB:,.1f}",
            _change(one.manifests_before, one.manifests_after),
            f"{one.expired:,}",
            f"{one.removed:,}",
            f"{one.unnamed:,}",
        )
    return shown


def _change(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def _serve(wanted: Sequence[str], bounds: Bounds, every_minutes: float) -> None:
    """Looks and rounds until asked to stop; what fails is tried again later, and health says so."""
    configure_logging(SERVICE)
    trino = _trino()
    schedule = Schedule(every_minutes * 60)
    stop = stop_requested()
    health = Health()
    with serve_health(SERVICE, health):
        while not stop.is_set():
            names: list[str] = []
            with _borne("catalog", "open", health):
                tables = {".".join(table.name()): table for table in _opened(wanted)}
                names = list(tables)
            for name in names:
                if stop.is_set():
                    return
                with _borne(name, "packing", health):
                    _look(name, tables[name], bounds, schedule)
            overdue = schedule.due(names, time.monotonic())
            if overdue is None:
                stop.wait(LOOK_S)
                continue
            with _borne(overdue, "round", health):
                one = maintain(tables[overdue], bounds, trino)
                PACKED.labels(overdue).inc(one.packed_bytes)
                REMOVED.labels(overdue).inc(one.removed)
                FILES.labels(overdue).set(one.files_after)
                schedule.packed(overdue, one.files_after)
                log.info("table_maintained", **asdict(one))
            schedule.rounded(overdue, time.monotonic())


def _look(name: str, table: Table, bounds: Bounds, schedule: Schedule) -> None:
    """Pack what grows, if enough files have come."""
    if not schedule.is_grown(name, count_files(table)):
        return
    packed_bytes = pack_growing(table, bounds.target_bytes)
    files = count_files(table.refresh())
    schedule.packed(name, files)
    PACKED.labels(name).inc(packed_bytes)
    FILES.labels(name).set(files)
    log.info("hours_packed", table=name, files_after=files, packed_bytes=packed_bytes)


@contextmanager
def _borne(table: str, step: str, health: Health) -> Iterator[None]:
    """Whatever a catalog or a store raises while it is away: said, and no reason to end."""
    try:
        yield
    except Exception as error:
        FAILURES.labels(table).inc()
        health.set(f"{table} {step}", False, str(error))
        log.error("upkeep_failed", table=table, step=step, error=repr(error))
    else:
        health.set(f"{table} {step}", True)
