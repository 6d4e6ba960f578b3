"""The consumer and the admin client of :mod:`tests.support.memory_log`, as confluent_kafka 2.16 has them.

Kept from the real ones on purpose: `position` is -1001 until a message was handed out and moves past control markers at
the end only with an end-of-partition message (``enable_partition_eof``); errors come as messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    OFFSET_STORED,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import BrokerMetadata, ClusterMetadata, PartitionMetadata, TopicDescription, TopicMetadata
from confluent_kafka.cimpl import NewTopic

from tests.support.memory_broker import Fault, Partition, message
from tests.support.memory_groups import Member

if TYPE_CHECKING:
    from tests.support.memory_log import Process


class Consumer:
    """A consumer with manual assignment, or as a member of a group."""

    def __init__(self, process: Process, overrides: dict[str, Any]) -> None:
        self._process = process
        self._log = process.log
        self._committed_only = overrides.get("isolation_level", "read_committed") == "read_committed"
        self._reset = str(overrides.get("auto_offset_reset", "error"))
        self._eof = bool(overrides.get("enable_partition_eof", False))
        self._group = str(overrides.get("group_id", "breakwater-manual"))
        self._instance = overrides.get("group_instance_id")
        self._member: Member | None = None
        self._next: dict[tuple[str, int], int] = {}
        self._handed: dict[tuple[str, int], int] = {}
        self._told_eof: dict[tuple[str, int], int] = {}
        self._paused: set[tuple[str, int]] = set()
        self._turn = 0
        self._closed = False

    def subscribe(self, topics: list[str], on_assign: Any = None, on_revoke: Any = None, on_lost: Any = None) -> None:
        """Join the group as a member; what it gets is told by the callbacks within `consume`, as by the real one."""
        self._call()
        counts = {name: len(self._log.topics[name].partitions) for name in topics}
        callbacks = (partial(on_assign, self), partial(on_revoke, self), partial(on_lost, self))
        self._member = self._log.group(self._group).join(self._process, self._instance, counts, callbacks)

    def unsubscribe(self) -> None:
        """Give up the partitions and leave the group, as a static member too; the real one does so while it polls."""
        self._call()
        if self._member is not None:
            member, self._member = self._member, None
            member.callbacks[1](member.held)
            self._log.group(self._group).leave(member)

    def memberid(self) -> str | None:
        """Its name in the group; None when it is in none."""
        self._call()
        return None if self._member is None else f"member-{id(self._member)}"

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these from their offsets."""
        self._call()
        self._next = {(p.topic, p.partition): p.offset for p in partitions}
        self._handed, self._told_eof, self._paused = {}, {}, set()

    def unassign(self) -> None:
        """Read nothing."""
        self.assign([])

    def assignment(self) -> list[TopicPartition]:
        """What is assigned."""
        return [TopicPartition(topic, number) for topic, number in self._next]

    def seek(self, partition: TopicPartition) -> None:
        """Go on at the offset. Raises KafkaException for a partition that is not assigned."""
        self._call()
        where = (partition.topic, partition.partition)
        if where not in self._next:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION, "Failed to seek: Local: Unknown partition"))
        self._next[where] = partition.offset
        self._told_eof.pop(where, None)

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Hand out nothing from these."""
        self._call()
        self._paused |= {(p.topic, p.partition) for p in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Hand out records again."""
        self._call()
        self._paused -= {(p.topic, p.partition) for p in partitions}

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """One past the last record (or the end-of-partition message) handed out; OFFSET_INVALID before the first."""
        out = []
        for p in partitions:
            out.append(TopicPartition(p.topic, p.partition, self._handed.get((p.topic, p.partition), OFFSET_INVALID)))
        return out

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """At most ``num_messages`` messages, from the partitions in turn; never waits."""
        fault = self._call()
        if fault is Fault.ERROR:
            return [Message(error=KafkaError(KafkaError._TRANSPORT, "the connection broke", retriable=True))]
        if self._log.down:
            return []
        if self._member is not None:
            if self._member.fenced:
                fenced = KafkaError(KafkaError._FATAL, "Static consumer fenced by other instance")
                return [Message(error=fenced)]
            self._member.rebalance()
        out: list[Message] = []
        places = [where for where in self._next if where not in self._paused]
        if places:
            self._turn = (self._turn + 1) % len(places)
            for where in places[self._turn :] + places[: self._turn]:
                room = num_messages - len(out)
                if self._log.seeded:
                    room = self._log.random.randint(0, room)
                out.extend(self._read(where, room))
        self._process.finish(fault if fault is Fault.CRASH_AFTER else None)
        return out

    def poll(self, timeout: float = -1) -> Message | None:
        """The next message, or None."""
        return next(iter(self.consume(1, timeout)), None)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """The first offset, and the end: the last stable offset for a committed reader."""
        self._call()
        if self._log.down:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN, "Failed to get watermark offsets"))
        part = self._log.partition(partition.topic, partition.partition)
        return part.low, self._end(part)

    def commit(
        self, message: Message | None = None, offsets: list[TopicPartition] | None = None, asynchronous: bool = True
    ) -> None:
        """Keep offsets under the group."""
        self._call()
        for p in offsets or []:
            self._log.group_offsets[self._group, p.topic, p.partition] = p.offset

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """The group's offsets; OFFSET_INVALID where there is none."""
        kept = self._log.group_offsets
        return [
            TopicPartition(p.topic, p.partition, kept.get((self._group, p.topic, p.partition), OFFSET_INVALID))
            for p in partitions
        ]

    def close(self) -> None:
        """End. Using it afterwards raises RuntimeError. A static member stays in its group until it expires."""
        self._closed = True
        if self._member is not None and self._instance is None:
            self._log.group(self._group).leave(self._member)

    def _call(self) -> Any:
        if self._closed:
            raise RuntimeError("Consumer closed")
        return self._process.fault()

    def _end(self, part: Partition) -> int:
        return part.stable if self._committed_only else part.high

    def _start(self, where: tuple[str, int], part: Partition) -> int:
        asked = self._next[where]
        if asked == OFFSET_BEGINNING:
            return part.low
        if asked == OFFSET_END:
            return self._end(part)
        if asked == OFFSET_STORED:
            asked = self._log.group_offsets.get((self._group, *where), OFFSET_INVALID)
        if part.low <= asked <= part.high:
            return asked
        if self._reset in ("earliest", "smallest", "beginning"):
            return part.low
        if self._reset in ("latest", "largest", "end"):
            return self._end(part)
        reason = f"offset {asked} is out of range {part.low}..{part.high}"
        raise KafkaException(KafkaError(KafkaError._AUTO_OFFSET_RESET, reason))

    def _read(self, where: tuple[str, int], room: int) -> list[Message]:
        topic, number = where
        try:
            part = self._log.partition(topic, number)
            position = self._start(where, part)
        except KafkaException as error:
            self._paused.add(where)
            return [Message(topic=topic, partition=number, offset=self._next[where], error=error.args[0])]
        end = self._end(part)
        out: list[Message] = []
        index = part.at(position)
        while len(out) < room and index < len(part.entries) and part.entries[index].offset < end:
            entry = part.entries[index]
            index += 1
            position = entry.offset + 1
            if entry.committed or not (entry.control or self._committed_only):
                out.append(message(topic, number, entry))
                self._handed[where] = position
        if index >= len(part.entries):
            position = max(position, end)
        self._next[where] = position
        if self._eof and position >= end and len(out) < room and self._told_eof.get(where) != position:
            self._told_eof[where] = self._handed[where] = position
            eof = KafkaError(KafkaError._PARTITION_EOF, "no more messages")
            out.append(Message(topic=topic, partition=number, offset=position, error=eof))
        return out


class Admin:
    """Topics and what is known about them."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._log = process.log

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """The cluster's metadata, all partitions led by broker 1."""
        self._process.fault()
        if self._log.down:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata"))
        out = ClusterMetadata()
        out.cluster_id = self._log.cluster_id
        broker = BrokerMetadata()
        broker.id = 1
        out.brokers = {1: broker}
        for name, found in self._log.topics.items():
            about = TopicMetadata()
            about.topic = name
            for part in found.partitions:
                one = PartitionMetadata()
                one.id, one.leader = part.number, 1
                about.partitions[part.number] = one
            if topic is None or topic == name:
                out.topics[name] = about
        return out

    def create_topics(self, new_topics: Sequence[NewTopic], **_: Any) -> dict[str, Future[None]]:
        """Make topics; one that exists fails with TOPIC_ALREADY_EXISTS."""
        self._process.fault()
        out: dict[str, Future[None]] = {}
        for new in new_topics:
            out[new.topic] = Future()
            if new.topic in self._log.topics:
                error = KafkaError(KafkaError.TOPIC_ALREADY_EXISTS, f"Topic {new.topic!r} already exists.")
                out[new.topic].set_exception(KafkaException(error))
                continue
            self._log.create(new.topic, new.num_partitions, (new.config or {}).get("cleanup.policy", "delete"))
            out[new.topic].set_result(None)
        return out

    def delete_topics(self, topics: Sequence[str], **_: Any) -> dict[str, Future[None]]:
        """Drop topics."""
        self._process.fault()
        out: dict[str, Future[None]] = {}
        for name in topics:
            out[name] = Future()
            if self._log.topics.pop(name, None) is None:
                out[name].set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
            else:
                out[name].set_result(None)
        return out

    def describe_topics(self, topics: TopicCollection, **_: Any) -> dict[str, Future[TopicDescription]]:
        """Descriptions with topic ids."""
        self._process.fault()
        out: dict[str, Future[TopicDescription]] = {}
        for name in topics.topic_names:
            out[name] = Future()
            if name in self._log.topics:
                out[name].set_result(TopicDescription(name, self._log.topics[name].topic_id, False, []))
            else:
                out[name].set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        return out
