"""``breakwater bench engine``: the engine against the vendor's own decoder, as ratios of one run on one core."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import databento
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from common.config import EngineConfig
from common.sessions import cme_es_sessions
from common.settings import PROJECT_ROOT
from common.telemetry import configure_logging
from processors.engine import features, inputs, kernel, order, rows, signals
from processors.engine.order import Events, Merger
from producers import dbn
from producers.dbn.file import DbnFile
from producers.event_ids import EventIds
from producers.replay import replay
from producers.replay.files import engine_batches
from producers.stream import stamped_batches
from tests.benchmark import kafka_path
from tests.benchmark.complex_events import Complex
from tests.benchmark.session import Session, repeated
from tests.benchmark.stopwatch import Seam, watching

DECODE_RECORDS = 65_536
"""Records that the vendor's reader hands out at once."""

KERNEL_EVENTS = 400_000
"""Records of the session that is merged and held in memory."""

MEMORY_TIMES = 10
"""How many times as long the second session is whose peak memory is measured."""

LEVEL_EVENTS, LEVEL_EVENTS_PER_SNAP = 50_000, 5
"""A session of many snaps, in which levels cost more than events."""

LEVEL_ROUNDS = 3
LEVEL_BANDS = (0.5, 2.0, 4.0, 8.0, 12.0, 16.0)
"""USD around spot within which levels are monitored: from one level or two to dozens."""

TARGETS = {"kernel_to_decode_ratio": 0.6, "offline_to_decode_ratio": 0.35, "kafka_to_consume_ratio": 0.25}

SEAMS = (
    Seam(DbnFile, "read", "read"),
    Seam(dbn, "parse", "parse"),
    Seam(EventIds, "assign", "event ids"),
    Seam(Merger, "push", "merge"),
    Seam(Merger, "pop", "merge"),
    Seam(inputs, "books", "inputs"),
    Seam(inputs, "trades", "inputs"),
    Seam(kernel, "run", "kernel"),
    Seam(rows, "to_batch", "rows"),
    Seam(features, "step", "features, the rest"),
    Seam(signals, "step", "signals"),
)


def decode(paths: Sequence[Path]) -> int:
    """The vendor's own decoder alone, in chunks. Returns the number of records."""
    return sum(
        len(chunk) for path in paths for chunk in databento.DBNStore.from_file(path).to_ndarray(count=DECODE_RECORDS)
    )


def offline(paths: Sequence[Path], config: EngineConfig) -> int:
    """From DBN files to signals. Returns the number of feature rows."""
    return sum(judged.features.length for judged in replay(engine_batches(paths, config), config))


def merged(session: Session, config: EngineConfig, beside: bool = True) -> list[Events]:
    """The session merged, in memory; with stock and option records ``beside`` it."""
    merger = Merger(list(order.KINDS))
    offsets = dict.fromkeys(order.KINDS, 0)
    others: Complex | None = None
    reached_ns = 0
    out = []

    def push(batch: Any) -> None:
        first = offsets[batch.name]
        offsets[batch.name] = first + batch.length
        merger.push(batch.name, batch, np.arange(first, first + batch.length, dtype=np.int64))

    for step in stamped_batches(session.paths, config):
        for batch in step.batches:
            if beside and others is None and "bid_px_1" in batch.columns:
                reached_ns = int(batch["ts_effective_ns"][0])
                others = Complex(round(float(batch["bid_px_1"][0]) / config.RATIO_DEFAULT, 2), reached_ns)
            push(batch)
        if others is not None and step.watermark_ns > reached_ns:
            for batch in others.batches(reached_ns, step.watermark_ns):
                push(batch)
            reached_ns = step.watermark_ns
        for topic in order.KINDS:
            merger.promise(topic, offsets[topic], step.watermark_ns)
        out.append(merger.pop())
    return out


def kernel_s(events: Sequence[Events], config: EngineConfig) -> tuple[float, int]:
    """CPU seconds that the kernel takes for the events, and the feature rows it writes."""
    state = features.initial_state(config, cme_es_sessions())
    with watching([Seam(kernel, "run", "kernel")]) as watch:
        count = sum(features.step(state, part, part.until_ns).features.length for part in events)
    return watch.seconds["kernel"], count


def _rate(work: Callable[[], object], events: int) -> float:
    began = time.process_time()
    work()
    return events / (time.process_time() - began)


def ratios(session: Session, events: Sequence[Events], config: EngineConfig, rounds: int) -> dict[str, Any]:
    """Medians over rounds in which every side runs once."""
    count = sum(map(len, events))
    rates: dict[str, list[float]] = {"decode": [], "kernel": [], "offline": []}
    for _ in range(rounds):
        rates["decode"].append(_rate(lambda: decode(session.paths), session.events))
        rates["kernel"].append(count / kernel_s(events, config)[0])
        rates["offline"].append(_rate(lambda: offline(session.paths, config), session.events))
    out: dict[str, Any] = {f"{name}_per_s": round(statistics.median(values)) for name, values in rates.items()}
    for name in ("kernel", "offline"):
        pairs = zip(rates[name], rates["decode"], strict=True)
        out[f"{name}_to_decode_ratio"] = round(statistics.median(ours / theirs for ours, theirs in pairs), 3)
    return out


def stages(session: Session, config: EngineConfig) -> list[dict[str, Any]]:
    """CPU time of each stage of the offline path, the dearest first."""
    with watching(SEAMS) as watch, watch.stage("stamping and the rest"):
        offline(session.paths, config)
    whole = sum(watch.seconds.values())
    return [
        {
            "stage": name,
            "ns_per_event": round(seconds / session.events * 1e9, 1),
            "events_per_s": round(session.events / seconds),
            "share": round(seconds / whole, 3),
        }
        for name, seconds in sorted(watch.seconds.items(), key=lambda item: -item[1])
    ]


def peak_bytes(session: Session) -> int:
    """Greatest resident memory of a process that replays the session."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.benchmark.peak", *map(str, session.paths)],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(json.loads(run.stdout)["peak_bytes"])


def memory(folder: Path) -> dict[str, Any]:
    """Peak memory of a session and of one ten times as long."""
    short = repeated(folder, 1)
    long = repeated(folder, MEMORY_TIMES * short.events)
    peak_bytes(short)  # compiles, which needs more memory than the work
    peaks = [peak_bytes(short), peak_bytes(long)]
    return {"events": [short.events, long.events], "peak_bytes": peaks, "growth": round(peaks[1] / peaks[0] - 1, 3)}


def levels(folder: Path) -> list[dict[str, float]]:
    """CPU time of a snap, its few events included, with more and more monitored levels."""
    session = repeated(folder, LEVEL_EVENTS, LEVEL_EVENTS_PER_SNAP)
    out = []
    for band in LEVEL_BANDS:
        config = EngineConfig(STRIKE_RANGE=LEVEL_BANDS[-1], MONITOR_BAND=band)
        events = merged(session, config, beside=False)
        seconds, count = min(kernel_s(events, config) for _ in range(LEVEL_ROUNDS))
        out.append({"levels": round(count / session.snaps, 1), "us_per_snap": round(seconds / session.snaps * 1e6, 2)})
    return out


def measure(folder: Path, events: int, rounds: int, with_kafka: bool) -> dict[str, Any]:
    """All of it, as one JSON object."""
    config = EngineConfig()
    long, short = repeated(folder, events), repeated(folder, KERNEL_EVENTS)
    in_memory = merged(short, config)
    offline(short.paths, config)
    kernel_s(in_memory, config)
    result: dict[str, Any] = {
        "source": long.source,
        "records": long.events,
        "events_per_snap": round(long.events / long.snaps),
        "kernel_events": sum(map(len, in_memory)),
        "rounds": rounds,
        **ratios(long, in_memory, config, rounds),
        "stages": stages(long, config),
        "levels": levels(folder),
        "memory": memory(folder),
    }
    if with_kafka:
        result["kafka"] = kafka_path.measure(short, repeated(folder, 1), folder / "stack", config)
        result["kafka_to_consume_ratio"] = result["kafka"]["kafka_to_consume_ratio"]
    result["met"] = {name: result[name] >= target for name, target in TARGETS.items() if name in result}
    return result


def _show(result: dict[str, Any], console: Console) -> None:
    table = Table(title=f"{result['source']}: {result['records']:,} records, {result['events_per_snap']} a snap")
    for title in ("", "a second", "ratio", "target"):
        table.add_column(title, justify="left" if not title else "right")
    table.add_row("vendor's decoder", f"{result['decode_per_s']:,}", "1", "")
    for name, label in (("kernel", "kernel, every input on"), ("offline", "file to signals")):
        ratio = f"{name}_to_decode_ratio"
        table.add_row(label, f"{result[f'{name}_per_s']:,}", f"{result[ratio]:.2f}", f"{TARGETS[ratio]:.2f}")
    if "kafka" in result:
        table.add_row("consume() alone", f"{result['kafka']['consume_per_s']:,}", "1", "")
        ratio = "kafka_to_consume_ratio"
        table.add_row(
            "topics to features", f"{result['kafka']['features_per_s']:,}", f"{result[ratio]:.2f}", f"{TARGETS[ratio]}"
        )
    console.print(table)
    parts = Table(title="File to signals, by stage")
    for title in ("stage", "ns an event", "events a second", "share"):
        parts.add_column(title, justify="left" if title == "stage" else "right")
    for part in result["stages"]:
        parts.add_row(part["stage"], f"{part['ns_per_event']:.1f}", f"{part['events_per_s']:,}", f"{part['share']:.0%}")
    console.print(parts)
    cost = Table(title="A snap with few events")
    cost.add_column("levels", justify="right")
    cost.add_column("us", justify="right")
    for point in result["levels"]:
        cost.add_row(f"{point['levels']:.1f}", f"{point['us_per_snap']:.1f}")
    console.print(cost)
    small, large = (f"{peak / 2**20:,.0f} MiB" for peak in result["memory"]["peak_bytes"])
    console.print(
        f"Peak memory {small}, of a session ten times as long {large}. Rates are per second of CPU time of this"
        f" process, medians of {result['rounds']} rounds.",
        highlight=False,
        soft_wrap=True,
    )
    if "kafka" not in result:
        console.print("Without a broker (--no-kafka): topics to features was not measured.", highlight=False)


def _plot(result: dict[str, Any], path: Path) -> None:
    """Cost of a snap over the number of levels, and the stages' shares."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(
        [point["levels"] for point in result["levels"]], [point["us_per_snap"] for point in result["levels"]], "o-"
    )
    left.set(xlabel="monitored levels", ylabel="µs a snap", ylim=(0, None))
    names = [part["stage"] for part in result["stages"]][::-1]
    right.barh(names, [part["ns_per_event"] for part in result["stages"]][::-1])
    right.set(xlabel="ns an event, file to signals")
    figure.savefig(path)


def main(
    events: Annotated[int, typer.Option(min=50_000, help="Records of the session that is decoded.")] = 5_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each measures every side once.")] = 3,
    with_kafka: Annotated[bool, typer.Option("--kafka/--no-kafka", help="Also on a broker.")] = True,
    plot: Annotated[Path | None, typer.Option(help="Write the curves to this file (.png, .svg).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Measure the engine against the vendor's own decoder and against consume() alone, on one core."""
    configure_logging("bench")
    with tempfile.TemporaryDirectory() as folder, Console(stderr=True).status("Measuring"):
        result = measure(Path(folder), events, rounds, with_kafka)
    if plot is not None:
        _plot(result, plot)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _show(result, Console())


if __name__ == "__main__":
    typer.run(main)
