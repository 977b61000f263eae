"""Java programs of others: fetched once by Maven, as a `pom.xml` lists them, and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

BROKER = Path(__file__).parent / "pom.xml"
JAVA_MIN = 17
INSTALL = "apt-get install openjdk-17-jdk-headless maven (on macOS: brew install openjdk@17 maven)"


class Missing(Exception):
    """Something that real brokers need isn't on this machine."""


def fetch(pom: Path = BROKER) -> Path:
    """A folder with the jars that `pom` lists. Processes that want the same ones wait.

    Raises Missing, with how to get them, without Java or Maven.
    """
    java()
    content = pom.read_bytes()
    folder = _cache() / f"{pom.parent.name}-{hashlib.sha256(content).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _maven("-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={part}")
            part.rename(folder)
    return folder


def classpath(pom: Path = BROKER) -> str:
    """What `java -cp` wants, for the jars that `pom` lists."""
    return f"{fetch(pom)}/*"


@cache
def java() -> str:
    """The path of a Java that is new enough. Raises Missing."""
    found = shutil.which("java")
    if found is None:
        raise Missing(f"Kafka needs Java {JAVA_MIN} and Maven, there is no java: {INSTALL}")
    told = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', told.stderr)
    if version is None or int(version[1]) < JAVA_MIN:
        what = told.stderr.strip().splitlines()[0] if told.stderr.strip() else "says nothing"
        raise Missing(f"Kafka needs Java {JAVA_MIN} or newer, {found} is {what}: {INSTALL}")
    return found


def _maven(*arguments: str) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing(f"Kafka needs Java {JAVA_MIN} and Maven, there is no mvn: {INSTALL}")
    done = subprocess.run(
        [maven, "-q", "-B", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise Missing(
            f"Maven could not fetch {arguments[1]}: {(done.stdout + done.stderr)[-2000:]}"
        )


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vagus"
