"""The sample session through the live services, once, with its topics and tables left to be looked at."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import endpoints, kafka, topics
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment, settings
from infra.local.facts import open_facts
from infra.local.progress import Silent
from infra.local.services import Services
from producers.stream import input_id
from tests.support.stack import environment

LIMIT_S = 400.0


def sample_files() -> list[Path]:
    """The sample session's books and trades."""
    folder = settings().sample_data / "es"
    return [folder / "esh4-20231225.mbp-10.dbn.zst", folder / "esh4-20231225.trades.dbn.zst"]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """Its one line of JSON."""
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed

    @property
    def summary(self) -> dict[str, Any]:
        """The one line of JSON of a command that must have succeeded."""
        assert self.code == 0, self.err
        return self.data


@dataclass(frozen=True)
class LiveRun:
    """A namespace and a home that hold a whole run."""

    namespace: str
    home: Path

    def command(self, *arguments: str, **changes: str) -> Ended:
        """``breakwater ...`` with this run as the live one."""
        env = child_environment(BREAKWATER_NAMESPACE=self.namespace, BREAKWATER_HOME=str(self.home), **changes)
        done = subprocess.run(
            [sys.executable, "-m", "common.cli", *arguments],
            cwd=PROJECT_ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, **changes: str) -> dict[str, Any]:
        """What a command that must succeed says as JSON."""
        return self.command(*arguments, "--json", **changes).summary


@contextmanager
def live_run(home: Path) -> Iterator[LiveRun]:
    """Publish the sample in a namespace of its own and wait until every service is through; then end the services."""
    namespace = f"test.{uuid.uuid4().hex[:12]}"
    home.mkdir(parents=True, exist_ok=True)
    with environment(BREAKWATER_NAMESPACE=namespace, BREAKWATER_HOME=str(home)):
        kafka.ensure_topics(topics.specs(namespace))
        with Registry(endpoints.resolve().registry_url) as registry:
            registry.ensure_all(namespace)
        services = Services(home, Silent())
        try:
            for name in ("features", "signals", "sink"):
                services.start(name)
            services.wait_until_listening()
            files = [f"--file={path}" for path in sample_files()]
            services.start("producer", ["publish", "--complex", "SPY", "--speed", "max", *files])
            with open_facts(namespace, topics.partition_of("SPY"), input_id(sample_files())) as facts:
                deadline_s = time.monotonic() + LIMIT_S
                while facts.reached().waiting_for is not None:
                    services.check()
                    facts.update(0.1)
                    assert time.monotonic() < deadline_s, f"waiting for {facts.reached().waiting_for}"
        finally:
            services.stop()
        yield LiveRun(namespace, home)
