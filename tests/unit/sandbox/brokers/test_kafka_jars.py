from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from streams.errors import SandboxError
from streams.sandbox.brokers import kafka_jars
from streams.sandbox.brokers.kafka_jars import (
    KAFKA_VERSION,
    cache_directory,
    java_major,
    kafka_distribution,
    missing_tools,
)

JAVA_17 = """echo 'openjdk version "17.0.15" 2025-04-15' >&2"""
# Counts its calls, then leaves one jar where it was told to, slowly enough for a second process to arrive meanwhile.
MAVEN = """
echo call >> "$CALLS"
for argument; do case "$argument" in -DoutputDirectory=*) libs="${argument#*=}";; esac; done
mkdir -p "$libs"; touch "$libs/half"; sleep 0.3; mv "$libs/half" "$libs/kafka.jar"
"""


class Machine:
    """A machine with only the tools that a test gives it; the real ones are out of sight."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.cache = directory / "cache"
        self.calls = directory / "calls"
        self._bin = directory / "bin"
        self._bin.mkdir()
        for tool in ("sh", "mkdir", "touch", "sleep", "mv"):
            found = shutil.which(tool)
            assert found is not None
            (self._bin / tool).symlink_to(found)
        monkeypatch.setenv("PATH", str(self._bin))
        monkeypatch.setenv("HEDGEROW_CACHE", str(self.cache))
        monkeypatch.setenv("CALLS", str(self.calls))
        monkeypatch.delenv("JAVA_HOME", raising=False)

    def install(self, name: str, body: str) -> Path:
        program = self._bin / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        return program

    def times_maven_ran(self) -> int:
        return len(self.calls.read_text().split()) if self.calls.exists() else 0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx=1\nopenjdk version "25-ea"', 25),
        ("command not found", None),
    ],
)
def test_the_major_version_of_java(text: str, major: int | None) -> None:
    assert java_major(text) == major


def test_no_java_is_a_reason(machine: Machine) -> None:
    assert "no java on PATH" in (missing_tools() or "")


def test_an_old_java_is_a_reason(machine: Machine) -> None:
    machine.install("java", """echo 'java version "1.8.0_402"' >&2""")
    assert "is version 8" in (missing_tools() or "")


def test_a_java_that_does_not_run_is_a_reason(machine: Machine) -> None:
    machine.install("java", "exit 1")
    assert "version unknown" in (missing_tools() or "")


def test_no_maven_and_no_jars_is_a_reason(machine: Machine) -> None:
    machine.install("java", JAVA_17)
    assert "no Maven" in (missing_tools() or "")
    with pytest.raises(SandboxError, match="no Maven"):
        kafka_distribution()


def test_java_home_comes_before_the_path(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.install("java", """echo 'java version "1.8.0_402"' >&2""")
    home = machine.directory / "jdk"
    home.mkdir()
    (home / "bin").symlink_to(machine.install("java-17", JAVA_17).parent)
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert kafka_jars.java_program() == str(home / "bin" / "java")


def test_the_jars_are_fetched_once(machine: Machine) -> None:
    machine.install("java", JAVA_17)
    machine.install("mvn", MAVEN)
    assert missing_tools() is None
    first = kafka_distribution()
    assert [jar.name for jar in (first.directory / "libs").iterdir()] == ["kafka.jar"]
    assert kafka_distribution() == first
    assert machine.times_maven_ran() == 1


def test_jars_in_the_cache_need_no_maven(machine: Machine) -> None:
    machine.install("java", JAVA_17)
    cache_directory().mkdir(parents=True)
    assert missing_tools() is None
    assert kafka_distribution().directory == cache_directory()


def test_two_processes_at_once_fetch_once(machine: Machine) -> None:
    machine.install("java", JAVA_17)
    machine.install("mvn", MAVEN)
    program = (
        "from streams.sandbox.brokers.kafka_jars import kafka_distribution;"
        "print(*[jar.name for jar in (kafka_distribution().directory / 'libs').iterdir()])"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in processes] == ["kafka.jar\n"] * 3
    assert machine.times_maven_ran() == 1


def test_a_failing_maven_is_quoted_and_leaves_nothing(machine: Machine) -> None:
    machine.install("java", JAVA_17)
    machine.install("mvn", "echo '[ERROR] Could not transfer artifact'; exit 1")
    with pytest.raises(SandboxError, match=r"exit status 1\)(?s:.*)Could not transfer artifact"):
        kafka_distribution()
    assert [each.name for each in machine.cache.iterdir()] == [f"{cache_directory().name}.lock"]


def test_a_maven_that_hangs_has_an_end(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.install("java", JAVA_17)
    machine.install("mvn", "exec sleep 600")
    monkeypatch.setattr(kafka_jars, "_MAVEN_SECONDS", 0.2)
    with pytest.raises(SandboxError, match=r"Maven could not fetch .* within"):
        kafka_distribution()
    assert not cache_directory().exists()


def test_the_archive_of_classes_is_used_once_java_has_made_it(machine: Machine) -> None:
    archives = 'for each; do case "$each" in -XX:ArchiveClassesAtExit=*) touch "${each#*=}";; esac; done'
    machine.install("java", f"{archives}; {JAVA_17}")
    machine.install("mvn", MAVEN)
    kafka = kafka_distribution()
    assert kafka.class_archive.is_file()
    assert f"-XX:SharedArchiveFile={kafka.class_archive}" in kafka.command("kafka.Kafka")


def test_the_class_path_is_one_argument(machine: Machine) -> None:
    machine.install("java", JAVA_17)
    cache_directory().mkdir(parents=True)
    command = kafka_distribution().command("kafka.Kafka", "server.properties", flags=["-Xmx1g"])
    assert command[command.index("-cp") + 1] == f"{cache_directory()}/libs/*"
    assert command[-2:] == ["kafka.Kafka", "server.properties"]
    assert "-Xmx1g" in command[: command.index("-cp")]
    assert not any("SharedArchiveFile" in part for part in command), "there is no archive yet"


def test_the_pom_asks_for_the_version_that_names_the_cache() -> None:
    pom = ElementTree.parse(Path(kafka_jars.__file__).with_name("kafka_resources") / "pom.xml")
    version = pom.find("m:properties/m:kafka.version", {"m": "http://maven.apache.org/POM/4.0.0"})
    assert version is not None
    assert version.text == KAFKA_VERSION
    assert cache_directory().name.startswith(f"kafka-{KAFKA_VERSION}-")
