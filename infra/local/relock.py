"""Writes ``artifacts.lock.json`` anew after a version in :mod:`infra.local.artifacts` changed.

``python -m infra.local.relock``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from rich.console import Console

from infra.local import artifacts


def _unseen(_arrived_bytes: int) -> None:
    """Each file is printed when it is there; its bytes are not counted."""


def resolve(part: str, repository: Path, console: Console) -> list[dict[str, str | int]]:
    """Every file of the part, roots first, each fetched and measured."""
    from jgo.maven import Dependency

    maven = artifacts.context(repository, _unseen)
    found: dict[str, None] = {}
    for root, with_dependencies in artifacts.ROOTS[part]:
        found[root] = None
        if with_dependencies:
            group, name, version, extension, classifier = artifacts.split(root)
            own = Dependency(maven.project(group, name).at_version(version).artifact(classifier, extension))
            _, others = maven.resolver.resolve([own])
            for other in others:
                coordinate = f"{other.groupId}:{other.artifactId}:{other.version}:{other.type}"
                found[coordinate + (f":{other.classifier}" if other.classifier else "")] = None
    versions: dict[str, str] = {}
    entries: list[dict[str, str | int]] = []
    for coordinate in found:
        group, name, version, _, _ = artifacts.split(coordinate)
        if versions.setdefault(f"{group}:{name}", version) != version:
            raise SystemExit(f"two versions of {group}:{name}: {versions[f'{group}:{name}']} and {version}")
        path = artifacts.download(coordinate, repository, _unseen)
        entries.append(
            {"coordinate": coordinate, "sha256": artifacts.sha256_of(path), "size_bytes": path.stat().st_size}
        )
        console.print(coordinate)
    return entries


def main() -> None:
    """Resolve every part into an empty folder and write the lock."""
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="breakwater-relock-") as folder:
        lock = {part: resolve(part, Path(folder), console) for part in artifacts.ROOTS}
    artifacts.LOCK_FILE.write_text(json.dumps(lock, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
