"""``breakwater bench lakehouse``: the sink's rate against Parquet alone, freshness under load, a level's day."""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from common import kafka, topics
from common.registry import Registry
from common.telemetry import configure_logging
from tests.benchmark import lake_freshness, lake_rates, lake_scan
from tests.support.lake_servers import catalog_environment, lake
from tests.support.stack import environment, session_stack


def measure(
    records: int, rounds: int, events_per_s: int, seconds: float, rows_per_hour: int, console: Console
) -> dict[str, Any]:
    """All parts, on servers of their own, with the embedded catalog and with a REST catalog on MinIO."""
    with tempfile.TemporaryDirectory() as folder, environment(BREAKWATER_HOME=folder, BREAKWATER_LOG_LEVEL="WARNING"):
        home = Path(folder)
        with session_stack(home) as endpoints, Registry(endpoints.registry_url) as registry:
            namespace = f"bench.{uuid.uuid4().hex[:8]}"
            kafka.ensure_topics(topics.specs(namespace))
            with console.status("From topic to files"):
                rates = lake_rates.measure(home, registry, namespace, records, rounds)
            with console.status("Freshness"):
                fresh = lake_freshness.measure(registry, f"{namespace}.fresh", events_per_s, seconds)
            with (
                console.status("Freshness on MinIO"),
                lake(home / "servers") as servers,
                catalog_environment(servers.properties),
            ):
                stored = lake_freshness.measure(registry, f"{namespace}.stored", events_per_s, seconds)
        with console.status("A level's day"):
            scan = lake_scan.measure(rows_per_hour, rounds)
    return {"rates": rates, "freshness": fresh, "freshness_minio": stored, "scan": scan}


def main(
    records: Annotated[int, typer.Option(min=40_000, help="Book records in the topic.")] = 400_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each measures every side once.")] = 5,
    events_per_s: Annotated[int, typer.Option(min=1_000, help="Futures events and signals per second.")] = 20_000,
    seconds: Annotated[float, typer.Option(min=5.0, help="How long they are sent.")] = 60.0,
    rows_per_hour: Annotated[int, typer.Option(min=1_000, help="Signals in each file of the scanned table.")] = 15_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Measure the sink against Parquet alone, how fresh the tables are under load, and a scan of a level's day."""
    configure_logging("bench")
    result = measure(records, rounds, events_per_s, seconds, rows_per_hour, Console(stderr=True))
    if as_json:
        typer.echo(json.dumps(result))
        return
    console = Console()
    for title, values in result.items():
        table = Table(title=title)
        table.add_column("")
        table.add_column("", justify="right")
        for name, value in values.items():
            table.add_row(name, f"{value:,}")
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
