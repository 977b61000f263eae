"""One round: a job done by each of the three programs, and the outputs compared."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient

import vagus as vg
from benchmarks import workload
from benchmarks.kafka.compare import difference
from benchmarks.kafka.jobs import TABLE, Job, Run, events_topic
from benchmarks.kafka.watched import Usage, Watched
from tests.kafka import jars
from vagus.hub import TopicConfig, TopicPartition, connect
from vagus.hub.schemas import HubRegistry

_HEAP_MB = 512
_COMMIT_MS = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each program took."""

    vagus: Usage
    kafka_streams: Usage
    bare_client: Usage


class Bench:
    """A broker with events on it."""

    def __init__(self, bootstrap: str, classpath: str, folder: Path, events: int) -> None:
        self._bootstrap, self._classpath, self._folder = bootstrap, classpath, folder
        self._events = events
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._hub = connect(f"kafka://{bootstrap}")
        self._registry = HubRegistry(self._hub)
        self._patience_s = 60 + events / 5_000

    def fill(self, partitions: int = 1) -> None:
        """Write the events and the table's rows."""
        app = vg.App("fill")
        topic = app.topic(
            events_topic(partitions),
            workload.BusPosition,
            key="bus_id",
            time="at",
            partitions=partitions,
        )
        table = app.table(TABLE, workload.Driver, key="driver_id")
        with vg.Client(app, self._hub) as client:
            client.send(table, workload.drivers_frame())
            for piece in workload.pieces(self._events):
                client.send(topic, workload.positions_frame(*piece), acks="leader")

    def round(self, job: Job, number: int) -> Outcome:
        """Have the job done by all, one after another."""
        run = Run(job, number)
        before = set(self._hub.topics())
        bare = self._bare_client(run)
        vagus = self._vagus(run)
        streams = self._kafka_streams(run)
        found = difference(self._hub, self._registry, job, run.output, self._theirs(run))
        if found is not None:
            raise SystemExit(f"kafka.{job.name}: the result differs from Kafka Streams': {found}")
        for topic in set(self._hub.topics()) - before:
            self._hub.delete_topic(topic)
        return Outcome(vagus, streams, bare)

    def _vagus(self, run: Run) -> Usage:
        module = ["-m", "benchmarks.kafka.worker", f"kafka://{self._bootstrap}"]
        command = [sys.executable, *module, run.job.name, str(run.number), str(run.partitions)]
        return self._drain(command, run.name)

    def _bare_client(self, run: Run) -> Usage:
        target = f"{run.name}-bare"
        self._hub.create_topic(target, TopicConfig())
        module = ["-m", "benchmarks.kafka.bare", self._bootstrap]
        command = [sys.executable, *module, events_topic(1), target, str(run.job.every)]
        usage = self._drain(command, target)
        end = self._hub.offsets([TopicPartition(target, 0)], "latest")[TopicPartition(target, 0)]
        if end < self._events // run.job.every:
            raise SystemExit(f"expected {self._events // run.job.every} events, found {end}")
        return usage

    def _kafka_streams(self, run: Run) -> Usage:
        topic, name = self._theirs(run), f"{run.name}-streams"
        self._hub.create_topic(topic, TopicConfig())
        types = {"events": run.app().topology.topics()[events_topic(1)], "output": run.output}
        if run.job.name == "join":
            types["table"] = run.app().topology.topics()[TABLE]
        settings = {
            "application.id": name,
            "bootstrap.servers": self._bootstrap,
            "state.dir": str(self._folder / name),
            "commit.interval.ms": str(_COMMIT_MS),
            "bench.job": run.job.name,
            "bench.events.topic": events_topic(1),
            "bench.table.topic": TABLE,
            "bench.output.topic": topic,
        }
        for what, typed in types.items():
            schema = typed.schemas[0].json
            settings[f"bench.{what}.schema"] = schema
            schema_id = self._registry.register(f"{typed.name}-value", schema)
            settings[f"bench.{what}.id"] = str(schema_id)
        file = self._folder / f"{name}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        options = [f"-Xmx{_HEAP_MB}m", "-cp", self._classpath]
        return self._drain([jars.java(), *options, "bench.Jobs", str(file)], name)

    def _drain(self, command: list[str], group: str) -> Usage:
        ends = {Place(events_topic(1), 0): self._events}
        with Watched(command, self._folder / f"{group}.log") as watched:
            return watched.drain(self._admin, group, ends, self._patience_s)

    @staticmethod
    def _theirs(run: Run) -> str:
        return f"{run.name}-streams-output"
