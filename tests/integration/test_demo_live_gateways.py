"""``breakwater demo --live-gateways``: a session through both vendors' clients to the tables, without keys."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import iceberg
from common.columns import Batch
from common.endpoints import Endpoints
from common.settings import PROJECT_ROOT, child_environment
from common.topics import FUTURES_MBP10, FUTURES_TRADES, OPTIONS_GREEKS, STOCKS_TRADES
from producers.dbn.session import Session
from producers.live.arrivals import Records
from producers.massive.parse import TOPICS
from producers.simulator import simulate
from tests.support.databento_broadcast import Broadcast
from tests.support.databento_market import published
from tests.support.massive_account import account_of, balance
from tests.support.topic_rows import batch_of

pytestmark = pytest.mark.timeout(1_800)
LIMIT_S = 1_500
NAMESPACE = "live-gateways"
MINUTES, SPEED = 0.5, "10"


@dataclass(frozen=True)
class Ended:
    """The demo's end, and where it was."""

    home: Path
    files: Sequence[Path]
    code: int
    out: str
    err: str

    def ledger(self, vendor: str) -> list[dict[str, Any]]:
        lines = (self.home / "run" / f"gateway-{vendor}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def batch(self, topic: str) -> Batch:
        return batch_of(topic, NAMESPACE)


@pytest.fixture(scope="module")
def ended(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    home = tmp_path_factory.mktemp("live-gateways")
    files = list(simulate(home / "market", minutes=MINUTES).inputs)
    named = [part for path in files for part in ("--file", str(path))]
    done = subprocess.run(
        [sys.executable, "-m", "common.cli", "demo", "--live-gateways", "--speed", SPEED, "--exit", "--json", *named],
        cwd=PROJECT_ROOT,
        env=child_environment(BREAKWATER_HOME=str(home), BREAKWATER_NAMESPACE=NAMESPACE),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return Ended(home, files, done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def summary(ended: Ended) -> Mapping[str, Any]:
    assert ended.code == 0, ended.err
    (line,) = ended.out.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_every_record_of_the_databento_gateway_stands_once_and_in_order_in_its_topic(
    ended: Ended, summary: Mapping[str, Any]
) -> None:
    broadcast = Broadcast.of([path for path in ended.files if ".dbn" in path.name])
    sent = [entry["sent"] for entry in ended.ledger("databento") if "sent" in entry]
    assert sent[0][0] == 0 and sent[-1][1] == len(broadcast.entries), "the gateway did not send it all"
    assert [end for _, end in sent[:-1]] == [begin for begin, _ in sent[1:]]
    for topic, truth in published(broadcast).items():
        assert ended.batch(topic)["event_id"].tolist() == truth.ids, topic
    assert summary["events"][FUTURES_MBP10] + summary["events"][FUTURES_TRADES] == len(broadcast.entries)


def test_every_message_of_the_massive_gateway_stands_once_in_its_topic(
    ended: Ended, summary: Mapping[str, Any]
) -> None:
    entries = [entry for entry in ended.ledger("massive") if "fate" in entry]
    sent = {entry["key"][:4] for entry in entries if entry["fate"] == "sent"}
    assert {"Q.SP", "T.SP", "Q.O:", "T.O:"} <= sent, "the gateway was not asked for everything"
    batches = [ended.batch(topic) for topic in TOPICS if topic != OPTIONS_GREEKS]
    account = account_of(Records(batch, np.zeros(batch.length, np.uint64)) for batch in batches)
    found = balance(entries, account)
    assert (found.lost, found.garbage, found.copies_lost) == ([], 0, 0)
    assert set(account.records.values()) == {1}
    assert summary["events"][STOCKS_TRADES] > 0
    assert summary["events"][OPTIONS_GREEKS] > 0


def test_signals_come_out_and_the_tables_hold_what_the_topics_do(ended: Ended, summary: Mapping[str, Any]) -> None:
    assert summary["features"] == summary["signals"]["count"] > 0
    for topic, events in summary["events"].items():
        assert summary["tables"][iceberg.TABLES[topic]] == events, topic
    assert set(summary["events"]) <= {*Session.topics, *TOPICS}


def test_it_says_what_it_does_and_leaves_nothing_running(ended: Ended, summary: Mapping[str, Any]) -> None:
    said = ended.err
    for vendor, topics in (("databento", Session.topics), ("massive", TOPICS[:4])):
        stored = sum(summary["events"].get(topic, 0) for topic in topics)
        line = f"{vendor}: {stored:,} sent by its gateway; {stored:,} received, {stored:,} stored, 0 duplicates"
        assert line in said
    assert "Traceback" not in said
    for path in (ended.home / "logs").iterdir():
        assert b"Traceback" not in path.read_bytes(), path.name
    assert not (ended.home / "services.json").exists()
    assert left_running(ended.home) == []


def left_running(home: Path) -> list[str]:
    """Command lines of processes that still have this home, or play its files."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            whole = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"BREAKWATER_HOME={home}".encode() in whole or f"{home}/market".encode() in whole:
            found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
