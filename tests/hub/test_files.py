"""Files that can't be used are refused with what to do; nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.hubs import all_values, records
from vagus.errors import HubError, HubUnavailable
from vagus.hub import TopicConfig, TopicPartition, connect
from vagus.hub.local import LocalHub, storage

A0 = TopicPartition("a", 0)


as_nobody = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="gives up being root"
)


def take_id(path: str) -> None:
    """Make the file of a hub one of the first format, which had no id."""
    with closing(sqlite3.connect(path)) as older:
        older.execute("DROP TABLE hub")
        older.execute("PRAGMA user_version = 1")


def said_of_read_only(path: str, statement: str) -> str:
    """What is printed, or raised, by a statement about a hub whose file can only be read."""
    Path(path).chmod(0o444)
    for folder in Path(path).parents:
        if folder.stat().st_uid == os.geteuid() and folder.name:
            folder.chmod(folder.stat().st_mode | 0o055)
    script = (
        "import os, sys\n"
        "from vagus.errors import HubUnavailable\n"
        "from vagus.hub import connect, TopicConfig\n"
        "os.setuid(65534)\n"
        "try:\n"
        "    hub = connect(sys.argv[1])\n"
        f"    {statement}\n"
        "except HubUnavailable as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    return run.stdout


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "hub.db")


def test_an_unknown_kind_of_address_is_refused() -> None:
    with pytest.raises(HubError, match=r"vagus\.db"):
        connect("carrier-pigeon://roof")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(HubUnavailable, match="nowhere"):
        connect(str(tmp_path / "nowhere" / "hub.db"))


def test_a_file_of_another_kind_is_refused_and_left_alone(path: str) -> None:
    Path(path).write_bytes(b"a diary, not a database\n" * 100)
    with pytest.raises(HubUnavailable, match="another kind"):
        connect(path)
    assert Path(path).read_bytes() == b"a diary, not a database\n" * 100


def test_a_foreign_database_is_refused_and_left_alone(path: str) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE person (name)")
    foreign.close()
    before = Path(path).read_bytes()
    with pytest.raises(HubUnavailable, match="something else"):
        connect(path)
    assert Path(path).read_bytes() == before


def test_a_newer_format_is_refused(path: str) -> None:
    connect(path).close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {storage.SCHEMA_VERSION + 1}")
    newer.close()
    with pytest.raises(HubUnavailable, match="upgrade"):
        connect(path)


@as_nobody
def test_a_read_only_file_is_refused(path: str) -> None:
    with connect(path) as hub:
        hub.create_topic("a", TopicConfig())
    assert "permissions" in said_of_read_only(path, "hub.create_topic('b', TopicConfig())")


def test_a_hub_that_is_made_anew_has_another_id(path: str) -> None:
    with connect(path) as hub:
        known = hub.id
    for file in Path(path).parent.iterdir():
        file.unlink()
    with connect(path) as hub:
        assert hub.id != known


def test_a_file_without_an_id_is_given_one_and_keeps_its_events(path: str) -> None:
    with connect(path) as hub:
        hub.create_topic("a", TopicConfig())
        hub.append([(A0, records([b"x"]))])
    take_id(path)
    with connect(path) as hub:
        known = hub.id
        assert all_values(hub, [A0]) == {A0: [b"x"]}
    with connect(path) as hub:
        assert hub.id == known


def test_processes_that_open_a_file_without_an_id_at_once_see_one(path: str) -> None:
    connect(path).close()
    take_id(path)
    script = (
        "import sys\n"
        "from vagus.hub import connect\n"
        "sys.stdin.readline()\n"
        "print(connect(sys.argv[1]).id)\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    seen = {process.communicate("go\n")[0] for process in running}
    with connect(path) as hub:
        assert seen == {f"{hub.id}\n"}


@as_nobody
def test_a_file_without_an_id_that_is_read_only_can_be_read(path: str) -> None:
    with connect(path) as hub:
        hub.create_topic("a", TopicConfig())
    take_id(path)
    Path(path).parent.chmod(0o777)  # SQLite puts a file beside it
    said = said_of_read_only(path, "print(hub.topics()); print(hub.id)")
    assert "['a']" in said
    assert "open it once where it can be written" in said


def test_a_locked_file_is_reported_and_nothing_written(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LOCKED_TIMEOUT_S", 0.2)
    with connect(path) as hub:
        hub.create_topic("a", TopicConfig())
        locker = sqlite3.connect(path, isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        with pytest.raises(HubUnavailable, match="lock"):
            hub.append([(A0, records([b"x"]))])
        locker.execute("ROLLBACK")
        locker.close()
        hub.append([(A0, records([b"y"]))])
        assert all_values(hub, [A0]) == {A0: [b"y"]}


def test_a_full_disk_loses_nothing_acknowledged(path: str) -> None:
    acknowledged = []
    with connect(path) as hub:
        assert isinstance(hub, LocalHub)
        hub.create_topic("a", TopicConfig())
        pages = hub.storage.writer.execute("PRAGMA page_count").fetchone()[0]
        hub.storage.writer.execute(f"PRAGMA max_page_count = {pages + 40}")

        def fill() -> None:
            for number in range(100):
                value = b"%d" % number + b"." * 100_000
                hub.append([(A0, records([value]))])
                acknowledged.append(value)

        with pytest.raises(HubUnavailable, match="full disk"):
            fill()
        assert acknowledged
        assert all_values(hub, [A0]) == {A0: acknowledged}
        hub.storage.writer.execute(f"PRAGMA max_page_count = {pages + 400}")
        hub.append([(A0, records([b"room again"]))])
    with connect(path) as hub:
        assert all_values(hub, [A0]) == {A0: [*acknowledged, b"room again"]}


def test_a_hub_is_not_used_across_a_fork(path: str) -> None:
    script = (
        "import os, sys\n"
        "from vagus.errors import HubError\n"
        "from vagus.hub import connect, TopicConfig\n"
        "hub = connect(sys.argv[1])\n"
        "hub.create_topic('parent', TopicConfig())\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        hub.topics()\n"
        "    except HubError as error:\n"
        "        print(error, flush=True)\n"
        "    hub.close()\n"
        "    with connect(sys.argv[1]) as own:\n"
        "        own.create_topic('child', TopicConfig())\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(hub.topics())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    assert "connect again in the child process" in run.stdout
    assert "['child', 'parent']" in run.stdout


def test_many_processes_may_make_one_hub_at_once(path: str) -> None:
    script = (
        "import sys\n"
        "from vagus.hub import connect, TopicConfig\n"
        "sys.stdin.readline()\n"
        "connect(sys.argv[1]).create_topic(sys.argv[2], TopicConfig())\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, path, f"t{n}"], stdin=subprocess.PIPE, text=True
        )
        for n in range(4)
    ]
    for process in running:
        process.communicate("go\n")
    assert [process.returncode for process in running] == [0] * 4
    with connect(path) as hub:
        assert hub.topics() == ["t0", "t1", "t2", "t3"]


def test_a_hub_that_somebody_makes_between_two_looks_is_no_foreign_database(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = threading.Thread(target=lambda: LocalHub(path).close())

    class Interrupted(sqlite3.Connection):
        def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
            if statement == "PRAGMA user_version" and other.ident is None:
                other.start()
                other.join(0.5)  # it has to wait for us
            return super().execute(statement, *values)

    plain = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **named: plain(*given, **named, factory=Interrupted)
    )
    with LocalHub(path) as hub:
        assert hub.topics() == []
    other.join()


def test_a_hub_in_memory_starts_no_thread() -> None:
    script = (
        "import threading\n"
        "from vagus.hub import connect, TopicConfig\n"
        "hub = connect(':memory:')\n"
        "hub.create_topic('a', TopicConfig())\n"
        "hub.join('g', ['a']).read()\n"
        "print(threading.active_count())\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "1"


def test_an_interrupt_where_a_transaction_has_just_begun_leaves_none_open(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = TopicPartition("a", 0)
    with connect(path) as hub:
        hub.create_topic("a", TopicConfig())
        begin = storage.Storage._begin

        def interrupted(self: storage.Storage, connection: sqlite3.Connection) -> None:
            begin(self, connection)
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt

        monkeypatch.setattr(storage.Storage, "_begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hub.append([(place, records([b"lost"]))], acks="leader")
        monkeypatch.undo()
        hub.append([(place, records([b"kept"]))], acks="all")
        assert all_values(hub, [place]) == {place: [b"kept"]}
