"""What a new session starts without, and what a roll of the contract does (DESIGN 4.3, 4.4)."""

from __future__ import annotations

from common.jit import kernel
from processors.engine import landmarks, options
from processors.engine.depths import clear_depths
from processors.engine.levels import forget_levels
from processors.engine.scales import restart_scales
from processors.engine.shapes import SessionTable
from processors.engine.state import Arrays
from processors.engine.sweeps import ES, UNDERLYING, clear_sweeps
from processors.engine.window import clear

_DAY_NS = 86_400_000_000_000


@kernel
def _forget_market(st: Arrays) -> None:
    """Forget what the book and the tape of the contract have shown."""
    s = st.scalars[0]
    clear(st.flow)
    clear(st.tape)
    clear_sweeps(st.sweeps[ES])
    st.ofi_ring[:] = 0
    st.volume_ring[:] = 0
    clear_depths(s, st.depth_history)
    s.mid_count = 0
    s.volume_count = 0
    s.continuous = 0


@kernel
def begin_session(st: Arrays, session: int, sessions: SessionTable) -> None:
    """Start anew; only the book itself goes on, as the baseline of what follows, and what belongs to earlier days."""
    s = st.scalars[0]
    s.session = session
    s.session_date = sessions[0][session]
    s.session_open_ns = sessions[1][session]
    s.session_close_ns = sessions[2][session]
    # a session closes on its trade date, in the afternoon of Chicago, which is the same date in UTC
    s.session_days = s.session_close_ns // _DAY_NS
    _forget_market(st)
    clear(st.spy_tape)
    clear_sweeps(st.sweeps[UNDERLYING])
    s.gap_ts_ns = 0
    s.spy_gap_ts_ns = 0
    s.options_gap_ts_ns = 0
    s.volume = 0
    s.delta = 0
    forget_levels(s)
    s.outcome_count = 0
    s.instrument_fixed = 0
    restart_scales(s)
    landmarks.begin_session(st.landmarks, sessions[3][session], sessions[4][session])
    options.begin_session(st.options, s.session_open_ns)


@kernel
def roll_to(st: Arrays, instrument_id: int) -> None:
    """Follow another contract: its prices lie elsewhere, so flows, ratio and mids start anew."""
    s = st.scalars[0]
    s.instrument_id = instrument_id
    s.instrument_fixed = 1
    s.book_valid = 0
    s.end_valid = 0
    landmarks.park_contract(st.landmarks, s.ratio if s.ratio_ts_ns > 0 else 0.0)
    s.ratio_ts_ns = 0
    s.mid2 = 0
    _forget_market(st)
