"""What the routes and sockets share: the live snaps, the history, the parts' health.

Made once by whoever starts the API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from api.history import HistoryReader
from api.live import LiveSignals
from api.models import ConfigKey, EngineConfiguration, HealthReport, Part, SignalState, TableState
from api.snaps import FlowSnap, Snap
from api.websocket import Hub
from common.config import EngineConfig
from common.telemetry import Health

HISTORY_SLOTS = 4
"""History requests that read the tables at the same time; others wait their turn, the live answers do not."""

Tables = Callable[[], dict[str, TableState]]
"""The tables this API reads. Raises UnavailableError when the catalog does not answer."""


@dataclass(frozen=True)
class ApiState:
    """One API's parts. ``lag_records`` asks the feed; ``profile`` and ``config`` are the engine's."""

    live: LiveSignals
    history: HistoryReader
    health: Health
    tables: Tables
    lag_records: Callable[[], int | None]
    config: EngineConfig
    profile: str
    hub: Hub[Snap]
    flow_hub: Hub[FlowSnap]
    history_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HISTORY_SLOTS))

    def health_report(self) -> HealthReport:
        """How everything is now. Reads the catalog: call it off the event loop."""
        parts = {name: Part(**part) for name, part in self.health.report()["parts"].items()}
        tables: dict[str, TableState] = {}
        try:
            tables = self.tables()
            missing = [name for name, table in tables.items() if not table.exists]
            detail = f"not made yet: {', '.join(missing)}" if missing else ""
            parts["tables"] = Part(ok=not missing, detail=detail)
        except Exception as error:
            # Whatever a catalog raises, health must be able to say it.
            parts["tables"] = Part(ok=False, detail=f"the catalog does not answer: {error}")
        latest = self.live.latest
        live_ok = all(part.ok for name, part in parts.items() if name != "tables")
        status: Literal["ok", "degraded", "down"] = "degraded" if live_ok or latest is not None else "down"
        if all(part.ok for part in parts.values()):
            status = "ok"
        return HealthReport(
            status=status,
            parts=parts,
            signals=SignalState(
                lag_records=self.lag_records(),
                latest_seq=None if latest is None else latest.seq,
                latest_ts=None if latest is None else latest.ts_ms,
                ws_clients=self.hub.clients + self.flow_hub.clients,
            ),
            tables=tables,
        )

    def engine_configuration(self) -> EngineConfiguration:
        """The engine's configuration as it is documented."""
        keys = [ConfigKey(**key) for key in self.config.described()]
        return EngineConfiguration(profile=self.profile, hash=self.config.hash, keys=keys)
