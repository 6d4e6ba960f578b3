"""What a demo did, counted in the tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from common import iceberg, schemas, topics
from common.digest import SignalsDigest
from lakehouse.read import signals, snapshot_id, table_rows
from lakehouse.silver.pipeline import computed_names


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a demo. ``events``: records of the input per topic; ``kinds``: signal rows per signal."""

    events: Mapping[str, int]
    features: int
    kinds: Mapping[str, int]
    tables: Mapping[str, int]
    snapshots: Mapping[str, int | None]
    signals_digest: str
    api_url: str
    elapsed_s: float

    @property
    def signals(self) -> int:
        """Signal rows."""
        return sum(self.kinds.values())

    def as_json(self) -> str:
        """One JSON object on one line; snapshot ids are strings, as they exceed JSON's exact range."""
        return json.dumps(
            {
                "events": dict(self.events),
                "features": self.features,
                "signals": {"count": self.signals, **self.kinds},
                "tables": dict(self.tables),
                "snapshots": {name: None if one is None else str(one) for name, one in self.snapshots.items()},
                "signals_digest": self.signals_digest,
                "api_url": self.api_url,
                "elapsed_s": round(self.elapsed_s, 3),
            }
        )

    def show(self, console: Console) -> None:
        """Print it for a person."""
        shown = Table(show_header=False, box=None, padding=(0, 2))
        shown.add_column(justify="left")
        shown.add_column(justify="right")
        shown.add_column(style="dim")
        for topic, count in self.events.items():
            shown.add_row(topic, f"{count:,}", "events in")
        for name, rows in self.tables.items():
            if rows:
                shown.add_row(name, f"{rows:,}", "rows")
        for kind, count in self.kinds.items():
            shown.add_row(f"  {kind}", f"{count:,}", "signals")
        console.print(shown)
        console.print(f"  signals digest {self.signals_digest}", soft_wrap=True, highlight=False)
        console.print(f"  the input was through all stages after {self.elapsed_s:.1f} s", highlight=False)


def summarize(events: Mapping[str, int], api_url: str, elapsed_s: float) -> Summary:
    """Count what the tables hold now, by reading them. Raises InputError while there is no table of signals."""
    counted: Counter[str] = Counter()
    digest = SignalsDigest()
    for rows in signals():
        digest.update(rows)
        counted.update({pair["values"]: pair["counts"] for pair in pc.value_counts(rows["signal"]).to_pylist()})
    kinds = schemas.load(topics.SIGNALS).field("signal").symbols
    names = [*iceberg.TABLES.values(), *computed_names()]
    tables = {name: digest.rows if name == iceberg.TABLES[topics.SIGNALS] else table_rows(name) for name in names}
    return Summary(
        events=events,
        features=tables[iceberg.TABLES[topics.FEATURES]],
        kinds={kind: counted[kind] for kind in kinds},
        tables=tables,
        snapshots={name: snapshot_id(name) for name in names},
        signals_digest=digest.hexdigest(),
        api_url=api_url,
        elapsed_s=elapsed_s,
    )
