"""``breakwater topics``: what the log holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]
from rich.console import Console
from rich.table import Table

from common import endpoints, kafka, schemas
from common.cli.options import HomeOption
from common.registry import Registry
from common.settings import settings
from common.topics import full_name


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic; offsets are summed over its partitions.

    ``offsets``: how many are in use between the two. Records need one each, and so does the end of each transaction.
    """

    name: str
    partitions: int
    cleanup: str
    begin_offset: int
    end_offset: int
    offsets: int
    schema_id: int | None


def topics(
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Also topics of other namespaces and of Kafka itself.")] = False,
) -> None:
    """List the topics: their number of partitions, clean-up, offsets and schema.

    First: the offset of the oldest record; end: the one after the newest. A record has one offset, and so has the end
    of each transaction.
    """
    states = look(every=every)
    if as_json:
        typer.echo(json.dumps({"topics": [asdict(state) for state in states]}))
        return
    Console().print(shown_topics(states))


def shown_topics(states: Sequence[TopicState]) -> Table:
    """A line for each. Names are never cut: where the terminal is too narrow they go on in the next line."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("topic", overflow="fold")
    table.add_column("parts", justify="right", no_wrap=True)
    table.add_column("clean-up", no_wrap=True)
    for heading in ("first", "end", "schema"):
        table.add_column(heading, justify="right", no_wrap=True)
    for state in states:
        schema = "" if state.schema_id is None else str(state.schema_id)
        offsets = f"{state.begin_offset:,}", f"{state.end_offset:,}"
        table.add_row(state.name, str(state.partitions), state.cleanup, *offsets, schema)
    return table


def look(*, every: bool = False) -> list[TopicState]:
    """The topics of the settings' namespace, or all; sorted by name. Offsets are summed over partitions.

    Raises UnavailableError when the broker or the registry does not answer.
    """
    try:
        return _look(every=every)
    except KafkaException as error:
        raise kafka.unavailable("list its topics", error) from error


def _look(*, every: bool) -> list[TopicState]:
    admin = kafka.admin()
    namespace = settings().namespace
    known = {full_name(name, namespace): name for name in schemas.names()}
    found = admin.list_topics(timeout=kafka.REQUEST_TIMEOUT_S).topics
    prefix = full_name("", namespace)
    names = sorted(name for name in found if every or _is_ours(name, prefix))
    cleanup = _cleanup(admin, names)
    consumer = kafka.consumer()
    out = []
    try:
        with Registry(endpoints.resolve().registry_url) as registry:
            for name in names:
                marks = [kafka.end_offsets(name, number, client=consumer) for number in found[name].partitions]
                begin, end = sum(mark.begin_offset for mark in marks), sum(mark.end_offset for mark in marks)
                schema_id = registry.lookup(schemas.load(known[name]), namespace) if name in known else None
                out.append(TopicState(name, len(marks), cleanup[name], begin, end, end - begin, schema_id))
    finally:
        consumer.close()
    return out


def _is_ours(name: str, prefix: str) -> bool:
    """Live topics have no prefix; those of replays and of Kafka itself do."""
    return name.startswith(prefix) if prefix else not name.startswith(("__", "replay."))


def _cleanup(admin: Any, names: list[str]) -> dict[str, str]:
    futures = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in names])
    return {resource.name: future.result()["cleanup.policy"].value for resource, future in futures.items()}
