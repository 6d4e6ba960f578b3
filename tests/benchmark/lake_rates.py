"""The sink from a topic to committed files, against ``pyarrow.parquet.write_table`` on the same columns."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from confluent_kafka import TopicPartition

from common import iceberg, kafka, schemas, topics
from common.avro import Codec
from common.registry import Registry
from lakehouse.commits import Patience, Source
from lakehouse.dead_letters import DeadLetters
from lakehouse.records import Decoder
from lakehouse.room import Room
from lakehouse.service import ROOM_BYTES, group_consumer
from lakehouse.sink import TopicSink
from lakehouse.store import IcebergStore
from lakehouse.tables import HOUR_NS, ensure_table
from tests.benchmark.books import books

TOPIC = topics.FUTURES_MBP10
BATCH = 20_000
HOURS = 4
"""Hours of events in the topic: a commit writes a file for each that it meets."""
TIMES = ("ts_event_ns", "ts_recv_ns", "ts_effective_ns")


def publish(topic: str, schema_id: int, records: int, seed: int) -> None:
    """``records`` changes of a book, spread over the hours."""
    codec, producer = Codec(schemas.load(TOPIC)), kafka.producer()
    batches = records // BATCH
    for number in range(batches):
        batch = books(BATCH, seed + number)
        for name in TIMES:
            batch.columns[name].values[:] += number * HOURS * HOUR_NS // batches
        for message in codec.encode(batch, schema_id).messages():
            _produce(producer, topic, message)
    producer.flush()


def _produce(producer: Any, topic: str, message: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value=message, partition=0)
            producer.poll(0)
            return
        except BufferError:
            producer.poll(0.1)


def drain(topic: str, records: int) -> None:
    """``consume()`` alone."""
    consumer = kafka.consumer()
    consumer.assign([TopicPartition(topic, 0, 0)])
    got = 0
    while got < records:
        got += len(consumer.consume(10_000, 1.0))
    consumer.close()


def store(topic: str, table: str, records: int, registry: Registry) -> None:
    """The sink's whole way into a table of its own, as the service puts it together."""
    catalog = iceberg.open_catalog()
    ensure_table(catalog, table, topic, schemas.load(TOPIC))
    sink = TopicSink(
        topic=topic,
        table=table,
        consumer=group_consumer(topic),
        store=IcebergStore(catalog, table, topic),
        decoder=Decoder(schemas.load(TOPIC), registry.schema),
        dead_letters=DeadLetters(kafka.producer(), topics.DEAD_LETTERS, 0),
        source=partial(Source, "bench", topic),
        owner="bench",
        repeats=False,
        patience=Patience(threading.Event().wait),
        room=Room(ROOM_BYTES),
    )
    sink.start()
    while not sink.joined or sink.read_offsets[0] < records:
        sink.step(0.1)
    sink.commit()
    sink.close()


def _cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of all threads of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(home: Path, registry: Registry, namespace: str, records: int, rounds: int) -> dict[str, Any]:
    """Rows per CPU-second of each way, and the median of the rounds' ratios; the ways take turns."""
    topic = topics.full_name(TOPIC, namespace)
    publish(topic, registry.register(schemas.load(TOPIC), namespace), records, seed=7)
    store(topic, "bench.warm_up", records, registry)
    rows = iceberg.scan("bench.warm_up").combine_chunks()
    # As the service does at its start.
    gc.collect()
    gc.freeze()
    works: dict[str, Callable[[int], object]] = {
        "consume": lambda _: drain(topic, records),
        "sink": lambda number: store(topic, f"bench.round_{number}", records, registry),
        "write_table": lambda number: pq.write_table(rows, home / f"{number}.parquet", compression="zstd"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name, work in works.items():
            seconds[name].append(_cpu_s(partial(work, number)))
    pairs = zip(seconds["write_table"], seconds["sink"], strict=True)
    table = iceberg.load_table("bench.round_0")
    assert table is not None
    counts = table.inspect.files()["record_count"].to_pylist()
    if sum(counts) != rows.num_rows:
        raise AssertionError(f"{sum(counts)} rows in the table, {rows.num_rows} in the topic")
    return {
        "rows": rows.num_rows,
        "columns": rows.num_columns,
        "files": len(counts),
        **{f"{name}_rows_per_cpu_s": round(rows.num_rows / statistics.median(s)) for name, s in seconds.items()},
        "sink_to_parquet_ratio": round(statistics.median(ours / theirs for ours, theirs in pairs), 3),
    }
