"""The API's tables in an embedded lake, and its socket."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.table import Table

from api import service
from api.history import HistoryReader
from api.live import LiveSignals
from api.server import bound_socket
from common import iceberg, topics
from common.errors import ConfigError
from lakehouse.commits import Commit, Source
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_table
from tests.support.signal_rows import SCHEMA, committed_rows, signal_snaps, snap_ns, snap_rows

NAME = iceberg.TABLES[topics.SIGNALS]


def commit(*numbers: int) -> None:
    """Commit these snaps as the sink does."""
    store = IcebergStore(iceberg.open_catalog(), NAME, topics.SIGNALS)
    standing = store.load()
    batch = Commit(
        commit_id=uuid.uuid4().hex,
        owner="test",
        source=Source("cluster", "topic"),
        begin=dict(standing.offsets),
        end={0: standing.offsets.get(0, 0) + 3 * len(numbers)},
        marks={},
        rows=committed_rows([row for number in numbers for row in snap_rows(number)]),
    )
    store.append(standing, batch, store.stage(standing, batch))


@pytest.fixture
def table(home: Path) -> Table:
    return ensure_table(iceberg.open_catalog(), NAME, topics.SIGNALS, SCHEMA)


def test_history_reads_what_the_sink_committed(table: Table) -> None:
    commit(0, 1, 2)
    commit(3, 4)
    live = LiveSignals(10)
    live.append(signal_snaps(4, 5))
    page = HistoryReader(service.scan_signals, live).page("VWAP", snap_ns(1), None, 10)
    assert [point["ts"] * 1_000_000 for point in page.points] == [snap_ns(n) for n in range(1, 6)]
    assert page.complete


def test_a_range_opens_only_the_files_it_needs(table: Table) -> None:
    per_hour = 3_600 * 4
    for hour in range(3):
        commit(hour * per_hour)
    asked: list[BooleanExpression] = []

    def scan(row_filter: BooleanExpression, columns: Sequence[str]) -> pa.Table | None:
        asked.append(row_filter)
        return service.scan_signals(row_filter, columns)

    HistoryReader(scan, LiveSignals()).page("VWAP", snap_ns(per_hour), snap_ns(per_hour), 1)
    newest = table.refresh()
    assert [len(list(newest.scan(row_filter=row_filter).plan_files())) for row_filter in asked] == [1, 1]


def test_the_tables_state_is_that_of_the_newest_snapshot(table: Table) -> None:
    assert service.table_states()[NAME].model_dump() == {"exists": True, "snapshot_id": None, "rows": 0}
    commit(0, 1)
    state = service.table_states()[NAME]
    assert (state.exists, state.rows) == (True, 6)
    assert state.snapshot_id == str(table.refresh().metadata.current_snapshot_id)


def test_without_a_table_there_is_nothing_to_scan(home: Path) -> None:
    assert service.scan_signals(AlwaysTrue(), ("level_id",)) is None
    assert not service.table_states()[NAME].exists


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}") as caught, bound_socket("127.0.0.1", port):
            pass
    assert "BREAKWATER_API_PORT" in str(caught.value.hint)


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:0"), bound_socket("192.0.2.1", 0):
        pass
