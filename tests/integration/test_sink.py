"""The sink's process against a real broker, registry and catalog: killed, doubled, fed with junk, started too early."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import pytest

from common import iceberg, kafka, schemas, topics
from common.avro import decode_row, encode_row
from common.endpoints import Endpoints
from common.registry import Registry
from common.settings import PROJECT_ROOT, child_environment
from infra.local.stack import status
from lakehouse import read
from tests.support.lake import TABLE, trade
from tests.support.lake_servers import catalog_environment, lake
from tests.support.small_disk import Disk, small_disk
from tests.support.waiting import LIMIT_S, wait_until


@contextmanager
def sink(namespace: str, home: Path, member: str = "main") -> Iterator[subprocess.Popen[bytes]]:
    env = child_environment(BREAKWATER_NAMESPACE=namespace, BREAKWATER_HOME=str(home), BREAKWATER_SINK_MEMBER=member)
    # Somebody else writes its log, which is not to fail where files are limited in size.
    with (
        (home / "sink.log").open("ab") as output,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=output) as writer,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "lakehouse"], cwd=PROJECT_ROOT, env=env, stdout=writer.stdin, stderr=writer.stdin
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def ready(home: Path) -> bool:
    path = home / "run" / "sink.json"
    if not path.is_file():
        return False
    return httpx.get(f"{orjson.loads(path.read_bytes())['health_url']}/health/ready").status_code == 200


class Trades:
    """Publishes trades, with a record that is no trade wherever ``bad`` says."""

    def __init__(self, namespace: str, registry_url: str) -> None:
        self.topic = topics.full_name(topics.FUTURES_TRADES, namespace)
        with Registry(registry_url) as registry:
            self._schema_id = registry.register(schemas.load(topics.FUTURES_TRADES), namespace)
        self._producer = kafka.producer()
        self.published = 0

    def publish(self, count: int, bad: tuple[int, ...] = ()) -> None:
        schema = schemas.load(topics.FUTURES_TRADES)
        for number in range(self.published, self.published + count):
            value = b"not avro" if number in bad else encode_row(schema, trade(number), self._schema_id)
            self._producer.produce(self.topic, value=value, partition=0)
        assert self._producer.flush(30) == 0
        self.published += count


@pytest.fixture
def trades(stack: Endpoints, namespace: str) -> Trades:
    kafka.ensure_topics(topics.specs(namespace))
    return Trades(namespace, stack.registry_url)


def dead_letters(namespace: str) -> list[dict[str, object]]:
    topic = topics.full_name(topics.DEAD_LETTERS, namespace)
    schema = schemas.load(topics.DEAD_LETTERS)
    consumer = kafka.consumer()
    end = kafka.end_offsets(topic, 0, client=consumer).end_offset
    consumer.assign([kafka.ck.TopicPartition(topic, 0, 0)])
    found: list[dict[str, object]] = []
    while len(found) < end:
        found += [decode_row(schema, message.value(), lambda _: schema) for message in consumer.consume(1000, 1.0)]
    consumer.close()
    return found


def test_a_sink_killed_again_and_again_stores_every_record_once(trades: Trades, namespace: str, home: Path) -> None:
    bad = (777, 4321)
    enough = threading.Event()

    def publish() -> None:
        while not enough.wait(0.1):
            trades.publish(200, bad)

    publisher = threading.Thread(target=publish)
    publisher.start()
    for _ in range(3):
        before = read.table_rows(TABLE)
        with sink(namespace, home) as process:
            wait_until("rows", home, lambda before=before: read.table_rows(TABLE) > before)
            process.send_signal(signal.SIGKILL)
            process.wait()
    enough.set()
    publisher.join()
    trades.publish(5000, bad)
    count = trades.published
    with sink(namespace, home) as process:
        wait_until("the end", home, lambda: read.committed_offsets(TABLE).get((trades.topic, 0)) == count)
        wait_until("readiness", home, lambda: ready(home))
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    rows = iceberg.scan(TABLE, columns=["_partition", "_offset", "event_id"])
    stored = Counter(zip(rows["_partition"].to_pylist(), rows["_offset"].to_pylist(), strict=True))
    assert set(stored.values()) == {1}
    assert sorted(offset for _, offset in stored) == [offset for offset in range(count) if offset not in bad]
    assert rows["event_id"].to_pylist() == rows["_offset"].to_pylist()
    assert {(letter["topic"], letter["offset"]) for letter in dead_letters(namespace)} == {
        (trades.topic, offset) for offset in bad
    }
    assert all(letter["value"] == b"not avro" for letter in dead_letters(namespace))


def test_a_sink_that_is_ended_has_left_the_groups_and_another_goes_on_with_its_partition(
    trades: Trades, namespace: str, home: Path
) -> None:
    group, admin = f"breakwater.sink.{trades.topic}", kafka.admin()

    def members() -> list[str]:
        described = admin.describe_consumer_groups([group])[group].result(LIMIT_S)
        return sorted(member.group_instance_id for member in described.members)

    trades.publish(100)
    with sink(namespace, home, "a") as first:
        wait_until("rows", home, lambda: read.table_rows(TABLE) == 100)
        with sink(namespace, home, "b"):
            wait_until("the second member", home, lambda: members() == ["a", "b"])
            first.send_signal(signal.SIGTERM)
            assert first.wait(LIMIT_S) == 0
            assert members() == ["b"]
            trades.publish(100)
            wait_until("the rest", home, lambda: read.committed_offsets(TABLE)[trades.topic, 0] == 200)
    assert sorted(iceberg.scan(TABLE, columns=["_offset"])["_offset"].to_pylist()) == list(range(200))


def test_a_sink_of_the_same_name_takes_over_and_the_first_stops_with_an_error(
    trades: Trades, namespace: str, home: Path
) -> None:
    with sink(namespace, home) as first:
        wait_until("the first sink", home, lambda: ready(home))
        with sink(namespace, home):
            owner = f"breakwater.owner.{trades.topic}.0"

            def taken() -> bool:
                table = iceberg.load_table(TABLE)
                return table is not None and f":{first.pid}:" not in table.properties[owner]

            wait_until("the second sink", home, taken)
            trades.publish(100)
            wait_until("the first sink's end", home, lambda: first.poll() is not None)
            assert first.returncode == 1
            said = "another sink of the same name has taken this one's place"
            wait_until("its reason", home, lambda: said in (home / "sink.log").read_text())
            wait_until("the rows", home, lambda: read.table_rows(TABLE) == 100)


@dataclass(frozen=True)
class Storage:
    """Where the tables' files are. ``store``: the process that writes them; None: the sink itself."""

    disk: Disk
    store: int | None

    def was_told(self, log: Path) -> bool:
        """Whether the sink was told why it cannot write; stores begin the words with a small letter."""
        return self.disk.error.lower() in log.read_text().lower()

    def fill(self, sink: subprocess.Popen[bytes]) -> None:
        self.disk.fill(self.store or sink.pid)

    def free(self, sink: subprocess.Popen[bytes]) -> None:
        self.disk.free(self.store or sink.pid)


@pytest.fixture(params=["folder", "MinIO"])
def storage(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Iterator[Storage]:
    """The tables' files are on a disk of their own; the catalog's are not."""
    with small_disk(tmp_path / "disk") as disk, ExitStack() as stack:
        if request.param == "folder":
            catalog = {"type": "sql", "uri": f"sqlite:///{home}/catalog.db", "warehouse": f"file://{disk.folder}"}
            stack.enter_context(catalog_environment(catalog))
            yield Storage(disk, None)
            return
        (tmp_path / "lake").mkdir()
        (tmp_path / "lake" / "minio").symlink_to(disk.folder)
        servers = stack.enter_context(lake(tmp_path / "lake"))
        stack.enter_context(catalog_environment(servers.properties))
        pids = {part.name: part.pid for part in status(servers.home)}
        yield Storage(disk, pids["minio"])


def test_a_full_disk_is_borne_for_a_while_then_told_and_once_there_is_room_every_record_is_stored_once(
    storage: Storage, trades: Trades, namespace: str, home: Path
) -> None:
    trades.publish(500)
    with sink(namespace, home) as process:
        wait_until("rows", home, lambda: read.table_rows(TABLE) == 500)
        storage.fill(process)
        trades.publish(500)
        wait_until("the first failure", home, lambda: storage.was_told(home / "sink.log"))
        storage.free(process)
        wait_until("the rest", home, lambda: read.table_rows(TABLE) == 1000)
        assert process.poll() is None
        storage.fill(process)
        trades.publish(500)
        wait_until("the sink's end", home, lambda: process.poll() is not None)
        assert process.returncode == 1
    assert "hint: Check the Iceberg catalog and the warehouse's disk" in (home / "sink.log").read_text()
    assert read.table_rows(TABLE) == 1000
    with sink(namespace, home) as process:
        storage.free(process)
        wait_until("the end", home, lambda: read.committed_offsets(TABLE)[trades.topic, 0] == 1500)
    assert sorted(iceberg.scan(TABLE, columns=["_offset"])["_offset"].to_pylist()) == list(range(1500))


def test_a_recreated_topic_stops_the_sink_with_nothing_written(trades: Trades, namespace: str, home: Path) -> None:
    trades.publish(100)
    with sink(namespace, home) as process:
        wait_until("rows", home, lambda: read.table_rows(TABLE) == 100)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    admin = kafka.admin()
    admin.delete_topics([trades.topic])[trades.topic].result(30)
    wait_until("the deletion", home, lambda: trades.topic not in admin.list_topics(timeout=10).topics)
    kafka.ensure_topics([topics.TopicSpec(trades.topic, 1)])
    trades.publish(200)
    with sink(namespace, home) as process:
        assert process.wait(LIMIT_S) == 1
    output = (home / "sink.log").read_text()
    assert "its offsets mean something else" in output and "hint: The topic was recreated" in output
    assert read.table_rows(TABLE) == 100


def test_a_sink_started_before_its_topics_says_so_and_waits(stack: Endpoints, namespace: str, home: Path) -> None:
    with sink(namespace, home) as process:
        wait_until("the message", home, lambda: "do not exist yet" in (home / "sink.log").read_text())
        assert not ready(home)
        kafka.ensure_topics(topics.specs(namespace))
        wait_until("readiness", home, lambda: ready(home))
        assert iceberg.table_names() == sorted(iceberg.TABLES.values())
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
