"""``breakwater up``, ``down`` and ``status``."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.cli.options import HomeOption
from common.endpoints import resolve
from common.settings import settings
from infra.local import stack
from infra.local.process import started_mark
from infra.local.progress import Terminal

COLOURS = {"up": "green", "ready": "green", "external": "green", "stopped": "dim", "ended": "dim"}


def up(
    home: HomeOption = None,
    kafka_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the broker; default: a free one.")
    ] = None,
    registry_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the registry; default: a free one.")
    ] = None,
    lake: Annotated[
        bool, typer.Option("--lake", help="Also MinIO and Iceberg's REST catalog: the tables of this home lie there.")
    ] = False,
    with_trino: Annotated[bool, typer.Option("--trino", help="The lake, and Trino over it.")] = False,
) -> None:
    """Start the local broker and schema registry, and wait until they answer. What runs already stays."""
    console = Console(stderr=True)
    fixed = {"kafka": kafka_port, "registry": registry_port}
    ports = {name: port for name, port in fixed.items() if port is not None}
    parts = stack.local_parts()
    if lake or with_trino:
        parts = tuple(dict.fromkeys((*parts, *stack.lake_parts(with_trino=with_trino))))
    if not parts:
        console.print("Broker and registry are given by the settings; there is nothing to start.")
    stack.up(settings().home, progress=Terminal(console), parts=parts, ports=ports)
    endpoints = resolve()
    out = Console()
    out.print(f"broker    {endpoints.kafka_bootstrap}", highlight=False)
    out.print(f"registry  {endpoints.registry_url}", highlight=False)
    for part in stack.status(settings().home):
        if part.name not in stack.LOG and part.state == "up":
            out.print(f"{part.name:<9} {part.address}", highlight=False)


def down(home: HomeOption = None) -> None:
    """End the local servers. Their data stay in the home folder."""
    console = Console(stderr=True)
    if not stack.down(settings().home, progress=Terminal(console)):
        console.print("Nothing was running.")


def status(
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the local servers and services, and whether they are well. Exit code 1 when something is not."""
    servers = stack.status(settings().home)
    services = [service_status(path) for path in sorted((settings().home / "run").glob("*.json"))]
    if as_json:
        rows = [
            {"name": s.name, "state": s.state, "address": s.address, "pid": s.pid, "log": str(s.log) if s.log else None}
            for s in servers
        ]
        typer.echo(json.dumps({"home": str(settings().home), "servers": rows, "services": services}))
    else:
        show_status(settings().home, servers, services, Console())
    if any(s.state not in COLOURS for s in servers) or any(one["state"] not in COLOURS for one in services):
        raise typer.Exit(1)


def show_status(
    home: Path, servers: Sequence[stack.PartStatus], services: Sequence[Mapping[str, Any]], console: Console
) -> None:
    """One line for each, then what the services lack. Nothing is cut: people copy addresses and paths."""
    table = Table("", "state", "pid", box=None, pad_edge=False)
    table.add_column("address", overflow="fold")
    for s in servers:
        table.add_row(s.name, _coloured(s.state), str(s.pid or ""), s.address)
    for one in services:
        table.add_row(one["name"], _coloured(one["state"]), str(one["pid"]), one["address"])
    there = "" if home.is_dir() else " (not there yet)"
    console.print(f"home {home}{there}", style="dim", highlight=False, soft_wrap=True)
    console.print(f"logs {home / 'logs'}", style="dim", highlight=False, soft_wrap=True)
    console.print(table)
    for one in services:
        if one["detail"]:
            console.print(Text.assemble((one["name"], "bold"), f" {one['detail']}"), soft_wrap=True)


def _coloured(state: str) -> str:
    colour = COLOURS.get(state, "red")
    return f"[{colour}]{state}[/{colour}]"


def service_status(run_file: Path) -> dict[str, Any]:
    """What one service says of itself: its run file, and its readiness asked over HTTP.

    ``state`` is ready, not ready, not answering, or ended (the file was left behind).
    """
    try:
        facts = json.loads(run_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = {}
    url = str(facts.get("health_url", ""))
    out = {
        "name": run_file.stem,
        "state": "ended",
        "pid": facts.get("pid", 0),
        "address": facts.get("url", url),
        "detail": "",
    }
    if not facts or started_mark(int(facts["pid"])) is None:
        return out
    report = ready_report(url)
    if report is None:
        return {**out, "state": "not answering"}
    unwell = [f"{name}: {part['detail']}" for name, part in report["parts"].items() if not part["ok"]]
    return {**out, "state": "ready" if report["ready"] else "not ready", "detail": "; ".join(unwell)}


def ready_report(health_url: str) -> dict[str, Any] | None:
    """The service's readiness report; None when it does not answer."""
    try:
        with urllib.request.urlopen(f"{health_url}/health/ready", timeout=5) as answer:  # noqa: S310 - always http
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except (OSError, ValueError):
        return None
    try:
        report: dict[str, Any] = json.loads(body)
    except ValueError:
        return None
    return report
