"""The in-memory log behaves as the broker and librdkafka do in what the platform relies on."""

from __future__ import annotations

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicCollection, TopicPartition

from tests.support.memory_log import Crash, Fault, MemoryLog
from tests.support.memory_producer import Producer

TOPIC = "t"


def make(seed: int | None = None) -> MemoryLog:
    log = MemoryLog(seed)
    log.create(TOPIC)
    return log


def values(messages: list[Message]) -> list[bytes | None]:
    return [m.value() for m in messages]


def transactional(log: MemoryLog, transactional_id: str = "id") -> Producer:
    producer = log.process().transactional_producer(transactional_id)
    producer.init_transactions()
    return producer


def code(error: pytest.ExceptionInfo[KafkaException]) -> int:
    return error.value.args[0].code()


def test_records_get_dense_offsets_and_come_back_as_they_were() -> None:
    log = make()
    producer = log.producer()
    told = []
    producer.produce(
        TOPIC, b"a", key="k", partition=0, headers={"run_id": "1"}, on_delivery=lambda e, m: told.append(m)
    )
    producer.produce_batch(TOPIC, [{"value": b"b"}, {"value": b"c", "key": b"x"}], partition=0)
    assert producer.flush() == 0
    consumer = log.consumer()
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    got = consumer.consume(10, 0.1)
    assert [(m.offset(), m.key(), m.value()) for m in got] == [(0, b"k", b"a"), (1, None, b"b"), (2, b"x", b"c")]
    assert got[0].headers() == [("run_id", b"1")]
    assert [m.offset() for m in told] == [0]


def test_a_committed_read_skips_aborted_records_and_control_markers() -> None:
    log = make()
    producer = transactional(log)
    for value, commit in ((b"a", True), (b"b", False), (b"c", True)):
        producer.begin_transaction()
        producer.produce(TOPIC, value, partition=0)
        producer.flush()
        producer.commit_transaction() if commit else producer.abort_transaction()
    assert [(m.offset(), m.value()) for m in log.records(TOPIC)] == [(0, b"a"), (4, b"c")]
    assert values(log.records(TOPIC, committed=False)) == [b"a", b"b", b"c"]
    assert log.partition(TOPIC, 0).high == 6


def test_an_open_transaction_holds_committed_reads_back_in_its_partition() -> None:
    log = make()
    holder = transactional(log, "slow")
    holder.begin_transaction()
    holder.produce(TOPIC, b"held", partition=0)
    holder.flush()
    log.append(TOPIC, b"later")
    consumer = log.consumer()
    consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
    assert consumer.consume(10) == []
    assert consumer.get_watermark_offsets(TopicPartition(TOPIC, 0)) == (0, 0)
    holder.commit_transaction()
    assert values(consumer.consume(10)) == [b"held", b"later"]


def test_a_newer_owner_aborts_what_was_open_and_fences_the_older_for_good() -> None:
    log = make()
    old = transactional(log)
    old.begin_transaction()
    old.produce(TOPIC, b"zombie", partition=0)
    old.flush()
    transactional(log)
    with pytest.raises(KafkaException) as error:
        old.commit_transaction()
    assert code(error) == KafkaError._FENCED and error.value.args[0].fatal()
    with pytest.raises(KafkaException):
        old.begin_transaction()
    assert log.records(TOPIC) == []


def test_an_expired_transaction_is_aborted_and_its_producer_fenced() -> None:
    log = make()
    producer = transactional(log)
    producer.begin_transaction()
    producer.produce(TOPIC, b"late", partition=0)
    producer.flush()
    log.expire_transactions()
    with pytest.raises(KafkaException) as error:
        producer.commit_transaction()
    assert code(error) == KafkaError._FENCED
    assert log.records(TOPIC) == []


def test_position_stays_before_a_trailing_marker_unless_the_end_was_told() -> None:
    log = make()
    producer = transactional(log)
    producer.begin_transaction()
    producer.produce(TOPIC, b"a", partition=0)
    producer.commit_transaction()
    consumer = log.consumer(enable_partition_eof=True)
    where = TopicPartition(TOPIC, 0, 0)
    consumer.assign([where])
    assert consumer.position([where])[0].offset == -1001
    got = consumer.consume(10)
    assert got[0].value() == b"a"
    assert got[1].error().code() == KafkaError._PARTITION_EOF and got[1].offset() == 2
    assert consumer.position([where])[0].offset == 2
    assert consumer.consume(10) == []
    silent = log.consumer()
    silent.assign([where])
    assert values(silent.consume(10)) == [b"a"]
    assert silent.position([where])[0].offset == 1


@pytest.mark.parametrize(("fault", "kept"), [(Fault.CRASH_BEFORE, []), (Fault.CRASH_AFTER, [b"a"])])
def test_a_crash_at_commit_keeps_what_the_broker_had_heard(fault: Fault, kept: list[bytes]) -> None:
    log = make()
    producer = transactional(log)
    producer.begin_transaction()
    producer.produce(TOPIC, b"a", partition=0)
    log.faults[log.operations + 1] = fault
    with pytest.raises(Crash):
        producer.commit_transaction()
    with pytest.raises(Crash):
        producer.flush()
    transactional(log)
    assert values(log.records(TOPIC)) == kept


def test_a_lost_answer_leaves_the_commit_done() -> None:
    log = make()
    producer = transactional(log)
    producer.begin_transaction()
    producer.produce(TOPIC, b"a", partition=0)
    log.faults[log.operations + 1] = Fault.LOST_ANSWER
    with pytest.raises(KafkaException) as error:
        producer.commit_transaction()
    assert code(error) == KafkaError._TIMED_OUT
    assert values(log.records(TOPIC)) == [b"a"]


def test_an_abortable_error_forbids_the_commit_until_the_abort() -> None:
    log = make()
    producer = transactional(log)
    producer.begin_transaction()
    producer.produce(TOPIC, b"a", partition=0)
    log.faults[log.operations + 1] = Fault.ABORTABLE
    for _ in range(2):
        with pytest.raises(KafkaException) as error:
            producer.commit_transaction()
        assert error.value.args[0].txn_requires_abort()
    producer.abort_transaction()
    producer.begin_transaction()
    producer.produce(TOPIC, b"b", partition=0)
    producer.commit_transaction()
    assert values(log.records(TOPIC)) == [b"b"]


def test_a_full_queue_raises_in_produce_and_marks_the_rest_of_a_batch() -> None:
    log = make()
    producer = log.producer(queue_buffering_max_messages=2)
    batch = [{"value": b"a"}, {"value": b"b"}, {"value": b"c"}]
    assert producer.produce_batch(TOPIC, batch, partition=0) == 2
    assert batch[2]["_error"].code() == KafkaError._QUEUE_FULL
    with pytest.raises(BufferError):
        producer.produce(TOPIC, b"d", partition=0)


def test_an_offset_out_of_range_is_an_error_message_unless_a_reset_is_set() -> None:
    log = make()
    for value in (b"a", b"b", b"c"):
        log.append(TOPIC, value)
    log.truncate(TOPIC, 0, 2)
    strict, lenient = log.consumer(), log.consumer(auto_offset_reset="earliest")
    for consumer in (strict, lenient):
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
    assert strict.consume(10)[0].error().code() == KafkaError._AUTO_OFFSET_RESET
    assert values(lenient.consume(10)) == [b"c"]


def test_compaction_keeps_the_last_value_of_each_key() -> None:
    log = make()
    for key, value in ((b"x", b"1"), (b"y", b"2"), (b"x", b"3"), (b"y", None)):
        log.append(TOPIC, value, key)
    log.compact(TOPIC)
    assert [(m.offset(), m.value()) for m in log.records(TOPIC)] == [(2, b"3")]


def test_a_topic_made_anew_has_another_id() -> None:
    log = make()
    before = log.admin().describe_topics(TopicCollection([TOPIC]))[TOPIC].result().topic_id
    log.create(TOPIC)
    assert log.admin().describe_topics(TopicCollection([TOPIC]))[TOPIC].result().topic_id != before


def test_the_same_seed_gives_the_same_cuts() -> None:
    def sizes(seed: int) -> list[int]:
        log = make(seed)
        for n in range(50):
            log.append(TOPIC, bytes([n]))
        consumer = log.consumer()
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        return [len(consumer.consume(10)) for _ in range(20)]

    assert sizes(3) == sizes(3)
    assert sizes(3) != sizes(4)
