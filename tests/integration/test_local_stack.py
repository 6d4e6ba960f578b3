"""The native stack with real processes: start, find again, survive, end."""

from __future__ import annotations

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from common import kafka
from common.endpoints import Endpoints, resolve, stack_file
from common.errors import ConfigError, UnavailableError
from common.topics import TopicSpec
from infra.local import process, stack
from tests.support.stack import environment


@pytest.fixture
def local(home: Path) -> Iterator[Path]:
    """A home whose local stack is looked for in its own folder, and ended after the test."""
    with environment(BREAKWATER_KAFKA_BOOTSTRAP=None, BREAKWATER_REGISTRY_URL=None):
        yield home
        stack.down(home)


def listening_addresses(pid: int) -> set[str]:
    inodes = {
        str(link.readlink()).partition("[")[2].rstrip("]")
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if str(link.readlink()).startswith("socket:")
    }
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


def test_a_started_stack_keeps_what_was_written_over_down_and_up(local: Path) -> None:
    endpoints = stack.up(local)
    assert resolve() == endpoints
    with urllib.request.urlopen(f"{endpoints.registry_url}/subjects", timeout=10) as answer:
        assert answer.read() == b"[]"
    kafka.ensure_topics([TopicSpec("kept", 1)])
    producer = kafka.transactional_producer("kept-writer")
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("kept", b"value", partition=0, timestamp=1_000)
    producer.commit_transaction(30)
    cluster = kafka.cluster_id()

    assert sorted(stack.down(local)) == ["kafka", "registry"]
    assert [part.state for part in stack.status(local)] == ["stopped", "stopped"]
    with pytest.raises(UnavailableError, match="does not exist"):
        resolve()

    assert stack.up(local) == endpoints, "the ports were free, so they stay"
    assert kafka.cluster_id() == cluster
    consumer = kafka.consumer()
    consumer.assign([TopicPartition("kept", 0, 0)])
    (message,) = consumer.consume(1, timeout=30)
    consumer.close()
    assert message.value() == b"value"


def test_up_when_up_changes_nothing_and_everything_listens_on_loopback_alone(local: Path) -> None:
    endpoints = stack.up(local)
    before = stack_file(local).read_text(encoding="utf-8")
    assert stack.up(local) == endpoints
    assert stack_file(local).read_text(encoding="utf-8") == before
    for part in stack.status(local):
        assert part.state == "up"
        assert part.pid is not None
        # 127.0.0.1, bare and as IPv6 shows it.
        assert listening_addresses(part.pid) <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_a_killed_broker_is_noticed_and_started_anew_on_its_port(local: Path) -> None:
    endpoints = stack.up(local)
    broker, registry = stack.status(local)
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    while process.started_mark(broker.pid) is not None:
        time.sleep(0.01)
    assert [part.state for part in stack.status(local)] == ["died", "up"]
    assert stack.up(local) == endpoints
    again, same = stack.status(local)
    assert again.pid != broker.pid
    assert same.pid == registry.pid


def test_a_fixed_port_in_use_is_refused_before_anything_starts(local: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} for kafka is in use"):
            stack.up(local, ports={"kafka": port})
    assert not stack_file(local).exists()


def test_a_broker_that_dies_at_its_start_shows_the_end_of_its_log_and_leaves_nothing_behind(local: Path) -> None:
    stack.up(local)
    stack.down(local)
    (local / "kafka" / "data" / "meta.properties").write_text("version=1\nnode.id=2\n", encoding="utf-8")
    with pytest.raises(
        UnavailableError, match=r"kafka ended while it started:\n(.|\n)*cluster.id was not found"
    ) as caught:
        stack.up(local)
    assert caught.value.hint is not None
    assert "kafka.log" in caught.value.hint
    assert not stack_file(local).exists()
    assert [part.state for part in stack.status(local)] == ["stopped", "stopped"]


def test_the_session_stack_answers_under_the_names_in_the_environment(stack: Endpoints) -> None:
    assert resolve() == stack
    assert kafka.cluster_id()
