"""The Faust app: one agent over ``levels.features.v1``, one table of levels, and the order that makes a batch safe.

For each batch of whole snaps: the signals and dead letters are acknowledged by the broker, then the levels' rows, then
the position's row; only then are the inputs acknowledged to Faust. A crash anywhere in between sends the same bytes
again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import faust
from confluent_kafka import KafkaError, Message
from faust.auth import Credentials
from faust.streams import Stream
from faust.types import TP
from faust.types.channels import ChannelT
from faust.types.events import EventT
from faust.types.streams import StreamT
from mode import CrashingSupervisor
from prometheus_client import Counter, Gauge

from common import schemas, topics
from common.avro.rows import encode_row
from common.config import EngineConfig
from common.errors import InvariantError, UnavailableError
from common.telemetry import get_logger
from common.topics import full_name
from processors.signals.partition import BadInput, Partition, Work, Writer
from processors.signals.position import start_from
from processors.signals.transport import CommittedConsumer, CommittedTransport

log = get_logger("signals")

MAX_ROWS = 4096
"""Rows after which a batch is judged even though more are at hand."""
LINGER_S = 0.002
"""How long an empty queue is waited on before what is there is judged: Faust hands records over one by one."""
SESSION_TIMEOUT_S = 10.0

_COMPLEX_OF = {number: name for name, number in topics.COMPLEXES.items()}

_rows_judged = Counter("breakwater_signals_rows", "Feature rows judged.")
_rows_sent = Counter("breakwater_signals_sent", "Signal rows acknowledged by the broker.")
_bad_records = Counter("breakwater_signals_dead_letters", "Records set aside because they cannot be decoded.")
_snap_time = Gauge("breakwater_signals_snap_time_seconds", "Event time of the last snap judged.")
_batch_seconds = Counter("breakwater_signals_batch_seconds", "Time spent on batches, by step.", ["step"])


class Producer(Protocol):
    """What is used of confluent_kafka's producer."""

    def produce_batch(
        self, topic: str, messages: list[dict[str, Any]], partition: int = ..., *, on_delivery: Any
    ) -> int:
        """Queue records."""

    def flush(self, timeout: float = ...) -> int:
        """Wait until the queue is empty."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the app is connected to.

    ``schema_ids`` by topic; ``writer`` gives the schema of an id; ``first_committed`` the offset of the first committed
    record of a topic's partition at or after an offset, None when there is none.
    """

    bootstrap: str
    credentials: Credentials | None
    namespace: str
    data_dir: Path
    config: EngineConfig
    schema_ids: Mapping[str, int]
    writer: Writer
    producer: Producer
    first_committed: Callable[[str, int, int], int | None]


def app_id(namespace: str) -> str:
    """The app's name and consumer group, in the namespace."""
    return full_name("breakwater-signals", namespace)


def changelog_topic(namespace: str) -> str:
    """The topic that keeps the level table."""
    return f"{app_id(namespace)}-levels-changelog"


class SignalsApp:
    """The app and what it holds. ``failure`` is set once by whatever must stop the worker."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._input = full_name(topics.FEATURES, wiring.namespace)
        self._partitions: dict[int, Partition] = {}
        self._unacknowledged: dict[int, list[EventT[bytes]]] = {}
        self._nothing_between: dict[int, tuple[int, int]] = {}
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.ready = False
        self.moved_at = time.monotonic()
        count = max(topics.COMPLEXES.values()) + 1
        self.faust = faust.App(
            app_id(wiring.namespace),
            broker=[f"kafka://{server}" for server in wiring.bootstrap.split(",")],
            broker_credentials=wiring.credentials,
            store="memory://",
            datadir=str(wiring.data_dir),
            web_enabled=False,
            topic_partitions=count,
            topic_disable_leader=True,
            table_standby_replicas=0,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            stream_buffer_maxsize=2 * MAX_ROWS,
            consumer_max_fetch_size=8_388_608,
            # A restart takes over the dead worker's place at once, instead of waiting for its session to end.
            consumer_group_instance_id=app_id(wiring.namespace),
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=2.0,
            broker_rebalance_timeout=SESSION_TIMEOUT_S,
            broker_request_timeout=30.0,
            broker_commit_interval=1.0,
        )
        self._transport = CommittedTransport(self.faust.conf.broker_consumer, self.faust)
        self.faust.transport = self._transport
        self.table = self.faust.Table(
            "levels", key_type=bytes, value_type=bytes, partitions=count, on_recover=self._on_recover
        )
        features = self.faust.topic(
            self._input, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self.faust.agent(features, name="judge", concurrency=1, supervisor_strategy=CrashingSupervisor)(self._judge)

    def fail(self, error: BaseException) -> None:
        """Stop the worker with this error; the first one counts."""
        if not self.failure.done():
            self.failure.set_result(error)

    @property
    def waiting(self) -> int:
        """Records taken in and not yet judged and safe."""
        return sum(len(events) for events in self._unacknowledged.values())

    async def unread(self) -> int:
        """Offsets between what was taken in and the log's end, 0 where no committed record is among them."""
        tps = [TP(self._input, number) for number in self._partitions]
        ends = await self.faust.consumer.highwaters(*tps) if tps else {}
        behind = 0
        for tp in tps:
            begin, end = self._partitions[tp.partition].expected_offset, ends[tp] or 0
            if begin < end and self._nothing_between.get(tp.partition) != (begin, end):
                if await asyncio.to_thread(self._wiring.first_committed, tp.topic, tp.partition, begin) is None:
                    self._nothing_between[tp.partition] = (begin, end)
                else:
                    behind += end - begin
        return behind

    async def _on_recover(self) -> None:
        """The tables have recovered, and no input flows yet: the only moment to put the input where they say."""
        try:
            consumer = cast(CommittedConsumer, self.faust.consumer)
            starts = await self._restore(consumer)
            self._transport.starts = starts
            if starts:
                await consumer.seek_wait(starts)
            self.ready = True
        except Exception as error:  # Faust would go on without it
            self.fail(error)

    async def _restore(self, consumer: CommittedConsumer) -> Mapping[TP, int]:
        """Make each assigned partition anew from the table's rows; where each is to be read."""
        tps = [TP(self._input, tp.partition) for tp in consumer.assignment() if tp.topic == self._input]
        self._partitions.clear()
        self._unacknowledged.clear()
        if not tps:
            return {}
        begins, ends = await consumer.earliest_offsets(*tps), await consumer.highwaters(*tps)
        starts = {}
        wiring = self._wiring
        for tp in sorted(tps):
            complex_name = _COMPLEX_OF[tp.partition]
            start = start_from(self.table.data, complex_name, wiring.config.hash)
            begin, end = begins[tp] or 0, ends[tp] or 0
            offset = begin if start.position is None else start.position.next_offset
            log.info("partition_restored", complex=complex_name, why=start.reason, offset=offset, begin=begin, end=end)
            if not begin <= offset <= end:
                raise InvariantError(
                    f"{tp.topic}-{tp.partition}: the next offset to judge is {offset}, the log holds {begin} to {end}",
                    hint=f"The log was cut or made anew. Delete the topic {changelog_topic(wiring.namespace)} to judge"
                    " what there is from its beginning.",
                )
            schema_id = wiring.schema_ids[topics.SIGNALS]
            self._partitions[tp.partition] = Partition(
                wiring.config, complex_name, start, wiring.writer, schema_id, log_begin=begin
            )
            self._unacknowledged[tp.partition] = []
            starts[tp] = offset
        return starts

    async def _judge(self, stream: StreamT[Any]) -> None:
        """The agent. Faust would pass over an event whose handling fails; here any error ends the worker."""
        unacking = cast(Stream[bytes], stream).noack()
        queue = cast(ChannelT[bytes], stream.channel).queue
        try:
            async for event in unacking.events():
                await self._take_in(event)
                if self.waiting < MAX_ROWS:
                    if queue.empty():
                        await asyncio.sleep(LINGER_S)
                    if not queue.empty():
                        continue
                for number, partition in list(self._partitions.items()):
                    await self._advance(number, partition)
        except Exception as error:
            self.fail(error)
            raise

    async def _take_in(self, event: EventT[bytes]) -> None:
        number, offset = event.message.partition, event.message.offset
        partition = self._partitions.get(number)
        if partition is None:
            return
        if offset > partition.expected_offset + 1:
            # A transaction's end takes one offset. More may be an aborted one, or records that Faust passed over.
            await self._check_gap(number, partition.expected_offset, offset)
        partition.add(offset, event.message.value)
        self._unacknowledged[number].append(event)

    async def _check_gap(self, number: int, expected: int, offset: int) -> None:
        first = await asyncio.to_thread(self._wiring.first_committed, self._input, number, expected)
        if first != offset:
            raise InvariantError(
                f"{self._input}-{number}: Faust handed over offset {offset} after {expected - 1}, the next record is"
                f" {'none' if first is None else first}",
                hint="Restart the worker: it reads again from the last whole snap.",
            )

    async def _advance(self, number: int, partition: Partition) -> None:
        began = time.perf_counter()
        # In a thread: an unknown schema id is asked of the registry.
        work = await asyncio.to_thread(partition.take)
        if work is None:
            return
        judged = time.perf_counter()
        await asyncio.to_thread(self._publish, partition.complex_name, number, work)
        published = time.perf_counter()
        await self._write(number, work.levels)
        await self._write(number, [work.position_row])
        written = time.perf_counter()
        events = self._unacknowledged.get(number, [])
        safe = [event for event in events if event.message.offset < work.position.next_offset]
        self._unacknowledged[number] = events[len(safe) :]
        for event in safe:
            event.ack()
        self.moved_at = time.monotonic()
        _rows_judged.inc(len(safe))
        _rows_sent.inc(len(work.signals))
        _bad_records.inc(len(work.bad))
        _snap_time.set(work.position.snap_ns / 1e9)
        for step, seconds in (
            ("judge", judged - began),
            ("publish", published - judged),
            ("table", written - published),
        ):
            _batch_seconds.labels(step).inc(seconds)

    def _publish(self, complex_name: str, number: int, work: Work) -> None:
        """Send signals and dead letters and wait for the broker. Raises UnavailableError when it does not take them."""
        key = complex_name.encode()
        self._send(topics.SIGNALS, number, [{"value": value, "key": key} for value in work.signals])
        if work.bad:
            letters = [self._dead_letter(number, bad) for bad in work.bad]
            self._send(topics.DEAD_LETTERS, number, [{"value": value, "key": key} for value in letters])
            for bad in work.bad:
                log.warning("dead_letter", topic=self._input, partition=number, offset=bad.offset, error=bad.error)

    def _send(self, topic: str, number: int, messages: list[dict[str, Any]]) -> None:
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error)

        name = full_name(topic, self._wiring.namespace)
        queued = self._wiring.producer.produce_batch(name, messages, number, on_delivery=delivered)
        left = self._wiring.producer.flush()
        if failed or left or queued != len(messages):
            reason = failed[0].str() if failed else f"{len(messages) - queued} not queued, {left} not sent"
            raise UnavailableError(
                f"the broker did not take {len(messages)} records of {name}: {reason}",
                hint="Nothing is lost: a restart sends them again. Look at the broker (./breakwater status).",
            )

    def _dead_letter(self, number: int, bad: BadInput) -> bytes:
        record = {
            "ts_event_ns": time.time_ns(),
            "topic": self._input,
            "partition": number,
            "offset": bad.offset,
            "component": "signals",
            "error": bad.error,
            "value": bad.value,
        }
        return encode_row(schemas.load(topics.DEAD_LETTERS), record, self._wiring.schema_ids[topics.DEAD_LETTERS])

    async def _write(self, number: int, rows: list[tuple[bytes, bytes]]) -> None:
        """Set rows of the table and wait until its changelog has them."""
        sent = [
            await self.table.changelog_topic.send(
                key=key, value=value, partition=number, key_serializer="raw", value_serializer="raw"
            )
            for key, value in rows
        ]
        await asyncio.gather(*sent)
        self.table.data.update(rows)
