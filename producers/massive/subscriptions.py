"""What one WebSocket connection is subscribed to, and what of that the vendor has acknowledged. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

ACK_TIMEOUT_NS = 10 * 1_000_000_000
"""A subscription that is not acknowledged for so long was not understood: the connection is made anew."""


@dataclass(slots=True)
class Subscriptions:
    """``T.SPY``, ``Q.O:…``: what is wanted, what is in force, and since when the rest is awaited."""

    wanted: frozenset[str] = frozenset()
    _active: set[str] = field(default_factory=set)
    _asked_ns: dict[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all that is wanted is in force."""
        return bool(self.wanted) and self.wanted <= self._active

    @property
    def desired(self) -> frozenset[str]:
        """What the connection shall be subscribed to: new ones first, and old ones until every new one is in force."""
        return self.wanted if self.complete else self.wanted | self._active

    def want(self, params: Iterable[str], now_ns: int) -> None:
        """From now on these and no others are wanted."""
        self.wanted = frozenset(params)
        self._asked_ns = {p: self._asked_ns.get(p, now_ns) for p in sorted(self.wanted - self._active)}

    def opened(self, now_ns: int) -> None:
        """A new connection: nothing is in force, all that is wanted is asked for."""
        self._active.clear()
        self._asked_ns = dict.fromkeys(sorted(self.wanted), now_ns)

    def acknowledged(self, param: str) -> None:
        """The vendor says that the subscription is in force."""
        self._active.add(param)
        self._asked_ns.pop(param, None)

    def ended(self, param: str, now_ns: int) -> None:
        """The vendor says that the subscription is over; one that is wanted again is awaited."""
        self._active.discard(param)
        if param in self.wanted:
            self._asked_ns[param] = now_ns

    def overdue(self, now_ns: int) -> str | None:
        """A subscription that was not acknowledged in time, None while there is none."""
        return next((p for p, asked in self._asked_ns.items() if now_ns - asked > ACK_TIMEOUT_NS), None)
