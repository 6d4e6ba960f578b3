"""A second look at the log, with the platform's own client: which committed record comes next."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from common.kafka import REQUEST_TIMEOUT_S, consumer, unavailable


class Probe:
    """Finds the first committed record at or after an offset. Threads may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._consumer: Consumer = consumer(
            enable_partition_eof=True,
            queued_min_messages=1,
            queued_max_messages_kbytes=64,
            fetch_message_max_bytes=65_536,
        )

    def __call__(self, topic: str, partition: int, offset: int) -> int | None:
        """Its offset; None when the log ends before one. Raises UnavailableError."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        with self._lock:
            self._consumer.assign([TopicPartition(topic, partition, offset)])
            try:
                while time.monotonic() < deadline:
                    message = self._consumer.poll(0.2)
                    if message is None:
                        continue
                    error = message.error()
                    if error is None:
                        return message.offset()
                    if error.code() == KafkaError._PARTITION_EOF:
                        return None
                    raise unavailable(f"give the record after offset {offset} of {topic}-{partition}", error)
                timed_out = KafkaError(KafkaError._TIMED_OUT)
                raise unavailable(f"give the record after offset {offset} of {topic}-{partition}", timed_out)
            except KafkaException as error:
                raise unavailable(f"give the record after offset {offset} of {topic}-{partition}", error) from error
            finally:
                self._consumer.unassign()
