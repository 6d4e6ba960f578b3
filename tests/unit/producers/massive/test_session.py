"""The session: what connections say, as arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from common.errors import ConfigError
from common.topics import OPTIONS_GREEKS, OPTIONS_QUOTES, OPTIONS_TRADES, STOCKS_QUOTES, STOCKS_TRADES
from producers.live.arrivals import Arrival, Bad, Clock, Connection, Gap, Records, Resume
from producers.massive.session import DISORDER_NS, TOPICS_OF, Channel, Frame, Session
from producers.massive.strikes import StrikeWindow
from tests.support.captures import CALL, chain_entry, option_quote, option_trade, stock_quote, stock_trade
from tests.support.dbn_files import BASE_NS
from tests.support.massive_play import status

MS = 1_000_000
AWAY_NS = 40 * 86_400_000_000_000
"""Our clock is not the vendor's."""

STOCKS, OPTIONS = TOPICS_OF["stocks"], TOPICS_OF["options"]


class Scene:
    """A session with a hand on what comes in; ``ms`` after BASE_NS, by the vendor's clock."""

    def __init__(self, resume: Resume | None = None) -> None:
        self.session = Session("SPY", StrikeWindow("SPY", 5.0), 1_000 * MS, resume or Resume())
        self.said: list[Arrival] = []

    def frame(self, channel: Channel, data: bytes | Sequence[object], ms: int) -> list[Arrival]:
        raw = data if isinstance(data, bytes) else orjson.dumps(data)
        now_ns = BASE_NS + AWAY_NS + ms * MS
        return self._keep(self.session.received([Frame(channel, raw, now_ns)], now_ns))

    def open(self, channel: Channel, ms: int, *, acknowledge: bool = True) -> list[Arrival]:
        now_ns = BASE_NS + AWAY_NS + ms * MS
        out = self._keep(self.session.opened(channel, now_ns))
        if acknowledge:
            for param in sorted(self.session.desired(channel)):
                out += self.frame(channel, status("success", f"subscribed to: {param}"), ms)
        return out

    def lose(self, channel: Channel, ms: int) -> list[Arrival]:
        return self._keep(self.session.lost(channel, BASE_NS + AWAY_NS + ms * MS))

    def tick(self, ms: int) -> list[Arrival]:
        return self._keep(self.session.tick(BASE_NS + AWAY_NS + ms * MS))

    def _keep(self, arrivals: list[Arrival]) -> list[Arrival]:
        self.said += arrivals
        return arrivals

    def of(self, kind: type[Any]) -> list[Any]:
        return [arrival for arrival in self.said if isinstance(arrival, kind)]


def ns(ms: int) -> int:
    return BASE_NS + ms * MS


def test_records_of_both_topics_come_in_the_order_of_receipt() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_quote(0), stock_trade(1), stock_trade(3), stock_trade(2)], 5)
    found = {records.batch.name: records.batch["ts_event_ns"].tolist() for records in scene.of(Records)}
    assert found == {STOCKS_QUOTES: [ns(0)], STOCKS_TRADES: [ns(1), ns(3), ns(2)]}
    assert all(len(records.hashes) == records.batch.length for records in scene.of(Records))


def test_a_connection_is_said_when_its_subscriptions_are_in_force_and_the_time_is_known() -> None:
    scene = Scene()
    assert scene.open("stocks", 0) == []
    scene.frame("stocks", [stock_quote(0)], 1)
    assert scene.said[0] == Connection(STOCKS, "CONNECTED", ns(0))
    assert isinstance(scene.said[1], Records)


def test_records_before_the_last_acknowledgement_wait_for_the_gap() -> None:
    scene = Scene(Resume({STOCKS_QUOTES: ns(-9_000), STOCKS_TRADES: ns(-7_000)}))
    scene.open("stocks", 0, acknowledge=False)
    assert scene.frame("stocks", status("success", "subscribed to: Q.SPY"), 0) == []
    assert scene.frame("stocks", [stock_quote(10)], 12) == []
    out = scene.frame("stocks", status("success", "subscribed to: T.SPY"), 20)
    assert out[:3] == [
        Gap((STOCKS_QUOTES,), ns(-9_000) - DISORDER_NS, ns(18) + DISORDER_NS),
        Gap((STOCKS_TRADES,), ns(-7_000) - DISORDER_NS, ns(18) + DISORDER_NS),
        Connection(STOCKS, "CONNECTED", ns(18)),
    ]
    assert isinstance(out[3], Records) and len(out) == 4


def test_an_empty_log_has_no_gap() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_quote(0)], 1)
    assert scene.of(Gap) == []


def test_a_lost_connection_is_a_gap_from_the_newest_time_heard_to_the_new_ones_acknowledgement() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_quote(5_000), stock_trade(4_900)], 5_000)
    assert scene.lose("stocks", 6_000) == [Connection(STOCKS, "DISCONNECTED", ns(6_000))]
    assert scene.tick(7_000) == []
    scene.open("stocks", 8_000)
    gap = Gap(STOCKS, ns(5_000) - DISORDER_NS, ns(8_000) + DISORDER_NS)
    assert scene.said[-2:] == [gap, Connection(STOCKS, "CONNECTED", ns(8_000))]


def test_a_connection_lost_before_it_was_covered_widens_the_gap() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_quote(1_000)], 1_000)
    scene.lose("stocks", 2_000)
    scene.open("stocks", 3_000, acknowledge=False)
    assert scene.lose("stocks", 4_000) == []
    scene.open("stocks", 5_000)
    assert scene.of(Gap) == [Gap(STOCKS, ns(1_000) - DISORDER_NS, ns(5_000) + DISORDER_NS)]


def test_a_first_connection_lost_before_it_was_covered_is_a_gap_from_its_beginning() -> None:
    scene = Scene()
    scene.open("stocks", 1_000, acknowledge=False)
    scene.lose("stocks", 1_500)
    scene.open("stocks", 2_000)
    scene.frame("stocks", [stock_quote(3_000)], 3_000)
    assert scene.of(Gap) == [Gap(STOCKS, ns(1_000) - DISORDER_NS, ns(3_000) + DISORDER_NS)]


def test_held_records_are_not_forgotten_with_their_connection() -> None:
    scene = Scene(Resume({STOCKS_QUOTES: ns(-1)}))
    scene.open("stocks", 0, acknowledge=False)
    scene.frame("stocks", [stock_quote(10)], 10)
    scene.lose("stocks", 20)
    kinds = [type(arrival).__name__ for arrival in scene.said]
    assert kinds == ["Gap", "Connection", "Records", "Connection"]


def test_each_channel_has_its_own_gap() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_quote(0)], 0)
    scene.tick(1)
    scene.open("options", 2)
    scene.frame("options", [option_quote(100), option_trade(110)], 110)
    scene.frame("stocks", [stock_quote(900)], 900)
    scene.lose("options", 1_000)
    scene.open("options", 2_000)
    assert scene.of(Gap) == [Gap(OPTIONS, ns(110) - DISORDER_NS, ns(2_000) + DISORDER_NS)]


def test_the_clock_is_the_vendors_and_runs_on_while_nothing_comes() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_quote(0), stock_quote(200), stock_quote(100)], 1_000)
    assert scene.tick(1_000) == [Clock(STOCKS, ns(200))]
    assert scene.tick(1_100) == []
    assert scene.tick(1_600) == [Clock(STOCKS, ns(800))]


def test_a_polls_times_are_no_clock_and_an_unanswered_poll_is_no_gap() -> None:
    scene = Scene(Resume({OPTIONS_GREEKS: ns(-5)}))
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_quote(0)], 0)
    scene.open("chain", 0)
    scene.frame("chain", [chain_entry(5_000)], 10)
    assert scene.session.now_ns(BASE_NS + AWAY_NS + 10 * MS) == ns(10)
    scene.lose("chain", 20)
    scene.open("chain", 30)
    assert scene.of(Gap) == []
    states = [(a.topics, a.state) for a in scene.of(Connection) if a.topics == TOPICS_OF["chain"]]
    assert [state for _, state in states] == ["CONNECTED", "DISCONNECTED", "CONNECTED"]


def test_strikes_follow_the_last_quote_that_is_a_market() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    assert scene.session.desired("options") == frozenset()
    crossed, one_sided = stock_quote(2, bp=700.0, ap=690.0), stock_quote(3, bp=0, bs=0)
    scene.frame("stocks", [stock_quote(1), crossed, one_sided], 4)
    scene.tick(5)
    assert f"T.{CALL}" in scene.session.desired("options")
    assert not any("00690000" in param for param in scene.session.desired("options"))


def test_new_contracts_are_subscribed_before_old_ones_are_given_up() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_quote(1)], 1)
    scene.tick(2)
    scene.open("options", 3)
    old = scene.session.desired("options")
    scene.frame("stocks", [stock_quote(10, bp=617.0, ap=617.02)], 10)
    scene.tick(11)
    both = scene.session.desired("options")
    assert old < both
    for param in sorted(both - old):
        assert old <= scene.session.desired("options")
        scene.frame("options", status("success", f"subscribed to: {param}"), 12)
    assert scene.session.desired("options") == both - old
    for param in sorted(old):
        scene.frame("options", status("success", f"unsubscribed to: {param}"), 13)
    assert scene.of(Gap) == []


def test_a_subscription_nobody_acknowledges_is_overdue_only_on_a_connection() -> None:
    scene = Scene()
    late_ns = BASE_NS + AWAY_NS + 60_000 * MS
    assert scene.session.overdue("stocks", late_ns) is None
    scene.open("stocks", 0, acknowledge=False)
    assert scene.session.overdue("stocks", late_ns) in ("Q.SPY", "T.SPY")
    scene.lose("stocks", 1)
    assert scene.session.overdue("stocks", late_ns) is None


@pytest.mark.parametrize(
    ("data", "value", "problem"),
    [
        (b"nonsense", b"nonsense", "no JSON"),
        (b'{"ev":"Q"}', b'{"ev":"Q"}', "messages is not a list"),
        (b'[17]', b"17", "the message"),
        (b'[{"ev":"Z"}]', b'{"ev":"Z"}', "'Z'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_goes_to_the_dead_letters_with_its_bytes(data: bytes, value: bytes, problem: str) -> None:
    scene = Scene()
    scene.open("stocks", 0)
    (bad,) = scene.frame("stocks", data, 1)
    assert isinstance(bad, Bad)
    assert (bad.topic, bad.value) == ("massive.stocks", value)
    assert problem in bad.error


def test_the_good_messages_of_a_frame_survive_a_bad_one() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_trade(1), {"ev": "T", "sym": "SPY"}, stock_trade(2)], 3)
    (records,) = scene.of(Records)
    assert records.batch.length == 2
    assert len(scene.of(Bad)) == 1


def test_two_bad_frames_of_one_moment_are_two_letters() -> None:
    scene = Scene()
    scene.frame("stocks", b"nonsense", 1)
    scene.frame("stocks", b"nonsense", 1)
    assert len({bad.place for bad in scene.of(Bad)}) == 2


def test_a_time_far_ahead_of_its_receipt_is_damage_and_moves_nothing() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    now_ns = BASE_NS
    arrivals = scene.session.received(
        [Frame("stocks", orjson.dumps([stock_quote(0), stock_quote(60_000), stock_quote(1)]), now_ns)], now_ns
    )
    assert [type(a).__name__ for a in arrivals] == ["Bad", "Connection", "Records"]
    assert scene.session.now_ns(now_ns) == ns(1)


def test_an_answer_that_the_plan_lacks_the_data_ends_it() -> None:
    scene = Scene()
    scene.open("stocks", 0, acknowledge=False)
    with pytest.raises(ConfigError, match="does not give stocks to this key"):
        scene.frame("stocks", status("error", "You are not authorized to stream Q.SPY"), 1)


def test_status_messages_among_data_are_taken_too() -> None:
    scene = Scene()
    scene.open("stocks", 0, acknowledge=False)
    mixed = [
        {"ev": "status", "status": "success", "message": "subscribed to: T.SPY"},
        stock_quote(1),
        {"ev": "status", "status": "success", "message": "subscribed to: Q.SPY"},
    ]
    scene.frame("stocks", mixed, 2)
    assert [type(a).__name__ for a in scene.said] == ["Connection", "Records"]


def test_option_trades_carry_the_quote_before_them_across_frames() -> None:
    scene = Scene()
    scene.open("stocks", 0)
    scene.frame("stocks", [stock_quote(0)], 0)
    scene.tick(1)
    scene.open("options", 1)
    scene.frame("options", [option_quote(10)], 10)
    scene.frame("options", [option_trade(20)], 20)
    (trades,) = (r.batch for r in scene.of(Records) if r.batch.name == OPTIONS_TRADES)
    assert (trades["opt_bid"][0], trades["opt_ask"][0]) == (1.52, 1.54)
    assert {r.batch.name for r in scene.of(Records)} >= {OPTIONS_QUOTES, OPTIONS_TRADES}
