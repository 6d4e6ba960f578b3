"""Every run leaves a record of its code, configuration and end, and none fails because of it.

Spec: common-interfaces Run manifests.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter

from common import manifests, meta, schemas
from common.config import load_config
from common.errors import InputError
from common.manifests import RunStatus
from common.telemetry import Health, serve_health
from tests.support.stack import environment

COUNTED = Counter("breakwater_manifest_example", "Of this test.", ["topic"])


def run(service: str = "example", *, stopped: bool = False, **facts: Any) -> str:
    with manifests.run(service, facts, lambda: stopped) as run_id:
        pass
    return run_id


def test_a_run_is_recorded_while_it_runs_and_when_it_ended(home: Path) -> None:
    with manifests.run("example", {"files": ["x"]}, lambda: False) as run_id:
        COUNTED.labels("futures.trades.v1").inc(3)
    found = manifests.find(run_id)
    assert (found.status, found.standing) == ("completed", RunStatus.COMPLETED)
    assert found.event_counts["manifest_example futures.trades.v1"] == 3
    assert found.facts == {"files": ["x"]} and found.config_hash == load_config().hash
    assert found.start_time < str(found.end_time) and found.mode == "live"
    folder = home / "lake" / "_meta" / "runs" / run_id
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.json")} == {
        "manifest.json",
        "config_snapshot.json",
        "schemas/versions.json",
    }
    files = manifests.files_of(run_id)
    assert set(files["schemas/versions.json"]) == set(schemas.names())
    assert files["config_snapshot.json"]["engine"]["W_b"] == load_config().W_b


def test_no_secret_is_recorded(home: Path) -> None:
    with environment(BREAKWATER_KAFKA_SASL_PASSWORD="hunter2", BREAKWATER_KAFKA_SECURITY="sasl.password=hunter2"):
        run_id = run()
    folder = home / "lake" / "_meta" / "runs" / run_id
    assert not [path for path in folder.rglob("*.json") if "hunter2" in path.read_text(encoding="utf-8")]


def test_an_error_makes_a_crashed_run_and_passes_through(home: Path) -> None:
    with pytest.raises(ValueError, match="boom"), manifests.run("example", {}, lambda: False) as run_id:
        raise ValueError("boom")
    found = manifests.find(run_id)
    assert found.status == "crashed" and "boom" in str(found.error_message)


def test_a_run_that_was_asked_to_end_is_stopped(home: Path) -> None:
    assert manifests.find(run(stopped=True)).status == "stopped"


def test_a_killed_run_is_known_as_crashed_and_a_running_one_is_not(home: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    run_id = run()
    path = home / "lake" / "_meta" / "runs" / run_id / "manifest.json"
    left = {**json.loads(path.read_text(encoding="utf-8")), "status": "started", "host": socket.gethostname()}
    path.write_text(json.dumps(left), encoding="utf-8")
    assert manifests.find(run_id).standing is RunStatus.STARTED
    path.write_text(json.dumps({**left, "pid": gone.pid}), encoding="utf-8")
    assert manifests.find(run_id).standing is RunStatus.CRASHED
    path.write_text(json.dumps({**left, "pid": gone.pid, "host": "elsewhere"}), encoding="utf-8")
    assert manifests.find(run_id).standing is RunStatus.STARTED


def test_runs_are_listed_newest_first_and_by_service(home: Path) -> None:
    ids = [run("a"), run("b"), run("a")]
    assert [found.run_id for found in manifests.listed(20)] == ids[::-1]
    assert [found.run_id for found in manifests.listed(20, "a")] == [ids[2], ids[0]]
    assert len(manifests.listed(1)) == 1
    with pytest.raises(InputError, match="no run"):
        manifests.find("other")


def test_a_store_that_cannot_be_written_fails_no_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> meta.Meta:
        raise OSError("no space left")

    monkeypatch.setattr(meta, "shared", broken)
    assert run()


def test_every_service_is_recorded_by_serving_its_health(home: Path) -> None:
    with serve_health("example", Health(), complex="SPY"):
        pass
    (found,) = manifests.listed(20)
    assert (found.service, found.facts) == ("example", {"complex": "SPY"})
