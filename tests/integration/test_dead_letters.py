"""Dead letters on a real broker: a file with a bad trade, listed, shown, and what can be read now sent back once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from common import kafka, topics
from common.endpoints import resolve
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment
from producers.letters.letter import Letter
from tests.support import dbn_files
from tests.support.told import files_with, told

LIMIT_S = 400.0
SECRET = "only-for-this-test-0123456789abcd"


def breakwater(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "common.cli", *arguments],
        cwd=PROJECT_ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def published(path: Path, namespace: str) -> None:
    command = [sys.executable, "-m", "producers", "publish", "--namespace", namespace, "--file", str(path)]
    subprocess.run(command, cwd=PROJECT_ROOT, env=child_environment(), check=True, capture_output=True, timeout=LIMIT_S)


def test_a_bad_trade_is_listed_and_shown_and_a_readable_one_goes_back_once(
    namespace: str, home: Path, tmp_path: Path
) -> None:
    rows = dbn_files.records("trades", range(10))
    rows["size"][4] = 2**31
    published(dbn_files.write(tmp_path / "bad.dbn", "trades", rows), namespace)
    old = dbn_files.records("trades", [3], sequence=77)
    letter = Letter(1, topics.FUTURES_TRADES, "old.dbn", "record 3", "was not understood", old.tobytes())
    with Registry(resolve().registry_url) as registry:
        value = letter.encoded(registry.ensure_all(namespace))
    # Readers of topics write theirs in transactions, whose ends take offsets too.
    producer = kafka.transactional_producer(f"{namespace}.writer")
    producer.init_transactions(LIMIT_S)
    producer.begin_transaction()
    producer.produce(topics.full_name(topics.DEAD_LETTERS, namespace), value=value, partition=0)
    producer.commit_transaction(LIMIT_S)

    listed = json.loads(breakwater("dead-letters", "list", "--json", "--namespace", namespace).stdout)
    found = [(one["source"], one["place"]) for one in listed["letters"]]
    assert found == [("bad.dbn", "record 4"), ("old.dbn", "record 3")]
    shown = breakwater("dead-letters", "show", str(listed["letters"][0]["number"]), "--namespace", namespace).stdout
    assert "size is 2147483648" in shown
    assert "000000  " in shown
    for outcomes in (["still bad", "stored"], ["still bad", "there already"]):
        done = breakwater("dead-letters", "reprocess", "--json", "--namespace", namespace)
        assert done.returncode == 0, done.stderr
        assert [result["outcome"] for result in json.loads(done.stdout)["results"]] == outcomes
    assert kafka.end_offsets(topics.full_name(topics.FUTURES_TRADES, namespace), 0).end_offset == 10


def test_a_live_producer_tells_its_keys_nowhere(namespace: str, home: Path, tmp_path: Path) -> None:
    """Keys from the environment and from a file, and a vendor that cannot be reached: nothing in the log at its most
    talkative, in what is served, in the arguments, or in what is left on the disk.
    """
    key_file = tmp_path / "key"
    key_file.write_text(SECRET + "file", encoding="utf-8")
    nowhere = "127.0.0.1:9"
    environments = {
        "databento": {"BREAKWATER_DATABENTO_KEY": f"db-{SECRET[:29]}", "BREAKWATER_DATABENTO_GATEWAY": nowhere},
        "massive": {
            "BREAKWATER_MASSIVE_KEY_FILE": str(key_file),
            "BREAKWATER_MASSIVE_STOCKS_URL": f"ws://{nowhere}/stocks",
            "BREAKWATER_MASSIVE_OPTIONS_URL": f"ws://{nowhere}/options",
            "BREAKWATER_MASSIVE_REST_URL": f"http://{nowhere}",
        },
    }
    for vendor, changes in environments.items():
        env = child_environment(**changes, BREAKWATER_LOG_LEVEL="DEBUG")
        command = [sys.executable, "-m", "producers", "live", vendor, "--namespace", namespace]
        with (home / f"{vendor}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=env, stdout=log, stderr=log)
            try:
                time.sleep(5.0)
                said = told(process, home / "run" / f"producer-{vendor}.json")
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(LIMIT_S)
        assert SECRET[:20].encode() not in said
    assert not files_with(home, SECRET[:20])
    assert all((home / f"{vendor}.log").stat().st_size for vendor in environments)
