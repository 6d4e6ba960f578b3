"""REST under /v1."""

from __future__ import annotations

from typing import Any

import pytest

from api import models
from api.app import create_app
from api.live import LiveSignals
from api.models import TableState
from api.routes import LIMIT_MAX
from common.config import EngineConfig
from common.errors import InvariantError, UnavailableError
from common.telemetry import Health
from tests.support.signal_rows import signal_snaps, snap_ns
from tests.unit.api.served import calling, make_state


def fed(*numbers: int) -> LiveSignals:
    live = LiveSignals(100)
    live.start(from_log_begin=True)
    live.append(signal_snaps(*numbers))
    return live


def assert_problem(response: Any, status: int, *says: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    found = models.Problem.model_validate_json(response.content)
    assert found.status == status
    for text in says:
        assert text in found.detail
    return found.model_dump()


async def test_levels_are_the_newest_snap() -> None:
    async with calling(make_state(fed(0, 1))) as client:
        response = await client.get("/v1/levels")
    assert response.status_code == 200
    found = models.Levels.model_validate_json(response.content)
    assert (found.seq, found.ts) == (5, snap_ns(1) // 1_000_000)
    assert [level.id for level in found.levels] == ["ROUND_472", "VWAP", "ROUND_471"]


async def test_without_a_signal_levels_say_what_to_do() -> None:
    async with calling(make_state(LiveSignals())) as client:
        response = await client.get("/v1/levels")
    found = assert_problem(response, 503, "no signal yet")
    assert "/v1/health" in found["hint"]
    assert response.headers["retry-after"] == "1"


async def test_the_etag_is_the_sequence_number() -> None:
    live = fed(0)
    async with calling(make_state(live)) as client:
        etag = (await client.get("/v1/levels")).headers["etag"]
        assert etag == '"2"'
        same = await client.get("/v1/levels", headers={"If-None-Match": f'"0", W/{etag}'})
        assert (same.status_code, same.content) == (304, b"")
        live.append(signal_snaps(1, first_offset=3))
        assert (await client.get("/v1/levels", headers={"If-None-Match": etag})).status_code == 200


async def test_a_limit_keeps_the_nearest_levels() -> None:
    async with calling(make_state(fed(0, 1))) as client:
        response = await client.get("/v1/levels?limit=2")
        found = models.Levels.model_validate_json(response.content)
        assert [level.id for level in found.levels] == ["ROUND_472", "VWAP"]
        assert (await client.get("/v1/levels?limit=9")).content == (await client.get("/v1/levels")).content
        assert_problem(await client.get("/v1/levels?limit=0"), 400, "limit=0")


async def test_the_root_leads_to_what_there_is() -> None:
    async with calling(make_state(fed(0))) as client:
        index = (await client.get("/")).json()
        assert index["name"] == "Breakwater" and index["version"]
        documented = (await client.get("/openapi.json")).json()["paths"]
        for name, path in index["links"].items():
            if not name.startswith("live_"):
                assert path in documented or (await client.get(path)).status_code == 200
        for path in documented:
            assert path in index["links"].values()


async def test_the_documents_page_leads_on_where_the_internet_is_away() -> None:
    async with calling(make_state(fed(0))) as client:
        page = (await client.get("/docs")).text
    _, _, inside = page.partition('<div id="swagger-ui">')
    assert 'href="/openapi.json"' in inside.partition("</div>")[0]


async def test_history_pages_through_a_level() -> None:
    async with calling(make_state(fed(*range(5)))) as client:
        first = await client.get("/v1/levels/VWAP/history", params={"limit": 3})
        page = models.History.model_validate_json(first.content)
        assert [point.ts for point in page.points] == [snap_ns(n) // 1_000_000 for n in range(3)]
        rest = await client.get("/v1/levels/VWAP/history", params={"limit": 3, "cursor": page.next_cursor})
    last = models.History.model_validate_json(rest.content)
    assert [point.ts for point in last.points] == [snap_ns(n) // 1_000_000 for n in (3, 4)]
    assert last.next_cursor is None
    assert last.complete


async def test_history_takes_iso_and_ns() -> None:
    async with calling(make_state(fed(*range(5)))) as client:
        params = {"from": str(snap_ns(1)), "to": "2023-12-25T10:26:40.500Z"}
        response = await client.get("/v1/levels/VWAP/history", params=params)
    page = models.History.model_validate_json(response.content)
    assert [point.ts * 1_000_000 for point in page.points] == [snap_ns(1), snap_ns(2)]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("from=yesterday", "from=yesterday is not a time"),
        ("to=1703545200", "to=1703545200 is not ns"),
        ("from=2024-01-02&to=2024-01-01", "from=2024-01-02T00:00:00.000Z is after to=2024-01-01T00:00:00.000Z"),
        ("limit=0", "limit=0"),
        (f"limit={LIMIT_MAX + 1}", f"limit={LIMIT_MAX + 1}"),
        ("limit=many", "limit=many"),
        ("cursor=AAAA", "cursor=AAAA is not a cursor of VWAP"),
    ],
)
async def test_a_wrong_parameter_is_named_with_its_value(query: str, says: str) -> None:
    async with calling(make_state(fed(0))) as client:
        response = await client.get(f"/v1/levels/VWAP/history?{query}")
    assert assert_problem(response, 400, says)["hint"]


async def test_an_unknown_level_is_404_with_the_known_ones() -> None:
    async with calling(make_state(fed(0))) as client:
        response = await client.get("/v1/levels/ROUND_9/history")
    found = assert_problem(response, 404, "'ROUND_9'")
    assert found["hint"] == "Known levels: ROUND_471, ROUND_472, VWAP"
    assert found["instance"] == "/v1/levels/ROUND_9/history"


async def test_an_unknown_path_and_method_are_problems() -> None:
    async with calling(make_state(fed(0))) as client:
        assert_problem(await client.get("/v1/nothing"), 404, "/v1/nothing")
        assert_problem(await client.post("/v1/levels"), 405, "Method Not Allowed")


async def test_a_fault_of_ours_is_a_problem_that_tells_no_secrets() -> None:
    def broken(*_: Any) -> None:
        raise InvariantError("password=hunter2")

    def worse(*_: Any) -> None:
        raise ZeroDivisionError("password=hunter2")

    for scan in (broken, worse):
        async with calling(make_state(fed(0), scan=scan)) as client:
            response = await client.get("/v1/levels/VWAP/history")
        assert_problem(response, 500)
        assert b"hunter2" not in response.content


async def test_a_table_that_cannot_be_read_is_503() -> None:
    def away(*_: Any) -> None:
        raise UnavailableError("gold.levels_signals cannot be read", hint="Ask again.")

    async with calling(make_state(fed(0), scan=away)) as client:
        response = await client.get("/v1/levels/VWAP/history")
    assert_problem(response, 503, "gold.levels_signals")


def parts(**oks: bool) -> Health:
    health = Health()
    for name, ok in oks.items():
        health.set(name, ok, "" if ok else "away")
    return health


STORED = {"gold.levels_signals": TableState(exists=True, snapshot_id="7216435672094110023", rows=9)}
MISSING = {"gold.levels_signals": TableState(exists=False, snapshot_id=None, rows=None)}


@pytest.mark.parametrize(
    ("health", "live", "tables", "code", "status"),
    [
        (parts(broker=True, signals=True), fed(0), STORED, 200, "ok"),
        (parts(broker=True, signals=True), LiveSignals(), MISSING, 200, "degraded"),
        (parts(broker=False, signals=False), fed(0), STORED, 200, "degraded"),
        (parts(broker=False, signals=False), LiveSignals(), STORED, 503, "down"),
    ],
)
async def test_health_says_how_each_part_is(
    health: Health, live: LiveSignals, tables: dict[str, TableState], code: int, status: str
) -> None:
    async with calling(make_state(live, health=health, tables=lambda: tables, lag_records=7)) as client:
        response = await client.get("/v1/health")
    assert response.status_code == code
    found = models.HealthReport.model_validate_json(response.content)
    assert found.status == status
    assert set(found.parts) == {"broker", "signals", "tables"}
    assert found.signals.lag_records == 7
    assert found.tables == tables


async def test_health_survives_a_catalog_that_does_not_answer() -> None:
    def away() -> dict[str, TableState]:
        raise ConnectionError("catalog.db is locked")

    async with calling(make_state(fed(0), tables=away)) as client:
        response = await client.get("/v1/health")
    found = models.HealthReport.model_validate_json(response.content)
    assert (response.status_code, found.status) == (200, "degraded")
    assert "catalog.db is locked" in found.parts["tables"].detail


async def test_config_gives_every_key_with_unit_and_source_and_the_hash() -> None:
    async with calling(make_state(fed(0))) as client:
        response = await client.get("/v1/config")
    found = models.EngineConfiguration.model_validate_json(response.content)
    assert found.hash == EngineConfig().hash
    assert [key.key for key in found.keys] == list(EngineConfig.model_fields)
    assert all(key.unit and key.source and key.description for key in found.keys)
    assert {key.key: key.value for key in found.keys}["W_b"] == 10.0


async def test_the_documents_have_an_example_for_every_answer() -> None:
    async with calling(make_state(fed(0))) as client:
        document = (await client.get("/openapi.json")).json()
        assert (await client.get("/docs")).status_code == 200
    assert set(document["paths"]) == {"/v1/levels", "/v1/levels/{level_id}/history", "/v1/health", "/v1/config"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            assert "422" not in operation["responses"], path
            for parameter in operation.get("parameters", ()):
                assert parameter["description"], (path, parameter["name"])
            reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
            schema = document["components"]["schemas"][reference.rsplit("/", 1)[-1]]
            assert schema["examples"], path
    assert "/ws/levels" in document["info"]["description"]


async def test_every_reference_of_the_documents_leads_somewhere() -> None:
    document = create_app(make_state(fed(0))).openapi()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if "$ref" in node else set()
            return own.union(*(references(value) for value in node.values()))
        return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()

    assert references(document) <= known


async def test_no_foreign_origin_is_let_in() -> None:
    async with calling(make_state(fed(0))) as client:
        response = await client.get("/v1/levels", headers={"Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in response.headers
