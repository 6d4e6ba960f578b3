from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from pyiceberg.catalog import Catalog
from typer.testing import CliRunner

from common import iceberg, schemas
from common.errors import InputError, UnavailableError
from lakehouse import ask, query, read
from lakehouse.commits import claim, commit_batch
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_table
from tests.support.lake import PATIENCE, SOURCE, START_NS, TABLE, TOPIC, batch
from tests.support.stack import environment

app = typer.Typer()
app.command()(ask.query)


@pytest.fixture(autouse=True)
def _tables(catalog: Catalog) -> None:
    for topic, name in iceberg.TABLES.items():
        ensure_table(catalog, name, topic, schemas.load(topic))
    store = IcebergStore(catalog, TABLE, TOPIC)
    claim(store, "me", SOURCE, [0], PATIENCE)
    commit_batch(store, batch(None, 10), PATIENCE)


@pytest.mark.parametrize("name", query.names())
def test_every_stored_query_runs(name: str) -> None:
    assert query.run(query.stored(name)).num_columns > 0


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        (f"SELECT count(*) AS n FROM {TABLE}", [{"n": 10}]),
        (f"SELECT sum(size) AS v FROM {TABLE} WHERE _offset < 3", [{"v": 6}]),
        (
            f"SELECT max(t._OFFSET) AS last FROM {TABLE} t JOIN gold.levels_signals s USING (ts_event_ns)",
            [{"last": None}],
        ),
        ("SELECT 1 AS one", [{"one": 1}]),
    ],
)
def test_sql_sees_what_is_committed(sql: str, answer: list[dict[str, object]]) -> None:
    assert query.run(sql).to_pylist() == answer


@pytest.mark.parametrize("sql", [f"SELECT * FROM {TABLE}", f"FROM {TABLE}", f"SELECT COLUMNS('.*') FROM {TABLE}"])
def test_all_columns_are_there_when_the_query_names_none(sql: str) -> None:
    found = iceberg.load_table(TABLE)
    assert found is not None
    assert query.run(sql).column_names == list(found.schema().column_names)


def test_a_query_that_cannot_run_says_where() -> None:
    with pytest.raises(InputError, match='syntax error at or near "SELEC"'):
        query.run("SELEC")


def test_the_tables_are_listed_by_their_full_names() -> None:
    assert query.run("SHOW TABLES")["table_name"].to_pylist() == sorted(iceberg.TABLES.values())
    columns = query.run(f"DESCRIBE {TABLE}")["column_name"].to_pylist()
    found = iceberg.load_table(TABLE)
    assert found is not None and columns == list(found.schema().column_names)
    assert query.run("SELECT count(*) AS n FROM information_schema.columns WHERE table_name = 'levels_signals'")[
        "n"
    ].to_pylist() > [50]


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT 1 FROM bronze.a", ["bronze.a"]),
        ('SELECT 1 FROM "silver"."a" JOIN gold.b', ["silver.a", "gold.b"]),
        ("SELECT a.x FROM silver.a AS a", ["bronze.a", "silver.a"]),
        ("SELECT ab FROM c", []),
    ],
)
def test_only_tables_that_the_query_may_mean_are_opened(sql: str, tables: list[str]) -> None:
    assert query.mentioned(sql, ["bronze.a", "silver.a", "gold.b"]) == tables


def test_a_table_may_be_read_twice_in_one_query() -> None:
    sql = f"SELECT count(*) AS n FROM {TABLE} a JOIN {TABLE} b USING (_offset)"
    assert query.run(sql).to_pylist() == [{"n": 10}]


def test_files_outside_of_the_asked_time_are_not_read(catalog: Catalog) -> None:
    before = set(_files())
    commit_batch(IcebergStore(catalog, TABLE, TOPIC), batch(10, 20), PATIENCE)
    (added,) = set(_files()) - before
    Path(added.removeprefix("file://")).unlink()
    ten = START_NS + 10 * 1_000_000_000
    sql = f"SELECT count(*) AS n FROM {TABLE} WHERE ts_event_ns"
    assert query.run(f"{sql} < {ten}").to_pylist() == [{"n": 10}]
    with pytest.raises(InputError):
        query.run(f"{sql} >= {ten} AND size > 0")


def _files() -> list[str]:
    table = iceberg.load_table(TABLE)
    assert table is not None
    return [task.file.file_path for task in table.scan().plan_files()]


def test_without_a_broker_a_query_has_the_committed_rows_and_says_so() -> None:
    notes: list[str] = []
    sql = f"SELECT count(*) AS n FROM {TABLE}"
    with environment(BREAKWATER_KAFKA_BOOTSTRAP=None, BREAKWATER_REGISTRY_URL=None):
        assert query.run(sql, tail=None, note=notes.append).to_pylist() == [{"n": 10}]
        assert notes and "committed rows alone" in notes[0]
        with pytest.raises(UnavailableError):
            query.run(sql, tail=True)


def test_an_unknown_stored_query_names_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        query.stored("nothing")
    assert "last_signals" in str(caught.value.hint)


def test_the_command_prints_json_csv_and_a_table() -> None:
    sql = f"SELECT _offset, ts_event FROM {TABLE} ORDER BY _offset LIMIT 2"
    as_json = CliRunner().invoke(app, [sql, "--format", "json"])
    assert json.loads(as_json.stdout)[1] == {"_offset": 1, "ts_event": "2023-12-25T10:26:41+00:00"}
    summed = CliRunner().invoke(app, [f"SELECT sum(size) AS v FROM {TABLE}", "--format", "json"])
    assert json.loads(summed.stdout) == [{"v": sum(1 + number % 3 for number in range(10))}]
    as_csv = CliRunner().invoke(app, [sql, "--format", "csv"])
    assert as_csv.stdout.splitlines()[0] == '"_offset","ts_event"' and len(as_csv.stdout.splitlines()) == 3
    as_table = CliRunner().invoke(app, ["@volume_by_price"])
    assert "4800.25" in as_table.stdout and "1 rows" in as_table.stdout


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        (f"SELECT * FROM {TABLE}s", f"Did you mean {TABLE}?"),
        (f"SELECT * FROM {TABLE.partition('.')[2]}s", f"Did you mean {TABLE}?"),
        ("SELECT * FROM elsewhere", 'All of them: ./breakwater query "SHOW TABLES"'),
        (f"SELECT sized FROM {TABLE}", "DESCRIBE"),
    ],
)
def test_a_name_that_is_wrong_leads_to_the_right_one(sql: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        query.run(sql)
    assert hint in str(caught.value.hint)
    assert "pg_catalog" not in str(caught.value) and "sqlite" not in str(caught.value)


def test_a_stored_query_misspelt_is_guessed() -> None:
    with pytest.raises(InputError) as caught:
        query.stored("last_signal")
    assert caught.value.hint == "Did you mean @last_signals?"


def test_a_past_that_is_no_time_is_named() -> None:
    result = CliRunner().invoke(app, ["SELECT 1", "--at-time", "yesterday"])
    assert result.exit_code == 1 and "'yesterday' is not a time" in result.output


def test_the_command_fails_with_a_hint() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1 and "hint: The stored queries are" in result.output
    two_pasts = CliRunner().invoke(app, ["SELECT 1", "--tag", "a", "--at-snapshot", "1"])
    assert two_pasts.exit_code == 1 and "one of snapshot, tag and time" in two_pasts.output
    assert CliRunner().invoke(app, ["SELECT 1", "--tag", "a", "--tail"]).exit_code == 1


def test_the_command_lists_the_stored_queries_with_their_questions() -> None:
    listed = json.loads(CliRunner().invoke(app, ["--list", "--format", "json"]).stdout)
    assert [row["name"] for row in listed] == query.names()
    assert all(row["question"].endswith(("?", ".")) for row in listed)


def test_rows_are_counted_by_reading_the_table() -> None:
    assert read.table_rows(TABLE) == 10
    assert read.table_rows("gold.levels_signals") == 0
    assert read.table_rows("gold.nothing") == 0
    assert read.snapshot_id(TABLE) is not None
    assert read.snapshot_id("gold.levels_signals") is None
    assert read.committed_offsets(TABLE) == {(TOPIC, 0): 10}
    assert list(read.signals()) == []


def test_rows_wider_than_the_terminal_are_written_downwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [f"SELECT * FROM {TABLE} LIMIT 2"], catch_exceptions=False).stdout
    assert "row 2" in shown
    lines = [line for line in shown.splitlines() if line.strip().startswith("ts_event_ns")]
    assert len(lines) == 2
    narrow = CliRunner().invoke(app, [f"SELECT size FROM {TABLE} LIMIT 2"], catch_exceptions=False).stdout
    assert "row 2" not in narrow
