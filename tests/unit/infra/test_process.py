"""Processes known by pid and start time."""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

from infra.local import process

FOREVER = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def _spawn(tmp_path: Path, code: str) -> process.Process:
    return process.spawn(
        [sys.executable, "-c", code], log=tmp_path / "child.log", cwd=tmp_path, environment={"PATH": os.environ["PATH"]}
    )


def test_a_started_process_is_alive_until_it_is_stopped(tmp_path: Path) -> None:
    child = _spawn(tmp_path, FOREVER)
    assert child.alive
    assert process.stop(child)
    assert not child.alive
    assert process.started_mark(child.pid) is None


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    child = _spawn(tmp_path, DEAF)
    while "deaf" not in process.tail(child.log):
        time.sleep(0.01)
    assert not process.stop(child, term_s=0.1)
    assert not child.alive


def test_patience_ends_for_a_process_that_waits_and_not_for_one_that_computes(tmp_path: Path) -> None:
    waits, computes = _spawn(tmp_path, FOREVER), _spawn(tmp_path, "while True: pass")
    try:
        while computes.busy_s == 0:
            time.sleep(0.01)
        idle, busy = (process.Patience(0.5, lambda child=child: [child]) for child in (waits, computes))
        while not idle.is_over:
            assert not busy.is_over
            time.sleep(0.02)
        assert not busy.is_over
        idle.begin()
        assert not idle.is_over
    finally:
        process.stop(waits)
        process.stop(computes)
    assert computes.busy_s == 0


def test_a_pid_that_belongs_to_another_program_is_not_ours_and_is_left_alone(tmp_path: Path) -> None:
    child = _spawn(tmp_path, FOREVER)
    try:
        earlier = replace(child, started="1")
        assert not earlier.alive
        assert process.stop(earlier)
        assert child.alive
    finally:
        process.stop(child)


def test_a_child_that_ended_by_itself_is_not_alive(tmp_path: Path) -> None:
    child = _spawn(tmp_path, "pass")
    while process.started_mark(child.pid) is not None:
        time.sleep(0.01)
    assert not child.alive


def test_the_tail_of_a_log_leaves_out_stack_frames(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("first\nboom\n\tat some.Java(Frame)\nlast\n", encoding="utf-8")
    assert process.tail(log, lines=2) == "boom\nlast"
    assert process.tail(tmp_path / "none.log") == ""


def test_a_free_port_can_be_bound_and_then_is_not_free() -> None:
    port = process.free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert not process.port_is_free(port)
    assert port < 32_768, "Linux takes ports of outgoing connections from there on"
