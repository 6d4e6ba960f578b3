"""What the topics themselves hold: counted by reading them, nothing decoded but the dead letters."""

from __future__ import annotations

from contextlib import closing
from typing import Protocol

from confluent_kafka import KafkaError, TopicPartition

from common import endpoints, kafka, topics
from common.errors import UnavailableError
from common.recorded import LogReader
from common.registry import Registry

BATCH = 10_000
STALL_POLLS = 60
POLL_S = 1.0

Letter = tuple[str, int, int]
"""A record that was set aside: topic (its full name), partition, offset."""


class Log(Protocol):
    """The topics of a deployment, as far as a certificate asks."""

    def count(self, topic: str, partition: int, first: int, last: int) -> int | None:
        """Records from offset ``first`` to ``last``; None when the topic no longer has them all."""
        ...

    def letters(self) -> frozenset[Letter]:
        """Every record that was set aside."""
        ...


class Broker:
    """The broker's topics."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def count(self, topic: str, partition: int, first: int, last: int) -> int | None:
        """As `Log`. Raises UnavailableError when the broker does not deliver."""
        with closing(kafka.consumer(enable_partition_eof=True)) as client:
            begin = kafka.end_offsets(topic, partition, client=client).begin_offset
            if begin > first:
                return None
            client.assign([TopicPartition(topic, partition, first)])
            records = polls = 0
            while polls < STALL_POLLS:
                messages = client.consume(num_messages=BATCH, timeout=POLL_S)
                polls = 0 if messages else polls + 1
                for message in messages:
                    error = message.error()
                    if error is not None and error.code() != KafkaError._PARTITION_EOF:
                        raise kafka.unavailable(f"hand out {topic}", error)
                    if error is not None or int(message.offset() or 0) > last:
                        return records
                    records += 1
        raise UnavailableError(f"the broker delivers nothing of {topic} any more", hint="./breakwater status shows it.")

    def letters(self) -> frozenset[Letter]:
        """As `Log`. Raises UnavailableError when broker or registry do not answer."""
        found: set[Letter] = set()
        with Registry(endpoints.resolve().registry_url) as registry:
            for partition in sorted(set(topics.COMPLEXES.values())):
                reader = LogReader(kafka.consumer, registry.schema, self._namespace, partition)
                with closing(reader):
                    bounds = reader.bounds(topics.DEAD_LETTERS)
                    if bounds is None:
                        continue
                    for _, row in reader.rows(topics.DEAD_LETTERS, bounds.begin_offset, bounds.end_offset):
                        if row["offset"] is not None:
                            found.add((row["topic"], row["partition"], row["offset"]))
        return frozenset(found)
