"""What the silver service measures, by table; served at ``/metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("breakwater_silver_rows", "Rows committed, hours computed again included.", ["table"])
HOURS = Counter("breakwater_silver_hours", "Hours computed.", ["table"])
CONFLICTS = Counter("breakwater_silver_conflicts", "Commits refused because another writer came first.")
FAILURES = Counter("breakwater_silver_failures", "Steps that failed and were tried again.")
PENDING = Gauge("breakwater_silver_pending_hours", "Hours known to need computing.", ["table"])
STEP_SECONDS = Histogram("breakwater_silver_step_seconds", "Time to compute and commit a step's hours.", ["table"])
