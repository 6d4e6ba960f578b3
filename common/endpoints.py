"""Where the broker, the schema registry and a local lake's catalog answer: given by the settings, else by the local
stack of this home."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from common.errors import UnavailableError
from common.settings import settings


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one deployment.

    ``kafka_bootstrap``: ``host:port`` pairs separated by commas. ``registry_url``: base address of the Confluent API,
    without a slash at its end.
    """

    kafka_bootstrap: str
    registry_url: str


def stack_file(home: Path) -> Path:
    """Where the local stack of a home writes its process ids and addresses."""
    return home / "stack.json"


def catalog_database(home: Path) -> Path:
    """The file of the local REST catalog; a home that has it keeps its tables there."""
    return home / "catalog" / "catalog.db"


def local_catalog() -> dict[str, str] | None:
    """PyIceberg's properties of the REST catalog that this home's stack runs; None in a home without one.

    Raises UnavailableError when the home's tables are in one that does not run.
    """
    path = stack_file(settings().home)
    try:
        written = json.loads(path.read_text(encoding="utf-8")).get("catalog")
    except (OSError, ValueError, AttributeError):
        written = None
    if written is not None:
        return dict(written)
    if catalog_database(settings().home).exists():
        raise UnavailableError(
            f"the tables of {settings().home} are in its local REST catalog, which does not run",
            hint="Start it with ./breakwater up.",
        )
    return None


def resolve() -> Endpoints:
    """The endpoints in force; what the settings name wins over the local stack.

    Raises UnavailableError when neither names one. Says nothing about whether the servers are well.
    """
    kafka, registry = settings().kafka_bootstrap, settings().registry_url
    if kafka is None or registry is None:
        path = stack_file(settings().home)
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            kafka = kafka or str(written["kafka_bootstrap"])
            registry = registry or str(written["registry_url"])
        except FileNotFoundError:
            raise UnavailableError(
                f"no broker and registry are known: the settings name none and {path} does not exist",
                hint="Start the local stack with ./breakwater up, or set BREAKWATER_KAFKA_BOOTSTRAP and"
                " BREAKWATER_REGISTRY_URL.",
            ) from None
        except (ValueError, KeyError, TypeError):
            raise UnavailableError(
                f"{path} is damaged", hint="Start the stack anew: ./breakwater down, then ./breakwater up."
            ) from None
    return Endpoints(kafka, registry.rstrip("/"))
