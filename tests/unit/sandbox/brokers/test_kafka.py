from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import SandboxError
from streams.sandbox.brokers.kafka import LocalKafka
from tests.support.brokers import require_kafka


@pytest.mark.parametrize("nodes", [0, 2, 4])
def test_only_one_or_three_nodes(nodes: int) -> None:
    with pytest.raises(SandboxError, match=f"1 or 3 nodes, not {nodes}"):
        LocalKafka(nodes)


async def test_nothing_can_be_done_to_a_cluster_that_is_not_running() -> None:
    cluster = LocalKafka()
    assert cluster.pids == ()
    with pytest.raises(SandboxError, match="start it first"):
        _ = cluster.bootstrap
    with pytest.raises(SandboxError, match="start it first"):
        await cluster.wait_ready()
    with pytest.raises(SandboxError, match="start it first"):
        await cluster.kill(0)
    await cluster.stop()


async def test_without_its_tools_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(SandboxError, match="needs Java 17"):
        await LocalKafka().start()


def test_with_ci_a_missing_kafka_is_a_failure_and_else_a_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs Java 17"):
        require_kafka()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="needs Java 17"):
        require_kafka()
