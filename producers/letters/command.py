"""``breakwater dead-letters``: what could not be used, looked at and tried again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from common import endpoints, kafka, topics
from common.cli.options import HomeOption
from common.config import load_config
from common.errors import InputError
from common.registry import Registry
from common.settings import settings
from common.telemetry import configure_logging
from common.times import shown_time
from common.topics import DEAD_LETTERS, full_name
from producers.letters.letter import Letter, read_letters
from producers.letters.reprocess import Place, distinct, reprocess, went_back
from producers.sender import PRODUCER_OVERRIDES, Target

SHOWN_BYTES_MAX = 2_000
ROW_BYTES = 16

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at dead letters, and try them again.")

TopicOption = Annotated[str | None, typer.Option(help="Only those meant for this topic or channel.")]
ComponentOption = Annotated[str | None, typer.Option(help="Only those that this service set aside.")]
NamespaceOption = Annotated[str | None, typer.Option(help="Prefix of the topics' names.", show_default="the settings'")]
ComplexOption = Annotated[str, typer.Option("--complex", help="Complex that the letters belong to.")]


@app.command("list")
def list_letters(
    topic: TopicOption = None,
    component: ComponentOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest are shown.")] = 50,
    complex_name: ComplexOption = "SPY",
    namespace: NamespaceOption = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List dead letters: number, time, who set it aside, where it came from, and why. Repetitions count once."""
    with _place(complex_name, namespace) as place:
        letters = _letters(place)
    done = went_back(letters)
    chosen = _chosen(distinct(letters), topic, component)
    rows = [(number, letter, letter.identity in done) for number, letter in chosen[-limit:]]
    if as_json:
        found = [{"number": n, **_facts(letter), "went_back": back} for n, letter, back in rows]
        typer.echo(json.dumps({"letters": found, "count": len(chosen)}))
        return
    table = Table("number", "time (UTC)", "component", "topic", "source and place", "error", box=None)
    for number, letter, back in rows:
        where = f"{letter.source} {letter.place}" if letter.place else f"{letter.partition}:{letter.offset}"
        told = f"[green]went back[/green] ({letter.error})" if back else letter.error
        table.add_row(str(number), shown_time(letter.ts_event_ns), letter.component, letter.topic, where, told)
    Console().print(table)
    Console().print(f"{len(chosen):,} dead letters, {len(rows):,} shown", style="dim", highlight=False)


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="The letter's number, as listed.")],
    complex_name: ComplexOption = "SPY",
    namespace: NamespaceOption = None,
    home: HomeOption = None,
) -> None:
    """Show one dead letter: the reason, and its bytes in hex and as text."""
    with _place(complex_name, namespace) as place:
        letter = dict(_letters(place)).get(number)
    if letter is None:
        raise InputError(f"there is no dead letter {number}", hint="./breakwater dead-letters list shows the numbers.")
    for name, value in _facts(letter).items():
        if value is not None:
            typer.echo(f"{name:<12} {value}")
    typer.echo(f"{'bytes':<12} {len(letter.value)}")
    typer.echo("\n".join(hex_lines(letter.value[:SHOWN_BYTES_MAX])))
    if len(letter.value) > SHOWN_BYTES_MAX:
        typer.echo(f"… {len(letter.value) - SHOWN_BYTES_MAX} more")


@app.command("reprocess")
def reprocess_letters(
    numbers: Annotated[list[int] | None, typer.Argument(help="Letters by number; all when none is given.")] = None,
    topic: TopicOption = None,
    component: ComponentOption = None,
    complex_name: ComplexOption = "SPY",
    namespace: NamespaceOption = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read dead letters again; what can be used now goes back to its topic as a late record, once."""
    with _place(complex_name, namespace) as place:
        letters = _letters(place)
        chosen = _chosen(distinct(letters), topic, component)
        if numbers:
            missing = sorted(set(numbers) - {number for number, _ in chosen})
            if missing:
                raise InputError(f"there is no dead letter {missing[0]}", hint="List them with the same options.")
            chosen = [(number, letter) for number, letter in chosen if number in numbers]
        results = reprocess(chosen, went_back(letters), place)
    if as_json:
        typer.echo(json.dumps({"results": [asdict(result) for result in results]}))
        return
    table = Table("number", "outcome", "", box=None)
    for result in results:
        table.add_row(str(result.number), result.outcome, result.detail)
    Console().print(table)


def hex_lines(value: bytes) -> Iterator[str]:
    """The bytes, 16 a line: where they are, in hex, and as text."""
    for at in range(0, len(value), ROW_BYTES):
        row = value[at : at + ROW_BYTES]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{at:06x}  {row.hex(' '):<{ROW_BYTES * 3 - 1}}  {text}"


def _facts(letter: Letter) -> dict[str, object]:
    names = ("component", "topic", "source", "place", "partition", "offset", "error")
    return {"time": shown_time(letter.ts_event_ns), **{name: getattr(letter, name) for name in names}}


def _chosen(letters: list[tuple[int, Letter]], topic: str | None, component: str | None) -> list[tuple[int, Letter]]:
    return [
        (number, letter)
        for number, letter in letters
        if topic in (None, letter.topic) and component in (None, letter.component)
    ]


def _letters(place: Place) -> list[tuple[int, Letter]]:
    name = full_name(DEAD_LETTERS, place.target.namespace)
    return list(read_letters(place.consumer, name, place.target.partition, place.writer))


@contextmanager
def _place(complex_name: str, namespace: str | None) -> Iterator[Place]:
    # Else what the clients say would go where the answer goes.
    configure_logging("dead-letters")
    chosen = settings().namespace if namespace is None else namespace
    kafka.ensure_topics(topics.specs(chosen))
    consumer = kafka.consumer(enable_partition_eof=True)
    try:
        with Registry(endpoints.resolve().registry_url) as registry:
            target = Target(
                "dead-letters",
                complex_name,
                topics.partition_of(complex_name),
                chosen,
                uuid.uuid4().hex,
                None,
                registry.ensure_all(chosen),
            )
            spools = settings().home / "spool" / (chosen or "live")
            yield Place(kafka.producer(**PRODUCER_OVERRIDES), consumer, registry.schema, target, spools, load_config())
    finally:
        consumer.close()
