"""Trino, PyIceberg and DuckDB on the same tables give the same answers, now and in the past."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from common import iceberg, topics
from lakehouse import query
from lakehouse.query import AsOf
from tests.support.lake_rows import fill
from tests.support.lake_servers import Lake, Trino, catalog_environment

ROWS = 400


@pytest.fixture(scope="module")
def tables(rest_servers: Lake) -> Iterator[None]:
    """Every topic's table in the REST catalog, filled."""
    with catalog_environment(rest_servers.properties):
        for topic in iceberg.TABLES:
            fill(iceberg.open_catalog(), topic, ROWS)
        yield


def plain(value: Any) -> Any:
    """Numbers without the engine's choice of type."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return value


def same(one: Any, other: Any) -> bool:
    """Equal, but for the order in which floats were added."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def assert_same(name: str, one: list[list[Any]], other: list[list[Any]]) -> None:
    assert len(one) == len(other), name
    for a, b in zip(one, other, strict=True):
        assert len(a) == len(b) and all(map(same, a, b)), f"{name}: {a} is not {b}"


def duckdb_rows(sql: str, as_of: AsOf | None = None) -> tuple[list[str], list[list[Any]]]:
    answer = query.run(sql, as_of=as_of)
    return answer.column_names, [[plain(value) for value in row.values()] for row in answer.to_pylist()]


@pytest.mark.parametrize("name", query.names())
def test_a_stored_query_has_one_answer(name: str, tables: None, trino: Trino) -> None:
    sql = query.stored(name)
    columns, rows = duckdb_rows(sql)
    other_columns, other_rows = trino.ask(sql)
    assert columns == other_columns
    assert rows, "the made-up rows hold an answer to every question"
    assert_same(name, rows, [[plain(value) for value in row] for row in other_rows])


@pytest.mark.parametrize("topic", sorted(iceberg.TABLES))
def test_a_whole_table_is_the_same_to_all_three(topic: str, tables: None, trino: Trino) -> None:
    name = iceberg.TABLES[topic]
    by_pyiceberg = iceberg.scan(name).sort_by("_offset")
    everything = [list(row.values()) for row in by_pyiceberg.to_pylist()]
    assert len(everything) == ROWS
    sql = f"SELECT * FROM {name} ORDER BY _offset"
    assert query.run(sql).column_names == by_pyiceberg.column_names == trino.ask(sql)[0]
    assert_same(name, everything, duckdb_rows(sql)[1])
    assert_same(name, everything, [[plain(value) for value in row] for row in trino.ask(sql)[1]])


def test_the_past_is_the_same_to_all_three_by_snapshot_tag_and_time(tables: None, trino: Trino) -> None:
    catalog = iceberg.open_catalog()
    name = iceberg.TABLES[topics.FUTURES_TRADES]
    first = catalog.load_table(name).current_snapshot()
    assert first is not None
    time.sleep(0.05)
    moment = datetime.now(UTC)
    time.sleep(0.05)
    catalog.load_table(name).manage_snapshots().create_tag(first.snapshot_id, "training").commit()
    second = fill(catalog, topics.FUTURES_TRADES, 100, begin=ROWS, seed=2)

    what = "count(*), sum(size), max(_offset)"
    states: list[tuple[AsOf | None, str, int | None]] = [
        (AsOf(snapshot_id=first.snapshot_id), f"FOR VERSION AS OF {first.snapshot_id}", first.snapshot_id),
        (AsOf(snapshot_id=second), f"FOR VERSION AS OF {second}", second),
        (AsOf(tag="training"), "FOR VERSION AS OF 'training'", first.snapshot_id),
        (
            AsOf(time=moment),
            f"FOR TIMESTAMP AS OF TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f} UTC'",
            first.snapshot_id,
        ),
        (None, "", second),
    ]
    counts = []
    for as_of, clause, snapshot_id in states:
        rows = iceberg.scan(name, snapshot_id=snapshot_id)
        by_pyiceberg = [rows.num_rows, sum(rows["size"].to_pylist()), max(rows["_offset"].to_pylist())]
        assert duckdb_rows(f"SELECT {what} FROM {name}", as_of)[1] == [by_pyiceberg]
        assert trino.ask(f"SELECT {what} FROM {name} {clause}")[1] == [by_pyiceberg]
        counts.append(rows.num_rows)
    assert counts == [ROWS, ROWS + 100, ROWS, ROWS, ROWS + 100]
