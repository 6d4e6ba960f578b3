"""A level's day of signals out of thirty days by a PyIceberg scan: how long, and how many files are never opened."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from common import iceberg, schemas, topics
from lakehouse.files import write_hour
from lakehouse.tables import HOUR_NS, ensure_table

DAYS = 30
HOURS = 7
"""Files of a day, one per hour of the regular session: what compaction leaves."""
FIRST_HOUR = 477_062
"""2024-06-03 14:00 UTC, in hours since the epoch."""
LEVELS = 20
READ = ("ts_event_ns", "spot", "break_score_smooth", "signal", "confidence")
"""What a chart of a level's day shows."""
_TIMESTAMP = pa.timestamp("us", tz="UTC")


def hour_of_signals(rows: int, seed: int) -> pa.Table:
    """Signals of twenty levels in an hour that begins at 0, in the order of time."""
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, HOUR_NS, rows))
    made: dict[str, Any] = {
        "long": lambda: random.integers(0, 1000, rows),
        "int": lambda: random.integers(0, 100, rows).astype(np.int32),
        "double": lambda: np.round(random.normal(size=rows), 4),
        "boolean": lambda: random.integers(0, 2, rows).astype(bool),
    }
    columns: dict[str, pa.Array] = {}
    for field in schemas.load(topics.SIGNALS).fields:
        words = field.symbols or [f"STRIKE_{480 + n}" for n in range(LEVELS if field.name == "level_id" else 1)]
        columns[field.name] = (
            pa.array(made[field.kind]())
            if field.kind in made
            else pa.array(list(words)).take(pa.array(random.integers(0, len(words), rows)))
        )
    columns["ts_event_ns"] = pa.array(times)
    columns |= {name: pa.array(np.zeros(rows, np.int32)) for name in ("_partition", "_schema_id")}
    columns["_offset"] = pa.array(np.arange(rows))
    return pa.table(columns)


def _at(hour: int, rows: pa.Table) -> pa.Table:
    times = rows["ts_event_ns"].to_numpy() + hour * HOUR_NS
    stamps = pa.array(times // 1000).cast(_TIMESTAMP)
    rows = rows.set_column(rows.schema.get_field_index("ts_event_ns"), "ts_event_ns", pa.array(times))
    return rows.append_column("ts_event", stamps).append_column("_ingested_at", stamps)


def build(name: str, rows_per_hour: int) -> Table:
    """The table: thirty days, one file per hour of regular trading."""
    catalog = iceberg.open_catalog()
    table = ensure_table(catalog, name, topics.SIGNALS, schemas.load(topics.SIGNALS))
    rows = hour_of_signals(rows_per_hour, seed=3)
    for day in range(DAYS):
        files: list[DataFile] = []
        for hour in range(FIRST_HOUR + 24 * day, FIRST_HOUR + 24 * day + HOURS):
            written = write_hour(table, hour, [_at(hour, rows)], f"{hour}.parquet")
            files += [] if written is None else [written]
        with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
            for data_file in files:
                append.append_data_file(data_file)
        table = catalog.load_table(name)
    return table


def measure(rows_per_hour: int, rounds: int) -> dict[str, Any]:
    """Median of the warm scans of one level's day, in milliseconds of the clock and of the processor: the columns of a
    chart, and all columns.
    """
    table = build("bench.signals", rows_per_hour)
    first_ns = (FIRST_HOUR - FIRST_HOUR % 24 + 24 * (DAYS // 2)) * HOUR_NS
    begin, end = (np.datetime64(ns, "ns").astype("M8[s]") for ns in (first_ns, first_ns + 24 * HOUR_NS))
    day = f"ts_event >= '{begin}+00:00' and ts_event < '{end}+00:00' and level_id = 'STRIKE_487'"
    files = table.inspect.files()
    result: dict[str, Any] = {
        "days": DAYS,
        "table_rows": sum(files["record_count"].to_pylist()),
        "table_files": len(files),
        "scanned_files": len(list(table.scan(row_filter=day).plan_files())),
    }
    for label, columns in (("level_day", READ), ("level_day_all_columns", ("*",))):
        took_ms, cpu_ms = [], []
        for _ in range(rounds + 1):
            began, began_cpu = time.monotonic(), time.process_time()
            rows = iceberg.scan("bench.signals", day, columns)
            took_ms.append(1000 * (time.monotonic() - began))
            cpu_ms.append(1000 * (time.process_time() - began_cpu))
        result[f"{label}_rows"] = rows.num_rows
        result[f"{label}_ms"] = round(statistics.median(took_ms[1:]), 1)
        result[f"{label}_cpu_ms"] = round(statistics.median(cpu_ms[1:]), 1)
    return result
