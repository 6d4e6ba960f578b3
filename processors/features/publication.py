"""What a step leaves in the log: one transaction with its rows, a marker, dead letters and, at times, a checkpoint.

After the commit a reader of committed records sees all of it, before it nothing. Raises ConflictError when another
worker has taken the complex over; KafkaException for everything else that goes wrong, after which this producer is of
no more use and the outcome of the commit is unknown: the worker recovers and learns it from the markers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from common import topics
from common.errors import ConflictError, UnavailableError
from processors.checkpoint import Checkpoint, to_records
from processors.features.intake import DeadLetter
from processors.features.stepping import Output, Step
from processors.features.wire import Wire

TRANSACTION_TIMEOUT_S = 15.0
"""How long the broker may take to open or commit a transaction; then the worker says so and tries a recovery."""

_ROWS_PER_CALL = 5_000
_DEAD_LETTER_BYTES = 900_000
"""A dead letter's value is cut to this, so that the letter still fits in a record."""

_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
    }
)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Everything that one transaction publishes. ``marker`` has the fields of control.markers.v1."""

    output: Output | None
    marker: Mapping[str, Any]
    dead_letters: Sequence[DeadLetter]
    checkpoint: Checkpoint | None


class Publication:
    """The transactional producer of one complex. Opening it fences every earlier one."""

    def __init__(self, producer: Any, wire: Wire, complex_name: str, run_id: str) -> None:
        self._producer = producer
        self._wire = wire
        self._complex = complex_name
        self._partition = topics.partition_of(complex_name)
        self._headers = {topics.HEADER_RUN_ID: run_id}

    def open(self) -> None:
        """Take the complex over: abort what an earlier owner left open. Raises KafkaException, ConflictError."""
        self._guarded(lambda: self._producer.init_transactions(TRANSACTION_TIMEOUT_S))

    def publish(self, record: StepRecord, now_ns: int) -> int:
        """Commit everything at once; returns the bytes of the checkpoint (0 without one)."""
        written: int = self._guarded(lambda: self._publish(record, now_ns))
        return written

    def _publish(self, record: StepRecord, now_ns: int) -> int:
        producer = self._producer
        producer.begin_transaction()
        if record.output is not None:
            for batch in (record.output.features, record.output.outcomes, record.output.flow):
                if batch.length:
                    self._send_rows(batch.name, self._wire.encode(batch))
        for letter in record.dead_letters:
            self._send(topics.DEAD_LETTERS, self._complex.encode(), self._dead_letter(letter, now_ns))
        checkpoint_bytes = 0
        if record.checkpoint is not None:
            for key, value in to_records(self._complex, record.checkpoint):
                self._send(topics.CHECKPOINTS, key, value)
                checkpoint_bytes += len(value)
        self._send(topics.MARKERS, self._complex.encode(), self._wire.encode_row(topics.MARKERS, record.marker))
        producer.commit_transaction(TRANSACTION_TIMEOUT_S)
        return checkpoint_bytes

    def _send_rows(self, name: str, values: Sequence[bytes]) -> None:
        key = self._complex.encode()
        topic = self._wire.topic(name)
        # Batches carry no headers: the first row goes alone and names the run for those after it.
        self._send(name, key, values[0])
        for start in range(1, len(values), _ROWS_PER_CALL):
            messages = [{"value": value, "key": key} for value in values[start : start + _ROWS_PER_CALL]]
            queued = self._producer.produce_batch(topic, messages, partition=self._partition)
            if queued < len(messages):
                # Some of a snap's rows are missing: this transaction must never be committed.
                raise KafkaException(KafkaError(KafkaError._QUEUE_FULL, f"{queued} of {len(messages)} rows queued"))
            self._producer.poll(0)

    def _send(self, name: str, key: bytes, value: bytes) -> None:
        self._producer.produce(
            self._wire.topic(name), value=value, key=key, partition=self._partition, headers=self._headers
        )

    def _dead_letter(self, letter: DeadLetter, now_ns: int) -> bytes:
        value, error = letter.value, letter.error
        if value is not None and len(value) > _DEAD_LETTER_BYTES:
            error = f"{error} (value cut from {len(value)} to {_DEAD_LETTER_BYTES} bytes)"
            value = value[:_DEAD_LETTER_BYTES]
        return self._wire.encode_row(
            topics.DEAD_LETTERS,
            {
                "ts_event_ns": now_ns,
                "topic": self._wire.topic(letter.topic),
                "partition": letter.partition,
                "offset": letter.offset,
                "component": "features",
                "error": error,
                "key": letter.key,
                "value": value,
            },
        )

    def _guarded(self, call: Any) -> Any:
        try:
            return call()
        except BufferError as error:
            raise UnavailableError(f"the producer's queue is full: {error}", hint="The broker is too slow.") from error
        except KafkaException as error:
            if error.args[0].code() in _FENCED:
                raise ConflictError(
                    f"another features worker has taken over {self._complex}",
                    hint="Run one worker per complex; the newest wins.",
                ) from error
            raise


def marker_row(
    *,
    step: Step | None,
    floor_ns: int,
    set_aside: Sequence[str],
    complex_name: str,
    inputs: Sequence[str],
    next_offsets: Sequence[int],
    promises_ns: Sequence[int],
    last_snap_ns: int,
    config_hash: str,
    code_version: str,
    run_id: str,
) -> dict[str, Any]:
    """A record of control.markers.v1. ``last_snap_ns`` stands in for a step without snaps; without a step (a checkpoint
    or dead letters alone) the marker covers no time, at ``floor_ns``.
    """
    times = step.snap_times_ns if step else []
    return {
        "ts_event_ns": max(times[-1], last_snap_ns) if times else last_snap_ns,
        "underlying": complex_name,
        "ts_first_snap_ns": times[0] if times else None,
        "snaps": len(times),
        "rows": step.output.features.length if step else 0,
        "input_topics": list(inputs),
        "input_next_offsets": list(next_offsets),
        "ts_promises_ns": list(promises_ns),
        "set_aside": list(set_aside),
        "config_hash": config_hash,
        "code_version": code_version,
        "run_id": run_id,
        "ts_from_ns": step.from_ns if step else floor_ns,
        "ts_until_ns": step.until_ns if step else floor_ns,
        "outcomes": step.output.outcomes.length if step else 0,
        "flow_rows": step.output.flow.length if step else 0,
    }
