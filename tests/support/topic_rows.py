"""What a topic of a real broker holds."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message, TopicPartition

from common import kafka
from common.avro import Codec
from common.columns import Batch
from common.endpoints import resolve
from common.registry import Registry
from common.schemas import load
from common.topics import full_name


def messages_of(name: str, namespace: str) -> list[Message]:
    """All records of the topic (named without the namespace), in their order."""
    topic = full_name(name, namespace)
    consumer = kafka.consumer()
    try:
        end = kafka.end_offsets(topic, 0, client=consumer).end_offset
        consumer.assign([TopicPartition(topic, 0, 0)])
        out: list[Message] = []
        while len(out) < end:
            for message in consumer.consume(10_000, 1.0):
                assert message.error() is None
                out.append(message)
        return out
    finally:
        consumer.close()


def values_of(name: str, namespace: str) -> list[bytes]:
    """The values of all records of the topic, in their order."""
    return [message.value() or b"" for message in messages_of(name, namespace)]


def columns_of(name: str, values: Sequence[bytes]) -> Batch:
    """Values of the topic as columns; each can be read."""
    with Registry(resolve().registry_url) as registry:
        decoded = Codec(load(name)).decode(values, registry.schema)
    assert not decoded.bad
    return decoded.batch


def batch_of(name: str, namespace: str) -> Batch:
    """All records of the topic as columns."""
    return columns_of(name, values_of(name, namespace))
