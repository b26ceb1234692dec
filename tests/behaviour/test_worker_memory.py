"""Workers that show the models examples from a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from schemas import Review, Routed, Ticket
from streams.core.policy.fitted import READING, Fitted, FittedMemory, FittedTier
from streams.core.policy.policy import BigRule, CheapRule, MemoryRule, Policy
from streams.embedding.minilm import MODEL
from streams.errors import SettingsError, StopWorker
from streams.kafka.send import publish
from streams.models.embeddings import EmbeddingEndpoint
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.model_server.served import DATE, EMBEDDING
from streams.sandbox.tickets import DEMO
from streams.settings import MemorySettings, Settings
from streams.worker.start_checks import embeddings_check
from tests.support.pipelines import pipeline
from tests.support.tier_zero import FITTED

TICKETS = [Ticket.decode(line) for line in DEMO.read_bytes().splitlines() if line.strip()][:40]
#: Everything that is like the labelled tickets is accepted from the cheap tier.
POLICY = Policy(
    min_top_k_mass=0.0,
    cheap=CheapRule(min_confidence=0.0, min_confidence_two_labels=0.0, max_entropy=9.0, max_novelty=0.9),
    big=BigRule(min_confidence=0.0, min_confidence_two_labels=0.0, max_entropy=9.0, max_novelty=0.9),
)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemorySettings:
    """A few labelled tickets, one of which is among those that are sent."""
    monkeypatch.setenv("HEDGEROW_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "labelled.jsonl"
    known = [Ticket(ticket_id=f"known-{n}", text=f"Where is my parcel {n}?", label="shipping") for n in range(12)]
    path.write_bytes(b"\n".join(one.encode() for one in (*known, TICKETS[0])))
    return MemorySettings(file=str(path), examples=3)


async def test_calls_of_both_tiers_carry_what_was_shown_and_a_ticket_is_never_its_own_example(
    broker: Broker, model_server: ModelServer, tmp_path: Path, memory: MemorySettings
) -> None:
    def remembering(settings: Settings) -> Settings:
        return settings.model_copy(update={"memory": memory})

    strange = Ticket(ticket_id="strange", text="qwertz zuiop asdf")
    async with pipeline(broker, model_server, tmp_path, policy=POLICY, change=remembering) as run:
        connection = run.settings.broker.connection
        await publish([*TICKETS, strange], connection, prefix=run.settings.topics.prefix)
        await run.until(lambda: len(run.results) == len(TICKETS) + 1)
    for ticket_id, (result,) in run.results.items():
        assert isinstance(result, Routed | Review)
        for call in result.calls:
            assert len(call.shown) == 3
            assert ticket_id not in {one.id for one in call.shown}
            assert call.novelty is not None
            assert call.prompt_hash == run.settings.prompt.hash
    [novel] = [result for ticket_id, (result,) in run.results.items() if ticket_id == "strange"]
    assert isinstance(novel, Review)
    assert novel.reasons == ("novel",)
    assert len(novel.calls) == 1, "the big model is not paid for it"


def fitted_to(settings: Settings, memory: FittedMemory | None) -> Fitted:
    """What a policy says that was fitted with these settings."""
    tiers, prompt = settings.tiers, settings.prompt
    origin = {
        tier: FittedTier(
            model_asked=tiers.of(tier).model,
            model_returned=f"{tiers.of(tier).model}-{DATE}",
            prompt_hash=prompt.hash,
        )
        for tier in ("cheap", "big")
    }
    update = {"labels": prompt.labels, "reading": READING, "memory": memory, **origin}
    return FITTED.model_copy(update=update | ({} if memory else {"tier_zero": None}))


@pytest.mark.parametrize("examples", ["none", "in a file"])
async def test_under_a_policy_that_was_fitted_without_a_memory_no_examples_are_shown(
    embedded_broker: Broker, model_server: ModelServer, tmp_path: Path, memory: MemorySettings, examples: str
) -> None:
    def remembering(settings: Settings) -> Settings:
        policy = Policy(fitted=fitted_to(settings, None))
        remembered = MemorySettings() if examples == "none" else memory
        return settings.model_copy(update={"memory": remembered, "policy": policy})

    async with pipeline(embedded_broker, model_server, tmp_path, change=remembering) as run:
        await publish([TICKETS[1]], run.settings.broker.connection, prefix=run.settings.topics.prefix)
        await run.until(lambda: len(run.results) == 1)
    [[result]] = run.results.values()
    assert isinstance(result, Routed | Review)
    assert [call.shown for call in result.calls] == [()] * len(result.calls)
    assert [call.novelty is None for call in result.calls] == [examples == "none"] * len(result.calls)
    bare = run.settings.model_copy(update={"memory": None})
    assert {call.prompt_hash for call in result.calls} == {bare.prompt.hash}


async def test_labelled_tickets_that_are_nearly_the_same_answer_alone_if_the_policy_says_so(
    broker: Broker, model_server: ModelServer, tmp_path: Path, memory: MemorySettings
) -> None:
    def answering(settings: Settings) -> Settings:
        settings = settings.model_copy(update={"memory": memory})
        fitted = fitted_to(settings, FittedMemory(embedding_model=MODEL, examples=memory.examples, size=13))
        rule = MemoryRule(min_similarity=0.84, min_votes=3)
        return settings.model_copy(update={"policy": POLICY.model_copy(update={"memory": rule, "fitted": fitted})})

    known, other = Ticket(ticket_id="known", text="Where is my parcel 9?!"), TICKETS[1]
    async with pipeline(broker, model_server, tmp_path, policy=POLICY, change=answering) as run:
        connection = run.settings.broker.connection
        await publish([known, other, known], connection, prefix=run.settings.topics.prefix)
        await run.until(lambda: len(run.results) == 2)
    [result] = run.results["known"]
    assert isinstance(result, Routed)
    assert (result.label, result.decided_by, result.calls, result.confidence, result.entropy) == (
        "shipping", "memory", (), 1.0, 0.0,
    )  # fmt: skip
    assert len(result.neighbours) >= 3
    assert all(one.similarity >= 0.84 for one in result.neighbours)
    [judged] = run.results[other.ticket_id]
    assert judged.calls, "any other ticket is the models'"


async def test_a_memory_file_that_cannot_be_used_stops_the_worker_with_one_line(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    missing = MemorySettings(file=str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(SettingsError, match=r"nowhere\.jsonl: No such file or directory"):
        async with pipeline(
            broker, model_server, tmp_path, change=lambda settings: settings.model_copy(update={"memory": missing})
        ):
            pass


async def test_tickets_wait_while_the_endpoint_for_embeddings_does_not_answer(
    embedded_broker: Broker,
    model_server: ModelServer,
    tmp_path: Path,
    memory: MemorySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.agents.remembering.LOOK_EVERY_S", 0.05)
    endpoint = EmbeddingEndpoint(base_url=model_server.url, model=EMBEDDING, attempts=1, input_usd_per_million=1e6)
    remote = memory.model_copy(update={"embedding": endpoint})

    def remembering(settings: Settings) -> Settings:
        return settings.model_copy(update={"memory": remote})

    async with pipeline(embedded_broker, model_server, tmp_path, policy=POLICY, change=remembering) as run:
        registry = run.worker.observer.registry
        try:
            await model_server.set_faults(["embedding:server_error=1"])
            await publish(TICKETS[:3], run.settings.broker.connection, prefix=run.settings.topics.prefix)
            async with asyncio.timeout(20):
                while registry.get_sample_value("hedgerow_held", {"agent": "classify"}) != 3:
                    await asyncio.sleep(0.01)  # a gauge has no event
            assert registry.get_sample_value("hedgerow_limit_reached", {"limit": "embedding"}) == 1
            assert run.worker._readiness().facts["limits"] == ["embedding"]
        finally:
            await model_server.set_faults([])
        await run.until(lambda: len(run.results) == 3)
        assert registry.get_sample_value("hedgerow_limit_reached", {"limit": "embedding"}) == 0
        for [result] in run.results.values():
            assert isinstance(result, Routed | Review)
            assert len(result.calls[0].shown) == 3
        failed = {"tier": "embedding", "outcome": "http_500"}
        assert (registry.get_sample_value("hedgerow_model_attempts_total", failed) or 0) >= 1
        assert (registry.get_sample_value("hedgerow_model_cost_usd_total", {"tier": "embedding"}) or 0) > 0


async def test_a_start_and_the_doctor_ask_the_embedder_once(model_server: ModelServer) -> None:
    found = await embeddings_check(MemorySettings())
    assert found.ok
    assert found.text.startswith("all-MiniLM-L6-v2-onnx-int8, 384 dimensions, ")
    here = {"base_url": model_server.url, "model": EMBEDDING, "attempts": 1}
    assert (await embeddings_check(MemorySettings(embedding=here))).ok
    nobody = MemorySettings(embedding=here | {"base_url": "http://127.0.0.1:1/v1"})
    silent = await embeddings_check(nobody)
    assert not silent.ok
    assert "refuses connections" in silent.text
    with pytest.raises(StopWorker, match="have 384 dimensions, not 512"):
        await embeddings_check(MemorySettings(embedding=here | {"dimensions": 512}))
