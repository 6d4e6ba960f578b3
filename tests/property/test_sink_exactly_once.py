"""Whatever dies, gets lost, comes late or fights: every record of the log is in the table once.

The sink's own code runs on a log and a table in memory. A seed is the whole bug report: `run(seed)`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest
from confluent_kafka import Message
from structlog.testing import capture_logs

from common import schemas, topics
from common.avro import decode_row
from common.errors import ConflictError, RecordError, UnavailableError
from lakehouse.commits import Patience, Source
from lakehouse.dead_letters import DeadLetters
from lakehouse.records import Rows, Undecodable
from lakehouse.room import Room
from lakehouse.sink import RETAKE_S, Limits, TopicSink
from tests.support.memory_catalog import MemoryStore, MemoryTable
from tests.support.memory_log import Crash, MemoryLog, Process

TOPIC = "levels.signals.v1"
PARTITIONS = 3
LETTERS_PARTITIONS = 2
SEEDS_PER_CASE = 100
CASES = 20
MEMBERS = ("a", "b", "c", None)
"""Names of sinks: one of the same name takes the other's place at once, others share the partitions."""

COLUMNS = ("_partition", "_offset", "ts_event_ns", "snap_row")
SCHEMA = pa.schema(
    [("_partition", pa.int32()), ("_offset", pa.int64()), ("ts_event_ns", pa.int64()), ("snap_row", pa.int32())]
)


class Decoder:
    """Values are ``ts:row``; anything else is no record."""

    def decode(self, messages: Sequence[Message]) -> Rows:
        good, bad = [], []
        for message in messages:
            value = message.value() or b""
            if value.startswith(b"bad"):
                bad.append(Undecodable(message, RecordError("not a record")))
                continue
            ts, row = value.split(b":")
            good.append((message.partition(), message.offset(), int(ts), int(row)))
        columns = list(zip(*good, strict=True)) if good else [()] * len(COLUMNS)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        return Rows(pa.Table.from_arrays(arrays, schema=SCHEMA), tuple(bad))


class World:
    """A log, a table, a producer that repeats itself after its crashes, and sinks that come and go."""

    def __init__(self, seed: int, *, repeats: bool) -> None:
        self.random = random.Random(seed)
        self.repeats = repeats
        self.clones = seed % 2 == 0
        self.log = MemoryLog(seed)
        self.log.create(TOPIC, PARTITIONS)
        self.log.create(topics.DEAD_LETTERS, LETTERS_PARTITIONS)
        self.table = MemoryTable(seed)
        self.table.interlude = self.interlude
        self.written = 0
        self.snaps = [0] * PARTITIONS
        self.sent: set[tuple[int, int, int]] = set()
        self.sinks: list[TopicSink] = []
        self.acting: list[TopicSink] = []
        self.born = 0
        self.processes: dict[TopicSink, Process] = {}
        self.stops: Counter[str] = Counter()
        self.now_s = 0.0

    def produce(self) -> None:
        """A snap of rows, sometimes in a transaction that may abort; sometimes the last rows again; sometimes junk."""
        number = self.random.randrange(PARTITIONS)
        producer = self.log.transactional_producer(f"t{number}") if self.random.random() < 0.3 else None
        if producer is None:
            plain = self.log.producer()
            send = lambda value: plain.produce(TOPIC, value=value, partition=number)  # noqa: E731
        else:
            producer.init_transactions()
            producer.begin_transaction()
            send = lambda value: producer.produce(TOPIC, value=value, partition=number)  # noqa: E731
        aborted = producer is not None and self.random.random() < 0.4
        again = self.repeats and self.snaps[number] > 0 and self.random.random() < 0.3
        time = self.snaps[number] - (self.random.randrange(2) if again else -1)
        time = max(1, time)
        rows = self.random.randint(1, 4)
        if again:
            rows = next((r for p, t, r in sorted(self.sent, reverse=True) if (p, t) == (number, time)), 0) + 1
        for row in range(rows):
            send(f"{time}:{row}".encode())
            if self.random.random() < 0.1:
                send(b"bad")
        if producer is None:
            plain.flush()
        elif aborted:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
        if not aborted:
            self.sent |= {(number, time, row) for row in range(rows)}
            self.snaps[number] = max(self.snaps[number], time)

    def born_sink(self) -> None:
        """A new sink process, which takes the partitions over."""
        process = self.log.process()
        self.born += 1
        sink = TopicSink(
            topic=TOPIC,
            table="gold.levels_signals",
            consumer=process.consumer(
                group_id="sinks", group_instance_id=self.random.choice(MEMBERS), enable_partition_eof=True
            ),
            store=MemoryStore(self.table, process.die),
            decoder=Decoder(),
            dead_letters=DeadLetters(
                process.producer(), topics.DEAD_LETTERS, 1, partitions=LETTERS_PARTITIONS, now_ns=lambda: 0
            ),
            source=lambda: Source(self.log.cluster_id, str(self.log.topics[TOPIC].topic_id)),
            # In every other world the sinks are clones of one (a copied machine): no claim tells them apart.
            owner="clone" if self.clones else f"sink-{self.born}",
            repeats=self.repeats,
            room=Room(self.random.choice([1, 2**30])),
            patience=Patience(lambda _: self.interlude(), attempts=self.random.choice([2, 12])),
            limits=Limits(age_s=self.random.choice([0.0, RETAKE_S]), rows=self.random.choice([1, 5, 1000])),
            clock_s=lambda: self.now_s,
        )
        self.processes[sink] = process
        self.sinks.append(sink)
        self.act(sink, sink.start)

    def act(self, sink: TopicSink, action: Callable[[], None]) -> None:
        """Let a sink act; one that ends, by whatever it raises, is gone."""
        self.acting.append(sink)
        try:
            action()
        except (Crash, UnavailableError, ConflictError) as error:
            self.stops[type(error).__name__] += 1
            self.sinks.remove(sink)
        finally:
            self.acting.pop()

    def interlude(self) -> None:
        """Others act while one is in the middle of a call."""
        if not self.table.faulty or len(self.acting) > 2 or self.random.random() > 0.15:
            return
        idle = [sink for sink in self.sinks if sink not in self.acting]
        if idle:
            sink = self.random.choice(idle)
            self.act(sink, lambda: sink.step(0))
        elif self.random.random() < 0.3:
            self.born_sink()

    def turn(self) -> None:
        choice = self.random.random()
        if choice < 0.35:
            self.produce()
        elif choice < 0.45 or not self.sinks:
            self.born_sink()
        elif choice < 0.5:
            # A process that is paused for good, and one whose end the group has noticed by now.
            self.sinks.remove(self.random.choice(self.sinks))
            self.expire()
        elif choice < 0.55:
            self.expire()
        elif choice < 0.6:
            self.now_s += RETAKE_S
        else:
            sink = self.random.choice(self.sinks)
            self.act(sink, lambda: sink.step(0))

    def expire(self) -> None:
        """The group loses a random part of its members: dead ones, and living ones that it takes to be dead."""
        group = self.log.group("sinks")
        group.expire()
        for member in list(group.members):
            if self.random.random() < 0.3:
                group.leave(member)

    def settle(self) -> None:
        """Faults end; one last sink stores the rest. Older sinks wake up afterwards and must do no harm."""
        self.table.faulty = False
        zombies = list(self.sinks)
        group = self.log.group("sinks")
        group.members.clear()
        self.born_sink()
        last = self.sinks[-1]
        for _ in range(400):
            last.step(0)
            self.now_s += RETAKE_S
            if len(last.partitions) == PARTITIONS and last.lag() == 0:
                break
        self.table.land()
        for zombie in zombies:
            self.act(zombie, lambda zombie=zombie: zombie.step(0))
        # They rejoined, and are gone for good now: what they took is taken back.
        self.table.land()
        group.members = [member for member in group.members if member.process is self.processes[last]]
        group.generation += 1
        for _ in range(10):
            self.now_s += RETAKE_S
            last.step(0)
        assert len(last.partitions) == PARTITIONS and last.lag() == 0


def run(seed: int, *, repeats: bool) -> World:
    world = World(seed, repeats=repeats)
    for _ in range(world.random.randint(5, 40)):
        world.turn()
    world.settle()
    return world


def check(world: World, seed: int) -> None:
    where = f"seed {seed}"
    rows = [tuple(row[name] for name in COLUMNS) for row in world.table.rows()]
    records = [message for number in range(PARTITIONS) for message in world.log.records(TOPIC, number)]
    good = [(m.partition(), m.offset()) for m in records if m.value() != b"bad"]
    stored = [(partition, offset) for partition, offset, _, _ in rows]
    assert len(stored) == len(set(stored)), f"{where}: doubled {[k for k, n in Counter(stored).items() if n > 1]}"
    if world.repeats:
        keys = [(partition, ts, row) for partition, _, ts, row in rows]
        assert len(keys) == len(set(keys)), f"{where}: doubled {[k for k, n in Counter(keys).items() if n > 1]}"
        assert set(keys) == world.sent, f"{where}: lost {sorted(world.sent - set(keys))}"
    else:
        assert sorted(stored) == sorted(good), f"{where}: lost {sorted(set(good) - set(stored))}"
    assert not world.table.trespasses, f"{where}: {world.table.trespasses} wrote what they knew to be others'"
    schema = schemas.load(topics.DEAD_LETTERS)
    letters = set()
    for number in range(LETTERS_PARTITIONS):
        for message in world.log.records(topics.DEAD_LETTERS, number):
            letter = decode_row(schema, message.value(), lambda _: schema)
            letters.add((letter["partition"], letter["offset"]))
            assert letter["value"] == b"bad"
    bad = {(m.partition(), m.offset()) for m in records if m.value() == b"bad"}
    assert letters == bad, f"{where}: dead letters lost {sorted(bad - letters)}"


@pytest.mark.parametrize("case", range(CASES))
@pytest.mark.parametrize("repeats", [False, True], ids=["events", "snaps"])
def test_every_schedule_of_faults_ends_with_nothing_lost_and_nothing_doubled(case: int, repeats: bool) -> None:
    # Failures are the daily bread here: their log lines would fill the report.
    with capture_logs():
        for seed in range(case * SEEDS_PER_CASE, (case + 1) * SEEDS_PER_CASE):
            check(run(seed, repeats=repeats), seed)


def test_the_schedules_reach_what_they_are_for() -> None:
    stops: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for seed in range(200):
        world = run(seed, repeats=False)
        stops += world.stops
        calls += Counter(world.table.calls)
    assert stops["Crash"] > 50 and stops["ConflictError"] > 50 and stops["UnavailableError"] > 5, stops
    assert calls["find"] > 50 and calls["append"] > 500, calls
