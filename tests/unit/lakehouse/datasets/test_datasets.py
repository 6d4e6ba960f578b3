"""Training sets: the same rows for ever under one name, and none of them knows its future."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common import iceberg, topics
from common.config import NS_PER_S
from common.content import ContentDigest
from common.errors import ConfigError, InputError, InvariantError
from lakehouse import datasets
from lakehouse.datasets.check import check_rows
from lakehouse.datasets.command import FORMATS
from lakehouse.datasets.read import TABLE
from lakehouse.maintenance.upkeep import Bounds, maintain
from tests.support.silver_lake import BEGIN_NS, SinkTables, compact, computed, finish, record

FEATURES = ("spot", "barrier_depth", "break_score_raw")
LABEL = "outcome_240s"
UNTIL_NS = BEGIN_NS + 10 * 3600 * NS_PER_S


def episodes(lake: SinkTables, *numbers: int) -> None:
    """Episodes of four rows a minute apart, each with an outcome that is known after 480 s."""
    measured, judged, outcomes = [], [], []
    for number in numbers:
        touch_ns = BEGIN_NS + number * 1200 * NS_PER_S
        for row in range(4):
            common: dict[str, Any] = {
                "ts_event_ns": touch_ns + row * 60 * NS_PER_S,
                "level_id": "ROUND_470",
                "snap_rows": 1,
                "session_date": 20231225,
                "spot": 470.0 + number + row / 100,
                "barrier_depth": row,
                "episode_id": f"e{number}",
            }
            measured.append(record(topics.FEATURES, **common, episode=1))
            judged.append(record(topics.SIGNALS, **common, break_score_raw=float(row), config_hash="c"))
        outcome = record(
            topics.OUTCOMES,
            ts_event_ns=touch_ns + 480 * NS_PER_S,
            episode_id=f"e{number}",
            ts_touch_ns=touch_ns,
            outcome_240s=("BREAK", "REJECT")[number % 2],
        )
        outcomes.append(outcome)
    for topic, records in ((topics.FEATURES, measured), (topics.SIGNALS, judged), (topics.OUTCOMES, outcomes)):
        lake.append(topic, *records)


@pytest.fixture
def lake(home: Path) -> SinkTables:
    """Two episodes with their computed tables."""
    tables = SinkTables(iceberg.open_catalog())
    episodes(tables, 0, 1)
    compute(tables)
    return tables


def compute(lake: SinkTables) -> None:
    lake.promise(topics.FUTURES_MBP10, UNTIL_NS, "ENDED")
    finish(*computed(iceberg.open_catalog(), "silver.features_es_pipeline", TABLE))


def make(name: str = "first") -> datasets.Dataset:
    return datasets.create(name, BEGIN_NS, UNTIL_NS, FEATURES, LABEL)


def spoil(change: Callable[[pa.Table], pa.Table]) -> None:
    """Put other rows in the place of the training table's, as a faulty pipeline would."""
    compact(iceberg.open_catalog(), TABLE, change)


def replaced(rows: pa.Table, column: str, value: Any) -> pa.Table:
    """The rows with another value in the first one."""
    place = rows.schema.get_field_index(column)
    values = [value, *rows[column].to_pylist()[1:]]
    return rows.set_column(place, rows.schema.field(place), pa.array(values, rows.schema.field(place).type))


def test_a_set_is_read_back_as_it_was_made(lake: SinkTables) -> None:
    made = make()
    assert made.rows == 8 and made.labels == {"BREAK": 4, "REJECT": 4} and made.config_hashes == ("c",)
    rows = datasets.rows(datasets.find("first"))
    assert rows.column_names == list(made.columns)
    assert rows["barrier_depth"].to_pylist() == [0, 1, 2, 3] * 2
    assert rows["break_score_raw"].to_pylist() == [0.0, 1.0, 2.0, 3.0] * 2
    frame = datasets.to_pandas(made)
    assert list(frame["spot"]) == rows["spot"].to_pylist()
    assert datasets.to_polars(made).equals(polars.DataFrame(rows))
    assert [one.name for one in datasets.listed()] == ["first"]


def test_a_set_stays_the_same_while_its_tables_go_on(lake: SinkTables) -> None:
    made = make()
    before = datasets.rows(made)
    episodes(lake, 2)
    compute(lake)
    compact(iceberg.open_catalog(), TABLE)
    table = iceberg.open_catalog().load_table(TABLE)
    table.maintenance.expire_snapshots().older_than(pa.scalar(2**62 // 10**6, pa.timestamp("ms")).as_py()).commit()
    assert datasets.rows(datasets.find("first")).equals(before)
    assert make("second").rows == 12


def test_a_set_reads_the_same_after_rounds_of_maintenance_that_left_nothing_else_of_its_snapshot(
    lake: SinkTables,
) -> None:
    made = make()
    before = datasets.rows(made)
    zero = timedelta(0)
    eager = Bounds(snapshot_age=zero, snapshots_kept=1, orphan_grace=zero)
    for number in (2, 3):
        episodes(lake, number)
        compute(lake)
        for _ in range(2):
            for name in iceberg.table_names():
                maintain(iceberg.open_catalog().load_table(name), eager)
    table = iceberg.open_catalog().load_table(TABLE)
    assert len(table.metadata.snapshots) == 2, "the tagged one and the newest"
    found = datasets.find("first")
    assert datasets.rows(found).equals(before) and found.digest == made.digest
    check_rows(before, found)


def test_snapshots_that_are_let_go_during_the_check_stay_for_the_set(
    lake: SinkTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(rows: pa.Table, dataset: datasets.Dataset) -> None:
        episodes(lake, 2)
        for name in dataset.snapshots:
            maintain(iceberg.open_catalog().load_table(name), Bounds(snapshot_age=timedelta(0), snapshots_kept=1))
        check_rows(rows, dataset)

    # The package's name for it is the function in it.
    monkeypatch.setattr(import_module("lakehouse.datasets.create"), "check_rows", busy)
    made = make()
    assert datasets.rows(datasets.find("first")).num_rows == made.rows


def test_a_set_that_is_refused_leaves_no_tag(lake: SinkTables) -> None:
    with pytest.raises(InputError, match="no rows"):
        datasets.create("none", UNTIL_NS, UNTIL_NS + 1, FEATURES, LABEL)
    for name in iceberg.table_names():
        assert list(iceberg.open_catalog().load_table(name).refs()) == ["main"]


def test_a_name_is_given_once(lake: SinkTables) -> None:
    made = make()
    with pytest.raises(InputError, match="already"):
        datasets.create("first", BEGIN_NS, UNTIL_NS, ("spot",), LABEL)
    assert datasets.find("first") == made


def test_snapshots_are_tagged_in_every_table_that_the_set_depends_on(lake: SinkTables) -> None:
    made = make()
    for name, snapshot_id in made.snapshots.items():
        assert iceberg.open_catalog().load_table(name).refs()[made.tag].snapshot_id == snapshot_id


@pytest.mark.parametrize("name", ["outcome_240s", "ts_known_ns", "ts_touch_ns", "outcome_240s_known_ns", "nothing"])
def test_what_is_known_later_is_no_feature(lake: SinkTables, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        datasets.create("x", BEGIN_NS, UNTIL_NS, ("spot", name), LABEL)


def test_a_feature_of_a_later_snap_is_found(lake: SinkTables) -> None:
    spoil(lambda rows: replaced(rows.sort_by("ts_event_ns"), "spot", 470.01))
    with pytest.raises(InvariantError, match=r"would leak.*spot is 470\.01"):
        make()
    assert datasets.listed() == []


def test_a_row_after_its_label_was_known_is_found(lake: SinkTables) -> None:
    late = record(
        topics.FEATURES, ts_event_ns=BEGIN_NS + 300 * NS_PER_S, level_id="ROUND_470", episode_id="e0", snap_rows=1
    )
    lake.append(topics.FEATURES, late)

    def later(rows: pa.Table) -> pa.Table:
        first = rows.sort_by("ts_event_ns").slice(0, 1)
        moved = replaced(first, "ts_event_ns", BEGIN_NS + 300 * NS_PER_S)
        return pa.concat_tables([rows, moved]).sort_by("ts_event_ns")

    spoil(later)
    with pytest.raises(InvariantError, match="its label was known 60 s before it"):
        make()


def test_another_label_than_the_outcomes_is_found(lake: SinkTables) -> None:
    spoil(lambda rows: replaced(rows.sort_by("ts_event_ns"), LABEL, "CHOP"))
    with pytest.raises(InvariantError, match="its label is CHOP"):
        make()


def test_other_bytes_than_those_it_was_made_of_are_refused(lake: SinkTables) -> None:
    made = make()
    (task,) = iceberg.open_catalog().load_table(TABLE).scan().plan_files()
    path = task.file.file_path.removeprefix("file://")
    pq.write_table(replaced(pq.read_table(path), "spot", 1.0), path)
    with pytest.raises(InvariantError, match="digest"):
        datasets.rows(made)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_set_can_be_written_in_each_format(lake: SinkTables, suffix: str, tmp_path: Path) -> None:
    rows = datasets.rows(make())
    path = tmp_path / f"set{suffix}"
    FORMATS[suffix](rows, path)
    found = {".parquet": polars.read_parquet, ".csv": polars.read_csv, ".arrow": polars.read_ipc}[suffix](path)
    assert found["spot"].to_list() == rows["spot"].to_pylist()
    assert found.height == rows.num_rows


def test_the_digest_sees_content_and_neither_pieces_nor_layout() -> None:
    rows = pa.table({"a": [1, None, 3], "b": ["x", None, ""], "c": [[1], None, []], "d": [True, False, None]})

    def digest(*pieces: pa.Table) -> str:
        found = ContentDigest(("a", "b", "c", "d"))
        for piece in pieces:
            found.update(piece)
        return found.hexdigest()

    whole = digest(rows)
    assert digest(rows.slice(0, 1), rows.slice(1)) == whole
    assert digest(pa.concat_tables([rows.slice(0, 2), rows.slice(2)])) == whole
    assert digest(rows.slice(1), rows.slice(0, 1)) != whole
    assert digest(replaced(rows, "b", "y")) != whole
    assert digest(replaced(rows, "c", [1, 2])) != whole
    assert digest(replaced(rows, "a", 0)) != digest(replaced(rows, "a", None))
