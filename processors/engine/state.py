"""Everything the feature engine remembers, in one room: arrays that Numba kernels read and write in place.

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

from common.config import EngineConfig
from common.errors import InvariantError
from common.prices import ABSENT
from common.sessions import Sessions
from processors.engine import landmarks, options, window
from processors.engine.hotzones import configured
from processors.engine.landmarks import LandmarkArrays
from processors.engine.options import OptionArrays
from processors.engine.parameters import parameters
from processors.engine.shapes import (
    CENTS,
    DAY_PARTS,
    DEPTH,
    DEPTH_STEPS,
    DISTANCES,
    HOTZONES,
    LEVELS,
    PENDING,
    TICKS,
    SessionTable,
)
from processors.engine.sweeps import SWEEPS_OF
from processors.engine.window import WindowedSums

FORMAT_VERSION = 6

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
        ("session_days", np.int64),  # the trade date as days since the epoch
        ("instrument_id", np.int64),  # the contract followed; -1 before the first book
        ("instrument_fixed", np.int64),  # 1 once a book of this session named the contract
        ("front_id", np.int64),  # the contract that definitions call the front; 0 before the first
        ("trading", np.int64),  # 0 while a status says that orders do not match
        ("book_valid", np.int64),  # 1 when the last book may be compared with the next
        ("end_valid", np.int64),  # 1 when end_* holds a book of this run of valid books
        ("continuous", np.int64),  # 1 when the last group ended two-sided and uncrossed
        ("group_open", np.int64),  # 1 while a group of records has not ended
        ("group_ts_ns", np.int64),  # ts_event_ns of the group
        ("book_ts_ns", np.int64),  # effective time of the last book record
        ("baseline_ts_ns", np.int64),  # effective time of the last baseline
        (
            "gap_ts_ns",
            np.int64,
        ),  # effective time of the first ES record after the last known gap; 0 when there was none
        ("spy_gap_ts_ns", np.int64),  # the same of the underlying's feed
        ("options_gap_ts_ns", np.int64),  # the same of the options' feed
        ("mid2", np.int64),  # best bid plus best ask at the last group end, in ticks; 0 when unknown
        ("pending_count", np.int64),  # (side, tick) pairs with passive volume not yet explained
        ("ofi_bucket", np.int64),  # bucket of the newest entry of the OFI rings
        ("mid_count", np.int64),  # consecutive snaps in the mid ring
        ("depth_count", np.int64),  # snaps written to the depth history
        ("volume_count", np.int64),  # snaps written to the volume ring
        ("delta", np.int64),  # bought minus sold in the session
        ("volume", np.int64),  # contracts traded in the session
        ("skipped", np.int64),  # records that could not be used (prices off the tick grid)
        ("level_count", np.int64),
        ("hotzone_count", np.int64),
        ("forgotten_episodes", np.int64),  # greatest episode number of a level that lost its slot in this session
        ("outcome_count", np.int64),  # episodes whose outcome is not known yet
        ("spy_ts_ns", np.int64),  # effective time of the underlying's last quote; 0 before the first
        ("spy_bid_e4", np.int64),
        ("spy_ask_e4", np.int64),
        ("spy_seen_ns", np.int64),  # effective time of the underlying's last record
        ("ratio_ts_ns", np.int64),  # snap of the ratio's last sample; 0 before the first of the contract
        ("ratio", np.float64),
        ("norm_count", np.int64),  # samples behind the recent averages
        ("norm_depth", np.float64),  # recent mean zone depth at the best prices, contracts
        ("norm_volume", np.float64),  # recent mean volume per W_t, contracts
        ("norm_speed", np.float64),  # recent mean absolute velocity, USD per s
        ("part_samples", np.int64),  # snaps of the running part of the day
        ("part_volume", np.float64),  # their volume per W_t, added up
        ("book_tick", np.int64, (2, DEPTH)),  # last book record; ABSENT beyond its levels
        ("book_size", np.int64, (2, DEPTH)),
        ("end_tick", np.int64, (2, DEPTH)),  # book at the last group end
        ("end_size", np.int64, (2, DEPTH)),
        ("pending", np.int64, (2 * TICKS,)),  # volume of this ts_event no lost depth explains yet; -1 when none traded
        ("pending_key", np.int64, (2 * TICKS,)),  # which of them are not -1
        ("depth_tree", np.int32, (2, DISTANCES, DEPTH_STEPS)),  # steps in the depth history, as Fenwick trees
        ("depth_known", np.int64, (2, DISTANCES)),  # entries of it that are not -1
        ("level_kind", np.int64, (LEVELS,)),  # levels of the session, in order of appearance
        ("level_key", np.int64, (LEVELS,)),
        ("level_tick", np.int64, (LEVELS,)),
        ("level_direction", np.int64, (LEVELS,)),
        ("level_seen_ns", np.int64, (LEVELS,)),
        ("level_head", np.int64, (LEVELS,)),  # first slot of each hash chain plus one; 0 for an empty chain
        ("level_next", np.int64, (LEVELS,)),  # next slot of the chain plus one; 0 at its end
        ("episode_open_ns", np.int64, (LEVELS,)),  # first touch of the running episode; 0 outside
        ("episode_count", np.int64, (LEVELS,)),  # number of the newest episode; episode_base before the first
        ("episode_base", np.int64, (LEVELS,)),  # greatest number forgotten when the level got its slot
        ("episode_price", np.float64, (LEVELS,)),  # price that the running episode keeps
        ("hotzones", np.int64, (HOTZONES,)),  # prices set by hand, 0.0001 USD, ascending
        ("day_volume", np.float64, (DAY_PARTS,)),  # usual volume per W_t in each half hour; 0 unknown
    ],
    align=True,
)


OUTCOME = np.dtype(
    [
        ("ts_event_ns", np.int64),  # when it was known
        ("session_date", np.int64),
        ("kind", np.int64),
        ("key", np.int64),
        ("number", np.int64),  # of the level's episode in the session
        ("touches", np.int64),  # earlier episodes of the level that are remembered
        ("direction", np.int64),
        ("price", np.float64),
        ("spot", np.float64),  # at the touch
        ("touch_ns", np.int64),
        ("passage_ns", np.int64),  # 0 when there was none
        ("result", np.int64, (3,)),  # per horizon
    ],
    align=True,
)
"""One episode whose outcome is awaited, or known."""


class Arrays(NamedTuple):
    """The state's arrays. Shapes are fixed but for the logs of windowed sums and the contracts, which double."""

    scalars: NDArray[np.void]  # SCALARS[1]
    sweeps: NDArray[np.void]  # SWEEPS_OF[2] of ES (ticks times contracts), of the underlying (0.0001 USD times shares)
    flow: WindowedSums  # [2 * TICKS, 4] over W_b: ADDED, CANCELED, FILLED, HIDDEN per side and tick
    tape: WindowedSums  # [TICKS, 3] over W_t: BOUGHT, SOLD, UNSIGNED contracts per tick
    spy_tape: WindowedSums  # [CENTS, 3] over W_t: BOUGHT, SOLD, UNSIGNED shares of the underlying per cent
    ofi_ring: NDArray[np.int64]  # [flow_snaps, 2] best price and all levels, per bucket
    mid_ring: NDArray[np.int64]  # [velocity_snaps]
    volume_ring: NDArray[np.int64]  # [tape_snaps] volume of the session at the last snaps
    depth_history: NDArray[np.int16]  # [2, DISTANCES, weak_snaps] zone depth at snaps in steps, -1 when not visible
    outcomes: NDArray[np.void]  # OUTCOME[PENDING] episodes whose outcome is not known yet, oldest first
    landmarks: LandmarkArrays
    options: OptionArrays


def _empty_arrays(config: EngineConfig) -> Arrays:
    scalars = np.zeros(1, SCALARS)
    scalars["session"] = -1
    scalars["instrument_id"] = -1
    scalars["trading"] = 1
    scalars["ratio"] = config.RATIO_DEFAULT
    scalars["hotzones"], scalars["hotzone_count"] = configured(config.USER_HOTZONES)
    for name in ("book_tick", "end_tick"):
        scalars[name] = ABSENT
    scalars["pending"] = -1
    return Arrays(
        scalars=scalars,
        sweeps=np.zeros(2, SWEEPS_OF),
        flow=window.empty(2 * TICKS, 4, _FLOW_CAPACITY),
        tape=window.empty(TICKS, 3, _TAPE_CAPACITY),
        spy_tape=window.empty(CENTS, 3, _TAPE_CAPACITY),
        ofi_ring=np.zeros((config.snaps_of(config.W_b), 2), np.int64),
        mid_ring=np.zeros(config.snaps_of(config.W_v), np.int64),
        volume_ring=np.zeros(config.snaps_of(config.W_t), np.int64),
        depth_history=np.full((2, DISTANCES, config.snaps_of(config.WEAK_WINDOW_S)), -1, np.int16),
        outcomes=np.zeros(PENDING, OUTCOME),
        landmarks=landmarks.empty(TICKS),
        options=options.empty(config),
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
    arrays: Arrays
    room: Any = None
    """Where ``step`` lets the kernels write; kept between steps, no part of what the engine remembers."""

    @property
    def session_table(self) -> SessionTable:
        """The sessions as the kernels read them."""
        given = self.sessions
        return given.date, given.open_ns, given.close_ns, given.rth_open_ns, given.rth_close_ns

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
        arrays=_empty_arrays(config),
    )
