"""Recent depth, volume and speed, by which thresholds are measured when NORMALISE is set (profile ``desk``; DESIGN
4.11).

Volume is what the same half hour of earlier sessions had, where there is one, averaged with the recent past.
"""

from __future__ import annotations

from common.jit import kernel
from processors.engine.flows import zone_depth
from processors.engine.shapes import ASK, BID, DAY_PARTS, Parameters, Scalars
from processors.engine.smoothing import ewma

_PART_NS = 1_800_000_000_000
_EARLIER_WEIGHT = 0.8
_LEAST, _MOST = 0.1, 10.0


@kernel
def _day_part(s: Scalars, now_ns: int) -> int:
    return int(min(DAY_PARTS - 1, max(0, (now_ns - s.session_open_ns) // _PART_NS)))


@kernel
def _finish_part(s: Scalars, part: int) -> None:
    """Take the half hour that has ended into what is usual for it."""
    if s.part_samples > 0:
        mean = s.part_volume / s.part_samples
        usual = s.day_volume[part]
        s.day_volume[part] = mean if usual == 0.0 else ewma(usual, mean, 1.0 - _EARLIER_WEIGHT)
    s.part_samples = 0
    s.part_volume = 0.0


@kernel
def restart_scales(s: Scalars) -> None:
    """A session begins: the recent past is gone, what is usual stays."""
    s.norm_count = 0
    s.part_samples = 0
    s.part_volume = 0.0


@kernel
def sample_scales(s: Scalars, p: Parameters, snap_ns: int, volume: int, velocity: float) -> None:
    """Take a snap into the averages: ``volume`` contracts traded within W_t, ``velocity`` USD per s."""
    part = _day_part(s, snap_ns)
    if part != _day_part(s, snap_ns - p.snap_ns):
        _finish_part(s, _day_part(s, snap_ns - p.snap_ns))
    s.part_samples += 1
    s.part_volume += volume
    bid = zone_depth(s.end_tick, s.end_size, BID, s.end_tick[BID, 0], p.zone_ticks)
    ask = zone_depth(s.end_tick, s.end_size, ASK, s.end_tick[ASK, 0], p.zone_ticks)
    depth = 0.5 * (max(bid, 0) + max(ask, 0))
    s.norm_count += 1
    # the first samples count alike, so that a cold start is not bent towards its first snap
    alpha = max(p.normalise_alpha, 1.0 / s.norm_count)
    s.norm_depth = ewma(s.norm_depth, depth, alpha)
    s.norm_volume = ewma(s.norm_volume, float(volume), alpha)
    s.norm_speed = ewma(s.norm_speed, abs(velocity), alpha)


@kernel
def _scale(value: float, reference: float) -> float:
    return min(_MOST, max(_LEAST, value / reference))


@kernel
def scale_factors(s: Scalars, p: Parameters, snap_ns: int) -> tuple[float, float, float]:
    """Depth, volume and velocity over their references, each within 0.1..10; ones unless NORMALISE is set or while
    the history is shorter than WEAK needs.
    """
    if p.normalise == 0 or s.norm_count < p.weak_min_snaps:
        return 1.0, 1.0, 1.0
    usual = s.day_volume[_day_part(s, snap_ns)]
    volume = s.norm_volume if usual == 0.0 else 0.5 * (s.norm_volume + usual)
    return _scale(s.norm_depth, p.depth_ref), _scale(volume, p.volume_ref), _scale(s.norm_speed, p.speed_ref)
