"""Services as children of a demo: found, watched, ended."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from common.errors import UnavailableError
from infra.local import services
from infra.local.process import Process
from infra.local.progress import Silent

STAND_IN = """
import json, os, pathlib, sys, time
name = {name!r}
home = pathlib.Path(os.environ["BREAKWATER_HOME"])
(home / "run").mkdir(exist_ok=True)
(home / "run" / f"{{name}}.json").write_text(json.dumps({{"pid": os.getpid(), "health_url": "http://127.0.0.1:9"}}))
{then}
"""


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules in the services' place; each says where it is and sleeps."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setattr(services, "PROJECT_ROOT", folder)
    monkeypatch.setattr(services, "SERVICES", {"one": ("stand_in_one", "one"), "two": ("stand_in_two", "two")})
    for name in ("one", "two"):
        code = STAND_IN.format(name=name, then="time.sleep(600)")
        (folder / f"stand_in_{name}.py").write_text(code, encoding="utf-8")
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def _started(place: Path) -> tuple[services.Services, dict[str, Process]]:
    running = services.Services(place, Silent())
    processes = {name: running.start(name) for name in services.SERVICES}
    running.wait_until_listening()
    return running, processes


def test_services_start_side_by_side_and_end_together(stand_ins: Path, place: Path) -> None:
    running, processes = _started(place)
    assert running.facts("two")["pid"] == processes["two"].pid
    running.check()
    running.stop()
    assert not any(process.alive for process in processes.values())
    assert not (place / "services.json").exists()


def test_a_service_is_started_with_its_arguments(stand_ins: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stand_ins / "stand_in_two.py").write_text("import sys; print(sys.argv[1:])", encoding="utf-8")
    monkeypatch.setattr(services, "ARGUMENTS", {"two": ("--every", "10")})
    running = services.Services(place, Silent())
    process = running.start("two")
    while process.alive:
        time.sleep(0.01)
    assert process.log.read_text(encoding="utf-8").strip() == "['--every', '10']"


def test_a_run_file_of_an_earlier_process_is_not_believed(stand_ins: Path, place: Path) -> None:
    (stand_ins / "stand_in_one.py").write_text("import time\ntime.sleep(600)", encoding="utf-8")
    (place / "run").mkdir()
    (place / "run" / "one.json").write_text(json.dumps({"pid": os.getpid(), "health_url": "x"}), encoding="utf-8")
    running = services.Services(place, Silent())
    running.start("one")
    try:
        assert running.facts("one") == {}
    finally:
        running.stop()


def test_a_service_that_ends_is_named_with_its_last_words(stand_ins: Path, place: Path) -> None:
    words = "sys.stderr.write('noise\\nerror: the reef is near\\nhint: Turn.\\n'); sys.exit(1)"
    (stand_ins / "stand_in_two.py").write_text(STAND_IN.format(name="two", then=words), encoding="utf-8")
    running = services.Services(place, Silent())
    process = running.start("two")
    try:
        while process.alive:
            time.sleep(0.01)
        with pytest.raises(UnavailableError, match=r"^two has ended: the reef is near$") as caught:
            running.check()
        assert caught.value.hint is not None
        assert caught.value.hint.startswith("Turn. Whole log: ")
    finally:
        running.stop()


def test_a_service_that_ends_without_a_word_shows_the_end_of_its_log(stand_ins: Path, place: Path) -> None:
    (stand_ins / "stand_in_one.py").write_text("raise RuntimeError('bilge')", encoding="utf-8")
    running = services.Services(place, Silent())
    running.start("one")
    try:
        with pytest.raises(UnavailableError, match=r"one has ended:\n(.|\n)*RuntimeError: bilge"):
            running.wait_until_listening()
    finally:
        running.stop()


def test_what_a_killed_demo_left_running_is_ended_by_the_next(stand_ins: Path, place: Path) -> None:
    _, processes = _started(place)
    services.Services(place, Silent()).end_leftovers()
    assert not any(process.alive for process in processes.values())
