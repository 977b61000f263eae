"""The program in Java, built by Maven into the user's cache, once for each version of it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.kafka import jars

_SOURCE = Path(__file__).parent / "streams"


def classpath() -> str:
    """What `java -cp` wants. Raises jars.Missing, with how to get them, without Java and Maven."""
    jars.java()
    maven, compiler = shutil.which("mvn"), shutil.which("javac")
    if maven is None or compiler is None:
        raise jars.Missing("the program in Java needs Maven and a JDK: " + jars.INSTALL)
    content = [path.read_bytes() for path in sorted(_SOURCE.rglob("*")) if path.is_file()]
    mark = hashlib.sha256(b"\0".join(content)).hexdigest()[:12]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vagus"
    base.mkdir(parents=True, exist_ok=True)
    folder = base / f"kafka-streams-{mark}"
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _build(maven, part)
            part.rename(folder)
    return f"{folder}/classes:{folder}/lib/*"


def _build(maven: str, folder: Path) -> None:
    goals = ("compile", "dependency:copy-dependencies")
    places = (f"-Dfolder={folder}", f"-DoutputDirectory={folder}/lib")
    command = [maven, "-q", "-B", "-f", str(_SOURCE / "pom.xml"), *goals, *places]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"could not build the program:\n{done.stdout}{done.stderr}")
