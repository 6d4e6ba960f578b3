"""``breakwater chaos``."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from common.settings import override
from common.telemetry import configure_logging
from infra.chaos.run import Outcome, run
from infra.local.progress import Terminal

app = typer.Typer(help="Break the platform on purpose and count what is lost.", add_completion=False)

COLUMNS = ("records", "bad", "repeated", "rows", "lost", "doubled", "different", "foreign", "letters_lost")


@app.callback()
def _group() -> None:
    pass


@app.command()
def sink(
    kills: Annotated[int, typer.Option(min=1, help="How many times something is broken.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of what happens when.")] = 1,
    lake: Annotated[bool, typer.Option("--lake", help="With a REST catalog and MinIO, which are broken too.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="An empty folder for servers, tables and logs; it is kept.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Kill, pause and starve two sinks, maintenance and their servers while records come in; compare tables and topics.

    Exit code 1 when a row is lost, doubled or different.
    """
    # Clients of this process would tell of every broker that is killed; what the sinks tell goes to their logs.
    override(log_level="CRITICAL")
    configure_logging("chaos")
    override(log_level="INFO")
    report = Terminal(Console(stderr=True))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        outcome = run(folder.resolve(), kills=kills, seed=seed, with_lake=lake, report=report)
    else:
        with tempfile.TemporaryDirectory(prefix="breakwater-chaos-") as home:
            outcome = run(Path(home), kills=kills, seed=seed, with_lake=lake, report=report)
    if as_json:
        accounts = [asdict(account) for account in outcome.accounts]
        facts = {"holds": outcome.holds, "seconds": round(outcome.seconds, 1), "accounts": accounts}
        typer.echo(json.dumps({**facts, "strikes": outcome.strikes, "told": outcome.told}))
    else:
        _show(outcome)
    if not outcome.holds:
        raise typer.Exit(1)


def _show(outcome: Outcome) -> None:
    console = Console()
    counted = Table("Topics and tables, row by row")
    for account in outcome.accounts:
        counted.add_column(account.topic, justify="right")
    for column in COLUMNS:
        counted.add_row(column.replace("_", " "), *(f"{getattr(account, column):,}" for account in outcome.accounts))
    for title, counter in (("strikes", outcome.strikes), ("what sinks and maintenance said", outcome.told)):
        table = Table(title, "times")
        for name, count in counter.items():
            table.add_row(name, str(count))
        console.print(table)
    console.print(counted)
    verdict = "nothing lost, nothing doubled" if outcome.holds else "NOT exactly once"
    console.print(f"{verdict}, in {outcome.seconds:.0f} s", highlight=False)
