"""Snapshots of an option chain over REST, page by page: greeks and open interest (plan §11.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlparse

import orjson

from common.errors import ConfigError, RecordError

PAGE_MAX = 250
"""Contracts of a page, the vendor's limit."""

PAGES_MAX = 100
"""A snapshot of more pages than the whole chain has is one whose pages go round in a circle."""

REFUSED = ("NOT_AUTHORIZED", "Unknown API Key", "not entitled")
"""What the vendor's answers to a wrong key, or to a plan that lacks the data, contain."""


class Pages(Protocol):
    """What is needed of the vendor's client: one page, raw."""

    def __call__(self, params: dict[str, Any]) -> bytes:
        """The body of an answer to the chain's query with these parameters."""


def chain_query(first_day: str, last_day: str, low_usd: float, high_usd: float) -> dict[str, Any]:
    """The query for all contracts that expire between two days (yyyy-mm-dd) with strikes between two prices."""
    return {
        "expiration_date.gte": first_day,
        "expiration_date.lte": last_day,
        "strike_price.gte": low_usd,
        "strike_price.lte": high_usd,
        "sort": "ticker",
        "order": "asc",
        "limit": PAGE_MAX,
    }


def chain_pages(fetch: Pages, params: dict[str, Any]) -> Iterator[bytes]:
    """Each page's contracts as a JSON array, following the vendor's links to their end.

    Raises what ``fetch`` raises, and `PageError` for an answer that is not a page.
    """
    for _ in range(PAGES_MAX):
        body = fetch(params)
        try:
            page = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise PageError(f"the answer is no JSON: {error}", body) from None
        if not isinstance(page, dict) or not isinstance(page.get("results", []), list):
            raise PageError("the answer has no list of results", body)
        if page.get("results"):
            yield orjson.dumps(page["results"])
        link = page.get("next_url")
        if not link:
            return
        params = dict(parse_qsl(urlparse(str(link)).query))
        if not params:
            raise PageError(f"next_url {link!s:.100} has no query", body)
    raise PageError(f"the snapshot has more than {PAGES_MAX} pages", body)


class PageError(RecordError):
    """An answer that is no page of a chain; ``body`` is what came."""

    def __init__(self, problem: str, body: bytes) -> None:
        super().__init__(problem)
        self.body = body


def refuse(answer: str) -> None:
    """Raise ConfigError when the answer says that the key does not allow the snapshot."""
    if any(words in answer for words in REFUSED):
        raise ConfigError(
            f"Massive refuses the option chain to this key: {answer:.200}",
            hint="Check massive_key; the plan must hold option chain snapshots (docs/operations.md).",
        )
