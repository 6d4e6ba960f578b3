"""What a replay did, counted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from common import schemas, topics
from common.config import EngineConfig
from common.digest import SignalsDigest
from common.times import shown_time
from producers.replay.diff import Diff
from producers.replay.engine import Judged, table_of

_SIGNALS = schemas.load(topics.SIGNALS)


@dataclass
class Summary:
    """Counts of the rows within the range and of all records read, those of the warm-up included.

    ``places``: first and next offset by full topic name, where the input came from topics.
    """

    config: EngineConfig
    changed_keys: dict[str, Any]
    places: dict[str, tuple[int, int]]
    events: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    digest: SignalsDigest = field(default_factory=SignalsDigest)
    first_ns: int | None = None
    last_ns: int | None = None
    elapsed_s: float = 0.0
    diff: Diff | None = None

    def add(self, judged: Judged) -> None:
        """Count one step's rows within the range."""
        for topic, batch in judged.rows.items():
            self.rows[topic] += batch.length
        batch = judged.signals
        if batch.length == 0:
            return
        times = batch["ts_event_ns"]
        self.first_ns = int(times[0]) if self.first_ns is None else self.first_ns
        self.last_ns = int(times[-1])
        symbols = _SIGNALS.field("signal").symbols
        counts = np.bincount(batch["signal"].astype(np.int64), minlength=len(symbols))
        self.kinds.update(dict(zip(symbols, counts.tolist(), strict=True)))
        self.digest.update(table_of(batch))

    def as_json(self) -> str:
        """One JSON object on one line; ``signals`` holds the count and the count per kind."""
        signals = {name: self.kinds[name] for name in sorted(_SIGNALS.field("signal").symbols)}
        data: dict[str, Any] = {
            "events": dict(sorted(self.events.items())),
            "features": self.rows[topics.FEATURES],
            "signals": {"count": self.rows[topics.SIGNALS], **signals},
            "outcomes": self.rows[topics.OUTCOMES],
            "flow": self.rows[topics.OPTIONS_FLOW],
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "offsets": {name: list(place) for name, place in sorted(self.places.items())},
            "signals_digest": self.digest.hexdigest(),
            "config_hash": self.config.hash,
            "set": self.changed_keys,
            "elapsed_s": round(self.elapsed_s, 3),
        }
        if self.diff is not None:
            data["diff"] = self.diff.as_data()
        return json.dumps(data)

    def show(self, console: Console) -> None:
        """Print it for a person."""
        table = Table(title="Replay", show_header=False)
        for topic, count in sorted(self.events.items()):
            table.add_row(topic, f"{count:,}")
        for topic, (begin, end) in sorted(self.places.items()):
            table.add_row(f"  {topic}", f"offsets {begin:,} to {end:,}")
        if self.first_ns is not None and self.last_ns is not None:
            table.add_row("snaps", f"{shown_time(self.first_ns)} to {shown_time(self.last_ns)} UTC")
        for name, topic in (("feature", topics.FEATURES), ("outcome", topics.OUTCOMES), ("flow", topics.OPTIONS_FLOW)):
            table.add_row(f"{name} rows", f"{self.rows[topic]:,}")
        table.add_row("signal rows", f"{self.rows[topics.SIGNALS]:,}")
        for kind in _SIGNALS.field("signal").symbols:
            table.add_row(f"  {kind}", f"{self.kinds[kind]:,}")
        changed = "".join(f", {key}={value}" for key, value in self.changed_keys.items())
        table.add_row("configuration", self.config.hash + changed)
        table.add_row("elapsed", f"{self.elapsed_s:.2f} s")
        console.print(table)
        if self.diff is not None:
            self.diff.show(console)
        console.print(f"signals digest {self.digest.hexdigest()}", soft_wrap=True, highlight=False)
