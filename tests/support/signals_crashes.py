"""The signals worker without Faust and broker: a log, a table, a signals topic, and processes that die anywhere."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from common import schemas, topics
from common.avro.codec import Codec
from common.config import EngineConfig
from common.schemas import RecordSchema
from processors.signals.partition import Partition, Work
from processors.signals.position import start_from
from tests.support.feature_rows import feature_batch

FEATURES_ID, SIGNALS_ID = 7, 8
COMPLEX = "SPY"


def writer(schema_id: int) -> RecordSchema:
    return {FEATURES_ID: schemas.load(topics.FEATURES), SIGNALS_ID: schemas.load(topics.SIGNALS)}[schema_id]


def encode(rows: Sequence[dict[str, Any]]) -> list[bytes]:
    return Codec(schemas.load(topics.FEATURES)).encode(feature_batch(rows), FEATURES_ID).messages()


class World:
    """What outlives a process: the log (offsets with the gaps that transactions leave), the table and what was sent."""

    def __init__(self, config: EngineConfig, snaps: Sequence[Sequence[dict[str, Any]]], seed: int = 0) -> None:
        rng = random.Random(seed)
        self.config = config
        self.table: dict[bytes, bytes] = {}
        self.sent: list[bytes] = []
        self.dead: list[int] = []
        self.log: list[tuple[int, bytes | None]] = []
        values = encode([row for snap in snaps for row in snap])
        offset = 0
        for snap in snaps:
            for _ in snap:
                self.log.append((offset, values[len(self.log)]))
                offset += 1
            offset += rng.randrange(0, 3)

    def process(self) -> Process:
        return Process(self)


class Process:
    """One life of the worker, from its restoring on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.start = start_from(world.table, COMPLEX, world.config.hash)
        self.partition = Partition(world.config, COMPLEX, self.start, writer, SIGNALS_ID)
        self.next_offset = self.start.position.next_offset if self.start.position else 0

    def steps(self, rng: random.Random) -> Iterator[None]:
        """The life as steps: each is one thing that the outside has seen, and the process may end after any of them."""
        pending = [record for record in self.world.log if record[0] >= self.next_offset]
        while pending:
            size = rng.choice((1, 2, 5, 20, 100))
            for offset, value in pending[:size]:
                self.partition.add(offset, value)
            del pending[:size]
            work = self.partition.take()
            if work is not None:
                yield from self.do(work)

    def do(self, work: Work) -> Iterator[None]:
        """The work in the order that the app keeps."""
        for value in work.signals:
            self.world.sent.append(value)
            yield
        for bad in work.bad:
            self.world.dead.append(bad.offset)
            yield
        for key, value in [*work.levels, work.position_row]:
            self.world.table[key] = value
            yield


def run_to_end(world: World, seed: int = 0) -> None:
    """One life that nothing ends."""
    for _ in world.process().steps(random.Random(seed)):
        pass


def once(values: Sequence[bytes]) -> list[bytes]:
    """What a reader that drops duplicates sees."""
    return list(dict.fromkeys(values))
