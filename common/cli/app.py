"""The table of commands."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from common.cli.entry import run
from common.cli.lazy import Entry, mount

FIRST = "Start here"
STACK = "Local stack"
DATA = "Data in"
LOOK = "Look inside"
AGAIN = "Again, and differently"
TABLES = "Tables"
HARD = "Break it, measure it"
SERVICES = "Services (each runs until SIGTERM)"

COMMANDS = (
    Entry("demo", "infra.local.demo:app", "Run everything on real or simulated data and watch it.", FIRST),
    Entry("test", "common.cli.checks:app", "Run the tests, and for 'all' the linters: what CI runs.", FIRST),
    Entry(
        "up",
        "infra.local.commands:up",
        "Start the local broker and schema registry; with --lake also MinIO and a REST catalog.",
        STACK,
    ),
    Entry("down", "infra.local.commands:down", "Stop them; their data stay.", STACK),
    Entry(
        "status", "infra.local.commands:status", "Show broker, registry and services, and whether they are well.", STACK
    ),
    Entry(
        "download", "producers.dbn.command:download", "Download ES history from Databento; shows what it costs.", DATA
    ),
    Entry("simulate", "producers.__main__:simulate", "Write a made-up session of ES, SPY and its options.", DATA),
    Entry("hotzone", "producers.hotzones:app", "Set levels of your own while the market runs, or remove them.", DATA),
    Entry("dead-letters", "producers.letters.command:app", "List, show and reprocess what could not be used.", DATA),
    Entry("topics", "common.cli.topics:topics", "List topics with their offsets and schema ids.", LOOK),
    Entry("query", "lakehouse.ask:query", "Run SQL over the tables and what is not committed yet.", LOOK),
    Entry("runs", "common.cli.runs:app", "List the services' runs: code, configuration, counts, end.", LOOK),
    Entry("replay", "producers.replay:app", "Compute signals again from files, topics or tables; compare runs.", AGAIN),
    Entry("republish", "producers.replay.republish:app", "Publish stored inputs again, at any speed.", AGAIN),
    Entry(
        "verify", "producers.replay.verify:app", "Prove that published signals follow from what was recorded.", AGAIN
    ),
    Entry("study", "processors.study.command:app", "Ask the stored sessions whether the score knows anything.", AGAIN),
    Entry("backfill", "infra.backfill:app", "Compute many sessions again into tables, a task each (Ray).", AGAIN),
    Entry("dataset", "lakehouse.datasets.command:app", "Make and read training sets that can be had again.", TABLES),
    Entry("certify", "lakehouse.certificates.command:app", "Certify what is stored of a session, or check it.", TABLES),
    Entry("maintain", "lakehouse.maintenance.command:app", "Pack, expire and tidy the tables' files.", TABLES),
    Entry("chaos", "infra.chaos.command:app", "Break the platform on purpose and count what is lost.", HARD),
    Entry("bench", "common.cli.bench:app", "Measure a part of the platform.", HARD),
    Entry("producer", "producers", "Publish files, or Databento and Massive live.", SERVICES),
    Entry("features", "processors.features", "Turn market data into level features.", SERVICES),
    Entry("signals", "processors.signals", "Turn level features into level signals (Faust).", SERVICES),
    Entry("sink", "lakehouse", "Commit the topics to Iceberg tables, exactly once.", SERVICES),
    Entry("silver", "lakehouse.silver", "Compute Silver and Gold tables, closed hour by closed hour.", SERVICES),
    Entry("api", "api", "Serve REST and WebSocket.", SERVICES),
)

app = typer.Typer(
    name="breakwater",
    help="At every price level: will it break or reject?",
    epilog="New here? Run: ./breakwater demo",
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _options(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print_version()
    elif ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


mount(app, COMMANDS)


def print_version() -> None:
    """Print the version that pyproject.toml states."""
    import tomllib

    from common.settings import PROJECT_ROOT

    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    typer.echo(f"breakwater {project['version']}")


def main() -> NoReturn:
    """Run the command line."""
    run(app, "breakwater", debug="--debug" in sys.argv[1:2])
