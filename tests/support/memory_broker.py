"""What stands in a log in memory (:mod:`tests.support.memory_log`): entries, transactions, partitions, faults."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from confluent_kafka import Message, Uuid


class Crash(BaseException):
    """The process died here. Not an Exception: no handler of the code under test may survive it."""


class Fault(Enum):
    """What goes wrong with one client call."""

    CRASH_BEFORE = "the process dies; the broker never hears of the call"
    CRASH_AFTER = "the call takes effect, then the process dies"
    ERROR = "nothing happens and the caller sees a passing error"
    LOST_ANSWER = "the call takes effect and the caller sees a timeout"
    ABORTABLE = "a transactional call fails; the transaction must be aborted"


@dataclass(slots=True)
class Transaction:
    """One transaction of a transactional id."""

    transactional_id: str
    state: Literal["open", "committed", "aborted"] = "open"
    partitions: list[Partition] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """What stands at one offset: a record, or (``control``) the marker that ends a transaction."""

    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, str | bytes | None]] | None = None
    timestamp_ms: int = 0
    transaction: Transaction | None = None
    control: bool = False

    @property
    def committed(self) -> bool:
        """True for a record that a committed read sees once the last stable offset has passed it."""
        return not self.control and (self.transaction is None or self.transaction.state == "committed")


class Partition:
    """The entries of one partition in offset order; compaction leaves gaps."""

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.low = 0
        self.high = 0
        self.entries: list[Entry] = []
        self.offsets: list[int] = []
        self._open: dict[int, tuple[Transaction, int]] = {}

    def append(self, entry: Entry) -> int:
        """Put the entry at the end; returns its offset."""
        entry.offset = self.high
        transaction = entry.transaction
        if transaction is not None and not entry.control and id(transaction) not in self._open:
            self._open[id(transaction)] = (transaction, entry.offset)
            transaction.partitions.append(self)
        self.entries.append(entry)
        self.offsets.append(entry.offset)
        self.high += 1
        return entry.offset

    def end(self, transaction: Transaction) -> None:
        """Write the control marker that ends the transaction here."""
        del self._open[id(transaction)]
        self.append(Entry(-1, transaction=transaction, control=True))

    @property
    def stable(self) -> int:
        """The last stable offset: committed reads stop here."""
        return min((first for _, first in self._open.values()), default=self.high)

    def at(self, offset: int) -> int:
        """Index of the first entry at or after ``offset``."""
        return bisect_left(self.offsets, offset)

    def keep(self, kept: list[Entry]) -> None:
        """Replace the entries (retention, compaction); offsets stay."""
        self.entries = kept
        self.offsets = [entry.offset for entry in kept]


@dataclass(slots=True)
class Topic:
    """A topic; made anew under the same name it has another id."""

    name: str
    topic_id: Uuid
    partitions: list[Partition]
    cleanup: str = "delete"


def message(topic: str, partition: int, entry: Entry) -> Message:
    """The entry as a consumer's message."""
    return Message(
        topic=topic,
        partition=partition,
        offset=entry.offset,
        key=entry.key,
        value=entry.value,
        headers=entry.headers,
        timestamp=(1, entry.timestamp_ms),
    )
