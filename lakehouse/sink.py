"""The sink of one topic: read from the table's offsets on, gather, commit rows and offsets together, again.

A consumer group says which of several processes reads which partition, and nothing else: its offsets play no part, and
what it says may be late or wrong. Where to go on is what the table says, and whose batch counts is what the table's
owners say. :mod:`lakehouse.commits` tells why that is exactly once; this module is the loop around it. Everything
outside comes in as an argument, so that tests run it on a log and a table in memory.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from common import kafka
from common.errors import ConflictError, InvariantError, UnavailableError
from common.telemetry import get_logger
from lakehouse import metrics
from lakehouse.commits import (
    Commit,
    Mark,
    Overtaken,
    Patience,
    Source,
    Standing,
    Store,
    check_source,
    claim,
    commit_batch,
)
from lakehouse.dead_letters import DeadLetters
from lakehouse.records import Rows, Undecodable, drop_repeated
from lakehouse.room import Room

log = get_logger("lakehouse.sink")

MESSAGES_PER_POLL = 10_000

RETAKE_S = 4.0
"""How long a sink waits before it claims partitions again that another took: until then the group has told, within a
heartbeat or two, which of the two is wrong."""
CONFLICTS_BORNE = 5
"""Claims lost in a row, with no commit between them, after which the sink gives up: the group does not settle it."""

LEAVING_POLLS = 50
LEAVING_POLL_S = 0.1
"""How often, and for how long each time, a sink that ends waits for its farewell to be sent."""

_OUT_OF_RANGE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


class Decodes(Protocol):
    """:class:`lakehouse.records.Decoder`, or a test's."""

    def decode(self, messages: Sequence[Message]) -> Rows:
        """Rows of the table's columns, and what is none."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is committed: at ``age_s`` when the topic is drained, else at ``behind_s``, or at its size."""

    age_s: float = 1.0
    behind_s: float = 10.0
    rows: int = 200_000
    size_bytes: int = 128 * 1024 * 1024


@dataclass(slots=True)
class _Pending:
    """What was read and is not committed."""

    since_s: float
    oldest_ms: int
    tables: list[pa.Table] = field(default_factory=list)
    bad: list[Undecodable] = field(default_factory=list)
    rows: int = 0
    size_bytes: int = 0


class TopicSink:
    """One topic (its full name) into one table, as one member of the topic's group of sinks.

    ``consumer``: of :func:`common.kafka.consumer` with a ``group_id`` and ``enable_partition_eof``. ``source``: asks
    the broker for the topic's identity. ``repeats``: the topic's partitions hold snaps whose rows may be sent again
    (see `drop_repeated`). ``room``: the memory that all sinks of the process share. ``joined``: True once the group
    has said what is this sink's, if anything.
    """

    def __init__(
        self,
        *,
        topic: str,
        table: str,
        consumer: Any,
        store: Store,
        decoder: Decodes,
        dead_letters: DeadLetters,
        source: Callable[[], Source],
        owner: str,
        repeats: bool,
        patience: Patience,
        room: Room,
        limits: Limits = Limits(),
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = topic
        self.table = table
        self._consumer = consumer
        self._store = store
        self._decoder = decoder
        self._dead_letters = dead_letters
        self._ask_source = source
        self._owner = owner
        self._repeats = repeats
        self._patience = patience
        self._room = room
        self._limits = limits
        self._clock_s = clock_s
        self.joined = False
        self._source: Source
        self._begin: dict[int, int | None] = {}
        self._position: dict[int, int] = {}
        self._marks: dict[int, Mark] = {}
        self._pending: _Pending | None = None
        self._drained = False
        self._failure: BaseException | None = None
        self._retake_s: float | None = None
        self._conflicts = 0

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that this sink reads now."""
        return tuple(self._position)

    @property
    def read_offsets(self) -> Mapping[int, int]:
        """The next offset to read of each of its partitions."""
        return self._position

    def start(self) -> None:
        """Join the group; the first steps are told which partitions are this sink's.

        Raises UnavailableError when the broker does not know the topic.
        """
        self._source = self._persist("asking for the topic", self._ask_source)
        self._consumer.subscribe(
            [self.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def step(self, timeout_s: float) -> None:
        """Read what there is, for at most ``timeout_s``; commit when the batch is due.

        While the process holds as much as it may, nothing is read: it commits what it has, or waits for its other
        sinks. Raises ConflictError when another sink keeps taking the partitions or has taken this one's name,
        InvariantError when the log is not what the table was filled from, UnavailableError when a part has been
        failing for long.
        """
        if self._room.full:
            if self._pending is None:
                self._patience.pause(timeout_s)
            else:
                self.commit()
            return
        self._read(timeout_s)
        if self._retake_s is not None and self._clock_s() >= self._retake_s:
            self._take(self.partitions)
        if self._due():
            self.commit()

    def commit(self) -> None:
        """Commit what was read, if anything."""
        pending = self._pending
        if pending is None:
            return
        started_s = self._clock_s()
        # A topic made anew between the read and here would have another id, so all of the batch is this topic's.
        check_source(Standing({}, {}, {}, self._source), self._persist("asking for the topic", self._ask_source))
        if pending.bad:
            self._persist("delivering dead letters", lambda: self._dead_letters.deliver(pending.bad))
            metrics.DEAD_LETTERS.labels(self.table).inc(len(pending.bad))
        rows, marks = pa.concat_tables(pending.tables), self._marks
        if self._repeats:
            rows, marks = drop_repeated(rows, marks)
            metrics.REPEATED.labels(self.table).inc(pending.rows - rows.num_rows)
        commit = Commit(
            commit_id=uuid.uuid4().hex,
            owner=self._owner,
            source=self._source,
            begin=self._begin,
            end=dict(self._position),
            marks=marks,
            rows=rows,
        )
        try:
            outcome = commit_batch(self._store, commit, self._patience)
        except ConflictError as error:
            self._lose(error)
            return
        if isinstance(outcome, Overtaken):
            metrics.CONFLICTS.labels(self.table).inc()
            log.warning("batch_overtaken", table=self.table, rows=rows.num_rows, offsets=dict(outcome.standing.offsets))
            self._seek(outcome.standing, self.partitions)
            return
        self._drop_pending()
        self._begin = dict(self._position)
        self._marks = marks
        self._conflicts = 0
        metrics.ROWS.labels(self.table).inc(rows.num_rows)
        metrics.COMMITS.labels(self.table).inc()
        metrics.COMMIT_SECONDS.labels(self.table).observe(self._clock_s() - started_s)
        metrics.FRESHNESS.labels(self.table).observe(max(0.0, time.time() - pending.oldest_ms / 1000))

    def lag(self) -> int:
        """Offsets between what is committed and the end of the topic, over its partitions. Raises UnavailableError."""
        total = 0
        for number in self.partitions:
            end = self._ends(number).end_offset
            done = self._position[number] if self._pending is None else self._begin[number]
            total += max(0, end - (done or 0))
        return total

    def close(self) -> None:
        """Leave the group, so that another sink takes the partitions over at once, and the log."""
        self._drop_pending()
        # A static member keeps its place when it only closes: for the others it would be dead after a session timeout.
        with suppress(KafkaException):
            self._consumer.unsubscribe()
            for _ in range(LEAVING_POLLS):
                if not self._consumer.memberid():
                    break
                self._consumer.consume(num_messages=1, timeout=LEAVING_POLL_S)
        self._consumer.close()

    def _on_assign(self, _: Any, partitions: Sequence[TopicPartition]) -> None:
        """The group says what is this sink's from now on. Called within `consume`, whose C code passes no error on."""
        try:
            self._take(tuple(sorted(p.partition for p in partitions)))
        except BaseException as error:
            self._failure = error

    def _on_revoke(self, _: Any, __: Sequence[TopicPartition]) -> None:
        """Another sink may go on from what is committed; what was only read is read again by it."""
        self._drop_pending()
        self._begin, self._position, self._retake_s = {}, {}, None
        self._consumer.unassign()
        log.info("partitions_released", table=self.table)

    def _take(self, partitions: Sequence[int]) -> None:
        """Become the owner of the partitions and seek to the table's offsets.

        Raises InvariantError when the topic is not the one the table was filled from, or the offsets are no longer in
        it.
        """
        self._retake_s = None
        self._source = self._persist("asking for the topic", self._ask_source)
        self._seek(claim(self._store, self._owner, self._source, partitions, self._patience), partitions)
        self.joined = True
        metrics.CLAIMS.labels(self.table).inc()
        log.info("partitions_taken", table=self.table, partitions=list(partitions))

    def _lose(self, error: ConflictError) -> None:
        """Another sink claimed a partition: write nothing, and wait for what the group says."""
        self._conflicts += 1
        if self._conflicts > CONFLICTS_BORNE:
            raise error
        metrics.CONFLICTS.labels(self.table).inc()
        log.warning("partitions_lost", table=self.table, error=str(error))
        self._drop_pending()
        self._consumer.assign([])
        self._retake_s = self._clock_s() + RETAKE_S

    def _seek(self, standing: Standing, partitions: Sequence[int]) -> None:
        """Begin anew where the table stands; what was read and not committed is read again."""
        self._drop_pending()
        self._begin, self._position = {}, {}
        self._marks = {number: mark for number, mark in standing.marks.items() if number in partitions}
        for number in partitions:
            low, high = self._persist("asking for offsets", partial(self._ends, number))
            stored = standing.offsets.get(number)
            if stored is not None and not low <= stored <= high:
                raise self._out_of_range(number, f"the topic holds {low} to {high}, the table goes on at {stored}")
            self._begin[number] = stored
            self._position[number] = low if stored is None else stored
        self._consumer.assign([TopicPartition(self.topic, n, at) for n, at in self._position.items()])

    def _ends(self, number: int) -> kafka.Watermarks:
        return kafka.end_offsets(self.topic, number, client=self._consumer)

    def _read(self, timeout_s: float) -> None:
        messages = self._consumer.consume(num_messages=MESSAGES_PER_POLL, timeout=timeout_s)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self._drained = len(messages) < MESSAGES_PER_POLL
        told = [message for message in messages if message.error() is not None]
        if told:
            messages = [message for message in messages if message.error() is None]
        position = dict(self._position)
        records = self._new(messages, position)
        for message in told:
            self._on_error(message, position)
        if records:
            self._gather(records, self._persist("decoding", lambda: self._decoder.decode(records)))
        self._position = position

    def _new(self, messages: list[Message], position: dict[int, int]) -> list[Message]:
        """The messages that this sink waits for, its position moved past them; others came before the last seek."""
        if not messages:
            return messages
        numbers = np.fromiter(map(Message.partition, messages), np.int64, len(messages))
        offsets = np.fromiter(map(Message.offset, messages), np.int64, len(messages))
        keep = np.zeros(len(messages), np.bool_)
        for number in np.unique(numbers).tolist():
            if number in position:
                keep |= (numbers == number) & (offsets >= position[number])
                position[number] = max(position[number], int(offsets[numbers == number].max()) + 1)
        return messages if keep.all() else [messages[index] for index in np.flatnonzero(keep)]

    def _gather(self, records: list[Message], rows: Rows) -> None:
        if self._pending is None:
            self._pending = _Pending(self._clock_s(), records[0].timestamp()[1])
        self._pending.tables.append(rows.table)
        self._pending.bad.extend(rows.bad)
        self._pending.rows += rows.table.num_rows
        self._pending.size_bytes += rows.table.nbytes + sum(len(b.message.value() or b"") for b in rows.bad)
        self._room.hold(self.table, self._pending.size_bytes)

    def _drop_pending(self) -> None:
        self._pending = None
        self._room.hold(self.table, 0)

    def _on_error(self, message: Any, position: dict[int, int]) -> None:
        error: KafkaError = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            # Past the markers of transactions, which are never handed out.
            if message.partition() in position:
                position[message.partition()] = max(position[message.partition()], message.offset())
        elif error.code() in _OUT_OF_RANGE:
            raise self._out_of_range(message.partition(), error.str())
        elif error.code() == KafkaError._FATAL and "fenced" in error.str():
            raise ConflictError(
                f"another sink of the same name has taken this one's place at {self.topic}: {error.str()}",
                hint="Sinks that share the work need names of their own: set BREAKWATER_SINK_MEMBER.",
            )
        elif error.fatal() or error.code() == KafkaError._FATAL:
            raise kafka.unavailable(f"hand out {self.topic}", error)
        else:
            log.warning("consumer_error", topic=self.topic, code=error.name(), detail=error.str())

    def _out_of_range(self, number: int, detail: str) -> InvariantError:
        return InvariantError(
            f"the table {self.table} and the topic {self.topic} have parted at partition {number}: {detail}",
            hint="Records between them are gone (retention), or the topic was recreated. Nothing was written."
            " Restore the topic, or drop the table to fill it anew.",
        )

    def _due(self) -> bool:
        pending = self._pending
        if pending is None:
            return False
        if pending.rows >= self._limits.rows or pending.size_bytes >= self._limits.size_bytes:
            return True
        age_s = self._clock_s() - pending.since_s
        return age_s >= (self._limits.age_s if self._drained else self._limits.behind_s)

    def _persist(self, what: str, action: Callable[[], Any]) -> Any:
        """The action's result; parts that do not answer are asked again, for as long as the patience lasts."""
        for attempt in range(self._patience.attempts):
            try:
                return action()
            except (UnavailableError, KafkaException, OSError) as error:
                self._patience.bear(attempt, what, error)
        raise AssertionError("unreachable: the last attempt raises")
