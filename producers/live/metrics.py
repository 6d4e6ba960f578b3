"""What a live producer counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECEIVED = Counter("breakwater_live_received_total", "Records and bad messages that a feed handed over.", ["topic"])
STORED = Counter("breakwater_live_stored_total", "Records acknowledged by the broker.", ["topic"])
DUPLICATES = Counter("breakwater_live_duplicates_total", "Records and bad messages that were there already.", ["topic"])
LATE = Counter("breakwater_live_late_total", "Records pushed forward to keep a partition's order.", ["topic"])
GAPS = Counter("breakwater_live_gaps_total", "Intervals that were lost with a connection.", ["topic"])
DEAD = Counter("breakwater_live_dead_letters_total", "Messages that could not be used.", ["topic"])
CONNECTED = Gauge("breakwater_live_connected", "1 while the topic's connection is up and caught up.", ["topic"])
SPOOL_BYTES = Gauge("breakwater_live_spool_bytes", "Size of the spool on the disk.")
SPOOL_FULL = Gauge("breakwater_live_spool_full", "1 while the spool is full and the feed is held back.")
ADDED_LATENCY = Histogram(
    "breakwater_live_added_latency_seconds",
    "From the socket to the broker's acknowledgement, per frame by its oldest record.",
    buckets=(0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0),
)
