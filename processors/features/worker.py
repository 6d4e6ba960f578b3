"""One complex: read, merge, step, publish, and after any failure recover the way a restart does.

What has been published is known from the markers alone. A recovery opens the transactional id anew (which fences
whoever had it), loads the newest checkpoint, reads the inputs from there and does again, silently, what the markers
since then say was done. So a commit of unknown outcome is never repeated or lost, and what an input that was set aside
brought late applies where it did before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import KafkaException

from common import topics
from common.config import EngineConfig
from common.errors import ConfigError, InvariantError, UnavailableError
from common.telemetry import get_logger
from processors.checkpoint import Checkpoint, code_version
from processors.engine.marked import Follower
from processors.engine.order import NO_PROMISE_NS, Merger
from processors.features import metrics
from processors.features.intake import Bounds, Intake
from processors.features.publication import Publication, StepRecord, marker_row
from processors.features.recovery import first_offsets, last_marker, markers_since, newest_checkpoint
from processors.features.silence import Silence
from processors.features.stepping import Engine, Limits, Step, Stepper
from processors.features.wire import INPUTS, Wire

log = get_logger("features.worker")

OBSERVE_INTERVAL_S = 1.0
"""How often lags are measured."""

_READ = (*INPUTS, topics.HEARTBEATS)


class Clients(Protocol):
    """Where a worker gets its clients: `common.kafka`, or a log in memory."""

    def transactional_producer(self, transactional_id: str, **overrides: Any) -> Any:
        """A producer that has not been opened yet."""
        ...

    def consumer(self, **overrides: Any) -> Any:
        """A consumer of committed records for manual assignment."""
        ...


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a worker works. Only ``source_timeout_s`` can change what is published, and the markers say when it did."""

    limits: Limits = field(default_factory=Limits)
    bounds: Bounds = field(default_factory=Bounds)
    checkpoint_interval_s: float = 5.0
    source_timeout_s: float = 2.0


class Worker:
    """The features worker of one complex. Not thread-safe.

    ``monotonic_s`` and ``wall_ns`` are clocks; they time silences, checkpoints, measurements and dead letters.
    """

    def __init__(
        self,
        *,
        complex_name: str,
        clients: Clients,
        wire: Wire,
        engine: Engine,
        config: EngineConfig,
        run_id: str,
        tuning: Tuning | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._complex = complex_name
        self._partition = topics.partition_of(complex_name)
        self._clients = clients
        self._wire = wire
        self._engine = engine
        self._config = config
        self._run_id = run_id
        self._tuning = tuning or Tuning()
        self._monotonic_s = monotonic_s
        self._wall_ns = wall_ns
        self._numbers = metrics.of_complex(complex_name)
        self._consumer: Any = None
        self._observe_due_s = 0.0
        self._recoveries = 0
        self._recovered = False
        self.committed_snap_ns = 0
        """Newest snap that is known to be published; 0 before the first."""

    @property
    def recovered(self) -> bool:
        """False until the first `recover`, and after a failure until the next."""
        return self._recovered

    @property
    def caught_up(self) -> bool:
        """True when everything published by earlier runs has been computed again."""
        return self._recovered and self._follower.done

    @property
    def at_end(self) -> bool:
        """True when every topic was read to its end and nothing that could be published is left."""
        return self._recovered and self._intake.at_end

    def recover(self) -> None:
        """Take the complex over and find the place to go on from.

        Raises UnavailableError, ConflictError, ConfigError when the namespace was made with another configuration, and
        InvariantError when it was made by a version whose markers do not tell enough.
        """
        self._recovered = False
        try:
            self._recover()
        except KafkaException as error:
            raise UnavailableError(
                f"{self._complex}: the log does not let the worker take over: {error.args[0].str()}",
                hint="Check that the broker runs (./breakwater status).",
            ) from error
        self._recovered = True
        if self._recoveries:
            self._numbers.recoveries.inc()
        self._recoveries += 1

    def _recover(self) -> None:
        transactional_id = topics.full_name(f"features-{self._complex}", self._wire.namespace)
        publication = Publication(
            self._clients.transactional_producer(transactional_id), self._wire, self._complex, self._run_id
        )
        publication.open()
        if self._consumer is None:
            self._consumer = self._clients.consumer(enable_partition_eof=True)
        marker = last_marker(self._consumer, self._wire, self._partition)
        self._check_config(marker)
        checkpoint = self._usable(newest_checkpoint(self._consumer, self._wire, self._partition, self._complex))
        start = first_offsets(self._consumer, self._wire, self._partition, _READ)
        if checkpoint is None:
            state = self._engine.initial_state()
            merger = Merger(INPUTS, start)
            if marker is not None and any(start[name] > 0 for name in INPUTS):
                log.warning("inputs_cut_by_retention", complex=self._complex, first_offsets=start)
        else:
            state = self._engine.restore(checkpoint.state)
            start = {**start, **checkpoint.next_offsets}
            merger = Merger(INPUTS, start, checkpoint.promises_ns, checkpoint.set_aside, checkpoint.until_ns)
        markers = markers_since(self._consumer, self._wire, self._partition, merger.floor_ns)
        self._published = self._marked_offsets(marker)
        self._publication = publication
        self._merger = merger
        self._follower = Follower(merger, markers)
        self._stepper = Stepper(self._engine, self._config, state, merger, self._tuning.limits)
        self._intake = Intake(
            consumer=self._consumer,
            wire=self._wire,
            partition=self._partition,
            merger=merger,
            start=start,
            files_open=() if checkpoint is None else checkpoint.files_open,
            published=dict(self._published),
            bounds=self._tuning.bounds,
        )
        self._generation = 0 if checkpoint is None else checkpoint.generation
        self._dirty = False
        self._checkpoint_due_s = self._monotonic_s() + self._tuning.checkpoint_interval_s
        self._silence = Silence(self._tuning.source_timeout_s, self._monotonic_s())
        self._aside: tuple[str, ...] = ()
        self._aside_marked = () if marker is None else tuple(marker["set_aside"])
        self._tell_aside()
        self.committed_snap_ns = 0 if marker is None else marker["ts_event_ns"]
        log.info(
            "recovered",
            complex=self._complex,
            committed_snap_ns=self.committed_snap_ns,
            checkpoint=None if checkpoint is None else checkpoint.generation,
            markers=len(markers),
            start=start,
        )

    def poll(self, timeout_s: float) -> bool:
        """Read once, then publish every step that became possible; True when anything was read or published.

        After a failure that passes (also a commit whose outcome is unknown) the worker is no longer `recovered`: call
        `recover`. Raises UnavailableError for it; ConflictError, InvariantError when it must stop.
        """
        try:
            read = self._intake.read(timeout_s, {*self._follower.waiting_for, *self._merger.holding_back})
            progressed = self._advance() if self._follower.done else self._follow()
        except KafkaException as error:
            self._recovered = False
            raise UnavailableError(
                f"{self._complex}: a step may not be committed: {error.args[0].str()}",
                hint="The worker recovers by itself as soon as the broker answers.",
            ) from error
        except UnavailableError:
            self._recovered = False
            raise
        self._observe(read)
        return read > 0 or progressed

    def close(self) -> None:
        """Leave a checkpoint, so that the next start is quick, and give up the consumer."""
        try:
            if self._recovered and self._follower.done and self._dirty:
                self._publish(None, write_checkpoint=True)
        except KafkaException as error:
            log.warning("last_checkpoint_not_written", complex=self._complex, error=error.args[0].str())
        finally:
            self._recovered = False
            if self._consumer is not None:
                self._consumer.close()

    def _follow(self) -> bool:
        """Do again what markers tell of, publishing nothing; True when anything could be done."""
        progressed = False
        began_s = self._monotonic_s()
        for step in self._stepper.follow(self._follower):
            began_s = self._count(step, began_s)
            progressed = True
        if not self._follower.done and self._intake.at_end:
            self._follower.finish()
        self._tell_aside()
        if self._follower.done:
            # No input is judged by the time that it took to come this far.
            self._silence = Silence(self._tuning.source_timeout_s, self._monotonic_s())
        return progressed

    def _advance(self) -> bool:
        progressed = False
        self._silence.heard(self._intake.heard, self._monotonic_s())
        began_s = self._monotonic_s()
        for step in self._stepper.steps():
            began_s = self._count(step, began_s)
            progressed = self._after(step) or progressed
        if not progressed and self._has_news():
            self._publish(None, write_checkpoint=self._checkpoint_due())
            progressed = True
        return self._put_aside() or progressed

    def _count(self, step: Step, began_s: float) -> float:
        now_s = self._monotonic_s()
        self._numbers.step_seconds.observe(now_s - began_s)
        self._numbers.events.inc(step.events)
        self._dirty = True
        return now_s

    def _after(self, step: Step) -> bool:
        self._tell_aside()
        # The markers must tell of every change and of every late record (processors.engine.marked).
        must_tell = step.aside > 0 or self._merger.set_aside != self._aside_marked
        if not (step.snap_times_ns or must_tell or self._has_news()):
            return False
        self._publish(step, write_checkpoint=self._checkpoint_due())
        return True

    def _put_aside(self) -> bool:
        """Stop waiting for inputs that keep the others waiting; True when there was one."""
        overdue = self._silence.overdue(self._merger, self._intake.files_open, self._monotonic_s())
        if not overdue or not self._intake.caught_up:
            return False
        for name in overdue:
            self._merger.put_aside(name)
        self._tell_aside()
        return True

    def _tell_aside(self) -> None:
        """Log and measure which inputs are aside, where that has changed."""
        before, self._aside = self._aside, self._merger.set_aside
        promises_ns = self._merger.promises_ns
        for name in INPUTS:
            self._numbers.aside(name).set(name in self._aside)
            if (name in before) != (name in self._aside):
                event = "input_put_aside" if name in self._aside else "input_returned"
                log.warning(event, complex=self._complex, topic=name, promised_ns=promises_ns[name])

    def _has_news(self) -> bool:
        return self._checkpoint_due() or self._intake.has_due_dead_letters

    def _checkpoint_due(self) -> bool:
        return self._dirty and self._monotonic_s() >= self._checkpoint_due_s

    def _publish(self, step: Step | None, *, write_checkpoint: bool) -> None:
        offsets, promises = self._intake.next_offsets, self._merger.promises_ns
        # A heartbeat is read again for as long as a record that it tells of is still held: told offsets never fall.
        covered = {name: max(offsets[name], self._published[name]) for name in _READ}
        marker = marker_row(
            step=step,
            floor_ns=self._merger.floor_ns,
            set_aside=self._merger.set_aside,
            complex_name=self._complex,
            inputs=[self._wire.topic(name) for name in _READ],
            next_offsets=[covered[name] for name in _READ],
            promises_ns=[promises.get(name, self._merger.until_ns) for name in _READ],
            last_snap_ns=self.committed_snap_ns,
            config_hash=self._config.hash,
            code_version=code_version(),
            run_id=self._run_id,
        )
        record = StepRecord(
            output=None if step is None else step.output,
            marker=marker,
            dead_letters=self._intake.take_dead_letters(),
            checkpoint=self._checkpoint(offsets, marker["ts_event_ns"]) if write_checkpoint else None,
        )
        began_s = self._monotonic_s()
        checkpoint_bytes = self._publication.publish(record, self._wall_ns())
        self.committed_snap_ns = marker["ts_event_ns"]
        self._aside_marked = self._merger.set_aside
        self._published.update(covered)
        if record.checkpoint is not None:
            self._generation = record.checkpoint.generation
            self._dirty = False
            self._checkpoint_due_s = self._monotonic_s() + self._tuning.checkpoint_interval_s
            self._numbers.checkpoint_bytes.set(checkpoint_bytes)
        self._numbers.commit_seconds.observe(self._monotonic_s() - began_s)
        self._numbers.rows.inc(marker["rows"])
        self._numbers.snaps.inc(marker["snaps"])
        self._numbers.dead_letters.inc(len(record.dead_letters))

    def _checkpoint(self, offsets: dict[str, int], last_snap_ns: int) -> Checkpoint:
        return Checkpoint(
            generation=self._generation + 1,
            config_hash=self._config.hash,
            code_version=code_version(),
            next_offsets=offsets,
            promises_ns=self._merger.resume_promises_ns,
            set_aside=self._merger.set_aside,
            files_open=tuple(sorted(self._intake.files_open)),
            until_ns=self._merger.floor_ns,
            last_snap_ns=last_snap_ns,
            state=self._stepper.state.to_bytes(),
        )

    def _marked_offsets(self, marker: dict[str, Any] | None) -> dict[str, int]:
        """Per topic (without the namespace) the offset up to which everything is published, also its dead letters."""
        if marker is None:
            return dict.fromkeys(_READ, 0)
        offsets = dict(zip(marker["input_topics"], marker["input_next_offsets"], strict=True))
        return {name: offsets.get(self._wire.topic(name), 0) for name in _READ}

    def _check_config(self, marker: dict[str, Any] | None) -> None:
        if marker is not None and marker["config_hash"] != self._config.hash:
            raise ConfigError(
                f"{self._wire.topic(topics.FEATURES)} was made with configuration {marker['config_hash']}, not with "
                f"{self._config.hash}",
                hint="Set the old configuration, or start in a new BREAKWATER_NAMESPACE or BREAKWATER_HOME.",
            )

    def _usable(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        if checkpoint is None:
            return None
        if (checkpoint.config_hash, checkpoint.code_version) != (self._config.hash, code_version()):
            log.warning("checkpoint_of_other_code", complex=self._complex, code_version=checkpoint.code_version)
            return None
        if not {*_READ} <= checkpoint.next_offsets.keys():
            raise InvariantError(f"checkpoint {checkpoint.generation} lacks inputs: {sorted(checkpoint.next_offsets)}")
        return checkpoint

    def _observe(self, read: int) -> None:
        self._numbers.records.inc(read)
        if self._monotonic_s() < self._observe_due_s:
            return
        self._observe_due_s = self._monotonic_s() + OBSERVE_INTERVAL_S
        for name, lag in self._intake.lag_records().items():
            self._numbers.lag(name).set(lag)
        newest_ns = max(self._merger.promises_ns.values())
        # Before the first promise of every input nothing is known to be behind anything.
        if self._merger.until_ns > NO_PROMISE_NS:
            self._numbers.lag_seconds.set(max(0, newest_ns - self._merger.until_ns) / 1e9)
