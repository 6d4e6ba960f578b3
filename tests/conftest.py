"""Fixtures of every suite: a home of the tests' own, the session's servers, and a topic namespace per test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from common.endpoints import Endpoints
from infra.local import stack as local_stack
from tests.support import lake_servers
from tests.support.stack import environment, session_environment, session_stack

# Times are noisy on small machines, and a seed must be the whole bug report.
hypothesis.settings.register_profile("breakwater", deadline=None, print_blob=True)
hypothesis.settings.load_profile("breakwater")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--seeds N``: as many schedules in each seeded property test, instead of the test's own number."""
    parser.addoption("--seeds", type=int, default=None, help="Schedules of each seeded property test.")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Where workers share the tests, a file's stay together, and one worker alone has the lake's servers.

    The first test that needs those may have to fetch and build them, which takes minutes, once.
    """
    needs_lake = not {"rest_servers", "any_catalog"}.isdisjoint(getattr(item, "fixturenames", ()))
    if needs_lake:
        item.add_marker(pytest.mark.timeout(1800))
    item.add_marker(pytest.mark.xdist_group("lake" if needs_lake else item.nodeid.partition("::")[0]))


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


@pytest.fixture
def own_broker(stack: Endpoints, home: Path) -> Iterator[Path]:
    """A broker of this test's own, beside the session's registry; its home."""
    with environment(BREAKWATER_KAFKA_BOOTSTRAP=None, BREAKWATER_REGISTRY_URL=stack.registry_url):
        local_stack.up(home, parts=("kafka",))
        try:
            yield home
        finally:
            local_stack.down(home)


@pytest.fixture(scope="session")
def rest_servers(_session_home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake_servers.Lake]:
    """A real REST catalog over a real MinIO, started once per session."""
    with lake_servers.lake(tmp_path_factory.mktemp("lake")) as lake:
        yield lake


@pytest.fixture(scope="session")
def trino(rest_servers: lake_servers.Lake) -> lake_servers.Trino:
    """A real Trino over that catalog, started once per session."""
    return lake_servers.start_trino(rest_servers)


@pytest.fixture
def rest_lake(rest_servers: lake_servers.Lake, home: Path) -> Iterator[dict[str, str]]:
    """The catalog is the REST one, empty at first, for this process and its children; PyIceberg's properties of it."""
    with lake_servers.catalog_environment(rest_servers.properties):
        yield rest_servers.properties


@pytest.fixture(params=["embedded", "rest"])
def any_catalog(request: pytest.FixtureRequest, home: Path) -> str:
    """The test runs on each catalog: the embedded one of its own home, and the REST one; the name says which."""
    if request.param == "rest":
        request.getfixturevalue("rest_lake")
    return str(request.param)
