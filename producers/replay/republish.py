"""A stored range of inputs back into topics: the same records, ids and stamps, in a namespace of its own.

What a vendor sent is then there to be consumed again at any speed, by the services or by anybody's own. A repeated
command goes on where it stopped, and adds nothing when all is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from common import endpoints, kafka, topics
from common.cli.logs import log_beside
from common.cli.options import HomeOption
from common.columns import Batch, concat
from common.config import load_config
from common.errors import InputError
from common.recorded import END_NS, Recorded
from common.registry import Registry
from common.settings import settings
from common.telemetry import stop_requested
from producers.letters.aside import SetAside
from producers.pacing import parse_speed
from producers.progress import shown_records
from producers.publish import Input, Job, Log, Outcome, Progress, publish_input
from producers.replay.engine import INPUTS
from producers.replay.namespace import check_namespace
from producers.replay.places import stored_inputs
from producers.replay.ranges import Range, parse_places, parse_range
from producers.replay.sources import Source, Stored
from producers.resume import utc
from producers.sender import PRODUCER_OVERRIDES
from producers.sequencer import StampedStep, Times

SOURCE = "replay"
"""Who promises in the heartbeats."""

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command()
def republish(
    to_namespace: Annotated[str, typer.Option("--to-namespace", metavar="replay.NAME", help="Where the records go.")],
    begin: Annotated[str | None, typer.Option("--from", help="First time, e.g. 2023-12-25T23:30 (UTC), or ns.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Time before which it ends.")] = None,
    from_offsets: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC:PARTITION:OFFSET", help="Begin at the time of this record; repeatable."),
    ] = None,
    until_offsets: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC:PARTITION:OFFSET", help="End before the time of this record; repeatable."),
    ] = None,
    speed: Annotated[str, typer.Option(help="max, or a multiple of real time, e.g. 1 or 60.")] = "max",
    iceberg: Annotated[bool, typer.Option("--iceberg", help="Read the tables alone.")] = False,
    complex_name: Annotated[str, typer.Option("--complex", help="Complex to read.")] = "SPY",
    namespace: Annotated[str | None, typer.Option(help="Where the topics are.", show_default="the settings'")] = None,
    home: HomeOption = None,
) -> None:
    """Publish stored inputs again, into a namespace of their own, at any speed.

    Read from the topics, and from the tables what retention has cut. Records keep ids, times and content. Services
    started with BREAKWATER_NAMESPACE=replay.NAME then live through the range once more.

    [dim]breakwater republish --to-namespace replay.noon --from 2025-06-03T13:32 --to 2025-06-03T13:34 --speed 10[/dim]
    """
    log_beside("republish")
    source_namespace = settings().namespace if namespace is None else namespace
    check_namespace(to_namespace, source_namespace)
    partition, pace = topics.partition_of(complex_name), parse_speed(speed)
    asked = parse_range(begin, end)
    ends = [parse_places(texts or [], source_namespace, partition) for texts in (from_offsets, until_offsets)]
    with stored_inputs(source_namespace, partition, iceberg=iceberg) as stored:
        shown = asked.within(stored.range_of(*ends))
        stored.check_inside(shown)
        with shown_records(Console(stderr=True)) as told:
            outcome = _published(stored, shown, to_namespace, complex_name, pace, told)
    what = " and ".join(f"{count:,} {topic}" for topic, count in sorted(outcome.records.items()) if count)
    added = f"{sum(outcome.added.values()):,} added in {outcome.elapsed_s:.1f} s"
    rest = "" if outcome.complete else "; stopped: the same command goes on"
    Console().print(f"{to_namespace} holds {what or 'nothing'}; {added}{rest}", soft_wrap=True, highlight=False)


def _published(
    stored: Stored, shown: Range, to_namespace: str, complex_name: str, speed: float | None, told: Progress
) -> Outcome:
    config = load_config()
    partition = topics.partition_of(complex_name)
    with Registry(endpoints.resolve().registry_url) as registry:
        kafka.ensure_topics(topics.specs(to_namespace))
        consumer = kafka.consumer(enable_partition_eof=True)
        try:
            clients = Log(kafka.producer(**PRODUCER_OVERRIDES), consumer, registry, registry.ensure_all(to_namespace))
            given = input_of(stored, shown, config.snap_interval_ns)
            job = Job((), complex_name, partition, to_namespace, f"{SOURCE}-{given.identity[:12]}", speed)
            return publish_input(given, job, config, clients, stop_requested(), told)
        finally:
            consumer.close()


def input_of(stored: Stored, shown: Range, snap_interval_ns: int) -> Input:
    """The range's records as an input to publish. Raises InputError when nothing is stored, or not all of the range."""
    first = stored.source(shown)
    words = [first.namespace, str(shown.from_ns), str(shown.until_ns)]
    words += [f"{topic}:{offset}" for topic, offset in sorted(first.ends.items())]
    held = tuple(topic for topic in INPUTS if first.ends.get(topic))

    def steps(floor_ns: int, _set_aside: SetAside) -> Iterator[StampedStep]:
        return stamped_steps(stored.source(shown), floor_ns, snap_interval_ns)

    return Input(hashlib.sha256("\n".join(words).encode()).hexdigest(), SOURCE, held, steps)


def stamped_steps(source: Source, floor_ns: int, snap_interval_ns: int) -> Iterator[StampedStep]:
    """The records of the range, all topics in step with one another.

    Raises InputError when the namespace was promised to be complete beyond the range's beginning: stamps never change.
    """
    waiting: dict[str, list[Batch]] = {}
    last_ns = 0
    for recorded in source.stream:
        if (batch := _within(recorded, source.shown)).length:
            first_ns = int(batch["ts_effective_ns"][0])
            if first_ns < floor_ns:
                raise InputError(
                    f"the namespace is promised to be complete up to {utc(floor_ns)}, and the range begins earlier, at"
                    f" {utc(first_ns)}",
                    hint="Choose another name for --to-namespace.",
                )
            waiting.setdefault(recorded.topic, []).append(batch)
            last_ns = max(last_ns, int(batch["ts_effective_ns"][-1]))
        if recorded.watermark_ns != END_NS and (ready := _taken(waiting, recorded.watermark_ns)):
            yield StampedStep(ready, recorded.watermark_ns)
    if last_ns:
        yield StampedStep(_taken(waiting, END_NS), Times({}, snap_interval_ns).end_ns(last_ns))


def _within(recorded: Recorded, shown: Range) -> Batch:
    """Without what only warms a state up."""
    times = recorded.batch["ts_effective_ns"]
    begin, end = (int(np.searchsorted(times, bound_ns)) for bound_ns in shown)
    return recorded.batch.slice(begin, end)


def _taken(waiting: dict[str, list[Batch]], watermark_ns: int) -> tuple[Batch, ...]:
    """What lies before the watermark, taken out of what waits; topics in the inputs' order."""
    out: list[Batch] = []
    for topic in INPUTS:
        parts = waiting.pop(topic, [])
        if not parts:
            continue
        batch = concat(parts)
        count = int(np.searchsorted(batch["ts_effective_ns"], watermark_ns))
        if count:
            out.append(batch.slice(0, count))
        if count < batch.length:
            waiting[topic] = [batch.slice(count, batch.length)]
    return tuple(out)
