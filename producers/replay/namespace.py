"""A replay's rows as topics of a namespace of its own, as a live run would have written them.

Each step is one transaction. A replay that was interrupted goes on where the last transaction ended: its rows are the
same bytes, so those that are there already are passed over.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from common import endpoints, kafka, schemas, topics
from common.avro import Codec
from common.columns import Batch, string_list
from common.config import EngineConfig
from common.errors import ConfigError, ConflictError
from common.recorded import END_NS, LogReader
from common.registry import Registry
from common.times import shown_time
from common.topics import full_name
from producers.replay.engine import Judged
from producers.replay.ranges import Range

PREFIX = "replay."
WRITTEN = (topics.FEATURES, topics.SIGNALS, topics.OUTCOMES, topics.OPTIONS_FLOW)
TRANSACTION_TIMEOUT_S = 30.0
_MESSAGES_PER_CALL = 5_000
_TAIL_OFFSETS = 4_096
_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})


def check_namespace(name: str, source: str) -> None:
    """Raise ConfigError unless a replay may write there: ``replay.NAME``, and not where its input comes from."""
    if name == PREFIX:
        raise ConfigError(f"{PREFIX} lacks a name", hint=f"Write --to-namespace {PREFIX}mine.")
    if not name.startswith(PREFIX):
        raise ConfigError(
            f"a replay does not write into {name + '.*' if name else 'the live topics'}",
            hint=f"Name a namespace of its own: --to-namespace {PREFIX}{name or 'mine'}.",
        )
    if name == source:
        raise ConfigError(f"{name} is where the input comes from", hint="Choose another name for --to-namespace.")


class NamespaceOutput:
    """Publishes to one partition of ``namespace``. ``ids``: the registry's schema ids by topic.

    Opening it fences a replay that still writes there. Raises UnavailableError when the broker does not take the rows;
    ConflictError when another replay has taken over, or when the namespace holds another replay.
    """

    def __init__(
        self,
        namespace: str,
        complex_name: str,
        *,
        producer: Any,
        held: LogReader,
        ids: Mapping[str, int],
        run_id: str,
        config: EngineConfig,
    ) -> None:
        self._namespace = namespace
        self._partition = topics.partition_of(complex_name)
        self._producer = producer
        self._ids = ids
        self._key = complex_name.encode()
        self._first = True
        self._headers = [(topics.HEADER_RUN_ID, run_id.encode())]
        self._codecs = {topic: Codec(schemas.load(topic)) for topic in WRITTEN}
        self._call(lambda: producer.init_transactions(TRANSACTION_TIMEOUT_S))
        self._held = _held(held)
        if self._held is not None and self._held.config_hash != config.hash:
            raise _other(namespace, f"made with configuration {self._held.config_hash}, not {config.hash}")

    @property
    def held_until_ns(self) -> int:
        """Everything before it is in the namespace already; 0 when it was empty."""
        return 0 if self._held is None else self._held.last_ns + 1

    def write(self, judged: Judged) -> None:
        """Publish the step's rows that are not there yet, in one transaction."""
        if self._first and judged.features.length:
            self._first = False
            begins_ns = int(judged.features["ts_event_ns"][0])
            if self._held is not None and self._held.first_ns != begins_ns:
                raise _other(self._namespace, f"which begins at {shown_time(self._held.first_ns)}")
        fresh = judged.within(Range(self.held_until_ns, END_NS))
        if any(batch.length for batch in fresh.rows.values()):
            self._call(lambda: self._publish(fresh))

    def finish(self) -> None:
        """Everything is committed."""

    def abandon(self) -> None:
        """What is committed stays: the same command goes on there."""

    def _publish(self, judged: Judged) -> None:
        self._producer.begin_transaction()
        for topic in WRITTEN:
            self._send(full_name(topic, self._namespace), judged.rows[topic])
        self._producer.commit_transaction(TRANSACTION_TIMEOUT_S)

    def _send(self, name: str, batch: Batch) -> None:
        if batch.length == 0:
            return
        values = self._codecs[batch.name].encode(batch, self._ids[batch.name]).messages()
        # Batches carry no headers: the first row goes alone and names the run for those after it.
        self._producer.produce(name, value=values[0], key=self._key, partition=self._partition, headers=self._headers)
        for start in range(1, len(values), _MESSAGES_PER_CALL):
            messages = [{"value": value, "key": self._key} for value in values[start : start + _MESSAGES_PER_CALL]]
            queued = self._producer.produce_batch(name, messages, partition=self._partition)
            if queued < len(messages):
                # Some of a snap's rows are missing: this transaction must never be committed.
                raise KafkaException(KafkaError(KafkaError._QUEUE_FULL, f"{queued} of {len(messages)} rows queued"))
            self._producer.poll(0)

    def _call(self, act: Any) -> None:
        try:
            act()
        except KafkaException as error:
            if error.args[0].code() in _FENCED:
                raise ConflictError(
                    f"another replay writes into {self._namespace} now",
                    hint="Let it end, or choose another name for --to-namespace.",
                ) from error
            raise kafka.unavailable(f"take rows for {self._namespace}", error) from error


@contextmanager
def namespace_output(namespace: str, complex_name: str, config: EngineConfig) -> Iterator[NamespaceOutput]:
    """The output into a replay's namespace; its topics and schemas are made when they are not there."""
    kafka.ensure_topics(topics.specs(namespace))
    partition = topics.partition_of(complex_name)
    with (
        Registry(endpoints.resolve().registry_url) as registry,
        closing(LogReader(kafka.consumer, registry.schema, namespace, partition)) as held,
    ):
        yield NamespaceOutput(
            namespace,
            complex_name,
            producer=kafka.transactional_producer(full_name(f"replay-{complex_name}", namespace)),
            held=held,
            ids=registry.ensure_all(namespace),
            run_id=uuid.uuid4().hex,
            config=config,
        )


class _Held(NamedTuple):
    """What a namespace holds: the configuration's hash, its first and last snap."""

    config_hash: str
    first_ns: int
    last_ns: int


def _held(log: LogReader) -> _Held | None:
    bounds = log.bounds(topics.SIGNALS)
    first = None if bounds is None else next(log.pieces(topics.SIGNALS, *bounds), None)
    if bounds is None or first is None or first.batch.length == 0:
        return None
    last = first
    # The last offsets are the ends of transactions, or records of aborted ones.
    for piece in log.pieces(
        topics.SIGNALS, max(bounds.begin_offset, bounds.end_offset - _TAIL_OFFSETS), bounds.end_offset
    ):
        last = piece if piece.batch.length else last
    (config_hash,) = string_list(first.batch.slice(0, 1).columns["config_hash"])
    return _Held(str(config_hash), int(first.batch["ts_event_ns"][0]), int(last.batch["ts_event_ns"][-1]))


def _other(namespace: str, detail: str) -> ConflictError:
    return ConflictError(
        f"{namespace} holds another replay, {detail}",
        hint="Choose another name for --to-namespace, or repeat the options of the first run.",
    )
