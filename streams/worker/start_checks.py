"""What must hold before a worker takes its first ticket: the one list that its start and ``hedgerow doctor`` run."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from schemas import TOPICS, Call, Reason, Scored, Tier
from streams.agents.registry import FLEET_TOPIC, MEMORY_TOPIC, MESSENGERS, TIERS, USES, AgentName, topics_of
from streams.core.policy.fitted import FittedMemory, examples_needed, refuse_other_memory, refuse_others
from streams.core.policy.policy import Policy
from streams.core.signal.perplexity import PerplexityRule
from streams.core.wording import counted
from streams.errors import Hold, SettingsError, StopWorker, TryAgain
from streams.kafka.producers import start_producer, stop_producer
from streams.kafka.topics import absence, topic_states
from streams.memory.open_memory import open_embedder
from streams.models.classifier import ModelClient
from streams.models.contract_check import HARMLESS_TEXT, judge_probe
from streams.models.perplexity import PerplexityClient
from streams.reviews.store import ReviewStore
from streams.settings import MemorySettings, Settings
from streams.worker.following import Followed


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A worker starts although one is not well, and says so in its log."""

    name: str
    ok: bool
    text: str
    """What was found, or what to do."""


@dataclass(frozen=True, slots=True)
class StartCheck:
    """One check. ``run`` raises SettingsError or StopWorker if a worker would not start."""

    name: str
    run: Callable[[], Awaitable[Finding]]
    needs_broker: bool = False


#: Reads the alerts that are there.
Follow = Callable[[], Awaitable[Followed]]
#: Joins the other workers, and returns how many are live.
Join = Callable[[], Awaitable[int]]
#: Asks a tier, or returns None if what that may cost is not left.
Pay = Callable[[Tier, Callable[[], Awaitable[Call]]], Awaitable[Call | None]]


async def _unlimited(_: Tier, ask: Callable[[], Awaitable[Call]]) -> Call | None:
    return await ask()


def start_checks(
    settings: Settings,
    agents: Sequence[AgentName],
    contracts: dict[Tier, str],
    follow: Follow,
    *,
    user: str | None = None,
    topics: Collection[str] | None = None,
    join: Join | None = None,
    pay: Pay = _unlimited,
) -> list[StartCheck]:
    """Return the checks of a worker with these agents, in their order.

    ``contracts`` receives what was found of each tier that is asked: none, kept, broken or unchecked. ``follow`` reads the
    alerts, ``join`` joins the other workers, and models are asked through ``pay``. Transactions are tried under the name of
    ``user``, by default that of the first agent; ``topics`` are by default those of the agents.
    """
    checks = [
        StartCheck("policy", partial(_policy, settings)),
        StartCheck("prices", partial(_prices, settings)),
        StartCheck(
            "topics", partial(_topics, settings, _needed(settings, topics or topics_of(agents))), needs_broker=True
        ),
    ]
    if settings.delivery == "exactly_once":
        checks.append(StartCheck("delivery", partial(_delivery, settings, user or agents[0]), needs_broker=True))
    if any("alerts" in USES[agent].follows for agent in agents):
        checks.append(StartCheck("alerts", partial(_alerts, follow), needs_broker=True))
    if join is not None:
        checks.append(StartCheck("fleet", partial(_fleet, join), needs_broker=True))
    calls: dict[Tier, Call] = {}
    for agent, tier in TIERS.items():
        if agent in agents:
            checks.append(StartCheck(f"{tier} model", partial(_model, settings, tier, calls, pay)))
            checks.append(StartCheck(f"{tier} contract", partial(_contract, settings, tier, calls, contracts)))
    if settings.memory is not None and TIERS.keys() & set(agents):
        checks.append(StartCheck("embeddings", partial(embeddings_check, settings.memory)))
    if settings.perplexity is not None and "classify" in agents:
        checks.append(StartCheck("perplexity", partial(_perplexity, settings)))
    if settings.webhooks and set(MESSENGERS) & set(agents):
        checks.append(StartCheck("webhooks", partial(_webhooks, settings)))
    if "review" in agents:
        checks.append(StartCheck("review store", partial(_store, settings)))
    return checks


def _needed(settings: Settings, topics: Collection[str]) -> set[str]:
    """Return the topics without those that only a memory or budgets need, if the settings have none."""
    on_topic = settings.memory is not None and settings.memory.on_topic
    unused = (set() if on_topic else {MEMORY_TOPIC}) | (set() if settings.has_budgets else {FLEET_TOPIC})
    return set(topics) - unused


def check_policy(policy: Policy, settings: Settings) -> None:
    """Raise SettingsError if the policy was fitted for another model, prompt, memory or set of labels than these."""
    fitted, prompt, tiers, memory = policy.fitted, settings.prompt, settings.tiers, settings.memory
    if fitted is not None:
        rule = (
            None
            if memory is None
            else FittedMemory(embedding_model=memory.embedding_model, examples=memory.examples, size=0)
        )
        refuse_other_memory(fitted, rule)
        if memory is not None and memory.on_topic and memory.max_examples < (needed := examples_needed(fitted)):
            raise SettingsError(
                f"memory.max_examples ({memory.max_examples}) is less than the {needed} examples that the policy needs"
            )
        refuse_others(fitted, prompt.labels, prompt.hash, tiers.cheap.model, tiers.big.model)


async def _policy(settings: Settings) -> Finding:
    check_policy(settings.policy, settings)
    fitted = settings.policy.fitted
    said = "not fitted" if fitted is None else "fitted for these labels, models and this prompt"
    if settings.memory is not None and fitted is not None and fitted.memory is None:
        said += ", without a memory: the models are shown no examples"
    return Finding("policy", True, f"{settings.policy.id}, {said}")


async def _prices(settings: Settings) -> Finding:
    if settings.unpriced:
        models = ", ".join(f"{place} ({model})" for place, model in settings.unpriced.items())
        keys = "input_usd_per_million and output_usd_per_million"
        version = " (in messages of version 2)" if settings.messages.write == 1 else ""
        return Finding(
            "prices", False, f"none of {models}: its costs are null{version}, and no sum holds them; set {keys}"
        )
    return Finding("prices", True, "of every model known")


async def _topics(settings: Settings, names: Collection[str]) -> Finding:
    needed = {settings.topics.prefix + name for name in names}
    states = await topic_states(settings.broker.connection, settings.topics.prefix)
    sizes = {state.name: state.partitions for state in states if state.name in needed}
    if absent := [name for name, partitions in sizes.items() if not partitions]:
        raise StopWorker(absence(absent, settings.broker.connection))
    one = {settings.topics.prefix + topic.name for topic in TOPICS.values() if topic.partitions is not None}
    sizes = {name: partitions for name, partitions in sizes.items() if name not in one}
    if few := [name for name in sizes if sizes[name] < settings.topics.partitions]:
        text = f"fewer than the {settings.topics.partitions} partitions of the settings: {', '.join(few)}"
        return Finding("topics", False, f"{text}; add partitions with your Kafka's tools")
    return Finding(
        "topics", True, f"{counted(len(sizes), 'topic')}, {counted(min(sizes.values()), 'partition')} or more"
    )


async def _delivery(settings: Settings, user: str) -> Finding:
    name = f"{settings.topics.prefix}{user}-{secrets.token_hex(8)}"
    await stop_producer(await start_producer(settings.broker.connection, name))
    return Finding("delivery", True, "exactly_once: the broker has transactions")


async def _alerts(follow: Follow) -> Finding:
    followed = await follow()
    tiers = [tier for tier, policy in followed.stale.items() if policy]
    found = [pause.summary + ": hedgerow resume ends it" for pause in followed.pauses.standing]
    if tiers:
        found.append(f"the policy is stale for {' and '.join(tiers)}: see hedgerow drift report and drift acknowledge")
    return Finding("alerts", not found, "; ".join(found) or "nothing is paused, and the policy is not stale")


async def _fleet(join: Join) -> Finding:
    return Finding("fleet", True, f"{counted(await join(), 'other worker')} live")


async def _model(settings: Settings, tier: Tier, calls: dict[Tier, Call], pay: Pay) -> Finding:
    """Ask a tier's endpoint once, for this check and that of its contract, and keep the call.

    A key or a model that it does not take is found before the first ticket.
    """
    async with ModelClient(tier, settings.tiers.of(tier), settings.label_set, prompt=settings.prompt) as client:
        try:
            call = await pay(tier, partial(client.try_out, HARMLESS_TEXT))
        except Hold:  # the other workers cannot be told of it
            call = None
    name = f"{tier} model"
    if call is None:
        return Finding(name, False, "not asked: the money is spent, or cannot be leased")
    calls[tier], signal = call, call.signal
    model = call.model_returned or call.model_asked
    if isinstance(signal, Scored):
        text = f"{model} answers with logprobs (k = {signal.k}) in {call.latency_ms:.0f} ms"
        return Finding(name, True, text)
    if signal.reason is Reason.NO_ANSWER:
        return Finding(name, False, f"{model} does not answer: {signal.detail}")
    return Finding(
        name, False, f"{model} gives no signal, {signal.reason}: {signal.detail or 'nothing would be accepted'}"
    )


async def _contract(settings: Settings, tier: Tier, calls: Mapping[Tier, Call], contracts: dict[Tier, str]) -> Finding:
    """Compare what the endpoint answered to the check before with its contract."""
    endpoint = settings.tiers.of(tier)
    name = f"{tier} contract"
    contract = None if settings.contracts is None else settings.contracts.contract(tier, endpoint.model)
    if contract is None:
        contracts[tier] = "none"
        return Finding(name, True, f"{endpoint.model} has none")
    call = calls.get(tier)
    probed = None if call is None else judge_probe(call, contract)
    if probed is None or not probed.answered:
        # No answer says nothing about the contract; the guard watches it from the first ticket on.
        contracts[tier] = "unchecked"
        return Finding(name, False, f"contract of {endpoint.model} not checked: it was not answered")
    broken = "; ".join(f"{each.name}: expected {each.expected}, found {each.found}" for each in probed.breaches)
    contracts[tier] = "broken" if broken else "kept"
    if broken and settings.contracts_at_start == "stop":
        raise StopWorker(
            f"the contract of the {tier} tier's {endpoint.model} is broken ({broken}); look with hedgerow contract "
            f"check, or set contracts_at_start: warn"
        )
    return Finding(name, not broken, f"contract of {endpoint.model} " + (f"broken: {broken}" if broken else "kept"))


async def embeddings_check(memory: MemorySettings) -> Finding:
    """Have one text embedded: a key or a model that the endpoint does not take, or another model, is found at once."""
    async with open_embedder(memory.embedding) as embedder:
        began = time.perf_counter()
        try:
            [vector] = await embedder.embed([HARMLESS_TEXT])
        except TryAgain as error:
            return Finding("embeddings", False, str(error))
    took_ms = (time.perf_counter() - began) * 1000
    return Finding("embeddings", True, f"{embedder.model}, {len(vector)} dimensions, {took_ms:.0f} ms a text")


async def _perplexity(settings: Settings) -> Finding:
    assert settings.perplexity is not None
    rule = settings.policy.perplexity or PerplexityRule()
    async with PerplexityClient(settings.perplexity, rule, redact=settings.redact):
        return Finding("perplexity", True, f"{settings.perplexity.endpoint.model} is set up")


async def _webhooks(settings: Settings) -> Finding:
    for webhook in settings.webhooks:
        webhook.address()
        webhook.secret()
    return Finding("webhooks", True, f"{', '.join(webhook.name for webhook in settings.webhooks)} can be addressed")


async def _store(settings: Settings) -> Finding:
    store = ReviewStore(settings.review.url, labels=settings.labels, wire=settings.wire)
    try:
        counts = await asyncio.to_thread(store.counts)
    except TryAgain as error:
        return Finding("review store", False, str(error))  # it may be back before the first review
    finally:
        store.close()
    return Finding("review store", True, f"{counts.waiting} waiting, {counts.decided} decided")
