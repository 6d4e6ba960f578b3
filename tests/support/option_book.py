"""The option side of the engine alone, fed record by record in dollars."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import topics
from common.config import make_config
from processors.engine import fuel, option_flow, options, window
from processors.engine.option_inputs import NO_CLOSES, Closes, greeks, option_quotes, option_trades
from processors.engine.parameters import parameters
from tests.support.event_batches import filled

S = 1_000_000_000
SNAP_NS = 250_000_000
DAY = 20_242
"""2025-06-03 as days since the epoch."""
NOON_NS = DAY * 86_400 * S + 16 * 3600 * S
"""12:00 New York, five hours before 21:00 UTC."""

BUY, MID, SELL = 2, 1, 0
CALL, PUT = 0, 1


def occ_symbol(days: int, strike: float, right: int) -> str:
    """The contract's symbol as the vendor writes it: ``O:SPY250603C00600000``."""
    date = datetime.date.fromordinal(datetime.date(1970, 1, 1).toordinal() + days)
    return f"O:SPY{date:%y%m%d}{'CP'[right]}{round(strike * 1000):08d}"


class OptionBook:
    """Applies records at seconds after noon, one at a time and with a table that grows when it must."""

    def __init__(self, spot: float = 600.0, closes: Closes = NO_CLOSES, **overrides: Any) -> None:
        self.config = make_config(overrides)
        self.p = parameters(self.config)[0]
        self.op = options.empty(self.config)
        self.spot = spot
        self.closes = closes
        self.flow_rows = np.zeros(10_000, option_flow.FLOW_ROW)
        self.flow_count = 0
        options.begin_session(self.op, NOON_NS - 3600 * S)

    def _room(self) -> None:
        if not options.has_contract_room(self.op):
            self.op = options.grown(self.op)
        if not window.has_room(self.op.flow, 1):
            self.op = self.op._replace(flow=window.grown(self.op.flow))
        if not window.has_room(self.op.wall, 1):
            self.op = self.op._replace(wall=window.grown(self.op.wall))

    def _record(
        self, strike: float, right: int, at_s: float, event_s: float | None, days: int, **more: Any
    ) -> dict[str, list[Any]]:
        effective_ns = NOON_NS + round(at_s * S)
        event_ns = effective_ns if event_s is None else NOON_NS + round(event_s * S)
        record = {"ts_effective_ns": effective_ns, "ts_event_ns": event_ns, "exp_date": DAY + days, "strike": strike}
        return {name: [value] for name, value in {**record, "right": right, **more}.items()}

    def quote(
        self,
        strike: float,
        right: int,
        bid: float | None,
        ask: float | None,
        at_s: float = 0.0,
        event_s: float | None = None,
        days: int = 0,
    ) -> None:
        """One best bid and offer."""
        self._room()
        record = self._record(strike, right, at_s, event_s, days, bid_px=bid, ask_px=ask)
        record["option_symbol"] = [occ_symbol(DAY + days, strike, right)]
        options.apply_quote(self.op, self.p, option_quotes(filled(topics.OPTIONS_QUOTES, 1, record), self.closes), 0)

    def greeks(
        self,
        strike: float,
        right: int,
        iv: float | None = None,
        at_s: float = 0.0,
        event_s: float | None = None,
        days: int = 0,
        gamma: float | None = None,
        open_interest: int | None = None,
    ) -> None:
        """One contract of a chain snapshot."""
        self._room()
        record = self._record(
            strike, right, at_s, event_s, days, implied_volatility=iv, gamma=gamma, open_interest=open_interest
        )
        options.apply_greeks(self.op, self.p, greeks(filled(topics.OPTIONS_GREEKS, 1, record), self.closes), 0)

    def trade(
        self,
        strike: float,
        right: int,
        price: float = 1.0,
        size: int = 10,
        aggressor: int = MID,
        at_s: float = 1.0,
        event_s: float | None = None,
        days: int = 0,
        bid: float | None = None,
        ask: float | None = None,
        conditions: Sequence[int] = (),
    ) -> None:
        """One trade; ``bid`` and ``ask`` are those the record itself names."""
        self._room()
        record = self._record(
            strike, right, at_s, event_s, days, price=price, size=size, aggressor=aggressor, opt_bid=bid, opt_ask=ask
        )
        batch = filled(topics.OPTIONS_TRADES, 1, record)
        column = type(batch.columns["price"])(
            np.array(conditions, np.int32), None, np.array([0, len(conditions)], np.int64)
        )
        batch = type(batch)(batch.name, 1, {**batch.columns, "conditions": column})
        trades = option_trades(batch, self.closes, self.config.MULTI_LEG_CONDITIONS)
        bucket = -(-int(trades.effective_ns[0]) // SNAP_NS)
        options.apply_trade(self.op, self.p, trades, 0, bucket, self.spot, DAY)

    def snap(self, at_s: float) -> np.void:
        """What the engine does at a snap; returns the scalars."""
        snap_ns = NOON_NS + round(at_s * S)
        fuel.expire_windows(self.op, self.p, snap_ns // SNAP_NS)
        fuel.refresh(self.op, self.p, snap_ns, self.spot)
        self.flow_count = option_flow.flow_rows(self.op, snap_ns, self.flow_rows, self.flow_count)
        scalars: np.void = self.op.scalars[0]
        return scalars

    def near(self, price: float) -> tuple[float, int]:
        """Dealers' gamma near a price and the contracts behind it, as of the last snap."""
        gamma, contracts = fuel.near(self.op, self.p, price)
        return float(gamma), int(contracts)

    def contract(self, strike: float, right: int, days: int = 0) -> np.void:
        """The contract's record."""
        known = self.op.contract[: int(self.op.scalars["contract_count"][0])]
        found = known[
            (known["strike_milli"] == round(strike * 1000))
            & (known["is_put"] == right)
            & (known["exp_days"] == DAY + days)
        ]
        record: np.void = found[0]
        return record
