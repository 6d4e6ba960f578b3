"""Messages to records: the vendor's own examples, signs of option trades, bad messages among good ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.columns import Batch, to_arrow
from common.schemas import load
from common.settings import settings
from common.topics import OPTIONS_GREEKS, OPTIONS_QUOTES, OPTIONS_TRADES, STOCKS_QUOTES, STOCKS_TRADES
from producers.massive.parse import LastQuotes, Parsed, parse
from tests.support import captures
from tests.support.captures import BASE_MS, CALL, PUT

VENDOR = settings().sample_data / "massive"
RECV_NS = BASE_MS * 1_000_000
STALE_NS = 5_000_000_000


def parsed(*lines: bytes, wanted: frozenset[str] | None = None) -> Parsed:
    return parse(lines, LastQuotes(STALE_NS), wanted)


def rows(batch: Batch) -> list[dict[str, Any]]:
    schema = load(batch.name)
    return list(to_arrow(batch, schema.arrow, schema.symbols).to_pylist())


def only(found: Parsed, topic: str) -> dict[str, Any]:
    assert not found.bad
    assert set(found.records) == {topic}
    (row,) = rows(found.records[topic].batch)
    return row


def websocket_example(path: str) -> dict[str, Any]:
    spec = json.loads((VENDOR / "websocket-spec.json").read_text())
    example: dict[str, Any] = spec["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    return example


def rest_results(name: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = json.loads((VENDOR / name).read_text())["results"]
    return results


def test_the_vendors_stock_trade_is_read() -> None:
    row = only(parsed(captures.line("stocks", [websocket_example("/stocks/T")])), STOCKS_TRADES)
    wanted = {
        "ts_event_ns": 1536036818784 * 1_000_000,
        "ts_recv_ns": RECV_NS,
        "source": "massive",
        "symbol": "MSFT",
        "instrument_id": None,
        "seq": 3681328,
        "price": 114.125,
        "size": 100,
        "exchange": 4,
        "conditions": [0, 12],
        "updates_last": False,
        "trade_id": "12345",
    }
    assert wanted.items() <= row.items()


def test_the_vendors_stock_quote_is_read_with_sizes_in_shares_as_they_come() -> None:
    row = only(parsed(captures.line("stocks", [websocket_example("/stocks/Q")])), STOCKS_QUOTES)
    prices = {"bid_px": 114.125, "ask_px": 114.128, "bid_sz": 100, "ask_sz": 160, "bid_exch": 4, "ask_exch": 7}
    assert {**prices, "symbol": "MSFT", "seq": 50385480}.items() <= row.items()


def test_the_vendors_option_trade_is_read_without_a_quote_as_neither_bought_nor_sold() -> None:
    row = only(parsed(captures.line("options", [websocket_example("/options/T")])), OPTIONS_TRADES)
    contract = {"underlying": "AMC", "option_symbol": "O:AMC210827C00037000", "strike": 37.0, "right": "C"}
    trade = {"price": 1.54, "size": 1, "exchange": 65, "conditions": [233], "seq": 651921857}
    signs = {"opt_bid": None, "opt_ask": None, "aggressor": "MID"}
    assert {**contract, **trade, **signs}.items() <= row.items()


def test_the_vendors_option_quote_is_read() -> None:
    row = only(parsed(captures.line("options", [websocket_example("/options/Q")])), OPTIONS_QUOTES)
    contract = {"underlying": "SPY", "symbol": "O:SPY241220P00720000", "option_symbol": "O:SPY241220P00720000"}
    assert {**contract, "bid_px": 9.71, "ask_px": 9.81, "bid_sz": 17, "ask_sz": 24}.items() <= row.items()


def test_the_vendors_chain_snapshot_is_read() -> None:
    row = only(parsed(captures.line("chain", rest_results("option-chain-snapshot.json"))), OPTIONS_GREEKS)
    (result,) = rest_results("option-chain-snapshot.json")
    assert {**result["greeks"], "implied_volatility": result["implied_volatility"]}.items() <= row.items()
    assert row["ts_event_ns"] == result["underlying_asset"]["last_updated"]
    assert row["last_quote_ts_ns"] == result["last_quote"]["last_updated"]
    assert row["last_trade_ts_ns"] == result["last_trade"]["sip_timestamp"]
    assert (row["underlying"], row["strike"], row["right"], row["open_interest"]) == ("AAPL", 150.0, "C", 8133)
    assert len(row["snapshot_id"]) == 16


def test_of_the_vendors_universal_snapshot_the_option_is_kept_and_the_rest_reported() -> None:
    found = parsed(captures.line("chain", rest_results("universal-snapshot.json")))
    (row,) = rows(found.records[OPTIONS_GREEKS].batch)
    assert (row["symbol"], row["open_interest"]) == ("O:NCLH221014C00005000", 8921)
    assert [(bad.line, bad.message) for bad in found.bad] == [(0, 1), (0, 2)]
    assert "'AAPL' is no option symbol" in found.bad[0].problem
    assert "NOT_FOUND" in found.bad[1].problem


def test_every_part_that_a_plan_may_leave_out_of_a_snapshot_may_be_absent() -> None:
    row = only(parsed(captures.line("chain", [{"details": {"ticker": PUT}}], recv_ms=7)), OPTIONS_GREEKS)
    assert row["ts_event_ns"] == row["ts_recv_ns"] == RECV_NS + 7_000_000
    absent = ("delta", "gamma", "theta", "vega", "implied_volatility", "open_interest", "last_quote_ts_ns")
    assert all(row[name] is None for name in absent)


@pytest.mark.parametrize(
    ("price", "aggressor"), [(1.54, "BUY"), (1.60, "BUY"), (1.52, "SELL"), (1.40, "SELL"), (1.53, "MID")]
)
def test_an_option_trade_is_signed_by_the_contracts_last_quote(price: float, aggressor: str) -> None:
    quote, trade = captures.option_quote(0), captures.option_trade(100, p=price)
    other = captures.option_quote(50, sym=PUT, bp=9.0, ap=9.1)
    found = parsed(captures.line("options", [quote, other]), captures.line("options", [trade]))
    (row,) = rows(found.records[OPTIONS_TRADES].batch)
    assert (row["opt_bid"], row["opt_ask"], row["aggressor"]) == (1.52, 1.54, aggressor)


@pytest.mark.parametrize(
    ("quote", "why"),
    [
        (captures.option_quote(-5_001), "stale"),
        (captures.option_quote(1), "later"),
        (captures.option_quote(0, bp=0, bs=0), "one-sided"),
        (captures.option_quote(0, bp=1.6), "crossed"),
        (captures.option_quote(0, sym=PUT), "of another contract"),
    ],
)
def test_a_quote_that_says_nothing_about_the_trade_signs_nothing(quote: dict[str, Any], why: str) -> None:
    found = parsed(captures.line("options", [quote, captures.option_trade(0)]))
    (row,) = rows(found.records[OPTIONS_TRADES].batch)
    assert row["aggressor"] == "MID", why


def test_a_trade_before_the_last_quote_is_signed_by_the_one_before() -> None:
    quotes = [captures.option_quote(0), captures.option_quote(10, bp=1.60, ap=1.62)]
    found = parsed(captures.line("options", [*quotes, captures.option_trade(9)]))
    (row,) = rows(found.records[OPTIONS_TRADES].batch)
    assert (row["opt_ask"], row["aggressor"]) == (1.54, "BUY")


def test_an_empty_side_of_a_quote_is_null() -> None:
    messages = [captures.stock_quote(0, bp=0, bs=0), captures.stock_quote(1, ap=None, **{"as": None})]
    bid, ask = rows(parsed(captures.line("stocks", messages)).records[STOCKS_QUOTES].batch)
    assert (bid["bid_px"], bid["bid_sz"], bid["ask_px"]) == (None, None, 597.01)
    assert (ask["ask_px"], ask["ask_sz"], ask["bid_px"]) == (None, None, 597.0)


@pytest.mark.parametrize(
    ("channel", "message", "problem"),
    [
        ("stocks", captures.stock_trade(0, p=0), "p is 0, not a price"),
        ("stocks", captures.stock_trade(0, p="597"), "p is '597', not a number"),
        ("stocks", captures.stock_trade(0, p=True), "p is True, not a number"),
        ("stocks", captures.stock_trade(0, s=None), "s is missing"),
        ("stocks", captures.stock_trade(0, s=-1), "s is -1, not within"),
        ("stocks", captures.stock_trade(0, s=2**31), "s is 2147483648, not within"),
        ("stocks", captures.stock_trade(0, s=1.5), "s is 1.5, not a whole number"),
        ("stocks", captures.stock_trade(0, t=None), "t is missing"),
        ("stocks", captures.stock_trade(0, t=0), "t is 0, not a time"),
        ("stocks", captures.stock_trade(0, t=10**16), "t is 10000000000000000, not within"),
        ("stocks", captures.stock_trade(0, sym=""), "sym is '', not a short text"),
        ("stocks", captures.stock_trade(0, c=["@"]), "c is ['@'], not a list of codes"),
        ("stocks", captures.stock_trade(0, ev="ZZ"), "ev is 'ZZ', which means nothing here"),
        ("stocks", captures.stock_quote(0, bp=-1), "bp is -1.0, below 0"),
        ("options", captures.option_trade(0, sym="SPY"), "'SPY' is no option symbol"),
        ("options", captures.option_quote(0, q=-4), "q is -4, not within"),
        ("chain", captures.chain_entry(0, greeks=[]), "greeks is [], not an object"),
        ("chain", captures.chain_entry(0, details={}), "ticker is None, not a short text"),
    ],
)
def test_a_bad_message_is_reported_with_its_place_and_the_others_survive(
    channel: str, message: dict[str, Any], problem: str
) -> None:
    good = {"stocks": captures.stock_trade, "options": captures.option_trade, "chain": captures.chain_entry}[channel]
    found = parsed(captures.line(channel, []), captures.line(channel, [good(1), message, good(2)]))
    assert [(bad.line, bad.message) for bad in found.bad] == [(1, 1)]
    assert problem in found.bad[0].problem
    assert sum(records.batch.length for records in found.records.values()) == 2


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "the line is no JSON"),
        (b"[]", "the line is [], not an object"),
        (b'{"ts_recv_ns":1,"channel":"forex","messages":[]}', "channel is 'forex'"),
        (b'{"channel":"stocks","messages":[]}', "ts_recv_ns is missing"),
        (b'{"ts_recv_ns":1,"channel":"stocks","messages":{}}', "messages is not a list"),
        (b'{"ts_recv_ns":1,"channel":"stocks","messages":[1]}', "the message is 1, not an object"),
    ],
)
def test_a_bad_line_is_reported_and_the_others_survive(line: bytes, problem: str) -> None:
    found = parsed(line, captures.line("stocks", [captures.stock_trade(0)]))
    assert [bad.line for bad in found.bad] == [0]
    assert problem in found.bad[0].problem
    assert found.records[STOCKS_TRADES].batch.length == 1


def test_messages_about_the_connection_and_aggregates_are_passed_over() -> None:
    status = {"ev": "status", "status": "auth_success", "message": "authenticated"}
    found = parsed(captures.line("options", [status, {"ev": "AM", "sym": CALL}]))
    assert not found.records
    assert not found.bad


def test_only_wanted_underlyings_are_kept() -> None:
    stocks = captures.line("stocks", [captures.stock_trade(0, sym="QQQ"), captures.stock_trade(0)])
    options = captures.line("options", [captures.option_quote(0, sym="O:QQQ250603C00520000"), captures.option_quote(0)])
    found = parsed(stocks, options, wanted=frozenset({"SPY"}))
    assert not found.bad
    assert [row["symbol"] for row in rows(found.records[STOCKS_TRADES].batch)] == ["SPY"]
    assert [row["underlying"] for row in rows(found.records[OPTIONS_QUOTES].batch)] == ["SPY"]


@pytest.mark.parametrize(
    ("channel", "topic", "message", "changes"),
    [
        ("stocks", STOCKS_TRADES, captures.stock_trade(0), [{"p": 597.02}, {"s": 101}, {"i": "2"}, {"x": 5}, {"t": 1}]),
        ("stocks", STOCKS_QUOTES, captures.stock_quote(0), [{"bs": 301}, {"ap": 597.02}, {"q": 2}, {"bp": 0}]),
        ("options", OPTIONS_TRADES, captures.option_trade(0), [{"sym": PUT}, {"p": 1.55}, {"q": 2}]),
        ("options", OPTIONS_QUOTES, captures.option_quote(0), [{"sym": PUT}, {"as": 25}, {"q": None}]),
        ("chain", OPTIONS_GREEKS, captures.chain_entry(0), [{"open_interest": 1}, {"implied_volatility": 0.16}]),
    ],
)
def test_an_event_is_known_by_its_content_and_not_by_when_we_received_it(
    channel: str, topic: str, message: dict[str, Any], changes: list[dict[str, Any]]
) -> None:
    def hash_of(content: dict[str, Any], recv_ms: int = 0) -> int:
        return int(parsed(captures.line(channel, [content], recv_ms)).records[topic].hashes[0])

    hashes = [hash_of(message), *(hash_of({**message, **change}) for change in changes)]
    assert len(set(hashes)) == len(hashes)
    assert hash_of(message, recv_ms=1_000) == hashes[0]
