"""What a service tells about itself."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from prometheus_client import Counter

from common import telemetry
from common.settings import PROJECT_ROOT, child_environment
from common.telemetry import Health, configure_logging, get_logger, run_file, serve_health, write_run_file
from tests.support.stack import environment

SEEN = Counter("breakwater_test_seen_total", "Made for a test.")


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_service_without_parts_is_not_ready() -> None:
    assert not Health().ready
    assert Health().report() == {"ready": False, "parts": {}}


def test_a_service_is_ready_when_all_its_parts_are_well() -> None:
    health = Health()
    health.set("broker", True)
    health.set("table", False, "locked")
    assert not health.ready
    assert health.report()["parts"] == {
        "broker": {"ok": True, "detail": ""},
        "table": {"ok": False, "detail": "locked"},
    }
    health.set("table", True)
    assert health.ready


def test_parts_may_be_set_from_many_threads() -> None:
    health = Health()

    def work(name: str) -> None:
        for turn in range(200):
            health.set(name, turn % 2 == 1)
            health.report()

    threads = [threading.Thread(target=work, args=(f"part-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.ready
    assert len(health.report()["parts"]) == 8


def test_health_is_served_as_it_is(home: Path) -> None:
    health = Health()
    with serve_health("example", health) as url:
        assert httpx.get(f"{url}/health/live").json() == {"live": True}
        health.set("broker", False, "away")
        answer = httpx.get(f"{url}/health/ready")
        assert (answer.status_code, answer.json()) == (503, health.report())
        health.set("broker", True)
        answer = httpx.get(f"{url}/health/ready")
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
        assert httpx.get(f"{url}/elsewhere").status_code == 404


def test_metrics_are_served_in_prometheus_text(home: Path) -> None:
    SEEN.inc(3)
    with serve_health("example", Health()) as url:
        answer = httpx.get(f"{url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "breakwater_test_seen_total 3.0" in answer.text


def test_a_service_says_where_it_is_while_it_runs(home: Path) -> None:
    with serve_health("example", Health(), url="http://127.0.0.1:1") as url:
        assert json.loads(run_file("example").read_text(encoding="utf-8")) == {
            "service": "example",
            "pid": os.getpid(),
            "health_url": url,
            "url": "http://127.0.0.1:1",
        }
    assert not run_file("example").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health/live")


def test_the_file_of_a_successor_is_left_alone(home: Path) -> None:
    with serve_health("example", Health()):
        run_file("example").write_text(json.dumps({"service": "example", "pid": os.getpid() + 1}), encoding="utf-8")
    assert run_file("example").is_file()


def test_a_run_file_is_replaced_whole(home: Path) -> None:
    write_run_file("example", number=1)
    write_run_file("example", number=2)
    assert json.loads(run_file("example").read_text(encoding="utf-8"))["number"] == 2
    assert list(run_file("example").parent.iterdir()) == [run_file("example")]


@pytest.mark.usefixtures("_logging_as_before")
def test_a_log_line_is_one_json_object_with_service_level_and_facts(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("example")
    get_logger("here").info("snap_released", rows=3, text="two\nlines")
    logging.getLogger("elsewhere").warning("from the standard library: %s", 7)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    first, second = ({key: line[key] for key in line if key != "timestamp"} for line in lines)
    assert first == {
        "event": "snap_released",
        "rows": 3,
        "text": "two\nlines",
        "service": "example",
        "level": "info",
        "logger": "here",
    }
    assert second["event"] == "from the standard library: 7"
    assert (second["service"], second["level"]) == ("example", "warning")
    assert all(line["timestamp"].endswith("Z") for line in lines)


@pytest.mark.usefixtures("_logging_as_before")
def test_an_error_is_logged_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("example")
    try:
        raise ZeroDivisionError("here")
    except ZeroDivisionError:
        get_logger("here").exception("failed")
    (line,) = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert "ZeroDivisionError: here" in line["exception"]


@pytest.mark.usefixtures("_logging_as_before")
@pytest.mark.parametrize(("level", "seen"), [("DEBUG", 3), ("INFO", 2), ("ERROR", 1), ("nonsense", 2)])
def test_the_level_decides_what_is_logged(level: str, seen: int, capfd: pytest.CaptureFixture[str]) -> None:
    with environment(BREAKWATER_LOG_LEVEL=level):
        configure_logging("example")
        log = get_logger("here")
        log.debug("a")
        log.info("b")
        log.error("c")
    assert len(capfd.readouterr().err.splitlines()) == seen


@pytest.mark.usefixtures("_logging_as_before")
def test_logs_can_be_read_in_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with environment(BREAKWATER_LOG_JSON="false"):
        configure_logging("example")
        get_logger("here").info("snap_released", rows=3)
    line = capfd.readouterr().err
    assert "snap_released" in line
    assert "rows=3" in line
    assert not line.startswith("{")


STOPPING = """
import sys
from common.telemetry import stop_requested
stop = stop_requested()
assert not stop.is_set()
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.exit(0 if stop.wait(60) else 3)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_the_service_to_stop(number: signal.Signals, home: Path) -> None:
    child: subprocess.Popen[Any] = subprocess.Popen(
        [sys.executable, "-c", STOPPING], cwd=PROJECT_ROOT, env=child_environment(), stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        assert child.wait(60) == 0


INSIDE = """
import signal
from common.telemetry import stop_requested
stop = stop_requested()
with stop._cond:
    signal.raise_signal(signal.SIGTERM)
    assert not stop.is_set()
assert stop.wait(60)
"""


def test_a_signal_that_comes_while_the_main_thread_is_inside_the_event_hangs_nobody(home: Path) -> None:
    command = [sys.executable, "-c", INSIDE]
    assert subprocess.run(command, cwd=PROJECT_ROOT, env=child_environment(), timeout=60, check=False).returncode == 0


def test_asking_off_the_main_thread_installs_no_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found: list[threading.Event] = []
    thread = threading.Thread(target=lambda: found.append(telemetry.stop_requested()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not found[0].is_set()
