"""The algorithm that makes a batch land once: claims that a schedule of faults would rarely show by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import ConflictError, InvariantError, UnavailableError
from lakehouse.commits import (
    Commit,
    CommitRefused,
    Committed,
    Overtaken,
    Patience,
    Source,
    Standing,
    claim,
    commit_batch,
)
from tests.support.lake import PATIENCE, SOURCE, batch
from tests.support.memory_catalog import AnswerLostError, MemoryStore, MemoryTable


def claimed(table: MemoryTable, owner: str = "me") -> MemoryStore:
    store = MemoryStore(table)
    claim(store, owner, SOURCE, [0, 1], PATIENCE)
    return store


def test_a_batch_that_begins_where_the_table_stands_is_committed() -> None:
    table = MemoryTable()
    store = claimed(table)
    assert commit_batch(store, batch(None, 3), PATIENCE) == Committed(1)
    assert commit_batch(store, batch(3, 5), PATIENCE) == Committed(2)
    assert [row["_offset"] for row in table.rows()] == [0, 1, 2, 3, 4]


def test_a_batch_behind_the_table_is_dropped_with_its_files() -> None:
    table = MemoryTable()
    store = claimed(table)
    commit_batch(store, batch(None, 3), PATIENCE)
    outcome = commit_batch(store, batch(None, 2), PATIENCE)
    assert isinstance(outcome, Overtaken) and outcome.standing.offsets == {0: 3}
    assert set(table.warehouse) == set(table.now.files)


def test_a_landed_commit_whose_answer_was_lost_is_found_and_not_repeated() -> None:
    class Silent(MemoryStore):
        def append(self, standing: Standing, commit: Commit, staged: str) -> int:
            super().append(standing, commit, staged)
            raise AnswerLostError

    table = MemoryTable()
    claimed(table)
    assert commit_batch(Silent(table), batch(None, 3), PATIENCE) == Committed(1)
    assert len(table.rows()) == 3


def test_files_of_a_commit_in_doubt_are_kept_though_the_table_moved_on_and_forgot_it() -> None:
    class Forgetful(MemoryStore):
        """The commit lands, its answer is lost, another batch follows, and expiry drops the snapshots."""

        def append(self, standing: Standing, commit: Commit, staged: str) -> int:
            super().append(standing, commit, staged)
            raise AnswerLostError

        def find(self, standing: Standing, commit_id: str) -> int | None:
            return None

    table = MemoryTable()
    claimed(table)
    assert isinstance(commit_batch(Forgetful(table), batch(None, 3), PATIENCE), Overtaken)
    assert len(table.rows()) == 3


def test_a_stale_read_is_no_conflict_and_deletes_nothing() -> None:
    class Stale(MemoryStore):
        """Answers a landed commit with a refusal, then shows the table as it was long before."""

        def append(self, standing: Standing, commit: Commit, staged: str) -> int:
            super().append(standing, commit, staged)
            self.old = 2
            raise CommitRefused

        def load(self) -> Standing:
            self.old = getattr(self, "old", 0) - 1
            if self.old >= 0:
                return Standing({}, {}, {0: "me"}, SOURCE, table.versions[1])
            return super().load()

    table = MemoryTable()
    commit_batch(claimed(table), batch(None, 3), PATIENCE)
    assert commit_batch(Stale(table), batch(3, 5), PATIENCE) == Committed(2)
    assert len(table.rows()) == 5


def test_a_table_whose_offsets_were_set_back_gets_nothing_until_a_restart() -> None:
    table = MemoryTable()
    store = claimed(table)
    commit_batch(store, batch(None, 3), PATIENCE)
    table.put(replace(table.now, offsets={0: 1}))
    with pytest.raises(UnavailableError, match=r"old offsets: \{0: 1\}, not \{0: 3\}"):
        commit_batch(store, batch(3, 5), PATIENCE)
    assert len(table.rows()) == 3


def test_another_partition_s_commit_in_between_costs_only_another_attempt() -> None:
    class Crowded(MemoryStore):
        def load(self) -> Standing:
            standing = super().load()
            if not table.now.files:
                commit_batch(MemoryStore(table), batch(None, 2, partition=1), PATIENCE)
            return standing

    table = MemoryTable()
    claimed(table)
    assert commit_batch(Crowded(table), batch(None, 3), PATIENCE) == Committed(2)
    assert table.now.offsets == {0: 3, 1: 2}


def test_who_lost_the_partition_stops() -> None:
    table = MemoryTable()
    old = claimed(table, "old")
    claimed(table, "new")
    with pytest.raises(ConflictError, match=r"partition 0 is now written by the sink new, no longer by old"):
        commit_batch(old, batch(None, 3, owner="old"), PATIENCE)
    assert table.rows() == []


def test_commits_that_keep_failing_fail_loudly_and_say_so_meanwhile() -> None:
    class Broken(MemoryStore):
        def stage(self, standing: Standing, commit: Commit) -> str:
            raise OSError(28, "No space left on device")

    told: list[Exception] = []
    pauses: list[float] = []
    table = MemoryTable()
    claimed(table)
    with pytest.raises(UnavailableError, match=r"failed 5 times.*No space left") as caught:
        commit_batch(Broken(table), batch(None, 3), Patience(pauses.append, told.append, attempts=5))
    assert caught.value.hint
    assert len(told) == 5 and pauses == sorted(pauses) and len(pauses) == 4


def test_a_table_of_another_topic_incarnation_is_not_claimed() -> None:
    table = MemoryTable()
    claimed(table)
    with pytest.raises(InvariantError, match="topic id topic of cluster cluster") as caught:
        claim(MemoryStore(table), "me", Source("cluster", "made anew"), [0], PATIENCE)
    assert caught.value.hint
