"""Apache Kafka's jars: fetched by Maven once, kept in a cache, shared by every process of this user."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.errors import SandboxError
from streams.sandbox.brokers.kafka_config import NodePorts, server_properties
from streams.sandbox.cache import cache_root, locked

KAFKA_VERSION = "4.1.1"
_OLDEST_JAVA = 17
_RESOURCES = Path(__file__).with_name("kafka_resources")
_POM = _RESOURCES / "pom.xml"
_MAVEN_SECONDS = 600.0
_ARCHIVE_SECONDS = 60.0
#: C1 and the serial collector start fastest and take the least memory alongside the workers on a small machine.
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
#: For measurements: C2 makes a broker that has run for a minute twice as cheap, and ZGC pauses for 2 ms instead of 70.
LONG_RUN = ("-XX:+UseZGC",)


@dataclass(frozen=True, slots=True)
class KafkaDistribution:
    """A complete folder of Apache Kafka's jars, and the Java that runs them."""

    java: str
    directory: Path

    @property
    def class_archive(self) -> Path:
        """Kafka's classes as the JVM holds them in memory (class data sharing): a start need not parse them again."""
        return self.directory / "classes.jsa"

    def command(self, main: str, *arguments: str, flags: Sequence[str] = ()) -> list[str]:
        """The command line that runs the class ``main``; ``flags`` go to the JVM, and say how it compiles and collects."""
        return [
            self.java,
            *([f"-XX:SharedArchiveFile={self.class_archive}"] if self.class_archive.is_file() else []),
            *flags,
            f"-Dlog4j2.configurationFile={_RESOURCES / 'log4j2.xml'}",
            "-cp",
            f"{self.directory / 'libs'}/*",
            main,
            *arguments,
        ]


def cache_directory() -> Path:
    """Where the jars are kept: under ``$HEDGEROW_CACHE``, else ``~/.cache/hedgerow``; named by version and pom."""
    return cache_root() / f"kafka-{KAFKA_VERSION}-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:8]}"


def missing_tools() -> str | None:
    """Why Apache Kafka cannot run here, in one line that says what to install, or None when it can."""
    java = java_program()
    if java is None:
        return f"Apache Kafka needs Java {_OLDEST_JAVA} or newer: no java on PATH or under JAVA_HOME"
    version = _java_major(java)
    if version is None or version < _OLDEST_JAVA:
        return f"Apache Kafka needs Java {_OLDEST_JAVA} or newer: {java} is version {version or 'unknown'}"
    if not cache_directory().is_dir() and shutil.which("mvn") is None:
        return f"Apache Kafka's jars are not in {cache_directory()} and there is no Maven (mvn) on PATH to fetch them"
    return None


def kafka_distribution() -> KafkaDistribution:
    """The jars from the cache; the first call fetches them (about 55 MB) while others wait for it.

    Raises SandboxError when a tool is missing (`missing_tools`) and with Maven's last words when it fails. Blocks.
    """
    reason = missing_tools()
    java = java_program()
    if reason is not None or java is None:
        raise SandboxError(reason or "there is no java")
    final = cache_directory()
    if not final.is_dir():
        with locked(final.with_name(f"{final.name}.lock")):
            if not final.is_dir():
                _fetch(java, final)
    return KafkaDistribution(java, final)


def java_program() -> str | None:
    """The path of ``java``: under JAVA_HOME when that is set, else on PATH."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=f"{home}/bin" if home else None)


def java_major(version_text: str) -> int | None:
    """The major version in the output of ``java -version``: 17 for "17.0.15", 8 for "1.8.0_402", or None."""
    found = re.search(r'version "(?:1\.)?(\d+)', version_text)
    return int(found.group(1)) if found else None


@functools.cache
def _java_major(java: str) -> int | None:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return java_major(answer.stderr)


def _fetch(java: str, final: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=final.parent) as scratch:
        complete = Path(scratch, "kafka")
        command = [
            *("mvn", "--quiet", "--batch-mode", "--strict-checksums", "--file", str(_POM)),
            "dependency:copy-dependencies",
            f"-DoutputDirectory={complete / 'libs'}",
            "-DincludeScope=runtime",
        ]
        _run(command, "Maven could not fetch Apache Kafka's jars", _MAVEN_SECONDS, Path(scratch))
        complete.rename(final)  # atomic, so the folder with the final name is always complete
        _archive_classes(KafkaDistribution(java, final), Path(scratch))


def _archive_classes(kafka: KafkaDistribution, scratch: Path) -> None:
    # What formatting needs is most of what a node needs. The archive holds only for jars that stay where they are.
    archive = scratch / "classes.jsa"
    (scratch / "server.properties").write_text(server_properties(0, [NodePorts(9092, 9093, 9094)]), encoding="ascii")
    options = ["-t", "AAAAAAAAQACAAAAAAAAAAA", "-c", "server.properties", "--standalone"]
    command = kafka.command(
        "kafka.tools.StorageTool", "format", *options, flags=[*QUICK_START, f"-XX:ArchiveClassesAtExit={archive}"]
    )
    # A JVM that cannot do this starts a little slower, nothing else.
    with contextlib.suppress(SandboxError, FileNotFoundError):
        _run(command, "the JVM could not archive Kafka's classes", _ARCHIVE_SECONDS, scratch)
        archive.rename(kafka.class_archive)


def _run(command: Sequence[str], failure: str, seconds: float, cwd: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"{failure} within {seconds:.0f} s") from error
    if done.returncode != 0:
        last_lines = done.stdout.decode(errors="replace").splitlines()[-12:]
        raise SandboxError("\n".join([f"{failure} (exit status {done.returncode}):", *last_lines]))
