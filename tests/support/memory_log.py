"""An event log in memory with confluent_kafka's own method names, so that shipped code meets crashes by the thousand.

:class:`MemoryLog` is the broker: topics, partitions, offsets with the gaps that control markers and aborted records
leave, transactions with fencing, a last stable offset, topic ids. A :class:`Process` stands for one operating-system
process; its clients die together when a planned :class:`Fault` strikes. Everything random comes from the log's seed, so
a seed is the whole bug report. Nothing waits: a timeout passes at once.

    log = MemoryLog(seed=7)
    log.create("levels.features.v1")
    log.faults[12] = Fault.CRASH_AFTER          # the 12th client call takes effect, then its process dies
    worker = Worker(producer=log.process().transactional_producer("features-SPY"), ...)
"""

from __future__ import annotations

import random
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, Message, Uuid

from tests.support.memory_broker import Crash, Entry, Fault, Partition, Topic, Transaction, message
from tests.support.memory_consumer import Admin, Consumer
from tests.support.memory_groups import Group
from tests.support.memory_producer import Producer

__all__ = ["Crash", "Fault", "MemoryLog", "Process"]


class Process:
    """Clients that live and die together."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.alive = True
        self._producers: list[Producer] = []

    def producer(self, **overrides: Any) -> Producer:
        """As `common.kafka.producer`."""
        return self._made(Producer(self, None, overrides))

    def transactional_producer(self, transactional_id: str, **overrides: Any) -> Producer:
        """As `common.kafka.transactional_producer`."""
        return self._made(Producer(self, transactional_id, overrides))

    def consumer(self, **overrides: Any) -> Consumer:
        """As `common.kafka.consumer` (committed records, an offset out of range is an error)."""
        return Consumer(self, overrides)

    def admin(self) -> Admin:
        """As `common.kafka.admin`."""
        return Admin(self)

    def _made(self, producer: Producer) -> Producer:
        self._producers.append(producer)
        return producer

    def die(self) -> None:
        """End the process: of what its producers had queued, a random part (seeded) still reaches the broker."""
        self.alive = False
        for producer in self._producers:
            producer.deliver(self.log.random.randint(0, len(producer)) if self.log.seeded else 0)

    def fault(self) -> Fault | None:
        """Count one client call; returns the fault planned for it. Raises Crash in a dead process."""
        if not self.alive:
            raise Crash("a client of a dead process was called")
        self.log.operations += 1
        fault = self.log.faults.pop(self.log.operations, None)
        if fault is Fault.CRASH_BEFORE:
            self.die()
            raise Crash(f"at operation {self.log.operations}, before it took effect")
        return fault

    def finish(self, fault: Fault | None) -> None:
        """Strike after the call's effect when that is what was planned."""
        if fault is Fault.CRASH_AFTER:
            self.die()
            raise Crash(f"at operation {self.log.operations}, after it took effect")
        if fault is Fault.LOST_ANSWER:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the answer was lost", retriable=True))


class MemoryLog:
    """The broker. Its own client methods serve one lasting process; :meth:`process` makes others that can die.

    ``seed`` None: producers send at poll and flush, consumers take partitions in turn, whole. With one both are ragged.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seeded = seed is not None
        self.random = random.Random(seed or 0)
        self.faults: dict[int, Fault] = {}
        self.operations = 0
        self.now_ms = 0
        self.down = False
        self.cluster_id = "memory-log"
        self.topics: dict[str, Topic] = {}
        self.epochs: dict[str, int] = {}
        self.transactions: dict[str, Transaction] = {}
        self.group_offsets: dict[tuple[str, str, int], int] = {}
        self.groups: dict[str, Group] = {}
        self._topics_made = 0
        self._process = Process(self)
        self.producer = self._process.producer
        self.transactional_producer = self._process.transactional_producer
        self.consumer = self._process.consumer
        self.admin = self._process.admin

    def process(self) -> Process:
        """A new process, whose clients a Crash ends together."""
        return Process(self)

    def create(self, name: str, partitions: int = 1, cleanup: str = "delete") -> Topic:
        """Make a topic (anew when it exists: empty, with another id)."""
        self._topics_made += 1
        made = Topic(name, Uuid(0, self._topics_made), [Partition(name, n) for n in range(partitions)], cleanup)
        self.topics[name] = made
        return made

    def group(self, name: str) -> Group:
        """The consumer group of that name; made when first asked for."""
        return self.groups.setdefault(name, Group(self.random if self.seeded else None))

    def partition(self, topic: str, number: int) -> Partition:
        """Raises KafkaException UNKNOWN_TOPIC_OR_PART, as the broker answers."""
        found = self.topics.get(topic)
        if found is None or not 0 <= number < len(found.partitions):
            reason = f"no topic-partition {topic}-{number}"
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, reason))
        return found.partitions[number]

    def append(self, topic: str, value: bytes | None, key: bytes | None = None, partition: int = 0) -> int:
        """Write one record without a client; returns its offset."""
        return self.partition(topic, partition).append(Entry(-1, key, value, None, self.now_ms))

    def records(self, topic: str, partition: int = 0, *, committed: bool = True) -> list[Message]:
        """All records: those a committed reader sees now, or all that were written (aborted and open ones too)."""
        part = self.partition(topic, partition)
        stable = part.stable if committed else part.high
        chosen = [e for e in part.entries if (e.committed or not (committed or e.control)) and e.offset < stable]
        return [message(topic, partition, entry) for entry in chosen]

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Retention: records before the offset are gone."""
        part = self.partition(topic, partition)
        part.low = max(part.low, before)
        part.keep([entry for entry in part.entries if entry.offset >= before])

    def compact(self, topic: str, partition: int = 0) -> None:
        """Compaction below the last stable offset: the last committed record of each key stays; null values go."""
        part = self.partition(topic, partition)
        last = {e.key: e.offset for e in part.entries if e.committed and e.offset < part.stable}
        part.keep(
            [
                e
                for e in part.entries
                if e.offset >= part.stable or (e.committed and last[e.key] == e.offset and e.value is not None)
            ]
        )

    def open_epoch(self, transactional_id: str) -> int:
        """InitProducerId: abort what an earlier owner left open and fence it; returns the new epoch."""
        self.finish_transaction(transactional_id, "aborted")
        self.epochs[transactional_id] = self.epochs.get(transactional_id, -1) + 1
        return self.epochs[transactional_id]

    def finish_transaction(self, transactional_id: str, state: Literal["committed", "aborted"]) -> None:
        """End the id's open transaction, if any, with control markers in every partition it touched."""
        transaction = self.transactions.pop(transactional_id, None)
        if transaction is not None:
            transaction.state = state
            for part in transaction.partitions:
                part.end(transaction)

    def expire_transactions(self) -> None:
        """transaction.timeout.ms passed: the coordinator aborts what is open and fences its producers."""
        for transactional_id in list(self.transactions):
            self.open_epoch(transactional_id)
