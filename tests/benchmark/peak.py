"""``python -m tests.benchmark.peak FILE…``: replay DBN files in a process of its own, print its peak memory."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from common.config import EngineConfig
from producers.replay import replay
from producers.replay.files import engine_batches


def _peak_kib() -> int:
    """Greatest resident memory so far, in KiB.

    Of /proc where there is one: what getrusage says includes the process that this one was started by.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
    return int(found.split()[1])


def main(paths: list[Path]) -> None:
    """Print ``peak_bytes`` and ``features`` as JSON."""
    config = EngineConfig()
    rows = sum(judged.features.length for judged in replay(engine_batches(paths, config), config))
    peak_bytes = _peak_kib() * 1024
    sys.stdout.write(json.dumps({"peak_bytes": peak_bytes, "features": rows}) + "\n")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
