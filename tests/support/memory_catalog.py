"""A table in memory behind the sink's `Store` seam, with everything that can go wrong between a sink and a catalog.

:class:`MemoryTable` is what the catalog and the warehouse hold; it outlives the sinks. Each sink has a
:class:`MemoryStore` of its own. A commit applies only on the row version that was read, as Iceberg's
``assert-ref-snapshot-id`` has it. With a seed, calls fail before or after their effect, answers get lost or arrive as
the wrong answer, requests are applied later than their sender gave up, reads are stale, the process dies, and
``interlude`` lets others act at every call.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pyarrow as pa

from lakehouse.commits import Commit, CommitRefused, Mark, Source, Standing
from tests.support.memory_log import Crash


class AnswerLostError(Exception):
    """The outcome of the call is unknown to its caller."""


@dataclass(frozen=True)
class Version:
    """The table at one time."""

    number: int = 0
    snapshot: int = 0
    offsets: dict[int, int] = field(default_factory=dict)
    marks: dict[int, Mark] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    source: Source | None = None
    files: tuple[str, ...] = ()
    commits: tuple[tuple[str, int], ...] = ()


class MemoryTable:
    """The catalog's and the warehouse's side."""

    def __init__(self, seed: int | None = None) -> None:
        self.random = random.Random(seed)
        self.faulty = seed is not None
        self.versions = [Version()]
        self.warehouse: dict[str, pa.Table] = {}
        self.in_flight: list[Callable[[], None]] = []
        self.interlude: Callable[[], None] = lambda: None
        self.calls: dict[str, int] = {}
        self.trespasses: list[str] = []

    @property
    def now(self) -> Version:
        """The newest version."""
        return self.versions[-1]

    def rows(self) -> list[dict[str, object]]:
        """Every row a reader sees. Raises KeyError when a file that the table needs was deleted."""
        return [row for name in self.now.files for row in self.warehouse[name].to_pylist()]

    def put(self, version: Version) -> None:
        """Make a version the newest; sometimes maintenance lets old snapshots go, and their commits are not found."""
        if self.faulty and self.random.random() < 0.2:
            version = replace(version, commits=version.commits[-1:])
        self.versions.append(replace(version, number=self.now.number + 1))

    def land(self, chance: float = 1.0) -> None:
        """Requests whose senders gave up arrive now, each with the chance; most find that the table has moved on."""
        waiting, self.in_flight = self.in_flight, []
        for request in waiting:
            if self.random.random() < chance:
                request()
            else:
                self.in_flight.append(request)


class MemoryStore:
    """One sink's view of the table. ``die``: what to do when the plan says that the process ends here."""

    def __init__(self, table: MemoryTable, die: Callable[[], None] = lambda: None) -> None:
        self._table = table
        self._die = die

    def load(self) -> Standing:
        self._before("load")
        version = self._table.now
        if self._strikes(0.06):
            version = self._table.random.choice(self._table.versions[-3:])
        return Standing(version.offsets, version.marks, version.owners, version.source, version)

    def claim(self, standing: Standing, owner: str, source: Source, partitions: Iterable[int]) -> None:
        self._before("claim")
        now = self._table.now
        self._table.put(replace(now, owners={**now.owners, **dict.fromkeys(partitions, owner)}, source=source))
        self._after()

    def stage(self, standing: Standing, commit: Commit) -> str:
        self._before("stage")
        self._table.warehouse[commit.commit_id] = commit.rows
        self._after()
        return commit.commit_id

    def append(self, standing: Standing, commit: Commit, staged: str) -> int:
        self._before("append")
        base: Version = standing.version
        # A later claim may still be overtaken by this append: then the offsets tell. But one that was seen binds.
        self._table.trespasses += [commit.owner for n in commit.end if base.owners.get(n) != commit.owner]

        def arrive() -> int:
            now = self._table.now
            if now.snapshot != base.snapshot:
                raise CommitRefused(f"snapshot {base.snapshot} was expected, the table has {now.snapshot}")
            snapshot = now.snapshot + 1
            self._table.put(
                replace(
                    now,
                    snapshot=snapshot,
                    offsets={**now.offsets, **commit.end},
                    marks={**now.marks, **commit.marks},
                    files=(*now.files, staged),
                    commits=(*now.commits, (commit.commit_id, snapshot)),
                )
            )
            return snapshot

        if self._strikes(0.08):
            self._table.in_flight.append(lambda: _quietly(arrive))
            raise AnswerLostError("the request is still on its way")
        snapshot = arrive()
        if self._strikes(0.03):
            raise CommitRefused("a proxy repeated the request; the first had landed")
        self._after()
        return snapshot

    def find(self, standing: Standing, commit_id: str) -> int | None:
        self._before("find")
        return dict(standing.version.commits).get(commit_id)

    def _before(self, call: str) -> None:
        table = self._table
        table.calls[call] = table.calls.get(call, 0) + 1
        table.interlude()
        if table.faulty:
            table.land(0.3)
        if self._strikes(0.02):
            self._die()
            raise Crash(f"before {call}")
        if self._strikes(0.05):
            raise AnswerLostError(f"{call} did not reach the catalog")

    def _after(self) -> None:
        if self._strikes(0.02):
            self._die()
            raise Crash("after the effect")
        if self._strikes(0.06):
            raise AnswerLostError("done, but nobody says so")

    def _strikes(self, chance: float) -> bool:
        return self._table.faulty and self._table.random.random() < chance


def _quietly(request: Callable[[], int]) -> None:
    try:
        request()
    except CommitRefused:
        return
