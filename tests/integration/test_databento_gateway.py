"""The vendor's own live client against the gateway, through every fault: each event once and in order, or in a gap."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.config import EngineConfig
from common.errors import BreakwaterError, ConfigError
from common.topics import FUTURES_DEFINITIONS, FUTURES_MBP10
from producers.dbn.live import DatabentoFeed, DatabentoOptions
from producers.live.arrivals import Arrival, Connection, Gap, Records, Resume
from producers.live.stamper import Rules, Stamper
from producers.stream import lateness_of
from tests.support import dbn_files
from tests.support.databento_broadcast import KINDS, Broadcast, Fault
from tests.support.databento_gateway import TEST_KEY, LiveGateway
from tests.support.databento_market import OTHER_CONTRACT, assert_accounted, schedule, write_market

LIMIT_S = 60.0
LOSING = ("lose", "skip")


class Log:
    """An inbox that stamps what comes, as the live producer does, and keeps it."""

    def __init__(self) -> None:
        topics = DatabentoFeed.topics
        lateness_ns = {topic: lateness_of(topic, EngineConfig()) for topic in topics}
        self._stamper = Stamper(topics, Rules(lateness_ns, 250_000_000, 0, repeats_are_events=True))
        self.arrivals: list[Arrival] = []
        self.ids: dict[str, list[int]] = {topic: [] for topic in topics}
        self.fronts: list[int] = []
        self.gaps: dict[str, list[tuple[int, int]]] = {topic: [] for topic in topics}

    @property
    def last_event_ns(self) -> dict[str, int]:
        return self._stamper.last_event_ns

    def put(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        if isinstance(arrival, Records):
            batch = self._stamper.stamp(arrival)
            self.ids[batch.name] += batch["event_id"].tolist()
            if batch.name == FUTURES_DEFINITIONS:
                self.fronts += batch["instrument_id"][batch["is_front"].astype(bool)].tolist()
        elif isinstance(arrival, Gap):
            for topic in arrival.topics:
                self.gaps[topic].append((arrival.begin_ns, arrival.end_ns))
        elif isinstance(arrival, Connection):
            for topic in arrival.topics:
                self._stamper.connection(topic, arrival.state)


def feed_of(gateway: LiveGateway, key: str = TEST_KEY, symbol: str = "ES.c.0") -> DatabentoFeed:
    return DatabentoFeed(DatabentoOptions(key, gateway.broadcast.dataset, symbol, ("127.0.0.1", gateway.port)))


def run(feed: DatabentoFeed, log: Log, until: Callable[[], bool]) -> None:
    """Run the feed until it has what is waited for; raises what it raises."""
    errors: list[BaseException] = []

    def body() -> None:
        try:
            feed.run(log, Resume(log.last_event_ns))
        except BreakwaterError as error:
            errors.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    deadline_s = time.monotonic() + LIMIT_S
    while thread.is_alive() and not until() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    has_it = until()
    feed.stop()
    thread.join(LIMIT_S)
    if errors:
        raise errors[0]
    assert has_it, "the feed did not come to its end"


def is_through(log: Log, gateway: LiveGateway) -> Callable[[], bool]:
    """Everything was published, and what a heartbeat after it vouches for has come."""
    topics = DatabentoFeed.topics

    def through() -> bool:
        if not gateway.ended:
            return False
        states: dict[str, str] = {}
        clock_ns = 0
        for arrival in list(log.arrivals):
            if isinstance(arrival, Connection):
                states |= dict.fromkeys(arrival.topics, arrival.state)
            clock_ns = max(clock_ns, getattr(arrival, "ts_ns", 0))
        last_ns = gateway.broadcast.entries[-1].at_ns
        return all(states.get(topic) == "CONNECTED" for topic in topics) and clock_ns > last_ns

    return through


def play(folder: Path, faults: list[Fault]) -> tuple[Log, LiveGateway]:
    """A market through the feed to its end."""
    log = Log()
    broadcast = Broadcast.of(write_market(folder, seed=1), faults)
    with LiveGateway(broadcast, faults=faults, heartbeat_s=0.05) as gateway:
        run(feed_of(gateway), log, is_through(log, gateway))
    return log, gateway


def accounts(log: Log, gateway: LiveGateway) -> dict[str, int]:
    stored = {topic: np.array(ids, np.int64) for topic, ids in log.ids.items()}
    return assert_accounted(gateway.broadcast, stored, log.gaps)


def test_without_faults_every_record_of_every_schema_arrives_once_and_in_order(tmp_path: Path) -> None:
    lost = accounts(*play(tmp_path, []))
    assert set(lost.values()) == {0}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "refuse"])
def test_whatever_goes_wrong_every_record_arrives_once_and_in_order_or_lies_in_a_gap(tmp_path: Path, kind: str) -> None:
    faults = [Fault(at, kind, count=20, seconds=0.2) for at in (600, 1400)]
    log, gateway = play(tmp_path, faults)
    lost = accounts(log, gateway)
    if kind in LOSING:
        assert sum(lost.values()) >= 20
    else:
        assert set(lost.values()) == {0}
        assert not any(log.gaps.values())


def test_random_faults_together_lose_nothing_outside_of_gaps(tmp_path: Path, seeds: Callable[[int], int]) -> None:
    for seed in range(seeds(8)):
        faults = schedule(seed, 2400)
        try:
            accounts(*play(tmp_path, faults))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {faults}: {error}") from error


def test_a_feed_that_starts_again_goes_on_where_the_log_ends(tmp_path: Path) -> None:
    broadcast = Broadcast.of(write_market(tmp_path, seed=2))
    faults = [Fault(700, "restart", seconds=0.2)]
    log = Log()
    with LiveGateway(broadcast, faults=faults, heartbeat_s=0.05) as gateway:
        run(feed_of(gateway), log, lambda: len(log.ids[FUTURES_MBP10]) > 300)
        for topic in DatabentoFeed.topics:
            log._stamper.connection(topic, "DISCONNECTED")
        run(feed_of(gateway), log, is_through(log, gateway))
    assert set(accounts(log, gateway).values()) == {0}


def test_a_refused_key_ends_the_feed_with_a_hint_and_is_shown_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    wrong = "db-not-the-key-of-the-gateway-xy"
    with LiveGateway(Broadcast.of(write_market(tmp_path, seed=1))) as gateway:
        with pytest.raises(ConfigError, match="refuses the key") as caught:
            run(feed_of(gateway, key=wrong), Log(), lambda: False)
        assert "BREAKWATER_DATABENTO_KEY" in (caught.value.hint or "")
    assert wrong not in str(caught.value) + caplog.text + repr(feed_of(gateway, key=wrong)._options)


def test_a_key_that_is_refused_later_ends_the_feed_too(tmp_path: Path) -> None:
    broadcast = Broadcast.of(write_market(tmp_path, seed=1))
    with (
        LiveGateway(broadcast, faults=[Fault(400, "refuse")]) as gateway,
        pytest.raises(ConfigError, match="refuses the key"),
    ):
        run(feed_of(gateway), Log(), lambda: False)


def test_an_unknown_symbol_ends_the_feed_with_a_hint(tmp_path: Path) -> None:
    with (
        LiveGateway(Broadcast.of(write_market(tmp_path, seed=1))) as gateway,
        pytest.raises(ConfigError, match="does not know the symbol") as caught,
    ):
        run(feed_of(gateway, symbol="NQ.c.0"), Log(), lambda: False)
    assert "BREAKWATER_DATABENTO_SYMBOL" in (caught.value.hint or "")


def test_after_a_roll_a_new_connection_brings_the_new_contract_and_says_that_it_is_the_front(tmp_path: Path) -> None:
    ms_ns = 1_000_000
    old, new = 17077, OTHER_CONTRACT
    books = dbn_files.records("mbp-10", [i * ms_ns for i in range(400)], instrument_id=[old] * 200 + [new] * 200)
    names = {"raw_symbol": [b"ESM5", b"ESU5"], "instrument_id": [old, new]}
    definitions = dbn_files.records("definition", [-2, -1], **names)
    paths = [
        dbn_files.write(tmp_path / "books.dbn", "mbp-10", books),
        dbn_files.write(tmp_path / "definitions.dbn", "definition", definitions),
    ]
    log = Log()
    faults = [Fault(250, "drop", count=50)]
    with LiveGateway(Broadcast.of(paths), faults=faults, heartbeat_s=0.05) as gateway:
        run(feed_of(gateway), log, is_through(log, gateway))
    assert log.fronts == [old, new]
    numbers = [
        number
        for arrival in log.arrivals
        if isinstance(arrival, Records) and arrival.batch.name == FUTURES_MBP10
        for number in arrival.batch["instrument_id"].tolist()
    ]
    assert set(numbers) == {old, new}
    assert numbers == sorted(numbers, reverse=True)
