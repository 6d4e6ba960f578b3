"""Prometheus metrics of the API, served at /metrics of the health address."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram


@dataclass(frozen=True)
class Meters:
    """What is counted of one topic's reading."""

    rows: Counter
    snaps: Counter
    bad_records: Counter
    incomplete_snaps: Counter
    lag_records: Gauge
    latest_snap_s: Gauge


SIGNALS = Meters(
    Counter("breakwater_api_signal_rows_total", "Rows of levels.signals.v1 read."),
    Counter("breakwater_api_snaps_total", "Whole snaps of levels.signals.v1 read."),
    Counter("breakwater_api_bad_records_total", "Records of levels.signals.v1 that could not be decoded."),
    Counter("breakwater_api_incomplete_snaps_total", "Snaps of signals given up because a later one began."),
    Gauge("breakwater_api_signals_lag_records", "Offsets between the reading and the end of levels.signals.v1."),
    Gauge("breakwater_api_latest_snap_seconds", "Event time of the newest snap of signals, s since the epoch, UTC."),
)
FLOW = Meters(
    Counter("breakwater_api_flow_rows_total", "Rows of options.flow.v1 read."),
    Counter("breakwater_api_flow_snaps_total", "Whole snaps of options.flow.v1 read."),
    Counter("breakwater_api_flow_bad_records_total", "Records of options.flow.v1 that could not be decoded."),
    Counter("breakwater_api_flow_incomplete_snaps_total", "Snaps of flow given up because a later one began."),
    Gauge("breakwater_api_flow_lag_records", "Offsets between the reading and the end of options.flow.v1."),
    Gauge("breakwater_api_flow_latest_snap_seconds", "Event time of the newest snap of flow, s since the epoch, UTC."),
)
REQUESTS = Counter("breakwater_api_requests_total", "HTTP requests.", ["route", "method", "status"])
REQUEST_S = Histogram("breakwater_api_request_seconds", "Time to answer an HTTP request.", ["route", "method"])
WS_CLIENTS = Gauge("breakwater_api_ws_clients", "WebSocket clients connected.")
WS_FRAMES = Counter("breakwater_api_ws_frames_total", "WebSocket frames sent.", ["type"])
WS_SKIPPED = Counter("breakwater_api_ws_skipped_snaps_total", "Snaps that slow WebSocket clients did not get.")
WS_SLOW_CLOSED = Counter("breakwater_api_ws_slow_closed_total", "WebSocket clients closed because they did not read.")
