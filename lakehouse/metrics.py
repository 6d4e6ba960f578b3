"""What the sink measures, by table; served at ``/metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("breakwater_sink_rows", "Rows committed to the table.", ["table"])
COMMITS = Counter("breakwater_sink_commits", "Commits made to the table.", ["table"])
CONFLICTS = Counter("breakwater_sink_conflicts", "Batches dropped because another writer had moved on.", ["table"])
FAILURES = Counter("breakwater_sink_commit_failures", "Attempts of a commit that failed or stayed unknown.", ["table"])
DEAD_LETTERS = Counter("breakwater_sink_dead_letters", "Records that could not be decoded.", ["table"])
REPEATED = Counter("breakwater_sink_repeated", "Rows dropped because they were sent again.", ["table"])
LAG = Gauge("breakwater_sink_lag_records", "Offsets between the table and the end of the topic.", ["table"])
FRESHNESS = Gauge(
    "breakwater_sink_freshness_seconds", "Age of the last commit's oldest record when it became visible.", ["table"]
)
COMMIT_SECONDS = Histogram("breakwater_sink_commit_seconds", "Time to write and commit a batch.", ["table"])
