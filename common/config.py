"""What the engine computes with: every number that has a meaning, with its unit and its source.

Names are the specification's. The object is frozen and validated as a whole; :attr:`EngineConfig.hash` identifies it
in every signal. Values come from the defaults (core.md), then the profile, then the file, then
``BREAKWATER_ENGINE_<key>`` in the environment.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.errors import ConfigError
from common.settings import environment_with_prefix, settings

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
MOST_HOTZONES = 64
"""Levels set by hand that the engine follows at once."""

PROFILES: dict[str, dict[str, Any]] = {
    "spy": {},
    "es": {
        "RATIO_FIXED": True,
        "RATIO_DEFAULT": 1.0,
        "W_b": 240.0,
        "W_t": 60.0,
        "MONITOR_BAND": 0.25,
        "TOUCH_BAND": 0.10,
        "CONFLUENCE_BAND": 0.20,
        "BARRIER_ZONE_TICKS": 8,
        "TAPE_BAND": 0.50,
        "OPTION_MULTIPLIER": 50,
        "ROUND_LEVELS_SPACING": 10.0,
        "STRIKE_RANGE": 50.0,
        "FUEL_STRIKE_RANGE": 20.0,
        "HVL_RANGE": 50.0,
        "HVL_STEP": 2.5,
        "V_REF": 0.5,
        "SPEED_REF": 0.1,
        "OUTCOME_MOVE": 2.0,
    },
    "desk": {"NORMALISE": True, "SMOOTHING": "HYBRID"},
}
"""Named sets of keys over the defaults. ``spy`` is core.md as it stands, ``es`` has the numbers of
common-interfaces.md for ES levels and ES options (USD then reads ES points), ``desk`` follows the market's own
measures.
"""


def _key(default: Any, unit: str, source: str, description: str, **limits: Any) -> Any:
    return Field(default=default, description=description, json_schema_extra={"unit": unit, "source": source}, **limits)


class EngineConfig(BaseModel):
    """The engine's configuration. Immutable; a changed copy is a new configuration with another hash."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # windows
    W_b: float = _key(10.0, "s", "core.md, Configuration", "Window of the barrier's flows.", gt=0)
    W_t: float = _key(
        5.0, "s", "core.md, Configuration", "Window of tape imbalance; a sweep stays valid as long.", gt=0
    )
    W_g: float = _key(60.0, "s", "core.md, Configuration", "Window of option flow near a level.", gt=0)
    W_v: float = _key(3.0, "s", "core.md, Configuration", "Window of the velocity's least squares.", gt=0)
    W_wall: float = _key(300.0, "s", "core.md, Configuration", "Window of option flow behind call and put wall.", gt=0)
    WEAK_WINDOW_S: float = _key(1800.0, "s", "DESIGN 4.5", "History of zone depth behind the WEAK state.", gt=0)
    WEAK_MIN_HISTORY_S: float = _key(
        60.0, "s", "decisions.md", "Zone depth history needed before WEAK can be said.", gt=0
    )
    SNAP_INTERVAL_MS: int = _key(250, "ms", "core.md, Configuration", "Distance of snaps on the epoch's grid.", gt=0)

    # bands
    MONITOR_BAND: float = _key(
        0.50, "USD (SPY)", "core.md, Configuration", "Levels this near to spot are judged.", gt=0
    )
    TOUCH_BAND: float = _key(0.05, "USD (SPY)", "core.md, Configuration", "Spot this near to a level touches it.", gt=0)
    BARRIER_ZONE_TICKS: int = _key(
        2, "ES ticks", "core.md, Configuration", "The zone is the level's tick and this many on each side.", ge=0, le=9
    )
    TAPE_BAND: float = _key(
        0.10, "USD (SPY)", "core.md, Configuration", "Trades this near to a level are its tape.", gt=0
    )

    # barrier
    R_vac: float = _key(0.3, "ratio", "core.md, Configuration", "VACUUM below this replenishment ratio.", ge=0)
    R_wall: float = _key(1.5, "ratio", "core.md, Configuration", "WALL above this replenishment ratio.", ge=0)
    F_thresh: int = _key(100, "ES contracts", "core.md, Configuration", "Net liquidity change that counts.", ge=0)
    ABSORB_MIN_FILLED: int = _key(
        20, "ES contracts", "DESIGN 4.5", "Filled plus hidden volume that ABSORPTION needs.", ge=0
    )
    REPLENISH_CAP: float = _key(10.0, "ratio", "DESIGN 4.5", "Greatest replenishment ratio.", gt=0)
    WEAK_PERCENTILE: float = _key(
        0.20, "fraction", "DESIGN 4.5", "WEAK when the zone is less deep than this share of its history.", gt=0, lt=1
    )
    BARRIER_CONFIDENCE_CHURN: int = _key(
        100, "ES contracts", "decisions.md", "Gross flow within W_b at which the barrier's confidence is full.", gt=0
    )

    # tape
    V_REF: float = _key(0.05, "USD (SPY) per s", "DESIGN 4.6", "Velocity at which its part of the score is full.", gt=0)
    SWEEP_MIN_NOTIONAL: float = _key(
        500_000.0, "USD", "core.md, Configuration", "Notional that makes a run a sweep.", gt=0
    )
    SWEEP_MAX_GAP_MS: int = _key(100, "ms", "core.md, TapeEngine", "Greatest pause between prints of one run.", ge=0)
    SWEEP_MIN_VENUES: int = _key(
        1, "venues", "common-interfaces.md", "Distinct venues a sweep needs, where they exist.", ge=1
    )
    TAPE_CONFIDENCE_VOLUME: int = _key(
        50,
        "ES contracts",
        "decisions.md",
        "Volume within W_t and TAPE_BAND at which the tape's confidence is full.",
        gt=0,
    )

    # fuel
    FUEL_STRIKE_RANGE: float = _key(
        2.0, "USD (SPY)", "core.md, Configuration", "Strikes this near belong to a level.", gt=0
    )
    FUEL_MAX_DTE_DAYS: int = _key(
        0, "days", "plan 5.3", "Options that expire at most this many days after the session count as fuel.", ge=0
    )
    GREEKS_MAX_AGE_S: float = _key(
        300.0, "s", "DESIGN 4.7", "An implied volatility from a snapshot older than this is not used.", gt=0
    )
    EXPIRY_MIN_S: float = _key(60.0, "s", "DESIGN 4.7", "Least time to expiry that Black-Scholes is given.", gt=0)
    OPTION_QUOTE_STALE_MS: int = _key(
        5_000, "ms", "decisions.md", "An option's best bid and offer older than this sign no trade.", gt=0
    )
    OPTIONS_STALE_S: float = _key(
        30.0, "s", "decisions.md", "Options are stale when no record of theirs came for longer.", gt=0
    )
    MULTI_LEG_CONDITIONS: tuple[int, ...] = _key(
        tuple(range(232, 248)), "vendor codes", "DESIGN 4.7", "Option trades with one of these stay unsigned."
    )
    OPTION_MULTIPLIER: int = _key(100, "shares", "plan 5.3", "Shares (or contracts) behind one option contract.", gt=0)
    HVL_RANGE: float = _key(5.0, "USD (SPY)", "decisions.md", "The gamma flip is searched this far around spot.", gt=0)
    HVL_STEP: float = _key(0.25, "USD (SPY)", "decisions.md", "Distance of the spots at which gamma is repriced.", gt=0)
    REFRESH_INTERVAL_S: float = _key(
        5.0, "s", "decisions.md", "Gamma flip, open-interest walls and value area are found anew this often.", gt=0
    )
    FUEL_CONFIDENCE_CONTRACTS: int = _key(
        500, "option contracts", "decisions.md", "Signed volume near a level within W_g that makes fuel sure.", gt=0
    )
    gamma_threshold: float = _key(
        10_000.0, "shares per USD", "core.md, FuelEngine", "Net dealer gamma below which fuel is NEUTRAL.", ge=0
    )
    wall_strength_threshold: float = _key(
        50_000.0, "shares per USD", "core.md, FuelEngine", "Net dealer gamma that a wall needs.", ge=0
    )

    # score and triggers
    w_L: float = _key(0.45, "weight", "core.md, Configuration", "Weight of the liquidity score.", ge=0, le=1)
    w_H: float = _key(0.35, "weight", "core.md, Configuration", "Weight of the hedge score.", ge=0, le=1)
    w_T: float = _key(0.20, "weight", "core.md, Configuration", "Weight of the tape score.", ge=0, le=1)
    BREAK_SCORE_THRESHOLD: float = _key(80.0, "score", "core.md, Configuration", "BREAK above it.", ge=0, le=100)
    BREAK_EXIT_THRESHOLD: float = _key(70.0, "score", "DESIGN 4.8", "BREAK is left below it.", ge=0, le=100)
    REJECT_SCORE_THRESHOLD: float = _key(20.0, "score", "core.md, Configuration", "REJECT below it.", ge=0, le=100)
    REJECT_EXIT_THRESHOLD: float = _key(30.0, "score", "DESIGN 4.8", "REJECT is left above it.", ge=0, le=100)
    TRIGGER_HOLD_TIME: float = _key(
        3.0, "s", "core.md, Configuration", "Time that a trigger's condition must hold.", ge=0
    )
    CONTESTED_LOW: float = _key(30.0, "score", "core.md, Trigger State Machine", "CONTESTED from it.", ge=0, le=100)
    CONTESTED_HIGH: float = _key(70.0, "score", "core.md, Trigger State Machine", "CONTESTED up to it.", ge=0, le=100)
    CONTESTED_MIN_VOLUME: int = _key(
        100, "ES contracts", "DESIGN 4.8", "Tape volume within W_t that CONTESTED needs.", ge=0
    )
    CONFIDENCE_HIGH: float = _key(0.66, "fraction", "DESIGN 4.8", "Confidence is HIGH from it.", ge=0, le=1)
    CONFIDENCE_MEDIUM: float = _key(0.33, "fraction", "DESIGN 4.8", "Confidence is MEDIUM from it.", ge=0, le=1)

    # smoothing
    tau_score: float = _key(2.0, "s", "core.md, Configuration", "Time constant of the score's smoothing.", gt=0)
    tau_velocity: float = _key(1.5, "s", "core.md, Configuration", "Time constant of velocity.", gt=0)
    tau_delta_liq: float = _key(3.0, "s", "core.md, Configuration", "Time constant of delta_liq.", gt=0)
    tau_replenish: float = _key(3.0, "s", "core.md, Configuration", "Time constant of added and removed size.", gt=0)
    tau_dealer_gamma: float = _key(5.0, "s", "core.md, Configuration", "Time constant of net dealer gamma.", gt=0)

    SMOOTHING: Literal["EWMA", "MEDIAN", "HYBRID"] = _key(
        "EWMA", "name", "core.md, Smoothing", "EWMA; rolling median; or EWMA of the rolling median."
    )
    ROBUST_WINDOW: int = _key(5, "snaps", "core.md, Smoothing", "Samples of the rolling median.", ge=1, le=15)

    # feasibility prior
    FEASIBILITY_LOGIT_STEP: float = _key(
        1.0, "logit", "common-interfaces.md", "What one circumstance adds to or takes from the prior.", ge=0
    )
    FEASIBILITY_LOGIT_CAP: float = _key(2.5, "logit", "common-interfaces.md", "Greatest prior either way.", ge=0)

    # episodes
    OUTCOME_MOVE: float = _key(
        0.20, "USD (SPY)", "DESIGN 4.9", "Spot this far from a touched level has broken it or been rejected.", gt=0
    )

    # normalised thresholds
    NORMALISE: bool = _key(False, "flag", "DESIGN 4.11", "Thresholds follow recent depth, volume and speed.")
    NORMALISE_WINDOW_S: float = _key(
        1800.0, "s", "decisions.md", "Time constant of what recent means for the normalised thresholds.", gt=0
    )
    DEPTH_REF: float = _key(
        500.0, "ES contracts", "decisions.md", "Zone depth at which a normalised flow threshold is as written.", gt=0
    )
    VOLUME_REF: float = _key(
        250.0, "ES contracts", "decisions.md", "Volume per W_t at which a normalised volume is as written.", gt=0
    )
    SPEED_REF: float = _key(
        0.01, "USD (SPY) per s", "decisions.md", "Mean absolute velocity at which V_REF is as written.", gt=0
    )

    # levels
    CONFLUENCE_BAND: float = _key(
        0.20, "USD (SPY)", "common-interfaces.md", "Levels this near to each other support each other.", gt=0
    )
    OPENING_RANGE_S: float = _key(
        1800.0, "s", "decisions.md", "The opening range is the high and low of this long from the RTH open.", gt=0
    )
    VALUE_AREA: float = _key(
        0.70, "fraction", "decisions.md", "Share of the session's volume between VAL and VAH.", gt=0, lt=1
    )
    VWAP_ANCHOR: Literal["SESSION", "RTH"] = _key(
        "SESSION", "name", "plan 4", "VWAP counts from the session's open or from the RTH open."
    )
    ROUND_LEVELS_SPACING: float = _key(1.0, "USD (SPY)", "core.md, Configuration", "Distance of round levels.", gt=0)
    STRIKE_RANGE: float = _key(5.0, "USD (SPY)", "core.md, Configuration", "Levels this near to spot exist.", gt=0)
    VWAP_ENABLED: bool = _key(True, "flag", "common.md 2.10", "Session VWAP is a level.")
    USER_HOTZONES: tuple[float, ...] = _key((), "USD (SPY)", "core.md, LevelUniverse", "Levels set by hand.")
    LEVEL_TICK_HYSTERESIS: float = _key(
        0.75, "ES ticks", "DESIGN 4.4", "A level's tick moves when its price has moved by more than this.", ge=0.5
    )

    # price mapping and time
    RATIO_DEFAULT: float = _key(10.0, "ES points per USD", "DESIGN 4.4", "ES/SPY while nothing better is known.", gt=0)
    RATIO_FIXED: bool = _key(False, "flag", "DESIGN 4.11", "The ratio stays at RATIO_DEFAULT and spot is ES alone.")
    RATIO_TAU_S: float = _key(60.0, "s", "DESIGN 4.4", "Time constant of the ratio's average.", gt=0)
    SPOT_STALE_MS: int = _key(
        2_000, "ms", "DESIGN 4.4", "The SPY quote is stale when it is older; spot then comes from ES.", gt=0
    )
    LATENESS_FUTURES_S: float = _key(0.0, "s", "DESIGN 4.1", "Time by which futures events are applied later.", ge=0)
    LATENESS_STOCKS_S: float = _key(0.05, "s", "DESIGN 4.1", "Time by which stock events are applied later.", ge=0)
    LATENESS_OPTIONS_S: float = _key(0.25, "s", "DESIGN 4.1", "Time by which option events are applied later.", ge=0)
    ES_PAUSE_S: float = _key(
        60.0,
        "s",
        "decisions.md",
        "No rows are published after ES has been silent for longer, until it speaks again.",
        gt=0,
    )
    ES_STALE_MS: int = _key(5_000, "ms", "decisions.md", "ES is stale when its book has not changed for longer.", gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> EngineConfig:
        for name in (
            "W_b",
            "W_t",
            "W_g",
            "W_v",
            "W_wall",
            "WEAK_WINDOW_S",
            "WEAK_MIN_HISTORY_S",
            "REFRESH_INTERVAL_S",
        ):
            window_ns = round(getattr(self, name) * NS_PER_S)
            if window_ns % self.snap_interval_ns:
                raise ValueError(
                    f"{name}={getattr(self, name)} s is not a multiple of SNAP_INTERVAL_MS={self.SNAP_INTERVAL_MS}"
                )
        if abs(self.w_L + self.w_H + self.w_T - 1.0) > 1e-9:
            raise ValueError(f"w_L + w_H + w_T must be 1, not {self.w_L + self.w_H + self.w_T}")
        if not (
            self.REJECT_SCORE_THRESHOLD
            <= self.REJECT_EXIT_THRESHOLD
            <= self.BREAK_EXIT_THRESHOLD
            <= self.BREAK_SCORE_THRESHOLD
        ):
            raise ValueError("thresholds must rise: REJECT_SCORE, REJECT_EXIT, BREAK_EXIT, BREAK_SCORE")
        if len(set(self.USER_HOTZONES)) > MOST_HOTZONES:
            raise ValueError(f"USER_HOTZONES has {len(set(self.USER_HOTZONES))} prices, and room for {MOST_HOTZONES}")
        if any(price <= 0 for price in self.USER_HOTZONES):
            raise ValueError(f"USER_HOTZONES must be positive prices, not {self.USER_HOTZONES}")
        return self

    @property
    def snap_interval_ns(self) -> int:
        """SNAP_INTERVAL_MS in ns."""
        return self.SNAP_INTERVAL_MS * NS_PER_MS

    def snaps_of(self, seconds: float) -> int:
        """A window of ``seconds`` as a number of snaps."""
        return round(seconds * NS_PER_S) // self.snap_interval_ns

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON of all keys, first 16 hex digits: stable over runs and machines."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def described(self) -> list[dict[str, Any]]:
        """Every key with value, unit, source and meaning, in the order of this file."""
        out = []
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            out.append({"key": name, "value": getattr(self, name), "description": info.description, **extra})
        return out


def _from_environment(values: Mapping[str, str]) -> dict[str, Any]:
    """Keys spelled exactly as in the specification: W_t and w_T are two different ones."""
    unknown = sorted(set(values) - set(EngineConfig.model_fields))
    if unknown:
        raise ConfigError(
            f"BREAKWATER_ENGINE_{unknown[0]} names no configuration key",
            hint="Keys are spelled as in docs/features.md and GET /v1/config, capitals and all.",
        )
    lists = {"USER_HOTZONES", "MULTI_LEG_CONDITIONS"}
    return {key: _split(text) if key in lists else text for key, text in values.items()}


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def make_config(overrides: Mapping[str, Any]) -> EngineConfig:
    """A configuration from defaults and ``overrides``. Raises ConfigError that names every wrong key and value."""
    try:
        return EngineConfig(**overrides)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'config'}: {e['msg']}" for e in error.errors())
        raise ConfigError(
            f"the engine configuration cannot be used: {problems}", hint="Correct the named keys."
        ) from None


def load_config(path: Path | None = None, profile: str | None = None) -> EngineConfig:
    """The configuration of this deployment: defaults, profile, file, environment, later ones winning.

    ``path`` and ``profile`` default to the settings' ``config_file`` and ``profile``.
    """
    chosen = profile or settings().profile
    if chosen not in PROFILES:
        raise ConfigError(f"unknown profile {chosen!r}", hint=f"Profiles: {', '.join(PROFILES)}")
    values: dict[str, Any] = dict(PROFILES[chosen])
    file = path or settings().config_file
    if file is not None:
        try:
            values.update(tomllib.loads(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigError(f"cannot read the configuration file {file}: {error.strerror}") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{file} is not valid TOML: {error}") from None
    values.update(_from_environment(environment_with_prefix("BREAKWATER_ENGINE_")))
    return make_config(values)
