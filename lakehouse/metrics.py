"""What the sink measures, by table; served at ``/metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("breakwater_sink_rows", "Rows committed to the table.", ["table"])
COMMITS = Counter("breakwater_sink_commits", "Commits made to the table.", ["table"])
CLAIMS = Counter("breakwater_sink_claims", "Times that this sink became the owner of partitions.", ["table"])
CONFLICTS = Counter("breakwater_sink_conflicts", "Batches dropped because another writer had moved on.", ["table"])
FAILURES = Counter("breakwater_sink_commit_failures", "Attempts of a commit that failed or stayed unknown.", ["table"])
DEAD_LETTERS = Counter("breakwater_sink_dead_letters", "Records that could not be decoded.", ["table"])
REPEATED = Counter("breakwater_sink_repeated", "Rows dropped because they were sent again.", ["table"])
LAG = Gauge("breakwater_sink_lag_records", "Offsets between the table and the end of the topic.", ["table"])
HELD = Gauge("breakwater_sink_held_bytes", "Rows read and not yet committed.", ["table"])
FRESHNESS = Histogram(
    "breakwater_sink_freshness_seconds",
    "Age of each commit's oldest record when it became visible.",
    ["table"],
    buckets=(0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 15, 30, 60, 300, 3600),
)
COMMIT_SECONDS = Histogram(
    "breakwater_sink_commit_seconds",
    "Time to write and commit a batch.",
    ["table"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
FILE_BYTES = Histogram(
    "breakwater_sink_file_bytes",
    "Size of each data file that was written.",
    ["table"],
    buckets=(1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8),
)
