"""The API as a process: the log read in a thread, tables read on request, and a good end on SIGTERM."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pyarrow as pa
from pyiceberg.expressions import BooleanExpression

from api.feed import FLOW, SIGNALS, SnapFeed, Stream
from api.history import HistoryReader
from api.live import LiveFlow, LiveSignals, LiveSnaps
from api.models import TableState
from api.server import bound_socket, make_server, serve
from api.snaps import AnySnap
from api.state import ApiState
from api.websocket import Hub
from common import endpoints, iceberg, kafka, topics
from common.config import load_config
from common.errors import ConfigError, InvariantError, UnavailableError
from common.registry import Registry
from common.settings import settings
from common.telemetry import Health, configure_logging, get_logger, serve_health, stop_requested

SERVICE = "api"
REGISTRY_PATIENCE_S = 2.0
"""How long one question to the registry may take: the feed asks again by itself, and a stop must not wait for it."""

log = get_logger("api.service")


def scan_signals(row_filter: BooleanExpression, columns: Sequence[str]) -> pa.Table | None:
    """Rows of gold.levels_signals, None while there is no such table.

    Raises UnavailableError when it cannot be read.
    """
    name = iceberg.TABLES[topics.SIGNALS]
    try:
        if iceberg.load_table(name) is None:
            return None
        return iceberg.scan(name, row_filter, columns)
    except OSError as error:
        # A file that maintenance removed between planning and reading, or storage that is away.
        raise UnavailableError(f"{name} cannot be read: {error}", hint="Ask again; see /v1/health.") from error


def table_states() -> dict[str, TableState]:
    """The tables this API reads, as they are now."""
    name = iceberg.TABLES[topics.SIGNALS]
    table = iceberg.load_table(name)
    if table is None:
        return {name: TableState(exists=False, snapshot_id=None, rows=None)}
    snapshot = table.current_snapshot()
    if snapshot is None:
        return {name: TableState(exists=True, snapshot_id=None, rows=0)}
    total = snapshot.summary["total-records"] if snapshot.summary is not None else None
    return {
        name: TableState(exists=True, snapshot_id=str(snapshot.snapshot_id), rows=None if total is None else int(total))
    }


def run() -> None:
    """Run the API until SIGTERM or SIGINT. Raises BreakwaterError when it cannot begin."""
    configure_logging(SERVICE)
    stop = stop_requested()
    names = settings().complex_names
    if len(names) != 1:
        raise ConfigError(
            f"the API serves one complex, not {settings().complexes!r}", hint="Set BREAKWATER_COMPLEXES to one name."
        )
    partition = topics.partition_of(names[0])
    health = Health()
    live, flow = LiveSignals(), LiveFlow()
    registry = Registry(endpoints.resolve().registry_url, patience_s=REGISTRY_PATIENCE_S)

    def feed_of(stream: Stream[AnySnap], into: LiveSnaps[AnySnap]) -> SnapFeed[AnySnap]:
        topic = topics.full_name(stream.topic, settings().namespace)
        return SnapFeed(kafka.consumer(), stream, registry.schema, into, health, topic=topic, partition=partition)

    signal_feed, flow_feed = feed_of(SIGNALS, live), feed_of(FLOW, flow)
    feeds = (signal_feed, flow_feed)
    state = ApiState(
        live=live,
        history=HistoryReader(scan_signals, live),
        health=health,
        tables=table_states,
        lag_records=lambda: signal_feed.lag_records,
        config=load_config(),
        profile=settings().profile,
        hub=Hub(live),
        flow_hub=Hub(flow, key="strikes"),
    )
    server = make_server(state)
    with bound_socket(settings().api_host, settings().api_port) as listener:
        host = settings().api_host
        url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        with serve_health(SERVICE, health, url=url):
            for feed in feeds:
                feed.start()
            log.info("api_serves", url=url, docs=f"{url}/docs")
            try:
                asyncio.run(
                    serve(server, listener, lambda: stop.is_set() or any(feed.failure is not None for feed in feeds))
                )
            finally:
                for feed in feeds:
                    feed.stop()
    log.info("api_stopped")
    for feed in feeds:
        if feed.failure is not None:
            raise InvariantError(
                f"the reading of the log stopped: {feed.failure}", hint="The log says more; start the API again."
            ) from feed.failure
