"""One run of the platform: topics, schemas and services, an input through all of them, and what came of it."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from common import endpoints, kafka, topics
from common.errors import InputError, UnavailableError
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment, settings
from common.telemetry import configure_logging
from infra.local import stack
from infra.local.facts import Facts, open_facts
from infra.local.process import TERM_S, Process, tail
from infra.local.progress import Terminal
from infra.local.services import SERVICES, Services, ended, failed
from infra.local.summary import Summary, summarize
from infra.local.view import View
from lakehouse.silver.service import Awaited
from producers.stream import input_id

COMPLEX = "SPY"
STALL_S = 300.0
"""How long no stage may move, nor compute, before the run is given up."""
POLL_S = 0.1
STACK_INTERVAL_S = 1.0
DRAIN_READS = 5
TERM_WITHOUT_SERVER_S = 2.0
"""Services that wait for a server which is gone are not waited for long: they are made to be killed."""

PHASES = {
    None: "the input is through",
    "producer": "publishing",
    "features": "features catch up",
    "signals": "signals catch up",
    "tables": "the last rows are committed",
    "silver": "silver and gold are computed",
}


class Pipeline:
    """The services of a home whose broker and registry are up. Not thread-safe."""

    def __init__(self, home: Path, console: Console) -> None:
        self._home = home
        self._console = console
        self._report = Terminal(console)
        self._services = Services(home, self._report)
        self._stack_due_s = 0.0
        self._term_s = TERM_S
        self._computed: Awaited | None = None

    def start(self) -> None:
        """Make topics and schemas, start all services, and wait until each listens. Raises UnavailableError."""
        self._began_s = time.monotonic()
        self._log_to_file()
        self._services.end_leftovers()
        namespace = settings().namespace
        self._report.step("making topics and schemas")
        kafka.ensure_topics(topics.specs(namespace))
        with Registry(endpoints.resolve().registry_url) as registry:
            registry.ensure_all(namespace)
        self._report.step(f"starting {', '.join(SERVICES)}")
        for name in SERVICES:
            self._services.start(name)
        self._services.wait_until_listening()

    def run(self, files: Sequence[Path], speed: str, *, day: bool = False) -> Summary:
        """Publish the files (none: a simulated session, with ``day`` a whole one) and wait for every stage.

        Raises UnavailableError with the end of its log when anything ends before, or nothing moves for STALL_S.
        """
        chosen = list(files) or self._simulated(day)
        arguments = ["publish", "--complex", COMPLEX, "--speed", speed]
        for path in chosen:
            arguments += ["--file", str(path)]
        with open_facts(settings().namespace, topics.partition_of(COMPLEX), input_id(chosen)) as facts:
            producer = self._services.start("producer", arguments)
            self._follow(facts, producer)
            self._services.forget("producer")
            return summarize(facts.input_records, self.api_url, time.monotonic() - self._began_s)

    def watch(self) -> None:
        """Until interrupted. Raises UnavailableError when anything ends."""
        while True:
            self._check()
            time.sleep(POLL_S)

    def close(self) -> None:
        """End the services."""
        self._services.stop(self._term_s)

    @property
    def api_url(self) -> str:
        """Where the API listens."""
        return str(self._services.facts("api")["url"])

    def _follow(self, facts: Facts, producer: Process) -> None:
        patience, before = self._services.patience(STALL_S), ""
        waiting: str | None = "producer"
        with View(self._console) as view:
            while waiting is not None:
                self._check()
                facts.update(POLL_S)
                if not producer.alive:
                    waiting = self._reached(facts, producer)
                published = sum(facts.input_records.values())
                view.look(PHASES[waiting], self._health_urls(producer), self.api_url, published)
                if view.moved != before:
                    before = view.moved
                    patience.begin()
                elif patience.is_over:
                    raise UnavailableError(
                        f"nothing has moved for {STALL_S:.0f} s; the input waits for: {waiting}",
                        hint=f"Look at the logs in {self._home / 'logs'} and at ./breakwater status.",
                    )

    def _reached(self, facts: Facts, producer: Process) -> str | None:
        """The stage that the input waits for, once its producer has ended. Raises when it ended without the input."""
        for _ in range(DRAIN_READS):
            reached = facts.reached()
            # What an earlier run published may hide that this one failed.
            if reached.producer and not failed(producer):
                return reached.waiting_for or self._computing(facts)
            facts.update(POLL_S)
        raise ended("producer", producer)

    def _computing(self, facts: Facts) -> str | None:
        """The stage after the tables, while it has not all that the tables hold."""
        if not facts.end_is_stored():
            return "tables"
        self._computed = self._computed or Awaited()
        return None if self._computed.done() else "silver"

    def _health_urls(self, producer: Process) -> Mapping[str, str]:
        running = [*SERVICES, "producer"] if producer.alive else list(SERVICES)
        urls = {name: str(self._services.facts(name).get("health_url", "")) for name in running}
        return {name: url for name, url in urls.items() if url}

    def _check(self) -> None:
        """Raise when a server or a service has ended; the servers first, as services end with them."""
        now_s = time.monotonic()
        if now_s >= self._stack_due_s:
            self._stack_due_s = now_s + STACK_INTERVAL_S
            self._check_stack()
        try:
            self._services.check()
        except UnavailableError:
            self._check_stack()
            raise

    def _check_stack(self) -> None:
        for part in stack.status(self._home):
            if part.state == "died" and part.log is not None:
                self._term_s = TERM_WITHOUT_SERVER_S
                raise UnavailableError(
                    f"{part.name} has ended:\n{tail(part.log)}",
                    hint="Nothing that was acknowledged is lost: the same command starts it again and goes on.",
                )

    def _simulated(self, day: bool) -> list[Path]:
        self._report.step("writing a simulated session" + (": a whole day takes a minute or two" if day else ""))
        command = [sys.executable, "-m", "producers", "simulate", "--out", str(self._home / "simulated")]
        command += ["--day"] if day else []
        environment = child_environment(PYTHONPATH=str(PROJECT_ROOT))
        # On a terminal it shows itself how far it is.
        told = None if self._console.is_terminal else subprocess.PIPE
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=told, text=True, check=False, env=environment)
        if done.returncode != 0:
            raise InputError(f"the session could not be simulated:\n{(done.stderr or '').strip()}")
        return [Path(line) for line in done.stdout.split("\n") if line]

    def _log_to_file(self) -> None:
        """The terminal is the view's; what this process logs goes beside the services' logs."""
        configure_logging("demo")
        path = self._home / "logs" / "demo.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(path.open("a", encoding="utf-8"))
