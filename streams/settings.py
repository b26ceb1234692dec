"""Settings: one YAML file, overridden by environment variables, checked once, refused with one line that names the fault."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

from schemas import TOPICS, Tier, WireFormat
from schemas.registry import COUNTED_DAYS
from schemas.wire import Calls, WireVersion
from streams.agents.registry import AGENTS, KEEPERS, MESSENGERS, WATCHERS, AgentName
from streams.core.drift.series import DriftLimits
from streams.core.drift.traffic import TrafficLimits
from streams.core.fleet import Caps, Thing
from streams.core.guards import GuardLimits
from streams.core.guards.availability import OutageRule
from streams.core.guards.contract import Contracts
from streams.core.policy.policy import Policy
from streams.core.signal.instructions import ExampleRule, Prompt
from streams.core.signal.labels import LabelSet
from streams.core.signal.redaction import Redaction
from streams.delivery.handling import LONGEST_PAUSE_S
from streams.delivery.stage import Delivery, Limits
from streams.embedding.minilm import MODEL
from streams.errors import SettingsError
from streams.files import one_line, read_yaml, sections_with, suggestion, unknown_key
from streams.kafka.client_security import ClientSecurity
from streams.kafka.connection import Connection
from streams.models.embeddings import EmbeddingEndpoint
from streams.models.endpoint import Endpoint, HttpEndpoint
from streams.models.perplexity import PromptEndpoint
from streams.models.probed_endpoint import ProbedEndpoints, load_endpoints
from streams.webhooks.webhook import Webhook

_MAX_DESCRIPTION = 1_000
_LABELS_VARIABLE = "HEDGEROW_LABELS"

Seconds = Annotated[float, Field(gt=0, le=3600)]


def _network(text: str) -> str:
    """Refuse what is neither an IP address nor a network of them."""
    ip_network(text, strict=False)
    return text


def _check_labels(value: object) -> tuple[str, ...] | dict[str, str]:
    """Refuse what is neither a list of names nor a mapping of name to description; a name may go without one."""
    if isinstance(value, dict):
        described = {name: "" if words is None else words for name, words in value.items()}
        for name, words in described.items():
            if not isinstance(words, str) or len(words) > _MAX_DESCRIPTION or not words.isprintable():
                # Neither is shown: a text in the wrong place may be a password.
                raise ValueError(f"a description is one line of at most {_MAX_DESCRIPTION} printable characters")
            described[name] = words.strip()
        names = tuple(described)
    elif isinstance(value, list | tuple):
        described, names = None, tuple(value)
    else:
        raise ValueError("a list of names is expected, or a mapping of each name to its description")  # noqa: TRY004
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name is a text: put quotes around it")
    return names if described is None else described


def _unchanged(labels: object) -> object:
    """Write labels in the form they have: pydantic-settings writes them before they are checked, as a list."""
    return labels


Labels = Annotated[
    tuple[str, ...] | dict[str, str],
    PlainValidator(_check_labels, json_schema_input_type=list[str] | dict[str, str]),
    PlainSerializer(_unchanged),
]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSettings(_Section):
    """Where Kafka is, and the patience of its group protocol (seconds)."""

    bootstrap: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    session_timeout_s: Seconds = 10.0
    heartbeat_s: Seconds = 1.0
    rebalance_timeout_s: Seconds = 20.0
    commit_interval_s: Seconds = 0.5
    security: ClientSecurity = ClientSecurity()
    """Who we are to Kafka, and how we know it."""

    @property
    def connection(self) -> Connection:
        """What the delivery module takes."""
        return Connection(**(self.model_dump(exclude={"security"}) | {"security": self.security}))


class TopicSettings(_Section):
    """Names and sizes of the topics."""

    prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{0,100}$")] = ""
    partitions: Annotated[int, Field(ge=1, le=1000)] = 8
    replication: Annotated[int, Field(ge=1, le=10)] = 1
    retention_days: dict[str, Annotated[float, Field(gt=0, le=36_500)]] = {}
    """For how many days each topic keeps its messages, by its name without the prefix; the others keep them as they are."""

    @field_validator("retention_days")
    @classmethod
    def _known_and_long_enough(cls, days: dict[str, float]) -> dict[str, float]:
        for name in days:
            if name not in TOPICS:
                raise ValueError(f"no topic {name!r}: there are {', '.join(TOPICS)}{suggestion(name, TOPICS)}")
        if days.get("fleet", COUNTED_DAYS) < COUNTED_DAYS:
            raise ValueError(f"what is on fleet counts for a month: {COUNTED_DAYS} days are the least")
        return days


class TierEndpoint(Endpoint):
    """The endpoint of a tier, and what becomes of tickets while it does not answer."""

    outage: OutageRule = OutageRule()


class Tiers(_Section):
    """The two model endpoints."""

    cheap: TierEndpoint
    big: TierEndpoint

    def of(self, tier: Tier) -> TierEndpoint:
        """Return the endpoint of a tier."""
        return self.cheap if tier == "cheap" else self.big

    @field_validator("big")
    @classmethod
    def _nowhere_to_escalate(cls, big: TierEndpoint) -> TierEndpoint:
        if big.outage.mode == "escalate":
            raise ValueError("outage.mode: nothing is above the big tier; use hold or review")
        return big


class MessagesSettings(_Section):
    """How messages are written; all versions up to the newest are read."""

    write: WireVersion = 1
    """The version. Upgrade every worker and every consumer first; then set 2 and restart the workers."""


class RoutedSettings(_Section):
    """What a result on ``routed`` carries."""

    calls: Calls = "full"
    """The calls of both tiers: all of them, a summary of each, or none. Other than full needs ``messages.write: 2``."""


class ReviewSettings(_Section):
    """Where reviews are kept (an SQLAlchemy URL), and how many reviewers can bear."""

    url: Annotated[str, Field(min_length=1, repr=False)] = "sqlite:///hedgerow-reviews.db"
    """Left out of every repr: it may hold a password."""
    max_waiting: Annotated[int, Field(ge=1)] | None = None
    """Once this many wait for a decision, tickets wait upstream; default: no limit."""
    max_per_hour: Annotated[int, Field(ge=1)] | None = None
    """Once this many have come within an hour, tickets wait upstream; default: no limit."""

    @property
    def is_limited(self) -> bool:
        """Whether either limit is set."""
        return self.max_waiting is not None or self.max_per_hour is not None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as this machine alone reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_private(url: str) -> bool:
    """Return whether nobody on the way can read or change what goes to an address: by HTTPS, or on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def _private(url: str) -> str:
    if not is_private(url):
        raise ValueError("plain http is for this machine alone: whoever is on the way could log in as anybody")
    return url


class OidcSettings(_Section):
    """A provider of OpenID Connect that logs people in."""

    issuer: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$"), AfterValidator(_private)]
    """As the provider names itself; by plain http on this machine only."""
    client_id: Annotated[str, Field(min_length=1)]
    client_secret_env: Annotated[str, Field(min_length=1)]
    """The variable that holds the client's secret."""
    public_url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
    """Where browsers find the desk; the provider sends them back to /oidc/callback there."""
    name_claim: Annotated[str, Field(min_length=1)] = "email"
    """The claim with the user's name at the desk; an e-mail address counts only if the provider has verified it."""
    role_claim: str | None = None
    """The claim whose values ``roles`` maps to roles, ``groups`` for instance."""
    roles: dict[str, Literal["reviewer", "lead", "operator"]] = {}


class DeskSettings(_Section):
    """The web pages on which a team decides tickets (extra ``desk``)."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    users: str | None = None
    """File of names, roles and password hashes, which ``hedgerow desk user add`` writes."""
    undo_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """How long a decision can be undone, seconds; it is sent after that."""
    claim_minutes: Annotated[float, Field(gt=0, le=1440)] = 5.0
    """How long a ticket that somebody has opened is theirs."""
    skip_minutes: Annotated[float, Field(gt=0, le=10_080)] = 60.0
    """For how long a ticket that somebody has skipped does not come to them by itself."""
    near_similarity: Annotated[float, Field(gt=0, le=1)] = 0.9
    """From which similarity of their embeddings on (cosine) tickets can be decided together; needs ``memory``."""
    deadline_hours: Annotated[float, Field(gt=0, le=8760)] | None = None
    """Within how many hours a ticket is to be decided; later ones are shown as late. Default: no deadline."""
    session_hours: Annotated[float, Field(gt=0, le=720)] = 12.0
    """How long a login lasts."""
    secure_cookie: bool | None = None
    """Whether cookies travel by HTTPS only; default: unless the desk listens on this machine alone."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Addresses or networks of the proxies whose word on who a user is counts."""
    proxy_user_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-Forwarded-User"
    """The header in which a trusted proxy names the user."""
    default_role: Literal["reviewer", "lead", "operator"] | None = None
    """What somebody is whom a proxy or a provider names and the users file does not; default: nobody, who is refused."""

    oidc: OidcSettings | None = None
    """A provider that logs people in; default: none."""

    @property
    def has_login(self) -> bool:
        """Whether whoever uses the desk has to say who they are."""
        return self.users is not None or bool(self.trusted_proxies) or self.oidc is not None


class MemorySettings(_Section):
    """Labelled tickets, from which models are shown examples (extra ``memory``)."""

    file: Annotated[str, Field(min_length=1)] | None = None
    """JSON lines {text, label?, ticket_id?}, read at a worker's start; without a file they are on the topic ``memory``."""
    examples: Annotated[int, Field(ge=0, le=32)] = 8
    """How many of them a prompt holds at most."""
    embedding: EmbeddingEndpoint | None = None
    """Who makes the embeddings; without it all-MiniLM-L6-v2 on this machine, which knows English."""
    max_examples: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """How many of the topic's a worker keeps. Beyond that the oldest of the most crowded are dropped."""

    @property
    def on_topic(self) -> bool:
        """Whether they are on the topic ``memory``, and in no file."""
        return self.file is None

    @property
    def embedding_model(self) -> str:
        """The id of what makes the embeddings."""
        return MODEL if self.embedding is None else self.embedding.id

    @property
    def rule(self) -> ExampleRule | None:
        """What the prompt says of its examples; None if it holds none."""
        return ExampleRule(self.examples, self.embedding_model) if self.examples else None


class MetricsSettings(_Section):
    """Where /metrics is served; no port, no server."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    port_search: Annotated[int, Field(ge=0, le=1000)] = 20
    """How many of the next ports are tried while one is in use, so that several processes start from one file."""


class WorkerSettings(_Section):
    """How much a worker does at once, and how long it waits (seconds)."""

    in_flight: Annotated[int, Field(ge=1, le=5000)] = 160
    """Messages in a handler at once, for each agent that calls out.

    A quarter more than an endpoint's ``concurrency``, so that the next request is ready when a connection falls free.
    """
    handler_deadline_s: Seconds = 120.0
    handler_attempts: Annotated[int, Field(ge=1, le=20)] = 4
    remember_ids: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Tickets that classify knows, to tell duplicates and revisions, and settle, to tell which result counts.

    About 300 bytes each, and a whole result for a tenth of them; rebuilt from the tails of the topics.
    """
    revoke_wait_s: Seconds = 3.0
    stop_wait_s: Seconds = 20.0
    stall_limit_s: Seconds | None = None
    """Work and no sign of life for this long end a worker; without a value ``stalled_after_s`` says how long."""

    @property
    def stalled_after_s(self) -> float:
        """``stall_limit_s``, or twice what one attempt and the pause after it may take, whichever is set (seconds)."""
        return self.stall_limit_s or 2 * (self.handler_deadline_s + LONGEST_PAUSE_S)

    @property
    def limits(self) -> Limits:
        """What the driver takes."""
        return Limits(revoke_wait_s=self.revoke_wait_s)


class Settings(BaseSettings):
    """Everything a worker needs to know, each section checked and the sections checked against each other.

    An environment variable overrides the file: ``HEDGEROW_BROKER__BOOTSTRAP=kafka:9092`` is broker.bootstrap.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="HEDGEROW_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    broker: BrokerSettings = BrokerSettings()
    topics: TopicSettings = TopicSettings()
    labels: Labels
    """What a ticket can be: a list of names, or each name with its description, which goes into the prompt."""
    instructions: Annotated[str, Field(max_length=20_000)] = ""
    """Your own words to the models, after ours."""
    label_aliases: bool = False
    """Let the models answer with A, B, C ...: for labels that begin one another or share a first token."""
    tiers: Tiers
    delivery: Delivery = "at_least_once"
    """``exactly_once`` needs Apache Kafka: outputs and offsets in one transaction, for consumers of committed messages."""
    policy: Policy = Policy()
    contracts: Contracts | None = None
    """What is relied on at each endpoint, and the written exceptions; without it only the logprobs are watched."""
    contracts_at_start: Literal["stop", "warn"] = "stop"
    """What a worker does when an endpoint's contract is broken before the first ticket."""
    guards: GuardLimits = GuardLimits()
    endpoints: ProbedEndpoints | None = None
    """What the prober probes; a change of one that a tier uses makes the policy stale."""
    drift: DriftLimits = DriftLimits()
    traffic: TrafficLimits = TrafficLimits()
    perplexity: PromptEndpoint | None = None
    """Who measures how surprising a text is; without it nothing does. ``policy.perplexity`` says what is too much."""
    messages: MessagesSettings = MessagesSettings()
    routed: RoutedSettings = RoutedSettings()
    memory: MemorySettings | None = None
    """The labelled tickets that the prompt of both tiers shows examples of; without it no examples are shown."""
    review: ReviewSettings = ReviewSettings()
    desk: DeskSettings = DeskSettings()
    redact: tuple[Redaction, ...] = ()
    """What is taken out of a ticket's text before a model sees it, and out of log lines: email, card, phone."""
    webhooks: tuple[Webhook, ...] = ()
    """Where alerts and new reviews are sent by HTTP (``docs/webhooks.md``)."""
    metrics: MetricsSettings = MetricsSettings()
    worker: WorkerSettings = WorkerSettings()

    @field_validator("webhooks")
    @classmethod
    def _names_differ(cls, webhooks: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        if len({webhook.name for webhook in webhooks}) < len(webhooks):
            raise ValueError("two webhooks have one name")
        return webhooks

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        try:
            _ = self.label_set
            _check_prices(self)
            _check_perplexity(self)
            _check_patience(self)
            _check_contracts(self)
            _check_messages(self)
        except SettingsError as error:
            # pydantic takes only a ValueError as a refusal of the value.
            raise ValueError(str(error)) from None
        return self

    @property
    def label_set(self) -> LabelSet:
        """The labels, and how the models are asked to write each."""
        names = tuple(self.labels)
        return LabelSet.aliased(names) if self.label_aliases else LabelSet(names)

    @property
    def unpriced(self) -> dict[str, str]:
        """The endpoints whose calls have an unknown cost: where each is in the settings, and its model."""
        endpoints: dict[str, HttpEndpoint] = {"tiers.cheap": self.tiers.cheap, "tiers.big": self.tiers.big}
        if self.perplexity is not None:
            endpoints["perplexity.endpoint"] = self.perplexity.endpoint
        if self.memory is not None and self.memory.embedding is not None:
            endpoints["memory.embedding"] = self.memory.embedding
        if self.endpoints is not None:
            endpoints |= {f"endpoints.{each.name}": each for each in self.endpoints.endpoints}
        return {place: endpoint.model for place, endpoint in endpoints.items() if endpoint.price is None}

    @property
    def wire(self) -> WireFormat:
        """How messages are written."""
        return WireFormat(self.messages.write, self.routed.calls)

    @property
    def prompt(self) -> Prompt:
        """What both tiers are asked about a ticket."""
        labels = self.label_set
        descriptions = tuple(self.labels.values()) if isinstance(self.labels, dict) else ()
        examples = None if self.memory is None else self.memory.rule
        return Prompt(labels.labels, labels.answers, self.redact, descriptions, self.instructions.strip(), examples)

    def under_policy(self) -> Settings:
        """Return the settings as workers take them: under a policy that was fitted without a memory no examples are shown.

        Such a policy was fitted to answers to a prompt without examples. The memory's numbers are recorded all the same.
        """
        fitted, memory = self.policy.fitted, self.memory
        if memory is None or not memory.examples or fitted is None or fitted.memory is not None:
            return self
        return self.model_copy(update={"memory": memory.model_copy(update={"examples": 0})})

    @property
    def default_agents(self) -> tuple[AgentName, ...]:
        """What a worker runs that is not told what to run."""
        about = {subject for webhook in self.webhooks for subject in webhook.about}
        called_for = {"notify": "alerts" in about, "announce": "reviews" in about}
        messengers = tuple(agent for agent in MESSENGERS if called_for[agent])
        return AGENTS + KEEPERS + (() if self.endpoints is None else WATCHERS) + messengers

    @property
    def budgets(self) -> dict[Thing, Caps]:
        """What all workers together may use, in whole units: billionths of a dollar, and escalations."""
        return {"money": self.guards.money, "escalations": Caps(hour=self.policy.max_escalations_per_hour)}

    @property
    def has_budgets(self) -> bool:
        """Whether there is any such limit."""
        return any(self.budgets.values())

    def probed_names(self, tier: Tier) -> tuple[str, ...]:
        """Return the names under which a tier's endpoint is probed."""
        return () if self.endpoints is None else self.endpoints.names_of(self.tiers.of(tier))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load_settings(path: Path) -> Settings:
    """Read and check a settings file; raises SettingsError with one line that names the fault.

    ``policy``, ``contracts`` and ``endpoints`` may be file names, relative to the settings file; so are certificates.
    """
    if not path.exists():
        raise SettingsError(f"settings file {path}: No such file or directory; hedgerow init writes one to start from")
    values = read_yaml(path, "settings")
    if isinstance(policy := values.get("policy"), str):
        values["policy"] = load_policy(path.parent / policy)
    if isinstance(contracts := values.get("contracts"), str):
        values["contracts"] = load_contracts(path.parent / contracts).model_dump()
    if isinstance(endpoints := values.get("endpoints"), str):
        values["endpoints"] = load_endpoints(path.parent / endpoints).model_dump()
    _place_certificates(values.get("broker"), path.parent)
    if isinstance(memory := values.get("memory"), dict) and isinstance(memory.get("file"), str):
        memory["file"] = str(path.parent.resolve() / memory["file"])
    if isinstance(desk := values.get("desk"), dict) and isinstance(desk.get("users"), str):
        desk["users"] = str(path.parent.resolve() / desk["users"])
    return check_settings(values, str(path))


def _place_certificates(broker: object, folder: Path) -> None:
    """Make the names of certificate files relative to the settings file."""
    security = broker.get("security") if isinstance(broker, dict) else None
    if isinstance(security, dict):
        for name in ("ca_file", "cert_file", "key_file"):
            if isinstance(security.get(name), str):
                security[name] = str(folder.resolve() / security[name])


def check_settings(values: Mapping[str, Any], origin: str) -> Settings:
    """Check settings from a mapping; raises SettingsError with one line that names the fault."""
    _refuse_unknown_variables()
    for key in values:
        # Before pydantic sees them: a key such as _cli_parse_args is an argument of its own there.
        if key not in Settings.model_fields:
            raise SettingsError(
                f"{origin}: {unknown_key(key, str(key), Settings.model_fields, sections_with(Settings, str(key)))}"
            )
    if any(name.upper() == _LABELS_VARIABLE for name in os.environ):
        # Sections are merged; labels of a variable and labels of the file together would be a set that no one wrote.
        values = {key: value for key, value in values.items() if key != "labels"}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(f"{origin}: {one_line(error, Settings)}") from None
    except UnreadableVariable as error:
        raise SettingsError(f"environment: {error}: JSON is expected") from None


def _check_prices(settings: Settings) -> None:
    """Refuse unknown costs if money is limited."""
    unpriced, limits = settings.unpriced, settings.guards.max_usd
    if limits and not all(place.startswith("endpoints.") for place in unpriced):
        models = ", ".join(f"{place} ({model})" for place, model in unpriced.items())
        keys = "set input_usd_per_million and output_usd_per_million there"
        raise SettingsError(
            f"guards.{next(iter(limits))} needs the price of every model, and has none of {models}: {keys}"
        )


def _check_patience(settings: Settings) -> None:
    """Refuse waits that end what they are there for."""
    broker, worker = settings.broker, settings.worker
    if broker.heartbeat_s >= broker.session_timeout_s:
        raise SettingsError(
            f"broker.heartbeat_s ({broker.heartbeat_s:g}) must be less than broker.session_timeout_s"
            f" ({broker.session_timeout_s:g})"
        )
    longest = max(worker.handler_deadline_s + LONGEST_PAUSE_S, 2 * broker.rebalance_timeout_s)
    if worker.stalled_after_s <= longest:
        # A handler that waits for a slow model, or a group that rebalances, would be taken for one that stalls.
        raise SettingsError(
            f"worker.stall_limit_s ({worker.stalled_after_s:g}) must be more than worker.handler_deadline_s and the "
            f"{LONGEST_PAUSE_S:g} s between attempts, and than twice broker.rebalance_timeout_s ({longest:g})"
        )
    for tier, endpoint in (("cheap", settings.tiers.cheap), ("big", settings.tiers.big)):
        _check_deadline(f"tiers.{tier}", endpoint, worker)
    embedding = None if settings.memory is None else settings.memory.embedding
    slowest = max(settings.tiers.cheap.deadline_s, settings.tiers.big.deadline_s)
    if embedding is not None and embedding.deadline_s + slowest >= worker.handler_deadline_s:
        raise SettingsError(
            f"memory.embedding.deadline_s ({embedding.deadline_s:g}) and the longest of the tiers' ({slowest:g}) must "
            f"together be less than worker.handler_deadline_s ({worker.handler_deadline_s:g})"
        )


def _check_perplexity(settings: Settings) -> None:
    """Refuse a rule that nothing measures for, and an endpoint with too much patience."""
    if settings.perplexity is not None:
        _check_deadline("perplexity.endpoint", settings.perplexity.endpoint, settings.worker)
    elif settings.policy.perplexity is not None:
        raise SettingsError("policy.perplexity needs the section perplexity: an endpoint that gives prompt logprobs")


def _check_deadline(name: str, endpoint: Endpoint, worker: WorkerSettings) -> None:
    if endpoint.deadline_s >= worker.handler_deadline_s:
        # The handler would be cut off in a call that is still paid for, and pay it again.
        raise SettingsError(
            f"{name}.deadline_s ({endpoint.deadline_s:g}) must be less than worker.handler_deadline_s"
            f" ({worker.handler_deadline_s:g})"
        )


def _check_contracts(settings: Settings) -> None:
    """Refuse contracts that leave a tier out, or ask for what its endpoint is not asked."""
    contracts = settings.contracts
    if contracts is None:
        return
    tiers: tuple[tuple[Tier, Endpoint], ...] = (("cheap", settings.tiers.cheap), ("big", settings.tiers.big))
    for tier, endpoint in tiers:
        contract = contracts.contract(tier, endpoint.model)
        if contract is None:
            raise SettingsError(f"contracts: there is none for the {tier} tier's {endpoint.model}")
        if contract.min_k > endpoint.top_logprobs:
            raise SettingsError(
                f"contracts: min_k ({contract.min_k}) for {endpoint.model} is more than its top_logprobs"
                f" ({endpoint.top_logprobs})"
            )
    for exception in contracts.exceptions:
        if unknown := sorted((exception.labels or frozenset()) - set(settings.labels)):
            raise SettingsError(f"contracts: exception {exception.id} names unknown labels: {', '.join(unknown)}")


def _check_messages(settings: Settings) -> None:
    """Refuse to leave out what readers of version 1 rely on: they add up the cost of the calls."""
    if settings.routed.calls != "full" and settings.messages.write == 1:
        raise SettingsError(f"routed.calls: {settings.routed.calls} needs messages.write: 2")


def load_contracts(path: Path) -> Contracts:
    """Read and check a contracts file; raises SettingsError with one line that names the fault."""
    try:
        return Contracts.model_validate(read_yaml(path, "contracts"))
    except ValidationError as error:
        raise SettingsError(f"{path}: {one_line(error, Contracts)}") from None


def load_policy(path: Path) -> Policy:
    """Read and check a policy file; raises SettingsError with one line that names the fault."""
    try:
        return Policy.model_validate(read_yaml(path, "policy"))
    except ValidationError as error:
        raise SettingsError(f"{path}: {one_line(error, Policy)}") from None


def _refuse_unknown_variables() -> None:
    """A misspelt variable would silently leave the default in force."""
    for name in os.environ:
        if not name.upper().startswith("HEDGEROW_"):
            continue
        section, nested, _ = name.lower().removeprefix("hedgerow_").partition("__")
        if nested and section not in Settings.model_fields:
            raise SettingsError(
                f"environment variable {name}: unknown section {section}{suggestion(section, Settings.model_fields)}"
            )
        meant = next((field for field in Settings.model_fields if section.startswith(f"{field}_")), None)
        if meant is not None and section not in Settings.model_fields:
            raise SettingsError(f"environment variable {name}: write two underscores after {meant.upper()}")
