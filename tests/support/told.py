"""Everything that a service tells while it runs, for tests that look for what it may not tell."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

LIMIT_S = 400.0
PAGES = ("/metrics", "/health/live", "/health/ready")


def told(process: subprocess.Popen[bytes], run_file: Path) -> bytes:
    """Where the process says that it listens, what it serves there, and its arguments."""
    deadline_s = time.monotonic() + LIMIT_S
    while not run_file.is_file():
        assert process.poll() is None, "the service ended"
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    url = json.loads(run_file.read_text(encoding="utf-8"))["health_url"]
    out = run_file.read_bytes()
    for page in PAGES:
        try:
            with urlopen(url + page, timeout=LIMIT_S) as answer:
                out += answer.read()
        except HTTPError as error:
            # Not ready: why is in the body.
            out += error.read()
    assert b'"parts"' in out and b"breakwater_live_received" in out
    arguments = Path(f"/proc/{process.pid}/cmdline")
    if arguments.exists():
        out += arguments.read_bytes()
    else:
        shown = subprocess.run(["ps", "-o", "args=", "-p", str(process.pid)], capture_output=True, check=True)
        out += shown.stdout
    assert Path(sys.executable).name[:6].encode() in out
    return out


def files_with(home: Path, secret: str) -> list[Path]:
    """Files of the folder that hold it: logs, manifests, spool, tables, run files."""
    return [path for path in home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
