"""The registry client against the real registry."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from common import schemas
from common.avro import Codec
from common.endpoints import Endpoints
from common.errors import SchemaError
from common.registry import Registry
from common.schemas import RecordSchema
from tests.support.avro_records import batch_of, records_in

TRADES = schemas.load("futures.trades.v1")


@pytest.fixture
def registry(stack: Endpoints) -> Iterator[Registry]:
    with Registry(stack.registry_url) as client:
        yield client


def _changed(change: Callable[[list[dict[str, Any]]], None]) -> RecordSchema:
    avro = copy.deepcopy(TRADES.avro)
    change(avro["fields"])
    return schemas.parse(TRADES.name, avro)


def _added(declared: Any, **default: Any) -> RecordSchema:
    extra = {"name": "added", "type": declared, "doc": "Added.", "unit": "flag", **default}
    return _changed(lambda fields: fields.append(extra))


def test_every_schema_registers_once_and_comes_back_as_it_is(registry: Registry, namespace: str) -> None:
    ids = registry.ensure_all(namespace)
    assert set(ids) == set(schemas.names())
    assert len(set(ids.values())) == len(ids)
    assert registry.ensure_all(namespace) == ids
    for name, schema_id in ids.items():
        assert registry.schema(schema_id) == schemas.load(name)
        assert registry.lookup(schemas.load(name), namespace) == schema_id


def _without(name: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(fields: list[dict[str, Any]]) -> None:
        fields[:] = [raw for raw in fields if raw["name"] != name]

    return change


def _retyped(name: str, declared: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(fields: list[dict[str, Any]]) -> None:
        next(raw for raw in fields if raw["name"] == name)["type"] = declared

    return change


@pytest.mark.parametrize(
    "incompatible",
    [
        pytest.param(_changed(_without("price")), id="a required field removed"),
        pytest.param(_changed(_retyped("size", "string")), id="a type changed"),
        pytest.param(_changed(_retyped("size", "long")), id="a type widened: old readers cannot follow"),
        pytest.param(_added("long"), id="a required field added"),
    ],
)
def test_an_incompatible_change_is_refused_and_leaves_no_trace(
    registry: Registry, namespace: str, incompatible: RecordSchema
) -> None:
    first = registry.register(TRADES, namespace)
    with pytest.raises(SchemaError, match=rf"{namespace}\.futures\.trades\.v1-value: .*not compatible") as caught:
        registry.register(incompatible, namespace)
    assert caught.value.hint is not None
    assert registry.lookup(incompatible, namespace) is None
    assert registry.register(TRADES, namespace) == first


def test_a_nullable_addition_is_accepted_and_read_both_ways(registry: Registry, namespace: str) -> None:
    newer = _added(["null", "string"], default=None)
    ids = [registry.register(schema, namespace) for schema in (TRADES, newer)]
    assert ids[0] != ids[1]
    old = {f.name: "x" if f.kind == "string" else None if f.nullable else 1 for f in TRADES.fields}
    old |= {"aggressor": "BUY", "is_late": False, "venue": "XCME", "price": 4810.25}
    values = Codec(TRADES).encode(batch_of(TRADES, [old]), ids[0]).messages()
    values += Codec(newer).encode(batch_of(newer, [{**old, "added": "y"}]), ids[1]).messages()
    as_new = Codec(newer).decode(values, registry.schema)
    assert records_in(newer, as_new.batch) == [{**old, "added": None}, {**old, "added": "y"}]
    as_old = Codec(TRADES).decode(values, registry.schema)
    assert records_in(TRADES, as_old.batch) == [old, old]


def test_transitive_means_every_earlier_version_is_compared(registry: Registry, namespace: str) -> None:
    registry.register(TRADES, namespace)
    registry.register(_added(["null", "string"], default=None), namespace)
    registry.register(TRADES, namespace)
    with pytest.raises(SchemaError, match="not compatible"):
        registry.register(_added(["null", "long"], default=None), namespace)


def test_services_that_start_together_get_the_same_ids(stack: Endpoints, namespace: str) -> None:
    def start(_: int) -> dict[str, int]:
        with Registry(stack.registry_url) as registry:
            return registry.ensure_all(namespace)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(start, range(6)))
    assert all(ids == found[0] for ids in found)


def test_an_id_that_was_never_given_is_a_schema_error(registry: Registry) -> None:
    with pytest.raises(SchemaError, match="has no schema with id 2000000000"):
        registry.schema(2_000_000_000)
