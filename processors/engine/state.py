"""Everything the feature engine remembers, in one room: flat arrays that Numba kernels read and write in place.

The state is a deterministic function of the events applied so far. :meth:`State.to_bytes` and
:meth:`State.from_bytes` are exact, so that a run resumed from a checkpoint goes on with the same bits.

Ticks are ES ticks (0.25 points), sizes contracts, times ns since the epoch. Arrays indexed by tick use ``tick &
TICK_MASK``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.config import NS_PER_MS, NS_PER_S, EngineConfig
from common.errors import InvariantError
from common.prices import ABSENT, ES_MULTIPLIER, ES_TICK_SIZE
from common.sessions import Sessions
from processors.engine import window
from processors.engine.smoothing import ewma_alpha
from processors.engine.window import WindowedSums

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Parameters = Any
"""One record of PARAMETERS; Numba reads its fields as attributes."""
SessionTable = tuple[Integers, Integers, Integers]
"""Date, open and close of the sessions."""

FORMAT_VERSION = 2

BID, ASK = 0, 1
DEPTH = 10
"""Price levels per side of MBP-10."""

TICKS = 8192
"""Ticks that per-tick arrays can tell apart: 2,048 points, more than the widest daily price limit within any window."""
TICK_MASK = TICKS - 1

ADDED, CANCELED, FILLED, HIDDEN = 0, 1, 2, 3
BOUGHT, SOLD, UNSIGNED = 0, 1, 2

DISTANCES = 24
"""Distances from the best price for which zone depth is remembered, from -DISTANCE_MIN ticks on."""
DISTANCE_MIN = 4
SWEEPS = 256
LEVELS = 512

_FLOW_CAPACITY = 4096
_TAPE_CAPACITY = 1024

SCALARS = np.dtype(
    [
        ("next_snap_ns", np.int64),  # next point of the snap grid to be decided on; 0 before the first event
        ("last_snap_ns", np.int64),  # last snap published; 0 before the first
        ("session", np.int64),  # index into the sessions; -1 before the first
        ("session_open_ns", np.int64),
        ("session_close_ns", np.int64),
        ("session_date", np.int64),
        ("instrument_id", np.int64),  # the contract followed; -1 before the first book
        ("instrument_fixed", np.int64),  # 1 once a book of this session named the contract
        ("book_valid", np.int64),  # 1 when the last book may be compared with the next
        ("end_valid", np.int64),  # 1 when end_* holds a book of this run of valid books
        ("continuous", np.int64),  # 1 when the last group ended two-sided and uncrossed
        ("group_open", np.int64),  # 1 while a group of records has not ended
        ("group_ts_ns", np.int64),  # ts_event_ns of the group
        ("book_ts_ns", np.int64),  # effective time of the last book record
        ("baseline_ts_ns", np.int64),  # effective time of the last baseline
        ("gap_ts_ns", np.int64),  # effective time of the last known gap; 0 when there was none
        ("mid2", np.int64),  # best bid plus best ask at the last group end, in ticks; 0 when unknown
        ("pending_count", np.int64),  # (side, tick) pairs with passive volume not yet explained
        ("ofi_bucket", np.int64),  # bucket of the newest entry of the OFI rings
        ("mid_count", np.int64),  # consecutive snaps in the mid ring
        ("depth_count", np.int64),  # snaps written to the depth history
        ("run_side", np.int64),  # 1 bought, -1 sold, 0 no run
        ("run_ts_ns", np.int64),
        ("run_amount", np.int64),  # sum of tick times size
        ("sweep_head", np.int64),
        ("sweep_tail", np.int64),
        ("volume", np.int64),  # contracts traded in the session
        ("delta", np.int64),  # bought minus sold in the session
        ("skipped", np.int64),  # records that could not be used (prices off the tick grid)
        ("level_count", np.int64),
        ("vwap_sum", np.float64),  # sum of price (SPY dollars) times size over the session
        ("session_high", np.float64),  # SPY dollars; 0 before the first trade
        ("session_low", np.float64),
        ("ratio", np.float64),
    ],
    align=True,
)

PARAMETERS = np.dtype(
    [
        ("snap_ns", np.int64),
        ("flow_snaps", np.int64),
        ("tape_snaps", np.int64),
        ("velocity_snaps", np.int64),
        ("weak_snaps", np.int64),
        ("weak_min_snaps", np.int64),
        ("flow_window_ns", np.int64),
        ("tape_window_ns", np.int64),
        ("sweep_gap_ns", np.int64),
        ("stale_ns", np.int64),
        ("pause_ns", np.int64),
        ("zone_ticks", np.int64),
        ("f_thresh", np.int64),
        ("absorb_min_filled", np.int64),
        ("barrier_confidence_churn", np.int64),
        ("tape_confidence_volume", np.int64),
        ("vwap_enabled", np.int64),
        ("sweep_min_amount", np.float64),  # SWEEP_MIN_NOTIONAL as a sum of tick times size
        ("dollars_per_amount", np.float64),
        ("r_vac", np.float64),
        ("r_wall", np.float64),
        ("replenish_cap", np.float64),
        ("weak_percentile", np.float64),
        ("monitor_band", np.float64),
        ("touch_band", np.float64),
        ("tape_band", np.float64),
        ("round_spacing", np.float64),
        ("level_range", np.float64),
        ("tick_hysteresis", np.float64),
        ("tick_size", np.float64),
        ("snap_s", np.float64),
        ("confluence_band", np.float64),
        ("opening_range_ns", np.int64),
        ("value_area", np.float64),
        ("vwap_from_rth", np.int64),  # 1 when VWAP counts from the RTH open, 0 from the session's
        ("ratio_fixed", np.int64),
        ("ratio_default", np.float64),
        ("ratio_alpha", np.float64),  # weight of a snap's sample
        ("spot_stale_ns", np.int64),
        ("sweep_min_venues", np.int64),
        ("sweep_min_notional_e4", np.int64),  # SWEEP_MIN_NOTIONAL as a sum of price in 0.0001 USD times shares
        ("fuel_snaps", np.int64),
        ("wall_snaps", np.int64),
        ("fuel_max_dte_days", np.int64),
        ("fuel_strike_range", np.float64),
        ("gamma_threshold", np.float64),
        ("wall_threshold", np.float64),
        ("greeks_max_age_ns", np.int64),
        ("expiry_min_s", np.float64),
        ("option_quote_stale_ns", np.int64),
        ("options_stale_ns", np.int64),
        ("option_multiplier", np.int64),
        ("hvl_range", np.float64),
        ("hvl_step", np.float64),
        ("hvl_snaps", np.int64),  # gamma flip and open-interest walls are found anew every so many snaps
        ("fuel_confidence_contracts", np.int64),
        ("outcome_move", np.float64),
        ("normalise", np.int64),
        ("normalise_alpha", np.float64),  # weight of a snap's sample
        ("depth_ref", np.float64),
        ("volume_ref", np.float64),
        ("speed_ref", np.float64),
    ],
    align=True,
)


class Arrays(NamedTuple):
    """The state's arrays. Shapes are fixed but for the two logs, which grow by doubling."""

    scalars: NDArray[np.void]  # SCALARS[1]
    book_tick: NDArray[np.int64]  # [2, DEPTH] last book record; ABSENT beyond its levels
    book_size: NDArray[np.int64]
    end_tick: NDArray[np.int64]  # [2, DEPTH] book at the last group end
    end_size: NDArray[np.int64]
    pending: NDArray[
        np.int64
    ]  # [2 * TICKS] passive volume of this ts_event not yet explained by lost depth; -1 when none traded
    pending_key: NDArray[np.int64]  # [2 * TICKS] which of them are not -1
    flow: WindowedSums  # [2 * TICKS, 4] over W_b: ADDED, CANCELED, FILLED, HIDDEN per side and tick
    tape: WindowedSums  # [TICKS, 3] over W_t: BOUGHT, SOLD, UNSIGNED per tick
    ofi_ring: NDArray[np.int64]  # [flow_snaps, 2] best price and all levels, per bucket
    mid_ring: NDArray[np.int64]  # [velocity_snaps]
    depth_history: NDArray[np.int32]  # [2, DISTANCES, weak_snaps] zone depth at snaps, -1 when not visible
    sweep_ts: NDArray[np.int64]  # [SWEEPS] finished sweeps of falling size, oldest first
    sweep_side: NDArray[np.int64]
    sweep_amount: NDArray[np.int64]
    level_kind: NDArray[np.int64]  # [LEVELS] levels of the session, in order of appearance
    level_key: NDArray[np.int64]
    level_tick: NDArray[np.int64]
    level_direction: NDArray[np.int64]
    level_seen_ns: NDArray[np.int64]


def parameters(config: EngineConfig) -> NDArray[np.void]:
    """The configuration in the engine's units, as one record."""
    out = np.zeros(1, PARAMETERS)
    values: dict[str, Any] = {
        "snap_ns": config.snap_interval_ns,
        "flow_snaps": config.snaps_of(config.W_b),
        "tape_snaps": config.snaps_of(config.W_t),
        "velocity_snaps": config.snaps_of(config.W_v),
        "weak_snaps": config.snaps_of(config.WEAK_WINDOW_S),
        "weak_min_snaps": config.snaps_of(config.WEAK_MIN_HISTORY_S),
        "flow_window_ns": round(config.W_b * NS_PER_S),
        "tape_window_ns": round(config.W_t * NS_PER_S),
        "sweep_gap_ns": config.SWEEP_MAX_GAP_MS * NS_PER_MS,
        "stale_ns": config.ES_STALE_MS * NS_PER_MS,
        "pause_ns": round(config.ES_PAUSE_S * NS_PER_S),
        "zone_ticks": config.BARRIER_ZONE_TICKS,
        "f_thresh": config.F_thresh,
        "absorb_min_filled": config.ABSORB_MIN_FILLED,
        "barrier_confidence_churn": config.BARRIER_CONFIDENCE_CHURN,
        "tape_confidence_volume": config.TAPE_CONFIDENCE_VOLUME,
        "vwap_enabled": int(config.VWAP_ENABLED),
        "sweep_min_amount": config.SWEEP_MIN_NOTIONAL / (ES_TICK_SIZE * ES_MULTIPLIER),
        "dollars_per_amount": ES_TICK_SIZE * ES_MULTIPLIER,
        "r_vac": config.R_vac,
        "r_wall": config.R_wall,
        "replenish_cap": config.REPLENISH_CAP,
        "weak_percentile": config.WEAK_PERCENTILE,
        "monitor_band": config.MONITOR_BAND,
        "touch_band": config.TOUCH_BAND,
        "tape_band": config.TAPE_BAND,
        "round_spacing": config.ROUND_LEVELS_SPACING,
        "level_range": config.STRIKE_RANGE,
        "tick_hysteresis": config.LEVEL_TICK_HYSTERESIS,
        "tick_size": ES_TICK_SIZE,
        "snap_s": config.snap_interval_ns / NS_PER_S,
        "confluence_band": config.CONFLUENCE_BAND,
        "opening_range_ns": round(config.OPENING_RANGE_S * NS_PER_S),
        "value_area": config.VALUE_AREA,
        "vwap_from_rth": int(config.VWAP_ANCHOR == "RTH"),
        "ratio_fixed": int(config.RATIO_FIXED),
        "ratio_default": config.RATIO_DEFAULT,
        "ratio_alpha": ewma_alpha(config.snap_interval_ns, config.RATIO_TAU_S),
        "spot_stale_ns": config.SPOT_STALE_MS * NS_PER_MS,
        "sweep_min_venues": config.SWEEP_MIN_VENUES,
        "sweep_min_notional_e4": round(config.SWEEP_MIN_NOTIONAL * 10_000),
        "fuel_snaps": config.snaps_of(config.W_g),
        "wall_snaps": config.snaps_of(config.W_wall),
        "fuel_max_dte_days": config.FUEL_MAX_DTE_DAYS,
        "fuel_strike_range": config.FUEL_STRIKE_RANGE,
        "gamma_threshold": config.gamma_threshold,
        "wall_threshold": config.wall_strength_threshold,
        "greeks_max_age_ns": round(config.GREEKS_MAX_AGE_S * NS_PER_S),
        "expiry_min_s": config.EXPIRY_MIN_S,
        "option_quote_stale_ns": config.OPTION_QUOTE_STALE_MS * NS_PER_MS,
        "options_stale_ns": round(config.OPTIONS_STALE_S * NS_PER_S),
        "option_multiplier": config.OPTION_MULTIPLIER,
        "hvl_range": config.HVL_RANGE,
        "hvl_step": config.HVL_STEP,
        "hvl_snaps": config.snaps_of(config.HVL_INTERVAL_S),
        "fuel_confidence_contracts": config.FUEL_CONFIDENCE_CONTRACTS,
        "outcome_move": config.OUTCOME_MOVE,
        "normalise": int(config.NORMALISE),
        "normalise_alpha": ewma_alpha(config.snap_interval_ns, config.NORMALISE_WINDOW_S),
        "depth_ref": config.DEPTH_REF,
        "volume_ref": config.VOLUME_REF,
        "speed_ref": config.SPEED_REF,
    }
    for name, value in values.items():
        out[name] = value
    return out


def _empty_arrays(config: EngineConfig) -> Arrays:
    scalars = np.zeros(1, SCALARS)
    scalars["session"] = -1
    scalars["instrument_id"] = -1
    scalars["ratio"] = config.RATIO_DEFAULT
    return Arrays(
        scalars=scalars,
        book_tick=np.full((2, DEPTH), ABSENT, np.int64),
        book_size=np.zeros((2, DEPTH), np.int64),
        end_tick=np.full((2, DEPTH), ABSENT, np.int64),
        end_size=np.zeros((2, DEPTH), np.int64),
        pending=np.full(2 * TICKS, -1, np.int64),
        pending_key=np.zeros(2 * TICKS, np.int64),
        flow=window.empty(2 * TICKS, 4, _FLOW_CAPACITY),
        tape=window.empty(TICKS, 3, _TAPE_CAPACITY),
        ofi_ring=np.zeros((config.snaps_of(config.W_b), 2), np.int64),
        mid_ring=np.zeros(config.snaps_of(config.W_v), np.int64),
        depth_history=np.full((2, DISTANCES, config.snaps_of(config.WEAK_WINDOW_S)), -1, np.int32),
        sweep_ts=np.zeros(SWEEPS, np.int64),
        sweep_side=np.zeros(SWEEPS, np.int64),
        sweep_amount=np.zeros(SWEEPS, np.int64),
        level_kind=np.zeros(LEVELS, np.int64),
        level_key=np.zeros(LEVELS, np.int64),
        level_tick=np.zeros(LEVELS, np.int64),
        level_direction=np.zeros(LEVELS, np.int64),
        level_seen_ns=np.zeros(LEVELS, np.int64),
    )


def _leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Every array of a named tuple with its name, in a fixed order; those of nested ones as ``flow.total``."""
    for name, value in group._asdict().items():
        if isinstance(value, np.ndarray):
            yield prefix + name, value
        else:
            yield from _leaves(value, f"{prefix}{name}.")


def _from_leaves(template: Any, named: Mapping[str, NDArray[Any]], prefix: str = "") -> Any:
    """The named tuple shaped like ``template`` with the arrays of :func:`_leaves`."""
    return type(template)(
        **{
            name: named[prefix + name]
            if isinstance(value, np.ndarray)
            else _from_leaves(value, named, f"{prefix}{name}.")
            for name, value in template._asdict().items()
        }
    )


@dataclass
class State:
    """The feature engine's memory of one complex. Changed in place by :func:`processors.engine.features.step` only."""

    config: EngineConfig
    sessions: Sessions
    underlying: str
    parameters: NDArray[np.void]
    hotzones: NDArray[np.float64]
    arrays: Arrays

    @property
    def last_snap_ns(self) -> int:
        """Time of the last published snap; 0 before the first."""
        return int(self.arrays.scalars["last_snap_ns"][0])

    @property
    def skipped(self) -> int:
        """Records that could not be used because a price was off the tick grid."""
        return int(self.arrays.scalars["skipped"][0])

    def to_bytes(self) -> bytes:
        """The whole state, exactly; read by :meth:`from_bytes` of the same format version and configuration."""
        header = {
            "version": FORMAT_VERSION,
            "config_hash": self.config.hash,
            "underlying": self.underlying,
            "arrays": [[name, list(array.shape)] for name, array in _leaves(self.arrays)],
        }
        head = json.dumps(header).encode()
        return b"".join([struct.pack(">I", len(head)), head, *(array.tobytes() for _, array in _leaves(self.arrays))])

    @classmethod
    def from_bytes(cls, config: EngineConfig, sessions: Sessions, data: bytes) -> State:
        """The state that :meth:`to_bytes` wrote. Raises InvariantError when it belongs to another version or
        configuration.
        """
        (size,) = struct.unpack_from(">I", data)
        header = json.loads(data[4 : 4 + size])
        if header["version"] != FORMAT_VERSION or header["config_hash"] != config.hash:
            raise InvariantError(
                f"the engine state has version {header['version']} and configuration {header['config_hash']}, "
                f"not {FORMAT_VERSION} and {config.hash}",
                hint="Recompute from the log's beginning, or run with the configuration the state was made with.",
            )
        state = initial_state(config, sessions, header["underlying"])
        at = 4 + size
        read: dict[str, NDArray[Any]] = {}
        for (name, shape), (_, template) in zip(header["arrays"], _leaves(state.arrays), strict=True):
            count = int(np.prod(shape))
            end = at + count * template.dtype.itemsize
            if end > len(data):
                raise InvariantError(f"the engine state ends within its array {name}")
            read[name] = np.frombuffer(data, template.dtype, count, at).reshape(shape).copy()
            at = end
        state.arrays = _from_leaves(state.arrays, read)
        return state


def initial_state(config: EngineConfig, sessions: Sessions, underlying: str = "SPY") -> State:
    """The state before the first event."""
    return State(
        config=config,
        sessions=sessions,
        underlying=underlying,
        parameters=parameters(config),
        hotzones=np.array(sorted(set(config.USER_HOTZONES)), np.float64),
        arrays=_empty_arrays(config),
    )
