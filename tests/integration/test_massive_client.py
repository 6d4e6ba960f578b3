"""Massive's feed through the vendor's own clients, against the vendor's stand-in and all that it can do wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from polygon import RESTClient, WebSocketClient  # type: ignore[import-untyped]
from pydantic import SecretStr

from common.config import EngineConfig
from common.errors import ConfigError
from common.topics import OPTIONS_GREEKS
from producers.live.arrivals import Arrival, Connection, Gap, Records, Resume
from producers.massive.live import MassiveFeed, MassiveOptions
from tests.support.massive_account import account_of, balance
from tests.support.massive_gateway import KEY, Gateway
from tests.support.massive_market import write_market
from tests.support.massive_play import GARBAGE, Fault

WAIT_S = 60.0
SECONDS = 4


class ListInbox:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []

    def put(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)


class Run:
    """A feed in a thread of its own."""

    def __init__(self, gateway: Gateway, key: str = KEY, capture: Path | None = None) -> None:
        urls = gateway.urls
        options = MassiveOptions(
            key=SecretStr(key),
            stocks_url=urls["massive_stocks_url"],
            options_url=urls["massive_options_url"],
            rest_url=urls["massive_rest_url"],
            chain_interval_s=0.5,
            capture=capture,
        )
        self.feed = MassiveFeed(options, EngineConfig())
        self.inbox = ListInbox()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.feed.run(self.inbox, Resume())
        except BaseException as error:
            self.error = error

    def wait(self, done: threading.Event | None = None) -> None:
        """Until the tape has ended (or the feed has), then until nothing comes any more."""
        deadline_s = time.monotonic() + WAIT_S
        while time.monotonic() < deadline_s and self.thread.is_alive() and not (done and done.is_set()):
            time.sleep(0.02)
        count = -1
        while self.thread.is_alive() and count != (count := self.records):
            time.sleep(1.0)

    @property
    def records(self) -> int:
        """Records of the sockets; the chain never ends."""
        batches = [a.batch for a in list(self.inbox.arrivals) if isinstance(a, Records)]
        return sum(batch.length for batch in batches if batch.name != OPTIONS_GREEKS)


@contextmanager
def running(gateway: Gateway, key: str = KEY, capture: Path | None = None) -> Iterator[Run]:
    run = Run(gateway, key, capture)
    run.thread.start()
    try:
        yield run
    finally:
        run.feed.stop()
        run.thread.join(WAIT_S)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("massive") / "market.massive.jsonl.zst", seed=3, seconds=SECONDS)


def play(capture: Path, faults: Sequence[Fault]) -> tuple[Gateway, Run]:
    """The whole tape, with faults, to a feed; both after their end."""
    with Gateway(capture, faults=faults, page_size=30) as gateway, running(gateway) as run:
        run.wait(gateway.done)
    assert run.error is None
    return gateway, run


def greeks(run: Run) -> int:
    batches = [a.batch for a in run.inbox.arrivals if isinstance(a, Records)]
    return sum(batch.length for batch in batches if batch.name == OPTIONS_GREEKS)


def chain_sent(gateway: Gateway) -> int:
    return sum(e["channel"] == "chain" and e["fate"] == "sent" for e in gateway.ledger.entries)


def test_everything_that_is_sent_comes_once_and_the_chain_in_pages(capture: Path) -> None:
    gateway, run = play(capture, [])
    account = account_of(run.inbox.arrivals)
    found = balance(gateway.ledger.entries, account)
    assert (found.lost, found.copies_lost, account.gaps, account.dead) == ([], 0, [], 0)
    assert {topic for topic, *_ in account.records} == set(run.feed.topics) - {OPTIONS_GREEKS}
    assert greeks(run) == chain_sent(gateway) > 0


FAULTS = {
    "drop": [Fault("stocks", 300, "drop"), Fault("options", 500, "drop"), Fault("stocks", 900, "drop")],
    "stall": [Fault("stocks", 300, "stall", for_s=1.2), Fault("options", 600, "stall", for_s=0.7)],
    "reorder": [Fault("stocks", 300, "reorder", 9), Fault("options", 600, "reorder", 5)],
    "duplicate": [Fault("stocks", 300, "duplicate", 50), Fault("options", 600, "duplicate", 50)],
    "garbage": [Fault("stocks", 300, "garbage", len(GARBAGE))],
    "chain": [
        Fault("chain", 1, "rate_limit", 1, for_s=1.0),
        Fault("chain", 4, "error", 2),
        Fault("chain", 6, "cut"),
        Fault("chain", 8, "slow", for_s=0.3),
        Fault("chain", 9, "garbage"),
    ],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_through_every_fault_each_message_comes_or_is_dead_or_lies_in_a_gap(capture: Path, fault: str) -> None:
    gateway, run = play(capture, FAULTS[fault])
    account = account_of(run.inbox.arrivals)
    found = balance(gateway.ledger.entries, account)
    assert found.outside == []
    assert account.dead == found.garbage
    assert greeks(run) == chain_sent(gateway) > 0
    if fault == "drop":
        # A drop that finds its connection lost already, as on a slow machine, is none.
        connected = [a.topics for a in run.inbox.arrivals if isinstance(a, Connection) and a.state == "CONNECTED"]
        again = {topic: sum(topic in topics for topics in connected) - 1 for topic in run.feed.topics}
        assert Counter(topic for topic, _, _ in account.gaps) == {t: n for t, n in again.items() if t != OPTIONS_GREEKS}
        assert all(again[topic] >= 1 for topic in again if topic != OPTIONS_GREEKS)
        assert found.lost
    else:
        assert (account.gaps, found.lost, found.copies_lost) == ([], [], 0)
    if fault == "chain":
        chain_frames = [e for e in gateway.ledger.entries if e["channel"] == "chain" and e["fate"] == "garbage"]
        assert len(chain_frames) == 1


def test_a_wrong_key_ends_the_feed_and_is_not_repeated_in_its_error(capture: Path) -> None:
    with Gateway(capture) as gateway, running(gateway, key="another-key") as run:
        run.wait()
    assert isinstance(run.error, ConfigError)
    assert "refuses the key" in str(run.error)
    assert "another-key" not in f"{run.error} {run.error.hint}"


def test_a_key_that_is_refused_in_the_middle_of_the_day_ends_the_feed(capture: Path) -> None:
    with Gateway(capture, faults=[Fault("stocks", 200, "refuse")]) as gateway, running(gateway) as run:
        run.wait()
    assert isinstance(run.error, ConfigError) and "refuses the key" in str(run.error)
    assert Connection(run.feed.topics[:2], "DISCONNECTED", 0).topics in [
        a.topics for a in run.inbox.arrivals if isinstance(a, Connection) and a.state == "DISCONNECTED"
    ]


def test_a_plan_without_chain_snapshots_ends_the_feed(capture: Path) -> None:
    with Gateway(capture, faults=[Fault("chain", 1, "refuse", 99)]) as gateway, running(gateway) as run:
        run.wait()
    assert isinstance(run.error, ConfigError) and "refuses the option chain" in str(run.error)


def test_a_vendor_that_comes_late_is_waited_for(capture: Path) -> None:
    gateway = Gateway(capture)
    with gateway:
        port = int(gateway.urls["massive_rest_url"].rpartition(":")[2])
    later = Gateway(capture, port=port)
    with running(gateway) as run:
        time.sleep(0.5)
        with later:
            run.wait(later.done)
    assert run.error is None
    found = balance(later.ledger.entries, account_of(run.inbox.arrivals))
    assert found.lost == [] and run.records > 0
    assert not [a for a in run.inbox.arrivals if isinstance(a, Gap)]


def test_what_was_received_can_be_recorded_and_published_as_a_file(capture: Path, tmp_path: Path) -> None:
    from producers.massive.capture import Capture

    with Gateway(capture) as gateway, running(gateway, capture=tmp_path) as run:
        run.wait(gateway.done)
    (recorded,) = tmp_path.iterdir()
    with Capture(recorded, 1_000_000_000) as again:
        for reader in again.readers:
            while reader.read(10_000) is not None:
                pass
        assert again.bad_count == 0
    recorded_count = sum(
        line.count(b'"ev":"T"') + line.count(b'"ev":"Q"') for line in recorded.read_bytes().splitlines()
    )
    assert recorded_count == run.records


def test_the_stand_in_answers_the_vendors_clients_as_the_vendor_does(capture: Path) -> None:
    with Gateway(capture, page_size=10) as gateway:
        host = gateway.urls["massive_rest_url"].removeprefix("http://")
        heard: list[object] = []

        class EnoughError(Exception):
            """Ends the client's loop."""

        def take(messages: list[object]) -> None:
            heard.extend(messages)
            if len(heard) >= 20:
                raise EnoughError

        client = WebSocketClient(KEY, feed=host, market="stocks", secure=False, subscriptions=["T.SPY", "Q.SPY"])
        with pytest.raises(EnoughError):
            client.run(take)
        contracts = list(RESTClient(KEY, base=gateway.urls["massive_rest_url"]).list_snapshot_options_chain("SPY"))
    assert {type(message).__name__ for message in heard} == {"EquityTrade", "EquityQuote"}
    assert len({contract.details.ticker for contract in contracts}) == len(contracts) > 10
