"""``breakwater hotzone``: levels that people set while the market runs, as records of ``control.requests.v1``.

A request is dated in the market's time and not in ours, so that it means the same in a played session: the time that
the features worker has reached by its newest marker, or what ES has promised where no worker keeps up. Nobody waits for
this input: it makes no promises in heartbeats, so the worker has put it aside and applies a request as soon as it reads
it, and the marker of that step says so. Requests are written in a transaction of one name per partition: of two people
who ask at once one is told to ask again, and effective times never run backwards.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import confluent_kafka as ck
import numpy as np
import typer
from confluent_kafka import KafkaException

from common import endpoints, kafka, topics
from common.avro import encode_row
from common.cli.options import HomeOption
from common.config import MOST_HOTZONES, NS_PER_S, load_config
from common.errors import ConflictError, InputError
from common.recorded import LogReader
from common.registry import Registry
from common.schemas import load
from common.settings import settings
from common.topics import ALWAYS_AWAITED, HEARTBEATS, MARKERS, REQUESTS, full_name
from producers.event_ids import content_hashes, first_ids, fnv1a
from producers.log_state import read_promises

SOURCE = "requests"
E4 = 10_000
"""Prices are kept in 0.0001 USD, as in the engine."""

NEWEST_RECORDS = 64
"""Offsets that are looked at for a topic's newest record; ends of transactions stand between records."""

BEHIND_NS = 10 * NS_PER_S
"""A worker that is further behind ES than this does not keep up, and says nothing about the market's time."""

TIMEOUT_S = 20.0

_PRICE_HINT = "Give US dollars with at most four decimals, more than 0 and less than a million, such as 601.5."

Kind = Literal["HOTZONE_ADD", "HOTZONE_REMOVE"]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Set levels of your own while the market runs.")

PricesArgument = Annotated[
    list[str], typer.Argument(help="Prices in USD, in terms of the underlying.", metavar="PRICE…")
]
_DASHED = {"ignore_unknown_options": True}
"""A negative price is a wrong price, not an unknown option."""

ComplexOption = Annotated[str, typer.Option("--complex", help="Complex that the level belongs to.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who asks; kept in the record.")]


# Pure


def parse_prices(texts: Iterable[str]) -> list[float]:
    """The prices as typed. Raises InputError that names the one that is none."""
    found = []
    for text in texts:
        try:
            found.append(float(text))
        except ValueError:
            raise InputError(f"{text!r} is no price of a level", hint=_PRICE_HINT) from None
        price_e4(found[-1])
    return found


def price_e4(price: float) -> int:
    """The price in 0.0001 USD. Raises InputError for what is none."""
    if not 0 < price < 1e6 or abs(price * E4 - round(price * E4)) > 1e-6:
        raise InputError(f"{price!r} is no price of a level", hint=_PRICE_HINT)
    return round(price * E4)


def active(configured: Iterable[float], rows: Iterable[Mapping[str, Any]], underlying: str) -> list[int]:
    """The levels in force after the requests, in 0.0001 USD, ascending; ``configured``: USER_HOTZONES."""
    found = {price_e4(price) for price in configured}
    for row in rows:
        if row["underlying"] != underlying or row["price"] is None:
            continue
        price = round(row["price"] * E4)
        if row["kind"] == "HOTZONE_REMOVE":
            found.discard(price)
        elif row["kind"] == "HOTZONE_ADD" and len(found) < MOST_HOTZONES:
            found.add(price)
    return sorted(found)


def changes(kind: Kind, prices: Sequence[float], before: Sequence[int]) -> list[int]:
    """The prices whose state the request changes, in 0.0001 USD. Raises InputError for one that cannot be changed."""
    wanted = sorted({price_e4(price) for price in prices})
    if kind == "HOTZONE_REMOVE":
        unknown = [price for price in wanted if price not in before]
        if unknown:
            raise InputError(f"{shown(unknown)} is not set", hint="See: breakwater hotzone list.")
        return wanted
    new = [price for price in wanted if price not in before]
    if len(before) + len(new) > MOST_HOTZONES:
        raise InputError(
            f"{len(before)} levels are set, and there is room for {MOST_HOTZONES}", hint="Remove some of them first."
        )
    return new


def market_ns(reached_ns: int | None, promised_ns: int, last_ns: int) -> int:
    """The time of a request: see the module. ``last_ns``: that of the newest request."""
    keeps_up = reached_ns is not None and promised_ns - reached_ns <= BEHIND_NS
    return max(reached_ns if keeps_up and reached_ns is not None else promised_ns, last_ns)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, about what, and when: ``ts_ns`` by the market, ``now_ns`` by our clock."""

    underlying: str
    requester: str | None
    ts_ns: int
    now_ns: int


def rows_of(kind: Kind, prices: Sequence[int], asked: Asked, first_offset: int) -> list[dict[str, Any]]:
    """The records of a request, one per price. ``first_offset``: their place tells equal requests apart."""
    return [
        {
            "event_id": _event_id(kind, price, asked, first_offset + place),
            "ts_event_ns": asked.ts_ns,
            "ts_recv_ns": asked.now_ns,
            "ts_effective_ns": asked.ts_ns,
            "source": SOURCE,
            "symbol": asked.underlying,
            "seq": first_offset + place,
            "is_late": False,
            "kind": kind,
            "underlying": asked.underlying,
            "price": price / E4,
            "requester": asked.requester,
        }
        for place, price in enumerate(prices)
    ]


def _event_id(kind: Kind, price: int, asked: Asked, seq: int) -> int:
    words = (fnv1a(kind), fnv1a(asked.underlying), price, asked.ts_ns, seq)
    return int(first_ids(content_hashes(REQUESTS, [np.array([word], np.uint64) for word in words]))[0])


def shown(prices: Iterable[int]) -> str:
    """Prices as people write them."""
    return ", ".join(f"{price / E4:.4f}".rstrip("0").rstrip(".") for price in prices)


# Around the log


class RequestLog:
    """The requests of one complex in the log. Raises UnavailableError when it does not answer."""

    def __init__(self, complex_name: str, reader: LogReader, registry: Registry, namespace: str) -> None:
        self._complex = complex_name
        self._reader = reader
        self._registry = registry
        self._namespace = namespace
        self._partition = topics.partition_of(complex_name)

    def active(self) -> list[int]:
        """The levels in force."""
        return active(load_config().USER_HOTZONES, self._rows(REQUESTS, 0), self._complex)

    def ask(self, kind: Kind, prices: Sequence[float], requester: str | None) -> list[int]:
        """Write the request; returns the prices whose state changes. Raises InputError, ConflictError."""
        producer = kafka.transactional_producer(
            f"breakwater-{SOURCE}-{self._namespace or 'live'}-{self._partition}", linger_ms=0
        )
        try:
            producer.init_transactions(TIMEOUT_S)
            changed = changes(kind, prices, self.active())
            if changed:
                asked = Asked(self._complex, requester, self._market_ns(), time.time_ns())
                self._write(producer, rows_of(kind, changed, asked, self._end(REQUESTS)))
        except KafkaException as error:
            if error.args[0].fatal():
                raise ConflictError("somebody else asks at the same moment", hint="Ask again.") from error
            raise kafka.unavailable(f"take records for {REQUESTS}", error) from error
        return changed

    def _write(self, producer: ck.Producer, rows: Sequence[Mapping[str, Any]]) -> None:
        schema_id = self._registry.ensure_all(self._namespace)[REQUESTS]
        producer.begin_transaction()
        for row in rows:
            producer.produce(
                full_name(REQUESTS, self._namespace),
                value=encode_row(load(REQUESTS), row, schema_id),
                key=self._complex.encode(),
                partition=self._partition,
            )
        producer.commit_transaction(TIMEOUT_S)

    def _market_ns(self) -> int:
        names = {full_name(topic, self._namespace): topic for topic in ALWAYS_AWAITED}
        heartbeats = full_name(HEARTBEATS, self._namespace)
        consumer = kafka.consumer()
        try:
            promises = read_promises(consumer, heartbeats, self._partition, names, self._registry.schema)
        finally:
            consumer.close()
        if len(promises) < len(names):
            raise InputError("the log holds no market yet", hint="Start a producer first: breakwater producer --help.")
        newest = self._newest(MARKERS)
        reached_ns = None if newest is None else newest["ts_until_ns"]
        last = self._newest(REQUESTS)
        return market_ns(reached_ns, min(promises.values()), 0 if last is None else last["ts_effective_ns"])

    def _newest(self, topic: str) -> Mapping[str, Any] | None:
        newest = deque(self._rows(topic, max(self._end(topic) - NEWEST_RECORDS, 0)), maxlen=1)
        return newest[0] if newest else None

    def _rows(self, topic: str, begin: int) -> Iterator[Mapping[str, Any]]:
        for _, row in self._reader.rows(topic, max(begin, self._begin(topic)), self._end(topic)):
            yield row

    def _begin(self, topic: str) -> int:
        bounds = self._reader.bounds(topic)
        return 0 if bounds is None else bounds.begin_offset

    def _end(self, topic: str) -> int:
        bounds = self._reader.bounds(topic)
        return 0 if bounds is None else bounds.end_offset


@contextmanager
def request_log(complex_name: str) -> Iterator[RequestLog]:
    """The requests in the settings' namespace."""
    namespace, partition = settings().namespace, topics.partition_of(complex_name)
    with Registry(endpoints.resolve().registry_url) as registry:
        reader = LogReader(kafka.consumer, registry.schema, namespace, partition)
        try:
            yield RequestLog(complex_name, reader, registry, namespace)
        finally:
            reader.close()


# Commands


@app.command(context_settings=_DASHED)
def add(
    prices: PricesArgument, complex_name: ComplexOption = "SPY", by: ByOption = None, home: HomeOption = None
) -> None:
    """Set levels at these prices, from now on until they are removed."""
    _ask("HOTZONE_ADD", prices, complex_name, by)


@app.command(context_settings=_DASHED)
def remove(
    prices: PricesArgument, complex_name: ComplexOption = "SPY", by: ByOption = None, home: HomeOption = None
) -> None:
    """Take these levels out again."""
    _ask("HOTZONE_REMOVE", prices, complex_name, by)


@app.command("list")
def show(complex_name: ComplexOption = "SPY", home: HomeOption = None) -> None:
    """List the levels that are set, by configuration or on request, one per line."""
    with request_log(complex_name) as log:
        for price in log.active():
            typer.echo(shown([price]))


def _ask(kind: Kind, texts: Sequence[str], complex_name: str, by: str | None) -> None:
    prices = parse_prices(texts)
    topics.partition_of(complex_name)
    with request_log(complex_name) as log:
        changed = log.ask(kind, prices, by)
    done = "set" if kind == "HOTZONE_ADD" else "removed"
    typer.echo(f"{done}: {shown(changed)}" if changed else "nothing to do: they are set already")
