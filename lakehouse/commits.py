"""Exactly once, as an algorithm: when may a batch be added to a table, and what became of it when nobody says.

Enters: a batch of rows with the offsets where it begins and ends. Leaves: :class:`Committed`, :class:`Overtaken`, or
an error. The rows and the offsets become visible in one commit of the table, and that commit counts only if the
table's offsets still stand where the batch began. :class:`Store` is the narrow seam to the table format; tests put a
faulty table in memory behind it.

Why nothing is lost or doubled:

- a store applies an append only on the version of the table that was checked (compare and swap), so every attempt,
  the first and each later one, is checked against the version it changes;
- an attempt whose outcome is unknown is settled by reloading the table and looking for the batch's commit id; found
  means done. Not found means it can no longer land once another attempt, or another writer, has moved the table on,
  and until then the same id finds it;
- files are never deleted here: an attempt that was refused may have landed by a request sent twice, and its snapshot
  may have expired since, so that nobody finds it. Maintenance removes what no snapshot names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from common.errors import ConflictError, InvariantError, SchemaError, UnavailableError
from common.telemetry import get_logger

log = get_logger("lakehouse.commits")

MAX_ATTEMPTS = 12
"""Attempts of one commit before it fails loudly: about half a minute with the pauses in between."""

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Source:
    """Which log the offsets count in: a topic deleted and made anew has another ``topic_id``."""

    cluster_id: str
    topic_id: str


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """The last row of a snap topic's partition that is in the table; rows at or below it are repetitions."""

    ts_event_ns: int
    snap_row: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a table says at one version of it; partitions without an entry were never written.

    ``offsets``: next offset per partition. ``owners``: the sink that claimed each partition last. ``version`` is the
    store's own.
    """

    offsets: Mapping[int, int]
    marks: Mapping[int, Mark]
    owners: Mapping[int, str]
    source: Source | None
    version: Any = field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Commit:
    """A batch: from ``begin`` (None where the table has no offset) to ``end``, per partition, and the rows between."""

    commit_id: str
    owner: str
    source: Source
    begin: Mapping[int, int | None]
    end: Mapping[int, int]
    marks: Mapping[int, Mark]
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Committed:
    """The batch is in the table, in this snapshot."""

    snapshot_id: int


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Another writer moved the partitions on; nothing of the batch is in the table. Seek to ``standing``'s offsets."""

    standing: Standing


class CommitRefused(Exception):  # noqa: N818  (an outcome, handled by the caller in this module)
    """The table had moved on; by another writer, or by this very change where a request was sent twice."""


class Store(Protocol):
    """One table, as far as the sink needs it. Any exception from a change means: outcome unknown."""

    def load(self) -> Standing:
        """The newest version."""

    def claim(self, standing: Standing, owner: str, source: Source, partitions: Iterable[int]) -> None:
        """Write the owner and the source down (no rows). May raise CommitRefused when another change came first."""

    def stage(self, standing: Standing, commit: Commit) -> Any:
        """Write the batch's files; nobody sees them yet."""

    def append(self, standing: Standing, commit: Commit, staged: Any) -> int:
        """Make files, offsets and marks visible in one step, only if rows stand as in ``standing``; returns the
        snapshot id.

        Raises CommitRefused when the table's rows have moved on.
        """

    def find(self, standing: Standing, commit_id: str) -> int | None:
        """The snapshot that carries the commit id, if any."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How failures are borne: ``pause(seconds)`` between attempts, ``failed(error)`` told of each (health, metrics)."""

    pause: Callable[[float], None]
    failed: Callable[[Exception], None] = lambda _: None
    attempts: int = MAX_ATTEMPTS

    def bear(self, attempt: int, what: str, error: Exception) -> None:
        """Report a failed attempt and wait for the next. Raises UnavailableError after the last."""
        self.failed(error)
        log.warning("table_commit_failed", what=what, attempt=attempt + 1, error=repr(error))
        if attempt + 1 >= self.attempts:
            raise UnavailableError(
                f"{what} failed {self.attempts} times, last with {error!r}",
                hint=getattr(error, "hint", None)
                or "Check the Iceberg catalog and the warehouse's disk or object store.",
            ) from error
        self.pause(min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S))


def check_source(standing: Standing, source: Source) -> None:
    """Raises InvariantError when the table's offsets count in another log than ``source``."""
    if standing.source is not None and standing.source != source:
        raise InvariantError(
            f"the table was filled from topic id {standing.source.topic_id} of cluster {standing.source.cluster_id};"
            f" the topic now has id {source.topic_id} in cluster {source.cluster_id}: its offsets mean something else",
            hint="The topic was recreated or another cluster answers."
            " Use another BREAKWATER_HOME, or drop the table to fill it anew.",
        )


def claim(store: Store, owner: str, source: Source, partitions: Iterable[int], patience: Patience) -> Standing:
    """Become the owner of the partitions; who owned them before stops at its next commit. Returns the table as
    claimed.

    Raises InvariantError for a changed source, UnavailableError when the table cannot be reached.
    """
    wanted = tuple(partitions)
    for attempt in range(patience.attempts):
        try:
            standing = store.load()
            check_source(standing, source)
            if standing.source is not None and all(standing.owners.get(number) == owner for number in wanted):
                return standing
            store.claim(standing, owner, source, wanted)
            return store.load()
        except InvariantError:
            raise
        except Exception as error:
            patience.bear(attempt, "claiming the table", error)
    raise AssertionError("unreachable: the last attempt raises")


def commit_batch(store: Store, commit: Commit, patience: Patience) -> Committed | Overtaken:
    """Bring one batch into the table, exactly once.

    Raises ConflictError when another sink has claimed a partition, InvariantError when the table belongs to another
    log, UnavailableError when attempts keep failing (the batch may or may not be in: a restart settles it, as the
    offsets tell).
    """
    staged: Any = None
    for attempt in range(patience.attempts):
        try:
            standing = store.load()
            if attempt > 0 and (snapshot_id := store.find(standing, commit.commit_id)) is not None:
                return Committed(snapshot_id)
            _check_mine(standing, commit)
            if _overtaken(standing, commit):
                return Overtaken(standing)
            if staged is None:
                staged = store.stage(standing, commit)
        except (ConflictError, InvariantError, SchemaError):
            raise
        except Exception as error:
            patience.bear(attempt, "writing the table", error)
            continue
        try:
            return Committed(store.append(standing, commit, staged))
        except Exception as error:
            patience.bear(attempt, "committing to the table", error)
    raise AssertionError("unreachable: the last attempt raises")


def _check_mine(standing: Standing, commit: Commit) -> None:
    """Raises InvariantError, ConflictError when this sink may not write these partitions any more."""
    check_source(standing, commit.source)
    for number in commit.end:
        owner = standing.owners.get(number)
        if owner != commit.owner:
            raise ConflictError(
                f"partition {number} is now written by the sink {owner}, no longer by {commit.owner}",
                hint="Only one sink writes a partition; this one stops. Restart it to take the partition back.",
            )


def _overtaken(standing: Standing, commit: Commit) -> bool:
    """True when a partition stands beyond the batch's begin, False when all stand at it.

    Raises UnavailableError when one stands before it: offsets never fall, so this is a stale read, and tells nothing.
    """
    stands = [(_height(standing.offsets.get(number)), _height(begin)) for number, begin in commit.begin.items()]
    if any(height > begin for height, begin in stands):
        return True
    if any(height < begin for height, begin in stands):
        raise UnavailableError(f"the catalog shows old offsets: {dict(standing.offsets)}, not {dict(commit.begin)}")
    return False


def _height(offset: int | None) -> int:
    return -1 if offset is None else offset
