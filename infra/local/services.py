"""The platform's services as child processes of one demo: started together, watched, and ended together.

``<home>/services.json`` keeps their process ids, so that what a killed demo left running is ended by the next one.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.errors import UnavailableError
from common.settings import PROJECT_ROOT, child_environment
from infra.local.process import TERM_S, Patience, Process, spawn, stop, tail
from infra.local.progress import Reporter

SERVICES: dict[str, tuple[str, str]] = {
    "features": ("processors.features", "features"),
    "signals": ("processors.signals", "signals"),
    "sink": ("lakehouse", "sink"),
    "api": ("api", "api"),
    "silver": ("lakehouse.silver", "silver"),
    "maintenance": ("lakehouse.maintenance", "maintenance"),
}
"""For each service the module to run, and the name of its run file."""
ARGUMENTS: dict[str, tuple[str, ...]] = {"maintenance": ("--every", "10")}
"""What a service is started with, where it is anything."""
PRODUCER = ("producers", "producer")
LIVE = {f"producer-{vendor}": ("producers", f"producer-{vendor}") for vendor in ("databento", "massive")}
"""The live producers of a demo, with their run files."""

START_LIMIT_S = 180.0
"""How long a service may take to say where it listens: the first start compiles."""
TAIL_LINES = 8
POLL_S = 0.05


class Services:
    """The services of one home. Not thread-safe."""

    def __init__(self, home: Path, report: Reporter) -> None:
        self._home = home
        self._report = report
        self._running: dict[str, Process] = {}

    @property
    def _file(self) -> Path:
        return self._home / "services.json"

    def end_leftovers(self) -> None:
        """End what a demo that was killed had started here."""
        left = {name: process for name, process in _read(self._file).items() if process.alive}
        if left:
            self._report.step(f"ending services that an earlier demo left running: {', '.join(left)}")
            _end(list(left.values()))

    def start(self, name: str, arguments: Sequence[str] = ()) -> Process:
        """Start one service, or ``producer`` with arguments; its log is ``<home>/logs/<name>.log``."""
        module, _ = _parts(name)
        process = run_module(self._home, name, module, arguments or ARGUMENTS.get(name, ()))
        self._running[name] = process
        self._write()
        return process

    def wait_until_listening(self) -> None:
        """Until every service has said where its health is served. Raises UnavailableError when one ends or is late."""
        patience = self.patience(START_LIMIT_S)
        waiting = [name for name in self._running if name in SERVICES]
        while waiting := [name for name in waiting if not self.facts(name)]:
            self.check()
            if patience.is_over:
                raise UnavailableError(
                    f"{', '.join(waiting)} did not start within {START_LIMIT_S:.0f} s",
                    hint=f"Look at the logs in {self._home / 'logs'}.",
                )
            time.sleep(POLL_S)

    def facts(self, name: str) -> Mapping[str, Any]:
        """The service's run file; empty until this very process has written it."""
        path = self._home / "run" / f"{_parts(name)[1]}.json"
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if facts.get("pid") == self._running[name].pid else {}

    def check(self) -> None:
        """Raise UnavailableError when a service has ended, with the end of its log."""
        for name, process in self._running.items():
            if (name in SERVICES or name in LIVE) and not process.alive:
                raise ended(name, process)

    def patience(self, limit_s: float) -> Patience:
        """With all of them together."""
        return Patience(limit_s, self._running.values)

    def is_running(self, name: str) -> bool:
        """Whether it was started and not forgotten."""
        return name in self._running

    def end(self, name: str) -> None:
        """End one of them with SIGTERM."""
        stop(self._running[name])
        self.forget(name)

    def forget(self, name: str) -> None:
        """No longer watch a process that has ended as it should."""
        self._running.pop(name, None)
        self._write()

    def stop(self, term_s: float = TERM_S) -> None:
        """End them all with SIGTERM at once; what has not ended after ``term_s`` is killed."""
        _end(list(self._running.values()), term_s)
        self._running.clear()
        self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        facts = {name: asdict(process) for name, process in self._running.items()}
        partial = self._file.with_suffix(".tmp")
        partial.write_text(json.dumps(facts, default=str), encoding="utf-8")
        partial.replace(self._file)


def _parts(name: str) -> tuple[str, str]:
    return SERVICES.get(name) or LIVE.get(name, PRODUCER)


def run_module(home: Path, name: str, module: str, arguments: Sequence[str] = ()) -> Process:
    """``python -m module`` as a child with this home, its output going to ``<home>/logs/<name>.log``."""
    environment = child_environment(
        BREAKWATER_HOME=str(home),
        # One port cannot serve all services.
        BREAKWATER_HEALTH_PORT="0",
        PYTHONPATH=str(PROJECT_ROOT),
    )
    command = [sys.executable, "-m", module, *arguments]
    return spawn(command, log=home / "logs" / f"{name}.log", cwd=Path.cwd(), environment=environment)


def ended(name: str, process: Process) -> UnavailableError:
    """What to tell when a process has ended that should run: its own last words, else the end of its log."""
    text = tail(process.log, TAIL_LINES)
    errors, hints = (_said(kind, text) for kind in ("error", "hint"))
    log = f"Whole log: {process.log}."
    if errors:
        return UnavailableError(f"{name} has ended: {errors[-1]}", hint=" ".join([*hints[-1:], log]))
    hint = f"{log} What was done is kept: the same command goes on from there."
    return UnavailableError(f"{name} has ended:\n{text}", hint=hint)


def failed(process: Process) -> bool:
    """True when an ended process's last words are an error."""
    return bool(_said("error", tail(process.log, TAIL_LINES)))


def _said(kind: str, text: str) -> list[str]:
    found: list[str] = re.findall(rf"^{kind}: (.*)$", text, re.MULTILINE)
    return found


def _end(processes: Sequence[Process], term_s: float = TERM_S) -> None:
    if processes:
        with ThreadPoolExecutor(len(processes)) as pool:
            list(pool.map(lambda process: stop(process, term_s=term_s), processes))


def _read(path: Path) -> dict[str, Process]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {name: Process(p["pid"], p["started"], Path(p["log"])) for name, p in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
