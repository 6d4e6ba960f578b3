"""What the API answers, as documented by OpenAPI. The payload is that of plan §6.4, with a few fields more.

The bytes sent are made by :mod:`api.payload` once for all readers; a test holds them against these models.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.examples import CONFIG_EXAMPLE, HEALTH_EXAMPLE, HISTORY_EXAMPLE, LEVELS_EXAMPLE, PROBLEM_EXAMPLE


class Answer(BaseModel):
    """Base of all answers: nothing undocumented in them."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Spy(Answer):
    """The underlying at the snap."""

    spot: float = Field(description="Spot, USD.")
    bid: float | None = Field(description="Best bid, USD; null when there is none.")
    ask: float | None = Field(description="Best ask, USD; null when there is none.")


class Scores(Answer):
    """The components of the break score, each 0 to 100."""

    liquidity: float = Field(description="S_L, from the barrier.")
    hedge: float = Field(description="S_H, from the fuel.")
    tape: float = Field(description="S_T, from the tape.")


class Contributions(Answer):
    """What each component gives to break_score_raw, in its points, and what S_T is made of."""

    liquidity: float | None = Field(description="w_L times S_L; null in rows older than this field, as all of these.")
    hedge: float | None = Field(description="w_H times S_H.")
    tape: float | None = Field(description="w_T times S_T.")
    tape_velocity: float | None = Field(description="Part of S_T from velocity, 0 to 25; null when a sweep decides.")
    tape_imbalance: float | None = Field(description="Part of S_T from imbalance, 0 to 25; null when a sweep decides.")


class Feasibility(Answer):
    """A prior for a break from the ground ahead: runway, confluence, strength, touches. Not part of the score."""

    logit: float | None = Field(description="More than 0 speaks for a break; null in rows older than this field.")
    prior: float | None = Field(description="The same as a probability, 0 to 1.")


class Quote(Answer):
    """Best price of one side."""

    price: float = Field(description="USD of the underlying.")
    size: int | None = Field(description="ES contracts.")


class Barrier(Answer):
    """The defending liquidity in the level's zone within W_b; sizes in ES contracts."""

    state: Literal["NEUTRAL", "VACUUM", "WALL", "ABSORPTION", "CONSUMED", "WEAK"]
    delta_liq: int = Field(description="Added minus canceled minus filled.")
    delta_liq_smooth: float = Field(description="The same, smoothed with tau_delta_liq.")
    replenishment_ratio: float = Field(description="Added over canceled plus filled, at most 10.")
    replenishment_ratio_smooth: float = Field(description="The same, smoothed with tau_replenish.")
    added: int = Field(description="Displayed size added.")
    canceled: int = Field(description="Displayed size pulled without a trade.")
    filled: int = Field(description="Displayed size taken by trades.")
    hidden: int = Field(description="Volume traded beyond the displayed size lost.")
    churn: int = Field(description="Gross added plus gross removed.")
    depth: int = Field(description="Displayed size in the zone now.")
    visible: bool = Field(description="Whether the whole zone lies within the visible ten levels.")
    confidence: float = Field(description="0 to 1.")
    defending_quote: Quote | None = Field(description="Best price of the defending side; null when there is none.")


class Sweep(Answer):
    """The largest sweep within W_t."""

    detected: bool
    direction: Literal["NONE", "UP", "DOWN"]
    notional: float = Field(description="USD; 0 when there is none.")


class Tape(Answer):
    """Trades near the level within W_t; volumes in ES contracts."""

    imbalance: float = Field(description="(buy - sell) / (buy + sell), -1 to 1.")
    spy_imbalance: float | None = Field(
        description="The same of the underlying's own shares; null while its feed is stale."
    )
    buy_vol: int = Field(description="Bought by aggressors.")
    sell_vol: int = Field(description="Sold by aggressors.")
    velocity: float = Field(description="Slope of the mid over W_v, USD per second.")
    velocity_smooth: float = Field(description="The same, smoothed with tau_velocity.")
    sweep: Sweep
    confidence: float = Field(description="0 to 1.")


class Fuel(Answer):
    """What dealers' hedging would do to a move at the level."""

    effect: Literal["NEUTRAL", "AMPLIFY", "DAMPEN"]
    net_dealer_gamma: float | None = Field(description="Shares per USD; null when not available.")
    net_dealer_gamma_smooth: float | None = Field(description="The same, smoothed with tau_dealer_gamma.")
    call_wall: float | None = Field(description="Strike, USD; null when there is none.")
    put_wall: float | None = Field(description="Strike, USD; null when there is none.")
    hvl: float | None = Field(description="Spot at which dealers' gamma changes sign, USD; null when unknown.")
    gex: float | None = Field(
        description="Dealers' gamma exposure by open interest, USD per 1 %; null without snapshots."
    )
    oi_call_wall: float | None = Field(description="Call wall by open interest: strike, USD; null when there is none.")
    oi_put_wall: float | None = Field(description="Put wall by open interest: strike, USD; null when there is none.")
    oi_age_s: float | None = Field(description="Age of the newest snapshot behind these, s; null without snapshots.")
    available: bool = Field(description="Whether any option flow or snapshot behind it is live.")
    confidence: float = Field(description="0 to 1.")


class Obstacle(Answer):
    """A level in the way."""

    id: str
    price: float = Field(description="USD.")


class StrongObstacle(Obstacle):
    """A strong level in the way: a wall, a session extreme, VWAP or the like."""

    distance: float = Field(description="USD between this level and the obstacle.")


class Runway(Answer):
    """Room to run if the judgement is right."""

    direction: Literal["UP", "DOWN"]
    next_obstacle: Obstacle | None = Field(description="Next level that way; null when there is none.")
    distance: float | None = Field(description="USD between this level and the next obstacle.")
    quality: Literal["NONE", "CLEAR", "OBSTRUCTED"] = Field(description="NONE when there is no next level.")
    obstacle: StrongObstacle | None = Field(description="Next strong level that way; null when there is none.")


class Episode(Answer):
    """One encounter of spot with the level."""

    id: str
    touches: int | None = Field(description="Touches of the level before this episode.")


class Validity(Answer):
    """What the judgement lacks."""

    bits: list[str] = Field(
        description="Any of WARMING_UP, ES_STALE, SPY_STALE, OPTIONS_STALE, GAP, HALTED, ZONE_NOT_VISIBLE, FUEL_ABSENT,"
        " RATIO_HELD, GAMMA_IMPLIED_FROM_OPTION_QUOTES."
    )
    actionable: bool = Field(description="True when nothing that the score depends on is missing.")


class Level(Answer):
    """The judgement on one level."""

    id: str = Field(description="Stable name, such as ROUND_680.")
    price: float = Field(description="USD.")
    kind: str = Field(description="ROUND, VWAP, SESSION_HIGH, SESSION_LOW, USER, STRIKE and so on.")
    strength: float | None = Field(
        description="What stands behind it, in the unit of its kind: dealers' gamma of flow walls (shares per USD), GEX"
        " of open-interest walls (USD per 1 %), contracts traded at strikes and the POC; null for others."
    )
    confluence: int | None = Field(description="Other levels within CONFLUENCE_BAND.")
    direction: Literal["SUPPORT", "RESISTANCE"] = Field(description="SUPPORT when approached from above.")
    distance: float = Field(description="Absolute distance of spot from the level, USD.")
    break_score_raw: float = Field(description="0 to 100.")
    break_score_smooth: float = Field(description="The same, smoothed with tau_score.")
    signal: Literal["NEUTRAL", "BREAK", "REJECT", "CONTESTED"]
    confidence: Literal["LOW", "MEDIUM", "HIGH"]
    confidence_value: float = Field(description="0 to 1.")
    scores: Scores
    score: Contributions
    feasibility: Feasibility
    barrier: Barrier
    tape: Tape
    fuel: Fuel
    runway: Runway
    episode: Episode | None = Field(description="Null outside episodes.")
    validity: Validity
    note: str = Field(description="The reasons in a few words, such as: Vacuum + dealers chase; sweep confirms.")


class Market(Answer):
    """What is the same for every level of a snap."""

    ts: int = Field(description="Snap time, ms since the Unix epoch, UTC.")
    spy: Spy
    underlying: str = Field(description="The complex.")
    ratio: float | None = Field(description="ES price over the price of the underlying.")
    session_date: int = Field(description="Trade date, yyyymmdd.")
    config_hash: str = Field(description="Hash of the engine's configuration; see /v1/config.")


class Levels(Market):
    """The newest whole snap."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [LEVELS_EXAMPLE]})

    seq: int = Field(description="Sequence number of the snap: the log offset of its last row. Rises, with gaps.")
    levels: list[Level] = Field(description="Nearest first.")


class Strike(Answer):
    """Option flow at one strike and right within the window."""

    id: str = Field(description="Right and strike, such as C545.")
    expiration: str = Field(description="ISO date.")
    strike: float = Field(description="USD.")
    right: Literal["C", "P"]
    volume: int = Field(description="Contracts traded.")
    premium: float = Field(description="Premium paid, USD.")
    net_dealer_gamma: float = Field(description="Change of dealers' gamma, shares per USD.")
    net_dealer_delta: float = Field(description="Change of dealers' delta, shares.")


class Flow(Answer):
    """The newest whole snap of option flow, as /ws/flow sends it."""

    seq: int = Field(description="Sequence number of the snap: the log offset of its last row. Rises, with gaps.")
    ts: int = Field(description="Snap time, ms since the Unix epoch, UTC.")
    underlying: str = Field(description="Underlying of the options.")
    strikes: list[Strike] = Field(description="By expiration, strike and right.")


class HistoryPoint(Market):
    """One snap of one level."""

    level: Level


class History(Answer):
    """A page of one level's past, ascending by time."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [HISTORY_EXAMPLE]})

    level_id: str
    points: list[HistoryPoint]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last one.")
    complete: bool = Field(
        description="False when the newest rows are left out, because the sink is further behind than memory reaches;"
        " they come once they are committed."
    )


class Part(Answer):
    """One part of the service and whether it is well."""

    ok: bool
    detail: str


class TableState(Answer):
    """A table that this API reads."""

    exists: bool
    snapshot_id: str | None = Field(description="Newest Iceberg snapshot (a decimal number beyond JSON's exact range).")
    rows: int | None


class SignalState(Answer):
    """How far the reading of levels.signals.v1 is."""

    lag_records: int | None = Field(description="Offsets behind the end of the log; null while unknown.")
    latest_seq: int | None
    latest_ts: int | None = Field(description="Newest snap, ms since the Unix epoch, UTC.")
    ws_clients: int


class HealthReport(Answer):
    """How the API and what it depends on are. `degraded` still answers; `down` has nothing current to say."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [HEALTH_EXAMPLE]})

    status: Literal["ok", "degraded", "down"]
    parts: dict[str, Part]
    signals: SignalState
    tables: dict[str, TableState]


class ConfigKey(Answer):
    """One key of the engine's configuration."""

    key: str
    value: Any
    unit: str
    source: str = Field(description="Where the number comes from.")
    description: str


class EngineConfiguration(Answer):
    """The engine's whole configuration as this process reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [CONFIG_EXAMPLE]})

    profile: str
    hash: str = Field(description="Signals carry it as config_hash.")
    keys: list[ConfigKey]


class Problem(Answer):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [PROBLEM_EXAMPLE]})

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="What is wrong, with the offending value.")
    instance: str = Field(description="The path asked for.")
    hint: str | None = Field(default=None, description="What to do about it.")
