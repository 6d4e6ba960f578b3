"""``breakwater demo --live-gateways``: the live producers instead of files, between stand-ins for both vendors.

The gateways are those of the tests, run as processes of their own; they play a session in event time, begin together,
and the vendors' own clients connect to them as they would to the vendors. When all is sent the producers are ended, and
the rest of the platform gets through what they wrote.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import kafka, topics
from common.errors import ConfigError, UnavailableError
from common.settings import PROJECT_ROOT, child_environment, override, settings
from common.topics import full_name
from infra.local.facts import INPUT_TOPICS, Facts, open_facts
from infra.local.pipeline import COMPLEX, PHASES, POLL_S, STALL_S, Pipeline
from infra.local.services import LIVE, SERVICES
from infra.local.summary import Summary, summarize
from infra.local.view import View
from producers.massive.capture import is_capture

GATEWAYS = {"databento": "tests.support.databento_gateway", "massive": "tests.support.massive_gateway"}
HEARTBEAT_S = "0.1"
SETTLED_S = 3.0
"""What has not moved for so long has come to its end."""

CONNECT_LIMIT_S = 180.0
"""How long a live producer may take to connect: the first start compiles."""


class LiveFacts(Facts):
    """How far a live input has come: by offsets, once its producers have ended."""

    _marked_s = 0.0
    _sent: Mapping[str, int] = {}

    @property
    def published(self) -> int:
        """Records that the producers' heartbeats speak of."""
        return sum(self._sent.values())

    def _take_beat(self, beat: dict[str, Any]) -> None:
        super()._take_beat(beat)
        self._sent = {**self._sent, beat["topic"]: int(beat["next_offset"])}

    def update(self, timeout_s: float) -> None:
        """Take in new heartbeats and markers. Raises UnavailableError when the log cannot be read."""
        before = self._marker
        super().update(timeout_s)
        if self._marker is not before:
            self._marked_s = time.monotonic()

    def end(self) -> None:
        """The producers have ended: what the topics hold now is the input."""
        for name in topics.ENGINE_INPUTS:
            full = full_name(name, self._namespace)
            end = kafka.end_offsets(full, self._partition, client=self._reader).end_offset
            beat = {"topic": full, "next_offset": end, "ts_watermark_ns": 0, "input_records": end}
            if end or name in INPUT_TOPICS:
                self._last_ended[name] = self._ended[name] = beat

    def _features_cover(self) -> bool:
        return super()._features_cover() and time.monotonic() - self._marked_s > SETTLED_S


class LivePipeline(Pipeline):
    """The platform behind its live producers."""

    def run(self, files: Sequence[Path], speed: str, *, day: bool = False) -> Summary:
        """Play the files (none: a simulated session) through gateways and live producers, and wait for every stage.

        Raises ConfigError without a finite speed, and as `Pipeline.run`.
        """
        if speed == "max":
            raise ConfigError("gateways play in event time, not at speed max", hint="Add --speed 10.")
        chosen = list(files) or self._simulated(day)
        captures = [path for path in chosen if is_capture(path)]
        books = [path for path in chosen if not is_capture(path)]
        if not books or len(captures) != 1:
            raise ConfigError(
                "the gateways play DBN files and one Massive capture",
                hint="Give such with --file, or nothing for a simulated session.",
            )
        pace = speed.removesuffix("x")
        with contextlib.ExitStack() as stack:
            self._report.step("starting both vendors' gateways")
            named = [part for path in books for part in ("--file", str(path))]
            beat = ["--heartbeat", HEARTBEAT_S, "--hold"]
            es = stack.enter_context(self._gateway("databento", [*named, *beat, "--speed", pace]))
            spy = stack.enter_context(self._gateway("massive", ["--file", str(captures[0]), "--speed", pace]))
            override(
                databento_gateway=f"127.0.0.1:{es.said['port']}",
                databento_key=es.said["key"],
                databento_dataset=es.said["dataset"],
                massive_key=spy.key,
                **{name: url for name, url in spy.said.items() if name.startswith("massive_")},
            )
            self._report.step("starting the live producers")
            self._services.start("producer-databento", ["live", "databento", "--complex", COMPLEX])
            facts = stack.enter_context(open_facts(settings().namespace, topics.partition_of(COMPLEX), "", LiveFacts))
            view = stack.enter_context(View(self._console))
            self._wait(lambda: "start" in es.ledger(), facts, view, CONNECT_LIMIT_S)
            self._services.start("producer-massive", ["live", "massive", "--complex", COMPLEX])
            self._wait(lambda: "begun_s" in spy.ledger(), facts, view, CONNECT_LIMIT_S)
            es.begin()
            self._wait(lambda: '"end"' in es.ledger(), facts, view, STALL_S)
            self._wait(spy.is_settled, facts, view, STALL_S)
            for name in LIVE:
                self._services.end(name)
            facts.end()
            self._wait(lambda: facts.reached().waiting_for is None, facts, view, STALL_S)
            return summarize(facts.input_records, self.api_url, time.monotonic() - self._began_s)

    @contextlib.contextmanager
    def _gateway(self, vendor: str, arguments: Sequence[str]) -> Iterator[_Gateway]:
        gateway = _Gateway(vendor, self._home, arguments)
        try:
            yield gateway
        finally:
            gateway.close()

    def _wait(self, done: Callable[[], bool], facts: LiveFacts, view: View, limit_s: float) -> None:
        """Until it is done, looking at the services. Raises UnavailableError when nothing moves for ``limit_s``."""
        since_s, before = time.monotonic(), ""
        while not done():
            self._check()
            facts.update(POLL_S)
            running = [name for name in (*SERVICES, *LIVE) if self._services.is_running(name)]
            urls = {name: str(self._services.facts(name).get("health_url", "")) for name in running}
            view.look(
                PHASES[facts.reached().waiting_for], {n: u for n, u in urls.items() if u}, self.api_url, facts.published
            )
            if view.moved != before:
                since_s, before = time.monotonic(), view.moved
            elif time.monotonic() - since_s > limit_s:
                raise UnavailableError(
                    f"nothing has moved for {limit_s:.0f} s", hint=f"Look at the logs in {self._home / 'logs'}."
                )


class _Gateway:
    """One of the tests' gateways as a process; ``said`` is its first line."""

    def __init__(self, vendor: str, home: Path, arguments: Sequence[str]) -> None:
        self.key = f"{vendor}-of-the-demo"
        self._ledger = home / "run" / f"gateway-{vendor}.jsonl"
        self._ledger.parent.mkdir(parents=True, exist_ok=True)
        self._ledger.unlink(missing_ok=True)
        self._size, self._moved_s = 0, time.monotonic()
        keys = ["--key", self.key] if vendor == "massive" else []
        command = [sys.executable, "-m", GATEWAYS[vendor], *arguments, *keys, "--ledger", str(self._ledger)]
        log = home / "logs" / f"gateway-{vendor}.log"
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=PROJECT_ROOT,
                env=child_environment(),
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise UnavailableError(f"{vendor}'s gateway did not start", hint=f"Look at {log}.")
        self.said: dict[str, str] = json.loads(line)

    def begin(self) -> None:
        """Let a market that is held begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def ledger(self) -> str:
        """What it says that it has sent."""
        return self._ledger.read_text(encoding="utf-8") if self._ledger.exists() else ""

    def is_settled(self) -> bool:
        """Nothing more is sent."""
        size = self._ledger.stat().st_size
        if size != self._size:
            self._size, self._moved_s = size, time.monotonic()
        return time.monotonic() - self._moved_s > SETTLED_S

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=5)
        self._process.kill()
        self._process.wait()
