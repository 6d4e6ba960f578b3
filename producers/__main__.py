"""``python -m producers``: market data into the log, and made-up market data into files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from common.cli.entry import exit_on_error, invoke
from common.cli.logs import log_beside
from common.telemetry import configure_logging
from producers import service
from producers.progress import shown_records, spinner
from producers.publish import Outcome

_T = TypeVar("_T")

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Publish market data to the topics.")

FilesOption = Annotated[
    list[Path],
    typer.Option(
        "--file",
        "-f",
        help="DBN file (mbp-10, trades, definition, status), Massive capture (*.massive.jsonl, .zst), or folder of them"
        " by day; repeatable.",
    ),
]
SpeedOption = Annotated[str, typer.Option(help="max, or a multiple of real time, e.g. 1 or 60.")]
ComplexOption = Annotated[str, typer.Option("--complex", help="Complex that the files belong to.")]
NamespaceOption = Annotated[str | None, typer.Option(help="Prefix of the topics' names.", show_default="the settings'")]


@app.command()
def publish(
    file: FilesOption,
    speed: SpeedOption = "max",
    complex_name: ComplexOption = "SPY",
    namespace: NamespaceOption = None,
) -> None:
    """Publish DBN files and captures, merged in event time, each event once.

    A second run of the same files adds nothing; after a crash it goes on where the log ends.
    """
    log_beside(service.SERVICE)
    with shown_records(Console(stderr=True)) as show:
        outcome = _or_exit(lambda: service.serve_files(file, speed, complex_name, namespace, show))
    Console().print(_sentence(outcome), soft_wrap=True, highlight=False)


@app.command()
def live(
    vendor: Annotated[str, typer.Argument(help="databento or massive.")],
    complex_name: ComplexOption = "SPY",
    namespace: NamespaceOption = None,
) -> None:
    """Write a vendor's live feed into the topics until SIGTERM; keys come from the settings.

    While the broker is away records wait in <home>/spool; a restart goes on where the log and the spool end.
    """
    from producers.live.service import serve_live

    configure_logging(f"producer-{vendor}")
    _or_exit(lambda: serve_live(vendor, complex_name, namespace))


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for the files.", file_okay=False)],
    seed: Annotated[int, typer.Option(help="Equal seeds make equal files.")] = 7,
    minutes: Annotated[float, typer.Option(help="Length of the session, in a thin market.", min=0.5, max=60)] = 10.0,
    day: Annotated[
        bool, typer.Option("--day", help="The whole regular session at its usual rates: about 10 million book updates.")
    ] = False,
    orders: Annotated[bool, typer.Option("--orders", help="Write ES order by order (MBO) too.")] = False,
) -> None:
    """Write a made-up session: ES as DBN, SPY and its options as a capture, and the truth about both.

    Prints the input files; beside them lie what was staged (JSON) and why each displayed size changed (Parquet).
    """
    from producers.simulator import simulate as write

    with spinner(Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)

        def show(share: float) -> None:
            bar.update(task, description=f"{share:.0%} of the session")

        session = _or_exit(lambda: write(out, seed, minutes, day=day, orders=orders, progress=show))
    for path in session.inputs:
        typer.echo(path)


def _sentence(outcome: Outcome) -> str:
    what = " and ".join(f"{count:,} {topic}" for topic, count in sorted(outcome.records.items()))
    if not outcome.complete:
        return f"stopped after {what}; run the same command again to go on"
    if not any(outcome.added.values()):
        return f"nothing to do: the log holds this input already ({what})"
    return f"the log holds {what}; {sum(outcome.added.values()):,} added in {outcome.elapsed_s:.1f} s"


def _or_exit(run: Callable[[], _T]) -> _T:
    with exit_on_error():
        return run()


if __name__ == "__main__":
    sys.exit(invoke(app, "python -m producers", sys.argv[1:]))
