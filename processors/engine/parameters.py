"""The configuration in the engine's units, as one record that kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.config import NS_PER_MS, NS_PER_S, EngineConfig
from common.prices import ES_MULTIPLIER, ES_TICK_SIZE
from processors.engine.smoothing import ewma_alpha

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
        ("ratio_alpha", np.float64),  # weight of a sample one snap after the last
        ("ratio_tau_s", np.float64),
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
        (
            "refresh_snaps",
            np.int64,
        ),  # gamma flip, open-interest walls and value area are found anew every so many snaps
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
        "ratio_tau_s": config.RATIO_TAU_S,
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
        "refresh_snaps": config.snaps_of(config.REFRESH_INTERVAL_S),
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
