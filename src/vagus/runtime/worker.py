"""The worker: one loop that takes a batch, computes, and commits.

This is the only place where data moves. Each turn reads the partitions that this member of the
application's group owns and takes what can be processed through the tasks. Positions, outputs,
state changes and dead letters are committed in one transaction, after each turn, or after several
where a commit is expensive and nobody waits for it. If anything fails before the commit is done,
nothing since the last one has happened, and a new worker starts from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from vagus.errors import DeclarationError, EncodeError, HubError, VagusError
from vagus.hub import Records, TopicPartition
from vagus.hub.garbage import uncollected
from vagus.hub.personkeys import PersonKeys
from vagus.runtime.batch import Batch, Origins, Retry, Stopped
from vagus.runtime.deadletters import VIEW_STEP, dead_letter_topic, to_records
from vagus.runtime.frame import SEQ
from vagus.runtime.intake import Intake, Rank, Replay, TaskInput, by_time
from vagus.runtime.metrics import Metrics
from vagus.runtime.pending import LocatedAnswer, Pending, Turn
from vagus.runtime.provision import provision
from vagus.runtime.replica import Progress, Replica, no_progress, restore
from vagus.runtime.spans import Spans
from vagus.runtime.store import Store
from vagus.runtime.task import Outputs, Task
from vagus.runtime.topic import TopicCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from vagus.events import Registry
    from vagus.hub import FetchedRecords, Hub, Member
    from vagus.runtime.topic import Topic
    from vagus.runtime.topology import SubTopology, Topology

log = logging.getLogger("vagus")

CommitPoint = Literal["read", "processed", "written", "committed"]
"""The points of a turn between which a crash can fall."""

_READ_RECORDS = 131_072
_READ_BYTES = 16 << 20
_TRIM_S = 10.0  # how often repartition topics are rid of what was processed
_BUFFERED_RECORDS = 4 * _READ_RECORDS  # of one partition, while another one lags behind


@dataclass(frozen=True, slots=True)
class Policy:
    """What a worker does when an event can't be processed, when it commits, and its session.

    A commit comes when `commit_interval_s` has passed since the last one (None for what suits the
    hub) or `commit_bytes` of outputs are waiting, and at once if somebody waits for it.
    """

    on_error: Literal["dead-letter", "stop"] = "dead-letter"
    retry: Retry = field(default_factory=Retry)
    session_timeout_s: float = 45.0
    commit_interval_s: float | None = None
    commit_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Seams:
    """Where a worker meets the world: time, order, and who is told what.

    `at` is called at each point of a turn; tests put crashes there.
    """

    progress: Progress = no_progress
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    rank: Rank = by_time
    at: Callable[[CommitPoint], None] = lambda point: None


@dataclass(slots=True)
class _Running:
    task: Task
    intake: Intake
    last_input_s: float
    idle_told: bool = False


class Worker:
    """A member of an application's consumer group, with its tasks."""

    def __init__(
        self,
        app: str,
        topology: Topology,
        hub: Hub,
        registry: Registry,
        *,
        policy: Policy | None = None,
        metrics: Metrics | None = None,
        seams: Seams | None = None,
    ) -> None:
        self.app = app
        self.metrics = metrics or Metrics()
        self._hub, self._registry = hub, registry
        self._policy = policy or Policy()
        self._seams = seams or Seams()
        if not topology.sources():
            raise DeclarationError(
                "expected something to do, got topics from which nothing follows",
                where=app,
                hint="write a stream with .to(...), keep a table with .to_table(...), or have a "
                "function called with app.on(...)",
            )
        self._subs = [sub for sub in topology.subtopologies() if sub.sources]
        self._counts = provision(hub, app, topology)
        self._codecs: dict[str, TopicCodec] = {}
        self._topics: dict[str, Topic] = topology.topics()
        for name, topic in self._topics.items():
            if not topic.follows_inputs:
                self._codec(name).announce()
        self._running: dict[tuple[int, int], _Running] = {}
        self._pending: Pending | None = None
        self._located: dict[TopicPartition, int] = {}  # outputs since the last commit
        wanted_s = self._policy.commit_interval_s
        self._interval_s = hub.commit_interval_s if wanted_s is None else wanted_s
        self._async: asyncio.Runner | None = None
        self._replicas = {
            name: Replica(hub, topic, registry, metrics=self.metrics, progress=self._seams.progress)
            for name, topic in topology.broadcasts().items()
        }
        self._paused: set[TopicPartition] = set()
        self._stopping = False
        self._processed: dict[TopicPartition, int] = {}  # positions in repartition topics
        self._trimmed_s = self._seams.clock()
        self._member: Member = hub.join(
            app,
            [source.topic.name for source in topology.sources()],
            on_assigned=self._assigned,
            on_revoked=self._revoked,
            session_timeout_s=self._policy.session_timeout_s,
            client_id=app,
        )

    # The loop

    def run(self) -> None:
        """Work until `stop`. Raises what stopped it otherwise."""
        try:
            while not self._stopping:
                self.turn(wait_s=self._patience())
            self.commit()
        finally:
            self.close()

    def stop(self) -> None:
        """Finish the turn at hand and commit. May be called by any thread."""
        self._stopping = True
        self._member.wakeup()

    def close(self) -> None:
        """Leave the group. What is not committed is forgotten."""
        if self._pending is not None:
            self._pending.transaction.abort()
            self._pending = None
        self._member.close()
        for replica in self._replicas.values():
            replica.close()
        if self._async is not None:
            self._async.close()
            self._async = None
        self._running.clear()

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this worker owns."""
        return self._member.assignment

    def turn(self, *, wait_s: float = 0.0) -> bool:
        """Take a batch, compute, commit if it is time; whether there was anything to do."""
        reads = self._member.read(max_records=_READ_RECORDS, max_bytes=_READ_BYTES, wait_s=wait_s)
        self._seams.at("read")
        for replica in self._replicas.values():
            replica.refresh()
        with uncollected(sum(map(len, reads))):
            busy = self._work(reads)
        return busy or bool(reads)

    def _work(self, reads: list[FetchedRecords]) -> bool:
        """The turn for what was read; whether there was anything to process."""
        for read in reads:
            self._take_in(read)
        ends, positions = self._member.ends(), self._member.positions()
        behind = {tp for tp, at in positions.items() if at < ends.get(tp, at)}
        turn = Turn()
        for running in list(self._running.values()):
            given = running.intake.take(behind)
            if given is not None:
                self._process(running, given, turn)
            self._call_due(running, turn, behind)
            turn.positions |= running.intake.passed(positions)
        if turn.busy or turn.positions:
            self._write_out(turn)
        if self._is_due():
            self.commit()
        self._throttle()
        return turn.busy

    def _take_in(self, read: FetchedRecords) -> None:
        for running in self._running.values():
            if read.partition in running.task.inputs:
                running.intake.add(read, self._codec(read.partition.topic).decode(read))

    def _process(self, running: _Running, given: TaskInput, turn: Turn) -> None:
        turn.busy = True
        running.last_input_s, running.idle_told = self._seams.clock(), False
        turn.positions.update(given.positions)
        turn.dead += [(failure, failure.origin) for failure in given.failures if failure.origin]
        task = running.task
        for topic, frame in given.frames.items():
            turn.metrics.add("records_in", topic, frame.height)
        if given.count:
            batch = self._batch(task, given.origins, turn)
            self._write(task, task.process(given.frames, batch), batch, turn)
        for replay in given.replays:
            self._replay(task, replay, turn)
        self._log_changes(task, turn)

    def _replay(self, task: Task, replay: Replay, turn: Turn) -> None:
        if replay.step.startswith(VIEW_STEP):  # the view reads it itself
            return
        batch = self._batch(task, replay.origins, turn)
        batch.replay = True
        try:
            nodes = task.replay_path(replay.step)
        except VagusError as error:
            batch.fail(0, replay.step, error)
            turn.dead += [(failure, batch.origins[0]) for failure in batch.failures]
            return
        self._write(task, task.process({replay.topic: replay.frame}, batch, nodes), batch, turn)

    def _call_due(self, running: _Running, turn: Turn, behind: Collection[TopicPartition]) -> None:
        """Do what is due by the clock: close windows of silent inputs, fire timers."""
        task, now_s = running.task, self._seams.clock()
        silent_s = now_s - running.last_input_s
        silent = (
            task.idle_s is not None
            and silent_s >= task.idle_s
            and not running.idle_told
            and not any(tp in behind for tp in task.inputs)
        )
        if not silent and not task.is_due(int(now_s * 1000)):
            return
        batch = self._batch(task, Origins(), turn)
        if silent:
            running.idle_told = True
            batch.idle_s = silent_s
        batch.due = True
        outputs = task.process({}, batch)
        self._write(task, outputs, batch, turn)
        self._log_changes(task, turn)
        turn.busy = turn.busy or bool(turn.outputs)

    def _batch(self, task: Task, origins: Origins, turn: Turn) -> Batch:
        return Batch(
            origins=origins,
            partition=task.partition,
            partitions=self._counts[task.inputs[0].topic],
            metrics=turn.metrics,
            broadcast={name: replica.store for name, replica in self._replicas.items()},
            retry=self._policy.retry,
            sleep=self._seams.sleep,
            run_async=self._run_async,
            now_ms=int(self._seams.clock() * 1000),
            in_doubt=self._hub.in_doubt,
            keys=PersonKeys.of(self._hub).session(),
            spans=Spans(self.app, origins),
        )

    def _run_async(self, coroutine: Any) -> Any:
        if self._async is None:
            self._async = asyncio.Runner()
        return self._async.run(coroutine)

    # Outputs

    def _write(self, task: Task, outputs: Outputs, batch: Batch, turn: Turn) -> None:
        located = {
            TopicPartition(answer.topic, task.partition): self._located.get(
                TopicPartition(answer.topic, task.partition), 0
            )
            for answer in batch.answers
        }
        for sink, frame in outputs:
            topic = sink.topic
            if not topic.follows_inputs:
                turn.metrics.add("records_out", topic.name, frame.height)
            for number, records, seqs in self._encode(sink.name, topic, task, frame, batch):
                if batch.origins.has_headers or batch.said:
                    records = batch.headed(records, seqs, same_event=topic.follows_inputs)
                partition = TopicPartition(topic.name, number)
                turn.write(partition, records, located=partition in located)
                if partition in located:
                    self._located[partition] = self._located.get(partition, 0) + len(records)
        for answer in batch.answers:
            partition = TopicPartition(answer.topic, task.partition)
            start = located[partition]
            count = self._located.get(partition, 0) - start
            turn.answers.append(LocatedAnswer(answer, partition, start, count))
        turn.urgent = turn.urgent or batch.urgent
        for failure in batch.failures:
            turn.dead.append((failure, batch.origins[failure.seq]))
        if batch.spans is not None:
            batch.spans.end(batch.failures)

    def _encode(
        self, step: str, topic: Topic, task: Task, frame: pl.DataFrame, batch: Batch
    ) -> list[tuple[int, Records, NDArray[Any]]]:
        codec, count = self._codec(topic.name), self._counts[topic.name]
        try:
            pieces = codec.encode(frame, count, unkeyed_partition=task.partition)
        except EncodeError as error:
            wrong = pl.Series(error.rows, dtype=pl.Int64)
            for seq in frame[SEQ].gather(wrong).unique().to_list():
                batch.fail(seq, step, error)
            rest = frame.with_row_index("_at").filter(~pl.col("_at").is_in(wrong.implode()))
            return self._encode(step, topic, task, rest.drop("_at"), batch)
        seqs = frame[SEQ].to_numpy()
        return [(number, records, seqs[rows]) for number, records, rows in pieces]

    def _log_changes(self, task: Task, turn: Turn) -> None:
        for spec, rows in task.changes():
            records = self._codec(spec.topic.name).records(rows)
            turn.write(TopicPartition(spec.topic.name, task.partition), records)

    def _write_out(self, turn: Turn) -> None:
        """Add what a turn did to what waits for the commit."""
        self._seams.at("processed")
        if turn.dead and self._policy.on_error == "stop":
            failure, origin = turn.dead[0]
            raise Stopped(
                f"step {failure.step!r} failed: {failure.error}",
                where=f"{origin.topic}, partition {origin.partition}, offset {origin.offset}",
                hint='mend the step, or let such events go to the dead letters (on_error="dead-'
                'letter")',
            )
        if turn.dead:
            letters = TopicPartition(dead_letter_topic(self.app), 0)
            turn.write(letters, to_records(turn.dead))
            for failure, _ in turn.dead:
                turn.metrics.add("dead_letters", failure.step)
                log.warning("step %s: %s (now a dead letter)", failure.step, failure.error)
        if self._pending is None:
            self._pending = Pending(self._member.begin(), self._seams.clock())
        pending = self._pending
        for located in (True, False):
            batches = [
                (partition, Records.concat(parts))
                for (partition, known), parts in turn.outputs.items()
                if known is located
            ]
            if batches:
                pending.transaction.append(batches, located=located)
                pending.nbytes += sum(records.nbytes for _, records in batches)
        pending.positions.update(turn.positions)
        pending.metrics.merge(turn.metrics)
        pending.answers += turn.answers
        pending.urgent = pending.urgent or turn.urgent
        self._seams.at("written")

    def _is_due(self) -> bool:
        """Whether what waits is to be committed now."""
        pending = self._pending
        return pending is not None and (
            pending.urgent
            or pending.nbytes >= self._policy.commit_bytes
            or self._seams.clock() - pending.since_s >= self._interval_s
        )

    def commit(self) -> None:
        """Make what waits for it happen, in one step."""
        pending = self._pending
        if pending is None:
            return
        pending.transaction.commit(
            pending.positions, then=pending.answer if pending.answers else None
        )
        self._pending = None
        pending.done()
        self._located.clear()
        self._trim(pending.positions)
        pending.metrics.add("commits", self.app)
        self.metrics.merge(pending.metrics)
        self._seams.at("committed")

    def _trim(self, committed: dict[TopicPartition, int]) -> None:
        """Give up what was processed of the application's own repartition topics, at times."""
        own = {tp: at for tp, at in committed.items() if self._topics[tp.topic].follows_inputs}
        self._processed.update(own)
        now = self._seams.clock()
        if self._processed and now - self._trimmed_s >= _TRIM_S:
            self._trimmed_s = now
            try:
                self._hub.trim(self._processed)
            except HubError as error:  # a new leader may not know yet what is committed
                log.warning("repartition topics are trimmed later: %s", error)
            else:
                self._processed = {}

    # Partitions

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        committed = self._hub.committed(self.app, partitions)
        owned = self._member.assignment | set(partitions)
        for sub in self._subs:
            numbers = {tp.partition for tp in owned if tp.topic == sub.sources[0].topic.name}
            for number in sorted(numbers):
                inputs = {TopicPartition(source.topic.name, number) for source in sub.sources}
                if (sub.number, number) not in self._running and inputs <= owned:
                    self._start(sub, number, committed)

    def _start(self, sub: SubTopology, number: int, at: dict[TopicPartition, int]) -> None:
        stores: dict[str, Store] = {}
        for step in sub.steps:
            for spec in step.stores:
                partition = TopicPartition(spec.topic.name, number)
                if spec.logged:
                    ends = self._hub.offsets([partition], "latest")
                else:  # the task reads this topic itself, and goes on from its position
                    ends = self._hub.committed(self.app, [partition])
                store = stores[spec.name] = Store.for_topic(spec.topic)
                restore(self._hub, store, self._codec(spec.topic.name), ends, self._seams.progress)
        task = Task(sub, number, stores)
        intake = Intake(self.app, task.inputs, self._seams.rank, committed=at)
        self._running[sub.number, number] = _Running(task, intake, self._seams.clock())

    def _revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.commit()
        gone = set(partitions)
        self._paused -= gone
        for at, running in list(self._running.items()):
            if gone & set(running.task.inputs):
                del self._running[at]

    def _throttle(self) -> None:
        """Stop reading partitions that run far ahead of others of their task."""
        full = {
            tp
            for running in self._running.values()
            for tp in running.task.inputs
            if running.intake.pending(tp) > _BUFFERED_RECORDS
        }
        if full != self._paused:
            self._member.resume(self._paused - full)
            self._member.pause(full - self._paused)
            self._paused = full

    def _patience(self) -> float:
        """How long a read may wait: until the next thing that is due though nothing comes."""
        now_s = self._seams.clock()
        due = [
            running.last_input_s + running.task.idle_s - now_s
            for running in self._running.values()
            if running.task.idle_s is not None and not running.idle_told
        ]
        due += [
            running.task.due_ms / 1000 - now_s
            for running in self._running.values()
            if running.task.due_ms is not None
        ]
        if self._pending is not None:
            due.append(self._pending.since_s + self._interval_s - now_s)
        return max(0.0, min([1.0, *due]))

    def _codec(self, topic: str) -> TopicCodec:
        if topic not in self._codecs:
            self._codecs[topic] = TopicCodec(self._topics[topic], self._registry)
        return self._codecs[topic]
