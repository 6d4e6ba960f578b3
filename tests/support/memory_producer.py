"""The producer of :mod:`tests.support.memory_log`, as confluent_kafka 2.16 has it.

Kept from the real one on purpose: `produce` raises BufferError when the queue is full while `produce_batch` queues what
fits and marks the rest; headers exist in `produce` only; a fenced producer fails with the fatal error _FENCED for good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import ClusterMetadata

from tests.support.memory_broker import Entry, Fault, Partition, Transaction, message
from tests.support.memory_consumer import Admin

if TYPE_CHECKING:
    from tests.support.memory_log import Process

Delivery = Callable[[KafkaError | None, Message], None]


def _raise(code: int, reason: str, *, fatal: bool = False, retriable: bool = False, abortable: bool = False) -> None:
    raise KafkaException(KafkaError(code, reason, fatal=fatal, retriable=retriable, txn_requires_abort=abortable))


class Producer:
    """A producer, transactional when it has an id."""

    def __init__(self, process: Process, transactional_id: str | None, overrides: dict[str, Any]) -> None:
        self._process = process
        self._log = process.log
        self._id = transactional_id
        self._limit = int(overrides.get("queue_buffering_max_messages", 1_000_000))
        self._queue: list[tuple[Any, Partition, Delivery | None]] = []
        self._reports: list[tuple[Delivery, KafkaError | None, Message]] = []
        self._epoch = -1
        self._open = False
        self._failed = False
        self._fenced = False

    def __len__(self) -> int:
        return len(self._queue) + len(self._reports)

    # Records

    def produce(
        self,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        partition: int = -1,
        callback: Delivery | None = None,
        on_delivery: Delivery | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        """Queue one record."""
        fault = self._process.fault()
        if fault is Fault.ERROR or len(self._queue) >= self._limit:
            raise BufferError("Local: Queue full")
        self._check_produce()
        pairs = list(headers.items()) if isinstance(headers, dict) else headers
        self._enqueue(topic, value, key, partition, timestamp, pairs, callback or on_delivery)
        self._send_some()
        self._process.finish(fault if fault is Fault.CRASH_AFTER else None)

    def produce_batch(
        self,
        topic: str,
        messages: list[dict[str, Any]],
        partition: int = -1,
        callback: Delivery | None = None,
        on_delivery: Delivery | None = None,
    ) -> int:
        """Queue records; returns how many fitted, the others get ``_error``."""
        if not isinstance(messages, list):
            raise TypeError("messages must be a list")
        fault = self._process.fault()
        self._check_produce()
        room = self._limit - len(self._queue)
        if fault is Fault.ERROR:
            room = min(room, self._log.random.randint(0, max(len(messages) - 1, 0)))
        for item in messages[:room]:
            report = item.get("callback") or callback or on_delivery
            where = item.get("partition", partition)
            self._enqueue(topic, item.get("value"), item.get("key"), where, item.get("timestamp", 0), None, report)
        for item in messages[max(room, 0) :]:
            item["_error"] = KafkaError(KafkaError._QUEUE_FULL, "Message failed: Local: Queue full")
        self._send_some()
        self._process.finish(fault if fault is Fault.CRASH_AFTER else None)
        return min(len(messages), max(room, 0))

    def poll(self, timeout: float = -1) -> int:
        """Send and serve delivery reports."""
        fault = self._process.fault()
        self.deliver(len(self._queue))
        self._process.finish(_only_crash(fault))
        return self._serve()

    def flush(self, timeout: float = -1) -> int:
        """As poll; returns what is left (all of it while the broker is down)."""
        fault = self._process.fault()
        self.deliver(len(self._queue))
        self._process.finish(_only_crash(fault))
        self._serve()
        self._raise_if_fenced()
        return len(self._queue)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Drop what is queued."""
        self._fail_queue(KafkaError(KafkaError._PURGE_QUEUE, "purged"))

    def close(self) -> bool:
        """Abort an open transaction, flush, end."""
        if self._id is not None and self._open and not self._fenced:
            self.abort_transaction()
        self.flush()
        return True

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """As Admin.list_topics."""
        return Admin(self._process).list_topics(topic, timeout)

    def cluster_id(self, timeout: float = -1) -> str:
        """The log's cluster id."""
        return self._log.cluster_id

    # Transactions

    def init_transactions(self, timeout: float = -1) -> None:
        """Take the transactional id over: what it had open is aborted, earlier owners are fenced."""
        fault = self._transactional_call()
        self._epoch = self._log.open_epoch(self._need_id())
        self._process.finish(fault)

    def begin_transaction(self) -> None:
        """Local only, as in librdkafka."""
        fault = self._process.fault()
        self._raise_if_fenced()
        if self._epoch < 0 or self._open:
            _raise(KafkaError._STATE, f"Operation not valid in state {'InTransaction' if self._open else 'Init'}")
        self._open, self._failed = True, False
        self._process.finish(fault if fault is Fault.CRASH_AFTER else None)

    def commit_transaction(self, timeout: float = -1) -> None:
        """Deliver what is queued, then make the transaction visible, in every partition at once."""
        fault = self._transactional_call()
        self._need_open()
        self.deliver(len(self._queue))
        self._raise_if_fenced()
        if self._failed:
            _raise(KafkaError._INVALID_ARG, "a message of the transaction failed", abortable=True)
        self._log.finish_transaction(self._need_id(), "committed")
        self._open = False
        self._process.finish(fault)
        self._serve()

    def abort_transaction(self, timeout: float = -1) -> None:
        """Drop what is queued and make what was sent invisible for good."""
        fault = self._transactional_call(aborting=True)
        self._need_open()
        self._fail_queue(KafkaError(KafkaError._PURGE_QUEUE, "the transaction was aborted"))
        self._raise_if_fenced()
        self._log.finish_transaction(self._need_id(), "aborted")
        self._open = self._failed = False
        self._process.finish(fault)
        self._serve()

    # The broker's side

    def deliver(self, count: int) -> None:
        """Let the first ``count`` queued records reach the broker (none while it is down)."""
        if self._log.down:
            return
        if self._current_epoch_lost():
            self._fenced = True
            self._fail_queue(KafkaError(KafkaError._FENCED, "a newer producer has the transactional id", fatal=True))
            return
        sent, self._queue = self._queue[:count], self._queue[count:]
        for entry, part, report in sent:
            entry.transaction = self._transaction()
            part.append(entry)
            if report is not None:
                self._reports.append((report, None, message(part.topic, part.number, entry)))

    def _transaction(self) -> Any:
        if self._id is None:
            return None
        return self._log.transactions.setdefault(self._id, Transaction(self._id))

    def _enqueue(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int,
        timestamp: int,
        headers: list[tuple[str, str | bytes | None]] | None,
        report: Delivery | None,
    ) -> None:
        if partition < 0:
            raise AssertionError("every record of ours names its partition")
        coded = None if headers is None else [(name, _bytes(item) or b"") for name, item in headers]
        entry = Entry(-1, _bytes(key), _bytes(value), coded, timestamp or self._log.now_ms)
        self._queue.append((entry, self._log.partition(topic, partition), report))

    def _send_some(self) -> None:
        if self._log.seeded:
            self.deliver(self._log.random.randint(0, len(self._queue)))

    def _serve(self) -> int:
        reports, self._reports = self._reports, []
        for report, error, about in reports:
            report(error, about)
        return len(reports)

    def _fail_queue(self, error: KafkaError) -> None:
        for entry, part, report in self._queue:
            if report is not None:
                self._reports.append((report, error, message(part.topic, part.number, entry)))
        self._queue = []
        self._failed = self._open

    def _transactional_call(self, *, aborting: bool = False) -> Any:
        fault = self._process.fault()
        self._need_id()
        if self._current_epoch_lost():
            self._fenced = True
        self._raise_if_fenced()
        if fault is Fault.ERROR or self._log.down:
            _raise(KafkaError._TIMED_OUT, "Timed out waiting for operation to finish", retriable=True)
        if fault is Fault.ABORTABLE and self._open and not aborting:
            self._failed = True
            _raise(KafkaError._MSG_TIMED_OUT, "the transaction must be aborted", abortable=True)
        return fault

    def _current_epoch_lost(self) -> bool:
        return self._id is not None and self._epoch >= 0 and self._log.epochs.get(self._id) != self._epoch

    def _raise_if_fenced(self) -> None:
        if self._fenced:
            _raise(KafkaError._FENCED, f"{self._id}: fenced by a newer producer", fatal=True)

    def _check_produce(self) -> None:
        self._raise_if_fenced()
        if self._id is not None and not self._open:
            _raise(KafkaError._STATE, "Unable to produce message: Local: Erroneous state")

    def _need_id(self) -> str:
        if self._id is None:
            _raise(KafkaError._NOT_CONFIGURED, "no transactional.id")
        assert self._id is not None
        return self._id

    def _need_open(self) -> None:
        if not self._open:
            _raise(KafkaError._STATE, "Operation not valid in state Ready")


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _only_crash(fault: Any) -> Any:
    """Of the faults after the effect only the crash applies to calls that cannot lose an answer."""
    return fault if fault is Fault.CRASH_AFTER else None
