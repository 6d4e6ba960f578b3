"""What the features worker measures about itself, per complex, for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

_RECORDS = Counter("breakwater_features_records", "Records read from the inputs and heartbeats.", ["complex"])
_EVENTS = Counter("breakwater_features_events", "Events the engine applied.", ["complex"])
_ROWS = Counter("breakwater_features_rows", "Feature rows committed.", ["complex"])
_SNAPS = Counter("breakwater_features_snaps", "Snaps committed.", ["complex"])
_DEAD = Counter("breakwater_features_dead_letters", "Records set aside.", ["complex"])
_RECOVERIES = Counter("breakwater_features_recoveries", "Recoveries after the first start.", ["complex"])
_LAG = Gauge("breakwater_features_lag_records", "Records in the log not read yet.", ["complex", "topic"])
_LAG_SECONDS = Gauge("breakwater_features_lag_seconds", "Event time read but held back by another input.", ["complex"])
_ASIDE = Gauge("breakwater_features_input_aside", "1 while the input is not waited for.", ["complex", "topic"])
_CHECKPOINT = Gauge("breakwater_features_checkpoint_bytes", "Size of the newest checkpoint in the log.", ["complex"])
_STEP = Histogram("breakwater_features_step_seconds", "Time of one step of the engine.", ["complex"])
_COMMIT = Histogram("breakwater_features_commit_seconds", "Time of one transaction.", ["complex"])


@dataclass(frozen=True, slots=True)
class Numbers:
    """The metrics of one complex."""

    complex_name: str
    records: Counter
    events: Counter
    rows: Counter
    snaps: Counter
    dead_letters: Counter
    recoveries: Counter
    lag_seconds: Gauge
    checkpoint_bytes: Gauge
    step_seconds: Histogram
    commit_seconds: Histogram

    def lag(self, topic: str) -> Gauge:
        """The lag of one input, in records."""
        return _LAG.labels(self.complex_name, topic)

    def aside(self, topic: str) -> Gauge:
        """1 while the input is not waited for, else 0."""
        return _ASIDE.labels(self.complex_name, topic)


def of_complex(name: str) -> Numbers:
    """The metrics labelled with the complex."""
    return Numbers(
        complex_name=name,
        records=_RECORDS.labels(name),
        events=_EVENTS.labels(name),
        rows=_ROWS.labels(name),
        snaps=_SNAPS.labels(name),
        dead_letters=_DEAD.labels(name),
        recoveries=_RECOVERIES.labels(name),
        lag_seconds=_LAG_SECONDS.labels(name),
        checkpoint_bytes=_CHECKPOINT.labels(name),
        step_seconds=_STEP.labels(name),
        commit_seconds=_COMMIT.labels(name),
    )
