"""What a live session of Databento says to what it hears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import databento_dbn as d
import numpy as np
import pytest
from prometheus_client import REGISTRY

from common.columns import string_list
from common.errors import ConfigError
from common.topics import FUTURES_DEFINITIONS, FUTURES_MBP10, FUTURES_STATUS, FUTURES_TRADES
from producers.dbn.parse import parse
from producers.dbn.session import FRUITLESS_MAX, OVERLAP_NS, Session
from producers.dbn.symbols import SymbolMap
from producers.live.arrivals import Arrival, Bad, Clock, Connection, Gap, Records
from tests.support import dbn_files

BEGIN_NS = dbn_files.BASE_NS
S_NS = 1_000_000_000
ALL = (FUTURES_DEFINITIONS, FUTURES_STATUS, FUTURES_TRADES, FUTURES_MBP10)
_A = TypeVar("_A")


def raws(schema: str, times_ns: Sequence[int], **fields: object) -> list[bytes]:
    return [row.tobytes() for row in dbn_files.records(schema, times_ns, **fields)]


def system(code: d.SystemCode, ts_ns: int = BEGIN_NS) -> bytes:
    return bytes(d.SystemMsg(ts_ns, "Heartbeat" if code == d.SystemCode.HEARTBEAT else "said", code))


def error(code: d.ErrorCode) -> bytes:
    return bytes(d.ErrorMsg(BEGIN_NS, "what is wrong", True, code))


def mapping(number: int, name: str, asked: str = "ES.c.0") -> bytes:
    kinds = d.SType.CONTINUOUS, d.SType.RAW_SYMBOL
    return bytes(d.SymbolMappingMsg(1, number, BEGIN_NS, kinds[0], asked, kinds[1], name, BEGIN_NS, d.UNDEF_TIMESTAMP))


def opened(last_event_ns: Mapping[str, int] | None = None) -> Session:
    """A session whose connection stands, replays complete."""
    session = Session(last_event_ns or {}, "GLBX.MDP3")
    connect(session)
    return session


def connect(session: Session, completed: bool = True) -> list[Arrival]:
    session.subscriptions()
    said = session.opened(BEGIN_NS)
    return said + (hear(session, [system(d.SystemCode.HEARTBEAT)]) if completed else [])


def hear(session: Session, messages: Sequence[bytes], now_ns: int = BEGIN_NS) -> list[Arrival]:
    return session.received(messages, 0.0, now_ns)


def of(kind: type[_A], arrivals: Sequence[Arrival]) -> list[_A]:
    return [arrival for arrival in arrivals if isinstance(arrival, kind)]


def counted(kind: str) -> float:
    return REGISTRY.get_sample_value("breakwater_databento_messages_total", {"kind": kind}) or 0.0


def starts(session: Session) -> dict[str, int | None]:
    return {subscription.schema: subscription.start_ns for subscription in session.subscriptions()}


def test_records_keep_their_order_within_their_topics_and_are_what_a_file_of_them_says() -> None:
    books, trades = raws("mbp-10", range(3)), raws("trades", range(2))
    out = of(Records, hear(opened(), [books[0], trades[0], books[1], trades[1], books[2]]))
    assert {records.batch.name: records.batch.length for records in out} == {FUTURES_MBP10: 3, FUTURES_TRADES: 2}
    expected = parse("mbp-10", dbn_files.records("mbp-10", range(3)), SymbolMap(()))
    book = next(records for records in out if records.batch.name == FUTURES_MBP10)
    assert np.array_equal(book.hashes, expected.hashes)
    assert book.batch["ts_event_ns"].tolist() == expected.batch["ts_event_ns"].tolist()


def test_a_fresh_log_asks_for_the_state_and_for_what_comes_from_now_on() -> None:
    session = Session({}, "GLBX.MDP3")
    assert starts(session) == {"definition": 0, "status": 0, "trades": None, "mbp-10": None}
    states = {topic: said.state for said in of(Connection, session.opened(BEGIN_NS)) for topic in said.topics}
    assert states[FUTURES_MBP10] == states[FUTURES_TRADES] == "CONNECTED"
    assert states[FUTURES_STATUS] == states[FUTURES_DEFINITIONS] == "CATCHING_UP"


def test_a_log_with_records_is_gone_on_with_a_little_before_its_newest() -> None:
    session = Session({FUTURES_MBP10: BEGIN_NS, FUTURES_STATUS: BEGIN_NS}, "GLBX.MDP3")
    assert starts(session) == {"definition": 0, "status": 0, "trades": None, "mbp-10": BEGIN_NS - OVERLAP_NS}


def test_a_reconnect_replays_from_what_was_handed_over() -> None:
    session = opened()
    hear(session, raws("mbp-10", [5 * S_NS, 7 * S_NS, 6 * S_NS]) + raws("trades", [2 * S_NS]))
    assert [said.state for said in of(Connection, session.closed())] == ["DISCONNECTED"]
    asked = starts(session)
    assert asked["mbp-10"] == BEGIN_NS + 7 * S_NS - OVERLAP_NS
    assert asked["trades"] == BEGIN_NS + 2 * S_NS - OVERLAP_NS


def test_replays_are_over_when_each_of_them_is() -> None:
    session = Session(dict.fromkeys(ALL, BEGIN_NS), "GLBX.MDP3")
    said = connect(session, completed=False)
    assert [connection.state for connection in of(Connection, said)] == ["CATCHING_UP"]
    completed = system(d.SystemCode.REPLAY_COMPLETED)
    assert not of(Connection, hear(session, [completed] * 3))
    (over,) = of(Connection, hear(session, [completed]))
    assert (over.state, set(over.topics)) == ("CONNECTED", set(ALL))


def test_a_heartbeat_ends_replays_that_were_not_said_to_be_complete() -> None:
    session = Session(dict.fromkeys(ALL, BEGIN_NS), "GLBX.MDP3")
    connect(session, completed=False)
    (over,) = of(Connection, hear(session, [system(d.SystemCode.HEARTBEAT)]))
    assert set(over.topics) == set(ALL)


def refused(last_ns: int) -> Session:
    """A session whose replay the vendor refused, connected again."""
    session = Session({FUTURES_MBP10: last_ns}, "GLBX.MDP3")
    connect(session, completed=False)
    hear(session, [error(d.ErrorCode.INVALID_SUBSCRIPTION)])
    assert session.hopeless is None
    session.closed()
    assert starts(session)["mbp-10"] == 0
    session.opened(BEGIN_NS + 100 * S_NS)
    return session


def test_what_can_no_longer_be_replayed_is_a_gap_before_the_first_record_after_it() -> None:
    session = refused(BEGIN_NS)
    said = hear(session, raws("mbp-10", [50 * S_NS, 51 * S_NS]))
    kinds = [type(arrival) for arrival in said if isinstance(arrival, Gap | Records)]
    assert kinds == [Gap, Records]
    assert of(Gap, said) == [Gap((FUTURES_MBP10,), BEGIN_NS, BEGIN_NS + 50 * S_NS)]
    assert not of(Gap, hear(session, raws("mbp-10", [52 * S_NS])))


def test_a_whole_replay_that_reaches_back_far_enough_is_no_gap_and_hands_nothing_over_from_long_before() -> None:
    session = refused(BEGIN_NS + 60 * S_NS)
    said = hear(session, raws("mbp-10", [10 * S_NS, 20 * S_NS, 60 * S_NS, 61 * S_NS]))
    assert not of(Gap, said)
    (records,) = of(Records, said)
    assert records.batch["ts_event_ns"].tolist() == [BEGIN_NS + 60 * S_NS, BEGIN_NS + 61 * S_NS]


def test_a_topic_that_nothing_came_for_in_the_whole_replay_has_its_gap_at_its_end() -> None:
    session = refused(BEGIN_NS)
    gaps = of(Gap, hear(session, [system(d.SystemCode.HEARTBEAT, BEGIN_NS + 100 * S_NS)]))
    assert Gap((FUTURES_MBP10,), BEGIN_NS, BEGIN_NS + 100 * S_NS) in gaps


def test_a_connection_that_broke_before_its_first_record_is_replayed_from_its_beginning() -> None:
    session = opened()
    session.closed()
    assert starts(session)["mbp-10"] == BEGIN_NS - OVERLAP_NS


def test_records_skipped_for_a_slow_reader_are_a_gap_of_the_book() -> None:
    session = opened()
    hear(session, raws("mbp-10", [0, S_NS]))
    said = hear(session, [error(d.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING), *raws("trades", [5 * S_NS])])
    assert not of(Gap, said)
    assert of(Gap, hear(session, raws("mbp-10", [9 * S_NS]))) == [
        Gap((FUTURES_MBP10,), BEGIN_NS + S_NS, BEGIN_NS + 9 * S_NS)
    ]


def test_records_skipped_just_before_a_break_are_replayed_and_no_gap() -> None:
    session = opened()
    hear(session, [*raws("mbp-10", [0, S_NS]), error(d.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING)])
    session.closed()
    connect(session, completed=False)
    assert not of(Gap, hear(session, raws("mbp-10", [S_NS, 2 * S_NS])))


def test_a_record_that_the_topic_cannot_hold_is_bad_and_the_others_are_records() -> None:
    messages = raws("mbp-10", range(3), side=[b"B", b"Z", b"A"])
    said = hear(opened(), messages)
    (bad,) = of(Bad, said)
    assert (bad.topic, bad.value) == (FUTURES_MBP10, messages[1])
    assert "side" in bad.error
    assert bad.place == of(Bad, hear(opened(), messages[1:2]))[0].place
    assert sum(records.batch.length for records in of(Records, said)) == 2


def test_a_record_of_a_type_that_nobody_asked_for_is_bad() -> None:
    statistic = bytes([4, 24]) + bytes(14)
    (bad,) = of(Bad, hear(opened(), [statistic]))
    assert bad.value == statistic
    assert "24" in bad.error


def test_records_carry_the_contract_that_the_gateway_named() -> None:
    session = opened()
    before, after = hear(session, raws("trades", [0])), hear(session, [mapping(17077, "ESM5"), *raws("trades", [1])])
    assert string_list(of(Records, before)[0].batch.columns["symbol"]) == ["17077"]
    assert string_list(of(Records, after)[0].batch.columns["symbol"]) == ["ESM5"]


def test_after_a_roll_the_new_contract_is_the_front() -> None:
    session = opened()
    hear(session, [mapping(17077, "ESM5")])
    said = hear(session, [mapping(42, "ESU5"), *raws("definition", [0, 1], instrument_id=[17077, 42])])
    assert of(Records, said)[0].batch["is_front"].tolist() == [False, True]


def test_definitions_that_come_again_are_not_handed_over_again_but_new_ones_are() -> None:
    session = opened()
    messages = raws("definition", [0, 1])
    assert of(Records, hear(session, messages))[0].batch.length == 2
    session.closed()
    connect(session, completed=False)
    (records,) = of(Records, hear(session, messages + raws("definition", [-5], instrument_id=42)))
    assert records.batch["instrument_id"].tolist() == [42]


def test_two_equal_statuses_of_one_session_are_two_events() -> None:
    assert of(Records, hear(opened(), raws("status", [0, 0])))[0].batch.length == 2


@pytest.mark.parametrize(
    "code", [d.ErrorCode.SYMBOL_RESOLUTION_FAILED, d.ErrorCode.INVALID_SUBSCRIPTION, d.ErrorCode.API_KEY_DEACTIVATED]
)
def test_what_a_person_must_correct_ends_the_feed_with_a_hint(code: d.ErrorCode) -> None:
    session = opened()
    hear(session, [error(code)])
    assert isinstance(session.hopeless, ConfigError)
    assert session.hopeless.hint
    assert "what is wrong" in str(session.hopeless)


@pytest.mark.parametrize("code", [d.ErrorCode.INTERNAL_ERROR, d.ErrorCode.CONNECTION_LIMIT_EXCEEDED])
def test_what_may_pass_does_not_end_the_feed(code: d.ErrorCode) -> None:
    session = opened()
    hear(session, [error(code)])
    assert session.hopeless is None


def test_a_replay_that_always_breaks_is_given_up_with_a_gap() -> None:
    session = opened()
    hear(session, raws("mbp-10", [0]))
    session.closed()
    for _ in range(FRUITLESS_MAX):
        assert starts(session)["mbp-10"] is not None
        session.opened(BEGIN_NS)
        session.closed(damaged=True)
    assert starts(session)["mbp-10"] is None
    session.opened(BEGIN_NS)
    assert of(Gap, hear(session, raws("mbp-10", [9 * S_NS]))) == [Gap((FUTURES_MBP10,), BEGIN_NS, BEGIN_NS + 9 * S_NS)]
    session.closed(damaged=True)
    assert starts(session)["mbp-10"] is not None


def test_breaks_of_a_gateway_that_sent_nothing_bad_give_nothing_up() -> None:
    session = opened()
    hear(session, raws("mbp-10", [0]))
    for _ in range(3 * FRUITLESS_MAX):
        session.closed()
        connect(session)
    session.closed()
    assert starts(session)["mbp-10"] is not None


def test_the_clock_is_the_newest_time_that_the_vendor_named() -> None:
    session = opened()
    said = hear(session, raws("mbp-10", [S_NS], ts_recv=BEGIN_NS + 2 * S_NS))
    assert [clock.ts_ns for clock in of(Clock, said)] == [BEGIN_NS + 2 * S_NS]
    said = hear(session, [system(d.SystemCode.HEARTBEAT, BEGIN_NS + 3 * S_NS)])
    assert [clock.ts_ns for clock in of(Clock, said)] == [BEGIN_NS + 3 * S_NS]


def test_topics_that_catch_up_have_no_clock() -> None:
    session = Session({FUTURES_MBP10: BEGIN_NS}, "GLBX.MDP3")
    connect(session, completed=False)
    (clock,) = of(Clock, hear(session, raws("trades", [S_NS])))
    assert clock.topics == (FUTURES_TRADES,)


def test_while_nothing_comes_a_clock_in_real_time_goes_on_for_as_long_as_heartbeats_vouch_for_it() -> None:
    session = opened()
    hear(session, raws("mbp-10", [S_NS], ts_recv=BEGIN_NS + S_NS), now_ns=BEGIN_NS + S_NS + 5_000_000)
    (clock,) = of(Clock, session.idle(BEGIN_NS + 2 * S_NS + 5_000_000))
    assert clock.ts_ns == BEGIN_NS + 2 * S_NS
    assert not session.idle(BEGIN_NS + 30 * S_NS)


def test_a_recordings_clock_stands_still_while_nothing_comes() -> None:
    session = opened()
    hear(session, raws("mbp-10", [S_NS]), now_ns=BEGIN_NS + 3_600 * S_NS)
    assert not session.idle(BEGIN_NS + 3_601 * S_NS)


def test_warnings_of_a_slow_reader_are_counted() -> None:
    before = counted("slow_reader_warning")
    hear(opened(), [system(d.SystemCode.SLOW_READER_WARNING)])
    assert counted("slow_reader_warning") == before + 1


def test_made_up_data_say_so() -> None:
    session = Session({}, "SIM.MDP3")
    connect(session)
    (records,) = of(Records, hear(session, raws("trades", [0])))
    assert string_list(records.batch.columns["source"]) == ["sim"]


def test_a_connection_that_never_stood_is_not_lost() -> None:
    session = Session({}, "GLBX.MDP3")
    session.subscriptions()
    assert session.closed() == []


def test_what_lies_in_a_gap_that_was_told_does_not_come_after_it_when_it_is_replayed() -> None:
    session = opened()
    messages = raws("mbp-10", [0, 1, 1, 2, 3])
    hear(session, [*messages[:2], error(d.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING), messages[4]])
    session.closed()
    connect(session, completed=False)
    said = of(Records, hear(session, messages[:3])) + of(Records, hear(session, messages[3:]))
    assert [time_ns - BEGIN_NS for records in said for time_ns in records.batch["ts_event_ns"].tolist()] == [3]
