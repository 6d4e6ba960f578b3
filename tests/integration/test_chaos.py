"""The sinks' kill test: real processes, real servers of their own, row by row against the topics."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.settings import PROJECT_ROOT, child_environment

KILLS = 6
LIMIT_S = 1200


def chaos(folder: Path, *options: str) -> dict[str, Any]:
    """What the command reports; it starts servers of its own, whatever this session's are."""
    ours = ("BREAKWATER_KAFKA_BOOTSTRAP", "BREAKWATER_REGISTRY_URL", "BREAKWATER_NAMESPACE")
    environment = {key: value for key, value in child_environment().items() if key not in ours}
    command = [sys.executable, "-m", "common.cli", "chaos", "sink", "--json", "--folder", str(folder), *options]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("catalog", ["embedded", "lake"])
def test_sinks_that_are_killed_paused_and_starved_lose_and_double_nothing(tmp_path: Path, catalog: str) -> None:
    options = ["--lake"] if catalog == "lake" else []
    report = chaos(tmp_path / "home", "--kills", str(KILLS), "--seed", "7", *options)
    assert sum(report["strikes"].values()) == KILLS and "maintenance killed" in report["strikes"]
    # While it ran and was struck, or at the latest in the rounds at the end.
    assert report["told"]["table_maintained"] > 0
    for account in report["accounts"]:
        assert account["records"] > 500 and account["rows"] > 500
        assert account["records"] == account["rows"] + account["bad"] + account["repeated"]
        assert [account[what] for what in ("lost", "doubled", "different", "foreign", "letters_lost")] == [0] * 5
