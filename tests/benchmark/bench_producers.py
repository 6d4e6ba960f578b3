"""``breakwater bench producers``: DBN file to Kafka against the client alone, and what a live producer adds."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Annotated, Any
from urllib.request import urlopen

import typer
from rich.console import Console
from rich.table import Table

from common import kafka, topics
from common.avro import Codec
from common.config import EngineConfig
from common.endpoints import Endpoints
from common.errors import UnavailableError
from common.registry import Registry
from common.schemas import load
from common.settings import PROJECT_ROOT, child_environment
from common.telemetry import configure_logging
from producers.publish import Job, Log, publish_files
from producers.sender import PRODUCER_OVERRIDES
from producers.stream import stamped_batches
from tests.benchmark.session import Session, repeated
from tests.support.databento_gateway import TEST_KEY
from tests.support.stack import environment, session_stack

LIVE_PER_S = 5_000
SNAPS_PER_S = 4
BATCH_RECORDS = 16_384
LIMIT_S = 60.0
METRIC = "breakwater_live_added_latency_seconds"
BUCKET = re.compile(METRIC + r'_bucket\{le="([^"]+)"\} ([0-9.e+]+)')


def ready_made(path: Path, schema_id: int) -> list[bytes]:
    """The file's records as the log gets them."""
    codec = Codec(load(topics.FUTURES_MBP10))
    steps = stamped_batches([path], EngineConfig())
    return [value for step in steps for batch in step.batches for value in codec.encode(batch, schema_id).messages()]


def send_alone(values: Sequence[bytes], topic: str) -> None:
    """The client's own limit: ready-made bytes to one partition, acknowledged."""
    producer = kafka.producer(**PRODUCER_OVERRIDES)
    for start in range(0, len(values), BATCH_RECORDS):
        messages = [{"value": value, "key": b"SPY"} for value in values[start : start + BATCH_RECORDS]]
        while messages:
            messages = messages[producer.produce_batch(topic, messages, partition=0) :]
            producer.poll(0 if not messages else 0.1)
    if producer.flush(LIMIT_S):
        raise UnavailableError(f"the broker did not take {len(values)} records within {LIMIT_S:.0f} s")


def publish(path: Path, namespace: str, registry: Registry, ids: dict[str, int]) -> None:
    """The file through the publisher, from its first byte to the last acknowledgement."""
    with closing(kafka.consumer(enable_partition_eof=True)) as consumer:
        log = Log(kafka.producer(**PRODUCER_OVERRIDES), consumer, registry, ids)
        publish_files(Job((path,), "SPY", 0, namespace, uuid.uuid4().hex), EngineConfig(), log, Event())


def _rates(records: int, work: Any) -> tuple[float, float]:
    """Records per second of CPU time of all this process's threads, and of wall clock."""
    cpu_s, wall_s = time.process_time(), time.monotonic()
    work()
    return records / (time.process_time() - cpu_s), records / (time.monotonic() - wall_s)


def files(session: Session, rounds: int, endpoints: Endpoints) -> dict[str, Any]:
    """Both sides in turns, each round into topics of its own; medians."""
    path, records = session.paths[0], session.records[0]
    rates: dict[str, list[tuple[float, float]]] = {"produce_batch": [], "file_to_kafka": []}
    with Registry(endpoints.registry_url) as registry:
        for number in range(rounds + 1):
            namespace = f"bench.{uuid.uuid4().hex[:8]}"
            kafka.ensure_topics(topics.specs(namespace))
            ids = registry.ensure_all(namespace)
            if number == 0:
                values = ready_made(path, ids[topics.FUTURES_MBP10])
            alone = topics.full_name("alone", namespace)
            kafka.ensure_topics([topics.TopicSpec(alone, 1)])
            limit = _rates(records, partial(send_alone, values, alone))
            ours = _rates(records, partial(publish, path, namespace, registry, ids))
            # The first round compiles, and fills the caches of both sides.
            if number:
                rates["produce_batch"].append(limit)
                rates["file_to_kafka"].append(ours)
    out: dict[str, Any] = {"records": records, "rounds": rounds, "source": session.source}
    out["bytes_per_record"] = round(sum(map(len, values)) / len(values), 1)
    for name, found in rates.items():
        out[f"{name}_records_per_cpu_s"] = round(statistics.median(cpu for cpu, _ in found))
        out[f"{name}_records_per_s"] = round(statistics.median(wall for _, wall in found))
    pairs = list(zip(rates["file_to_kafka"], rates["produce_batch"], strict=True))
    out["cpu_ratio"] = round(statistics.median(ours[0] / limit[0] for ours, limit in pairs), 2)
    out["wall_ratio"] = round(statistics.median(ours[1] / limit[1] for ours, limit in pairs), 2)
    return out


@contextmanager
def _child(*arguments: str, **changes: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=PROJECT_ROOT,
        env=child_environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def live(session: Session, seconds: float, home: Path) -> dict[str, Any]:
    """The live producer behind the test gateway for so long: socket to acknowledgement, per frame by its oldest."""
    gateway_arguments = ["--speed", "1", "--heartbeat", "1"]
    for path in session.paths:
        gateway_arguments += ["--file", str(path)]
    with _child("tests.support.databento_gateway", *gateway_arguments) as gateway:
        assert gateway.stdout is not None
        port = json.loads(gateway.stdout.readline())["port"]
        changes = {
            "BREAKWATER_DATABENTO_KEY": TEST_KEY,
            "BREAKWATER_DATABENTO_GATEWAY": f"127.0.0.1:{port}",
            "BREAKWATER_HOME": str(home),
        }
        namespace = f"bench.{uuid.uuid4().hex[:8]}"
        with _child("producers", "live", "databento", "--namespace", namespace, **changes):
            page = _page(home)
            # What was published before the connection stood comes at once, in a replay.
            _until(page, lambda now: _count(now) > 0)
            time.sleep(seconds / 4)
            before = page()
            time.sleep(seconds)
            return _histogram(before, page(), seconds)


def _page(home: Path) -> Any:
    path = home / "run" / "producer-databento.json"
    deadline_s = time.monotonic() + LIMIT_S
    while not path.is_file():
        if time.monotonic() > deadline_s:
            raise UnavailableError(f"the live producer did not start within {LIMIT_S:.0f} s")
        time.sleep(0.1)
    url = json.loads(path.read_text(encoding="utf-8"))["health_url"]

    def page() -> str:
        with urlopen(f"{url}/metrics", timeout=LIMIT_S) as answer:
            return str(answer.read().decode())

    return page


def _until(page: Any, done: Any) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not done(page()):
        if time.monotonic() > deadline_s:
            raise UnavailableError(f"the live producer stored nothing within {LIMIT_S:.0f} s")
        time.sleep(0.2)


def _buckets(page: str) -> dict[float, float]:
    return {float(bound): float(count) for bound, count in BUCKET.findall(page)}


def _count(page: str) -> float:
    return _buckets(page).get(float("inf"), 0.0)


def _stored(page: str) -> float:
    return sum(float(count) for count in re.findall(r"breakwater_live_stored_total\{[^}]*\} ([0-9.e+]+)", page))


def _histogram(before: str, after: str, seconds: float) -> dict[str, Any]:
    old, new = _buckets(before), _buckets(after)
    upto = {bound: new[bound] - old.get(bound, 0.0) for bound in sorted(new)}
    frames = upto[float("inf")]
    below = 0.0
    bars = {}
    for bound, count in upto.items():
        bars[str(bound)] = int(count - below)
        below = count
    return {
        "events_per_s": round((_stored(after) - _stored(before)) / seconds),
        "frames": int(frames),
        "median_ms_at_most": _quantile(upto, frames, 0.5),
        "p99_ms_at_most": _quantile(upto, frames, 0.99),
        "frames_up_to_s": bars,
    }


def _quantile(upto: dict[float, float], frames: float, share: float) -> float:
    """Upper bound of the histogram's bar that holds the quantile, ms."""
    return next(bound for bound, count in upto.items() if count >= share * frames) * 1000


def _show(result: dict[str, Any]) -> None:
    file, added = result["file"], result.get("live")
    console = Console()
    table = Table("", title=f"MBP-10, {file['bytes_per_record']} bytes a record, {file['source']}")
    for heading in ("produce_batch alone", "DBN file to Kafka", "ratio"):
        table.add_column(heading, justify="right")
    for name, unit, ratio in (("one core", "cpu_s", "cpu_ratio"), ("wall clock", "s", "wall_ratio")):
        sides = (f"{file[f'{side}_records_per_{unit}']:,}/s" for side in ("produce_batch", "file_to_kafka"))
        table.add_row(name, *sides, f"{file[ratio]:.2f}")
    console.print(table)
    if added is None:
        return
    console.print(
        f"Live: {added['events_per_s']:,} events a second; from the socket to the acknowledgement, median at most"
        f" {added['median_ms_at_most']:g} ms, 99 % at most {added['p99_ms_at_most']:g} ms.",
        highlight=False,
    )
    most = max(added["frames_up_to_s"].values())
    for bound, count in added["frames_up_to_s"].items():
        if count:
            console.print(f"{float(bound) * 1000:>9g} ms {'#' * max(1, round(40 * count / most))} {count}", style="dim")


def main(
    records: Annotated[int, typer.Option(min=1, help="Records of the file, at least.")] = 400_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each measures both sides once.")] = 5,
    seconds: Annotated[float, typer.Option(min=0, help="How long the live path is watched; 0 leaves it out.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure the way of a DBN file into Kafka against the client alone, and the latency that a live producer adds."""
    configure_logging("bench")
    with (
        tempfile.TemporaryDirectory() as folder,
        environment(BREAKWATER_HOME=folder),
        Console(stderr=True).status("Measuring"),
        session_stack(Path(folder) / "stack") as endpoints,
    ):
        place = Path(folder)
        result: dict[str, Any] = {"file": files(repeated(place, records), rounds, endpoints)}
        if seconds:
            events = int(LIVE_PER_S * (seconds * 2 + 20))
            result["live"] = live(repeated(place, events, LIVE_PER_S // SNAPS_PER_S), seconds, place)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _show(result)


if __name__ == "__main__":
    typer.run(main)
