"""Apache Kafka as one process on loopback: broker and KRaft controller in one, transactions with a single replica."""

from __future__ import annotations

import base64
import socket
import struct
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from common.errors import UnavailableError
from infra.local import artifacts, java
from infra.local.process import free_port, tail
from infra.local.progress import Reporter

HEAP = "-Xmx512m"

LOG4J2 = """\
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "%d{ISO8601} %p %m (%c{1})%n%throwable"}
  Loggers:
    Root: {level: INFO, AppenderRef: [{ref: STDOUT}]}
"""


def config(data: Path, port: int, controller_port: int) -> str:
    """The server's properties."""
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # A group of one has nobody to wait for.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # After a kill the broker is let in again when its old session has run out: nine seconds by default.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
        # A topic that nobody declared is a mistake in its name.
        "auto.create.topics.enable": "false",
        # Records of past sessions carry their own times: by those a week's retention would delete them at once.
        "log.retention.ms": "-1",
        "log.cleaner.dedupe.buffer.size": "16777216",
        "num.network.threads": "2",
        "num.io.threads": "4",
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def prepare(home: Path, cache_dir: Path, ports: Mapping[str, int], report: Reporter) -> tuple[list[str], Path | None]:
    """Make ``home`` a broker's folder, formatted if new: its command, and the class archive that it will write.

    Raises UnavailableError when the parts cannot be fetched or the folder cannot be formatted.
    """
    jars = artifacts.fetch("kafka", cache_dir, report)
    home.mkdir(parents=True, exist_ok=True)
    properties, logging = home / "server.properties", home / "log4j2.yaml"
    properties.write_text(config(home / "data", ports["kafka"], free_port()), encoding="utf-8")
    logging.write_text(LOG4J2, encoding="utf-8")
    archive_flags, archive = java.Archive(cache_dir, "kafka", jars).flags()
    base = [java.java(), HEAP, *java.COMMON_FLAGS, *java.QUIET_FLAGS, f"-Dlog4j2.configurationFile={logging}"]
    class_path = ["-cp", ":".join(map(str, jars))]
    if not (home / "data" / "meta.properties").is_file():
        report.step("formatting the broker's storage")
        first, *others = uuid.uuid4().bytes
        # a first bit of 0 makes the first character a letter: an id that begins with a dash would read as an option
        cluster = base64.urlsafe_b64encode(bytes([first & 0x7F, *others])).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(properties)]
        log = home / "format.log"
        with log.open("wb") as output:
            done = subprocess.run([*base, *class_path, *tool], stdout=output, stderr=output, check=False)
        if done.returncode != 0:
            raise UnavailableError(
                f"the broker's storage could not be formatted:\n{tail(log)}", hint=f"Whole log: {log}"
            )
    return [*base, *archive_flags, *class_path, "kafka.Kafka", str(properties)], archive


def answers(port: int) -> bool:
    """True when the broker on the loopback port lists itself as one that serves (one Metadata request, version 1)."""
    body = struct.pack(">hhih", 3, 1, 1, 10) + b"breakwater" + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as peer:
            peer.sendall(struct.pack(">i", len(body)) + body)
            header = _exactly(peer, 12)
    except OSError:
        return False
    size, _correlation, brokers = struct.unpack(">iii", header)
    return bool(size >= 8 and brokers >= 1)


def _exactly(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        if not part:
            raise ConnectionError("the peer closed the connection")
        data += part
    return data
