"""The registry client against a registry that answers as told."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from common import schemas
from common.errors import ConfigError, SchemaError, UnavailableError
from common.registry import UNKNOWN_S, Registry, subject_of

SCHEMA = schemas.load("futures.trades.v1")
Answer = Callable[[httpx.Request], httpx.Response]


def _registry(answer: Answer, url: str = "http://registry/apis/ccompat/v7", patience_s: float = 0.0) -> Registry:
    return Registry(url, patience_s=patience_s, transport=httpx.MockTransport(answer))


def _body(request: httpx.Request) -> dict[str, str]:
    body = json.loads(request.content)
    assert isinstance(body, dict)
    return body


def test_compatibility_is_set_before_the_schema_is_registered() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.path))
        if request.method == "PUT":
            assert _body(request) == {"compatibility": "FULL_TRANSITIVE"}
            return httpx.Response(200, json=_body(request))
        assert _body(request) == {"schema": SCHEMA.avro_json}
        return httpx.Response(200, json={"id": 7})

    assert _registry(answer).register(SCHEMA, "replay.r1") == 7
    subject = "replay.r1.futures.trades.v1-value"
    base = "/apis/ccompat/v7"
    assert seen == [("PUT", f"{base}/config/{subject}"), ("POST", f"{base}/subjects/{subject}/versions")]


def test_the_subject_is_the_topics_value_in_its_namespace() -> None:
    assert subject_of("levels.signals.v1") == "levels.signals.v1-value"
    assert subject_of("levels.signals.v1", "test.x") == "test.x.levels.signals.v1-value"


def test_an_incompatible_schema_is_a_schema_error_with_the_registrys_words() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return httpx.Response(200, json={})
        if request.url.path.endswith("/versions"):
            return httpx.Response(409, json={"error_code": 409, "message": "field price removed"})
        return httpx.Response(404, json={"error_code": 40403})

    with pytest.raises(SchemaError, match=r"futures\.trades\.v1-value: .*field price removed") as caught:
        _registry(answer).register(SCHEMA)
    assert caught.value.hint is not None
    assert "nullable" in caught.value.hint


def test_a_service_that_comes_second_at_the_same_moment_gets_the_firsts_id() -> None:
    settings = [httpx.Response(409, json={"message": "rule already exists"}), httpx.Response(200, json={})]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return settings.pop(0)
        if request.url.path.endswith("/versions"):
            return httpx.Response(409, json={"message": "version already exists"})
        return httpx.Response(200, json={"id": 11})

    assert _registry(answer, patience_s=30.0).register(SCHEMA) == 11
    assert settings == []


def test_a_schema_is_asked_for_once_and_named_after_its_topic() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"schema": json.dumps(SCHEMA.avro, indent=2)})

    registry = _registry(answer, "http://registry")
    assert registry.schema(5) == SCHEMA
    assert registry.schema(5) is registry.schema(5)
    assert asked == ["/schemas/ids/5"]


def test_a_schema_of_another_house_keeps_its_own_name() -> None:
    foreign = {"type": "record", "name": "quote", "fields": [{"name": "x", "type": "int"}]}
    assert _registry(lambda _: httpx.Response(200, json={"schema": json.dumps(foreign)})).schema(1).name == "quote"


@pytest.mark.parametrize(
    "body",
    [
        {"schema": "not json"},
        {"schema": '"string"'},
        {"schema": "{}"},
        {"schema": '{"type": "record", "name": "x"}'},
        {"schema": '{"type": "record", "name": "x", "fields": [{"name": "y", "type": "float"}]}'},
        {"schema": "syntax = 'proto3';", "schemaType": "PROTOBUF"},
        {},
    ],
)
def test_a_schema_that_is_no_record_of_ours_is_a_schema_error(body: dict[str, str]) -> None:
    with pytest.raises(SchemaError):
        _registry(lambda _: httpx.Response(200, json=body)).schema(1)


def test_an_unknown_id_is_a_schema_error_and_asked_for_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("common.registry.time.monotonic", lambda: now_s)
    answers = iter([httpx.Response(404), httpx.Response(200, json={"schema": SCHEMA.avro_json})])
    registry = _registry(lambda _: next(answers))
    for _ in range(3):
        with pytest.raises(SchemaError, match="has no schema with id 5") as caught:
            registry.schema(5)
        assert caught.value.hint
    now_s += UNKNOWN_S
    assert registry.schema(5) == SCHEMA


@pytest.mark.parametrize("schema_id", [-1, 2**31, 2**32 - 1])
def test_a_number_that_is_no_id_is_refused_without_asking(schema_id: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    with pytest.raises(SchemaError, match=f"{schema_id} is not a schema id"):
        _registry(answer).schema(schema_id)


def test_a_passing_fault_is_retried() -> None:
    faults: list[httpx.Response | Exception] = [
        httpx.ConnectError("refused"),
        httpx.Response(503, text="starting"),
        httpx.Response(200, json={"schema": SCHEMA.avro_json}),
    ]

    def answer(_: httpx.Request) -> httpx.Response:
        fault = faults.pop(0)
        if isinstance(fault, Exception):
            raise fault
        return fault

    assert _registry(answer, patience_s=30.0).schema(1) == SCHEMA
    assert faults == []


@pytest.mark.parametrize("fault", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), 500, 503])
def test_a_registry_that_stays_away_is_unavailable_and_named_without_its_password(fault: Exception | int) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        if isinstance(fault, int):
            return httpx.Response(fault, text="trouble")
        raise fault

    with pytest.raises(UnavailableError, match="http://registry:8081 does not answer") as caught:
        _registry(answer, "http://user:hush@registry:8081").schema(1)
    assert "hush" not in str(caught.value)
    assert caught.value.hint is not None


def test_credentials_in_the_address_are_sent() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Basic dXNlcjpodXNo"
        return httpx.Response(200, json={"schema": SCHEMA.avro_json})

    assert _registry(answer, "http://user:hush@registry:8081").schema(1) == SCHEMA


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_the_users_to_correct(status: int) -> None:
    with pytest.raises(ConfigError, match=f"HTTP {status}") as caught:
        _registry(lambda _: httpx.Response(status)).register(SCHEMA)
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    "foreign", [httpx.Response(200, text="<html>hello</html>"), httpx.Response(404), httpx.Response(200, json=[1])]
)
def test_a_server_that_is_no_registry_is_called_so(foreign: httpx.Response) -> None:
    with pytest.raises(UnavailableError, match="does not answer like a schema registry") as caught:
        _registry(lambda _: foreign).register(SCHEMA)
    assert caught.value.hint is not None
    assert "ccompat" in caught.value.hint


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not the address of a registry"):
        Registry("http://host:port")


def test_an_address_without_a_scheme_is_unavailable_not_a_crash() -> None:
    with pytest.raises(UnavailableError):
        Registry("registry:8081", patience_s=0.0).schema(1)
