"""Replay of stored input through the engine alone, without a broker: the same functions as live, the same bytes."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from common import schemas, topics
from common.columns import Batch, to_arrow
from common.config import EngineConfig, load_config
from common.digest import SignalsDigest
from common.sessions import cme_es_sessions
from processors.engine import features, signals
from processors.engine.order import Merger
from producers.stream import StampedStep, stamped_batches

_SIGNALS = schemas.load(topics.SIGNALS)
_INPUTS = (topics.FUTURES_MBP10, topics.FUTURES_TRADES)


@dataclass
class Summary:
    """What a replay did."""

    events: Counter[str] = field(default_factory=Counter)
    features: int = 0
    signals: int = 0
    per_kind: Counter[str] = field(default_factory=Counter)
    signals_digest: str = ""
    config_hash: str = ""
    elapsed_s: float = 0.0

    def as_json(self) -> str:
        """One JSON object; ``signals`` holds the count and the count per kind."""
        return json.dumps(
            {
                "events": dict(sorted(self.events.items())),
                "features": self.features,
                "signals": {"count": self.signals, **dict(sorted(self.per_kind.items()))},
                "signals_digest": self.signals_digest,
                "config_hash": self.config_hash,
                "elapsed_s": round(self.elapsed_s, 3),
            }
        )


def replay(steps: Iterator[StampedStep], config: EngineConfig) -> Iterator[tuple[StampedStep, Batch, Batch]]:
    """Feature and signal rows of each step. Each topic's records enter the merge with consecutive offsets, as in a
    fresh log.
    """
    merger = Merger(_INPUTS)
    offsets = dict.fromkeys(_INPUTS, 0)
    feature_state = features.initial_state(config, cme_es_sessions())
    signal_state = signals.initial_state()
    for step in steps:
        for batch in step.batches:
            first = offsets[batch.name]
            offsets[batch.name] = first + batch.length
            merger.push(batch.name, batch, np.arange(first, first + batch.length, dtype=np.int64))
        for topic, offset in offsets.items():
            merger.promise(topic, offset, step.watermark_ns)
        events = merger.pop()
        rows = features.step(feature_state, events, events.until_ns)
        yield step, rows, signals.step(config, signal_state, rows)


def signal_tables(paths: Sequence[Path], config: EngineConfig) -> Iterator[pa.Table]:
    """The signals of DBN files as Arrow, step by step, in the order of the digest."""
    for _, _, judged in replay(stamped_batches(paths, config), config):
        yield _table(judged)


def _table(judged: Batch) -> pa.Table:
    return pa.Table.from_batches([to_arrow(judged, _SIGNALS.arrow, _SIGNALS.symbols)])


def _count(summary: Summary, step: StampedStep, rows: Batch, judged: Batch) -> None:
    for batch in step.batches:
        summary.events[batch.name] += batch.length
    summary.features += rows.length
    summary.signals += judged.length
    counts = np.bincount(judged["signal"], minlength=len(_SIGNALS.field("signal").symbols))
    for kind, count in zip(_SIGNALS.field("signal").symbols, counts.tolist(), strict=True):
        summary.per_kind[kind] += count


def replay_dbn(paths: Sequence[Path], config: EngineConfig, out: Path | None, progress: Progress) -> Summary:
    """Replay DBN files; writes the signals as Parquet to ``out`` when given. Raises InputError as
    :func:`stamped_batches`.
    """
    summary = Summary(events=Counter(dict.fromkeys(_INPUTS, 0)), config_hash=config.hash)
    digest = SignalsDigest()
    started = time.monotonic()
    task = progress.add_task("replaying", total=None)
    writer = pq.ParquetWriter(out, _SIGNALS.arrow, compression="zstd") if out else None
    try:
        for step, rows, judged in replay(stamped_batches(paths, config), config):
            table = _table(judged)
            digest.update(table)
            if writer:
                writer.write_table(table)
            _count(summary, step, rows, judged)
            progress.update(task, description=f"{summary.events.total():,} events, {summary.signals:,} signals")
    finally:
        if writer:
            writer.close()
    summary.signals_digest = digest.hexdigest()
    summary.elapsed_s = time.monotonic() - started
    return summary


def _show(summary: Summary, console: Console) -> None:
    table = Table(title="Replay", show_header=False)
    for topic, count in sorted(summary.events.items()):
        table.add_row(topic, f"{count:,}")
    table.add_row("feature rows", f"{summary.features:,}")
    table.add_row("signal rows", f"{summary.signals:,}")
    for kind, count in sorted(summary.per_kind.items()):
        table.add_row(f"  {kind}", f"{count:,}")
    table.add_row("configuration", summary.config_hash)
    table.add_row("elapsed", f"{summary.elapsed_s:.2f} s")
    console.print(table)
    console.print(f"signals digest {summary.signals_digest}", soft_wrap=True)


app = typer.Typer(add_completion=False)


@app.command()
def main(
    dbn: Annotated[list[Path], typer.Option("--dbn", help="DBN file with mbp-10 or trades records; repeatable.")],
    out: Annotated[Path | None, typer.Option(help="Write the signals to this Parquet file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Recompute signals from stored input, without a broker. The digest equals that of a live run over the same
    input.
    """
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        summary = replay_dbn(dbn, load_config(), out, progress)
    if not summary.events[topics.FUTURES_MBP10]:
        console.print(
            "[yellow]The files hold no mbp-10 records: without a book no level can be judged.[/yellow]", highlight=False
        )
    if as_json:
        sys.stdout.write(summary.as_json() + "\n")
    else:
        _show(summary, Console())
