"""``breakwater bench codec``: the columnar codec against fastavro, on generated book records."""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Annotated, Any

import fastavro
import typer
from rich.console import Console
from rich.table import Table

from common import schemas
from common.avro import Codec
from common.columns import Batch
from common.errors import InvariantError
from common.schemas import RecordSchema
from common.settings import PROJECT_ROOT, child_environment
from tests.benchmark.books import books

SCHEMA_ID = 1
FASTAVRO_RECORDS = 1_000
"""fastavro's share of a round; its speed does not depend on the number."""
FIRST_USE = """
import time
began = time.perf_counter()
from common import schemas
from common.avro import Codec
imported = time.perf_counter()
from tests.benchmark.books import books
codec = Codec(schemas.load("futures.mbp10.v1"))
batch = books(1, 0)
started = time.perf_counter()
messages = codec.encode(batch, 1).messages()
codec.decode(messages, lambda schema_id: codec.schema)
print(time.perf_counter() - started, imported - began)
"""


def _fastavro_write(parsed: Any, records: list[dict[str, Any]]) -> list[bytes]:
    messages = []
    for record in records:
        sink = io.BytesIO()
        sink.write(b"\x00\x00\x00\x00\x01")
        fastavro.schemaless_writer(sink, parsed, record)
        messages.append(sink.getvalue())
    return messages


def _fastavro_read(parsed: Any, messages: list[bytes]) -> list[Any]:
    records = []
    for message in messages:
        source = io.BytesIO(message)
        source.seek(5)
        records.append(fastavro.schemaless_reader(source, parsed, None))
    return records


def _rate(work: Callable[[], object], records: int) -> float:
    began = time.thread_time()
    work()
    return records / (time.thread_time() - began)


def first_use_s() -> dict[str, float]:
    """Seconds of a new process for its first batch: with nothing compiled yet, and with what another compiled."""
    with tempfile.TemporaryDirectory() as cache:
        environment = child_environment(NUMBA_CACHE_DIR=cache)
        seconds = {}
        for name in ("compile_s", "cached_load_s"):
            run = subprocess.run(
                [sys.executable, "-c", FIRST_USE],
                cwd=PROJECT_ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            seconds[name] = float(run.stdout.split()[0])
    return seconds


def measure(batch: Batch, schema: RecordSchema, rounds: int) -> dict[str, Any]:
    """Median records per second (of CPU time) of each side; they take turns, so that a busy moment hits both.

    Raises InvariantError when the two do not write the same bytes.
    """
    codec, parsed = Codec(schema), fastavro.parse_schema(schema.avro)
    messages = codec.encode(batch, SCHEMA_ID).messages()
    share = messages[:FASTAVRO_RECORDS]
    records = _fastavro_read(parsed, share)
    if _fastavro_write(parsed, records) != share:
        raise InvariantError("the codec and fastavro write different bytes")
    works: dict[str, tuple[Callable[[], object], int]] = {
        "fastavro_encode": (lambda: _fastavro_write(parsed, records), len(share)),
        "codec_encode": (lambda: codec.encode(batch, SCHEMA_ID).messages(), batch.length),
        "fastavro_decode": (lambda: _fastavro_read(parsed, share), len(share)),
        "codec_decode": (lambda: codec.decode(messages, lambda _: schema), batch.length),
    }
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, (work, count) in works.items():
            rates[name].append(_rate(work, count))
    result: dict[str, Any] = {
        "schema": schema.name,
        "fields": len(schema.fields),
        "records": batch.length,
        "rounds": rounds,
        "bytes_per_record": round(sum(map(len, messages)) / len(messages), 1),
    }
    for name, values in rates.items():
        result[f"{name}_records_per_s"] = round(statistics.median(values))
    for way in ("encode", "decode"):
        pairs = zip(rates[f"codec_{way}"], rates[f"fastavro_{way}"], strict=True)
        result[f"{way}_ratio"] = round(statistics.median(ours / theirs for ours, theirs in pairs), 1)
    return result


def _show(result: dict[str, Any]) -> None:
    size = f"{result['fields']} fields, {result['bytes_per_record']} bytes a record"
    table = Table(title=f"{result['schema']}\n{size}")
    table.add_column("")
    for title in ("fastavro", "codec", "ratio"):
        table.add_column(title, justify="right")
    for way in ("encode", "decode"):
        rates = [f"{result[f'{side}_{way}_records_per_s']:,}/s" for side in ("fastavro", "codec")]
        table.add_row(way, *rates, f"{result[f'{way}_ratio']:.1f}x")
    console = Console()
    console.print(table)
    console.print(
        f"{result['records']:,} records as separate messages; median of {result['rounds']} rounds; CPU time of one"
        f" thread.\nFirst batch of a process: {result['compile_s']:.1f} s when it compiles,"
        f" {result['cached_load_s']:.1f} s after that.",
        highlight=False,
    )


def main(
    records: Annotated[int, typer.Option(min=1, help="Records in a batch.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each measures every side once.")] = 15,
    seed: Annotated[int, typer.Option(help="Seed of the generated books.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure the columnar Avro codec against fastavro, both ways, in records per second."""
    schema = schemas.load("futures.mbp10.v1")
    with Console(stderr=True).status("Measuring"):
        result = {**measure(books(records, seed), schema, rounds), **first_use_s()}
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _show(result)


if __name__ == "__main__":
    typer.run(main)
