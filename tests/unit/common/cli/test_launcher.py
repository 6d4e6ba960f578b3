"""The launcher at the root, with Python's venv and pip replaced."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from common.settings import PROJECT_ROOT


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The launcher as a module that thinks it stands in ``tmp_path``, with a lock of two packages."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("launcher", str(PROJECT_ROOT / "breakwater"))
    spec = importlib.util.spec_from_loader("launcher", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    lock = tmp_path / "requirements.lock"
    lock.write_text("a==1 \\\n    --hash=sha256:00\nb==2 \\\n    --hash=sha256:11\n", encoding="utf-8")
    module.LOCK = str(lock)  # type: ignore[attr-defined]
    return module


@pytest.fixture
def made(launcher: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were filled with packages."""
    filled: list[str] = []

    def install(folder: str, _line: object) -> None:
        Path(folder, "packages").write_text("all", encoding="utf-8")
        filled.append(folder)

    monkeypatch.setattr(launcher, "make_venv", lambda folder: Path(folder).mkdir())
    monkeypatch.setattr(launcher, "install", install)
    return filled


def test_an_environment_is_made_once(launcher: ModuleType, made: list[str], tmp_path: Path) -> None:
    folder = launcher.ready_environment(str(tmp_path / "cache"))
    assert launcher.ready_environment(str(tmp_path / "cache")) == folder
    assert made == [folder]


def test_two_that_ask_at_once_get_one_environment(launcher: ModuleType, made: list[str], tmp_path: Path) -> None:
    asked = [threading.Thread(target=launcher.ready_environment, args=(str(tmp_path),)) for _ in range(4)]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    assert len(made) == 1


def test_a_half_made_environment_is_made_anew(launcher: ModuleType, made: list[str], tmp_path: Path) -> None:
    torn = Path(launcher.environment_folder(str(tmp_path)))
    torn.mkdir(parents=True)
    (torn / "rest").touch()
    launcher.ready_environment(str(tmp_path))
    assert made == [str(torn)]
    assert not (torn / "rest").exists()


def test_another_lock_has_another_environment(launcher: ModuleType, tmp_path: Path) -> None:
    before = launcher.environment_folder(str(tmp_path))
    Path(launcher.LOCK).write_text("a==2", encoding="utf-8")
    assert launcher.environment_folder(str(tmp_path)) != before


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "not the one that was locked"),
        ("OSError: [Errno 28] No space left on device", "disk space"),
        ("WARNING: Retrying (Retry(total=4)) after NewConnectionError", "cannot be reached"),
        ("ERROR: no idea", "last lines above"),
    ],
)
def test_when_pip_fails_its_last_lines_and_a_way_out_are_shown(
    launcher: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str], said: str, hint: str
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\necho 'Collecting a==1'\necho '{said}' >&2\nexit 1\n", encoding="utf-8")
    python.chmod(0o755)
    with pytest.raises(SystemExit) as ended:
        launcher.install(str(tmp_path), launcher.Line())
    assert ended.value.code == 1
    shown = capfd.readouterr().err
    assert said in shown
    assert hint in shown.splitlines()[-1]


def test_a_cache_that_cannot_be_written_is_named(
    launcher: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        launcher.ready_environment(str(tmp_path / "file"))
    assert "BREAKWATER_CACHE" in capfd.readouterr().err


def _only(found: str | None) -> Callable[[str], str | None]:
    return lambda name: found if name == "python3.12" else None


def test_an_unsupported_python_without_another_says_what_to_install(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launcher, "sys", SimpleNamespace(version_info=(3, 9, 1), stderr=sys.stderr, exit=sys.exit))
    monkeypatch.setattr(launcher.shutil, "which", lambda _name: None)
    with pytest.raises(SystemExit):
        launcher.use_supported_python()
    assert "needs Python 3.11 to 3.13" in capfd.readouterr().err


@pytest.mark.parametrize(("works", "started"), [("true", True), ("false", False)])
def test_an_unsupported_python_hands_over_to_a_supported_one_that_really_runs(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, works: str, started: bool
) -> None:
    """A version manager leaves names on the PATH that run nothing: those are passed over."""
    found = launcher.shutil.which(works)
    monkeypatch.setattr(
        launcher, "sys", SimpleNamespace(version_info=(3, 14, 0), stderr=sys.stderr, exit=sys.exit, argv=["b", "demo"])
    )
    monkeypatch.setattr(launcher.shutil, "which", _only(found))
    became: list[list[str]] = []
    monkeypatch.setattr(launcher.os, "execv", lambda _path, arguments: (became.append(arguments), sys.exit(0)))
    with pytest.raises(SystemExit):
        launcher.use_supported_python()
    assert became == ([[found, str(PROJECT_ROOT / "breakwater"), "demo"]] if started else [])


def test_it_becomes_the_cli_with_a_pinned_code_generator(
    launcher: ModuleType, made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKWATER_CACHE", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    monkeypatch.setattr(sys, "argv", ["breakwater", "replay", "--json"])
    became: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *arguments: became.append(arguments))
    launcher.main()
    ((program, arguments, environment),) = became
    assert program == f"{made[0]}/bin/python"
    assert arguments[1:] == ["-m", "common.cli", "replay", "--json"]
    assert environment["PYTHONPATH"] == str(PROJECT_ROOT)
    assert environment["NUMBA_CACHE_DIR"] == str(tmp_path / "numba")
    assert environment["NUMBA_CPU_NAME"] == "generic"
    assert environment["NUMBA_DISABLE_INTEL_SVML"] == "1"
    assert "PYTHONHOME" not in environment
