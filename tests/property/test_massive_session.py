"""A session and the vendor's stand-in through a hundred schedules of faults, in simulated time."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest

from producers.live.arrivals import Clock, Connection, Gap, Records
from producers.massive.session import DISORDER_NS
from tests.support.dbn_files import BASE_NS
from tests.support.massive_account import Identity, account_of, balance, message_identity
from tests.support.massive_link import SimulatedLink
from tests.support.massive_market import market, schedule
from tests.support.massive_play import GARBAGE

SEEDS = 100
EARLIEST_NS = DISORDER_NS + 30_000_000
"""Before the tape's begin: how much disorder a gap allows for, and how old a message of the tape may be."""


def messages_of(frames: Sequence[bytes]) -> int:
    """Market messages in frames that are neither garbage nor the connection's own."""
    return sum(message["ev"] != "status" for frame in frames if frame not in GARBAGE for message in orjson.loads(frame))


def order_of(landed: Sequence[tuple[str, bytes]]) -> dict[str, list[Identity]]:
    """Each topic's messages in the order in which they came over the wire, with repeats."""
    out: dict[str, list[Identity]] = {}
    for channel, frame in landed:
        for message in [] if frame in GARBAGE else orjson.loads(frame):
            if message["ev"] != "status":
                what = message_identity(channel, message)
                out.setdefault(what[0], []).append(what)
    return out


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
        assert account.order == order_of(link.landed), f"seed {seed}: not in the order of the wire, or not as often"
        for topic, begin_ns, end_ns in account.gaps:
            assert BASE_NS - EARLIEST_NS <= begin_ns <= end_ns, f"seed {seed}: {topic}'s gap is wider than the session"
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
