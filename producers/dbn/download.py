"""Historical data through the vendor's client, into the folder layout of :mod:`.days`; what is there is not paid again.

Each file is one schema and UTC day. It is written under another name, read through to its end and counted against what
the vendor says, and only then gets its name; so an interrupted download leaves whole files, and goes on with the next.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import databento
import databento_dbn
import requests
from databento.common.error import BentoClientError, BentoError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from common.errors import ConfigError, InputError, UnavailableError
from common.settings import secret, settings
from common.telemetry import get_logger
from producers.dbn import CHUNK_RECORDS
from producers.dbn.days import path_of
from producers.dbn.file import LAYOUTS, DbnFile

log = get_logger("producers.databento")

ATTEMPTS = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
NO_DATA = ("missing", "pending")
"""Conditions of days for which there is nothing to ask."""

_KEY = re.compile(r"db-[A-Za-z0-9_-]+")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: the days from ``first`` to ``last``, both included (UTC)."""

    folder: Path
    dataset: str
    symbol: str
    schemas: tuple[str, ...]
    first: dt.date
    last: dt.date


@dataclass(frozen=True, slots=True)
class Part:
    """Files of one schema that are still to be downloaded, with what they cost (USD) and weigh (bytes, not packed)."""

    schema: str
    days: tuple[dt.date, ...]
    cost_usd: float
    size_bytes: int


class _Broken(Exception):  # noqa: N818 - becomes an UnavailableError when it comes too often
    """What came is not whole."""


class Archive:
    """The vendor's historical service; nothing costs anything but `fetch`.

    Raises, in all it does, ConfigError for a refused key, InputError for a request that cannot be served, and
    UnavailableError when the service does not answer after several attempts.
    """

    def __init__(self, key: str, url: str | None, pause_s: float = FIRST_PAUSE_S) -> None:
        self._pause_s = pause_s
        gateway: Any = databento.HistoricalGateway.BO1 if url is None else url
        try:
            self._client = databento.Historical(key=key, gateway=gateway)
        except ValueError:
            # The client's own message holds the key.
            raise ConfigError("databento_key cannot be used", hint="Set BREAKWATER_DATABENTO_KEY.") from None

    @classmethod
    def from_settings(cls) -> Archive:
        """The service that the settings name. Raises ConfigError without a key."""
        return cls(secret("databento_key").get_secret_value(), settings().databento_url)

    def plan(self, wish: Wish) -> list[Part]:
        """What is still missing, by schema, with its price. Raises InputError for days that are not there."""
        for schema in wish.schemas:
            if schema not in LAYOUTS:
                raise InputError(f"schema {schema!r} is not read here", hint=f"Choose of {', '.join(LAYOUTS)}.")
        days = self._days(wish)
        parts = []
        for schema in wish.schemas:
            missing = [day for day in days if not path_of(wish.folder, wish.dataset, schema, day).exists()]
            cost_usd, size_bytes = 0.0, 0
            for first, last in _runs(missing):
                asked = _request(wish, schema, first, last)
                cost_usd += self._ask(lambda asked=asked: self._client.metadata.get_cost(**asked))  # type: ignore[misc]
                size_bytes += self._ask(
                    lambda asked=asked: self._client.metadata.get_billable_size(**asked)  # type: ignore[misc]
                )
            parts.append(Part(schema, tuple(missing), cost_usd, size_bytes))
        return parts

    def fetch(self, wish: Wish, schema: str, day: dt.date) -> int:
        """Download one file; its number of records. This is what costs."""
        final = path_of(wish.folder, wish.dataset, schema, day)
        partial = final.with_name(f".{final.name}.partial")
        final.parent.mkdir(parents=True, exist_ok=True)
        asked = _request(wish, schema, day, day)
        expected = int(self._ask(lambda: self._client.metadata.get_record_count(**asked)))

        def once() -> int:
            partial.unlink(missing_ok=True)
            with warnings.catch_warnings():
                # The client leaves the file that it has written, and opened again, to the garbage collector.
                warnings.simplefilter("ignore", ResourceWarning)
                broken: str | None = None
                try:
                    self._client.timeseries.get_range(**asked, path=partial)
                except (databento_dbn.DBNError, requests.RequestException) as error:
                    broken = str(error)
                # Out here the error is gone, and with its traceback the client's open file.
                if broken is not None:
                    raise _Broken(broken)
            return _checked(partial, expected)

        count = self._ask(once)
        _keep(partial, final)
        log.info("downloaded", file=str(final), records=count)
        return count

    def _days(self, wish: Wish) -> list[dt.date]:
        found = self._ask(
            lambda: self._client.metadata.get_dataset_condition(
                wish.dataset, wish.first.isoformat(), wish.last.isoformat()
            )
        )
        days = [dt.date.fromisoformat(str(entry["date"])) for entry in found if entry["condition"] not in NO_DATA]
        if not days:
            raise InputError(
                f"{wish.dataset} has no data from {wish.first} to {wish.last}", hint="Choose other days (UTC)."
            )
        return sorted(days)

    def _ask(self, question: Callable[[], _T]) -> _T:
        transient = (BentoError, requests.RequestException, _Broken)
        try:
            return Retrying(
                retry=retry_if_exception_type(transient) & _is_not_refusal,
                wait=wait_exponential_jitter(multiplier=self._pause_s, max=LONGEST_PAUSE_S),
                stop=stop_after_attempt(ATTEMPTS),
                reraise=True,
            )(question)
        except BentoClientError as error:
            said = _without_key(str(error.message or error))
            if error.http_status in (401, 403):
                raise ConfigError(
                    f"Databento refuses the key: {said}", hint="Set BREAKWATER_DATABENTO_KEY to a valid key."
                ) from None
            raise InputError(f"Databento refuses the request: {said}", hint="Check symbol, schemas and days.") from None
        except transient as error:
            raise UnavailableError(
                f"Databento does not answer: {_without_key(str(error))}",
                hint="Run the same command again: what is whole is kept and not paid again.",
            ) from None


def _is_not_refusal(state: Any) -> bool:
    error = state.outcome.exception()
    return not (isinstance(error, BentoClientError) and error.http_status not in (408, 429))


def _without_key(text: str) -> str:
    return _KEY.sub("db-...", text)


def _request(wish: Wish, schema: str, first: dt.date, last: dt.date) -> dict[str, Any]:
    """The fields that every question about data has; the end is exclusive."""
    return {
        "dataset": wish.dataset,
        "symbols": wish.symbol,
        "schema": schema,
        "stype_in": "continuous",
        "start": first.isoformat(),
        "end": (last + dt.timedelta(days=1)).isoformat(),
    }


def _runs(days: Sequence[dt.date]) -> Iterator[tuple[dt.date, dt.date]]:
    """First and last of each run of days without a hole: one question each."""
    for _, group in groupby(enumerate(days), lambda item: item[1].toordinal() - item[0]):
        run = [day for _, day in group]
        yield run[0], run[-1]


def _checked(path: Path, expected: int) -> int:
    """The number of records of a file that is read through to its end. Raises _Broken."""
    try:
        with DbnFile(path) as file:
            while len(file.read(CHUNK_RECORDS)):
                pass
            count = file.records
    except InputError as error:
        raise _Broken(str(error)) from error
    if count != expected:
        raise _Broken(f"{count} of {expected} records came")
    return count


def _keep(partial: Path, final: Path) -> None:
    """Give the file its name, once its content is on the disk."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(final)
