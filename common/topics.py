"""Which topics there are, and where a complex's records lie in them.

A topic's name is its schema's name, in the namespace of the run (empty when live). A complex is one underlying with
all that belongs to it; its number is its partition in every topic, set explicitly on every record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common import schemas
from common.errors import ConfigError

FUTURES_MBP10 = "futures.mbp10.v1"
FUTURES_TRADES = "futures.trades.v1"
FUTURES_STATUS = "futures.status.v1"
FUTURES_DEFINITIONS = "futures.definitions.v1"
STOCKS_TRADES = "stocks.trades.v1"
STOCKS_QUOTES = "stocks.quotes.v1"
OPTIONS_TRADES = "options.trades.v1"
OPTIONS_QUOTES = "options.quotes.v1"
OPTIONS_GREEKS = "options.greeks_snapshots.v1"
REQUESTS = "control.requests.v1"
HEARTBEATS = "control.heartbeats.v1"
MARKERS = "control.markers.v1"
FEATURES = "levels.features.v1"
SIGNALS = "levels.signals.v1"
OUTCOMES = "levels.outcomes.v1"
OPTIONS_FLOW = "options.flow.v1"
DEAD_LETTERS = "dead_letters.v1"
CHECKPOINTS = "features.checkpoints"
"""Compacted, internal: the features worker's state, in chunks of bytes of its own format."""

ENGINE_INPUTS = (
    FUTURES_MBP10,
    FUTURES_TRADES,
    FUTURES_STATUS,
    FUTURES_DEFINITIONS,
    STOCKS_QUOTES,
    STOCKS_TRADES,
    OPTIONS_QUOTES,
    OPTIONS_TRADES,
    OPTIONS_GREEKS,
    REQUESTS,
)
"""Topics whose records the engine applies, in rank order: of equal times the earlier topic comes first only where the
merge key says so.
"""

KEPT = (REQUESTS,)
"""Topics whose first record still counts today, so that no retention may cut them: what people ask holds until they
take it back. They are small.
"""

ALWAYS_AWAITED = (FUTURES_MBP10, FUTURES_TRADES)
"""Inputs that are never set aside: without ES nothing is published."""

COMPLEXES: dict[str, int] = {"SPY": 0}
"""Partition of each complex. Numbers are never reused; a new complex takes the next one."""

HEADER_RUN_ID = "run_id"
HEADER_TRACEPARENT = "traceparent"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is created. ``kept``: whatever the broker's retention is, nothing is ever deleted."""

    name: str
    partitions: int
    cleanup: Literal["delete", "compact"] = "delete"
    kept: bool = False


def partition_of(complex_name: str) -> int:
    """The partition of a complex. Raises ConfigError for an unknown one."""
    try:
        return COMPLEXES[complex_name]
    except KeyError:
        known = ", ".join(COMPLEXES)
        raise ConfigError(f"unknown complex {complex_name!r}", hint=f"Known complexes: {known}") from None


def full_name(topic: str, namespace: str = "") -> str:
    """The topic's name in a namespace (``replay.<run_id>``); the live namespace is empty."""
    return f"{namespace}.{topic}" if namespace else topic


def specs(namespace: str = "") -> list[TopicSpec]:
    """Every topic of the platform, in the namespace. Faust makes its own changelogs besides."""
    count = max(COMPLEXES.values()) + 1
    out = [TopicSpec(full_name(name, namespace), count, kept=name in KEPT) for name in schemas.names()]
    out.append(TopicSpec(full_name(CHECKPOINTS, namespace), count, "compact"))
    return out
