"""The account of a run: what the stand-in's ledger says it sent against what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.columns import string_list
from common.topics import OPTIONS_QUOTES, OPTIONS_TRADES, STOCKS_QUOTES, STOCKS_TRADES
from producers.live.arrivals import Arrival, Bad, Gap, Records

MS = 1_000_000

Identity = tuple[str, str, int, int]
"""Topic, symbol, ts_event_ns and sequence number: what tells the messages of a tape apart."""

_TOPICS = {
    ("stocks", "T"): STOCKS_TRADES,
    ("stocks", "Q"): STOCKS_QUOTES,
    ("options", "T"): OPTIONS_TRADES,
    ("options", "Q"): OPTIONS_QUOTES,
}


@dataclass(slots=True)
class Account:
    """What came out: records by identity (with repeats), dead letters, and gaps as (topic, begin, end).

    ``order``: each topic's records as they came, where that is known.
    """

    records: Counter[Identity] = field(default_factory=Counter)
    order: dict[str, list[Identity]] = field(default_factory=dict)
    dead: int = 0
    gaps: list[tuple[str, int, int]] = field(default_factory=list)


def account_of(arrivals: Iterable[Arrival]) -> Account:
    """The account of a session's arrivals, the chain's left out."""
    account = Account()
    for arrival in arrivals:
        if isinstance(arrival, Records) and arrival.batch.name in _TOPICS.values():
            batch = arrival.batch
            symbols = map(str, string_list(batch.columns["symbol"]))
            numbered = zip(batch["ts_event_ns"].tolist(), batch["seq"].tolist(), strict=True)
            came = [(batch.name, symbol, *pair) for symbol, pair in zip(symbols, numbered, strict=True)]
            account.records.update(came)
            account.order.setdefault(batch.name, []).extend(came)
        elif isinstance(arrival, Bad) and arrival.topic != "massive.chain":
            account.dead += 1
        elif isinstance(arrival, Gap):
            account.gaps += [(topic, arrival.begin_ns, arrival.end_ns) for topic in arrival.topics]
    return account


def identity(entry: Mapping[str, Any]) -> Identity:
    """Of a message in the ledger."""
    return message_identity(entry["channel"], entry["body"])


def message_identity(channel: str, body: Mapping[str, Any]) -> Identity:
    """Of a message on a channel."""
    return _TOPICS[channel, body["ev"]], body["sym"], body["t"] * MS, body["q"]


@dataclass(frozen=True, slots=True)
class Balance:
    """``lost``: messages that were sent to a subscriber, or would have been, and did not come; ``garbage``: frames
    sent; ``outside``: those of the lost that no gap covers.
    """

    lost: list[Identity]
    outside: list[Identity]
    garbage: int
    copies_lost: int


def balance(entries: Sequence[Mapping[str, Any]], account: Account) -> Balance:
    """Compare, and fail at a message that came more often than it was sent."""
    lost: list[Identity] = []
    copies_lost = garbage = 0
    sent: Counter[Identity] = Counter()
    for entry in entries:
        if entry["channel"] == "chain":
            continue
        if entry["fate"] == "garbage":
            garbage += 1
        elif entry["fate"] != "unsubscribed":
            what = identity(entry)
            copies = entry["copies"] if entry["fate"] == "sent" else 0
            sent[what] += copies
            came = account.records[what]
            assert came <= copies, f"{what} came {came} times and was sent {copies} times"
            copies_lost += copies - came
            if came == 0:
                lost.append(what)
    assert set(account.records) <= set(sent), "a record that was never sent"
    outside = [
        what
        for what in lost
        if not any(topic == what[0] and begin <= what[2] <= end for topic, begin, end in account.gaps)
    ]
    return Balance(lost, outside, garbage, copies_lost)
