"""The producer of files as a process: clients, health, metrics, and its end on a signal."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from common import endpoints, kafka, topics
from common.config import load_config
from common.registry import Registry
from common.settings import settings
from common.telemetry import Health, serve_health, stop_requested
from producers.dbn.days import inputs_of
from producers.pacing import parse_speed
from producers.publish import Job, Log, Outcome, Progress, files_of, publish_files, total
from producers.sender import PRODUCER_OVERRIDES
from producers.stream import input_id

SERVICE = "producer"


def serve_files(
    paths: Sequence[Path], speed: str, complex_name: str, namespace: str | None, progress: Progress | None
) -> Outcome:
    """Publish DBN files and captures into the log, then end; SIGTERM and Ctrl-C end it earlier, cleanly.

    The files are one input, merged in time; of a folder each day is one, published one after the other.

    ``speed``: ``max`` or a multiple of real time. ``namespace``: None is the settings'. Raises ConfigError, InputError,
    UnavailableError, ConflictError, InvariantError; whatever is acknowledged then stays, and a second run goes on
    there.
    """
    inputs = [files_of(files) for files in inputs_of(paths)] or [files_of(paths)]
    if not any(path.is_dir() for path in paths):
        input_id(inputs[0])
    chosen = settings().namespace if namespace is None else namespace
    run_id, partition, pace = uuid.uuid4().hex, topics.partition_of(complex_name), parse_speed(speed)
    config = load_config()
    stop = stop_requested()
    health = Health()
    health.set("log", False, "connecting")
    with (
        serve_health(SERVICE, health, run_id=run_id, files=[str(path) for path in paths]),
        Registry(endpoints.resolve().registry_url) as registry,
    ):
        kafka.ensure_topics(topics.specs(chosen))
        ids = registry.ensure_all(chosen)
        consumer = kafka.consumer(enable_partition_eof=True)
        try:
            clients = Log(kafka.producer(**PRODUCER_OVERRIDES), consumer, registry, ids)
            health.set("log", True)
            outcomes: list[Outcome] = []
            for files in inputs:
                job = Job(files, complex_name, partition, chosen, run_id, pace)
                outcomes.append(publish_files(job, config, clients, stop, progress))
                if not outcomes[-1].complete:
                    break
            return total(outcomes)
        finally:
            consumer.close()
