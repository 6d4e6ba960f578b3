"""The Kafka client's one owner: how every producer, consumer and admin client of the platform is configured.

Code that talks to the log takes these objects as arguments, under confluent_kafka's own method names, so that an
in-memory log can stand in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from common import endpoints
from common.errors import ConfigError, InvariantError, UnavailableError
from common.settings import settings
from common.telemetry import get_logger
from common.topics import TopicSpec

log = get_logger("kafka")

REQUEST_TIMEOUT_S = 15.0
"""How long one request for metadata, offsets or a new topic may take."""

ENSURE_TIMEOUT_S = 60.0
"""How long `ensure_topics` goes on trying while brokers start or elect leaders."""

LOG_REPEAT_S = 10.0
"""Least distance of two log lines of the same kind from one client."""

ELECTING = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
"""What a broker answers for a moment after a topic was made or a leader was lost."""

_T = TypeVar("_T")


class Watermarks(NamedTuple):
    """Offsets of a partition: the first that exists and the one after the last that a committed read can see."""

    begin_offset: int
    end_offset: int


class _Quiet:
    """Lets a kind of line through once in a while: a broker that is away would fill the log with the same two lines."""

    def __init__(self) -> None:
        self._last_s: dict[tuple[str, ...], float] = {}

    def passes(self, *kind: str) -> bool:
        """True for the first line of a kind, then at most every `LOG_REPEAT_S`."""
        now_s = time.monotonic()
        if now_s - self._last_s.get(kind, -LOG_REPEAT_S) < LOG_REPEAT_S:
            return False
        self._last_s[kind] = now_s
        return True


class LibrdkafkaLog:
    """Takes librdkafka's log lines (it calls ``log`` as a stdlib logger's) to the service's structured log."""

    def __init__(self) -> None:
        self._quiet = _Quiet()

    def log(self, level: int, message: str, *args: object) -> None:
        """One line: ``args`` are the facility, the client's name and the text."""
        facility, client, text = (str(arg) for arg in args) if len(args) == 3 else ("", "", message % args)
        if level < logging.WARNING or facility == "CONFWARN":
            log.debug("librdkafka", facility=facility, client=client, detail=text)
        elif self._quiet.passes(facility, client):
            log.warning("librdkafka", facility=facility, client=client, detail=text)

    def on_error(self, error: KafkaError) -> None:
        """A client-wide error: librdkafka goes on by itself unless it is fatal, and then the next call raises it."""
        if self._quiet.passes(error.name()):
            log.warning("kafka_client_error", code=error.name(), detail=error.str(), fatal=error.fatal())


def unavailable(doing: str, error: KafkaException | KafkaError) -> UnavailableError:
    """What the user is told when the broker cannot do something: what was tried, where, and why it failed."""
    cause = error.args[0] if isinstance(error, KafkaException) else error
    detail = cause.str() if isinstance(cause, KafkaError) else str(cause)
    where = endpoints.resolve().kafka_bootstrap
    return UnavailableError(
        f"Kafka at {where} did not {doing}: {detail}",
        hint="Check that the broker runs (./breakwater status, ./breakwater up) or set BREAKWATER_KAFKA_BOOTSTRAP.",
    )


def parse_security(text: str | None) -> dict[str, str]:
    """Settings from ``key=value;key=value``. Raises ConfigError that names the part without a key or a value."""
    out: dict[str, str] = {}
    for part in (text or "").split(";"):
        if not part.strip():
            continue
        key, separator, value = part.partition("=")
        if not separator or not key.strip() or not value.strip():
            raise ConfigError(
                f"kafka_security has a part without key and value: {key.strip()!r}",
                hint="Write it as security.protocol=SASL_SSL;sasl.mechanism=PLAIN;sasl.username=... (no password).",
            )
        if key.strip() == "sasl.password":
            raise ConfigError(
                "kafka_security must not hold sasl.password",
                hint="Set BREAKWATER_KAFKA_SASL_PASSWORD, which is never printed.",
            )
        out[key.strip()] = value.strip()
    return out


def client_config() -> dict[str, Any]:
    """What all clients share: where the brokers are, security, and how fast they reconnect."""
    config: dict[str, Any] = {
        "bootstrap.servers": endpoints.resolve().kafka_bootstrap,
        "broker.address.family": "v4",
        "reconnect.backoff.max.ms": 2_000,
        "socket.keepalive.enable": True,
        **parse_security(settings().kafka_security),
    }
    password = settings().kafka_sasl_password
    if password is not None:
        config["sasl.password"] = password.get_secret_value()
    return config


def _make(build: Callable[..., _T], config: dict[str, Any]) -> _T:
    lines = LibrdkafkaLog()
    try:
        return build({**config, "error_cb": lines.on_error}, logger=lines)
    except KafkaException as error:
        detail = error.args[0].str() if isinstance(error.args[0], KafkaError) else str(error)
        raise ConfigError(
            f"the Kafka client cannot be made: {detail}", hint="Check BREAKWATER_KAFKA_SECURITY."
        ) from None


def producer(**overrides: Any) -> ck.Producer:
    """An idempotent producer for large batches: acks from all, order kept, delivery retried for two minutes.

    ``overrides`` are librdkafka settings with underscores for dots (``linger_ms=0``).
    """
    config = {
        **client_config(),
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "compression.type": "lz4",
        "batch.size": 1_000_000,
        "batch.num.messages": 50_000,
        "message.max.bytes": 1_048_576,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 524_288,
        "delivery.timeout.ms": 120_000,
        **_dotted(overrides),
    }
    return _make(ck.Producer, config)


def transactional_producer(transactional_id: str, **overrides: Any) -> ck.Producer:
    """A producer whose writes become visible at commit; opening a second one with the same id fences the first."""
    transactional = {
        "transactional_id": transactional_id,
        "transaction_timeout_ms": 60_000,
        # A delivery may not outlive its transaction.
        "delivery_timeout_ms": 60_000,
    }
    return producer(**{**transactional, **overrides})


def consumer(**overrides: Any) -> ck.Consumer:
    """A consumer for manual ``assign``: committed records only, no group commits, an offset out of range is an error.

    ``overrides`` are librdkafka settings with underscores for dots.
    """
    config = {
        **client_config(),
        # Required by the client; nothing is ever committed to it, positions live with the outputs.
        "group.id": "breakwater-manual",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": False,
        # The default of 1000 leaves a draining consumer idle most of the time.
        "fetch.queue.backoff.ms": 10,
        "fetch.wait.max.ms": 50,
        "fetch.error.backoff.ms": 50,
        "queued.min.messages": 200_000,
        "queued.max.messages.kbytes": 131_072,
        "fetch.message.max.bytes": 8_388_608,
        "check.crcs": True,
        **_dotted(overrides),
    }
    return _make(ck.Consumer, config)


def admin() -> AdminClient:
    """A client for topics and their descriptions."""
    return _make(AdminClient, client_config())


def _dotted(overrides: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", "."): value for key, value in overrides.items()}


def ensure_topics(specs: Iterable[TopicSpec], *, client: AdminClient | None = None) -> None:
    """Create what is missing; an existing topic must have the spec's partition count.

    Waits until every topic has leaders. Raises UnavailableError when the broker does not answer in time, InvariantError
    for another partition count (it never changes in place).
    """
    wanted = {spec.name: spec for spec in specs}
    if not wanted:
        return
    client = client or admin()
    deadline = time.monotonic() + ENSURE_TIMEOUT_S
    while True:
        try:
            present = _partition_counts(client, wanted)
            missing = [spec for name, spec in wanted.items() if name not in present]
            if not missing:
                break
            _create(client, missing)
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise unavailable(f"create topics within {ENSURE_TIMEOUT_S:.0f} s", error) from error
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"topics without a leader after {ENSURE_TIMEOUT_S:.0f} s: {', '.join(spec.name for spec in missing)}",
                hint="Look at the broker's log (./breakwater status names it).",
            )
        time.sleep(0.05)
    for name, count in present.items():
        if count != wanted[name].partitions:
            raise InvariantError(
                f"topic {name} has {count} partitions, not {wanted[name].partitions}",
                hint="Partition counts never change in place; use another BREAKWATER_NAMESPACE or recreate the topic.",
            )


def _partition_counts(client: AdminClient, wanted: dict[str, TopicSpec]) -> dict[str, int]:
    """Partition counts of the wanted topics that exist and whose partitions all have leaders."""
    metadata = client.list_topics(timeout=REQUEST_TIMEOUT_S)
    out = {}
    for name in wanted:
        topic = metadata.topics.get(name)
        if topic is None or topic.error is not None or not topic.partitions:
            continue
        if all(partition.error is None and partition.leader >= 0 for partition in topic.partitions.values()):
            out[name] = len(topic.partitions)
    return out


def _create(client: AdminClient, missing: Sequence[TopicSpec]) -> None:
    new = [
        NewTopic(spec.name, num_partitions=spec.partitions, replication_factor=-1, config=_config(spec))
        for spec in missing
    ]
    for future in client.create_topics(new, request_timeout=REQUEST_TIMEOUT_S).values():
        try:
            future.result()
        except KafkaException as error:
            # Another service may create it at the same moment: then it is simply there.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _config(spec: TopicSpec) -> dict[str, str]:
    kept = {"retention.ms": "-1", "retention.bytes": "-1"} if spec.kept else {}
    return {"cleanup.policy": spec.cleanup, **kept}


def topic_ids(topics: Sequence[str], *, client: AdminClient | None = None) -> dict[str, str]:
    """The broker's id of each topic; a topic that was deleted and made anew has another. Raises UnavailableError."""
    client = client or admin()
    collection = ck.TopicCollection(list(topics))
    try:
        futures = client.describe_topics(collection, request_timeout=REQUEST_TIMEOUT_S)
        return {name: str(future.result().topic_id) for name, future in futures.items()}
    except KafkaException as error:
        raise unavailable(f"describe {', '.join(topics)}", error) from error


def cluster_id(client: AdminClient | None = None) -> str:
    """The cluster's id. Raises UnavailableError."""
    try:
        metadata = (client or admin()).list_topics(timeout=REQUEST_TIMEOUT_S)
    except KafkaException as error:
        raise unavailable("answer", error) from error
    return str(metadata.cluster_id)


def end_offsets(topic: str, partition: int, *, client: ck.Consumer | None = None) -> Watermarks:
    """First offset, and the offset after the last record that a committed read sees (no open transaction).

    ``client`` is any consumer; without one a consumer is made and closed. Raises UnavailableError.
    """
    owned = client is None
    reader = consumer() if client is None else client
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    try:
        while True:
            try:
                where = TopicPartition(topic, partition)
                low, high = reader.get_watermark_offsets(where, timeout=REQUEST_TIMEOUT_S, cached=False)
                return Watermarks(low, high)
            except KafkaException as error:
                if error.args[0].code() not in ELECTING or time.monotonic() > deadline:
                    raise unavailable(f"give the offsets of {topic}-{partition}", error) from error
                time.sleep(0.05)
    finally:
        if owned:
            reader.close()
