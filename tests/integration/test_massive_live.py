"""``python -m producers live massive`` against the vendor's stand-in and a real broker, each a process of its own."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from common import kafka
from common.avro import Codec, decode_row
from common.columns import string_list
from common.endpoints import resolve
from common.registry import Registry
from common.schemas import load
from common.settings import PROJECT_ROOT, child_environment
from common.topics import DEAD_LETTERS, HEARTBEATS, full_name
from producers.massive.parse import TOPICS
from tests.support.massive_account import Account, balance
from tests.support.massive_gateway import KEY
from tests.support.massive_market import write_market
from tests.support.massive_play import Fault
from tests.support.told import files_with, told
from tests.support.topic_rows import values_of

WAIT_S = 400.0
SECONDS, LONG_SECONDS = 6, 90
SOCKET_TOPICS = TOPICS[:4]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("massive") / "market.massive.jsonl.zst", seed=5, seconds=SECONDS)


@pytest.fixture(scope="module")
def long_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Longer than any start of a process takes."""
    return write_market(tmp_path_factory.mktemp("massive") / "long.massive.jsonl.zst", seed=6, seconds=LONG_SECONDS)


class Vendor:
    """The stand-in as a process, which can be killed and started again on its port."""

    def __init__(self, capture: Path, folder: Path, faults: Sequence[Fault]) -> None:
        self.ledger = folder / "ledger.jsonl"
        (folder / "faults.json").write_text(json.dumps([asdict(fault) for fault in faults]), encoding="utf-8")
        self._command = [sys.executable, "-m", "tests.support.massive_gateway", "--file", str(capture)]
        self._command += ["--ledger", str(self.ledger), "--faults", str(folder / "faults.json"), "--page-size", "40"]
        self.start("0")

    def start(self, port: str) -> None:
        self.process = subprocess.Popen(
            [*self._command, "--port", port], cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        said: dict[str, str] = json.loads(self.process.stdout.readline())
        self.urls = {name: url for name, url in said.items() if name.startswith("massive_")}

    def restart(self) -> None:
        port = self.urls["massive_rest_url"].rpartition(":")[2]
        self.end()
        self.start(port)

    def finish(self) -> None:
        """The market ends here, and all that was sent arrives."""
        self.process.communicate(timeout=WAIT_S)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def entries(self) -> list[dict[str, Any]]:
        if not self.ledger.is_file():
            return []
        lines = self.ledger.read_text(encoding="utf-8").split("\n")[:-1]
        return [entry for entry in map(json.loads, lines) if "fate" in entry]

    def has_played(self, share: float) -> bool:
        numbers = [entry["number"] for entry in self.entries() if "number" in entry and entry["channel"] != "chain"]
        return bool(numbers) and max(numbers) >= share * self.last_number

    last_number = 0


@contextmanager
def vendor(capture: Path, folder: Path, faults: Sequence[Fault] = ()) -> Iterator[Vendor]:
    from tests.support.massive_play import tape

    made = Vendor(capture, folder, faults)
    made.last_number = max(f.messages[-1].number for f in tape(capture) if f.channel != "chain")
    try:
        yield made
    finally:
        made.end()


class Producer:
    """The live producer as a process."""

    def __init__(self, urls: dict[str, str], namespace: str, home: Path, **changes: str) -> None:
        self.log = home / "producer.log"
        keys = {f"BREAKWATER_{name.upper()}": value for name, value in urls.items()}
        keys |= {"BREAKWATER_HOME": str(home), "BREAKWATER_NAMESPACE": namespace}
        if "BREAKWATER_MASSIVE_KEY_FILE" not in changes:
            keys["BREAKWATER_MASSIVE_KEY"] = KEY
        self._env = child_environment(**{**keys, "BREAKWATER_MASSIVE_CHAIN_INTERVAL_S": "1", **changes})
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "producers", "live", "massive"],
                cwd=PROJECT_ROOT,
                env=self._env,
                stdout=output,
                stderr=output,
            )

    def end(self, sign: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(sign)
        return self.process.wait(WAIT_S)

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")


@contextmanager
def producer(urls: dict[str, str], namespace: str, home: Path, **changes: str) -> Iterator[Producer]:
    made = Producer(urls, namespace, home, **changes)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def wait_until(what: str, true: Callable[[], bool], made: Producer) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > deadline_s or made.process.poll() is not None:
            raise AssertionError(f"{what}\n{made.said[-4000:]}")
        time.sleep(0.1)


def stored(namespace: str) -> Account:
    """What the log holds: records, dead letters of the sockets, and gaps as the heartbeats say them."""
    account = Account()
    with Registry(resolve().registry_url) as registry:
        for topic in SOCKET_TOPICS:
            decoded = Codec(load(topic)).decode(values_of(topic, namespace), registry.schema)
            assert not decoded.bad
            batch = decoded.batch
            effective_ns = batch["ts_effective_ns"].tolist()
            assert effective_ns == sorted(effective_ns)
            symbols = map(str, string_list(batch.columns["symbol"]))
            account.records.update(
                zip([topic] * batch.length, symbols, batch["ts_event_ns"].tolist(), batch["seq"].tolist(), strict=True)
            )
        for raw in values_of(DEAD_LETTERS, namespace):
            account.dead += decode_row(load(DEAD_LETTERS), raw, registry.schema)["topic"] != "massive.chain"
        for raw in values_of(HEARTBEATS, namespace):
            beat = decode_row(load(HEARTBEATS), raw, registry.schema)
            if beat["gap_begin_ns"] is not None:
                topic = beat["topic"].removeprefix(f"{namespace}.")
                account.gaps.append((topic, beat["gap_begin_ns"], beat["gap_end_ns"]))
    return account


def assert_balanced(entries: Sequence[dict[str, Any]], account: Account) -> None:
    """Each message is stored once, or dead, or inside a gap."""
    assert set(account.records.values()) == {1}
    found = balance(entries, account)
    assert found.outside == []
    assert account.dead == found.garbage
    sent = sum(entry["fate"] in ("sent", "missed") and entry["channel"] != "chain" for entry in entries)
    assert sent == len(account.records) + len(found.lost)


def schedule(seed: int) -> list[Fault]:
    """Garbage early, so that no drop takes it; then whatever the seed brings."""
    rng = random.Random(f"live-{seed}")
    faults = [Fault("stocks", 100, "garbage", 5)]
    for at in sorted(rng.randint(400, 1_600) for _ in range(6)):
        do = rng.choice(("drop", "stall", "reorder", "duplicate"))
        faults.append(Fault(rng.choice(("stocks", "options")), at, do, rng.randint(2, 20), rng.uniform(0.1, 0.6)))
    return [*faults, Fault("chain", 2, "rate_limit", 1, 1.0), Fault("chain", 5, "cut")]


def held(namespace: str) -> int:
    """Records in the log."""
    consumer = kafka.consumer()
    try:
        names = [full_name(topic, namespace) for topic in SOCKET_TOPICS]
        return sum(kafka.end_offsets(name, 0, client=consumer).end_offset for name in names)
    finally:
        consumer.close()


def wait_for_records(made: Producer, namespace: str) -> None:
    wait_until("the vendor is reached", lambda: "massive_opened" in made.said, made)
    wait_until("records are in the log", lambda: held(namespace) > 500, made)


def settle(made: Producer, namespace: str) -> None:
    """Until the log grows no more."""
    before = -1
    while before != (before := held(namespace)):
        time.sleep(1.5)
    assert made.end() == 0, made.said[-4000:]


@pytest.mark.parametrize("seed", range(3))
def test_what_the_vendor_sent_is_stored_once_or_dead_or_inside_a_gap(
    capture: Path, namespace: str, home: Path, seed: int
) -> None:
    with vendor(capture, home, schedule(seed)) as sender, producer(sender.urls, namespace, home) as made:
        wait_until("the tape ends", lambda: sender.has_played(1.0), made)
        settle(made, namespace)
        assert_balanced(sender.entries(), stored(namespace))


def test_a_producer_killed_in_mid_run_says_what_it_missed(long_capture: Path, namespace: str, home: Path) -> None:
    with vendor(long_capture, home) as sender, producer(sender.urls, namespace, home) as made:
        wait_for_records(made, namespace)
        made.end(signal.SIGKILL)
        before = held(namespace)
        made.start()
        finish_after_more(sender, made, namespace, before)


def test_a_vendor_that_is_restarted_is_found_again(long_capture: Path, namespace: str, home: Path) -> None:
    with vendor(long_capture, home) as sender, producer(sender.urls, namespace, home) as made:
        wait_for_records(made, namespace)
        sender.restart()
        finish_after_more(sender, made, namespace, held(namespace) + 500)


def finish_after_more(sender: Vendor, made: Producer, namespace: str, before: int) -> None:
    """End the market once the log has grown beyond ``before``: all is accounted for, and each topic has a gap."""
    wait_until("records come again", lambda: held(namespace) > before + 500, made)
    sender.finish()
    settle(made, namespace)
    account = stored(namespace)
    assert_balanced(sender.entries(), account)
    assert {topic for topic, _, _ in account.gaps} == set(SOCKET_TOPICS)


def assert_key_is_nowhere(namespace: str, home: Path, key: str, beside: Path | None = None) -> None:
    """In no file of the home but ``beside``, and in no record that says what happened."""
    assert [path for path in files_with(home, key) if path != beside] == []
    assert not [
        raw for topic in (DEAD_LETTERS, HEARTBEATS) for raw in values_of(topic, namespace) if key.encode() in raw
    ]


def test_the_key_comes_from_a_file_and_is_told_nowhere_however_much_is_logged(
    capture: Path, namespace: str, home: Path
) -> None:
    """Of a vendor that takes it and sends some garbage: in logs, pages, arguments, manifests, dead letters."""
    secret = home / "key"
    secret.write_text(f"{KEY}\n", encoding="utf-8")
    changes = {"BREAKWATER_LOG_LEVEL": "DEBUG", "BREAKWATER_MASSIVE_KEY_FILE": str(secret)}
    faults = [Fault("stocks", 20, "garbage", 3), Fault("stocks", 40, "drop")]
    with vendor(capture, home, faults) as sender, producer(sender.urls, namespace, home, **changes) as made:
        wait_until("records flow", lambda: sender.has_played(0.2), made)
        said = told(made.process, home / "run" / "producer-massive.json")
        assert made.end() == 0
    assert "massive_opened" in made.said
    assert KEY.encode() not in said
    assert len(values_of(DEAD_LETTERS, namespace)) == 3
    assert_key_is_nowhere(namespace, home, KEY, beside=secret)


def test_a_wrong_key_ends_the_service_with_what_to_do(capture: Path, namespace: str, home: Path) -> None:
    wrong = {"BREAKWATER_MASSIVE_KEY": "not-the-key", "BREAKWATER_LOG_LEVEL": "DEBUG"}
    with vendor(capture, home) as sender, producer(sender.urls, namespace, home, **wrong) as made:
        assert made.process.wait(WAIT_S) == 1
    assert "refuses the key" in made.said
    assert "BREAKWATER_MASSIVE_KEY" in made.said
    assert_key_is_nowhere(namespace, home, "not-the-key")
