"""The order of events in which the Iceberg Kafka Connect sink doubles rows, played on a real table.

https://github.com/apache/iceberg/issues/16282: coordinator C1 commits a worker's data file X (snapshot S1), and its
task dies of a timed-out connection before it has moved its own place in the log past the news of X. Coordinator C2
begins at the old place, meets X again and commits it in a second snapshot S2. There the place in the log and the rows
are kept apart; here they stand in one commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyiceberg.catalog import Catalog

from common import iceberg, schemas
from lakehouse.commits import Commit, CommitRefused, Patience, Standing
from lakehouse.sink import Limits
from lakehouse.store import IcebergStore
from lakehouse.tables import ensure_table
from tests.support.lake import GROUP, TABLE, TOPIC, new_log, topic_sink, write
from tests.support.memory_log import Crash, MemoryLog


class Dying(IcebergStore):
    """C1's table: the commit lands, its answer is lost, and the process ends before it can act on it."""

    landed: tuple[Standing, Commit, Any] | None = None

    def append(self, standing: Standing, commit: Commit, staged: Any) -> int:
        super().append(standing, commit, staged)
        self.landed = (standing, commit, staged)
        raise Crash("connection timed out; the task is killed")


@pytest.fixture
def log(catalog: Catalog) -> Iterator[MemoryLog]:
    """The topic, with records that C1 reads, and the table made."""
    ensure_table(catalog, TABLE, TOPIC, schemas.load(TOPIC))
    made = new_log()
    write(made, 0, 1, 2)
    yield made


def rows() -> list[int]:
    return sorted(iceberg.scan(TABLE, columns=["_offset"])["_offset"].to_pylist())


def file_paths() -> list[str]:
    table = iceberg.load_table(TABLE)
    assert table is not None
    return list(table.inspect.files()["file_path"].to_pylist())


def test_a_new_coordinator_with_an_old_place_in_the_log_does_not_commit_the_files_again(
    log: MemoryLog, catalog: Catalog
) -> None:
    c1 = topic_sink(log, Dying(catalog, TABLE, TOPIC), process=log.process(), owner="C1", member="a")
    c1.start()
    with pytest.raises(Crash):
        c1.step(0)
    assert rows() == [0, 1, 2]
    # The group's place is before everything that C1 has committed, as C2's was.
    log.group(GROUP).members.clear()
    log.group_offsets[GROUP, TOPIC, 0] = 0
    c2 = topic_sink(log, IcebergStore(catalog, TABLE, TOPIC), owner="C2", member="b")
    c2.start()
    c2.step(0)
    assert rows() == [0, 1, 2] and len(file_paths()) == 1
    write(log, 3)
    c2.step(0)
    assert rows() == [0, 1, 2, 3]
    assert len(set(file_paths())) == len(file_paths()) == 2


def test_the_old_coordinator_s_file_is_refused_when_it_comes_once_more(log: MemoryLog, catalog: Catalog) -> None:
    store = Dying(catalog, TABLE, TOPIC)
    c1 = topic_sink(log, store, process=log.process(), owner="C1", member="a")
    c1.start()
    with pytest.raises(Crash):
        c1.step(0)
    log.group(GROUP).members.clear()
    c2 = topic_sink(log, IcebergStore(catalog, TABLE, TOPIC), owner="C2", member="b")
    c2.start()
    write(log, 3)
    c2.step(0)
    assert store.landed is not None
    with pytest.raises(CommitRefused):
        IcebergStore.append(store, *store.landed)
    assert rows() == [0, 1, 2, 3]
    assert len(set(file_paths())) == len(file_paths())


def test_a_rebalance_in_the_middle_of_a_commit_that_landed_repeats_nothing(log: MemoryLog, catalog: Catalog) -> None:
    # As in the second report: the coordinator lives on, and its group gives it the same partition anew.
    class Silent(IcebergStore):
        def append(self, standing: Standing, commit: Commit, staged: Any) -> int:
            super().append(standing, commit, staged)
            log.group(GROUP).generation += 1
            raise ConnectionError("the answer was lost")

    sink = topic_sink(
        log,
        Silent(catalog, TABLE, TOPIC),
        limits=Limits(age_s=0.0),
        patience=Patience(lambda _: None, attempts=3),
    )
    sink.start()
    sink.step(0)
    write(log, 3, 4)
    sink.step(0)
    sink.step(0)
    assert rows() == [0, 1, 2, 3, 4]
    assert len(set(file_paths())) == len(file_paths())
