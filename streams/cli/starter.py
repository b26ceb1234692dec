"""The files that hedgerow init writes: settings, contracts, endpoints, variables and some tickets, for one provider."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from schemas import Tier

ProviderName = Literal["openai", "openrouter", "vllm", "llama.cpp", "ollama", "sandbox"]

#: The labels of the bundled tickets, which the sandbox's models were trained on.
KNOWN_LABELS = {
    "refund": "Wants money back for something bought.",
    "billing": "Asks about an invoice, a charge or a way to pay.",
    "shipping": "Asks where an order is, or reports a late, lost or damaged parcel.",
    "account": "Cannot log in, or wants to change a profile, a password or an address.",
    "technical": "Something does not work as it should.",
    "cancellation": "Wants to end a subscription or withdraw an order.",
}
_TICKETS = {
    "refund": "I returned the shoes two weeks ago. When do I get my money back?",
    "billing": "My invoice for May shows the same charge twice.",
    "shipping": "My parcel was due on Monday and is late. Where is my order?",
    "account": "I cannot log in: I forgot my password, and no reset link comes.",
    "technical": "The app does not work: it crashes when I open the settings page.",
    "cancellation": "Please cancel my subscription at the end of this month.",
}


@dataclass(frozen=True, slots=True)
class Model:
    """One tier's model as a provider serves it."""

    base_url: str
    name: str
    returned: str
    """The ids that answers carry, as a pattern."""
    usd_per_million: tuple[float, float] | None = None
    """In and out; None if the price list knows the model."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What the starter says of a provider; ``notes`` are comments, a line each."""

    title: str
    cheap: Model
    big: Model
    notes: tuple[str, ...]
    promise: str
    written_in: str
    key: str | None = None
    extra: str | None = None
    """Further fields of a request, in YAML."""
    concurrency: int | None = None
    """Requests in flight at once, if the default is too many."""
    interval_s: int = 3600


_OPENAI_URL = "https://api.openai.com/v1"
_OPENROUTER_URL = "https://openrouter.ai/api/v1"
_OLLAMA_URL = "http://127.0.0.1:11434/v1"
_SANDBOX_URL = "http://127.0.0.1:8000/v1"
_FREE = (0.0, 0.0)

PROVIDERS: Mapping[ProviderName, Provider] = {
    "openai": Provider(
        title="OpenAI",
        # gpt-4o-* would also match gpt-4o-mini.
        cheap=Model(_OPENAI_URL, "gpt-4o-mini", "gpt-4o-mini-20*"),
        big=Model(_OPENAI_URL, "gpt-4o", "gpt-4o-20*"),
        key="OPENAI_API_KEY",
        notes=("Take models that give logprobs: reasoning models refuse them.",),
        promise="logprobs and up to 20 top_logprobs on chat completions",
        written_in="the API reference, chat completions, top_logprobs",
    ),
    "openrouter": Provider(
        title="OpenRouter",
        cheap=Model(_OPENROUTER_URL, "openai/gpt-4o-mini", "openai/gpt-4o-mini*", (0.15, 0.60)),
        big=Model(_OPENROUTER_URL, "openai/gpt-4o", "openai/gpt-4o*", (2.50, 10.00)),
        key="OPENROUTER_API_KEY",
        extra="{provider: {order: [openai], allow_fallbacks: false, require_parameters: true}}",
        notes=(
            "OpenRouter may pass a request on to a host that drops logprobs, and answers 200 without them.",
            "The pin under extra keeps to one host and to hosts that know every field.",
        ),
        promise="logprobs and top_logprobs from the pinned host",
        written_in="OpenRouter's documentation, provider routing, require_parameters",
    ),
    "vllm": Provider(
        title="vLLM",
        cheap=Model("http://127.0.0.1:8000/v1", "Qwen/Qwen2.5-1.5B-Instruct", "Qwen/Qwen2.5-1.5B-Instruct", _FREE),
        big=Model("http://127.0.0.1:8001/v1", "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct", _FREE),
        notes=(
            "vllm serve Qwen/Qwen2.5-1.5B-Instruct --port 8000",
            "vllm serve Qwen/Qwen2.5-7B-Instruct --port 8001",
            "It gives 20 alternatives by default (--max-logprobs) and refuses a request for more.",
        ),
        promise="20 alternatives at every token, as --max-logprobs says",
        written_in="the command that starts our server",
        interval_s=600,
    ),
    "llama.cpp": Provider(
        title="llama.cpp",
        cheap=Model("http://127.0.0.1:8080/v1", "cheap-model", "cheap-model", _FREE),
        big=Model("http://127.0.0.1:8081/v1", "big-model", "big-model", _FREE),
        concurrency=4,
        notes=(
            "llama-server -m SMALL.gguf --alias cheap-model --port 8080 --parallel 4",
            "llama-server -m LARGE.gguf --alias big-model --port 8081 --parallel 4",
            "Without --alias its answers carry the name of the file, which the contract does not allow.",
        ),
        promise="20 alternatives at every token: top_logprobs is its own n_probs",
        written_in="the command that starts our server",
        interval_s=600,
    ),
    "ollama": Provider(
        title="Ollama",
        cheap=Model(_OLLAMA_URL, "llama3.2:3b", "llama3.2:3b", _FREE),
        big=Model(_OLLAMA_URL, "llama3.1:8b", "llama3.1:8b", _FREE),
        concurrency=4,
        notes=(
            "ollama pull llama3.2:3b && ollama pull llama3.1:8b",
            "Logprobs need Ollama 0.12.11 or newer; it refuses a request for more than 20 alternatives.",
        ),
        promise="up to 20 alternatives at every token, under /v1 in OpenAI's shape",
        written_in="the release notes of Ollama 0.12.11",
        interval_s=600,
    ),
    "sandbox": Provider(
        title="the sandbox",
        cheap=Model(_SANDBOX_URL, "sandbox-cheap", "sandbox-cheap-20*"),
        big=Model(_SANDBOX_URL, "sandbox-big", "sandbox-big-20*"),
        notes=(
            "hedgerow sandbox up runs both models and a broker on this machine.",
            "They look for the words of your labels and descriptions: enough to see the pipeline work, no more.",
        ),
        promise="20 alternatives at every token, unless a fault is switched on",
        written_in="hedgerow sandbox model --help",
        interval_s=60,
    ),
}


def placeholder(label: str) -> str:
    """Return a first description of a label, to be replaced by its owner."""
    return KNOWN_LABELS.get(label) or f"A ticket about {_spoken(label)}."


def starter_files(name: ProviderName, labels: Mapping[str, str], *, aliases: bool) -> dict[str, str]:
    """Return file name to content for a provider and labels with their descriptions.

    ``aliases`` lets the models answer with letters.
    """
    provider = PROVIDERS[name]
    return {
        "hedgerow.yaml": _settings(provider, labels, aliases=aliases),
        "contracts.yaml": _contracts(name, provider),
        "endpoints.yaml": _endpoints(provider),
        ".env.example": _variables(provider),
        "tickets.jsonl": _tickets(tuple(labels)),
    }


def _settings(provider: Provider, labels: Mapping[str, str], *, aliases: bool) -> str:
    described = [f"  {_scalar(label)}: {_scalar(description)}" for label, description in labels.items()]
    alias_lines = ["label_aliases: true # the models answer A, B, C ..., because labels begin one another"]
    in_flight = 160 if provider.concurrency is None else provider.concurrency + 1
    lines = [
        f"# Hedgerow's settings, with {provider.title} for the models. hedgerow doctor checks all that they name.",
        "# A variable overrides a value: HEDGEROW_BROKER__BOOTSTRAP=kafka:9092 is broker.bootstrap.",
        "",
        "broker:",
        "  bootstrap: 127.0.0.1:9092",
        "",
        "topics:",
        '  prefix: "" # put before every topic, to share a cluster',
        "  partitions: 4 # no agent can use more workers than this",
        "  replication: 1 # 3 on a cluster of three brokers or more",
        "",
        "# Each label with one sentence that says what belongs under it. The sentences go into the prompt.",
        "labels:",
        *described,
        *(alias_lines if aliases else []),
        "",
        "# Your own words to the models. hedgerow prompt show prints what they are sent.",
        'instructions: ""',
        "",
        "# Labelled tickets that both models are shown examples from, once hedgerow memory load has sent some: docs/memory.md.",
        "memory: null # {examples: 8}",
        "",
        "# Taken out of a text before a model sees it.",
        "redact: [] # email, card, phone",
        "",
        *(f"# {note}" for note in provider.notes),
        "tiers:",
        "  cheap: # asked about every ticket",
        *_endpoint(provider, provider.cheap, "    "),
        "  big: # asked if the cheap one was not sure",
        *_endpoint(provider, provider.big, "    "),
        "",
        "# What is relied on at the endpoints, and which of them are probed for changes.",
        "contracts: contracts.yaml",
        "endpoints: endpoints.yaml",
        "",
        "# From which confidence on an answer is accepted. hedgerow calibrate writes a policy with a bounded error.",
        "policy:",
        "  cheap: {min_confidence: 0.65, max_entropy: 0.8}",
        "  big: {min_confidence: 0.65, max_entropy: 1.2}",
        "",
        "# The version of messages that workers write. 1 while programs that know no other still read them.",
        "messages: {write: 2}",
        "",
        "# Where tickets wait for a reviewer.",
        "review:",
        "  url: sqlite:///hedgerow-reviews.db",
        "",
        "# Where alerts and new reviews are sent: docs/webhooks.md.",
        "webhooks: [] # - {name: oncall, url: https://..., secret_env: WEBHOOK_SECRET, about: [alerts, reviews]}",
        "",
        "metrics: {} # host: 127.0.0.1, port: 9100 serves /metrics, /health and /ready; if it is in use, the next free port does",
        "",
        "worker:",
        f"  in_flight: {in_flight} # tickets in a handler at once: a little more than an endpoint's concurrency",
    ]
    return "\n".join(lines) + "\n"


def _endpoint(provider: Provider, model: Model, indent: str) -> list[str]:
    fields = [f"base_url: {model.base_url}", f"model: {_scalar(model.name)}"]
    if provider.key:
        fields.append(f"api_key_env: {provider.key} # the name of the variable that holds the key")
    fields.append("top_logprobs: 20")
    if provider.concurrency is not None:
        fields.append(f"concurrency: {provider.concurrency} # requests in flight at once")
    if provider.extra:
        fields.append(f"extra: {provider.extra}")
    if model.usd_per_million:
        in_price, out_price = model.usd_per_million
        fields.append(f"input_usd_per_million: {in_price:.2f} # the price list does not know this model")
        fields.append(f"output_usd_per_million: {out_price:.2f}")
    return [indent + field for field in fields]


def _contracts(name: ProviderName, provider: Provider) -> str:
    lines = [
        "# What is relied on at each endpoint, and who answers for it. hedgerow contract check compares once; a worker",
        "# compares when it starts and watches every answer.",
        "",
        "contracts:",
    ]
    tiers: tuple[tuple[Tier, Model], ...] = (("cheap", provider.cheap), ("big", provider.big))
    for tier, model in tiers:
        lines += [
            f"  - provider: {name}",
            f"    tier: {tier}",
            f"    model: {_scalar(model.name)} # as in hedgerow.yaml",
            "    relies_on:",
            "      logprobs: accept # without these two nothing is accepted",
            "      top_logprobs: accept",
            "      model: accept # an answer of another model is not accepted",
            "      usage: spend # the cost of a ticket is counted from it",
            "    min_k: 5 # the fewest alternatives at the answer's first token",
            f"    model_ids: [{json.dumps(model.returned)}] # ids that may come back; * and ? are patterns",
            "    guarantee:",
            f"      promise: {json.dumps(provider.promise)}",
            f"      written_in: {json.dumps(provider.written_in)}",
            "    owner: your team",
            "    signed_off_by: your name",
            "",
        ]
    lines += ["# Written exceptions: docs/guards.md", "exceptions: []"]
    return "\n".join(lines) + "\n"


def _endpoints(provider: Provider) -> str:
    lines = [
        "# What hedgerow probe run asks on a schedule, so that a change of a model is noticed. base_url and model are",
        "# those of the tiers in hedgerow.yaml: a change of another endpoint makes no policy stale.",
        "",
        "endpoints:",
    ]
    for tier, model in (("cheap", provider.cheap), ("big", provider.big)):
        lines += [
            f"  - name: {tier}",
            f"    provider: {provider.title}",
            *_endpoint(provider, model, "    "),
            f"    interval_s: {provider.interval_s}",
            "",
        ]
    return "\n".join(lines[:-1]) + "\n"


def _variables(provider: Provider) -> str:
    lines = ["# Copy to .env, fill in, and load it before a command: set -a; . ./.env; set +a", ""]
    if provider.key:
        lines += [f"# The key for {provider.title}. It stands in no other file.", f"{provider.key}=", ""]
    lines += [
        "# A variable overrides hedgerow.yaml.",
        "# HEDGEROW_BROKER__BOOTSTRAP=kafka:9092",
        "# HEDGEROW_REVIEW__URL=postgresql+psycopg://user:password@host/reviews",
    ]
    return "\n".join(lines) + "\n"


def _tickets(labels: Sequence[str]) -> str:
    rows = [
        {"text": _TICKETS.get(label) or f"Hello, I need help with {_spoken(label)}, please.", "label": label}
        for label in labels
    ]
    # One that no label fits, to see where such a ticket goes.
    rows.append({"text": "Thank you, and have a nice weekend!"})
    numbered = [{"ticket_id": f"sample-{number}"} | row for number, row in enumerate(rows, 1)]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in numbered)


def _spoken(label: str) -> str:
    return " ".join(re.split(r"[\s_-]+", label)).strip() or label


def _scalar(text: str) -> str:
    """Return a text as YAML: without quotes if that is read back as the same text, else in quotes."""
    import yaml

    if re.fullmatch(r"[^\W\d_][\w .,'/()-]*(?<! )", text) and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)
