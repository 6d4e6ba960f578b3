"""A certificate counts every layer of a session and finds the first thing that is no longer as it was."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from common import iceberg, topics
from common.errors import InputError
from lakehouse.certificates import command
from lakehouse.certificates.certificate import certify, difference, session_bounds
from lakehouse.certificates.log import Letter
from tests.support.silver_lake import SinkTables, compact, computed, finish, record

DATE = 20250603
BEGIN_NS, END_NS = session_bounds(DATE)
TOPIC = topics.FUTURES_TRADES


class Topics:
    """A broker that has so many records and letters."""

    def __init__(self, records: dict[str, int] | None = None, letters: frozenset[Letter] = frozenset()) -> None:
        self._records = records or {}
        self._letters = letters

    def count(self, topic: str, partition: int, first: int, last: int) -> int | None:
        return self._records.get(topic, last - first + 1)

    def letters(self) -> frozenset[Letter]:
        return self._letters


@pytest.fixture
def lake(home: Path) -> SinkTables:
    """Trades of a session, one of them twice, and one of the session before."""
    tables = SinkTables(iceberg.open_catalog())
    times = [BEGIN_NS - 1, *(BEGIN_NS + number * 10**12 for number in range(20)), BEGIN_NS]
    ids = [99, *range(20), 0]
    tables.append(TOPIC, *(record(TOPIC, event_id=i, ts_event_ns=ts, size=1) for i, ts in zip(ids, times, strict=True)))
    tables.promise(TOPIC, END_NS, "ENDED")
    finish(*computed(iceberg.open_catalog(), "silver.futures_trades"))
    return tables


def without_five(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.not_equal(rows["event_id"], 5))


def test_every_layer_of_the_session_is_counted(lake: SinkTables) -> None:
    made = certify(DATE, Topics())
    counts = made.topics[TOPIC]
    part = counts.partitions["0"]
    assert (part.first_offset, part.last_offset, part.topic_records, part.table_rows) == (1, 21, 21, 21)
    assert (counts.table_rows, counts.distinct_events, counts.silver_rows) == (21, 20, 20)
    assert (part.dead_letters, part.missing_offsets, made.findings) == (0, 0, ())


def test_a_certificate_is_the_same_after_compaction(lake: SinkTables) -> None:
    before = certify(DATE, Topics()).as_data()
    compact(iceberg.open_catalog(), iceberg.TABLES[TOPIC])
    assert certify(DATE, Topics()).as_data() == before


def test_a_changed_row_and_a_lost_one_are_found(lake: SinkTables) -> None:
    stored = certify(DATE, Topics()).as_data()
    catalog = iceberg.open_catalog()
    compact(catalog, "silver.futures_trades", without_five)
    now = certify(DATE, Topics())
    assert now.findings == (f"{TOPIC} has 20 distinct events, Silver holds 19",)
    assert "silver_digest" in str(difference(stored, now.as_data()))
    compact(catalog, iceberg.TABLES[TOPIC], without_five)
    assert f"{TOPIC}:0 lacks 1 offsets" in certify(DATE, Topics()).findings


def test_a_record_in_the_dead_letters_is_not_missing(lake: SinkTables) -> None:
    compact(iceberg.open_catalog(), iceberg.TABLES[TOPIC], without_five)
    part = certify(DATE, Topics(letters=frozenset({(TOPIC, 0, 6), (TOPIC, 0, 500)}))).topics[TOPIC].partitions["0"]
    assert (part.dead_letters, part.missing_offsets) == (1, 0)


def test_records_that_never_reached_the_table_are_found(lake: SinkTables) -> None:
    made = certify(DATE, Topics({TOPIC: 23}))
    assert made.findings == (f"{TOPIC}:0 has 23 records, 21 are stored or set aside",)


def test_what_the_broker_no_longer_has_is_not_compared(lake: SinkTables) -> None:
    with_broker, without = certify(DATE, Topics()).as_data(), certify(DATE, None).as_data()
    assert difference(with_broker, without) is None and difference(without, with_broker) is None
    other = certify(DATE, Topics({TOPIC: 23})).as_data()
    assert "topic_records" in str(difference(with_broker, other))


def test_a_session_of_which_nothing_is_stored_has_no_certificate(lake: SinkTables) -> None:
    with pytest.raises(InputError, match="nothing is stored"):
        certify(20250606, None)
    with pytest.raises(InputError, match="no session"):
        certify(20250607, None)


def test_the_command_stores_compares_and_names_the_difference(lake: SinkTables, home: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(command.app, ["2025-06-03", *arguments], catch_exceptions=False)
        return result.exit_code, result.output

    assert run()[0] == 0 and (home / "lake" / "_meta" / "certificates" / "20250603.json").is_file()
    code, output = run()
    assert code == 0 and "as certified" in output
    lake.append(TOPIC, record(TOPIC, event_id=77, ts_event_ns=BEGIN_NS + 5))
    code, output = run()
    assert code == 1 and f"topics.{TOPIC}" in output
    assert run("--renew")[0] == 0 and run()[0] == 0
