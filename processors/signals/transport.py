"""Faust's Kafka transport as the platform needs it: committed records only, and positions that come from the table.

Facts about Faust 0.15.3 behind it: it reads uncommitted records unless ``exactly_once`` is on (which does not cover
tables); it starts at the group's committed offsets, which it moves in the background; and its watch over them takes
the gaps that transactions leave for a stuck stream. (aiokafka reads lz4 through cramjam, which is its optional
dependency and therefore one of ours.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from common.errors import InvariantError


class _CommittedThread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        if not hasattr(consumer, "_isolation_level"):
            raise InvariantError("this aiokafka does not keep its isolation level where it is expected")
        # Read when the consumer starts; Faust has no setting for it.
        consumer._isolation_level = "read_committed"
        return consumer


class CommittedConsumer(Consumer):
    """A consumer of committed records whose place in the log is the app's business, not the group's."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Where input partitions were put when the tables had recovered. Moves nothing.

        Faust calls this when partitions flow again already: a consumer that went elsewhere now would hand over what it
        had fetched before, then pass over what it should have read.
        """
        return dict(cast(CommittedTransport, self.transport).starts)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: the worker has a watchdog of its own that knows what is outstanding."""


class CommittedTransport(Transport):
    """The transport of the signals app; ``starts`` are the offsets that its input was last put to."""

    Consumer = CommittedConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.starts: Mapping[TP, int] = {}
