"""The live view of a demo: how fast each stage goes, what it is behind, and the levels nearest to spot."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

LEVELS_SHOWN = 10
LOOK_INTERVAL_S = 0.5
PLAIN_INTERVAL_S = 5.0
"""Where no live view can be drawn, one line comes this often."""
RATE_TAU_S = 2.0
TIMEOUT_S = 1.0
BAR_WIDTH, NARROW_BAR_WIDTH = 20, 8
WIDE = 112
"""Columns of a terminal on which every column of the levels has room; narrower ones do without the distance."""

FIRST_START = "the first start compiles its kernels for a minute or two"

SIGNAL_STYLES = {"BREAK": "bold red", "REJECT": "bold green", "CONTESTED": "bold yellow"}

DONE = {
    "producer": "breakwater_producer_records_total",
    "features": "breakwater_features_rows_total",
    "signals": "breakwater_signals_sent_total",
    "sink": "breakwater_sink_rows_total",
    "silver": "breakwater_silver_rows_total",
}
"""The counter of each stage, summed over its labels."""
BEHIND = {"features": "breakwater_features_lag_records", "sink": "breakwater_sink_lag_records"}
UNITS = {
    "producer": "events",
    "features": "feature rows",
    "signals": "signals",
    "sink": "rows stored",
    "silver": "rows computed",
}


@dataclass(slots=True)
class Stage:
    """What one stage has done, how fast, and how many records it is behind (None: not told)."""

    done: float = 0.0
    rate: float = 0.0
    behind: float | None = None
    at_s: float = field(default_factory=time.monotonic)

    def take(self, done: float, behind: float | None, now_s: float) -> None:
        """A new reading; the rate is smoothed. A counter that began anew (a restart) counts from there."""
        passed_s = now_s - self.at_s
        if passed_s > 0:
            rate = max(0.0, done - self.done) / passed_s
            weight = min(1.0, passed_s / RATE_TAU_S)
            self.rate += (rate - self.rate) * weight
        self.done, self.behind, self.at_s = done, behind, now_s


def sums(metrics: str) -> dict[str, float]:
    """Each sample's value summed over its labels."""
    out: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            out[sample.name] = out.get(sample.name, 0.0) + sample.value
    return out


def get(url: str) -> bytes | None:
    """The body at ``url``; None when there is none to be had now."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - always http
            body: bytes = answer.read()
            return body
    except (OSError, http.client.HTTPException, ValueError):
        return None


class View:
    """Draws on a console while it is entered; on one that is no terminal it prints a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._stages = {name: Stage() for name in DONE}
        self._payload: dict[str, Any] = {}
        self._began_s = time.monotonic()
        self._looked_s = 0.0
        self._told_s = time.monotonic()

    def __enter__(self) -> View:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def look(self, phase: str, health_urls: Mapping[str, str], api_url: str, published: int) -> None:
        """Read the stages' metrics and the API's levels, at most every half second, and draw.

        ``published``: records of the input once its producer has ended, else 0.
        """
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_INTERVAL_S:
            return
        self._looked_s = now_s
        for name, url in health_urls.items():
            body = get(f"{url}/metrics")
            if body is not None and name in self._stages:
                values = sums(body.decode())
                behind = values.get(BEHIND[name]) if name in BEHIND else None
                self._stages[name].take(values.get(DONE[name], 0.0), behind, now_s)
        if published:
            self._stages["producer"].take(published, None, now_s)
        body = get(f"{api_url}/v1/levels")
        if body is not None:
            self._payload = json.loads(body)
        if self._console.is_terminal:
            self._live.update(self.render(phase))
        elif now_s - self._told_s >= PLAIN_INTERVAL_S:
            self._told_s = now_s
            done = ", ".join(f"{self._stages[name].done:,.0f} {UNITS[name]}" for name in self._stages)
            hint = "" if self._payload else f"; {FIRST_START}"
            self._console.print(f"  {phase}: {done}{hint}", highlight=False, soft_wrap=True)

    @property
    def moved(self) -> str:
        """Changes whenever any stage has done anything since the last look."""
        return " ".join(f"{stage.done:.0f}" for stage in self._stages.values())

    def render(self, phase: str) -> RenderableType:
        """The whole view."""
        passed_s = time.monotonic() - self._began_s
        head = Text.assemble((f" {phase} ", "bold"), (f" {passed_s:.0f} s", "dim"))
        return Group(head, self._stage_table(), Text(), *self._levels())

    def _stage_table(self) -> Table:
        table = Table(box=None, header_style="dim", padding=(0, 2))
        table.add_column("stage")
        for heading in ("done", "per second", "behind"):
            table.add_column(heading, justify="right")
        table.add_column("")
        features = self._stages["features"].done
        for name, stage in self._stages.items():
            behind = stage.behind
            if name == "signals":
                behind = max(0.0, features - stage.done)
            table.add_row(
                name,
                f"{stage.done:,.0f}",
                f"{stage.rate:,.0f}",
                "" if behind is None else f"{behind:,.0f}",
                UNITS[name],
            )
        return table

    def _levels(self) -> list[RenderableType]:
        if not self._payload:
            return [Text(f" No signal yet; {FIRST_START}.", style="dim")]
        when = dt.datetime.fromtimestamp(self._payload["ts"] / 1000, dt.UTC)
        spot = self._payload["spy"]["spot"]
        head = Text.assemble(" nearest levels ", (f"{when:%Y-%m-%d %H:%M:%S} UTC", "dim"), f"  spot {spot:.2f}")
        wide = self._console.width >= WIDE
        table = Table(box=None, header_style="dim", padding=(0, 2 if wide else 1))
        for heading in ("level", "price", *(("distance",) if wide else ()), "side", "break score", "signal", "barrier"):
            table.add_column(heading, justify="right" if heading in ("price", "distance") else "left", no_wrap=True)
        for level in self._payload["levels"][:LEVELS_SHOWN]:
            score = level["break_score_smooth"]
            signal = level["signal"]
            table.add_row(
                level["id"],
                f"{level['price']:.2f}",
                *((f"{level['distance']:.2f}",) if wide else ()),
                level["direction"].lower(),
                _bar(score, BAR_WIDTH if wide else NARROW_BAR_WIDTH),
                Text(signal, style=SIGNAL_STYLES.get(signal, "dim")),
                Text(level["barrier"]["state"].lower()),
            )
        return [head, table]


def _bar(score: float, width: int) -> Text:
    filled = round(score / 100 * width)
    style = "red" if score > 70 else "green" if score < 30 else "yellow"
    return Text.assemble(("━" * filled, style), ("─" * (width - filled), "dim"), f" {score:3.0f}")
