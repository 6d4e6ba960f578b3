"""``breakwater study``: arguments in, report out."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable
from rich.text import Text

from common.cli.options import HomeOption
from common.config import load_config
from common.errors import ConfigError
from common.settings import settings
from processors.study import controls, staged, trading
from processors.study.analysis import MIN_EPISODES, MIN_SESSIONS, Report, study
from processors.study.episodes import HORIZONS_S, PRIMARY
from processors.study.ledger import Ledger
from processors.study.source import Lake
from processors.study.statistics import RESAMPLES, SEED
from processors.study.tables import facts, multiplicity, plain, tables

HELP = "\n\n".join(
    (
        "Ask the stored sessions whether the score knows anything.",
        "The unit is the episode: a level's first touch and what came of it. The break score is set against the base"
        " rate, velocity alone and OFI alone, and the levels against random prices and the same levels moved by"
        f" {controls.PLACEBO_OFFSET} USD, judged by the same engine over the same events. Curves are fitted on the"
        " training days and measured on the test days, with intervals from resampled days.",
        "Before test days are read, a line in HOME/study/ledger.jsonl freezes the configuration, and the report says"
        " how many configurations those days have seen. The configuration in force must be the one behind the stored"
        f" outcomes. Under {MIN_SESSIONS} sessions or {MIN_EPISODES} episodes the report claims nothing, and says so"
        " first.",
    )
)

app = typer.Typer(add_completion=False)


@app.command(help=HELP)
def main(
    home: HomeOption = None,
    test_from: Annotated[
        str | None,
        typer.Option(
            metavar="DATE", help="First test day (2025-06-03 or 20250603). Default: the last third of the sessions."
        ),
    ] = None,
    fee: Annotated[
        float, typer.Option(min=0, help="USD per ES contract and side, paid at entry and at exit.")
    ] = trading.FEE_USD,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Parquet table of true removals from an order-by-order feed (ts_event, side, price, size, cause): adds"
            " precision and recall of the inferred fills. Or the simulator's truth (.json): adds the hit rates of the"
            " staged fights, too.",
        ),
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="The data are made up, although their records do not say so.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as one JSON object.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as one self-contained HTML page.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the plots as PNG files into this folder.")
    ] = None,
) -> None:
    """Study the stored sessions; show the report, print it as JSON, write it as a page and as plots."""
    config = load_config()
    lake = Lake(config, fee)
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("looking for sessions", total=None)

        def say(what: str) -> None:
            progress.update(task, description=what)

        hits, removals = None, truth
        if truth is not None and truth.suffix == ".json":
            say("staged fights against the truth")
            told = staged.read(truth)
            hits, removals = lake.staged_truth(told), told.causes
        fills = None
        if removals is not None:
            say("fills against the truth")
            fills = lake.fill_truth(removals)
        report = study(
            lake,
            Ledger(settings().home / "study" / "ledger.jsonl"),
            config.hash,
            {
                "fee_usd": fee,
                "horizon_s": HORIZONS_S[PRIMARY],
                "placebo_offset_usd": controls.PLACEBO_OFFSET,
                "resamples": RESAMPLES,
                "seed": SEED,
            },
            dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            test_from=None if test_from is None else _date(test_from),
            simulated=simulated,
            fills=fills,
            staged=hits,
            progress=say,
        )
        say("plots")
        _write(report, html, out)
    if as_json:
        sys.stdout.write(json.dumps(plain(report)) + "\n")
    else:
        show(report, Console())


def _date(text: str) -> int:
    """yyyymmdd of a date in either spelling."""
    digits = text.replace("-", "") if re.fullmatch(r"\d{4}-\d{2}-\d{2}|\d{8}", text) else ""
    try:
        return int(dt.datetime.strptime(digits, "%Y%m%d").replace(tzinfo=dt.UTC).strftime("%Y%m%d"))
    except ValueError:
        raise ConfigError(f"--test-from {text!r} is no date", hint="Write it as 2025-06-03 or 20250603.") from None


def _write(report: Report, html: Path | None, out: Path | None) -> None:
    # matplotlib takes half a second to load: only who wants plots waits for it
    if html is not None:
        from processors.study.page import render

        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(render(report), encoding="utf-8")
    if out is not None:
        from processors.study.plots import LIGHT, draw

        out.mkdir(parents=True, exist_ok=True)
        for name, png in draw(report, LIGHT).items():
            (out / f"{name}.png").write_bytes(png)


def show(report: Report, console: Console) -> None:
    """The report on a terminal, its verdict first."""
    console.print(Text(report.verdict, style="bold"))
    for warning in report.warnings:
        console.print(Text(warning, style="bold yellow"))
    shown = RichTable(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, text in facts(report):
        shown.add_row(name, text)
    console.print(shown)
    for table in tables(report):
        grid = RichTable(
            title=f"\n{table.title}", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
        )
        for n, heading in enumerate(table.headings):
            grid.add_column(heading, justify="right" if n else "left", header_style="dim")
        for row in table.rows:
            grid.add_row(*row)
        console.print(grid)
        console.print(Text(table.note, style="dim"))
    console.print()
    console.print(Text(multiplicity(report), style="dim"))
