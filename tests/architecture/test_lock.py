"""requirements.lock: every package pinned by hash, from nowhere in particular."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.architecture.tree import ROOT, listed

PIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.\-]*)(?:\[[^\]]*\])?==(?P<version>[\w.+!\-]+)(?:\s*;[^\\]*)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(text: str) -> list[str]:
    """The lock's requirements, each with its continuation lines joined; comments left out."""
    lines = [line.partition(" #")[0] for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [entry.strip() for entry in "\n".join(lines).replace("\\\n", " ").splitlines() if entry.strip()]


def lock_problems(text: str) -> list[str]:
    """What is wrong with a lock."""
    problems = []
    for entry in entries(text):
        words = entry.split()
        pin = PIN.fullmatch(entry.partition(" --hash=")[0].strip())
        hashes = [word for word in words if word.startswith("--hash")]
        if "://" in entry or "@" in entry:
            problems.append(f"{entry[:80]}: an address")
        elif pin is None:
            problems.append(f"{entry[:80]}: not name==version")
        elif not hashes or not all(HASH.fullmatch(word) for word in hashes):
            problems.append(f"{entry[:80]}: without sha256 hashes")
    return problems


def lock_text() -> str:
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_every_package_is_pinned_by_hash_and_names_no_address() -> None:
    problems = lock_problems(lock_text())
    assert not problems, listed(problems, "Make requirements.lock anew with hashes and without addresses:")


def test_the_lock_holds_every_dependency_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = {canonical(match["name"]) for entry in entries(lock_text()) if (match := PIN.match(entry))}
    wanted = {canonical(re.split(r"[\[<>=!~; ]", dependency, maxsplit=1)[0]) for dependency in project["dependencies"]}
    assert not wanted - locked, listed(
        sorted(wanted - locked), "Add to requirements.lock what pyproject.toml asks for:"
    )


@pytest.mark.parametrize(
    "text",
    [
        "numpy==2.3.0",
        "numpy>=2 --hash=sha256:" + "a" * 64,
        "numpy==2.3.0 --hash=md5:" + "a" * 32,
        "-e .",
        "numpy @ https://host.example/numpy.whl --hash=sha256:" + "a" * 64,
        "--extra-index https://host.example",
    ],
)
def test_a_loose_lock_is_found(text: str) -> None:
    assert lock_problems(text)


def test_a_tight_lock_is_let_through() -> None:
    assert not lock_problems(
        "numpy==2.3.0 \\\n    --hash=sha256:" + "a" * 64 + " \\\n    --hash=sha256:" + "b" * 64 + "\n    # via x\n"
    )
