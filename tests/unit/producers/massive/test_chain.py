"""Pages of an option chain."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from common.errors import ConfigError
from producers.massive.chain import PAGES_MAX, PageError, chain_pages, chain_query, refuse

QUERY = chain_query("2025-06-03", "2025-06-04", 572.0, 622.0)


def server(*pages: bytes) -> tuple[list[dict[str, Any]], Any]:
    asked: list[dict[str, Any]] = []

    def fetch(params: dict[str, Any]) -> bytes:
        asked.append(params)
        return pages[len(asked) - 1]

    return asked, fetch


def page(*tickers: str, link: str | None = None) -> bytes:
    body: dict[str, Any] = {"status": "OK", "results": [{"details": {"ticker": t}} for t in tickers]}
    return orjson.dumps(body if link is None else {**body, "next_url": link})


def test_pages_are_followed_by_their_links_to_the_end() -> None:
    link = "https://api.massive.com/v3/snapshot/options/SPY?cursor=YXA9%3D&limit=250"
    asked, fetch = server(page("a", "b", link=link), page("c"))
    found = [[entry["details"]["ticker"] for entry in orjson.loads(raw)] for raw in chain_pages(fetch, QUERY)]
    assert found == [["a", "b"], ["c"]]
    assert asked == [QUERY, {"cursor": "YXA9=", "limit": "250"}]


def test_a_page_is_handed_out_before_the_next_is_asked_for() -> None:
    asked, fetch = server(page("a", link="https://x/?cursor=1"), b"broken")
    pages = chain_pages(fetch, QUERY)
    assert next(pages)
    assert len(asked) == 1
    with pytest.raises(PageError, match="no JSON"):
        next(pages)


@pytest.mark.parametrize("body", [b"[]", b'{"results":{}}', b"7", b'{"results":[1],"next_url":"https://x/y"}'])
def test_an_answer_that_is_no_page_is_said_with_what_came(body: bytes) -> None:
    _, fetch = server(body)
    with pytest.raises(PageError) as caught:
        list(chain_pages(fetch, QUERY))
    assert caught.value.body == body


def test_an_empty_chain_has_no_pages() -> None:
    _, fetch = server(b'{"status":"OK"}')
    assert list(chain_pages(fetch, QUERY)) == []


def test_links_in_a_circle_come_to_an_end() -> None:
    asked: list[object] = []

    def fetch(params: dict[str, Any]) -> bytes:
        asked.append(params)
        return page("a", link="https://x/?cursor=1")

    with pytest.raises(PageError, match="more than"):
        list(chain_pages(fetch, QUERY))
    assert len(asked) == PAGES_MAX


def test_a_refusal_is_told_apart_from_trouble() -> None:
    refuse('{"status":"ERROR","error":"internal"}')
    with pytest.raises(ConfigError, match="refuses the option chain"):
        refuse('{"status":"NOT_AUTHORIZED","message":"upgrade"}')
    with pytest.raises(ConfigError):
        refuse('{"status":"ERROR","error":"Unknown API Key"}')
