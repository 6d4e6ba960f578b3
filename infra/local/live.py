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

from prometheus_client.parser import text_string_to_metric_families

from common import kafka, topics
from common.errors import ConfigError, UnavailableError
from common.settings import PROJECT_ROOT, child_environment, override, settings
from common.topics import full_name
from infra.local.facts import INPUT_TOPICS, Facts, open_facts
from infra.local.pipeline import COMPLEX, PHASES, POLL_S, STALL_S, Pipeline
from infra.local.services import LIVE, SERVICES
from infra.local.summary import Summary, summarize
from infra.local.view import View, get
from producers.massive.capture import is_capture

GATEWAYS = {"databento": "tests.support.databento_gateway", "massive": "tests.support.massive_gateway"}
HEARTBEAT_S = "0.1"
SETTLED_S = 3.0
"""What has not moved for so long has come to its end."""

LOOK_S = 0.5
LOST_S = 20.0
"""What was sent so long ago and has not come will not come: its connection broke, and the topics have a gap."""

COUNTED = ("received", "stored", "duplicates", "dead_letters")
"""Of what a live producer counts per topic, what is told at the end."""


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
            held = ["--hold", "--speed", pace]
            es = stack.enter_context(self._gateway("databento", [*named, "--heartbeat", HEARTBEAT_S, *held]))
            spy = stack.enter_context(self._gateway("massive", ["--file", str(captures[0]), *held]))
            override(
                databento_gateway=f"127.0.0.1:{es.said['port']}",
                databento_key=es.said["key"],
                databento_dataset=es.said["dataset"],
                massive_key=spy.said["key"],
                massive_chain_interval_s=str(settings().massive_chain_interval_s / float(pace)),
                **{name: url for name, url in spy.said.items() if name.startswith("massive_")},
            )
            facts = stack.enter_context(open_facts(settings().namespace, topics.partition_of(COMPLEX), "", LiveFacts))
            view = stack.enter_context(View(self._console))
            watch = _Watch(self, facts, view, (es, spy))
            self._report.step("starting the live producers: the vendors' own clients connect to the gateways")
            for gateway in (es, spy):
                self._services.start(gateway.producer, ["live", gateway.vendor, "--complex", COMPLEX])
            for gateway in (es, spy):
                watch.wait("the producers connect", gateway.is_connected)
            for gateway in (es, spy):
                gateway.begin()
            for gateway in (es, spy):
                watch.wait("the market is open", gateway.has_ended)
            for gateway in (es, spy):
                watch.wait("the last records arrive", self._arrival(gateway))
                self._report.step(self._account(gateway))
            for gateway in (es, spy):
                self._services.end(gateway.producer)
            facts.end()
            watch.wait(None, lambda: facts.reached().waiting_for is None)
            return summarize(facts.input_records, self.api_url, time.monotonic() - self._began_s)

    def look(self, view: View, phase: str, facts: LiveFacts) -> None:
        """Draw how far everything is. Raises UnavailableError when anything has ended."""
        self._check()
        running = [name for name in (*SERVICES, *LIVE) if self._services.is_running(name)]
        urls = {name: str(self._services.facts(name).get("health_url", "")) for name in running}
        view.look(phase, {n: u for n, u in urls.items() if u}, self.api_url, facts.published)

    def _counts(self, gateway: _Gateway) -> dict[str, int]:
        """What the gateway's producer has counted (`COUNTED`), the option chain's snapshots left out."""
        body = get(f"{self._services.facts(gateway.producer).get('health_url')}/metrics") or b""
        names = {f"breakwater_live_{kind}_total": kind for kind in COUNTED}
        counts = dict.fromkeys(COUNTED, 0)
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                if sample.name in names and sample.labels["topic"] != topics.OPTIONS_GREEKS:
                    counts[names[sample.name]] += int(sample.value)
        return counts

    def _arrival(self, gateway: _Gateway) -> Callable[[], bool]:
        """Asks whether the producer has all that its gateway has sent, or gets no more of it."""
        before, moved_s, looked_s = (-1, -1), time.monotonic(), 0.0

        def is_over() -> bool:
            nonlocal before, moved_s, looked_s
            now_s = time.monotonic()
            if now_s - looked_s < LOOK_S:
                return False
            counts, looked_s = self._counts(gateway), now_s
            found = gateway.sent, counts["stored"] + counts["duplicates"]
            if found != before:
                before, moved_s = found, now_s
                return False
            return found[1] >= found[0] or now_s - moved_s > LOST_S

        return is_over

    def _account(self, gateway: _Gateway) -> str:
        counts = self._counts(gateway)
        said = ", ".join(f"{counts[kind]:,} {kind.replace('_', ' ')}" for kind in COUNTED)
        return f"{gateway.vendor}: {gateway.sent:,} sent by its gateway; {said}"

    @contextlib.contextmanager
    def _gateway(self, vendor: str, arguments: Sequence[str]) -> Iterator[_Gateway]:
        gateway = _Gateway(vendor, self._home, arguments)
        try:
            yield gateway
        finally:
            gateway.close()


class _Watch:
    """Looks on, and waits."""

    def __init__(self, pipeline: LivePipeline, facts: LiveFacts, view: View, gateways: Sequence[_Gateway]) -> None:
        self._pipeline = pipeline
        self._facts = facts
        self._view = view
        self._gateways = gateways

    def wait(self, phase: str | None, done: Callable[[], bool]) -> None:
        """Until it is done; ``phase`` None: named by the stage that is waited for.

        Raises UnavailableError when anything ends before, or nothing moves for STALL_S.
        """
        since_s, before = time.monotonic(), ""
        while not done():
            for gateway in self._gateways:
                gateway.check()
            self._facts.update(POLL_S)
            self._pipeline.look(self._view, phase or PHASES[self._facts.reached().waiting_for], self._facts)
            if self._view.moved != before:
                since_s, before = time.monotonic(), self._view.moved
            elif time.monotonic() - since_s > STALL_S:
                raise UnavailableError(
                    f"nothing has moved for {STALL_S:.0f} s",
                    hint=f"Look at the logs in {settings().home / 'logs'}.",
                )


class _Gateway:
    """One of the tests' gateways as a process; ``said`` is its first line."""

    def __init__(self, vendor: str, home: Path, arguments: Sequence[str]) -> None:
        self.vendor = vendor
        self.producer = f"producer-{vendor}"
        self._ledger = home / "run" / f"gateway-{vendor}.jsonl"
        self._ledger.parent.mkdir(parents=True, exist_ok=True)
        self._ledger.unlink(missing_ok=True)
        self._place, self._sent = 0, 0
        self._events: set[str] = set()
        self._log = home / "logs" / f"gateway-{vendor}.log"
        command = [sys.executable, "-m", GATEWAYS[vendor], *arguments, "--ledger", str(self._ledger)]
        with self._log.open("wb") as errors:
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
            raise self._ended()
        self.said: dict[str, str] = json.loads(line)

    def begin(self) -> None:
        """Let a market that is held begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def check(self) -> None:
        """Raise UnavailableError when it has ended."""
        if self._process.poll() is not None:
            raise self._ended()

    def is_connected(self) -> bool:
        """The producer has subscribed."""
        self._read()
        return "start" in self._events

    def has_ended(self) -> bool:
        """Everything that there is to send was sent."""
        self._read()
        return "end" in self._events

    @property
    def sent(self) -> int:
        """Records or messages that its ledger says it sent, besides the option chain and what it sent again."""
        self._read()
        return self._sent

    def _read(self) -> None:
        """Take in what the ledger says since the last time."""
        if not self._ledger.exists():
            return
        with self._ledger.open("rb") as file:
            file.seek(self._place)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                self._place += len(raw)
                line = json.loads(raw)
                self._events.add(line.get("event", ""))
                if "sent" in line:
                    self._sent += int(line["records"])
                elif line.get("fate") == "sent" and line["channel"] != "chain":
                    self._sent += int(line["copies"])

    def _ended(self) -> UnavailableError:
        return UnavailableError(f"{self.vendor}'s gateway has ended", hint=f"Look at {self._log}.")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=5)
        self._process.kill()
        self._process.wait()
