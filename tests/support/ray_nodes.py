"""A Ray cluster on this machine as its users start one: ``ray start`` for each node, with an address of its own."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from common.settings import child_environment

PATIENCE_S = 400.0
"""How long anything may take on a machine that is busy with other tests."""

STORE_BYTES = 80 * 1024 * 1024
CLUSTER = re.compile(r"ray start --address='([0-9.]+:[0-9]+)'")
STARTS = 5
"""A node that did not reach its head within half a minute gives up, which happens on a busy machine."""

STARTED = "Ray runtime started"

Found = TypeVar("Found")


def eventually(find: Callable[[], Found | None], what: str) -> Found:
    """What ``find`` finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := find()) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.02)
    return found


class Writer(NamedTuple):
    """A process that has a session's files open."""

    pid: int
    session: str


def writers(scratch: Path) -> list[Writer]:
    """All processes that write below the folder, and to which sessions."""
    found = []
    for process in _processes():
        try:
            opened = [entry.readlink() for entry in (process / "fd").iterdir()]
        except OSError:
            continue  # It has ended.
        sessions = {path.relative_to(scratch).parts[0] for path in opened if path.is_relative_to(scratch)}
        found += [Writer(int(process.name), session.partition(".")[0]) for session in sorted(sessions)]
    return found


class RayNodes:
    """A head that computes nothing, and workers that compute one task at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = secrets.token_hex(32)
        self._made = 0
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._head = 0
        self.address = ""

    def start(self) -> None:
        """Start the head."""
        log = self._start(
            "--head", "--port=0", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={self._folder}"
        )
        found = CLUSTER.search(log)
        assert found, log
        self.address = found[1]
        self._head = next(iter(self._running))

    def environment(self, **changes: str) -> dict[str, str]:
        """What nodes and those who come to them share: the token without which the cluster lets nobody in."""
        return child_environment(
            RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=self._token, RAY_USAGE_STATS_ENABLED="0", **changes
        )

    def complete(self, workers: int) -> None:
        """Start workers until there are so many."""
        while len(self._running) < workers + 1:
            self._start(f"--address={self.address}", "--num-cpus=1")

    def lose_node_of(self, pid: int) -> None:
        """What a power failure does to the worker node that has the process: SIGKILL for everything on it."""
        node = os.getsid(pid)
        assert node in self._running and node != self._head
        self._kill(node)

    def stop(self) -> None:
        """Kill what was started, the head last."""
        for node in sorted(self._running, key=lambda node: node == self._head):
            self._kill(node)

    def _start(self, *options: str) -> str:
        """What a node said until it was up."""
        text = ""
        for _ in range(STARTS):
            node, log = self._begin(*options)
            text = eventually(partial(_first_words, node, log), f"{options} to be up")
            if STARTED in text:
                return text
            self._kill(node.pid)
        raise AssertionError(text)

    def _begin(self, *options: str) -> tuple[subprocess.Popen[bytes], Path]:
        self._made += 1
        path = self._folder / f"node{self._made}.log"
        command = [str(Path(sys.executable).with_name("ray")), "start", *options]
        command += [f"--node-ip-address=127.0.0.{self._made + 1}", "--block", "--disable-usage-stats"]
        command += ["--include-log-monitor=false", f"--object-store-memory={STORE_BYTES}"]
        with path.open("wb") as log:
            node = subprocess.Popen(
                command,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[node.pid] = node
        return node, path

    def _kill(self, node: int) -> None:
        """Kill all processes of the node, which is a session of processes."""
        for process in _processes():
            try:
                if os.getsid(int(process.name)) == node:
                    os.kill(int(process.name), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._running.pop(node).wait()


def _first_words(node: subprocess.Popen[bytes], log: Path) -> str | None:
    """What a node has said once it is up, or has given up; None before."""
    ended = node.poll() is not None
    text = log.read_text(encoding="utf-8")
    return text if ended or (STARTED in text and "--block" in text) else None


def _processes() -> Iterator[Path]:
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


@contextmanager
def ray_nodes(folder: Path) -> Iterator[RayNodes]:
    """A cluster for the time of the block. Its sockets are in the folder, whose path must be short: 40 characters."""
    nodes = RayNodes(folder)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()
