"""Fixtures of every suite: a home of the tests' own, the session's servers, and a topic namespace per test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from common.endpoints import Endpoints
from tests.support.stack import environment, session_environment, session_stack

# Times are noisy on small machines, and a seed must be the whole bug report.
hypothesis.settings.register_profile("breakwater", deadline=None, print_blob=True)
hypothesis.settings.load_profile("breakwater")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--seeds N``: as many schedules in each seeded property test, instead of the test's own number."""
    parser.addoption("--seeds", type=int, default=None, help="Schedules of each seeded property test.")


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How many seeds a test takes, given how many it takes by default."""
    asked: int | None = request.config.getoption("--seeds")
    return lambda default: default if asked is None else asked


@pytest.fixture(scope="session", autouse=True)
def _session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with session_environment(tmp_path_factory.mktemp("home")):
        yield


@pytest.fixture(scope="session")
def stack(_session_home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A real broker and registry, started once per session; also named by the environment for clients and children."""
    with session_stack(tmp_path_factory.mktemp("stack")) as endpoints:
        yield endpoints


@pytest.fixture
def namespace(stack: Endpoints) -> str:
    """A topic namespace that no other test uses."""
    return f"test.{uuid.uuid4().hex[:12]}"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home (``BREAKWATER_HOME``) of this test's own."""
    own = tmp_path / "home"
    own.mkdir()
    with environment(BREAKWATER_HOME=str(own)):
        yield own
