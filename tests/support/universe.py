"""Level universes for tests: options' arrays, landmarks and hotzones set by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.config import make_config
from processors.engine import hotzones, landmarks, universe
from processors.engine.levels import KINDS
from processors.engine.parameters import parameters
from processors.engine.shapes import TICKS

WALLS = ("call_wall", "put_wall", "oi_call_wall", "oi_put_wall")


class OptionArrays(NamedTuple):
    """What the list of levels reads of the options' arrays."""

    scalars: NDArray[np.void]
    strike_milli: NDArray[np.int64]
    strike_volume: NDArray[np.int64]


def options(
    strikes: Mapping[float, int] | None = None, hvl: float = np.nan, **walls: tuple[float, float]
) -> OptionArrays:
    """Options with volumes by strike and walls as (strike, strength)."""
    traded = sorted((strikes or {}).items())
    scalars = np.zeros(
        1,
        [(f"{wall}_milli", np.int64) for wall in WALLS]
        + [(f"{wall}_strength", np.float64) for wall in WALLS]
        + [("hvl", np.float64), ("strike_count", np.int64)],
    )
    scalars["hvl"] = hvl
    scalars["strike_count"] = len(traded)
    for wall, (strike, strength) in walls.items():
        scalars[f"{wall}_milli"] = round(strike * 1000)
        scalars[f"{wall}_strength"] = strength
    milli = np.zeros(1024, np.int64)
    volume = np.zeros(1024, np.int64)
    milli[: len(traded)] = [round(strike * 1000) for strike, _ in traded]
    volume[: len(traded)] = [count for _, count in traded]
    return OptionArrays(scalars, milli, volume)


def parameters_of(**keys: Any) -> Any:
    """The engine's parameter record for these keys of the configuration."""
    return parameters(make_config(keys))[0]


@dataclass
class Snap:
    """What a snap's list of levels is made from."""

    spot: float = 600.0
    ratio: float = 10.0
    keys: dict[str, Any] = field(default_factory=dict)
    landmarks: landmarks.LandmarkArrays = field(default_factory=lambda: landmarks.empty(TICKS))
    options: OptionArrays = field(default_factory=options)
    hotzones: Sequence[float] = ()

    def near(self) -> tuple[universe.NearLevels, int]:
        """The list and its count."""
        near = universe.room()
        zones, count = hotzones.configured(self.hotzones)
        p = parameters_of(**self.keys)
        return near, universe.list_levels(self.landmarks, self.options, p, zones, count, self.spot, self.ratio, near)

    def levels(self) -> list[tuple[str, float]]:
        """Names and prices, in the list's order."""
        near, count = self.near()
        spacing = float(parameters_of(**self.keys)["round_spacing"])
        return [
            (universe.level_name(int(near.kinds[n]), int(near.keys[n]), spacing), float(near.prices[n]))
            for n in range(count)
        ]

    def names(self, *kinds: str) -> list[str]:
        """Names of the levels of these kinds, ascending by price."""
        near, _ = self.near()
        return [name for n, (name, _) in enumerate(self.levels()) if KINDS[near.kinds[n]] in kinds]

    def strength(self, name: str) -> float:
        """A level's strength."""
        near, _ = self.near()
        return float(near.strengths[[level for level, _ in self.levels()].index(name)])
