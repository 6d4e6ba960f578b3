"""Child processes that outlive the command that started them, known later by pid and start time.

A pid alone may by now belong to another program; with the moment the process began it names one process for good.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UnavailableError

POLL_S = 0.02
TERM_S = 20.0
"""How long a process may take to end by itself before it is killed."""
TAIL_LINES = 15
SERVER_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class Process:
    """A started process: its pid, the mark of its start (opaque), and the file it logs to."""

    pid: int
    started: str
    log: Path

    @property
    def alive(self) -> bool:
        """True while this very process runs."""
        return started_mark(self.pid) == self.started

    @property
    def busy_s(self) -> float:
        """Seconds for which its threads have computed, or waited for a processor to compute on.

        0 when it has ended, and where the system does not tell.
        """
        busy_ns = 0
        for thread in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                busy_ns += sum(map(int, thread.read_text(encoding="utf-8").split()[:2]))
        return busy_ns / 1e9


class Patience:
    """How long to wait for processes that show nothing: one that computes, as all do at their first start, may go on.

    Counted is the time in which they did not; on a machine with too much to do nearly all is spent in a queue.
    """

    BUSY_SHARE = 0.5
    """Of the time, from which on processes compute; those that wait for something use a tenth."""

    def __init__(self, limit_s: float, processes: Callable[[], Iterable[Process]]) -> None:
        self._limit_s = limit_s
        self._processes = processes
        self.begin()

    def begin(self) -> None:
        """Something has come: the time begins anew."""
        self._since_s, self._busy_s = time.monotonic(), self._busy()

    @property
    def is_over(self) -> bool:
        """Whether nothing has come for the limit, nor been computed."""
        waited_s = time.monotonic() - self._since_s
        if waited_s <= self._limit_s:
            return False
        idle = self._busy() - self._busy_s < self.BUSY_SHARE * waited_s
        if not idle:
            self.begin()
        return idle

    def _busy(self) -> float:
        return sum(process.busy_s for process in self._processes())


def started_mark(pid: int) -> str | None:
    """What tells this process from an earlier or later one of the same pid; None when no such process runs.

    A zombie counts as ended, and is reaped if it is a child of ours.
    """
    with contextlib.suppress(OSError):  # not a child of ours
        os.waitpid(pid, os.WNOHANG)
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The command name, in parentheses, may hold anything; the fields after it are fixed.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return shown[1].strip() if len(shown) == 2 and not shown[0].startswith("Z") else None


def spawn(command: Sequence[str], *, log: Path, cwd: Path, environment: Mapping[str, str]) -> Process:
    """Start a process in a session of its own (a Ctrl-C in the terminal is not for it), its output going to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,
        )
    mark = started_mark(child.pid) or "ended"
    # It is watched by pid from here on, also by other processes; Popen must not warn that it still runs.
    child.returncode = 0
    return Process(child.pid, mark, log)


def stop(process: Process, *, term_s: float = TERM_S) -> bool:
    """End the process: SIGTERM, and SIGKILL when it has not ended after ``term_s``. True when it ended by itself."""
    if not _signal(process, signal.SIGTERM):
        return True
    if _gone_within(process, term_s):
        return True
    _signal(process, signal.SIGKILL)
    _gone_within(process, 5.0)
    return False


def _signal(process: Process, number: signal.Signals) -> bool:
    if not process.alive:
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _gone_within(process: Process, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while process.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The log's last lines without Java's stack frames, which hide what was wrong; empty when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64_000))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    told = [line for line in text.splitlines() if not line.startswith("\tat ")]
    return "\n".join(told[-lines:])


def free_port() -> int:
    """A loopback TCP port that nobody listens on now.

    Below the range from which systems take the ports of outgoing connections: one of those could hold it when the
    server is started again.
    """
    for _ in range(1000):
        port = SERVER_PORTS[secrets.randbelow(len(SERVER_PORTS))]
        if port_is_free(port):
            return port
    raise UnavailableError(f"no free port among {SERVER_PORTS[0]} to {SERVER_PORTS[-1]} on 127.0.0.1")


def port_is_free(port: int) -> bool:
    """True when a server could bind the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that lingers in TIME_WAIT does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
