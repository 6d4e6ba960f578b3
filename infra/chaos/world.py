"""The processes of a chaos run: servers of a home of their own, sinks and maintenance; what ends is started again."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from common import endpoints, kafka
from common.errors import InvariantError, UnavailableError
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment, override, settings
from infra.chaos import feed
from infra.chaos.proxy import Proxy
from infra.local import catalog, stack
from infra.local.process import POLL_S, Process, port_is_free, spawn, started_mark, stop
from infra.local.progress import Reporter

NAMESPACE = "chaos"
MEMBERS = ("a", "b")
TOLD = ("partitions_taken", "partitions_lost", "batch_overtaken", "table_commit_failed", "sink_failed")
TOLD_OF_CARE = ("hours_packed", "table_maintained", "packing_overtaken", "packing_in_doubt", "upkeep_failed")
"""What sinks and maintenance log, worth counting."""
CARE = ("--every", "0.2", "--snapshot-days", "0", "--keep", "16", "--orphan-hours", "0.04")
"""Maintenance far busier than it should ever be. A file waits for its name longer (144 s) than a sink's
pause and its patience together last: it may still be committed."""
LAST_CARE = ("--snapshot-days", "0", "--keep", "1", "--orphan-hours", "0")
"""When nobody writes any more."""
CARE_S = 300.0


class World:
    """Everything that runs. Nobody but this process uses it; one thread."""

    def __init__(self, home: Path, *, with_lake: bool, report: Reporter) -> None:
        self._home = home
        self._report = report
        self._parts = (*stack.LOG, *stack.LAKE) if with_lake else stack.LOG
        self._sinks: dict[str, Process] = {}
        self._care: Process | None = None
        self._paused: set[int] = set()
        self._born: list[Process] = []
        self._servers: dict[str, Process] = {}
        self._ports: dict[str, int] = {}
        self.proxies: dict[str, Proxy] = {}

    def start(self) -> None:
        """Servers, topics, schemas, sinks, maintenance."""
        override(home=str(self._home), namespace=NAMESPACE)
        up = stack.up(self._home, progress=self._report, parts=self._parts)
        self._look()
        override(kafka_bootstrap=up.kafka_bootstrap, registry_url=up.registry_url)
        kafka.ensure_topics(feed.specs(NAMESPACE))
        with Registry(endpoints.resolve().registry_url) as registry:
            registry.ensure_all(NAMESPACE)
        for name in self._parts:
            if name in stack.LAKE:
                self.proxies[name] = Proxy(self._ports[name])
        self.tend()

    def tend(self) -> None:
        """Start what has ended: servers, sinks, maintenance."""
        # Clients know the old ports, which the system keeps for a moment after a kill.
        dead = [n for n, process in self._servers.items() if not process.alive and port_is_free(self._ports[n])]
        if dead:
            stack.up(self._home, parts=dead, ports=self._ports)
            self._look()
        for member in MEMBERS:
            if member not in self._sinks or not self._sinks[member].alive:
                self.replace(member)
        if self._care is None or not self._care.alive:
            self._care = self._run("maintenance", "lakehouse.maintenance", CARE)

    @property
    def whole(self) -> bool:
        """True when every server, one sink of each name and maintenance run."""
        return all(process.alive for process in (*self._servers.values(), *self._sinks.values(), self.maintenance))

    def replace(self, member: str) -> None:
        """A new sink of that name, whether or not one runs; an older one will find that it was replaced."""
        self._sinks[member] = self._run(f"sink-{member}", "lakehouse", member=member)

    def sink(self, member: str) -> Process:
        """The newest sink of that name."""
        return self._sinks[member]

    @property
    def maintenance(self) -> Process:
        """The newest process that maintains the tables."""
        if self._care is None:
            raise InvariantError("maintenance was not started", hint="Start the world first.")
        return self._care

    def server(self, name: str) -> Process:
        """A server's process."""
        return self._servers[name]

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        if process.alive:
            os.kill(process.pid, signal.SIGKILL)

    def pause(self, process: Process) -> None:
        """SIGSTOP."""
        if process.alive:
            os.kill(process.pid, signal.SIGSTOP)
            self._paused.add(process.pid)

    def wake(self, process: Process) -> None:
        """SIGCONT."""
        self._paused.discard(process.pid)
        if process.alive:
            os.kill(process.pid, signal.SIGCONT)

    def told(self) -> Counter[str]:
        """How often the sinks logged each of `TOLD`, and maintenance of `TOLD_OF_CARE`."""
        texts = [process.log.read_text(errors="replace") for process in self._born]
        events = (*TOLD, *TOLD_OF_CARE)
        return Counter({event: sum(text.count(f'"event": "{event}"') for text in texts) for event in events})

    def end_writers(self) -> None:
        """Stop sinks and maintenance with SIGTERM."""
        for process in self._born:
            if process.pid in self._paused:
                self.wake(process)
            stop(process)

    def care_once_more(self) -> None:
        """Two rounds of maintenance that let everything go which may go: nobody writes, so no file waits for its name.

        Raises UnavailableError when one fails or does not end.
        """
        for _ in range(2):
            round_ = self._run("maintenance-last", "lakehouse.maintenance", LAST_CARE)
            deadline = time.monotonic() + CARE_S
            while round_.alive and time.monotonic() < deadline:
                time.sleep(POLL_S)
            if round_.alive or _failed(round_):
                raise UnavailableError("the last maintenance failed", hint=f"Look at {round_.log}.")

    def end(self) -> None:
        """Stop what still runs."""
        self.end_writers()
        for proxy in self.proxies.values():
            proxy.close()
        stack.down(self._home)

    def _run(self, name: str, module: str, arguments: Sequence[str] = (), *, member: str = "") -> Process:
        environment = child_environment(
            BREAKWATER_SINK_MEMBER=member, BREAKWATER_HEALTH_PORT="0", PYTHONPATH=str(PROJECT_ROOT), **self._catalog()
        )
        log = self._home / "logs" / f"{name}-{len(self._born)}.log"
        command = [sys.executable, "-m", module, *arguments]
        self._born.append(spawn(command, log=log, cwd=self._home, environment=environment))
        return self._born[-1]

    def _look(self) -> None:
        """Learn the servers' processes and ports."""
        for part in stack.status(self._home):
            if part.name in self._parts and part.pid is not None:
                address = str(part.address).removeprefix("http://")
                self._ports[part.name] = int(address.partition(":")[2].partition("/")[0])
                mark = started_mark(part.pid) or "ended"
                self._servers[part.name] = Process(part.pid, mark, part.log or self._home)

    def _catalog(self) -> dict[str, str]:
        """The writers reach catalog and store by way of the proxies; the embedded catalog needs no word."""
        if not self.proxies:
            return {}
        told = catalog.properties(self.proxies["catalog"].port, self.proxies["minio"].port)
        prefix = f"PYICEBERG_CATALOG__{settings().catalog.upper()}__"
        return {prefix + key.upper().replace(".", "__").replace("-", "_"): value for key, value in told.items()}


def _failed(process: Process) -> bool:
    text = process.log.read_text(errors="replace")
    return "error: " in text or "Traceback" in text
