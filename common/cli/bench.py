"""``breakwater bench``: one command per benchmark; each stands beside the tests."""

from __future__ import annotations

import typer

from common.cli.lazy import Entry, mount

BENCHMARKS = (
    Entry("codec", "tests.benchmark.bench_codec:main", "Columnar Avro codec against fastavro, in records per second."),
    Entry("lakehouse", "tests.benchmark.bench_lakehouse:main", "Sink against Parquet alone, freshness, a level's day."),
    Entry("producers", "tests.benchmark.bench_producers:main", "DBN file to Kafka, and the live path's latency."),
    Entry("engine", "tests.benchmark.bench_engine:main", "Engine against the vendor's decoder, as ratios on one core."),
)

app = typer.Typer(help="Measure a part of the platform.", add_completion=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


mount(app, BENCHMARKS)
