"""One topic's sink on a log and a table in memory: when it commits, and what stops it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confluent_kafka import KafkaError, KafkaException

from common import schemas, topics
from common.avro import decode_row
from common.errors import ConflictError, InvariantError, UnavailableError
from lakehouse import dead_letters
from lakehouse.commits import Commit, Patience, Standing
from lakehouse.room import Room
from lakehouse.sink import CONFLICTS_BORNE, RETAKE_S, Limits, TopicSink
from tests.support.lake import GROUP, TOPIC, new_log, topic_sink, trade_value, write
from tests.support.memory_catalog import MemoryStore, MemoryTable
from tests.support.memory_log import MemoryLog
from tests.support.stack import environment


def offsets(table: MemoryTable) -> list[object]:
    return [row["_offset"] for row in table.rows()]


def letters(log: MemoryLog) -> list[dict[str, object]]:
    schema = schemas.load(topics.DEAD_LETTERS)
    return [decode_row(schema, message.value(), lambda _: schema) for message in log.records(topics.DEAD_LETTERS)]


def started(sink: TopicSink) -> TopicSink:
    """The sink after its first step, which tells it what is its."""
    sink.start()
    sink.step(0)
    return sink


def test_it_goes_on_from_the_table_not_from_the_group() -> None:
    log, table = new_log(), MemoryTable()
    write(log, 0, 1, 2)
    first = topic_sink(log, MemoryStore(table))
    first.start()
    first.step(0)
    log.group_offsets["breakwater-manual", TOPIC, 0] = 0
    write(log, 3, 4)
    second = topic_sink(log, MemoryStore(table), owner="later")
    second.start()
    second.step(0)
    assert offsets(table) == [0, 1, 2, 3, 4]


def test_the_first_start_begins_at_the_first_record_that_exists() -> None:
    log, table = new_log(), MemoryTable()
    write(log, 0, 1, 2)
    log.truncate(TOPIC, 0, 1)
    sink = topic_sink(log, MemoryStore(table))
    sink.start()
    sink.step(0)
    assert offsets(table) == [1, 2]


def test_idle_makes_no_commits() -> None:
    log, table = new_log(), MemoryTable()
    write(log, 0)
    sink = topic_sink(log, MemoryStore(table))
    sink.start()
    for _ in range(5):
        sink.step(0)
    assert table.calls["append"] == 1


def test_a_batch_waits_for_its_age_and_a_large_one_does_not() -> None:
    log, table, now = new_log(), MemoryTable(), [0.0]
    sink = topic_sink(log, MemoryStore(table), limits=Limits(age_s=1.0, rows=3), clock_s=lambda: now[0])
    sink.start()
    write(log, 0)
    sink.step(0)
    now[0] = 0.9
    sink.step(0)
    assert offsets(table) == []
    now[0] = 1.0
    sink.step(0)
    assert offsets(table) == [0]
    write(log, 1, 2, 3)
    sink.step(0)
    assert offsets(table) == [0, 1, 2, 3]


def test_what_was_read_is_committed_at_the_end() -> None:
    log, table = new_log(), MemoryTable()
    sink = topic_sink(log, MemoryStore(table), limits=Limits(age_s=60.0))
    sink.start()
    write(log, 0, 1)
    sink.step(0)
    sink.commit()
    assert offsets(table) == [0, 1]


def test_the_marker_of_a_transaction_leaves_no_lag() -> None:
    log, table = new_log(), MemoryTable()
    producer = log.transactional_producer("t")
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(TOPIC, value=trade_value(0), partition=0)
    producer.commit_transaction()
    sink = topic_sink(log, MemoryStore(table))
    sink.start()
    sink.step(0)
    assert (offsets(table), sink.lag(), table.now.offsets) == ([0], 0, {0: 2})


def test_a_record_that_is_not_avro_goes_to_the_dead_letters_and_stops_nothing() -> None:
    log, table = new_log(), MemoryTable()
    write(log, 0)
    log.append(TOPIC, b"\x00 not avro", key=b"k")
    write(log, 2)
    sink = topic_sink(log, MemoryStore(table))
    sink.start()
    sink.step(0)
    assert offsets(table) == [0, 2]
    (letter,) = letters(log)
    assert (letter["topic"], letter["partition"], letter["offset"]) == (TOPIC, 0, 1)
    assert (letter["key"], letter["value"]) == (b"k", b"\x00 not avro")
    assert letter["component"] == "lakehouse" and letter["error"]


def test_a_bad_record_alone_still_moves_the_offset() -> None:
    log, table = new_log(), MemoryTable()
    log.append(TOPIC, b"junk")
    sink = topic_sink(log, MemoryStore(table))
    sink.start()
    sink.step(0)
    assert table.now.offsets == {0: 1} and len(letters(log)) == 1


def test_a_bad_record_too_large_for_a_letter_is_cut_not_stuck() -> None:
    log = new_log()
    log.append(TOPIC, b"x" * (dead_letters.LONGEST_VALUE_BYTES + 1))
    sink = topic_sink(log, MemoryStore(MemoryTable()))
    sink.start()
    sink.step(0)
    (letter,) = letters(log)
    assert len(letter["value"]) == dead_letters.LONGEST_VALUE_BYTES and "cut from 900001 bytes" in letter["error"]


def test_nothing_is_committed_past_a_dead_letter_that_was_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    log, table = new_log(), MemoryTable()
    log.append(TOPIC, b"junk")
    process = log.process()
    sink = topic_sink(log, MemoryStore(table), process=process)
    sink.start()
    monkeypatch.setattr(sink._dead_letters._producer, "flush", lambda timeout: 1)
    with pytest.raises(UnavailableError, match="1 of 1 dead letters were not taken"):
        sink.step(0)
    assert table.now.offsets == {}


def test_offsets_that_retention_took_away_stop_it() -> None:
    log, table = new_log(), MemoryTable()
    write(log, 0)
    sink = topic_sink(log, MemoryStore(table))
    sink.start()
    sink.step(0)
    write(log, 1, 2)
    log.truncate(TOPIC, 0, 2)
    with pytest.raises(InvariantError, match=r"holds 2 to 3, the table goes on at 1") as caught:
        started(topic_sink(log, MemoryStore(table)))
    assert caught.value.hint


def test_offsets_that_retention_takes_away_while_it_runs_stop_it() -> None:
    log, table = new_log(), MemoryTable()
    write(log, 0)
    sink = topic_sink(log, MemoryStore(table))
    sink.start()
    sink.step(0)
    write(log, 1, 2)
    log.truncate(TOPIC, 0, 2)
    with pytest.raises(InvariantError, match="have parted at partition 0"):
        sink.step(0)
    assert offsets(table) == [0]


def test_a_recreated_topic_stops_it_while_it_runs() -> None:
    log, table = new_log(), MemoryTable()
    write(log, 0)
    running = started(topic_sink(log, MemoryStore(table)))
    log.create(TOPIC)
    write(log, 100, 101)
    with pytest.raises(InvariantError, match="its offsets mean something else"):
        running.step(0)
    assert offsets(table) == [0]


def test_a_recreated_topic_stops_it_at_the_start() -> None:
    log, table = new_log(), MemoryTable()
    write(log, 0)
    started(topic_sink(log, MemoryStore(table)))
    log.create(TOPIC)
    write(log, 100, 101)
    with pytest.raises(InvariantError, match="its offsets mean something else"):
        started(topic_sink(log, MemoryStore(table)))
    assert offsets(table) == [0]


def test_a_sink_of_the_same_name_takes_the_place_and_the_first_stops() -> None:
    log, table = new_log(), MemoryTable()
    first = started(topic_sink(log, MemoryStore(table), owner="first"))
    second = started(topic_sink(log, MemoryStore(table), owner="second"))
    write(log, 0, 1)
    with pytest.raises(ConflictError, match="another sink of the same name has taken this one's place") as caught:
        first.step(0)
    assert caught.value.hint
    second.step(0)
    assert offsets(table) == [0, 1]


def test_sinks_of_different_names_share_the_partitions_and_one_takes_over_what_another_leaves() -> None:
    log, table = new_log(partitions=3), MemoryTable()
    first = started(topic_sink(log, MemoryStore(table), owner="first", member="a"))
    assert first.partitions == (0, 1, 2)
    write(log, 0, partition=0)
    write(log, 1, partition=1)
    first.step(0)
    dying = log.process()
    second = started(topic_sink(log, MemoryStore(table), process=dying, owner="second", member="b"))
    first.step(0)
    assert (first.partitions, second.partitions) == ((0, 2), (1,))
    write(log, 2, partition=1)
    second.step(0)
    write(log, 3, partition=1)
    dying.die()
    log.group(GROUP).expire()
    first.step(0)
    first.step(0)
    assert first.partitions == (0, 1, 2)
    assert sorted((row["_partition"], row["_offset"]) for row in table.rows()) == [(0, 0), (1, 0), (1, 1), (1, 2)]


def test_a_sink_that_ends_leaves_the_group_so_that_another_takes_over_at_once() -> None:
    log, table = new_log(partitions=2), MemoryTable()
    first = started(topic_sink(log, MemoryStore(table), owner="first", member="a"))
    second = started(topic_sink(log, MemoryStore(table), owner="second", member="b"))
    first.step(0)
    write(log, 0, partition=0)
    first.step(0)
    first.close()
    # Nobody is taken for dead here: `expire` is not called.
    second.step(0)
    assert second.partitions == (0, 1)
    write(log, 1, partition=0)
    second.step(0)
    assert offsets(table) == [0, 1]


def test_a_zombie_writes_nothing_and_goes_on_with_what_the_group_gives_it() -> None:
    log, table, now = new_log(), MemoryTable(), [0.0]
    zombie = topic_sink(
        log, MemoryStore(table), owner="zombie", member="a", limits=Limits(age_s=60.0), clock_s=lambda: now[0]
    )
    started(zombie)
    write(log, 0, 1)
    zombie.step(0)
    # It is paused for so long that the group takes it for dead, and another one stores what it had read.
    log.group(GROUP).members.clear()
    other = started(topic_sink(log, MemoryStore(table), owner="other", member="b"))
    assert offsets(table) == [0, 1]
    now[0] = 100.0
    zombie.commit()
    assert zombie.partitions == (0,) and offsets(table) == [0, 1]
    write(log, 2)
    zombie.step(0)
    other.step(0)
    assert (zombie.partitions, other.partitions) == ((), (0,))
    assert offsets(table) == [0, 1, 2]


def test_partitions_that_the_group_still_gives_to_a_loser_are_claimed_again_and_not_for_ever() -> None:
    log, table, now = new_log(), MemoryTable(), [0.0]
    sink = topic_sink(log, MemoryStore(table), clock_s=lambda: now[0])
    started(sink)
    for offset in range(CONFLICTS_BORNE):
        table.put(replace(table.now, owners={0: "thief"}))
        write(log, offset)
        sink.step(0)
        assert offsets(table) == []
        now[0] += RETAKE_S
        sink.step(0)
    table.put(replace(table.now, owners={0: "thief"}))
    with pytest.raises(ConflictError, match="now written by the sink thief"):
        sink.step(0)
    table.put(replace(table.now, owners={0: "me"}))


def test_an_owner_whose_batch_was_overtaken_seeks_again_and_goes_on() -> None:
    log, table = new_log(), MemoryTable()
    write(log, 0, 1, 2)
    zombie = topic_sink(log, MemoryStore(table), owner="zombie", member="z")
    owner = topic_sink(log, MemoryStore(table), owner="owner", limits=Limits(age_s=60.0))
    zombie.start()
    zombie._read(0)
    log.group(GROUP).members.clear()
    started(owner)
    # The zombie checked the table before the claim; its commit lands while the owner has read the same records.
    table.put(replace(table.now, owners={0: "zombie"}))
    zombie.commit()
    table.put(replace(table.now, owners={0: "owner"}))
    owner.commit()
    write(log, 3)
    owner.step(0)
    owner.commit()
    assert offsets(table) == [0, 1, 2, 3]


def test_a_full_room_stops_the_reading_until_there_is_a_commit() -> None:
    class Away(MemoryStore):
        def stage(self, standing: Standing, commit: Commit) -> str:
            if away:
                raise OSError("no disk")
            return super().stage(standing, commit)

    log, table, room = new_log(), MemoryTable(), Room(1)
    away, store = [True], Away(table)
    waits: list[float] = []
    holder = topic_sink(log, store, member="a", room=room, limits=Limits(age_s=60.0))
    idle = topic_sink(log, MemoryStore(table), owner="idle", member="b", room=room, patience=Patience(waits.append))
    idle.table = "bronze.another"
    started(holder)
    write(log, 0, 1)
    holder.step(0)
    assert room.full
    write(log, 2)
    idle.start()
    idle.step(0.5)
    assert waits == [0.5] and idle.partitions == ()
    with pytest.raises(UnavailableError, match="no disk"):
        holder.step(0)
    away.clear()
    holder.step(0)
    assert offsets(table) == [0, 1] and not room.full
    holder.step(0)
    holder.commit()
    assert offsets(table) == [0, 1, 2]


def test_a_broker_that_is_away_costs_time_and_nothing_else() -> None:
    log, table = new_log(), MemoryTable()
    sink = topic_sink(log, MemoryStore(table))
    started(sink)
    write(log, 0)
    log.down = True
    sink.step(0)
    with pytest.raises(UnavailableError):
        sink.lag()
    log.down = False
    sink.step(0)
    assert offsets(table) == [0]


def test_a_fatal_error_of_the_client_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log()
    sink = topic_sink(log, MemoryStore(MemoryTable()))
    sink.start()

    class Fatal:
        def error(self) -> KafkaError:
            return KafkaError(KafkaError._FATAL, "the client is done for", fatal=True)

    monkeypatch.setattr(sink._consumer, "consume", lambda **_: [Fatal()])
    with (
        environment(BREAKWATER_KAFKA_BOOTSTRAP="127.0.0.1:1", BREAKWATER_REGISTRY_URL="http://127.0.0.1:1"),
        pytest.raises(UnavailableError, match="done for"),
    ):
        sink.step(0)


def test_a_broker_that_stays_away_at_the_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log()
    sink = topic_sink(log, MemoryStore(MemoryTable()))
    log.down = True
    with pytest.raises((UnavailableError, KafkaException), match="asking for the topic failed 4 times"):
        sink.start()
