"""CPU time per stage: functions at the seams of a path are watched, and what one calls counts for the called one."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch


class Seam(NamedTuple):
    """``owner.name`` is a function (or a class's method) whose time counts for ``stage``."""

    owner: Any
    name: str
    stage: str


class Stopwatch:
    """Seconds of CPU time of this process, per stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What runs within counts for the stage, but for stages within it."""
        began = time.process_time()
        self._inner.append(0.0)
        try:
            yield
        finally:
            whole = time.process_time() - began
            self.seconds[name] += whole - self._inner.pop()
            if self._inner:
                self._inner[-1] += whole

    def watched(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with its time counted."""

        def run(*arguments: Any, **named: Any) -> Any:
            with self.stage(stage):
                return function(*arguments, **named)

        return run


@contextmanager
def watching(seams: Sequence[Seam]) -> Iterator[Stopwatch]:
    """Watch the seams while the block runs."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for owner, name, stage in seams:
            stack.enter_context(patch.object(owner, name, watch.watched(stage, getattr(owner, name))))
        yield watch
