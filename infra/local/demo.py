"""``breakwater demo``: the whole platform on one machine, from files to tables and a live API."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common.cli.options import HomeOption
from common.errors import ConfigError, InputError
from common.settings import settings
from infra.local import stack
from infra.local.progress import Terminal

SIMULATED_SPEED = "10"
"""Speed at which a person watches the simulated session."""

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            "-f",
            "--dbn",
            help="DBN file with ES mbp-10 or trades, Massive capture, or folder of them; repeatable.",
            show_default="a simulated session of ES, SPY and its options",
        ),
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(help="max, or a multiple of real time.", show_default="max; 10 to watch the simulated session"),
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="End when the input is through.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
    day: Annotated[
        bool, typer.Option("--day", help="Simulate a whole regular session at its usual rates, not ten minutes.")
    ] = False,
    lake: Annotated[
        bool, typer.Option("--lake", help="Keep the tables in MinIO and Iceberg's REST catalog, started here.")
    ] = False,
    with_trino: Annotated[bool, typer.Option("--trino", help="The lake, and Trino over it.")] = False,
    live_gateways: Annotated[
        bool,
        typer.Option(
            "--live-gateways", help="Play the input through stand-ins for both vendors, into the live producers."
        ),
    ] = False,
    home: HomeOption = None,
) -> None:
    """Start broker, registry and all services, feed them market data, and watch levels being judged.

    Without --exit everything stays up until Ctrl-C. A second run into the same place adds nothing twice.
    """
    console = Console(stderr=True)
    files = _checked(file)
    _check_speed(speed)
    in_time = live_gateways or not (files or leave or as_json or not console.is_terminal)
    pace = speed or (SIMULATED_SPEED if in_time else "max")
    signal.signal(signal.SIGTERM, _interrupt)
    place = settings().home
    place.mkdir(parents=True, exist_ok=True)
    # What it needs takes seconds to import: --help does not wait for it.
    from infra.local.live import LivePipeline
    from infra.local.pipeline import Pipeline

    through = False
    try:
        with _alone(place), _local_stack(place, console, lake=lake or with_trino, with_trino=with_trino):
            pipeline = (LivePipeline if live_gateways else Pipeline)(place, console)
            try:
                pipeline.start()
                summary = pipeline.run(files, pace, day=day)
                through = True
                if as_json:
                    sys.stdout.write(summary.as_json() + "\n")
                    sys.stdout.flush()
                else:
                    summary.show(Console())
                if not leave:
                    console.print(f"\n  The API listens at {summary.api_url} (docs: {summary.api_url}/docs).")
                    console.print("  Ctrl-C ends everything.")
                    pipeline.watch()
            finally:
                pipeline.close()
    except KeyboardInterrupt:
        raise typer.Exit(0 if through else 130) from None


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _check_speed(speed: str | None) -> None:
    """Raise ConfigError for a speed that is none."""
    from producers.pacing import parse_speed

    if speed is not None:
        parse_speed(speed)


def _checked(given: Sequence[Path] | None) -> list[Path]:
    """The files, those of folders too, each opened once before anything starts. Raises InputError."""
    from producers.dbn.days import files_of
    from producers.stream import check_file

    paths = [path.expanduser().resolve() for path in given or ()]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist", hint="Check the path given with --file.")
    files = files_of(paths)
    for path in files:
        check_file(path)
    return files


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One demo per home. Raises ConfigError when another one runs there."""
    with (home / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"another demo runs in {home}", hint="End it with Ctrl-C, or choose another folder with --home."
            ) from None
        yield


@contextlib.contextmanager
def _local_stack(home: Path, console: Console, *, lake: bool, with_trino: bool) -> Iterator[None]:
    """The local servers that the settings do not give; those that this starts, it ends."""
    parts = stack.local_parts()
    if lake:
        parts = tuple(dict.fromkeys((*parts, *stack.lake_parts(with_trino=with_trino))))
    before = {part.name for part in stack.status(home) if part.state == "up"}
    report = Terminal(console)
    stack.up(home, progress=report, parts=parts)
    try:
        yield
    finally:
        if not before:
            stack.down(home, progress=report)
