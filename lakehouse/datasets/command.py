"""``./breakwater dataset``: make, list, show and read training sets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from common.cli.options import HomeOption
from common.errors import ConfigError, InputError
from common.times import parse_time
from lakehouse.datasets.create import create as create_dataset
from lakehouse.datasets.manifest import Dataset, find, listed
from lakehouse.datasets.read import rows

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Make training sets that can be had again, and read them."
)

NameArgument = Annotated[str, typer.Argument(help="Its name.", show_default=False)]


def _arrow(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


FORMATS: dict[str, Callable[[pa.Table, Path], Any]] = {
    ".parquet": lambda table, path: pq.write_table(table, path, compression="zstd"),
    ".csv": pyarrow.csv.write_csv,
    ".arrow": _arrow,
}
"""How a file is written, by its suffix."""


@app.command()
def create(
    name: NameArgument,
    begin: Annotated[str, typer.Option("--from", help="First time (ISO 8601, UTC) or ns.", show_default=False)],
    end: Annotated[str, typer.Option("--to", help="First time that does not belong to it.", show_default=False)],
    features: Annotated[str, typer.Option(help="Columns of docs/features.md, separated by commas.")],
    label: Annotated[str, typer.Option(help="outcome_120s, outcome_240s or outcome_480s.")],
    home: HomeOption = None,
) -> None:
    """Tag the snapshots, check that no row knows its future, and write the manifest."""
    wanted = [feature.strip() for feature in features.split(",") if feature.strip()]
    _show(create_dataset(name, parse_time(begin), parse_time(end), wanted, label))


@app.command("list")
def list_(home: HomeOption = None) -> None:
    """All training sets."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "from", "to", "label"):
        shown.add_column(column, overflow="fold")
    for column in ("features", "rows"):
        shown.add_column(column, justify="right")
    shown.add_column("digest", no_wrap=True)
    for one in listed():
        shown.add_row(
            one.name,
            _time(one.from_ns),
            _time(one.until_ns),
            one.label,
            str(len(one.features)),
            f"{one.rows:,}",
            one.digest[:16],
        )
    Console().print(shown)


@app.command()
def show(name: NameArgument, home: HomeOption = None) -> None:
    """What a training set is made of."""
    _show(find(name))


@app.command()
def read(
    name: NameArgument,
    out: Annotated[Path, typer.Option(help="File to write: .parquet, .csv or .arrow.", show_default=False)],
    home: HomeOption = None,
) -> None:
    """Write a training set to a file, after its digest was verified."""
    write = FORMATS.get(out.suffix)
    if write is None:
        raise ConfigError(f"{out.name} says no format", hint=f"End the name in one of: {', '.join(FORMATS)}")
    table = rows(find(name))
    partial = out.with_name(out.name + ".part")
    try:
        write(table, partial)
        partial.replace(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}", hint="Is there such a folder?") from None
    Console().print(f"{table.num_rows:,} rows, digest verified: {out}", soft_wrap=True, highlight=False)


def _show(dataset: Dataset) -> None:
    shown = Table(show_edge=False, show_header=False, box=None)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    shown.add_row("name", dataset.name)
    shown.add_row("time", f"{_time(dataset.from_ns)} to {_time(dataset.until_ns)}")
    shown.add_row("features", ", ".join(dataset.features))
    shown.add_row("label", f"{dataset.label}: " + ", ".join(f"{k} {v:,}" for k, v in dataset.labels.items()))
    shown.add_row("rows", f"{dataset.rows:,}")
    shown.add_row("configuration", ", ".join(dataset.config_hashes))
    shown.add_row("code", f"{dataset.code_commit or 'unknown'}{' (changed files)' if dataset.code_dirty else ''}")
    for table, snapshot_id in dataset.snapshots.items():
        shown.add_row(table, f"snapshot {snapshot_id}, tag {dataset.tag}")
    shown.add_row("created", dataset.created)
    shown.add_row("digest", dataset.digest)
    Console().print(shown, highlight=False)


def _time(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // 10**9, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
