"""``breakwater verify``: a live run computed again from its records and markers, against what it published."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from common import topics
from common.cli.options import HomeOption
from common.config import EngineConfig
from common.errors import ConfigError
from common.recorded import LakeReader, LogReader
from common.settings import settings
from common.times import shown_time
from producers.replay.compare import Comparison, Difference
from producers.replay.follow import Evidence, Markers, evidence_of, follow
from producers.replay.overrides import config_with
from producers.replay.places import LIVE, open_log, stored_markers
from producers.replay.progress import Told, shown_progress
from producers.replay.ranges import ALL
from producers.replay.sources import Source, Stored
from producers.replay.stored import output_rows

COMPARED = (topics.FEATURES, topics.SIGNALS, topics.OUTCOMES, topics.OPTIONS_FLOW)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. ``places``: first and next offset by full topic name, as the last marker has them."""

    run_name: str
    events: Counter[str]
    comparisons: tuple[Comparison, ...]
    markers: int
    places: dict[str, tuple[int, int]]
    difference: Difference | None
    evidence: Evidence | None

    @property
    def signals(self) -> Comparison:
        """The comparison of levels.signals.v1."""
        return next(one for one in self.comparisons if one.topic == topics.SIGNALS)

    def as_json(self) -> str:
        """One JSON object on one line."""
        data: dict[str, Any] = {
            "run": self.run_name,
            "equal": self.difference is None,
            "published_digest": self.signals.published_digest.hexdigest(),
            "computed_digest": self.signals.computed_digest.hexdigest(),
            "rows": {one.topic: one.rows for one in self.comparisons},
            "behind": {one.topic: one.behind for one in self.comparisons if one.behind},
            "snaps": self.signals.snaps,
            "events": dict(sorted(self.events.items())),
            "markers": self.markers,
            "offsets": {name: list(place) for name, place in sorted(self.places.items())},
        }
        if self.difference is not None:
            data["difference"] = {
                "topic": self.difference.topic,
                "ts_event_ns": self.difference.ts_event_ns,
                "level_id": self.difference.level_id,
                "column": self.difference.column,
                "published": self.difference.published,
                "computed": self.difference.computed,
                "evidence": _ranges(self.evidence),
            }
        return json.dumps(data)

    def show(self, console: Console) -> None:
        """Print it for a person."""
        table = Table(title=f"Verification of {self.run_name}", title_justify="left", show_header=False)
        for one in self.comparisons:
            behind = f", {one.behind:,} more not published yet" if one.behind else ""
            table.add_row(one.topic, f"{one.rows:,} rows equal{behind}")
        table.add_row("snaps", f"{self.signals.snaps:,}, in {self.markers:,} steps")
        for name, (begin, end) in sorted(self.places.items()):
            table.add_row(f"  {name}", f"offsets {begin:,} to {end:,}")
        console.print(table)
        for name, digest in (("published", self.signals.published_digest), ("computed", self.signals.computed_digest)):
            console.print(f"{name:<9} signals digest {digest.hexdigest()}", soft_wrap=True, highlight=False)
        if self.difference is None:
            console.print("[green]Equal: what was published follows from what was recorded.[/green]")
            return
        first = self.difference
        level = f", level {first.level_id}" if first.level_id else ""
        at = f"{shown_time(first.ts_event_ns)} UTC ({first.ts_event_ns})"
        console.print(f"[red]{first.topic} differs first at snap {at}{level}[/red]", soft_wrap=True, highlight=False)
        if first.column is None:
            side, other = ("published", "computed") if first.computed is None else ("computed", "published")
            console.print(f"  the row was {side}, but not {other}")
        else:
            console.print(
                f"  {first.column}: published {first.published!r}, computed {first.computed!r}", highlight=False
            )
        console.print("  made from:")
        for text in _ranges(self.evidence):
            console.print(f"    {text}", highlight=False)


def _ranges(evidence: Evidence | None) -> list[str]:
    """``topic:partition:from-until`` (until not included) of the records that the step took."""
    if evidence is None:
        return []
    return [
        f"{name}:{evidence.partition}:{begin}-{end}" for name, (begin, end) in evidence.taken.items() if end > begin
    ]


def verify_run(
    run_name: str,
    log: LogReader | None,
    lake: LakeReader,
    markers: Markers,
    config: EngineConfig,
    source: Source,
    told: Told = lambda _records, _until_ns: None,
) -> Verdict:
    """Follow the markers over the source and compare everything that was published up to the last of them.

    With the tables alone (``log`` None) an output may lag: each table is committed in its own time. Raises
    InvariantError when records and markers disagree.
    """
    comparisons = tuple(
        Comparison(topic, output_rows(topic, log, lake, ALL), may_lag=log is None or topic == topics.SIGNALS)
        for topic in COMPARED
    )
    events: Counter[str] = Counter()
    difference: Difference | None = None
    for judged in follow(source.stream, source.ends, markers, lake.namespace, config):
        events.update(judged.events)
        told(events.total(), judged.until_ns)
        for comparison in comparisons:
            found = comparison.take(judged.rows[comparison.topic])
            difference = difference or found
        if difference is not None:
            break
    else:
        last_ns = markers[-1][1]["ts_event_ns"]
        found_rest = (comparison.rest(last_ns) for comparison in comparisons)
        difference = next((found for found in found_rest if found is not None), None)
    last = markers[-1][1]
    ends = dict(zip(last["input_topics"], last["input_next_offsets"], strict=True))
    evidence = None if difference is None else evidence_of(markers, difference.ts_event_ns, lake.partition)
    places = {name: (0, end) for name, end in ends.items() if end}
    return Verdict(run_name, events, comparisons, len(markers), places, difference, evidence)


def check_config(markers: Markers, config: EngineConfig) -> None:
    """Raise ConfigError unless the run was made with this configuration."""
    found = markers[-1][1]["config_hash"]
    if found != config.hash:
        raise ConfigError(
            f"the run was made with configuration {found}, this is {config.hash}",
            hint="Set the same keys as the run had (BREAKWATER_ENGINE_..., breakwater.toml, or --set KEY=VALUE).",
        )


app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command()
def verify(
    run_name: Annotated[str, typer.Argument(metavar="[RUN]", help="live, or the namespace of a run.")] = LIVE,
    iceberg: Annotated[
        bool,
        typer.Option(
            "--iceberg", help="From the tables alone; otherwise topics, and tables for what retention has cut."
        ),
    ] = False,
    complex_name: Annotated[str, typer.Option("--complex", help="Complex to verify.")] = "SPY",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A configuration key as the run had it; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Compute a live run again from its records and markers and compare every row that it published.

    Exit code 0: equal. 1: the first difference is shown, with the records behind it.
    """
    config, _ = config_with(changes or [])
    namespace = settings().namespace if run_name == LIVE else run_name
    partition = topics.partition_of(complex_name)
    console = Console(stderr=True)
    with ExitStack() as stack:
        lake = LakeReader(namespace, partition, strict=iceberg)
        log = None if iceberg else stack.enter_context(open_log(namespace, partition))
        markers = stored_markers(namespace, partition, iceberg=iceberg)
        check_config(markers, config)
        source = Stored(log, lake).source(ALL, whole=True)
        told = stack.enter_context(shown_progress(console, source))
        verdict = verify_run(run_name, log, lake, markers, config, source, told)
    if as_json:
        sys.stdout.write(verdict.as_json() + "\n")
    else:
        verdict.show(Console())
    if verdict.difference is not None:
        raise typer.Exit(1)
