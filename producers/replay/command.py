"""``breakwater replay``: what is asked, checked before anything is read."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.console import Console
from rich.text import Text

from common import topics
from common.cli.logs import log_beside
from common.cli.options import HomeOption
from common.errors import ConfigError
from common.settings import settings
from producers.pacing import parse_speed
from producers.replay.diff import COLUMNS, compare
from producers.replay.engine import Judged, table_of
from producers.replay.follow import Markers
from producers.replay.namespace import check_namespace, namespace_output
from producers.replay.outputs import KINDS, Lines, Output, file_outputs, paths_of
from producers.replay.overrides import config_with
from producers.replay.places import signals_of, stored_inputs, stored_markers
from producers.replay.progress import shown_progress
from producers.replay.ranges import Range, parse_places, parse_range
from producers.replay.run import run
from producers.replay.sources import from_files, with_records_inside
from producers.replay.stored import empty_signals
from producers.replay.summary import Summary

INPUT, PART, OUTPUT, WHAT_IF = "Input (default: the topics)", "Which part", "Output", "What if"

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

FilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--file",
        "-f",
        "--dbn",
        help="DBN file or Massive capture instead of the topics; repeatable.",
        rich_help_panel=INPUT,
    ),
]
IcebergOption = Annotated[
    bool,
    typer.Option(
        "--iceberg",
        help="Read the tables alone. Otherwise the topics are read, and the tables for what retention has cut.",
        rich_help_panel=INPUT,
    ),
]
ComplexOption = Annotated[
    str, typer.Option("--complex", help="Complex to read; it is one partition of each topic.", rich_help_panel=INPUT)
]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", help="Where the topics are.", show_default="the settings'", rich_help_panel=INPUT),
]
BeginOption = Annotated[
    str | None,
    typer.Option("--from", help="First time, e.g. 2023-12-25T23:30 (UTC), or ns.", rich_help_panel=PART),
]
EndOption = Annotated[str | None, typer.Option("--to", help="Time before which it ends.", rich_help_panel=PART)]
BeginPlacesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--from-offsets",
        metavar="TOPIC:PARTITION:OFFSET",
        help="Begin at the time of this record; of several the earliest. Repeatable, or separated by commas.",
        rich_help_panel=PART,
    ),
]
EndPlacesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--until-offsets",
        metavar="TOPIC:PARTITION:OFFSET",
        help="End before the time of this record; of several the earliest.",
        rich_help_panel=PART,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Write a file: .parquet, .arrow, .csv or .jsonl.", rich_help_panel=OUTPUT),
]
WhatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--what",
        help=f"What to write or show: {', '.join(KINDS)}; repeatable (a file each).",
        show_default="signals",
        rich_help_panel=OUTPUT,
    ),
]
ToNamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--to-namespace",
        metavar="replay.NAME",
        help="Publish all rows to topics of that namespace; repeated after an interruption it goes on.",
        rich_help_panel=OUTPUT,
    ),
]
ShowOption = Annotated[bool, typer.Option("--show", help="Print a line for every row.", rich_help_panel=OUTPUT)]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the summary as one JSON object.", rich_help_panel=OUTPUT)
]
AsLiveOption = Annotated[
    bool,
    typer.Option(
        "--as-live",
        help="Apply the records as the live run did, following its markers, also where a source came late.",
        rich_help_panel=WHAT_IF,
    ),
]
SpeedOption = Annotated[
    str, typer.Option(help="max, or a multiple of real time at which snaps come.", rich_help_panel=OUTPUT)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another value of a configuration key; repeatable.", rich_help_panel=WHAT_IF
    ),
]
DiffOption = Annotated[
    str | None,
    typer.Option(
        "--diff",
        metavar="RUN",
        help="Show which signals change against a Parquet file, live, or a namespace.",
        rich_help_panel=WHAT_IF,
    ),
]


@app.command()
def replay(
    file: FilesOption = None,
    iceberg: IcebergOption = False,
    complex_name: ComplexOption = "SPY",
    namespace: NamespaceOption = None,
    begin: BeginOption = None,
    end: EndOption = None,
    from_offsets: BeginPlacesOption = None,
    until_offsets: EndPlacesOption = None,
    out: OutOption = None,
    what: WhatOption = None,
    to_namespace: ToNamespaceOption = None,
    show: ShowOption = False,
    as_json: JsonOption = False,
    speed: SpeedOption = "max",
    changes: SetOption = None,
    as_live: AsLiveOption = False,
    diff: DiffOption = None,
    home: HomeOption = None,
) -> None:
    """Compute signals again from what is stored: the same functions as live, the same bytes.

    Live topics are never written. Of a range only its own rows are shown; what comes before, from the open of the
    session before on, is applied silently.

    [dim]breakwater replay --from 2023-12-25T23:30 --to 2023-12-26T00:30 --set W_t=10 --diff live[/dim]
    """
    log_beside("replay")
    kinds = _kinds(what)
    if show and as_json:
        raise ConfigError("--show and --json both print", hint="Give one of them; --out takes rows besides --json.")
    if what and not (show or out):
        raise ConfigError("--what says which rows to write or show", hint="Add --out FILE or --show.")
    paths = {} if out is None else paths_of(out, kinds)
    config, changed = config_with(changes or [])
    multiple = parse_speed(speed)
    partition = topics.partition_of(complex_name)
    source_namespace = settings().namespace if namespace is None else namespace
    if to_namespace is not None:
        check_namespace(to_namespace, source_namespace)
    asked = _asked(begin, end, from_offsets, until_offsets)
    ends = [parse_places(texts or [], source_namespace, partition) for texts in (from_offsets, until_offsets)]
    markers: Markers | None = None
    with ExitStack() as stack:
        if file:
            if from_offsets or until_offsets or iceberg or as_live:
                raise ConfigError(
                    "a file has no offsets, no markers and is no table", hint="Give its part as --from and --to."
                )
            source = with_records_inside(from_files(file, asked, config))
        else:
            stored = stack.enter_context(stored_inputs(source_namespace, partition, iceberg=iceberg))
            shown = asked.within(stored.range_of(*ends))
            stored.check_inside(shown)
            source = stored.source(shown, whole=as_live)
            if as_live:
                markers = stored_markers(source_namespace, partition, iceberg=iceberg)
        summary = Summary(config, changed, source.places)
        outputs: list[Output] = []
        compared = _Kept()
        if diff is not None:
            before = signals_of(diff, source_namespace, partition, source.shown, iceberg=iceberg)
            outputs.append(compared)
        if to_namespace is not None:
            outputs.append(stack.enter_context(namespace_output(to_namespace, complex_name, config)))
        if show:
            outputs.append(Lines(kinds, sys.stdout))
        outputs.extend(file_outputs(paths))
        console = Console(stderr=True)
        try:
            with shown_progress(console, source) as told:
                run(source, config, outputs, summary, markers=markers, speed=multiple, progress=told)
        except KeyboardInterrupt:
            kept = f" {to_namespace} keeps what it has: the same command goes on there." if to_namespace else ""
            written = " No file was written." if paths else ""
            console.print(f"[yellow]Stopped.{written}{kept}[/yellow]", highlight=False, soft_wrap=True)
            raise typer.Exit(130) from None
        if diff is not None:
            summary.diff = compare(before, compared.table(), (diff, "this replay"))
    if not summary.events[topics.FUTURES_MBP10]:
        console.print("[yellow]There are no mbp-10 records: without a book no level can be judged.[/yellow]")
    for kind, path in paths.items():
        console.print(Text(f"{kind} written to {path}"), soft_wrap=True)
    if as_json:
        sys.stdout.write(summary.as_json() + "\n")
    else:
        summary.show(Console())


@dataclass
class _Kept:
    """Of every signal what a comparison needs."""

    tables: list[pa.Table] = field(default_factory=list)

    def write(self, judged: Judged) -> None:
        if judged.signals.length:
            self.tables.append(table_of(judged.signals).select(list(COLUMNS)))

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        self.tables.clear()

    def table(self) -> pa.Table:
        return pa.concat_tables(self.tables) if self.tables else empty_signals(COLUMNS)


def _kinds(what: list[str] | None) -> list[str]:
    kinds = list(dict.fromkeys(what or ["signals"]))
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"--what {kind} is unknown", hint=f"There are: {', '.join(KINDS)}")
    return kinds


def _asked(begin: str | None, end: str | None, from_offsets: Any, until_offsets: Any) -> Range:
    if (begin and from_offsets) or (end and until_offsets):
        raise ConfigError("a range is given by times or by offsets, not by both", hint="Leave one of them out.")
    return parse_range(begin, end)
