"""What is written down about a training set, in ``_meta/datasets/<name>.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from common import meta
from common.errors import ConfigError, InputError

FOLDER = "datasets"

KEYS = ("ts_event_ns", "level_id", "episode_id", "session_date", "config_hash")
"""Columns of every training set, before its features."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A training set: the rows from ``from_ns`` to before ``until_ns`` whose label was not known yet.

    ``snapshots``: of the table it is read from and of those that it is checked against. ``labels``: rows by label.
    ``digest``: of all columns in the order (ts_event_ns, level_id).
    """

    name: str
    from_ns: int
    until_ns: int
    features: tuple[str, ...]
    label: str
    snapshots: Mapping[str, int]
    rows: int
    labels: Mapping[str, int]
    config_hashes: tuple[str, ...]
    digest: str
    created: str
    code_commit: str | None
    code_dirty: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns in their order."""
        return (*KEYS, *self.features, self.label, f"{self.label}_known_ns")

    @property
    def tag(self) -> str:
        """The tag of its snapshots."""
        return tag_of(self.name)


def tag_of(name: str) -> str:
    """The tag of the snapshots of the training set of that name."""
    return f"dataset.{name}"


def check_name(name: str) -> None:
    """Raises ConfigError for a name that is none."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a training set", hint="Use lower-case letters, digits, dots, dashes, underscores."
        )


def save(dataset: Dataset) -> None:
    """Write it down."""
    meta.shared().write(f"{FOLDER}/{dataset.name}.json", asdict(dataset))


def find(name: str) -> Dataset:
    """The training set of that name. Raises InputError that names the ones there are."""
    check_name(name)
    found = meta.shared().read(f"{FOLDER}/{name}.json")
    if found is None:
        known = ", ".join(names())
        raise InputError(
            f"there is no training set {name!r}",
            hint=f"There are: {known}" if known else "Make one with ./breakwater dataset create.",
        )
    found["features"], found["config_hashes"] = tuple(found["features"]), tuple(found["config_hashes"])
    return Dataset(**found)


def names() -> list[str]:
    """The names of all training sets, sorted."""
    return [name.removesuffix(".json") for name in meta.shared().names(FOLDER)]


def listed() -> list[Dataset]:
    """All training sets by name."""
    return [find(name) for name in names()]
