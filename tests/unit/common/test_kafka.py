"""The Kafka client's owner, as far as it goes without a broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from structlog.testing import capture_logs

from common import kafka
from common.errors import ConfigError, InvariantError, UnavailableError
from common.topics import TopicSpec, specs
from tests.support.memory_log import MemoryLog
from tests.support.stack import environment

NOWHERE = {"BREAKWATER_KAFKA_BOOTSTRAP": "127.0.0.1:1", "BREAKWATER_REGISTRY_URL": "http://127.0.0.1:1"}


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kafka, "REQUEST_TIMEOUT_S", 0.3)
    monkeypatch.setattr(kafka, "ENSURE_TIMEOUT_S", 0.3)
    with environment(**NOWHERE):
        yield


def test_security_settings_and_password_reach_every_client() -> None:
    given = {
        "BREAKWATER_KAFKA_SECURITY": "security.protocol=SASL_SSL; sasl.mechanism=PLAIN;sasl.username=a=b;",
        "BREAKWATER_KAFKA_SASL_PASSWORD": "secret",
    }
    with environment(**given):
        config = kafka.client_config()
    assert config["security.protocol"] == "SASL_SSL"
    assert config["sasl.mechanism"] == "PLAIN"
    assert config["sasl.username"] == "a=b"
    assert config["sasl.password"] == "secret"


@pytest.mark.parametrize("text", ["security.protocol", "=x", "a=", "a=b;c"])
def test_a_security_setting_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="part without key and value"):
        kafka.parse_security(text)


def test_the_password_is_refused_among_settings_that_may_be_printed() -> None:
    with pytest.raises(ConfigError) as caught:
        kafka.parse_security("sasl.password=hunter2")
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint and "SASL_PASSWORD" in caught.value.hint


def test_an_unknown_client_setting_is_named() -> None:
    with environment(BREAKWATER_KAFKA_SECURITY="no.such=1"), pytest.raises(ConfigError, match=r"no\.such"):
        kafka.admin()


@pytest.mark.parametrize("make", [kafka.producer, kafka.consumer, kafka.admin])
def test_clients_are_made_with_settings_that_the_library_takes(make: object) -> None:
    assert make() is not None  # type: ignore[operator]


def test_a_transactional_producer_may_be_overridden() -> None:
    assert kafka.transactional_producer("x", linger_ms=0, transaction_timeout_ms=120_000) is not None


def test_a_broker_that_is_away_is_named_with_what_to_do() -> None:
    for ask in (
        lambda: kafka.end_offsets("t", 0),
        lambda: kafka.topic_ids(["t"]),
        kafka.cluster_id,
        lambda: kafka.ensure_topics([TopicSpec("t", 1)]),
    ):
        with pytest.raises(UnavailableError, match=r"Kafka at 127\.0\.0\.1:1 did not") as caught:
            ask()
        assert caught.value.hint and "./breakwater up" in caught.value.hint


def test_missing_topics_are_made_once_with_their_cleanup_policy() -> None:
    log = MemoryLog()
    for _ in range(2):
        kafka.ensure_topics(specs("ns"), client=log.admin())  # type: ignore[arg-type]
    assert set(log.topics) == {spec.name for spec in specs("ns")}
    assert {topic.cleanup for name, topic in log.topics.items() if name.endswith("checkpoints")} == {"compact"}
    assert kafka.topic_ids(sorted(log.topics), client=log.admin()).keys() == log.topics.keys()  # type: ignore[arg-type]
    assert kafka.cluster_id(log.admin()) == "memory-log"  # type: ignore[arg-type]


def test_no_retention_cuts_what_people_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = MemoryLog().admin()
    create, made = admin.create_topics, {}

    def recorded(new: Any, **given: Any) -> Any:
        made.update({topic.topic: topic.config for topic in new})
        return create(new, **given)

    monkeypatch.setattr(admin, "create_topics", recorded)
    kafka.ensure_topics(specs("ns"), client=admin)  # type: ignore[arg-type]
    kept = {
        name for name, config in made.items() if config.get("retention.ms") == config.get("retention.bytes") == "-1"
    }
    assert kept == {"ns.control.requests.v1"}


def test_a_topic_with_another_partition_count_is_refused() -> None:
    log = MemoryLog()
    log.create("t", partitions=3)
    with pytest.raises(InvariantError, match="topic t has 3 partitions, not 1"):
        kafka.ensure_topics([TopicSpec("t", 1)], client=log.admin())  # type: ignore[arg-type]


def test_end_offsets_stop_before_an_open_transaction() -> None:
    log = MemoryLog()
    log.create("t")
    log.append("t", b"1")
    producer = log.transactional_producer("x")
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce("t", b"2", partition=0)
    producer.flush()
    assert kafka.end_offsets("t", 0, client=log.consumer()) == (0, 1)  # type: ignore[arg-type]
    producer.commit_transaction()
    assert kafka.end_offsets("t", 0, client=log.consumer()).end_offset == 3  # type: ignore[arg-type]


class Electing:
    """A consumer whose partition has no leader for the first questions."""

    def __init__(self, answers: int) -> None:
        self._left = answers

    def get_watermark_offsets(self, where: TopicPartition, timeout: float, cached: bool) -> tuple[int, int]:
        self._left -= 1
        if self._left >= 0:
            raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
        return 4, 9


def test_offsets_wait_for_a_leader_but_not_for_ever() -> None:
    assert kafka.end_offsets("t", 0, client=Electing(2)) == (4, 9)  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match="did not give the offsets of t-0"):
        kafka.end_offsets("t", 0, client=Electing(10_000))  # type: ignore[arg-type]


def test_lines_that_repeat_are_logged_once_in_a_while() -> None:
    lines = kafka.LibrdkafkaLog()
    with capture_logs() as logged:
        for _ in range(50):
            lines.log(40, "%s [%s] %s", "FAIL", "rdkafka#producer-1", "connection refused")
            lines.on_error(KafkaError(KafkaError._TRANSPORT, "refused"))
        lines.log(40, "%s [%s] %s", "GETPID", "rdkafka#producer-1", "retrying")
    assert [line["event"] for line in logged] == ["librdkafka", "kafka_client_error", "librdkafka"]
    assert logged[0]["detail"] == "connection refused"
