"""The features worker on a real broker against ``consume()`` alone, over the same topics."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from common import kafka, schemas, topics
from common.config import EngineConfig
from common.endpoints import Endpoints
from common.errors import UnavailableError
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment
from processors.features.service import engine_of
from processors.features.wire import OUTPUTS, Wire
from processors.features.worker import Tuning, Worker
from tests.benchmark.session import Session
from tests.support.stack import session_stack

CONSUME_RECORDS = 20_000
INPUTS = (topics.FUTURES_MBP10, topics.FUTURES_TRADES)
QUIET_S = 1.0
"""An input that is silent for so long is set aside: the options and stocks that this session does not have."""


def drain(namespace: str) -> int:
    """Read the session's topics to their ends and drop what comes. Returns the number of records."""
    consumer = kafka.consumer(enable_partition_eof=True)
    open_topics = {topics.full_name(name, namespace) for name in INPUTS}
    consumer.assign([TopicPartition(name, 0, 0) for name in sorted(open_topics)])
    count = 0
    while open_topics:
        for message in consumer.consume(CONSUME_RECORDS, 1.0):
            error = message.error()
            if error is None:
                count += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                open_topics.discard(str(message.topic()))
            else:
                raise UnavailableError(f"{message.topic()} cannot be read: {error.str()}")
    consumer.close()
    return count


def work(namespace: str, config: EngineConfig, wire: Wire) -> None:
    """The worker from the topics' beginning to their end, publishing rows, markers and checkpoints."""
    worker = Worker(
        complex_name="SPY",
        clients=kafka,
        wire=wire,
        engine=engine_of("SPY", config),
        config=config,
        run_id=uuid.uuid4().hex,
        tuning=Tuning(source_timeout_s=QUIET_S),
    )
    worker.recover()
    while worker.poll(0.1) or not worker.at_end:
        pass
    worker.close()


def _timed(task: Callable[[], Any]) -> tuple[float, float]:
    """CPU and wall seconds."""
    cpu_s, wall_s = time.process_time(), time.monotonic()
    task()
    return time.process_time() - cpu_s, time.monotonic() - wall_s


def measure(session: Session, warm_up: Session, home: Path, config: EngineConfig) -> dict[str, Any]:
    """Publish the session, drain it, and let a worker work through it; records per second of CPU time of each.

    Both do so with ``warm_up`` first, in a namespace of its own.
    """
    with session_stack(home) as endpoints:
        run = partial(_run, endpoints=endpoints, config=config)
        run(warm_up)
        drained, worked = run(session)
    return {
        "records": session.events,
        "consume_per_s": round(session.events / drained[0]),
        "features_per_s": round(session.events / worked[0]),
        "kafka_to_consume_ratio": round(drained[0] / worked[0], 3),
        "consume_wall_s": round(drained[1], 2),
        "features_wall_s": round(worked[1], 2),
    }


def _run(
    session: Session, endpoints: Endpoints, config: EngineConfig
) -> tuple[tuple[float, float], tuple[float, float]]:
    """CPU and wall seconds of draining, and of working through, the published session."""
    namespace = f"bench.{uuid.uuid4().hex[:8]}"
    command = [sys.executable, "-m", "producers", "publish", "--namespace", namespace]
    for path in session.paths:
        command += ["--file", str(path)]
    subprocess.run(command, cwd=PROJECT_ROOT, env=child_environment(), check=True, capture_output=True)
    with Registry(endpoints.registry_url) as registry:
        ids = {name: registry.register(schemas.load(name), namespace) for name in OUTPUTS}
        drained = _timed(lambda: drain(namespace))
        return drained, _timed(lambda: work(namespace, config, Wire(namespace, ids, registry.schema)))
