"""The Java program beside this file, compiled and run."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.kafka import jars

SOURCE = Path(__file__).with_name("Wire.java")


class Java:
    """Runs the program. Raises jars.Missing without Java or Maven."""

    def __init__(self, folder: Path) -> None:
        self._java = jars.java()
        jarred = jars.classpath(SOURCE.with_name("pom.xml"))
        compiler = Path(self._java).resolve().with_name("javac")
        if not compiler.exists():
            raise jars.Missing(f"these tests need Java's compiler: {jars.INSTALL}")
        subprocess.run([compiler, "-cp", jarred, "-d", folder, SOURCE], check=True)
        self._path = f"{folder}:{jarred}"

    def __call__(self, *words: str, lines: list[str] | None = None) -> list[str]:
        """What it prints, when it is given these words and lines."""
        done = subprocess.run(
            [self._java, "-Xmx256m", "-cp", self._path, "Wire", *words],
            input="".join(line + "\n" for line in lines or []),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()
