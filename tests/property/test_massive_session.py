"""A session and the vendor's stand-in through a hundred schedules of faults, in simulated time."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest

from producers.live.arrivals import Clock, Connection, Gap, Records
from tests.support.massive_account import account_of, balance
from tests.support.massive_link import SimulatedLink
from tests.support.massive_market import market, schedule
from tests.support.massive_play import GARBAGE

SEEDS = 100


def messages_of(frames: Sequence[bytes]) -> int:
    """Market messages in frames that are neither garbage nor the connection's own."""
    return sum(message["ev"] != "status" for frame in frames if frame not in GARBAGE for message in orjson.loads(frame))


@pytest.mark.parametrize("decade", range(SEEDS // 10))
def test_every_message_comes_once_or_is_dead_or_lies_in_a_gap(decade: int) -> None:
    lost = 0
    for seed in range(decade * 10, decade * 10 + 10):
        link = SimulatedLink(market(seed), schedule(seed), seed)
        link.run()
        account = account_of(link.arrivals)
        found = balance(link.ledger.entries, account)
        assert found.outside == [], f"seed {seed}"
        garbage_lost = [frame for frame in link.lost if frame in GARBAGE]
        assert account.dead == found.garbage - len(garbage_lost), f"seed {seed}"
        assert found.copies_lost == messages_of(link.lost), f"seed {seed}"
        lost += len(found.lost)
    assert lost > 0


@pytest.mark.parametrize("seed", range(5))
def test_without_faults_everything_comes_and_nothing_is_a_gap(seed: int) -> None:
    link = SimulatedLink(market(seed), [], seed)
    link.run()
    account = account_of(link.arrivals)
    found = balance(link.ledger.entries, account)
    assert (found.lost, account.gaps, account.dead) == ([], [], 0)
    changed = {entry["key"] for entry in link.ledger.entries if entry["fate"] == "unsubscribed"}
    assert changed & {entry["key"] for entry in link.ledger.entries if entry["fate"] == "sent"}, "strikes never moved"


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_said_of_a_topic_while_its_connection_is_gone(seed: int) -> None:
    link = SimulatedLink(market(seed), schedule(seed), seed)
    link.run()
    connected: set[str] = set()
    said_ns = 0
    for arrival in link.arrivals:
        match arrival:
            case Connection(topics, state, _):
                connected = connected | set(topics) if state == "CONNECTED" else connected - set(topics)
            case Clock(topics, ts_ns):
                assert set(topics) <= connected
                assert ts_ns >= said_ns
                said_ns = ts_ns
            case Records(batch):
                assert batch.name in connected
            case Gap(topics):
                assert not set(topics) & connected
