"""The programs in examples/ do what they say, on the embedded broker and on Apache Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas import Routed
from streams.kafka.readers import reader, to_the_end
from streams.sandbox.brokers.broker import Broker
from streams.webhooks.notice import of_alert
from streams.webhooks.sender import WebhookSender
from streams.webhooks.webhook import Webhook
from tests.support.answers import records, underconfident
from tests.support.messages import alert
from tests.support.stages import topics_on

ROOT = Path(__file__).parents[2]


async def started(example: str, *arguments: str) -> Process:
    path = str(ROOT / "examples" / example)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return await asyncio.create_subprocess_exec(
        sys.executable, path, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )


def test_every_example_has_a_test_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "examples").glob("*.py") if f'"{path.name}"' not in source] == []


async def test_a_response_is_scored() -> None:
    process = await started("score_a_response.py")
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.decode().splitlines() == ["refund: confidence 0.52, entropy 0.69 nats", "escalate low_confidence"]


async def test_a_policy_is_fitted_to_records(tmp_path: Path) -> None:
    file = tmp_path / "golden.records"
    file.write_text("".join(row.model_dump_json() + "\n" for row in records(900, worth=underconfident)))
    process = await started("calibrate_from_records.py", str(file))
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    policy, figures = map(json.loads, out.splitlines())
    assert policy["fitted"]["records"] == 900
    assert figures["accepted_error"] <= 0.05


async def test_tickets_are_produced(broker: Broker) -> None:
    async with topics_on(broker) as topics:
        topic, rows = topics.prefix + "tickets", [{"ticket_id": f"t-{number}", "text": "é"} for number in range(5)]
        process = await started("produce_tickets.py", broker.bootstrap, topic)
        _, err = await process.communicate("".join(json.dumps(row) + "\n" for row in rows).encode())
        assert process.returncode == 0, err.decode()
        async with reader(["tickets"], topics.connection(), prefix=topics.prefix) as consumer:
            found = [(record.key.decode(), json.loads(record.value)) async for record in to_the_end(consumer)]
        assert sorted(found) == [(row["ticket_id"], row) for row in rows]


async def test_routed_labels_are_consumed_once(broker: Broker) -> None:
    async with topics_on(broker) as topics:
        result = Routed(result_id="r", ticket_id="t", label="refund", decided_by="human", confidence=None, entropy=None,
                        policy_id="p")  # fmt: skip
        last = result.model_copy(update={"result_id": "s", "label": "billing"})
        topic = topics.prefix + "tickets"  # any topic will do, and this one is there
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
            for message in (result, result, last):
                await producer.send_and_wait(topic, message.encode(), key=b"t")
        process = await started("consume_routed.py", broker.bootstrap, topic)
        try:
            assert process.stdout is not None
            lines = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode().split() for _ in range(2)]
        finally:
            process.kill()
            await process.communicate()
        assert lines == [["t", "refund", "human"], ["t", "billing", "human"]]


async def test_a_webhook_is_received_if_it_is_signed_with_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", "a secret of some length")
    monkeypatch.setenv("OTHER_SECRET", "another of some length")
    process = await started("receive_webhook.py", "0")
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{(await process.stdout.readline()).split()[-1].decode()}/"
        taken = []
        for variable in ("OTHER_SECRET", None, "WEBHOOK_SECRET"):
            async with WebhookSender(Webhook(name="hook", url=url, secret_env=variable)) as sender:
                taken.append(await sender.send(of_alert(alert())))
        assert taken == [False, False, True]
        kind, data = (await process.stdout.readline()).decode().split(" ", 1)
        assert (kind, json.loads(data)) == ("alert", alert().model_dump(mode="json"))
    finally:
        process.kill()
        await process.wait()
